"""What each rule must see to fire, and what it must see to stay silent, as series that promtool plays to it.

A case is a recipe: series as functions of time, the moment at which the condition becomes true, the number in the
message, the moment at which it is over, and the same series one unit below the threshold. :mod:`promtool.plays` makes
promtool's files of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

Value = float | str | None
"""A sample; ``None`` is no sample, ``"stale"`` the end of the series."""
Curve = Callable[[int], Value]
"""Seconds → sample."""
Series = Mapping[str, Curve]
"""Metric with the labels beyond the bot's own → its samples."""

LATER: Final = 1800
"""Seconds after which a warning that goes on is critical."""


@dataclass(frozen=True)
class Case:
    """How one rule is tried.

    Attributes:
        bad: series of a bot that is in trouble.
        first: seconds to the first evaluation at which the condition holds.
        value: what the message says when it fires.
        end: seconds to the first evaluation at which it holds no more; 0 for never.
        just: the same bot, not quite in trouble; several ways.
        half: two bots like this have, together, what one must not have.
        labels: of the alert, beyond the bot's own.
        later: the value when the warning has become critical; ``None`` for the same.
        step: seconds between samples and between evaluations.
        bot: whether the series are those of a bot, with its four labels.
    """

    rule: str
    bad: Series
    first: int
    value: float
    end: int
    just: tuple[Series, ...] = ()
    half: Series | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    later: float | None = None
    step: int = 10
    bot: bool = True


def flat(value: Value) -> Curve:
    """Always the same."""
    return lambda t: value


def until(end: int, before: Curve, after: Curve) -> Curve:
    """One and then, from ``end`` on, the other."""
    return lambda t: before(t) if t < end else after(t)


def growing(each: float, *, every: int = 10, since: int = 0, last: int = 10**9) -> Curve:
    """A counter that grows by ``each`` at ``since`` + ``every``, and so on, ``last`` the last time."""
    return lambda t: each * (max(0, min(t, last) - since) // every)


def events(first: int, every: int, last: int, each: float = 1) -> Curve:
    """A counter that grows at ``first`` and every so many seconds until ``last``."""
    return growing(each, every=every, since=first - every, last=last)


def named(metric: str, labels: Mapping[str, str]) -> str:
    """A metric with labels."""
    inside = ", ".join(f'{key}="{value}"' for key, value in labels.items())
    return f"{metric}{{{inside}}}" if inside else metric


def gauge(
    rule: str, metric: str, bad: float, just: float, *, hold: int, step: int = 10, more: Series | None = None,
    only: Mapping[str, str] | None = None, half: bool = False, value: float | None = None, bot: bool = True,
    **labels: str,
) -> Case:  # fmt: skip
    """A gauge that is bad from the first sample on, long enough to become critical too.

    ``more`` stands beside it, ``only`` are labels that the alert does not have, ``half``: sums would be wrong,
    ``value``: what the message says, where it is not the gauge.
    """
    end = hold + LATER + 60
    name = named(metric, {**labels, **(only or {})})
    beside = more or {}
    return Case(
        rule,
        {name: until(end, flat(bad), flat(just)), **beside},
        first=0,
        value=bad if value is None else value,
        end=end,
        just=({name: flat(just), **beside},),
        half={name: flat(bad / 2), **beside} if half else None,
        labels=labels,
        step=step,
        bot=bot,
    )


def histogram(metric: str, bounds: Mapping[str, Curve], total: Curve, **labels: str) -> dict[str, Curve]:
    """Cumulative buckets by upper bound; ``total`` is the last bucket and the count."""
    buckets = {named(f"{metric}_bucket", {**labels, "le": bound}): curve for bound, curve in bounds.items()}
    return {
        **buckets,
        named(f"{metric}_bucket", {**labels, "le": "+Inf"}): total,
        named(f"{metric}_count", labels): total,
    }


BTC: Final = {"symbol": "BTC/USDT:USDT"}
FILLS: Final = {**BTC, "side": "BUY"}
_ORDER: Final = "mcbot_oldest_order_seconds"
_FETCH: Final = "mcbot_onchain_fetch_total"
_LOKI: Final = {"exporter": "otlp_http/loki"}
_QUEUE: Final = {"data_type": "logs", **_LOKI}
_DROP: Final = {"signal": "spans", "reason": "buffer_full"}


def _mixed(metric: str, limit: str, above: str, count: Curve, share: float, **labels: str) -> dict[str, Curve]:
    """Observations of which a share lies between the bound below ``limit`` and ``limit``, the rest just above it."""

    def below(t: int) -> Value:
        total = count(t)
        return total * share if isinstance(total, int | float) else total

    return histogram(metric, {"0.5": flat(0), limit: below, above: count}, count, **labels)


def _slippage(share: float, fills: Curve) -> dict[str, Curve]:
    return _mixed("mcbot_slippage_bps", "20", "50", fills, share, **FILLS)


def _latency(share: float, calls: Curve) -> dict[str, Curve]:
    return _mixed("mcbot_exchange_api_latency_seconds", "5", "10", calls, share, endpoint="create_order")


def _fetch(share: float, fetches: Curve) -> dict[str, Curve]:
    return _mixed("mcbot_onchain_fetch_latency_seconds", "60", "120", fetches, share, source="defillama")


def _fetches(failed: Curve, succeeded: Curve) -> dict[str, Curve]:
    return {
        named(_FETCH, {"source": "defillama", "status": "failure"}): failed,
        named(_FETCH, {"source": "defillama", "status": "success"}): succeeded,
        named(_FETCH, {"source": "defillama", "status": "empty"}): flat(0),
    }


def _signals(long: Curve) -> dict[str, Curve]:
    return {
        named("mcbot_strategy_signals_total", {"strategy": "anchor-mom", "side": side}): curve
        for side, curve in (("LONG", long), ("SHORT", flat(0)), ("NEUTRAL", flat(0)))
    }


def clock(t: int) -> Value:
    """A gauge that is a time, and says now."""
    return t


def gap(after: int, back: int, curve: Curve = clock) -> Curve:
    """Nothing between the two."""
    return lambda t: None if after < t < back else curve(t)


COLLECTOR: Final = {
    'otelcol_process_uptime_seconds_total{job="mcbot/collector", instance="collector", service_name="collector"}': clock
}
"""A Collector that is there all the time. Its series are its own: they take no label of a bot."""

_UP: Final = "mcbot_uptime_seconds"
_BEAT: Final = "mcbot_heartbeat_timestamp"
_WANTED: Final = "mcbot_expected_up"
_RECEIVED: Final = {"mcbot_collector_received_points": flat(50)}

CASES: Final = (
    # -- watch
    Case(
        "BotDown",
        {_UP: gap(300, 700), _WANTED: gap(300, 700, flat(1)), **COLLECTOR},
        first=370, value=100, end=700,
        just=({_UP: gap(300, 370), _WANTED: gap(300, 370, flat(1)), **COLLECTOR},),
    ),
    Case(
        "HeartbeatStale",
        {_BEAT: lambda t: t if t <= 60 or t >= 600 else 60, _UP: clock},
        first=190, value=190, end=600,
        just=({_BEAT: lambda t: t - 120, _UP: clock},),
    ),
    Case(
        "BotRestarted",
        {_UP: lambda t: t % 300 if t < 2100 else t - 2100},
        first=300, value=1, later=2, end=2690,
        just=({_UP: clock},),
    ),
    Case(
        "SymbolNeverArrived",
        {
            named("mcbot_bar_age_seconds", {**BTC, "timeframe": "1m"}): lambda t: t if t < 2100 else 0,
            named("mcbot_expected_symbol", {**BTC, "timeframe": "1m"}): flat(1),
        },
        first=190, value=130, later=1930, end=2100, labels={**BTC, "timeframe": "1m"},
        just=(
            {
                named("mcbot_bar_age_seconds", {**BTC, "timeframe": "1m"}): flat(180),
                named("mcbot_expected_symbol", {**BTC, "timeframe": "1m"}): flat(1),
            },
            {named("mcbot_bar_age_seconds", {**BTC, "timeframe": "1m"}): clock},
        ),
    ),
    # -- account
    gauge("HighDrawdown", "mcbot_drawdown_pct", 10.1, 10, hold=60, half=True),
    gauge("HighMarginUtilization", "mcbot_margin_used_usdt", 801, 800, hold=120, half=True, value=0.801,
          more={"mcbot_equity_usdt": flat(1000)}),
    gauge("HighAggregateLeverage", "mcbot_aggregate_leverage", 5.1, 5, hold=60, half=True),
    Case("CircuitBreakerTriggered", {"mcbot_circuit_breaker_total": events(60, 10**6, 60)},
         first=60, value=1, end=350, just=({"mcbot_circuit_breaker_total": flat(0)},)),
    # -- execution
    Case(
        "HighSlippage", _slippage(0.94, events(60, 300, 2460, each=5)),
        first=60, value=25, end=3350, labels=FILLS,
        just=(_slippage(0.951, events(60, 300, 2460, each=5)), _slippage(0.94, events(60, 10**6, 60, each=4))),
        half=_slippage(0.94, events(60, 10**6, 60, each=3)),
    ),
    gauge("ExecutionLowFillRate", "mcbot_execution_fill_rate", 0.79, 0.8, hold=300),
    gauge("ExecutionConsecutiveRejections", "mcbot_execution_consecutive_rejections", 5, 4, hold=0, half=True),
    Case("LiveAPIBlocked", {named("mcbot_live_api_blocked_total", BTC): events(60, 10**6, 60)},
         first=60, value=1, end=350, labels=BTC, just=({named("mcbot_live_api_blocked_total", BTC): flat(0)},)),
    Case("LiveFillParseFailure", {named("mcbot_live_fill_parse_failure_total", BTC): events(60, 60, 1920)},
         first=60, value=1, later=5, end=2210, labels=BTC,
         just=({named("mcbot_live_fill_parse_failure_total", BTC): flat(7)},)),
    Case("LiveFrequentMinNotionalSkip", {named("mcbot_live_min_notional_skip_total", BTC): events(60, 60, 180)},
         first=180, value=3, end=3650, labels=BTC,
         just=({named("mcbot_live_min_notional_skip_total", BTC): events(60, 60, 120)},),
         half={named("mcbot_live_min_notional_skip_total", BTC): events(60, 60, 120)}),
    # -- orders
    gauge("SignalWithoutRequest", _ORDER, 61, 60, hold=30, half=True, only={"stage": "signal"}),
    gauge("RequestWithoutAck", _ORDER, 31, 30, hold=0, half=True, only={"stage": "request"}),
    gauge("OrderWithoutEnd", _ORDER, 86_401, 86_400, hold=300, half=True, only={"stage": "ack"}),
    # -- exchange
    gauge("APIUnhealthy", "mcbot_exchange_consecutive_failures", 5, 4, hold=30, half=True),
    Case(
        "APIReadFailures",
        {named("mcbot_exchange_api_calls_total", {"endpoint": "fetch_balance", "status": "failure"}):
         growing(1.5, last=2400)},
        first=210, value=0.15, end=2500, labels={"endpoint": "fetch_balance"},
        just=(
            {named("mcbot_exchange_api_calls_total", {"endpoint": "fetch_balance", "status": "failure"}): growing(0.9)},
            {named("mcbot_exchange_api_calls_total", {"endpoint": "fetch_balance", "status": "success"}): growing(9)},
            {named("mcbot_exchange_api_calls_total", {"endpoint": "create_order", "status": "failure"}): growing(9)},
        ),
        half={named("mcbot_exchange_api_calls_total", {"endpoint": "fetch_balance", "status": "failure"}):
              growing(0.75)},
    ),
    Case(
        "APILatencyHigh", _latency(0.94, events(60, 120, 2220, each=3)),
        first=60, value=5 + 5 / 6, end=2510, labels={"endpoint": "create_order"},
        just=(_latency(0.951, events(60, 120, 2220, each=3)), _latency(0.94, events(60, 10**6, 60, each=2))),
        half=_latency(0.94, events(60, 10**6, 60, each=2)),
    ),
    Case(
        "APIRateLimitApproaching",
        {named("mcbot_exchange_api_calls_total", {"endpoint": "fetch_ticker", "status": "success"}):
         growing(160, last=2100)},
        first=60, value=960, end=2110,
        just=({named("mcbot_exchange_api_calls_total", {"endpoint": "fetch_ticker", "status": "success"}):
               growing(149)},),
        half={named("mcbot_exchange_api_calls_total", {"endpoint": "fetch_ticker", "status": "success"}): growing(80)},
    ),
    # -- websocket
    gauge("WSDisconnected", "mcbot_exchange_ws_connected", 0, 1, hold=120, **BTC),
    Case("WSFrequentReconnects", {named("mcbot_ws_reconnects_total", BTC): events(60, 60, 2040)},
         first=180, value=3, later=5, end=2210, labels=BTC,
         just=({named("mcbot_ws_reconnects_total", BTC): events(60, 180, 2040)},),
         half={named("mcbot_ws_reconnects_total", BTC): events(60, 180, 2040)}),
    gauge("WSNoMessages", "mcbot_ws_last_message_age_seconds", 61, 60, hold=60, half=True, **BTC),
    # -- strategy
    gauge("StrategyPnlNegative", "mcbot_strategy_pnl_usdt", -501, -500, hold=3600, step=60, half=True,
          strategy="anchor-mom"),
    Case("StrategySignalSilent", _signals(lambda t: 0 if t < 90_000 else 1),
         first=60, value=0, end=90_000, labels={"strategy": "anchor-mom"}, step=60,
         just=(_signals(growing(1, every=18_000)),)),
    # -- anomaly
    gauge("DistributionDrift", "mcbot_distribution_p_value", 0.049, 0.05, hold=86_400, step=60, strategy="pod-a"),
    gauge("DistributionDriftCritical", "mcbot_distribution_p_value", 0.009, 0.01, hold=86_400, step=60,
          strategy="pod-a"),
    gauge("StructuralDecay", "mcbot_ransac_decay_detected", 1, 0, hold=86_400, step=60, strategy="pod-a"),
    gauge("StructuralDecayCritical", "mcbot_ransac_slope", 0, 0.001, hold=86_400, step=60, strategy="pod-a",
          more={named("mcbot_ransac_current_cumulative", {"strategy": "pod-a"}): flat(0.9),
                named("mcbot_ransac_conformal_lower", {"strategy": "pod-a"}): flat(1)}),
    gauge("GBMDrawdownWarning", "mcbot_gbm_severity", 1, 0, hold=0, strategy="pod-a"),
    gauge("GBMDrawdownCritical", "mcbot_gbm_severity", 2, 1, hold=0, half=True, strategy="pod-a"),
    # -- orchestrator
    gauge("PodInProbation", "mcbot_pod_lifecycle_state", 1, 0, hold=0,
          only={"mcbot_pod_lifecycle_state": "probation"}, pod_id="pod-a"),
    gauge("NettingLowOffset", "mcbot_netting_offset_ratio", 0.09, 0.1, hold=3600, step=60,
          more={"mcbot_netting_gross_exposure": flat(1)}),
    gauge("HighGrossExposure", "mcbot_netting_gross_exposure", 3.1, 3, hold=300, half=True),
    # -- on-chain
    Case(
        "OnchainFetchHighFailureRate",
        _fetches(growing(3, every=600), lambda t: 2 * (t // 600) + (1000 if t >= 6600 else 0)),
        first=600, value=0.6, end=6600, labels={"source": "defillama"}, step=60,
        just=(_fetches(growing(1, every=600), growing(1, every=600)), _fetches(events(600, 10**6, 600), flat(0))),
        half=_fetches(events(600, 10**6, 600), flat(0)),
    ),
    Case(
        "OnchainDataStale",
        {named("mcbot_onchain_last_success_timestamp", {"source": "defillama"}):
         lambda t: -172_700 if t < 6600 else t},
        first=120, value=176_420, later=178_220, end=6600, labels={"source": "defillama"}, step=60,
        just=({named("mcbot_onchain_last_success_timestamp", {"source": "defillama"}): lambda t: t - 172_800},),
    ),
    gauge("OnchainCacheEmpty", "mcbot_onchain_cache_size", 0, 1, hold=1800, step=60, **BTC),
    Case("OnchainFetchSlow", _fetch(0.93, events(60, 10**6, 60)),
         first=60, value=60 + 60 * 2 / 7, end=3650, labels={"source": "defillama"},
         just=(_fetch(0.951, events(60, 10**6, 60)),)),
    # -- bus
    Case("EventsDropped", {"mcbot_eventbus_events_dropped_total": growing(1, last=2400)},
         first=10, value=13 / 300, later=0.1, end=2690, just=({"mcbot_eventbus_events_dropped_total": flat(9)},)),
    gauge("QueueCongestion", "mcbot_eventbus_queue_depth", 5001, 5000, hold=60, half=True),
    gauge("QueueCongestionCritical", "mcbot_eventbus_queue_depth", 8001, 8000, hold=30, half=True),
    Case("HandlerErrorsHigh", {"mcbot_eventbus_handler_errors_total": growing(0.2, last=2400)},
         first=160, value=5.6 / 300, later=0.02, end=2550,
         just=({"mcbot_eventbus_handler_errors_total": growing(0.09)},),
         half={"mcbot_eventbus_handler_errors_total": growing(0.09)}),
    # -- process
    gauge("HighEventLoopLag", "mcbot_event_loop_lag_seconds", 1.1, 1, hold=60, half=True),
    gauge("HighMemoryUsage", "mcbot_process_memory_rss_bytes", 2_147_483_649, 2_147_483_648, hold=300, half=True),
    gauge("HighFDCount", "mcbot_process_open_fds", 1001, 1000, hold=120, half=True),
    gauge("HighCPUUsage", "mcbot_process_cpu_percent", 80.1, 80, hold=120, half=True),
    gauge("HighTaskCount", "mcbot_active_tasks", 201, 200, hold=300, half=True),
    gauge("HighThreadCount", "mcbot_process_thread_count", 51, 50, hold=300, half=True),
    Case("HighGCPressure", {named("mcbot_process_gc_collections_total", {"generation": "2"}): growing(1.5, last=2700)},
         first=210, value=0.15, end=2800,
         just=({named("mcbot_process_gc_collections_total", {"generation": "2"}): growing(0.9)},
               {named("mcbot_process_gc_collections_total", {"generation": "0"}): growing(9)}),
         half={named("mcbot_process_gc_collections_total", {"generation": "2"}): growing(0.75)}),
    # -- pipeline
    Case("TelemetryDropped", {named("mcbot_telemetry_dropped_total", _DROP): events(60, 60, 1920)},
         first=60, value=1, later=5, end=2210, labels=_DROP,
         just=({named("mcbot_telemetry_dropped_total", _DROP): flat(0)},)),
    Case("MetricOverflow",
         {'mcbot_orders_total{otel_metric_overflow="true"}': until(2000, clock, flat("stale"))},
         first=0, value=1, end=2000, labels={"metric": "mcbot_orders_total"},
         just=({"mcbot_orders_total": clock},)),
    Case("PointsRefused",
         {**_RECEIVED, "target_info": lambda t: None if t < 2500 else 1},
         first=20, value=30, end=2770, just=({**_RECEIVED, "target_info": lambda t: None if t < 20 else 1},)),
    gauge("CollectorQueueFilling", "otelcol_exporter_queue_size", 81, 80, hold=60, value=0.81, bot=False,
          only={"data_type": "logs"}, more={named("otelcol_exporter_queue_capacity", _QUEUE): flat(100)}, **_LOKI),
    Case("CollectorSendFailing",
         {named("otelcol_exporter_send_failed_log_records_total", _LOKI):
          lambda t: None if t < 60 else 5 * ((min(t, 2400) - 50) // 10)},
         first=60, value=90, end=2580, labels=_LOKI, bot=False,
         just=({named("otelcol_exporter_send_failed_log_records_total", _LOKI): lambda t: None if t < 60 else 5},)),
    Case("CollectorDown", {"otelcol_process_uptime_seconds_total": gap(300, 700)},
         first=370, value=100, end=700, bot=False,
         just=({"otelcol_process_uptime_seconds_total": gap(300, 370)},)),
    gauge("BackendDown", "up", 0, 1, hold=60, bot=False, backend="loki"),
    gauge("HostDiskFilling", "system_filesystem_utilization_ratio", 0.91, 0.9, hold=300, bot=False, mountpoint="/"),
    Case("Watchdog", {}, first=0, value=1, end=0, bot=False),
)  # fmt: skip
