"""The exchange: its API and its websockets."""

from __future__ import annotations

from typing import Final

from otel_mcbot import catalog

from .promql import highest, in_service, increase, judged, lowest, percentile, rate
from .rule import Rule, Severity, Unit

PLANNED: Final = "Silent while silence is planned (`mcbot_maintenance` is 1)."

EXCHANGE: Final = (
    Rule(
        name="APIUnhealthy",
        family="exchange",
        severity=Severity.CRITICAL,
        hold="30s",
        value=highest(catalog.exchange_consecutive_failures),
        op=">=",
        threshold=5,
        unit=Unit.COUNT,
        text="{value} calls in a row that place orders have failed; from 5 on orders are blocked.",
        panel="exchange/Failures in a row",
    ),
    Rule(
        name="APIReadFailures",
        family="exchange",
        severity=Severity.WARNING,
        hold="2m",
        value=rate(catalog.exchange_api_calls, "endpoint", only='endpoint=~"fetch_.*", status="failure"'),
        op=">",
        threshold=0.1,
        unit=Unit.NUMBER,
        text="{endpoint} fails {value} times a second, the limit is {threshold}.",
        labels=("endpoint",),
        panel="exchange/API failures by endpoint",
        parameters={"window": "5m"},
    ),
    Rule(
        name="APILatencyHigh",
        family="exchange",
        severity=Severity.WARNING,
        hold="2m",
        value=judged(
            percentile(0.95, catalog.exchange_api_latency, "endpoint"), catalog.exchange_api_latency, "endpoint"
        ),
        op=">",
        threshold=5,
        unit=Unit.SECONDS,
        text="5 % of the calls of {endpoint} take longer than {value}, the limit is {threshold}.",
        labels=("endpoint",),
        panel="exchange/API latency by endpoint",
        parameters={"window": "5m", "least": 3},
        deviation="Judged from 3 calls on: one slow call is no state of the exchange.",
    ),
    Rule(
        name="APIRateLimitApproaching",
        family="exchange",
        severity=Severity.WARNING,
        hold="1m",
        value=f"{rate(catalog.exchange_api_calls)} * 60",
        op=">",
        threshold=900,
        unit=Unit.COUNT,
        text="{value} API calls a minute, the limit is {threshold}: the exchange bans addresses that call too often.",
        panel="exchange/Rate limit headroom",
        parameters={"window": "1m"},
        deviation="By bot: the calls of two bots do not add up.",
    ),
)

WEBSOCKET: Final = (
    Rule(
        name="WSDisconnected",
        family="websocket",
        severity=Severity.CRITICAL,
        hold="2m",
        value=in_service(lowest(catalog.exchange_ws_connected, "symbol")),
        op="==",
        threshold=0,
        unit=Unit.NUMBER,
        text="The connection for {symbol} is down: the bot trades on old prices, or not at all.",
        labels=("symbol",),
        panel="exchange/WebSocket connection",
        deviation=PLANNED,
    ),
    Rule(
        name="WSFrequentReconnects",
        family="websocket",
        severity=Severity.WARNING,
        hold="0s",
        value=in_service(increase(catalog.ws_reconnects, "symbol")),
        op=">=",
        threshold=3,
        unit=Unit.COUNT,
        text="{symbol} has reconnected {value} times in {window}, the limit is {threshold}.",
        labels=("symbol",),
        panel="exchange/Reconnects",
        parameters={"window": "5m"},
        deviation=PLANNED,
    ),
    Rule(
        name="WSNoMessages",
        family="websocket",
        severity=Severity.CRITICAL,
        hold="1m",
        value=in_service(highest(catalog.ws_last_message_age, "symbol")),
        op=">",
        threshold=60,
        unit=Unit.SECONDS,
        text="No message of {symbol} for {value}, the limit is {threshold}.",
        labels=("symbol",),
        panel="exchange/Age of the last message",
        deviation=PLANNED,
    ),
)
