"""What waits to be sent: encoded requests, oldest first, bounded in bytes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

OVERHEAD: Final = 256
"""Bytes that a payload costs beside its body, so that a ring of many tiny payloads keeps its bound too."""


@dataclass(slots=True, eq=False)
class Payload:
    """One encoded export request.

    Attributes:
        body: the request as it goes over the wire (for HTTP: compressed, if so configured).
        items: spans or log records in it; 1 for metrics, which are counted by request.
        on_disk: already written as a JSON line, so losing it from the ring loses nothing.
    """

    body: bytes
    items: int
    on_disk: bool = False

    @property
    def size(self) -> int:
        """Bytes that the ring counts for it."""
        return len(self.body) + OVERHEAD


class Ring:
    """A first-in-first-out queue of payloads that never holds more than ``capacity`` bytes: the oldest goes first.

    Payloads that are on disk are older than those that wait to be written, hence two queues. A payload in flight is
    taken out of the ring, so it cannot be thrown away while it is being delivered; memory is bounded by the capacity
    plus that one payload. Not thread-safe: its owner holds a lock.

    Args:
        capacity: bytes.
    """

    __slots__ = ("_kept", "_waiting", "bytes", "capacity")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.bytes = 0
        self._kept: deque[Payload] = deque()
        self._waiting: deque[Payload] = deque()

    def __len__(self) -> int:
        return len(self._kept) + len(self._waiting)

    @property
    def waiting(self) -> int:
        """Payloads that are nowhere but here."""
        return len(self._waiting)

    @property
    def items(self) -> int:
        """Items of the payloads that are nowhere but here."""
        return sum(payload.items for payload in self._waiting)

    def put(self, payload: Payload) -> int:
        """Append ``payload``. Returns how many items were lost to make room; too large for the ring, its own."""
        if payload.size > self.capacity:
            return payload.items
        self._waiting.append(payload)
        return self._shrink(payload.size)

    def take(self) -> Payload:
        """Remove and return the oldest payload.

        Raises:
            IndexError: there is none.
        """
        return self._pop(self._kept or self._waiting)

    def take_waiting(self) -> Payload:
        """Remove and return the oldest payload that is not on disk.

        Raises:
            IndexError: there is none.
        """
        return self._pop(self._waiting)

    def put_back(self, payload: Payload) -> int:
        """Put what :meth:`take` or :meth:`take_waiting` gave back where it was. Returns items lost."""
        (self._kept if payload.on_disk else self._waiting).appendleft(payload)
        return self._shrink(payload.size)

    def keep(self, payload: Payload) -> None:
        """Keep a payload of :meth:`take_waiting` that is on disk now, as long as there is room."""
        payload.on_disk = True
        self._kept.append(payload)
        self._shrink(payload.size)  # loses only what is on disk, since that goes first

    def clear(self) -> int:
        """Forget everything. Returns the items that were nowhere but here."""
        lost = self.items
        self._kept.clear()
        self._waiting.clear()
        self.bytes = 0
        return lost

    def _pop(self, queue: deque[Payload]) -> Payload:
        payload = queue.popleft()
        self.bytes -= payload.size
        return payload

    def _shrink(self, added: int) -> int:
        self.bytes += added
        lost = 0
        while self.bytes > self.capacity:
            oldest = self.take()
            if not oldest.on_disk:
                lost += oldest.items
        return lost
