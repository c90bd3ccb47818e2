"""What to run: which bars, how fast, for how long. Fixed by the arguments, so that a run can be repeated."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .market import MARKETS, Bar, read_bars, seconds_of, synthetic_market

SPEED = 1500.0
"""Bot seconds a second of the made-up market: 25 minutes, 50 bars of two symbols, a second."""

STEADY_SPEED = 300.0
"""The same of a run without end: 10 bars a second, some 45 orders a minute, a day in five minutes."""

DURATION = 20.0
"""Seconds of a run where nothing else is said."""

MADE_UP_SIZE = 0.2
"""Share of a pod's capital behind a full signal on the made-up market, which is wild for its minutes."""

FASTEST_REAL = 0.015
"""Seconds between two steps below which the venue's latencies shrink with them, else orders would pile up."""


@dataclass(frozen=True)
class Plan:
    """A run.

    Attributes:
        bars: in the order of their time; without end where ``steps`` is ``None``.
        symbols: symbol → timeframe, of all that will arrive.
        interval: seconds between two time steps; 0 as fast as possible.
        seed: of the made-up market and of what the venue does.
        size: share of a pod's capital that stands behind a full signal.
        made_up: the market is: there is no record of it, so the demo makes up one for its pods.
    """

    bars: Iterable[Bar]
    symbols: dict[str, str]
    interval: float
    seed: int
    size: float = 1.0
    made_up: bool = False

    @property
    def pace(self) -> float:
        """Factor on the venue's latencies."""
        return min(1.0, self.interval / FASTEST_REAL)


def make_plan(files: Sequence[Path], *, speed: float | None, duration: float | None, seed: int) -> Plan:
    """Args:
        files: recorded bars; none for the made-up market.
        speed: bot seconds a second, ``inf`` as fast as possible. ``None``: a file is fitted into the duration, the
            made-up market runs at :data:`SPEED`, without end at :data:`STEADY_SPEED`.
        duration: seconds, ``inf`` until stopped. ``None``: a file with a speed is replayed whole, else
            :data:`DURATION`.

    Raises:
        BarsError: a file cannot be used.
    """
    if files:
        bars = read_bars(files)
        symbols = {bar.symbol: bar.timeframe for bar in bars}
        step = min(seconds_of(timeframe) for timeframe in symbols.values())
        steps = len({bar.time for bar in bars})
        if speed is None:
            wanted = DURATION if duration is None else duration
            return Plan(bars, symbols, step / SPEED if math.isinf(wanted) else wanted / steps, seed)
        if duration is None or math.isinf(duration) or math.isinf(speed):
            return Plan(bars, symbols, step / speed, seed)
        return Plan(_first(bars, int(duration * speed / step)), symbols, step / speed, seed)
    symbols = dict.fromkeys(MARKETS, "1m")
    wanted = DURATION if duration is None else duration
    usual = STEADY_SPEED if math.isinf(wanted) else SPEED
    pace = speed if speed is not None and not math.isinf(speed) else usual
    market: Iterable[Bar] = synthetic_market(seed)
    if not math.isinf(wanted):
        market = itertools.islice(market, len(MARKETS) * max(1, int(wanted * pace / 60)))
    interval = 0.0 if speed is not None and math.isinf(speed) else 60 / pace
    return Plan(market, symbols, interval, seed, MADE_UP_SIZE, made_up=True)


def _first(bars: Iterable[Bar], steps: int) -> Iterator[Bar]:
    """The bars of the first time steps."""
    groups = itertools.groupby(bars, key=lambda bar: bar.time)
    for _, group in itertools.islice(groups, max(1, steps)):
        yield from group
