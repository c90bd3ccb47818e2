"""What to expect of the detectors on this strategy: limits, false alarms a year, days until a decay is seen.

The rates are simulated with the detectors themselves. A path is a backtest and a year drawn from the given returns in
blocks, so both have their tails and quiet and wild seasons, and the backtest is as imprecise as a real one.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from otel_mcbot.detect import decay, drift, shift
from otel_mcbot.detect.bank import BankSettings, PodDetectors
from otel_mcbot.detect.drawdown import MIN_SIGMA, GBMDrawdownMonitor
from otel_mcbot.detect.inputs import DetectInputError, clean
from otel_mcbot.detect.severity import DAYS_A_YEAR, Mode
from otel_mcbot.detect.volatility import WARM_UP

BLOCK = 20
"""Mean length of a block in days."""

DETECTORS = ("drawdown", "drift", "decay", "lifecycle")
ANY = "any"
"""Beside the detectors' names: all of them together."""

_COLUMNS = (*DETECTORS, ANY)


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a healthy strategy goes, with a given confidence.

    Attributes:
        depth: maximum drawdown, a fraction of the peak.
        duration: longest stay below a peak, days.
    """

    depth: float
    duration: int


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """Of one detector in one mode, on healthy years.

    Attributes:
        share: of years with at least one alarm. error: its standard error, from the number of paths.
        episodes: alarms a year, counted when they begin.
    """

    detector: str
    mode: Mode
    share: float
    error: float
    episodes: float


@dataclass(frozen=True, slots=True)
class Detection:
    """How soon one detector (calibrated) sees a drop of the mean from the first day on.

    Attributes:
        drop: of the mean daily return, in standard deviations a day.
        share: of years in which it is seen.
        median_days: until it is; None when it is seen in fewer than half of the years.
    """

    detector: str
    drop: float
    share: float
    median_days: int | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """All that ``calibrate`` found.

    Attributes:
        days, mu, sigma: of the backtest. sharpe: mu / sigma x sqrt(365).
        budget: of the pod; ``share`` is each detector's part.
        known: limits for a year, passed with probability ``share`` if ``mu`` were exact. aware: the same, allowing for
            its error, at the backtest's volatility: what the drawdown detector compares with.
        lines: thresholds by name: drift and decay in standard errors, cusum in sigmas, rank in powers of ten.
        warnings: what is odd about the input.
    """

    days: int
    mu: float
    sigma: float
    sharpe: float
    budget: float
    share: float
    horizon: int
    paths: int
    known: Limits
    aware: Limits
    lines: dict[str, float]
    false_alarms: tuple[FalseAlarms, ...]
    detections: tuple[Detection, ...]
    warnings: tuple[str, ...]


def calibrate(
    returns: Iterable[object],
    *,
    budget: float = 0.05,
    critical_budget: float = 0.01,
    horizon: int = DAYS_A_YEAR,
    drops: Sequence[float] = (0.1, 0.2, 0.5),
    paths: int = 100,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
    source: str = "returns",
) -> Calibration:
    """Limits and rates for a strategy with these backtest returns.

    Args:
        returns: simple daily returns, fractions, in order; more than 60 of them not 0.
        budget, critical_budget: share of healthy years in which any of the four may warn and be critical, 0.01 to 0.20.
        drops: decays to time, in standard deviations a day.
        paths: years simulated for each figure; 100 take about a minute. 0: limits only.
        progress: called with the share done, 0 to 1.
        source: what to call the input in errors.

    Raises:
        DetectInputError: too few or constant returns.
        ValueError: a budget that was not measured.
    """
    usable = clean(returns)
    traded = sum(r != 0.0 for r in usable)
    if traded <= WARM_UP:
        raise DetectInputError(source, None, f"{traded} days with a return; more than {WARM_UP} are needed")
    mu, sigma = GBMDrawdownMonitor.estimate_params(usable)
    if sigma <= MIN_SIGMA:
        raise DetectInputError(source, None, "the returns are constant")
    n = len(usable)
    calibrated = BankSettings(mode="calibrated", budget=budget, critical_budget=critical_budget)
    share, critical = calibrated.share, calibrated.critical_share
    lines = {
        "drift": drift.line_for_budget(share, drift.YEARLY_LINES),
        "drift_critical": drift.line_for_budget(critical, drift.YEARLY_LINES),
        "decay": drift.line_for_budget(share, decay.YEARLY_LINES),
        "decay_critical": drift.line_for_budget(critical, decay.YEARLY_LINES),
        "cusum": shift.cusum_threshold(0.25, share, horizon, n),
        "rank": shift.RankShiftDetector(usable, budget=share, horizon=horizon).threshold,
    }
    warnings = []
    if n < DAYS_A_YEAR:
        warnings.append(f"{n} days say little about a mean: limits are wide, decay is seen late")
    simulation = _Simulation(usable, sigma, random.Random(seed), progress, paths * (2 + len(drops)))
    alarms: list[FalseAlarms] = []
    for settings in (BankSettings(), calibrated):
        alarms += simulation.false_alarms(settings, paths, horizon)
    detections = [found for drop in drops for found in simulation.detections(calibrated, drop, paths, horizon)]
    return Calibration(
        days=n,
        mu=mu,
        sigma=sigma,
        sharpe=mu / sigma * math.sqrt(DAYS_A_YEAR),
        budget=budget,
        share=share,
        horizon=horizon,
        paths=paths,
        known=_limits(GBMDrawdownMonitor(mu, sigma, 1.0 - share, critical_confidence=1.0 - critical), horizon),
        aware=_limits(
            GBMDrawdownMonitor.from_returns(usable, 1.0 - share, critical_confidence=1.0 - critical), horizon
        ),
        lines=lines,
        false_alarms=tuple(alarms),
        detections=tuple(detections),
        warnings=tuple(warnings),
    )


def resample(returns: Sequence[float], length: int, generator: random.Random, block: int = BLOCK) -> list[float]:
    """``length`` returns in blocks of geometric length (mean ``block``), each from a random place, the end joined to
    the start: the stationary bootstrap of Politis & Romano (1994)."""
    n, out = len(returns), []
    at = generator.randrange(n)
    for _ in range(length):
        out.append(returns[at])
        at = generator.randrange(n) if generator.random() < 1.0 / block else (at + 1) % n
    return out


class _Simulation:
    def __init__(
        self,
        returns: Sequence[float],
        sigma: float,
        generator: random.Random,
        progress: Callable[[float], None] | None,
        total: int,
    ) -> None:
        self._returns, self._generator = returns, generator
        # A decay costs money on the days with a position; on average over all days it is what was asked for.
        self._unit = sigma * len(returns) / sum(r != 0.0 for r in returns)
        self._progress, self._total, self._done = progress, total, 0

    def false_alarms(self, settings: BankSettings, paths: int, horizon: int) -> list[FalseAlarms]:
        starts: dict[str, list[int]] = {name: [] for name in _COLUMNS}
        for _ in range(paths):
            firsts = self._year(settings, 0.0, horizon)
            for name in _COLUMNS:
                starts[name].append(len(firsts[name]))
        out = []
        for name in _COLUMNS if paths else ():
            share = sum(count > 0 for count in starts[name]) / paths
            error = math.sqrt(max(share * (1.0 - share), 1.0 / paths) / paths)
            out.append(FalseAlarms(name, settings.mode, share, error, sum(starts[name]) / paths))
        return out

    def detections(self, settings: BankSettings, drop: float, paths: int, horizon: int) -> list[Detection]:
        delays: dict[str, list[int]] = {name: [] for name in _COLUMNS}
        for _ in range(paths):
            for name, days in self._year(settings, drop, horizon).items():
                delays[name] += days[:1]
        out = []
        for name in _COLUMNS if paths else ():
            seen = sorted(delays[name])
            median = seen[(paths - 1) // 2] if len(seen) > (paths - 1) // 2 else None
            out.append(Detection(name, drop, len(seen) / paths, median))
        return out

    def _year(self, settings: BankSettings, drop: float, horizon: int) -> dict[str, list[int]]:
        """The days on which each detector (and any) left NORMAL, on one drawn year after one drawn backtest."""
        before = resample(self._returns, len(self._returns), self._generator)
        live = resample(self._returns, horizon, self._generator)
        out: dict[str, list[int]] = {name: [] for name in _COLUMNS}
        try:
            pod = PodDetectors("simulated", before, settings)
        except ValueError:  # a draw with next to no trading days
            return out
        for day, r in enumerate(live, 1):
            for anomaly in pod.update(r - drop * self._unit if r != 0.0 else r).anomalies:
                if anomaly.previous.level == 0:
                    out[anomaly.detector].append(day)
                    out[ANY].append(day)
        self._done += 1
        if self._progress is not None:
            self._progress(self._done / self._total)
        return out


def _limits(monitor: GBMDrawdownMonitor, days: int) -> Limits:
    return Limits(monitor.expected_max_drawdown(days), monitor.expected_max_duration(days))
