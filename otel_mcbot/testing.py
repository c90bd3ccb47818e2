"""``capture()``: the telemetry of a block of code, in memory, for your tests and ours.

::

    @pytest.fixture
    def telemetry():
        with otel_mcbot.testing.capture() as captured:
            yield captured

    def test_a_rejected_order_is_counted(telemetry):
        run_my_bot_once()
        assert telemetry.value("mcbot_order_rejected_total", reason="max_positions") == 1
        assert telemetry.events("trading.order.rejected")[0].attributes["trading.instrument.symbol"] == "BTC/USDT"

Nothing leaves the process, no thread is started, no global provider is set. A bot that calls ``configure()`` in the
block gets a ``Telemetry`` that speaks to the capture. Captures nest, and one that was configured before is left as it
was.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_mcbot import catalog, hub, instruments
from otel_mcbot.facts import Fact
from otel_mcbot.guard import Guard
from otel_mcbot.hub import Hub
from otel_mcbot.ledger import Ledger
from otel_mcbot.providers import views
from otel_mcbot.redaction import Redactor
from otel_mcbot.settings import Settings
from otel_mcbot.telemetry import Telemetry, assemble, bridge, stand_in
from otel_mcbot.trace import Trace
from otel_mcbot.trace.sampling import KeepProcessor


@dataclass(frozen=True)
class Series:
    """One series of a metric.

    Attributes:
        labels: its labels.
        value: what it is; of a histogram the sum of its values.
        count: of a histogram, how many values there were; else ``None``.
        buckets: of a histogram, values by upper bound (``inf`` is the last), not cumulative.
        traces: trace ids (32 hex digits) of its exemplars.
    """

    labels: Mapping[str, str]
    value: float
    count: int | None = None
    buckets: Mapping[float, int] = field(default_factory=dict)
    traces: tuple[str, ...] = ()


@dataclass(frozen=True)
class Node:
    """A span and the spans under it, by start."""

    span: ReadableSpan
    children: tuple[Node, ...]

    @property
    def name(self) -> str:
        return self.span.name

    def lines(self, *attributes: str) -> Iterator[str]:
        """The tree as text: each span's name, its status where that is an error, and the values of ``attributes``."""
        known = self.span.attributes or {}
        said = [str(known[key]) for key in attributes if key in known]
        yield " ".join([self.name, *(["ERROR"] if not self.span.status.is_ok else []), *said])
        for child in self.children:
            for line in child.lines(*attributes):
                yield f"  {line}"


class Captured:
    """What was emitted so far. Everything can be read inside the block and after it."""

    def __init__(self, settings: Settings) -> None:
        resource = Resource({"service.name": settings.service_name})
        self._span_exporter = InMemorySpanExporter()
        self._log_exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        self._reader = InMemoryMetricReader()
        tracer_provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        tracer_provider.add_span_processor(
            KeepProcessor(
                SimpleSpanProcessor(self._span_exporter), ratio=settings.sample_ratio, slow=settings.slow_cycle
            )
        )
        meter_provider = MeterProvider([self._reader], resource, shutdown_on_exit=False, views=views())
        logger_provider = LoggerProvider(resource, shutdown_on_exit=False)
        logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self._log_exporter))
        redactor = Redactor()
        self.settings = settings
        self.hub: Hub = assemble(settings, tracer_provider, meter_provider, logger_provider, redactor)
        self._bridge = bridge(settings, logger_provider, redactor)
        self._final: dict[str, list[Series]] | None = None

    @property
    def ledger(self) -> Ledger:
        """The orders."""
        return self.hub.ledger

    def tell(self, fact: Fact) -> Trace | None:
        """Tell a fact, as a source would."""
        return self.hub.tell(fact)

    def tick(self, seconds: float = 0.0) -> None:
        """Do what would be due ``seconds`` from now: no test has to wait for a time-out."""
        self.hub.tick(time.monotonic() + seconds)

    # -- spans -----------------------------------------------------------------------------------------------------

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """The spans that have ended, in that order."""
        return self._span_exporter.get_finished_spans()

    def roots(self) -> list[Node]:
        """The spans that have ended as trees, by start. A span whose parent has not ended is a root, too."""
        spans = sorted(self.spans, key=lambda span: span.start_time or 0)
        ids = {_id(span) for span in spans}
        children: dict[int | None, list[ReadableSpan]] = {}
        for span in spans:
            parent = span.parent.span_id if span.parent is not None and span.parent.span_id in ids else None
            children.setdefault(parent, []).append(span)

        def node(span: ReadableSpan) -> Node:
            return Node(span, tuple(map(node, children.get(_id(span), []))))

        return [node(span) for span in children.get(None, [])]

    def span_tree(self, *attributes: str) -> str:
        """All spans that have ended, as indented text. ``attributes`` are keys whose values are shown behind a name."""
        return "\n".join(line for root in self.roots() for line in root.lines(*attributes))

    # -- metrics ---------------------------------------------------------------------------------------------------

    @property
    def metrics(self) -> dict[str, list[Series]]:
        """The series by Prometheus name. Each look is a collection: observable instruments are asked anew."""
        return self._collect() if self._final is None else self._final

    def value(self, name: str, **labels: str) -> float | None:
        """The sum of the series of ``name`` (a Prometheus name) that have these ``labels``; ``None`` without any."""
        found = [
            series.value if series.count is None else series.count
            for series in self.metrics.get(name, [])
            if labels.items() <= series.labels.items()
        ]
        return sum(found) if found else None

    def _collect(self) -> dict[str, list[Series]]:
        names = {row.otel_name: row.prometheus_name for row in catalog.rows()}
        found: dict[str, list[Series]] = {}
        data = self._reader.get_metrics_data()
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    points = [_series(point) for point in metric.data.data_points]
                    found.setdefault(names.get(metric.name) or metric.name, []).extend(points)
        return found

    # -- logs ------------------------------------------------------------------------------------------------------

    @property
    def logs(self) -> list[LogRecord]:
        """The log records, events among them, in order."""
        return [record.log_record for record in self._log_exporter.get_finished_logs()]

    def events(self, name: str | None = None) -> list[LogRecord]:
        """The event records, of one name or all."""
        return [record for record in self.logs if record.event_name and name in (None, record.event_name)]

    def clear(self) -> None:
        """Forget the spans and log records so far; metrics and orders stay."""
        self._span_exporter.clear()
        self._log_exporter.clear()

    def _close(self) -> None:
        self._final = self._collect()
        self._bridge.close()


@contextmanager
def capture(*, strict: bool = True, **settings: Any) -> Iterator[Captured]:
    """Capture the telemetry of the block.

    Args:
        strict: our own errors and mistaken measurements are raised, not swallowed.
        settings: as for ``configure()``: ``mode="live"``, ``expect={"BTC/USDT": "1m"}``, ``hold=5`` … The environment
            is not read.

    Raises:
        SettingsError: a setting cannot be used.
    """
    loaded = Settings.load({}, strict=strict, **settings)
    handles = catalog.handles()
    bound = [{slot: getattr(handle, slot) for slot in _slots(handle)} for handle in handles]
    counts = [dict(instruments.dropped), dict(Guard.failures)]
    was_strict = Guard.strict
    instruments.dropped.clear()
    Guard.forget()
    Guard.strict = strict
    disabled = os.environ.pop("OTEL_SDK_DISABLED", None)  # the SDK reads it by itself, and would capture nothing
    try:
        telemetry = Telemetry.standing_in(loaded)
        captured = Captured(loaded)
        telemetry.lend(captured.hub)
    finally:
        if disabled is not None:
            os.environ["OTEL_SDK_DISABLED"] = disabled
    before = hub.install(captured.hub)
    before_telemetry = stand_in(telemetry)
    try:
        captured.hub.recorders.start()
        yield captured
    finally:
        stand_in(before_telemetry)
        hub.install(before)
        captured._close()
        Guard.forget()
        Guard.strict = was_strict
        for tally, count in zip((instruments.dropped, Guard.failures), counts, strict=True):
            tally.clear()
            tally.update(count)
        for handle, state in zip(handles, bound, strict=True):
            for slot, value in state.items():
                setattr(handle, slot, value)


def _id(span: ReadableSpan) -> int:
    context = span.get_span_context()
    return context.span_id if context is not None else 0


def _slots(handle: object) -> list[str]:
    """The names of what a handle holds: its binding and what it measured."""
    slots: list[Sequence[str]] = [vars(kind).get("__slots__", ()) for kind in type(handle).__mro__]
    return [name for names in slots for name in names if hasattr(handle, name)]


def _series(point: Any) -> Series:
    labels = {key: str(value) for key, value in (point.attributes or {}).items()}
    traces = tuple(f"{exemplar.trace_id:032x}" for exemplar in point.exemplars if exemplar.trace_id)
    if isinstance(point, NumberDataPoint):
        return Series(labels, point.value, traces=traces)
    assert isinstance(point, HistogramDataPoint)
    bounds = (*point.explicit_bounds, float("inf"))
    buckets = dict(zip(bounds, point.bucket_counts, strict=True))
    return Series(labels, point.sum, point.count, buckets, traces)
