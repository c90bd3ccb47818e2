"""At most one line a minute: trouble that lasts is said, not repeated."""

from __future__ import annotations

import logging
import time


class OnceAMinute(logging.Filter):
    """Lets one record through in ``seconds``; also a plain question, ``allows()``."""

    def __init__(self, seconds: float = 60.0) -> None:
        super().__init__()
        self._seconds = seconds
        self._next = float("-inf")

    def allows(self) -> bool:
        """Whether now is the time to speak; a yes starts the next silence."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True

    def filter(self, record: logging.LogRecord) -> bool:
        return self.allows()
