"""What a day of detectors costs, next to plain scipy and scikit-learn in the same run.

    python benchmarks/detect_cost.py [--days N]

Times are the processor's, the best of five rounds over a year's days of one pod, one thread. Ratios carry over to
other machines better than times do. Needs scipy and scikit-learn for the plain way; the detectors need neither.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from otel_mcbot.detect import decay, drawdown, drift, lifecycle, ransac, shift
from otel_mcbot.detect.bank import BankSettings, PodDetectors
from otel_mcbot.detect.execution import ExecutionAnomalyDetector
from otel_mcbot.testing import capture
from otel_mcbot.worker import Worker


def best(action: Callable[[], object], rounds: int = 5) -> float:
    """Seconds of the fastest round."""
    times = []
    for _ in range(rounds):
        started = time.thread_time()
        action()
        times.append(time.thread_time() - started)
    return min(times)


def year(seed: int, days: int = 365) -> list[float]:
    """A healthy year."""
    return (0.001 + 0.02 * np.random.default_rng(seed).standard_normal(days)).tolist()


def ransac_cost(repeat: int = 50) -> tuple[float, float]:
    """Seconds of one fit of a full window: ours, scikit-learn's."""
    from sklearn.linear_model import RANSACRegressor

    y = np.cumprod(1.0 + np.array(year(1, 180))) - 1.0
    x = np.arange(180.0)[:, None]
    ransac.fit(y, 90)  # the plan of a window is made once
    ours = best(lambda: [ransac.fit(y, 90) for _ in range(repeat)]) / repeat
    plain = best(lambda: RANSACRegressor(min_samples=90, random_state=42).fit(x, y), 3)
    return ours, plain


def ks_cost() -> tuple[float, float, float]:
    """Seconds of one day with a full window: ours with its p-values known, ours on days never seen, scipy's."""
    from scipy.stats import ks_2samp

    reference, live = year(2), year(3, 425)
    detector = drift.DistributionDriftDetector(reference)
    for r in live[:60]:
        detector.update(r)
    state = detector.to_dict()

    def days() -> None:
        detector.restore_from_dict(state)
        for r in live[60:]:
            detector.update(r)

    drift.p_value.cache_clear()
    cold = best(days, 1) / 365
    warm = best(days) / 365
    window, backtest = np.array(live[-60:]), np.array(reference)
    plain = best(lambda: [ks_2samp(backtest, window) for _ in range(50)]) / 50
    return warm, cold, plain


def plain_day(cumulative: np.ndarray, reference: np.ndarray, window: np.ndarray) -> None:
    """What the two expensive detectors cost with the libraries alone."""
    from scipy.stats import ks_2samp
    from sklearn.linear_model import RANSACRegressor

    ks_2samp(reference, window)
    RANSACRegressor(min_samples=len(cumulative) // 2, random_state=42).fit(
        np.arange(len(cumulative), dtype=float)[:, None], cumulative
    )


def day_cost(mode: str, days: int = 365) -> tuple[float, float, float]:
    """Seconds of one day, one pod, all five: mean and 99 % quantile of the second year; the same day done plainly."""
    pod = PodDetectors("pod", year(4), BankSettings(mode=mode))  # type: ignore[arg-type]
    execution = ExecutionAnomalyDetector()
    for r in year(5):
        pod.update(r)
    times = []
    for i, r in enumerate(year(6, days)):
        started = time.thread_time()
        pod.update(r)
        execution.on_order_request("BTC/USDT", str(i))
        execution.on_fill(0.2, 3.0, "BTC/USDT", str(i))
        execution.check_fill_rate()
        times.append(time.thread_time() - started)
    live = np.array(year(5))
    curve = np.cumprod(1.0 + live)[-180:] - 1.0
    plain = best(lambda: plain_day(curve, np.array(year(4)), live[-60:]), 3)
    return float(np.mean(times)), float(np.quantile(times, 0.99)), plain


def execution_cost(fills: int = 20_000) -> tuple[float, float]:
    """Seconds of one order and its fill, at the start of an hour and after ``fills`` of them."""
    now = [0.0]
    detector = ExecutionAnomalyDetector(clock=lambda: now[0])

    def some(count: int) -> float:
        started = time.thread_time()
        for i in range(count):
            now[0] += 0.05
            name = f"{now[0]:.2f}"
            detector.on_order_request("BTC/USDT", name)
            detector.on_fill(0.2, float(i % 7), "BTC/USDT", name)
        return (time.thread_time() - started) / count

    early = some(1000)
    some(fills)
    return early, some(1000)


def hand_over_cost(days: int = 200) -> tuple[float, float]:
    """Seconds of the bot's own thread for one day of a pod: handed to the keeper's thread, judged on the spot."""
    spent = []
    with capture() as seen:
        seen.hub.detectors.auto_init("pod", year(9)).result(0)
        for submit in (Worker("keeper", int, 60.0).submit, None):
            seen.hub.detectors.start(None, submit)
            started = time.thread_time()
            futures = [seen.hub.detectors.update("pod", r) for r in year(10, days)]
            spent.append((time.thread_time() - started) / days)
            futures[-1].result(60)
    return spent[0], spent[1]


def each_detector(days: int = 365) -> dict[str, float]:
    """Mean seconds of one update in the second half of ``days`` x 2."""
    reference, live = year(7), year(8, 2 * days)
    mu, sigma = 0.001, 0.02  # a sample's own mean may be one whose limits are cheaper to find
    detectors: dict[str, Callable[[object], object]] = {
        "drawdown": drawdown.GBMDrawdownMonitor(mu, sigma).update,
        "drawdown calibrated": drawdown.GBMDrawdownMonitor(mu, sigma, mode="calibrated", backtest_days=365).update,
        "drift": drift.DistributionDriftDetector(reference).update,
        "drift calibrated": drift.DistributionDriftDetector(reference, mode="calibrated").update,
        "decay": decay.ConformalRANSACDetector().update,
        "decay calibrated": decay.ConformalRANSACDetector(mode="calibrated", reference_returns=reference).update,
        "lifecycle page-hinkley": lifecycle.PodLifecycle().update,
        "lifecycle cusum": lifecycle.PodLifecycle(shift.CusumDetector.from_returns(reference)).update,
        "lifecycle rank": lifecycle.PodLifecycle(shift.RankShiftDetector(reference)).update,
    }
    out = {}
    for name, update in detectors.items():
        for r in live[:days]:
            update(r)
        started = time.thread_time()
        for r in live[days:]:
            update(r)
        out[name] = (time.thread_time() - started) / days
    return out


def memory_mb() -> float:
    """Peak resident memory of this process (when started from a small one: Linux passes a parent's peak on)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        1024.0 * 1024.0 if sys.platform == "darwin" else 1024.0
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Cost of the detectors.")
    parser.add_argument("--days", type=int, default=365)
    days = parser.parse_args().days
    before = memory_mb()
    for name, seconds in each_detector(days).items():
        print(f"{name:24s} {1e6 * seconds:8.1f} us a day")
    early, late = execution_cost()
    print(f"{'execution':24s} {1e6 * early:8.1f} us an order and fill; after 20,000 in the hour {1e6 * late:.1f} us")
    handed, judged = hand_over_cost()
    print(f"{'a day handed over':24s} {1e6 * handed:8.1f} us in the bot's thread; judged there {1e6 * judged:.1f} us")
    print(
        f"memory: {before:.0f} MB with numpy, {memory_mb():.0f} MB after all of these; scipy, scikit-learn loaded: "
        f"{'scipy' in sys.modules}, {'sklearn' in sys.modules}"
    )
    ours, plain = ransac_cost()
    print(f"RANSAC fit: {1e3 * ours:.3f} ms, scikit-learn {1e3 * plain:.1f} ms: {plain / ours:.0f} x")
    warm, cold, plain = ks_cost()
    print(
        f"KS day: {1e6 * warm:.1f} us, with unseen p-values {1e6 * cold:.1f} us, scipy {1e6 * plain:.0f} us: "
        f"{plain / warm:.0f} x and {plain / cold:.1f} x"
    )
    for mode in ("default", "calibrated"):
        mean, high, plain = day_cost(mode, days)
        print(
            f"one day, one pod, all five, {mode}: {1e3 * mean:.2f} ms (99 % of days below {1e3 * high:.2f} ms), "
            f"plain scipy + scikit-learn {1e3 * plain:.1f} ms: {plain / mean:.0f} x"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
