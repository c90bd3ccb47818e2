"""ExecutionAnomalyDetector: the user's thresholds, per symbol and global, constant work a fill."""

import json
import math
import random
import time

import pytest
from detect_execution import rates

from otel_mcbot.detect import ExecutionAnomaly, ExecutionAnomalyDetector, ExecutionLimits, Severity


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def detector(clock: Clock) -> ExecutionAnomalyDetector:
    return ExecutionAnomalyDetector(clock=clock)


def kinds(anomalies: list[ExecutionAnomaly]) -> list[tuple[str, str | None]]:
    return [(a.anomaly_type, a.symbol) for a in anomalies]


def test_spike_is_three_times_the_average_before_it(detector: ExecutionAnomalyDetector) -> None:
    for _ in range(5):
        assert detector.on_fill(1.0) == []
    assert detector.on_fill(3.0) == []
    before = detector.average_latency()
    assert before == pytest.approx(1.2)
    [spike] = detector.on_fill(3.7)
    assert (spike.anomaly_type, spike.severity, spike.unit) == ("latency_spike", Severity.WARNING, "s")
    assert spike.threshold == pytest.approx(3.6)
    assert spike.current_value == 3.7
    assert "3.70 s" in spike.message


def test_spike_enters_the_average_at_the_limit(detector: ExecutionAnomalyDetector) -> None:
    for _ in range(10):
        detector.on_fill(1.0)
    detector.on_fill(1000.0)
    assert detector.average_latency() == pytest.approx(1.2)


def test_no_spike_before_five_fills(detector: ExecutionAnomalyDetector) -> None:
    for _ in range(4):
        detector.on_fill(1.0)
    assert detector.on_fill(50.0) == []
    assert kinds(detector.on_fill(5000.0)) == [("latency_spike", None)]


def test_rejections_in_a_row(detector: ExecutionAnomalyDetector) -> None:
    severities = [[a.severity.value for a in detector.on_rejection()] for _ in range(6)]
    assert severities == [[], [], ["WARNING"], ["WARNING"], ["CRITICAL"], ["CRITICAL"]]
    assert detector.consecutive_rejections() == 6
    detector.on_fill()
    assert detector.consecutive_rejections() == 0


def test_fill_rate_of_the_hour(detector: ExecutionAnomalyDetector, clock: Clock) -> None:
    for i in range(4):
        detector.on_order_request("BTC/USDT", str(i))
    assert detector.fill_rate() is None
    assert detector.check_fill_rate() == []
    detector.on_order_request("BTC/USDT", "4")
    for i in range(4):
        detector.on_fill(0.1, 0.0, "BTC/USDT", str(i))
        detector.on_fill(0.1, 0.0, "BTC/USDT", str(i))  # the second part of the same order
    assert detector.fill_rate() == pytest.approx(0.8)
    assert detector.check_fill_rate() == []
    detector.on_order_request("BTC/USDT", "5")
    low = detector.check_fill_rate()
    assert kinds(low) == [("low_fill_rate", None), ("low_fill_rate", "BTC/USDT")]
    assert low[0].current_value == pytest.approx(4 / 6)
    clock.now += 3601.0
    assert detector.fill_rate() is None


def test_no_fill_at_all_is_not_silence(detector: ExecutionAnomalyDetector) -> None:
    for i in range(5):
        detector.on_order_request("BTC/USDT", str(i))
    assert detector.fill_rate() == 0.0
    assert kinds(detector.check_fill_rate())[0] == ("low_fill_rate", None)


def test_an_order_announced_twice_is_one(detector: ExecutionAnomalyDetector) -> None:
    for i in range(5):
        detector.on_order_request("BTC/USDT", str(i))
        detector.on_order_request("BTC/USDT", str(i))
        detector.on_fill(0.1, 0.0, "BTC/USDT", str(i))
    assert detector.fill_rate() == 1.0


def test_without_ids_events_are_counted(detector: ExecutionAnomalyDetector) -> None:
    for i in range(10):
        detector.on_order_request("BTC/USDT")
        if i % 2:
            detector.on_fill(0.1, 0.0, "BTC/USDT")
    assert detector.fill_rate("BTC/USDT") == pytest.approx(0.5)


def test_grace_leaves_young_open_orders_out(clock: Clock) -> None:
    detector = ExecutionAnomalyDetector(ExecutionLimits(grace_s=30.0), clock)
    for i in range(5):
        detector.on_order_request("BTC/USDT", str(i))
        detector.on_fill(0.1, 0.0, "BTC/USDT", str(i))
    for i in range(5, 10):
        detector.on_order_request("BTC/USDT", str(i))
    assert detector.fill_rate() == 1.0
    detector.on_rejection("BTC/USDT", "9")
    assert detector.fill_rate() == pytest.approx(5 / 6)  # a rejected order waits for nothing
    clock.now += 31.0
    assert detector.fill_rate() == pytest.approx(0.5)


def test_slippage_three_increases_in_a_row(detector: ExecutionAnomalyDetector) -> None:
    found = [kinds(detector.on_fill(None, bps)) for bps in (5.0, 1.0, 2.0, 3.0, 4.0, 5.0, 5.0, 6.0)]
    trend = [("slippage_trend", None)]
    assert found == [[], [], [], [], trend, trend, [], []]


def test_symbols_are_judged_apart(detector: ExecutionAnomalyDetector) -> None:
    for _ in range(2):
        detector.on_rejection("BTC/USDT")
    detector.on_fill(0.1, 0.0, "ETH/USDT")
    assert kinds(detector.on_rejection("BTC/USDT")) == [("consecutive_rejections", "BTC/USDT")]
    assert detector.consecutive_rejections() == 1
    assert detector.consecutive_rejections("BTC/USDT") == 3
    assert "BTC/USDT" in detector.on_rejection("BTC/USDT")[0].message


@pytest.mark.parametrize(
    "junk", [math.nan, math.inf, -1.0, "fast", object(), True], ids=lambda junk: type(junk).__name__
)
def test_junk_is_counted_and_left_out(detector: ExecutionAnomalyDetector, junk: object) -> None:
    for _ in range(10):
        detector.on_fill(1.0, 1.0, "BTC/USDT")
    assert detector.on_fill(junk, math.nan, "BTC/USDT") == []
    assert detector.average_latency() == 1.0
    assert detector.ignored == 2
    detector.on_fill(1.0, 1.0, ["a", "list"], 17)  # type: ignore[arg-type]
    detector.on_order_request(object(), 3.5)  # type: ignore[arg-type]
    detector.on_rejection(None, object())  # type: ignore[arg-type]


def test_memory_is_bounded(clock: Clock) -> None:
    detector = ExecutionAnomalyDetector(clock=clock)
    for i in range(60_000):
        detector.on_order_request(f"S{i % 2000}", str(i))
    assert len(detector._symbols) == 500
    assert len(detector._all.orders) <= 20_001
    assert len(detector._all.open) <= 20_001


def test_a_fill_costs_the_same_in_a_busy_hour(clock: Clock) -> None:
    """A look through the hour's orders would take about 20 times as long at its end as at its beginning."""
    detector = ExecutionAnomalyDetector(clock=clock)

    def seconds(count: int) -> float:
        started = time.thread_time()
        for _ in range(count):
            clock.now += 0.01
            name = str(clock.now)
            detector.on_order_request("BTC/USDT", name)
            detector.on_fill(0.1, 1.0, "BTC/USDT", name)
        return (time.thread_time() - started) / count

    early = min(seconds(500) for _ in range(3))
    seconds(17_000)
    assert min(seconds(500) for _ in range(3)) < 8.0 * early


def test_a8_restored_detector_goes_on_with_an_empty_hour(clock: Clock) -> None:
    generator = random.Random(1)
    one, other = ExecutionAnomalyDetector(clock=clock), ExecutionAnomalyDetector(clock=clock)

    def event(d: ExecutionAnomalyDetector, kind: float, latency: float, bps: float) -> list[ExecutionAnomaly]:
        return d.on_rejection("A") if kind < 0.3 else d.on_fill(latency, bps, "A")

    def draw() -> tuple[float, float, float]:
        return generator.random(), generator.lognormvariate(0.0, 1.0), generator.gauss(0.0, 5.0)

    for _ in range(100):
        event(one, *draw())
    one.on_order_request("A", "1")
    other.restore_from_dict(json.loads(json.dumps(one.to_dict())))
    assert other.to_dict() == one.to_dict()
    seen = 0
    for _ in range(300):
        what = draw()
        first, second = event(one, *what), event(other, *what)
        assert first == second
        seen += len(first)
    assert seen > 20


def test_false_alarms_on_an_unchanging_market() -> None:
    user = rates(ExecutionLimits(), 20_000, spread=0.5)
    assert user["slippage_trend"] == pytest.approx(1 / 24, abs=0.006)
    assert user["latency_spike"] == pytest.approx(0.0091, abs=0.003)
    for spread in (0.25, 0.5, 0.75):
        for kind, rate in rates(ExecutionLimits.calibrated(), 20_000, spread=spread).items():
            assert rate < 0.002, (kind, spread)


def test_calibrated_still_sees_a_stuck_venue() -> None:
    detector = ExecutionAnomalyDetector(ExecutionLimits.calibrated())
    generator = random.Random(2)
    for _ in range(100):
        detector.on_fill(0.3 * generator.lognormvariate(0.0, 0.5))
    assert kinds(detector.on_fill(30.0)) == [("latency_spike", None)]
