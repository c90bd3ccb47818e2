"""GBMDrawdownMonitor: what it says, when, and that nothing upsets it."""

import json
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_mcbot.detect import DrawdownCheckResult, GBMDrawdownMonitor, Severity

JUNK = [float("nan"), float("inf"), -float("inf"), None, "0.01", True, object(), -1.5, 1e400, [], b"1"]


def feed(monitor: GBMDrawdownMonitor, returns: list[float]) -> DrawdownCheckResult:
    for r in returns:
        result = monitor.update(r)
    return result


def test_names_that_existing_code_reads() -> None:
    result = GBMDrawdownMonitor(0.001, 0.02, confidence=0.95).update(0.01)
    for name in (
        "severity",
        "current_depth",
        "current_duration_days",
        "expected_max_depth",
        "expected_max_duration",
        "depth_exceeded",
        "duration_exceeded",
    ):
        assert hasattr(result, name)
    assert [s.value for s in Severity] == ["NORMAL", "WARNING", "CRITICAL"]
    assert [s.level for s in Severity] == [0, 1, 2]


def test_depth_and_duration_are_counted_from_the_last_high() -> None:
    monitor = GBMDrawdownMonitor(0.001, 0.02)
    assert feed(monitor, [0.10, 0.0]).current_duration_days == 0  # still at the high
    result = feed(monitor, [-0.10, -0.10])
    assert result.current_depth == pytest.approx(0.19)
    assert result.current_duration_days == 2
    assert feed(monitor, [0.30]).current_depth == 0.0
    assert feed(monitor, [0.0]).current_duration_days == 0


def test_nothing_is_said_before_thirty_days() -> None:
    monitor = GBMDrawdownMonitor(0.001, 0.01)
    early = feed(monitor, [-0.05] * 29)
    assert (early.severity, early.ready, early.expected_max_depth) == (Severity.NORMAL, False, 0.0)
    late = monitor.update(-0.05)
    assert late.ready
    assert late.severity is Severity.WARNING  # 30 of 30 days cannot be beyond the limit of a month


def test_warning_is_one_limit_and_critical_is_both_with_a_recommendation() -> None:
    deep = feed(GBMDrawdownMonitor(0.003, 0.01), [0.003] * 60 + [-0.2])
    assert (deep.severity, deep.depth_exceeded, deep.duration_exceeded) == (Severity.WARNING, True, False)
    long = feed(GBMDrawdownMonitor(0.003, 0.01), [0.003] * 60 + [-0.001] + [0.0] * 100)
    assert (long.severity, long.depth_exceeded, long.duration_exceeded) == (Severity.WARNING, False, True)
    both = feed(GBMDrawdownMonitor(0.003, 0.01), [0.003] * 60 + [-0.2] + [0.0] * 100)
    assert both.severity is Severity.CRITICAL
    assert "strategy review" in both.message
    assert "20.0%" in both.message


def test_limits_of_an_update_are_those_that_can_be_asked_for() -> None:
    monitor, other = GBMDrawdownMonitor(0.001, 0.02), GBMDrawdownMonitor(0.001, 0.02)
    for n in range(1, 101):
        result = monitor.update(-0.001)
        if n in (30, 31, 64, 100):
            assert result.expected_max_depth == pytest.approx(other.expected_max_drawdown(n), rel=1e-5)
            assert result.expected_max_duration == other.expected_max_duration(n)
            assert monitor.depth_p_value(result.expected_max_depth, n) == pytest.approx(0.05, rel=1e-4)
    assert monitor.is_drawdown_abnormal(result.expected_max_depth * 1.01, 0)
    assert not monitor.is_drawdown_abnormal(result.expected_max_depth * 0.99, 0)
    assert monitor.is_drawdown_abnormal(0.0, result.expected_max_duration + 1)


def test_a_fresh_monitor_judges_by_a_year() -> None:
    monitor = GBMDrawdownMonitor(0.001, 0.02)
    assert not monitor.is_drawdown_abnormal(0.40, 300)
    assert monitor.is_drawdown_abnormal(0.50, 300)
    assert monitor.is_drawdown_abnormal(0.40, 350)
    assert monitor.is_drawdown_abnormal(0.40, 10, n_days=30)


def test_calibrated_limits_stand_still_and_duration_alarms_nothing() -> None:
    monitor = GBMDrawdownMonitor(0.001, 0.02, mode="calibrated", backtest_days=365)
    first = feed(monitor, [-0.001] * 30)
    later = feed(monitor, [-0.0005] * 400)
    assert first.expected_max_depth == later.expected_max_depth == monitor.expected_max_drawdown(365)
    assert later.duration_exceeded
    assert later.severity is Severity.NORMAL
    assert feed(monitor, [-0.6]).severity is Severity.WARNING or monitor.update(-0.5).severity is Severity.CRITICAL
    assert feed(monitor, [-0.6]).severity is Severity.CRITICAL


def test_parameters_are_those_of_the_usable_returns() -> None:
    mu, sigma = GBMDrawdownMonitor.estimate_params([0.01, 0.03, float("nan"), None, 0.02])
    assert mu == pytest.approx(0.02)
    assert sigma == pytest.approx(0.01)
    assert GBMDrawdownMonitor.estimate_params([0.5]) == (0.0, 0.01)
    assert GBMDrawdownMonitor.estimate_params([0.01] * 9)[1] == pytest.approx(1e-12)


@pytest.mark.parametrize("junk", JUNK, ids=lambda junk: type(junk).__name__)
def test_junk_changes_nothing_but_a_counter(junk: object) -> None:
    monitor, clean = GBMDrawdownMonitor(0.001, 0.02), GBMDrawdownMonitor(0.001, 0.02)
    before = feed(monitor, [-0.01] * 40)
    feed(clean, [-0.01] * 40)
    during = monitor.update(junk)
    assert not during.valid
    assert (during.severity, during.current_depth) == (before.severity, before.current_depth)
    assert monitor.ignored == 1
    assert monitor.update(0.02) == clean.update(0.02)


def test_total_loss_is_a_drawdown_of_everything() -> None:
    result = feed(GBMDrawdownMonitor(0.001, 0.02), [0.01] * 40 + [-1.0, 0.5, 0.5])
    assert result.current_depth == 1.0
    assert result.depth_exceeded
    assert result.expected_max_depth < 1.0


@pytest.mark.parametrize(
    "arguments",
    [
        (math.nan, 0.02),
        (0.001, math.inf),
        (0.001, -0.1),
        (-1.0, 0.02),
        (0.001, 0.02, 1.0),
        (0.001, 0.02, 0.0),
    ],
)
def test_impossible_parameters_are_refused_at_once(arguments: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="must"):
        GBMDrawdownMonitor(*arguments)


@settings(deadline=None, max_examples=80)
@given(
    st.floats(-0.05, 0.05),
    st.floats(0.0, 0.5),
    st.lists(st.one_of(st.floats(), st.none(), st.floats(-0.5, 0.5)), max_size=60),
)
def test_any_stream_gives_a_result(mu: float, sigma: float, stream: list[float | None]) -> None:
    monitor = GBMDrawdownMonitor(mu, sigma, min_days=3)
    for value in stream:
        result = monitor.update(value)
        assert 0.0 <= result.current_depth <= 1.0
        assert 0.0 <= result.expected_max_depth < 1.0
        assert 0 <= result.expected_max_duration <= result.n_days
        assert math.isfinite(result.current_depth)


@pytest.mark.parametrize("mode", ["default", "calibrated"])
def test_a8_restored_monitor_goes_on_to_the_bit(mode: str) -> None:
    generator = random.Random(3)
    for _ in range(5):
        stream = [generator.gauss(-0.001, 0.02) for _ in range(160)]
        cut = generator.randrange(1, 120)
        monitor = GBMDrawdownMonitor(0.001, 0.02, mode=mode, backtest_days=200)  # type: ignore[arg-type]
        feed(monitor, stream[:cut])
        saved = json.loads(json.dumps(monitor.to_dict()))
        other = GBMDrawdownMonitor(0.001, 0.02, mode=mode, backtest_days=200)  # type: ignore[arg-type]
        other.restore_from_dict(saved)
        assert other.update(math.nan) == monitor.update(math.nan)
        for r in stream[cut:]:
            assert other.update(r) == monitor.update(r)


def test_a_foreign_state_is_refused() -> None:
    monitor = GBMDrawdownMonitor(0.001, 0.02)
    good = monitor.to_dict()
    for bad in ({}, {**good, "equity": 2.0}, {**good, "peak": math.nan}, {**good, "high_day": 7}):
        with pytest.raises((KeyError, TypeError, ValueError)):
            monitor.restore_from_dict(bad)


def test_reset_starts_over() -> None:
    monitor = GBMDrawdownMonitor(0.001, 0.02)
    feed(monitor, [-0.01] * 50)
    monitor.reset()
    assert monitor.update(-0.01) == GBMDrawdownMonitor(0.001, 0.02).update(-0.01)
