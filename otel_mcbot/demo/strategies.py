"""Two simple strategies. They decide from bars alone, so the same bars always give the same signals."""

from __future__ import annotations

import math
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

import otel_mcbot as mcbot

from .bus import EventBus
from .events import BarEvent, Direction, EventType, SignalEvent

COOLDOWN = 10
"""Bars between two signals of one strategy on one symbol."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Where the strategy wants to be, and how sure it is (0 to about 1)."""

    direction: Direction
    strength: float


class Strategy(Protocol):
    """Looks at the bars of one symbol. Returns a decision only when it changes its mind."""

    name: str

    def decide(self, bar: BarEvent) -> Decision | None: ...


@dataclass
class Volatility:
    """Exponentially weighted standard deviation of one-bar returns."""

    span: int
    last: float | None = None
    variance: float = 0.0

    def update(self, close: float) -> float:
        if self.last is not None:
            move = math.log(close / self.last)
            self.variance += (move * move - self.variance) * 2 / (self.span + 1)
        self.last = close
        return math.sqrt(self.variance)


@dataclass
class Trend:
    """Follows the crossing of two moving averages, in units of volatility; flat while they are close."""

    name: str = "trend"
    fast_span: int = 6
    slow_span: int = 20
    fast: float = 0.0
    slow: float = 0.0
    wanted: Direction = Direction.NEUTRAL
    bars: int = 0
    quiet: int = 0
    volatility: Volatility = field(default_factory=lambda: Volatility(40))

    def decide(self, bar: BarEvent) -> Decision | None:
        self.bars += 1
        self.quiet += 1
        if self.bars == 1:
            self.fast = self.slow = bar.close
        self.fast += (bar.close - self.fast) * 2 / (self.fast_span + 1)
        self.slow += (bar.close - self.slow) * 2 / (self.slow_span + 1)
        unit = bar.close * self.volatility.update(bar.close)
        if self.bars < self.slow_span or unit == 0 or self.quiet < COOLDOWN:
            return None
        gap = (self.fast - self.slow) / unit
        wanted = self.wanted
        if self.wanted is Direction.NEUTRAL and abs(gap) > 0.8:
            wanted = Direction.LONG if gap > 0 else Direction.SHORT
        elif self.wanted is not Direction.NEUTRAL and self.wanted * gap < 0.2:
            wanted = Direction.NEUTRAL
        if wanted is self.wanted:
            return None
        self.wanted, self.quiet = wanted, 0
        return Decision(wanted, round(abs(gap) / 3, 4))


@dataclass
class Reversion:
    """Buys below and sells above a moving average by so many standard deviations.

    Flat again when the price is back, or is not after ``patience`` bars.
    """

    name: str = "reversion"
    window: int = 24
    threshold: float = 1.6
    patience: int = 20
    closes: deque[float] = field(default_factory=deque)
    wanted: Direction = Direction.NEUTRAL
    quiet: int = 0

    def decide(self, bar: BarEvent) -> Decision | None:
        self.quiet += 1
        self.closes.append(bar.close)
        if len(self.closes) <= self.window:
            return None
        self.closes.popleft()
        mean = math.fsum(self.closes) / self.window
        deviation = math.sqrt(math.fsum((close - mean) ** 2 for close in self.closes) / self.window)
        if deviation == 0 or self.quiet < COOLDOWN:
            return None
        score = (bar.close - mean) / deviation
        wanted = self.wanted
        if self.wanted is Direction.NEUTRAL and abs(score) > self.threshold:
            wanted = Direction.SHORT if score > 0 else Direction.LONG
        elif self.wanted is not Direction.NEUTRAL and (self.wanted * score > -0.2 or self.quiet > self.patience):
            wanted = Direction.NEUTRAL
        if wanted is self.wanted:
            return None
        self.wanted, self.quiet = wanted, 0
        return Decision(wanted, round(abs(score) / 4, 4))


class StrategyRunner:
    """Feeds one strategy's bars to it and publishes its signals. One instance of the strategy a symbol.

    Attributes:
        paused: it looks at the bars and decides nothing.
    """

    def __init__(self, bus: EventBus, make: type[Trend] | type[Reversion], pod_id: str) -> None:
        self.bus = bus
        self.make = make
        self.pod_id = pod_id
        self.paused = False
        self.signals = 0
        self._by_symbol: dict[str, Strategy] = {}
        bus.subscribe(EventType.BAR, self.on_bar)

    async def on_bar(self, bar: BarEvent) -> None:
        strategy = self._by_symbol.setdefault(bar.symbol, self.make())
        with mcbot.generate_signal(
            strategy=strategy.name, symbol=bar.symbol, pod_id=self.pod_id, correlation_id=bar.correlation_id
        ) as stage:
            decision = strategy.decide(bar)
            if decision is None or self.paused:
                return
            stage.signal(decision.direction, strength=decision.strength, bar_time=bar.bar_timestamp)
            await self._publish(bar, decision, bar.correlation_id)

    async def urge(self, bar: BarEvent, decision: Decision) -> None:
        """Decide for the strategy, and at once: somebody at the desk does."""
        chain = uuid.uuid4()
        with mcbot.generate_signal(
            strategy=self.make.name, symbol=bar.symbol, pod_id=self.pod_id, correlation_id=chain
        ) as stage:
            stage.signal(decision.direction, strength=decision.strength, bar_time=bar.bar_timestamp)
            await self._publish(bar, decision, chain, urgent=True)

    async def _publish(
        self, bar: BarEvent, decision: Decision, chain: uuid.UUID | None, *, urgent: bool = False
    ) -> None:
        self.signals += 1
        await self.bus.publish(
            SignalEvent(
                source=self.make.name,
                correlation_id=chain,
                symbol=bar.symbol,
                strategy_name=self.make.name,
                direction=decision.direction,
                strength=decision.strength,
                bar_timestamp=bar.bar_timestamp,
                pod_id=self.pod_id,
                price=bar.close,
                urgent=urgent,
            )
        )
