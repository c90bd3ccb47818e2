"""What can happen to a bot: the facts that every source makes and every consumer only reads.

A fact is frozen and slotted, carries no telemetry type, and is made right at birth: numbers become finite floats
(or ``None``), sides, directions and order types get one spelling, enums become strings. A source never has to care
what its bot uses, and a consumer never has to check again.

Units: price in quote currency, quantity in base currency, money in the quote currency (USDT), durations in seconds,
ratios as fractions. ``at`` is a monotonic time (``time.monotonic``), ``*_time`` a wall-clock time (Unix seconds).
"""

from __future__ import annotations

import enum
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

SIDES: Final[Mapping[str, str]] = {
    "BUY": "BUY", "B": "BUY", "BID": "BUY", "LONG": "BUY", "1": "BUY",
    "SELL": "SELL", "S": "SELL", "ASK": "SELL", "SHORT": "SELL", "-1": "SELL",
}  # fmt: skip
DIRECTIONS: Final[Mapping[str, str]] = {
    "LONG": "LONG", "BUY": "LONG", "1": "LONG", "UP": "LONG",
    "SHORT": "SHORT", "SELL": "SHORT", "-1": "SHORT", "DOWN": "SHORT",
    "NEUTRAL": "NEUTRAL", "FLAT": "NEUTRAL", "0": "NEUTRAL", "HOLD": "NEUTRAL", "NONE": "NEUTRAL",
}  # fmt: skip
ORDER_TYPES: Final[Mapping[str, str]] = {
    "MARKET": "MARKET", "LIMIT": "LIMIT", "LIMIT_MAKER": "LIMIT", "POST_ONLY": "LIMIT",
    "STOP": "STOP_MARKET", "STOP_MARKET": "STOP_MARKET", "STOP_LOSS": "STOP_MARKET",
    "TAKE_PROFIT_MARKET": "STOP_MARKET",
    "STOP_LIMIT": "STOP_LIMIT", "STOP_LOSS_LIMIT": "STOP_LIMIT", "TAKE_PROFIT": "STOP_LIMIT",
}  # fmt: skip

REJECT_REASONS: Final = (
    "leverage_exceeded",
    "max_positions",
    "order_size_exceeded",
    "circuit_breaker",
    "duplicate",
    "other",
)
"""The values of the label ``reason``; any other text is mapped to one of them by :func:`reject_reason`."""

_REASON_WORDS: Final = (
    ("circuit_breaker", ("circuit", "breaker", "kill switch", "halt")),
    ("leverage_exceeded", ("leverage", "margin", "-2019", "insufficient")),
    ("max_positions", ("position", "-2027")),
    ("duplicate", ("duplicate", "-4116", "already exists", "already sent")),
    ("order_size_exceeded", ("size", "notional", "quantity", "qty", "lot", "-4164", "-1013", "-4005")),
)


def number(value: object) -> float | None:
    """``value`` as a finite float, or ``None`` where it is none (``None``, NaN, infinite, unparsable)."""
    if value is None or isinstance(value, bool):
        return None
    try:
        result = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return result if math.isfinite(result) else None


def text(value: object) -> str | None:
    """``value`` as a plain string: an enum by its value (an ``IntEnum`` by its name), ``""`` as ``None``."""
    if value is None:
        return None
    if isinstance(value, enum.Enum):
        value = value.value if isinstance(value.value, str) else value.name
    result = str(value)
    return str(result) if result else None  # str() again: a StrEnum must not travel as a label


def _spelled(value: object, table: Mapping[str, str], otherwise: str | None) -> str | None:
    if value is None:
        return otherwise
    if isinstance(value, enum.Enum):
        by_name = table.get(str(value.name).upper())
        if by_name is not None:
            return by_name
        value = value.value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = int(math.copysign(1, value)) if value else 0
    key = str(value).strip().upper().replace(" ", "_").replace("-", "_") if str(value) != "-1" else "-1"
    return table.get(key, otherwise)


def side(value: object) -> str | None:
    """``BUY`` or ``SELL`` from whatever the bot writes (``"buy"``, ``Side.BUY``, ``1``, ``"LONG"``), else ``None``."""
    return _spelled(value, SIDES, None)


def direction(value: object) -> str:
    """``LONG``, ``SHORT`` or ``NEUTRAL`` from a string, a number or an enum; what is unknown is ``NEUTRAL``."""
    return _spelled(value, DIRECTIONS, "NEUTRAL") or "NEUTRAL"


def order_type(value: object) -> str:
    """``MARKET``, ``LIMIT``, ``STOP_MARKET`` or ``STOP_LIMIT``; what is unknown is ``MARKET``."""
    return _spelled(value, ORDER_TYPES, "MARKET") or "MARKET"


def reject_reason(value: object) -> str:
    """One of :data:`REJECT_REASONS` for a bot's or a venue's free text: by name first, then by the words in it."""
    words = (text(value) or "").strip().lower()
    if words.replace(" ", "_") in REJECT_REASONS:
        return words.replace(" ", "_")
    for reason, needles in _REASON_WORDS:
        if any(needle in words for needle in needles):
            return reason
    return "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something that happened. ``at``: when (monotonic seconds); ``correlation_id``: the causal chain it belongs to."""

    at: float = field(default_factory=time.monotonic)
    correlation_id: str | None = None

    def __post_init__(self) -> None:
        for name, make in _NORMAL.get(type(self).__name__, ()):
            object.__setattr__(self, name, make(getattr(self, name)))


# -- the market and the decision ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class BarReceived(Fact):
    """A bar reached the bot. ``bar_time`` is the bar's own time."""

    symbol: str
    timeframe: str
    close: float | None = None
    bar_time: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalGenerated(Fact):
    """A strategy decided. ``direction`` LONG, SHORT or NEUTRAL; ``strength`` as the strategy scales it."""

    strategy: str
    symbol: str
    direction: str
    strength: float | None = None
    pod_id: str | None = None
    bar_time: float | None = None


# -- orders --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFact(Fact):
    """Anything about one order: known by the client's id, by the venue's id, or by both."""

    client_id: str | None = None
    venue_id: str | None = None
    symbol: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequested(OrderFact):
    """The bot wants an order. Told twice (before and after validation) it is still one order.

    An order is complete at ``quantity``; where only ``notional`` is known, at 99.9 % of it.
    """

    side: str | None = None
    order_type: str = "MARKET"
    quantity: float | None = None
    notional: float | None = None
    price: float | None = None
    expected_price: float | None = None
    strategy: str | None = None
    pod_id: str | None = None
    validated: bool = True
    target_weight: float | None = None
    time_in_force: str | None = None
    reduce_only: bool | None = None
    parent_client_id: str | None = None
    instrument_type: str | None = None
    exchange: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAcknowledged(OrderFact):
    """The venue has the order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRejected(OrderFact):
    """The bot's risk check or the venue refused it: a ``reason`` of :data:`REJECT_REASONS`, and its own words."""

    reason: str = "other"
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilled(OrderFact):
    """One part, incremental. The same ``fill_id`` twice is one part; with ``None`` every one is another."""

    fill_id: str | None = None
    side: str | None = None
    quantity: float | None = None
    price: float | None = None
    fee: float | None = None
    fee_currency: str | None = None
    liquidity: str | None = None
    fill_time: float | None = None
    pod_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderReported(OrderFact):
    """The order as the venue sees it now: everything cumulative, so any number of reports is as good as the last.

    ``status`` is in the words of trace.md (``new``, ``partially_filled``, ``filled``, ``canceled``, ``rejected``,
    ``expired``) or ``None`` where the source does not say.
    """

    side: str | None = None
    order_type: str | None = None
    quantity: float | None = None
    price: float | None = None
    status: str | None = None
    filled: float | None = None
    average_price: float | None = None
    fee: float | None = None
    fee_currency: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCanceled(OrderFact):
    """The order was withdrawn, by the bot or by the venue."""

    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderExpired(OrderFact):
    """The order ran out of time at the venue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderReplaced(OrderFact):
    """The order was amended. With ``new_client_id`` another order takes its place; without, the same one goes on."""

    new_client_id: str | None = None
    quantity: float | None = None
    price: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLost(OrderFact):
    """Nobody knows what became of the order: no answer in time, or reconciliation says so."""

    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderSkipped(Fact):
    """An order that was never sent. ``cause``: ``min_notional`` or ``api_blocked``."""

    symbol: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckDenied(Fact):
    """A pre-trade check refused an order that has no id yet. ``reason`` is one of :data:`REJECT_REASONS`."""

    symbol: str
    reason: str = "other"
    strategy: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FillUnreadable(Fact):
    """A fill response that the bot could not parse."""

    symbol: str


# -- money ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionUpdated(Fact):
    """A position as it is now. ``size`` unsigned with ``direction``, or signed; 0 is closed.

    ``realized_pnl_delta`` is what this update realized; where a bot only has the running total, give ``realized_pnl``.
    """

    symbol: str
    size: float | None = None
    direction: str | None = None
    last_price: float | None = None
    average_price: float | None = None
    unrealized_pnl: float | None = None
    realized_pnl: float | None = None
    realized_pnl_delta: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceUpdated(Fact):
    """The account as it is now. ``drawdown`` is a fraction, 0.0–1.0; ``None`` leaves a gauge as it was."""

    equity: float | None = None
    cash: float | None = None
    margin_used: float | None = None
    drawdown: float | None = None
    open_positions: int | None = None
    aggregate_leverage: float | None = None


# -- the bot itself ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskAlertRaised(Fact):
    """Something is wrong, says ``source``. ``level``: ``WARNING`` or ``CRITICAL``."""

    level: str
    message: str = ""
    source: str = "bot"


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreakerTripped(Fact):
    """The system stop-loss closed everything."""

    reason: str = ""
    close_all: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegimeChanged(Fact):
    """The market's regime by the bot's own classifier."""

    symbol: str
    previous: str | None = None
    current: str | None = None
    confidence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat(Fact):
    """The bot says that it is alive. ``time`` Unix seconds."""

    component: str = "bot"
    time: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorOccurred(Fact):
    """An exception that the bot caught or died of.

    ``component``: EventBus, LiveRunner, Exchange …; ``error_type``: the exception's class name.
    """

    component: str
    error_type: str
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCalled(Fact):
    """One exchange call. ``status``: ``success`` or ``failure``; ``error``: the exception's class name."""

    endpoint: str
    status: str
    seconds: float
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceChanged(Fact):
    """Planned silence begins (``until`` Unix seconds) or ends (``until`` None)."""

    reason: str
    until: float | None = None


_Normal = tuple[tuple[str, Any], ...]
_ID: Final[_Normal] = (("client_id", text), ("venue_id", text), ("symbol", text), ("correlation_id", text))
_NORMAL: Final[Mapping[str, _Normal]] = {
    "BarReceived": (("symbol", text), ("timeframe", text), ("close", number), ("bar_time", number)),
    "SignalGenerated": (
        ("strategy", text), ("symbol", text), ("direction", direction), ("strength", number), ("pod_id", text),
        ("bar_time", number), ("correlation_id", text),
    ),
    "OrderRequested": (
        *_ID, ("side", side), ("order_type", order_type), ("quantity", number), ("notional", number),
        ("price", number), ("expected_price", number), ("strategy", text), ("pod_id", text), ("validated", bool),
        ("target_weight", number), ("time_in_force", text), ("parent_client_id", text),
    ),
    "OrderAcknowledged": _ID,
    "OrderRejected": (*_ID, ("message", text), ("reason", reject_reason)),
    "OrderFilled": (
        *_ID, ("fill_id", text), ("side", side), ("quantity", number), ("price", number), ("fee", number),
        ("fee_currency", text), ("liquidity", text), ("fill_time", number), ("pod_id", text),
    ),
    "OrderReported": (
        *_ID, ("side", side), ("quantity", number), ("price", number), ("status", text), ("filled", number),
        ("average_price", number), ("fee", number), ("fee_currency", text), ("message", text),
    ),
    "OrderCanceled": (*_ID, ("message", text)),
    "OrderExpired": _ID,
    "OrderReplaced": (*_ID, ("new_client_id", text), ("quantity", number), ("price", number)),
    "OrderLost": (*_ID, ("message", text)),
    "OrderSkipped": (("symbol", text), ("cause", text)),
    "CheckDenied": (("symbol", text), ("reason", reject_reason), ("strategy", text)),
    "FillUnreadable": (("symbol", text),),
    "PositionUpdated": (
        ("symbol", text), ("size", number), ("last_price", number), ("average_price", number),
        ("unrealized_pnl", number), ("realized_pnl", number), ("realized_pnl_delta", number),
    ),
    "BalanceUpdated": (
        ("equity", number), ("cash", number), ("margin_used", number), ("drawdown", number),
        ("open_positions", number), ("aggregate_leverage", number),
    ),
    "RiskAlertRaised": (("level", text), ("message", lambda value: text(value) or ""), ("source", text)),
    "CircuitBreakerTripped": (("reason", lambda value: text(value) or ""),),
    "RegimeChanged": (("symbol", text), ("previous", text), ("current", text), ("confidence", number)),
    "Heartbeat": (("component", text),),
    "ErrorOccurred": (("component", text), ("error_type", text)),
    "ApiCalled": (("endpoint", text), ("status", text), ("seconds", number), ("error", text)),
    "MaintenanceChanged": (("reason", text), ("until", number)),
}  # fmt: skip
