"""Healthy and unhealthy strategies to try the detectors on: daily returns with a known truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MU, SIGMA = 0.001, 0.02
"""The strategy of every study: an annual Sharpe ratio of about 0.96."""

NAMES = ("normal", "t4", "garch")


def shocks(name: str, random: np.random.Generator, paths: int, days: int) -> Array:
    """Shocks of mean 0 and variance 1, shape (paths, days).

    ``normal``: independent Gaussian. ``t4``: independent Student t, 4 degrees of freedom.
    ``garch``: GARCH(1, 1) with alpha .08, beta .90 and Student t6 innovations, after 250 days of burn-in.
    """
    if name == "normal":
        return random.standard_normal((paths, days))
    if name == "t4":
        return random.standard_t(4, (paths, days)) / np.sqrt(2.0)
    if name != "garch":
        raise ValueError(f"no null model named {name!r}; there are {NAMES}")
    burn_in = 250
    z = random.standard_t(6, (days + burn_in, paths)) / np.sqrt(1.5)
    out = np.empty((days, paths))
    variance = np.ones(paths)
    for t in range(days + burn_in):
        x = np.sqrt(variance) * z[t]
        variance = 0.02 + 0.08 * x * x + 0.90 * variance
        if t >= burn_in:
            out[t - burn_in] = x
    return np.ascontiguousarray(out.T)


def returns(
    name: str, random: np.random.Generator, paths: int, days: int, *, drop: float = 0.0, backtest: int = 0
) -> tuple[Array, Array]:
    """``(backtest, live)`` simple daily returns; the live mean is lower by ``drop`` sigmas a day from its first day."""
    x = MU + SIGMA * shocks(name, random, paths, backtest + days)
    before, live = x[:, :backtest], x[:, backtest:] - drop * SIGMA
    return before, live
