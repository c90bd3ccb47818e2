"""Strategy Performance: what each strategy earns, how often it speaks, and what its trades cost."""

from __future__ import annotations

from typing import Final

from otel_mcbot import catalog
from otel_mcbot.provision import dashboard, grammar, page, panels, why
from otel_mcbot.provision.grammar import BPS, COUNT, NUMBER, PERCENT, SECONDS, SHARE, TIMES, USDT, Json
from otel_mcbot.provision.panels import prometheus
from otel_mcbot.provision.queries import STRATEGY, SYMBOL, legend, quantile, series, total

UID: Final = "strategy"

_NAME: Final = legend(STRATEGY)
_WHY: Final = why.link(STRATEGY)
_UNKNOWN: Final = "no strategy has traded yet"

FAR: Final = 86_400
"""Seconds that are looked back for the last signal; an older one is as long ago as this."""


def last_signal() -> str:
    """Seconds since each strategy's last signal: the youngest minute in which its count rose."""
    signals = series(catalog.strategy_signals)
    rose = f"timestamp({signals}) and increase({signals}[2m]) > 0"
    last = f"max by ({STRATEGY}) (max_over_time(({rose})[{FAR}s:1m]))"
    return f"(time() - {last}) or ({FAR} + 0 * {total(catalog.strategy_signals, STRATEGY)})"


def fill_rate() -> str:
    """Fills for each signal that wanted a position, over an hour."""
    fills = total(catalog.strategy_fills, STRATEGY, over="1h")
    wanted = total(catalog.strategy_signals, STRATEGY, over="1h", where='side!="NEUTRAL"')
    return f"{fills} / ({wanted} > 0)"


def profit_factor() -> str:
    """Profits over losses; without a loss there is none."""
    losses = total(catalog.strategy_realized_loss, STRATEGY)
    return f"{total(catalog.strategy_realized_profit, STRATEGY)} / ({losses} > 0)"


def _money() -> dashboard.Row:
    return (
        9,
        [
            pnl(1),
            panels.quiet(
                panels.curve(
                    2,
                    "Drawdown",
                    "Fall of each strategy's PnL from its peak, as a share of the account's equity at that peak. Worry "
                    "about one that is deeper than it ever was in the backtest: Anomaly Detection says whether this is "
                    "still chance.",
                    [prometheus(series(catalog.strategy_drawdown), _NAME)],
                    unit=PERCENT,
                    floor=0,
                    links=[_WHY, page.to("anomaly")],
                ),
                _UNKNOWN,
            ),
        ],
    )


def pnl(id: int) -> Json:
    """The panel of each strategy's PnL."""
    return panels.quiet(
        panels.curve(
            id,
            "PnL",
            "What each strategy has realized since the bot's start, by the symbol's last fill. Worry below the red "
            "line, and about a slope that changed: is it the market, or a defect since the last version?",
            [prometheus(series(catalog.strategy_pnl), _NAME)],
            unit=USDT,
            limit="StrategyPnlNegative",
            steps=True,
            links=[_WHY, page.to("trading")],
        ),
        _UNKNOWN,
    )


def _speech() -> dashboard.Row:
    return (
        9,
        [
            signals(3),
            panels.quiet(
                panels.levels(
                    4,
                    "Since the last signal",
                    "Time since each strategy's last signal of any kind, to the minute; a full bar is a day or more. "
                    "Worry about one that is silent for longer than its bars are apart: do bars arrive (Market "
                    "Regime), does a handler fail or hang (System Health)?",
                    [prometheus(last_signal(), _NAME, instant=True)],
                    unit=SECONDS,
                    most=FAR,
                    links=[_WHY, page.to("regime"), page.to("system")],
                ),
                "no strategy has given a signal since the bot's start",
            ),
        ],
    )


def signals(id: int) -> Json:
    """The panel of how often each strategy speaks."""
    return panels.quiet(
        panels.bars(
            id,
            "Signals",
            "Signals in each step, those that want no position too. Worry about a strategy that falls silent while "
            "bars arrive, and about one that gives far more than it used to.",
            [prometheus(total(catalog.strategy_signals, STRATEGY, over="$__interval"), _NAME)],
            unit=COUNT,
            links=[_WHY],
        ),
        "no strategy has given a signal since the bot's start",
    )


def _fills() -> dashboard.Row:
    return (
        9,
        [
            panels.quiet(
                panels.bars(
                    5,
                    "Fills",
                    "Fills in each step, parts of an order count one by one. A dot is one order: click it. Worry about "
                    "signals without fills: orders are denied, rejected or wait.",
                    [prometheus(total(catalog.strategy_fills, STRATEGY, over="$__interval"), _NAME)],
                    unit=COUNT,
                    links=[_WHY, page.to("execution")],
                ),
                _UNKNOWN,
            ),
            fills_per_signal(6),
        ],
    )


def fills_per_signal(id: int) -> Json:
    """The panel of what became of each strategy's signals."""
    return panels.quiet(
        panels.curve(
            id,
            "Fill rate",
            "Fills for each signal to go long or short, over an hour. It is above 1 where orders fill in parts, and "
            "low where a signal only confirms the position that is there. Worry when it falls to 0 or leaves its "
            "usual height.",
            [prometheus(fill_rate(), _NAME)],
            unit=TIMES,
            floor=0,
            links=[_WHY, page.to("execution")],
        ),
        "no signal to go long or short within an hour",
    )


def _costs() -> dashboard.Row:
    return (
        9,
        [
            panels.quiet(
                panels.bars(
                    7,
                    "Fees",
                    "Fees of each strategy's fills in each step. Worry about one whose fees eat its profits: it trades "
                    "too often for what it finds.",
                    [prometheus(total(catalog.strategy_fees, STRATEGY, over="$__interval"), _NAME)],
                    unit=USDT,
                    links=[_WHY],
                ),
                _UNKNOWN,
            ),
            panels.quiet(
                panels.curve(
                    8,
                    "Slippage (95 %)",
                    "Distance of the fills from the expected price: 95 % are better. A dot is one order: click it. "
                    "Worry from the red line on: the market is thin or fast, or the orders are too big.",
                    [prometheus(quantile(0.95, catalog.strategy_slippage, STRATEGY), _NAME)],
                    unit=BPS,
                    limit="HighSlippage",
                    floor=0,
                    now_and_then=True,
                    links=[_WHY, page.to("execution")],
                ),
                _UNKNOWN,
            ),
        ],
    )


def _quality() -> dashboard.Row:
    return (
        9,
        [
            factor(9),
            panels.quiet(
                panels.curve(
                    10,
                    "Win rate",
                    "Share of each strategy's last 20 trades that won. Worry when it leaves the range of the backtest; "
                    "a low one is no harm where winners are much bigger than losers.",
                    [prometheus(series(catalog.strategy_win_rate), _NAME)],
                    unit=SHARE,
                    floor=0,
                    steps=True,
                    links=[_WHY],
                ),
                "no trade has been closed yet",
            ),
        ],
    )


def factor(id: int) -> Json:
    """The panel of profits over losses."""
    return panels.quiet(
        panels.curve(
            id,
            "Profit factor",
            "Profits over losses that each strategy realized since the bot's start. Worry below 1: it loses more than "
            "it wins, before fees. A few trades prove nothing.",
            [prometheus(profit_factor(), _NAME)],
            unit=TIMES,
            limit=grammar.below(1),
            floor=0,
            steps=True,
            links=[_WHY],
        ),
        "no strategy has realized a loss yet",
    )


def _record() -> dashboard.Row:
    return (9, [trades(11), sharpe(12)])


def trades(id: int) -> Json:
    """The panel of how often each strategy realizes something."""
    return panels.quiet(
        panels.bars(
            id,
            "Trades",
            "Trades that realized a profit or a loss, in each step. Worry about none where there are fills: positions "
            "only grow.",
            [prometheus(total(catalog.strategy_trade_count, STRATEGY, over="$__interval"), _NAME)],
            unit=COUNT,
            links=[_WHY],
        ),
        "no trade has been closed yet",
    )


def sharpe(id: int) -> Json:
    """The panel of each strategy's Sharpe ratio."""
    return panels.quiet(
        panels.curve(
            id,
            "Rolling Sharpe",
            "Mean over deviation of the daily PnL of 30 days, annualised. Worry when it stays below 0 for weeks; in "
            "the first days it jumps.",
            [prometheus(series(catalog.strategy_sharpe_rolling), _NAME)],
            unit=NUMBER,
            limit=grammar.below(0),
            steps=True,
            links=[_WHY],
        ),
        "needs two days of trades",
    )


def build() -> Json:
    """The file ``strategy.json``."""
    return dashboard.dashboard(
        UID,
        page.TITLES[UID],
        "Each strategy of a bot: what it earns, how often it speaks, what its trades cost.",
        [_money(), _speech(), _fills(), _costs(), _quality(), _record()],
        variables=page.variables(SYMBOL, STRATEGY),
        annotations=page.marks(),
    )
