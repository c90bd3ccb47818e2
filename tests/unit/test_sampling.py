"""Which traces leave: decided when it is known what became of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from tracing import Bench

import otel_mcbot.hub as hubs
from otel_mcbot.trace import trade_cycle
from otel_mcbot.trace.sampling import KeepProcessor

SYMBOL = "BTC/USDT"


def made(ratio: float, admit: Callable[[], bool] | None = None) -> tuple[Bench, KeepProcessor]:
    kept: list[KeepProcessor] = []

    def processor(exporter: object) -> KeepProcessor:
        kept.append(KeepProcessor(SimpleSpanProcessor(exporter), ratio=ratio, slow=10.0, admit=admit))  # type: ignore[arg-type]
        return kept[0]

    bench = Bench(processor=processor)
    return bench, kept[0]


@pytest.fixture
def nothing() -> Iterator[tuple[Bench, KeepProcessor]]:
    """A bench that keeps only what is worth keeping."""
    bench, keep = made(0.0)
    before = hubs.install(bench.hub)
    yield bench, keep
    hubs.install(before)


def decide(direction: str) -> None:
    with trade_cycle(strategy="s", symbol=SYMBOL) as cycle, cycle.generate_signal() as stage:
        stage.signal(direction)


def test_what_is_unremarkable_is_dropped_and_counted(nothing: tuple[Bench, KeepProcessor]) -> None:
    bench, keep = nothing
    for _ in range(5):
        decide("neutral")
    assert bench.spans == ()
    assert keep.unsampled == 5


def test_a_signal_keeps_the_whole_cycle(nothing: tuple[Bench, KeepProcessor]) -> None:
    bench, keep = nothing
    decide("long")
    assert {span.name for span in bench.spans} == {"trade_cycle", "strategy.generate_signal"}
    assert keep.unsampled == 0


def test_an_error_keeps_also_what_ended_before_it(nothing: tuple[Bench, KeepProcessor]) -> None:
    bench, _ = nothing
    with pytest.raises(ValueError, match="late"), trade_cycle(strategy="s", symbol=SYMBOL) as cycle:
        with cycle.generate_signal():
            pass
        with cycle.process_signal():
            raise ValueError("late")
    assert {span.name for span in bench.spans} == {"trade_cycle", "strategy.generate_signal", "pm.process_signal"}


def test_an_order_is_out_before_its_cycle_ends(nothing: tuple[Bench, KeepProcessor]) -> None:
    bench, _ = nothing
    with trade_cycle(strategy="s", symbol=SYMBOL) as cycle, cycle.order(side="buy", quantity=1) as order:
        order.acknowledged("v")
    assert "oms.submit_order" in {span.name for span in bench.spans}
    assert "trade_cycle" not in {span.name for span in bench.spans}
    bench.lifecycle.close()
    assert "trade_cycle" in {span.name for span in bench.spans}


def test_a_denial_and_a_slow_cycle_are_kept(nothing: tuple[Bench, KeepProcessor]) -> None:
    bench, _ = nothing
    with trade_cycle(strategy="s", symbol=SYMBOL) as cycle, cycle.pre_trade_check() as check:
        check.denied("max_positions")
    assert len(bench.spans) == 2
    with trade_cycle(strategy="s", symbol=SYMBOL):
        bench.clock.offset += 11
    assert len(bench.spans) == 3


def test_the_ratio_keeps_its_share_whole() -> None:
    bench, keep = made(0.5)
    before = hubs.install(bench.hub)
    try:
        for _ in range(400):
            decide("neutral")
    finally:
        hubs.install(before)
    roots = [span for span in bench.spans if span.parent is None]
    assert 130 < len(roots) < 270
    assert len(bench.spans) == 2 * len(roots)
    assert keep.unsampled == 400 - len(roots)


def test_spans_of_others_follow_the_ratio_by_trace() -> None:
    bench, _ = made(0.5)
    tracer = bench.provider.get_tracer("theirs")
    for _ in range(200):
        with tracer.start_as_current_span("outer"), tracer.start_as_current_span("inner"):
            pass
    names = [span.name for span in bench.spans]
    assert names.count("outer") == names.count("inner")
    assert 50 < names.count("outer") < 150


def test_a_full_queue_takes_nothing_more() -> None:
    room = iter([True, False])
    bench, _ = made(1.0, admit=lambda: next(room))
    tracer = bench.provider.get_tracer("theirs")
    for _ in range(2):
        tracer.start_span("x").end()
    assert len(bench.spans) == 1


def test_what_waits_is_let_through_at_the_end(nothing: tuple[Bench, KeepProcessor]) -> None:
    bench, keep = nothing
    with trade_cycle(strategy="s", symbol=SYMBOL) as cycle:
        with cycle.generate_signal():
            pass
        assert bench.spans == ()
        keep.release()
        assert len(bench.spans) == 1
