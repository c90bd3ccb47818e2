"""Layer 5: what each strategy does and earns.

PnL is what position updates realize, given to the strategy of the symbol's last fill; it counts from the start of the
process. Days are those of the market where bars carry their time, so that a replay has days too, else of the clock.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Final

from opentelemetry.context import Context

from otel_mcbot import catalog, facts

from .execution import SIDES

if TYPE_CHECKING:
    from otel_mcbot.ledger import Change, Ledger

DIRECTIONS: Final = ("LONG", "SHORT", "NEUTRAL")
TRADES: Final = 20
"""Trades that the win rate looks back on."""
DAYS: Final = 30
"""Days that the Sharpe ratio looks back on."""
DAY: Final = 86_400
DAYS_A_YEAR: Final = 365
"""Crypto markets do not close."""


class Performance:
    """One strategy's PnL, in quote currency, from its first signal or order on."""

    def __init__(self, day: int) -> None:
        self.pnl = 0.0
        self.peak = 0.0
        self.equity: float | None = None
        """Of the account, when PnL was at its peak."""
        self.first_day = day
        self._days: dict[int, float] = {}
        self._won: deque[bool] = deque(maxlen=TRADES)

    def trade(self, realized: float, day: int, equity: float | None) -> None:
        """A trade realized this much."""
        self.pnl += realized
        self._won.append(realized > 0)
        self._days = {each: pnl for each, pnl in self._days.items() if each > day - DAYS}
        self._days[day] = self._days.get(day, 0.0) + realized
        if self.pnl >= self.peak or self.equity is None:
            self.equity = equity
        self.peak = max(self.peak, self.pnl)

    @property
    def drawdown_pct(self) -> float | None:
        """Fall from the peak, percent of the account's equity at that peak; ``None`` while that is not known."""
        fall = self.peak - self.pnl
        if fall <= 0:
            return 0.0
        return fall / self.equity * 100 if self.equity is not None and self.equity > 0 else None

    @property
    def win_rate(self) -> float | None:
        """Share of the last trades that won."""
        return sum(self._won) / len(self._won) if self._won else None

    def sharpe(self, day: int) -> float | None:
        """Annualised mean over deviation of daily PnL, days without a trade too; ``None`` before there are two days."""
        first = max(self.first_day, day - DAYS + 1)
        days = self._days  # replaced, never changed in what it holds of the past
        daily = [days.get(each, 0.0) for each in range(first, day + 1)]
        if len(daily) < 2 or (deviation := stdev(daily)) <= 0:
            return None
        return fmean(daily) / deviation * math.sqrt(DAYS_A_YEAR)


class Strategy:
    """Records by strategy."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._performance: dict[str, Performance] = {}
        self._equity: float | None = None
        self._market_time: float | None = None

    def start(self, strategies: Iterable[str]) -> None:
        """Let the counters of known strategies exist at 0."""
        catalog.strategy_sharpe_rolling.watch(self._sharpes)
        for strategy in strategies:
            self.meet(strategy)

    def meet(self, strategy: str) -> Performance:
        """The strategy's performance; at first sight its counters come to exist at 0."""
        performance = self._performance.get(strategy)
        if performance is None:
            performance = self._performance[strategy] = Performance(self._day())
            for side in DIRECTIONS:
                catalog.strategy_signals.zero(strategy=strategy, side=side)
            for side in SIDES:
                catalog.strategy_fills.zero(strategy=strategy, side=side)
            catalog.strategy_fees.zero(strategy=strategy)
            catalog.strategy_realized_profit.zero(strategy=strategy)
            catalog.strategy_realized_loss.zero(strategy=strategy)
            catalog.strategy_trade_count.zero(strategy=strategy)
            catalog.strategy_pnl.set(0, strategy=strategy)
            catalog.strategy_drawdown.set(0, strategy=strategy)
        return performance

    def record_bar(self, bar: facts.BarReceived) -> None:
        if bar.bar_time is None:
            return
        if self._market_time is None:  # strategies that were met before count by the market's days, too
            for performance in self._performance.values():
                performance.first_day = min(performance.first_day, int(bar.bar_time // DAY))
        self._market_time = max(self._market_time or 0.0, bar.bar_time)

    def record_balance(self, balance: facts.BalanceUpdated) -> None:
        self._equity = balance.equity or self._equity

    def record_signal(self, signal: facts.SignalGenerated, context: Context | None) -> None:
        self.meet(signal.strategy)
        catalog.strategy_signals.add(context=context, strategy=signal.strategy, side=signal.direction)

    def record_change(self, change: Change, slippage: float | None, context: Context | None) -> None:
        """Only fills of orders that were asked for belong to a strategy."""
        order = change.order
        strategy = order.strategy
        if not order.known or strategy is None:
            return
        self.meet(strategy)
        if change.parts > 0:
            catalog.strategy_fills.add(change.parts, context=context, strategy=strategy, side=order.side)
        if change.fee > 0:
            catalog.strategy_fees.add(change.fee, context=context, strategy=strategy)
        if slippage is not None:
            catalog.strategy_slippage.record(
                abs(slippage), context=context, strategy=strategy, symbol=order.symbol, side=order.side
            )

    def record_realized(self, symbol: str, realized: float) -> None:
        """PnL was realized on ``symbol``: it is the strategy's whose fill was the last there."""
        strategy = self._ledger.last_strategy(symbol)
        if strategy is None or realized == 0:
            return
        performance = self.meet(strategy)
        performance.trade(realized, self._day(), self._equity)
        if realized > 0:
            catalog.strategy_realized_profit.add(realized, strategy=strategy)
        else:
            catalog.strategy_realized_loss.add(-realized, strategy=strategy)
        catalog.strategy_trade_count.add(strategy=strategy)
        catalog.strategy_pnl.set(performance.pnl, strategy=strategy)
        for gauge, value in (
            (catalog.strategy_drawdown, performance.drawdown_pct),
            (catalog.strategy_win_rate, performance.win_rate),
        ):
            if value is not None:
                gauge.set(value, strategy=strategy)

    def _day(self) -> int:
        return int((self._market_time or time.time()) // DAY)

    def _sharpes(self) -> Iterable[tuple[float | None, dict[str, object]]]:
        day = self._day()
        return [(each.sharpe(day), {"strategy": name}) for name, each in self._performance.copy().items()]
