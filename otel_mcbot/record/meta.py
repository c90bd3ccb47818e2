"""What the bot is, whether it is meant to run, and how its telemetry itself is doing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from otel_mcbot import catalog, instruments
from otel_mcbot.guard import Guard
from otel_mcbot.semconv import Outcome

if TYPE_CHECKING:
    from otel_mcbot.ledger import Ledger

    from . import RecorderSettings


class Meta:
    """Records the bot's identity and the telemetry's own losses."""

    def __init__(self, settings: RecorderSettings, ledger: Ledger) -> None:
        self._settings = settings
        self._ledger = ledger

    def start(self) -> None:
        settings = self._settings
        catalog.info.set_info(
            version=settings.version or "unknown",
            mode=settings.mode,
            exchange=settings.exchange or "unknown",
            strategy=",".join(settings.strategies) or "unknown",
        )
        catalog.trading_mode.set_state(settings.mode)
        catalog.expected_up.set(1)
        for outcome in Outcome:
            catalog.cycles.zero(outcome=outcome)
        catalog.cycles_unsampled.zero()
        catalog.telemetry_dropped.watch(self._dropped)
        catalog.telemetry_failures.watch(lambda: [(n, {"place": place}) for place, n in Guard.failures.copy().items()])

    def close(self) -> None:
        """The bot was stopped on purpose: its silence is meant."""
        catalog.expected_up.set(0)

    def _dropped(self) -> Iterable[tuple[float, dict[str, object]]]:
        for signal, counts in (("measurements", instruments.dropped), ("facts", self._ledger.dropped)):
            for reason, count in counts.copy().items():
                yield count, {"signal": signal, "reason": reason}
