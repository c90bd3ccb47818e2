"""An event bus as live bots have it: one consumer task made at start, a bounded queue, frozen events."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from uuid import UUID, uuid4


class EventType(StrEnum):
    BAR = "bar"
    SIGNAL = "signal"
    ORDER_REQUEST = "order_request"
    ORDER_ACK = "order_ack"
    ORDER_REJECTED = "order_rejected"
    FILL = "fill"
    POSITION_UPDATE = "position_update"
    BALANCE_UPDATE = "balance_update"
    RISK_ALERT = "risk_alert"
    CIRCUIT_BREAKER = "circuit_breaker"
    REGIME_CHANGE = "regime_change"
    HEARTBEAT = "heartbeat"
    FUNDING = "funding"


class Direction(IntEnum):
    LONG = 1
    NEUTRAL = 0
    SHORT = -1


DROPPABLE = {EventType.BAR, EventType.HEARTBEAT, EventType.RISK_ALERT, EventType.REGIME_CHANGE}


@dataclass(frozen=True, kw_only=True)
class Event:
    event_type: EventType
    event_id: UUID = field(default_factory=uuid4)
    timestamp: datetime = field(default_factory=lambda: datetime.now(UTC))
    correlation_id: UUID | None = None
    source: str = "test"


@dataclass(frozen=True, kw_only=True)
class Bar(Event):
    event_type: EventType = EventType.BAR
    symbol: str = "BTC/USDT"
    timeframe: str = "1m"
    open: float = 1.0
    high: float = 1.0
    low: float = 1.0
    close: float = 1.0
    volume: float = 1.0
    bar_timestamp: datetime = datetime(2018, 4, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Signal(Event):
    event_type: EventType = EventType.SIGNAL
    symbol: str = "BTC/USDT"
    strategy_name: str = "ctrend"
    direction: Direction = Direction.LONG
    strength: float = 0.7
    bar_timestamp: datetime = datetime(2018, 4, 1, tzinfo=UTC)
    pod_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class OrderRequest(Event):
    event_type: EventType = EventType.ORDER_REQUEST
    client_order_id: str
    symbol: str = "BTC/USDT"
    side: str = "BUY"
    order_type: str = "MARKET"
    target_weight: float = 0.25
    notional_usd: float = 100.0
    price: float | None = None
    validated: bool = True
    pod_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class OrderAck(Event):
    event_type: EventType = EventType.ORDER_ACK
    client_order_id: str
    symbol: str = "BTC/USDT"


@dataclass(frozen=True, kw_only=True)
class OrderRejected(Event):
    event_type: EventType = EventType.ORDER_REJECTED
    client_order_id: str
    symbol: str = "BTC/USDT"
    reason: str = "Leverage would be 4.1x"


@dataclass(frozen=True, kw_only=True)
class Fill(Event):
    event_type: EventType = EventType.FILL
    client_order_id: str
    symbol: str = "BTC/USDT"
    side: str = "BUY"
    fill_price: float = 100.0
    fill_qty: float = 1.0
    fee: float = 0.04
    fill_timestamp: datetime = datetime(2018, 4, 1, tzinfo=UTC)
    pod_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class PositionUpdate(Event):
    event_type: EventType = EventType.POSITION_UPDATE
    symbol: str = "BTC/USDT"
    direction: Direction = Direction.SHORT
    size: float = 2.0
    avg_entry_price: float = 100.0
    unrealized_pnl: float = 1.0
    realized_pnl: float = 2.0
    realized_pnl_delta: float = -0.5
    last_price: float = 101.0


@dataclass(frozen=True, kw_only=True)
class BalanceUpdate(Event):
    event_type: EventType = EventType.BALANCE_UPDATE
    total_equity: float = 10_000.0
    available_cash: float = 9_000.0
    total_margin_used: float = 100.0
    drawdown_pct: float = 0.05
    open_position_count: int = 2
    aggregate_leverage: float = 1.5


@dataclass(frozen=True, kw_only=True)
class RiskAlert(Event):
    event_type: EventType = EventType.RISK_ALERT
    alert_level: str = "WARNING"
    message: str = "close to the limit"


@dataclass(frozen=True, kw_only=True)
class CircuitBreaker(Event):
    event_type: EventType = EventType.CIRCUIT_BREAKER
    reason: str = "drawdown"
    close_all_positions: bool = True


@dataclass(frozen=True, kw_only=True)
class RegimeChange(Event):
    event_type: EventType = EventType.REGIME_CHANGE
    symbol: str = "BTC/USDT"
    prev_label: str = "calm"
    new_label: str = "wild"
    confidence: float = 0.9
    cascade_risk: float = 0.1
    transition_prob: float = 0.2


@dataclass(frozen=True, kw_only=True)
class Heartbeat(Event):
    event_type: EventType = EventType.HEARTBEAT
    component: str = "runner"
    bars_processed: int = 3


@dataclass(frozen=True, kw_only=True)
class Funding(Event):
    event_type: EventType = EventType.FUNDING
    rate: float = 0.01


Handler = Callable[[Event], Awaitable[None]]


@dataclass
class Metrics:
    events_published: int = 0
    events_dispatched: int = 0
    events_dropped: int = 0
    handler_errors: int = 0
    max_queue_depth: int = 0


class BusMetrics:
    def __init__(self) -> None:
        self._now = Metrics()

    def snapshot(self) -> Metrics:
        return Metrics(**vars(self._now))


class EventBus:
    """Droppable events are dropped when the queue is full; the others wait for room."""

    def __init__(self, queue_size: int = 10_000) -> None:
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue(queue_size)
        self._handlers: dict[EventType, list[Handler]] = defaultdict(list)
        self._task: asyncio.Task[None] | None = None
        self.metrics = BusMetrics()

    @property
    def queue_size(self) -> int:
        return self._queue.qsize()

    def subscribe(self, event_type: EventType, handler: Handler) -> None:
        self._handlers[event_type].append(handler)

    def unsubscribe(self, event_type: EventType, handler: Handler) -> None:
        self._handlers[event_type].remove(handler)

    async def publish(self, event: Event) -> None:
        """Put an event into the queue."""
        counts = self.metrics._now
        if event.event_type in DROPPABLE:
            try:
                self._queue.put_nowait(event)
            except asyncio.QueueFull:
                counts.events_dropped += 1
                return
        else:
            await self._queue.put(event)
        counts.events_published += 1
        counts.max_queue_depth = max(counts.max_queue_depth, self._queue.qsize())

    async def start(self) -> None:
        self._task = asyncio.create_task(self._consume())

    async def stop(self) -> None:
        await self._queue.put(None)
        if self._task is not None:
            await self._task

    async def drain(self) -> None:
        await self._queue.join()

    async def _consume(self) -> None:
        while True:
            event = await self._queue.get()
            try:
                if event is None:
                    return
                for handler in self._handlers.get(event.event_type, []):
                    try:
                        await handler(event)
                    except Exception:
                        self.metrics._now.handler_errors += 1
                self.metrics._now.events_dispatched += 1
            finally:
                self._queue.task_done()
