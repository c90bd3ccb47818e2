"""Facts → spans: which cycle an order belongs to, when its spans begin and end.

A trade cycle cannot be a ``with`` block around a bar handler: the order work happens after the handler returned. So a
cycle is started, carried and explicitly ended, at its last order's terminal state or after ``hold``. Stages (the
``with`` blocks) open and close their own spans and tell the lifecycle; where a bot has no stages, the spans of its
portfolio manager and its risk check are drawn from the facts of its bus.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, Tracer, get_current_span
from opentelemetry.util.types import AttributeValue

from otel_mcbot import catalog, semconv
from otel_mcbot.facts import (
    BarReceived,
    Fact,
    OrderFact,
    OrderRequested,
    SignalGenerated,
)
from otel_mcbot.semconv import CheckResult, ErrorType, Outcome, Relation, SpanName
from otel_mcbot.trace.cycle import (
    Chain,
    Cycle,
    OrderSpans,
    anchored,
    fill_attributes,
    order_attributes,
    request_attributes,
    state_attributes,
)
from otel_mcbot.trace.propagation import Scope, Trace, context_of, scope_here

if TYPE_CHECKING:
    from otel_mcbot.ledger import Change, Order

_FAILED = {
    Outcome.REJECTED: ErrorType.VENUE_REJECT,
    Outcome.ABANDONED: ErrorType.TIMEOUT,
    Outcome.INTERRUPTED: ErrorType.INTERRUPTED,
}


class Lifecycle:
    """Keeps the open trade cycles of a process.

    Args:
        tracer: where spans are made.
        hold: seconds after which a cycle ends even though an order of it still rests (``working``) or was never
            answered (``abandoned``); what happens later is a ``trade_cycle.continued``.
        max_open: open cycles kept; beyond it the oldest ends as it stands.
        exchange: the venue's name, put on every span.
        redact: cleans a text of secrets.
    """

    def __init__(
        self,
        tracer: Tracer,
        *,
        hold: float = 60.0,
        max_open: int = 20_000,
        exchange: str | None = None,
        redact: Callable[[str], str] = str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tracer = tracer
        self.hold = hold
        self.max_open = max_open
        self.exchange = exchange
        self.redact = redact
        self.clock = clock
        self.lock: threading.RLock = threading.RLock()
        self.cycles: dict[int, Cycle] = {}
        self._of_order: dict[str, Cycle] = {}
        self._waiting: dict[tuple[str, str], Cycle] = {}
        self._deadlines: list[tuple[float, int]] = []
        self._bars: dict[str, BarReceived] = {}
        self._neutral: dict[tuple[str, str], SignalGenerated] = {}

    # -- cycles ----------------------------------------------------------------------------------------------------

    def start(
        self,
        *,
        name: str = SpanName.TRADE_CYCLE,
        strategy: str | None = None,
        symbol: str | None = None,
        pod_id: str | None = None,
        correlation_id: str | None = None,
        instrument_type: str | None = None,
        exchange: str | None = None,
        hold: float | None = None,
        at: float | None = None,
        links: Sequence[Link] = (),
    ) -> Cycle:
        """Open a root. ``at`` is the monotonic time of the decision, by default now."""
        now = self.clock()
        at = now if at is None else min(at, now)
        common: dict[str, AttributeValue] = {}
        for key, value in (
            (semconv.STRATEGY, strategy),
            (semconv.SYMBOL, symbol),
            (semconv.POD_ID, pod_id),
            (semconv.CORRELATION_ID, correlation_id),
            (semconv.INSTRUMENT_TYPE, instrument_type),
            (semconv.EXCHANGE, exchange or self.exchange),
        ):
            if value:
                common[key] = value
        attributes = dict(common)
        bar = self._bars.get(symbol) if symbol else None
        if bar is not None and name == SpanName.TRADE_CYCLE:
            attributes[semconv.TIMEFRAME] = bar.timeframe
            attributes[semconv.BAR_AGE] = max(0.0, at - bar.at)
        start_time = anchored(at, now)
        span = self.tracer.start_span(
            name, Context(), SpanKind.INTERNAL, attributes, links=[*links, *_outside()], start_time=start_time
        )
        cycle = Cycle(name, span, common, at=at, hold=self.hold if hold is None else hold)
        cycle.anchor_time = start_time
        if strategy and symbol:
            cycle.key = (strategy, symbol)
        self.cycles[cycle.place.trace_id] = cycle
        heapq.heappush(self._deadlines, (cycle.deadline, cycle.place.trace_id))
        if len(self.cycles) > self.max_open:
            self.finish(next(iter(self.cycles.values())))
        return cycle

    def enter(self, cycle: Cycle) -> None:
        """A ``with`` block or a decorated call begins inside the cycle: it cannot end meanwhile."""
        cycle.entered += 1
        cycle.touch(self.clock())

    def leave(self, cycle: Cycle) -> None:
        """The block ended; so does the cycle when nothing of it is left to wait for."""
        cycle.entered -= 1
        cycle.touch(self.clock())
        self.settle(cycle)

    def settle(self, cycle: Cycle) -> None:
        """End the cycle when its orders are settled, nobody stands in it and no order can still come of its signal."""
        if cycle.ended or cycle.entered > 0:
            return
        if cycle.orders:
            if all(spans.settled for spans in cycle.orders.values()) or cycle.deadline <= self.clock():
                self.finish(cycle)
        elif cycle.interrupted or not cycle.waiting or cycle.deadline <= self.clock():
            self.finish(cycle)
        else:
            self._wait(cycle)

    def _wait(self, cycle: Cycle) -> None:
        """Keep a cycle whose signal may still become an order, until the next one of its strategy and symbol."""
        if cycle.key is None:
            return
        before = self._waiting.get(cycle.key)
        if before is not None and before is not cycle and not before.orders and not before.carried:
            before.direction = None  # what is on its way through a queue keeps its cycle until hold
            self.settle(before)
        self._waiting[cycle.key] = cycle

    def finish(self, cycle: Cycle, *, interrupted: bool = False) -> None:
        """End every span of the cycle as it stands, the root last."""
        if cycle.ended:
            return
        if interrupted:
            cycle.interrupted = True
        now = self.clock()
        for name, span, began in list(cycle.running.values()):  # only at the end of the process does code stand here
            span.set_attribute(semconv.ERROR_TYPE, str(ErrorType.INTERRUPTED.value))
            span.set_status(Status(StatusCode.ERROR, "interrupted"))
            self.end(cycle, name, span, began, now)
        cycle.running.clear()
        for spans in cycle.orders.values():
            if spans.submit_open or spans.fill_open:
                cycle.touch(now)
            if spans.submit_open:
                late = None if interrupted else ErrorType.TIMEOUT
                self._end_submit(cycle, spans, now, error=ErrorType.INTERRUPTED if interrupted else late)
            if spans.fill_open:
                self._end_fill(cycle, spans, now)
        outcome = cycle.outcome()
        cycle.ended = True
        span = cycle.span
        span.set_attribute(semconv.OUTCOME, str(outcome.value))
        span.set_attribute(semconv.ORDER_COUNT, len(cycle.orders))
        error = cycle.error or _FAILED.get(outcome)
        if error is not None:
            span.set_attribute(semconv.ERROR_TYPE, str(error))
            span.set_status(Status(StatusCode.ERROR, str(error)))
        span.end(cycle.time(cycle.last_at))
        catalog.cycles.add(1, outcome=str(outcome.value))
        self._measure(cycle.name, cycle.last_at - cycle.started_at, cycle.place)
        self.cycles.pop(cycle.place.trace_id, None)
        for client_id in cycle.orders:
            if self._of_order.get(client_id) is cycle:
                del self._of_order[client_id]
        if cycle.key is not None and self._waiting.get(cycle.key) is cycle:
            del self._waiting[cycle.key]

    def tick(self, now: float) -> None:
        """End what waited long enough. A cycle in which code still stands is left to that code."""
        with self.lock:
            while self._deadlines and self._deadlines[0][0] <= now:
                _, trace_id = heapq.heappop(self._deadlines)
                cycle = self.cycles.get(trace_id)
                if cycle is None or cycle.ended:
                    continue
                if cycle.entered > 0:
                    heapq.heappush(self._deadlines, (now + 1.0, trace_id))
                else:
                    self.finish(cycle)

    def close(self) -> None:
        """End every open span: resting orders as they are (``working``), what was being done as ``interrupted``."""
        with self.lock:
            for cycle in list(self.cycles.values()):
                unanswered = any(spans.submit_open for spans in cycle.orders.values())
                self.finish(cycle, interrupted=cycle.entered > 0 or unanswered)

    # -- places ----------------------------------------------------------------------------------------------------

    def here(self) -> Trace | None:
        """The place of the running code."""
        return Trace.here()

    def place_of(self, client_id: str) -> Trace | None:
        """The newest place of an order of an open cycle."""
        cycle = self._of_order.get(client_id)
        if cycle is None:
            return None
        place, chain = cycle.orders[client_id].place(cycle)
        return Trace(place, Scope(cycle, chain))

    def spans_of(self, client_id: str) -> tuple[Cycle, OrderSpans] | None:
        """The cycle and the spans of an order, while its cycle is open."""
        cycle = self._of_order.get(client_id)
        return None if cycle is None else (cycle, cycle.orders[client_id])

    def find(self, strategy: str | None, symbol: str | None) -> tuple[Cycle | None, Chain]:
        """The open cycle in which the running code stands, or the one that waits for this strategy and symbol."""
        scope = scope_here()
        if scope is not None:
            return (None, ()) if scope.cycle.ended else (scope.cycle, scope.chain)
        if strategy and symbol:
            cycle = self._waiting.get((strategy, symbol))
            if cycle is not None and not cycle.ended:
                return cycle, ()
        return None, ()

    def has_signal(self, fact: SignalGenerated) -> bool:
        """Whether the cycle of the running code knows this signal already (a stage told it, then the bus did)."""
        key = (fact.strategy, fact.symbol)
        scope = scope_here()
        if scope is not None:
            return scope.cycle.direction == fact.direction and scope.cycle.key == key
        waiting = self._waiting.get(key)
        if waiting is None or not waiting.told_by_stage or waiting.direction != fact.direction:
            return False
        waiting.told_by_stage = False  # said again once; the next one is the next decision
        return True

    # -- facts -----------------------------------------------------------------------------------------------------

    def on_fact(self, fact: Fact, changes: Sequence[Change]) -> Trace | None:
        """Draw what a fact says. Returns its place."""
        if isinstance(fact, OrderFact):
            place: Trace | None = None
            touched: dict[int, Cycle] = {}
            for change in changes:
                cycle, place = self._on_change(fact, change)
                touched[cycle.place.trace_id] = cycle
            for cycle in touched.values():  # only now: a replacement joins the cycle that its predecessor would end
                self.settle(cycle)
            return place
        if isinstance(fact, SignalGenerated):
            return self._on_signal(fact)
        if isinstance(fact, BarReceived):
            self._bars[fact.symbol] = fact
        return None

    def _on_signal(self, fact: SignalGenerated) -> Trace | None:
        cycle, chain = self.find(fact.strategy, fact.symbol)
        scope = scope_here()
        if cycle is not None and (scope is None or scope.cycle is not cycle) and cycle.signal_at is not None:
            cycle = None  # the one that waits has had its signal: this is the next decision
        if cycle is None:
            if fact.direction == "NEUTRAL":  # most of them change nothing: drawn when an order comes of it
                self._neutral[fact.strategy, fact.symbol] = fact
                return None
            cycle, chain = self._decide(fact), ()
        if cycle.key is None:
            cycle.key = (fact.strategy, fact.symbol)
        cycle.direction = fact.direction
        cycle.signal_at = fact.at
        cycle.touch(fact.at)
        if cycle.entered == 0 and not cycle.orders:
            self._wait(cycle)
        return Trace(chain[-1][1] if chain else cycle.place, Scope(cycle, chain))

    def _decide(self, fact: SignalGenerated) -> Cycle:
        """A cycle for a signal that no stage drew: it began with the bar, if there was one lately."""
        bar = self._bars.get(fact.symbol)
        began = bar.at if bar is not None and 0 <= fact.at - bar.at < self.hold else fact.at
        cycle = self.start(
            strategy=fact.strategy,
            symbol=fact.symbol,
            pod_id=fact.pod_id,
            correlation_id=fact.correlation_id,
            at=began,
        )
        cycle.awaits = True
        cycle.signal_at = fact.at
        cycle.direction = fact.direction
        cycle.stages.add(SpanName.GENERATE_SIGNAL)
        attributes: dict[str, AttributeValue] = {semconv.SIGNAL_DIRECTION: fact.direction.lower()}
        if fact.strength is not None:
            attributes[semconv.SIGNAL_STRENGTH] = fact.strength
        self._draw(cycle, SpanName.GENERATE_SIGNAL, cycle.place, attributes, began, fact.at)
        return cycle

    def _on_change(self, fact: OrderFact, change: Change) -> tuple[Cycle, Trace]:
        order = change.order
        cycle = self._of_order.get(order.client_id)
        if cycle is None:
            cycle = self._join(fact, change)
        spans = cycle.orders[order.client_id]
        cycle.touch(fact.at)
        if isinstance(fact, OrderRequested) and order.client_id == (fact.client_id or order.client_id):
            self._requested(cycle, spans, fact, change)
        elif spans.submit is None and change.before is None and order.known:
            self._open_submit(cycle, spans, fact.at)
        if change.acknowledged:
            self._acknowledged(cycle, spans, fact.at)
        if change.lost and spans.submit_open:
            spans.settled = True
            self._end_submit(cycle, spans, fact.at, error=spans.error or ErrorType.TIMEOUT)
        elif not order.lost and not order.status.is_terminal:
            spans.settled = False
        if order.status.is_terminal:
            self._ended(cycle, spans, fact.at)
        place, chain = spans.place(cycle)
        order.trace = Trace(place).traceparent()
        return cycle, Trace(place, Scope(cycle, chain))

    def _join(self, fact: OrderFact, change: Change) -> Cycle:
        """The cycle for an order that is in none: that of the running code, a new one, or a continuation."""
        order = change.order
        now_in = scope_here()
        cycle: Cycle | None = None
        chain: Chain = ()
        links: list[Link] = []
        if order.replaces and change.before is None:
            cycle = self._of_order.get(order.replaces)
        if cycle is not None:
            pass
        elif change.requested:
            cycle, chain = self.find(order.strategy, order.symbol)
            neutral = self._neutral.pop((order.strategy or "", order.symbol), None)
            if cycle is None and neutral is not None and fact.at - neutral.at < self.hold:
                cycle = self._decide(neutral)
            elif cycle is None and now_in is not None:  # that cycle is over: this is a new decision, made because of it
                links.append(Trace(now_in.cycle.place).as_link(Relation.CAUSED_BY))
        else:
            return self.go_on(order, fact.at, sent=not (change.before is None and order.replaces))
        if cycle is None:
            cycle = self._start_for(order, SpanName.TRADE_CYCLE, fact.at, links)
        self._put_in(cycle, order, chain, fact.at)
        return cycle

    def go_on(self, order: Order, at: float, *, sent: bool = True) -> Cycle:
        """A continuation for an order whose cycle is over, linked back to where it was last.

        Args:
            sent: the venue was asked for it, so what is waited for is its fill.
        """
        before = Trace.from_traceparent(order.trace)
        links = [before.as_link(Relation.CONTINUES)] if before is not None else []
        cycle = self._start_for(order, SpanName.CONTINUED, at, links)
        spans = self._put_in(cycle, order, (), at)
        if sent:
            self._open_fill(cycle, spans, at)
        return cycle

    def _start_for(self, order: Order, name: str, at: float, links: Sequence[Link]) -> Cycle:
        return self.start(
            name=name,
            strategy=order.strategy,
            symbol=order.symbol,
            pod_id=order.pod_id,
            correlation_id=order.correlation_id,
            instrument_type=order.instrument_type,
            exchange=order.exchange,
            at=at,
            links=links,
        )

    def _put_in(self, cycle: Cycle, order: Order, chain: Chain, at: float) -> OrderSpans:
        spans = cycle.orders[order.client_id] = OrderSpans(order, chain, at)
        self._of_order[order.client_id] = cycle
        if cycle.key is not None and self._waiting.get(cycle.key) is cycle:
            del self._waiting[cycle.key]
        return spans

    def _requested(self, cycle: Cycle, spans: OrderSpans, fact: OrderRequested, change: Change) -> None:
        order = change.order
        scope = scope_here()
        if scope is not None and scope.cycle is cycle:
            spans.chain = scope.chain
        stages = {name for name, _ in spans.chain}
        if change.requested and not order.validated and not (stages | cycle.stages) & {SpanName.PROCESS_SIGNAL}:
            began = cycle.signal_at if cycle.signal_at is not None else cycle.started_at
            known = request_attributes(order)
            wanted = (semconv.TARGET_WEIGHT, semconv.ORDER_NOTIONAL)
            attributes: dict[str, AttributeValue] = {key: known[key] for key in wanted if key in known}
            drawn = self._draw(cycle, SpanName.PROCESS_SIGNAL, cycle.place, attributes, began, fact.at)
            spans.chain = (*spans.chain, (SpanName.PROCESS_SIGNAL, drawn))
        if change.validated and spans.submit is None:
            checked_on_the_bus = not change.requested
            if checked_on_the_bus and not (stages | cycle.stages) & {SpanName.PRE_TRADE_CHECK}:
                self._draw_check(cycle, spans, CheckResult.APPROVED, None, fact.at)
            self._open_submit(cycle, spans, fact.at)

    def _draw_check(self, cycle: Cycle, spans: OrderSpans, result: CheckResult, reason: str | None, at: float) -> None:
        attributes: dict[str, AttributeValue] = {semconv.CHECK_RESULT: str(result.value)}
        if reason:
            attributes[semconv.CHECK_REASON] = reason
        parent = cycle.parent_for(SpanName.PRE_TRADE_CHECK, spans.chain)
        drawn = self._draw(cycle, SpanName.PRE_TRADE_CHECK, parent, attributes, spans.at, at)
        spans.chain = (*spans.chain, (SpanName.PRE_TRADE_CHECK, drawn))

    def _acknowledged(self, cycle: Cycle, spans: OrderSpans, at: float) -> None:
        if spans.submit_open and spans.entered == 0:
            self._end_submit(cycle, spans, at)
        if spans.fill is None:
            self._open_fill(cycle, spans, at)

    def _ended(self, cycle: Cycle, spans: OrderSpans, at: float) -> None:
        order = spans.order
        spans.settled = True
        if order.status == "rejected" and not order.validated and spans.submit is None:
            spans.denied = cycle.denied = True
            if SpanName.PRE_TRADE_CHECK not in {*cycle.stages, *(name for name, _ in spans.chain)}:
                self._draw_check(cycle, spans, CheckResult.DENIED, order.reject_reason, at)
        if spans.fill_open:
            self._end_fill(cycle, spans, at)
        if spans.submit_open and spans.entered == 0:
            self._end_submit(cycle, spans, at)

    # -- spans -----------------------------------------------------------------------------------------------------

    def _open_submit(self, cycle: Cycle, spans: OrderSpans, at: float) -> None:
        order = spans.order
        links: list[Link] = []
        if order.replaces:
            replaced = cycle.orders.get(order.replaces)
            if replaced is not None:
                links.append(Trace(replaced.place(cycle)[0]).as_link(Relation.REPLACES))
        scope = scope_here()
        attributes = order_attributes(cycle, order) | request_attributes(order)
        if scope is not None and scope.queue_wait is not None:
            attributes[semconv.QUEUE_WAIT] = scope.queue_wait
        parent = cycle.parent_for(SpanName.SUBMIT_ORDER, spans.chain)
        spans.submit = self.open(cycle, SpanName.SUBMIT_ORDER, parent, attributes, at, links=links)
        spans.submit_at = at
        spans.submit_open = True

    def _end_submit(self, cycle: Cycle, spans: OrderSpans, at: float, *, error: str | None = None) -> None:
        span = spans.submit
        if span is None or not spans.submit_open:
            return
        spans.submit_open = False
        order = spans.order
        span.set_attributes(state_attributes(order))
        if order.status == "rejected":
            error = spans.error or ErrorType.VENUE_REJECT
        if error is not None:
            span.set_attribute(semconv.ERROR_TYPE, str(error))
            span.set_status(Status(StatusCode.ERROR, order.reject_reason or str(error)))
        self.end(cycle, SpanName.SUBMIT_ORDER, span, spans.submit_at, at)

    def _open_fill(self, cycle: Cycle, spans: OrderSpans, at: float) -> None:
        spans.fill = self.open(cycle, SpanName.AWAIT_FILL, cycle.place, order_attributes(cycle, spans.order), at)
        spans.fill_at = at
        spans.fill_open = True

    def _end_fill(self, cycle: Cycle, spans: OrderSpans, at: float) -> None:
        if spans.fill is None or not spans.fill_open:
            return
        spans.fill_open = False
        spans.fill.set_attributes(state_attributes(spans.order) | fill_attributes(spans.order))
        self.end(cycle, SpanName.AWAIT_FILL, spans.fill, spans.fill_at, at)

    def leave_order(self, cycle: Cycle, spans: OrderSpans) -> None:
        """The ``with`` block of an order ended: its span ends too, unless the venue has not answered yet."""
        spans.entered -= 1
        if spans.entered == 0 and (spans.order.acknowledged_at is not None or spans.settled):
            self._end_submit(cycle, spans, self.clock(), error=spans.error)

    def open(
        self,
        cycle: Cycle,
        name: str,
        parent: SpanContext,
        attributes: dict[str, AttributeValue],
        at: float,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        links: Sequence[Link] = (),
    ) -> Span:
        """Start a span of the cycle at the monotonic time ``at``."""
        return self.tracer.start_span(
            name, context_of(parent), kind, attributes, links=links, start_time=cycle.time(at)
        )

    def end(self, cycle: Cycle, name: str, span: Span, began: float, at: float) -> None:
        """End a span of the cycle at the monotonic time ``at``, never before it began."""
        at = max(began, at)
        span.end(cycle.time(at))
        cycle.touch(at)
        self._measure(name, at - began, span.get_span_context())

    def _draw(
        self,
        cycle: Cycle,
        name: str,
        parent: SpanContext,
        attributes: dict[str, AttributeValue],
        began: float,
        at: float,
    ) -> SpanContext:
        """A span after the fact, from what the bus told."""
        span = self.open(cycle, name, parent, {**cycle.common, **attributes}, began)
        self.end(cycle, name, span, began, at)
        return span.get_span_context()

    def _measure(self, name: str, seconds: float, place: SpanContext) -> None:
        catalog.stage_duration.record(seconds, context=context_of(place), stage=str(name))


def _outside() -> list[Link]:
    """A link to the span of somebody else around us: a cycle is its own root, but its cause is not forgotten."""
    if scope_here() is not None:
        return []
    span = get_current_span().get_span_context()
    return [Trace(span).as_link(Relation.CAUSED_BY)] if span.is_valid else []
