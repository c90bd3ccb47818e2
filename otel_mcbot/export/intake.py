"""The exact count of what enters: admission before the SDK's bounded queue, so that the SDK never drops in silence."""

from __future__ import annotations

import threading


class Intake:
    """Counts the spans or log records that a batch processor is given, and refuses one when its queue has no room.

    The SDK's processor throws its oldest item away when its queue is full. Asking :meth:`admit` first, with ``limit``
    the processor's ``max_queue_size``, keeps that from happening: what is refused is counted here instead. An admitted
    item counts as queued until it is in the outbox' ring, so the SDK's queue never holds more than ``limit``.

    Thread-safe. The lock is re-entrant because a signal handler may log in the middle of :meth:`admit`.

    Args:
        limit: items that may wait between admission and the ring.
    """

    __slots__ = ("_lock", "_mute", "closed", "emitted", "limit", "queue_full", "queued", "shutdown")

    def __init__(self, limit: int) -> None:
        self._lock = threading.RLock()
        self._mute = False
        self.limit = limit
        self.closed = False
        self.emitted = 0
        """All that :meth:`admit` was asked for."""
        self.queued = 0
        """Admitted and not yet in the ring."""
        self.queue_full = 0
        """Refused because there was no room."""
        self.shutdown = 0
        """Refused because the outbox was closed, or still queued then."""

    def admit(self) -> bool:
        """Count one item; ``True`` means hand it to the SDK's processor now, ``False`` means forget it."""
        if self._mute:
            return False
        with self._lock:
            self.emitted += 1
            if self.closed:
                self.shutdown += 1
                return False
            if self.queued >= self.limit:
                self.queue_full += 1
                return False
            self.queued += 1
            return True

    def release(self, items: int) -> None:
        """``items`` of the admitted ones have left the SDK's queue (called by the outbox)."""
        with self._lock:
            self.queued -= items

    def close(self) -> None:
        """Admit no more; what is still queued counts as dropped at shutdown (called by the outbox)."""
        with self._lock:
            self.closed = True
            self.shutdown += self.queued
            self.queued = 0

    def mute(self) -> None:
        """Admit no more and count nothing (called by the outbox in a forked child, whose parent does the counting)."""
        self._mute = True
