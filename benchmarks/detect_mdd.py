"""Maximum drawdown and longest stay below a peak by brute force, next to the exact laws.

    python benchmarks/detect_mdd.py [--paths N] [--law simple|log]

A row: mu, sigma, days; 95 % quantile of the depth (simulated, its standard error, exact, the series without numpy);
share of paths whose longest stay is within the exact limit, and within one day less.
"""

from __future__ import annotations

import argparse
import math
import sys

import numpy as np

from otel_mcbot.detect import series, walk

PARAMETERS = ((0.0005, 0.02), (0.001, 0.02), (0.002, 0.03), (0.0, 0.02), (-0.0005, 0.02), (0.001, 0.04))
DAYS = (30, 90, 180, 252, 365, 730)


def simulate(
    mu: float, sigma: float, law: walk.Law, paths: int, seed: int, chunk: int = 20_000
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Maximum log drawdown and longest stay of every path, for each of ``DAYS``."""
    random = np.random.default_rng(seed)
    out: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {n: [] for n in DAYS}
    for start in range(0, paths, chunk):
        count = min(chunk, paths - start)
        below, deepest = np.zeros(count), np.zeros(count)
        stay, longest = np.zeros(count, dtype=np.int32), np.zeros(count, dtype=np.int32)
        for day in range(1, DAYS[-1] + 1):
            z = random.standard_normal(count)
            x = mu - 0.5 * sigma**2 + sigma * z if law == "log" else np.log1p(np.maximum(mu + sigma * z, -1.0 + 1e-12))
            below -= x
            stay += 1
            stay[below < 0.0] = 0
            np.maximum(below, 0.0, out=below)
            np.maximum(deepest, below, out=deepest)
            np.maximum(longest, stay, out=longest)
            if day in out:
                out[day].append((deepest.copy(), longest.copy()))
    return {n: (np.concatenate([d for d, _ in v]), np.concatenate([t for _, t in v])) for n, v in out.items()}


def depth_quantile(log_depths: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Quantile of the depth as a fraction, and its standard error from the order statistics around it."""
    spread = math.sqrt(level * (1.0 - level) / len(log_depths))
    low, middle, high = -np.expm1(-np.quantile(log_depths, [level - spread, level, level + spread]))
    return float(middle), float(high - low) / 2.0


def main() -> int:
    parser = argparse.ArgumentParser(description="Exact drawdown laws against brute force.")
    parser.add_argument("--paths", type=int, default=200_000)
    parser.add_argument("--law", choices=("simple", "log"), default="log")
    options = parser.parse_args()
    worst = worst_series = 0.0
    for seed, (mu, sigma) in enumerate(PARAMETERS):
        step = walk.Step(mu, sigma, options.law)
        durations = walk.DurationLaw([(1.0, step)])
        for n, (depths, stays) in simulate(mu, sigma, options.law, options.paths, seed).items():
            found, error = depth_quantile(depths)
            exact = -math.expm1(-step.scale * walk.mixture_quantile(0.95, [(1.0, step)], n))
            plain = -math.expm1(-step.scale * series.quantile(0.95, step.theta, n))
            limit = durations.limit(n)
            within, less = float((stays <= limit).mean()), float((stays <= limit - 1).mean())
            worst, worst_series = max(worst, abs(exact / found - 1.0)), max(worst_series, abs(plain / found - 1.0))
            print(
                f"{mu:8.4f} {sigma:5.2f} {n:4d}  depth {found:.5f} +- {error:.5f} exact {exact:.5f} series {plain:.5f}"
                f"  stay {limit:3d}: {within:.5f}, {limit - 1:3d}: {less:.5f}"
            )
    print(f"largest difference of the depth, relative: exact {100 * worst:.3f} %, series {100 * worst_series:.2f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
