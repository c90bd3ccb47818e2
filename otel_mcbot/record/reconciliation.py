"""Reconciliation: does the venue hold what the bot believes?"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final

from otel_mcbot import catalog
from otel_mcbot.guard import Guard

_guard: Final = Guard("record.reconciliation")

STATUSES: Final = ("ok", "drift", "failure")


class Reconciliation:
    """Takes the result of each check."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._symbols: frozenset[str] = frozenset()

    def start(self) -> None:
        """Let the counters exist at 0."""
        for status in STATUSES:
            catalog.reconciliation_checks.zero(status=status)

    @_guard
    def on_check(
        self, status: str, position_drifts: Mapping[str, float] | None = None, balance_drift: float | None = None
    ) -> None:
        """A check has ended.

        Args:
            status: ``ok``, ``drift`` or ``failure``; after a failure the last state is kept.
            position_drifts: symbol → ``|expected - actual| / |expected|``, 1 for an orphan. A symbol that is missing
                now is held by nobody any more.
            balance_drift: fraction.
        """
        catalog.reconciliation_checks.add(status=status)
        if status == "failure":
            return
        if position_drifts is not None:
            with self._lock:
                gone, self._symbols = self._symbols - set(position_drifts), frozenset(position_drifts)
            for symbol, drift in position_drifts.items():
                catalog.reconciliation_position_drift_ratio.set(drift, symbol=symbol)
            for symbol in gone:
                catalog.reconciliation_position_drift_ratio.remove(symbol=symbol)
        if balance_drift is not None:
            catalog.reconciliation_balance_drift_ratio.set(balance_drift)
