"""Is the bot there, and does it hear the market?

A bot sends its metrics, nobody fetches them: when it dies they just stop, and five minutes later Prometheus shows
nothing that a condition could look at. So what was last heard is searched for in the past, and compared not with now
but with the moment up to which the Collector has surely been listening: while the Collector is gone, and until it has
been back long enough for bots to hand in what they kept, nobody is called dead, and whoever was dead before stays so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from otel_mcbot import catalog

from .exchange import PLANNED
from .promql import by, heard, highest, in_service
from .rule import BOT, Rule, Severity, Unit

COLLECTOR: Final = "otelcol_process_uptime_seconds_total"
"""What the Collector says of itself every 10 seconds, the way that the bots' metrics go too."""

_LISTENING: Final = f"timestamp({COLLECTOR}) and count_over_time({COLLECTOR}[90s]) >= 7"
_LISTENED: Final = f"max({_LISTENING}) or max(max_over_time(({_LISTENING})[1d:1m]))"
"""Unix time up to which the Collector has been heard without a gap for a minute and more."""

_UPTIME: Final = catalog.uptime.prometheus_name
_GONE: Final = 120
"""Seconds without a sample after which a process is not taken for hung but for gone; BotDown has spoken by then."""

TIMEFRAMES: Final[Mapping[str, int]] = {
    "1s": 1,
    "1m": 60,
    "3m": 180,
    "5m": 300,
    "15m": 900,
    "30m": 1_800,
    "1h": 3_600,
    "2h": 7_200,
    "4h": 14_400,
    "6h": 21_600,
    "8h": 28_800,
    "12h": 43_200,
    "1d": 86_400,
    "3d": 259_200,
    "1w": 604_800,
    "1M": 2_678_400,
}
"""Seconds of the bars that exchanges have. Any other is taken for a day."""


def _overdue() -> str:
    """Seconds beyond ``$bars`` bars for which nothing came."""
    age = catalog.bar_age.prometheus_name
    late = [f'{age}{{timeframe="{name}"}} - $bars * {seconds}' for name, seconds in TIMEFRAMES.items()]
    late.append(f'{age}{{timeframe!~"{"|".join(TIMEFRAMES)}"}} - $bars * {TIMEFRAMES["1d"]}')
    expected = highest(catalog.expected_symbol, "symbol", "timeframe")
    return f"""
        max {by("symbol", "timeframe")} ({" or ".join(late)})
        and on ({BOT}, symbol, timeframe) {expected} == 1
    """


WATCH: Final = (
    Rule(
        name="BotDown",
        family="watch",
        severity=Severity.CRITICAL,
        hold="30s",
        value=f"""
            (
              (-({heard(catalog.uptime, "$memory")}) + on () group_left () ({_LISTENED}))
              and on ({BOT}) max {by()} (last_over_time({catalog.expected_up.prometheus_name}[$memory])) == 1
            )
            unless on (job, instance) max by (job, instance) (timestamp({_UPTIME})) > time() - $threshold
        """,
        op=">",
        threshold=60,
        unit=Unit.SECONDS,
        text="Nothing has come from the bot for {value}, and nobody stopped it: look whether positions are open.",
        panel="trading/Bot",
        parameters={"memory": "7d"},
        ours=True,
    ),
    Rule(
        name="HeartbeatStale",
        family="watch",
        severity=Severity.CRITICAL,
        hold="1m",
        value=f"""
            time() - max {by()} (last_over_time({catalog.heartbeat_timestamp.prometheus_name}[$memory]))
            unless on ({BOT}) (
              max {by()} (last_over_time({_UPTIME}[$memory]))
              unless on ({BOT}) max {by()} (timestamp({_UPTIME})) > time() - {_GONE}
            )
        """,
        op=">",
        threshold=120,
        unit=Unit.SECONDS,
        text="The bot still runs, but has not beaten for {value}, the limit is {threshold}: it hangs.",
        panel="regime/Heartbeat",
        parameters={"memory": "7d"},
        deviation=(
            "The last heartbeat within 7 days counts, so that it does not end while it lasts because the series is "
            "forgotten. A bot whose process is gone is BotDown's: one death, one message."
        ),
    ),
    Rule(
        name="BotRestarted",
        family="watch",
        severity=Severity.WARNING,
        hold="0s",
        value=in_service(f"sum {by()} (resets({_UPTIME}[$window]))"),
        op=">",
        threshold=0,
        unit=Unit.COUNT,
        text="The bot has started anew, {value} times in {window}.",
        panel="system/Uptime",
        parameters={"window": "10m"},
        deviation=PLANNED,
    ),
    Rule(
        name="SymbolNeverArrived",
        family="watch",
        severity=Severity.WARNING,
        hold="1m",
        value=in_service(_overdue()),
        op=">",
        threshold=60,
        unit=Unit.SECONDS,
        text="The {timeframe} bar of {symbol} does not come: {bars} bars and {value} more have passed.",
        labels=("symbol", "timeframe"),
        panel="regime/Bar age",
        parameters={"bars": 2},
        ours=True,
    ),
)
