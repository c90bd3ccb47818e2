"""One order on its way to the venue, and what the venue says about orders."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry.context import attach, detach, get_current

from otel_mcbot import facts, hub, reports, semconv
from otel_mcbot.guard import Guard
from otel_mcbot.semconv import SpanName
from otel_mcbot.trace.cycle import Cycle, OrderSpans
from otel_mcbot.trace.propagation import Scope, context_of, scope_here
from otel_mcbot.trace.stage import HINTS, Stage, error_type, fail

if TYPE_CHECKING:
    from otel_mcbot.hub import Hub

_VENUE_REFUSED = frozenset({"ExchangeError", "InsufficientFunds", "InvalidOrder", "BadRequest", "AuthenticationError"})
"""Exceptions (by the name of a class they derive from, so that no exchange library is needed) that say: the venue has
no such order. After any other one nobody knows, and the order is *lost* until somebody asks the venue."""

ORDER_HINTS: Mapping[str, tuple[str, ...]] = {
    "client_order_id": ("client_order_id", "clientOrderId", "client_id"),
    "side": ("side",),
    "order_type": ("order_type", "type"),
    "quantity": ("quantity", "amount", "qty"),
    "notional": ("notional_usd", "notional"),
    "price": ("price",),
    "expected_price": ("expected_price",),
}

_sequence = itertools.count(int(time.time() * 1000))


def new_client_order_id(strategy: str, symbol: str) -> str:
    """A client order id as the field writes it: ``{strategy}-{symbol slug}-{counter}``; the counter never repeats."""
    slug = "".join(sign for sign in symbol.lower() if sign.isalnum())
    return f"{strategy}-{slug}-{next(_sequence)}"


class SubmitOrder(Stage):
    """``oms.submit_order``: request → ack or rejection; the span outlives the block if the venue is slow."""

    name = SpanName.SUBMIT_ORDER
    hints = {**HINTS, **ORDER_HINTS}
    __slots__ = ("_spans", "client_order_id")

    def __init__(self, cycle: Cycle | None = None, **given: Any) -> None:
        super().__init__(cycle, **given)
        self._spans: OrderSpans | None = None
        self.client_order_id: str = facts.text(self._given.get("client_order_id")) or ""
        """The id by which the bot knows the order: as given, or made."""

    @property
    def id(self) -> str:
        """What to ask the venue for: its own id once known, until then the client's."""
        order = self._hub.ledger.get(self.client_order_id) if self._hub is not None else None
        return order.venue_id if order is not None and order.venue_id else self.client_order_id

    def _open(self, core: Hub) -> None:
        given = self._given
        with core.lock:
            found = core.lifecycle.spans_of(self.client_order_id) if self.client_order_id else None
            if found is not None:
                cycle, chain = found[0], found[1].chain
            else:
                cycle, chain = self._locate(core)
            core.lifecycle.enter(cycle)
            self.cycle = cycle
        strategy = facts.text(given.get("strategy")) or cycle.common.get(semconv.STRATEGY)
        symbol = facts.text(given.get("symbol")) or cycle.common.get(semconv.SYMBOL) or "unknown"
        if not self.client_order_id:
            self.client_order_id = new_client_order_id(str(strategy or "order"), str(symbol))
        known = {key: given[key] for key in _REQUEST_FIELDS if key in given}
        scope = scope_here()
        around = chain[-1][1] if chain else cycle.place
        inside = Scope(cycle, chain, scope.queue_wait if scope is not None else None)
        token = attach(context_of(around, inside, get_current()))
        try:
            core.tell(
                facts.OrderRequested(
                    client_id=self.client_order_id,
                    symbol=facts.text(symbol),
                    strategy=facts.text(strategy),
                    pod_id=facts.text(given.get("pod_id") or cycle.common.get(semconv.POD_ID)),
                    correlation_id=facts.text(given.get("correlation_id") or cycle.common.get(semconv.CORRELATION_ID)),
                    **known,
                )
            )
        finally:
            detach(token)
        with core.lock:
            found = core.lifecycle.spans_of(self.client_order_id)
            if found is None or found[1].submit is None:
                return
            if found[0] is not cycle:  # the order was in another cycle already
                core.lifecycle.enter(found[0])
                core.lifecycle.leave(cycle)
                self.cycle = cycle = found[0]
            self._spans = spans = found[1]
            spans.entered += 1
            self._span = span = spans.submit
        assert span is not None
        place = span.get_span_context()
        self._attach(span, Scope(cycle, (*spans.chain, (self.name, place)), inside.queue_wait))

    def _close(self, core: Hub, error: BaseException | None) -> None:
        cycle, spans = self.cycle, self._spans
        if cycle is None:
            return
        if error is not None:
            with Guard("stage"):
                self._failed(core, cycle, spans, error)
        with core.lock:
            if spans is not None:
                core.lifecycle.leave_order(cycle, spans)
            self._leave(core, cycle, error)

    def _failed(self, core: Hub, cycle: Cycle, spans: OrderSpans | None, error: BaseException) -> None:
        if spans is None or spans.submit is None:
            return
        spans.error = error_type(error)
        if spans.submit_open:
            fail(core, cycle, spans.submit, error)
        order = spans.order
        if order.acknowledged_at is not None or order.status.is_terminal:
            return
        if any(kind.__name__ in _VENUE_REFUSED for kind in type(error).__mro__):
            self.rejected(_words(error))
        else:
            core.tell(facts.OrderLost(client_id=order.client_id, message=_words(error)))

    # -- what became of it -----------------------------------------------------------------------------------------

    def update(self, report: object) -> None:
        """Take a venue's report about this order: a ccxt order or trade, a fact. Cumulative and idempotent.

        What it is not (``None``, another shape) is counted and otherwise ignored.
        """
        tell_report(self._hub, report, client_id=self.client_order_id)

    def acknowledged(self, venue_id: object = None) -> None:
        """The venue has the order, under this id."""
        self._tell(facts.OrderAcknowledged, venue_id=facts.text(venue_id))

    def filled(
        self,
        quantity: object = None,
        price: object = None,
        *,
        fee: object = None,
        fee_currency: str | None = None,
        fill_id: object = None,
    ) -> None:
        """A part was filled (base quantity, quote price); without a quantity the order is filled completely."""
        if quantity is None:
            self._tell(facts.OrderReported, status="filled", average_price=price, fee=fee, fee_currency=fee_currency)
        else:
            self._tell(
                facts.OrderFilled,
                quantity=quantity,
                price=price,
                fee=fee,
                fee_currency=fee_currency,
                fill_id=fill_id,
            )

    def rejected(self, reason: object = "other", message: str | None = None) -> None:
        """The order was refused. ``reason`` is mapped to one of :data:`otel_mcbot.facts.REJECT_REASONS`."""
        self._tell(facts.OrderRejected, reason=reason, message=message or facts.text(reason))

    def canceled(self) -> None:
        """The order was withdrawn."""
        self._tell(facts.OrderCanceled)

    def expired(self) -> None:
        """The order ran out of time."""
        self._tell(facts.OrderExpired)

    def _tell(self, kind: type[facts.OrderFact], **known: Any) -> None:
        if self._hub is not None and self.client_order_id:
            with Guard("stage"):
                self._hub.tell(kind(client_id=self.client_order_id, **known))

    def _returned(self, result: object) -> None:
        if isinstance(result, Mapping):
            self.update(result)


_REQUEST_FIELDS = (
    "side",
    "order_type",
    "quantity",
    "notional",
    "price",
    "expected_price",
    "target_weight",
    "time_in_force",
    "reduce_only",
    "parent_client_id",
    "instrument_type",
    "exchange",
)


def submit_order(
    *,
    side: object = None,
    quantity: object = None,
    symbol: str | None = None,
    strategy: str | None = None,
    order_type: object = None,
    price: object = None,
    expected_price: object = None,
    notional: object = None,
    client_order_id: str | None = None,
    pod_id: str | None = None,
    correlation_id: object = None,
    time_in_force: str | None = None,
    reduce_only: bool | None = None,
    parent_client_id: str | None = None,
    instrument_type: str | None = None,
    exchange: str | None = None,
) -> SubmitOrder:
    """One order on its way to the venue.

    Args:
        side: buy or sell, as the bot writes it.
        quantity: base currency. With only ``notional`` (quote currency) it is complete at 99.9 % of that.
        order_type: market (default), limit, stop_market, stop_limit.
        expected_price: what slippage is measured against; for a market order without one, the last bar's close.
        client_order_id: made when none is given.

    Inside the block tell what came back: ``order.update(ccxt_order)``, or ``acknowledged``, ``filled``, ``rejected``,
    ``canceled``. An exception that says the venue refused (by its class name) is a rejection; after any other one
    nobody knows, and the order is *lost* until an update about it arrives.
    """
    return SubmitOrder(
        side=side,
        quantity=quantity,
        symbol=symbol,
        strategy=strategy,
        order_type=order_type,
        price=price,
        expected_price=expected_price,
        notional=notional,
        client_order_id=client_order_id,
        pod_id=pod_id,
        correlation_id=correlation_id,
        time_in_force=time_in_force,
        reduce_only=reduce_only,
        parent_client_id=parent_client_id,
        instrument_type=instrument_type,
        exchange=exchange,
    )


def update(report: object) -> None:
    """Take a venue's report about any order, from anywhere: a ccxt order or trade. Found by its id, over restarts.

    Cumulative and idempotent: the same report twice changes nothing. What it is not is counted and ignored.
    """
    tell_report(hub.current(), report, client_id=None)


def tell_report(core: Hub | None, report: object, *, client_id: str | None) -> None:
    """Tell every fact that a report holds; ``client_id`` names the order where the caller knows better."""
    if core is None:
        return
    with Guard("update"):
        found = reports.facts_from(report)
        if not found:
            core.dropped["unknown_report"] += 1
        for fact in found:
            if client_id is not None and fact.client_id != client_id:
                object.__setattr__(fact, "client_id", client_id)  # ours alone: made a line above
            core.tell(fact)


def _words(error: BaseException) -> str:
    """What an exception says, or its class where it cannot say anything."""
    try:
        return str(error)
    except Exception:
        return type(error).__name__
