"""Money: positions that are too large, a market that falls, a strategy that loses, and the breaker that ends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from loguru import logger

from .tools import STEP, Weights, beside, hold, paused, reach, symbols

if TYPE_CHECKING:
    from otel_mcbot.demo.bot import Bot

HEAL = 60.0
"""Seconds that closing positions may take when a fault is over."""

DEEP, TOO_DEEP = 0.12, 0.135
"""Drawdown (a fraction) of the crash."""

LOSS = 1_500.0
"""Quote currency that the losing strategy loses."""

SLUMP = 0.02
"""Fraction by which the price falls whenever it has bought."""


@asynccontextmanager
async def _positions(bot: Bot, weights: Weights, *, still: bool = False) -> AsyncIterator[None]:
    """Nobody limits them, nobody but the fault decides, and at the end they are closed.

    A ``still`` market keeps what is so large from being lost within minutes.
    """
    limit, bot.risk.limit = bot.risk.limit, 10.0
    wanted = ", ".join(f"{strategy} {weight:+.0%}" for strategy, weight in weights.items())
    logger.warning("positions of every symbol are set by hand, of the pod's capital: {}", wanted)
    if still:
        bot.feed.still = {bar.symbol: bar.close for bar in await symbols(bot)}
    try:
        with paused(bot):
            async with beside(hold(bot, weights)):
                yield
            with suppress(TimeoutError):
                await asyncio.wait_for(reach(bot, dict.fromkeys(weights, 0.0)), HEAL)
    finally:
        bot.risk.limit, bot.feed.still = limit, {}


@asynccontextmanager
async def netting(bot: Bot) -> AsyncIterator[None]:
    async with _positions(bot, {"trend": 0.2, "reversion": 0.2}):
        yield


@asynccontextmanager
async def exposure(bot: Bot) -> AsyncIterator[None]:
    async with _positions(bot, {"trend": 1.8, "reversion": -1.8}, still=True):
        yield


@asynccontextmanager
async def margin(bot: Bot) -> AsyncIterator[None]:
    async with _positions(bot, {"trend": 2.3, "reversion": 2.3}, still=True):
        yield


@asynccontextmanager
async def leverage(bot: Bot) -> AsyncIterator[None]:
    async with _positions(bot, {"trend": 2.9, "reversion": 2.9}, still=True):
        yield


@asynccontextmanager
async def crash(bot: Bot) -> AsyncIterator[None]:
    weights = {"trend": 0.75, "reversion": 0.75}

    async def fall() -> None:
        await reach(bot, weights)
        logger.warning("the whole market falls")
        while True:
            drawdown = 1 - (bot.portfolio.capital + bot.portfolio.pnl()) / bot.portfolio.peak
            bot.feed.factor *= 0.995 if drawdown < DEEP else 1.003 if drawdown > TOO_DEEP else 1.0
            await asyncio.sleep(STEP)

    try:
        async with _positions(bot, weights):
            async with beside(fall()):
                yield
            while bot.feed.factor < 1.0:
                bot.feed.factor = min(1.0, bot.feed.factor * 1.005)
                await asyncio.sleep(STEP)
    finally:
        bot.feed.factor = 1.0


@asynccontextmanager
async def losses(bot: Bot) -> AsyncIterator[None]:
    def made() -> float:
        return sum(position.realized for position in bot.portfolio.positions(strategy="trend"))

    async def once(step: float) -> None:
        """Buy, let the price move, sell."""
        await reach(bot, {"trend": 0.75, "reversion": 0.0})
        bot.feed.factor = 1 + step
        closes = {bar.symbol: bar.bar_timestamp for bar in await symbols(bot)}
        while any(bar.bar_timestamp <= closes[bar.symbol] for bar in await symbols(bot)):
            await asyncio.sleep(STEP)
        await reach(bot, {"trend": 0.0, "reversion": 0.0})
        bot.feed.factor = 1.0

    async def lose() -> None:
        while True:
            if made() > -LOSS:
                logger.warning("trend bought the top again")
                await once(-SLUMP)
            await asyncio.sleep(STEP)

    limit, bot.risk.limit = bot.risk.limit, 10.0
    try:
        with paused(bot):
            async with beside(lose()):
                yield
            while made() < 0:
                await once(SLUMP)
    finally:
        bot.feed.factor, bot.risk.limit = 1.0, limit


@asynccontextmanager
async def breaker(bot: Bot) -> AsyncIterator[None]:
    bot.risk.max_drawdown = 1e-6
    try:
        yield
    finally:
        bot.risk.max_drawdown, bot.risk.tripped = 1.0, False
