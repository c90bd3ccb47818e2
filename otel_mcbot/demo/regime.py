"""Calm or wild: a classifier of the market's volatility that warns of shocks, and what the derivatives say."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

import otel_mcbot as mcbot

from .bus import EventBus
from .events import BarEvent, EventType, RegimeChangeEvent, RiskAlertEvent
from .strategies import Volatility

SHOCK = 6.0
"""A bar that moves by so many standard deviations is worth an alert."""

DERIVATIVES_EVERY = 15
"""Bars between two looks at funding and open interest."""

OPEN_INTEREST = 2_000_000_000.0
"""Usual open interest, quote currency."""

FUNDING = 0.0001
"""Usual funding rate, a fraction for eight hours."""


@dataclass
class Market:
    fast: Volatility = field(default_factory=lambda: Volatility(15))
    slow: Volatility = field(default_factory=lambda: Volatility(240))
    label: str = "normal"
    bars: int = 0
    mean: float = 0.0
    interest: float = OPEN_INTEREST


class RegimeWatch:
    """Args:
    bus: brings the bars, takes changes of the regime and alerts.
    telemetry: is told of funding, open interest and the score: -1 calm, 0 usual, 1 wild.
    seed: of the open interest, which no bar tells.
    """

    def __init__(self, bus: EventBus, telemetry: mcbot.Telemetry, seed: int) -> None:
        self.bus = bus
        self.told = telemetry.regime
        self._markets: dict[str, Market] = {}
        self._rng = random.Random(f"{seed}:derivatives")
        bus.subscribe(EventType.BAR, self.on_bar)

    async def on_bar(self, bar: BarEvent) -> None:
        market = self._markets.setdefault(bar.symbol, Market())
        usual = math.sqrt(market.slow.variance)
        move = math.log(bar.close / market.slow.last) if market.slow.last else 0.0
        fast, slow = market.fast.update(bar.close), market.slow.update(bar.close)
        market.bars += 1
        market.mean += (bar.close - market.mean) * 2 / 241 if market.mean else bar.close
        if market.bars % DERIVATIVES_EVERY == 1:
            self._look(bar, market)
        if market.bars < 60:
            return
        if abs(move) > SHOCK * usual > 0:
            await self.bus.publish(
                RiskAlertEvent(
                    source="regime",
                    correlation_id=bar.correlation_id,
                    alert_level="WARNING",
                    message=f"{bar.symbol} moved {move:+.2%} in one bar, usual is {usual:.2%}",
                )
            )
        ratio = fast / slow if slow else 1.0
        label = "wild" if ratio > 1.6 else "calm" if ratio < 0.6 else "normal" if 0.75 < ratio < 1.4 else market.label
        if label != market.label:
            await self.bus.publish(
                RegimeChangeEvent(
                    source="regime",
                    correlation_id=bar.correlation_id,
                    symbol=bar.symbol,
                    prev_label=market.label,
                    new_label=label,
                    confidence=min(1.0, abs(ratio - 1)),
                    cascade_risk=min(1.0, max(0.0, ratio - 1)),
                    transition_prob=0.5,
                )
            )
            market.label = label

    def _look(self, bar: BarEvent, market: Market) -> None:
        """Who is late to a move pays for it; open interest comes back to the usual."""
        premium = bar.close / market.mean - 1
        market.interest *= math.exp(self._rng.gauss(0, 0.004) + 0.02 * math.log(OPEN_INTEREST / market.interest))
        self.told.on_funding_rate(bar.symbol, max(-0.003, min(0.003, FUNDING + 0.02 * premium)))
        self.told.on_open_interest(bar.symbol, market.interest)
        ratios = [each.fast.variance / each.slow.variance for each in self._markets.values() if each.slow.variance]
        if ratios:
            score = sum(math.log2(max(ratio, 0.01)) / 4 for ratio in ratios) / len(ratios)
            self.told.on_regime_score(max(-1.0, min(1.0, score)))
