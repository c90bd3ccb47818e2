"""Layers 1 and 1b: bars, signals, orders, fills, slippage; what was never sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from opentelemetry.context import Context

from otel_mcbot import catalog, facts
from otel_mcbot.guard import Guard

if TYPE_CHECKING:
    from otel_mcbot.ledger import Change, Ledger, Order

_guard: Final = Guard("record.execution")

SIDES: Final = ("BUY", "SELL")
STATUSES: Final = ("ack", "filled", "rejected")
"""What ``orders_total`` knows. Canceled, expired and abandoned orders are outcomes of a span."""


class ExpectedPrice:
    """The price that a fill is measured against: the order's own; for a market order without one, the last bar's close.

    The close is taken at the request, not at the fill: what came between is slippage too.
    """

    def __init__(self, room: int = 20_000) -> None:
        self._room = room
        self._closes: dict[str, float] = {}
        self._at_request: dict[str, float] = {}

    def note_bar(self, bar: facts.BarReceived) -> None:
        if bar.close is not None:
            self._closes[bar.symbol] = bar.close

    def note_request(self, order: Order) -> None:
        close = self._closes.get(order.symbol)
        if close is None or order.expected_price is not None or order.order_type != "MARKET":
            return
        if len(self._at_request) >= self._room:  # orders that never end: the oldest goes
            del self._at_request[next(iter(self._at_request))]
        self._at_request[order.client_id] = close

    def slippage(self, change: Change) -> float | None:
        """Basis points that this part of the order is worse than expected, below 0 when it is better."""
        order, price = change.order, change.price
        if not order.known or not change.quantity or not price or order.side not in SIDES:
            return None
        expected = order.expected_price
        if (
            expected is None and order.order_type == "MARKET"
        ):  # restored after a restart: the close now is the best left
            expected = self._at_request.get(order.client_id, self._closes.get(order.symbol))
        if not expected or expected < 0:
            return None
        worse = price - expected if order.side == "BUY" else expected - price
        return worse / expected * 10_000

    def forget(self, order: Order) -> None:
        self._at_request.pop(order.client_id, None)


class Execution:
    """Records orders, and takes the callbacks of the layer that sends them.

    Args:
        ledger: whose open orders are counted.
        live: mode live or paper; in any other the ``live_*`` counters stay silent.
        tell: where the callbacks' facts go.
    """

    def __init__(self, ledger: Ledger, live: bool, tell: Callable[[facts.Fact], object]) -> None:
        self._ledger = ledger
        self._live = live
        self._tell = tell
        self._counted = 0.0

    def on_order_skipped(self, symbol: str, cause: str) -> None:
        """An order was not sent. ``cause``: ``min_notional`` or ``api_blocked``."""
        with _guard:
            self._tell(facts.OrderSkipped(symbol=symbol, cause=cause))

    def on_fill_parse_failure(self, symbol: str) -> None:
        """A fill response could not be read."""
        with _guard:
            self._tell(facts.FillUnreadable(symbol=symbol))

    def meet_symbol(self, symbol: str) -> None:
        """Let the symbol's counters exist at 0."""
        catalog.signals.zero(symbol=symbol)
        catalog.fees.zero(symbol=symbol)
        catalog.orders_lost.zero(symbol=symbol)
        for side in SIDES:
            catalog.fills.zero(symbol=symbol, side=side)
        for reason in facts.REJECT_REASONS:
            catalog.order_rejected.zero(symbol=symbol, reason=reason)
        if self._live:
            catalog.live_min_notional_skip.zero(symbol=symbol)
            catalog.live_api_blocked.zero(symbol=symbol)
            catalog.live_partial_fill.zero(symbol=symbol)
            catalog.live_fill_parse_failure.zero(symbol=symbol)

    def record_bar(self, bar: facts.BarReceived) -> None:
        catalog.bars.add(timeframe=bar.timeframe)

    def record_signal(self, signal: facts.SignalGenerated, context: Context | None) -> None:
        catalog.signals.add(context=context, symbol=signal.symbol)

    def record_skipped(self, skipped: facts.OrderSkipped) -> None:
        if self._live and skipped.cause == "min_notional":
            catalog.live_min_notional_skip.add(symbol=skipped.symbol)
        elif self._live and skipped.cause == "api_blocked":
            catalog.live_api_blocked.add(symbol=skipped.symbol)

    def record_unreadable(self, unreadable: facts.FillUnreadable) -> None:
        if self._live:
            catalog.live_fill_parse_failure.add(symbol=unreadable.symbol)

    def record_change(self, change: Change, slippage: float | None, at: float, context: Context | None) -> None:
        """One step of one order. A fill of an order that nobody asked for (a liquidation) counts by symbol only."""
        order = change.order
        if order.known:
            labels = {"symbol": order.symbol, "side": order.side, "order_type": order.order_type}
            if change.requested:
                for status in STATUSES:
                    catalog.orders.zero(**labels, status=status)
            if change.acknowledged:
                catalog.orders.add(context=context, **labels, status="ack")
            if change.ended and change.after == "rejected":
                catalog.orders.add(context=context, **labels, status="rejected")
                catalog.order_rejected.add(context=context, symbol=order.symbol, reason=order.reject_reason or "other")
            if change.completed:
                catalog.orders.add(context=context, **labels, status="filled")
                catalog.order_latency.record(max(0.0, at - order.requested_at), context=context, symbol=order.symbol)
        if change.parts > 0:
            catalog.fills.add(change.parts, context=context, symbol=order.symbol, side=order.side)
            if change.partial and self._live:
                catalog.live_partial_fill.add(change.parts, context=context, symbol=order.symbol)
        if change.fee > 0:
            catalog.fees.add(change.fee, context=context, symbol=order.symbol)
        if slippage is not None:
            catalog.slippage.record(abs(slippage), context=context, symbol=order.symbol, side=order.side)
            catalog.slippage_signed.record(slippage, context=context, symbol=order.symbol, side=order.side)
        if change.lost:
            catalog.orders_lost.add(context=context, symbol=order.symbol)

    def _open(self) -> Mapping[str, Order]:
        view = self._ledger.open
        return view.copy() if isinstance(view, MappingProxyType) else dict(view)  # at once: orders come meanwhile

    def tick(self, now: float) -> None:
        """Count the orders that are open, at most once a second: there may be thousands."""
        if now - self._counted >= 1.0:
            self._counted = now
            self.count(now)

    def count(self, now: float) -> None:
        """Count them now."""
        orders = [order for order in self._open().values() if order.known]
        since: dict[str, float] = {"signal": now, "request": now, "ack": now}
        for order in orders:
            if order.acknowledged_at is not None:
                since["ack"] = min(since["ack"], order.acknowledged_at)
            elif order.validated:
                if not order.lost:
                    since["request"] = min(since["request"], order.requested_at)
            elif order.signal_at is not None:  # wanted, and not sent
                since["signal"] = min(since["signal"], order.signal_at)
        catalog.pending_orders_count.set(self._ledger.pending)
        catalog.open_orders.set(len(orders))
        for stage, at in since.items():
            catalog.oldest_order.set(now - at, stage=stage)
