"""The three sequential tests: their formulas, thresholds, junk and restarts."""

import json
import math
import random
from collections.abc import Callable

import pytest

from otel_mcbot.detect import CusumDetector, PageHinkleyDetector, RankShiftDetector
from otel_mcbot.detect.shift import ShiftDetector, cusum_threshold


def normal(count: int, seed: int, mean: float = 0.001) -> list[float]:
    generator = random.Random(seed)
    return [generator.gauss(mean, 0.02) for _ in range(count)]


MAKERS: dict[str, Callable[[], ShiftDetector]] = {
    "page_hinkley": PageHinkleyDetector,
    "cusum": lambda: CusumDetector.from_returns(normal(365, 1)),
    "cusum plain": lambda: CusumDetector(0.001, 0.02),
    "rank": lambda: RankShiftDetector(normal(365, 1)),
    "rank online": lambda: RankShiftDetector(normal(60, 1)),
}


def test_page_hinkley_recursion() -> None:
    detector = PageHinkleyDetector(delta=0.01, lambda_=0.5, alpha=0.9)
    mean, m, low = 0.0, 0.0, 0.0
    alarms = 0
    for i, x in enumerate([0.1, 0.2, *[-0.1] * 20]):
        alarm = detector.update(x)
        if i == 0:
            mean = x
        else:
            mean = 0.9 * mean + 0.1 * x
            m += mean - x - 0.01
            low = min(low, m)
        assert detector.score == pytest.approx(m - low)
        assert alarm == (m - low > 0.5)
        alarms += alarm
    assert alarms > 0
    assert detector.n_observations == 22


def test_page_hinkley_is_blind_with_its_usual_parameters() -> None:
    detector = PageHinkleyDetector()
    losing = [0.001, *normal(3 * 365, 2, mean=-0.01)]  # half a sigma lost on every day
    assert not any(detector.update(r) for r in losing)
    assert detector.score < detector.threshold / 5


def test_page_hinkley_answers_to_its_first_day_instead() -> None:
    detector = PageHinkleyDetector()
    healthy = [0.16, *normal(364, 2, mean=0.001)]  # its running mean starts there and hardly moves
    assert any(detector.update(r) for r in healthy)


def test_cusum_recursion_and_fixed_reference() -> None:
    detector = CusumDetector(0.001, 0.02, k=0.25, h=5.0)
    score = 0.0
    for r in normal(200, 3, mean=-0.005):
        alarm = detector.update(r)
        score = max(0.0, score - (r - 0.001) / 0.02 - 0.25)
        assert detector.score == pytest.approx(score)
        assert alarm == (score > 5.0)


@pytest.mark.parametrize(
    ("k", "known", "year", "half"),
    [
        (0.0, 41.69, 51.59, 60.31),
        (0.05, 30.09, 37.47, 44.89),
        (0.10, 22.35, 26.78, 31.98),
        (0.15, 17.56, 20.00, 23.00),
        (0.25, 12.27, 13.18, 14.22),
        (0.50, 7.00, 7.19, 7.39),
    ],
)
def test_cusum_thresholds_for_five_percent_a_year(k: float, known: float, year: float, half: float) -> None:
    assert cusum_threshold(k, 0.05, 365) == pytest.approx(known, rel=0.001)
    assert cusum_threshold(k, 0.05, 365, 365) == pytest.approx(year, rel=0.001)
    assert cusum_threshold(k, 0.05, 365, 180) == pytest.approx(half, rel=0.002)


def test_one_absurd_day_alarms_nobody_who_standardises() -> None:
    detector = CusumDetector.from_returns(normal(365, 1))
    assert not detector.update(-0.9)
    assert detector.score <= 3.0
    rank = RankShiftDetector(normal(365, 1))
    assert not rank.update(-0.9)


def test_rank_winnings_are_fair_bets() -> None:
    """On the backtest's own N + 1 possible ranks the mean of 1 - 2u is 0: no expected gain while nothing changed."""
    reference = [i / 1000.0 for i in range(100)]
    edges = []
    for rank in range(101):
        detector = RankShiftDetector(reference, stakes=(0.5,), online=False)
        detector.update(rank / 1000.0 - 0.0005)
        edges.append(detector.evidence)
    assert sum(edges) / len(edges) == pytest.approx(1.0, abs=1e-12)
    assert edges == sorted(edges, reverse=True)  # the lower the day, the more it pays


def test_rank_threshold_and_alarm() -> None:
    detector = RankShiftDetector(normal(365, 1), budget=0.05, horizon=365)
    assert detector.threshold == pytest.approx(math.log10(7301))
    days = next(i for i, r in enumerate(normal(365, 2, mean=-0.009), 1) if detector.update(r))
    assert 20 < days < 120
    assert detector.score >= detector.threshold


def test_rank_evidence_stays_finite() -> None:
    detector = RankShiftDetector(normal(365, 1))
    for _ in range(5000):
        detector.update(-0.5)
    assert math.isfinite(detector.score)


@pytest.mark.parametrize("name", MAKERS)
def test_restart_and_reset(name: str) -> None:
    detector = MAKERS[name]()
    for r in normal(50, 2, mean=-0.01):
        detector.update(r)
    detector.restart(0.5)
    assert detector.score == pytest.approx(0.5 * detector.threshold)
    detector.reset()
    assert detector.score == pytest.approx(0.0)


@pytest.mark.parametrize("name", MAKERS)
def test_junk_changes_nothing(name: str) -> None:
    one, other = MAKERS[name](), MAKERS[name]()
    for r in normal(100, 2):
        for junk in (math.nan, math.inf, None, "0.1", object()):
            assert not one.update(junk)
        assert one.update(r) == other.update(r)
    assert one.to_dict() == other.to_dict()


@pytest.mark.parametrize("name", MAKERS)
def test_a8_restored_detector_goes_on_to_the_bit(name: str) -> None:
    for cut in (0, 1, 90):
        live = normal(200, cut, mean=-0.003)
        one, other = MAKERS[name](), MAKERS[name]()
        for r in live[:cut]:
            one.update(r)
        other.restore_from_dict(json.loads(json.dumps(one.to_dict())))
        for r in live[cut:]:
            assert one.update(r) == other.update(r)
            assert one.score == other.score


@pytest.mark.parametrize("name", MAKERS)
def test_a_foreign_state_is_refused(name: str) -> None:
    detector = MAKERS[name]()
    good = detector.to_dict()
    for key in good:
        if good[key] is None:
            continue
        with pytest.raises((KeyError, TypeError, ValueError)):
            detector.restore_from_dict({**good, key: "nonsense"})
    with pytest.raises(KeyError):
        detector.restore_from_dict({})


@pytest.mark.parametrize(
    "make",
    [
        lambda: CusumDetector(0.0, 0.0),
        lambda: CusumDetector(math.nan, 0.02),
        lambda: CusumDetector(0.0, 0.02, k=-1.0),
        lambda: CusumDetector.from_returns([0.01] * 60),
        lambda: RankShiftDetector([0.01] * 29),
        lambda: RankShiftDetector(normal(365, 1), budget=0.0),
        lambda: PageHinkleyDetector(lambda_=0.0),
    ],
)
def test_impossible_parameters_are_refused_at_once(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"must|few|needed"):
        make()
