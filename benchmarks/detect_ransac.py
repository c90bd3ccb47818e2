"""The fast RANSAC against scikit-learn's regressor, on ordinary and on nasty curves.

python benchmarks/detect_ransac.py [--draws N]
"""

from __future__ import annotations

import argparse
import sys
import warnings

import numpy as np

from otel_mcbot.detect import ransac

KINDS = ("random", "one jump", "flat at first", "fat tails", "straight fall", "wave")


def curve(kind: int, days: int, random: np.random.Generator) -> np.ndarray:
    """A curve of cumulative returns; ``kind`` is an index of ``KINDS``."""
    r = random.normal(0.0005, 0.02, days)
    if kind == 1:
        r[random.integers(days)] += 0.30
    elif kind == 2:
        r[: days // 3] = 0.0
    elif kind == 3:
        r = 0.02 * random.standard_t(2.5, days)
    elif kind == 4:
        r = np.full(days, -0.002)
    elif kind == 5:
        r = 0.01 * np.sin(np.arange(days) / 9.0)
    return np.cumprod(1.0 + np.maximum(r, -0.9)) - 1.0


def reference(y: np.ndarray, min_samples: int) -> tuple[float, float] | None:
    """Slope and intercept of scikit-learn's regressor; None where it finds no line."""
    from sklearn.linear_model import RANSACRegressor

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            fitted = RANSACRegressor(min_samples=min_samples, random_state=42).fit(np.arange(len(y))[:, None], y)
        except ValueError:
            return None
    return float(fitted.estimator_.coef_[0]), float(fitted.estimator_.intercept_)


def worst_difference(draws: int, seed: int = 6) -> tuple[float, float]:
    """Largest absolute difference of slope and of intercept over ``draws`` curves of 60 to 180 days.

    Raises:
        AssertionError: one of the two found a line where the other did not.
    """
    random = np.random.default_rng(seed)
    slope = intercept = 0.0
    for draw in range(draws):
        days = 60 + draw % 121
        y = curve(draw % len(KINDS), days, random)
        expected, found = reference(y, days // 2), ransac.fit(y, days // 2)
        assert (expected is None) == (found is None), (draw, KINDS[draw % len(KINDS)])
        if expected is not None and found is not None:
            slope = max(slope, abs(found.slope - expected[0]))
            intercept = max(intercept, abs(found.intercept - expected[1]))
    return slope, intercept


def main() -> int:
    parser = argparse.ArgumentParser(description="Fast RANSAC against scikit-learn.")
    parser.add_argument("--draws", type=int, default=1000)
    draws = parser.parse_args().draws
    slope, intercept = worst_difference(draws)
    print(f"{draws} curves: largest difference of the slope {slope:.1e}, of the intercept {intercept:.1e}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
