"""The venue: slow, silent, unwilling, or speaking another language. Each has orders or calls of its own to suffer."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Iterator
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
def _wrong(bot: Bot, **what: Any) -> Iterator[None]:
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
    async with _orders(bot, refusal="-4005 Quantity greater than max quantity."):
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
    await symbols(bot)
    endpoints = itertools.cycle(("fetch_balance", "fetch_positions", "fetch_open_orders"))

    async def ask() -> None:
        endpoint = next(endpoints)
        with contextlib.suppress(NetworkError), mcbot.exchange_call(endpoint, address=HOST):
            await getattr(bot.exchange, endpoint)()

    logger.warning("the account is polled for every tick: the venue's limit is 1,200 calls a minute")

    async def flood() -> None:
        began, sent = time.monotonic(), 0
        async with asyncio.TaskGroup() as calls:
            while True:
                due = int((time.monotonic() - began) * CALLS)
                for _ in range(due - sent):
                    calls.create_task(ask())
                sent = due
                await asyncio.sleep(1 / CALLS)

    async with beside(flood()):
        yield


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
