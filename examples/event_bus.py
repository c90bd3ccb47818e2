"""A bot that talks through an event bus: one line, before it subscribes."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid4

import otel_mcbot as mcbot


@dataclass(frozen=True, kw_only=True)
class Event:
    """Frozen, as events are: nothing is written on them."""

    event_type: str
    event_id: UUID = field(default_factory=uuid4)
    timestamp: datetime = field(default_factory=lambda: datetime.now(UTC))
    correlation_id: UUID | None = None
    symbol: str = "BTC/USDT"


@dataclass(frozen=True, kw_only=True)
class Bar(Event):
    event_type: str = "bar"
    timeframe: str = "1m"
    close: float


@dataclass(frozen=True, kw_only=True)
class Signal(Event):
    event_type: str = "signal"
    strategy_name: str = "ctrend"
    direction: str
    strength: float = 0.7


@dataclass(frozen=True, kw_only=True)
class OrderRequest(Event):
    event_type: str = "order_request"
    client_order_id: str
    side: str
    order_type: str = "MARKET"
    notional_usd: float
    validated: bool = False


@dataclass(frozen=True, kw_only=True)
class OrderAck(Event):
    event_type: str = "order_ack"
    client_order_id: str


@dataclass(frozen=True, kw_only=True)
class Fill(Event):
    event_type: str = "fill"
    client_order_id: str
    side: str
    fill_price: float
    fill_qty: float
    fee: float


class Bus:
    """One queue, one consumer task: the span that is current at ``publish`` is not current in the handler."""

    def __init__(self):
        self.queue = asyncio.Queue(10_000)
        self.handlers = {}

    def subscribe(self, event_type, handler):
        self.handlers.setdefault(event_type, []).append(handler)

    async def publish(self, event):
        await self.queue.put(event)

    async def run(self):
        while True:
            event = await self.queue.get()
            for handler in self.handlers.get(event.event_type, []):
                await handler(event)
            self.queue.task_done()


class Bot:
    """Strategy, portfolio manager, risk manager and order desk: nothing in here knows of telemetry."""

    def __init__(self, bus):
        self.bus = bus
        self.orders = 0
        for event_type in ("bar", "signal", "order_request"):
            bus.subscribe(event_type, getattr(self, f"on_{event_type}"))

    async def on_bar(self, bar):
        if bar.close < 64_000:
            await self.bus.publish(Signal(direction="LONG", correlation_id=bar.event_id))

    async def on_signal(self, signal):
        self.orders += 1
        await self.bus.publish(
            OrderRequest(
                client_order_id=f"{signal.strategy_name}-btcusdt-{self.orders}",
                side="BUY",
                notional_usd=640.0,
                correlation_id=signal.correlation_id,
            )
        )

    async def on_order_request(self, request):
        same = {"client_order_id": request.client_order_id, "side": "BUY", "correlation_id": request.correlation_id}
        if not request.validated:  # the risk manager: the same order once more, validated
            await self.bus.publish(OrderRequest(**same, notional_usd=request.notional_usd, validated=True))
            return
        await self.bus.publish(OrderAck(client_order_id=request.client_order_id, correlation_id=request.correlation_id))
        for quantity in (0.004, 0.006):  # filled in two parts
            await self.bus.publish(Fill(**same, fill_price=64_000.0, fill_qty=quantity, fee=0.1))


async def main():
    telemetry = mcbot.configure("mc-coin-bot", mode="paper", expect={"BTC/USDT": "1m"}, strategies=["ctrend"])
    bus = Bus()
    seen = mcbot.attach(bus)  # before the bot subscribes
    Bot(bus)
    seen.require("fill")  # raises now, not at 3 a.m.
    consumer = asyncio.create_task(bus.run())
    for close in (64_100.0, 63_990.0):
        await bus.publish(Bar(close=close))
    await bus.queue.join()
    print(seen)  # what was understood
    print("orders:", telemetry.hub.ledger.totals.by_status)
    consumer.cancel()
    await telemetry.aclose()


asyncio.run(main())
