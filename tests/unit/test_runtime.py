"""The process monitor: a real loop that hangs, stops, is cancelled and comes back."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator

import psutil
import pytest

from otel_mcbot import runtime
from otel_mcbot.record.process import ProcessSnapshot
from otel_mcbot.runtime import BEAT, ProcessMonitor, ProcessMonitorConfig, StallInfo

LIMIT = 0.5


class Recorder:
    def __init__(self) -> None:
        self.lag_source: Callable[[], float | None] | None = None
        self.seen: list[ProcessSnapshot] = []

    def update(self, snapshot: ProcessSnapshot) -> None:
        self.seen.append(snapshot)


class Bench:
    def __init__(self, **config: float) -> None:
        self.recorder = Recorder()
        self.stalls: list[StallInfo] = []
        settings = ProcessMonitorConfig(loop_lag=LIMIT, **{"interval": 0.5, **config})  # type: ignore[arg-type]
        self.monitor = ProcessMonitor(settings, self.recorder, self.stalls.append)
        self.monitor.start()

    def wait(self, what: Callable[[], object], seconds: float = 30.0) -> None:
        """Outside of a loop: until ``what`` holds."""
        deadline = time.monotonic() + seconds
        event = threading.Event()
        while not what():
            assert time.monotonic() < deadline, "waited in vain"
            event.wait(0.01)

    async def until(self, what: Callable[[], object], seconds: float = 30.0) -> None:
        """On a loop that goes on meanwhile: until ``what`` holds."""
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, "waited in vain"
            await asyncio.sleep(0.01)

    async def beating(self) -> None:
        self.monitor.ensure_beat()
        beat = self.monitor._beat
        assert beat is not None
        await self.until(lambda: beat.count > 0)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.monitor.stop()


def compute(done: Callable[[], object]) -> None:
    """What must never be on a loop: blocks until ``done``."""
    deadline = time.monotonic() + 30.0
    while not done() and time.monotonic() < deadline:
        time.sleep(0.005)


def test_the_configuration_is_the_references() -> None:
    config = ProcessMonitorConfig()
    assert (config.interval, config.loop_lag, config.rss, config.fds) == (10.0, 1.0, 2 * 1024**3, 1_000)
    assert (config.cpu, config.tasks, config.alert_cooldown) == (80.0, 200, 60.0)
    with pytest.raises(AttributeError):
        config.interval = 1.0  # type: ignore[misc]


def test_lag_grows_while_the_loop_hangs_and_names_the_frame(bench: Bench) -> None:
    lags: list[float] = []

    def seen_from_outside() -> bool:
        source = bench.recorder.lag_source
        assert source is not None
        lags.append(source() or 0.0)
        return bool(bench.stalls) and lags[-1] > 2 * LIMIT

    async def main() -> None:
        first = time.monotonic()
        await bench.beating()
        began = time.monotonic()
        compute(lambda: bench.stalls)
        compute(seen_from_outside)
        ended = time.monotonic()
        await bench.until(lambda: len(bench.stalls) == 2)
        assert ended - began - BEAT <= bench.stalls[1].seconds <= time.monotonic() - first - BEAT

    asyncio.run(main())
    assert lags == sorted(lags)
    begun, ended = bench.stalls
    assert not begun.ended
    assert ended.ended
    assert begun.seconds > LIMIT
    assert ended.seconds > 2 * LIMIT
    assert begun.frame is not None
    assert begun.frame.startswith("test_runtime.py:")
    assert begun.frame.endswith((" in compute", " in <lambda>"))
    assert "in compute" in begun.stack
    assert (ended.frame, ended.stack) == (begun.frame, begun.stack)


def test_a_stall_is_told_once_and_the_lag_stays_visible_for_a_collection(bench: Bench) -> None:
    async def main() -> None:
        await bench.beating()
        compute(lambda: bench.stalls and (bench.monitor.lag() or 0.0) > 3 * LIMIT)
        await bench.until(lambda: len(bench.stalls) == 2)
        assert (bench.monitor.lag() or 0.0) > 2 * LIMIT
        await bench.until(lambda: (bench.monitor.lag() or 1.0) < LIMIT)
        assert len(bench.stalls) == 2

    asyncio.run(main())


def test_the_name_is_that_of_the_bots_code_not_of_a_library(bench: Bench) -> None:
    async def main() -> None:
        await bench.beating()
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        answer.set_result(None)
        threading.Event().wait(4 * LIMIT)  # a blocking call of the standard library
        await bench.until(lambda: len(bench.stalls) == 2)

    asyncio.run(main())
    assert bench.stalls[0].frame is not None
    assert bench.stalls[0].frame.endswith(" in main")
    assert "threading.py" in bench.stalls[0].stack


def test_a_stack_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def deep(left: int) -> None:
        if left:
            deep(left - 1)
            return
        compute(lambda: bench.stalls)

    async def main() -> None:
        await bench.beating()
        deep(400)

    monkeypatch.setattr(runtime.traceback, "format_stack", lambda frame: [f"frame {i}\n" for i in range(5_000)])
    asyncio.run(main())
    assert len(bench.stalls[0].stack) == runtime.STACK_BYTES
    assert bench.stalls[0].stack.endswith("frame 4999\n")


def test_a_loop_that_ended_well_has_no_lag_and_no_stall(bench: Bench) -> None:
    asyncio.run(bench.beating())
    assert bench.monitor.lag() is None
    bench.wait(lambda: not bench.monitor._beating)
    bench.wait(lambda: bench.recorder.seen[-1].tasks is None)
    assert bench.stalls == []


def test_a_loop_that_stands_still_and_goes_on_was_not_stalled(bench: Bench) -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(bench.beating())
    beat = bench.monitor._beat
    assert beat is not None
    stopped = time.monotonic()
    bench.wait(lambda: beat.paused and time.monotonic() - stopped > 3 * LIMIT)
    assert bench.monitor.lag() is None
    before = beat.count
    loop.run_until_complete(bench.until(lambda: beat.count > before + 2))
    assert beat.worst < 2 * LIMIT  # it stood still for longer
    assert not [stall for stall in bench.stalls if stall.seconds > 2 * LIMIT]
    loop.close()


def test_the_next_loop_beats_too(bench: Bench) -> None:
    async def live() -> None:
        await bench.until(lambda: (bench.monitor.ensure_beat(), bench.monitor.lag() is not None)[1])
        await bench.beating()

    asyncio.run(live())
    first = bench.monitor._beat
    asyncio.run(live())
    assert bench.monitor._beat is not first


def test_without_a_loop_ensuring_does_nothing(bench: Bench) -> None:
    bench.monitor.ensure_beat()
    assert bench.monitor._beat is None
    assert bench.monitor.lag() is None


def test_the_beat_is_no_task_and_survives_the_cancelling_of_all(bench: Bench) -> None:
    async def main() -> None:
        await bench.beating()
        beat = bench.monitor._beat
        assert beat is not None
        assert asyncio.all_tasks() == {asyncio.current_task()}
        others = [asyncio.create_task(asyncio.Event().wait()) for _ in range(5)]
        await bench.until(lambda: bench.recorder.seen and bench.recorder.seen[-1].tasks == 6)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        before = beat.count
        await bench.until(lambda: beat.count > before)
        await bench.until(lambda: bench.recorder.seen[-1].tasks == 1)

    asyncio.run(main())


def test_closing_a_loop_leaves_nothing_pending(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="asyncio")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(bench.beating())
    loop.close()
    gc.collect()
    assert not [record for record in caplog.records if "Task" in record.getMessage()]


def test_the_callers_context_is_not_kept(bench: Bench) -> None:
    import contextvars

    class Kept:
        """Stands for a cycle that the caller was in."""

    variable: contextvars.ContextVar[Kept] = contextvars.ContextVar("variable")

    async def main() -> weakref.ref[Kept]:
        kept = Kept()
        variable.set(kept)
        await bench.beating()
        return weakref.ref(kept)

    loop = asyncio.new_event_loop()
    gone = loop.run_until_complete(loop.create_task(main(), context=contextvars.copy_context()))
    gc.collect()
    assert gone() is None
    loop.close()


def test_once_it_beats_ensuring_does_not_even_ask_for_the_loop(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    begin = bench.monitor._begin
    monkeypatch.setattr(bench.monitor, "_begin", lambda: (asked.append(None), begin()))

    async def main() -> None:
        await bench.beating()
        for _ in range(1_000):
            bench.monitor.ensure_beat()

    asyncio.run(main())
    assert len(asked) == 1


def test_the_process_is_read(bench: Bench) -> None:
    bench.wait(lambda: bench.recorder.seen and bench.recorder.seen[-1].cpu is not None)
    seen = bench.recorder.seen[-1]
    me = psutil.Process()
    assert seen.rss is not None
    assert abs(seen.rss - me.memory_info().rss) < 0.5 * me.memory_info().rss
    assert seen.rss_peak is not None
    assert seen.rss_peak >= seen.rss
    assert seen.fds is not None
    assert 0 < seen.fds < 10_000
    assert seen.threads is not None
    assert seen.threads >= 2
    assert bench.recorder.seen[0].cpu is None  # a difference without a beginning


def test_peak_is_in_bytes() -> None:
    peak = runtime._peak()
    assert 0.5 * psutil.Process().memory_info().rss < peak < 64 * 1024**3


def test_unreadable_descriptors_have_no_value_and_are_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def denied(self: psutil.Process) -> int:
        raise psutil.AccessDenied(self.pid)

    monkeypatch.setattr(psutil.Process, "num_fds", denied)
    monitor = ProcessMonitor(ProcessMonitorConfig(), Recorder())
    assert monitor.sample().fds is None
    assert monitor.sample().fds is None
    assert monitor.sample().rss is not None
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "file descriptors" in warnings[0].getMessage()


def test_a_callback_that_raises_does_not_end_the_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[StallInfo] = []

    def on_stall(stall: StallInfo) -> None:
        told.append(stall)
        raise RuntimeError("ours")

    monitor = ProcessMonitor(ProcessMonitorConfig(loop_lag=LIMIT, interval=0.5), Recorder(), on_stall)
    monitor.start()

    async def main() -> None:
        monitor.ensure_beat()
        compute(lambda: told)
        deadline = time.monotonic() + 30.0
        while len(told) < 2 and time.monotonic() < deadline:
            await asyncio.sleep(0.01)

    asyncio.run(main())
    monitor.stop()
    assert [stall.ended for stall in told] == [False, True]


def test_stopping_ends_the_beat() -> None:
    bench = Bench()

    async def main() -> None:
        await bench.beating()
        beat = bench.monitor._beat
        assert beat is not None
        bench.monitor.stop()
        bench.monitor.ensure_beat()
        assert bench.monitor._beat is None
        assert bench.monitor.lag() is None
        count = beat.count
        await asyncio.sleep(2 * BEAT)  # the timer that was set goes off in it
        assert beat.count == count

    asyncio.run(main())


def test_a_stall_that_nobody_could_see_is_told_when_it_is_over() -> None:
    bench = Bench()
    monitor = bench.monitor

    async def main() -> None:
        await bench.beating()
        beat = monitor._beat
        assert beat is not None

        def come_late() -> None:  # as after a call that kept the interpreter to itself: the thread saw nothing of it
            beat.due -= 3 * LIMIT
            beat.came(time.monotonic())

        assert monitor._worker is not None
        monitor._worker.submit(come_late).result(30)
        await bench.until(lambda: bench.stalls)

    asyncio.run(main())
    monitor.stop()
    (stall,) = bench.stalls
    assert stall.ended
    assert stall.frame is None
    assert stall.seconds >= 2 * LIMIT


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop is not for Windows")
def test_uvloop_beats_too(bench: Bench) -> None:
    import uvloop

    async def main() -> None:
        await bench.beating()
        compute(lambda: bench.stalls)
        await bench.until(lambda: len(bench.stalls) == 2)

    uvloop.run(main())
    assert bench.stalls[0].frame is not None
    bench.wait(lambda: bench.monitor.lag() is None)
