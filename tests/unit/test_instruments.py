"""Handles: made right or dropped and counted, never raised; what a reader sees of what comes and goes."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any

import pytest
from metering import collect, provider
from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import set_span_in_context

from otel_mcbot import instruments
from otel_mcbot.guard import Guard
from otel_mcbot.instruments import (
    Counter,
    EnumGauge,
    Gauge,
    Handle,
    Histogram,
    Info,
    MeasurementError,
    ObservableCounter,
)


class Side(StrEnum):
    BUY = "buy"


class Plain(Enum):
    BUY = "buy"


class Direction(IntEnum):
    LONG = 1


class Awkward:
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.fixture
def reader() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture
def meter(reader: InMemoryMetricReader) -> Iterator[Meter]:
    instruments.dropped.clear()
    Guard.forget()
    source = provider(reader)
    yield source.get_meter("test")
    source.shutdown()
    instruments.dropped.clear()
    Guard.forget()


def values(reader: InMemoryMetricReader, name: str) -> dict[Any, float]:
    """Label values (in the order of the labels' names) → value."""
    return {tuple(v for _, v in key): point.value for key, point in collect(reader).get(name, {}).items()}


def orders(limit: int = 1000) -> Counter:
    return Counter("test.orders", "{order}", "symbol side", "Orders", limit=limit)


# -- numbers and labels --------------------------------------------------------------------------------------------


def test_a_number_of_any_kind_is_counted_as_a_float(meter: Meter, reader: InMemoryMetricReader) -> None:
    counter = orders()
    counter.bind(meter, strict=True)
    counter.add(1.5, symbol="BTC", side="buy")
    counter.add(Decimal("0.25"), symbol="BTC", side="buy")
    counter.add(2, symbol="BTC", side="buy")
    counter.add(symbol="BTC", side="buy")
    assert values(reader, "test.orders") == {("buy", "BTC"): 4.75}


@pytest.mark.parametrize(
    ("amount", "reason"),
    [
        (None, "value"),
        (float("nan"), "value"),
        (float("inf"), "value"),
        ("many", "value"),
        (True, "value"),
        (-1, "negative"),
    ],
)
def test_what_is_no_amount_is_dropped_and_counted(
    meter: Meter, reader: InMemoryMetricReader, amount: object, reason: str
) -> None:
    counter = orders()
    counter.bind(meter)
    counter.add(amount, symbol="BTC", side="buy")
    assert values(reader, "test.orders") == {}
    assert instruments.dropped == {reason: 1}
    counter.bind(meter, strict=True)
    with pytest.raises(MeasurementError, match=r"test\.orders"):
        counter.add(amount, symbol="BTC", side="buy")


def test_enums_are_one_series_with_their_string(meter: Meter, reader: InMemoryMetricReader) -> None:
    counter = orders()
    counter.bind(meter, strict=True)
    for side in ("buy", Side.BUY, Plain.BUY, "buy"):
        counter.add(1, symbol="BTC", side=side)
    counter.add(1, symbol="BTC", side=Direction.LONG)
    counter.add(1, symbol="BTC", side="1")
    counter.add(1, symbol="BTC", side=1)
    assert values(reader, "test.orders") == {("buy", "BTC"): 4, ("LONG", "BTC"): 1, ("1", "BTC"): 2}


def test_the_order_of_the_keywords_does_not_matter(meter: Meter, reader: InMemoryMetricReader) -> None:
    counter = orders()
    counter.bind(meter, strict=True)
    for _ in range(2):  # the second time from the look-up
        counter.add(1, symbol="a", side="b")
        counter.add(1, side="a", symbol="b")
    assert values(reader, "test.orders") == {("b", "a"): 2, ("a", "b"): 2}


@pytest.mark.parametrize("side", [None, ""])
def test_a_missing_label_is_dropped_and_counted(meter: Meter, reader: InMemoryMetricReader, side: object) -> None:
    counter, gauge = orders(), Gauge("test.g", "", "side", "")
    for handle in (counter, gauge):
        handle.bind(meter)
    counter.add(1, symbol="BTC", side=side)
    counter.add(1, symbol="BTC")
    gauge.set(1, side=side)
    gauge.remove(side=side)
    assert collect(reader) == {}
    assert instruments.dropped == {"label": 4}
    counter.bind(meter, strict=True)
    with pytest.raises(MeasurementError, match="side"):
        counter.add(1, symbol="BTC", side=side)


def test_an_unknown_label_is_left_out(meter: Meter, reader: InMemoryMetricReader) -> None:
    counter = orders()
    counter.bind(meter)
    counter.add(1, symbol="BTC", side="buy", order_id="17")
    counter.add(1, symbol="BTC", side="buy", order_id="18")
    assert values(reader, "test.orders") == {("buy", "BTC"): 2}
    assert not instruments.dropped
    counter.bind(meter, strict=True)
    with pytest.raises(MeasurementError, match="order_id"):
        counter.add(1, symbol="BTC", side="buy", order_id="17")


def test_a_label_that_fails_harms_nobody(meter: Meter, reader: InMemoryMetricReader) -> None:
    label = Awkward()
    counter, gauge, state = orders(), Gauge("test.g", "", "side", ""), EnumGauge("test.e", "", "", "", states=("on",))
    for handle in (counter, gauge, state):
        handle.bind(meter)
    counter.add(1, symbol="BTC", side=label)
    counter.zero(symbol="BTC", side=label)
    gauge.set(1, side=label)
    gauge.remove(side=label)
    gauge.forget(side=label)
    state.set_state(label)
    assert collect(reader) == {}
    assert instruments.dropped == {"error": 6}
    counter.add(1, symbol="BTC", side=["not", "hashable"])
    assert instruments.dropped == {"error": 7}


# -- what exists ---------------------------------------------------------------------------------------------------


def test_a_zeroed_counter_exists(meter: Meter, reader: InMemoryMetricReader) -> None:
    counter = orders()
    counter.bind(meter, strict=True)
    counter.zero(symbol="BTC", side="buy")
    assert values(reader, "test.orders") == {("buy", "BTC"): 0}
    counter.add(1, symbol="BTC", side="buy")
    counter.zero(symbol="BTC", side="buy")
    assert values(reader, "test.orders") == {("buy", "BTC"): 1}


def test_label_sets_beyond_the_limit_are_refused_and_counted(meter: Meter, reader: InMemoryMetricReader) -> None:
    counter = orders(limit=4)
    counter.bind(meter, strict=True)  # how many sets there are is no mistake of one call: nothing raises
    for n in range(4):
        counter.zero(symbol=str(n), side="buy")  # takes half, so that what happens has room
    for n in range(10, 15):
        counter.add(1, symbol=str(n), side="buy")
    counter.add(1, symbol="10", side="buy")
    assert values(reader, "test.orders") == {("buy", "0"): 0, ("buy", "1"): 0, ("buy", "10"): 2, ("buy", "11"): 1}
    assert instruments.dropped == {"cardinality": 3}


def test_a_gauge_frees_the_place_of_what_is_gone(meter: Meter, reader: InMemoryMetricReader) -> None:
    gauge = Gauge("test.size", "", "symbol", "", limit=2)
    gauge.bind(meter)
    for symbol in ("a", "b", "c"):
        gauge.set(1, symbol=symbol)
    assert instruments.dropped == {"cardinality": 1}
    gauge.remove(symbol="a")
    assert values(reader, "test.size") == {("a",): 0, ("b",): 1}
    gauge.set(1, symbol="c")
    assert values(reader, "test.size") == {("b",): 1, ("c",): 1}
    gauge.watch(lambda: [(7, {"symbol": "d"})])
    assert values(reader, "test.size") == {("b",): 1, ("c",): 1}
    assert instruments.dropped == {"cardinality": 2}


def test_unbound_handles_do_nothing(meter: Meter, reader: InMemoryMetricReader) -> None:
    handles: list[Any] = [
        orders(),
        Histogram("test.h", "s", "", "", buckets=(1, 2)),
        Gauge("test.g", "", "", ""),
        ObservableCounter("test.o", "", "", ""),
        EnumGauge("test.e", "", "", "", states=("on", "off")),
        Info("test.i", "", "version", ""),
    ]

    def use() -> None:
        counter, histogram, gauge, observed, state, info = handles
        counter.add(1, symbol="BTC", side="buy")
        counter.zero(symbol="BTC", side="buy")
        histogram.record(1)
        gauge.set(1)
        gauge.remove()
        gauge.clear()
        gauge.forget()
        gauge.watch(lambda: [(1, {})])
        observed.watch(lambda: [(1, {})])
        state.set_state("on")
        info.set_info(version="1")

    use()
    for handle in handles:
        handle.bind(meter, strict=True)
    assert collect(reader) == {}  # what was said before is not remembered
    use()
    assert len(collect(reader)) == 6
    for handle in handles:
        handle.unbind()
    use()
    seen = collect(reader)
    assert set(seen) == {"test.orders", "test.h"}  # cumulative: what was counted stays, and nothing is added
    assert seen["test.orders"][("side", "buy"), ("symbol", "BTC")].value == 1


def test_bound_again_everything_is_fresh(meter: Meter, reader: InMemoryMetricReader) -> None:
    gauge, observed = Gauge("test.g", "", "", ""), ObservableCounter("test.o", "", "", "")
    for _ in range(2):  # the same meter, as of a provider that is not ours
        gauge.bind(meter)
        observed.bind(meter)
        assert collect(reader) == {}
        gauge.set(3)
        observed.watch(lambda: [(5, {})])
        assert values(reader, "test.g") == {(): 3}
        assert values(reader, "test.o") == {(): 5}
    other = InMemoryMetricReader()
    source = provider(other)
    gauge.bind(source.get_meter("test"))
    gauge.set(4)
    assert values(other, "test.g") == {(): 4}
    assert values(reader, "test.g") == {}
    source.shutdown()


# -- what comes and goes -------------------------------------------------------------------------------------------


def test_a_removed_series_is_0_once_then_gone(meter: Meter, reader: InMemoryMetricReader) -> None:
    gauge = Gauge("test.size", "", "symbol", "")
    gauge.bind(meter, strict=True)
    gauge.set(3, symbol="BTC")
    gauge.set(4, symbol="ETH")
    assert values(reader, "test.size") == {("BTC",): 3, ("ETH",): 4}
    gauge.remove(symbol="BTC")
    gauge.remove(symbol="BTC")
    gauge.remove(symbol="never was")
    assert values(reader, "test.size") == {("BTC",): 0, ("ETH",): 4}
    assert values(reader, "test.size") == {("ETH",): 4}
    gauge.set(5, symbol="BTC")
    assert values(reader, "test.size") == {("BTC",): 5, ("ETH",): 4}
    gauge.remove(symbol="BTC")
    gauge.set(6, symbol="BTC")  # it came back before anybody looked
    assert values(reader, "test.size") == {("BTC",): 6, ("ETH",): 4}
    gauge.clear()
    assert values(reader, "test.size") == {("BTC",): 0, ("ETH",): 0}
    assert values(reader, "test.size") == {}


def test_every_reader_sees_the_0() -> None:
    readers = InMemoryMetricReader(), InMemoryMetricReader()
    source = provider(*readers)
    gauge, observed = Gauge("test.g", "", "", ""), ObservableCounter("test.o", "", "", "")
    gauge.bind(source.get_meter("test"), readers=2)
    observed.bind(source.get_meter("test"), readers=2)
    gauge.set(3)
    observed.watch(lambda: [(5, {})])
    assert [values(reader, "test.g") for reader in readers] == [{(): 3}, {(): 3}]
    gauge.remove()
    seen = [collect(reader) for reader in readers]
    assert [each["test.g"][()].value for each in seen] == [0, 0]
    assert [values(reader, "test.g") for reader in readers] == [{}, {}]
    source.shutdown()


def test_an_observable_counter_is_0_before_it_is_what_it_is() -> None:
    readers = InMemoryMetricReader(), InMemoryMetricReader()
    source = provider(*readers)
    counter = ObservableCounter("test.o", "", "place", "")
    counter.bind(source.get_meter("test"), readers=2)
    counts = {"a": 7.0}
    counter.watch(lambda: [(count, {"place": place}) for place, count in counts.items()])
    assert [values(reader, "test.o") for reader in readers] == [{("a",): 0}, {("a",): 0}]
    assert [values(reader, "test.o") for reader in readers] == [{("a",): 7}, {("a",): 7}]
    counts["b"] = 3.0
    assert [values(reader, "test.o") for reader in readers] == [{("a",): 7, ("b",): 0}] * 2
    assert [values(reader, "test.o") for reader in readers] == [{("a",): 7, ("b",): 3}] * 2
    source.shutdown()


def test_what_is_not_known_any_more_goes_without_a_0(meter: Meter, reader: InMemoryMetricReader) -> None:
    gauge = Gauge("test.rate", "", "", "")
    gauge.bind(meter, strict=True)
    gauge.set(0.9)
    gauge.forget()
    gauge.forget()
    assert values(reader, "test.rate") == {}


def test_a_watched_value_may_be_absent_and_a_failing_watcher_is_alone(
    meter: Meter, reader: InMemoryMetricReader
) -> None:
    def fails() -> Any:
        yield 1, {"symbol": "early"}
        raise RuntimeError("broken")

    gauge = Gauge("test.g", "", "symbol", "")
    gauge.bind(meter)
    gauge.watch(fails)
    gauge.watch(
        lambda: [(None, {"symbol": "none"}), (float("nan"), {"symbol": "nan"}), (Decimal(2), {"symbol": Side.BUY})]
    )
    assert values(reader, "test.g") == {("early",): 1, ("buy",): 2}
    assert instruments.dropped == {"value": 1}
    assert Guard.failures == {"watch test.g": 1}


def test_an_enum_has_exactly_one_state(meter: Meter, reader: InMemoryMetricReader) -> None:
    state = EnumGauge("test.state", "", "pod_id", "", states=("warning", "retired"))
    state.bind(meter)
    assert state.all_labels == ("pod_id", "test_state")
    state.set_state("WARNING", pod_id="p")
    assert values(reader, "test.state") == {("p", "warning"): 1, ("p", "retired"): 0}
    state.set_state(Side.BUY, pod_id="p")
    assert instruments.dropped == {"state": 1}
    state.set_state("retired", pod_id="p")
    assert values(reader, "test.state") == {("p", "warning"): 0, ("p", "retired"): 1}
    state.remove(pod_id="p")
    assert values(reader, "test.state") == {("p", "warning"): 0, ("p", "retired"): 0}
    assert values(reader, "test.state") == {}


def test_no_collection_sees_half_a_change_of_state() -> None:
    reader = InMemoryMetricReader()
    source = provider(reader)
    state = EnumGauge("test.state", "", "", "", states=("a", "b", "c"))
    state.bind(source.get_meter("test"))
    state.set_state("a")
    over = threading.Event()

    def change() -> None:
        while not over.is_set():
            for each in "abc":
                state.set_state(each)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(300):
            assert sum(values(reader, "test.state").values()) == 1
    finally:
        over.set()
        thread.join()
        source.shutdown()


def test_info_is_one_series(meter: Meter, reader: InMemoryMetricReader) -> None:
    info = Info("test.info", "", "version", "")
    info.bind(meter, strict=True)
    info.set_info(version="1")
    info.set_info(version="1")
    assert values(reader, "test.info") == {("1",): 1}
    info.set_info(version="2")
    assert values(reader, "test.info") == {("1",): 0, ("2",): 1}
    assert values(reader, "test.info") == {("2",): 1}


# -- histograms, exemplars, suppression ----------------------------------------------------------------------------


def test_buckets_are_the_catalogs(meter: Meter, reader: InMemoryMetricReader) -> None:
    histogram = Histogram("test.h", "s", "", "", buckets=(1, 2, 5))
    histogram.bind(meter, strict=True)
    histogram.record(Decimal("1.5"))
    point = collect(reader)["test.h"][()]
    assert point.explicit_bounds == (1.0, 2.0, 5.0)
    assert all(type(bound) is float for bound in point.explicit_bounds)
    assert list(point.bucket_counts) == [0, 1, 0, 0]
    with pytest.raises(MeasurementError):
        histogram.record(-1)


def test_a_signed_histogram_takes_values_below_0(reader: InMemoryMetricReader) -> None:
    from otel_mcbot import catalog

    handle = catalog.slippage_signed
    source = provider(reader)
    handle.bind(source.get_meter("test"), strict=True, viewed=True)
    try:
        for value in (-7.0, 0.0, 12.0):
            handle.record(value, symbol="BTC", side="BUY")
        (point,) = collect(reader)[handle.name].values()
    finally:
        handle.unbind()
        source.shutdown()
    assert point.explicit_bounds == handle.buckets
    assert (point.count, point.sum, point.min, point.max) == (3, 5, -7, 12)
    assert point.bucket_counts[handle.buckets.index(-5.0)] == 1


def test_without_its_view_it_counts_what_it_cannot_take(reader: InMemoryMetricReader) -> None:
    instruments.dropped.clear()
    handle = Histogram("test.signed", "bps", "", "", buckets=(-1, 0, 1), signed=True)
    source = provider(reader, viewed=False)
    handle.bind(source.get_meter("test"), strict=True)
    handle.record(-1)
    handle.record(1)
    (point,) = collect(reader)["test.signed"].values()
    assert point.count == 1
    assert instruments.dropped == {"negative": 1}
    instruments.dropped.clear()
    source.shutdown()


def test_an_exemplar_carries_the_given_context(meter: Meter, reader: InMemoryMetricReader) -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    order, other = tracer.start_span("order", Context()), tracer.start_span("other", Context())
    histogram, counter = Histogram("test.h", "s", "", "", buckets=(1,)), orders()
    histogram.bind(meter)
    counter.bind(meter)
    from opentelemetry.trace import use_span

    with use_span(other):
        histogram.record(1, context=set_span_in_context(order, Context()))
        counter.add(1, symbol="BTC", side="buy")
    seen = collect(reader)
    (exemplar,) = seen["test.h"][()].exemplars
    assert exemplar.trace_id == order.get_span_context().trace_id
    assert exemplar.span_id == order.get_span_context().span_id
    (exemplar,) = next(iter(seen["test.orders"].values())).exemplars
    assert exemplar.trace_id == other.get_span_context().trace_id


def test_suppressed_instrumentation_measures_nothing(meter: Meter, reader: InMemoryMetricReader) -> None:
    counter, gauge = orders(), Gauge("test.g", "", "", "")
    counter.bind(meter)
    gauge.bind(meter)
    with suppress_instrumentation():
        counter.add(1, symbol="BTC", side="buy")
        gauge.set(1)  # a state is true whoever told it
    assert set(collect(reader)) == {"test.g"}


def test_a_broken_sdk_reaches_nobody(meter: Meter) -> None:
    class Broken:
        def create_counter(self, *_: object) -> Broken:
            return self

        def add(self, *_: object) -> None:
            raise RuntimeError("broken")

    counter = orders()
    counter.bind(Broken())  # type: ignore[arg-type]
    counter.add(1, symbol="BTC", side="buy")
    assert instruments.dropped == {"error": 1}
    counter.bind(Broken(), strict=True)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="broken"):
        counter.add(1, symbol="BTC", side="buy")


def test_a_gauge_set_by_the_garbage_collector_does_not_deadlock() -> None:
    reader = InMemoryMetricReader()
    source = provider(reader)
    gauge = Gauge("test.g", "", "n", "")
    gauge.bind(source.get_meter("test"))

    def on_gc(phase: str, info: dict[str, int]) -> None:
        gauge.set(1, n="gc")

    def work() -> None:
        for n in range(200):
            gauge.set(n, n=str(n))
            gauge.remove(n=str(n))
            if n % 20 == 0:
                collect(reader)

    thresholds = gc.get_threshold()
    gc.callbacks.append(on_gc)
    gc.set_threshold(1)
    try:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(60)
        assert not thread.is_alive()
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(on_gc)
        source.shutdown()


def test_a_handle_says_what_it_is() -> None:
    handle: Handle = orders()
    assert repr(handle) == "<counter test_orders_total{symbol, side}>"
