"""Every instrument, one statement each, by layer: the only place where a metric is named.

The attribute is the OTel name without ``mcbot.``, its dots as underscores. The Prometheus name is derived from name,
unit and kind (:mod:`otel_mcbot.naming`) and is a contract: dashboards and alerts of old keep working. So a unit that
would add a word that the contract does not have is left out (a ratio is no ``1``, a timestamp is no ``s``). Labels
are the bare words of the contract; :data:`otel_mcbot.semconv.LABELS` maps them to attributes. Rows marked ``ours``
are not in the contract.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, TypeVar

from opentelemetry.metrics import Meter

from otel_mcbot.instruments import Counter, EnumGauge, Gauge, Handle, Histogram, Info, ObservableCounter

ORDER_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
QUEUE_SECONDS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
API_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
FETCH_SECONDS: Final = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
BPS: Final = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
SIGNED_BPS: Final = (-100.0, -50.0, -20.0, -10.0, -5.0, 0.0, 5.0, 10.0, 20.0, 50.0, 100.0)

MODES: Final = ("backtest", "paper", "shadow", "live")
POD_STATES: Final = ("incubation", "production", "warning", "probation", "retired")


@dataclass(frozen=True, slots=True)
class Row:
    """One metric as it is documented. ``buckets`` are upper bounds, ``None`` for what is no histogram."""

    prometheus_name: str
    otel_name: str
    type: str
    labels: tuple[str, ...]
    unit: str
    buckets: tuple[float, ...] | None
    layer: str
    ours: bool
    meaning: str


_ROWS: list[Row] = []
_HANDLES: list[Handle] = []
H = TypeVar("H", bound=Handle)


class _Layer:
    """Takes the rows of one layer into the catalog and hands each handle on."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, handle: H, *, ours: bool = False) -> H:
        buckets = handle.buckets if isinstance(handle, Histogram) else None
        _ROWS.append(
            Row(
                handle.prometheus_name, handle.name, handle.type, handle.all_labels, handle.unit, buckets,
                self.name, ours, handle.meaning,
            )
        )  # fmt: skip
        _HANDLES.append(handle)
        return handle

    def ours(self, handle: H) -> H:
        """A row that the contract does not have."""
        return self(handle, ours=True)


# -- 1 execution ---------------------------------------------------------------------------------------------------

_execution = _Layer("1 execution")
orders = _execution(
    Counter(
        "mcbot.orders",
        "{order}",
        "symbol side order_type status",
        "Orders by what the venue said: ack, filled, rejected. One order counts once a status; filled at completion",
        limit=1_900,  # 12 sets a symbol that trades both ways by market and limit
    )
)
order_latency = _execution(
    Histogram("mcbot.order.latency", "s", "symbol", "Order request to complete fill", buckets=ORDER_SECONDS)
)
slippage = _execution(
    Histogram(
        "mcbot.slippage",
        "bps",
        "symbol side",
        "Distance of the fill from the expected price, of each part",
        buckets=BPS,
    )
)
slippage_signed = _execution(
    Histogram(
        "mcbot.slippage.signed",
        "bps",
        "symbol side",
        "Slippage with its sign: above 0 is adverse",
        buckets=SIGNED_BPS,
        signed=True,
    )
)
order_rejected = _execution(
    Counter(
        "mcbot.order.rejected",
        "{order}",
        "symbol reason",
        "Rejected orders: leverage_exceeded, max_positions, order_size_exceeded, circuit_breaker, duplicate, other",
    )
)
fees = _execution(Counter("mcbot.fees", "usdt", "symbol", "Fees paid; rebates are not taken off"))
fills = _execution(Counter("mcbot.fills", "{fill}", "symbol side", "Fills, each part of an order"))
signals = _execution(Counter("mcbot.signals", "{signal}", "symbol", "Signals"))
bars = _execution(Counter("mcbot.bars", "{bar}", "timeframe", "Bars received"))
orders_lost = _execution.ours(
    Counter("mcbot.orders.lost", "{order}", "symbol", "Orders of which nobody knows what became")
)
open_orders = _execution.ours(Gauge("mcbot.open_orders", "{order}", "", "Orders that are not at an end yet"))
oldest_order = _execution.ours(
    Gauge(
        "mcbot.oldest_order",
        "s",
        "stage",
        "Age of the oldest order: not sent since its signal, not answered since its request, open since its ack, or 0",
    )
)

# -- 1b live execution: live and paper only ------------------------------------------------------------------------

_live_execution = _Layer("1b live execution")
live_min_notional_skip = _live_execution(
    Counter("mcbot.live.min_notional_skip", "{order}", "symbol", "Orders not sent: below the venue's least notional")
)
live_api_blocked = _live_execution(
    Counter("mcbot.live.api_blocked", "{order}", "symbol", "Orders not sent: the API is unhealthy")
)
live_partial_fill = _live_execution(
    Counter("mcbot.live.partial_fill", "{fill}", "symbol", "Fills that did not complete their order")
)
live_fill_parse_failure = _live_execution(
    Counter("mcbot.live.fill_parse_failure", "{fill}", "symbol", "Fill responses nobody can read")
)

# -- 2 position and PnL --------------------------------------------------------------------------------------------

_account = _Layer("2 position and PnL")
equity = _account(Gauge("mcbot.equity", "usdt", "", "Value of the portfolio"))
drawdown = _account(Gauge("mcbot.drawdown", "pct", "", "Fall from the highest equity, 0 to 100"))
cash = _account(Gauge("mcbot.cash", "usdt", "", "Free cash"))
open_positions = _account(Gauge("mcbot.open_positions", "{position}", "", "Open positions"))
position_size = _account(Gauge("mcbot.position.size", "{base}", "symbol", "Quantity of the position, without its side"))
position_notional = _account(Gauge("mcbot.position.notional", "usdt", "symbol", "Quantity at the last price"))
unrealized_pnl = _account(Gauge("mcbot.unrealized_pnl", "usdt", "symbol", "PnL of the open position"))
realized_profit = _account(Counter("mcbot.realized_profit", "usdt", "symbol", "Profits realized"))
realized_loss = _account(Counter("mcbot.realized_loss", "usdt", "symbol", "Losses realized, as a positive number"))
aggregate_leverage = _account(Gauge("mcbot.aggregate_leverage", "", "", "Sum of all notionals over equity"))
margin_used = _account(Gauge("mcbot.margin_used", "usdt", "", "Margin in use"))

# -- 3 exchange API ------------------------------------------------------------------------------------------------

_exchange = _Layer("3 exchange API")
exchange_api_calls = _exchange(
    Counter(
        "mcbot.exchange.api.calls", "{call}", "endpoint status", "Calls of the nine trading endpoints: success, failure"
    )
)
exchange_api_latency = _exchange(
    Histogram(
        "mcbot.exchange.api.latency",
        "s",
        "endpoint",
        "Time of a call, retries and backoff included",
        buckets=API_SECONDS,
    )
)
exchange_consecutive_failures = _exchange(
    Gauge(
        "mcbot.exchange.consecutive_failures",
        "{failure}",
        "",
        "Write calls that failed in a row, InvalidOrder aside; the venue is unhealthy at 5",
    )
)

# -- 4 bot health --------------------------------------------------------------------------------------------------

_health = _Layer("4 bot health")
uptime = _health(Gauge("mcbot.uptime", "s", "", "Since the start of the telemetry, monotonic"))
heartbeat_timestamp = _health(Gauge("mcbot.heartbeat.timestamp", "", "", "Unix time of the last heartbeat"))
errors = _health(
    Counter(
        "mcbot.errors",
        "{error}",
        "component error_type",
        "Errors by component (EventBus, LiveRunner, Exchange …) and exception class",
    )
)
eventbus_queue_depth = _health(Gauge("mcbot.eventbus.queue_depth", "{event}", "", "Events that wait in the bus"))
eventbus_events_dropped = _health(
    ObservableCounter("mcbot.eventbus.events_dropped", "{event}", "", "Events that the bus dropped")
)
eventbus_handler_errors = _health(
    ObservableCounter("mcbot.eventbus.handler_errors", "{error}", "", "Exceptions of the bus' handlers")
)
last_bar_age = _health(
    Gauge("mcbot.last_bar.age", "s", "symbol", "Since the symbol's last bar of any timeframe, or since the start")
)
circuit_breaker = _health(Counter("mcbot.circuit_breaker", "{trip}", "", "Trips of the circuit breaker"))
risk_alerts = _health(
    Counter("mcbot.risk_alerts", "{alert}", "level", "Risk alerts of every source: WARNING, CRITICAL")
)
eventbus_events_published = _health(
    ObservableCounter("mcbot.eventbus.events_published", "{event}", "", "Events published")
)
eventbus_max_queue_depth = _health(
    Gauge("mcbot.eventbus.max_queue_depth", "{event}", "", "Most events that waited in the bus")
)
pending_orders_count = _health(Gauge("mcbot.pending_orders_count", "{order}", "", "Orders sent and not answered yet"))
eventbus_queue_wait = _health.ours(
    Histogram("mcbot.eventbus.queue_wait", "s", "", "Time of an event in the bus' queue", buckets=QUEUE_SECONDS)
)
bar_age = _health.ours(
    Gauge("mcbot.bar.age", "s", "symbol timeframe", "Since the last bar of this timeframe, or since the start")
)
expected_symbol = _health.ours(
    Gauge("mcbot.expected_symbol", "", "symbol timeframe", "1 for what the bot was configured to receive")
)
expected_up = _health.ours(
    Gauge("mcbot.expected_up", "", "", "1 while the bot is meant to run, 0 after an orderly stop")
)
maintenance = _health.ours(Gauge("mcbot.maintenance", "", "", "1 while silence is planned"))
cycles = _health.ours(Counter("mcbot.cycles", "{cycle}", "outcome", "Trade cycles by outcome"))
cycles_unsampled = _health.ours(
    Counter("mcbot.cycles.unsampled", "{cycle}", "", "Uneventful cycles of which no trace was kept")
)
stage_duration = _health.ours(
    Histogram("mcbot.stage.duration", "s", "stage", "Time of a stage of the trade cycle", buckets=ORDER_SECONDS)
)

# -- 5 strategy ----------------------------------------------------------------------------------------------------

_strategy = _Layer("5 strategy")
strategy_pnl = _strategy(
    Gauge("mcbot.strategy.pnl", "usdt", "strategy", "PnL realized since the start, by the symbol's last fill")
)
strategy_drawdown = _strategy(
    Gauge(
        "mcbot.strategy.drawdown",
        "pct",
        "strategy",
        "Fall of its PnL from the peak, of the account's equity at that peak",
    )
)
strategy_win_rate = _strategy(
    Gauge("mcbot.strategy.win_rate", "", "strategy", "Share of its last 20 trades that won, 0 to 1")
)
strategy_sharpe_rolling = _strategy(
    Gauge("mcbot.strategy.sharpe_rolling", "", "strategy", "Sharpe ratio of its daily PnL, 30 days, annualised")
)
strategy_signals = _strategy(
    Counter("mcbot.strategy.signals", "{signal}", "strategy side", "Signals: LONG, SHORT, NEUTRAL")
)
strategy_fills = _strategy(
    Counter("mcbot.strategy.fills", "{fill}", "strategy side", "Fills of orders that it asked for")
)
strategy_fees = _strategy(Counter("mcbot.strategy.fees", "usdt", "strategy", "Fees of its fills"))
strategy_slippage = _strategy(
    Histogram(
        "mcbot.strategy.slippage",
        "bps",
        "strategy symbol side",
        "Distance of its fills from the expected price",
        buckets=BPS,
        limit=640,
    )
)
strategy_realized_profit = _strategy(
    Counter("mcbot.strategy.realized_profit", "usdt", "strategy", "Profits it realized")
)
strategy_realized_loss = _strategy(
    Counter("mcbot.strategy.realized_loss", "usdt", "strategy", "Losses it realized, positive")
)
strategy_trade_count = _strategy(
    Counter("mcbot.strategy.trade_count", "{trade}", "strategy", "Its trades that realized PnL")
)

# -- 6 websocket ---------------------------------------------------------------------------------------------------

_websocket = _Layer("6 websocket")
exchange_ws_connected = _websocket(Gauge("mcbot.exchange.ws_connected", "", "symbol", "1 connected, 0 not"))
ws_reconnects = _websocket(
    Counter("mcbot.ws.reconnects", "{reconnect}", "symbol", "Reconnects that succeeded after a drop")
)
ws_last_message_age = _websocket(Gauge("mcbot.ws.last_message.age", "s", "symbol", "Since the symbol's last message"))
ws_messages_received = _websocket(Counter("mcbot.ws.messages_received", "{message}", "symbol", "Messages received"))
ws_reconnect_failures = _websocket.ours(
    Gauge("mcbot.ws.reconnect_failures", "{failure}", "symbol", "Reconnects that failed in a row")
)

# -- 7 process -----------------------------------------------------------------------------------------------------

_process = _Layer("7 process")
event_loop_lag = _process(
    Gauge("mcbot.event_loop.lag", "s", "", "Lateness of the loop's beat, or its age while the loop hangs")
)
active_tasks = _process(Gauge("mcbot.active_tasks", "{task}", "", "Tasks of the event loop"))
process_memory_rss = _process(Gauge("mcbot.process.memory.rss", "By", "", "Resident memory"))
process_memory_rss_peak = _process(Gauge("mcbot.process.memory.rss.peak", "By", "", "Most resident memory so far"))
process_cpu = _process(Gauge("mcbot.process.cpu", "%", "", "CPU time of the process over wall time"))
process_open_fds = _process(
    Gauge("mcbot.process.open_fds", "{fd}", "", "Open file descriptors; absent where they cannot be read")
)
process_gc_collections = _process(
    ObservableCounter(
        "mcbot.process.gc_collections", "{collection}", "generation", "Runs of the garbage collector by generation"
    )
)
process_thread_count = _process(Gauge("mcbot.process.thread_count", "{thread}", "", "Threads of the process"))

# -- 8 anomaly -----------------------------------------------------------------------------------------------------

_anomaly = _Layer("8 anomaly")
distribution_ks_statistic = _anomaly(
    Gauge("mcbot.distribution.ks_statistic", "", "strategy", "KS statistic of its returns")
)
distribution_p_value = _anomaly(Gauge("mcbot.distribution.p_value", "", "strategy", "p-value of the KS test"))
ransac_slope = _anomaly(Gauge("mcbot.ransac.slope", "", "strategy", "RANSAC slope of the cumulative return, a day"))
ransac_conformal_lower = _anomaly(Gauge("mcbot.ransac.conformal_lower", "", "strategy", "Conformal lower bound"))
ransac_decay_detected = _anomaly(
    Gauge("mcbot.ransac.decay_detected", "", "strategy", "1 when the slope is not above 0 or the level is breached")
)
ransac_current_cumulative = _anomaly(Gauge("mcbot.ransac.current_cumulative", "", "strategy", "Cumulative return now"))
gbm_drawdown_depth = _anomaly(Gauge("mcbot.gbm.drawdown_depth", "", "strategy", "Depth of the drawdown, 0 to 1"))
gbm_drawdown_duration = _anomaly(Gauge("mcbot.gbm.drawdown_duration", "d", "strategy", "Days in the drawdown"))
gbm_severity = _anomaly(Gauge("mcbot.gbm.severity", "", "strategy", "0 NORMAL, 1 WARNING, 2 CRITICAL"))
execution_consecutive_rejections = _anomaly(
    Gauge("mcbot.execution.consecutive_rejections", "{order}", "", "Orders rejected in a row")
)
execution_fill_rate = _anomaly(
    Gauge("mcbot.execution.fill_rate", "", "", "Share of the last hour's orders that filled, 0 to 1")
)
anomalies = _anomaly.ours(
    Counter("mcbot.anomalies", "{anomaly}", "detector severity", "Turns of a detector to WARNING or CRITICAL")
)

# -- 9 on-chain ----------------------------------------------------------------------------------------------------

_onchain = _Layer("9 on-chain")
onchain_fetch = _onchain(Counter("mcbot.onchain.fetch", "{fetch}", "source status", "Fetches: success, failure, empty"))
onchain_fetch_latency = _onchain(
    Histogram("mcbot.onchain.fetch.latency", "s", "source", "Time of a fetch", buckets=FETCH_SECONDS)
)
onchain_fetch_rows = _onchain(Gauge("mcbot.onchain.fetch.rows", "{row}", "source name", "Rows of the last fetch"))
onchain_last_success_timestamp = _onchain(
    Gauge("mcbot.onchain.last_success_timestamp", "", "source", "Unix time of the last fetch that succeeded")
)
onchain_cache_size = _onchain(Gauge("mcbot.onchain.cache_size", "{column}", "symbol", "Cached columns"))
onchain_cache_refresh = _onchain(
    Counter("mcbot.onchain.cache_refresh", "{refresh}", "status", "Refreshes: success, failure")
)

# -- 10 orchestrator -----------------------------------------------------------------------------------------------

_orchestrator = _Layer("10 orchestrator")
pod_equity = _orchestrator(Gauge("mcbot.pod.equity", "usdt", "pod_id", "Equity of the pod"))
pod_allocation_fraction = _orchestrator(
    Gauge("mcbot.pod.allocation_fraction", "", "pod_id", "Its share of the capital, 0 to 1")
)
pod_rolling_sharpe = _orchestrator(Gauge("mcbot.pod.rolling_sharpe", "", "pod_id", "Its rolling Sharpe ratio"))
pod_drawdown = _orchestrator(Gauge("mcbot.pod.drawdown", "pct", "pod_id", "Its drawdown, 0 to 100"))
pod_risk_contribution = _orchestrator(
    Gauge(
        "mcbot.pod.risk_contribution",
        "",
        "pod_id",
        "Its share of the portfolio's variance; 1/N with fewer than two active",
    )
)
pod_lifecycle_state = _orchestrator(
    EnumGauge("mcbot.pod.lifecycle_state", "", "pod_id", "State of the pod", states=POD_STATES)
)
pod_exposure = _orchestrator.ours(
    Gauge(
        "mcbot.pod.exposure",
        "",
        "pod_id symbol",
        "Target weight of the pod in the symbol, signed: above 0 long, below short",
    )
)
portfolio_effective_n = _orchestrator(
    Gauge("mcbot.portfolio.effective_n", "", "", "1 / sum of the squared risk contributions")
)
portfolio_avg_correlation = _orchestrator(
    Gauge("mcbot.portfolio.avg_correlation", "", "", "Mean pairwise correlation of active pods")
)
active_pods = _orchestrator(Gauge("mcbot.active_pods", "{pod}", "", "Pods that are not retired"))
netting_gross_exposure = _orchestrator(
    Gauge("mcbot.netting.gross_exposure", "", "", "Sum of |weight| over pods and symbols")
)
netting_net_exposure = _orchestrator(Gauge("mcbot.netting.net_exposure", "", "", "Sum over symbols of |summed weight|"))
netting_offset_ratio = _orchestrator(
    Gauge("mcbot.netting.offset_ratio", "1", "", "1 - net / gross: 0 no offset, 1 complete")
)

# -- meta ----------------------------------------------------------------------------------------------------------

_meta = _Layer("meta")
info = _meta(Info("mcbot.info", "", "version mode exchange strategy", "What the bot is"))
trading_mode = _meta(EnumGauge("mcbot.trading_mode", "", "", "How the bot trades", states=MODES))
telemetry_dropped = _meta.ours(
    ObservableCounter(
        "mcbot.telemetry.dropped",
        "{item}",
        "signal reason",
        "What was lost on its way: spans, log_records, measurements, facts",
    )
)
telemetry_failures = _meta.ours(
    ObservableCounter(
        "mcbot.telemetry.failures", "{failure}", "place", "Exceptions inside the telemetry that the bot never saw"
    )
)

# -- regime --------------------------------------------------------------------------------------------------------

_regime = _Layer("regime")
funding_rate = _regime(Gauge("mcbot.funding_rate", "", "symbol", "Funding rate, a fraction"))
open_interest = _regime(Gauge("mcbot.open_interest", "usdt", "symbol", "Open interest"))
regime_score = _regime(Gauge("mcbot.regime_score", "", "", "Score of the market's regime"))

# -- reconciliation ------------------------------------------------------------------------------------------------

_reconciliation = _Layer("reconciliation")
reconciliation_position_drift_ratio = _reconciliation(
    Gauge(
        "mcbot.reconciliation.position_drift_ratio", "1", "symbol", "|expected - actual| / |expected|; 1 for an orphan"
    )
)
reconciliation_balance_drift_ratio = _reconciliation(
    Gauge("mcbot.reconciliation.balance_drift_ratio", "1", "", "Drift of the balance")
)
reconciliation_checks = _reconciliation(
    Counter("mcbot.reconciliation.checks", "{check}", "status", "Checks: ok, drift, failure")
)

# -- what is known about all of them -------------------------------------------------------------------------------


def rows() -> list[Row]:
    """All rows, in the order of the layers."""
    return list(_ROWS)


def handles() -> list[Handle]:
    """All handles, in the order of the rows."""
    return list(_HANDLES)


def find(prometheus_name: str) -> Row:
    """The row of a Prometheus name. Raises ``KeyError``."""
    for row in _ROWS:
        if row.prometheus_name == prometheus_name:
            return row
    raise KeyError(prometheus_name)


def signed_histograms() -> list[Row]:
    """Histograms of values below 0. A provider needs a view for each, by name, with explicit ``buckets``."""
    return [row for row, handle in zip(_ROWS, _HANDLES, strict=True) if isinstance(handle, Histogram) and handle.signed]


def bind(meter: Meter, *, readers: int = 1, strict: bool = False, viewed: bool = False) -> None:
    """Let every handle measure with ``meter``, from nothing.

    Args:
        meter: where the instruments are made.
        readers: how many readers collect from its provider; each shall see a 0 where one is owed to it.
        strict: mistakes raise :class:`~otel_mcbot.instruments.MeasurementError` instead of being counted.
        viewed: the provider has the views of :func:`signed_histograms`.
    """
    for handle in _HANDLES:
        if isinstance(handle, Histogram):
            handle.bind(meter, readers=readers, strict=strict, viewed=viewed)
        else:
            handle.bind(meter, readers=readers, strict=strict)


def unbind() -> None:
    """Measure nothing any more; what was known is forgotten."""
    for handle in _HANDLES:
        handle.unbind()


def as_json() -> list[dict[str, Any]]:
    """The rows as plain objects, for programs."""
    return [
        {**asdict(row), "labels": list(row.labels), "buckets": list(row.buckets) if row.buckets else None}
        for row in _ROWS
    ]


_WHY: Final = """# Metrics

Every metric that a bot instrumented with this package can emit: what it is called where you query it, what it counts,
and which labels tell its series apart. The names are a contract: they do not change under your dashboards and alerts.

How to read the tables:

- **Prometheus name** is what you type into a query. It is derived from the OTel name and the unit, which are what you
  see in the Collector. A histogram `x` is stored as `x_bucket`, `x_sum` and `x_count`.
- **Type** is `counter` (only grows; use `rate` or `increase`), `gauge` (a state), `histogram` (use
  `histogram_quantile` over `rate(x_bucket[5m])`), `enum` (a series a state; the label with the metric's own name says
  which, exactly one is 1) or `info` (facts as labels, the value is 1).
- Every series also carries `job` (namespace and name of the service) and `instance` (the bot's stable id).
- Counters that an alert reads exist at 0 from the start for all that is configured, so the first event is a rise. A
  series of a closed position is 0 once and then disappears. A value that is not known is absent, never 0.
- Points of counters and histograms that come from an order carry the trace of that order as exemplar.
- ° marks metrics of our own; the others are the names that existing dashboards of such bots use.

This page is generated by `otel-mcbot metrics list --markdown`; `--json` gives the same to programs.
"""


def markdown() -> str:
    """The page ``docs/metrics.md``."""
    parts = [_WHY]
    for layer in dict.fromkeys(row.layer for row in _ROWS):
        parts.append(f"## {layer}\n\n| Prometheus name | OTel name | Type | Labels | Meaning |\n|---|---|---|---|---|")
        for row in _ROWS:
            if row.layer == layer:
                name = f"`{row.prometheus_name}`{' °' if row.ours else ''}"
                otel = f"`{row.otel_name}`{f' in `{row.unit}`' if row.unit else ''}"
                labels = ", ".join(f"`{label}`" for label in row.labels) or "–"
                buckets = f". Buckets: {' '.join(f'{bound:g}' for bound in row.buckets)}" if row.buckets else ""
                meaning = f"{row.meaning}{buckets}".replace("|", "\\|")
                parts.append(f"| {name} | {otel} | {row.type} | {labels} | {meaning} |")
        parts.append("")
    return "\n".join(parts)
