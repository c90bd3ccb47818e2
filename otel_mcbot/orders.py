"""One order: its state machine, and the arithmetic of what several sources say was filled.

There are up to four accounts of an order: the venue's trades, fill events of the bot's own bus, parts that nobody
numbered, and cumulative reports. All describe the same quantity, so they are never added to each other: ``filled``,
``cost``, ``fees`` and ``parts`` follow the account that knows most. Telling more can only complete an order, never
repeat it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final


class OrderStatus(StrEnum):
    """Where an order is in its life, in the words of ``trading.order.status``."""

    PENDING_NEW = "pending_new"
    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    REPLACED = "replaced"
    REJECTED = "rejected"
    EXPIRED = "expired"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more is expected of the order."""
        return self in TERMINAL


class Happening(StrEnum):
    """What can happen to an order. ``PART`` leaves it incomplete, ``COMPLETE`` does not."""

    ACK = "ack"
    PART = "part"
    COMPLETE = "complete"
    CANCEL = "cancel"
    EXPIRE = "expire"
    REJECT = "reject"
    REPLACE = "replace"


_S, _H = OrderStatus, Happening

TRANSITIONS: Final[Mapping[OrderStatus, Mapping[Happening, OrderStatus]]] = {
    _S.PENDING_NEW: {
        _H.ACK: _S.NEW, _H.PART: _S.PARTIALLY_FILLED, _H.COMPLETE: _S.FILLED, _H.CANCEL: _S.CANCELED,
        _H.EXPIRE: _S.EXPIRED, _H.REJECT: _S.REJECTED, _H.REPLACE: _S.REPLACED,
    },
    _S.NEW: {
        _H.PART: _S.PARTIALLY_FILLED, _H.COMPLETE: _S.FILLED, _H.CANCEL: _S.CANCELED,
        _H.EXPIRE: _S.EXPIRED, _H.REJECT: _S.REJECTED, _H.REPLACE: _S.REPLACED,
    },
    _S.PARTIALLY_FILLED: {
        _H.COMPLETE: _S.FILLED, _H.CANCEL: _S.CANCELED,
        _H.EXPIRE: _S.EXPIRED, _H.REJECT: _S.REJECTED, _H.REPLACE: _S.REPLACED,
    },
    _S.CANCELED: {_H.COMPLETE: _S.FILLED, _H.REPLACE: _S.REPLACED},  # some venues call a replaced order canceled
    _S.REPLACED: {_H.COMPLETE: _S.FILLED},
    _S.EXPIRED: {_H.COMPLETE: _S.FILLED},
    _S.REJECTED: {_H.COMPLETE: _S.FILLED},
    _S.FILLED: {},
}  # fmt: skip
"""Status × what happened → status. What is not listed leaves the order as it is: nothing ever moves back, and the
venue's fills are the truth even after an end."""

TERMINAL: Final = frozenset({_S.FILLED, _S.CANCELED, _S.REPLACED, _S.REJECTED, _S.EXPIRED})

ENDED_BY: Final[Mapping[OrderStatus, Happening]] = {
    _S.FILLED: _H.COMPLETE, _S.CANCELED: _H.CANCEL, _S.REPLACED: _H.REPLACE, _S.REJECTED: _H.REJECT,
    _S.EXPIRED: _H.EXPIRE,
}  # fmt: skip
"""Terminal status → what must have happened."""

REPORTED: Final[Mapping[str, Happening]] = {"new": _H.ACK, "partially_filled": _H.ACK} | {
    status.value: what for status, what in ENDED_BY.items()
}
"""Status of a report → what happened. Whether there were parts is read from the report's quantity."""

EPSILON: Final = 1e-9
"""Relative difference below which two quantities are the same: the error of a sum of parts."""
NOTIONAL_COMPLETE: Final = 0.999
"""Share of the notional at which an order of unknown quantity is complete: venues round the quantity down."""
GHOST: Final = 0.1
"""A price derived from two averages that is this far from the average is their rounding, not the market."""
FILL_IDS: Final = 256
"""Fill ids remembered an order. A duplicate follows its original closely, so the oldest may go."""
ALIASES: Final = 8
"""Other ids remembered an order."""
EVENT_PREFIX: Final = "event:"
"""A fill id that begins so names an event of the bot's bus, not the venue's trade."""
QUOTES: Final = frozenset({"USDT", "USDC", "USD", "BUSD", "FDUSD", "TUSD", "DAI"})
"""Currencies whose amounts are taken as they are."""

REPORTS: Final = "reports"

FROM_INFERENCE, FROM_REQUEST, FROM_VALIDATED, FROM_VENUE, FROM_AMENDMENT = 1, 2, 3, 4, 5
"""Where an order's quantity comes from; a worse source does not override a better one. The venue rounds what was
requested, so its word is better; an amendment is newer than a report that may still be on its way."""

Part = tuple[float, float, float | None]
"""Quantity, price, fee in quote currency (``None``: not known yet)."""


@dataclass(slots=True)
class Account:
    """What one kind of source says: base quantity, Σ quantity · price, fees in quote currency, number of parts.

    ``fees_for`` is the quantity whose fee is known.
    """

    quantity: float = 0.0
    cost: float = 0.0
    fees: float = 0.0
    fees_for: float = 0.0
    parts: int = 0


@dataclass(slots=True)
class Said:
    """What changes have already said of an order, so that nothing is said twice; a restart does not forget it."""

    requested: bool = False
    validated: bool = False
    acknowledged: bool = False
    completed: bool = False
    ended: bool = False
    filled: float = 0.0
    fees: float = 0.0
    parts: int = 0


@dataclass(slots=True)
class Order:
    """One order as it is known now. The ledger's to write, everybody's to read (``trace`` alone is theirs to write).

    Quantities in base currency, prices and money in quote currency, ``*_at`` monotonic seconds, ``requested_time`` Unix
    seconds. ``requested_at`` is the time of the request, or of the first that was heard of a stranger; ``last_at`` that
    of the last news.
    """

    client_id: str
    symbol: str
    requested_at: float
    requested_time: float
    last_at: float
    venue_id: str | None = None
    side: str | None = None
    order_type: str = "MARKET"
    quantity: float | None = None
    notional: float | None = None
    price: float | None = None
    expected_price: float | None = None
    strategy: str | None = None
    pod_id: str | None = None
    correlation_id: str | None = None
    status: OrderStatus = OrderStatus.PENDING_NEW
    validated: bool = False
    known: bool = False
    """A request was seen: the order is the bot's own, no stranger."""
    filled: float = 0.0
    cost: float = 0.0
    fees: float = 0.0
    """Net: a rebate lowers it."""
    fee_currency: str | None = None
    """What the last fee was paid in."""
    parts: int = 0
    """Distinct parts that one source told apart: exact where one told them all."""
    acknowledged_at: float | None = None
    signal_at: float | None = None
    ended_at: float | None = None
    lost: bool = False
    reject_reason: str | None = None
    liquidity: str | None = None
    target_weight: float | None = None
    time_in_force: str | None = None
    reduce_only: bool | None = None
    parent_client_id: str | None = None
    replaces: str | None = None
    """Client id of the order whose place this one took."""
    instrument_type: str | None = None
    exchange: str | None = None
    trace: str | None = None
    """W3C ``traceparent`` of the order's place in its trace."""
    quantity_from: int = 0
    """One of the ``FROM_`` constants; 0 while the quantity is unknown."""
    rebated: bool = False
    """A fee was negative, so that the larger of two sums of fees need not be the better one."""
    restored: bool = False
    """Comes from before a restart, and was not requested since."""
    accounts: dict[str, Account] = field(default_factory=dict)
    fill_ids: dict[str, Part] = field(default_factory=dict)
    aliases: list[str] = field(default_factory=list)
    said: Said = field(default_factory=Said)

    @property
    def average_price(self) -> float | None:
        """Mean price of what was filled; ``None`` before the first part."""
        return self.cost / self.filled if self.filled > 0 and self.cost > 0 else None

    @property
    def is_complete(self) -> bool:
        """Whether all is filled that was wanted, as far as the quantity or the notional says."""
        if self.quantity is not None:
            return self.filled >= self.quantity * (1.0 - EPSILON)
        return self.notional is not None and self.cost >= self.notional * NOTIONAL_COMPLETE

    # -- what happens to it --------------------------------------------------------------------------------------------

    def happen(self, what: Happening) -> bool:
        """Move by the table. Whether it moved."""
        after = TRANSITIONS[self.status].get(what)
        if after is None:
            return False
        self.status = after
        return True

    def answer(self, at: float) -> None:
        """The venue has the order."""
        self.lost = False
        if self.acknowledged_at is None:
            self.acknowledged_at = at
            self.happen(Happening.ACK)

    def learn(self, name: str, value: object) -> None:
        """Fill a field of which nothing is known yet."""
        if value is not None and getattr(self, name) is None:
            setattr(self, name, value)

    def learn_quantity(self, quantity: float | None, source: int) -> None:
        """Take a positive quantity unless a better source has said one."""
        if quantity is not None and quantity > 0 and source >= self.quantity_from:
            self.quantity, self.quantity_from = quantity, source

    # -- what was filled -----------------------------------------------------------------------------------------------

    def add_part(self, fill_id: str | None, quantity: float, price: float, fee: float | None) -> None:
        """Count a part that was not told before."""
        kind = _kind(fill_id)
        account = self.accounts.get(kind)
        if account is None:
            account = self.accounts[kind] = Account()
        account.quantity += quantity
        account.cost += quantity * price
        account.parts += 1
        if fee is not None:
            account.fees += fee
            account.fees_for += quantity
        if fill_id is not None:
            self._remember(fill_id, (quantity, price, fee))
        self._add_up()

    def add_fee(self, fill_id: str, fee: float) -> None:
        """Count the fee of a part that was told without one."""
        quantity, price, _ = self.fill_ids[fill_id]
        self.fill_ids[fill_id] = (quantity, price, fee)
        account = self.accounts[_kind(fill_id)]
        account.fees += fee
        account.fees_for += quantity
        self._add_up()

    def add_report(self, filled: float, average: float | None, fee: float | None) -> None:
        """Take the cumulative view, unless it is older than the one taken before."""
        account = self.accounts.get(REPORTS)
        if account is None:
            account = self.accounts[REPORTS] = Account()
        if filled < account.quantity * (1.0 - EPSILON):
            return
        if filled > account.quantity * (1.0 + EPSILON):
            account.parts += 1
            account.quantity = filled
            account.cost = filled * (average or self.average_price or self.price or 0.0)
        elif average is not None:
            account.cost = account.quantity * average
        if fee is not None:
            account.fees, account.fees_for = fee, filled
        self._add_up()

    def absorb(self, other: Order) -> None:
        """``other`` turns out to be this order: what is known of it becomes known of this one."""
        for kind, theirs in other.accounts.items():
            mine = self.accounts.setdefault(kind, Account())
            if kind == REPORTS:
                if theirs.quantity > mine.quantity:
                    mine.quantity, mine.cost = theirs.quantity, theirs.cost
                if theirs.fees_for > mine.fees_for:
                    mine.fees, mine.fees_for = theirs.fees, theirs.fees_for
                mine.parts = max(mine.parts, theirs.parts)
            else:
                mine.quantity += theirs.quantity
                mine.cost += theirs.cost
                mine.fees += theirs.fees
                mine.fees_for += theirs.fees_for
                mine.parts += theirs.parts
        for fill_id, part in other.fill_ids.items():
            if fill_id in self.fill_ids:
                self._count_once(fill_id, part)
            else:
                self._remember(fill_id, part)
        self.rebated |= other.rebated
        self._add_up()
        self.said.filled += other.said.filled
        self.said.fees += other.said.fees
        self.said.parts += other.said.parts
        for name in ("side", "price", "pod_id", "correlation_id", "reject_reason", "liquidity", "fee_currency"):
            self.learn(name, getattr(other, name))
        self.learn_quantity(other.quantity, other.quantity_from)
        if other.acknowledged_at is not None:
            self.answer(other.acknowledged_at)
        if other.status in ENDED_BY:
            self.happen(ENDED_BY[other.status])

    def _count_once(self, fill_id: str, part: Part) -> None:
        """Take a part that was told of both halves of a merged order out of the sum once."""
        quantity, price, fee = part
        mine = self.fill_ids[fill_id]
        account = self.accounts[_kind(fill_id)]
        account.quantity -= quantity
        account.cost -= quantity * price
        account.parts -= 1
        if fee is not None and mine[2] is not None:
            account.fees -= fee
            account.fees_for -= quantity
        elif fee is not None:
            self.fill_ids[fill_id] = (mine[0], mine[1], fee)

    def _remember(self, fill_id: str, part: Part) -> None:
        self.fill_ids[fill_id] = part
        if len(self.fill_ids) > FILL_IDS:
            del self.fill_ids[next(iter(self.fill_ids))]

    def _add_up(self) -> None:
        """Let the account that knows most speak for the order.

        While no fee is negative each account's sum is a lower bound of the truth, so the largest is the best; with
        rebates it is that of the account which knows the fees of the larger quantity.
        """
        most = payer = None
        for account in self.accounts.values():
            if most is None or _exceeds(account.quantity, account.cost, most.quantity, most.cost):
                most = account
            if account.parts > self.parts:
                self.parts = account.parts
            if not self.rebated:
                if account.fees > self.fees:
                    self.fees = account.fees
            elif payer is None or _exceeds(account.fees_for, account.fees, payer.fees_for, payer.fees):
                payer = account
        if most is not None:
            self.filled, self.cost = most.quantity, most.cost
        if payer is not None:
            self.fees = payer.fees

    # -- over a restart ------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """A row of plain JSON values. Times are relative to the request: the clock of the next process is another."""
        row = {name: value for name, value in zip(_PLAIN, _plain(self), strict=True) if value is not None}
        for name in _TIMES:
            at = getattr(self, name)
            if at is not None:
                row[name] = at - self.requested_at
        row["status"] = self.status.value
        row["accounts"] = {kind: _values(account) for kind, account in self.accounts.items()}
        row["fill_ids"] = {fill_id: list(part) for fill_id, part in self.fill_ids.items()}
        row["aliases"] = list(self.aliases)
        row["said"] = _values(self.said)
        return row

    @classmethod
    def from_dict(cls, row: Mapping[str, Any], *, now: float, wall: float) -> Order:
        """The order of a row.

        Args:
            row: as :meth:`to_dict` gave it.
            now: monotonic time.
            wall: Unix time of the same moment.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: the row is none of ours.
        """
        requested_at = now - max(0.0, wall - row["requested_time"])  # a clock set back must not put it in the future
        values = {name: row[name] for name in _PLAIN if name in row}
        values |= {name: requested_at + row[name] for name in _TIMES if name in row}
        values |= {
            "requested_at": requested_at,
            "status": OrderStatus(row["status"]),
            "accounts": {kind: Account(*account) for kind, account in row["accounts"].items()},
            "fill_ids": {fill_id: _part(*part) for fill_id, part in row["fill_ids"].items()},
            "aliases": list(row["aliases"]),
            "said": Said(*row["said"]),
            "restored": True,
        }
        return cls(**values)


_TIMES: Final = ("last_at", "acknowledged_at", "signal_at", "ended_at")
_NESTED: Final = ("requested_at", "status", "accounts", "fill_ids", "aliases", "said", "restored")
_PLAIN: Final = tuple(f.name for f in fields(Order) if f.name not in (*_TIMES, *_NESTED))
_plain: Final = attrgetter(*_PLAIN)  # one call for all: the rows of a busy second are made under the lock
_FIELDS: Final = {kind: attrgetter(*(f.name for f in fields(kind))) for kind in (Account, Said)}


def _values(record: Account | Said) -> list[Any]:
    return list(_FIELDS[type(record)](record))


def _part(quantity: float, price: float, fee: float | None) -> Part:
    return quantity, price, fee


def _kind(fill_id: str | None) -> str:
    """The account that a part belongs to. A source that gives ids gives them always."""
    if fill_id is None:
        return "unnumbered"
    return "events" if fill_id.startswith(EVENT_PREFIX) else "trades"


def _exceeds(quantity: float, value: float, other_quantity: float, other_value: float) -> bool:
    """The larger quantity, or the larger value of equal ones."""
    if abs(quantity - other_quantity) <= EPSILON * other_quantity:
        return value > other_value
    return quantity > other_quantity


def in_quote(symbol: str, amount: float, currency: str | None, price: float | None) -> float | None:
    """``amount`` in the quote currency of ``symbol``: base currency counts at ``price``, an unsaid one is the quote.

    ``None`` where nobody here knows the rate.
    """
    if currency is None or not amount:
        return amount
    currency = currency.upper()
    base, quote = pair(symbol)
    if currency == quote or currency in QUOTES:
        return amount
    return amount * price if currency == base and price else None


@lru_cache(maxsize=4_096)
def pair(symbol: str) -> tuple[str, str]:
    """Base and quote currency of ``BTC/USDT``, ``BTC/USDT:USDT``, ``BTC-USDT-SWAP``, ``BTC_USDT`` or ``BTCUSDT``."""
    name = symbol.upper().partition(":")[0].replace("-", "/").replace("_", "/")
    base, slash, quote = name.partition("/")
    if slash:
        return base, quote.partition("/")[0]
    for quote in sorted(QUOTES, key=len, reverse=True):
        if name.endswith(quote) and name != quote:
            return name.removesuffix(quote), quote
    return name, ""


def strategy_in(client_id: str) -> str | None:
    """The strategy in a client id of the form ``{strategy}-{symbol_slug}-{counter}``, else ``None``."""
    words = client_id.rsplit("-", 2)
    return words[0] or None if len(words) == 3 and words[2].isdecimal() else None
