"""The promise that telemetry never hurts the bot, in one object.

``guard`` is a context manager and a decorator: an exception of ours that would reach trading code is swallowed,
counted, and logged once per place; under ``strict`` (tests) it is raised. It knows nothing of OpenTelemetry: the count
is read by an observable instrument.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger("otel_mcbot")


class Guard:
    """Swallows, counts and logs once what goes wrong inside our own code.

    Args:
        place: a short name of what is guarded (``"record"``, ``"bus.publish"``); the key of the count.
    """

    __slots__ = ("place",)

    strict = False
    """Raise instead of swallowing. Set by ``testing.capture()`` and by ``configure(strict=True)``."""

    failures: Counter[str] = Counter()
    """How often each place failed."""

    _told: set[tuple[str, str]] = set()
    _lock = threading.Lock()

    def __init__(self, place: str) -> None:
        self.place = place

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> bool:
        if error is None or not isinstance(error, Exception):
            return False
        Guard.failures[self.place] += 1
        if Guard.strict:
            return False
        key = (self.place, type(error).__name__)
        with Guard._lock:
            first = key not in Guard._told
            Guard._told.add(key)
        if first:
            logger.warning("%s failed, the bot goes on (said once): %s: %s", self.place, key[1], error, exc_info=error)
        return True

    def __call__(self, function: Callable[P, R]) -> Callable[P, R | None]:
        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R | None:
            with self:
                return function(*args, **kwargs)
            return None

        return guarded

    @classmethod
    def forget(cls) -> None:
        """Start counting anew (tests, a forked child)."""
        cls.failures = Counter()
        cls._told = set()
        cls._lock = threading.Lock()
