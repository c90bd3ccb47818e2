"""The one arbiter of orders: facts in, changes out.

Every source tells facts about orders, often the same thing twice, in any order and in two ways (one part, or everything
so far). The ledger takes them all and answers with what is *new*: changes that may be added up without looking back.
It is pure: no telemetry, no I/O, no threads; whoever shares it holds a lock. The states of an order and how it moves
between them are a table, :data:`~otel_mcbot.orders.TRANSITIONS`.

How an order is known
    By the client's id, with the venue's id (and any other client id that the venue uses) as alias. A fact with an
    unknown venue id and nothing else makes a provisional order under that id, which becomes the real one, or a part of
    it, as soon as a fact carries both ids. An order that nobody requested here is a *stranger*: its fills count, but it
    has no strategy and no milestones until a request is told; then they all come at once.

What a change says
    What exceeds all that was said before. The sum of the changes is therefore the largest value that was ever known.

When an order is complete
    At its quantity; where only the notional is known at 99.9 % of it, or when no part came for a while; at once when a
    report says ``filled``. Fills complete even an order that was canceled, expired, replaced or rejected before.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, TypeVar

from otel_mcbot import facts
from otel_mcbot.facts import (
    OrderAcknowledged,
    OrderCanceled,
    OrderExpired,
    OrderFact,
    OrderFilled,
    OrderLost,
    OrderRejected,
    OrderReplaced,
    OrderReported,
    OrderRequested,
)
from otel_mcbot.orders import (
    ALIASES,
    EPSILON,
    FROM_AMENDMENT,
    FROM_INFERENCE,
    FROM_REQUEST,
    FROM_VALIDATED,
    FROM_VENUE,
    GHOST,
    REPORTED,
    TERMINAL,
    Happening,
    Order,
    OrderStatus,
    in_quote,
    pair,
    strategy_in,
)

__all__ = ["Change", "Ledger", "Order", "OrderStatus", "Totals"]

NAMES: Final = 4_096
"""Symbols whose last strategy, and signals whose time, are remembered."""

REFUSED: Final = ("invalid", "unknown_order", "ambiguous", "unreadable_row")
"""Reasons of :attr:`Ledger.dropped` for which a fact was lost; the others say what a fact could not tell."""

_INHERITED: Final = (
    "side", "strategy", "pod_id", "correlation_id", "expected_price", "signal_at", "target_weight", "time_in_force",
    "reduce_only", "parent_client_id", "instrument_type", "exchange",
)  # fmt: skip
"""What an order takes over from the one that it replaces."""

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class Change:
    """What a fact changed. ``before`` and ``after`` tell the status; all else is new and may be added up.

    Milestones (``requested`` … ``ended``, and ``partial``) are said once an order, and only of orders whose request was
    seen: a stranger's wait until the request is told. Quantity, fee and parts are said of every order.
    """

    order: Order
    before: OrderStatus | None
    """``None``: the order was just made."""
    after: OrderStatus
    requested: bool = False
    validated: bool = False
    acknowledged: bool = False
    """The venue has the order: so says an ack, a fill, a cancel, an expiry, an amendment, a report but a rejection."""
    quantity: float = 0.0
    """Newly filled, base currency."""
    price: float | None = None
    """Of that quantity."""
    fee: float = 0.0
    """Newly known, quote currency. Never negative: a rebate lowers ``order.fees`` and is not taken back here."""
    fill_id: str | None = None
    parts: int = 0
    """Newly known parts: what a count of fills grows by. Usually 1 with a quantity; a part that a report had covered
    before brings no quantity, and a quantity that completes what two accounts knew brings no part."""
    partial: bool = False
    """There is a new part, and the order is not complete."""
    completed: bool = False
    ended: bool = False
    """Became terminal, first time. An order that fills after its cancel ends once and completes later."""
    lost: bool = False


@dataclass(slots=True)
class Totals:
    """What the ledger counted in this process: the sum of its changes.

    ``by_status`` has the orders whose request was seen, by terminal state, and as ``working`` those open now (restored
    ones too). A state falls below 0 where an order that ended before a restart is completed after it.
    """

    requested: int = 0
    by_status: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("working", *(s.value for s in OrderStatus if s in TERMINAL)), 0)
    )
    fills: int = 0
    fees: float = 0.0
    filled: dict[str, float] = field(default_factory=dict)
    """Symbol → base quantity."""


class Ledger:
    """Orders by id, each told once.

    Args:
        max_open: open orders kept; beyond it the oldest goes, a stranger first.
        remember: ended orders kept, so that a late duplicate is recognised.
        remember_for: seconds for which an ended order is kept, and a stranger of which nothing is heard.
        complete_after: seconds without a part after which an order of unknown quantity is complete.
        lost_after: seconds without an answer after which a validated request is lost.
        clock: monotonic seconds, the clock of ``Fact.at``.
        wall: Unix seconds.

    A fact that makes no sense raises nothing; :attr:`dropped` counts it by reason: ``invalid`` (no id, no positive
    quantity, not about an order), ``unknown_order`` (an unknown id and no symbol, or nothing to be made of it),
    ``ambiguous`` (a venue id that two symbols use). It counts as well what is lost in other ways: ``overflow`` (an open
    order beyond ``max_open``), ``reused_id`` (an open order of before the restart, whose id the bot gave again),
    ``fee_currency`` (a fee neither in quote nor in base currency, which counts 0), ``negative_fee`` (a rebate, which no
    counter can follow), ``unreadable_row``.
    """

    def __init__(
        self,
        *,
        max_open: int = 20_000,
        remember: int = 4_096,
        remember_for: float = 600.0,
        complete_after: float = 2.0,
        lost_after: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.max_open = max(1, max_open)
        self.remember = remember
        self.remember_for = remember_for
        self.complete_after = complete_after
        self.lost_after = lost_after
        self.totals = Totals()
        self.dropped: Counter[str] = Counter()
        self._clock = clock
        self._wall = wall
        # All oldest first. OrderedDict, because finding the first of a plain dict is slow after many were taken.
        self._open: OrderedDict[str, Order] = OrderedDict()
        self._ended: OrderedDict[str, Order] = OrderedDict()
        self._pending: OrderedDict[str, float] = OrderedDict()  # requested, not answered: since when
        self._ripening: OrderedDict[str, float] = OrderedDict()  # parts of an unknown quantity: time of the last
        self._strangers: OrderedDict[str, float] = OrderedDict()  # open and never requested: last heard of
        self._alias: dict[str, Order] = {}
        self._signals: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._strategies: OrderedDict[str, str] = OrderedDict()
        self._dirty: dict[str, Order | None] = {}
        self._dirty_strategies: dict[str, str] = {}
        self.open: Mapping[str, Order] = MappingProxyType(self._open)
        """Client id → order, oldest first. A live view."""
        self._handlers: dict[type, Callable[[Order, OrderStatus | None, Any], tuple[Change, ...]]] = {
            OrderRequested: self._requested,
            OrderAcknowledged: self._acknowledged,
            OrderRejected: self._rejected,
            OrderFilled: self._filled,
            OrderReported: self._reported,
            OrderCanceled: self._canceled,
            OrderExpired: self._expired,
            OrderReplaced: self._replaced,
            OrderLost: self._lost,
        }

    # -- what others ask -----------------------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        """Orders requested and not yet answered; one that waits longer than ``lost_after`` is not among them."""
        return len(self._pending)

    def get(self, id: str) -> Order | None:
        """The order with this client or venue id, open or remembered."""
        return self._open.get(id) or self._ended.get(id) or self._alias.get(id)

    def note_signal(self, strategy: str, symbol: str, at: float) -> None:
        """A strategy decided: its next request for the symbol takes the time along as ``signal_at``."""
        _put(self._signals, (strategy, symbol), at, NAMES)

    def last_strategy(self, symbol: str) -> str | None:
        """The strategy of the last fill of ``symbol`` that has one."""
        return self._strategies.get(symbol)

    # -- facts ---------------------------------------------------------------------------------------------------------

    def apply(self, fact: OrderFact) -> tuple[Change, ...]:
        """Take a fact. Returns what it changed: nothing, one change, or two where an order replaces another."""
        handler = self._handlers.get(type(fact))
        key = fact.client_id or fact.venue_id
        if handler is None or key is None or (isinstance(fact, OrderFilled) and not _positive(fact.quantity)):
            return self._refuse("invalid")
        order, before = self._find(fact)
        if order is not None and isinstance(fact, OrderRequested) and self._is_of_another_life(order, fact.at):
            if not order.status.is_terminal:
                self.dropped["reused_id"] += 1
            self._forget(order)
            order = before = None
        if order is None:
            if fact.symbol is None or isinstance(fact, OrderLost):
                return self._refuse("unknown_order")
            if key in self._open or key in self._ended:
                return self._refuse("ambiguous")
            order = self._make(key, fact.symbol, fact.at)
            if fact.venue_id is not None:
                self._add_venue_id(order, fact.venue_id)
        if order.correlation_id is None:
            order.correlation_id = fact.correlation_id
        return handler(order, before, fact)

    def due(self, now: float) -> list[OrderFact]:
        """What passing time says of orders, as facts to be applied; one that is not applied is given again.

        A request without an answer is lost; an order of unknown quantity is filled when no part comes any more, and was
        so at its last part. Also forgets what need not be remembered.
        """
        for order in self._elapsed(self._pending, self.lost_after, now):
            if not order.validated:  # so it was never sent, and waits for nothing
                del self._pending[order.client_id]
        due: list[OrderFact] = [
            OrderLost(
                at=now,
                client_id=order.client_id,
                symbol=order.symbol,
                correlation_id=order.correlation_id,
                message=f"no answer for {self.lost_after:g} s",
            )
            for order in self._elapsed(self._pending, self.lost_after, now)
        ]
        due += [
            OrderReported(
                at=self._ripening[order.client_id],
                client_id=order.client_id,
                symbol=order.symbol,
                correlation_id=order.correlation_id,
                status="filled",
                filled=order.filled,
                average_price=order.average_price,
            )
            for order in self._elapsed(self._ripening, self.complete_after, now)
        ]
        for order in self._elapsed(self._strangers, self.remember_for, now):
            self._forget(order)
        while self._ended:
            order = next(iter(self._ended.values()))
            if order.ended_at is not None and order.ended_at + self.remember_for > now:
                break
            self._forget(order)
        return due

    def _elapsed(self, waiting: OrderedDict[str, float], seconds: float, now: float) -> list[Order]:
        """The open orders that have waited for ``seconds``; looks no further than the first that has not."""
        elapsed = []
        for client_id, since in waiting.items():
            if since + seconds > now:
                break
            elapsed.append(self._open[client_id])
        return elapsed

    # -- over a restart ------------------------------------------------------------------------------------------------

    def take_dirty(self) -> list[dict[str, Any]]:
        """Rows of plain JSON values of what changed since the last call. Of several rows of an order the last counts.

        Three kinds: an order (:meth:`Order.to_dict`), ``{"client_id": …, "forget": True}``, and
        ``{"last_strategy": {symbol: strategy}}``.
        """
        dirty, self._dirty = self._dirty, {}
        rows: list[dict[str, Any]] = [
            {"client_id": client_id, "forget": True} if order is None else order.to_dict()
            for client_id, order in dirty.items()
        ]
        if self._dirty_strategies:
            rows.append({"last_strategy": self._dirty_strategies})
            self._dirty_strategies = {}
        return rows

    def restore(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Rebuild open and remembered orders from the rows of an earlier ledger, oldest first. Counts nothing.

        A row that cannot be read is left out, and so is one of an order that is known here already.
        """
        for order in self._read(rows):
            if order.client_id in self._open or order.client_id in self._ended:
                continue
            self._put_back(order)
            for alias in order.aliases:
                self._alias.setdefault(alias, order)

    def _read(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Order]:
        now, wall = self._clock(), self._wall()
        orders: dict[str, Order] = {}
        for row in rows:
            try:
                if "last_strategy" in row:
                    for symbol, strategy in row["last_strategy"].items():
                        _put(self._strategies, symbol, strategy, NAMES)
                    continue
                client_id = row["client_id"]
                orders.pop(client_id, None)
                if not row.get("forget"):
                    orders[client_id] = Order.from_dict(row, now=now, wall=wall)
            except (AttributeError, KeyError, TypeError, ValueError):
                self.dropped["unreadable_row"] += 1
        yield from sorted(orders.values(), key=lambda o: o.requested_at if o.ended_at is None else o.ended_at)

    def _put_back(self, order: Order) -> None:
        client_id = order.client_id
        if order.status.is_terminal:
            self._ended[client_id] = order
            self._trim()
            return
        self._make_room()
        self._open[client_id] = order
        if not order.known:
            self._strangers[client_id] = order.last_at
            return
        self.totals.by_status["working"] += 1
        if order.status is OrderStatus.PENDING_NEW and not order.lost:
            self._pending[client_id] = order.requested_at
        elif order.quantity is None and order.filled > 0:
            self._ripening[client_id] = order.last_at

    # -- which order is meant ------------------------------------------------------------------------------------------

    def _find(self, fact: OrderFact) -> tuple[Order | None, OrderStatus | None]:
        """The order that a fact is about, and its status so far. Learns ids on the way."""
        client_id, venue_id = fact.client_id, fact.venue_id
        order = self.get(client_id) if client_id is not None else None
        if venue_id is None or (order is not None and order.venue_id == venue_id):
            return order, None if order is None else order.status
        other = self.get(venue_id)
        if other is not None:
            symbol = fact.symbol or (other if order is None else order).symbol
            if other is order or pair(symbol) != pair(other.symbol):  # venues number each symbol's orders on their own
                other = None
        if order is None:
            if other is None:
                return None, None
            if client_id is not None:
                self._rename(other, client_id)
            order = other
        before = order.status
        if other is not None and other is not order and not (order.known and other.known):
            if other.known:
                order, other, before = other, order, other.status
            order.absorb(other)
            self._forget(other)
            for alias in (other.client_id, *other.aliases):
                self._add_alias(order, alias)
        self._add_venue_id(order, venue_id)
        return order, before

    def _is_of_another_life(self, order: Order, at: float) -> bool:
        """Whether a request means another order than the one of before the restart: the bot's counter began anew.

        A request is the bot's own word, so it is no late one of the process before. It may be a second try of one that
        was not answered.
        """
        unanswered = order.status is OrderStatus.PENDING_NEW and at - order.requested_at < self.lost_after
        return order.restored and order.known and not unanswered

    def _rename(self, order: Order, client_id: str) -> None:
        """An order found by its venue id has this client id too: its own if it was provisional, else one more alias."""
        if order.client_id != order.venue_id:
            self._add_alias(order, client_id)
            return
        old, order.client_id = order.client_id, client_id
        _move(self._open, old, client_id)
        _move(self._ended, old, client_id)
        for waiting in (self._pending, self._ripening, self._strangers):
            _move(waiting, old, client_id)
        self._dirty[old] = None

    def _add_venue_id(self, order: Order, venue_id: str) -> None:
        order.venue_id = venue_id
        self._add_alias(order, venue_id)

    def _add_alias(self, order: Order, alias: str) -> None:
        self._alias[alias] = order
        if alias not in order.aliases:
            order.aliases.append(alias)
            if len(order.aliases) > ALIASES:
                self._drop_alias(order, order.aliases[0])

    def _drop_alias(self, order: Order, alias: str) -> None:
        order.aliases.remove(alias)
        if self._alias.get(alias) is order:
            del self._alias[alias]

    # -- making and forgetting -----------------------------------------------------------------------------------------

    def _make(self, client_id: str, symbol: str, at: float) -> Order:
        self._make_room()
        order = Order(client_id, symbol, at, self._wall() - (self._clock() - at), at)
        self._open[client_id] = order
        return order

    def _make_room(self) -> None:
        while len(self._open) >= self.max_open:
            self.dropped["overflow"] += 1
            self._forget(self._open[next(iter(self._strangers or self._open))])

    def _trim(self) -> None:
        while len(self._ended) > self.remember:
            self._forget(next(iter(self._ended.values())))

    def _forget(self, order: Order) -> None:
        client_id = order.client_id
        if self._open.pop(client_id, None) is not None and order.said.requested:
            self.totals.by_status["working"] -= 1
        self._ended.pop(client_id, None)
        self._stop_waiting(client_id)
        for alias in order.aliases:
            if self._alias.get(alias) is order:
                del self._alias[alias]
        self._dirty[client_id] = None

    def _stop_waiting(self, client_id: str) -> None:
        self._pending.pop(client_id, None)
        self._ripening.pop(client_id, None)
        self._strangers.pop(client_id, None)

    # -- what each fact says -------------------------------------------------------------------------------------------

    def _requested(self, order: Order, before: OrderStatus | None, fact: OrderRequested) -> tuple[Change, ...]:
        better = fact.validated and not order.validated  # the risk manager may have resized what the portfolio wanted
        for name in ("side", "notional", "price", "expected_price", "pod_id", "target_weight", "time_in_force"):
            value = getattr(fact, name)
            if value is not None and (better or getattr(order, name) is None):
                setattr(order, name, value)
        for name in ("reduce_only", "parent_client_id", "instrument_type", "exchange"):
            order.learn(name, getattr(fact, name))
        order.learn_quantity(fact.quantity, FROM_VALIDATED if fact.validated else FROM_REQUEST)
        if better or not order.known:
            order.order_type = fact.order_type
        if not order.known:
            order.known = True
            order.requested_time += fact.at - order.requested_at
            order.requested_at = fact.at
        if order.strategy is None:
            order.strategy = fact.strategy or strategy_in(order.client_id)
            if order.strategy is not None:
                order.signal_at = self._signals.pop((order.strategy, order.symbol), None)
        order.validated |= fact.validated
        order.restored = False
        return self._settle(order, before, fact.at)

    def _acknowledged(self, order: Order, before: OrderStatus | None, fact: OrderAcknowledged) -> tuple[Change, ...]:
        order.answer(fact.at)
        return self._settle(order, before, fact.at)

    def _rejected(self, order: Order, before: OrderStatus | None, fact: OrderRejected) -> tuple[Change, ...]:
        self._reject(order, fact.reason)
        return self._settle(order, before, fact.at)

    def _reject(self, order: Order, reason: str) -> None:
        order.lost = False
        if order.happen(Happening.REJECT):
            order.reject_reason = reason

    def _canceled(self, order: Order, before: OrderStatus | None, fact: OrderCanceled) -> tuple[Change, ...]:
        order.answer(fact.at)
        order.happen(Happening.CANCEL)
        return self._settle(order, before, fact.at)

    def _expired(self, order: Order, before: OrderStatus | None, fact: OrderExpired) -> tuple[Change, ...]:
        order.answer(fact.at)
        order.happen(Happening.EXPIRE)
        return self._settle(order, before, fact.at)

    def _lost(self, order: Order, before: OrderStatus | None, fact: OrderLost) -> tuple[Change, ...]:
        if order.lost or order.status.is_terminal:
            return ()
        order.lost = True
        self._pending.pop(order.client_id, None)
        return self._settle(order, before, fact.at, lost=True)

    def _filled(self, order: Order, before: OrderStatus | None, fact: OrderFilled) -> tuple[Change, ...]:
        fill_id, quantity = fact.fill_id, fact.quantity or 0.0
        price = fact.price if _positive(fact.price) else None
        if fill_id is None or fill_id not in order.fill_ids:
            # a part without a price counts at the best guess, which the change does not pass on
            paid = price or order.average_price or order.price or 0.0
            order.add_part(fill_id, quantity, paid, self._fee(order, fact.fee, fact.fee_currency, paid))
        else:
            _, paid, known_fee = order.fill_ids[fill_id]
            if known_fee is None and fact.fee is not None:
                order.add_fee(fill_id, self._fee(order, fact.fee, fact.fee_currency, paid) or 0.0)
        if order.side is None:
            order.side = fact.side
        if order.pod_id is None:
            order.pod_id = fact.pod_id
        if fact.liquidity is not None:
            order.liquidity = fact.liquidity
        order.answer(fact.at)
        return self._settle(order, before, fact.at, fill_id=fill_id, price=price)

    def _reported(self, order: Order, before: OrderStatus | None, fact: OrderReported) -> tuple[Change, ...]:
        what = REPORTED.get(fact.status.lower()) if fact.status is not None else None
        order.learn("side", fact.side)
        order.learn("price", fact.price)
        order.learn_quantity(fact.quantity, FROM_VENUE)
        if fact.order_type is not None and not order.known:
            order.order_type = facts.order_type(fact.order_type)
        filled = order.quantity if fact.filled is None and what is Happening.COMPLETE else fact.filled
        price = average = fact.average_price if _positive(fact.average_price) else None
        if filled is not None and filled > 0:
            filled_before, cost_before = order.filled, order.cost
            fee = self._fee(order, fact.fee, fact.fee_currency, average or order.average_price)
            order.add_report(filled, average, fee)
            if average is not None and 0 < filled_before < order.filled:
                price = (order.cost - cost_before) / (order.filled - filled_before)
                if abs(price / average - 1.0) > GHOST:
                    price = average
        if what is Happening.REJECT:
            self._reject(order, facts.reject_reason(fact.message))
        elif what is not None or _positive(filled) or (fact.status is None and fact.venue_id is not None):
            order.answer(fact.at)
            if what is not None:
                order.happen(what)
        return self._settle(order, before, fact.at, price=price)

    def _replaced(self, order: Order, before: OrderStatus | None, fact: OrderReplaced) -> tuple[Change, ...]:
        order.answer(fact.at)
        new_id = fact.new_client_id
        if new_id is None or new_id == order.client_id:
            was = (order.quantity, order.price)
            order.learn_quantity(fact.quantity, FROM_AMENDMENT)
            order.price = fact.price or order.price
            return self._settle(order, before, fact.at, news=was != (order.quantity, order.price))
        remaining = order.quantity - order.filled if order.quantity is not None else None
        order.happen(Happening.REPLACE)
        changes = self._settle(order, before, fact.at)
        new = self._open.get(new_id) or self._ended.get(new_id)
        if new is not None and new.replaces == order.client_id:
            return changes
        before = None if new is None else new.status
        if new is None:
            new = self._make(new_id, order.symbol, fact.at)
            taken_for = self._alias.get(new_id)
            if taken_for is not None:  # the venue has spoken of it already, by a venue id that it kept
                self._drop_alias(taken_for, new_id)
                new.answer(fact.at)
        new.replaces = order.client_id
        for name in _INHERITED:
            new.learn(name, getattr(order, name))
        new.learn_quantity(fact.quantity, FROM_VALIDATED)
        new.learn_quantity(remaining, FROM_INFERENCE)
        if not new.known:
            new.known = True
            new.order_type = order.order_type
            new.price = fact.price or new.price or order.price
            new.strategy = new.strategy or strategy_in(new_id)
            if new.quantity is None and order.notional is not None and order.notional > order.cost:
                new.notional = order.notional - order.cost
        new.validated = True
        new.restored = False
        return changes + self._settle(new, before, fact.at, news=True)

    def _fee(self, order: Order, fee: float | None, currency: str | None, price: float | None) -> float | None:
        """A fee in quote currency; 0 where it cannot be converted."""
        if fee is None:
            return None
        if currency is not None:
            order.fee_currency = currency
        if fee < 0:
            order.rebated = True
            self.dropped["negative_fee"] += 1
        converted = in_quote(order.symbol, fee, currency, price)
        if converted is None:
            self.dropped["fee_currency"] += 1
            return 0.0
        return converted

    # -- what is new ---------------------------------------------------------------------------------------------------

    def _settle(
        self,
        order: Order,
        before: OrderStatus | None,
        at: float,
        *,
        fill_id: str | None = None,
        price: float | None = None,
        news: bool = False,
        lost: bool = False,
    ) -> tuple[Change, ...]:
        """Say what is new of ``order``, count it, and put the order where it belongs."""
        self._dirty[order.client_id] = order
        if order.filled > 0 and order.status is not OrderStatus.FILLED:
            order.happen(Happening.COMPLETE if order.is_complete else Happening.PART)
        status, said, known = order.status, order.said, order.known

        quantity = order.filled - said.filled
        if quantity > order.filled * EPSILON:
            said.filled = order.filled
        else:
            quantity = 0.0
        fee = order.fees - said.fees
        if fee > abs(order.fees) * EPSILON:
            said.fees = order.fees
        else:
            fee = 0.0
        parts = max(0, order.parts - said.parts)
        said.parts += parts

        requested = known and not said.requested
        validated = known and order.validated and not said.validated
        acknowledged = known and order.acknowledged_at is not None and not said.acknowledged
        completed = known and status is OrderStatus.FILLED and not said.completed
        ended = known and status in TERMINAL and not said.ended
        said.requested |= requested
        said.validated |= validated
        said.acknowledged |= acknowledged
        said.completed |= completed
        said.ended |= ended

        grown = quantity > 0 or parts > 0
        milestone = requested or validated or acknowledged or completed or ended
        if not (grown or fee > 0 or milestone or news or lost or status is not before):
            self._wait(order, at, grown=False, asked=False)
            return ()
        order.last_at = max(order.last_at, at)
        change = Change(
            order=order,
            before=before,
            after=status,
            requested=requested,
            validated=validated,
            acknowledged=acknowledged,
            quantity=quantity,
            price=price if grown else None,
            fee=fee,
            fill_id=fill_id,
            parts=parts,
            partial=known and parts > 0 and status is not OrderStatus.FILLED,
            completed=completed,
            ended=ended,
            lost=lost,
        )
        self._count(change)
        if status in TERMINAL:
            self._end(order, at)
        else:
            self._wait(order, at, grown=grown, asked=requested or validated)
        return (change,)

    def _count(self, change: Change) -> None:
        totals, order = self.totals, change.order
        if change.requested:
            totals.requested += 1
            totals.by_status["working"] += 1
        if change.ended:
            totals.by_status["working"] -= 1
            totals.by_status[change.after.value] += 1
        elif order.said.ended and change.before is not None and change.before is not change.after:
            totals.by_status[change.before.value] -= 1
            totals.by_status[change.after.value] += 1
        totals.fills += change.parts
        totals.fees += change.fee
        if change.quantity > 0:
            symbol = order.symbol
            totals.filled[symbol] = totals.filled.get(symbol, 0.0) + change.quantity
            if order.strategy is not None and self._strategies.get(symbol) != order.strategy:
                _put(self._strategies, symbol, order.strategy, NAMES)
                self._dirty_strategies[symbol] = order.strategy

    def _end(self, order: Order, at: float) -> None:
        if self._open.pop(order.client_id, None) is not None:
            self._stop_waiting(order.client_id)
            order.ended_at = at
            self._ended[order.client_id] = order
            self._trim()

    def _wait(self, order: Order, at: float, *, grown: bool, asked: bool) -> None:
        """Note what an open order waits for: an answer, more parts, or somebody who knows it."""
        client_id = order.client_id
        if order.status in TERMINAL:
            return
        if not order.known:
            _put(self._strangers, client_id, at)
            return
        if asked:
            self._strangers.pop(client_id, None)
        if order.status is OrderStatus.PENDING_NEW:
            if asked and not order.lost:
                _put(self._pending, client_id, at)
            return
        self._pending.pop(client_id, None)
        if order.quantity is not None:
            self._ripening.pop(client_id, None)
        elif order.filled > 0 and (grown or client_id not in self._ripening):
            _put(self._ripening, client_id, at)

    def _refuse(self, reason: str) -> tuple[Change, ...]:
        self.dropped[reason] += 1
        return ()


def _positive(value: float | None) -> bool:
    return value is not None and value > 0


def _put(place: OrderedDict[_K, _V], key: _K, value: _V, limit: int | None = None) -> None:
    """``value`` as the newest entry."""
    place[key] = value
    place.move_to_end(key)
    if limit is not None and len(place) > limit:
        place.popitem(last=False)


def _move(place: OrderedDict[_K, _V], old: _K, new: _K) -> None:
    if old in place:
        place[new] = place.pop(old)
