"""The end of a day: each pod's return goes to the detectors."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from datetime import date, timedelta
from typing import Any

import otel_mcbot as mcbot

from .bus import EventBus
from .events import BarEvent, EventType
from .portfolio import Pod, Portfolio

BACKTEST = 60
"""Days of recorded daily bars that stand in for the pods' backtests."""

RECORD_BACKTEST, RECORD_LIVE = 365, 70
"""Days of the made-up record: a backtest, and the days that the pod has traded since."""

Record = Mapping[str, tuple[float, float]]
"""Pod id → mean and standard deviation of its daily returns."""


class Days:
    """Knows when a day (a date in UTC) is over, and what each pod earned on it.

    A day's gain is the profit at its last bar less that of the day before, over the pod's capital.

    Args:
        telemetry: whose detectors are told. A demo begins anew: what they know of an earlier run is forgotten.
        backtest: days that make the detectors, which are fed with those after; 0: fed from the first day, without one.
        record: of what the pods did before the first bar; it is made up from these numbers, the same for a seed.
    """

    def __init__(
        self,
        bus: EventBus,
        portfolio: Portfolio,
        pods: Sequence[Pod],
        telemetry: mcbot.Telemetry,
        *,
        backtest: int = 0,
        record: Record | None = None,
        seed: int = 0,
    ) -> None:
        self.portfolio = portfolio
        self.pods = pods
        self.detectors = telemetry.detectors
        self.backtest = backtest
        self.record = record or {}
        self.seed = seed
        self._today: date | None = None
        self._profit = {pod.id: 0.0 for pod in pods}
        self._settled = dict(self._profit)
        self._returns: dict[str, list[float]] = {pod.id: [] for pod in pods}
        self._judged_day: dict[str, date] = {}
        self._judged: Future[Any] | None = None
        for pod in pods:
            self.detectors.remove(pod.id)
        bus.subscribe(EventType.BAR, self.on_bar)

    async def on_bar(self, bar: BarEvent) -> None:
        day = bar.bar_timestamp.date()
        if self._today is None:
            for pod in self.pods:
                if pod.id in self.record:
                    self.begin(pod, day)
        elif day > self._today:
            for pod in self.pods:
                self._end(pod, self._today)
        self._today = day
        for pod in self.pods:
            self._profit[pod.id] = self.portfolio.pnl(pod.strategy)

    async def settled(self) -> None:
        """Waits until the last day is judged: that happens in another thread."""
        if self._judged is not None:
            await asyncio.wrap_future(self._judged)

    def begin(self, pod: Pod, day: date) -> None:
        """The pod is what its record says it was the day before ``day``."""
        rng = random.Random(f"{self.seed}:{pod.id}")
        mean, deviation = self.record[pod.id]
        returns = [rng.gauss(mean, deviation) for _ in range(RECORD_BACKTEST + RECORD_LIVE)]
        self.detectors.remove(pod.id)
        self.detectors.auto_init(pod.id, returns[:RECORD_BACKTEST])
        self._judged_day[pod.id] = day - timedelta(RECORD_LIVE + 1)
        for earned in returns[RECORD_BACKTEST:]:
            self.live(pod, earned)

    def live(self, pod: Pod, earned: float, day: date = date.min) -> None:
        """The pod earned so much on ``day``, or on the day after the last one if that is later."""
        last = self._judged_day.get(pod.id, date.min)
        self._judged_day[pod.id] = max(day, last + timedelta(1))
        self._judged = self.detectors.update(pod.id, earned, self._judged_day[pod.id])

    def _end(self, pod: Pod, day: date) -> None:
        earned = (self._profit[pod.id] - self._settled[pod.id]) / pod.capital
        self._settled[pod.id] = self._profit[pod.id]
        warming = self._returns[pod.id]
        if len(warming) >= self.backtest:
            self.live(pod, earned, day)
            return
        warming.append(earned)
        if len(warming) == self.backtest:
            self._judged = self.detectors.auto_init(pod.id, warming)
