"""What faults are made of."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from otel_mcbot.demo.events import BarEvent, Direction
from otel_mcbot.demo.portfolio import Lane
from otel_mcbot.demo.strategies import Decision

if TYPE_CHECKING:
    from otel_mcbot.demo.bot import Bot

STEP = 0.25
"""Seconds between two looks at what was asked for."""

SMALL = 0.005
"""Strength of a signal whose order moves no account."""

Weights = Mapping[str, float]
"""Strategy → share of its pod's capital that it shall hold of every symbol, below 0 short."""


@contextlib.asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Something that goes on meanwhile. Its end is awaited; what it raises comes out."""
    task = asyncio.create_task(work, name="fault")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    if not task.cancelled():
        task.result()


async def every(seconds: float, act: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do it now and again, for ever."""
    while True:
        await act()
        await asyncio.sleep(seconds)


async def until(true: Callable[[], bool]) -> None:
    """Wait for it."""
    while not true():
        await asyncio.sleep(STEP)


@contextlib.contextmanager
def paused(bot: Bot) -> Iterator[None]:
    """The strategies decide nothing."""
    for strategy in bot.strategies:
        strategy.paused = True
    try:
        yield
    finally:
        for strategy in bot.strategies:
            strategy.paused = False


async def symbols(bot: Bot) -> list[BarEvent]:
    """The last bar of each symbol, once there is one."""
    await until(lambda: bool(bot.portfolio.last))
    return list(bot.portfolio.last.values())


def idle(lane: Lane) -> bool:
    """Whether no order of the lane is on its way."""
    return lane.order is None and not lane.waiting


async def decide(bot: Bot, strategy: str, bar: BarEvent, direction: Direction, strength: float) -> None:
    """Have a strategy say what somebody wants, through the bot's usual way to an order."""
    (runner,) = (each for each in bot.strategies if each.make.name == strategy)
    await runner.urge(bar, Decision(direction, strength))


async def steer(bot: Bot, weights: Weights) -> bool:
    """One step towards these weights. Returns whether they are reached."""
    reached = True
    for bar in await symbols(bot):
        for strategy, weight in weights.items():
            lane = bot.portfolio.lane(strategy, bar.symbol)
            held = lane.position.quantity * bar.close / lane.pod.capital
            if abs(held - weight) <= 0.1 * abs(weight):
                continue
            reached = False
            if idle(lane):
                direction = Direction((weight > 0) - (weight < 0))
                await decide(bot, strategy, bar, direction, abs(weight) / bot.portfolio.size)
    return reached


async def hold(bot: Bot, weights: Weights) -> None:
    """Get to these weights and stay there, for ever."""
    while True:
        await steer(bot, weights)
        await asyncio.sleep(STEP)


async def reach(bot: Bot, weights: Weights) -> None:
    """Get to these weights."""
    while not await steer(bot, weights):
        await asyncio.sleep(STEP)


async def churn(bot: Bot) -> None:
    """Orders without end, up to two a second: `trend` gets in and out."""
    while True:
        for bar in await symbols(bot):
            lane = bot.portfolio.lane("trend", bar.symbol)
            if idle(lane):
                held = lane.position.quantity != 0
                await decide(bot, "trend", bar, Direction.NEUTRAL if held else Direction.LONG, 0.0 if held else SMALL)
        await asyncio.sleep(1.0)
