"""The demo's days: what a pod earned on each goes to the detectors, once the day is over."""

from __future__ import annotations

import random
import uuid
from datetime import UTC, datetime, timedelta

import otel_mcbot as mcbot
from otel_mcbot.demo.bus import EventBus
from otel_mcbot.demo.days import Days
from otel_mcbot.demo.events import BarEvent
from otel_mcbot.demo.pods import PodBook
from otel_mcbot.demo.portfolio import Pod
from otel_mcbot.testing import capture

POD = Pod("pod-a", "a", 1000.0, "market")
START = datetime(2024, 1, 1, tzinfo=UTC)


def bar(time: datetime) -> BarEvent:
    return BarEvent(source="feed", correlation_id=uuid.uuid4(), symbol="BTC/USDT", timeframe="1m", open=1.0, high=1.0,
                    low=1.0, close=1.0, volume=1.0, bar_timestamp=time)  # fmt: skip


class Book:
    """A portfolio of which only the profit is asked."""

    def __init__(self) -> None:
        self.profit = 0.0

    def pnl(self, strategy: str) -> float:
        assert strategy == "a"
        return self.profit

    def exposure(self, strategy: str) -> dict[str, float]:
        return {}


async def live(days: Days, book: Book, gains: list[float], *, first: int = 0, bars: int = 3) -> None:
    """A day a gain, ended by the first bar of the next one."""
    for number, gain in enumerate(gains, first):
        for part in range(bars):
            book.profit += gain / bars
            await days.on_bar(bar(START + timedelta(days=number, hours=part)))
    await days.on_bar(bar(START + timedelta(days=first + len(gains))))
    await days.settled()


async def test_a_days_return_is_its_gain_over_the_capital() -> None:
    with capture():
        telemetry, book = mcbot.configure(), Book()
        days = Days(EventBus(), book, [POD], telemetry)  # type: ignore[arg-type]
        await live(days, book, [10.0, -20.0, 0.0])
        pod = telemetry.detectors.bank.pod("pod-a")
        assert pod is not None
        assert pod.last_day == "2024-01-03"
        assert pod.decay is not None
        returns = pod.decay.to_dict()["daily_returns"]
        assert [round(r, 12) for r in returns] == [0.01, -0.02, 0.0]


async def test_the_first_days_are_the_backtest_and_a_decay_is_in_the_pods_state() -> None:
    generator = random.Random(1)
    with capture(detectors="calibrated", detector_driver="rank") as seen:
        telemetry, book = mcbot.configure(), Book()
        days = Days(EventBus(), book, [POD], telemetry, backtest=60)  # type: ignore[arg-type]
        pods = PodBook(book, [POD], telemetry.detectors.lifecycle)  # type: ignore[arg-type]
        await live(days, book, [generator.gauss(1.0, 10.0) for _ in range(60)])
        pod = telemetry.detectors.bank.pod("pod-a")
        assert pod is not None
        assert (len(pod.reference), pod.last_day) == (60, None)
        assert pods.snapshot()["states"] == {"pod-a": "incubation"}
        await live(days, book, [-20.0] * 60, first=61)
        assert telemetry.detectors.status("pod-a") is not None
        (state,) = pods.snapshot()["states"].values()
        assert state in ("warning", "probation", "retired")
        assert seen.events("mcbot.anomaly")


async def test_a_demo_begins_anew() -> None:
    with capture():
        telemetry, book = mcbot.configure(), Book()
        await live(Days(EventBus(), book, [POD], telemetry), book, [1.0] * 5)  # type: ignore[arg-type]
        Days(EventBus(), book, [POD], telemetry)  # type: ignore[arg-type]
        assert telemetry.detectors.bank.pods == ()
