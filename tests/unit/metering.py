"""A catalog bound to readers in memory: what the tests of instruments and recorders stand on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View

from otel_mcbot import catalog, facts, instruments
from otel_mcbot.guard import Guard
from otel_mcbot.ledger import Ledger
from otel_mcbot.record import Recorders

Series = dict[str, dict[tuple[tuple[str, str], ...], Any]]


def collect(reader: InMemoryMetricReader) -> Series:
    """OTel name → labels (sorted pairs) → point."""
    found: Series = {}
    data = reader.get_metrics_data()
    for resource in data.resource_metrics if data is not None else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                points = found.setdefault(metric.name, {})
                for point in metric.data.data_points:
                    key = tuple(sorted((str(k), v) for k, v in (point.attributes or {}).items()))
                    assert all(type(v) is str for _, v in key), key
                    points[key] = point
    return found


def views() -> list[View]:
    return [
        View(instrument_name=row.otel_name, aggregation=ExplicitBucketHistogramAggregation(row.buckets or ()))
        for row in catalog.signed_histograms()
    ]


def provider(*readers: MetricReader, viewed: bool = True) -> MeterProvider:
    return MeterProvider(metric_readers=readers, views=views() if viewed else (), shutdown_on_exit=False)


class Metered:
    """The whole catalog, bound."""

    def __init__(self, reader: InMemoryMetricReader) -> None:
        self.reader = reader
        self.seen: Series = {}

    def collect(self) -> Series:
        self.seen = collect(self.reader)
        return self.seen

    def value(self, handle: instruments.Handle, **labels: str) -> float | None:
        """Value (a histogram's count) of a series in the last collection; ``None`` where it is not there."""
        point = self.seen.get(handle.name, {}).get(tuple(sorted(labels.items())))
        if point is None:
            return None
        return float(point.count if hasattr(point, "count") else point.value)

    def point(self, handle: instruments.Handle, **labels: str) -> Any:
        return self.seen[handle.name][tuple(sorted(labels.items()))]


@contextmanager
def metered(*, strict: bool = True) -> Iterator[Metered]:
    reader = InMemoryMetricReader()
    source = provider(reader)
    instruments.dropped.clear()
    Guard.forget()
    before, Guard.strict = Guard.strict, strict
    catalog.bind(source.get_meter("test"), strict=strict, viewed=True)
    try:
        yield Metered(reader)
    finally:
        catalog.unbind()
        Guard.strict = before
        Guard.forget()
        instruments.dropped.clear()
        source.shutdown()


class Bot:
    """Recorders on a real ledger, told facts as the hub tells them."""

    def __init__(self, meters: Metered, *, mode: str = "paper", start: bool = True, **settings: Any) -> None:
        self.meters = meters
        self.ledger = Ledger()
        given = {"mode": mode, "version": "1.2", "exchange": "binance", "expect": {"BTC/USDT": "1m"}, "strategies": ()}
        self.settings: Any = SimpleNamespace(**{**given, **settings})
        self.recorders = Recorders(self.settings, self.ledger)
        self.recorders.tell = self.tell
        self.told: list[facts.Fact] = []
        if start:
            self.recorders.start()

    def tell(self, fact: facts.Fact, context: Context | None = None) -> None:
        self.told.append(fact)
        if isinstance(fact, facts.SignalGenerated):
            self.ledger.note_signal(fact.strategy, fact.symbol, fact.at)
        changes = self.ledger.apply(fact) if isinstance(fact, facts.OrderFact) else ()
        self.recorders.on_fact(fact, changes, context)

    def order(self, client_id: str = "ctrend-BTCUSDT-1", **wanted: Any) -> None:
        given = {"symbol": "BTC/USDT", "side": "BUY", "quantity": 1.0, "expected_price": 100.0}
        self.tell(facts.OrderRequested(client_id=client_id, **{**given, **wanted}))

    def fill(self, client_id: str = "ctrend-BTCUSDT-1", **part: Any) -> None:
        given = {"symbol": "BTC/USDT", "side": "BUY", "quantity": 1.0, "price": 100.0}
        self.tell(facts.OrderFilled(client_id=client_id, **{**given, **part}))

    def value(self, handle: instruments.Handle, **labels: str) -> float | None:
        """In a collection made now."""
        self.meters.collect()
        return self.meters.value(handle, **labels)
