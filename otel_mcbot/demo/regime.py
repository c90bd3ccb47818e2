"""Calm or wild: a classifier of the market's volatility that warns of shocks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from .bus import EventBus
from .events import BarEvent, EventType, RegimeChangeEvent, RiskAlertEvent
from .strategies import Volatility

SHOCK = 6.0
"""A bar that moves by so many standard deviations is worth an alert."""


@dataclass
class Market:
    fast: Volatility = field(default_factory=lambda: Volatility(15))
    slow: Volatility = field(default_factory=lambda: Volatility(240))
    label: str = "normal"
    bars: int = 0


class RegimeWatch:
    def __init__(self, bus: EventBus) -> None:
        self.bus = bus
        self._markets: dict[str, Market] = {}
        bus.subscribe(EventType.BAR, self.on_bar)

    async def on_bar(self, bar: BarEvent) -> None:
        market = self._markets.setdefault(bar.symbol, Market())
        usual = math.sqrt(market.slow.variance)
        move = math.log(bar.close / market.slow.last) if market.slow.last else 0.0
        fast, slow = market.fast.update(bar.close), market.slow.update(bar.close)
        market.bars += 1
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
