"""A hub with in-memory spans and a clock that tests move: what the tests of trace/ stand on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import SimpleNamespace

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from otel_mcbot import hub as hubs
from otel_mcbot import semconv
from otel_mcbot.facts import Fact
from otel_mcbot.ledger import Change, Ledger
from otel_mcbot.trace import Lifecycle


class Clock:
    def __init__(self) -> None:
        self.offset = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.offset


class Seen:
    """A consumer that keeps what it was told."""

    def __init__(self) -> None:
        self.facts: list[tuple[Fact, Sequence[Change], object]] = []

    def on_fact(self, fact: Fact, changes: Sequence[Change], context: object) -> None:
        self.facts.append((fact, changes, context))

    def tick(self, now: float) -> None: ...

    def count(self, kind: type[Fact]) -> int:
        return sum(isinstance(fact, kind) for fact, _, _ in self.facts)


class Bench:
    """One hub under test."""

    def __init__(self, *, hold: float = 60.0, processor: object = None) -> None:
        self.clock = Clock()
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(processor(self.exporter) if processor else SimpleSpanProcessor(self.exporter))  # type: ignore[operator]
        self.ledger = Ledger(clock=self.clock, lost_after=hold)
        self.lifecycle = Lifecycle(self.provider.get_tracer("test"), hold=hold, clock=self.clock)
        self.seen = Seen()
        self.hub = hubs.Hub(self.ledger, self.lifecycle, self.seen)

    def advance(self, seconds: float) -> None:
        self.clock.offset += seconds
        self.hub.tick(self.clock())

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def span(self, name: str) -> ReadableSpan:
        (found,) = [span for span in self.spans if span.name == name]
        return found

    def tree(self) -> list[str]:
        """One line a span, children indented under parents, in order of start: ``name`` and what matters."""
        spans = sorted(self.spans, key=lambda span: (span.start_time or 0, span.end_time or 0))
        children: dict[int | None, list[ReadableSpan]] = {}
        known = {span.context.span_id for span in spans}
        for span in spans:
            parent = span.parent.span_id if span.parent else None
            assert parent is None or parent in known, f"orphan {span.name}"
            children.setdefault(parent, []).append(span)
        lines: list[str] = []

        def draw(parent: int | None, depth: int) -> None:
            for span in children.get(parent, []):
                lines.append("  " * depth + span.name + _detail(span))
                draw(span.context.span_id, depth + 1)

        draw(None, 0)
        return lines

    def check(self) -> None:
        """What must hold of every trace: nothing open, nothing after its root, children inside their trace."""
        assert not self.lifecycle.cycles
        assert not self.lifecycle._of_order
        assert not self.lifecycle._waiting
        roots = {span.context.trace_id: span for span in self.spans if span.parent is None}
        for span in self.spans:
            root = roots[span.context.trace_id]
            assert span.start_time is not None
            assert span.end_time is not None
            assert root.start_time is not None
            assert root.end_time is not None
            assert root.start_time <= span.start_time <= root.end_time, f"{span.name} starts outside {root.name}"
            assert span.end_time <= root.end_time, f"{span.name} ends after {root.name}"
            assert span.status.status_code is not StatusCode.OK


def _detail(span: ReadableSpan) -> str:
    attributes = span.attributes or {}
    shown = [
        str(attributes[key])
        for key in (
            semconv.OUTCOME,
            semconv.SIGNAL_DIRECTION,
            semconv.CHECK_RESULT,
            semconv.CHECK_REASON,
            semconv.ORDER_STATUS,
        )
        if key in attributes
    ]
    if span.status.status_code is StatusCode.ERROR:
        shown.append(f"ERROR:{attributes.get(semconv.ERROR_TYPE)}")
    return f" [{' '.join(shown)}]" if shown else ""


def namespace(**values: object) -> SimpleNamespace:
    return SimpleNamespace(**values)
