"""The venue: slow, silent, unwilling, or speaking another language. Each has orders or calls of its own to suffer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from loguru import logger

import otel_mcbot as mcbot
from otel_mcbot.demo.events import Direction
from otel_mcbot.demo.exchange import HOST, Faults, NetworkError

from .tools import beside, churn, decide, every, idle, paused, symbols, until

if TYPE_CHECKING:
    from otel_mcbot.demo.bot import Bot

LOOK = 2.0
"""Seconds between two looks at the account of a bot that trusts nobody."""

CALLS = 20
"""Calls a second of a bot that asks too often: 1,200 a minute."""


@contextlib.contextmanager
def _wrong(bot: Bot, **what: Any) -> Any:
    bot.exchange.faults = Faults(**what)
    try:
        yield
    finally:
        bot.exchange.faults = Faults()


@asynccontextmanager
async def _orders(bot: Bot, **what: Any) -> AsyncIterator[None]:
    """Orders go on being sent meanwhile, and what they left is closed at the end."""
    with paused(bot):
        with _wrong(bot, **what):
            async with beside(churn(bot)):
                yield
        for bar in await symbols(bot):
            lane = bot.portfolio.lane("trend", bar.symbol)
            await until(lambda lane=lane: idle(lane))  # type: ignore[misc]
            if lane.position.quantity:
                await decide(bot, "trend", bot.portfolio.last[bar.symbol], Direction.NEUTRAL, 0.0)


async def _look(bot: Bot) -> None:
    for bar in await symbols(bot):
        await bot.chores.look(bar.symbol)


@asynccontextmanager
async def slippage(bot: Bot) -> AsyncIterator[None]:
    async with _orders(bot, slippage=60.0):
        yield


@asynccontextmanager
async def slow(bot: Bot) -> AsyncIterator[None]:
    async with _orders(bot, delay=7.0), beside(every(LOOK, lambda: _look(bot))):
        yield


@asynccontextmanager
async def reads(bot: Bot) -> AsyncIterator[None]:
    with _wrong(bot, reads_fail=True):
        async with beside(every(LOOK, lambda: _look(bot))):
            yield


@asynccontextmanager
async def writes(bot: Bot) -> AsyncIterator[None]:
    async with _orders(bot, writes_fail=True):
        yield


@asynccontextmanager
async def rejects(bot: Bot) -> AsyncIterator[None]:
    async with _orders(bot, refusal="-2019 Margin is insufficient."):
        yield


@asynccontextmanager
async def lost(bot: Bot) -> AsyncIterator[None]:
    async with _orders(bot, unanswered=True):
        yield


@asynccontextmanager
async def garbled(bot: Bot) -> AsyncIterator[None]:
    async with _orders(bot, garbled=True):
        yield


@asynccontextmanager
async def often(bot: Bot) -> AsyncIterator[None]:
    (bar, *_) = await symbols(bot)

    async def ask() -> None:
        with contextlib.suppress(NetworkError), mcbot.exchange_call("fetch_ticker", address=HOST):
            await bot.exchange.fetch_ticker(bar.symbol)

    logger.warning("the ticker is polled for every tick: the venue's limit is 1,200 calls a minute")

    async def flood() -> None:
        async with asyncio.TaskGroup() as calls:
            await every(1 / CALLS, lambda: _begin(calls.create_task(ask())))

    async with beside(flood()):
        yield


async def _begin(task: asyncio.Task[None]) -> None:
    """It goes on by itself."""


@asynccontextmanager
async def tiny(bot: Bot) -> AsyncIterator[None]:
    """Signals worth less than the venue's smallest order."""

    async def ask() -> None:
        for bar in await symbols(bot):
            lane = bot.portfolio.lane("trend", bar.symbol)
            if idle(lane) and not lane.position.quantity:
                strength = 7.0 / lane.pod.capital / bot.portfolio.size
                await decide(bot, "trend", bar, Direction.LONG, strength)
            elif idle(lane):
                await decide(bot, "trend", bar, Direction.NEUTRAL, 0.0)

    with paused(bot):
        async with beside(every(2.0, ask)):
            yield
