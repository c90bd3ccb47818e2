"""How often each detector cries wolf in a healthy year, how soon it sees a decay: the figures of docs/detectors.md.

    python benchmarks/detect_operating.py [drawdown shift drift decay lifecycle pod windows] [--paths N] [--csv FILE …]

Without names: everything but ``windows``, which takes files of daily bars or else a sample. The tests run the same
functions with fewer paths. Where many are needed the detector's formula is applied to all of them at once;
``tests/detect/test_operating.py`` holds those forms against the detectors themselves.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import time
from pathlib import Path

import numpy as np
from detect_nulls import MU, NAMES, SIGMA, Array, returns, shocks
from numpy.lib.stride_tricks import sliding_window_view

from otel_mcbot.detect import decay, drawdown, drift, lifecycle, shift, tools, volatility, walk

YEAR = 365
SHARE = 0.05 / 4
"""A detector's part of a pod's usual budget."""


# --- drawdown


def depths_and_durations(live: Array) -> tuple[Array, Array]:
    """Drawdown (fraction) and days since the last high, for every day of every path."""
    equity = np.concatenate([np.ones((len(live), 1)), np.cumprod(1.0 + live, axis=1)], axis=1)
    peak = np.maximum.accumulate(equity, axis=1)
    day = np.arange(equity.shape[1])
    high = np.maximum.accumulate(np.where(equity >= peak * (1.0 - 1e-12), day, 0), axis=1)
    return (1.0 - equity / peak)[:, 1:], (day - high)[:, 1:].astype(float)


def drawdown_default(live: Array, mu: float = MU, sigma: float = SIGMA, min_days: int = 30) -> tuple[float, float]:
    """Shares of paths with a WARNING and with a CRITICAL, default mode, parameters known."""
    monitor = drawdown.GBMDrawdownMonitor(mu, sigma)
    depth, duration = depths_and_durations(live)
    days = range(min_days, live.shape[1] + 1)
    deep = depth[:, min_days - 1 :] > np.array([monitor.expected_max_drawdown(n) for n in days])
    long = duration[:, min_days - 1 :] > np.array([monitor.expected_max_duration(n) for n in days])
    return float((deep | long).any(axis=1).mean()), float((deep & long).any(axis=1).mean())


def drawdown_calibrated(backtest: Array, live: Array, *, aware: bool = True, confidence: float = 0.95) -> float:
    """Share of paths with a WARNING, calibrated mode, parameters estimated from each path's backtest.

    ``aware``: the limit allows for the error of that estimate. The limit in sigmas depends on the drift in sigmas alone
    (nearly so for simple returns), so it is solved on a grid of drifts and interpolated.
    """
    n, days = backtest.shape[1], live.shape[1]
    mu, sigma = backtest.mean(axis=1), backtest.std(axis=1, ddof=1)
    grid = np.linspace((mu / sigma).min() - 1e-6, (mu / sigma).max() + 1e-6, 41)
    known = [walk.uncertain_mean(t * SIGMA, SIGMA, "simple", n if aware else None) for t in grid]
    limits = [
        walk.mixture_quantile(confidence, steps, days) * steps[len(steps) // 2][1].scale / SIGMA for steps in known
    ]
    limit = -np.expm1(-np.interp(mu / sigma, grid, limits) * sigma)
    depth, _ = depths_and_durations(live)
    return float((depth.max(axis=1) > limit).mean())


def drawdown_standardised(backtest: Array, live: Array, confidence: float = 0.95) -> Array:
    """Whether each path warns as ``GBMDrawdownMonitor.from_returns`` does: at the backtest's volatility."""
    before, after = standardised(backtest, live)
    typical = np.sqrt(np.mean(backtest**2, axis=1, keepdims=True))
    before, after = typical * before, typical * after
    n, days = before.shape[1], live.shape[1]
    mu, sigma = before.mean(axis=1), before.std(axis=1, ddof=1)
    grid = np.linspace((mu / sigma).min() - 1e-6, (mu / sigma).max() + 1e-6, 41)
    steps = [walk.uncertain_mean(t * SIGMA, SIGMA, "simple", n) for t in grid]
    limits = [walk.mixture_quantile(confidence, one, days) * one[len(one) // 2][1].scale / SIGMA for one in steps]
    level = np.concatenate([np.zeros((len(live), 1)), np.cumsum(np.log1p(np.maximum(after, -0.99)), axis=1)], axis=1)
    fall = (np.maximum.accumulate(level, axis=1) - level)[:, 30:].max(axis=1)
    return np.asarray(fall > np.interp(mu / sigma, grid, limits) * sigma)


def suite(backtest: Array, live: Array, budget: float = 0.05) -> dict[str, float]:
    """Share of paths on which each detector of a calibrated pod warns, and any of them; ``budget`` is the pod's."""
    share = budget / 4.0
    slope, level = decay_scores(backtest, live)
    h = shift.cusum_threshold(0.25, share, live.shape[1], backtest.shape[1])
    hits = {
        "drawdown": drawdown_standardised(backtest, live, 1.0 - share),
        "drift": ks_hits(backtest, live, drift.line_for_budget(share, drift.YEARLY_LINES)),
        "decay": (np.minimum(slope, level) < -drift.line_for_budget(share, decay.YEARLY_LINES)).any(axis=0),
        "lifecycle": np.isfinite(cusum_delay(carefully(backtest, live), 0.25, h)),
    }
    anyone = np.logical_or.reduce(list(hits.values()))
    return {**{name: float(hit.mean()) for name, hit in hits.items()}, "any": float(anyone.mean())}


# --- shift of the mean


def cusum_delay(z: Array, k: float, h: float) -> Array:
    """First day on which S <- max(0, S - z - k) is above h; inf when none."""
    score, out = np.zeros(len(z)), np.full(len(z), math.inf)
    for t in range(z.shape[1]):
        score = np.maximum(0.0, score - z[:, t] - k)
        out[(score > h) & np.isinf(out)] = t + 1
    return out


def carefully(backtest: Array, live: Array) -> Array:
    """z as ``CusumDetector.from_returns`` makes it: over the recent volatility, at most 3 in size."""
    mean = backtest.mean(axis=1)
    both = np.concatenate([backtest, live], axis=1)
    variance = np.mean(backtest[:, :60] ** 2, axis=1)
    out = np.empty(live.shape)
    for t in range(60, both.shape[1]):
        x = both[:, t]
        if t >= backtest.shape[1]:
            out[:, t - backtest.shape[1]] = np.clip((x - mean) / np.sqrt(variance), -3.0, 3.0)
        variance = 0.97 * variance + 0.03 * np.minimum(x * x, 100.0 * variance)
    return out


def standard(backtest: Array, live: Array) -> Array:
    """Live returns in sigmas around the mean, both of each path's own backtest."""
    return (live - backtest.mean(axis=1, keepdims=True)) / backtest.std(axis=1, ddof=1, keepdims=True)


def rank_delay(backtest: Array, live: Array, *, budget: float = 0.05, online: bool = False) -> Array:
    """First day of alarm of the rank detector; inf when none."""
    paths, days = live.shape
    n = backtest.shape[1]
    edge = np.empty((paths, days))
    earlier = np.tril(np.ones((days, days), dtype=bool), -1)
    for i in range(paths):
        below = np.searchsorted(np.sort(backtest[i]), live[i]).astype(float)
        size = np.full(days, n, dtype=float)
        if online:
            below += ((live[i][None, :] < live[i][:, None]) & earlier).sum(axis=1)
            size += np.arange(days)
        edge[i] = 1.0 - (2.0 * below + 1.0) / (size + 1.0)
    stakes = np.array([0.1, 0.25, 0.5, 0.8])
    winnings, out = np.zeros((paths, 4)), np.full(paths, math.inf)
    for t in range(days):
        winnings = np.minimum((winnings + 1.0) * (1.0 + stakes * edge[:, t, None]), 1e250)
        out[(winnings.mean(axis=1) >= YEAR / budget) & np.isinf(out)] = t + 1
    return out


def page_hinkley_year(live: Array) -> float:
    """Share of paths on which Page-Hinkley with its usual parameters alarms at all."""
    alarms = 0
    for path in live.tolist():
        detector = shift.PageHinkleyDetector()
        alarms += any(detector.update(r) for r in path)
    return alarms / len(live)


# --- drift


def standardised(backtest: Array, live: Array) -> tuple[Array, Array]:
    """Both divided by the volatility known the day before, as ``volatility.Standardiser`` does path by path."""
    both = np.concatenate([backtest, live], axis=1)
    variance = np.mean(both[:, :60] ** 2, axis=1)
    out = np.empty((len(both), both.shape[1] - 60))
    for t in range(60, both.shape[1]):
        x = both[:, t]
        out[:, t - 60] = x / np.sqrt(variance)
        variance = 0.97 * variance + 0.03 * np.minimum(x * x, 100.0 * variance)
    cut = backtest.shape[1] - 60
    return out[:, :cut], out[:, cut:]


def ks_statistics(
    backtest: Array, live: Array, *, lower: bool = False, window: int = 60, start: int = 30
) -> tuple[Array, Array]:
    """D for each day from ``start`` on, shape (paths, days), and the window's size on each of those days. No ties.

    ``lower``: only the part of D by which the window's returns are the lower ones.
    """
    paths, days = live.shape
    n = backtest.shape[1]
    sizes = np.minimum(np.arange(start, days + 1), window)
    out = np.empty((paths, len(sizes)))
    for i in range(paths):
        share = np.searchsorted(np.sort(backtest[i]), live[i]) / n
        for j, t in enumerate(range(start, window)):
            out[i, j] = _distance(np.sort(share[:t])[None, :], lower)[0]
        out[i, window - start :] = _distance(np.sort(sliding_window_view(share, window), axis=1), lower)
    return out, sizes


def _distance(share: Array, lower: bool) -> Array:
    w = share.shape[1]
    steps = np.arange(w + 1) / w
    worse = steps[1:] - share
    return (worse if lower else np.maximum(share - steps[:-1], worse)).max(axis=1)


def ks_default(backtest: Array, live: Array) -> tuple[float, float]:
    """Shares of paths with p < 0.05 and with p < 0.01 on some day."""
    d, sizes = ks_statistics(backtest, live)
    n = backtest.shape[1]
    hit = []
    for level in (0.05, 0.01):
        critical = {w: _critical_h(n, int(w), level) / (n * int(w)) for w in set(sizes.tolist())}
        hit.append(float((d > np.array([critical[w] for w in sizes.tolist()]) - 1e-12).any(axis=1).mean()))
    return hit[0], hit[1]


def _critical_h(n: int, w: int, level: float) -> int:
    low, high = 0, n * w
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if drift.p_value(middle, n, w) < level else (middle, high)
    return high


def ks_hits(backtest: Array, live: Array, line: float) -> Array:
    """Whether each path's scaled statistic passes ``line`` on some day, on standardised returns."""
    before, after = standardised(backtest, live)
    d, sizes = ks_statistics(before, after, lower=True)
    n = before.shape[1]
    unlike = np.array([volatility.dependence(row) for row in before.tolist()])[:, None]
    return np.asarray((d * np.sqrt(n * sizes / (n + sizes) / unlike) > line).any(axis=1))


def ks_calibrated(backtest: Array, live: Array, line: float = drift.YEARLY_LINES[1][1]) -> float:
    """Share of paths with such a day."""
    return float(ks_hits(backtest, live, line).mean())


# --- decay


def decay_scores(backtest: Array, live: Array, start: int = 60, window: int = 180) -> tuple[Array, Array]:
    """The two z-scores of calibrated decay, shape (days from ``start``, paths)."""
    n_backtest, days = backtest.shape[1], live.shape[1]
    middle = np.median(backtest, axis=1, keepdims=True)
    reach = decay.WINSOR * np.median(np.abs(backtest - middle), axis=1, keepdims=True)
    out = []
    for before, after in (
        (np.clip(backtest, middle - reach, middle + reach), np.clip(live, middle - reach, middle + reach)),
        (np.log(np.maximum(1.0 + backtest, 1e-12)), np.log(np.maximum(1.0 + live, 1e-12))),
    ):
        z = np.empty((days - start + 1, len(live)))
        for t in range(start, days + 1):
            x = after[:, max(0, t - window) : t]
            error = np.sqrt(x.var(axis=1, ddof=1) / x.shape[1] + before.var(axis=1, ddof=1) / n_backtest)
            z[t - start] = (x.mean(axis=1) - before.mean(axis=1)) / error
        out.append(z)
    return out[0], out[1]


def decay_calibrated(backtest: Array, live: Array) -> tuple[float, float, float]:
    """Shares of paths with a WARNING and a CRITICAL in calibrated mode; median day of the first WARNING."""
    slope, level = decay_scores(backtest, live)
    warning = np.minimum(slope, level) < -decay.YEARLY_LINES[1][1]
    critical = np.maximum(slope, level) < -decay.YEARLY_LINES[2][1]
    first = np.where(warning.any(axis=0), warning.argmax(axis=0) + 60.0, math.inf)
    return float(warning.any(axis=0).mean()), float(critical.any(axis=0).mean()), float(np.median(first))


def decay_default(live: Array) -> tuple[float, float]:
    """Shares of paths with a WARNING and a CRITICAL of conformal RANSAC."""
    warning = critical = 0
    for path in live.tolist():
        detector = decay.ConformalRANSACDetector()
        levels = {detector.update(r).severity.level for r in path}
        warning += max(levels) >= 1
        critical += 2 in levels
    return warning / len(live), critical / len(live)


def jump_hides_decay(random: np.random.Generator, paths: int, day: int | None) -> tuple[float, float]:
    """P(slope > 0) of RANSAC and of the winsorised mean for mu = -0.1 %, sigma = 1 % and one day of +30 %.

    The backtest, which gives the bounds of the mean, had the same sigma and mu = +0.1 %.
    """
    live = -0.001 + 0.01 * shocks("normal", random, paths, 180)
    if day is not None:
        live[:, day] += 0.30
    before = 0.001 + 0.01 * shocks("normal", random, paths, YEAR)
    positive = [0, 0]
    for backtest, path in zip(before.tolist(), live.tolist(), strict=True):
        for i, detector in enumerate(
            (
                decay.ConformalRANSACDetector(min_samples=180),
                decay.ConformalRANSACDetector(min_samples=180, mode="calibrated", reference_returns=backtest),
            )
        ):
            for r in path:
                result = detector.update(r)
            positive[i] += result.slope_positive
    return positive[0] / paths, positive[1] / paths


# --- lifecycle


def retirement(
    z: Array, driver: str = "cusum", *, backtest: Array | None = None, budget: float = 0.05
) -> tuple[float, float]:
    """Share of pods retired within the days given, and their median day (inf when fewer than half are)."""
    h = shift.cusum_threshold(0.25, budget, YEAR)
    days = []
    for i, path in enumerate(z.tolist()):
        one: shift.ShiftDetector
        if driver == "cusum":
            one = shift.CusumDetector(MU, SIGMA, h=h)
        elif driver == "rank":
            assert backtest is not None
            one = shift.RankShiftDetector(backtest[i].tolist(), budget=budget)
        else:
            one = shift.PageHinkleyDetector()
        pod = lifecycle.PodLifecycle(one)
        retired = (t for t, r in enumerate(path, 1) if pod.update(r).state is lifecycle.LifecycleState.RETIRED)
        days.append(next(retired, math.inf))
    return float(np.isfinite(days).mean()), float(np.median(days))


# --- real prices


def strategies(prices: list[float]) -> dict[str, list[float]]:
    """Plain rules over daily closes, each decided on yesterday's close, half a per mille a trade, at 20 % volatility.

    What a bot would run, so that returns have flat days, clusters and turning points of their own.
    """
    p = np.array(prices)
    r = p[1:] / p[:-1] - 1.0
    variance = np.empty(len(r))
    v = float(np.mean(r[:30] ** 2))
    for t, x in enumerate(r):
        variance[t] = v
        v = 0.97 * v + 0.03 * min(x * x, 25.0 * v)
    size = np.minimum(0.20 / math.sqrt(365.0) / np.sqrt(variance), 1.0)

    def average(n: int) -> Array:
        total = np.concatenate([[0.0], np.cumsum(p)])
        return np.array([(total[i + 1] - total[max(0, i + 1 - n)]) / min(i + 1, n) for i in range(len(p))])

    rules = {
        "hold": np.ones(len(r)),
        "trend": (average(10) > average(50))[:-1].astype(float),
        "momentum": np.array([1.0 if p[i] > p[max(0, i - 30)] else 0.0 for i in range(len(r))]),
        "reversion": np.array([1.0 if p[i] < average_i else 0.0 for i, average_i in enumerate(average(5)[:-1])]),
    }
    out = {}
    for name, rule in rules.items():
        position = rule * size
        cost = 0.0005 * np.abs(np.diff(position, prepend=0.0))
        out[name] = (position * r - cost)[60:].tolist()
    return out


def closes(path: Path) -> list[float]:
    """The column ``close`` of a CSV of daily bars, without the days on which the price is plainly wrong (x 5)."""
    with open(path, newline="") as file:
        prices = [float(row["close"]) for row in csv.DictReader(file)]
    kept = prices[:1]
    for price in prices[1:]:
        if 0.2 < price / kept[-1] < 5.0:
            kept.append(price)
    return kept


# --- printing


def print_drawdown(paths: int) -> None:
    random = np.random.default_rng(1)
    print("\nDRAWDOWN  share of healthy years with an alarm")
    _, live = returns("normal", random, paths, YEAR)
    warning, critical = drawdown_default(live)
    print(f"  default mode, mu and sigma known: WARNING {warning:.3f}  CRITICAL {critical:.3f}")
    for null in NAMES:
        for n in (365, 730):
            before, live = returns(null, random, paths, YEAR, backtest=n)
            blind, aware = drawdown_calibrated(before, live, aware=False), drawdown_calibrated(before, live)
            standard = drawdown_standardised(before, live).mean()
            print(
                f"  calibrated, {null:6s} backtest {n}: error of mu ignored {blind:.3f}  taken into account {aware:.3f}"
                f"  and at the backtest's volatility {standard:.3f}"
            )
    before, live = returns("normal", random, paths, 2 * YEAR, backtest=365)
    for drop, text in ((0.05, "mu -> 0"), (0.1, "mu -> -mu"), (0.2, "-0.2 sigma"), (0.5, "-0.5 sigma")):
        shifted = live[:, :YEAR] - drop * SIGMA
        plain, standard = drawdown_calibrated(before, shifted), drawdown_standardised(before, shifted).mean()
        print(f"  seen within a year, calibrated, {text}: {plain:.2f}, at the backtest's volatility {standard:.2f}")


def print_shift(paths: int) -> None:
    random = np.random.default_rng(2)
    print("\nSHIFT  share of healthy years with an alarm")
    z = shocks("normal", random, paths, YEAR)
    for k in (0.05, 0.1, 0.25, 0.5):
        h = shift.cusum_threshold(k, 0.05, YEAR)
        h_n = shift.cusum_threshold(k, 0.05, YEAR, 365)
        before, live = returns("normal", random, paths, YEAR, backtest=365)
        known = np.isfinite(cusum_delay(z, k, h)).mean()
        estimated = np.isfinite(cusum_delay(standard(before, live), k, h_n)).mean()
        print(f"  cusum k {k}: h {h:.2f} mu known {known:.3f}   h {h_n:.2f} mu from 365 days {estimated:.3f}")
    for null in NAMES:
        before, live = returns(null, random, paths, YEAR, backtest=365)
        h = shift.cusum_threshold(0.25, 0.05, YEAR, 365)
        raw, careful = (np.isfinite(cusum_delay(f(before, live), 0.25, h)).mean() for f in (standard, carefully))
        print(f"  cusum k 0.25 from 365 days, {null:6s}: raw {raw:.3f}   over recent volatility {careful:.3f}")
    for null in NAMES:
        for n, online in ((365, False), (730, False), (30, True), (180, True)):
            before, live = returns(null, random, paths, YEAR, backtest=n)
            share = np.isfinite(rank_delay(before, live, online=online)).mean()
            print(f"  rank, {null:6s} backtest {n}{' online' if online else ''}: {share:.3f}")
    for null in NAMES:
        _, live = returns(null, random, min(paths, 2000), YEAR)
        print(f"  page-hinkley (usual parameters), {null:6s}: {page_hinkley_year(live):.3f}")
    print("  median days to an alarm (share within a year); the best possible knows mu, sigma and the drop")
    for drop in (0.05, 0.1, 0.2, 0.5, 1.0):
        before, live = returns("normal", random, paths, 4 * YEAR, drop=drop, backtest=365)
        best = cusum_delay((live - MU) / SIGMA, drop / 2.0, shift.cusum_threshold(drop / 2.0, 0.05, YEAR))
        cusum = cusum_delay(carefully(before, live), 0.25, shift.cusum_threshold(0.25, 0.05, YEAR, 365))
        rank = rank_delay(before, live)
        columns = [f"{name} {np.median(d):.0f} ({np.mean(d <= YEAR):.2f})" for name, d in _named(best, cusum, rank)]
        print(f"  drop {drop} sigma a day: " + "   ".join(columns))
    _, live = returns("normal", random, 200, 3 * YEAR, drop=0.5)
    print(f"  page-hinkley, drop 0.5 sigma a day for 3 years: {page_hinkley_year(live):.3f} alarm")
    _, live = returns("normal", random, 200, YEAR)
    live[:, 0] = 0.16
    print(f"  page-hinkley, healthy year after a first day of +16 %: {page_hinkley_year(live):.3f} alarm")


def _named(best: Array, cusum: Array, rank: Array) -> list[tuple[str, Array]]:
    return [("best possible", best), ("cusum k .25", cusum), ("rank", rank)]


def print_drift(paths: int) -> None:
    random = np.random.default_rng(3)
    print("\nDRIFT  share of healthy years with an alarm, backtest 365")
    for null in NAMES:
        before, live = returns(null, random, paths, YEAR, backtest=365)
        warning, critical = ks_default(before, live)
        lines = "  ".join(f"line {line} {ks_calibrated(before, live, line):.3f}" for _, line in drift.YEARLY_LINES)
        print(f"  {null:6s} default: WARNING {warning:.3f} CRITICAL {critical:.3f}   calibrated: {lines}")
    for drop in (0.2, 0.5):
        before, live = returns("normal", random, paths, YEAR, drop=drop, backtest=365)
        print(f"  calibrated, drop {drop} sigma a day: seen within a year {ks_calibrated(before, live):.2f}")


def print_decay(paths: int) -> None:
    random = np.random.default_rng(4)
    print("\nDECAY  share of healthy years with an alarm")
    few = max(paths // 20, 20)
    for null in NAMES:
        _, live = returns(null, random, few, YEAR)
        print(f"  {null:6s} default ({few} paths): WARNING %.2f CRITICAL %.2f" % decay_default(live))
    _, live = returns("normal", random, few, YEAR, drop=0.5)
    print(f"  default, drop 0.5 sigma a day ({few} paths): WARNING %.2f CRITICAL %.2f" % decay_default(live))
    for null in NAMES:
        for n in (365, 730):
            before, live = returns(null, random, paths, YEAR, backtest=n)
            warning, critical, _ = decay_calibrated(before, live)
            print(f"  {null:6s} calibrated, backtest {n}: WARNING {warning:.3f} CRITICAL {critical:.3f}")
    for drop in (0.1, 0.2, 0.5):
        before, live = returns("normal", random, paths, YEAR, drop=drop, backtest=365)
        warning, critical, day = decay_calibrated(before, live)
        text = f"WARNING {warning:.2f} (median day {day:.0f}) CRITICAL {critical:.2f}"
        print(f"  calibrated, drop {drop} sigma a day: {text}")
    for day in (20, 90, 160, None):
        ransac, mean = jump_hides_decay(random, max(paths // 10, 50), day)
        text = f"slope > 0 in {ransac:.2f} (RANSAC), {mean:.2f} (winsorised mean)"
        print(f"  losing strategy, one +30 % on day {day}: {text}")


def print_lifecycle(paths: int) -> None:
    random = np.random.default_rng(5)
    print("\nLIFECYCLE  share of pods retired within a year (median day)")
    for driver, budget in (("cusum", 0.05), ("cusum", SHARE), ("rank", 0.05), ("rank", SHARE), ("page_hinkley", 0.05)):
        for drop in (0.0, 0.1, 0.2, 0.3, 0.5):
            before, live = returns("normal", random, paths, YEAR, drop=drop, backtest=365)
            share, day = retirement(live, driver, backtest=before, budget=budget)
            print(f"  {driver:12s} budget {budget:.2%} drop {drop}: {share:.4f} ({day:.0f})")


def print_pod(paths: int) -> None:
    random = np.random.default_rng(6)
    print("\nPOD  share of years in which each calibrated detector warns, and any of them; budget 5 % for all")

    def line(found: dict[str, float]) -> str:
        return "  ".join(f"{name} {share:.3f}" for name, share in found.items())

    for null in NAMES:
        for n in (365, 730):
            before, live = returns(null, random, paths, YEAR, backtest=n)
            print(f"  healthy, {null:6s} backtest {n}: {line(suite(before, live))}")
    for budget in (0.05, 0.20):
        for drop in (0.05, 0.1, 0.2, 0.5):
            before, live = returns("normal", random, paths, YEAR, drop=drop, backtest=365)
            print(f"  budget {budget:.0%}, drop {drop} sigma a day: {line(suite(before, live, budget))}")


def sample() -> list[float]:
    """Daily closes of a listed share, 2004 to 2008: the one daily series that comes with a package (matplotlib)."""
    from matplotlib.cbook import get_sample_data

    with np.load(get_sample_data("goog.npz", asfileobj=False)) as file:
        return file["price_data"]["adj_close"].astype(float).tolist()


def print_windows(files: list[Path]) -> None:
    print("\nWINDOWS  share of 365 + 365 day windows, every 15 days, with an alarm: default -> calibrated")
    series = {path.name: closes(path) for path in files} or {"GOOG 2004-2008": sample()}
    for source, prices in series.items():
        for name, one in strategies(prices).items():
            report = tools.alarm_windows(one)
            default, calibrated = report.shares["default"], report.shares["calibrated"]
            text = "  ".join(f"{d} {share:.2f} -> {calibrated[d]:.2f}" for d, share in default.items())
            print(f"  {source} {name:9s} ({report.windows}) {text}")


def main() -> int:
    parts = ("drawdown", "shift", "drift", "decay", "lifecycle", "pod", "windows")
    parser = argparse.ArgumentParser(description="Operating characteristics of the detectors.")
    parser.add_argument("parts", nargs="*", help=", ".join(parts))
    parser.add_argument("--paths", type=int, default=4000)
    parser.add_argument("--csv", type=Path, nargs="*", default=[], help="daily bars (column close) for `windows`")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(parts):
        parser.error(f"unknown part: {', '.join(sorted(unknown))}")
    wanted = options.parts or parts[:-1]
    print(f"strategy: mu {MU}, sigma {SIGMA} a day; {options.paths} paths; alarms counted over {YEAR} daily looks")
    for name in wanted:
        started = time.perf_counter()
        if name == "windows":
            print_windows(options.csv)
        else:
            {
                "drawdown": print_drawdown,
                "shift": print_shift,
                "drift": print_drift,
                "decay": print_decay,
                "lifecycle": print_lifecycle,
                "pod": print_pod,
            }[name](options.paths)
        print(f"  [{time.perf_counter() - started:.0f} s]")
    return 0


if __name__ == "__main__":
    sys.exit(main())
