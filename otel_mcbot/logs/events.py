"""Facts → event records: what happened to an order, and what the bot says about itself.

A record leaves at once, in the context of its order. An event of a span would leave when the span ends, and a bot that
is killed between the acknowledgement and the fill would have told of neither.

What a record says is what is new: ``trading.fill.quantity`` on an event is of this one fill, on a span of all so far.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from opentelemetry._logs import Logger
from opentelemetry.context import Context
from opentelemetry.util.types import AttributeValue

from otel_mcbot import facts, semconv
from otel_mcbot.facts import Fact, OrderReplaced
from otel_mcbot.guard import Guard
from otel_mcbot.logs.emitter import Emitter
from otel_mcbot.redaction import Redactor
from otel_mcbot.semconv import BotEvent, OrderEvent

if TYPE_CHECKING:
    from otel_mcbot.ledger import Change, Order

_ENDS: Final[Mapping[str, OrderEvent]] = {
    "canceled": OrderEvent.CANCELED,
    "rejected": OrderEvent.REJECTED,
    "replaced": OrderEvent.REPLACED,
    "expired": OrderEvent.EXPIRED,
}


class Events:
    """Writes event records.

    Args:
        logger: where they go; see :func:`otel_mcbot.logs.otel_logger`.
        redactor: what takes secrets out of them.
        common: attributes that every record of the running code's chain carries; only of events that are of here.
    """

    def __init__(
        self,
        logger: Logger,
        redactor: Redactor,
        common: Callable[[], Mapping[str, AttributeValue]] = dict,
    ) -> None:
        self._emitter = Emitter(logger, redactor, common)

    def emit(
        self,
        name: str,
        body: str,
        *,
        severity: str = "INFO",
        context: Context | None = None,
        exception: BaseException | None = None,
        **attributes: object,
    ) -> None:
        """Write one event. Never raises.

        Args:
            name: of the event, as in :class:`~otel_mcbot.semconv.BotEvent`.
            body: a line for people.
            severity: DEBUG, INFO, WARN, ERROR or FATAL; loguru's and logging's names will do.
            context: where it belongs; ``None`` is here.
            exception: becomes ``exception.type``, ``exception.message`` and ``exception.stacktrace``.
            attributes: by their keys (``**{semconv.SYMBOL: "BTC/USDT"}``); ``None`` is left out.
        """
        self._write(name, body, attributes, context, severity, exception)

    def _write(
        self,
        name: str,
        body: str,
        attributes: Mapping[str, object],
        context: Context | None,
        severity: str = "INFO",
        exception: BaseException | None = None,
    ) -> None:
        with Guard("events"):
            self._emitter.event(name, body, severity, attributes, context=context, exception=exception)

    def on_fact(self, fact: Fact, changes: Sequence[Change], context: Context | None) -> None:
        """Write what is worth a record: each step of an order, alerts, the circuit breaker, regimes, errors."""
        for change in changes:
            self._order(fact, change, context)
        tell = _TELL.get(type(fact).__name__)
        if tell is not None:
            tell(self, fact, context)

    # -- orders --------------------------------------------------------------------------------------------------------

    def _order(self, fact: Fact, change: Change, context: Context | None) -> None:
        order = change.order
        if change.requested:
            self._step(OrderEvent.REQUESTED, order, _at("requested", order.price), context, _wish(order))
        if change.acknowledged:
            self._step(OrderEvent.ACKNOWLEDGED, order, "acknowledged", context, {semconv.ORDER_ID: order.venue_id})
        if change.completed:
            text = _at("filled", order.average_price)
            self._step(OrderEvent.FILLED, order, text, context, _fill(fact, change) | _total(order))
        elif change.quantity > 0:
            text = _at(f"filled {_number(change.quantity)}", change.price)
            self._step(OrderEvent.PARTIALLY_FILLED, order, text, context, _fill(fact, change))
        if isinstance(fact, OrderReplaced):
            self._replaced(fact, change, context)
        elif change.ended and change.after in _ENDS:
            self._ended(fact, change, context)
        if change.lost:
            message = getattr(fact, "message", None)
            text = f"lost: {message or 'no answer'}"
            self._step(OrderEvent.LOST, order, text, context, {semconv.MESSAGE: message}, "ERROR")

    def _replaced(self, fact: OrderReplaced, change: Change, context: Context | None) -> None:
        order = change.order
        if change.ended:
            text = f"replaced by {fact.new_client_id}"
            self._step(OrderEvent.REPLACED, order, text, context, {semconv.REPLACED_BY: fact.new_client_id})
        elif fact.new_client_id in (None, fact.client_id):  # the same order goes on, amended
            new = {semconv.ORDER_QUANTITY: order.quantity, semconv.ORDER_PRICE: order.price}
            self._step(OrderEvent.REPLACED, order, _at("amended", order.price), context, new)

    def _ended(self, fact: Fact, change: Change, context: Context | None) -> None:
        order, text, severity = change.order, str(change.after.value), "INFO"
        message = getattr(fact, "message", None)
        new: dict[str, object] = {semconv.MESSAGE: message} | (_total(order) if order.filled > 0 else {})
        if change.after == "rejected":
            new[semconv.REJECT_REASON] = order.reject_reason
            text, severity = f"rejected: {order.reject_reason}", "WARN"
        self._step(_ENDS[change.after], order, f"{text}: {message}" if message else text, context, new, severity)

    def _step(
        self,
        name: OrderEvent,
        order: Order,
        text: str,
        context: Context | None,
        new: Mapping[str, object],
        severity: str = "INFO",
    ) -> None:
        attributes: dict[str, object] = {
            semconv.ORDER_CLIENT_ID: order.client_id,
            semconv.SYMBOL: order.symbol,
            semconv.STRATEGY: order.strategy,
            semconv.POD_ID: order.pod_id,
            semconv.CORRELATION_ID: order.correlation_id,
            semconv.ORDER_SIDE: _lower(order.side),
            **new,
        }
        body = " ".join(filter(None, (order.symbol, _lower(order.side), _amount(order), text)))
        self._write(name, f"{body} ({order.strategy})" if order.strategy else body, attributes, context, severity)

    # -- the bot -------------------------------------------------------------------------------------------------------

    def _risk_alert(self, fact: facts.RiskAlertRaised, context: Context | None) -> None:
        body = fact.message or f"{fact.level} from {fact.source}"
        attributes = {semconv.ALERT_LEVEL: _lower(fact.level), semconv.ALERT_SOURCE: fact.source}
        severity = "ERROR" if fact.level.upper() == "CRITICAL" else "WARN"
        self._write(BotEvent.RISK_ALERT, body, attributes, context, severity)

    def _circuit_breaker(self, fact: facts.CircuitBreakerTripped, context: Context | None) -> None:
        body = f"circuit breaker tripped: {fact.reason or 'no reason given'}"
        attributes = {semconv.BREAKER_REASON: fact.reason or None, semconv.BREAKER_CLOSES_ALL: fact.close_all}
        self._write(BotEvent.CIRCUIT_BREAKER, body, attributes, context, "ERROR")

    def _regime(self, fact: facts.RegimeChanged, context: Context | None) -> None:
        body = f"{fact.symbol} regime {fact.previous or 'unknown'} → {fact.current or 'unknown'}"
        attributes = {
            semconv.SYMBOL: fact.symbol,
            semconv.REGIME_BEFORE: fact.previous,
            semconv.REGIME: fact.current,
            semconv.REGIME_CONFIDENCE: fact.confidence,
        }
        self._write(BotEvent.REGIME_CHANGED, body, attributes, context)

    def _error(self, fact: facts.ErrorOccurred, context: Context | None) -> None:
        body = f"{fact.component}: {fact.error_type}" + (f": {fact.message}" if fact.message else "")
        attributes = {semconv.COMPONENT: fact.component, semconv.ERROR_TYPE: fact.error_type}
        self._write(BotEvent.ERROR.value, body, attributes, context, "ERROR")

    def _maintenance(self, fact: facts.MaintenanceChanged, context: Context | None) -> None:
        body = f"maintenance {'ended' if fact.until is None else 'began'}: {fact.reason}"
        attributes = {semconv.MAINTENANCE_REASON: fact.reason, semconv.MAINTENANCE_UNTIL: fact.until}
        self._write(BotEvent.MAINTENANCE, body, attributes, context)


_TELL: Final[Mapping[str, Callable[[Events, Any, Context | None], None]]] = {
    "RiskAlertRaised": Events._risk_alert,
    "CircuitBreakerTripped": Events._circuit_breaker,
    "RegimeChanged": Events._regime,
    "ErrorOccurred": Events._error,
    "MaintenanceChanged": Events._maintenance,
}


def _wish(order: Order) -> dict[str, object]:
    return {
        semconv.ORDER_TYPE: _lower(order.order_type),
        semconv.ORDER_QUANTITY: order.quantity,
        semconv.ORDER_NOTIONAL: order.notional,
        semconv.ORDER_PRICE: order.price,
        semconv.EXPECTED_PRICE: order.expected_price,
        semconv.TARGET_WEIGHT: order.target_weight,
        semconv.TIME_IN_FORCE: _lower(order.time_in_force),
        semconv.REDUCE_ONLY: order.reduce_only,
        semconv.PARENT_CLIENT_ID: order.parent_client_id,
        semconv.INSTRUMENT_TYPE: _lower(order.instrument_type),
        semconv.EXCHANGE: order.exchange,
        semconv.REPLACES: order.replaces,
    }


def _fill(fact: Fact, change: Change) -> dict[str, object]:
    if not change.quantity:  # completed by the venue's word alone
        return {}
    return {
        semconv.FILL_ID: change.fill_id,
        semconv.FILL_QUANTITY: change.quantity,
        semconv.FILL_PRICE: change.price,
        semconv.FILL_FEE: change.fee or None,
        semconv.FILL_FEE_CURRENCY: change.order.fee_currency if change.fee else None,
        semconv.FILL_LIQUIDITY: _lower(getattr(fact, "liquidity", None)),
    }


def _total(order: Order) -> dict[str, object]:
    return {semconv.FILL_COUNT: order.parts, semconv.FILL_AVERAGE_PRICE: order.average_price}


def _amount(order: Order) -> str:
    if order.quantity is not None:
        return _number(order.quantity)
    return f"for {_number(order.notional)}" if order.notional is not None else ""


def _at(text: str, price: float | None) -> str:
    return text if price is None else f"{text} at {_number(price)}"


def _number(value: float) -> str:
    text = f"{value:.10f}".rstrip("0").rstrip(".")
    return text if text not in ("0", "-0") else f"{value:g}"


def _lower(value: str | None) -> str | None:
    return value.lower() if value else None
