"""The risk manager: every order passes here before the venue hears of it."""

from __future__ import annotations

import uuid
from dataclasses import replace

from loguru import logger

import otel_mcbot as mcbot

from .bus import EventBus
from .events import BalanceUpdateEvent, CircuitBreakerEvent, EventType, OrderRejectedEvent, OrderRequestEvent

RESIZE = 0.75
"""Share of the limit beyond which an order is made smaller."""


class RiskManager:
    """Args:
    bus: brings order requests, takes those that may be sent, and rejections of those that may not.
    limit: share of its pod's capital that one order may be; beyond it the order is denied.

    Attributes:
        max_drawdown: fraction from which the circuit breaker trips, once; 1 is never.
        tripped: it did; nothing is opened any more.
        held: requests that wait, while it answers none; ``None`` while it does.
    """

    def __init__(self, bus: EventBus, limit: float = 1.0) -> None:
        self.bus = bus
        self.limit = limit
        self.max_drawdown = 1.0
        self.tripped = False
        self.held: list[OrderRequestEvent] | None = None
        bus.subscribe(EventType.BALANCE_UPDATE, self.on_balance)
        bus.subscribe(EventType.ORDER_REQUEST, self.on_order_request)

    async def on_order_request(self, request: OrderRequestEvent) -> None:
        if request.validated:
            return
        if self.held is not None:
            logger.warning("{} waits: the risk manager has no margin data", request.client_order_id)
            self.held.append(request)
            return
        await self._check(request)

    async def on_balance(self, balance: BalanceUpdateEvent) -> None:
        if balance.drawdown_pct > self.max_drawdown and not self.tripped:
            self.tripped = True
            reason = f"drawdown {balance.drawdown_pct:.2%} is beyond {self.max_drawdown:.2%}"
            logger.error("circuit breaker: {}", reason)
            await self.bus.publish(CircuitBreakerEvent(source="risk", reason=reason, close_all=True))

    async def release(self) -> None:
        """Answer what waited."""
        held, self.held = self.held or [], None
        for request in held:
            await self._check(request)

    async def _check(self, request: OrderRequestEvent) -> None:
        weight = abs(request.target_weight)
        with mcbot.pre_trade_check(client_order_id=request.client_order_id) as check:
            halted = self.tripped and not request.reduce_only
            if halted or weight > self.limit:
                reason = "circuit_breaker" if halted else "leverage_exceeded"
                check.denied(reason)
                await self.bus.publish(
                    OrderRejectedEvent(
                        source="risk",
                        correlation_id=request.correlation_id,
                        client_order_id=request.client_order_id,
                        symbol=request.symbol,
                        reason=reason,
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
