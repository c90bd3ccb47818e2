"""Layer 2: positions, balance, realized PnL."""

from __future__ import annotations

from otel_mcbot import catalog, facts


class Account:
    """Records money. A closed position's series report 0 once and go."""

    def __init__(self) -> None:
        self._realized: dict[str, float] = {}

    def meet_symbol(self, symbol: str) -> None:
        """Let the symbol's counters exist at 0."""
        catalog.realized_profit.zero(symbol=symbol)
        catalog.realized_loss.zero(symbol=symbol)

    def record_balance(self, balance: facts.BalanceUpdated) -> None:
        """What is ``None`` stays as it was."""
        drawdown = None if balance.drawdown is None else balance.drawdown * 100
        for gauge, value in (
            (catalog.equity, balance.equity),
            (catalog.drawdown, drawdown),
            (catalog.cash, balance.cash),
            (catalog.open_positions, balance.open_positions),
            (catalog.aggregate_leverage, balance.aggregate_leverage),
            (catalog.margin_used, balance.margin_used),
        ):
            if value is not None:
                gauge.set(value)

    def record_position(self, position: facts.PositionUpdated) -> float:
        """Returns what was realized since the last update, in quote currency."""
        symbol = position.symbol
        if position.size == 0:
            for gauge in (catalog.position_size, catalog.position_notional, catalog.unrealized_pnl):
                gauge.remove(symbol=symbol)
        else:
            if position.size is not None:
                catalog.position_size.set(abs(position.size), symbol=symbol)
                if position.last_price is not None:
                    catalog.position_notional.set(abs(position.size) * position.last_price, symbol=symbol)
            if position.unrealized_pnl is not None:
                catalog.unrealized_pnl.set(position.unrealized_pnl, symbol=symbol)
        realized = self._realized_by(position)
        if realized > 0:
            catalog.realized_profit.add(realized, symbol=symbol)
        elif realized < 0:
            catalog.realized_loss.add(-realized, symbol=symbol)
        return realized

    def _realized_by(self, position: facts.PositionUpdated) -> float:
        """The update's own delta, else the step of the running total; the first total seen may be of another day."""
        total = position.realized_pnl
        before = self._realized.get(position.symbol, total)
        if total is not None:
            self._realized[position.symbol] = total
        if position.realized_pnl_delta is not None:
            return position.realized_pnl_delta
        return total - before if total is not None and before is not None else 0.0
