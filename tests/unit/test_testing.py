"""``capture()``: what users' tests stand on."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest
from loguru import logger as loguru_logger
from opentelemetry import _logs, metrics, trace

import otel_mcbot as mcbot
from otel_mcbot import catalog, hub, instruments
from otel_mcbot.facts import BarReceived, OrderRequested
from otel_mcbot.guard import Guard
from otel_mcbot.instruments import MeasurementError
from otel_mcbot.settings import SettingsError
from otel_mcbot.testing import Captured, capture


def fill(client_id: str = "trend-btc-1") -> None:
    with mcbot.trade_cycle(strategy="trend", symbol="BTC/USDT") as cycle:
        with cycle.generate_signal() as decided:
            decided.signal("long", strength=0.7)
        with cycle.order(side="buy", quantity=0.01, expected_price=100.0, client_order_id=client_id) as order:
            order.update({"id": "1", "status": "closed", "filled": 0.01, "average": 101.0, "amount": 0.01})


def test_spans_metrics_logs_and_orders_of_a_block() -> None:
    with capture(strategies=["trend"]) as captured:
        fill()
        logging.getLogger("bot").warning("from logging")
        loguru_logger.info("from loguru")
    assert captured.span_tree("mcbot.cycle.outcome", "trading.signal.direction") == "\n".join(
        [
            "trade_cycle filled",
            "  strategy.generate_signal long",
            "  oms.submit_order",
            "  oms.await_fill",
        ]
    )
    assert captured.value("mcbot_orders_total", status="filled") == 1
    assert captured.value("mcbot_orders_total") == 2
    assert captured.value("mcbot_orders_total", status="rejected") == 0
    assert captured.value("mcbot_order_latency_seconds", symbol="BTC/USDT") == 1
    assert captured.value("mcbot_equity_usdt") is None
    assert captured.ledger.totals.by_status["filled"] == 1
    (filled,) = captured.events("trading.order.filled")
    assert filled.attributes is not None
    assert filled.attributes["trading.order.client_id"] == "trend-btc-1"
    assert [record.body for record in captured.logs if not record.event_name] == ["from logging", "from loguru"]


def test_histograms_show_their_buckets_and_the_trace_behind_a_value() -> None:
    with capture() as captured:
        fill()
    (slippage,) = captured.metrics["mcbot_slippage_bps"]
    assert (slippage.count, slippage.value) == (1, pytest.approx(100.0))
    assert sum(slippage.buckets.values()) == 1
    assert slippage.buckets[100.0] + slippage.buckets[float("inf")] == 1
    trace_id = f"{captured.spans[0].get_span_context().trace_id:032x}"  # type: ignore[union-attr]
    assert slippage.traces == (trace_id,)


def test_time_outs_are_due_without_waiting() -> None:
    with capture(hold=60, lost_after=45) as captured:
        captured.tell(OrderRequested(client_id="a", symbol="BTC/USDT", side="BUY", quantity=1, strategy="trend"))
        captured.tick(30)
        assert captured.events("trading.order.lost") == []
        captured.tick(46)
        assert len(captured.events("trading.order.lost")) == 1
        assert captured.value("mcbot_orders_lost_total") == 1
        captured.tick(61)
        assert captured.span_tree("mcbot.cycle.outcome").splitlines()[0].startswith("trade_cycle")


def test_captures_nest_and_leave_everything_as_it_was() -> None:
    providers = trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider()
    threads = threading.active_count()
    handlers = list(logging.getLogger().handlers)
    with capture() as outer:
        fill("outer-btc-1")
        instruments.dropped["value"] += 1
        with capture(strict=False) as inner:
            assert hub.current() is inner.hub
            assert not Guard.strict
            assert not instruments.dropped
            fill("inner-btc-1")
            fill("inner-btc-2")
        assert hub.current() is outer.hub
        assert Guard.strict
        assert instruments.dropped == {"value": 1}
        fill("outer-btc-2")
    assert hub.current() is None
    assert not Guard.strict
    assert not catalog.orders.bound
    assert outer.value("mcbot_fills_total") == inner.value("mcbot_fills_total") == 2
    assert len(outer.roots()) == len(inner.roots()) == 2
    assert (trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider()) == providers
    assert threading.active_count() == threads
    assert logging.getLogger().handlers == handlers


def test_a_bot_that_configures_speaks_to_the_capture(tmp_path: Path) -> None:
    with capture() as captured:
        threads = threading.active_count()
        telemetry = mcbot.configure("bot", mode="live", state_dir=tmp_path)
        assert mcbot.configure() is telemetry
        telemetry.tell(BarReceived(symbol="BTC/USDT", timeframe="1m"))
        telemetry.exchange.on_api_call("create_order", "success", 0.1)
        fill()
        assert telemetry.hub is captured.hub is hub.current()
        assert telemetry.flush()
        telemetry.close()
        fill("trend-btc-2")
        with pytest.raises(SettingsError):
            mcbot.configure(mode="lvie")
        assert threading.active_count() == threads
    assert captured.value("mcbot_fills_total") == 2
    assert captured.value("mcbot_bars_total") == 1
    assert captured.value("mcbot_exchange_api_calls_total", endpoint="create_order", status="success") == 1
    assert list(tmp_path.iterdir()) == []


def test_it_is_put_back_when_the_block_fails() -> None:
    with pytest.raises(ZeroDivisionError), capture():
        raise ZeroDivisionError
    assert hub.current() is None
    assert not catalog.orders.bound


def test_strict_raises_what_would_be_swallowed() -> None:
    with capture(), pytest.raises(MeasurementError):
        catalog.fills.add(1, symbol="BTC/USDT")
    with capture(strict=False) as captured:
        catalog.fills.add(1, symbol="BTC/USDT")
        captured.tell(BarReceived(symbol="BTC/USDT", timeframe="1m"))
        assert instruments.dropped == {"label": 1}


def test_settings_are_checked_and_the_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCBOT_MODE", "lvie")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with capture(mode="live") as captured:
        (mode,) = [series for series in captured.metrics["mcbot_trading_mode"] if series.value == 1]
        assert mode.labels == {"mcbot_trading_mode": "live"}
    with pytest.raises(SettingsError, match=r"^mode='lvie'"), capture(mode="lvie"):
        pass


def test_what_was_before_can_be_forgotten() -> None:
    with capture() as captured:
        fill()
        captured.clear()
        assert captured.spans == ()
        assert captured.logs == []
        fill("trend-btc-2")
        assert len(captured.roots()) == 1
        assert captured.value("mcbot_fills_total") == 2


@pytest.fixture
def telemetry():
    with capture() as captured:
        yield captured


async def test_as_a_fixture_of_an_async_test(telemetry: Captured) -> None:
    fill()
    assert telemetry.value("mcbot_fills_total", side="BUY") == 1
