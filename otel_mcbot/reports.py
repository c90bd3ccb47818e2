"""What a venue says about an order, read into facts.

The shapes read are ccxt's unified order and trade (https://docs.ccxt.com/#/README?id=order-structure) and the raw words
of common venues, as a mapping or as an object with attributes. Only structure counts: nothing is imported, no class is
asked for. What is missing stays ``None``; what is no order gives nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from .facts import OrderFact, OrderFilled, OrderReported, number, text

CLIENT_ID: Final = ("clientOrderId", "client_order_id", "client_id", "newClientOrderId", "clOrdId", "clientOid")
VENUE_ID: Final = ("id", "order_id", "orderId", "exchange_order_id", "venue_order_id", "venue_id", "ordId")
QUANTITY: Final = ("amount", "quantity", "qty", "origQty", "orig_qty")
FILLED: Final = ("filled", "filled_quantity", "filled_qty", "executedQty", "cumQty", "executed_qty")
AVERAGE: Final = ("average", "average_price", "avg_price", "avgPrice", "avg_fill_price")
ORDER_TYPE: Final = ("type", "order_type", "orderType")
MESSAGE: Final = ("reason", "message", "msg", "reject_reason")

STATUSES: Final[Mapping[str, str]] = {
    "open": "new", "new": "new", "accepted": "new", "working": "new", "live": "new", "active": "new", "placed": "new",
    "triggered": "new", "canceling": "new", "pending_cancel": "new",
    "partially_filled": "partially_filled", "partial": "partially_filled", "partial_filled": "partially_filled",
    "closed": "filled", "filled": "filled", "done": "filled", "executed": "filled",
    "canceled": "canceled", "cancelled": "canceled", "partially_canceled": "canceled", "deactivated": "canceled",
    "rejected": "rejected", "denied": "rejected", "failed": "rejected",
    "expired": "expired", "expired_in_match": "expired",
}  # fmt: skip
"""A venue's word → trace.md's. A word that is not here says nothing (``None``)."""


def read(source: object, *names: str) -> Any:
    """The first of ``names`` that ``source`` (a mapping or an object) has and that is not ``None``, else ``None``."""
    if isinstance(source, Mapping):
        for name in names:
            value = source.get(name)
            if value is not None:
                return value
        return None
    for name in names:
        value = getattr(source, name, None)
        if value is not None:
            return value
    return None


def unix_seconds(value: object) -> float | None:
    """A time as Unix seconds: from a datetime (naive is taken as UTC), or a number in s, ms, µs or ns by its size."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    seconds = number(value)
    if seconds is None:
        return None
    while seconds > 1e11:  # 1e11 s is the year 5138, 1e11 ms is 1973
        seconds /= 1000.0
    return seconds


def facts_from(report: object) -> tuple[OrderFact, ...]:
    """Every order fact in a venue's answer: the order with its parts, one trade, or nothing.

    Parts come before the cumulative report, so that each keeps its own id, price and fee. An ``OrderFact`` is handed
    back as it is.
    """
    if isinstance(report, OrderFact):
        return (report,)
    fill = fill_from(report)
    if fill is not None:
        return (fill,)
    order = report_from(report)
    if order is None:
        return ()
    return (*_parts(report, order), order)


def report_from(report: object) -> OrderReported | None:
    """A venue's order as it stands now, or ``None`` where ``report`` names no order.

    ``status`` is in trace.md's words: ccxt's ``open`` is ``new`` or ``partially_filled`` by what is filled, ``closed``
    is ``filled`` unless nothing is. ``fee`` is the total in one currency (see :func:`_fee`).
    """
    if report is None or isinstance(report, (str, bytes, int, float)):
        return None
    client_id, venue_id = text(read(report, *CLIENT_ID)), text(read(report, *VENUE_ID))
    if client_id is None and venue_id is None:
        return None
    symbol = text(read(report, "symbol", "pair", "instrument"))
    filled, average = number(read(report, *FILLED)), number(read(report, *AVERAGE)) or None
    cost = number(read(report, "cost"))
    if average is None and filled and cost:
        average = cost / filled
    fee, currency = _fee(report, symbol, average)
    return OrderReported(
        client_id=client_id,
        venue_id=venue_id,
        symbol=symbol,
        side=read(report, "side"),
        order_type=text(read(report, *ORDER_TYPE)),
        quantity=number(read(report, *QUANTITY)) or None,
        price=number(read(report, "price", "limit_price")) or None,
        status=_status(read(report, "status", "state"), filled),
        filled=filled,
        average_price=average,
        fee=fee,
        fee_currency=currency,
        message=text(read(report, *MESSAGE)),
    )


def fill_from(trade: object) -> OrderFilled | None:
    """One part from ccxt's unified trade (it names its ``order``), or ``None`` where ``trade`` is none."""
    order = read(trade, "order")
    if not isinstance(order, (str, int)) or isinstance(order, bool) or read(trade, "price") is None:
        return None
    return _fill(trade, venue_id=text(order), client_id=text(read(trade, *CLIENT_ID)), symbol=None)


def _fill(trade: object, *, client_id: str | None, venue_id: str | None, symbol: str | None) -> OrderFilled:
    symbol = text(read(trade, "symbol")) or symbol
    price = number(read(trade, "price"))
    fee, currency = _fee(trade, symbol, price)
    return OrderFilled(
        client_id=client_id,
        venue_id=venue_id,
        symbol=symbol,
        fill_id=text(read(trade, "id", "trade_id", "tradeId")),
        side=read(trade, "side"),
        quantity=number(read(trade, *QUANTITY)),
        price=price,
        fee=fee,
        fee_currency=currency,
        liquidity=text(read(trade, "takerOrMaker", "liquidity")),
        fill_time=unix_seconds(read(trade, "timestamp", "time")),
    )


def _parts(report: object, order: OrderReported) -> Iterator[OrderFilled]:
    trades = read(report, "trades", "fills")
    if not isinstance(trades, (list, tuple)):
        return
    for trade in trades:
        part = _fill(trade, client_id=order.client_id, venue_id=order.venue_id, symbol=order.symbol)
        if part.fill_id is not None and part.quantity:  # without an id it could not be told from the next report's
            yield part


def _status(word: object, filled: float | None) -> str | None:
    status = STATUSES.get((text(word) or "").lower().replace("-", "_").replace(" ", "_"))
    if status == "new" and filled:
        return "partially_filled"
    if status == "filled" and filled == 0:  # closed without a part: some venues close what they cancel
        return "canceled"
    return status


def _fee(source: object, symbol: str | None, price: float | None) -> tuple[float | None, str | None]:
    """The fees of an order or a trade as one amount and its currency.

    Fees in several currencies become quote currency: what was paid in base counts at ``price``, and a third currency is
    left out, because nobody here knows its rate.
    """
    amounts: dict[str | None, float] = {}
    for cost, currency in _fees(source):
        amounts[currency] = amounts.get(currency, 0.0) + cost
    if not amounts:
        return None, None
    if len(amounts) == 1:
        ((currency, cost),) = amounts.items()
        return cost, currency
    base, _, rest = (symbol or "").partition("/")
    quote = rest.partition(":")[0] or None
    return amounts.get(quote, 0.0) + amounts.get(base, 0.0) * (price or 0.0), quote


def _fees(source: object) -> Iterable[tuple[float, str | None]]:
    several = read(source, "fees")
    fees = several if isinstance(several, (list, tuple)) and several else [read(source, "fee")]
    for fee in fees:
        plain = number(fee)
        if plain is not None:
            yield plain, text(read(source, "fee_currency", "commissionAsset"))
            continue
        cost = number(read(fee, "cost"))
        if cost is not None:
            yield cost, text(read(fee, "currency"))
