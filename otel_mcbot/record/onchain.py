"""Layer 9: on-chain data: fetches by source, and the cache."""

from __future__ import annotations

import time
from typing import Final

from otel_mcbot import catalog
from otel_mcbot.guard import Guard

_guard: Final = Guard("record.onchain")

SOURCES: Final = ("defillama", "sentiment", "coinmetrics", "btc_mining", "eth_supply")
STATUSES: Final = ("success", "failure", "empty")


class Onchain:
    """Takes the callbacks of the fetchers."""

    def start(self) -> None:
        """Let the counters exist at 0."""
        for source in SOURCES:
            for status in STATUSES:
                catalog.onchain_fetch.zero(source=source, status=status)
        for status in ("success", "failure"):
            catalog.onchain_cache_refresh.zero(status=status)

    @_guard
    def on_fetch(self, source: str, name: str, status: str, seconds: float, rows: int) -> None:
        """A fetch has ended.

        Args:
            source: one of :data:`SOURCES`.
            name: what was fetched.
            status: ``success``, ``failure`` or ``empty``.
            seconds: how long it took.
            rows: how many rows came; of a failure they do not count.
        """
        catalog.onchain_fetch.add(source=source, status=status)
        catalog.onchain_fetch_latency.record(seconds, source=source)
        if status != "failure":
            catalog.onchain_fetch_rows.set(rows, source=source, name=name)
        if status == "success":
            catalog.onchain_last_success_timestamp.set(time.time(), source=source)

    @_guard
    def on_cache_refresh(self, status: str) -> None:
        """One refresh of one fetcher: ``success`` or ``failure``."""
        catalog.onchain_cache_refresh.add(status=status)

    @_guard
    def on_cache_size(self, symbol: str, columns: int) -> None:
        """Columns that are cached for ``symbol``."""
        catalog.onchain_cache_size.set(columns, symbol=symbol)
