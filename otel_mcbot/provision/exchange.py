"""Exchange Health: does the venue answer, how fast, how much may still be asked, and do prices arrive."""

from __future__ import annotations

from typing import Final

from otel_mcbot import catalog
from otel_mcbot.provision import dashboard, grammar, page, panels, why
from otel_mcbot.provision.grammar import COUNT, PER_SECOND, SECONDS, Json
from otel_mcbot.provision.panels import prometheus
from otel_mcbot.provision.queries import STEP, SYMBOL, legend, quantile, series, total

UID: Final = "exchange"

CALLS_A_MINUTE: Final = 1_200
"""Weight that a common venue allows an address in a minute; a call is counted as 1."""

LOST_AFTER: Final = 10
"""Failed reconnects in a row from which on a feed is given up as lost."""

ENDPOINT: Final = "endpoint"

_NAME: Final = legend(SYMBOL)
_WHY: Final = why.link(SYMBOL)
_NO_CALL: Final = "no call of the venue in this time"
_NO_FEED: Final = "the bot reports no WebSocket"

CONNECTION: Final = grammar.states({0: ("disconnected", "bad"), 1: ("connected", "good")})
"""What a feed's connection looks like."""


def _calls() -> list[dashboard.Row]:
    name = legend(ENDPOINT)
    return [
        (
            9,
            [
                panels.quiet(
                    panels.curve(
                        1,
                        "API latency by endpoint",
                        "Time of a call, retries and waits included; 95 % are faster. A dot is one call: click it. "
                        "Worry from the red line on: is it the venue (its status page), the network or the rate "
                        "limiter?",
                        [prometheus(quantile(0.95, catalog.exchange_api_latency, ENDPOINT), name)],
                        unit=SECONDS,
                        limit="APILatencyHigh",
                        floor=0,
                        now_and_then=True,
                        links=[why.link(), page.to("execution")],
                    ),
                    _NO_CALL,
                ),
                panels.quiet(
                    panels.gauge(
                        5,
                        "Rate limit headroom",
                        f"Calls that may still be made in this minute, of {CALLS_A_MINUTE:,}, which is common; calls "
                        "that count more than once are counted once here. Worry in the red: beyond the limit the venue "
                        "bans the address, and exits with it. Poll less often.",
                        prometheus(
                            f"{CALLS_A_MINUTE} - 60 * sum (rate({series(catalog.exchange_api_calls)}[1m]))",
                            "left",
                            instant=True,
                        ),
                        unit=COUNT,
                        limit=grammar.left("APIRateLimitApproaching", CALLS_A_MINUTE),
                        most=CALLS_A_MINUTE,
                        links=[why.link()],
                    ),
                    _NO_CALL,
                ),
            ],
        ),
        (
            9,
            [
                panels.quiet(
                    panels.bars(
                        2,
                        "API calls by endpoint",
                        "Calls in each step. Worry about a burst, which eats the rate limit, and about an endpoint "
                        "that falls silent while positions are open.",
                        [prometheus(total(catalog.exchange_api_calls, ENDPOINT, over="$__interval"), name)],
                        unit=COUNT,
                        links=[why.link()],
                    ),
                    _NO_CALL,
                ),
                panels.quiet(
                    panels.bars(
                        3,
                        "API failures by endpoint",
                        "Calls that failed in each step. Worry about fetch_… that go on failing, the bot then trades "
                        "on old numbers, and about create_order at all.",
                        [
                            prometheus(
                                total(
                                    catalog.exchange_api_calls, ENDPOINT, over="$__interval", where='status="failure"'
                                ),
                                name,
                            )
                        ],
                        unit=COUNT,
                        links=[why.link()],
                    ),
                    "no call has failed",
                ),
            ],
        ),
    ]


def _connection() -> list[dashboard.Row]:
    return [
        (
            9,
            [
                panels.quiet(
                    panels.curve(
                        4,
                        "Failures in a row",
                        "Orders that the venue did not take since the last one that it took; one that it calls invalid "
                        "does not count. Worry from the red line on: the bot sends no orders any more, exits neither.",
                        [prometheus(series(catalog.exchange_consecutive_failures), "in a row")],
                        unit=COUNT,
                        limit="APIUnhealthy",
                        floor=0,
                        colour="money",
                        steps=True,
                        links=[why.link(), page.to("execution")],
                    ),
                    _NO_CALL,
                ),
                panels.quiet(
                    panels.timeline(
                        6,
                        "WebSocket connection",
                        "Whether each symbol's feed is connected. Worry about red that lasts: all at once is the "
                        "network or the venue, one alone is that market. The bot trades on old prices.",
                        [prometheus(series(catalog.exchange_ws_connected), _NAME)],
                        states=CONNECTION,
                        links=[_WHY, page.to("regime")],
                    ),
                    _NO_FEED,
                ),
            ],
        ),
        (
            9,
            [
                panels.quiet(
                    panels.bars(
                        7,
                        "Reconnects",
                        "Reconnects that succeeded, in each step. Worry about three of a symbol within five minutes: "
                        "that market or its server is in trouble; of all symbols: the network.",
                        [prometheus(total(catalog.ws_reconnects, SYMBOL, over="$__interval"), _NAME)],
                        unit=COUNT,
                        links=[_WHY],
                    ),
                    "no feed was lost",
                ),
                panels.quiet(
                    panels.curve(
                        8,
                        "Failed reconnects in a row",
                        "Attempts that failed since the last connection; the bot waits longer after each, 60 s at "
                        "most. Worry from the red line on: it does not come back by itself. Are the positions safe?",
                        [prometheus(series(catalog.ws_reconnect_failures), _NAME)],
                        unit=COUNT,
                        limit=LOST_AFTER,
                        floor=0,
                        steps=True,
                        links=[_WHY],
                    ),
                    _NO_FEED,
                ),
            ],
        ),
    ]


def _messages() -> dashboard.Row:
    return (
        9,
        [
            panels.quiet(
                panels.curve(
                    9,
                    "Messages by symbol",
                    "Messages of each feed a second. Worry when it falls while bars grow old (Market Regime): the feed "
                    "is the cause. When only bars grow old, it is the bot.",
                    [prometheus(f"sum by ({SYMBOL}) (rate({series(catalog.ws_messages_received)}[{STEP}]))", _NAME)],
                    unit=PER_SECOND,
                    floor=0,
                    links=[_WHY, page.to("regime")],
                ),
                _NO_FEED,
            ),
            panels.quiet(
                panels.curve(
                    10,
                    "Age of the last message",
                    "Time since each feed's last message. Worry from the red line on: connected or not, nothing "
                    "arrives.",
                    [prometheus(series(catalog.ws_last_message_age), _NAME)],
                    unit=SECONDS,
                    limit="WSNoMessages",
                    floor=0,
                    links=[_WHY],
                ),
                _NO_FEED,
            ),
        ],
    )


def build() -> Json:
    """The file ``exchange.json``."""
    return dashboard.dashboard(
        UID,
        page.TITLES[UID],
        "The venue as the bot meets it: calls, failures, the rate limit, the feeds of prices.",
        [*_calls(), *_connection(), _messages()],
        variables=page.variables(SYMBOL),
        annotations=page.marks(),
    )
