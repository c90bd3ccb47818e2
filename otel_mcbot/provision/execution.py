"""Execution Quality: how fast, how dearly and how surely orders become fills, and whether the books agree."""

from __future__ import annotations

from typing import Final

from otel_mcbot import catalog
from otel_mcbot.provision import dashboard, page, panels, why
from otel_mcbot.provision.grammar import BPS, COUNT, SECONDS, SHARE, USDT, Json
from otel_mcbot.provision.panels import prometheus
from otel_mcbot.provision.queries import SHOWN, SYMBOL, Metric, legend, quantile, series, total

UID: Final = "execution"

_NAME: Final = legend(SYMBOL)
_WHY: Final = why.link(SYMBOL)
_NO_ORDER: Final = "no order in this time"
_NO_DETECTORS: Final = "the execution detector is not in use"
_NO_RECONCILIATION: Final = "positions and balance are not compared with the venue's"


def _latency() -> dashboard.Row:
    return (
        9,
        [
            panels.quiet(
                panels.curve(
                    1,
                    "Order latency",
                    "Time from the request to the complete fill; 95 % of the orders are faster. A dot is one order: "
                    "click it. Worry from the red line on: is it the venue, the rate limiter or the bot? The trace "
                    "shows which.",
                    [prometheus(quantile(0.95, catalog.order_latency, SYMBOL), _NAME)],
                    unit=SECONDS,
                    limit=5,
                    floor=0,
                    now_and_then=True,
                    links=[_WHY, page.to("exchange")],
                ),
                _NO_ORDER,
            ),
            panels.quiet(
                panels.heatmap(
                    2,
                    "Latency heatmap",
                    "How many orders took how long, all picked symbols together: the darker, the more. A dot is one "
                    "order: click it. Worry about a second band above the usual one: some orders take another way, "
                    "a retry or a wait for the rate limiter.",
                    prometheus(total(catalog.order_latency, "le", over="$__interval", part="_bucket"), buckets=True),
                    unit=SECONDS,
                    links=[why.link(), page.to("exchange")],
                ),
                _NO_ORDER,
            ),
        ],
    )


def _slippage() -> dashboard.Row:
    signed = catalog.slippage_signed
    return (
        9,
        [
            panels.quiet(
                panels.distribution(
                    3,
                    "Slippage distribution",
                    "Fills of all of the time shown, by their distance from the expected price: the bar 5 holds those "
                    "from the bar before up to 5 bp. Worry when the bars from 20 on are more than a few: the market is "
                    "thin or fast, or the orders are too big.",
                    prometheus(total(catalog.slippage, "le", over=SHOWN, part="_bucket"), instant=True, buckets=True),
                    links=[why.link()],
                ),
                _NO_ORDER,
            ),
            panels.quiet(
                panels.curve(
                    4,
                    "Signed slippage",
                    "Distance from the expected price with its sign: above 0 the fill was worse. Half of the fills are "
                    "below the middle line, 5 % outside on either side. Worry when the middle one stays above 0: it is "
                    "not chance, every order pays it.",
                    [
                        prometheus(quantile(share, signed), name)
                        for share, name in ((0.95, "95 %"), (0.5, "half"), (0.05, "5 %"))
                    ],
                    unit=BPS,
                    now_and_then=True,
                    links=[why.link()],
                ),
                _NO_ORDER,
            ),
        ],
    )


def _ends() -> dashboard.Row:
    def counted(status: str) -> str:
        return total(catalog.orders, over=SHOWN, where=f'status="{status}"')

    return (
        9,
        [
            panels.quiet(
                panels.pie(
                    5,
                    "Orders by status",
                    "What became of the orders of all of the time shown: filled whole; rejected; acknowledged and not "
                    "filled whole, which are open, canceled or expired; lost, of which nobody knows. Worry about any "
                    "that is lost, and when more than one in five is rejected.",
                    [
                        prometheus(counted("filled"), "filled", instant=True),
                        prometheus(counted("rejected"), "rejected", instant=True),
                        prometheus(f"clamp_min({counted('ack')} - {counted('filled')}, 0)", "not filled", instant=True),
                        prometheus(total(catalog.orders_lost, over=SHOWN), "lost", instant=True),
                    ],
                    unit=COUNT,
                    links=[why.link()],
                ),
                _NO_ORDER,
            ),
            panels.quiet(
                panels.curve(
                    6,
                    "Fees accumulated",
                    "Fees since the bot's start, which sets them to 0, by symbol. Worry when they grow faster than the "
                    "profits: above 0.1 % of the equity in an hour the bot works for the exchange.",
                    [prometheus(total(catalog.fees, SYMBOL), _NAME)],
                    unit=USDT,
                    floor=0,
                    steps=True,
                    links=[_WHY],
                ),
                _NO_ORDER,
            ),
        ],
    )


def _rejections() -> dashboard.Row:
    return (
        9,
        [
            panels.quiet(
                panels.bars(
                    7,
                    "Rejections by reason",
                    "Orders that the bot's own checks or the venue refused, in each step. Worry about a reason that is "
                    "new, and about many: a limit is reached and the strategy does not know.",
                    [prometheus(total(catalog.order_rejected, "reason", over="$__interval"), legend("reason"))],
                    unit=COUNT,
                    links=[why.link()],
                ),
                "no order has been rejected",
            ),
            rejections_in_a_row(8),
        ],
    )


def rejections_in_a_row(id: int) -> Json:
    """The panel of how many orders were rejected since the last one that was not."""
    return panels.quiet(
        panels.curve(
            id,
            "Rejections in a row",
            "Orders rejected since the last fill. Worry from the red line on: something refuses every order, "
            "and Rejections by reason says what.",
            [prometheus(series(catalog.execution_consecutive_rejections), "in a row")],
            unit=COUNT,
            limit="ExecutionConsecutiveRejections",
            floor=0,
            colour="money",
            steps=True,
            links=[why.link()],
        ),
        _NO_DETECTORS,
    )


def fill_rate(id: int) -> Json:
    """The panel of how many orders fill."""
    filled = total(catalog.orders, over="1h", where='status="filled"')
    ended = total(catalog.orders, over="1h", where='status=~"filled|rejected"')
    return panels.quiet(
        panels.curve(
            id,
            "Fill rate",
            "Share of the last hour's orders that filled: as the execution detector judges it, and of those that were "
            "filled whole or rejected. Worry below the red line: Rejections by reason, or prices that run away from "
            "limit orders.",
            [
                prometheus(series(catalog.execution_fill_rate), "detector"),
                prometheus(f"{filled} / ({ended} > 0)", "filled of filled and rejected"),
            ],
            unit=SHARE,
            limit="ExecutionLowFillRate",
            floor=0,
            links=[why.link()],
        ),
        "no order has come to an end within an hour",
    )


def _live() -> list[dashboard.Row]:
    def counted(id: int, title: str, description: str, metric: Metric, none: str) -> Json:
        return panels.quiet(
            panels.bars(
                id,
                title,
                description,
                [prometheus(total(metric, SYMBOL, over="$__interval"), _NAME)],
                unit=COUNT,
                links=[_WHY],
            ),
            none,
        )

    return [
        (
            9,
            [
                fill_rate(9),
                counted(
                    10,
                    "Below the minimum notional",
                    "Orders that were not sent because the venue takes none that small. No hurry; worry about a symbol "
                    "that is always there: its share of the capital is too small, raise it or drop the symbol.",
                    catalog.live_min_notional_skip,
                    "no order was too small",
                ),
            ],
        ),
        (
            9,
            [
                counted(
                    11,
                    "API blocked",
                    "Orders that were not sent because too many calls of the venue failed in a row. Worry about any: "
                    "exits are blocked too. It ends by itself; then look at the positions.",
                    catalog.live_api_blocked,
                    "no order was blocked",
                ),
                counted(
                    12,
                    "Partial fills",
                    "Fills that did not complete their order. Worry when they become the rule: the order is bigger "
                    "than what is offered at its price.",
                    catalog.live_partial_fill,
                    "no order filled in parts",
                ),
            ],
        ),
        (
            9,
            [
                counted(
                    13,
                    "Unreadable fills",
                    "Answers about fills that the bot could not read. Worry about any: it does not know what it holds. "
                    "The exchange's format may have changed; compare the positions, update the library.",
                    catalog.live_fill_parse_failure,
                    "every fill could be read",
                ),
                panels.curve(
                    14,
                    "Open orders",
                    "Orders that are not at an end yet, and those among them that the venue has not answered. Worry "
                    "about a number that only rises: orders are forgotten.",
                    [
                        prometheus(series(catalog.open_orders), "open"),
                        prometheus(series(catalog.pending_orders_count), "not answered"),
                    ],
                    unit=COUNT,
                    floor=0,
                    steps=True,
                    links=[why.link()],
                ),
            ],
        ),
    ]


def _ages() -> dashboard.Row:
    return (
        9,
        [
            panels.curve(
                15,
                "Oldest order by stage",
                "Age of the oldest order that waits: for a request since its signal, for an answer, for its fill. "
                "Worry about an unanswered request older than a minute: the venue may have it and the bot not know.",
                [prometheus(series(catalog.oldest_order), legend("stage"))],
                unit=SECONDS,
                floor=0,
                links=[why.link()],
            ),
            panels.quiet(
                panels.curve(
                    16,
                    "Stage duration",
                    "Time of each stage of a trade cycle; 95 % are faster. A dot is one order: click it. Worry about a "
                    "stage that grows while the others stay: that is where to look.",
                    [prometheus(quantile(0.95, catalog.stage_duration, "stage"), legend("stage"))],
                    unit=SECONDS,
                    floor=0,
                    now_and_then=True,
                    links=[why.link()],
                ),
                "no trade cycle in this time",
            ),
        ],
    )


DRIFT: Final = 0.02
"""Share by which a position or the balance may differ from the venue's before somebody is told."""


def _books() -> list[dashboard.Row]:
    return [
        (
            9,
            [
                panels.quiet(
                    panels.curve(
                        17,
                        "Position drift",
                        "Difference between what the bot and what the venue says of a position; 1 is a position that "
                        "only one of them knows. Worry from the red line on when it stays for two checks: which of "
                        "the two is right? A fill on its way looks like a drift for a moment.",
                        [prometheus(series(catalog.reconciliation_position_drift_ratio), _NAME)],
                        unit=SHARE,
                        limit=DRIFT,
                        floor=0,
                        links=[_WHY],
                    ),
                    _NO_RECONCILIATION,
                ),
                panels.quiet(
                    panels.curve(
                        18,
                        "Balance drift",
                        "Difference between the balance that the bot expects and that of the venue. Worry from the red "
                        "line on: fees, funding or a transfer that the bot does not know of; above 5 % at once.",
                        [prometheus(series(catalog.reconciliation_balance_drift_ratio), "balance")],
                        unit=SHARE,
                        limit=DRIFT,
                        floor=0,
                        colour="money",
                        links=[why.link()],
                    ),
                    _NO_RECONCILIATION,
                ),
            ],
        ),
        (
            8,
            [
                panels.quiet(
                    panels.bars(
                        19,
                        "Reconciliation checks",
                        "Comparisons with the venue in each step: in agreement, with a drift, or failed. Worry about "
                        "failures that go on: then nobody compares.",
                        [
                            prometheus(
                                total(catalog.reconciliation_checks, "status", over="$__interval"), legend("status")
                            )
                        ],
                        unit=COUNT,
                        links=[why.link()],
                        overrides=panels.named("ok", "drift", "failure"),
                    ),
                    _NO_RECONCILIATION,
                ),
            ],
        ),
    ]


def build() -> Json:
    """The file ``execution.json``."""
    return dashboard.dashboard(
        UID,
        page.TITLES[UID],
        "How orders become fills: how fast, at which price, and what stands in their way.",
        [_latency(), _slippage(), _ends(), _rejections(), *_live(), _ages(), *_books()],
        variables=page.variables(SYMBOL),
        annotations=page.marks(),
    )
