"""Returns divided by their own recent volatility, so that a calm month and a wild one can be compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import mul

DECAY = 0.97
"""Weight of yesterday's variance; the mean age of what counts is 33 days."""

WARM_UP = 60
"""Days that set the first variance and are not themselves standardised."""

_FLOOR = 1e-24  # a pod that was flat for months has no volatility to divide by


class Standardiser:
    """Exponentially weighted volatility (decay 0.97), started on a backtest and carried on live.

    A day of exactly 0 is a day without a position. It says nothing of how wild the trading days are and leaves the
    volatility as it is; else the first day back in the market would look like an earthquake.

    Args:
        reference: backtest returns, more than ``WARM_UP`` of them not 0.

    Attributes:
        standardised: the reference after its warm-up, without the days of 0, each day divided by the volatility known
            the day before.
    """

    __slots__ = ("_variance", "standardised")

    def __init__(self, reference: Sequence[float]) -> None:
        traded = [r for r in reference if r != 0.0]
        if len(traded) <= WARM_UP:
            raise ValueError(f"{len(traded)} days with a return are too few: more than {WARM_UP} are needed")
        self._variance = max(math.fsum(r * r for r in traded[:WARM_UP]) / WARM_UP, _FLOOR)
        self.standardised = [self.push(r) for r in traded[WARM_UP:]]

    def push(self, value: float, mean: float = 0.0) -> float:
        """``(value - mean)`` over the volatility of the days before; then the day joins the volatility."""
        out = (value - mean) / math.sqrt(self._variance)
        if value == 0.0:
            return out
        # A single percentage among fractions must not blind the detector for months.
        bounded = min(value * value, 100.0 * self._variance)
        self._variance = max(DECAY * self._variance + (1.0 - DECAY) * bounded, _FLOOR)
        return out

    @property
    def variance(self) -> float:
        """Today's variance: the whole state."""
        return self._variance

    @variance.setter
    def variance(self, value: float) -> None:
        if not (math.isfinite(value) and value > 0.0):
            raise ValueError("a variance must be finite and positive")
        self._variance = value


def dependence(series: Sequence[float]) -> float:
    """How much less a series says than independent days would: the factor on the variance of a mean, at least 1.

    One plus twice the first autocorrelations of its ranks, with falling weights (Newey & West 1987). A strategy that
    holds a position for weeks has a good and a bad month together; taken for independent, a bad one looks like news.
    """
    n = len(series)
    if n < 10:
        return 1.0
    ranks = [0.0] * n
    for rank, i in enumerate(sorted(range(n), key=series.__getitem__)):
        ranks[i] = rank - (n - 1) / 2.0
    variance = math.fsum(r * r for r in ranks)
    lags = int(4.0 * (n / 100.0) ** (2.0 / 9.0))
    total = 0.0
    for lag in range(1, lags + 1):
        total += (1.0 - lag / (lags + 1)) * math.fsum(map(mul, ranks[lag:], ranks)) / variance
    return max(1.0, 1.0 + 2.0 * total)
