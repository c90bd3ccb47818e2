"""Trading Overview: is it alive, does it earn, what does it hold, what does it cost."""

from __future__ import annotations

from typing import Final

from otel_mcbot import catalog
from otel_mcbot.provision import dashboard, grammar, page, panels, why
from otel_mcbot.provision.grammar import BPS, COUNT, PERCENT, SECONDS, TIMES, USDT, Json
from otel_mcbot.provision.panels import prometheus
from otel_mcbot.provision.queries import (
    INSTANCE,
    JOB,
    STRATEGY,
    SYMBOL,
    Metric,
    legend,
    quantile,
    series,
    total,
)

UID: Final = "trading"

SILENT_AFTER: Final = 90
"""Seconds without a heartbeat (there is one every 30) after which a bot counts as silent."""

_SILENT, _STOPPED, _RUNNING, _MAINTENANCE = -1, 0, 1, 2


def state() -> str:
    """What the bot is doing, as one number. A dead bot says nothing any more, so its last words of a day are asked."""

    def last(metric: Metric) -> str:
        return f"max by ({JOB}, {INSTANCE}) (last_over_time({series(metric)}[1d]))"

    fresh = f"(time() - {last(catalog.heartbeat_timestamp)} < bool {SILENT_AFTER})"
    return " or ".join(
        [
            f"{last(catalog.expected_up)} == {_STOPPED}",
            f"{_MAINTENANCE} * (max by ({JOB}, {INSTANCE}) ({series(catalog.maintenance)}) == 1)",
            f"{fresh} * {_RUNNING - _SILENT} + {_SILENT}",
        ]
    )


_STATES: Final = grammar.states(
    {
        _SILENT: ("SILENT", "bad"),
        _STOPPED: ("stopped", "muted"),
        _RUNNING: ("running", "good"),
        _MAINTENANCE: ("maintenance", "warning"),
    }
)


def _now() -> dashboard.Row:
    return (
        5,
        [
            panels.values(
                1,
                "Today's PnL",
                "Equity now less equity at the first sight of the day (UTC), fees and open positions included; a "
                "deposit or withdrawal counts too. With a fixed time range: of that range. Worry when it falls while "
                "no position is open: that is fees, or money that left.",
                [prometheus(series(catalog.equity), "today")],
                unit=USDT,
                limit=grammar.sign(),
                calculation="diff",
                today=True,
                links=[why.link()],
            ),
            panels.values(
                2,
                "Bot",
                f"What the bot is doing, since when, and when it was last heard of. Worry about SILENT: no heartbeat "
                f"for {SILENT_AFTER} s from a bot that did not say goodbye; it may hold positions that nobody watches. "
                "An uptime that is short means a restart.",
                [
                    prometheus(state(), "State", instant=True),
                    prometheus(series(catalog.uptime), "Uptime", instant=True),
                    prometheus(
                        f"time() - last_over_time({series(catalog.heartbeat_timestamp)}[1d])",
                        "Last heartbeat",
                        instant=True,
                    ),
                ],
                unit=SECONDS,
                overrides=[panels.override("State", mappings=[_STATES], unit=grammar.NUMBER)],
                links=[why.link(), page.to("system")],
            ),
        ],
    )


def _money() -> dashboard.Row:
    return (
        9,
        [
            panels.curve(
                3,
                "Equity",
                "Value of the portfolio, open positions at the last price. Worry about a fall that the market does "
                "not explain, and about a line that is flat while positions are open: prices do not arrive.",
                [prometheus(series(catalog.equity), "equity"), prometheus(series(catalog.cash), "free cash")],
                unit=USDT,
                links=[why.link()],
            ),
            panels.curve(
                4,
                "Drawdown",
                "Fall of the equity from its highest value. Worry from the red line on: somebody is told there.",
                [prometheus(series(catalog.drawdown), "drawdown")],
                unit=PERCENT,
                limit="HighDrawdown",
                floor=0,
                links=[why.link(), page.to("anomaly")],
            ),
        ],
    )


def _risk() -> dashboard.Row:
    return (
        8,
        [
            panels.gauge(
                5,
                "Drawdown now",
                "The same, now. Yellow is half way to the alert; worry in the red: which position, and is it the whole "
                "market?",
                prometheus(series(catalog.drawdown), "drawdown", instant=True),
                unit=PERCENT,
                limit="HighDrawdown",
                most=25,
                links=[why.link()],
            ),
            panels.curve(
                6,
                "Leverage",
                "Sum of all notionals over equity, and the share of the equity that is in use as margin (right). "
                "Worry from the red line on, or above 80 % margin: how far is the liquidation?",
                [
                    prometheus(series(catalog.aggregate_leverage), "leverage"),
                    prometheus(f"{series(catalog.margin_used)} / ({series(catalog.equity)} > 0)", "margin in use"),
                ],
                unit=TIMES,
                limit="HighAggregateLeverage",
                floor=0,
                links=[why.link()],
                overrides=[
                    panels.override(
                        "margin in use",
                        unit=grammar.SHARE,
                        custom_axisPlacement="right",
                        custom_thresholdsStyle={"mode": "off"},
                    ),
                ],
            ),
        ],
    )


def _pnl() -> dashboard.Row:
    return (
        9,
        [
            panels.curve(
                7,
                "Realized PnL by symbol",
                "Profit less loss since the bot's start, which sets it to 0. Worry about one symbol that falls while "
                "the others do not: stop that one.",
                [
                    prometheus(
                        f"{total(catalog.realized_profit, SYMBOL)} - {total(catalog.realized_loss, SYMBOL)}",
                        legend(SYMBOL),
                    )
                ],
                unit=USDT,
                steps=True,
                links=[why.link(SYMBOL)],
            ),
            panels.curve(
                8,
                "Realized PnL by strategy",
                "Profit less loss since the bot's start, of the strategy that had the symbol's last fill. Worry about "
                "a strategy that loses for days on end: its detectors say whether this is still chance.",
                [
                    prometheus(
                        f"{total(catalog.strategy_realized_profit, STRATEGY)}"
                        f" - {total(catalog.strategy_realized_loss, STRATEGY)}",
                        legend(STRATEGY),
                    )
                ],
                unit=USDT,
                steps=True,
                links=[why.link(STRATEGY), page.to("strategy")],
            ),
        ],
    )


def _by_position() -> dashboard.Row:
    realized = f"({total(catalog.realized_profit, SYMBOL)} - {total(catalog.realized_loss, SYMBOL)})"
    unrealized = total(catalog.unrealized_pnl, SYMBOL)
    both = f"{realized} + ({unrealized} or 0 * {realized})"
    return (
        9,
        [
            panels.table(
                15,
                "PnL by position",
                "Each symbol that was traded: what is realized since the bot's start, what the open position would "
                "add if it were closed, the sum of both, and the fees, which are not in it. Worry about a symbol whose "
                "sum falls while the others' do not.",
                [
                    prometheus(query, instant=True, table=True)
                    for query in (both, realized, unrealized, total(catalog.fees, SYMBOL))
                ],
                unit=USDT,
                columns={
                    SYMBOL: "Symbol",
                    "Value #A": "PnL",
                    "Value #B": "Realized",
                    "Value #C": "Unrealized",
                    "Value #D": "Fees",
                },
                overrides=[
                    panels.override("Symbol", links=[_row_link()]),
                    *(_signed(column) for column in ("PnL", "Realized", "Unrealized")),
                ],
            )
        ],
    )


def _row_link() -> Json:
    """From a symbol's cell to the traces and log lines behind it."""
    return panels.link(
        "Why? Its traces and log lines",
        f"/d/{why.UID}?var-bot=${{bot}}&var-{SYMBOL}=${{__value.raw}}&${{__url_time_range}}",
    )


def _signed(column: str, **properties: object) -> Json:
    """A column in the colour of money won or lost."""
    return panels.override(
        column,
        **properties,
        thresholds=grammar.sign(),
        custom_cellOptions={"type": "color-text"},
        color={"mode": "thresholds"},
    )


def _positions() -> dashboard.Row:
    is_open = f"and on ({SYMBOL}) ({series(catalog.position_size)} > 0)"
    columns = (catalog.position_size, catalog.position_notional, catalog.unrealized_pnl)
    return (
        9,
        [
            panels.quiet(
                panels.table(
                    9,
                    "Open positions",
                    "What the bot holds now: quantity without its side, value at the last price, PnL if it were "
                    "closed. Worry about a symbol that you did not expect, and about one that the exchange does not "
                    "know.",
                    [
                        prometheus(f"max by ({SYMBOL}) ({series(metric)}) {is_open}", instant=True, table=True)
                        for metric in columns
                    ],
                    unit=grammar.BASE,
                    columns={
                        SYMBOL: "Symbol",
                        "Value #A": "Quantity",
                        "Value #B": "Notional",
                        "Value #C": "Unrealized PnL",
                    },
                    overrides=[
                        panels.override("Symbol", links=[_row_link()]),
                        panels.override("Notional", unit=USDT),
                        _signed("Unrealized PnL", unit=USDT),
                    ],
                ),
                "no position is open",
            ),
            panels.curve(
                10,
                "Positions",
                "Value of each open position, and how many there are (right). Worry about one that grows beyond the "
                "others, and about a count that only rises: exits do not fill.",
                [
                    prometheus(series(catalog.position_notional), legend(SYMBOL)),
                    prometheus(series(catalog.open_positions), "open"),
                ],
                unit=USDT,
                floor=0,
                links=[why.link(SYMBOL)],
                overrides=[
                    panels.coloured(
                        "open",
                        "muted",
                        unit=COUNT,
                        custom_axisPlacement="right",
                        custom_lineInterpolation="stepAfter",
                    )
                ],
            ),
        ],
    )


def _orders() -> dashboard.Row:
    return (
        9,
        [
            panels.bars(
                11,
                "Fills",
                "Fills in each step, parts of an order count one by one; Prometheus spreads them a little, so a step "
                "may hold 1.2. A dot is one order: click it. Worry about silence where there were fills, and about a "
                "burst: a loop that trades against itself.",
                [prometheus(total(catalog.fills, SYMBOL, "side", over="$__interval"), legend(SYMBOL, "side"))],
                unit=COUNT,
                links=[why.link(SYMBOL), page.to("execution")],
            ),
            panels.curve(
                12,
                "Slippage (95 % of the fills are better)",
                "Distance of the fills from the expected price, by symbol and side. A dot is one order: click it. "
                "Worry from the red line on: the market is thin or fast, or the orders are too big.",
                [
                    prometheus(quantile(0.95, catalog.slippage, SYMBOL, "side"), legend(SYMBOL, "side")),
                ],
                unit=BPS,
                limit="HighSlippage",
                floor=0,
                now_and_then=True,
                links=[why.link(SYMBOL), page.to("execution"), page.to("strategy")],
            ),
        ],
    )


def _costs() -> dashboard.Row:
    return (
        9,
        [
            panels.bars(
                13,
                "Fees",
                "Fees in each step. Worry when they grow faster than the profits: above 0.1 % of the equity in an hour "
                "the bot works for the exchange.",
                [prometheus(total(catalog.fees, SYMBOL, over="$__interval"), legend(SYMBOL))],
                unit=USDT,
                links=[why.link(SYMBOL)],
            ),
            panels.curve(
                14,
                "Order latency (95 % of the orders are faster)",
                "Time from the request to the complete fill. A dot is one order: click it. Worry from the red line on: "
                "is it the venue, the rate limiter or the bot? The trace shows which.",
                [prometheus(quantile(0.95, catalog.order_latency, SYMBOL), legend(SYMBOL))],
                unit=SECONDS,
                limit=5.0,
                floor=0,
                now_and_then=True,
                links=[why.link(SYMBOL), page.to("execution")],
            ),
        ],
    )


def build() -> Json:
    """The file ``trading.json``."""
    return dashboard.dashboard(
        UID,
        page.TITLES[UID],
        "One bot: is it alive, does it earn, what does it hold, what does it cost.",
        [_now(), _money(), _risk(), _pnl(), _by_position(), _positions(), _orders(), _costs()],
        variables=page.variables(SYMBOL, STRATEGY),
        annotations=page.marks(),
    )
