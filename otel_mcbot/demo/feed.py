"""The market data feed: bars from a market onto the bus, at the pace that was asked for."""

from __future__ import annotations

import asyncio
import itertools
import random
import uuid
from collections.abc import Iterable
from dataclasses import replace

import otel_mcbot as mcbot

from .bus import EventBus
from .events import BarEvent
from .exchange import PaperExchange
from .market import Bar

BACKLOG = 500
"""Events in the bus at which a feed faster than the bot waits. A real market would not; a replay must lose no bar."""

FIRST_DROP, NEXT_DROP = (6.0, 14.0), (900.0, 2700.0)
"""Seconds (from, to) until a connection drops for the first time, and from one drop to the next."""

DROPPED = 0.2
"""Seconds that it is down."""


class Feed:
    """One stream of bars, as from a websocket that drops now and then and comes back.

    Args:
        interval: seconds from one time step to the next; 0 goes as fast as the bot does.

    Attributes:
        backlog: events in the bus at which it waits.
        cut: nothing comes from the market, connected or not.
        factor: on every price; the market is so much higher than it would be.
        still: symbol → price at which its market stands still.
    """

    def __init__(
        self,
        bus: EventBus,
        exchange: PaperExchange,
        telemetry: mcbot.Telemetry,
        bars: Iterable[Bar],
        *,
        interval: float,
        seed: int,
    ) -> None:
        self.bus = bus
        self.exchange = exchange
        self.socket = telemetry.websocket
        self.bars = bars
        self.interval = interval
        self.backlog: float = BACKLOG
        self.cut = False
        self.factor = 1.0
        self.still: dict[str, float] = {}
        self.count = 0
        self._drop_at: dict[str, float] = {}
        self._rng = random.Random(f"{seed}:feed")

    async def run(self) -> None:
        """Publishes every bar; returns after the last one."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        for step, (_, group) in enumerate(itertools.groupby(self.bars, key=lambda bar: bar.time)):
            await asyncio.sleep(max(0.0, start + step * self.interval - loop.time()))
            if self.bus.queue_size > self.backlog:
                await self.bus.drained()
            for bar in group:
                await self._receive(self._as_seen(bar))

    def _as_seen(self, bar: Bar) -> Bar:
        if (price := self.still.get(bar.symbol)) is not None:
            return replace(bar, open=price, high=price, low=price, close=price)
        if (factor := self.factor) == 1.0:
            return bar
        return replace(
            bar, open=bar.open * factor, high=bar.high * factor, low=bar.low * factor, close=bar.close * factor
        )

    async def _receive(self, bar: Bar) -> None:
        if self.cut:
            self.exchange.on_bar(bar)  # the market goes on; nobody here sees it
            return
        now = asyncio.get_running_loop().time()
        if bar.symbol not in self._drop_at:
            self._drop_at[bar.symbol] = now + self._rng.uniform(*FIRST_DROP)
            self.socket.on_ws_status(bar.symbol, True)
        elif now >= self._drop_at[bar.symbol]:
            self._drop_at[bar.symbol] = now + self._rng.uniform(*NEXT_DROP)
            self.socket.on_ws_status(bar.symbol, False)
            await asyncio.sleep(min(DROPPED, 10 * self.interval))
            self.socket.on_ws_reconnect(bar.symbol)
        self.socket.on_ws_message(bar.symbol)
        self.exchange.on_bar(bar)
        self.count += 1
        await self.bus.publish(
            BarEvent(
                source="feed",
                correlation_id=uuid.uuid4(),
                symbol=bar.symbol,
                timeframe=bar.timeframe,
                open=bar.open,
                high=bar.high,
                low=bar.low,
                close=bar.close,
                volume=bar.volume,
                bar_timestamp=bar.time,
            )
        )
