"""The pods' days: two a second, of a season in which a pod is not what it was. Its detectors judge them as any day.

When it is over the pod has its record again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from loguru import logger

from .tools import beside, symbols

if TYPE_CHECKING:
    from otel_mcbot.demo.bot import Bot

POD = "pod-trend"

DAY = 0.5
"""Seconds of a day."""

SEEN = 30.0
"""Seconds for which a state stays before the next one: long enough to be seen by who looks every ten."""


@asynccontextmanager
async def _season(bot: Bot, earned: Callable[[int], float | None]) -> AsyncIterator[None]:
    """``earned``: number of the day → what the pod earns on it; ``None``: nothing happens for a while."""
    (pod,) = (pod for pod in bot.days.pods if pod.id == POD)
    (bar, *_) = await symbols(bot)

    async def live() -> None:
        number = 0
        while True:
            await bot.days.settled()
            today = earned(number)
            if today is None:
                await asyncio.sleep(SEEN)
                continue
            bot.days.live(pod, today)
            number += 1
            await asyncio.sleep(DAY)

    logger.warning("{} is not what its record says", POD)
    try:
        async with beside(live()):
            yield
    finally:
        await bot.days.settled()
        bot.days.begin(pod, bot.portfolio.last[bar.symbol].bar_timestamp.date())


def _level(bot: Bot, detector: str) -> int:
    """What a detector says of the pod: 0 NORMAL, 1 WARNING, 2 CRITICAL."""
    return int(_result(bot, detector).severity.level)


def _result(bot: Bot, detector: str) -> Any:
    return getattr(bot.days.detectors.bank.pod(POD), detector).result


@asynccontextmanager
async def drift(bot: Bot) -> AsyncIterator[None]:
    mean, deviation = bot.days.record[POD]
    async with _season(bot, lambda number: mean + 0.1 * deviation * (-1) ** number):
        yield


@asynccontextmanager
async def decay(bot: Bot) -> AsyncIterator[None]:
    mean, deviation = bot.days.record[POD]

    def earned(number: int) -> float | None:
        judge = _result(bot, "decay")
        return None if judge.ransac_slope < -0.001 else -1.5 * mean + 0.3 * deviation * (-1) ** number

    async with _season(bot, earned):
        yield


@asynccontextmanager
async def drawdown(bot: Bot) -> AsyncIterator[None]:
    _, deviation = bot.days.record[POD]
    levels = [0]

    def earned(number: int) -> float | None:
        level = _level(bot, "drawdown")
        if level != levels[-1]:
            levels.append(level)
            return None
        return None if level == 2 else -0.7 * deviation

    async with _season(bot, earned):
        yield


@asynccontextmanager
async def probation(bot: Bot) -> AsyncIterator[None]:
    mean, deviation = bot.days.record[POD]

    def earned(number: int) -> float | None:
        state = bot.days.detectors.lifecycle(POD)
        return None if state is not None and state.state == "probation" else mean - 1.5 * deviation

    async with _season(bot, earned):
        yield
