"""The market data: connections that drop, that are silent, that come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from loguru import logger

from .tools import beside, every, symbols

if TYPE_CHECKING:
    from otel_mcbot.demo.bot import Bot

LONGEST = 60.0
"""Seconds between two attempts to come back, at most; it begins with one."""


@asynccontextmanager
async def drop(bot: Bot) -> AsyncIterator[None]:
    names = [bar.symbol for bar in await symbols(bot)]

    async def come_back() -> None:
        wait = 1.0
        while True:
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST)
            for symbol in names:
                logger.warning("websocket of {}: reconnect failed: Name or service not known", symbol)
                bot.feed.socket.on_ws_reconnect_failed(symbol)

    bot.feed.cut = True
    try:
        for symbol in names:
            logger.error("websocket of {}: connection lost", symbol)
            bot.feed.socket.on_ws_status(symbol, False)
        async with beside(come_back()):
            yield
    finally:
        bot.feed.cut = False
        for symbol in names:
            bot.feed.socket.on_ws_reconnect(symbol)


@asynccontextmanager
async def silence(bot: Bot) -> AsyncIterator[None]:
    bot.feed.cut = True
    logger.warning("websocket: connected, and nothing comes")
    try:
        yield
    finally:
        bot.feed.cut = False


@asynccontextmanager
async def flap(bot: Bot) -> AsyncIterator[None]:
    async def once() -> None:
        for bar in await symbols(bot):
            logger.warning("websocket of {}: 1008 policy violation, reconnecting", bar.symbol)
            bot.feed.socket.on_ws_status(bar.symbol, False)
            await asyncio.sleep(0.5)
            bot.feed.socket.on_ws_reconnect(bar.symbol)

    async with beside(every(15.0, once)):
        yield
