"""The process and its event loop, watched from outside: a thread looks, and on the loop there is only a small beat.

The beat is a timer of the loop, four times a second. It is no task: nothing to count, to cancel or to leave pending,
and it keeps no loop alive. How late it comes is the loop's lag; while it does not come, how long it has been due is, so
a hung loop is seen while it hangs, with the line that it hangs in.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
import os
import resource
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import FrameType
from typing import TYPE_CHECKING, Final, Protocol

from otel_mcbot.guard import Guard
from otel_mcbot.record.process import ProcessSnapshot
from otel_mcbot.worker import Worker

if TYPE_CHECKING:
    import psutil

logger = logging.getLogger("otel_mcbot")

BEAT: Final = 0.25
"""Seconds between two beats, and between two looks at them."""
STACK_BYTES: Final = 16_384
"""Of a stack at most; the innermost frames are kept."""

_GUARD: Final = Guard("runtime")


@dataclass(frozen=True, slots=True)
class ProcessMonitorConfig:
    """How the process is watched, and from where on it is unwell.

    Attributes:
        interval: seconds between two readings of memory, CPU, descriptors, threads and tasks.
        loop_lag: seconds that the event loop may be late; beyond it is stalled.
        rss: bytes of resident memory.
        fds: open file descriptors.
        cpu: percent of one core.
        tasks: tasks of the event loop.
        alert_cooldown: seconds before the same alert may be said again.
    """

    interval: float = 10.0
    loop_lag: float = 1.0
    rss: int = 2 * 1024**3
    fds: int = 1_000
    cpu: float = 80.0
    tasks: int = 200
    alert_cooldown: float = 60.0


@dataclass(frozen=True, slots=True)
class StallInfo:
    """A stall of the event loop, told when it is noticed and again when it is over.

    Attributes:
        seconds: how long so far, or in all.
        ended: whether it is over.
        frame: the innermost line of the bot's own code, ``"bot.py:42 in compute"``; ``None`` where nobody could look,
            as when a C function kept the interpreter to itself until it was over.
        stack: the loop thread's stack as text, innermost last, at most :data:`STACK_BYTES`.
    """

    seconds: float
    ended: bool
    frame: str | None = None
    stack: str = ""


class Recorder(Protocol):
    """What takes the readings: ``recorders.process``."""

    lag_source: Callable[[], float | None] | None

    def update(self, snapshot: ProcessSnapshot) -> None: ...


class _Beat:
    """The beat of one loop. Written on the loop, read by the thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, now: float, config: ProcessMonitorConfig) -> None:
        self.loop = loop
        self.interval = config.interval
        self.limit = config.loop_lag
        self.thread = threading.get_ident()
        self.due = now + BEAT
        self.count = 0
        self.stalled = (0, 0.0)  # the last beat that came too late, and how late: other beats may follow before a look
        self.worst = 0.0
        self.worst_before = 0.0
        self.tasks: int | None = None
        self.paused = False
        self._turn = now + self.interval
        self._tasks_at = now

    def came(self, now: float) -> None:
        late = 0.0 if self.paused else max(0.0, now - self.due)
        self.paused = False
        self.thread = threading.get_ident()
        self.count += 1
        if late > self.limit:
            self.stalled = (self.count, late)
        if now >= self._turn:
            self.worst_before, self.worst = self.worst, 0.0
            self._turn = now + self.interval
        self.worst = max(self.worst, late)
        if now >= self._tasks_at:
            self._tasks_at = now + self.interval
            self.tasks = len(asyncio.all_tasks(self.loop))
        self.due = now + BEAT

    def runs(self) -> bool:
        return self.loop.is_running() and not self.loop.is_closed()


class ProcessMonitor:
    """Watches the process, and the event loop on which something of the bot's runs first.

    Args:
        config: intervals and limits.
        recorder: takes the readings.
        on_stall: told of each stall when it is noticed and when it is over; in the monitor's thread.
    """

    def __init__(
        self,
        config: ProcessMonitorConfig,
        recorder: Recorder,
        on_stall: Callable[[StallInfo], None] | None = None,
    ) -> None:
        self.config = config
        self._recorder = recorder
        self._on_stall = on_stall
        self._worker: Worker | None = None
        self._beat: _Beat | None = None
        self._beating = False
        self._stall: tuple[int, StallInfo] | None = None
        self._counted = 0
        self._lock = threading.Lock()
        self._snapshot = ProcessSnapshot()
        self._process: psutil.Process | None = None
        self._sample_at = 0.0
        self._told_fds = False

    def start(self) -> None:
        """Begin to look. Idempotent."""
        if self._worker is None:
            self._recorder.lag_source = self.lag
            self._worker = Worker("mcbot-process", self._look, BEAT)
            self._worker.submit(self.sample)

    def stop(self) -> None:
        """Look no more. The beat ends by itself. Idempotent."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop()
        with self._lock:
            self._beat = None
            self._beating = False

    # -- the loop ------------------------------------------------------------------------------------------------------

    def ensure_beat(self) -> None:
        """Let the running event loop beat, if there is one in this thread and none beats yet. Cheap: for hot paths."""
        if not self._beating and self._worker is not None:
            self._begin()

    def lag(self) -> float | None:
        """Seconds that the loop is late: the worst beat of the last ``interval`` (or two), or the age of the one due.

        ``None`` where no loop beats, also when it stopped or was closed in good order.
        """
        beat = self._beat
        if beat is None or beat.paused or not beat.runs():
            return None
        return max(beat.worst, beat.worst_before, time.monotonic() - beat.due)

    def _begin(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        with _GUARD, self._lock:
            before = self._beat
            if before is not None and before.loop is loop:
                return  # it beats again by itself: its timer is still there
            self._beat = beat = _Beat(loop, time.monotonic(), self.config)
            self._counted = 0
            self._beating = True
            self._again(beat)

    def _again(self, beat: _Beat) -> None:
        # an empty context: that of the caller would be kept alive for as long as the loop runs
        beat.loop.call_later(BEAT, self._on_beat, beat, context=contextvars.Context())

    def _on_beat(self, beat: _Beat) -> None:
        if self._beat is beat:  # else another loop took over, or this ended
            with _GUARD:
                beat.came(time.monotonic())
                self._beating = True
            self._again(beat)

    # -- the thread ----------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Judge the beat; read the process when that is due."""
        now, beat = time.monotonic(), self._beat
        if beat is not None:
            with _GUARD:
                self._judge(beat, now)
        if now >= self._sample_at:
            self.sample()
        elif self._snapshot.tasks != (tasks := beat.tasks if beat is not None else None):
            self._publish(replace(self._snapshot, tasks=tasks))

    def _judge(self, beat: _Beat, now: float) -> None:
        if not beat.runs():
            beat.paused = True
            beat.tasks = None
            self._beating = False
            self._end_stall(now - beat.due)
            return
        if beat.paused:  # it runs again: what was due while it stood still is not late
            beat.due, beat.paused = now, False
        (stalled, late), due, count = beat.stalled, beat.due, beat.count
        if self._stall is not None and count > self._stall[0]:
            self._end_stall(late)
        elif stalled > self._counted:
            self._tell(StallInfo(late, ended=True))  # over before anybody could look
        self._counted = count
        if self._stall is None and now - due > self.config.loop_lag:
            stall = StallInfo(now - due, False, *_where(beat.thread))
            if beat.count == count:  # it still hangs: the stack is that of the stall
                self._stall = (count, stall)
                self._tell(stall)

    def _end_stall(self, seconds: float) -> None:
        stall, self._stall = self._stall, None
        if stall is not None:
            self._tell(replace(stall[1], seconds=max(seconds, stall[1].seconds), ended=True))

    def _tell(self, stall: StallInfo) -> None:
        if self._on_stall is not None:
            with _GUARD:
                self._on_stall(stall)

    # -- the process ---------------------------------------------------------------------------------------------------

    def sample(self) -> ProcessSnapshot:
        """Read the process now, and give the recorder what was read."""
        beat, first = self._beat, self._process is None
        self._sample_at = time.monotonic() + (min(1.0, self.config.interval) if first else self.config.interval)
        with _GUARD:
            import psutil

            if self._process is None:
                self._process = psutil.Process()
            process = self._process
            with process.oneshot():
                cpu = process.cpu_percent()
                rss = process.memory_info().rss
                self._publish(
                    ProcessSnapshot(
                        lag=self.lag(),
                        tasks=beat.tasks if beat is not None else None,
                        rss=rss,
                        rss_peak=max(rss, _peak()),
                        cpu=None if first else cpu,  # it is a difference, and the first one has no beginning
                        fds=self._fds(process),
                        threads=process.num_threads(),
                    )
                )
        return self._snapshot

    def _publish(self, snapshot: ProcessSnapshot) -> None:
        self._snapshot = snapshot
        self._recorder.update(snapshot)

    def _fds(self, process: psutil.Process) -> int | None:
        try:
            return process.num_fds()
        except Exception as error:  # psutil's own errors, OSError, or a platform without them
            if not self._told_fds:
                self._told_fds = True
                logger.warning("open file descriptors cannot be read, there will be no value: %s", error)
            return None


def _peak() -> int:
    """Most resident memory so far, in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # KiB everywhere else


def _where(thread: int) -> tuple[str | None, str]:
    """The line that a thread is at, and its stack."""
    frame = sys._current_frames().get(thread)
    if frame is None:
        return None, ""
    stack = "".join(traceback.format_stack(frame))
    return _name(frame), stack[-STACK_BYTES:]


def _name(frame: FrameType) -> str:
    """The innermost line of the bot's own code; of any code where there is none."""
    own: FrameType | None = frame
    while own is not None and _is_library(own.f_code.co_filename):
        own = own.f_back
    found = own or frame
    return f"{os.path.basename(found.f_code.co_filename)}:{found.f_lineno} in {found.f_code.co_name}"


@functools.lru_cache(maxsize=1_024)
def _is_library(filename: str) -> bool:
    return filename.startswith(("<frozen", *_libraries()))


@functools.cache
def _libraries() -> tuple[str, ...]:
    return tuple({sysconfig.get_path(kind) + os.sep for kind in ("stdlib", "platstdlib", "purelib", "platlib")})
