"""How a process ends, and that its last words get out.

==================================  ====================================================================================
end                                 what happens
==================================  ====================================================================================
the script's end, ``sys.exit``      ``close`` at exit
an exception, also a thread's       noted as the reason, the bot's own hook is called, ``close`` at exit
SIGTERM, nobody handles it          ``close``, then death by the signal, as it would have been without us
SIGTERM, the bot handles it         noted as the reason, the bot's handler is called, ``close`` at exit
SIGINT                              Python's own: ``KeyboardInterrupt``, ``close`` at exit
SIGKILL, ``os._exit``, power        nothing can be done; what is older than a second or two is out already
==================================  ====================================================================================

A signal handler runs between two instructions of the main thread, which may hold a lock that ``close`` needs: to wait
there for ``close`` would be a deadlock. So the handler looks at the stack it interrupted. Where nobody stands in code
that locks (an idle event loop always is such a place), it stays there until ``close`` is done, and nothing is emitted
between the last export and death. Where somebody does, it lets go, and the keeper's thread sends the signal again a
millisecond later.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Final

from otel_mcbot.guard import Guard
from otel_mcbot.worker import Worker

logger = logging.getLogger("otel_mcbot")

SIGNALS: Final = {"SIGTERM": True, "SIGINT": True, "SIGHUP": False}
"""Signals that end a process, and whether somebody meant it to end (a terminal that went away is an accident)."""

LOCKING: Final = frozenset({"opentelemetry", "otel_mcbot", "loguru", "logging"})
"""Packages whose locks ``close`` takes, too."""

WRAPPING: Final = ("otel_mcbot.trace.", "otel_mcbot.integrations.")
"""Modules of ours that call the bot's code, and hold no lock meanwhile."""

SEARCH: Final = 0.5
"""Seconds to look for a safe place; then ``close`` goes on beside the running main thread."""


@dataclass(frozen=True)
class Stop:
    """Why the process ends.

    Attributes:
        reason: ``exit``, ``crash``, ``SIGTERM`` …, or the text given to ``close()``.
        graceful: somebody meant it to end; otherwise the bot counts as missing.
        error: the exception it died of.
    """

    reason: str
    graceful: bool = True
    error: BaseException | None = None


class Ending:
    """Watches for the end of the process.

    Args:
        close: called with the reason; idempotent, takes at most about ``timeout`` seconds.
        crashed: called at an uncaught exception, with ``True`` when it was the main thread's.
        keeper: the thread that calls ``close`` when a signal ends the process.
        timeout: seconds that ``close`` may take.
    """

    def __init__(
        self,
        close: Callable[[Stop], object],
        crashed: Callable[[BaseException, bool], object],
        keeper: Worker,
        timeout: float,
    ) -> None:
        self._close = close
        self._crashed = crashed
        self._keeper = keeper
        self._timeout = timeout
        self._pid = os.getpid()
        self._stop: Stop | None = None
        self._before: dict[int, Any] = {}
        self._searching = False
        self._closing = False
        self._closed = threading.Event()

    # -- setting up ------------------------------------------------------------------------------------------------

    def install(self) -> None:
        """Register all hooks; signals only from the main thread (elsewhere Python forbids it)."""
        atexit.register(self._at_exit)
        self._except_hook, sys.excepthook = sys.excepthook, self._on_exception
        self._thread_hook, threading.excepthook = threading.excepthook, self._on_thread_exception
        if threading.current_thread() is not threading.main_thread():
            logger.warning("configure() was not called in the main thread: SIGTERM will end this without a last export")
            return
        for name in SIGNALS:
            number = getattr(signal, name, None)
            if number is None:
                continue
            before = signal.getsignal(number)
            if isinstance(owner := getattr(before, "__self__", None), Ending):
                before = owner._before.get(number)  # the parent's, in a forked child
            if before is signal.SIG_DFL or (callable(before) and before is not signal.default_int_handler):
                with contextlib.suppress(ValueError, OSError):  # no main interpreter
                    signal.signal(number, self._on_signal)
                    self._before[number] = before

    def remove(self) -> None:
        """Take back what is still ours. A signal that comes now ends the process at once."""
        self._closed.set()
        atexit.unregister(self._at_exit)
        if sys.excepthook == self._on_exception:
            sys.excepthook = self._except_hook
        if threading.excepthook == self._on_thread_exception:
            threading.excepthook = self._thread_hook
        for number, before in self._before.items():
            with contextlib.suppress(ValueError, OSError):  # not the main thread: the handler passes on instead
                if signal.getsignal(number) == self._on_signal:
                    signal.signal(number, before)

    # -- the end ---------------------------------------------------------------------------------------------------

    def _at_exit(self) -> None:
        if os.getpid() == self._pid:
            self._run_close()

    def _run_close(self) -> None:
        with Guard("close"):
            self._close(self._stop or Stop("exit"))
        self._closed.set()

    def _on_exception(self, kind: type[BaseException], error: BaseException, tb: TracebackType | None) -> None:
        if isinstance(error, KeyboardInterrupt):
            self._stop = self._stop or Stop("SIGINT")
        else:
            self._note_crash(error, main=True)
        self._except_hook(kind, error, tb)

    def _on_thread_exception(self, args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            self._note_crash(args.exc_value, main=False)
        self._thread_hook(args)

    def _note_crash(self, error: BaseException, *, main: bool) -> None:
        if os.getpid() != self._pid or self._closed.is_set():
            return
        # after a signal the bot may fall over its own feet: it was still told to end
        self._stop = self._stop or Stop("crash", graceful=False, error=error)
        with Guard("crash"):
            self._crashed(error, main)

    # -- signals ---------------------------------------------------------------------------------------------------

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        before = self._before.get(number)
        if callable(before):
            self._note(number)
            before(number, frame)
        elif os.getpid() != self._pid or self._closed.is_set():
            die(number)
        elif self._closing:
            return  # again while we wait below, or while the keeper closes
        else:
            self._note(number)
            if is_safe(frame):
                self._closing = True
                self._keeper.submit(self._run_close)
                self._closed.wait(self._timeout + SEARCH)
                die(number)
            elif not self._searching:
                self._searching = True
                self._keeper.submit(lambda: self._search(number))

    def _note(self, number: int) -> None:
        name = signal.Signals(number).name
        self._stop = Stop(name, graceful=SIGNALS[name])

    def _search(self, number: int) -> None:
        """In the keeper's thread: knock until the main thread stands where it can wait, then leave ``close`` to it."""
        end = time.monotonic() + SEARCH
        while time.monotonic() < end:
            time.sleep(0.001)
            signal.pthread_kill(threading.main_thread().ident or 0, number)
            if self._closing:
                return
        self._closing = True
        self._run_close()
        signal.pthread_kill(threading.main_thread().ident or 0, number)


def die(number: int) -> None:
    """End this process by the signal, as if nobody had handled it."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    time.sleep(0.2)
    # Still here: as process 1 of a container, where the kernel ignores a signal that nobody handles.
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(128 + number)


def is_safe(frame: FrameType | None) -> bool:
    """Whether the main thread may be held where ``frame`` is: nobody on its stack may hold a lock that is needed."""
    inside = True  # whether the code one call deeper may lock
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        locking = module.partition(".")[0] in LOCKING
        if locking and (inside or not module.startswith(WRAPPING)):
            return False
        inside = locking
        frame = frame.f_back
    return True
