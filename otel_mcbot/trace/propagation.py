"""Carrying a place in a trade cycle: through nested calls, across a queue, over a restart.

A task that reads a queue sees the context of where it was made, not that of ``publish``. So the queue's item carries a
:class:`Trace`, and the handler runs inside :func:`resume`. In one process a trace also knows its cycle and the stages
around it, from which the next stage finds its parent; pickled, it keeps what W3C trace context keeps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context, attach, create_key, detach, get_current, get_value, set_value
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue

from otel_mcbot import semconv

if TYPE_CHECKING:
    from otel_mcbot.trace.cycle import Cycle

_SCOPE = create_key("otel_mcbot.scope")


@dataclass(frozen=True, slots=True)
class Scope:
    """Where in a cycle the code is: the stages around it (outermost first), and how long the event had waited."""

    cycle: Cycle
    chain: tuple[tuple[str, SpanContext], ...] = ()
    queue_wait: float | None = None

    def inside(self, name: str, span: SpanContext) -> Scope:
        return Scope(self.cycle, (*self.chain, (name, span)), self.queue_wait)


def scope_here() -> Scope | None:
    """The scope of the running code, or ``None`` outside every cycle."""
    value = get_value(_SCOPE)
    return value if isinstance(value, Scope) else None


def context_of(span: SpanContext, scope: Scope | None = None, base: Context | None = None) -> Context:
    """A context in which ``span`` is current and the code stands in ``scope``."""
    context = set_span_in_context(NonRecordingSpan(span), Context() if base is None else base)
    return context if scope is None else set_value(_SCOPE, scope, context)


def attributes_here() -> Mapping[str, AttributeValue]:
    """What every span and log record of the running code's chain has in common; empty outside every cycle."""
    scope = scope_here()
    return scope.cycle.common if scope is not None else {}


@dataclass(frozen=True, slots=True)
class Trace:
    """A place in a trace, carried by a queue's item, a file or another process.

    Attributes:
        span: the span to go on from; immutable.
        scope: the stages around it, in this process only (not pickled, not compared).
    """

    span: SpanContext
    scope: Scope | None = field(default=None, compare=False, repr=False)

    @classmethod
    def here(cls) -> Trace | None:
        """The place of the running code, or ``None`` when no span is current."""
        span = get_current_span().get_span_context()
        if not span.is_valid:
            return None
        scope = scope_here()
        if scope is not None:
            scope.cycle.carried = True
        return cls(span, scope)

    @classmethod
    def from_traceparent(cls, value: str | None) -> Trace | None:
        """From a W3C ``traceparent`` (``00-<32 hex>-<16 hex>-01``); ``None`` for anything else."""
        parts = (value or "").strip().split("-")
        if len(parts) != 4 or len(parts[1]) != 32 or len(parts[2]) != 16:
            return None
        try:
            span = SpanContext(int(parts[1], 16), int(parts[2], 16), True, TraceFlags(int(parts[3], 16)))
        except ValueError:
            return None
        return cls(span) if span.is_valid else None

    def traceparent(self) -> str:
        """As a W3C ``traceparent``."""
        return f"00-{self.span.trace_id:032x}-{self.span.span_id:016x}-{int(self.span.trace_flags):02x}"

    def as_parent(self) -> Context:
        """A context to go on in: one event, one effect."""
        return context_of(self.span, self.scope)

    def as_link(self, relation: semconv.Relation = semconv.Relation.CAUSED_BY) -> Link:
        """A link for a new trace: many events, one effect."""
        return Link(self.span, {semconv.LINK_RELATION: str(relation.value)})

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self.traceparent(),)


def _unpickled(traceparent: str) -> Trace | None:
    return Trace.from_traceparent(traceparent)


@contextmanager
def resume(trace: Trace | None, *, queue_wait: float | None = None) -> Iterator[None]:
    """Run the block in the place of ``trace``; ``None`` is a clean root, not the context of whoever made this task.

    Args:
        trace: what the queue's item carried.
        queue_wait: seconds the item waited; spans made in the block say so (``mcbot.queue.wait``).
    """
    if trace is None:
        context = Context() if get_current() else None
    elif trace.scope is None:
        context = trace.as_parent()
    else:
        scope = trace.scope
        if queue_wait is not None:
            scope = Scope(scope.cycle, scope.chain, queue_wait)
        context = context_of(trace.span, scope)
    if context is None:
        yield
        return
    token = attach(context)
    try:
        yield
    finally:
        detach(token)
