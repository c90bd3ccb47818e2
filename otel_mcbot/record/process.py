"""Layer 7: the process, as its monitor last saw it. What could not be read has no value, never a false 0."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from otel_mcbot import catalog
from otel_mcbot.instruments import Gauge


@dataclass(frozen=True, slots=True)
class ProcessSnapshot:
    """One look at the process. ``None`` is what could not be read.

    ``lag`` seconds, ``rss`` and ``rss_peak`` bytes, ``cpu`` percent of one core.
    """

    lag: float | None = None
    tasks: int | None = None
    rss: int | None = None
    rss_peak: int | None = None
    cpu: float | None = None
    fds: int | None = None
    threads: int | None = None


_GAUGES: Final[tuple[tuple[Gauge, Callable[[ProcessSnapshot], float | None]], ...]] = (
    (catalog.active_tasks, lambda seen: seen.tasks),
    (catalog.process_memory_rss, lambda seen: seen.rss),
    (catalog.process_memory_rss_peak, lambda seen: seen.rss_peak),
    (catalog.process_cpu, lambda seen: seen.cpu),
    (catalog.process_open_fds, lambda seen: seen.fds),
    (catalog.process_thread_count, lambda seen: seen.threads),
)


class Process:
    """Holds the last snapshot; the gauges read it at collection.

    Attributes:
        lag_source: asked for the loop's lag at each collection, so that a hung loop is seen while it hangs. ``None``:
            the snapshot's lag counts.
    """

    def __init__(self) -> None:
        self.lag_source: Callable[[], float | None] | None = None
        self._seen = ProcessSnapshot()

    def start(self) -> None:
        catalog.event_loop_lag.watch(lambda: [(self.lag(), {})])
        for gauge, read in _GAUGES:
            gauge.watch(lambda read=read: [(read(self._seen), {})])  # type: ignore[misc]
        catalog.process_gc_collections.watch(_collections)

    def update(self, snapshot: ProcessSnapshot) -> None:
        """What the monitor sees now."""
        self._seen = snapshot

    def lag(self) -> float | None:
        """Seconds that the loop is late; ``None`` where there is no loop."""
        return self.lag_source() if self.lag_source is not None else self._seen.lag


def _collections() -> Iterable[tuple[float, dict[str, object]]]:
    # Asked, not counted in gc.callbacks: recording there can deadlock with the SDK's own locks.
    return [(stats["collections"], {"generation": str(generation)}) for generation, stats in enumerate(gc.get_stats())]
