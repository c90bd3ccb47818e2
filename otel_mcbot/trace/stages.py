"""The stages around an order: the strategy, the portfolio manager, the risk check, a call to the venue, the cycle."""

from __future__ import annotations

import enum
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import Link, SpanKind
from opentelemetry.util.types import AttributeValue

from otel_mcbot import facts, reports, semconv
from otel_mcbot.guard import Guard
from otel_mcbot.semconv import CheckResult, SpanName
from otel_mcbot.trace.cycle import Cycle
from otel_mcbot.trace.order import ORDER_HINTS, SubmitOrder
from otel_mcbot.trace.propagation import Scope, Trace, scope_here
from otel_mcbot.trace.stage import HINTS, Stage, fail

if TYPE_CHECKING:
    from otel_mcbot.hub import Hub


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
    hints = {**HINTS, "client_order_id": ORDER_HINTS["client_order_id"]}
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
            scope = scope_here()
            if scope is None or scope.cycle.ended:
                self._cycle = self._of_order(core) or self._cycle
            belongs = (self._cycle is not None and not self._cycle.ended) or scope is not None
        if belongs:
            super()._open(core)

    def _leave(self, core: Hub, cycle: Cycle, error: BaseException | None) -> None:
        # a call may fail and the trade succeed, as when a cancel meets a fill: the bot decides what it means
        super()._leave(core, cycle, None if isinstance(error, Exception) else error)

    def _of_order(self, core: Hub) -> Cycle | None:
        """The cycle of the order that the call is about. One that is over goes on, unless somebody only looks."""
        client_id = facts.text(self._given.get("client_order_id")) or ""
        found = core.lifecycle.spans_of(client_id)
        if found is not None:
            return found[0]
        order = core.ledger.open.get(client_id)
        if order is None or order.trace is None or self.operation.startswith("fetch"):
            return None
        return core.lifecycle.go_on(order, self._began)

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
        self._attach(cycle.span, Scope(cycle))

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


def _cause() -> list[Link]:
    """A link to the cycle in which a new one is opened: one led to the other."""
    scope = scope_here()
    return [Trace(scope.cycle.place).as_link(semconv.Relation.CAUSED_BY)] if scope is not None else []


def _rfc3339(when: float | None) -> str | None:
    if when is None:
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))
