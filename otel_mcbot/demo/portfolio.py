"""The portfolio manager: signals become orders, fills become positions and profit."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from loguru import logger

import otel_mcbot as mcbot

from .account import Position
from .bus import EventBus
from .events import (
    BalanceUpdateEvent,
    BarEvent,
    CircuitBreakerEvent,
    Direction,
    EventType,
    FillEvent,
    OrderRejectedEvent,
    OrderRequestEvent,
    PositionUpdateEvent,
    SignalEvent,
)
from .exchange import LEVERAGE
from .health import ApiHealth
from .market import seconds_of

MIN_NOTIONAL = 10.0
"""Quote currency; a smaller order is not worth its fee."""

LIMIT_OFFSET, LIMIT_BARS = 0.0006, 24
"""An entry by limit order: so far from the close (a fraction), for so many bars."""

PATIENT_BELOW, PATIENT_SIZE, PATIENT_OFFSET, PATIENT_BARS = 0.43, 0.05, 0.08, 600
"""A weak signal to buy (strength below) is only a small bid far below, which the venue lets expire. It is kept if it
fills."""

BALANCE_EVERY = 25
"""Bars between two balance updates without a fill."""


@dataclass(frozen=True, slots=True)
class Pod:
    """Capital (quote currency) under one strategy. ``entry``: how it gets in, ``market`` or ``limit``."""

    id: str
    strategy: str
    capital: float
    entry: str


@dataclass(slots=True)
class Lane:
    """What one strategy holds of one symbol. One order at a time, so that an exit never overtakes its entry."""

    pod: Pod
    symbol: str
    position: Position = field(default_factory=Position)
    patient: Position = field(default_factory=Position)
    order: str | None = None
    waiting: deque[tuple[SignalEvent, mcbot.Trace | None]] = field(default_factory=deque)


class Portfolio:
    """Sizes orders by a strategy's strength and keeps the books that the bot believes in.

    Args:
        bus: brings bars, signals, fills and rejections, takes order requests, positions and balances.
        pods: one a strategy.
        on_order_skipped: called with symbol and cause of an order that is not worth sending.
        api: whether the venue is there to take an order.
        size: share of a pod's capital behind a signal of strength 1.
    """

    def __init__(
        self,
        bus: EventBus,
        pods: Sequence[Pod],
        on_order_skipped: Callable[[str, str], None],
        api: ApiHealth,
        size: float = 1.0,
    ) -> None:
        self.bus = bus
        self.on_order_skipped = on_order_skipped
        self.api = api
        self.size = size
        self.pods = {pod.strategy: pod for pod in pods}
        self.capital = sum(pod.capital for pod in pods)
        self.peak = self.capital
        self.last: dict[str, BarEvent] = {}
        self.lanes: dict[tuple[str, str], Lane] = {}
        self._orders: dict[str, tuple[Lane, Position]] = {}
        self._ids = _order_numbers()
        self._bars = 0
        bus.subscribe(EventType.BAR, self.on_bar)
        bus.subscribe(EventType.SIGNAL, self.on_signal)
        bus.subscribe(EventType.FILL, self.on_fill)
        bus.subscribe(EventType.ORDER_REJECTED, self.on_rejected)
        bus.subscribe(EventType.CIRCUIT_BREAKER, self.on_circuit_breaker)

    # -- signals become orders ---------------------------------------------------------------------------------------

    async def on_signal(self, signal: SignalEvent) -> None:
        lane = self.lane(signal.strategy_name, signal.symbol)
        lane.waiting.append((signal, mcbot.Trace.here()))  # should it have to wait, it keeps its place in its own trace
        await self._work(lane)

    def lane(self, strategy: str, symbol: str) -> Lane:
        """What the strategy holds of the symbol."""
        return self.lanes.setdefault((strategy, symbol), Lane(self.pods[strategy], symbol))

    async def on_circuit_breaker(self, event: CircuitBreakerEvent) -> None:
        """Close everything; what waited is forgotten."""
        for lane in self.lanes.values():
            lane.waiting.clear()
            bar = self.last[lane.symbol]
            out = SignalEvent(
                source="portfolio",
                correlation_id=event.correlation_id,
                symbol=lane.symbol,
                strategy_name=lane.pod.strategy,
                direction=Direction.NEUTRAL,
                strength=0.0,
                bar_timestamp=bar.bar_timestamp,
                pod_id=lane.pod.id,
                price=bar.close,
            )
            lane.waiting.append((out, mcbot.Trace.here()))
            await self._work(lane)

    async def order_done(self, client_order_id: str) -> None:
        """The order manager says that nothing more will come of an order."""
        lane, _ = self._orders.pop(client_order_id)
        if lane.order == client_order_id:
            lane.order = None
            await self._work(lane)

    async def on_rejected(self, event: OrderRejectedEvent) -> None:
        await self.order_done(event.client_order_id)

    async def _work(self, lane: Lane) -> None:
        while lane.order is None and lane.waiting:
            signal, trace = lane.waiting.popleft()
            with mcbot.resume(trace):
                await self._process(lane, signal)

    async def _process(self, lane: Lane, signal: SignalEvent) -> None:
        with mcbot.process_signal(strategy=lane.pod.strategy, symbol=lane.symbol, pod_id=lane.pod.id) as stage:
            entry = signal.direction is not Direction.NEUTRAL
            limit = entry and lane.pod.entry == "limit" and not signal.urgent
            patient = limit and signal.direction is Direction.LONG and signal.strength < PATIENT_BELOW
            weight = signal.direction * signal.strength * self.size * (PATIENT_SIZE if patient else 1.0)
            quantity = weight * lane.pod.capital / signal.price - lane.position.quantity
            notional = round(abs(quantity) * signal.price, 8)
            if notional < 0.01:  # nothing to close: the entry was refused or never filled
                return
            if notional < MIN_NOTIONAL:
                logger.warning("order of {} not sent: {} is below {}", lane.symbol, f"{notional:.2f}", MIN_NOTIONAL)
                self.on_order_skipped(lane.symbol, "min_notional")
                return
            if self.api.blocked:
                logger.error("order of {} not sent: the venue does not answer orders", lane.symbol)
                self.on_order_skipped(lane.symbol, "api_blocked")
                return
            stage.target(weight=weight, notional=notional)
            side = 1 if quantity > 0 else -1
            offset = PATIENT_OFFSET if patient else LIMIT_OFFSET
            price = round(signal.price * (1 - side * offset), 2) if limit else None
            bars = PATIENT_BARS if patient else LIMIT_BARS
            slug = lane.symbol.replace("/", "").lower()
            request = OrderRequestEvent(
                source="portfolio",
                correlation_id=signal.correlation_id,
                client_order_id=f"{lane.pod.strategy}-{slug}-{next(self._ids)}",
                symbol=lane.symbol,
                side="BUY" if side > 0 else "SELL",
                order_type="LIMIT" if limit else "MARKET",
                target_weight=round(weight, 6),
                notional_usd=notional,
                price=price,
                pod_id=lane.pod.id,
                strategy_name=lane.pod.strategy,
                expected_price=price or signal.price,
                reduce_only=not entry,
                time_in_force=("gtd" if patient else "gtc") if limit else "ioc",
                expires=self._later(signal, bars) if limit else None,
                bar_timestamp=signal.bar_timestamp,
            )
            if not patient:
                lane.order = request.client_order_id
            self._orders[request.client_order_id] = lane, lane.patient if patient else lane.position
            await self.bus.publish(request)

    def _later(self, signal: SignalEvent, bars: int) -> datetime:
        return signal.bar_timestamp + bars * timedelta(seconds=seconds_of(self.last[signal.symbol].timeframe))

    # -- fills become profit -----------------------------------------------------------------------------------------

    async def on_fill(self, fill: FillEvent) -> None:
        lane, position = self._orders[fill.client_order_id]
        realized = position.fill(fill.side, fill.fill_qty, fill.fill_price, fill.fee)
        await self._tell_position(lane.symbol, realized)
        await self._tell_balance()

    async def on_bar(self, bar: BarEvent) -> None:
        self.last[bar.symbol] = bar
        self._bars += 1
        if self._bars % BALANCE_EVERY == 0:
            if any(position.quantity for position in self.positions(bar.symbol)):
                await self._tell_position(bar.symbol, 0.0)
            await self._tell_balance()

    def positions(self, symbol: str | None = None, strategy: str | None = None) -> list[Position]:
        """The positions of a symbol, of a strategy, or all."""
        return [
            position
            for (name, traded), lane in sorted(self.lanes.items())
            if symbol in (None, traded) and strategy in (None, name)
            for position in (lane.position, lane.patient)
        ]

    def pnl(self, strategy: str | None = None) -> float:
        """Realized and unrealized profit after fees, at the last close; of one strategy, or of all."""
        return sum(
            position.pnl(self.last[symbol].close)
            for symbol in self.last
            for position in self.positions(symbol, strategy)
        )

    def exposure(self, strategy: str | None = None) -> dict[str, float]:
        """Signed notional by symbol."""
        return {
            symbol: sum(position.quantity for position in self.positions(symbol, strategy)) * bar.close
            for symbol, bar in self.last.items()
        }

    async def _tell_position(self, symbol: str, realized_delta: float) -> None:
        positions = self.positions(symbol)
        price = self.last[symbol].close
        size = round(sum(position.quantity for position in positions), 10)
        unrealized = sum(position.unrealized(price) for position in positions)
        await self.bus.publish(
            PositionUpdateEvent(
                source="portfolio",
                symbol=symbol,
                direction=Direction((size > 0) - (size < 0)),
                size=abs(size),
                avg_entry_price=price - unrealized / size if size else 0.0,
                unrealized_pnl=unrealized,
                realized_pnl=sum(position.realized for position in positions),
                realized_pnl_delta=realized_delta,
                last_price=price,
            )
        )

    async def _tell_balance(self) -> None:
        equity = self.capital + self.pnl()
        self.peak = max(self.peak, equity)
        exposure = [abs(notional) for notional in self.exposure().values()]
        margin = sum(exposure) / LEVERAGE
        await self.bus.publish(
            BalanceUpdateEvent(
                source="portfolio",
                total_equity=equity,
                available_cash=equity - margin,
                total_margin_used=margin,
                drawdown_pct=1 - equity / self.peak,
                open_position_count=sum(notional > 0 for notional in exposure),
                aggregate_leverage=sum(exposure) / equity,
            )
        )


def _order_numbers() -> Iterator[str]:
    """Numbers that a bot started again will not use twice."""
    run = f"{int(time.time()):x}"
    return (f"{run}{number:05d}" for number in itertools.count(1))
