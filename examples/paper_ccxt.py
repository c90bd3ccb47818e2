"""Stands in for ``import ccxt`` in these examples: the same calls and answers, without an account."""

from __future__ import annotations

import itertools
import time
from typing import Any


class InsufficientFunds(Exception):
    """As ccxt names it."""


class binance:  # noqa: N801 - ccxt's spelling
    """The few calls of a ccxt exchange that the examples need. Market orders fill at 64,000 at once."""

    id = "binance"
    hostname = "api.binance.com"

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        self._ids = itertools.count(1001)
        self._orders: dict[str, dict[str, Any]] = {}

    def create_order(
        self, symbol: str, type: str, side: str, amount: float, price: float | None = None, params: Any = None
    ) -> dict[str, Any]:
        if amount > 10:
            raise InsufficientFunds("binance Account has insufficient balance for requested action.")
        resting = type == "limit"
        venue_id = str(next(self._ids))
        order: dict[str, Any] = {
            "id": venue_id,
            "clientOrderId": f"x-{venue_id}",
            "timestamp": int(time.time() * 1000),
            "symbol": symbol,
            "type": type,
            "side": side,
            "price": price,
            "amount": amount,
            "filled": 0.0 if resting else amount,
            "remaining": amount if resting else 0.0,
            "average": None if resting else 64_000.0,
            "status": "open" if resting else "closed",
            "fee": None if resting else {"cost": amount * 64.0, "currency": "USDT"},
        }
        self._orders[venue_id] = order
        return dict(order)

    def fetch_order(self, id: str, symbol: str | None = None, params: Any = None) -> dict[str, Any]:
        return dict(self._orders[id])

    def cancel_order(self, id: str, symbol: str | None = None, params: Any = None) -> dict[str, Any]:
        self._orders[id] |= {"status": "canceled"}
        return dict(self._orders[id])

    def fetch_balance(self, params: Any = None) -> dict[str, Any]:
        return {"USDT": {"free": 10_000.0, "used": 0.0, "total": 10_000.0}}
