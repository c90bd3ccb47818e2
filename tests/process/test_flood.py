"""Ten thousand orders in flight over one queue: every one keeps its own trace, and nothing of them stays behind."""

from __future__ import annotations

import gc
import itertools
import tracemalloc
from collections import defaultdict
from uuid import uuid4

import pytest
from eventbus import EventBus, EventType, Fill, OrderAck, OrderRequest, Signal
from opentelemetry.sdk.trace import ReadableSpan

from otel_mcbot import attach, semconv
from otel_mcbot.testing import Captured, capture
from otel_mcbot.trace import scope_here

ORDERS = 10_000
PARENT = {
    "trade_cycle": None,
    "strategy.generate_signal": "trade_cycle",
    "pm.process_signal": "trade_cycle",
    "rm.pre_trade_check": "pm.process_signal",
    "oms.submit_order": "rm.pre_trade_check",
    "oms.await_fill": "trade_cycle",
}

numbers = itertools.count(1)


class Bot:
    """Portfolio and risk manager as handlers; the venue answers when everything is in flight."""

    def __init__(self, bus: EventBus) -> None:
        self.bus = bus
        self.sent: list[tuple[str, object]] = []
        self.wrong = 0
        bus.subscribe(EventType.SIGNAL, self.on_signal)
        bus.subscribe(EventType.ORDER_REQUEST, self.on_request)

    async def on_signal(self, event: Signal) -> None:
        self._check(event.correlation_id)
        await self.bus.publish(
            OrderRequest(
                client_order_id=f"{event.strategy_name}-btcusdt-{next(numbers)}",
                correlation_id=event.correlation_id,
                validated=False,
            )
        )

    async def on_request(self, event: OrderRequest) -> None:
        self._check(event.correlation_id)
        if event.validated:
            self.sent.append((event.client_order_id, event.correlation_id))
            return
        again = {"client_order_id": event.client_order_id, "correlation_id": event.correlation_id}
        await self.bus.publish(OrderRequest(**again, validated=True))

    def _check(self, chain: object) -> None:
        scope = scope_here()
        if scope is None or scope.cycle.common.get(semconv.CORRELATION_ID) != str(chain):
            self.wrong += 1


async def flood(seen: Captured, count: int) -> tuple[Bot, object]:
    bus = EventBus(queue_size=5 * count)
    attached = attach(bus)
    bot = Bot(bus)
    await bus.start()
    for _ in range(count):
        await bus.publish(Signal(correlation_id=uuid4()))
    await bus.drain()
    assert len(seen.ledger.open) == count, "all of them are in flight at once"
    for client_id, chain in bot.sent:
        await bus.publish(OrderAck(client_order_id=client_id, correlation_id=chain))
    for part in (0.25, 0.75):
        for client_id, chain in reversed(bot.sent):
            await bus.publish(Fill(client_order_id=client_id, correlation_id=chain, fill_qty=part, fill_price=100.0))
    await bus.drain()
    await bus.stop()
    return bot, attached


def orphans(spans: tuple[ReadableSpan, ...]) -> tuple[int, int]:
    """Spans whose parent is nowhere, and spans under a parent that is not theirs."""
    traces: dict[int, dict[int, ReadableSpan]] = defaultdict(dict)
    for span in spans:
        traces[span.context.trace_id][span.context.span_id] = span
    lost = wrong = 0
    for trace in traces.values():
        chains = {(span.attributes or {}).get(semconv.CORRELATION_ID) for span in trace.values()}
        wrong += len(chains) != 1
        for span in trace.values():
            parent = trace.get(span.parent.span_id) if span.parent else None
            lost += span.parent is not None and parent is None
            wrong += (parent.name if parent else None) != PARENT[span.name]
    return lost, wrong


@pytest.mark.timeout(600)
async def test_ten_thousand_orders_in_flight_keep_their_traces() -> None:
    with capture() as seen:
        bot, attached = await flood(seen, ORDERS)
        assert len(bot.sent) == ORDERS
        assert bot.wrong == 0, "handlers ran in a place that is not theirs"
        spans = seen.spans
        assert len(spans) == ORDERS * len(PARENT)
        assert orphans(spans) == (0, 0)
        assert not seen.ledger.open
        assert not seen.hub.lifecycle.cycles
        assert not attached.in_flight  # type: ignore[attr-defined]
        assert seen.ledger.totals.by_status["filled"] == ORDERS
        assert seen.value("mcbot_orders_total", status="filled") == ORDERS
        assert seen.value("mcbot_fills_total") == 2 * ORDERS


@pytest.mark.timeout(600)
async def test_memory_does_not_grow_with_the_orders_that_were() -> None:
    held: list[int] = []
    orders = ORDERS // 4
    with capture() as seen:
        tracemalloc.start()
        try:
            for _ in range(3):
                await flood(seen, orders)
                seen.clear()
                seen.tick(3600.0)
                seen.ledger.take_dirty()  # as the keeper does every second
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
    print("held after each round, MiB:", [round(size / 2**20, 2) for size in held])
    assert held[2] - max(held[:2]) < 32 * orders  # bytes: any object that stayed behind of each would be more
