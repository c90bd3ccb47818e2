"""Quick: Overview: does the bot earn, what does it risk, does it trade, in seven numbers."""

from __future__ import annotations

from typing import Final

from otel_mcbot import catalog
from otel_mcbot.provision import dashboard, grammar, page, panels, why
from otel_mcbot.provision.grammar import COUNT, PERCENT, SECONDS, TIMES, USDT, Json
from otel_mcbot.provision.panels import prometheus
from otel_mcbot.provision.queries import SYMBOL, quantile, series, total

UID: Final = "quick-overview"


def realized_pnl() -> str:
    """Profit less loss of the picked symbols since the bot's start."""
    return f"{total(catalog.realized_profit)} - {total(catalog.realized_loss)}"


def latency() -> str:
    """The order latency of an hour, of all picked symbols: 95 % of the orders were faster. None without an order."""
    return f"{quantile(0.95, catalog.order_latency, over='1h')} >= 0"


def build() -> Json:
    """The file ``quick-overview.json``."""
    no_balance = "the bot has not told its balance"
    return dashboard.dashboard(
        UID,
        page.TITLES[UID],
        "Does the bot earn, what does it risk, does it trade, in seven numbers.",
        [
            (
                6,
                [
                    page.number(
                        1,
                        "Equity",
                        "Value of the portfolio, open positions included. Worry about a fall that the market does not "
                        "explain.",
                        series(catalog.equity),
                        USDT,
                        none=no_balance,
                        more="trading",
                    ),
                    page.number(
                        2,
                        "Drawdown",
                        "Fall of the equity from its highest value. Worry when it is red: somebody is told there.",
                        series(catalog.drawdown),
                        PERCENT,
                        limit="HighDrawdown",
                        none=no_balance,
                        more="trading",
                    ),
                ],
            ),
            (
                6,
                [
                    page.number(
                        3,
                        "Realized PnL",
                        "Profit less loss since the bot's start, which sets it to 0. Worry when it only falls.",
                        realized_pnl(),
                        USDT,
                        limit=grammar.sign(),
                        none="nothing has been realized yet",
                        more="strategy",
                    ),
                    page.number(
                        4,
                        "Open positions",
                        "How many positions are open. Worry when there are more than you expect, and when they only "
                        "grow: exits do not fill.",
                        series(catalog.open_positions),
                        COUNT,
                        none=no_balance,
                        more="trading",
                    ),
                ],
            ),
            (
                6,
                [
                    page.number(
                        5,
                        "Leverage",
                        "Sum of all notionals over equity. Worry when it is red: how far is the liquidation?",
                        series(catalog.aggregate_leverage),
                        TIMES,
                        limit="HighAggregateLeverage",
                        none=no_balance,
                        more="trading",
                    ),
                    page.number(
                        7,
                        "Order latency",
                        "Time from the request to the complete fill; 95 % of the orders of an hour were faster. Worry "
                        "when it is red: the venue, the rate limiter or the bot.",
                        latency(),
                        SECONDS,
                        limit=5,
                        none="no order has filled within an hour",
                        more="execution",
                    ),
                ],
            ),
            (
                8,
                [
                    panels.quiet(
                        panels.curve(
                            6,
                            "Signals and fills",
                            "Signals of all strategies and fills, in each step. Worry about signals without fills, "
                            "and about silence in both.",
                            [
                                prometheus(total(catalog.signals, over="$__interval"), "signals"),
                                prometheus(total(catalog.fills, over="$__interval"), "fills"),
                            ],
                            unit=COUNT,
                            floor=0,
                            now_and_then=True,
                            links=[why.link(), page.to("strategy"), page.to("execution")],
                        ),
                        "no signal since the bot's start",
                    )
                ],
            ),
        ],
        variables=page.variables(SYMBOL),
        annotations=page.marks(),
        since="now-1h",
    )
