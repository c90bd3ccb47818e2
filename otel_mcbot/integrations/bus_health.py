"""An event bus' depth and counters, from its own metrics where it shows them, else as seen from outside.

The instruments carry no label, so several buses of one process are added up. Counters are sums of differences: a bus
that starts anew, or goes, never makes a total fall.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Iterable
from typing import Final

from otel_mcbot import catalog
from otel_mcbot.guard import Guard
from otel_mcbot.hub import Hub

from .bus_structure import counters_reader, depth_reader

_GUARD: Final = Guard("bus.health")


class Health:
    """What one bus did since it was attached.

    Attributes:
        published, dropped, errors: counted by the wrappers.
        waiting: published and not yet handed to a handler.
        measured: ``"bus metrics"`` or ``"from outside"``.
    """

    def __init__(self, bus: object) -> None:
        self.published = 0
        self.dropped = 0
        self.errors = 0
        self.waiting = 0
        self._peak = 0.0
        self._depth = depth_reader(bus)
        self._counters = counters_reader(bus)
        self._before = self._read()
        self._peak_before = self._before.get("max_queue_depth", 0.0)
        self._seen_drops = self._before.get("events_dropped", 0.0)
        self.measured = "bus metrics" if self._counters is not None else "from outside"
        with _lock:
            _buses.add(self)

    def depth(self) -> float:
        """Events in the queue now."""
        depth = self._depth() if self._depth is not None else None
        return float(self.waiting) if depth is None else depth

    def note_depth(self) -> None:
        """Keep the peak; called after each publication."""
        self._peak = max(self._peak, self.depth())

    def drop_seen(self) -> bool:
        """Whether the bus' own counter of drops grew since the last call."""
        if self._counters is None:
            return False
        drops = self._read().get("events_dropped", 0.0)
        grew, self._seen_drops = drops > self._seen_drops, drops
        return grew

    def take_peak(self) -> float:
        """The deepest queue since the last call. The bus' own maximum counts when it rose: then it happened since."""
        peak = max(self._peak, self.depth())
        highest = self._read().get("max_queue_depth", 0.0)
        if highest > self._peak_before:
            peak = max(peak, highest)
        self._peak_before = highest
        self._peak = 0.0
        return peak

    def take(self) -> tuple[float, float, float]:
        """Published, dropped, handler errors since the last call."""
        now = {
            "events_published": float(self.published),
            "events_dropped": float(self.dropped),
            "handler_errors": float(self.errors),
        } | self._read()
        before, self._before = self._before, now
        grown = []
        for name in ("events_published", "events_dropped", "handler_errors"):
            was = before.get(name, 0.0)
            grown.append(now[name] - was if now[name] >= was else now[name])  # fewer than before: it started anew
        return grown[0], grown[1], grown[2]

    def _read(self) -> dict[str, float]:
        with _GUARD:
            if self._counters is not None:
                return self._counters()
        return {}


_lock: Final = threading.Lock()
_buses: Final[weakref.WeakSet[Health]] = weakref.WeakSet()
_totals: list[float] = [0.0, 0.0, 0.0]
_joined: Hub | None = None

Readings = Iterable[tuple[float, dict[str, str]]]


def join(current: Hub | None) -> None:
    """Be read by the instruments of ``current``, once. Called where another hub may have come, with new instruments."""
    global _joined, _totals
    if current is _joined:
        return
    with _lock:
        if current is not None and current is not _joined:
            _totals = [0.0, 0.0, 0.0]
            catalog.eventbus_queue_depth.watch(_depths)
            catalog.eventbus_max_queue_depth.watch(_peaks)
            catalog.eventbus_events_published.watch(functools.partial(_total, 0))
            catalog.eventbus_events_dropped.watch(functools.partial(_total, 1))
            catalog.eventbus_handler_errors.watch(functools.partial(_total, 2))
        _joined = current


def forget(health: Health) -> None:
    """Stop reading a bus; what it counted stays in the totals."""
    with _lock:
        _count(health)
        _buses.discard(health)


def _depths() -> Readings:
    with _lock:
        depths = [health.depth() for health in _buses]
    return [(sum(depths), {})] if depths else []


def _peaks() -> Readings:
    with _lock:
        peaks = [health.take_peak() for health in _buses]
    return [(sum(peaks), {})] if peaks else []


def _total(index: int) -> Readings:
    with _lock:
        for health in list(_buses):
            _count(health)
        return [(_totals[index], {})]


def _count(health: Health) -> None:
    with _GUARD:
        for index, grown in enumerate(health.take()):
            _totals[index] += grown
