"""The other layers, fact by fact and callback by callback; and every row of the contract from something real."""

from __future__ import annotations

import gc
import math
import threading
import time
from collections.abc import Iterator
from enum import StrEnum
from types import SimpleNamespace

import pytest
from metering import Bot, Metered, metered
from test_catalog import GOLDEN

from otel_mcbot import catalog, facts, instruments
from otel_mcbot.guard import Guard
from otel_mcbot.record import OrchestratorSnapshot, ProcessSnapshot, Recorders
from otel_mcbot.record.orchestrator import aligned, average_correlation, effective_n, netting, risk_contributions

BTC = {"symbol": "BTC/USDT"}


@pytest.fixture
def meters() -> Iterator[Metered]:
    with metered() as found:
        yield found


@pytest.fixture
def bot(meters: Metered) -> Bot:
    return Bot(meters)


# -- 2 account -----------------------------------------------------------------------------------------------------


def test_a_balance_changes_what_it_tells(bot: Bot) -> None:
    bot.tell(facts.BalanceUpdated(equity=10_000, cash=4_000, margin_used=2_000, drawdown=0.125, open_positions=2))
    bot.tell(facts.BalanceUpdated(equity=11_000, aggregate_leverage=1.5))
    bot.meters.collect()
    value = bot.meters.value
    assert value(catalog.equity) == 11_000
    assert value(catalog.cash) == 4_000
    assert value(catalog.margin_used) == 2_000
    assert value(catalog.drawdown) == 12.5
    assert value(catalog.open_positions) == 2
    assert value(catalog.aggregate_leverage) == 1.5


def test_a_closed_position_is_0_once_and_goes(bot: Bot) -> None:
    bot.tell(
        facts.PositionUpdated(symbol="BTC/USDT", size=-2.0, direction="SHORT", last_price=50.0, unrealized_pnl=-3.0)
    )
    gauges = (catalog.position_size, catalog.position_notional, catalog.unrealized_pnl)
    bot.meters.collect()
    assert [bot.meters.value(gauge, **BTC) for gauge in gauges] == [2, 100, -3]
    bot.tell(facts.PositionUpdated(symbol="BTC/USDT", size=0.0, unrealized_pnl=0.0, last_price=51.0))
    bot.meters.collect()
    assert [bot.meters.value(gauge, **BTC) for gauge in gauges] == [0, 0, 0]
    bot.meters.collect()
    assert [bot.meters.value(gauge, **BTC) for gauge in gauges] == [None, None, None]


def test_realized_pnl_from_deltas_or_from_a_running_total(bot: Bot) -> None:
    def told(**money: float) -> None:
        bot.tell(facts.PositionUpdated(symbol="BTC/USDT", size=1.0, **money))

    told(realized_pnl_delta=7.0)
    told(realized_pnl_delta=-2.0)
    told(realized_pnl=500.0)  # a total of other days
    told(realized_pnl=510.0)
    told(realized_pnl=510.0)
    told(realized_pnl=507.0)
    told(realized_pnl=508.0, realized_pnl_delta=1.0)
    told(realized_pnl=509.0)
    assert bot.value(catalog.realized_profit, **BTC) == 7 + 10 + 1 + 1
    assert bot.meters.value(catalog.realized_loss, **BTC) == 2 + 3


# -- 3 exchange ----------------------------------------------------------------------------------------------------


def test_api_calls(bot: Bot) -> None:
    called = bot.recorders.exchange.on_api_call
    called("create_order", "success", 0.2)
    called("fetch_balance", "failure", 31.0, "NetworkError")
    called("fetch_funding_rate_history", "success", 1.0)
    called("set_leverage", "failure", 1.0, "ExchangeError")
    bot.meters.collect()
    value = bot.meters.value
    assert value(catalog.exchange_api_calls, endpoint="create_order", status="success") == 1
    assert value(catalog.exchange_api_calls, endpoint="create_order", status="failure") == 0
    assert value(catalog.exchange_api_calls, endpoint="fetch_balance", status="failure") == 1
    assert value(catalog.exchange_api_latency, endpoint="fetch_balance") == 1
    assert value(catalog.errors, component="Exchange", error_type="NetworkError") == 1
    assert value(catalog.errors, component="Exchange", error_type="ExchangeError") == 1
    endpoints = {dict(labels)["endpoint"] for labels in bot.meters.seen[catalog.exchange_api_calls.name]}
    assert len(endpoints) == 9
    assert bot.told[-1].error == "ExchangeError"  # type: ignore[attr-defined]


def test_consecutive_failures_are_of_write_calls_that_the_venue_failed(bot: Bot) -> None:
    called = bot.recorders.exchange.on_api_call
    assert bot.value(catalog.exchange_consecutive_failures) == 0
    called("create_order", "failure", 1.0, "NetworkError")
    called("create_stop_market", "failure", 1.0, "RequestTimeout")
    assert bot.value(catalog.exchange_consecutive_failures) == 2
    called("fetch_balance", "success", 1.0)
    called("cancel_order", "success", 1.0)
    called("create_order", "failure", 1.0, "InvalidOrder")
    called("create_order", "failure", 1.0, "OrderImmediatelyFillable")  # a kind of InvalidOrder
    assert bot.value(catalog.exchange_consecutive_failures) == 2
    called("create_order", "success", 1.0)
    assert bot.value(catalog.exchange_consecutive_failures) == 0


# -- 4 health ------------------------------------------------------------------------------------------------------


def test_bars_have_one_clock_a_symbol_and_one_a_timeframe(meters: Metered) -> None:
    bot = Bot(meters, expect={"BTC/USDT": "1m", "ETH/USDT": "1d"})
    now = time.monotonic()
    bot.tell(facts.BarReceived(symbol="BTC/USDT", timeframe="1h", at=now - 500))
    bot.tell(facts.BarReceived(symbol="BTC/USDT", timeframe="1m", at=now - 60))
    bot.meters.collect()
    value = bot.meters.value
    assert value(catalog.last_bar_age, **BTC) == pytest.approx(60, abs=5)
    assert value(catalog.bar_age, **BTC, timeframe="1m") == pytest.approx(60, abs=5)
    assert value(catalog.bar_age, **BTC, timeframe="1h") == pytest.approx(500, abs=5)
    never_came = value(catalog.bar_age, symbol="ETH/USDT", timeframe="1d")
    assert never_came is not None
    assert 0 <= never_came < 5
    assert value(catalog.expected_symbol, symbol="ETH/USDT", timeframe="1d") == 1
    assert value(catalog.bars, timeframe="1h") == 1


def test_the_bots_heartbeat_counts_and_ours_stands_in_for_none(bot: Bot) -> None:
    before = bot.value(catalog.heartbeat_timestamp)
    assert before == pytest.approx(time.time(), abs=5)
    now = time.monotonic()
    bot.recorders.process.lag_source = lambda: 30.0  # the loop hangs
    bot.recorders.tick(now + 10)
    assert bot.value(catalog.heartbeat_timestamp) == before
    assert bot.meters.value(catalog.event_loop_lag) == 30
    bot.recorders.process.lag_source = lambda: 0.01
    bot.recorders.tick(now + 20)
    ours = bot.value(catalog.heartbeat_timestamp)
    assert ours is not None
    assert before is not None
    assert ours > before
    bot.tell(facts.Heartbeat(time=1_700_000_000.0))
    bot.recorders.tick(now + 30)  # from now on the bot speaks for itself
    assert bot.value(catalog.heartbeat_timestamp) == 1_700_000_000


def test_errors_trips_and_risk_alerts(bot: Bot) -> None:
    bot.meters.collect()
    value = bot.meters.value
    assert value(catalog.circuit_breaker) == 0
    assert [value(catalog.risk_alerts, level=level) for level in ("WARNING", "CRITICAL")] == [0, 0]
    bot.tell(facts.ErrorOccurred(component="EventBus", error_type="KeyError"))
    bot.tell(facts.CircuitBreakerTripped(reason="stop-loss"))
    for level in ("warning", "CRITICAL", "INFO", "odd"):
        bot.tell(facts.RiskAlertRaised(level=level))
    bot.meters.collect()
    assert value(catalog.errors, component="EventBus", error_type="KeyError") == 1
    assert value(catalog.circuit_breaker) == 1
    assert [value(catalog.risk_alerts, level=level) for level in ("WARNING", "CRITICAL")] == [2, 1]


def test_maintenance_ends_by_itself(bot: Bot) -> None:
    assert bot.value(catalog.maintenance) == 0
    bot.tell(facts.MaintenanceChanged(reason="deploy", until=time.time() + 600))
    assert bot.value(catalog.maintenance) == 1
    bot.tell(facts.MaintenanceChanged(reason="deploy", until=None))
    assert bot.value(catalog.maintenance) == 0
    bot.tell(facts.MaintenanceChanged(reason="deploy", until=time.time() - 1))
    assert bot.value(catalog.maintenance) == 0


def test_uptime_runs(bot: Bot) -> None:
    first = bot.value(catalog.uptime)
    second = bot.value(catalog.uptime)
    assert first is not None
    assert second is not None
    assert 0 <= first < second


# -- 6 websocket ---------------------------------------------------------------------------------------------------


def test_websockets(bot: Bot) -> None:
    ws = bot.recorders.websocket
    ws.on_ws_status("BTC/USDT", True)
    bot.meters.collect()
    value = bot.meters.value
    assert value(catalog.exchange_ws_connected, **BTC) == 1
    assert value(catalog.ws_reconnects, **BTC) == 0
    assert value(catalog.ws_messages_received, **BTC) == 0
    assert value(catalog.ws_last_message_age, **BTC) == pytest.approx(0, abs=5)  # connected, and silent since
    ws.on_ws_message("BTC/USDT")
    ws.on_ws_status("BTC/USDT", False)
    ws.on_ws_reconnect_failed("BTC/USDT")
    ws.on_ws_reconnect_failed("BTC/USDT")
    bot.meters.collect()
    assert value(catalog.exchange_ws_connected, **BTC) == 0
    assert value(catalog.ws_reconnect_failures, **BTC) == 2
    assert value(catalog.ws_reconnects, **BTC) == 0
    ws.on_ws_reconnect("BTC/USDT")
    ws.on_ws_message("ETH/USDT")  # nobody said that it is connected
    bot.meters.collect()
    assert value(catalog.exchange_ws_connected, **BTC) == 1
    assert value(catalog.ws_reconnects, **BTC) == 1
    assert value(catalog.ws_reconnect_failures, **BTC) == 0
    assert value(catalog.ws_messages_received, **BTC) == 1
    assert value(catalog.exchange_ws_connected, symbol="ETH/USDT") == 1
    ws.forget("BTC/USDT")
    bot.meters.collect()
    assert value(catalog.exchange_ws_connected, **BTC) is None
    assert value(catalog.ws_last_message_age, **BTC) is None


# -- 7 process -----------------------------------------------------------------------------------------------------


def test_what_cannot_be_read_has_no_value(bot: Bot) -> None:
    bot.recorders.process.update(ProcessSnapshot(lag=0.02, tasks=12, rss=10, rss_peak=20, cpu=3.5, threads=4))
    bot.meters.collect()
    value = bot.meters.value
    assert value(catalog.event_loop_lag) == 0.02
    assert value(catalog.active_tasks) == 12
    assert value(catalog.process_memory_rss) == 10
    assert value(catalog.process_memory_rss_peak) == 20
    assert value(catalog.process_cpu) == 3.5
    assert value(catalog.process_thread_count) == 4
    assert value(catalog.process_open_fds) is None


def test_garbage_collections_come_from_the_collector(bot: Bot) -> None:
    bot.meters.collect()
    assert bot.meters.value(catalog.process_gc_collections, generation="2") == 0
    before = gc.get_stats()[2]["collections"]
    gc.collect()
    after = bot.value(catalog.process_gc_collections, generation="2")
    assert after is not None
    assert after > before


# -- 8 anomaly -----------------------------------------------------------------------------------------------------


class Severity(StrEnum):
    CRITICAL = "CRITICAL"


def test_only_a_turn_for_the_worse_is_an_anomaly(bot: Bot) -> None:
    anomaly = bot.recorders.anomaly
    for severity in ("NORMAL", "WARNING", "WARNING", Severity.CRITICAL, 2, "CRITICAL", "WARNING", "CRITICAL"):
        anomaly.on_drawdown("p", 0.2, 14, severity)
    anomaly.on_drawdown("q", 0.1, 3, 2)
    bot.meters.collect()
    value = bot.meters.value
    assert value(catalog.gbm_severity, strategy="p") == 2
    assert value(catalog.gbm_drawdown_depth, strategy="p") == 0.2
    assert value(catalog.gbm_drawdown_duration, strategy="p") == 14
    assert value(catalog.anomalies, detector="gbm_drawdown", severity="WARNING") == 1
    assert value(catalog.anomalies, detector="gbm_drawdown", severity="CRITICAL") == 3
    assert value(catalog.risk_alerts, level="CRITICAL") == 3
    alerts = [fact for fact in bot.told if isinstance(fact, facts.RiskAlertRaised)]
    assert {alert.source for alert in alerts} == {"gbm_drawdown"}


def test_detectors(bot: Bot) -> None:
    anomaly = bot.recorders.anomaly
    anomaly.on_drift("p", 0.3, 0.004, "CRITICAL")
    anomaly.on_decay("p", -0.001, -0.05, -0.02, True, "WARNING")
    anomaly.on_execution(3, 0.75, "WARNING")
    anomaly.on_anomaly("page_hinkley", "WARNING", "p")
    bot.meters.collect()
    value = bot.meters.value
    assert value(catalog.distribution_ks_statistic, strategy="p") == 0.3
    assert value(catalog.distribution_p_value, strategy="p") == 0.004
    assert value(catalog.ransac_slope, strategy="p") == -0.001
    assert value(catalog.ransac_conformal_lower, strategy="p") == -0.05
    assert value(catalog.ransac_current_cumulative, strategy="p") == -0.02
    assert value(catalog.ransac_decay_detected, strategy="p") == 1
    assert value(catalog.execution_consecutive_rejections) == 3
    assert value(catalog.execution_fill_rate) == 0.75
    for detector, severity in (
        ("distribution_drift", "CRITICAL"),
        ("structural_decay", "WARNING"),
        ("execution", "WARNING"),
        ("page_hinkley", "WARNING"),
    ):
        assert value(catalog.anomalies, detector=detector, severity=severity) == 1
    anomaly.on_execution(0, None)  # too few orders to say: no rate, not a rate of 0
    anomaly.forget("p")
    bot.meters.collect()
    assert value(catalog.execution_fill_rate) is None
    assert value(catalog.distribution_p_value, strategy="p") is None


# -- 9 on-chain ----------------------------------------------------------------------------------------------------


def test_onchain(bot: Bot) -> None:
    onchain = bot.recorders.onchain
    onchain.on_fetch("defillama", "tvl", "success", 3.0, 120)
    onchain.on_fetch("defillama", "tvl", "failure", 30.0, 0)
    onchain.on_fetch("sentiment", "fear", "empty", 1.0, 0)
    onchain.on_cache_refresh("success")
    onchain.on_cache_size("BTC/USDT", 14)
    bot.meters.collect()
    value = bot.meters.value
    assert value(catalog.onchain_fetch, source="defillama", status="success") == 1
    assert value(catalog.onchain_fetch, source="defillama", status="failure") == 1
    assert value(catalog.onchain_fetch, source="btc_mining", status="failure") == 0
    assert value(catalog.onchain_fetch_latency, source="defillama") == 2
    assert value(catalog.onchain_fetch_rows, source="defillama", name="tvl") == 120
    assert value(catalog.onchain_fetch_rows, source="sentiment", name="fear") == 0
    assert value(catalog.onchain_last_success_timestamp, source="defillama") == pytest.approx(time.time(), abs=5)
    assert value(catalog.onchain_last_success_timestamp, source="sentiment") is None
    assert value(catalog.onchain_cache_refresh, status="success") == 1
    assert value(catalog.onchain_cache_refresh, status="failure") == 0
    assert value(catalog.onchain_cache_size, **BTC) == 14


# -- 10 orchestrator -----------------------------------------------------------------------------------------------

UP, DOWN, FLAT = [0.01, 0.02, -0.01], [-0.01, -0.02, 0.01], [0.0, 0.0, 0.0]


def test_a_snapshot_of_pods(bot: Bot) -> None:
    bot.recorders.orchestrator.update(
        OrchestratorSnapshot(
            states={"a": "PRODUCTION", "b": "warning", "old": "retired"},
            weights={"a": 0.6, "b": 0.4},
            returns={"a": UP, "b": UP},
            equity={"a": 600.0, "b": 400.0},
            drawdowns={"a": 0.05},
            sharpes={"b": 1.25},
            targets={"a": {"BTC/USDT": 0.5, "ETH/USDT": 0.1}, "b": {"BTC/USDT": -0.2}},
        )
    )
    bot.meters.collect()
    value = bot.meters.value
    assert value(catalog.pod_equity, pod_id="a") == 600
    assert value(catalog.pod_allocation_fraction, pod_id="b") == 0.4
    assert value(catalog.pod_drawdown, pod_id="a") == 5
    assert value(catalog.pod_drawdown, pod_id="b") is None
    assert value(catalog.pod_rolling_sharpe, pod_id="b") == 1.25
    # by hand: mean 0.006667, deviation 0.015275 → 0.436436 · √365
    assert value(catalog.pod_rolling_sharpe, pod_id="a") == pytest.approx(8.338093)
    assert value(catalog.pod_lifecycle_state, pod_id="a", mcbot_pod_lifecycle_state="production") == 1
    assert value(catalog.pod_lifecycle_state, pod_id="a", mcbot_pod_lifecycle_state="warning") == 0
    assert value(catalog.pod_lifecycle_state, pod_id="old", mcbot_pod_lifecycle_state="retired") == 1
    assert value(catalog.active_pods) == 2
    assert value(catalog.pod_risk_contribution, pod_id="a") == pytest.approx(0.6)  # the same returns: risk is weight
    assert value(catalog.portfolio_effective_n) == pytest.approx(1 / (0.36 + 0.16))
    assert value(catalog.portfolio_avg_correlation) == pytest.approx(1.0)
    assert value(catalog.pod_exposure, pod_id="a", symbol="BTC/USDT") == 0.5
    assert value(catalog.pod_exposure, pod_id="b", symbol="BTC/USDT") == -0.2
    assert value(catalog.netting_gross_exposure) == pytest.approx(0.8)
    assert value(catalog.netting_net_exposure) == pytest.approx(0.4)
    assert value(catalog.netting_offset_ratio) == pytest.approx(0.5)


def test_a_snapshot_may_be_a_mapping_or_any_object(bot: Bot) -> None:
    update = bot.recorders.orchestrator.update
    update({"equity": {"a": 600.0}, "states": {"a": "production"}, "unknown": 1})
    assert bot.value(catalog.pod_equity, pod_id="a") == 600
    update(SimpleNamespace(equity={"a": 500.0}, returns=None))
    assert bot.value(catalog.pod_equity, pod_id="a") == 500
    assert bot.value(catalog.active_pods) == 1
    with pytest.raises(TypeError, match="no snapshot"):  # strict, as tests are
        update(object())


def test_a_pod_that_is_gone_is_0_once(bot: Bot) -> None:
    update = bot.recorders.orchestrator.update
    update(OrchestratorSnapshot(states={"a": "production"}, equity={"a": 600.0}))
    bot.meters.collect()
    update(OrchestratorSnapshot())
    bot.meters.collect()
    value = bot.meters.value
    assert value(catalog.pod_equity, pod_id="a") == 0
    assert value(catalog.pod_lifecycle_state, pod_id="a", mcbot_pod_lifecycle_state="production") == 0
    bot.meters.collect()
    assert value(catalog.pod_equity, pod_id="a") is None
    assert value(catalog.pod_lifecycle_state, pod_id="a", mcbot_pod_lifecycle_state="production") is None
    assert value(catalog.netting_offset_ratio) == 0  # no targets


def test_a_target_that_is_closed_is_0_once(bot: Bot) -> None:
    def exposures(**targets: dict[str, object]) -> dict[str, float]:
        bot.recorders.orchestrator.update({"targets": targets})
        seen = bot.meters.collect().get(catalog.pod_exposure.name, {})
        return {" ".join(value for _, value in labels): point.value for labels, point in seen.items()}

    held: dict[str, dict[str, object]] = {"a": {"BTC/USDT": 0.5, "ETH/USDT": 0.1}, "b": {"BTC/USDT": -0.2}}
    assert exposures(**held) == {"a BTC/USDT": 0.5, "a ETH/USDT": 0.1, "b BTC/USDT": -0.2}
    closed: dict[str, dict[str, object]] = {"a": {"BTC/USDT": 0, "ETH/USDT": 0.1, "SOL/USDT": 0.0}}
    assert exposures(**closed) == {"a BTC/USDT": 0, "a ETH/USDT": 0.1, "b BTC/USDT": 0}  # SOL never was
    assert exposures(**closed) == {"a ETH/USDT": 0.1}
    assert exposures(a={"ETH/USDT": math.nan}) == {"a ETH/USDT": 0}  # what is no number is 0, as in the netting
    assert exposures(a={"ETH/USDT": -0.3}) == {"a ETH/USDT": -0.3}


def test_one_pod_bears_all_the_risk(bot: Bot) -> None:
    bot.recorders.orchestrator.update(OrchestratorSnapshot(states={"a": "incubation", "old": "retired"}))
    bot.meters.collect()
    value = bot.meters.value
    assert value(catalog.pod_risk_contribution, pod_id="a") == 1
    assert value(catalog.pod_risk_contribution, pod_id="old") is None
    assert value(catalog.portfolio_effective_n) == 1
    assert value(catalog.portfolio_avg_correlation) == 0


def test_a_part_that_fails_does_not_stop_the_others() -> None:
    with metered(strict=False) as meters:
        bot = Bot(meters)
        broken = OrchestratorSnapshot(
            states={"a": "no such state"},
            equity={"a": 600.0},
            sharpes={"a": object()},  # type: ignore[dict-item]
            drawdowns={"a": None},  # type: ignore[dict-item]
            targets={"a": {"BTC/USDT": 0.5}},
        )
        bot.recorders.orchestrator.update(broken)
        bot.meters.collect()
        assert bot.meters.value(catalog.pod_equity, pod_id="a") == 600
        assert bot.meters.value(catalog.netting_gross_exposure) == 0.5
        assert bot.meters.value(catalog.active_pods) == 1
        assert Guard.failures["record.orchestrator"] == 1
        assert instruments.dropped == {"state": 1, "value": 1}


def test_the_arithmetic_of_a_portfolio() -> None:
    assert aligned({"a": [1.0, 2.0], "b": [3.0], "c": [], "d": [math.nan, 1.0]}) == {
        "a": [1.0, 2.0], "b": [0.0, 3.0], "c": [0.0, 0.0], "d": [0.0, 1.0],
    }  # fmt: skip
    assert aligned({}) == {}
    # two pods, variances 1 and 4 and no covariance: w²σ² = 0.25 and 1 of 1.25
    one, two = [1.0, -1.0, 1.0, -1.0], [2.0, 2.0, -2.0, -2.0]
    shares = risk_contributions({"a": one, "b": two}, {"a": 0.5, "b": 0.5})
    assert shares == pytest.approx({"a": 0.2, "b": 0.8})
    assert effective_n(shares.values()) == pytest.approx(1 / 0.68)
    assert risk_contributions({"a": UP, "b": DOWN}, {"a": 0.5, "b": 0.5}) == {"a": 0.5, "b": 0.5}  # no variance left
    hedge = risk_contributions({"a": UP, "b": DOWN}, {"a": 0.75, "b": 0.25})
    assert hedge == pytest.approx({"a": 1.5, "b": -0.5})
    assert risk_contributions({"a": [1.0], "b": [2.0]}, {}) == {"a": 0.5, "b": 0.5}
    assert average_correlation({"a": UP, "b": DOWN, "c": FLAT}) == pytest.approx(-1)
    assert average_correlation({"a": FLAT, "b": FLAT}) == 0
    assert effective_n([]) == 0
    assert netting({}) == (0, 0, 0)
    assert netting({"a": {"X": 0.5}, "b": {"X": -0.5}}) == (1.0, 0.0, 1.0)


# -- regime, reconciliation, meta ----------------------------------------------------------------------------------


def test_regime(bot: Bot) -> None:
    bot.recorders.regime.on_funding_rate("BTC/USDT", 0.0001)
    bot.recorders.regime.on_open_interest("BTC/USDT", 1e9)
    bot.recorders.regime.on_regime_score(-0.4)
    bot.meters.collect()
    assert bot.meters.value(catalog.funding_rate, **BTC) == 0.0001
    assert bot.meters.value(catalog.open_interest, **BTC) == 1e9
    assert bot.meters.value(catalog.regime_score) == -0.4


def test_reconciliation(bot: Bot) -> None:
    checked = bot.recorders.reconciliation.on_check
    checked("drift", {"BTC/USDT": 0.03, "ETH/USDT": 1.0}, 0.02)
    checked("failure")
    bot.meters.collect()
    value = bot.meters.value
    assert value(catalog.reconciliation_position_drift_ratio, symbol="ETH/USDT") == 1
    assert value(catalog.reconciliation_balance_drift_ratio) == 0.02
    checked("ok", {"BTC/USDT": 0.0}, 0.0)
    bot.meters.collect()
    assert value(catalog.reconciliation_position_drift_ratio, symbol="ETH/USDT") == 0
    bot.meters.collect()
    assert value(catalog.reconciliation_position_drift_ratio, symbol="ETH/USDT") is None
    assert value(catalog.reconciliation_position_drift_ratio, **BTC) == 0
    assert [value(catalog.reconciliation_checks, status=status) for status in ("ok", "drift", "failure")] == [1, 1, 1]


def test_who_the_bot_is_and_whether_it_is_meant_to_run(meters: Metered) -> None:
    bot = Bot(meters, mode="shadow", exchange=None, strategies=("a", "b"))
    bot.meters.collect()
    value = bot.meters.value
    assert value(catalog.info, version="1.2", mode="shadow", exchange="unknown", strategy="a,b") == 1
    assert value(catalog.trading_mode, mcbot_trading_mode="shadow") == 1
    assert value(catalog.trading_mode, mcbot_trading_mode="live") == 0
    assert value(catalog.expected_up) == 1
    assert value(catalog.cycles, outcome="abandoned") == 0
    bot.recorders.close()
    assert bot.value(catalog.expected_up) == 0


def test_what_the_telemetry_lost_is_told() -> None:
    with metered(strict=False) as meters:
        bot = Bot(meters)
        bot.recorders.regime.on_regime_score(math.nan)
        bot.tell(facts.OrderAcknowledged())
        with Guard("somewhere"):
            raise RuntimeError("of ours")
        bot.meters.collect()
        bot.meters.collect()
        value = bot.meters.value
        assert value(catalog.telemetry_dropped, signal="measurements", reason="value") == 1
        assert value(catalog.telemetry_dropped, signal="facts", reason="invalid") == 1
        assert value(catalog.telemetry_failures, place="somewhere") == 1


# -- all of it -----------------------------------------------------------------------------------------------------


def test_a_layer_that_fails_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    with metered(strict=False) as meters:
        bot = Bot(meters)

        def fail(*_: object) -> None:
            raise RuntimeError("broken")

        monkeypatch.setattr(bot.recorders.execution, "record_change", fail)
        bot.order()
        bot.fill(fill_id="1")
        assert bot.value(catalog.strategy_fills, strategy="ctrend", side="BUY") == 1
        assert Guard.failures["record"] == 2


def test_callbacks_never_raise() -> None:
    with metered(strict=False) as meters:
        bot = Bot(meters)

        class Unprintable:
            def __str__(self) -> str:
                raise RuntimeError("no")

        odd = Unprintable()
        r: Recorders = bot.recorders
        r.exchange.on_api_call(odd, odd, odd, odd)  # type: ignore[arg-type]
        r.websocket.on_ws_status(odd, True)  # type: ignore[arg-type]
        r.websocket.on_ws_message([])  # type: ignore[arg-type]
        r.onchain.on_fetch(odd, odd, odd, odd, odd)  # type: ignore[arg-type]
        r.regime.on_funding_rate(odd, odd)  # type: ignore[arg-type]
        r.execution.on_order_skipped(odd, odd)  # type: ignore[arg-type]
        r.anomaly.on_drawdown(odd, odd, odd, odd)  # type: ignore[arg-type]
        r.orchestrator.update(odd)
        r.reconciliation.on_check(odd, odd, odd)  # type: ignore[arg-type]
        bot.meters.collect()
        assert sum(Guard.failures.values()) + sum(instruments.dropped.values()) >= 9


def test_facts_from_many_threads_add_up(bot: Bot) -> None:
    bot.tell(facts.BalanceUpdated(equity=1_000.0))
    bot.order(strategy="ctrend")
    bot.fill(fill_id="1")

    def work() -> None:
        for _ in range(200):
            bot.recorders.on_fact(facts.PositionUpdated(symbol="BTC/USDT", size=1.0, realized_pnl_delta=1.0), (), None)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bot.value(catalog.strategy_pnl, strategy="ctrend") == 800
    assert bot.meters.value(catalog.strategy_trade_count, strategy="ctrend") == 800


def live(bot: Bot) -> None:
    """A short life in which everything happens once."""
    r = bot.recorders
    day = 1_522_540_800.0
    for n in range(3):
        bot.tell(facts.BarReceived(symbol="BTC/USDT", timeframe="1m", close=100.0, bar_time=day + n * 86_400))
        bot.tell(facts.SignalGenerated(strategy="ctrend", symbol="BTC/USDT", direction="LONG"))
        bot.order(f"ctrend-BTCUSDT-{n}", expected_price=None)
        bot.fill(f"ctrend-BTCUSDT-{n}", quantity=0.5, fill_id=f"{n}a", fee=0.1, price=100.1)
        bot.fill(f"ctrend-BTCUSDT-{n}", quantity=0.5, fill_id=f"{n}b", fee=0.1, price=100.1)
        bot.tell(
            facts.PositionUpdated(
                symbol="BTC/USDT",
                size=1.0,
                last_price=100.0,
                unrealized_pnl=1.0,
                realized_pnl_delta=(5.0, -3.0, 4.0)[n],
            )
        )
    bot.order("ctrend-BTCUSDT-9")
    bot.tell(facts.OrderRejected(client_id="ctrend-BTCUSDT-9", symbol="BTC/USDT", reason="duplicate"))
    bot.tell(
        facts.BalanceUpdated(
            equity=1e4, cash=1e3, margin_used=1e2, drawdown=0.1, open_positions=1, aggregate_leverage=2.0
        )
    )
    bot.tell(facts.Heartbeat())
    bot.tell(facts.ErrorOccurred(component="EventBus", error_type="KeyError"))
    bot.tell(facts.CircuitBreakerTripped())
    bot.tell(facts.RiskAlertRaised(level="WARNING"))
    r.execution.on_order_skipped("BTC/USDT", "min_notional")
    r.execution.on_order_skipped("BTC/USDT", "api_blocked")
    r.execution.on_fill_parse_failure("BTC/USDT")
    r.exchange.on_api_call("create_order", "success", 0.2)
    r.websocket.on_ws_status("BTC/USDT", True)
    r.websocket.on_ws_reconnect("BTC/USDT")
    r.websocket.on_ws_message("BTC/USDT")
    r.process.update(ProcessSnapshot(lag=0.0, tasks=1, rss=1, rss_peak=1, cpu=1.0, fds=3, threads=1))
    r.anomaly.on_drawdown("p", 0.2, 14, "WARNING")
    r.anomaly.on_drift("p", 0.3, 0.2)
    r.anomaly.on_decay("p", 0.1, -0.05, 0.2, False)
    r.anomaly.on_execution(0, 1.0)
    r.onchain.on_fetch("defillama", "tvl", "success", 3.0, 120)
    r.onchain.on_cache_refresh("success")
    r.onchain.on_cache_size("BTC/USDT", 14)
    r.orchestrator.update(
        OrchestratorSnapshot(
            states={"p": "production", "q": "incubation"},
            weights={"p": 0.5, "q": 0.5},
            returns={"p": UP, "q": DOWN},
            equity={"p": 1.0, "q": 1.0},
            drawdowns={"p": 0.0},
            targets={"p": {"BTC/USDT": 0.1}},
        )
    )
    r.regime.on_funding_rate("BTC/USDT", 0.0001)
    r.regime.on_open_interest("BTC/USDT", 1e9)
    r.regime.on_regime_score(0.5)
    r.reconciliation.on_check("ok", {"BTC/USDT": 0.0}, 0.0)
    r.tick(time.monotonic())


BUS = {name for name in GOLDEN if name.startswith("mcbot_eventbus_")}
"""Recorded by the integration of event buses, which has its own tests."""


def test_every_row_of_the_contract_has_something_that_records_it(bot: Bot) -> None:
    live(bot)
    seen = bot.meters.collect()
    recorded = {row.prometheus_name for row in catalog.rows() if row.otel_name in seen}
    assert set(GOLDEN) - BUS <= recorded
    assert len(BUS) == 5
    for row in catalog.rows():
        for labels in seen.get(row.otel_name, {}):
            assert {name for name, _ in labels} == set(row.labels), row.prometheus_name
    assert not instruments.dropped
    assert not Guard.failures


def test_recorders_know_no_sdk() -> None:
    import subprocess
    import sys

    code = "import sys, otel_mcbot.record; sys.exit(any(m.startswith('opentelemetry.sdk') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
