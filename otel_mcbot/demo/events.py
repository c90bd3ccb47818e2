"""What travels on the bot's bus: frozen records, one class an event type."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import ClassVar


class EventType(StrEnum):
    BAR = "bar"
    SIGNAL = "signal"
    ORDER_REQUEST = "order_request"
    ORDER_ACK = "order_ack"
    ORDER_REJECTED = "order_rejected"
    FILL = "fill"
    ORDER_CANCELED = "order_canceled"
    ORDER_EXPIRED = "order_expired"
    POSITION_UPDATE = "position_update"
    BALANCE_UPDATE = "balance_update"
    RISK_ALERT = "risk_alert"
    REGIME_CHANGE = "regime_change"
    CIRCUIT_BREAKER = "circuit_breaker"
    HEARTBEAT = "heartbeat"


DROPPABLE = frozenset({EventType.BAR, EventType.HEARTBEAT, EventType.RISK_ALERT, EventType.REGIME_CHANGE})
"""Event types that a full queue may drop. Publishing any other waits for room."""


class Direction(IntEnum):
    LONG = 1
    NEUTRAL = 0
    SHORT = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """``correlation_id`` is the bar's own id for everything that the bar led to."""

    event_type: ClassVar[EventType]
    source: str
    correlation_id: uuid.UUID | None = None
    event_id: uuid.UUID = field(default_factory=uuid.uuid4)
    timestamp: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class BarEvent(Event):
    event_type: ClassVar[EventType] = EventType.BAR
    symbol: str
    timeframe: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    bar_timestamp: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalEvent(Event):
    """``price`` is the close that the strategy saw; ``urgent`` enters at market whatever the pod's way in is."""

    event_type: ClassVar[EventType] = EventType.SIGNAL
    symbol: str
    strategy_name: str
    direction: Direction
    strength: float
    bar_timestamp: datetime
    pod_id: str
    price: float
    urgent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequestEvent(Event):
    """Published twice: by the portfolio manager, and with ``validated`` by the risk manager.

    ``price`` is a limit order's, ``expected_price`` what the bot hopes to get. A limit order may rest until
    ``expires``; ``time_in_force`` says who ends it then: ``gtc`` the bot, ``gtd`` the venue.
    """

    event_type: ClassVar[EventType] = EventType.ORDER_REQUEST
    client_order_id: str
    symbol: str
    side: str
    order_type: str
    target_weight: float
    notional_usd: float
    price: float | None = None
    validated: bool = False
    pod_id: str
    strategy_name: str
    expected_price: float
    reduce_only: bool = False
    time_in_force: str = "ioc"
    expires: datetime | None = None
    bar_timestamp: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAckEvent(Event):
    event_type: ClassVar[EventType] = EventType.ORDER_ACK
    client_order_id: str
    symbol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRejectedEvent(Event):
    event_type: ClassVar[EventType] = EventType.ORDER_REJECTED
    client_order_id: str
    symbol: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FillEvent(Event):
    event_type: ClassVar[EventType] = EventType.FILL
    client_order_id: str
    symbol: str
    side: str
    fill_price: float
    fill_qty: float
    fee: float
    fill_timestamp: datetime
    pod_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCanceledEvent(Event):
    """Withdrawn by the bot or by the venue. Travels behind the fills that came before."""

    event_type: ClassVar[EventType] = EventType.ORDER_CANCELED
    client_order_id: str
    symbol: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderExpiredEvent(Event):
    event_type: ClassVar[EventType] = EventType.ORDER_EXPIRED
    client_order_id: str
    symbol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionUpdateEvent(Event):
    event_type: ClassVar[EventType] = EventType.POSITION_UPDATE
    symbol: str
    direction: Direction
    size: float
    avg_entry_price: float
    unrealized_pnl: float
    realized_pnl: float
    realized_pnl_delta: float
    last_price: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceUpdateEvent(Event):
    event_type: ClassVar[EventType] = EventType.BALANCE_UPDATE
    total_equity: float
    available_cash: float
    total_margin_used: float
    drawdown_pct: float
    open_position_count: int
    aggregate_leverage: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskAlertEvent(Event):
    event_type: ClassVar[EventType] = EventType.RISK_ALERT
    alert_level: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreakerEvent(Event):
    """Too much is lost: everything is closed, nothing is opened."""

    event_type: ClassVar[EventType] = EventType.CIRCUIT_BREAKER
    reason: str
    close_all: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RegimeChangeEvent(Event):
    event_type: ClassVar[EventType] = EventType.REGIME_CHANGE
    symbol: str
    prev_label: str
    new_label: str
    confidence: float
    cascade_risk: float
    transition_prob: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatEvent(Event):
    event_type: ClassVar[EventType] = EventType.HEARTBEAT
    component: str
    bars_processed: int
