"""Whether orders get through to the venue, as far as the bot can tell."""

from __future__ import annotations

import time

UNHEALTHY = 5
"""Orders in a row that were not answered, from which on none is sent."""

PROBE = 15.0
"""Seconds after which one is tried all the same."""


class ApiHealth:
    """Counts attempts to send an order that nobody answered."""

    def __init__(self) -> None:
        self.failures = 0
        self._failed_at = 0.0

    @property
    def blocked(self) -> bool:
        """Whether an order should not be sent now."""
        return self.failures >= UNHEALTHY and time.monotonic() - self._failed_at < PROBE

    def note(self, answered: bool) -> None:
        """An attempt has ended; a refusal is an answer."""
        self.failures = 0 if answered else self.failures + 1
        self._failed_at = time.monotonic()
