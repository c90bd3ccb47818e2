"""Market Regime: does the bot still hear the market, is it well, and what mood is the market in."""

from __future__ import annotations

from typing import Final

from otel_mcbot import catalog
from otel_mcbot.provision import dashboard, grammar, page, panels, why
from otel_mcbot.provision.grammar import COUNT, NUMBER, SECONDS, SHARE, TIMES, Json
from otel_mcbot.provision.panels import prometheus
from otel_mcbot.provision.queries import INSTANCE, JOB, SHOWN, SYMBOL, legend, series, total
from otel_mcbot.rules.watch import TIMEFRAMES

UID: Final = "regime"

TIMEFRAME: Final = "timeframe"

LATE, LOST = 2, 3
"""Ages, in timeframes, from which a symbol is late and from which it counts as lost."""

WORST: Final = 5
"""Stale symbols that are named."""

_NO_BARS: Final = "no bar is expected, or the bot is silent"
_MISSING_MARKET: Final = "the bot does not report it"


def ages() -> str:
    """The age of each last bar in timeframes: below 1 between two bars, 2 when one did not come."""

    def of(match: str, timeframe: str) -> str:
        return series(catalog.bar_age, f'{TIMEFRAME}{match}"{timeframe}"')

    known = [f"{of('=', name)} / {seconds}" for name, seconds in TIMEFRAMES.items()]
    return " or ".join([*known, f"{of('!~', '|'.join(TIMEFRAMES))} / {TIMEFRAMES['1d']}"])


def _market() -> dashboard.Row:
    return (
        9,
        [
            panels.quiet(
                panels.logarithmic(
                    panels.curve(
                        1,
                        "Bar age",
                        "Time since the last bar of each symbol and timeframe, or since the start where none came "
                        "yet. It climbs and falls back with each bar. Worry about a line that climbs beyond two of "
                        "its timeframes: one symbol is that market, all at once are the network or the feed.",
                        [prometheus(series(catalog.bar_age), legend(SYMBOL, TIMEFRAME))],
                        unit=SECONDS,
                        floor=0,
                        links=[why.link(SYMBOL), page.to("exchange")],
                    ),
                    linear_below=60,
                ),
                _NO_BARS,
            ),
            panels.quiet(
                panels.values(
                    2,
                    "Stale symbols",
                    f"How many feeds (a symbol in a timeframe) are older than {LATE} of their timeframes, and the "
                    f"worst {WORST} of them with their age in timeframes. Worry above 0: the bot decides on old "
                    "prices. Exchange Health says whether the connection is there. Timeframes that no exchange has "
                    "are taken for a day.",
                    [
                        prometheus(f"sum by ({JOB}, {INSTANCE}) (({ages()}) > bool {LATE})", "stale", instant=True),
                        prometheus(f"topk({WORST}, ({ages()}) > {LATE})", legend(SYMBOL, TIMEFRAME), instant=True),
                    ],
                    unit=TIMES,
                    limit=grammar.thresholds(("warning", None), ("bad", LOST)),
                    links=[page.to("exchange"), why.link(SYMBOL)],
                    overrides=[
                        panels.override("stale", unit=COUNT, thresholds=grammar.thresholds(("good", None), ("bad", 1)))
                    ],
                ),
                _NO_BARS,
            ),
        ],
    )


def _life() -> dashboard.Row:
    return (
        9,
        [
            panels.quiet(
                panels.bars(
                    3,
                    "Bars processed",
                    "Bars in each step, by timeframe. Worry when they become fewer: does the feed send less (Exchange "
                    "Health, messages by symbol), or does the bot not keep up (System Health, queue depth)?",
                    [prometheus(total(catalog.bars, TIMEFRAME, over="$__interval"), legend(TIMEFRAME))],
                    unit=COUNT,
                    links=[why.link(), page.to("exchange"), page.to("system")],
                ),
                _NO_BARS,
            ),
            panels.quiet(
                panels.curve(
                    4,
                    "Heartbeat",
                    "Time since the bot's last heartbeat: there is one every 30 s, and the line goes on when the bot "
                    "does not. Worry from the red line on: the process is dead, or its loop hangs. Restart it only "
                    "once its positions are safe.",
                    [prometheus(f"time() - last_over_time({series(catalog.heartbeat_timestamp)}[1d])", "heartbeat")],
                    unit=SECONDS,
                    limit="HeartbeatStale",
                    floor=0,
                    colour="money",
                    links=[why.link(), page.to("system")],
                ),
                "no heartbeat for a day",
            ),
        ],
    )


def _alarms() -> dashboard.Row:
    return (
        9,
        [
            panels.bars(
                5,
                "Risk alerts",
                "Alerts that the bot itself raised, of every source: risk manager, process monitor, detectors. Worry "
                "about any that is CRITICAL, and about WARNINGs that keep coming: the log lines say which.",
                [prometheus(total(catalog.risk_alerts, "level", over="$__interval"), legend("level"))],
                unit=COUNT,
                links=[why.link()],
                overrides=panels.named("WARNING", "CRITICAL"),
            ),
            panels.values(
                6,
                "Circuit breaker",
                "How often the circuit breaker tripped in the time shown. It trips once a session and closes all "
                "positions. Worry above 0: check on the exchange that they are closed, find out why before a restart.",
                [prometheus(f"round({total(catalog.circuit_breaker, over=SHOWN)})", "trips", instant=True)],
                unit=COUNT,
                limit=1,
                links=[why.link(), page.to("trading")],
            ),
        ],
    )


def _errors() -> dashboard.Row:
    return (
        9,
        [
            panels.quiet(
                panels.bars(
                    7,
                    "Errors",
                    "Errors in each step, by component and exception class. Worry about a kind that you have not seen "
                    "before, and about one that comes with every bar: look for its log line.",
                    [
                        prometheus(
                            f"{total(catalog.errors, 'component', 'error_type', over='$__interval')} > 0",
                            legend("component", "error_type"),
                        )
                    ],
                    unit=COUNT,
                    links=[why.link(), page.to("system")],
                ),
                "no error in this time",
            ),
            panels.quiet(
                panels.curve(
                    8,
                    "Funding rate",
                    "What longs pay shorts at each funding, as a share of the position; below 0 shorts pay. Worry "
                    "when it stands against what you hold for long, and about an extreme: the market leans one way "
                    "and may snap back.",
                    [prometheus(series(catalog.funding_rate), legend(SYMBOL))],
                    unit=SHARE,
                    steps=True,
                    links=[why.link(SYMBOL)],
                ),
                _MISSING_MARKET,
            ),
        ],
    )


def open_interest_change() -> str:
    """What open interest rose by within an hour, as a share of what it was; of a young series, since it began."""
    rise = f"delta({series(catalog.open_interest)}[1h])"
    return f"{rise} / ({series(catalog.open_interest)} - {rise} > 0)"


def _mood() -> dashboard.Row:
    return (
        9,
        [
            panels.quiet(
                panels.curve(
                    9,
                    "Open interest change",
                    "How much open interest grew within an hour, or since the bot reports it. Worry about a sharp "
                    "fall together with the price: positions are being liquidated; and about a sharp rise: crowded "
                    "trades end together.",
                    [prometheus(open_interest_change(), legend(SYMBOL))],
                    unit=SHARE,
                    links=[why.link(SYMBOL)],
                ),
                _MISSING_MARKET,
            ),
            panels.quiet(
                panels.gauge(
                    10,
                    "Regime score",
                    "The bot's own score of the market's regime, on a scale from -1 to 1. What a value means the bot "
                    "says; worry when it jumps to and fro: strategies that follow it change sides each time.",
                    prometheus(series(catalog.regime_score), "score", instant=True),
                    unit=NUMBER,
                    least=-1,
                    most=1,
                    links=[why.link()],
                ),
                _MISSING_MARKET,
            ),
        ],
    )


def build() -> Json:
    """The file ``regime.json``."""
    return dashboard.dashboard(
        UID,
        page.TITLES[UID],
        "Does the bot still hear the market, is it well, and what mood is the market in.",
        [_market(), _life(), _alarms(), _errors(), _mood()],
        variables=page.variables(SYMBOL),
        annotations=page.marks(),
    )
