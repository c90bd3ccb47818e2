"""What a signal may interrupt, and the thread that is there before it is needed."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, ModuleType

import pytest

import otel_mcbot as mcbot
from otel_mcbot.guard import Guard
from otel_mcbot.shutdown import Ending, Stop, is_safe
from otel_mcbot.testing import capture
from otel_mcbot.worker import Worker


@pytest.fixture
def keeper() -> Iterator[Worker]:
    worker = Worker("keeper", lambda: None, 60.0)
    yield worker
    worker.stop(30.0)


class Handler(logging.Handler):
    """Stands in for a signal that comes while a line is being logged."""

    safe: bool | None = None

    def emit(self, record: logging.LogRecord) -> None:
        self.safe = is_safe(sys._getframe())


def looked() -> bool:
    return is_safe(sys._getframe())


def called_from(module: str) -> Callable[[Callable[[], bool]], bool]:
    """A function that calls another one, as if it stood in ``module``."""
    made = ModuleType(module)
    exec("def call(function):\n    return function()", vars(made))
    call: Callable[[Callable[[], bool]], bool] = made.call
    return call


def test_the_bots_own_code_and_its_idle_loop_are_safe() -> None:
    assert looked()
    assert called_from("asyncio.runners")(looked)
    assert called_from("threading")(looked)
    assert is_safe(None)


@pytest.mark.parametrize("module", ["opentelemetry.sdk.trace", "otel_mcbot.hub", "loguru._logger", "logging"])
def test_under_code_that_locks_it_is_not_safe(module: str) -> None:
    assert not called_from(module)(looked)
    assert not called_from("bot.main")(lambda: called_from(module)(lambda: called_from("json")(looked)))


def test_a_real_line_of_logging_is_not_safe() -> None:
    handler = Handler()
    logger = logging.Logger("bot")
    logger.addHandler(handler)
    logger.warning("now")
    assert handler.safe is False


def test_under_a_stage_that_wraps_the_bots_code_it_is_safe() -> None:
    with capture():

        @mcbot.generate_signal(strategy="trend", symbol="BTC/USDT")
        def decide() -> bool:
            return looked()

        assert decide()
        with mcbot.trade_cycle(strategy="trend", symbol="BTC/USDT"):
            assert looked()
    assert not called_from("otel_mcbot.trace.stage")(lambda: called_from("opentelemetry.trace")(looked))


def test_inside_a_stages_own_code_it_is_not_safe() -> None:
    frames: list[FrameType] = []

    def trace(frame: FrameType, event: str, argument: object) -> None:
        if frame.f_globals.get("__name__") == "otel_mcbot.trace.stage":
            frames.append(frame)

    with capture():
        sys.setprofile(trace)
        try:
            with mcbot.trade_cycle(strategy="trend", symbol="BTC/USDT"):
                pass
        finally:
            sys.setprofile(None)
    assert frames
    assert not is_safe(frames[0])


def test_a_crash_is_noted_and_the_hooks_before_are_called(keeper: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    stops: list[Stop] = []
    monkeypatch.setattr(sys, "excepthook", lambda *args: seen.append(args[1]))
    monkeypatch.setattr(threading, "excepthook", lambda args: seen.append(args.exc_value))
    ending = Ending(stops.append, lambda error, main: seen.append((error, main)), keeper, 1.0)
    ending.install()
    error = ValueError("of the main thread")
    sys.excepthook(ValueError, error, None)
    assert seen == [(error, True), error]
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    assert isinstance(seen[-1], ZeroDivisionError)
    assert seen[-2] == (seen[-1], False)
    ending._at_exit()
    assert stops == [Stop("crash", graceful=False, error=error)]
    ending.remove()
    ending.remove()
    assert sys.excepthook.__name__ == "<lambda>"


def test_in_another_thread_signals_are_left_alone_and_it_is_said(
    keeper: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    ending = Ending(lambda stop: None, lambda error, main: None, keeper, 1.0)
    failed: list[BaseException] = []

    def install() -> None:
        try:
            ending.install()
            ending.remove()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=install)
    thread.start()
    thread.join()
    assert failed == []
    assert "not called in the main thread" in caplog.text


def test_the_worker_does_its_job_again_and_again_and_what_it_is_handed() -> None:
    ran = threading.Semaphore(0)
    worker = Worker("again", ran.release, 0.001)
    for _ in range(3):
        assert ran.acquire(timeout=30)
    assert worker.submit(lambda: worker.is_me).result(30) is True
    assert not worker.is_me
    with pytest.raises(ZeroDivisionError):
        worker.submit(lambda: 1 / 0).result(30)
    assert worker.submit(lambda: 7).result(30) == 7
    worker.stop(30.0)
    assert "again" not in {thread.name for thread in threading.enumerate()}


def test_a_job_that_fails_is_counted_and_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Guard, "strict", False)
    ran = threading.Semaphore(0)

    def fail() -> None:
        ran.release()
        raise OSError("every time")

    worker = Worker("failing job", fail, 0.001)
    for _ in range(3):
        assert ran.acquire(timeout=30)
    worker.stop(30.0)
    assert Guard.failures["failing job"] >= 2
    Guard.forget()


def test_the_job_is_not_starved_by_what_is_handed_in() -> None:
    ran = threading.Event()
    worker = Worker("busy", ran.set, 0.01)
    end = time.monotonic() + 30

    def more() -> None:
        if not ran.is_set() and time.monotonic() < end:
            worker.submit(more)

    more()
    assert ran.wait(30)
    worker.stop(30.0)
