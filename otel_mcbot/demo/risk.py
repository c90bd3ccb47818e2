"""The risk manager: every order passes here before the venue hears of it."""

from __future__ import annotations

import uuid
from dataclasses import replace

import otel_mcbot as mcbot

from .bus import EventBus
from .events import EventType, OrderRejectedEvent, OrderRequestEvent

MAX_WEIGHT = 1.0
"""Of its pod's capital, for one order; beyond it the order is denied."""

RESIZE_WEIGHT = 0.75
"""Beyond it the order is made smaller."""


class RiskManager:
    def __init__(self, bus: EventBus) -> None:
        self.bus = bus
        bus.subscribe(EventType.ORDER_REQUEST, self.on_order_request)

    async def on_order_request(self, request: OrderRequestEvent) -> None:
        if request.validated:
            return
        weight = abs(request.target_weight)
        with mcbot.pre_trade_check(client_order_id=request.client_order_id) as check:
            if weight > MAX_WEIGHT:
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
            if weight > RESIZE_WEIGHT:
                notional = round(notional * RESIZE_WEIGHT / weight, 8)
                check.resized(notional=notional)
            else:
                check.approved()
            await self.bus.publish(
                replace(request, validated=True, notional_usd=notional, source="risk", event_id=uuid.uuid4())
            )
