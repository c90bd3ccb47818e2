"""The end of a day: each pod's return goes to the detectors."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import date
from typing import Any

import otel_mcbot as mcbot

from .bus import EventBus
from .events import BarEvent, EventType
from .portfolio import Pod, Portfolio

BACKTEST = 60
"""Days of recorded daily bars that stand in for the pods' backtests."""


class Days:
    """Knows when a day (a date in UTC) is over, and what each pod earned on it.

    A day's gain is the profit at its last bar less that of the day before, over the pod's capital.

    Args:
        telemetry: whose detectors are told. A demo begins anew: what they know of an earlier run is forgotten.
        backtest: days that make the detectors, which are fed with those after; 0: fed from the first day, without one.
    """

    def __init__(
        self, bus: EventBus, portfolio: Portfolio, pods: Sequence[Pod], telemetry: mcbot.Telemetry, *, backtest: int = 0
    ) -> None:
        self.portfolio = portfolio
        self.pods = pods
        self.detectors = telemetry.detectors
        self.backtest = backtest
        self._today: date | None = None
        self._profit = {pod.id: 0.0 for pod in pods}
        self._settled = dict(self._profit)
        self._returns: dict[str, list[float]] = {pod.id: [] for pod in pods}
        self._judged: Future[Any] | None = None
        for pod in pods:
            self.detectors.remove(pod.id)
        bus.subscribe(EventType.BAR, self.on_bar)

    async def on_bar(self, bar: BarEvent) -> None:
        day = bar.bar_timestamp.date()
        if self._today is not None and day > self._today:
            for pod in self.pods:
                self._end(pod, self._today)
        self._today = day
        for pod in self.pods:
            self._profit[pod.id] = self.portfolio.pnl(pod.strategy)

    async def settled(self) -> None:
        """Waits until the last day is judged: that happens in another thread."""
        if self._judged is not None:
            await asyncio.wrap_future(self._judged)

    def _end(self, pod: Pod, day: date) -> None:
        earned = (self._profit[pod.id] - self._settled[pod.id]) / pod.capital
        self._settled[pod.id] = self._profit[pod.id]
        warming = self._returns[pod.id]
        if len(warming) >= self.backtest:
            self._judged = self.detectors.update(pod.id, earned, day)
            return
        warming.append(earned)
        if len(warming) == self.backtest:
            self._judged = self.detectors.auto_init(pod.id, warming)
