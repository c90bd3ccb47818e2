"""The rates that the docs promise, by simulation with fixed seeds. The long versions: benchmarks/detect_operating.py.

Bounds are the promised figure and three standard errors of the number of paths used here, or tighter.
"""

import math

import numpy as np
import pytest
from detect_nulls import MU, NAMES, SIGMA, returns, shocks
from detect_operating import (
    YEAR,
    carefully,
    cusum_delay,
    decay_calibrated,
    decay_default,
    decay_scores,
    drawdown_calibrated,
    drawdown_default,
    drawdown_standardised,
    jump_hides_decay,
    ks_calibrated,
    ks_default,
    ks_statistics,
    page_hinkley_year,
    rank_delay,
    retirement,
    sample,
    standard,
    standardised,
    strategies,
    suite,
)

from otel_mcbot.detect import (
    ConformalRANSACDetector,
    CusumDetector,
    DistributionDriftDetector,
    GBMDrawdownMonitor,
    RankShiftDetector,
)
from otel_mcbot.detect.shift import cusum_threshold
from otel_mcbot.detect.tools import alarm_windows
from otel_mcbot.detect.volatility import dependence


def generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


# --- the many-path formulas are the detectors


def test_drawdown_formula_is_the_monitor() -> None:
    before, live = returns("normal", generator(1), 40, 200, drop=0.2, backtest=100)
    for row in live[:6].tolist():
        monitor = GBMDrawdownMonitor(MU, SIGMA)
        levels = [monitor.update(r).severity.level for r in row]
        warning, critical = drawdown_default(np.array([row]))
        assert (warning, critical) == (float(max(levels) >= 1), float(max(levels) == 2))
    hits = 0
    for backtest, row in zip(before.tolist(), live.tolist(), strict=True):
        mu, sigma = GBMDrawdownMonitor.estimate_params(backtest)
        monitor = GBMDrawdownMonitor(mu, sigma, mode="calibrated", horizon=200, backtest_days=100, min_days=1)
        hits += any(monitor.update(r).severity.level > 0 for r in row)
    assert 0 < hits < 40
    assert drawdown_calibrated(before, live) == pytest.approx(hits / 40)


def test_standardised_drawdown_formula_is_the_monitor() -> None:
    before, live = returns("garch", generator(5), 40, YEAR, drop=0.2, backtest=200)
    hits = []
    for backtest, row in zip(before.tolist(), live.tolist(), strict=True):
        monitor = GBMDrawdownMonitor.from_returns(backtest)
        hits.append(any(monitor.update(r).severity.level > 0 for r in row))
    assert 0 < sum(hits) < 40
    assert drawdown_standardised(before, live).tolist() == hits


def test_shift_formulas_are_the_detectors() -> None:
    before, live = returns("t4", generator(2), 8, 300, drop=0.3, backtest=365)
    h = cusum_threshold(0.25, 0.05, YEAR, 365)
    formula = (
        cusum_delay(carefully(before, live), 0.25, h),
        rank_delay(before, live),
        rank_delay(before, live, online=True),
    )
    for i in range(8):
        backtest = before[i].tolist()
        detectors = (
            CusumDetector.from_returns(backtest),
            RankShiftDetector(backtest, online=False),
            RankShiftDetector(backtest, online=True),
        )
        for delays, detector in zip(formula, detectors, strict=True):
            day = next((t for t, r in enumerate(live[i].tolist(), 1) if detector.update(r)), math.inf)
            assert day == delays[i]


def test_drift_formula_is_the_detector() -> None:
    before, live = returns("garch", generator(3), 3, 120, backtest=365)
    unlike = [dependence(row) for row in standardised(before, live)[0].tolist()]
    assert max(unlike) > 1.0
    d, _ = ks_statistics(before, live)
    lower, sizes = ks_statistics(*standardised(before, live), lower=True)
    for i in range(3):
        default = DistributionDriftDetector(before[i].tolist())
        calibrated = DistributionDriftDetector(before[i].tolist(), mode="calibrated")
        for t, r in enumerate(live[i].tolist()):
            one, two = default.update(r), calibrated.update(r)
            if t >= 29:
                w = sizes[t - 29]
                assert one.ks_statistic == pytest.approx(d[i, t - 29])
                scale = math.sqrt(305 * w / (305 + w) / unlike[i])
                assert two.scaled_statistic == pytest.approx(lower[i, t - 29] * scale)


def test_decay_formula_is_the_detector() -> None:
    before, live = returns("t4", generator(4), 4, 250, backtest=365)
    slope, level = decay_scores(before, live)
    for i in range(4):
        detector = ConformalRANSACDetector(mode="calibrated", reference_returns=before[i].tolist())
        for t, r in enumerate(live[i].tolist(), 1):
            result = detector.update(r)
            if t >= 60:
                assert result.slope_z == pytest.approx(slope[t - 60, i])
                assert result.level_z == pytest.approx(level[t - 60, i])


# --- B1, B2: drawdown


def test_b1_drawdown_false_alarms_with_known_parameters() -> None:
    _, live = returns("normal", generator(11), 8000, YEAR)
    warning, critical = drawdown_default(live)
    assert 0.22 <= warning <= 0.31
    assert 0.02 <= critical <= 0.05
    known = (1.0 - np.exp(-_deepest(live)) > GBMDrawdownMonitor(MU, SIGMA).expected_max_drawdown(YEAR)).mean()
    assert 0.035 <= known <= 0.065


def _deepest(live: np.ndarray) -> np.ndarray:
    level = np.concatenate([np.zeros((len(live), 1)), np.cumsum(np.log1p(live), axis=1)], axis=1)
    return (np.maximum.accumulate(level, axis=1) - level).max(axis=1)


@pytest.mark.parametrize("days", [365, 730])
def test_b2_drawdown_false_alarms_with_estimated_parameters(days: int) -> None:
    before, live = returns("normal", generator(12), 6000, YEAR, backtest=days)
    aware = drawdown_calibrated(before, live)
    assert 0.035 <= aware <= 0.065
    assert drawdown_calibrated(before, live, aware=False) > aware + 0.015  # what ignoring the error would cost


@pytest.mark.parametrize("null", NAMES)
def test_b2_drawdown_at_the_backtests_volatility_keeps_the_budget_in_every_market(null: str) -> None:
    before, live = returns(null, generator(29), 4000, YEAR, backtest=365)
    assert 0.035 <= drawdown_standardised(before, live).mean() <= 0.07
    before, live = returns(null, generator(30), 500, YEAR, drop=0.5, backtest=365)
    assert drawdown_standardised(before, live).mean() >= 0.99


# --- B3, B4, B5: shift


@pytest.mark.parametrize("k", [0.05, 0.1, 0.25, 0.5])
def test_b3_cusum_false_alarms(k: float) -> None:
    z = shocks("normal", generator(13), 6000, YEAR)
    assert 0.035 <= np.isfinite(cusum_delay(z, k, cusum_threshold(k, 0.05, YEAR))).mean() <= 0.065
    before, live = returns("normal", generator(14), 6000, YEAR, backtest=365)
    h = cusum_threshold(k, 0.05, YEAR, 365)
    assert 0.035 <= np.isfinite(cusum_delay(standard(before, live), k, h)).mean() <= 0.065


@pytest.mark.parametrize("null", NAMES)
def test_b4_rank_false_alarms(null: str) -> None:
    for days in (365, 730):
        before, live = returns(null, generator(15), 2500, YEAR, backtest=days)
        assert np.isfinite(rank_delay(before, live)).mean() <= 0.06
    for days in (30, 180):
        before, live = returns(null, generator(16), 2000, YEAR, backtest=days)
        limit = 0.03 if null != "garch" else 0.04  # exactly valid only for exchangeable days
        assert np.isfinite(rank_delay(before, live, online=True)).mean() <= limit


@pytest.mark.parametrize("null", NAMES)
def test_b4_cusum_as_the_bank_makes_it(null: str) -> None:
    before, live = returns(null, generator(17), 4000, YEAR, backtest=365)
    h = cusum_threshold(0.25, 0.05, YEAR, 365)
    assert np.isfinite(cusum_delay(carefully(before, live), 0.25, h)).mean() <= 0.085


def test_b5_delays_next_to_the_best_possible() -> None:
    for drop, most in ((0.2, 1.6), (0.5, 1.6)):
        before, live = returns("normal", generator(18), 2000, 3 * YEAR, drop=drop, backtest=365)
        best = np.median(cusum_delay((live - MU) / SIGMA, drop / 2.0, cusum_threshold(drop / 2.0, 0.05, YEAR)))
        assert best == pytest.approx({0.2: 159, 0.5: 41}[drop], rel=0.08)
        assert np.median(rank_delay(before, live)) <= most * best
    cusum = cusum_delay(standard(before, live), 0.25, cusum_threshold(0.25, 0.05, YEAR, 365))
    assert np.median(cusum) <= 1.2 * best


def test_b5_page_hinkley_sees_nothing() -> None:
    _, live = returns("normal", generator(19), 150, 3 * YEAR, drop=0.5)
    assert page_hinkley_year(live) <= 0.03


# --- B6: drift


@pytest.mark.parametrize("null", NAMES)
def test_b6_drift_false_alarms(null: str) -> None:
    before, live = returns(null, generator(20), 2000, YEAR, backtest=365)
    assert ks_calibrated(before, live) <= 0.07
    warning, _ = ks_default(before, live)
    expected = {"normal": 0.72, "t4": 0.73, "garch": 0.94}[null]
    assert warning == pytest.approx(expected, abs=0.03)


def test_b6_drift_sees_a_drop() -> None:
    before, live = returns("normal", generator(21), 500, YEAR, drop=0.5, backtest=365)
    assert ks_calibrated(before, live) >= 0.9


# --- B7: decay


@pytest.mark.parametrize("null", NAMES)
def test_b7_decay_false_alarms(null: str) -> None:
    for days in (365, 730):
        before, live = returns(null, generator(22), 2000, YEAR, backtest=days)
        warning, critical, _ = decay_calibrated(before, live)
        assert warning <= 0.06
        assert critical <= 0.015


def test_b7_decay_sees_what_the_default_mode_cannot_tell() -> None:
    before, live = returns("normal", generator(23), 500, YEAR, drop=0.5, backtest=365)
    warning, critical, day = decay_calibrated(before, live)
    assert warning >= 0.99
    assert critical >= 0.9
    assert day <= 65
    _, healthy = returns("normal", generator(24), 25, YEAR)
    assert decay_default(healthy)[0] >= 0.9  # nearly every healthy year warns


@pytest.mark.parametrize("day", [20, 90, 160])
def test_b7_one_large_day_does_not_flip_the_slope(day: int) -> None:
    ransac, winsorised = jump_hides_decay(generator(25), 150, day)
    assert winsorised <= 0.20 + 3.0 * math.sqrt(0.15 * 0.85 / 150)
    assert ransac > winsorised - 0.05
    if day == 90:
        assert ransac >= 0.8


# --- a pod: all of them under one budget


@pytest.mark.parametrize("null", NAMES)
def test_a_healthy_pod_warns_in_no_more_years_than_its_budget_says(null: str) -> None:
    before, live = returns(null, generator(31), 2000, YEAR, backtest=365)
    found = suite(before, live)
    print(null, found)
    assert found["any"] <= 0.05 + 3.0 * math.sqrt(0.05 * 0.95 / 2000)
    assert found["any"] >= max(found[name] for name in ("drawdown", "drift", "decay", "lifecycle"))


def test_a_pod_sees_a_steady_loss() -> None:
    before, live = returns("normal", generator(32), 300, YEAR, drop=0.5, backtest=365)
    assert suite(before, live)["any"] >= 0.99


# --- B8: lifecycle


def test_b8_lifecycle_retires_the_dead_and_spares_the_healthy() -> None:
    _, live = returns("normal", generator(26), 3000, YEAR)
    assert retirement(live)[0] <= 0.01
    _, dead = returns("normal", generator(27), 500, YEAR, drop=0.5)
    share, day = retirement(dead)
    assert share >= 0.97
    assert day <= 110


def test_b8_the_default_driver_retires_nobody() -> None:
    _, dead = returns("normal", generator(28), 100, YEAR, drop=0.5)
    assert retirement(dead, "page_hinkley")[0] == 0.0


# --- B9: real prices


def test_b9_calibrated_alarms_on_real_prices() -> None:
    """Four years of a listed share, through its rise and its fall of 2008: a daily series that a package brings."""
    pytest.importorskip("matplotlib")
    default, calibrated = [], []
    for series in strategies(sample()).values():
        report = alarm_windows(series, step=60)
        assert report.windows >= 4
        for name in ("drawdown", "drift", "decay", "lifecycle"):
            default.append(report.shares["default"][name])
            calibrated.append(report.shares["calibrated"][name])
    print(f"share of windows with an alarm, mean over detectors: {np.mean(default):.2f} -> {np.mean(calibrated):.2f}")
    assert np.mean(calibrated) <= 0.15
    assert np.mean(default) >= 0.5
