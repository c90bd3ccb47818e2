"""The stages of an order's life as ``with`` blocks and decorators: one object is both.

    with mcbot.trade_cycle(strategy="ctrend", symbol="BTC/USDT") as cycle:
        with cycle.generate_signal() as stage:
            stage.signal("long", strength=0.7)

    @mcbot.generate_signal(strategy="ctrend")
    async def on_bar(self, bar): ...

A stage finds its cycle by itself: the one it was made from, the one the running code stands in (also across a queue,
see ``resume``), the one that waits for its strategy and symbol, or a new one. What it learns about an order it tells as
facts, so the ledger has one truth whatever else watches the same order. Telemetry that fails, or is not configured,
leaves a stage an empty shell; the bot's own exceptions pass through unmodified.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, Self, TypeVar, cast

from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import (
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue

from otel_mcbot import facts, hub, reports, semconv
from otel_mcbot.guard import Guard
from otel_mcbot.semconv import ErrorType, SpanName
from otel_mcbot.trace.cycle import Chain, Cycle
from otel_mcbot.trace.propagation import Scope, Trace, context_of, scope_here

if TYPE_CHECKING:
    from otel_mcbot.hub import Hub

P = ParamSpec("P")
R = TypeVar("R")

_STACK_LIMIT = 16_384
"""Characters of a stack trace: the end of it, where it happened."""

HINTS: Mapping[str, tuple[str, ...]] = {
    "strategy": ("strategy", "strategy_name"),
    "symbol": ("symbol", "pair", "instrument"),
    "pod_id": ("pod_id",),
    "correlation_id": ("correlation_id",),
}
"""What a decorated function's arguments may tell, by attribute or key."""


class Stage:
    """One stage: a ``with`` block, or a decorator of ``def`` and ``async def``. See the functions that make them."""

    name: ClassVar[str]
    kind: ClassVar[SpanKind] = SpanKind.INTERNAL
    hints: ClassVar[Mapping[str, tuple[str, ...]]] = HINTS

    __slots__ = ("_attributes", "_began", "_cycle", "_given", "_hub", "_span", "_token", "cycle")

    def __init__(self, cycle: Cycle | None = None, **given: Any) -> None:
        self._cycle = cycle
        self._given = {key: value for key, value in given.items() if value is not None}
        self._attributes: dict[str, AttributeValue] = {}
        self._hub: Hub | None = None
        self._span: Span | None = None
        self._token: Token[Context] | None = None
        self._began = 0.0
        self.cycle: Cycle | None = None

    # -- with ------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._hub = hub.current()
        if self._hub is not None:
            with Guard("stage"):
                self._open(self._hub)
                if self._hub.on_loop is not None:
                    self._hub.on_loop()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        token, self._token = self._token, None
        if token is not None:
            detach(token)
        if self._hub is not None and self.cycle is not None:
            with Guard("stage"):
                self._close(self._hub, error)

    # -- decorator -------------------------------------------------------------------------------------------------

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{type(self).__name__} cannot wrap the generator {function.__qualname__}: its body runs in its "
                "consumer's context; use the stage as a with block inside it"
            )
        names = _parameters(function)
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
                with self._for_call(dict(zip(names, args, strict=False)) | kwargs) as stage:
                    result = await function(*args, **kwargs)
                    stage._returned(result)
                    return result

            return cast("Callable[P, R]", awaited)

        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            with self._for_call(dict(zip(names, args, strict=False)) | kwargs) as stage:
                result = function(*args, **kwargs)
                stage._returned(result)
                return result

        return called

    def _for_call(self, arguments: Mapping[str, Any]) -> Self:
        given = dict(self._given)
        with Guard("stage"):
            for key, names in self.hints.items():
                if key not in given:
                    found = reports.read(arguments, *names)
                    if found is None:
                        found = next(_read_all(arguments.values(), names), None)
                    if found is not None and not callable(found):
                        given[key] = found
        return type(self)(self._cycle, **given)

    def _returned(self, result: object) -> None:
        """Learn from what a decorated function returned."""

    # -- the span --------------------------------------------------------------------------------------------------

    def set(self, **attributes: AttributeValue | None) -> None:
        """Put more on the span. Underscores in a keyword stand for dots; ``None`` is left out, secrets are cleaned."""
        with Guard("stage"):
            redact = self._hub.redact if self._hub is not None else str
            for key, value in attributes.items():
                self._put({key.replace("_", "."): redact(value) if isinstance(value, str) else value})

    def _put(self, attributes: Mapping[str, AttributeValue | None]) -> None:
        for key, value in attributes.items():
            if value is not None:
                self._attributes[key] = value
                if self._span is not None:
                    self._span.set_attribute(key, value)

    def _locate(self, core: Hub) -> tuple[Cycle, Chain]:
        """The cycle of this stage and the stages around it; opens one when there is none."""
        lifecycle = core.lifecycle
        scope = scope_here()
        if self._cycle is not None and not self._cycle.ended:
            inside = scope is not None and scope.cycle is self._cycle
            return self._cycle, scope.chain if scope is not None and inside else ()
        strategy, symbol = facts.text(self._given.get("strategy")), facts.text(self._given.get("symbol"))
        cycle, chain = lifecycle.find(strategy, symbol)
        if cycle is not None and self.name == SpanName.GENERATE_SIGNAL and scope is None:
            cycle = None  # a new decision never joins the one that waits for an order
        if cycle is not None:
            return cycle, chain
        ended = self._cycle or (scope.cycle if scope is not None else None)
        common: Mapping[str, Any] = ended.common if ended is not None else {}
        continues = ended is not None and self.name != SpanName.GENERATE_SIGNAL
        relation = semconv.Relation.CONTINUES if continues else semconv.Relation.CAUSED_BY
        links = [Trace(ended.place).as_link(relation)] if ended is not None else []
        cycle = lifecycle.start(
            name=SpanName.CONTINUED if continues else SpanName.TRADE_CYCLE,
            strategy=strategy or facts.text(common.get(semconv.STRATEGY)),
            symbol=symbol or facts.text(common.get(semconv.SYMBOL)),
            pod_id=facts.text(self._given.get("pod_id") or common.get(semconv.POD_ID)),
            correlation_id=facts.text(self._given.get("correlation_id") or common.get(semconv.CORRELATION_ID)),
            links=links,
        )
        cycle.awaits = True
        return cycle, ()

    def _open(self, core: Hub) -> None:
        with core.lock:
            cycle, chain = self._locate(core)
            core.lifecycle.enter(cycle)
            self.cycle = cycle
            cycle.stages.add(self.name)
            self._began = core.lifecycle.clock()
            attributes = {**cycle.common, **self._attributes}
            scope = scope_here()
            if scope is not None and scope.queue_wait is not None:
                attributes[semconv.QUEUE_WAIT] = scope.queue_wait
            parent = _nearest(cycle, cycle.parent_for(self.name, chain), chain)
            self._span = core.lifecycle.open(cycle, self.name, parent, attributes, self._began, kind=self.kind)
            place = self._span.get_span_context()
            cycle.running[place.span_id] = (self.name, self._span, self._began)
        self._attach(self._span, Scope(cycle, chain, scope.queue_wait if scope else None).inside(self.name, place))

    def _attach(self, span: Span, scope: Scope) -> None:
        context = context_of(span.get_span_context(), scope, get_current())
        self._token = attach(set_span_in_context(span, context))

    def _close(self, core: Hub, error: BaseException | None) -> None:
        cycle, span = self.cycle, self._span
        if cycle is None:
            return
        with core.lock:
            now = core.lifecycle.clock()
            if span is not None and cycle.running.pop(span.get_span_context().span_id, None) is not None:
                self._finish(error)
                if error is not None:
                    fail(core, cycle, span, error)
                core.lifecycle.end(cycle, self.name, span, self._began, now)
            self._leave(core, cycle, error)

    def _leave(self, core: Hub, cycle: Cycle, error: BaseException | None) -> None:
        if error is not None and cycle.entered == 1:  # nobody in the cycle caught it
            cycle.interrupted = cycle.interrupted or _is_interruption(error)
            cycle.error = error_type(error)
        core.lifecycle.leave(cycle)

    def _finish(self, error: BaseException | None) -> None:
        """Put on the span what is required and was never said."""


# -- helpers -------------------------------------------------------------------------------------------------------


def error_type(error: BaseException) -> str:
    """``error.type`` of an exception: ``interrupted`` for a cancellation, else its class name."""
    return str(ErrorType.INTERRUPTED.value) if _is_interruption(error) else type(error).__qualname__


def _is_interruption(error: BaseException) -> bool:
    return isinstance(error, asyncio.CancelledError) or not isinstance(error, Exception)


@Guard("exception")  # its __str__ is the bot's code: what it raises must not keep the span from ending
def fail(core: Hub, cycle: Cycle, span: Span, error: BaseException) -> None:
    """Mark a span failed. The exception itself is told once, on the innermost span it passed through."""
    kind = error_type(error)
    span.set_attribute(semconv.ERROR_TYPE, kind)
    span.set_status(Status(StatusCode.ERROR, kind))
    message = core.redact(str(error))
    span.set_status(Status(StatusCode.ERROR, message[:512] or kind))
    if cycle.seen_error is error:
        return
    cycle.seen_error = error
    stack = core.redact("".join(traceback.format_exception(error)))
    span.add_event(
        "exception",
        {
            "exception.type": type(error).__qualname__,
            "exception.message": message,
            "exception.stacktrace": stack[-_STACK_LIMIT:],
        },
    )


def _nearest(cycle: Cycle, parent: SpanContext, chain: Chain) -> SpanContext:
    """The span of somebody else between ``parent`` and the running code, if there is one: it keeps its child."""
    innermost = chain[-1][1] if chain else cycle.place
    current = get_current_span().get_span_context()
    if parent.span_id == innermost.span_id and current.trace_id == cycle.place.trace_id:
        return current
    return parent


def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    """Names of the positional parameters, so that ``send("BTC/USDT", "buy")`` is understood like keywords are."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(parameter.name for parameter in parameters if parameter.kind in positional)


def _read_all(sources: Iterable[Any], names: tuple[str, ...]) -> Iterator[Any]:
    for source in sources:
        if isinstance(source, (str, bytes, int, float)):
            continue
        value = reports.read(source, *names)
        if value is not None and not callable(value):
            yield value
