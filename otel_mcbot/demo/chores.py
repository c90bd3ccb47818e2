"""What a bot does besides trading: heartbeats, the pods' state, a look at the account now and then, a stop far out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from loguru import logger

import otel_mcbot as mcbot

from .bus import EventBus
from .events import BarEvent, EventType, HeartbeatEvent
from .exchange import HOST, ExchangeError, NetworkError, OrderDict, PaperExchange
from .pods import PodBook

HEARTBEAT = 1.0
"""Seconds between two heartbeats; short, because a demo is. A real bot needs one every 30 s."""

POLL_EVERY = 201
"""Bars between two looks at the account. Counted in bars, so that a run repeats; odd, so that symbols take turns."""

STOP_DISTANCE = 0.5
"""Fraction of the price at which the stop lies that the venue keeps for the day that the bot is not there."""


class Chores:
    """Args:
    bus: brings the bars, takes heartbeats.
    pods: looked at with each heartbeat.
    tell_pods: is told what they look like.
    last_order: client's symbol and venue's id of the newest order, if there is one.
    """

    def __init__(
        self,
        bus: EventBus,
        exchange: PaperExchange,
        pods: PodBook,
        tell_pods: Callable[[Any], None],
        last_order: Callable[[], tuple[str, str] | None],
    ) -> None:
        self.bus = bus
        self.exchange = exchange
        self.pods = pods
        self.tell_pods = tell_pods
        self.last_order = last_order
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
            poll = asyncio.create_task(self.look(bar.symbol), name="look")
            self._polls.add(poll)
            poll.add_done_callback(self._polls.discard)

    async def look(self, symbol: str) -> None:
        """Read the account as it is, and put the stop where the price is now."""
        await self._call("fetch_ticker", self.exchange.fetch_ticker, symbol)
        await self._call("fetch_balance", self.exchange.fetch_balance)
        positions = await self._call("fetch_positions", self.exchange.fetch_positions)
        await self._call("fetch_open_orders", self.exchange.fetch_open_orders)
        if (order := self.last_order()) is not None:
            traded, venue_id = order
            await self._call("fetch_order", self.exchange.fetch_order, venue_id, traded)
        for position in positions or ():
            if position["symbol"] == symbol:
                await self._protect(position)

    async def _protect(self, position: OrderDict) -> None:
        symbol, long = position["symbol"], position["side"] == "long"
        price = position["entryPrice"] * (1 - STOP_DISTANCE if long else 1 + STOP_DISTANCE)
        await self._call("cancel_all_orders", self.exchange.cancel_all_orders, symbol)
        await self._call(
            "create_stop_market",
            self.exchange.create_stop_market,
            symbol,
            "sell" if long else "buy",
            position["contracts"],
            round(price, 2),
        )

    async def _call(self, operation: str, call: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        try:
            with mcbot.exchange_call(operation, address=HOST):
                return await call(*arguments)
        except (NetworkError, ExchangeError) as error:
            logger.warning("{} failed: {}", operation, error)
            return None
