"""Quick: Strategy: what each strategy earns and whether it trades, and how far its pod has fallen."""

from __future__ import annotations

from typing import Final

from otel_mcbot.provision import dashboard, orchestrator, page, strategy
from otel_mcbot.provision.grammar import Json
from otel_mcbot.provision.queries import POD, STRATEGY

UID: Final = "quick-strategy"


def build() -> Json:
    """The file ``quick-strategy.json``."""
    return dashboard.dashboard(
        UID,
        page.TITLES[UID],
        "What each strategy earns and whether it trades, and how far its pod has fallen.",
        [
            (8, [strategy.pnl(1), orchestrator.drawdown(5)]),
            (8, [strategy.sharpe(2), strategy.factor(3)]),
            (8, [strategy.signals(6), strategy.fills_per_signal(7)]),
            (8, [strategy.trades(4)]),
        ],
        variables=page.variables(STRATEGY, POD),
        annotations=page.marks(),
    )
