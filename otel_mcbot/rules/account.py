"""Money: what the account has lost, owes and risks."""

from __future__ import annotations

from typing import Final

from otel_mcbot import catalog

from .promql import highest, increase
from .rule import Rule, Severity, Unit

ACCOUNT: Final = (
    Rule(
        name="HighDrawdown",
        family="account",
        severity=Severity.WARNING,
        hold="1m",
        value=highest(catalog.drawdown),
        op=">",
        threshold=10,
        unit=Unit.PERCENT,
        text="The equity is {value} below its peak, the limit is {threshold}.",
        panel="trading/Drawdown",
    ),
    Rule(
        name="HighMarginUtilization",
        family="account",
        severity=Severity.WARNING,
        hold="2m",
        value=f"{highest(catalog.margin_used)} / {highest(catalog.equity)} and {highest(catalog.equity)} > 0",
        op=">",
        threshold=0.8,
        unit=Unit.SHARE,
        text="{value} of the equity is in use as margin, the limit is {threshold}.",
        panel="trading/Leverage",
    ),
    Rule(
        name="HighAggregateLeverage",
        family="account",
        severity=Severity.CRITICAL,
        hold="1m",
        value=highest(catalog.aggregate_leverage),
        op=">",
        threshold=5,
        unit=Unit.TIMES,
        text="The positions are worth {value} the equity, the limit is {threshold}.",
        panel="trading/Leverage",
    ),
    Rule(
        name="CircuitBreakerTriggered",
        family="account",
        severity=Severity.CRITICAL,
        hold="0s",
        value=increase(catalog.circuit_breaker),
        op=">",
        threshold=0,
        unit=Unit.COUNT,
        text="The circuit breaker has tripped: see that all positions are closed.",
        panel="regime/Circuit breaker",
        parameters={"window": "5m"},
    ),
)
