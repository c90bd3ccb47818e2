"""The words of a trace: attribute keys, span names, event names and their values.

One vocabulary for spans, log records and metric labels. Domain attributes are ``trading.*``, the package's own are
``mcbot.*``; the rest are OpenTelemetry's. Values of enums are lower case in attributes; metric labels keep the bare
names and the spelling of the catalog, and :data:`LABELS` maps one to the other, so that links between metrics, traces
and logs are generated, never typed.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

SCOPE_NAME: Final = "otel_mcbot"
"""Instrumentation scope of everything that the package emits."""

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.38.0"
"""The semantic conventions that the standard attributes follow."""

# -- resource ------------------------------------------------------------------------------------------------------

SERVICE_NAME: Final = "service.name"
SERVICE_NAMESPACE: Final = "service.namespace"
SERVICE_INSTANCE_ID: Final = "service.instance.id"
SERVICE_VERSION: Final = "service.version"
DEPLOYMENT_ENVIRONMENT: Final = "deployment.environment.name"
TRADING_MODE: Final = "trading.mode"
"""live | paper | shadow | backtest."""
CONFIG_HASH: Final = "trading.config.hash"
"""First digits of the hash of the bot's configuration, as ``9f2c41``."""

# -- common to the spans and records of a chain --------------------------------------------------------------------

STRATEGY: Final = "trading.strategy.name"
SYMBOL: Final = "trading.instrument.symbol"
INSTRUMENT_TYPE: Final = "trading.instrument.type"
"""spot | swap | future | option."""
POD_ID: Final = "trading.pod.id"
EXCHANGE: Final = "trading.exchange.name"
CORRELATION_ID: Final = "trading.correlation.id"
"""The causal chain (one bar may lead to several cycles, so it is no trace id)."""
QUEUE_WAIT: Final = "mcbot.queue.wait"
"""Seconds an event waited in the bot's queue before the handler that made this span."""

# -- trade_cycle ---------------------------------------------------------------------------------------------------

OUTCOME: Final = "mcbot.cycle.outcome"
ORDER_COUNT: Final = "trading.order.count"
TIMEFRAME: Final = "trading.bar.timeframe"
BAR_AGE: Final = "trading.bar.age"
"""Seconds since the bar, at the decision."""

# -- strategy.generate_signal, pm.process_signal, rm.pre_trade_check -----------------------------------------------

SIGNAL_DIRECTION: Final = "trading.signal.direction"
SIGNAL_STRENGTH: Final = "trading.signal.strength"
BAR_TIME: Final = "trading.bar.time"
"""RFC 3339."""
TARGET_WEIGHT: Final = "trading.position.target_weight"
ORDER_NOTIONAL: Final = "trading.order.notional"
CHECK_RESULT: Final = "trading.check.result"
CHECK_REASON: Final = "trading.check.reason"

# -- oms.submit_order, oms.await_fill ------------------------------------------------------------------------------

ORDER_CLIENT_ID: Final = "trading.order.client_id"
ORDER_ID: Final = "trading.order.id"
"""The venue's id."""
ORDER_SIDE: Final = "trading.order.side"
ORDER_TYPE: Final = "trading.order.type"
ORDER_QUANTITY: Final = "trading.order.quantity"
ORDER_PRICE: Final = "trading.order.price"
EXPECTED_PRICE: Final = "trading.order.expected_price"
TIME_IN_FORCE: Final = "trading.order.time_in_force"
REDUCE_ONLY: Final = "trading.order.reduce_only"
PARENT_CLIENT_ID: Final = "trading.order.parent_client_id"
ORDER_STATUS: Final = "trading.order.status"
REJECT_REASON: Final = "trading.order.reject_reason"
FILL_ID: Final = "trading.fill.id"
FILL_COUNT: Final = "trading.fill.count"
FILL_QUANTITY: Final = "trading.fill.quantity"
"""Base currency: cumulative on spans, of this one fill on event records."""
FILL_PRICE: Final = "trading.fill.price"
FILL_AVERAGE_PRICE: Final = "trading.fill.average_price"
FILL_FEE: Final = "trading.fill.fee"
FILL_FEE_CURRENCY: Final = "trading.fill.fee_currency"
FILL_LIQUIDITY: Final = "trading.fill.liquidity"
SLIPPAGE_BPS: Final = "trading.fill.slippage_bps"
"""Signed, + is adverse."""

# -- exchange.* ----------------------------------------------------------------------------------------------------

OPERATION: Final = "trading.exchange.operation"
THROTTLE_WAIT: Final = "trading.exchange.throttle_wait"
WIRE_TIME: Final = "trading.exchange.wire_time"
WEIGHT_USED: Final = "trading.exchange.weight_used"
ERROR_CODE: Final = "trading.exchange.error_code"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
HTTP_STATUS: Final = "http.response.status_code"
RESEND_COUNT: Final = "http.request.resend_count"

# -- event records -------------------------------------------------------------------------------------------------

LOGGER_NAME: Final = "mcbot.logger.name"
"""Who wrote a log line: loguru's or logging's name of the logger."""
MESSAGE: Final = "mcbot.message"
"""The bot's or the venue's own words."""
COMPONENT: Final = "mcbot.component"
ALERT_LEVEL: Final = "mcbot.alert.level"
ALERT_SOURCE: Final = "mcbot.alert.source"
BREAKER_REASON: Final = "mcbot.circuit_breaker.reason"
BREAKER_CLOSES_ALL: Final = "mcbot.circuit_breaker.close_all"
REGIME_BEFORE: Final = "mcbot.regime.previous"
REGIME: Final = "mcbot.regime.current"
REGIME_CONFIDENCE: Final = "mcbot.regime.confidence"
MAINTENANCE_REASON: Final = "mcbot.maintenance.reason"
MAINTENANCE_UNTIL: Final = "mcbot.maintenance.until"
"""Unix seconds."""
ANOMALY_DETECTOR: Final = "mcbot.anomaly.detector"
"""gbm_drawdown | distribution_drift | structural_decay | execution | page_hinkley, as the metrics' label."""
ANOMALY_SEVERITY: Final = "mcbot.anomaly.severity"
"""normal (it is over) | warning | critical."""
ANOMALY_KIND: Final = "mcbot.anomaly.kind"
"""Of the execution detector: latency_spike | consecutive_rejections | low_fill_rate | slippage_trend."""
ANOMALY_VALUE: Final = "mcbot.anomaly.value"
ANOMALY_THRESHOLD: Final = "mcbot.anomaly.threshold"
ANOMALY_UNIT: Final = "mcbot.anomaly.unit"
"""Of value and threshold: s, {order}, ratio (0 to 1) or bps."""
ANOMALY_NUMBER_PREFIX: Final = "mcbot.anomaly."
"""And the name of a field of a pod's detector's result, as ``mcbot.anomaly.current_depth``."""
REPLACES: Final = "trading.order.replaces"
"""Client id of the order whose place this one took."""
REPLACED_BY: Final = "trading.order.replaced_by"
STOP_REASON: Final = "mcbot.stop.reason"
UPTIME: Final = "mcbot.uptime"
"""Seconds."""
STALL_SECONDS: Final = "mcbot.event_loop.stall"
STALL_FRAME: Final = "mcbot.event_loop.frame"
"""Where the loop's thread hangs, as ``bot.py:42 in compute``."""
STACKTRACE: Final = "code.stacktrace"

# -- errors and links ----------------------------------------------------------------------------------------------

ERROR_TYPE: Final = "error.type"
"""An exception class, or one of :class:`ErrorType`."""
LINK_RELATION: Final = "trading.link.relation"


class SpanName(StrEnum):
    """Span names: the stages of an order's life."""

    TRADE_CYCLE = "trade_cycle"
    CONTINUED = "trade_cycle.continued"
    GENERATE_SIGNAL = "strategy.generate_signal"
    PROCESS_SIGNAL = "pm.process_signal"
    PRE_TRADE_CHECK = "rm.pre_trade_check"
    SUBMIT_ORDER = "oms.submit_order"
    AWAIT_FILL = "oms.await_fill"


EXCHANGE_SPAN_PREFIX: Final = "exchange."
"""``exchange.create_order``, ``exchange.cancel_order`` …: one CLIENT span an attempt."""


class Outcome(StrEnum):
    """What became of a trade cycle (:data:`OUTCOME`)."""

    NO_ORDER = "no_order"
    DENIED = "denied"
    FILLED = "filled"
    PARTIALLY_FILLED = "partially_filled"
    REJECTED = "rejected"
    CANCELED = "canceled"
    EXPIRED = "expired"
    WORKING = "working"
    ABANDONED = "abandoned"
    INTERRUPTED = "interrupted"


class CheckResult(StrEnum):
    """Answer of a pre-trade check (:data:`CHECK_RESULT`)."""

    APPROVED = "approved"
    RESIZED = "resized"
    DENIED = "denied"


class ErrorType(StrEnum):
    """Values of ``error.type`` that are no exception class."""

    VENUE_REJECT = "venue_reject"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"


class Relation(StrEnum):
    """Why one trace links to another (:data:`LINK_RELATION`)."""

    CONTINUES = "continues"
    CAUSED_BY = "caused_by"
    REPLACES = "replaces"
    SLICE_OF = "slice_of"


class OrderEvent(StrEnum):
    """Names of an order's event records."""

    REQUESTED = "trading.order.requested"
    ACKNOWLEDGED = "trading.order.acknowledged"
    PARTIALLY_FILLED = "trading.order.partially_filled"
    FILLED = "trading.order.filled"
    REJECTED = "trading.order.rejected"
    CANCELED = "trading.order.canceled"
    REPLACED = "trading.order.replaced"
    EXPIRED = "trading.order.expired"
    LOST = "trading.order.lost"


class BotEvent(StrEnum):
    """Names of the package's other event records."""

    STARTED = "mcbot.bot.started"
    STOPPED = "mcbot.bot.stopped"
    LOOP_STALLED = "mcbot.event_loop.stalled"
    CIRCUIT_BREAKER = "mcbot.circuit_breaker.tripped"
    RISK_ALERT = "mcbot.risk_alert"
    REGIME_CHANGED = "mcbot.regime.changed"
    MAINTENANCE = "mcbot.maintenance"
    ERROR = "mcbot.error"
    ANOMALY = "mcbot.anomaly"


LABELS: Final[Mapping[str, str]] = {
    "symbol": SYMBOL,
    "strategy": STRATEGY,
    "pod_id": POD_ID,
    "side": ORDER_SIDE,
    "order_type": ORDER_TYPE,
    "reason": REJECT_REASON,
    "endpoint": OPERATION,
    "exchange": EXCHANGE,
    "timeframe": TIMEFRAME,
    "status": ORDER_STATUS,
    "mode": TRADING_MODE,
}
"""Metric label → attribute. ``side`` of the signals' counter is :data:`SIGNAL_DIRECTION`."""
