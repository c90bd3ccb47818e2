"""What a bot does besides trading: heartbeats, the pods' state, a look at the account now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from loguru import logger

import otel_mcbot as mcbot

from .bus import EventBus
from .events import BarEvent, EventType, HeartbeatEvent
from .exchange import HOST, NetworkError, PaperExchange
from .pods import PodBook

HEARTBEAT = 1.0
"""Seconds between two heartbeats; short, because a demo is. A real bot needs one every 30 s."""

POLL_EVERY = 200
"""Bars between two looks at the account. Counted in bars, so that a run repeats."""


class Chores:
    def __init__(self, bus: EventBus, exchange: PaperExchange, pods: PodBook, tell_pods: Callable[[Any], None]) -> None:
        self.bus = bus
        self.exchange = exchange
        self.pods = pods
        self.tell_pods = tell_pods
        self._bars = 0
        self._polls: set[asyncio.Task[None]] = set()
        bus.subscribe(EventType.BAR, self.on_bar)

    async def run(self) -> None:
        """Heartbeats and pods, for ever."""
        while True:
            await self.bus.publish(HeartbeatEvent(source="bot", component="bot", bars_processed=self._bars))
            self.tell_pods(self.pods.snapshot())
            await asyncio.sleep(HEARTBEAT)

    async def settled(self) -> None:
        """Waits for the calls on their way."""
        await asyncio.gather(*self._polls)

    async def on_bar(self, bar: BarEvent) -> None:
        self._bars += 1
        if self._bars % POLL_EVERY == 1:
            poll = asyncio.create_task(self._poll(bar.symbol))
            self._polls.add(poll)
            poll.add_done_callback(self._polls.discard)

    async def _poll(self, symbol: str) -> None:
        await self._call("fetch_ticker", self.exchange.fetch_ticker, symbol)
        await self._call("fetch_balance", self.exchange.fetch_balance)
        await self._call("fetch_positions", self.exchange.fetch_positions)
        await self._call("fetch_open_orders", self.exchange.fetch_open_orders)

    async def _call(self, operation: str, call: Callable[..., Awaitable[object]], *arguments: Any) -> None:
        try:
            with mcbot.exchange_call(operation, address=HOST):
                await call(*arguments)
        except NetworkError as error:
            logger.warning("{} failed: {}", operation, error)
