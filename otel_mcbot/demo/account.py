"""Positions: what fills make of money."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Position:
    """A signed quantity at an average price. ``realized`` (quote currency) is before fees, which are kept apart."""

    quantity: float = 0.0
    average_price: float = 0.0
    realized: float = 0.0
    fees: float = 0.0

    def fill(self, side: str, quantity: float, price: float, fee: float = 0.0) -> float:
        """Books one fill and returns what it realized: the part that closes; 0 when it only adds."""
        signed = quantity if side == "BUY" else -quantity
        before, after = self.quantity, round(self.quantity + signed, 10)
        realized = 0.0
        if before * signed < 0:
            closed = min(abs(before), quantity)
            realized = closed * (price - self.average_price) * (1 if before > 0 else -1)
        if before * signed >= 0:
            self.average_price = (abs(before) * self.average_price + quantity * price) / (abs(before) + quantity)
        elif before * after < 0:
            self.average_price = price  # turned round: what is left was opened by this fill
        elif after == 0:
            self.average_price = 0.0
        self.quantity = after
        self.realized += realized
        self.fees += fee
        return realized

    def unrealized(self, price: float) -> float:
        """Value of closing all at ``price``, fees left out."""
        return self.quantity * (price - self.average_price)

    def pnl(self, price: float) -> float:
        """Realized and unrealized at ``price``, after fees."""
        return self.realized + self.unrealized(price) - self.fees
