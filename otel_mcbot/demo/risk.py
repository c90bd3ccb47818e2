"""The risk manager: every order passes here before the venue hears of it."""

from __future__ import annotations

import uuid
from dataclasses import replace

import otel_mcbot as mcbot

from .bus import EventBus
from .events import EventType, OrderRejectedEvent, OrderRequestEvent

RESIZE = 0.75
"""Share of the limit beyond which an order is made smaller."""


class RiskManager:
    """Args:
    bus: brings order requests, takes those that may be sent, and rejections of those that may not.
    limit: share of its pod's capital that one order may be; beyond it the order is denied.
    """

    def __init__(self, bus: EventBus, limit: float = 1.0) -> None:
        self.bus = bus
        self.limit = limit
        bus.subscribe(EventType.ORDER_REQUEST, self.on_order_request)

    async def on_order_request(self, request: OrderRequestEvent) -> None:
        if request.validated:
            return
        weight = abs(request.target_weight)
        with mcbot.pre_trade_check(client_order_id=request.client_order_id) as check:
            if weight > self.limit:
                check.denied("leverage_exceeded")
                await self.bus.publish(
                    OrderRejectedEvent(
                        source="risk",
                        correlation_id=request.correlation_id,
                        client_order_id=request.client_order_id,
                        symbol=request.symbol,
                        reason="leverage_exceeded",
                    )
                )
                return
            notional = request.notional_usd
            if weight > RESIZE * self.limit:
                notional = round(notional * RESIZE * self.limit / weight, 8)
                check.resized(notional=notional)
            else:
                check.approved()
            await self.bus.publish(
                replace(request, validated=True, notional_usd=notional, source="risk", event_id=uuid.uuid4())
            )
