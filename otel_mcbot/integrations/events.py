"""A bot's events, read into facts by the names of their attributes.

One table says, for each event type, which fact it is and under which names its fields may be found. The first name of a
row is the vocabulary's own; the others belong to bots that are nearly like that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from otel_mcbot import facts
from otel_mcbot.facts import Fact, text
from otel_mcbot.orders import EVENT_PREFIX
from otel_mcbot.reports import read, unix_seconds

Names = tuple[str, ...]

SYMBOL: Final[Names] = ("symbol", "pair", "instrument", "instrument_id", "market")
STRATEGY: Final[Names] = ("strategy_name", "strategy", "strategy_id")
CLIENT_ID: Final[Names] = ("client_order_id", "client_id", "cl_ord_id", "clientOrderId", "order_id")
VENUE_ID: Final[Names] = ("venue_order_id", "exchange_order_id", "venue_id")
QUANTITY: Final[Names] = ("quantity", "qty", "amount")
ORDER: Final[Mapping[str, Names]] = {"client_id": CLIENT_ID, "venue_id": VENUE_ID, "symbol": SYMBOL}
ORDER_ID: Final[tuple[Names, ...]] = (("client_id", "venue_id"),)


@dataclass(frozen=True, slots=True)
class Shape:
    """How an event type is read: ``fields`` of the fact → names in the event; each group in ``needs`` wants one."""

    fact: Callable[..., Fact]
    fields: Mapping[str, Names]
    needs: tuple[Names, ...] = ()


SHAPES: Final[Mapping[str, Shape]] = {
    "bar": Shape(
        facts.BarReceived,
        {
            "symbol": SYMBOL,
            "timeframe": ("timeframe", "interval", "tf"),
            "close": ("close",),
            "bar_time": ("bar_timestamp", "bar_time", "open_time"),
        },
        needs=(("symbol",), ("timeframe",)),
    ),
    "signal": Shape(
        facts.SignalGenerated,
        {
            "strategy": (*STRATEGY, "source"),
            "symbol": SYMBOL,
            "direction": ("direction", "side", "action"),
            "strength": ("strength", "confidence"),
            "pod_id": ("pod_id",),
            "bar_time": ("bar_timestamp", "bar_time"),
        },
        needs=(("strategy",), ("symbol",), ("direction",)),
    ),
    "order_request": Shape(
        facts.OrderRequested,
        {
            **ORDER,
            "side": ("side", "action"),
            "order_type": ("order_type",),
            "quantity": QUANTITY,
            "notional": ("notional_usd", "notional"),
            "price": ("price", "limit_price"),
            "expected_price": ("expected_price",),
            "strategy": STRATEGY,
            "pod_id": ("pod_id",),
            "validated": ("validated",),
            "target_weight": ("target_weight",),
            "time_in_force": ("time_in_force", "tif"),
            "reduce_only": ("reduce_only",),
            "parent_client_id": ("parent_client_order_id",),
        },
        needs=ORDER_ID,
    ),
    "order_ack": Shape(facts.OrderAcknowledged, ORDER, needs=ORDER_ID),
    "order_rejected": Shape(
        facts.OrderRejected,
        {**ORDER, "reason": ("reason", "reject_reason", "message"), "message": ("reason", "reject_reason", "message")},
        needs=ORDER_ID,
    ),
    "order_canceled": Shape(facts.OrderCanceled, {**ORDER, "message": ("reason", "message")}, needs=ORDER_ID),
    "order_expired": Shape(facts.OrderExpired, ORDER, needs=ORDER_ID),
    "order_replaced": Shape(
        facts.OrderReplaced,
        {
            **ORDER,
            "new_client_id": ("new_client_order_id", "new_client_id"),
            "quantity": QUANTITY,
            "price": ("price", "limit_price"),
        },
        needs=ORDER_ID,
    ),
    "fill": Shape(
        facts.OrderFilled,
        {
            **ORDER,
            "fill_id": ("fill_id", "trade_id", "exec_id"),
            "side": ("side", "action"),
            "quantity": ("fill_qty", "filled_qty", *QUANTITY),
            "price": ("fill_price", "price", "avg_price"),
            "fee": ("fee", "commission"),
            "fee_currency": ("fee_currency", "commission_asset"),
            "liquidity": ("liquidity",),
            "fill_time": ("fill_timestamp", "timestamp"),
            "pod_id": ("pod_id",),
        },
        needs=(*ORDER_ID, ("quantity",), ("price",)),
    ),
    "position_update": Shape(
        facts.PositionUpdated,
        {
            "symbol": SYMBOL,
            "size": ("size", *QUANTITY),
            "direction": ("direction", "side"),
            "last_price": ("last_price", "mark_price"),
            "average_price": ("avg_entry_price", "entry_price"),
            "unrealized_pnl": ("unrealized_pnl",),
            "realized_pnl": ("realized_pnl",),
            "realized_pnl_delta": ("realized_pnl_delta",),
        },
        needs=(("symbol",), ("size",)),
    ),
    "balance_update": Shape(
        facts.BalanceUpdated,
        {
            "equity": ("total_equity", "equity"),
            "cash": ("available_cash", "cash"),
            "margin_used": ("total_margin_used", "margin_used"),
            "drawdown": ("drawdown_pct", "drawdown"),
            "open_positions": ("open_position_count", "open_positions"),
            "aggregate_leverage": ("aggregate_leverage", "leverage"),
        },
        needs=(("equity", "cash"),),
    ),
    "risk_alert": Shape(
        facts.RiskAlertRaised,
        {"level": ("alert_level", "level", "severity"), "message": ("message", "reason"), "source": ("source",)},
        needs=(("level",),),
    ),
    "circuit_breaker": Shape(
        facts.CircuitBreakerTripped, {"reason": ("reason", "message"), "close_all": ("close_all_positions",)}
    ),
    "regime_change": Shape(
        facts.RegimeChanged,
        {
            "symbol": SYMBOL,
            "previous": ("prev_label", "previous"),
            "current": ("new_label", "current"),
            "confidence": ("confidence",),
        },
        needs=(("symbol",),),
    ),
    "heartbeat": Shape(facts.Heartbeat, {"component": ("component", "source"), "time": ("timestamp",)}),
}

TYPE_NAMES: Final[Mapping[str, str]] = {
    "candle": "bar", "kline": "bar",
    "order_acknowledged": "order_ack", "order_accepted": "order_ack",
    "order_reject": "order_rejected", "order_denied": "order_rejected",
    "order_cancelled": "order_canceled", "order_cancel": "order_canceled",
    "order_filled": "fill", "order_fill": "fill",
    "position": "position_update", "balance": "balance_update", "circuit_breaker_triggered": "circuit_breaker",
}  # fmt: skip

_TIMES: Final = frozenset({"bar_time", "fill_time", "time"})
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class UnreadableError(ValueError):
    """An event of a known type without a field that the fact cannot do without. Says which names were looked for."""


def type_name(raw: object) -> str:
    """An event type in this vocabulary, from a string, an enum or a class (``OrderFilledEvent`` is ``fill``)."""
    word = raw.__name__ if isinstance(raw, type) else text(raw) or ""
    word = _CAMEL.sub("_", word).lower().replace("-", "_").replace(" ", "_").removesuffix("_event")
    return TYPE_NAMES.get(word, word)


def read_event(name: str, event: object, *, at: float) -> Fact:
    """The fact in ``event``, an object or a mapping of the type ``name`` (:func:`type_name`).

    Args:
        at: monotonic time of the publication.

    Raises:
        KeyError: the type is none of :data:`SHAPES`.
        UnreadableError: a field is missing.
    """
    shape = SHAPES[name]
    values: dict[str, Any] = {}
    for field, attribute in _plan(name, shape, event).items():
        value = event[attribute] if isinstance(event, Mapping) else getattr(event, attribute, None)
        if value is not None:
            values[field] = unix_seconds(value) if field in _TIMES else value
    for group in shape.needs:
        if not any(field in values for field in group):
            words = ", ".join(word for field in group for word in shape.fields[field])
            raise UnreadableError(f"a {name} event needs one of: {words}")
    if "direction" in values:
        values["direction"] = facts.direction(values["direction"])
    if "level" in values:
        values["level"] = (text(values["level"]) or "").upper()
    if name == "fill" and "fill_id" not in values:
        of_event = read(event, "event_id") or "/".join(
            str(values.get(field)) for field in ("fill_time", "price", "quantity")
        )
        values["fill_id"] = f"{EVENT_PREFIX}{of_event}"
    correlation_id = getattr(event, "correlation_id", None) or read(event, "correlation_id")
    return shape.fact(at=at, correlation_id=text(correlation_id), **values)


def fields_of(name: str, has: Callable[[str], bool]) -> tuple[str, ...]:
    """What of the type ``name`` an event (or its class) offers, in the event's own names."""
    return tuple(dict.fromkeys(_resolve(SHAPES[name], has).values()))


def missing_in(name: str, has: Callable[[str], bool]) -> tuple[str, ...]:
    """What the type ``name`` cannot do without and nothing answers: the names that were looked for, a string a need."""
    shape = SHAPES[name]
    groups = [[word for field in group for word in shape.fields[field]] for group in shape.needs]
    return tuple(" or ".join(group) for group in groups if not any(map(has, group)))


_plans: dict[tuple[str, type], dict[str, str]] = {}


def _plan(name: str, shape: Shape, event: object) -> dict[str, str]:
    """Fact field → attribute of this class of event; found once a class, because a miss costs far more than a hit."""
    if isinstance(event, Mapping):
        return _resolve(shape, event.__contains__)
    key = (name, type(event))
    plan = _plans.get(key)
    if plan is None:
        if len(_plans) >= 1_024:  # classes made at run time must not fill the memory
            _plans.clear()
        plan = _plans[key] = _resolve(shape, lambda word: hasattr(event, word))
    return plan


def _resolve(shape: Shape, has: Callable[[str], bool]) -> dict[str, str]:
    found = {field: next((word for word in names if has(word)), None) for field, names in shape.fields.items()}
    return {field: word for field, word in found.items() if word is not None}
