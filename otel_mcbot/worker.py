"""A daemon thread that is there before it is needed: it does one thing again and again, and what it is handed between.

Started with telemetry, because no thread can be started any more when the interpreter ends (Python 3.12 and newer).
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from otel_mcbot.guard import Guard

R = TypeVar("R")


class Worker:
    """A named daemon thread.

    Args:
        name: of the thread, for whoever lists them.
        job: what is done again and again; its exceptions are swallowed and counted.
        every: seconds between two runs of ``job``.
    """

    def __init__(self, name: str, job: Callable[[], object], every: float) -> None:
        self._job = job
        self._every = every
        self._guard = Guard(name)
        # reentrant: a signal handler or a GC callback may interrupt a put() with another one
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def is_me(self) -> bool:
        """Whether the caller runs in this thread."""
        return threading.current_thread() is self._thread

    def submit(self, function: Callable[[], R]) -> Future[R]:
        """Have ``function`` done soon. The future never completes once the worker was stopped."""
        future: Future[R] = Future()

        def run() -> None:
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        self._queue.put(run)
        return future

    def stop(self, timeout: float = 0.0) -> None:
        """End after what was handed in already; wait for that up to ``timeout`` seconds."""
        self._queue.put(None)
        if timeout > 0 and not self.is_me:
            self._thread.join(timeout)

    def _run(self) -> None:
        due = time.monotonic() + self._every
        while True:
            if time.monotonic() >= due:
                due = time.monotonic() + self._every
                with self._guard:
                    self._job()
            try:
                handed = self._queue.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                continue
            if handed is None:
                return
            handed()
