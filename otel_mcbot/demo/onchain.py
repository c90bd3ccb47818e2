"""On-chain data: five sources, polled every few hours of the market's time, and a cache of what they gave."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from loguru import logger

import otel_mcbot as mcbot

from .bus import EventBus
from .events import BarEvent, EventType

FAILURES, EMPTY = 0.02, 0.01
"""Shares of fetches that fail, and that bring nothing."""

ANSWER = 0.8
"""Usual seconds of a fetch."""

_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Source:
    """Whom to ask, how often, for what (column → usual number of rows), and which asset it is about, all if empty."""

    name: str
    every: timedelta
    columns: dict[str, int]
    asset: str = ""


SOURCES = (
    Source("defillama", 6 * _HOUR, {"tvl": 365, "stablecoin_supply": 365, "dex_volume": 180}),
    Source("sentiment", 6 * _HOUR, {"fear_greed": 90}),
    Source("coinmetrics", 12 * _HOUR, {"active_addresses": 365, "mvrv": 365}),
    Source("btc_mining", 6 * _HOUR, {"hashrate": 180, "difficulty": 26}, asset="BTC"),
    Source("eth_supply", 12 * _HOUR, {"supply": 120}, asset="ETH"),
)


class SourceError(Exception):
    """A source did not answer as it should."""


class Onchain:
    """Fetches what is due. A source that fails keeps what it gave before.

    Args:
        bus: brings the bars, whose time says what is due.
        telemetry: is told of fetches, refreshes and the size of the cache.
        seed: which fetches fail, and how long they take.
        pace: factor on every waiting time.

    Attributes:
        outage: every fetch fails, and the cache is empty. extra: seconds that every fetch takes longer.
    """

    def __init__(self, bus: EventBus, telemetry: mcbot.Telemetry, *, seed: int, pace: float) -> None:
        self.told = telemetry.onchain
        self.pace = pace
        self.outage = False
        self.extra = 0.0
        self._rng = random.Random(f"{seed}:onchain")
        self._due: dict[str, datetime] = {}
        self._cache: dict[str, set[str]] = {}
        self._fetches: set[asyncio.Task[None]] = set()
        bus.subscribe(EventType.BAR, self.on_bar)

    async def settled(self) -> None:
        """Waits for the fetches on their way."""
        await asyncio.gather(*self._fetches)

    async def on_bar(self, bar: BarEvent) -> None:
        self._cache.setdefault(bar.symbol, set())
        for source in SOURCES:
            if bar.bar_timestamp >= self._due.get(source.name, bar.bar_timestamp):
                self._due[source.name] = bar.bar_timestamp + source.every
                self.fetch(source)

    def fetch(self, source: Source) -> None:
        """Ask a source now, in a task of its own."""
        seconds = self.pace * ANSWER * self._rng.lognormvariate(0, 0.6) / len(source.columns) + self.extra
        luck = self._rng.random()
        task = asyncio.create_task(self._fetch(source, seconds, luck), name=f"onchain {source.name}")
        self._fetches.add(task)
        task.add_done_callback(self._fetches.discard)

    def forget(self) -> None:
        """The cache is lost."""
        for symbol, columns in self._cache.items():
            columns.clear()
            self.told.on_cache_size(symbol, 0)

    async def _fetch(self, source: Source, seconds: float, luck: float) -> None:
        ok = True
        for column, usual in source.columns.items():
            began = time.monotonic()
            try:
                rows = await self._ask(source, column, usual, seconds, luck)
            except SourceError as error:
                ok = False
                logger.warning("on-chain source {} failed: {}", source.name, error)
                self.told.on_fetch(source.name, column, "failure", time.monotonic() - began, 0)
                continue
            self.told.on_fetch(source.name, column, "success" if rows else "empty", time.monotonic() - began, rows)
            if rows:
                self._keep(source, column)
        self.told.on_cache_refresh("success" if ok else "failure")

    async def _ask(self, source: Source, column: str, usual: int, seconds: float, luck: float) -> int:
        await asyncio.sleep(seconds)
        if self.outage:
            raise SourceError(f"GET {column}: 503 Service Unavailable")
        if luck < FAILURES:
            raise SourceError(f"GET {column}: connection reset")
        return 0 if luck < FAILURES + EMPTY else usual

    def _keep(self, source: Source, column: str) -> None:
        for symbol, columns in self._cache.items():
            if symbol.startswith(source.asset):
                columns.add(column)
            self.told.on_cache_size(symbol, len(columns))
