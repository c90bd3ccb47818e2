"""Layers 1, 1b and 5: what is counted of an order, when, and for whom."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from metering import Bot, Metered, metered
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import set_span_in_context

from otel_mcbot import catalog, facts
from otel_mcbot.record.strategy import Performance

BTC = {"symbol": "BTC/USDT"}
BUY = {**BTC, "side": "BUY"}
MARKET = {**BUY, "order_type": "MARKET"}


@pytest.fixture
def meters() -> Iterator[Metered]:
    with metered() as found:
        yield found


@pytest.fixture
def bot(meters: Metered) -> Bot:
    return Bot(meters)


# -- counting ------------------------------------------------------------------------------------------------------


def test_an_order_counts_once_a_status_and_each_part_is_a_fill(bot: Bot) -> None:
    bot.order(validated=False)
    assert [bot.value(catalog.orders, **MARKET, status=status) for status in ("ack", "filled", "rejected")] == [0, 0, 0]
    bot.order(validated=True)
    bot.tell(facts.OrderAcknowledged(client_id="ctrend-BTCUSDT-1", symbol="BTC/USDT"))
    bot.fill(quantity=0.4, fill_id="1", fee=0.04)
    bot.fill(quantity=0.4, fill_id="1", fee=0.04)  # told on two topics
    assert bot.value(catalog.orders, **MARKET, status="filled") == 0
    bot.fill(quantity=0.6, fill_id="2", fee=0.06)
    bot.meters.collect()
    value = bot.meters.value
    assert [value(catalog.orders, **MARKET, status=status) for status in ("ack", "filled", "rejected")] == [1, 1, 0]
    assert value(catalog.fills, **BUY) == 2
    assert value(catalog.fees, **BTC) == pytest.approx(0.10)
    assert value(catalog.live_partial_fill, **BTC) == 1
    assert value(catalog.order_latency, **BTC) == 1
    assert value(catalog.strategy_fills, strategy="ctrend", side="BUY") == 2
    assert value(catalog.strategy_fees, strategy="ctrend") == pytest.approx(0.10)


def test_the_counters_are_the_ledgers_totals(bot: Bot) -> None:
    for n in range(5):
        bot.order(f"a-BTCUSDT-{n}")
        bot.fill(f"a-BTCUSDT-{n}", quantity=0.5, fill_id=f"{n}a", fee=0.1)
        bot.fill(f"a-BTCUSDT-{n}", quantity=0.5 if n else 0.1, fill_id=f"{n}b", fee=0.1)
    bot.meters.collect()
    assert bot.meters.value(catalog.fills, **BUY) == bot.ledger.totals.fills
    assert bot.meters.value(catalog.fees, **BTC) == pytest.approx(bot.ledger.totals.fees)
    assert bot.meters.value(catalog.orders, **MARKET, status="filled") == bot.ledger.totals.by_status["filled"] == 4


def test_a_rejection_has_its_reason(bot: Bot) -> None:
    bot.order()
    bot.tell(facts.OrderRejected(client_id="ctrend-BTCUSDT-1", symbol="BTC/USDT", reason="margin is insufficient"))
    bot.meters.collect()
    value = bot.meters.value
    assert value(catalog.orders, **MARKET, status="rejected") == 1
    assert value(catalog.orders, **MARKET, status="ack") == 0
    assert {reason: value(catalog.order_rejected, **BTC, reason=reason) for reason in facts.REJECT_REASONS} == {
        **dict.fromkeys(facts.REJECT_REASONS, 0),
        "leverage_exceeded": 1,
    }


def test_canceled_expired_and_lost_orders_add_nothing_to_orders_total(bot: Bot) -> None:
    for n, end in enumerate((facts.OrderCanceled, facts.OrderExpired)):
        bot.order(f"a-BTCUSDT-{n}")
        bot.tell(end(client_id=f"a-BTCUSDT-{n}", symbol="BTC/USDT"))
    bot.order("a-BTCUSDT-9")
    bot.tell(facts.OrderLost(client_id="a-BTCUSDT-9", symbol="BTC/USDT"))
    bot.meters.collect()
    value = bot.meters.value
    assert [value(catalog.orders, **MARKET, status=status) for status in ("ack", "filled", "rejected")] == [2, 0, 0]
    assert value(catalog.orders_lost, **BTC) == 1


def test_a_fill_that_nobody_asked_for_counts_by_symbol_only(bot: Bot) -> None:
    bot.fill("ctrend-BTCUSDT-77", fill_id="1", fee=0.5)
    bot.meters.collect()
    value = bot.meters.value
    assert value(catalog.fills, **BUY) == 1
    assert value(catalog.fees, **BTC) == 0.5
    assert value(catalog.orders, **MARKET, status="filled") is None
    assert value(catalog.order_latency, **BTC) is None
    assert value(catalog.slippage, **BUY) is None
    assert value(catalog.live_partial_fill, **BTC) == 0
    assert value(catalog.strategy_fills, strategy="ctrend", side="BUY") is None


def test_a_rebate_is_no_fee(bot: Bot) -> None:
    bot.order()
    bot.fill(fee=-0.1, fill_id="1")
    assert bot.value(catalog.fees, **BTC) == 0
    assert bot.meters.value(catalog.strategy_fees, strategy="ctrend") == 0


@pytest.mark.parametrize(("mode", "counted"), [("live", 1), ("paper", 1), ("shadow", None), ("backtest", None)])
def test_live_counters_are_for_live_and_paper(meters: Metered, mode: str, counted: float | None) -> None:
    bot = Bot(meters, mode=mode)
    bot.order()
    bot.fill(quantity=0.5, fill_id="1")
    bot.recorders.execution.on_order_skipped("BTC/USDT", "min_notional")
    bot.recorders.execution.on_order_skipped("BTC/USDT", "api_blocked")
    bot.recorders.execution.on_fill_parse_failure("BTC/USDT")
    bot.meters.collect()
    for counter in (
        catalog.live_min_notional_skip,
        catalog.live_api_blocked,
        catalog.live_partial_fill,
        catalog.live_fill_parse_failure,
    ):
        assert bot.meters.value(counter, **BTC) == counted
    assert [type(fact) for fact in bot.told[-3:]] == [facts.OrderSkipped, facts.OrderSkipped, facts.FillUnreadable]


def test_latency_is_from_the_request_to_the_last_part(bot: Bot) -> None:
    now = time.monotonic()
    bot.order(at=now)
    bot.fill(quantity=0.5, fill_id="1", at=now + 1.5)
    bot.fill(quantity=0.5, fill_id="2", at=now + 3.0)
    bot.meters.collect()
    assert bot.meters.point(catalog.order_latency, **BTC).sum == pytest.approx(3.0)


def test_an_order_of_unknown_quantity_completes_at_its_last_part(bot: Bot) -> None:
    now = time.monotonic()
    bot.order(at=now, quantity=None, notional=None)
    bot.fill(quantity=0.5, fill_id="1", at=now + 1.5)
    (report,) = bot.ledger.due(now + 10)
    bot.tell(report)
    bot.meters.collect()
    assert bot.meters.value(catalog.orders, **MARKET, status="filled") == 1
    assert bot.meters.point(catalog.order_latency, **BTC).sum == pytest.approx(1.5)


# -- slippage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "price", "signed"), [("BUY", 100.2, 20), ("BUY", 99.9, -10), ("SELL", 99.8, 20), ("SELL", 100.1, -10)]
)
def test_slippage_is_adverse_above_0(bot: Bot, side: str, price: float, signed: float) -> None:
    bot.order(side=side)
    bot.fill(side=side, price=price, fill_id="1")
    bot.meters.collect()
    point = bot.meters.point
    assert point(catalog.slippage_signed, symbol="BTC/USDT", side=side).sum == pytest.approx(signed)
    assert point(catalog.slippage, symbol="BTC/USDT", side=side).sum == pytest.approx(abs(signed))
    by_strategy = point(catalog.strategy_slippage, symbol="BTC/USDT", side=side, strategy="ctrend")
    assert by_strategy.sum == pytest.approx(abs(signed))


def test_a_market_order_is_measured_against_the_bar_before_its_request(bot: Bot) -> None:
    bot.tell(facts.BarReceived(symbol="BTC/USDT", timeframe="1m", close=100.0))
    bot.order(expected_price=None)
    bot.tell(facts.BarReceived(symbol="BTC/USDT", timeframe="1m", close=102.0))  # came too late to be expected
    bot.fill(price=101.0, fill_id="1")
    bot.meters.collect()
    assert bot.meters.point(catalog.slippage_signed, **BUY).sum == pytest.approx(100)


@pytest.mark.parametrize("wanted", [{"order_type": "LIMIT"}, {"symbol": "ETH/USDT"}, {"expected_price": -1}])
def test_without_an_expectation_there_is_no_slippage(bot: Bot, wanted: dict[str, object]) -> None:
    bot.tell(facts.BarReceived(symbol="BTC/USDT", timeframe="1m", close=100.0))
    bot.order(**{"expected_price": None, **wanted})
    bot.fill(fill_id="1", symbol=wanted.get("symbol", "BTC/USDT"))
    assert catalog.slippage.name not in bot.meters.collect()


def test_expectations_of_orders_that_never_end_are_bounded() -> None:
    from types import SimpleNamespace

    from otel_mcbot.record.execution import ExpectedPrice

    expected = ExpectedPrice(room=10)
    expected.note_bar(facts.BarReceived(symbol="BTC/USDT", timeframe="1m", close=100.0))
    orders = [
        SimpleNamespace(
            client_id=str(n), symbol="BTC/USDT", expected_price=None, order_type="MARKET", known=True, side="BUY"
        )
        for n in range(30)
    ]
    for order in orders:
        expected.note_request(order)  # type: ignore[arg-type]
    expected.note_bar(facts.BarReceived(symbol="BTC/USDT", timeframe="1m", close=200.0))
    of = [expected.slippage(SimpleNamespace(order=order, price=100.0, quantity=1)) for order in orders]  # type: ignore[arg-type]
    assert of == [-5_000] * 20 + [0] * 10


# -- exemplars -----------------------------------------------------------------------------------------------------


def test_exemplars_carry_the_orders_own_trace(bot: Bot) -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    order = tracer.start_span("oms.submit_order", Context())
    context = set_span_in_context(order, Context())
    requested = facts.OrderRequested(
        client_id="ctrend-BTCUSDT-1", symbol="BTC/USDT", side="BUY", quantity=1.0, expected_price=100.0
    )
    bot.tell(requested, context)
    with tracer.start_as_current_span("somebody else"):
        filled = facts.OrderFilled(
            client_id="ctrend-BTCUSDT-1", symbol="BTC/USDT", side="BUY", quantity=1.0, price=101.0
        )
        bot.tell(filled, context)
    bot.meters.collect()
    for point in (
        bot.meters.point(catalog.order_latency, **BTC),
        bot.meters.point(catalog.slippage, **BUY),
        bot.meters.point(catalog.slippage_signed, **BUY),
        bot.meters.point(catalog.fills, **BUY),
        bot.meters.point(catalog.orders, **MARKET, status="filled"),
    ):
        (exemplar,) = point.exemplars
        assert exemplar.trace_id == order.get_span_context().trace_id
        assert exemplar.span_id == order.get_span_context().span_id


# -- open orders ---------------------------------------------------------------------------------------------------


def test_open_orders_and_the_oldest_of_each_stage(bot: Bot) -> None:
    now = time.monotonic()
    bot.tell(facts.SignalGenerated(strategy="ctrend", symbol="BTC/USDT", direction="LONG", at=now - 30))
    bot.order(at=now - 20)
    bot.order("ctrend-BTCUSDT-2", at=now - 10)
    bot.tell(facts.OrderAcknowledged(client_id="ctrend-BTCUSDT-1", symbol="BTC/USDT", at=now - 5))
    bot.fill("stranger", fill_id="1")
    bot.tell(facts.SignalGenerated(strategy="ctrend", symbol="ETH/USDT", direction="LONG", at=now - 40))
    bot.order("ctrend-ETHUSDT-1", symbol="ETH/USDT", at=now - 35, validated=False)
    bot.recorders.tick(now)
    bot.meters.collect()
    value = bot.meters.value
    assert value(catalog.pending_orders_count) == 2
    assert value(catalog.open_orders) == 3
    assert value(catalog.oldest_order, stage="signal") == pytest.approx(40), "those sent wait for other things"
    assert value(catalog.oldest_order, stage="request") == pytest.approx(10)
    assert value(catalog.oldest_order, stage="ack") == pytest.approx(5)
    for number in ("BTCUSDT-1", "BTCUSDT-2", "ETHUSDT-1"):
        bot.tell(facts.OrderCanceled(client_id=f"ctrend-{number}", symbol="BTC/USDT"))
    bot.recorders.tick(now + 0.25)  # not yet: once a second is enough
    assert bot.value(catalog.open_orders) == 3
    bot.recorders.tick(now + 2)
    assert bot.value(catalog.open_orders) == 0
    assert bot.meters.value(catalog.pending_orders_count) == 0
    assert bot.meters.value(catalog.oldest_order, stage="request") == 0
    bot.order("ctrend-BTCUSDT-9")
    bot.recorders.close()
    assert bot.value(catalog.open_orders) == 1, "the last word is true, however lately it was counted"


# -- what exists at 0 ----------------------------------------------------------------------------------------------


def test_what_is_expected_exists_at_0(meters: Metered) -> None:
    bot = Bot(meters, expect={"BTC/USDT": "1m", "ETH/USDT": "4h"}, strategies=("ctrend",))
    bot.meters.collect()
    value = bot.meters.value
    for symbol in ("BTC/USDT", "ETH/USDT"):
        assert value(catalog.signals, symbol=symbol) == 0
        assert value(catalog.fills, symbol=symbol, side="SELL") == 0
        assert value(catalog.order_rejected, symbol=symbol, reason="duplicate") == 0
        assert value(catalog.live_api_blocked, symbol=symbol) == 0
        assert value(catalog.realized_loss, symbol=symbol) == 0
    assert [value(catalog.bars, timeframe=timeframe) for timeframe in ("1m", "4h", "1d")] == [0, 0, None]
    for side in ("LONG", "SHORT", "NEUTRAL"):
        assert value(catalog.strategy_signals, strategy="ctrend", side=side) == 0
    assert value(catalog.strategy_trade_count, strategy="ctrend") == 0
    assert value(catalog.strategy_pnl, strategy="ctrend") == 0
    assert value(catalog.strategy_win_rate, strategy="ctrend") is None


def test_what_shows_up_unannounced_exists_at_0_from_then_on(bot: Bot) -> None:
    bot.tell(facts.SignalGenerated(strategy="new-mom", symbol="SOL/USDT", direction="LONG"))
    bot.meters.collect()
    value = bot.meters.value
    assert value(catalog.signals, symbol="SOL/USDT") == 1
    assert value(catalog.live_fill_parse_failure, symbol="SOL/USDT") == 0
    assert value(catalog.strategy_signals, strategy="new-mom", side="LONG") == 1
    assert value(catalog.strategy_signals, strategy="new-mom", side="SHORT") == 0


def test_hundreds_of_symbols_leave_room_for_what_happens(bot: Bot) -> None:
    for n in range(400):
        bot.tell(facts.SignalGenerated(strategy="s", symbol=f"C{n}/USDT", direction="LONG"))
    bot.order("s-C399USDT-1", symbol="C399/USDT")
    bot.tell(facts.OrderRejected(client_id="s-C399USDT-1", symbol="C399/USDT", reason="duplicate"))
    assert bot.value(catalog.order_rejected, symbol="C399/USDT", reason="duplicate") == 1
    from otel_mcbot import instruments

    assert not instruments.dropped


# -- money by strategy ---------------------------------------------------------------------------------------------


def traded(bot: Bot, strategy: str, realized: float, n: int) -> None:
    client_id = f"{strategy}-BTCUSDT-{n}"
    bot.order(client_id, strategy=strategy)
    bot.fill(client_id, fill_id=client_id)
    bot.tell(facts.PositionUpdated(symbol="BTC/USDT", size=0.0, realized_pnl_delta=realized))


def test_pnl_belongs_to_the_strategy_of_the_last_fill(bot: Bot) -> None:
    bot.tell(facts.PositionUpdated(symbol="BTC/USDT", size=0.0, realized_pnl_delta=5.0))  # nobody's
    bot.tell(facts.BalanceUpdated(equity=1_000.0))
    traded(bot, "anchor-mom", 30.0, 1)
    traded(bot, "ctrend", -10.0, 2)
    traded(bot, "anchor-mom", -50.0, 3)
    bot.meters.collect()
    value = bot.meters.value
    assert value(catalog.strategy_pnl, strategy="anchor-mom") == -20
    assert value(catalog.strategy_pnl, strategy="ctrend") == -10
    assert value(catalog.strategy_realized_profit, strategy="anchor-mom") == 30
    assert value(catalog.strategy_realized_loss, strategy="anchor-mom") == 50
    assert value(catalog.strategy_trade_count, strategy="anchor-mom") == 2
    assert value(catalog.strategy_win_rate, strategy="anchor-mom") == 0.5
    assert value(catalog.strategy_drawdown, strategy="anchor-mom") == pytest.approx(5.0)
    assert value(catalog.realized_profit, **BTC) == 35
    assert value(catalog.realized_loss, **BTC) == 60


def test_the_win_rate_looks_back_20_trades() -> None:
    performance = Performance(0)
    for _ in range(20):
        performance.trade(-1.0, 0, None)
    for _ in range(15):
        performance.trade(1.0, 0, None)
    assert performance.win_rate == 0.75


def test_the_sharpe_ratio_looks_back_30_days() -> None:
    performance = Performance(100)
    assert performance.sharpe(100) is None
    performance.trade(10.0, 100, None)
    assert performance.sharpe(100) is None
    performance.trade(-5.0, 101, None)
    # by hand: mean 2.5, deviation 10.6066 → 0.235702 · √365
    assert performance.sharpe(101) == pytest.approx(4.503085)
    # a day without a trade is a day: 10, -5, 0 → 5/3 over 7.637626 · √365
    assert performance.sharpe(102) == pytest.approx(4.169047)
    assert performance.sharpe(101 + 30) is None  # all 30 days are 0
    performance.trade(3.0, 140, None)
    # one win of 3 in 30 days: mean 0.1 over a deviation of √0.3
    assert performance.sharpe(140) == pytest.approx(0.1 / 0.3**0.5 * 365**0.5)


def test_market_days_make_a_replay_have_days(bot: Bot) -> None:
    day = 1_522_540_800.0
    bot.tell(facts.SignalGenerated(strategy="ctrend", symbol="BTC/USDT", direction="LONG"))  # met today, not then
    for n, realized in enumerate((10.0, -5.0, 7.0)):
        bar_time = day + n * 86_400
        bot.tell(facts.BarReceived(symbol="BTC/USDT", timeframe="1m", close=100.0, bar_time=bar_time))
        traded(bot, "ctrend", realized, n)
    sharpe = bot.value(catalog.strategy_sharpe_rolling, strategy="ctrend")
    assert sharpe == pytest.approx(4.0 / 7.937254 * 365**0.5, rel=1e-6)


def test_a_drawdown_without_a_known_equity_is_not_known() -> None:
    performance = Performance(0)
    assert performance.drawdown_pct == 0
    performance.trade(-1.0, 0, None)
    assert performance.drawdown_pct is None
    performance.trade(-1.0, 0, 100.0)
    assert performance.drawdown_pct == pytest.approx(2.0)
    performance.trade(12.0, 0, 200.0)
    performance.trade(-4.0, 0, 50.0)
    assert performance.drawdown_pct == pytest.approx(2.0)
