"""Does the venue hold what the bot believes? A look now and then, and a second one where they differ."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from loguru import logger

import otel_mcbot as mcbot

from .bus import EventBus
from .events import BarEvent, EventType
from .exchange import HOST, NetworkError, PaperExchange
from .portfolio import Portfolio

EVERY = 251
"""Bars between two checks."""

LOOKS, BETWEEN = 3, 0.3
"""A fill on its way looks like drift: so many looks, so many seconds apart, before it is one."""

TOLERANCE = 0.02
"""Shares by which position and balance may differ."""


class Reconciler:
    """Args:
    bus: brings the bars, by which checks are counted.
    telemetry: is told what a check found.
    """

    def __init__(
        self, bus: EventBus, exchange: PaperExchange, portfolio: Portfolio, telemetry: mcbot.Telemetry
    ) -> None:
        self.bus = bus
        self.exchange = exchange
        self.portfolio = portfolio
        self.told = telemetry.reconciliation
        self._bars = 0
        self._check: asyncio.Task[None] | None = None
        bus.subscribe(EventType.BAR, self.on_bar)

    async def on_bar(self, bar: BarEvent) -> None:
        self._bars += 1
        if self._bars % EVERY == 1 and (self._check is None or self._check.done()):
            self._check = asyncio.create_task(self.check(), name="reconcile")

    async def settled(self) -> None:
        """Waits for the check on its way."""
        if self._check is not None:
            await self._check

    async def check(self) -> None:
        """Compare now. Nothing is corrected."""
        drifts, balance = dict[str, float](), 0.0
        for look in range(LOOKS):
            try:
                with mcbot.exchange_call("fetch_positions", address=HOST):
                    await self.exchange.fetch_positions()
                with mcbot.exchange_call("fetch_balance", address=HOST):
                    await self.exchange.fetch_balance()
            except NetworkError as error:
                logger.warning("reconciliation failed: {}", error)
                self.told.on_check("failure")
                return
            await self.bus.drained()
            drifts = self._drifts()
            balance = self._balance_drift()
            if max([balance, *drifts.values()]) <= TOLERANCE:
                self.told.on_check("ok", drifts, balance)
                return
            if look < LOOKS - 1:
                await asyncio.sleep(BETWEEN * self.exchange.pace)
        logger.warning("the venue does not hold what the bot believes: {}", drifts)
        self.told.on_check("drift", drifts, balance)

    def _drifts(self) -> dict[str, float]:
        believed = {
            symbol: round(sum(position.quantity for position in self.portfolio.positions(symbol)), 8)
            for symbol in self.portfolio.last
        }
        held = {symbol: round(position.quantity, 8) for symbol, position in self.exchange.positions.items()}
        return drifts(believed, held)

    def _balance_drift(self) -> float:
        believed = self.portfolio.capital + sum(p.realized - p.fees for p in self.portfolio.positions())
        # the venue nets what strategies hold against each other: only with open profit are the two the same money
        open_here = self.portfolio.pnl() + self.portfolio.capital - believed
        open_there = sum(
            position.unrealized(self.portfolio.last[symbol].close)
            for symbol, position in self.exchange.positions.items()
            if symbol in self.portfolio.last
        )
        return abs(self.exchange.cash + open_there - believed - open_here) / (believed + open_here)


def drifts(believed: Mapping[str, float], held: Mapping[str, float]) -> dict[str, float]:
    """Symbol → ``|believed - held| / |believed|``, 1 for what only one side has. What nobody holds is left out."""
    found = {}
    for symbol in {*believed, *held}:
        here, there = believed.get(symbol, 0.0), held.get(symbol, 0.0)
        if here and there:
            found[symbol] = abs(here - there) / abs(here)
        elif here or there:
            found[symbol] = 1.0
    return found
