"""ConformalRANSACDetector: equal to scikit-learn, explicit where that has no answer, robust when calibrated."""

import json
import math
import random

import numpy as np
import pytest
from detect_ransac import reference as reference_line
from detect_ransac import worst_difference

from otel_mcbot.detect import ConformalRANSACDetector, DecayCheckResult, Severity, ransac
from otel_mcbot.detect.severity import from_legs


def normal(count: int, seed: int, mean: float = 0.001, sigma: float = 0.02) -> list[float]:
    generator = random.Random(seed)
    return [generator.gauss(mean, sigma) for _ in range(count)]


def feed(detector: ConformalRANSACDetector, returns: list[float]) -> DecayCheckResult:
    for r in returns:
        result = detector.update(r)
    return result


@pytest.mark.timeout(600)
def test_a6_equal_to_scikit_learn() -> None:
    slope, intercept = worst_difference(300)  # 1,000 in benchmarks/detect_ransac.py
    assert slope <= 1e-12
    assert intercept <= 1e-12


def test_a6_severity_through_the_window_ramp_is_that_of_scikit_learns_line() -> None:
    detector = ConformalRANSACDetector()
    returns = [*normal(100, 4), 0.25, *normal(150, 5, mean=-0.004)]
    level, curve, severities = 0.0, [], set()
    for i, r in enumerate(returns):
        level = (1.0 + level) * (1.0 + r) - 1.0
        curve.append(level)
        result = detector.update(r)
        if i < 59:
            assert not result.ready
            continue
        y = np.array(curve[-180:])
        n = len(y)
        if i % 7 and n < 180:
            continue  # the regressor takes its time
        line = reference_line(y, n // 2)
        assert line is not None
        slope, intercept = line
        residuals = np.sort(np.abs(y - intercept - slope * np.arange(n)))
        bound = intercept + slope * (n - 1) - residuals[min(math.ceil(0.95 * (n + 1)), n) - 1]
        assert result.ransac_slope == pytest.approx(slope, abs=1e-12)
        assert result.conformal_lower_bound == pytest.approx(bound, abs=1e-11)
        assert result.severity is from_legs(slope <= 0.0, level < bound)
        assert (result.slope_positive, result.level_breach) == (slope > 0.0, level < bound)
        assert result.current_cumulative == pytest.approx(level)
        assert result.n_samples == n
        severities.add(result.severity)
    assert severities >= {Severity.NORMAL, Severity.WARNING}


@pytest.mark.parametrize("zeros", [100, 150, 180])
def test_a6_where_scikit_learn_has_no_line_the_result_says_so(zeros: int) -> None:
    returns = normal(180 - zeros, 8) + [0.0] * zeros
    result = feed(ConformalRANSACDetector(), returns)
    y = np.cumprod(1.0 + np.array(returns)) - 1.0
    line = reference_line(y, 90)
    assert line is None or abs(line[0]) < 1e-15  # rounding decides, or there is no line
    assert result.degenerate
    assert (result.severity, result.ransac_slope, result.level_breach) == (Severity.NORMAL, 0.0, False)
    assert "stood still" in result.message


def test_names_that_existing_code_reads() -> None:
    result = ConformalRANSACDetector().update(0.01)
    for name in (
        "severity",
        "ransac_slope",
        "slope_positive",
        "conformal_lower_bound",
        "current_cumulative",
        "level_breach",
        "n_samples",
    ):
        assert hasattr(result, name)


def test_a_steady_loss_is_reported_and_both_conditions_recommend_a_review() -> None:
    losing = feed(ConformalRANSACDetector(), normal(180, 3, mean=-0.004))
    assert not losing.slope_positive
    assert losing.severity is not Severity.NORMAL
    both = feed(ConformalRANSACDetector(), [-0.001 + 0.002 * (-1) ** i for i in range(150)] + [-0.2])
    assert both.severity is Severity.CRITICAL
    assert both.decay_detected
    assert "strategy review" in both.message


def test_without_the_intercept_the_bound_is_lower_by_it() -> None:
    returns = normal(300, 2, mean=0.004)
    with_it = feed(ConformalRANSACDetector(), returns)
    without = feed(ConformalRANSACDetector(intercept=False), returns)
    assert without.ransac_slope == with_it.ransac_slope
    line = ransac.fit(np.cumprod(1.0 + np.array(returns))[-180:] - 1.0, 90)
    assert line is not None
    assert line.intercept > 0.05
    assert with_it.conformal_lower_bound - without.conformal_lower_bound == pytest.approx(line.intercept)


def test_b7_calibrated_slope_is_not_carried_away_by_one_day() -> None:
    reference = normal(365, 1, 0.001, 0.01)
    hidden = looks_well = 0
    for seed in range(40):
        live = normal(180, 100 + seed, -0.001, 0.01)
        live[90] = 0.30
        result = feed(ConformalRANSACDetector(mode="calibrated", reference_returns=reference), live)
        looks_well += result.current_cumulative > 0.0  # the false dawn
        hidden += result.slope_positive
    assert looks_well >= 20
    assert hidden <= 8


def test_calibrated_legs() -> None:
    reference = normal(365, 1)
    lines = (2.70, 3.40)
    for seed, mean in ((1, 0.001), (2, -0.004), (3, -0.010)):
        result = feed(ConformalRANSACDetector(mode="calibrated", reference_returns=reference), normal(180, seed, mean))
        low, high = min(result.slope_z, result.level_z), max(result.slope_z, result.level_z)
        expected = Severity.CRITICAL if high < -lines[1] else Severity.WARNING if low < -lines[0] else Severity.NORMAL
        assert result.severity is expected
        assert result.level_breach == (result.level_z < -lines[0])
        assert result.conformal_lower_bound < math.expm1(180 * 0.001)
    assert result.severity is Severity.CRITICAL


def test_calibrated_needs_a_backtest() -> None:
    with pytest.raises(ValueError, match="at least 30"):
        ConformalRANSACDetector(mode="calibrated", reference_returns=[0.01] * 29)


@pytest.mark.parametrize("mode", ["default", "calibrated"])
@pytest.mark.parametrize(
    "stream",
    [[0.0] * 200, [0.01] * 200, [-1.0] * 200, [5.0] * 200, [1e300] * 200, [0.01, -0.01] * 100],
    ids=["flat", "constant", "lost", "percent", "absurd", "alternating"],
)
def test_no_stream_raises_or_gives_nan(mode: str, stream: list[float]) -> None:
    detector = ConformalRANSACDetector(mode=mode, reference_returns=normal(100, 1))  # type: ignore[arg-type]
    for r in stream:
        result = detector.update(r)
        for value in (result.ransac_slope, result.conformal_lower_bound, result.current_cumulative):
            assert math.isfinite(value)


@pytest.mark.parametrize("reference", [[0.0] * 100, [0.01] * 100, [0.0] * 90 + [0.01] * 10])
def test_odd_backtests_do_not_raise(reference: list[float]) -> None:
    detector = ConformalRANSACDetector(mode="calibrated", reference_returns=reference)
    assert math.isfinite(feed(detector, normal(100, 1)).slope_z)
    assert math.isfinite(feed(detector, [0.0] * 200).level_z)


def test_junk_changes_nothing_but_a_counter() -> None:
    one, other = ConformalRANSACDetector(), ConformalRANSACDetector()
    for r in normal(100, 2):
        assert not one.update(math.nan).valid
        assert one.update(r) == other.update(r)
    assert one.ignored == 100


@pytest.mark.parametrize("mode", ["default", "calibrated"])
def test_a8_restored_detector_goes_on_to_the_bit(mode: str) -> None:
    reference = normal(100, 1)
    for cut in (1, 59, 60, 100, 190):
        live = normal(220, cut)
        one = ConformalRANSACDetector(mode=mode, reference_returns=reference)  # type: ignore[arg-type]
        feed(one, live[:cut])
        other = ConformalRANSACDetector(mode=mode, reference_returns=reference)  # type: ignore[arg-type]
        other.restore_from_dict(json.loads(json.dumps(one.to_dict())))
        assert [one.update(r) for r in live[cut:]] == [other.update(r) for r in live[cut:]]


def test_a_foreign_state_is_refused() -> None:
    detector = ConformalRANSACDetector()
    good = detector.to_dict()
    for bad in (
        {},
        {**good, "daily_returns": [1.0]},
        {**good, "daily_returns": [0.0], "cumulative_returns": [math.nan]},
    ):
        with pytest.raises((KeyError, TypeError, ValueError)):
            detector.restore_from_dict(bad)
