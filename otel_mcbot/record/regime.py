"""The market's regime: funding, open interest, score."""

from __future__ import annotations

from typing import Final

from otel_mcbot import catalog
from otel_mcbot.guard import Guard

_guard: Final = Guard("record.regime")


class Regime:
    """Takes the callbacks of whoever watches the derivatives market."""

    @_guard
    def on_funding_rate(self, symbol: str, rate: float) -> None:
        """Funding rate as a fraction, 0.0001 is 0.01 %."""
        catalog.funding_rate.set(rate, symbol=symbol)

    @_guard
    def on_open_interest(self, symbol: str, usdt: float) -> None:
        """Open interest in USDT."""
        catalog.open_interest.set(usdt, symbol=symbol)

    @_guard
    def on_regime_score(self, score: float) -> None:
        """The bot's own score of the regime."""
        catalog.regime_score.set(score)
