"""One trade cycle and the spans of its orders: state without behaviour of its own, kept by the lifecycle."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry.trace import Span, SpanContext
from opentelemetry.util.types import AttributeValue

from otel_mcbot import semconv
from otel_mcbot.semconv import Outcome, SpanName

if TYPE_CHECKING:
    from otel_mcbot.ledger import Order

Chain = tuple[tuple[str, SpanContext], ...]
"""Stages around a place, outermost first, without the root."""

_PARENTS: dict[str, tuple[str, ...]] = {
    SpanName.GENERATE_SIGNAL: (),
    SpanName.PROCESS_SIGNAL: (),
    SpanName.PRE_TRADE_CHECK: (SpanName.PROCESS_SIGNAL,),
    SpanName.SUBMIT_ORDER: (SpanName.PRE_TRADE_CHECK, SpanName.PROCESS_SIGNAL),
    SpanName.AWAIT_FILL: (),
}
"""Which stages may stand around which: what is not listed (``exchange.*``) may stand anywhere."""


@dataclass(slots=True)
class OrderSpans:
    """The spans of one order in one cycle."""

    order: Order
    chain: Chain
    at: float
    """Monotonic time of the request."""
    submit: Span | None = None
    submit_at: float = 0.0
    submit_open: bool = False
    fill: Span | None = None
    fill_at: float = 0.0
    fill_open: bool = False
    entered: int = 0
    """``with`` blocks that stand inside ``oms.submit_order`` now."""
    settled: bool = False
    denied: bool = False
    error: str | None = None

    def place(self, cycle: Cycle) -> tuple[SpanContext, Chain]:
        """The newest span of the order, and the stages around code that acts on it."""
        if self.fill is not None:
            context = self.fill.get_span_context()
            return context, ((SpanName.AWAIT_FILL, context),)
        if self.submit is not None:
            context = self.submit.get_span_context()
            return context, (*self.chain, (SpanName.SUBMIT_ORDER, context))
        return (self.chain[-1][1] if self.chain else cycle.place), self.chain


class Cycle:
    """A trade cycle from its decision to the last order's end. One wall-clock anchor, monotonic differences.

    Attributes:
        span, place: the root, and its span context.
        common: attributes that every span and record of the chain carries.
        entered: ``with`` blocks and decorated calls that stand inside the cycle now.
        running: spans of the stages in which code stands now, by span id: name, span, monotonic start.
        awaits, carried: an order may still come although no code stands here: the cycle has no block of its own, or
            a queue's item leads back to it.
        told_by_stage: the signal was told by a stage, so the bus may tell it once more.
        last_at: monotonic time of the last thing that happened in it.
    """

    __slots__ = (
        "anchor",
        "anchor_time",
        "awaits",
        "carried",
        "common",
        "deadline",
        "denied",
        "direction",
        "ended",
        "entered",
        "error",
        "hold",
        "interrupted",
        "key",
        "last_at",
        "name",
        "orders",
        "place",
        "running",
        "seen_error",
        "signal_at",
        "span",
        "stages",
        "started_at",
        "told_by_stage",
    )

    def __init__(self, name: str, span: Span, common: dict[str, AttributeValue], *, at: float, hold: float) -> None:
        self.name = name
        self.span = span
        self.place = span.get_span_context()
        self.common = common
        self.anchor = at
        self.anchor_time = 0
        self.started_at = at
        self.last_at = at
        self.hold = hold
        self.deadline = at + hold
        self.orders: dict[str, OrderSpans] = {}
        self.stages: set[str] = set()
        self.key: tuple[str, str] | None = None
        self.direction: str | None = None
        self.signal_at: float | None = None
        self.entered = 0
        self.running: dict[int, tuple[str, Span, float]] = {}
        self.awaits = False
        self.carried = False
        self.told_by_stage = False
        self.denied = False
        self.interrupted = False
        self.error: str | None = None
        self.seen_error: BaseException | None = None
        self.ended = False

    def time(self, at: float) -> int:
        """A monotonic time as wall-clock nanoseconds of this cycle's one anchor, never before its start."""
        return self.anchor_time + max(0, int((at - self.anchor) * 1e9))

    def touch(self, at: float) -> None:
        self.last_at = max(self.last_at, at)

    def parent_for(self, name: str, chain: Chain) -> SpanContext:
        """The span under which ``name`` belongs: the nearest stage that may stand around it, else the root."""
        allowed = _PARENTS.get(name)
        for stage, context in reversed(chain):
            if allowed is None or stage in allowed:
                return context
        return self.place

    @property
    def waiting(self) -> bool:
        """A signal may still become an order: also a neutral one, or one of a cycle that this continues, where it is on
        its way to a handler."""
        if self.denied or self.key is None:
            return False
        if self.carried:
            return self.direction is not None or self.name == SpanName.CONTINUED
        return self.awaits and self.direction not in (None, "NEUTRAL")

    def outcome(self) -> Outcome:
        """What became of the cycle, from its orders as they are now."""
        if self.interrupted:
            return Outcome.INTERRUPTED
        sent = [spans.order for spans in self.orders.values() if not spans.denied]
        if not sent:
            return Outcome.DENIED if self.denied or self.orders else Outcome.NO_ORDER
        final = [order for order in sent if order.status != "replaced"] or sent
        working = [order for order in final if not order.status.is_terminal]
        if any(order.status == "pending_new" for order in working):
            return Outcome.ABANDONED
        if working:
            return Outcome.WORKING
        if all(order.status == "filled" for order in final):
            return Outcome.FILLED
        if any(order.filled > 0 for order in sent):
            return Outcome.PARTIALLY_FILLED
        for status in ("rejected", "expired"):
            if any(order.status == status for order in final):
                return Outcome(status)
        return Outcome.CANCELED


def anchored(at: float, clock: float) -> int:
    """Wall-clock nanoseconds of the monotonic time ``at``, by the clocks as they stand now."""
    return time.time_ns() - int((clock - at) * 1e9)


def order_attributes(cycle: Cycle, order: Order) -> dict[str, AttributeValue]:
    """What every span of an order says, and what its request knew (keys of spec: ``oms.submit_order``)."""
    attributes = dict(cycle.common)
    known = (
        (semconv.STRATEGY, order.strategy),
        (semconv.SYMBOL, order.symbol or None),
        (semconv.POD_ID, order.pod_id),
        (semconv.CORRELATION_ID, order.correlation_id),
        (semconv.INSTRUMENT_TYPE, _lower(order.instrument_type)),
        (semconv.EXCHANGE, order.exchange),
        (semconv.ORDER_CLIENT_ID, order.client_id),
    )
    attributes.update((key, value) for key, value in known if value is not None)
    return attributes


def request_attributes(order: Order) -> dict[str, AttributeValue]:
    """What the request of an order said."""
    known: tuple[tuple[str, AttributeValue | None], ...] = (
        (semconv.ORDER_SIDE, _lower(order.side)),
        (semconv.ORDER_TYPE, _lower(order.order_type)),
        (semconv.ORDER_QUANTITY, order.quantity),
        (semconv.ORDER_NOTIONAL, order.notional),
        (semconv.ORDER_PRICE, order.price),
        (semconv.EXPECTED_PRICE, order.expected_price),
        (semconv.TIME_IN_FORCE, _lower(order.time_in_force)),
        (semconv.REDUCE_ONLY, order.reduce_only),
        (semconv.PARENT_CLIENT_ID, order.parent_client_id),
        (semconv.TARGET_WEIGHT, order.target_weight),
    )
    return {key: value for key, value in known if value is not None}


def state_attributes(order: Order) -> dict[str, AttributeValue]:
    """What is known of an order now: its status, the venue's id, why it was rejected."""
    attributes: dict[str, AttributeValue] = {semconv.ORDER_STATUS: str(order.status.value)}
    if order.venue_id:
        attributes[semconv.ORDER_ID] = order.venue_id
    if order.reject_reason and order.status == "rejected":
        attributes[semconv.REJECT_REASON] = order.reject_reason
    return attributes


def fill_attributes(order: Order) -> dict[str, AttributeValue]:
    """What has been filled so far, cumulative; empty before the first part."""
    if order.filled <= 0:
        return {}
    attributes: dict[str, AttributeValue] = {
        semconv.FILL_COUNT: order.parts,
        semconv.FILL_QUANTITY: order.filled,
        semconv.FILL_FEE: order.fees,
    }
    average = order.average_price
    if average is not None:
        attributes[semconv.FILL_AVERAGE_PRICE] = average
        if order.expected_price and order.side:
            adverse = average - order.expected_price if order.side == "BUY" else order.expected_price - average
            attributes[semconv.SLIPPAGE_BPS] = 1e4 * adverse / order.expected_price
    if order.fee_currency:
        attributes[semconv.FILL_FEE_CURRENCY] = order.fee_currency
    liquidity = _lower(order.liquidity)
    if liquidity:
        attributes[semconv.FILL_LIQUIDITY] = liquidity
    return attributes


def _lower(value: str | None) -> str | None:
    return value.lower() if value else None
