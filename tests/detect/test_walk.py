"""The exact laws against brute force, against published constants and against themselves."""

import math
from itertools import pairwise

import numpy as np
import pytest
from detect_mdd import PARAMETERS, depth_quantile, simulate

from otel_mcbot.detect import series, walk

# 95 % quantiles of maximum drawdown and longest stay under water, 4,000,000 simulated paths each, normal returns.
# Rows: mu, sigma; columns: 30, 90, 180, 252, 365, 730 days.
DAYS = (30, 90, 180, 252, 365, 730)
SIMPLE = {
    (0.0005, 0.02): "19617/30 31903/89 41793/178 47073/249 53104/361 64565/718",
    (0.001, 0.02): "18745/30 29757/89 38212/176 42564/244 47408/349 56246/660",
    (0.002, 0.03): "26255/30 39948/88 49566/174 54209/239 59127/337 67435/604",
    (0.0, 0.02): "20511/30 34120/90 45488/179 51695/251 58908/364 72749/728",
    (-0.0005, 0.02): "21427/30 36370/90 49208/180 56278/252 64487/365 79796/730",
    (0.001, 0.04): "36068/30 54916/90 67895/179 73978/250 80205/362 89754/724",
}
# Depths of log-normal returns, 1,000,000 paths each (``benchmarks/detect_mdd.py --paths 1000000``).
LOG = {
    (0.0005, 0.02): "19584 31842 41725 46993 53081 64523",
    (0.001, 0.02): "18704 29742 38184 42534 47403 56185",
    (0.002, 0.03): "26133 39915 49500 54179 59102 67418",
    (0, 0.02): "20461 34082 45465 51682 58887 72685",
    (-0.0005, 0.02): "21353 36316 49155 56217 64458 79765",
    (0.001, 0.04): "35845 54681 67706 73832 80112 89711",
}


def depth(mu: float, sigma: float, law: walk.Law, days: int, confidence: float = 0.95) -> float:
    step = walk.Step(mu, sigma, law)
    return -math.expm1(-step.scale * walk.mixture_quantile(confidence, [(1.0, step)], days))


def rows(table: dict[tuple[float, float], str]) -> list[tuple[float, float, int, float, int]]:
    out = []
    for (mu, sigma), text in table.items():
        for days, cell in zip(DAYS, text.split(), strict=True):
            digits, _, duration = cell.partition("/")
            out.append((mu, sigma, days, int(digits) / 1e5, int(duration or 0)))
    return out


def test_a1_depth_of_simple_returns_is_the_simulated_one() -> None:
    worst = max(abs(depth(mu, sigma, "simple", days) / found - 1.0) for mu, sigma, days, found, _ in rows(SIMPLE))
    assert worst < 0.001


def test_a1_the_log_law_is_within_its_bound_for_simple_returns_too() -> None:
    worst = max(abs(depth(mu, sigma, "log", days) / found - 1.0) for mu, sigma, days, found, _ in rows(SIMPLE))
    assert worst < 0.006


def test_a1_depth_of_log_normal_returns_is_the_simulated_one() -> None:
    worst = max(abs(depth(mu, sigma, "log", days) / found - 1.0) for mu, sigma, days, found, _ in rows(LOG))
    assert worst < 0.003


@pytest.mark.parametrize(("mu", "sigma"), PARAMETERS)
def test_a1_a3_log_normal_rows_by_simulation(mu: float, sigma: float) -> None:
    paths = 20_000
    durations = walk.DurationLaw([(1.0, walk.Step(mu, sigma, "log"))])
    for days, (depths, stays) in simulate(mu, sigma, "log", paths, seed=5).items():
        found, error = depth_quantile(depths)
        exact = depth(mu, sigma, "log", days)
        assert abs(exact - found) < 4.5 * error
        assert abs(exact / found - 1.0) < 0.025  # and not because the simulation is too coarse to tell
        limit = durations.limit(days)
        noise = 4.5 * math.sqrt(0.05 * 0.95 / paths)
        assert (stays <= limit).mean() > 0.95 - noise
        assert (stays <= limit - 1).mean() < 0.95 + noise


def test_a2_series_without_numpy() -> None:
    worst = worst_long = 0.0
    for mu, sigma, days, _, _ in rows(LOG):
        step = walk.Step(mu, sigma, "log")
        plain = -math.expm1(-step.scale * series.quantile(0.95, step.theta, days))
        error = abs(plain / depth(mu, sigma, "log", days) - 1.0)
        worst = max(worst, error)
        worst_long = max(worst_long, error if days >= 90 else 0.0)
    assert worst < 0.01
    assert worst_long < 0.003


def test_a3_duration_is_the_simulated_one_to_the_day() -> None:
    wrong = []
    for mu, sigma, days, _, duration in rows(SIMPLE):
        exact = walk.DurationLaw([(1.0, walk.Step(mu, sigma, "simple"))]).limit(days)
        if exact != duration:
            wrong.append((mu, sigma, days, duration, exact))
    assert len(wrong) <= 1
    assert all(abs(row[3] - row[4]) <= 1 for row in wrong)


def test_duration_day_by_day_equals_a_cold_start() -> None:
    daily = walk.DurationLaw([(1.0, walk.Step(0.001, 0.02, "log"))])
    limits = [daily.limit(n) for n in range(1, 301)]
    for n in (1, 2, 30, 31, 150, 300):
        assert limits[n - 1] == walk.DurationLaw([(1.0, walk.Step(0.001, 0.02, "log"))]).limit(n)
    assert daily.limit(40) == limits[39]  # asking for an earlier day again


@pytest.mark.parametrize("law", ["log", "simple"])
def test_a4_limits_are_monotone(law: walk.Law) -> None:
    days = [10, 30, 31, 100, 365, 1000, 2500]
    depths = [depth(0.001, 0.02, law, n) for n in days]
    assert depths == sorted(depths)
    assert depths[-1] < 1.0
    by_sigma = [depth(0.001, s, law, 200) for s in (0.001, 0.005, 0.02, 0.04, 0.08)]
    assert by_sigma == sorted(by_sigma)
    by_mu = [depth(m, 0.02, law, 200) for m in (-0.004, -0.001, 0.0, 0.001, 0.004)]
    assert by_mu == sorted(by_mu, reverse=True)
    durations = walk.DurationLaw([(1.0, walk.Step(0.001, 0.02, law))])
    assert all(durations.limit(n) <= n for n in range(1, 200))


def test_a4_no_step_back_where_the_matrix_gives_way_to_the_series() -> None:
    steps = [(1.0, walk.Step.gaussian(0.0))]
    depths = [walk.mixture_quantile(0.95, steps, n) for n in range(640, 860, 4)]
    assert depths[0] < walk._DEEP < depths[-1]
    assert all(b >= a * (1.0 - 1e-5) for a, b in pairwise(depths))


@pytest.mark.parametrize(
    ("h", "k", "arl", "error"), [(4.0, 0.5, 335.4, 0.2), (5.0, 0.5, 930.9, 0.5), (8.0, 0.25, 736.8, 0.5)]
)
def test_a5_run_length_of_a_cusum(h: float, k: float, arl: float, error: float) -> None:
    assert walk.average_run_length(h, k) == pytest.approx(arl, abs=error)
    # and the survival function adds up to it
    chances = [walk.survival(h, k, n) for n in range(3000)]
    total = sum(chances) + chances[-1] / (1.0 - chances[-1] / chances[-2])  # the tail is geometric
    assert total == pytest.approx(arl, abs=1.0)


def test_a5_stationary_drawdown_of_rej_seager_and_bouchaud() -> None:
    theta = 0.1
    under = walk.under_water(theta, 4000)
    reached = np.cumsum(under) / sum(under)
    length = int(np.argmax(reached >= 0.95))
    assert length == pytest.approx(2.14 / theta**2, rel=0.01)
    far = 90.0
    matrix = walk.Step.gaussian(theta).matrix(far)
    state = np.zeros(len(matrix))
    state[0] = 1.0
    for _ in range(3000):
        state = state @ matrix
    nodes = np.concatenate(([0.0], 0.5 * far * (np.polynomial.legendre.leggauss(len(state) - 1)[0] + 1.0)))
    deep = nodes[int(np.argmax(np.cumsum(state) >= 0.95))]
    assert deep == pytest.approx(math.log(20.0) / (2.0 * theta), rel=0.07)


@pytest.mark.parametrize("theta", [-1000.0, -5.0, -0.5, 0.0, 0.5, 3.0, 8.0, 1e6])
@pytest.mark.parametrize("days", [1, 30, 4000])
def test_extreme_drifts_have_a_limit(theta: float, days: int) -> None:
    h = walk.quantile(0.95, theta, days)
    assert 0.0 <= h < math.inf
    if theta <= -0.5 and days >= 30:
        assert h == pytest.approx(-theta * days + 1.645 * math.sqrt(days), rel=0.1)
    if theta >= 8.0:
        assert h < 0.1


def test_an_uncertain_mean_widens_the_limits() -> None:
    known = walk.mixture_quantile(0.95, walk.uncertain_mean(0.001, 0.02, "log", None), 365)
    year = walk.mixture_quantile(0.95, walk.uncertain_mean(0.001, 0.02, "log", 365), 365)
    longer = walk.mixture_quantile(0.95, walk.uncertain_mean(0.001, 0.02, "log", 1460), 365)
    assert known < longer < year
    coarse = walk.mixture_quantile(0.95, walk.uncertain_mean(0.001, 0.02, "log", 365, points=21), 365)
    assert year == pytest.approx(coarse, rel=0.002)


def test_without_numpy_the_limits_stay_close(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [(1.0, walk.Step(0.001, 0.02, "log"))]
    exact = walk.mixture_quantile(0.95, steps, 365)
    duration = walk.DurationLaw(steps).limit(365)
    walk._hermite.cache_clear()
    monkeypatch.setattr(walk, "_numpy_available", lambda: False)
    try:
        assert walk.mixture_quantile(0.95, steps, 365) == pytest.approx(exact, rel=0.005)
        plain = walk.DurationLaw(steps)
        assert isinstance(plain._ladders[0]._g, list)
        assert plain.limit(365) == duration
        assert walk.uncertain_mean(0.001, 0.02, "log", 365)[0][0] > 0.0
    finally:
        walk._hermite.cache_clear()
