"""Layer 4: is the bot alive, and does it still hear the market?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from otel_mcbot import catalog, facts

HUNG: Final = 5.0
"""Seconds of loop lag from which on the heartbeat of our own stops."""

COMPONENTS: Final = ("EventBus", "LiveRunner", "Exchange")

Series = Iterable[tuple[float, dict[str, object]]]


class Health:
    """Records the bot's own state.

    Args:
        expect: symbol → timeframe that must arrive. The clocks run from the start: a symbol that never comes shows.
        lag: the event loop's lag in seconds, ``None`` where there is no loop.
    """

    def __init__(self, expect: Mapping[str, str], lag: Callable[[], float | None]) -> None:
        self._expect = expect
        self._lag = lag
        self._started = 0.0
        self._bars: dict[tuple[str, str], float] = {}
        self._last_bar: dict[str, float] = {}
        self._beaten = 0.0
        self._bot_beats = False
        self._silent_until: float | None = None

    def start(self) -> None:
        """Begin to count time; let the counters exist at 0."""
        self._started = time.monotonic()
        self._bars = dict.fromkeys(self._expect.items(), self._started)
        self._last_bar = dict.fromkeys(self._expect, self._started)
        catalog.uptime.watch(lambda: [(time.monotonic() - self._started, {})])
        catalog.last_bar_age.watch(self._last_bar_ages)
        catalog.bar_age.watch(self._bar_ages)
        catalog.maintenance.watch(lambda: [(float(time.time() < (self._silent_until or 0.0)), {})])
        catalog.circuit_breaker.zero()
        for level in ("WARNING", "CRITICAL"):
            catalog.risk_alerts.zero(level=level)
        for component in COMPONENTS:  # which exception it will be nobody knows; the sum by component exists
            catalog.errors.zero(component=component, error_type="Exception")
        for symbol, timeframe in self._expect.items():
            catalog.expected_symbol.set(1, symbol=symbol, timeframe=timeframe)
            catalog.bars.zero(timeframe=timeframe)
        self._beat(time.time())

    def record_bar(self, bar: facts.BarReceived) -> None:
        self._bars[bar.symbol, bar.timeframe] = bar.at
        self._last_bar[bar.symbol] = bar.at

    def record_heartbeat(self, heartbeat: facts.Heartbeat) -> None:
        self._bot_beats = True
        self._beat(heartbeat.time)

    def record_error(self, error: facts.ErrorOccurred) -> None:
        catalog.errors.add(component=error.component, error_type=error.error_type)

    def record_circuit_breaker(self) -> None:
        catalog.circuit_breaker.add()

    def record_risk_alert(self, alert: facts.RiskAlertRaised) -> None:
        level = (alert.level or "").upper()
        if level != "INFO":
            catalog.risk_alerts.add(level="CRITICAL" if level == "CRITICAL" else "WARNING")

    def record_maintenance(self, maintenance: facts.MaintenanceChanged) -> None:
        self._silent_until = maintenance.until

    def tick(self, now: float) -> None:
        """Beat for a bot that has no heartbeat of its own, once a second, unless its loop hangs."""
        if self._bot_beats or now - self._beaten < 1.0:
            return
        lag = self._lag()
        if lag is None or lag < HUNG:
            self._beaten = now
            self._beat(time.time())

    def _beat(self, at: float) -> None:
        catalog.heartbeat_timestamp.set(at)

    def _last_bar_ages(self) -> Series:
        now = time.monotonic()
        return [(max(0.0, now - at), {"symbol": symbol}) for symbol, at in self._last_bar.copy().items()]

    def _bar_ages(self) -> Series:
        now = time.monotonic()
        return [
            (max(0.0, now - at), {"symbol": symbol, "timeframe": timeframe})
            for (symbol, timeframe), at in self._bars.copy().items()
        ]
