"""Attaching to an event bus: facts once, places across the queue, and a bus that works as before."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import logging
import time
import tracemalloc
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any
from uuid import uuid4

import eventbus as bots
import pytest
from eventbus import EventBus, EventType
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.trace import get_current_span
from tracing import Bench

from otel_mcbot import catalog, facts, semconv
from otel_mcbot import hub as hubs
from otel_mcbot.guard import Guard
from otel_mcbot.integrations import bus as buses
from otel_mcbot.integrations.bus import attach
from otel_mcbot.trace import Trace, trade_cycle

BAR_TIME = datetime(2018, 4, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Guard, "strict", True)
    gc.collect()  # the buses of other tests: their depth would be added


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    before = hubs.install(made.hub)
    yield made
    hubs.install(before)


class Meters:
    """The catalog bound to a reader in memory."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False)
        catalog.bind(self.provider.get_meter("test"))

    def read(self) -> dict[str, float]:
        data = self.reader.get_metrics_data()
        found: dict[str, float] = {}
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        found[metric.name] = getattr(point, "value", None) or getattr(point, "count", 0)
        return found


@pytest.fixture
def meters(bench: Bench) -> Iterator[Meters]:
    made = Meters()
    yield made
    catalog.unbind()
    made.provider.shutdown()


def told(bench: Bench, kind: type[facts.Fact] = facts.Fact) -> list[Any]:
    return [fact for fact, _, _ in bench.seen.facts if isinstance(fact, kind)]


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    return asyncio.run(asyncio.wait_for(main(), 150))


async def publish_all(bus: Any, *events: object) -> None:
    await bus.start()
    for event in events:
        await bus.publish(event)
    await bus.drain()
    await bus.stop()


async def ignore(event: object) -> None: ...


# -- facts ---------------------------------------------------------------------------------------------------------

CHAIN = uuid4()
KNOWN = {"correlation_id": CHAIN}
EXPECTED: list[tuple[bots.Event, facts.Fact]] = [
    (
        bots.Bar(**KNOWN, timestamp=BAR_TIME),
        facts.BarReceived(symbol="BTC/USDT", timeframe="1m", close=1.0, bar_time=BAR_TIME.timestamp()),
    ),
    (
        bots.Signal(**KNOWN, direction=bots.Direction.SHORT, pod_id="pod-1"),
        facts.SignalGenerated(
            strategy="ctrend",
            symbol="BTC/USDT",
            direction="SHORT",
            strength=0.7,
            pod_id="pod-1",
            bar_time=BAR_TIME.timestamp(),
        ),
    ),
    (
        bots.OrderRequest(**KNOWN, client_order_id="a-b-1", validated=False, price=99.0, order_type="LIMIT"),
        facts.OrderRequested(
            client_id="a-b-1",
            symbol="BTC/USDT",
            side="BUY",
            order_type="LIMIT",
            notional=100.0,
            price=99.0,
            validated=False,
            target_weight=0.25,
        ),
    ),
    (bots.OrderAck(**KNOWN, client_order_id="a-b-1"), facts.OrderAcknowledged(client_id="a-b-1", symbol="BTC/USDT")),
    (
        bots.OrderRejected(**KNOWN, client_order_id="a-b-1"),
        facts.OrderRejected(
            client_id="a-b-1", symbol="BTC/USDT", reason="leverage_exceeded", message="Leverage would be 4.1x"
        ),
    ),
    (
        bots.PositionUpdate(**KNOWN),
        facts.PositionUpdated(
            symbol="BTC/USDT",
            size=2.0,
            direction="SHORT",
            last_price=101.0,
            average_price=100.0,
            unrealized_pnl=1.0,
            realized_pnl=2.0,
            realized_pnl_delta=-0.5,
        ),
    ),
    (
        bots.BalanceUpdate(**KNOWN),
        facts.BalanceUpdated(
            equity=10_000.0, cash=9_000.0, margin_used=100.0, drawdown=0.05, open_positions=2, aggregate_leverage=1.5
        ),
    ),
    (
        bots.RiskAlert(**KNOWN, alert_level="critical", source="risk"),
        facts.RiskAlertRaised(level="CRITICAL", message="close to the limit", source="risk"),
    ),
    (bots.CircuitBreaker(**KNOWN), facts.CircuitBreakerTripped(reason="drawdown", close_all=True)),
    (
        bots.RegimeChange(**KNOWN),
        facts.RegimeChanged(symbol="BTC/USDT", previous="calm", current="wild", confidence=0.9),
    ),
    (bots.Heartbeat(**KNOWN, timestamp=BAR_TIME), facts.Heartbeat(component="runner", time=BAR_TIME.timestamp())),
]


@pytest.mark.parametrize(("event", "fact"), EXPECTED, ids=lambda value: type(value).__name__)
def test_every_event_is_read(bench: Bench, event: bots.Event, fact: facts.Fact) -> None:
    bus = EventBus()
    attach(bus)
    before = time.monotonic()
    run(lambda: publish_all(bus, event))
    (seen,) = told(bench)
    assert before <= seen.at <= time.monotonic()
    assert seen == replace(fact, at=seen.at, correlation_id=str(CHAIN))


def test_a_fill_is_told_apart_from_the_venues_own_trades(bench: Bench) -> None:
    fill = bots.Fill(client_order_id="a-b-1", fill_price=Decimal("100.5"), fill_qty=Decimal("0.25"))  # type: ignore[arg-type]
    bus = EventBus()
    attach(bus)
    run(lambda: publish_all(bus, bots.OrderRequest(client_order_id="a-b-1"), fill))
    (seen,) = told(bench, facts.OrderFilled)
    assert seen.fill_id == f"event:{fill.event_id}"
    assert (seen.price, seen.quantity, seen.fee, seen.fill_time) == (100.5, 0.25, 0.04, BAR_TIME.timestamp())


def test_an_explicit_trade_id_is_kept(bench: Bench) -> None:
    @dataclass(frozen=True, kw_only=True)
    class VenueFill(bots.Fill):
        trade_id: int = 77

    bus = EventBus()
    attach(bus)
    run(lambda: publish_all(bus, VenueFill(client_order_id="a-b-1")))
    (seen,) = told(bench, facts.OrderFilled)
    assert seen.fill_id == "77"


def test_one_fact_however_many_handlers(bench: Bench) -> None:
    bus = EventBus()
    attach(bus)
    for _ in range(3):
        bus.subscribe(EventType.BAR, ignore)
    run(lambda: publish_all(bus, bots.Bar(), bots.Bar()))
    assert len(told(bench)) == 2


def test_the_fact_comes_before_the_bots_handlers(bench: Bench) -> None:
    bus = EventBus()
    attach(bus)
    seen: list[int] = []

    async def on_bar(event: bots.Event) -> None:
        seen.append(len(told(bench)))

    bus.subscribe(EventType.BAR, on_bar)
    run(lambda: publish_all(bus, bots.Bar()))
    assert seen == [1]


def test_a_dropped_event_never_happened(bench: Bench, meters: Meters) -> None:
    bus = EventBus(queue_size=2)
    seen = attach(bus)

    async def main() -> None:
        for _ in range(5):
            await bus.publish(bots.Bar())
        assert seen.in_flight == 2
        await bus.start()
        await bus.drain()
        await bus.stop()

    meters.read()
    run(main)
    assert len(told(bench, facts.BarReceived)) == 2
    assert seen.in_flight == 0
    assert meters.read()["mcbot.eventbus.events_dropped"] == 3


def test_a_bus_of_mappings_is_read(bench: Bench) -> None:
    bus = EventBus()
    attach(bus)
    run(lambda: publish_all(bus, Named(event_type="bar", event_id=1, pair="BTC/USDT", interval="1m", close="3.5")))
    (seen,) = told(bench)
    assert (seen.symbol, seen.timeframe, seen.close) == ("BTC/USDT", "1m", 3.5)


class Named(dict[str, Any]):
    """A mapping that a bus of objects can route."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(name) from error


# -- what is not understood ----------------------------------------------------------------------------------------


def test_an_unknown_event_is_counted_and_said_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bus = EventBus()
    seen = attach(bus)
    run(lambda: publish_all(bus, bots.Funding(), bots.Funding(), bots.Bar()))
    assert seen.unknown == {"funding": 2}
    assert len(told(bench)) == 1
    lines = [record.getMessage() for record in caplog.records if record.name == "otel_mcbot"]
    assert len(lines) == 1
    assert "funding" in lines[0]
    assert "funding (2 events)" in str(seen)


def test_a_known_event_without_a_needed_field_is_named(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bus = EventBus()
    seen = attach(bus)
    run(lambda: publish_all(bus, Named(event_type="fill", event_id=1, client_order_id="a", price=1.0)))
    assert seen.unknown == {"fill": 1}
    assert "fill_qty" in caplog.text
    with pytest.raises(LookupError, match="fill_qty"):
        seen.require("fill")


def test_an_event_that_fails_when_it_is_read_hurts_nobody(bench: Bench) -> None:
    class Broken:
        event_type = "bar"
        event_id = 1
        timeframe = "1m"

        @property
        def symbol(self) -> str:
            raise RuntimeError("not loaded")

    bus = EventBus()
    seen = attach(bus)
    handled: list[object] = []

    async def on_bar(event: object) -> None:
        handled.append(event)

    bus.subscribe("bar", on_bar)  # type: ignore[arg-type]
    run(lambda: publish_all(bus, Broken()))
    assert seen.unknown == {"bar": 1}
    assert len(handled) == 1


# -- places --------------------------------------------------------------------------------------------------------


def test_a_handler_runs_in_the_place_of_publish_not_in_that_of_its_task(bench: Bench) -> None:
    bus = EventBus()
    seen: dict[str, int] = {}

    async def on_funding(event: bots.Event) -> None:
        seen[event.source] = get_current_span().get_span_context().trace_id

    async def main() -> dict[str, int]:
        attach(bus)
        bus.subscribe(EventType.FUNDING, on_funding)
        with trade_cycle(strategy="maker", symbol="X"):
            await bus.start()  # the consumer's task is made inside this cycle, and keeps it for ever
        sent: dict[str, int] = {}
        for name in ("a", "b"):
            with trade_cycle(strategy=name, symbol="X") as cycle:
                assert cycle.cycle is not None
                sent[name] = cycle.cycle.place.trace_id
                await bus.publish(bots.Funding(source=name))
        await bus.publish(bots.Funding(source="nobody"))
        await bus.drain()
        await bus.stop()
        return sent

    sent = run(main)
    assert len({*sent.values()}) == 2
    assert seen == {**sent, "nobody": 0}


def test_a_bot_of_events_alone_gets_whole_traces(bench: Bench) -> None:
    bus = EventBus()
    attach(bus)
    waits: list[float] = []

    async def on_signal(event: Any) -> None:
        await bus.publish(bots.OrderRequest(client_order_id="ctrend-btc-1", validated=False))

    async def on_request(event: Any) -> None:
        if not event.validated:
            await bus.publish(replace(event, validated=True, event_id=uuid4()))
            return
        await bus.publish(bots.OrderAck(client_order_id=event.client_order_id))
        await bus.publish(bots.Fill(client_order_id=event.client_order_id))

    bus.subscribe(EventType.SIGNAL, on_signal)
    bus.subscribe(EventType.ORDER_REQUEST, on_request)
    run(lambda: publish_until(bus, lambda: not bench.lifecycle.cycles and bench.spans, bots.Bar(), bots.Signal()))
    assert bench.tree() == [
        "trade_cycle [filled]",
        "  strategy.generate_signal [long]",
        "  pm.process_signal",
        "    rm.pre_trade_check [approved]",
        "      oms.submit_order [new]",
        "  oms.await_fill [filled]",
    ]
    submitted = bench.span("oms.submit_order").attributes
    assert submitted is not None
    waits.append(float(str(submitted[semconv.QUEUE_WAIT])))
    assert 0 <= waits[0] < 60  # seconds, and no time of day
    bench.check()


async def publish_until(bus: Any, done: Callable[[], object], *events: object) -> None:
    await bus.start()
    for event in events:
        await bus.publish(event)
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        await asyncio.sleep(0)
    await bus.drain()
    await bus.stop()


def test_thousands_of_orders_in_flight_keep_their_places(bench: Bench) -> None:
    bus = EventBus(queue_size=40_000)
    seen = attach(bus)
    wrong: list[str] = []
    of_order: dict[str, int] = {}

    async def on_request(event: Any) -> None:
        here = Trace.here()
        of_order[event.client_order_id] = here.span.trace_id if here else 0
        await bus.publish(bots.OrderAck(client_order_id=event.client_order_id))
        await bus.publish(bots.Fill(client_order_id=event.client_order_id))

    async def on_answer(event: Any) -> None:
        here = Trace.here()
        if here is None or here.span.trace_id != of_order[event.client_order_id]:
            wrong.append(event.client_order_id)

    bus.subscribe(EventType.ORDER_REQUEST, on_request)
    bus.subscribe(EventType.ORDER_ACK, on_answer)
    bus.subscribe(EventType.FILL, on_answer)

    async def round_of(number: int) -> None:
        for order in range(2_000):
            await bus.publish(bots.OrderRequest(client_order_id=f"s-x-{number}-{order}"))
        assert seen.in_flight == 2_000
        await bus.start()
        await bus.drain()
        await bus.stop()

    run(functools.partial(round_of, 0))
    assert not wrong
    assert len(set(of_order.values())) == 2_000, "one trace an order"
    assert 0 not in of_order.values()
    assert seen.in_flight == 0
    assert not bench.lifecycle.cycles
    parents = {span.context.span_id: span for span in bench.spans}
    assert len([span for span in bench.spans if span.parent is None]) == 2_000
    for span in bench.spans:
        assert span.parent is None or parents[span.parent.span_id].context.trace_id == span.context.trace_id


def test_memory_does_not_grow_with_events() -> None:
    bus = EventBus(queue_size=20_000)
    seen = attach(bus)
    bus.subscribe(EventType.FUNDING, ignore)

    async def main() -> list[int]:
        sizes: list[int] = []
        for _ in range(3):
            for _ in range(10_000):
                await bus.publish(bots.Funding())
            await bus.start()
            await bus.drain()
            await bus.stop()
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
        return sizes

    tracemalloc.start()
    try:
        sizes = run(main)
    finally:
        tracemalloc.stop()
    assert sizes[2] <= sizes[1] * 1.02
    assert seen.in_flight == 0


def test_the_map_is_bounded_when_events_never_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buses, "MAX_IN_FLIGHT", 100)
    bus = EventBus()
    seen = attach(bus)

    async def main() -> None:
        for _ in range(1_000):
            await bus.publish(bots.Funding())
        assert seen.in_flight == 100
        await bus.start()
        await bus.drain()
        await bus.stop()

    run(main)
    assert seen.in_flight == 0


# -- errors --------------------------------------------------------------------------------------------------------


def test_a_handlers_exception_is_told_and_goes_on_unmodified(bench: Bench) -> None:
    bus = EventBus()
    attach(bus)
    error = ValueError("boom")
    raised: list[BaseException] = []

    async def failing(event: object) -> None:
        raise error

    bus.subscribe(EventType.BAR, failing)
    bus.subscribe(EventType.BAR, ignore)
    wrapper = bus._handlers[EventType.BAR][0]

    async def main() -> None:
        await publish_all(bus, bots.Bar(correlation_id=CHAIN))
        try:
            await wrapper(bots.Bar())
        except ValueError as caught:
            raised.append(caught)

    run(main)
    assert raised == [error]
    assert bus.metrics.snapshot().handler_errors == 1
    first, _ = told(bench, facts.ErrorOccurred)
    assert (first.component, first.error_type, first.message) == ("EventBus", "ValueError", "boom")
    assert first.correlation_id == str(CHAIN)


def test_a_cancellation_is_no_error(bench: Bench, meters: Meters) -> None:
    bus = EventBus()
    seen = attach(bus)

    async def main() -> None:
        inside = asyncio.Event()

        async def on_bar(event: object) -> None:
            inside.set()
            await asyncio.Event().wait()

        bus.subscribe(EventType.BAR, on_bar)
        await bus.start()
        await bus.publish(bots.Bar())
        await inside.wait()
        assert bus._task is not None
        bus._task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await bus._task

    meters.read()
    run(main)
    assert told(bench, facts.ErrorOccurred) == []
    assert seen.in_flight <= 1  # our own handler, later in line, never ran
    assert meters.read()["mcbot.eventbus.handler_errors"] == 0


def test_a_publish_that_is_cancelled_while_it_waits_leaves_nothing(bench: Bench) -> None:
    bus = EventBus(queue_size=1)
    seen = attach(bus)

    async def main() -> None:
        await bus.publish(bots.Signal())
        waiting = asyncio.create_task(bus.publish(bots.Signal()))
        await asyncio.sleep(0)
        assert seen.in_flight == 2
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert seen.in_flight == 1

    run(main)


# -- other buses ---------------------------------------------------------------------------------------------------


class Kind(Enum):
    """An enum that is no string."""

    BAR = "bar"


def test_keys_of_every_form(bench: Bench) -> None:
    @dataclass(frozen=True)
    class Tick:
        event_type: object
        event_id: int
        symbol: str = "BTC/USDT"
        timeframe: str = "1m"

    for number, key in enumerate(("bar", EventType.BAR, Kind.BAR)):
        bus = EventBus()
        attach(bus)
        run(lambda bus=bus, key=key, number=number: publish_all(bus, Tick(key, number)))  # type: ignore[misc]
        assert len(told(bench, facts.BarReceived)) == number + 1


class ClassBus(EventBus):
    """Handlers are subscribed to classes of events."""

    async def _consume(self) -> None:
        while (event := await self._queue.get()) is not None:
            for key, handlers in list(self._handlers.items()):
                if isinstance(event, key):  # type: ignore[arg-type]
                    for handler in handlers:
                        await handler(event)
            self._queue.task_done()
        self._queue.task_done()


def test_a_bus_keyed_by_classes(bench: Bench) -> None:
    bus = ClassBus()
    seen = attach(bus)
    bus.subscribe(bots.Bar, ignore)  # type: ignore[arg-type]
    bus.subscribe(bots.Event, ignore)  # type: ignore[arg-type]
    run(lambda: publish_all(bus, bots.Bar(), bots.Signal()))
    assert [type(fact).__name__ for fact in told(bench)] == ["BarReceived", "SignalGenerated"]
    assert seen.in_flight == 0


class TopicBus:
    """Publishes to a topic and dispatches at once; ``orders.*`` hears everything that begins so."""

    def __init__(self) -> None:
        self.topics: dict[str, list[Callable[[object], object]]] = defaultdict(list)

    def publish(self, topic: str, event: object) -> None:
        for key, handlers in list(self.topics.items()):
            if key == topic or (key.endswith("*") and topic.startswith(key[:-1])):
                for handler in handlers:
                    handler(event)

    def subscribe(self, topic: str, handler: Callable[[object], object]) -> None:
        self.topics[topic].append(handler)


def test_an_event_on_a_general_and_a_specific_topic_is_one(bench: Bench) -> None:
    bus = TopicBus()
    seen = attach(bus)
    heard: list[tuple[str, bool]] = []
    bus.subscribe("orders.*", lambda event: heard.append(("general", Trace.here() is not None)))
    bus.subscribe("orders.fill", lambda event: heard.append(("specific", Trace.here() is not None)))
    request = bots.OrderRequest(client_order_id="a-b-1", notional_usd=1_000.0)
    bus.publish("orders.request", request)
    for _ in range(3):
        fill = bots.Fill(client_order_id="a-b-1")
        bus.publish("orders.fill", fill)
        bus.publish("orders.EXCHANGE.fill", fill)
    assert len(told(bench, facts.OrderFilled)) == 3
    assert bench.ledger.totals.fills == 3
    assert heard.count(("specific", True)) == 3
    assert seen.in_flight == 0


def test_a_sync_bus_keeps_its_nature(bench: Bench) -> None:
    class SyncBus:
        def __init__(self) -> None:
            self.handlers: dict[object, list[Callable[[object], None]]] = defaultdict(list)

        def subscribe(self, event_type: object, handler: Callable[[object], None]) -> bool:
            self.handlers[event_type].append(handler)
            return True

        def publish(self, event: bots.Event) -> int:
            """Hand out at once; the number of handlers."""
            for handler in self.handlers[event.event_type]:
                handler(event)
            return len(self.handlers[event.event_type])

    bus = SyncBus()
    original = inspect.signature(bus.publish)
    seen = attach(bus)
    assert not inspect.iscoroutinefunction(bus.publish)
    assert inspect.signature(bus.publish) == original
    assert bus.publish.__doc__ == "Hand out at once; the number of handlers."
    assert bus.subscribe(EventType.BAR, lambda event: None) is True
    assert bus.publish(bots.Bar()) == 2
    assert bus.publish(bots.Signal()) == 1
    assert len(told(bench)) == 2
    assert seen.in_flight == 0

    error = RuntimeError("boom")

    def failing(event: object) -> None:
        raise error

    bus.subscribe(EventType.BAR, failing)
    with pytest.raises(RuntimeError) as raised:
        bus.publish(bots.Bar())
    assert raised.value is error
    assert seen.in_flight == 0


class Plain:
    """No metrics, no depth; ``publish`` says whether it took the event; handlers may be plain or async."""

    def __init__(self, room: int = 1_000) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue(room)
        self.handlers: dict[Any, list[Callable[[Any], Any]]] = {}

    def subscribe(self, event_type: Any, handler: Callable[[Any], Any]) -> None:
        self.handlers.setdefault(event_type, []).append(handler)

    def publish(self, event: Any) -> bool:
        try:
            self.queue.put_nowait(event)
        except asyncio.QueueFull:
            return False
        return True

    async def drain(self) -> None:
        while not self.queue.empty():
            event = self.queue.get_nowait()
            for handler in self.handlers.get(event.event_type, []):
                try:
                    result = handler(event)
                    if inspect.isawaitable(result):
                        await result
                except Exception:
                    logging.getLogger("bot").info("Handler error")


def test_a_bus_without_metrics_is_measured_from_outside(bench: Bench, meters: Meters) -> None:
    bus = Plain(room=3)
    seen = attach(bus)
    assert seen.measured == "from outside"

    def failing(event: object) -> None:
        raise ValueError("boom")

    bus.subscribe(EventType.SIGNAL, failing)
    meters.read()
    taken = [bus.publish(bots.Signal()) for _ in range(5)]
    assert taken == [True, True, True, False, False]
    read = meters.read()
    assert read["mcbot.eventbus.queue_depth"] == 3
    assert read["mcbot.eventbus.max_queue_depth"] >= 3
    run(bus.drain)
    read = meters.read()
    assert read["mcbot.eventbus.events_published"] == 3
    assert read["mcbot.eventbus.events_dropped"] == 2
    assert read["mcbot.eventbus.handler_errors"] == 3
    assert read["mcbot.eventbus.queue_depth"] == 0
    assert read["mcbot.eventbus.queue_wait"] == 3
    assert meters.read()["mcbot.eventbus.max_queue_depth"] == 0
    assert seen.in_flight == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda seen: functools.partial(take, seen),
        lambda seen: lambda event: take(seen, event),
        lambda seen: Taker(seen),
        lambda seen: Taker(seen).on_event,
        lambda seen: functools.partial(take_plain, seen),
    ],
    ids=["async partial", "lambda of a coroutine", "async call", "bound", "plain partial"],
)
def test_handlers_of_every_kind_run_in_place(bench: Bench, make: Callable[[list[Any]], Any]) -> None:
    bus = Plain()
    attached = attach(bus)
    seen: list[Any] = []
    bus.subscribe(EventType.FUNDING, make(seen))
    with trade_cycle(strategy="a", symbol="X") as cycle:
        bus.publish(bots.Funding())
    run(bus.drain)
    assert cycle.cycle is not None
    assert seen == [cycle.cycle.place.trace_id]
    assert attached.in_flight == 0


async def take(seen: list[Any], event: object) -> None:
    await asyncio.sleep(0)
    take_plain(seen, event)


def take_plain(seen: list[Any], event: object) -> None:
    here = Trace.here()
    seen.append(here.span.trace_id if here else None)


class Taker:
    def __init__(self, seen: list[Any]) -> None:
        self.seen = seen

    async def __call__(self, event: object) -> None:
        await take(self.seen, event)

    async def on_event(self, event: object) -> None:
        await take(self.seen, event)


def test_a_bus_whose_subscribe_is_async(bench: Bench) -> None:
    class Remote(EventBus):
        async def subscribe(self, event_type: EventType, handler: bots.Handler) -> None:  # type: ignore[override]
            await asyncio.sleep(0)
            super().subscribe(event_type, handler)

    bus = Remote()
    seen = attach(bus)

    async def main() -> None:
        await bus.subscribe(EventType.SIGNAL, ignore)
        await publish_all(bus, bots.Bar(), bots.Signal())

    run(main)
    assert len(told(bench)) == 2
    assert seen.in_flight == 0


def test_a_sync_publish_that_returns_an_awaitable(bench: Bench) -> None:
    class Returning(EventBus):
        def publish(self, event: Any) -> Awaitable[None]:  # type: ignore[override]
            return super().publish(event)

    bus = Returning()
    attach(bus)
    assert not inspect.iscoroutinefunction(bus.publish)
    run(lambda: publish_all(bus, bots.Bar()))
    assert len(told(bench)) == 1


def test_a_bus_that_refuses_our_subscription_still_gives_facts_where_the_bot_listens(bench: Bench) -> None:
    class Closed(EventBus):
        def subscribe(self, event_type: EventType, handler: bots.Handler) -> None:
            if self._task is not None:
                raise RuntimeError("already running")
            super().subscribe(event_type, handler)

    bus = Closed()
    seen = attach(bus)
    bus.subscribe(EventType.BAR, ignore)
    run(lambda: publish_all(bus, bots.Bar(), bots.Signal(), bots.Signal()))
    assert len(told(bench, facts.BarReceived)) == 1
    assert any("already running" in problem for problem in seen.problems)
    assert seen.in_flight <= 1


def test_subscribe_as_a_decorator(bench: Bench) -> None:
    class Decorating(Plain):
        def subscribe(self, event_type: Any, handler: Any = None) -> Any:
            if handler is not None:
                return super().subscribe(event_type, handler)

            def register(function: Any) -> Any:
                self.handlers.setdefault(event_type, []).append(function)
                return function

            return register

    bus = Decorating()
    attach(bus)
    seen: list[Any] = []

    @bus.subscribe(EventType.FUNDING)
    def on_funding(event: object) -> None:
        take_plain(seen, event)

    with trade_cycle(strategy="a", symbol="X"):
        bus.publish(bots.Funding())
    run(bus.drain)
    assert on_funding.__name__ == "on_funding"
    assert not hasattr(on_funding, "__wrapped__"), "the bot's name is still the bot's function"
    assert seen[0] is not None


def test_unsubscribing_finds_the_handler(bench: Bench) -> None:
    bus = EventBus()
    seen = attach(bus)
    taker = Taker([])
    bus.subscribe(EventType.BAR, taker.on_event)
    bus.subscribe(EventType.SIGNAL, taker.on_event)
    bus.unsubscribe(EventType.BAR, taker.on_event)
    run(lambda: publish_all(bus, bots.Bar(), bots.Signal()))
    assert len(taker.seen) == 1
    assert seen.in_flight == 0


def test_a_bus_with_slots_gives_facts_and_says_what_is_missing(bench: Bench) -> None:
    class Slotted:
        __slots__ = ("handlers",)

        def __init__(self) -> None:
            self.handlers: dict[str, list[Any]] = {}

        def subscribe(self, event_type: EventType, handler: Any) -> None:
            self.handlers.setdefault(event_type, []).append(handler)

        def publish(self, event: Any) -> None:
            for handler in self.handlers.get(event.event_type, []):
                handler(event)

    bus = Slotted()
    bus.subscribe(EventType.SIGNAL, lambda event: None)
    seen = attach(bus)
    assert not seen.wrapped
    assert "cannot be replaced" in str(seen)
    assert seen.earlier_handlers[0].startswith("signal → ")
    with pytest.raises(LookupError, match="cannot be replaced"):
        seen.require("fill")
    bus.publish(bots.Bar())
    assert len(told(bench, facts.BarReceived)) == 1


# -- the report ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("thing", [None, 3, [], object(), EventBus, {"publish": 1}])
def test_what_is_no_bus_is_a_type_error_in_one_line(thing: object) -> None:
    with pytest.raises(TypeError) as error:
        attach(thing)
    assert "\n" not in str(error.value)
    assert "publish" in str(error.value)


def test_handlers_subscribed_earlier_are_named() -> None:
    bus = EventBus()
    bus.subscribe(EventType.FILL, Taker([]).on_event)
    seen = attach(bus)
    assert seen.earlier_handlers == ("fill → Taker.on_event",)
    assert "fill → Taker.on_event" in str(seen)


def test_attaching_twice_is_once(bench: Bench) -> None:
    bus = EventBus()
    seen = attach(bus)
    assert attach(bus) is seen
    run(lambda: publish_all(bus, bots.Bar()))
    assert len(told(bench)) == 1


def test_the_class_and_other_buses_are_untouched() -> None:
    bus, other = EventBus(), EventBus()
    attach(bus)
    assert inspect.iscoroutinefunction(bus.publish)
    assert inspect.signature(bus.publish) == inspect.signature(other.publish)
    assert "publish" not in vars(other)
    assert "otel_mcbot" not in EventBus.publish.__module__


def test_detaching_gives_everything_back(bench: Bench) -> None:
    bus = EventBus()
    seen = attach(bus)
    taker = Taker([])
    bus.subscribe(EventType.BAR, taker.on_event)
    seen.detach()
    assert "publish" not in vars(bus)
    assert "subscribe" not in vars(bus)
    run(lambda: publish_all(bus, bots.Bar()))
    assert taker.seen == [None]
    assert told(bench) == []
    assert attach(bus) is not seen


def test_a_wrapper_put_on_after_ours_is_left_alone(bench: Bench) -> None:
    bus = EventBus()
    seen = attach(bus)
    publish = bus.publish

    @functools.wraps(publish)
    async def theirs(event: bots.Event) -> None:
        await publish(event)

    bus.publish = theirs  # type: ignore[method-assign]
    assert attach(bus) is seen
    seen.detach()
    assert bus.publish is theirs
    run(lambda: publish_all(bus, bots.Bar()))
    assert told(bench) == []
    assert bus.metrics.snapshot().events_dispatched == 1


def test_understood_names_the_bots_own_fields_before_the_first_event() -> None:
    class Typed(EventBus):
        async def publish(self, event: bots.Event) -> None:
            await super().publish(event)

    seen = attach(Typed())
    assert seen.understood["fill"][:2] == ("client_order_id", "symbol")
    assert "fill_qty" in seen.understood["fill"]
    assert "fill: client_order_id, symbol, side, fill_qty" in str(seen)


def test_require_raises_now() -> None:
    seen = attach(EventBus())
    assert seen.require("fill", "order_request", EventType.BAR) is seen
    with pytest.raises(LookupError, match="'fils' is no event type that is understood"):
        seen.require("fils")


def test_require_judges_by_the_enum_that_subscribe_names() -> None:
    class Few(StrEnum):
        BAR = "bar"
        SIGNAL = "signal"

    class Small:
        def subscribe(self, event_type: Any, handler: Any) -> None: ...
        def publish(self, event: Any) -> None: ...

    Small.subscribe.__annotations__["event_type"] = Few
    seen = attach(Small())
    seen.require("bar")
    with pytest.raises(LookupError, match="knows no event type 'fill'; it knows: bar, signal"):
        seen.require("fill")


def test_require_judges_by_the_event_classes_that_publish_names() -> None:
    @dataclass(frozen=True)
    class Base:
        event_id: int

    @dataclass(frozen=True)
    class LeanFill(Base):
        event_type: str = "fill"
        client_order_id: str = ""
        fill_price: float = 0.0

    class Small:
        def subscribe(self, event_type: Any, handler: Any) -> None: ...
        def publish(self, event: Any) -> None: ...

    Small.publish.__annotations__["event"] = Base
    seen = attach(Small())
    with pytest.raises(LookupError, match="no fill_qty"):
        seen.require("fill")
    assert LeanFill(1).event_type == "fill"


# -- health --------------------------------------------------------------------------------------------------------


def test_the_bus_own_metrics_are_reported_as_differences(bench: Bench, meters: Meters) -> None:
    bus = EventBus(queue_size=4)
    bus.metrics._now.events_published = 5_000_000  # it ran before
    seen = attach(bus)
    assert seen.measured == "bus metrics"
    assert meters.read()["mcbot.eventbus.events_published"] == 0

    async def fill() -> None:
        for _ in range(6):
            await bus.publish(bots.Bar())

    run(fill)
    read = meters.read()
    assert read["mcbot.eventbus.events_published"] == 4
    assert read["mcbot.eventbus.events_dropped"] == 2
    assert read["mcbot.eventbus.queue_depth"] == 4
    assert read["mcbot.eventbus.max_queue_depth"] == 4
    bus.metrics._now.events_published = 3  # it started anew
    assert meters.read()["mcbot.eventbus.events_published"] == 7


def test_a_plain_number_is_the_capacity_not_the_depth(bench: Bench, meters: Meters) -> None:
    class Sized(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.queue_size = 10_000

    bus = Sized()
    attach(bus)
    bus.publish(bots.Bar())
    assert meters.read()["mcbot.eventbus.queue_depth"] == 1


def test_several_buses_are_added_up_and_a_new_hub_is_joined(bench: Bench, meters: Meters) -> None:
    first, second = Plain(), Plain()
    kept = [attach(first), attach(second)]
    meters.read()
    first.publish(bots.Bar())
    second.publish(bots.Bar())
    assert meters.read()["mcbot.eventbus.queue_depth"] == 2
    assert meters.read()["mcbot.eventbus.events_published"] == 2
    other, again = Bench(), Meters()
    hubs.install(other.hub)
    first.publish(bots.Bar())
    again.read()
    assert again.read()["mcbot.eventbus.events_published"] == 1
    kept[0].detach()
    assert again.read()["mcbot.eventbus.queue_depth"] == 1
    assert again.read()["mcbot.eventbus.events_published"] == 1


def test_without_a_hub_the_bus_works() -> None:
    assert hubs.current() is None
    bus = EventBus()
    taker = Taker([])
    attach(bus)
    bus.subscribe(EventType.BAR, taker.on_event)
    run(lambda: publish_all(bus, bots.Bar()))
    assert taker.seen == [None]
