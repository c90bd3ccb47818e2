"""What the demo's bot does besides trading: each part against its neighbours, without a run."""

from __future__ import annotations

import asyncio
import math
import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

import otel_mcbot as mcbot
from otel_mcbot.demo import health, onchain
from otel_mcbot.demo.bot import Bot, configure
from otel_mcbot.demo.bus import EventBus
from otel_mcbot.demo.events import BarEvent, EventType, HeartbeatEvent, OrderAckEvent
from otel_mcbot.demo.health import PROBE, UNHEALTHY, ApiHealth
from otel_mcbot.demo.onchain import SOURCES, Onchain
from otel_mcbot.demo.plan import STEADY_SPEED, make_plan
from otel_mcbot.demo.reconcile import drifts
from otel_mcbot.testing import capture

START = datetime(2024, 1, 1, tzinfo=UTC)


def bar(hours: float = 0.0, symbol: str = "BTC/USDT") -> BarEvent:
    return BarEvent(source="feed", correlation_id=uuid.uuid4(), symbol=symbol, timeframe="1m", open=1.0, high=1.0,
                    low=1.0, close=1.0, volume=1.0, bar_timestamp=START + timedelta(hours=hours))  # fmt: skip


def beat() -> HeartbeatEvent:
    return HeartbeatEvent(source="test", component="test", bars_processed=0)


def ack() -> OrderAckEvent:
    return OrderAckEvent(source="test", client_order_id="a-b-1", symbol="BTC/USDT")


# -- the bus ---------------------------------------------------------------------------------------------------------


async def test_a_full_bus_drops_what_may_be_dropped_and_lets_the_rest_wait() -> None:
    bus = EventBus(capacity=2)
    for _ in range(3):
        await bus.publish(beat())
    assert (bus.queue_size, bus.metrics.events_dropped) == (2, 1)
    waiting = asyncio.create_task(bus.publish(ack()))
    await asyncio.sleep(0)
    assert not waiting.done()
    bus.start()
    await asyncio.wait_for(waiting, 30)
    await bus.drained()
    assert bus.metrics.events_dispatched == 3
    await bus.stop()


async def test_a_handler_of_a_full_bus_does_not_wait_for_itself() -> None:
    bus = EventBus(capacity=1)
    heard: list[Any] = []

    async def answer(event: object) -> None:
        await bus.publish(ack())
        await bus.publish(ack())

    async def hear(event: object) -> None:
        heard.append(event)

    bus.subscribe(EventType.HEARTBEAT, answer)
    bus.subscribe(EventType.ORDER_ACK, hear)
    bus.start()
    await bus.publish(beat())
    await asyncio.wait_for(bus.drained(), 30)
    assert len(heard) == 2
    await bus.stop()


async def test_who_unsubscribes_hears_no_more() -> None:
    bus = EventBus()
    heard: list[Any] = []

    async def hear(event: object) -> None:
        heard.append(event)

    bus.subscribe(EventType.HEARTBEAT, hear)
    bus.start()
    await bus.publish(beat())
    await bus.drained()
    bus.unsubscribe(EventType.HEARTBEAT, hear)
    await bus.publish(beat())
    await bus.drained()
    assert len(heard) == 1
    await bus.stop()


# -- the venue's health ----------------------------------------------------------------------------------------------


def test_five_orders_without_an_answer_block_the_next_until_one_may_try(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr(health, "time", SimpleNamespace(monotonic=lambda: now))
    api = ApiHealth()
    for _ in range(UNHEALTHY - 1):
        api.note(False)
    assert not api.blocked
    api.note(False)
    assert api.blocked
    now += PROBE
    assert not api.blocked
    api.note(False)
    assert api.blocked
    api.note(True)
    assert not api.blocked


# -- on-chain --------------------------------------------------------------------------------------------------------


async def test_sources_are_asked_when_they_are_due_and_keep_what_they_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onchain, "FAILURES", 0.0)
    monkeypatch.setattr(onchain, "EMPTY", 0.0)
    fetched = "mcbot_onchain_fetch_total"
    with capture() as seen:
        sources = Onchain(EventBus(), mcbot.configure(), seed=1, pace=0.0)
        await sources.on_bar(bar())
        await sources.on_bar(bar(symbol="ETH/USDT"))
        await sources.settled()
        assert seen.value(fetched, status="success") == sum(len(source.columns) for source in SOURCES)
        cached = {symbol: seen.value("mcbot_onchain_cache_size", symbol=symbol) for symbol in ("BTC/USDT", "ETH/USDT")}
        assert cached == {"BTC/USDT": 8, "ETH/USDT": 7}

        sources.outage = True
        await sources.on_bar(bar(5.9))
        await sources.settled()
        assert seen.value(fetched, status="failure") == 0, "nothing was due"
        await sources.on_bar(bar(6.0))
        await sources.settled()
        assert seen.value(fetched, source="sentiment", status="failure") == 1
        assert seen.value(fetched, source="coinmetrics", status="failure") == 0
        assert seen.value("mcbot_onchain_cache_refresh_total", status="failure") == 3
        assert seen.value("mcbot_onchain_cache_size", symbol="BTC/USDT") == 8
        sources.forget()
        assert seen.value("mcbot_onchain_cache_size", symbol="BTC/USDT") == 0


# -- reconciliation --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("believed", "held", "found"),
    [
        ({}, {}, {}),
        ({"A": 2.0}, {"A": 2.0}, {"A": 0.0}),
        ({"A": 2.0}, {"A": 1.0}, {"A": 0.5}),
        ({"A": -2.0}, {"A": 2.0}, {"A": 2.0}),
        ({"A": 1.0, "B": 0.0}, {"B": 0.0, "C": 3.0}, {"A": 1.0, "C": 1.0}),
    ],
)
def test_drift(believed: dict[str, float], held: dict[str, float], found: dict[str, float]) -> None:
    assert drifts(believed, held) == found


# -- the plan --------------------------------------------------------------------------------------------------------


def test_a_run_without_end_is_slower() -> None:
    assert make_plan([], speed=None, duration=float("inf"), seed=1).interval == 60 / STEADY_SPEED
    assert make_plan([], speed=600.0, duration=float("inf"), seed=1).interval == 0.1
    assert make_plan([], speed=None, duration=20.0, seed=1).interval == 0.04


# -- a bot's start and its emergency ---------------------------------------------------------------------------------


def test_what_an_earlier_run_left_at_the_venue_is_cancelled() -> None:
    with capture() as seen:
        name, symbol = "a-b-1", "BTC/USDT"
        seen.tell(mcbot.facts.OrderRequested(client_id=name, symbol=symbol, side="BUY", quantity=1.0))
        seen.tell(mcbot.facts.OrderAcknowledged(client_id=name, symbol=symbol))
        assert list(seen.ledger.open) == [name]
        configure(make_plan([], speed=None, duration=1.0, seed=1), "paper")
        assert list(seen.ledger.open) == []


async def test_the_circuit_breaker_closes_everything_once_and_lets_nothing_in() -> None:
    with capture() as seen:
        plan = make_plan([], speed=math.inf, duration=20.0, seed=1)
        bot = Bot(configure(plan, "paper"), plan)

        async def drill(bot: Bot) -> None:
            while not any(position.quantity for position in bot.portfolio.positions()):
                await asyncio.sleep(0)
            bot.risk.max_drawdown = 0.0
            await asyncio.Event().wait()

        await bot.run(drill)
        assert bot.risk.tripped
        assert seen.value("mcbot_circuit_breaker_total") == 1
        assert seen.value("mcbot_order_rejected_total", reason="circuit_breaker") > 1  # type: ignore[operator]
        assert not any(lane.position.quantity for lane in bot.portfolio.lanes.values())
        assert seen.value("mcbot_reconciliation_checks_total", status="ok") > 1  # type: ignore[operator]
        assert seen.value("mcbot_reconciliation_checks_total", status="drift") == 0
