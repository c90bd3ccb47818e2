"""The bot's own inside: its bus, its strategies, its risk manager, its telemetry, its sources."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from loguru import logger

from otel_mcbot.demo.bus import Handler
from otel_mcbot.demo.events import Direction, Event, EventType, HeartbeatEvent
from otel_mcbot.demo.onchain import SOURCES

from .tools import beside, decide, every, idle, paused, symbols

if TYPE_CHECKING:
    from otel_mcbot.demo.bot import Bot

SLOW = 0.005
"""Seconds that a slow handler takes for each event."""


@asynccontextmanager
async def _subscribed(bot: Bot, kind: EventType, handler: Handler) -> AsyncIterator[None]:
    bot.bus.subscribe(kind, handler)
    try:
        yield
    finally:
        bot.bus.unsubscribe(kind, handler)


@asynccontextmanager
async def queue(bot: Bot) -> AsyncIterator[None]:
    """More heartbeats than a slow handler can take. The market does not wait, either."""

    async def dawdle(event: Event) -> None:
        await asyncio.sleep(SLOW)

    async def burst() -> None:
        for _ in range(bot.bus.capacity + 10 - bot.bus.queue_size):
            await bot.bus.publish(HeartbeatEvent(source="burst", component="burst", bars_processed=0))

    bot.feed.backlog, usual = math.inf, bot.feed.backlog
    logger.warning("a slow handler is on the bus, and everybody beats")
    try:
        async with _subscribed(bot, EventType.HEARTBEAT, dawdle), beside(every(0.1, burst)):
            yield
    finally:
        bot.feed.backlog = usual


@asynccontextmanager
async def handler(bot: Bot) -> AsyncIterator[None]:
    async def fail(event: Event) -> None:
        raise ZeroDivisionError("position of BTC/USDT over an equity of 0")

    async with _subscribed(bot, EventType.HEARTBEAT, fail):
        yield


@asynccontextmanager
async def stuck(bot: Bot) -> AsyncIterator[None]:
    """Nothing rests at the venue, and what the strategies want does not get as far."""

    async def want() -> None:
        for bar in await symbols(bot):
            lane = bot.portfolio.lane("trend", bar.symbol)
            if idle(lane):
                held = lane.position.quantity * bar.close / lane.pod.capital / bot.portfolio.size
                await decide(bot, "trend", bar, Direction.LONG, 0.5 if held < 0.4 else 0.3)

    bot.oms.withdraw()
    bot.risk.held = []
    try:
        with paused(bot):
            async with beside(every(1.0, want)):
                yield
    finally:
        await bot.risk.release()


@asynccontextmanager
async def silent(bot: Bot) -> AsyncIterator[None]:
    logger.warning("strategies look at bars and decide nothing")
    with paused(bot):
        yield


@asynccontextmanager
async def losses(bot: Bot) -> AsyncIterator[None]:
    async def lose() -> None:
        for bar in await symbols(bot):
            logger.warning("the funding rate of {} is not a number", bar.symbol)
            bot.regime.told.on_funding_rate(bar.symbol, math.nan)

    async with beside(every(1.0, lose)):
        yield


async def _fetch(bot: Bot) -> None:
    """Every source is asked, now."""
    for source in SOURCES:
        bot.onchain.fetch(source)


@asynccontextmanager
async def sources(bot: Bot) -> AsyncIterator[None]:
    bot.onchain.outage = True
    bot.onchain.forget()
    try:
        async with beside(every(5.0, lambda: _fetch(bot))):
            yield
    finally:
        bot.onchain.outage = False
        await _fetch(bot)


@asynccontextmanager
async def slow_sources(bot: Bot) -> AsyncIterator[None]:
    bot.onchain.extra = 75.0
    try:
        async with beside(every(30.0, lambda: _fetch(bot))):
            yield
    finally:
        bot.onchain.extra = 0.0


@asynccontextmanager
async def nothing(bot: Bot) -> AsyncIterator[None]:
    """What is wrong was so from the start."""
    logger.warning("SOL/USDT: subscribed, and there is no such stream")
    yield
