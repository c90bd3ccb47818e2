"""PodLifecycle: production, warning, probation, retired; and what never moves it."""

import json
import math
import random

import pytest

from otel_mcbot.detect import (
    BankSettings,
    CusumDetector,
    LifecycleState,
    PageHinkleyDetector,
    PodDetectors,
    PodLifecycle,
    Severity,
)

WARNING, PROBATION, RETIRED = LifecycleState.WARNING, LifecycleState.PROBATION, LifecycleState.RETIRED
PRODUCTION = LifecycleState.PRODUCTION


def cusum() -> CusumDetector:
    return CusumDetector(0.0, 0.01, k=0.25, h=10.0)


def days_to(pod: PodLifecycle, state: LifecycleState, r: float, most: int = 500) -> int:
    for day in range(1, most):
        if pod.update(r).state is state:
            return day
    raise AssertionError(f"never {state}")


def test_default_driver_is_page_hinkley_with_its_usual_parameters() -> None:
    driver = PodLifecycle().driver
    assert isinstance(driver, PageHinkleyDetector)
    assert (driver.threshold, driver._delta, driver._alpha) == (50.0, 0.005, 0.9999)


def test_default_driver_waits_out_both_periods() -> None:
    pod = PodLifecycle(PageHinkleyDetector(delta=0.0, lambda_=0.2), grace_days=12)
    pod.update(0.05)
    days_to(pod, WARNING, -0.01)
    assert days_to(pod, PROBATION, -0.01) == 30
    assert days_to(pod, RETIRED, -0.01) == 12
    assert pod.update(0.5).state is RETIRED


def test_default_driver_recovers_because_it_is_fed_in_every_state() -> None:
    pod = PodLifecycle(PageHinkleyDetector(delta=0.0, lambda_=0.2))
    pod.update(0.0)
    days_to(pod, WARNING, -0.01)
    assert days_to(pod, PRODUCTION, 0.05) == 5  # the score is low enough after three or four, and five is the least
    assert pod.driver.score == 0.0


def test_a_restarting_driver_moves_on_at_a_second_alarm() -> None:
    pod = PodLifecycle(cusum())
    assert days_to(pod, WARNING, -0.01) == 14  # 0.75 sigma a day up to 10
    assert pod.driver.score == pytest.approx(5.0)
    assert days_to(pod, PROBATION, -0.01) == 7
    assert days_to(pod, RETIRED, -0.01) == 7


def test_a_restarting_driver_recovers_or_times_out() -> None:
    pod = PodLifecycle(cusum())
    days_to(pod, WARNING, -0.01)
    assert days_to(pod, PRODUCTION, 0.005) == 5
    days_to(pod, WARNING, -0.01)
    assert days_to(pod, PROBATION, -0.0025) == 30  # neither better nor worse: time decides
    assert days_to(pod, PRODUCTION, 0.01) == 5


def test_what_a_person_reads() -> None:
    pod = PodLifecycle(cusum())
    texts = {}
    for _ in range(13):
        result = pod.update(-0.01)
        texts[result.ph] = result.status
    assert texts == {"PH: 0/3": "HEALTHY", "PH: 1/3": "HEALTHY", "PH: 2/3": "HEALTHY"}
    change = pod.update(-0.01)
    assert change.changed
    assert change.detected
    assert change.message == "production -> warning (PH: 3/3)"
    assert (change.severity, change.days_in_state) == (Severity.WARNING, 0)
    later = pod.update(-0.03)
    assert later.status == "DEGRADING (PH: 2/3)"
    assert not later.changed
    days_to(pod, PROBATION, -0.01)
    gone = days_to(pod, RETIRED, -0.01)
    assert gone
    final = pod.update(0.0)
    assert (final.status, final.severity) == ("RETIRED", Severity.CRITICAL)


def test_people_graduate_and_reinstate() -> None:
    pod = PodLifecycle(cusum(), state=LifecycleState.INCUBATION)
    for _ in range(100):
        assert pod.update(-0.01).state is LifecycleState.INCUBATION
    pod.graduate()
    assert pod.state is PRODUCTION
    assert pod.driver.score == 0.0
    days_to(pod, RETIRED, -0.01)
    pod.graduate()
    assert pod.state is RETIRED
    pod.reinstate()
    assert pod.state is PRODUCTION
    assert pod.update(0.0).status == "HEALTHY"


def test_junk_is_not_a_day() -> None:
    pod = PodLifecycle(cusum())
    days_to(pod, WARNING, -0.01)
    for junk in (math.nan, None, "x", -3.0):
        result = pod.update(junk)
        assert (result.valid, result.days_in_state, result.state) == (False, 0, WARNING)


@pytest.mark.parametrize("arguments", [{"warning_days": 0}, {"grace_days": 0}, {"settle_days": 0}, {"recovery": 2.0}])
def test_impossible_parameters_are_refused_at_once(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must"):
        PodLifecycle(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [cusum, lambda: PageHinkleyDetector(delta=0.0, lambda_=0.2)])
def test_a8_restored_lifecycle_goes_on_to_the_bit(make: type[CusumDetector]) -> None:
    generator = random.Random(2)
    live = [generator.gauss(-0.004, 0.01) for _ in range(200)]
    for cut in (0, 20, 60, 90):
        one, other = PodLifecycle(make()), PodLifecycle(make())
        for r in live[:cut]:
            one.update(r)
        other.restore_from_dict(json.loads(json.dumps(one.to_dict())))
        assert [one.update(r) for r in live[cut:]] == [other.update(r) for r in live[cut:]]


def test_other_detectors_at_critical_for_a_year_move_nothing() -> None:
    """An account falls faster and faster: three detectors shout; Page-Hinkley, blind as it is, decides alone."""
    generator = random.Random(4)
    pod = PodDetectors("pod", [generator.gauss(0.002, 0.01) for _ in range(365)], BankSettings())
    equity, together, states = 1.0, 0, set()
    for day in range(1, 701):
        now = 1.0 - 0.95 * (day / 700.0) ** 2
        report = pod.update(now / equity - 1.0)
        equity = now
        assert report.drawdown is not None
        assert report.drift is not None
        assert report.decay is not None
        assert report.lifecycle is not None
        severities = {report.drawdown.severity, report.drift.severity, report.decay.severity}
        together += severities == {Severity.CRITICAL}
        states.add(report.lifecycle.state)
    assert together >= 365
    assert states == {PRODUCTION}
