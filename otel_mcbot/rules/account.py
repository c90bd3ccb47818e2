"""Money: what the account has lost, owes and risks."""

from __future__ import annotations

from typing import Final

from otel_mcbot import catalog

from .rule import Rule, Severity, Unit

ACCOUNT: Final = (
    Rule(
        name="HighDrawdown",
        family="account",
        severity=Severity.WARNING,
        hold="1m",
        value=catalog.drawdown.prometheus_name,
        op=">",
        threshold=10,
        unit=Unit.PERCENT,
        text="The equity is {value} below its peak, more than {threshold}.",
        panel="trading/Drawdown",
    ),
    Rule(
        name="HighMarginUtilization",
        family="account",
        severity=Severity.WARNING,
        hold="2m",
        value=f"{catalog.margin_used.prometheus_name} / ({catalog.equity.prometheus_name} > 0)",
        op=">",
        threshold=0.8,
        unit=Unit.SHARE,
        text="{value} of the equity is in use as margin, more than {threshold}.",
        panel="trading/Leverage",
    ),
)
