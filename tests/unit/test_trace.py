"""Cycles and stages: what a trace looks like, whatever way the bot works."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator

import pytest
from opentelemetry.trace import get_current_span
from tracing import Bench, namespace

import otel_mcbot.hub as hubs
from otel_mcbot import facts, semconv
from otel_mcbot.trace import (
    Trace,
    exchange_call,
    generate_signal,
    pre_trade_check,
    process_signal,
    resume,
    scope_here,
    submit_order,
    trade_cycle,
    update,
)

SYMBOL = "BTC/USDT"


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    before = hubs.install(made.hub)
    yield made
    hubs.install(before)


def closed(order_id: str = "77", *, filled: float = 0.01, status: str = "closed", **more: object) -> dict[str, object]:
    return {
        "id": order_id,
        "symbol": SYMBOL,
        "status": status,
        "amount": 0.01,
        "filled": filled,
        "average": 100.0,
        "fee": {"cost": 0.001, "currency": "USDT"},
        **more,
    }


# -- one call chain ------------------------------------------------------------------------------------------------


def test_a_call_chain_is_one_trace(bench: Bench) -> None:
    with trade_cycle(strategy="ctrend", symbol=SYMBOL) as cycle:
        with cycle.generate_signal() as stage:
            stage.signal("buy", strength=0.7)
        with cycle.pre_trade_check() as check:
            assert check.approved()
        with cycle.order(side="buy", quantity=0.01, expected_price=99.0) as order:
            with cycle.exchange_call("create_order", address="api.example.com") as call:
                call.response(status_code=200)
            order.update(closed())
    assert bench.tree() == [
        "trade_cycle [filled]",
        "  strategy.generate_signal [long]",
        "  rm.pre_trade_check [approved]",
        "  oms.submit_order [filled]",
        "    exchange.create_order",
        "  oms.await_fill [filled]",
    ]
    bench.check()
    fill = bench.span("oms.await_fill").attributes or {}
    assert fill[semconv.FILL_QUANTITY] == 0.01
    assert fill[semconv.FILL_AVERAGE_PRICE] == 100.0
    assert fill[semconv.FILL_FEE] == 0.001
    assert fill[semconv.SLIPPAGE_BPS] == pytest.approx(1e4 / 99)
    submit = bench.span("oms.submit_order").attributes or {}
    assert submit[semconv.ORDER_CLIENT_ID].startswith("ctrend-btcusdt-")  # type: ignore[union-attr]
    assert submit[semconv.ORDER_ID] == "77"
    assert submit[semconv.ORDER_SIDE] == "buy"
    assert submit[semconv.ORDER_TYPE] == "market"
    for span in bench.spans:
        assert (span.attributes or {})[semconv.STRATEGY] == "ctrend"
        assert (span.attributes or {})[semconv.SYMBOL] == SYMBOL
    assert order.id == "77"


def test_denied_returns_false_and_is_no_error(bench: Bench) -> None:
    with trade_cycle(strategy="ctrend", symbol=SYMBOL) as cycle:
        with cycle.generate_signal() as stage:
            stage.signal(-1)
        with cycle.pre_trade_check() as check:
            ok = check.denied("leverage exceeded")
    assert ok is False
    assert bench.tree() == [
        "trade_cycle [denied]",
        "  strategy.generate_signal [short]",
        "  rm.pre_trade_check [denied leverage_exceeded]",
    ]
    bench.check()
    assert bench.seen.count(facts.CheckDenied) == 1


def test_a_cycle_without_an_order_ends_with_its_block(bench: Bench) -> None:
    with trade_cycle(strategy="ctrend", symbol=SYMBOL) as cycle, cycle.generate_signal() as stage:
        stage.signal("long")
    assert bench.tree() == ["trade_cycle [no_order]", "  strategy.generate_signal [long]"]
    bench.check()


def test_stages_nest_as_the_calls_do(bench: Bench) -> None:
    with trade_cycle(strategy="s", symbol=SYMBOL), process_signal() as pm:
        pm.target(weight=0.25, notional=640.1)
        with pre_trade_check(), submit_order(side="sell", quantity=1) as order:
            with exchange_call("create_order", address="x"):
                pass
            order.acknowledged("v1")
            order.filled(1, 10.0, fee=0.01)
    assert bench.tree() == [
        "trade_cycle [filled]",
        "  pm.process_signal",
        "    rm.pre_trade_check [approved]",
        "      oms.submit_order [filled]",
        "        exchange.create_order",
        "  oms.await_fill [filled]",
    ]
    bench.check()


def test_a_slow_venue_ends_the_span_after_the_block(bench: Bench) -> None:
    with trade_cycle(strategy="s", symbol=SYMBOL) as cycle:
        with cycle.order(side="buy", quantity=1, client_order_id="s-btcusdt-1"):
            pass
    assert bench.tree() == []
    update({"clientOrderId": "s-btcusdt-1", "id": "v1", "symbol": SYMBOL, "status": "open", "filled": 0, "amount": 1})
    assert [span.name for span in bench.spans] == ["oms.submit_order"]
    update(
        {"clientOrderId": "s-btcusdt-1", "id": "v1", "symbol": SYMBOL, "status": "closed", "filled": 1, "average": 5.0}
    )
    assert bench.tree() == ["trade_cycle [filled]", "  oms.submit_order [new]", "  oms.await_fill [filled]"]
    bench.check()


def test_several_orders_in_one_cycle(bench: Bench) -> None:
    with trade_cycle(strategy="s", symbol=SYMBOL) as cycle:
        for number in (1, 2, 3):
            with cycle.order(side="buy", quantity=1, client_order_id=f"s-btcusdt-{number}") as order:
                order.acknowledged(f"v{number}")
    with resume(None):
        update({"clientOrderId": "s-btcusdt-1", "symbol": SYMBOL, "status": "closed", "filled": 1, "average": 5.0})
        update({"clientOrderId": "s-btcusdt-3", "symbol": SYMBOL, "status": "canceled", "filled": 0})
        assert bench.lifecycle.cycles, "one order still works"
        update({"clientOrderId": "s-btcusdt-2", "symbol": SYMBOL, "status": "closed", "filled": 1, "average": 5.0})
    assert bench.tree()[0] == "trade_cycle [partially_filled]"
    assert (bench.span("trade_cycle").attributes or {})[semconv.ORDER_COUNT] == 3
    bench.check()


# -- what goes wrong -----------------------------------------------------------------------------------------------


class InsufficientFunds(Exception):
    pass


class RequestTimeout(Exception):
    pass


def test_a_refusal_is_a_rejection_and_passes_unmodified(bench: Bench) -> None:
    error = InsufficientFunds("margin is insufficient")
    with (
        pytest.raises(InsufficientFunds) as raised,
        trade_cycle(strategy="s", symbol=SYMBOL) as cycle,
        cycle.order(side="buy", quantity=1),
        cycle.exchange_call("create_order", address="x"),
    ):
        raise error
    assert raised.value is error
    assert bench.tree() == [
        "trade_cycle [rejected ERROR:InsufficientFunds]",
        "  oms.submit_order [rejected ERROR:InsufficientFunds]",
        "    exchange.create_order [ERROR:InsufficientFunds]",
    ]
    assert [event.name for span in bench.spans for event in span.events] == ["exception"], "told once, innermost"
    bench.check()


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_an_exception_that_cannot_speak_leaves_no_span_open(bench: Bench) -> None:
    with pytest.raises(Speechless), trade_cycle(strategy="s", symbol=SYMBOL) as cycle:
        with cycle.generate_signal(), cycle.order(side="buy", quantity=1):
            raise Speechless
    assert bench.tree()[0] == "trade_cycle [abandoned ERROR:Speechless]"
    bench.check()


def test_after_a_timeout_the_order_is_lost_until_somebody_asks(bench: Bench) -> None:
    with (
        pytest.raises(RequestTimeout),
        trade_cycle(strategy="s", symbol=SYMBOL) as cycle,
        cycle.order(side="buy", quantity=1, client_order_id="s-btcusdt-9"),
    ):
        raise RequestTimeout("30 s")
    assert bench.tree() == [
        "trade_cycle [abandoned ERROR:RequestTimeout]",
        "  oms.submit_order [pending_new ERROR:RequestTimeout]",
    ]
    update({"clientOrderId": "s-btcusdt-9", "id": "v", "symbol": SYMBOL, "status": "closed", "filled": 1, "average": 5})
    assert bench.tree()[-2:] == ["trade_cycle.continued [filled]", "  oms.await_fill [filled]"]
    (link,) = bench.span("trade_cycle.continued").links
    assert link.context.trace_id == bench.span("trade_cycle").context.trace_id
    assert (link.attributes or {})[semconv.LINK_RELATION] == "continues"
    bench.check()


async def test_a_cancelled_task_is_interrupted(bench: Bench) -> None:
    began = asyncio.Event()

    async def trade() -> None:
        with trade_cycle(strategy="s", symbol=SYMBOL) as cycle, cycle.generate_signal():
            began.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(trade())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bench.tree() == [
        "trade_cycle [interrupted ERROR:interrupted]",
        "  strategy.generate_signal [neutral ERROR:interrupted]",
    ]
    bench.check()


def test_what_the_bot_catches_itself_is_no_failed_cycle(bench: Bench) -> None:
    with trade_cycle(strategy="s", symbol=SYMBOL) as cycle:
        try:
            with cycle.order(side="buy", quantity=1):
                raise InsufficientFunds
        except InsufficientFunds:
            pass
        with cycle.order(side="buy", quantity=0.5) as smaller:
            smaller.filled(0.5, 10.0)
    assert bench.tree()[0] == "trade_cycle [partially_filled]"
    bench.check()


def test_a_broken_telemetry_leaves_the_bot_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(bench.lifecycle, "start", broken)
    with trade_cycle(strategy="s", symbol=SYMBOL) as cycle:
        with cycle.pre_trade_check() as check:
            assert check.approved()
        with cycle.order(side="buy", quantity=1) as order:
            order.update(closed())


def test_without_configuration_stages_are_empty_shells() -> None:
    assert hubs.current() is None
    with trade_cycle(strategy="s", symbol=SYMBOL) as cycle:
        with cycle.generate_signal() as stage:
            stage.signal("long")
        with cycle.order(side="buy", quantity=1) as order:
            order.update(closed())
            order.rejected("x")
        assert cycle.pre_trade_check().denied("x") is False
    update(closed())
    assert Trace.here() is None


# -- hold, working, continued --------------------------------------------------------------------------------------


def test_a_resting_order_is_working_after_hold_and_goes_on_later(bench: Bench) -> None:
    with trade_cycle(strategy="s", symbol=SYMBOL) as cycle:
        with cycle.order(side="buy", quantity=1, order_type="limit", price=9.0, client_order_id="s-btcusdt-1") as order:
            order.acknowledged("v1")
    bench.advance(30)
    assert bench.lifecycle.cycles
    bench.advance(31)
    assert bench.tree() == ["trade_cycle [working]", "  oms.submit_order [new]", "  oms.await_fill [new]"]
    assert bench.ledger.get("s-btcusdt-1") is not None
    bench.advance(3600)
    bench.hub.tell(facts.OrderFilled(client_id="s-btcusdt-1", fill_id="a", quantity=0.4, price=9.0, at=bench.clock()))
    bench.advance(61)
    bench.hub.tell(facts.OrderFilled(client_id="s-btcusdt-1", fill_id="b", quantity=0.6, price=9.0, at=bench.clock()))
    assert bench.tree()[3:] == [
        "trade_cycle.continued [working]",
        "  oms.await_fill [partially_filled]",
        "trade_cycle.continued [filled]",
        "  oms.await_fill [filled]",
    ]
    links = [span.links[0].context.trace_id for span in bench.spans if span.name == "trade_cycle.continued"]
    first, second = (span for span in bench.spans if span.name == "trade_cycle.continued")
    assert links == [bench.span("trade_cycle").context.trace_id, first.context.trace_id]
    assert second.links
    bench.check()


def test_an_order_never_answered_is_abandoned(bench: Bench) -> None:
    with trade_cycle(strategy="s", symbol=SYMBOL) as cycle, cycle.order(side="buy", quantity=1):
        pass
    bench.advance(61)
    assert bench.tree() == [
        "trade_cycle [abandoned ERROR:timeout]",
        "  oms.submit_order [pending_new ERROR:timeout]",
    ]
    assert bench.seen.count(facts.OrderLost) == 1
    bench.check()


def test_replaced_order_stays_in_its_cycle(bench: Bench) -> None:
    with trade_cycle(strategy="s", symbol=SYMBOL) as cycle:
        with cycle.order(side="buy", quantity=1, order_type="limit", price=9.0, client_order_id="s-btcusdt-1") as order:
            order.acknowledged("v1")
    bench.hub.tell(facts.OrderReplaced(client_id="s-btcusdt-1", new_client_id="s-btcusdt-2", price=9.5))
    bench.hub.tell(facts.OrderAcknowledged(client_id="s-btcusdt-2", venue_id="v2"))
    bench.hub.tell(facts.OrderFilled(client_id="s-btcusdt-2", quantity=1, price=9.5, fill_id="f"))
    assert bench.tree()[0] == "trade_cycle [filled]"
    second = [span for span in bench.spans if span.name == "oms.submit_order"][1]
    assert (second.links[0].attributes or {})[semconv.LINK_RELATION] == "replaces"
    bench.check()


def test_a_restart_goes_on_in_a_linked_trace(bench: Bench) -> None:
    with trade_cycle(strategy="s", symbol=SYMBOL) as cycle:
        with cycle.order(side="buy", quantity=1, client_order_id="s-btcusdt-1") as order:
            order.acknowledged("v1")
    rows = bench.ledger.take_dirty()
    bench.lifecycle.close()
    first = bench.span("trade_cycle")
    again = Bench()
    again.ledger.restore(rows)
    again.hub.tell(facts.OrderFilled(venue_id="v1", quantity=1, price=2.0, fill_id="x"))
    assert again.tree() == ["trade_cycle.continued [filled]", "  oms.await_fill [filled]"]
    assert again.span("trade_cycle.continued").links[0].context.trace_id == first.context.trace_id
    again.check()


def test_closing_ends_everything(bench: Bench) -> None:
    block = trade_cycle(strategy="s", symbol=SYMBOL)
    cycle = block.__enter__()
    stage = cycle.generate_signal()
    stage.__enter__()
    with resume(None), trade_cycle(strategy="t", symbol=SYMBOL) as other:
        with other.order(side="buy", quantity=1) as order:
            order.acknowledged("v1")
    bench.lifecycle.close()
    assert sorted(line for line in bench.tree() if not line.startswith(" ")) == [
        "trade_cycle [interrupted ERROR:interrupted]",
        "trade_cycle [working]",
    ]
    bench.check()
    stage.__exit__(None, None, None)
    block.__exit__(None, None, None)


# -- decorators ----------------------------------------------------------------------------------------------------


async def test_decorators_find_strategy_and_symbol(bench: Bench) -> None:
    class Bot:
        @generate_signal(strategy="ctrend")
        async def on_bar(self, bar: object) -> object:
            await asyncio.sleep(0)
            return namespace(direction="LONG", strength=0.4)

        @submit_order(strategy="ctrend", quantity=1, side="buy")
        def send(self, symbol: str) -> dict[str, object]:
            return closed(amount=1, filled=1)

    bot = Bot()
    assert (await bot.on_bar(namespace(symbol=SYMBOL))).direction == "LONG"  # type: ignore[attr-defined]
    bot.send(symbol=SYMBOL)
    assert bench.tree() == [
        "trade_cycle [filled]",
        "  strategy.generate_signal [long]",
        "  oms.submit_order [filled]",
        "  oms.await_fill [filled]",
    ]
    bench.check()


def test_an_undecided_bar_ends_at_once(bench: Bench) -> None:
    @generate_signal(strategy="ctrend")
    def on_bar(bar: object) -> None: ...

    on_bar(namespace(symbol=SYMBOL))
    assert bench.tree() == ["trade_cycle [no_order]", "  strategy.generate_signal [neutral]"]
    bench.check()


def test_the_next_decision_ends_the_one_that_waits(bench: Bench) -> None:
    @generate_signal(strategy="ctrend")
    def on_bar(bar: object) -> str:
        return "long"

    for _ in range(3):
        on_bar(namespace(symbol=SYMBOL))
    assert len(bench.lifecycle.cycles) == 1
    bench.advance(61)
    assert [line for line in bench.tree() if not line.startswith(" ")] == ["trade_cycle [no_order]"] * 3
    ends = bench.spans[-1]
    assert (ends.end_time or 0) - (ends.start_time or 0) < 5e9, "it ended when it last did something, not at hold"
    bench.check()


def test_generators_are_refused_at_decoration() -> None:
    def values() -> Iterator[int]:
        yield 1

    async def avalues():  # type: ignore[no-untyped-def]
        yield 1

    for function in (values, avalues):
        with pytest.raises(TypeError, match="generator"):
            generate_signal(strategy="s")(function)


def test_a_decorated_check_that_returns_false_has_denied(bench: Bench) -> None:
    @pre_trade_check(strategy="s", symbol=SYMBOL)
    def allowed() -> bool:
        return False

    with trade_cycle(strategy="s", symbol=SYMBOL):
        assert allowed() is False
    assert bench.tree() == ["trade_cycle [denied]", "  rm.pre_trade_check [denied other]"]


# -- facts over a queue --------------------------------------------------------------------------------------------


def test_facts_alone_draw_the_whole_trace(bench: Bench) -> None:
    tell = bench.hub.tell
    tell(facts.BarReceived(symbol=SYMBOL, timeframe="1m", close=100))
    tell(facts.SignalGenerated(strategy="s", symbol=SYMBOL, direction="LONG", strength=0.5, correlation_id="c1"))
    order = {"client_id": "s-btcusdt-1", "symbol": SYMBOL, "side": "BUY", "notional": 100.0, "strategy": "s"}
    tell(facts.OrderRequested(**order, validated=False, correlation_id="c1"))
    tell(facts.OrderRequested(**order, validated=True, correlation_id="c1"))
    tell(facts.OrderAcknowledged(client_id="s-btcusdt-1"))
    tell(facts.OrderFilled(client_id="s-btcusdt-1", quantity=0.4, price=100.0, fill_id="1"))
    tell(facts.OrderFilled(client_id="s-btcusdt-1", quantity=0.6, price=100.0, fill_id="2"))
    assert bench.tree() == [
        "trade_cycle [filled]",
        "  strategy.generate_signal [long]",
        "  pm.process_signal",
        "    rm.pre_trade_check [approved]",
        "      oms.submit_order [new]",
        "  oms.await_fill [filled]",
    ]
    bench.check()
    for span in bench.spans:
        assert (span.attributes or {})[semconv.CORRELATION_ID] == "c1"
    root = bench.span("trade_cycle").attributes or {}
    assert root[semconv.TIMEFRAME] == "1m"
    assert root[semconv.BAR_AGE] >= 0  # type: ignore[operator]


def test_a_denial_on_the_bus(bench: Bench) -> None:
    bench.hub.tell(facts.SignalGenerated(strategy="s", symbol=SYMBOL, direction="SHORT"))
    bench.hub.tell(
        facts.OrderRequested(client_id="s-btcusdt-1", symbol=SYMBOL, side="SELL", notional=9, validated=False)
    )
    bench.hub.tell(facts.OrderRejected(client_id="s-btcusdt-1", reason="max_positions"))
    assert bench.tree() == [
        "trade_cycle [denied]",
        "  strategy.generate_signal [short]",
        "  pm.process_signal",
        "    rm.pre_trade_check [denied max_positions]",
    ]
    bench.check()


def test_neutral_signals_make_no_trace(bench: Bench) -> None:
    bench.hub.tell(facts.SignalGenerated(strategy="s", symbol=SYMBOL, direction="NEUTRAL"))
    assert not bench.lifecycle.cycles
    assert bench.seen.count(facts.SignalGenerated) == 1


def test_a_neutral_signal_is_drawn_when_an_order_comes_of_it(bench: Bench) -> None:
    bench.hub.tell(facts.SignalGenerated(strategy="s", symbol=SYMBOL, direction="NEUTRAL"))
    bench.hub.tell(facts.OrderRequested(client_id="s-btcusdt-1", symbol=SYMBOL, side="SELL", quantity=1, strategy="s"))
    bench.hub.tell(facts.OrderFilled(client_id="s-btcusdt-1", quantity=1, price=10.0, fill_id="1"))
    assert bench.tree() == [
        "trade_cycle [filled]",
        "  strategy.generate_signal [neutral]",
        "  oms.submit_order [filled]",
        "  oms.await_fill [filled]",
    ]
    bench.check()


def test_a_neutral_signal_on_its_way_to_a_handler_waits_for_its_order(bench: Bench) -> None:
    with generate_signal(strategy="s", symbol=SYMBOL) as stage:
        stage.signal("flat")
        carried = Trace.here()
    with resume(carried), submit_order(side="sell", quantity=1) as order:
        order.filled(1, 10.0)
    assert bench.tree()[0] == "trade_cycle [filled]"
    assert bench.tree()[1] == "  strategy.generate_signal [neutral]"
    bench.check()


def test_an_order_whose_signal_waited_longer_than_hold_is_whole_in_a_continuation(bench: Bench) -> None:
    with generate_signal(strategy="s", symbol=SYMBOL) as stage:
        stage.signal("long")
        carried = Trace.here()
    bench.advance(61)
    with resume(carried), process_signal(strategy="s", symbol=SYMBOL):
        carried = Trace.here()
    with resume(carried), pre_trade_check(), submit_order(side="buy", quantity=1) as order:
        order.filled(1, 10.0)
    tree = bench.tree()
    assert tree[:3] == ["trade_cycle [no_order]", "  strategy.generate_signal [long]", "trade_cycle.continued [filled]"]
    assert sorted(tree[3:]) == [
        "      oms.submit_order [filled]",
        "    rm.pre_trade_check [approved]",
        "  oms.await_fill [filled]",
        "  pm.process_signal",
    ]
    bench.check()


def test_a_failed_call_that_the_bot_catches_fails_no_cycle(bench: Bench) -> None:
    with trade_cycle(strategy="s", symbol=SYMBOL) as cycle:
        with cycle.order(side="buy", quantity=1, order_type="limit", price=9.0) as order:
            order.acknowledged("v1")
            carried = Trace.here()
    with resume(carried):
        try:  # a cancel that lost its race against the fill
            with exchange_call("cancel_order", address="x"):
                raise LookupError
        except LookupError:
            pass
    order.filled(1, 9.0)
    assert bench.tree() == [
        "trade_cycle [filled]",
        "  oms.submit_order [new]",
        "    exchange.cancel_order [ERROR:LookupError]",
        "  oms.await_fill [filled]",
    ]
    bench.check()


def test_a_cancel_after_hold_continues_the_order_and_a_look_does_not(bench: Bench) -> None:
    with trade_cycle(strategy="s", symbol=SYMBOL) as cycle:
        with cycle.order(side="buy", quantity=1, order_type="limit", price=9.0, client_order_id="s-btcusdt-1") as order:
            order.acknowledged("v1")
            carried = Trace.here()
    bench.advance(61)
    before = len(bench.spans)
    with exchange_call("fetch_order", address="x", client_order_id="s-btcusdt-1"):
        pass
    assert not bench.lifecycle.cycles
    for place in (carried, None):
        with resume(place), exchange_call("cancel_order", address="x", client_order_id="s-btcusdt-1"):
            pass
    bench.hub.tell(facts.OrderCanceled(client_id="s-btcusdt-1"))
    continued = bench.span("trade_cycle.continued")
    assert (continued.attributes or {})[semconv.OUTCOME] == "canceled"
    assert continued.links[0].context.trace_id == bench.span("trade_cycle").context.trace_id
    late = [span for span in bench.spans[before:] if span is not continued]
    assert [span.name for span in late] == ["exchange.cancel_order", "exchange.cancel_order", "oms.await_fill"]
    assert {span.parent.span_id for span in late if span.parent} == {continued.context.span_id}
    bench.check()


def test_a_signal_told_by_stage_and_bus_counts_once(bench: Bench) -> None:
    for direction in ("LONG", "NEUTRAL"):
        with generate_signal(strategy="s", symbol=SYMBOL) as stage:
            stage.signal(direction)
            carried = Trace.here()
        with resume(carried):
            bench.hub.tell(facts.SignalGenerated(strategy="s", symbol=SYMBOL, direction=direction))
    assert bench.seen.count(facts.SignalGenerated) == 2
    for _ in range(2):  # without a stage, each is a decision of its own
        bench.hub.tell(facts.SignalGenerated(strategy="x", symbol=SYMBOL, direction="LONG"))
    assert bench.seen.count(facts.SignalGenerated) == 4


def test_a_stage_in_the_handler_adopts_the_order_of_the_bus(bench: Bench) -> None:
    bench.hub.tell(facts.SignalGenerated(strategy="s", symbol=SYMBOL, direction="LONG"))
    bench.hub.tell(facts.OrderRequested(client_id="s-btcusdt-1", symbol=SYMBOL, side="BUY", quantity=1, strategy="s"))
    with resume(None), submit_order(client_order_id="s-btcusdt-1", symbol=SYMBOL, side="buy", quantity=1) as order:
        with exchange_call("create_order", address="x"):
            pass
        order.filled(1, 10.0, fill_id="1")
    assert bench.tree() == [
        "trade_cycle [filled]",
        "  strategy.generate_signal [long]",
        "  oms.submit_order [filled]",
        "    exchange.create_order",
        "  oms.await_fill [filled]",
    ]
    bench.check()


async def test_a_queue_carries_the_place(bench: Bench) -> None:
    queue: asyncio.Queue[tuple[Trace | None, str]] = asyncio.Queue()
    seen: list[object] = []

    async def consumer() -> None:  # made before the cycle: its own context knows nothing of it
        while True:
            trace, item = await queue.get()
            with resume(trace, queue_wait=0.004):
                if item == "signal":
                    with process_signal():
                        queue.put_nowait((Trace.here(), "request"))
                elif item == "request":
                    with pre_trade_check():
                        queue.put_nowait((Trace.here(), "order"))
                elif item == "order":
                    with submit_order(side="buy", quantity=1) as order:
                        order.filled(1, 10.0)
                else:
                    seen.append(scope_here())
            queue.task_done()

    task = asyncio.create_task(consumer())
    await asyncio.sleep(0)
    with generate_signal(strategy="s", symbol=SYMBOL) as stage:
        stage.signal("long")
        queue.put_nowait((Trace.here(), "signal"))
    with trade_cycle(strategy="other", symbol=SYMBOL):
        queue.put_nowait((None, "nothing"))
    await queue.join()
    task.cancel()
    tree = bench.tree()
    tree.remove("trade_cycle [no_order]")
    assert tree == [
        "trade_cycle [filled]",
        "  strategy.generate_signal [long]",
        "  pm.process_signal",
        "    rm.pre_trade_check [approved]",
        "      oms.submit_order [filled]",
        "  oms.await_fill [filled]",
    ]
    assert (bench.span("pm.process_signal").attributes or {})[semconv.QUEUE_WAIT] == 0.004
    assert seen == [None], "no trace is a clean root"
    bench.check()


def test_a_trace_survives_pickle_and_text(bench: Bench) -> None:
    with trade_cycle(strategy="s", symbol=SYMBOL):
        trace = Trace.here()
    assert trace is not None
    for other in (pickle.loads(pickle.dumps(trace)), Trace.from_traceparent(trace.traceparent())):
        assert other.traceparent() == trace.traceparent()
        assert other.scope is None
    for bad in (None, "", "00-0-0-0", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "x" * 55):
        assert Trace.from_traceparent(bad) is None


def test_a_stage_after_the_end_goes_to_a_continuation(bench: Bench) -> None:
    with trade_cycle(strategy="s", symbol=SYMBOL) as cycle:
        carried = Trace.here()
        with cycle.order(side="buy", quantity=1) as order:
            order.filled(1, 10.0)
    with resume(carried), process_signal():
        pass
    assert bench.tree()[-2:] == ["trade_cycle.continued [no_order]", "  pm.process_signal"]
    bench.check()


def test_spans_of_others_keep_their_place(bench: Bench) -> None:
    tracer = bench.provider.get_tracer("theirs")
    with tracer.start_as_current_span("request"), trade_cycle(strategy="s", symbol=SYMBOL):
        with tracer.start_as_current_span("feature store"), generate_signal() as stage:
            stage.signal("neutral")
            assert get_current_span().get_span_context().is_valid
    assert sorted(bench.tree()) == sorted(
        ["request", "trade_cycle [no_order]", "  feature store", "    strategy.generate_signal [neutral]"]
    )
    assert bench.span("trade_cycle").links[0].context.span_id == bench.span("request").context.span_id


def test_context_is_the_callers_again_after_every_block(bench: Bench) -> None:
    with trade_cycle(strategy="s", symbol=SYMBOL) as cycle:
        inside = get_current_span()
        with cycle.generate_signal(), cycle.exchange_call("fetch_ticker", address="x"):
            pass
        assert get_current_span() is inside
    assert not get_current_span().get_span_context().is_valid
    assert scope_here() is None


def test_polls_outside_a_cycle_are_measured_without_a_span(bench: Bench) -> None:
    with exchange_call("fetch_balance", address="x"):
        pass
    assert bench.tree() == []
    assert bench.seen.count(facts.ApiCalled) == 1
