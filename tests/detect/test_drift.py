"""DistributionDriftDetector: equal to scipy, honest about ties, silent about luck."""

import json
import math
import random

import numpy as np
import pytest
from scipy.stats import ks_2samp

from otel_mcbot.detect import DistributionDriftDetector, Severity
from otel_mcbot.detect.drift import YEARLY_LINES, line_for_budget, p_value
from otel_mcbot.detect.volatility import dependence


def normal(count: int, seed: int, mean: float = 0.001) -> list[float]:
    generator = random.Random(seed)
    return [generator.gauss(mean, 0.02) for _ in range(count)]


def test_a7_equal_to_scipy() -> None:
    generator = np.random.default_rng(7)
    sizes = [(365, 60), (365, 30), (730, 60), (100, 100), (60, 60), (45, 200), (2000, 60), (30, 31)]
    for draw in range(1000):
        n, w = sizes[draw % len(sizes)]
        reference = 0.02 * generator.standard_normal(n)
        window = 0.02 * generator.standard_normal(w) * (1.0 + 0.5 * (draw % 3)) + 0.004 * (draw % 5)
        if draw % 2:  # ties within and across
            reference, window = np.round(reference, 2), np.round(window, 2)
        if draw % 7 == 0:
            window[: w // 2] = 0.0
        detector = DistributionDriftDetector(reference.tolist(), window_size=w)
        state = {**detector.to_dict(), "recent_returns": window[:-1].tolist()}
        detector.restore_from_dict(state)  # the days before, without judging each of them
        result = detector.update(float(window[-1]))
        expected = ks_2samp(reference, window)
        assert result.ks_statistic == pytest.approx(expected.statistic, abs=1e-12)
        assert result.p_value == pytest.approx(expected.pvalue, abs=1e-12)
        assert result.recent_n == w


def test_a7_still_equal_when_the_window_slides() -> None:
    reference, live = [round(r, 3) for r in normal(365, 1)], [round(r, 3) for r in normal(200, 2, -0.005)]
    detector = DistributionDriftDetector(reference)
    for i, r in enumerate(live, 1):
        result = detector.update(r)
        if i >= 30:
            expected = ks_2samp(reference, live[max(0, i - 60) : i])
            assert result.ks_statistic == pytest.approx(expected.statistic, abs=1e-12)
            assert result.p_value == pytest.approx(expected.pvalue, abs=1e-12)


def test_thresholds_and_words() -> None:
    detector = DistributionDriftDetector(normal(365, 1))
    seen = {}
    for r in normal(100, 3) + [-0.05] * 60:
        result = detector.update(r)
        seen.setdefault(result.severity, result)
        assert result.drifted == (result.severity is not Severity.NORMAL)
        if result.ready:
            levels = (result.p_value < 0.01, result.p_value < 0.05)
            assert result.severity.level == sum(levels)
    assert "Return distribution has shifted significantly" in seen[Severity.CRITICAL].message
    assert seen[Severity.NORMAL].message == ""


def test_p_value_never_reaches_zero() -> None:
    detector = DistributionDriftDetector([0.01 + i * 1e-6 for i in range(20_000)])
    for i in range(60):
        result = detector.update(-0.1 - i * 1e-4)
    assert result.ks_statistic == 1.0
    assert 0.0 < result.p_value <= 1e-15
    assert result.severity is Severity.CRITICAL


def test_too_few_on_either_side_is_no_verdict() -> None:
    short = DistributionDriftDetector(normal(29, 1))
    for r in normal(100, 2):
        result = short.update(r)
    assert not result.ready
    detector = DistributionDriftDetector(normal(365, 1))
    for r in normal(29, 2):
        assert not detector.update(r).ready
    assert detector.update(0.0).ready


def test_flat_days_are_ties_by_default_and_left_out_when_calibrated() -> None:
    reference = normal(365, 1)
    default = DistributionDriftDetector(reference)
    calibrated = DistributionDriftDetector(reference, mode="calibrated")
    for r in normal(60, 2):
        default.update(r)
        before = calibrated.update(r)
    for _ in range(60):
        flat = default.update(0.0)
        after = calibrated.update(0.0)
    assert flat.tie_fraction == pytest.approx(59 / 60)
    assert flat.severity is Severity.CRITICAL
    assert after == before


def test_calibrated_sees_lower_returns_not_better_ones_nor_a_wilder_market() -> None:
    reference = normal(730, 1)
    verdicts = {}
    for name, change in {"worse": -0.02, "better": 0.02}.items():
        detector = DistributionDriftDetector(reference, mode="calibrated")
        verdicts[name] = {detector.update(r + change).severity for r in normal(150, 5)}
    assert Severity.CRITICAL in verdicts["worse"]
    assert verdicts["better"] == {Severity.NORMAL}
    wild = DistributionDriftDetector(reference, mode="calibrated")
    for r in normal(200, 6):
        last = wild.update(4.0 * r)
    assert last.severity is Severity.NORMAL


def test_budgets_between_the_measured_ones() -> None:
    lines = [line_for_budget(b, YEARLY_LINES) for b in (0.20, 0.10, 0.05, 0.02, 0.01, 0.0025)]
    assert lines == sorted(lines)
    assert (lines[0], lines[2], lines[4], lines[5]) == tuple(line for _, line in YEARLY_LINES)
    for budget in (0.5, 0.001, math.nan):
        with pytest.raises(ValueError, match="budget"):
            line_for_budget(budget, YEARLY_LINES)


@pytest.mark.parametrize("mode", ["default", "calibrated"])
def test_junk_changes_nothing_but_a_counter(mode: str) -> None:
    one = DistributionDriftDetector(normal(365, 1), mode=mode)  # type: ignore[arg-type]
    other = DistributionDriftDetector([*normal(365, 1), math.nan, None, "x"], mode=mode)  # type: ignore[arg-type]
    for r in normal(80, 2):
        assert not one.update(math.nan).valid
        one.update(None)
        assert one.update(r) == other.update(r)
    assert one.ignored == 160


def test_dependence_is_1_for_independent_days_and_grows_where_neighbours_are_alike() -> None:
    generator = random.Random(5)
    for alike, low, high in ((0.0, 1.0, 1.2), (0.3, 1.4, 2.2), (-0.3, 1.0, 1.0)):
        x, series = 0.0, []
        for _ in range(3000):
            x = alike * x + generator.gauss(0.0, 1.0)
            series.append(x)
        assert low <= dependence(series) <= high
        assert dependence([1e9 * x**3 for x in series]) == pytest.approx(dependence(series))  # ranks alone count
    assert dependence([1.0, 2.0]) == 1.0


@pytest.mark.parametrize("reference", [[], [0.01] * 400, [math.nan] * 100], ids=["empty", "constant", "nan"])
@pytest.mark.parametrize("mode", ["default", "calibrated"])
def test_useless_references_do_not_raise(reference: list[float], mode: str) -> None:
    detector = DistributionDriftDetector(reference, mode=mode)  # type: ignore[arg-type]
    for r in [*normal(70, 1), 0.01, -1.0, 1e300]:
        assert math.isfinite(detector.update(r).ks_statistic)


@pytest.mark.parametrize("mode", ["default", "calibrated"])
def test_a8_restored_detector_goes_on_to_the_bit(mode: str) -> None:
    reference = normal(365, 1)
    for cut in (1, 17, 45, 61, 140):
        live = [0.0 if i % 9 == 0 else r for i, r in enumerate(normal(200, cut))]
        one = DistributionDriftDetector(reference, mode=mode)  # type: ignore[arg-type]
        for r in live[:cut]:
            one.update(r)
        other = DistributionDriftDetector(reference, mode=mode)  # type: ignore[arg-type]
        other.restore_from_dict(json.loads(json.dumps(one.to_dict())))
        assert [one.update(r) for r in live[cut:]] == [other.update(r) for r in live[cut:]]


def test_a_foreign_state_is_refused() -> None:
    detector = DistributionDriftDetector(normal(365, 1))
    good = detector.to_dict()
    for bad in ({}, {**good, "recent_returns": [math.inf]}, {**good, "recent_returns": [0.0] * 61}):
        with pytest.raises((KeyError, TypeError, ValueError)):
            detector.restore_from_dict(bad)


def test_p_value_is_monotone_and_symmetric() -> None:
    values = [p_value(h, 365, 60) for h in range(5, 365 * 60, 500)]
    assert values == sorted(values, reverse=True)
    assert p_value(2000, 365, 60) == p_value(2000, 60, 365)
