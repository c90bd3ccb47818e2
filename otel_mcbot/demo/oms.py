"""The order manager: sends orders, tries again, cancels what rested too long, and knows what became of each."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from loguru import logger

import otel_mcbot as mcbot

from .bus import EventBus
from .events import (
    BarEvent,
    EventType,
    FillEvent,
    OrderAckEvent,
    OrderCanceledEvent,
    OrderExpiredEvent,
    OrderRejectedEvent,
    OrderRequestEvent,
)
from .exchange import HOST, ExchangeError, NetworkError, OrderDict, OrderNotFound, PaperExchange
from .health import ApiHealth

ATTEMPTS = 3

DEAR = 25.0
"""Basis points of slippage that are worth a line."""


@dataclass(slots=True)
class OpenOrder:
    """An order between its request and its end."""

    request: OrderRequestEvent
    quantity: float
    trace: mcbot.Trace | None
    venue_id: str | None = None
    filled: float = 0.0
    canceling: bool = False


class OrderManager:
    """Args:
    bus: brings validated requests, takes acknowledgements, rejections and fills.
    exchange: any client with ccxt's ``create_order`` and ``cancel_order``.
    api: is told whether orders get through.
    on_unreadable: called with the symbol of a trade that cannot be read.
    on_done: awaited with the client id of every order that is filled, cancelled or expired.
    """

    def __init__(
        self,
        bus: EventBus,
        exchange: PaperExchange,
        on_done: Callable[[str], Awaitable[None]],
        api: ApiHealth,
        on_unreadable: Callable[[str], None],
    ) -> None:
        self.bus = bus
        self.exchange = exchange
        self.api = api
        self.on_unreadable = on_unreadable
        self.on_done = on_done
        self.open: dict[str, OpenOrder] = {}
        self.newest: tuple[str, str] | None = None
        """Symbol and venue's id of the order that was acknowledged last."""
        self.outcomes: Counter[str] = Counter()
        self.fills = 0
        self.fees = 0.0
        self._now: dict[str, datetime] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        bus.subscribe(EventType.BAR, self.on_bar)
        bus.subscribe(EventType.ORDER_REQUEST, self.on_order_request)
        bus.subscribe(EventType.ORDER_REJECTED, self.on_rejected)
        bus.subscribe(EventType.FILL, self.on_fill)
        bus.subscribe(EventType.ORDER_CANCELED, self.on_canceled)
        bus.subscribe(EventType.ORDER_EXPIRED, self.on_expired)

    async def settled(self) -> None:
        """Waits until no call is on its way any more."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- out -------------------------------------------------------------------------------------------------------

    async def on_order_request(self, request: OrderRequestEvent) -> None:
        if request.validated:
            quantity = round(request.notional_usd / request.expected_price, 8)
            self.open[request.client_order_id] = order = OpenOrder(request, quantity, mcbot.Trace.here())
            self._run(self._submit(order))  # a task of its own: the bus must not wait for the venue

    async def _submit(self, order: OpenOrder) -> None:
        request = order.request
        with mcbot.submit_order(
            symbol=request.symbol,
            side=request.side,
            quantity=order.quantity,
            order_type=request.order_type,
            price=request.price,
            client_order_id=request.client_order_id,
            strategy=request.strategy_name,
            pod_id=request.pod_id,
            expected_price=request.expected_price,
            time_in_force=request.time_in_force,
            reduce_only=request.reduce_only,
        ) as stage:
            try:
                report = await self._create(order)
            except ExchangeError as error:
                logger.warning("{} refused: {}", request.client_order_id, error)
                stage.rejected(str(error))
                await self.bus.publish(
                    OrderRejectedEvent(
                        source="oms",
                        correlation_id=request.correlation_id,
                        client_order_id=request.client_order_id,
                        symbol=request.symbol,
                        reason=str(error),
                    )
                )
                return
            stage.update(report)
            order.venue_id = report["id"]
            self.newest = request.symbol, report["id"]
            await self.bus.publish(
                OrderAckEvent(
                    source="oms",
                    correlation_id=request.correlation_id,
                    client_order_id=request.client_order_id,
                    symbol=request.symbol,
                )
            )
        self._cancel_when_due(order)

    async def _create(self, order: OpenOrder) -> OrderDict:
        request = order.request
        params: dict[str, Any] = {
            "clientOrderId": request.client_order_id,
            "at": request.bar_timestamp,
            "timeInForce": request.time_in_force.upper(),
            "reduceOnly": request.reduce_only,
        }
        if request.time_in_force == "gtd":
            params["goodTillDate"] = request.expires
        for attempt in range(ATTEMPTS):
            try:
                with mcbot.exchange_call("create_order", address=HOST, resend=attempt):
                    report = await self.exchange.create_order(
                        request.symbol,
                        request.order_type.lower(),
                        request.side.lower(),
                        order.quantity,
                        request.price,
                        params,
                    )
                self.api.note(True)
                return report
            except ExchangeError:
                self.api.note(True)
                raise
            except NetworkError as error:  # same client id again: the venue knows whether it has the order
                self.api.note(False)
                logger.warning("{} attempt {}: {}", request.client_order_id, attempt + 1, error)
        raise ExchangeError("no answer from the venue")

    # -- cancel ----------------------------------------------------------------------------------------------------

    async def on_bar(self, bar: BarEvent) -> None:
        self._now[bar.symbol] = bar.bar_timestamp
        for order in self.open.values():
            if order.request.symbol == bar.symbol:
                self._cancel_when_due(order)

    def _cancel_when_due(self, order: OpenOrder) -> None:
        request = order.request
        if (
            request.time_in_force == "gtc"
            and request.expires is not None
            and self._now[request.symbol] >= request.expires
        ):
            self._withdraw(order)

    def withdraw(self) -> None:
        """Cancel all that rests."""
        for order in self.open.values():
            self._withdraw(order)

    def _withdraw(self, order: OpenOrder) -> None:
        if order.venue_id is not None and not order.canceling:
            order.canceling = True
            self._run(self._cancel(order, order.venue_id))

    async def _cancel(self, order: OpenOrder, venue_id: str) -> None:
        request = order.request
        with mcbot.resume(order.trace):
            try:
                with mcbot.exchange_call("cancel_order", address=HOST, client_order_id=request.client_order_id):
                    await self.exchange.cancel_order(venue_id, request.symbol)
            except OrderNotFound:
                return  # filled meanwhile; the fills are on their way
            await self.bus.publish(_canceled(order, "rested too long"))

    # -- back ------------------------------------------------------------------------------------------------------

    async def listen(self) -> None:
        """Publishes what the venue reports by itself. Runs for ever."""
        async for kind, update in self.exchange.watch_updates():
            if "clientOrderId" not in update:
                logger.error("unreadable {}: {}", kind, update)
                self.on_unreadable(str(update.get("symbol") or update.get("s")))
                continue
            order = self.open[update["clientOrderId"]]
            if kind == "order" and update["status"] == "canceled":
                await self.bus.publish(_canceled(order, "rest not filled"))
            elif kind == "order":
                await self.bus.publish(
                    OrderExpiredEvent(
                        source="oms",
                        correlation_id=order.request.correlation_id,
                        client_order_id=update["clientOrderId"],
                        symbol=update["symbol"],
                    )
                )
            else:
                await self.bus.publish(
                    FillEvent(
                        source="oms",
                        correlation_id=order.request.correlation_id,
                        client_order_id=update["clientOrderId"],
                        symbol=update["symbol"],
                        side=update["side"].upper(),
                        fill_price=update["price"],
                        fill_qty=update["amount"],
                        fee=update["fee"]["cost"],
                        fill_timestamp=update["datetime"],
                        pod_id=order.request.pod_id,
                    )
                )

    async def on_fill(self, fill: FillEvent) -> None:
        self.fills += 1
        self.fees += fill.fee
        order = self.open[fill.client_order_id]
        order.filled = round(order.filled + fill.fill_qty, 8)
        expected = order.request.expected_price
        worse = (fill.fill_price / expected - 1) * (10_000 if fill.side == "BUY" else -10_000)
        if worse > DEAR:
            logger.warning("{} filled {:.0f} bp worse than expected", fill.client_order_id, worse)
        if order.filled >= order.quantity:
            await self._done(fill.client_order_id, "filled")

    async def on_canceled(self, event: OrderCanceledEvent) -> None:
        await self._done(event.client_order_id, "canceled")

    async def on_expired(self, event: OrderExpiredEvent) -> None:
        await self._done(event.client_order_id, "expired")

    async def on_rejected(self, event: OrderRejectedEvent) -> None:
        self.open.pop(event.client_order_id, None)
        self.outcomes["rejected"] += 1

    async def _done(self, client_order_id: str, outcome: str) -> None:
        order = self.open.pop(client_order_id)
        if outcome != "filled" and order.filled:
            outcome = "partially_filled"
        self.outcomes[outcome] += 1
        logger.info("{} {}: {} of {}", client_order_id, outcome, order.filled, order.quantity)
        await self.on_done(client_order_id)

    def _run(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _canceled(order: OpenOrder, reason: str) -> OrderCanceledEvent:
    request = order.request
    return OrderCanceledEvent(
        source="oms",
        correlation_id=request.correlation_id,
        client_order_id=request.client_order_id,
        symbol=request.symbol,
        reason=reason,
    )
