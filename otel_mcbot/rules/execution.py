"""Orders: what they cost, what becomes of them, and where one of them is stuck."""

from __future__ import annotations

from typing import Final

from otel_mcbot import catalog

from .promql import by, highest, increase, judged, lowest, percentile
from .rule import Rule, Severity, Unit

_OLDEST: Final = catalog.oldest_order.prometheus_name
_LOST: Final = catalog.orders_lost.prometheus_name

EXECUTION: Final = (
    Rule(
        name="HighSlippage",
        family="execution",
        severity=Severity.WARNING,
        hold="5m",
        value=judged(percentile(0.95, catalog.slippage, "symbol", "side"), catalog.slippage, "symbol", "side"),
        op=">",
        threshold=20,
        unit=Unit.BPS,
        text="95 % of the {side} fills of {symbol} were better than {value}, the limit is {threshold}.",
        labels=("symbol", "side"),
        panel="trading/Slippage (95 % of the fills are better)",
        parameters={"window": "15m", "least": 5},
        deviation="Judged from 5 fills on: of a single fill the 95th percentile is that fill.",
    ),
    Rule(
        name="ExecutionLowFillRate",
        family="execution",
        severity=Severity.WARNING,
        hold="5m",
        value=lowest(catalog.execution_fill_rate),
        op="<",
        threshold=0.8,
        unit=Unit.SHARE,
        text="Only {value} of the last hour's orders filled, it should be {threshold} at least.",
        panel="execution/Fill rate",
        deviation=(
            "Also at exactly 0, when nothing fills at all. `> 0` was there for a bot without orders: "
            "of such a bot there is no series."
        ),
    ),
    Rule(
        name="ExecutionConsecutiveRejections",
        family="execution",
        severity=Severity.CRITICAL,
        hold="0s",
        value=highest(catalog.execution_consecutive_rejections),
        op=">=",
        threshold=5,
        unit=Unit.COUNT,
        text="{value} orders in a row were rejected, the limit is {threshold}.",
        panel="execution/Rejections in a row",
    ),
    Rule(
        name="LiveAPIBlocked",
        family="execution",
        severity=Severity.CRITICAL,
        hold="0s",
        value=increase(catalog.live_api_blocked, "symbol"),
        op=">",
        threshold=0,
        unit=Unit.COUNT,
        text="Orders of {symbol} are not sent, {value} in {window}: the API counts as unhealthy.",
        labels=("symbol",),
        panel="execution/API blocked",
        parameters={"window": "5m"},
    ),
    Rule(
        name="LiveFillParseFailure",
        family="execution",
        severity=Severity.WARNING,
        hold="0s",
        value=increase(catalog.live_fill_parse_failure, "symbol"),
        op=">",
        threshold=0,
        unit=Unit.COUNT,
        text="Fills of {symbol} could not be read, {value} in {window}: its position may not be what the bot thinks.",
        labels=("symbol",),
        panel="execution/Unreadable fills",
        parameters={"window": "5m"},
    ),
    Rule(
        name="LiveFrequentMinNotionalSkip",
        family="execution",
        severity=Severity.INFO,
        hold="0s",
        value=increase(catalog.live_min_notional_skip, "symbol"),
        op=">=",
        threshold=3,
        unit=Unit.COUNT,
        text="{value} orders of {symbol} in {window} were below what the exchange takes, and not sent.",
        labels=("symbol",),
        panel="execution/Below the minimum notional",
        parameters={"window": "1h"},
    ),
)

ORDERS: Final = (
    Rule(
        name="SignalWithoutRequest",
        family="orders",
        severity=Severity.WARNING,
        hold="30s",
        value=highest(f'{_OLDEST}{{stage="signal"}}'),
        op=">",
        threshold=60,
        unit=Unit.SECONDS,
        text="A signal has waited {value} for its order to be sent, the limit is {threshold}.",
        panel="execution/Oldest order by stage",
        ours=True,
    ),
    Rule(
        name="RequestWithoutAck",
        family="orders",
        severity=Severity.CRITICAL,
        hold="0s",
        # after a minute a request counts as lost and is not waited for any more, but nobody knows what became of it
        value=f"""
            max {by()} (
              {_OLDEST}{{stage="request"}}
              or clamp(sum {by()} (increase({_LOST}[$memory])) > 0, $threshold + 30, $threshold + 30)
            )
        """,
        op=">",
        threshold=30,
        unit=Unit.SECONDS,
        text="The exchange has not answered an order for {value} or more: look there what became of it.",
        panel="execution/Oldest order by stage",
        parameters={"memory": "1h"},
        ours=True,
    ),
    Rule(
        name="OrderWithoutEnd",
        family="orders",
        severity=Severity.WARNING,
        hold="5m",
        value=highest(f'{_OLDEST}{{stage="ack"}}'),
        op=">",
        threshold=86_400,
        unit=Unit.SECONDS,
        text="An order has been open for {value}, the limit is {threshold}.",
        panel="execution/Oldest order by stage",
        ours=True,
        escalates=False,  # half an hour more says nothing about an order that may rest for a day
    ),
)
