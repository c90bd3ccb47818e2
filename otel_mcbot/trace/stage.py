"""The stages of an order's life as ``with`` blocks and decorators: one object is both.

    with mcbot.trade_cycle(strategy="ctrend", symbol="BTC/USDT") as cycle:
        with cycle.generate_signal() as stage:
            stage.signal("long", strength=0.7)

    @mcbot.generate_signal(strategy="ctrend")
    async def on_bar(self, bar): ...

A stage finds its cycle by itself: the one it was made from, the one the running code stands in (also across a queue,
see ``resume``), the one that waits for its strategy and symbol, or a new one. What it learns about an order it tells as
facts, so the ledger has one truth whatever else watches the same order. Telemetry that fails, or is not configured,
leaves a stage an empty shell; the bot's own exceptions pass through unmodified.
"""

from __future__ import annotations

import asyncio
import enum
import functools
import inspect
import itertools
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, Self, TypeVar, cast

from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue

from otel_mcbot import facts, hub, reports, semconv
from otel_mcbot.guard import Guard
from otel_mcbot.semconv import CheckResult, ErrorType, SpanName
from otel_mcbot.trace.cycle import Chain, Cycle, OrderSpans
from otel_mcbot.trace.propagation import Scope as _Scope
from otel_mcbot.trace.propagation import Trace, context_of, scope_here

if TYPE_CHECKING:
    from otel_mcbot.hub import Hub

P = ParamSpec("P")
R = TypeVar("R")

_STACK_LIMIT = 16_384
_VENUE_REFUSED = frozenset({"ExchangeError", "InsufficientFunds", "InvalidOrder", "BadRequest", "AuthenticationError"})
"""Exceptions (by the name of a class they derive from, so that no exchange library is needed) that say: the venue has
no such order. After any other one nobody knows, and the order is *lost* until somebody asks the venue."""

_HINTS: Mapping[str, tuple[str, ...]] = {
    "strategy": ("strategy", "strategy_name"),
    "symbol": ("symbol", "pair", "instrument"),
    "pod_id": ("pod_id",),
    "correlation_id": ("correlation_id",),
}
"""What a decorated function's arguments may tell, by attribute or key."""

_ORDER_HINTS: Mapping[str, tuple[str, ...]] = {
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


class Stage:
    """One stage: a ``with`` block, or a decorator of ``def`` and ``async def``. See the functions that make them."""

    name: ClassVar[str]
    kind: ClassVar[SpanKind] = SpanKind.INTERNAL
    hints: ClassVar[Mapping[str, tuple[str, ...]]] = _HINTS

    __slots__ = ("_attributes", "_began", "_cycle", "_given", "_hub", "_span", "_token", "cycle")

    def __init__(self, cycle: Cycle | None = None, **given: Any) -> None:
        self._cycle = cycle
        self._given = {key: value for key, value in given.items() if value is not None}
        self._attributes: dict[str, AttributeValue] = {}
        self._hub: Hub | None = None
        self._span: Span | None = None
        self._token: Token[Context] | None = None
        self._began = 0.0
        self.cycle: Cycle | None = None

    # -- with ------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._hub = hub.current()
        if self._hub is not None:
            with Guard("stage"):
                self._open(self._hub)
                if self._hub.on_loop is not None:
                    self._hub.on_loop()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        token, self._token = self._token, None
        if token is not None:
            detach(token)
        if self._hub is not None and self.cycle is not None:
            with Guard("stage"):
                self._close(self._hub, error)

    # -- decorator -------------------------------------------------------------------------------------------------

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{type(self).__name__} cannot wrap the generator {function.__qualname__}: its body runs in its "
                "consumer's context; use the stage as a with block inside it"
            )
        names = _parameters(function)
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
                with self._for_call(dict(zip(names, args, strict=False)) | kwargs) as stage:
                    result = await function(*args, **kwargs)
                    stage._returned(result)
                    return result

            return cast("Callable[P, R]", awaited)

        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            with self._for_call(dict(zip(names, args, strict=False)) | kwargs) as stage:
                result = function(*args, **kwargs)
                stage._returned(result)
                return result

        return called

    def _for_call(self, arguments: Mapping[str, Any]) -> Self:
        given = dict(self._given)
        with Guard("stage"):
            for key, names in self.hints.items():
                if key not in given:
                    found = reports.read(arguments, *names)
                    if found is None:
                        found = next(_read_all(arguments.values(), names), None)
                    if found is not None and not callable(found):
                        given[key] = found
        return type(self)(self._cycle, **given)

    def _returned(self, result: object) -> None:
        """Learn from what a decorated function returned."""

    # -- the span --------------------------------------------------------------------------------------------------

    def set(self, **attributes: AttributeValue | None) -> None:
        """Put more on the span. Underscores in a keyword stand for dots; ``None`` is left out, secrets are cleaned."""
        with Guard("stage"):
            redact = self._hub.redact if self._hub is not None else str
            for key, value in attributes.items():
                self._put({key.replace("_", "."): redact(value) if isinstance(value, str) else value})

    def _put(self, attributes: Mapping[str, AttributeValue | None]) -> None:
        for key, value in attributes.items():
            if value is not None:
                self._attributes[key] = value
                if self._span is not None:
                    self._span.set_attribute(key, value)

    def _locate(self, core: Hub) -> tuple[Cycle, Chain]:
        """The cycle of this stage and the stages around it; opens one when there is none."""
        lifecycle = core.lifecycle
        scope = scope_here()
        if self._cycle is not None and not self._cycle.ended:
            inside = scope is not None and scope.cycle is self._cycle
            return self._cycle, scope.chain if scope is not None and inside else ()
        strategy, symbol = facts.text(self._given.get("strategy")), facts.text(self._given.get("symbol"))
        cycle, chain = lifecycle.find(strategy, symbol)
        if cycle is not None and self.name == SpanName.GENERATE_SIGNAL and scope is None:
            cycle = None  # a new decision never joins the one that waits for an order
        if cycle is not None:
            return cycle, chain
        ended = self._cycle or (scope.cycle if scope is not None else None)
        common: Mapping[str, Any] = ended.common if ended is not None else {}
        continues = ended is not None and self.name != SpanName.GENERATE_SIGNAL
        relation = semconv.Relation.CONTINUES if continues else semconv.Relation.CAUSED_BY
        links = [Trace(ended.place).as_link(relation)] if ended is not None else []
        cycle = lifecycle.start(
            name=SpanName.CONTINUED if continues else SpanName.TRADE_CYCLE,
            strategy=strategy or common.get(semconv.STRATEGY),
            symbol=symbol or common.get(semconv.SYMBOL),
            pod_id=facts.text(self._given.get("pod_id")) or common.get(semconv.POD_ID),
            correlation_id=facts.text(self._given.get("correlation_id")) or common.get(semconv.CORRELATION_ID),
            links=links,
        )
        cycle.awaits = True
        return cycle, ()

    def _open(self, core: Hub) -> None:
        with core.lock:
            cycle, chain = self._locate(core)
            core.lifecycle.enter(cycle)
            self.cycle = cycle
            cycle.stages.add(self.name)
            self._began = core.lifecycle.clock()
            attributes = {**cycle.common, **self._attributes}
            scope = scope_here()
            if scope is not None and scope.queue_wait is not None:
                attributes[semconv.QUEUE_WAIT] = scope.queue_wait
            parent = _nearest(cycle, cycle.parent_for(self.name, chain), chain)
            self._span = core.lifecycle.open(cycle, self.name, parent, attributes, self._began, kind=self.kind)
            place = self._span.get_span_context()
            cycle.running[place.span_id] = (self.name, self._span, self._began)
        self._attach(self._span, _Scope(cycle, chain, scope.queue_wait if scope else None).inside(self.name, place))

    def _attach(self, span: Span, scope: _Scope) -> None:
        context = context_of(span.get_span_context(), scope, get_current())
        self._token = attach(set_span_in_context(span, context))

    def _close(self, core: Hub, error: BaseException | None) -> None:
        cycle, span = self.cycle, self._span
        if cycle is None:
            return
        with core.lock:
            now = core.lifecycle.clock()
            if span is not None and cycle.running.pop(span.get_span_context().span_id, None) is not None:
                self._finish(error)
                if error is not None:
                    fail(core, cycle, span, error)
                core.lifecycle.end(cycle, self.name, span, self._began, now)
            self._leave(core, cycle, error)

    def _leave(self, core: Hub, cycle: Cycle, error: BaseException | None) -> None:
        if error is not None and cycle.entered == 1:  # nobody in the cycle caught it
            cycle.interrupted = cycle.interrupted or _is_interruption(error)
            cycle.error = error_type(error)
        core.lifecycle.leave(cycle)

    def _finish(self, error: BaseException | None) -> None:
        """Put on the span what is required and was never said."""


class GenerateSignal(Stage):
    """``strategy.generate_signal``: the strategy decides."""

    name = SpanName.GENERATE_SIGNAL
    __slots__ = ()

    def signal(self, direction: object, strength: object = None, *, bar_time: object = None) -> None:
        """Say what was decided.

        Args:
            direction: long, short or neutral as the bot writes it (``"BUY"``, ``1``, an enum).
            strength: as the strategy scales it.
            bar_time: the bar's time: a datetime or Unix seconds.
        """
        core = self._hub
        if core is None:
            return
        with Guard("stage"):
            spelled = facts.direction(direction)
            when = reports.unix_seconds(bar_time)
            self._put(
                {
                    semconv.SIGNAL_DIRECTION: spelled.lower(),
                    semconv.SIGNAL_STRENGTH: facts.number(strength),
                    semconv.BAR_TIME: _rfc3339(when),
                }
            )
            cycle = self.cycle
            if cycle is None:
                return
            strategy = facts.text(self._given.get("strategy")) or cycle.common.get(semconv.STRATEGY)
            symbol = facts.text(self._given.get("symbol")) or cycle.common.get(semconv.SYMBOL)
            if strategy and symbol:
                cycle.told_by_stage = True
                core.tell(
                    facts.SignalGenerated(
                        strategy=str(strategy),
                        symbol=str(symbol),
                        direction=spelled,
                        strength=facts.number(strength),
                        pod_id=facts.text(self._given.get("pod_id") or cycle.common.get(semconv.POD_ID)),
                        correlation_id=facts.text(cycle.common.get(semconv.CORRELATION_ID)),
                        bar_time=when,
                    )
                )

    def _returned(self, result: object) -> None:
        if semconv.SIGNAL_DIRECTION in self._attributes:
            return
        direction = reports.read(result, "direction") if result is not None else None
        if direction is None and isinstance(result, (str, enum.Enum)):
            direction = result
        if direction is not None:
            self.signal(direction, reports.read(result, "strength"), bar_time=reports.read(result, "bar_timestamp"))

    def _finish(self, error: BaseException | None) -> None:
        if semconv.SIGNAL_DIRECTION not in self._attributes:
            self._put({semconv.SIGNAL_DIRECTION: "neutral"})


class ProcessSignal(Stage):
    """``pm.process_signal``: the portfolio manager turns a signal into a target."""

    name = SpanName.PROCESS_SIGNAL
    __slots__ = ()

    def target(self, *, weight: object = None, notional: object = None) -> None:
        """Say what it aims at: a fraction of equity, or a notional in quote currency."""
        with Guard("stage"):
            self._put(
                {semconv.TARGET_WEIGHT: facts.number(weight), semconv.ORDER_NOTIONAL: facts.number(notional)},
            )


class PreTradeCheck(Stage):
    """``rm.pre_trade_check``: may this order be sent? Approved unless said otherwise."""

    name = SpanName.PRE_TRADE_CHECK
    hints = {**_HINTS, "client_order_id": _ORDER_HINTS["client_order_id"]}
    __slots__ = ()

    def approved(self) -> bool:
        """The order may go as it is. Returns ``True``."""
        return self._result(CheckResult.APPROVED)

    def resized(self, *, notional: object = None, quantity: object = None) -> bool:
        """The order may go, smaller. Returns ``True``."""
        with Guard("stage"):
            self._put({semconv.ORDER_NOTIONAL: facts.number(notional), semconv.ORDER_QUANTITY: facts.number(quantity)})
        return self._result(CheckResult.RESIZED)

    def denied(self, reason: str = "other") -> bool:
        """The order may not go.

        Args:
            reason: one of :data:`otel_mcbot.facts.REJECT_REASONS`; any other text is mapped to one.

        Returns:
            ``False``, so that ``ok = risk.allows(x) or check.denied("leverage_exceeded")`` reads as it works.
        """
        core, cycle = self._hub, self.cycle
        if core is None or cycle is None:
            return False
        with Guard("stage"):
            spelled = facts.reject_reason(reason)
            self._result(CheckResult.DENIED)
            self._put({semconv.CHECK_REASON: spelled})
            with core.lock:
                cycle.denied = True
                waiting = [spans for spans in cycle.orders.values() if not (spans.order.validated or spans.settled)]
            asked = facts.text(self._given.get("client_order_id"))
            orders = [spans.order.client_id for spans in waiting if asked in (None, spans.order.client_id)]
            if len(orders) == 1:
                core.tell(facts.OrderRejected(client_id=orders[0], reason=spelled, message=reason))
            elif asked is None or core.ledger.get(asked) is None:
                symbol = facts.text(self._given.get("symbol")) or cycle.common.get(semconv.SYMBOL)
                strategy = facts.text(self._given.get("strategy")) or cycle.common.get(semconv.STRATEGY)
                if symbol:
                    core.tell(
                        facts.CheckDenied(
                            symbol=str(symbol), reason=spelled, strategy=str(strategy) if strategy else None
                        )
                    )
        return False

    def _result(self, result: CheckResult) -> bool:
        with Guard("stage"):
            self._put({semconv.CHECK_RESULT: str(result.value)})
        return result is not CheckResult.DENIED

    def _returned(self, result: object) -> None:
        if result is False and semconv.CHECK_RESULT not in self._attributes:
            self.denied()

    def _finish(self, error: BaseException | None) -> None:
        if semconv.CHECK_RESULT not in self._attributes:
            self._result(CheckResult.APPROVED if error is None else CheckResult.DENIED)
            if error is not None:
                self._put({semconv.CHECK_REASON: "other"})


class SubmitOrder(Stage):
    """``oms.submit_order``: request → ack or rejection; the span outlives the block if the venue is slow."""

    name = SpanName.SUBMIT_ORDER
    hints = {**_HINTS, **_ORDER_HINTS}
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
        inside = _Scope(cycle, chain, scope.queue_wait if scope is not None else None)
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
        self._attach(span, _Scope(cycle, (*spans.chain, (self.name, place)), inside.queue_wait))

    def _close(self, core: Hub, error: BaseException | None) -> None:
        cycle, spans = self.cycle, self._spans
        if cycle is None:
            return
        if error is not None:
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
            self.rejected(str(error))
        else:
            core.tell(facts.OrderLost(client_id=order.client_id, message=core.redact(str(error))))

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


class ExchangeCall(Stage):
    """``exchange.<operation>``: one attempt of one call. Always measured; a span only where it belongs to something."""

    kind = SpanKind.CLIENT
    __slots__ = ("name", "operation")

    def __init__(self, cycle: Cycle | None = None, *, operation: str, **given: Any) -> None:
        super().__init__(cycle, operation=operation, **given)
        self.operation = operation
        self.name = semconv.EXCHANGE_SPAN_PREFIX + operation  # type: ignore[misc]
        self._put(
            {
                semconv.OPERATION: operation,
                semconv.SERVER_ADDRESS: str(self._given.get("address") or "unknown"),
                semconv.SERVER_PORT: self._given.get("port"),
                semconv.RESEND_COUNT: self._given.get("resend") or None,
            }
        )

    def response(
        self,
        *,
        status_code: int | None = None,
        error_code: object = None,
        weight_used: int | None = None,
        throttle_wait: float | None = None,
        wire_time: float | None = None,
    ) -> None:
        """What the venue answered.

        Args:
            status_code: of HTTP.
            error_code: the venue's own, as ``"-2010"``.
            weight_used: request weight used so far in the venue's window.
            throttle_wait: seconds spent waiting for our own rate limiter.
            wire_time: seconds on the wire.
        """
        with Guard("stage"):
            self._put(
                {
                    semconv.HTTP_STATUS: status_code,
                    semconv.ERROR_CODE: facts.text(error_code),
                    semconv.WEIGHT_USED: weight_used,
                    semconv.THROTTLE_WAIT: throttle_wait,
                    semconv.WIRE_TIME: wire_time,
                }
            )

    def _open(self, core: Hub) -> None:
        self._began = core.lifecycle.clock()
        with core.lock:
            of_order = core.lifecycle.spans_of(facts.text(self._given.get("client_order_id")) or "")
            if of_order is not None and scope_here() is None:
                self._cycle = of_order[0]
            belongs = (self._cycle is not None and not self._cycle.ended) or _open_scope()
        if belongs:
            super()._open(core)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        core, began = self._hub, self._began
        super().__exit__(kind, error, tb)
        if core is not None and began:
            with Guard("stage"):
                core.tell(
                    facts.ApiCalled(
                        endpoint=self.operation,
                        status="success" if error is None else "failure",
                        seconds=core.lifecycle.clock() - began,
                        error=type(error).__name__ if error is not None else None,
                    )
                )


class TradeCycle(Stage):
    """``trade_cycle``: the root, from the decision to the last order's end (or ``hold``)."""

    name = SpanName.TRADE_CYCLE
    __slots__ = ()

    def _open(self, core: Hub) -> None:
        given = self._given
        with core.lock:
            cycle = core.lifecycle.start(
                strategy=facts.text(given.get("strategy")),
                symbol=facts.text(given.get("symbol")),
                pod_id=facts.text(given.get("pod_id")),
                correlation_id=facts.text(given.get("correlation_id")),
                instrument_type=given.get("instrument_type"),
                exchange=given.get("exchange"),
                hold=given.get("hold"),
                links=[*given.get("links", ()), *_cause()],
            )
            core.lifecycle.enter(cycle)
            self.cycle = cycle
        self._attach(cycle.span, _Scope(cycle))

    def _put(self, attributes: Mapping[str, AttributeValue | None]) -> None:
        self._span = self.cycle.span if self.cycle is not None else None
        super()._put(attributes)

    def _close(self, core: Hub, error: BaseException | None) -> None:
        cycle = self.cycle
        if cycle is None:
            return
        with core.lock:
            if error is not None:
                fail(core, cycle, cycle.span, error)
            self._leave(core, cycle, error)

    # -- the stages of this cycle ----------------------------------------------------------------------------------

    def generate_signal(self, **given: Any) -> GenerateSignal:
        """The strategy decides: see :func:`generate_signal`."""
        return GenerateSignal(self.cycle, **given)

    def process_signal(self, **given: Any) -> ProcessSignal:
        """The portfolio manager: see :func:`process_signal`."""
        return ProcessSignal(self.cycle, **given)

    def pre_trade_check(self, **given: Any) -> PreTradeCheck:
        """The risk check: see :func:`pre_trade_check`."""
        return PreTradeCheck(self.cycle, **given)

    def order(self, **given: Any) -> SubmitOrder:
        """An order of this cycle: see :func:`submit_order`."""
        return SubmitOrder(self.cycle, **given)

    def exchange_call(self, operation: str, **given: Any) -> ExchangeCall:
        """A call to the venue: see :func:`exchange_call`."""
        return ExchangeCall(self.cycle, operation=operation, **given)


# -- the public functions ------------------------------------------------------------------------------------------


def trade_cycle(
    *,
    strategy: str | None = None,
    symbol: str | None = None,
    pod_id: str | None = None,
    correlation_id: object = None,
    instrument_type: str | None = None,
    exchange: str | None = None,
    hold: float | None = None,
    links: tuple[Link, ...] = (),
) -> TradeCycle:
    """The root of a trade: ``with`` block or decorator.

    Args:
        strategy, symbol: leave ``symbol`` out on a cycle that spans several.
        pod_id: the pod whose capital it uses.
        correlation_id: the causal chain it belongs to.
        instrument_type: ``spot``, ``swap``, ``future`` or ``option``.
        exchange: the venue's name.
        hold: seconds to wait for resting orders after the block; default 60 (``MCBOT_HOLD``).
        links: from the traces that led here (``Trace.as_link()``), for many signals and one rebalance.
    """
    return TradeCycle(
        strategy=strategy,
        symbol=symbol,
        pod_id=pod_id,
        correlation_id=correlation_id,
        instrument_type=instrument_type,
        exchange=exchange,
        hold=hold,
        links=links or None,
    )


def generate_signal(
    *,
    strategy: str | None = None,
    symbol: str | None = None,
    pod_id: str | None = None,
    correlation_id: object = None,
) -> GenerateSignal:
    """The strategy decides: ``with`` block (``stage.signal("long")``) or decorator (learns from what is returned:
    a direction, or an object that has one). What is left out is read from the decorated function's arguments."""
    return GenerateSignal(strategy=strategy, symbol=symbol, pod_id=pod_id, correlation_id=correlation_id)


def process_signal(
    *, strategy: str | None = None, symbol: str | None = None, pod_id: str | None = None, correlation_id: object = None
) -> ProcessSignal:
    """The portfolio manager turns a signal into a target: ``stage.target(weight=…, notional=…)``."""
    return ProcessSignal(strategy=strategy, symbol=symbol, pod_id=pod_id, correlation_id=correlation_id)


def pre_trade_check(
    *,
    strategy: str | None = None,
    symbol: str | None = None,
    client_order_id: str | None = None,
    pod_id: str | None = None,
    correlation_id: object = None,
) -> PreTradeCheck:
    """May this order be sent? ``check.denied(reason)`` returns ``False``; a decorated function that returns ``False``
    has denied."""
    return PreTradeCheck(
        strategy=strategy,
        symbol=symbol,
        client_order_id=client_order_id,
        pod_id=pod_id,
        correlation_id=correlation_id,
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


def exchange_call(
    operation: str,
    *,
    address: str | None = None,
    port: int | None = None,
    resend: int = 0,
    client_order_id: str | None = None,
) -> ExchangeCall:
    """One attempt of one call to the venue (``create_order``, ``cancel_order``, ``fetch_order`` …).

    Args:
        address, port: of the venue, as ``api.binance.com``. Never a URL: its query could hold a key.
        resend: which repetition this is, 0 the first.
        client_order_id: the order it is about, where no block around says so.
    """
    return ExchangeCall(
        operation=operation, address=address, port=port, resend=resend or None, client_order_id=client_order_id
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


# -- helpers -------------------------------------------------------------------------------------------------------


def error_type(error: BaseException) -> str:
    """``error.type`` of an exception: ``interrupted`` for a cancellation, else its class name."""
    return str(ErrorType.INTERRUPTED.value) if _is_interruption(error) else type(error).__qualname__


def _is_interruption(error: BaseException) -> bool:
    return isinstance(error, asyncio.CancelledError) or not isinstance(error, Exception)


def fail(core: Hub, cycle: Cycle, span: Span, error: BaseException) -> None:
    """Mark a span failed. The exception itself is told once, on the innermost span it passed through."""
    kind = error_type(error)
    message = core.redact(str(error))
    span.set_attribute(semconv.ERROR_TYPE, kind)
    span.set_status(Status(StatusCode.ERROR, message[:512] or kind))
    if cycle.seen_error is error:
        return
    cycle.seen_error = error
    stack = "".join(traceback.format_exception(error))[-_STACK_LIMIT:]
    span.add_event(
        "exception",
        {
            "exception.type": type(error).__qualname__,
            "exception.message": message,
            "exception.stacktrace": core.redact(stack),
        },
    )


def _nearest(cycle: Cycle, parent: SpanContext, chain: Chain) -> SpanContext:
    """The span of somebody else between ``parent`` and the running code, if there is one: it keeps its child."""
    innermost = chain[-1][1] if chain else cycle.place
    current = get_current_span().get_span_context()
    if parent.span_id == innermost.span_id and current.trace_id == cycle.place.trace_id:
        return current
    return parent


def _open_scope() -> bool:
    scope = scope_here()
    return scope is not None


def _cause() -> list[Link]:
    """A link to the cycle in which a new one is opened: one led to the other."""
    scope = scope_here()
    return [Trace(scope.cycle.place).as_link(semconv.Relation.CAUSED_BY)] if scope is not None else []


def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    """Names of the positional parameters, so that ``send("BTC/USDT", "buy")`` is understood like keywords are."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return ()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(parameter.name for parameter in parameters if parameter.kind in positional)


def _read_all(sources: Iterable[Any], names: tuple[str, ...]) -> Iterator[Any]:
    for source in sources:
        if isinstance(source, (str, bytes, int, float)):
            continue
        value = reports.read(source, *names)
        if value is not None and not callable(value):
            yield value


def _rfc3339(when: float | None) -> str | None:
    if when is None:
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))
