"""A ccxt exchange, instrumented by structure: fakes with ccxt's names, signatures and ways (sync and async)."""

from __future__ import annotations

import asyncio
import inspect
import itertools
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from tracing import Bench

from otel_mcbot import hub as hubs
from otel_mcbot import semconv
from otel_mcbot.facts import ApiCalled, OrderReported, OrderRequested
from otel_mcbot.integrations.ccxt import instrument_ccxt
from otel_mcbot.redaction import Redactor
from otel_mcbot.trace import trade_cycle

SECRET_URL = "https://fapi.example.com/fapi/v1/order?symbol=BTCUSDT&timestamp=1&signature=4609d6c0ffee"


class InsufficientFunds(Exception): ...


class InvalidOrder(Exception): ...


class RequestTimeout(Exception): ...


class Venue:
    """What stands behind both fakes: orders by id, and what happens to the next request."""

    def __init__(self) -> None:
        self.ids = itertools.count(9001)
        self.orders: dict[str, dict[str, Any]] = {}
        self.fail: Exception | None = None
        self.status = "closed"
        self.sent: list[tuple[Any, ...]] = []

    def send(self, symbol: str, kind: str, side: str, amount: float, price: Any, params: Any) -> dict[str, Any]:
        self.sent.append((symbol, kind, side, amount, price, params))
        if self.fail is not None:
            raise self.fail
        identity = str(next(self.ids))
        filled = amount if self.status == "closed" else 0.0
        order = {
            "id": identity,
            "clientOrderId": f"x-{identity}",
            "symbol": symbol,
            "type": kind,
            "side": side,
            "amount": amount,
            "filled": filled,
            "average": 100.0 if filled else None,
            "status": self.status,
            "fee": {"cost": 0.04, "currency": "USDT"} if filled else None,
            "trades": [],
        }
        self.orders[identity] = order
        return dict(order)


class Exchange:
    id = "fakex"
    hostname = "example.com"

    def __init__(self) -> None:
        self.venue = Venue()
        self.urls = {"api": {"public": "https://api.{hostname}/api", "private": "https://api.{hostname}/api"}}
        self.markets = {"BTC/USDT": {"type": "spot"}}

    def throttle(self, cost: float | None = None) -> None: ...

    def on_rest_response(self, code: int, reason: str, url: str, method: str, headers: Any, *rest: Any) -> None: ...

    def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> None:
        self.on_rest_response(200, "OK", url, method, {"X-MBX-USED-WEIGHT-1M": "42"}, "", headers, body)

    def fetch2(self, path: str) -> None:
        self.throttle(1)
        self.fetch(SECRET_URL, "POST", {"X-API-KEY": "very-secret-key"})

    def create_order(
        self,
        symbol: str,
        type: str,
        side: str,
        amount: float,
        price: Any = None,
        params: Any = {},  # noqa: B006
    ) -> dict[str, Any]:
        """Send an order."""
        self.fetch2("order")
        return self.venue.send(symbol, type, side, amount, price, params)

    def create_market_order(self, symbol: str, side: str, amount: float, params: Any = {}) -> dict[str, Any]:  # noqa: B006
        return self.create_order(symbol, "market", side, amount, None, params)

    def fetch_order(self, id: str, symbol: str | None = None, params: Any = None) -> dict[str, Any]:
        self.fetch2("order")
        return dict(self.venue.orders[id])

    def fetch_open_orders(self, symbol: str | None = None) -> list[dict[str, Any]]:
        self.fetch2("openOrders")
        return [dict(order) for order in self.venue.orders.values() if order["status"] == "open"]

    def fetch_my_trades(self, symbol: str | None = None) -> list[dict[str, Any]]:
        return [
            {"id": f"t{key}", "order": key, "symbol": order["symbol"], "side": order["side"], "price": 100.0,
             "amount": order["amount"], "timestamp": 1}
            for key, order in self.venue.orders.items()
        ]  # fmt: skip

    def cancel_order(self, id: str, symbol: str | None = None, params: Any = None) -> dict[str, Any]:
        self.fetch2("order")
        return {"id": id, "info": {}}

    def fetch_balance(self, params: Any = None) -> dict[str, Any]:
        return {"USDT": {"free": 1.0}}

    def fetch_ticker(self, symbol: str) -> dict[str, Any]:
        return {"last": 100.0}


class AsyncExchange:
    """The same, as ccxt.async_support has it."""

    id = "fakex"
    hostname = "example.com"

    def __init__(self) -> None:
        self.venue = Venue()
        self.urls = {"api": "https://api.{hostname}"}

    async def throttle(self, cost: float | None = None) -> None:
        await asyncio.sleep(0)

    def on_rest_response(self, code: int, reason: str, url: str, method: str, headers: Any, *rest: Any) -> None: ...

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> None:
        await asyncio.sleep(0)
        self.on_rest_response(200, "OK", url, method, {}, "", headers, body)

    async def create_order(
        self,
        symbol: str,
        type: str,
        side: str,
        amount: float,
        price: Any = None,
        params: Any = {},  # noqa: B006
    ) -> dict[str, Any]:
        await self.throttle(1)
        await self.fetch(SECRET_URL, "POST")
        return self.venue.send(symbol, type, side, amount, price, params)

    async def fetch_order(self, id: str, symbol: str | None = None) -> dict[str, Any]:
        await asyncio.sleep(0)
        return dict(self.venue.orders[id])

    async def watch_orders(self, symbol: str | None = None) -> list[dict[str, Any]]:
        await asyncio.sleep(0)
        return [dict(order) for order in self.venue.orders.values()]


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    made.hub.redact = Redactor([]).text
    before = hubs.install(made.hub)
    yield made
    hubs.install(before)


@pytest.fixture
def exchange() -> Exchange:
    return instrument_ccxt(Exchange(), strategy="grid")


def calls(bench: Bench) -> list[tuple[str, str, str | None]]:
    facts = [fact for fact, _, _ in bench.seen.facts if isinstance(fact, ApiCalled)]
    return [(fact.endpoint, fact.status, fact.error) for fact in facts]


def test_the_same_object_comes_back_and_twice_is_once(bench: Bench) -> None:
    exchange = Exchange()
    assert instrument_ccxt(exchange) is exchange
    wrapper = exchange.create_order
    assert instrument_ccxt(exchange).create_order is wrapper
    assert inspect.signature(exchange.create_order) == inspect.signature(Exchange().create_order)
    assert exchange.create_order.__doc__ == "Send an order."
    assert "create_order" not in vars(Exchange()), "the class is untouched"


@pytest.mark.parametrize("thing", [object(), None, 3, Exchange, {"create_order": 1}])
def test_what_is_no_exchange_is_a_type_error_in_one_line(thing: object) -> None:
    with pytest.raises(TypeError) as error:
        instrument_ccxt(thing)
    assert "\n" not in str(error.value)
    assert "create_order" in str(error.value)


def test_an_order_of_a_script_is_a_whole_cycle(bench: Bench, exchange: Exchange) -> None:
    exchange.create_order("BTC/USDT", "market", "buy", 0.5)
    assert bench.tree() == [
        "trade_cycle [filled]",
        "  oms.submit_order [filled]",
        "    exchange.create_order",
        "  oms.await_fill [filled]",
    ]
    call = bench.span("exchange.create_order")
    assert call.attributes is not None
    assert call.attributes[semconv.SERVER_ADDRESS] == "fapi.example.com"
    assert call.attributes[semconv.HTTP_STATUS] == 200
    assert call.attributes[semconv.WEIGHT_USED] == 42
    assert call.attributes[semconv.WIRE_TIME] >= 0.0
    assert call.attributes[semconv.THROTTLE_WAIT] >= 0.0
    assert call.kind.name == "CLIENT"
    order = bench.span("oms.submit_order")
    assert order.attributes is not None
    assert order.attributes[semconv.STRATEGY] == "grid"
    assert order.attributes[semconv.ORDER_ID] == "9001"
    assert order.attributes[semconv.INSTRUMENT_TYPE] == "spot"
    assert calls(bench) == [("create_order", "success", None)]
    assert exchange.venue.sent == [("BTC/USDT", "market", "buy", 0.5, None, {})], "params stay as the bot gave them"
    bench.check()


def test_the_host_is_there_before_an_answer_is(bench: Bench, exchange: Exchange) -> None:
    exchange.fetch = lambda *_: (_ for _ in ()).throw(RequestTimeout("no answer"))  # type: ignore[method-assign, assignment]
    with pytest.raises(RequestTimeout):
        exchange.create_order("BTC/USDT", "market", "buy", 0.5)
    attributes = bench.span("exchange.create_order").attributes
    assert attributes is not None
    assert attributes[semconv.SERVER_ADDRESS] == "api.example.com"


def test_a_second_try_is_counted_and_what_had_to_come_first_is_not(bench: Bench) -> None:
    class Patient(Exchange):
        def fetch2(self, path: str) -> None:
            for status, url in ((200, "https://x/markets"), (502, SECRET_URL), (400, SECRET_URL)):
                body = '{"code":-1013,"msg":"Filter failure"}' if status == 400 else ""
                self.on_rest_response(status, "", url, "POST", {}, body, {}, None)

    exchange = instrument_ccxt(Patient())
    exchange.venue.fail = InvalidOrder("fakex Filter failure")
    with pytest.raises(InvalidOrder):
        exchange.create_order("BTC/USDT", "market", "buy", 0.5)
    attributes = bench.span("exchange.create_order").attributes
    assert attributes is not None
    assert attributes[semconv.RESEND_COUNT] == 1
    assert attributes[semconv.HTTP_STATUS] == 400
    assert attributes[semconv.ERROR_CODE] == "-1013"


def test_wrappers_that_call_create_order_count_once(bench: Bench, exchange: Exchange) -> None:
    exchange.create_market_order("BTC/USDT", "sell", 0.5)
    assert calls(bench) == [("create_order", "success", None)]
    assert bench.seen.count(OrderRequested) == 1
    assert bench.ledger.totals.requested == 1


def test_both_spellings_are_one(bench: Bench) -> None:
    class Camel(Exchange):
        createOrder = Exchange.create_order  # as ccxt does at construction

    exchange = instrument_ccxt(Camel())
    exchange.createOrder("BTC/USDT", "market", "buy", 0.5)
    assert calls(bench) == [("create_order", "success", None)]


def test_a_call_inside_a_call_is_ccxts_own_business(bench: Bench) -> None:
    class Roundabout(Exchange):
        def fetch_order(self, id: str, symbol: str | None = None, params: Any = None) -> dict[str, Any]:
            self.fetch_open_orders(symbol)
            return super().fetch_order(id, symbol)

    exchange = instrument_ccxt(Roundabout())
    exchange.venue.orders["5"] = {"id": "5", "status": "open"}
    exchange.fetch_order("5")
    assert calls(bench) == [("fetch_order", "success", None)]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (InsufficientFunds('fakex {"code":-2019,"msg":"Margin is insufficient."}'), "leverage_exceeded"),
        (InvalidOrder('fakex {"code":-4164,"msg":"notional must be no smaller"}'), "order_size_exceeded"),
    ],
)
def test_a_refusal_is_a_rejection(bench: Bench, exchange: Exchange, error: Exception, reason: str) -> None:
    exchange.venue.fail = error
    with pytest.raises(type(error)) as raised:
        exchange.create_order("BTC/USDT", "market", "buy", 0.5)
    assert raised.value is error
    assert raised.value.__context__ is None
    assert bench.ledger.totals.by_status["rejected"] == 1
    assert not bench.ledger.open
    submitted = bench.span("oms.submit_order").attributes
    assert submitted is not None
    assert submitted[semconv.REJECT_REASON] == reason
    call = bench.span("exchange.create_order").attributes
    assert call is not None
    assert str(call[semconv.ERROR_CODE]) in str(error)
    assert calls(bench) == [("create_order", "failure", type(error).__name__)]
    bench.check()


def test_no_answer_is_no_rejection(bench: Bench, exchange: Exchange) -> None:
    exchange.venue.fail = RequestTimeout(f"fakex POST {SECRET_URL}")
    with pytest.raises(RequestTimeout):
        exchange.create_order("BTC/USDT", "limit", "buy", 0.5, 99.0)
    assert bench.ledger.totals.by_status.get("rejected", 0) == 0
    (order,) = bench.ledger.open.values()
    assert order.lost
    assert calls(bench) == [("create_order", "failure", "RequestTimeout")]


def test_nothing_of_the_request_but_its_host_is_on_a_span(bench: Bench, exchange: Exchange) -> None:
    exchange.create_order("BTC/USDT", "market", "buy", 0.5)
    exchange.venue.fail = RequestTimeout(f"fakex POST {SECRET_URL}")
    with pytest.raises(RequestTimeout):
        exchange.create_order("BTC/USDT", "market", "buy", 0.5)
    bench.advance(120.0)
    words = " ".join(span.to_json() for span in bench.spans)
    assert "fapi.example.com" in words
    assert "4609d6c0ffee" not in words
    assert "very-secret-key" not in words


def test_a_resting_order_is_completed_by_what_the_venue_says_later(bench: Bench, exchange: Exchange) -> None:
    exchange.venue.status = "open"
    order = exchange.create_order("BTC/USDT", "limit", "buy", 0.5, 99.0)
    exchange.venue.orders[order["id"]] |= {"status": "open", "filled": 0.2, "average": 99.0}
    exchange.fetch_open_orders("BTC/USDT")
    (open_order,) = bench.ledger.open.values()
    assert open_order.filled == pytest.approx(0.2)
    exchange.venue.orders[order["id"]] |= {"status": "closed", "filled": 0.5}
    exchange.fetch_order(order["id"], "BTC/USDT")
    exchange.fetch_order(order["id"], "BTC/USDT")
    exchange.fetch_my_trades("BTC/USDT")
    assert not bench.ledger.open
    assert bench.ledger.totals.by_status["filled"] == 1
    assert bench.ledger.totals.filled["BTC/USDT"] == pytest.approx(0.5)
    bench.check()


def test_a_cancel_that_answers_with_an_id_alone_is_a_cancel(bench: Bench, exchange: Exchange) -> None:
    exchange.venue.status = "open"
    order = exchange.create_order("BTC/USDT", "limit", "buy", 0.5, 99.0)
    exchange.cancel_order(order["id"], "BTC/USDT")
    assert bench.ledger.totals.by_status["canceled"] == 1
    assert "exchange.cancel_order" in {span.name for span in bench.spans}
    bench.check()


def test_other_peoples_orders_are_none_of_ours(bench: Bench, exchange: Exchange) -> None:
    for key in ("1", "2"):
        exchange.venue.orders[key] = {"id": key, "symbol": "BTC/USDT", "side": "buy", "amount": 1.0, "filled": 1.0,
                                      "average": 5.0, "status": "closed"}  # fmt: skip
    exchange.fetch_order("1")
    exchange.fetch_my_trades("BTC/USDT")
    exchange.cancel_order("2")
    assert bench.seen.count(OrderReported) == 0
    assert bench.ledger.totals.fills == 0
    assert not bench.ledger.open


def test_an_order_that_the_bot_told_of_is_that_order(bench: Bench, exchange: Exchange) -> None:
    with (
        trade_cycle(strategy="ctrend", symbol="BTC/USDT") as cycle,
        cycle.order(side="buy", quantity=0.5, expected_price=100.0) as order,
    ):
        order.update(exchange.create_order("BTC/USDT", "market", "buy", 0.5))
    assert bench.ledger.totals.requested == 1
    assert bench.ledger.totals.filled["BTC/USDT"] == pytest.approx(0.5)
    assert bench.tree() == [
        "trade_cycle [filled]",
        "  oms.submit_order [filled]",
        "    exchange.create_order",
        "  oms.await_fill [filled]",
    ]
    bench.check()


def test_an_order_known_by_the_id_that_is_sent_is_that_order(bench: Bench, exchange: Exchange) -> None:
    bench.hub.tell(OrderRequested(client_id="ctrend-btcusdt-1", symbol="BTC/USDT", side="buy", quantity=0.5))
    exchange.create_order("BTC/USDT", "market", "buy", 0.5, None, {"newClientOrderId": "ctrend-btcusdt-1"})
    assert bench.ledger.totals.requested == 1
    assert not bench.ledger.open
    assert "exchange.create_order" in {span.name for span in bench.spans}
    bench.check()


def test_an_order_in_a_cycle_without_a_stage_joins_the_cycle(bench: Bench, exchange: Exchange) -> None:
    with trade_cycle(strategy="ctrend", symbol="BTC/USDT"):
        exchange.create_order("BTC/USDT", "market", "buy", 0.5)
        exchange.create_order("BTC/USDT", "market", "sell", 0.5)
    names = [line.strip().split(" ")[0] for line in bench.tree()]
    assert names.count("trade_cycle") == 1
    assert names.count("oms.submit_order") == 2
    bench.check()


def test_a_stop_is_the_ninth_endpoint(bench: Bench, exchange: Exchange) -> None:
    exchange.venue.status = "open"
    exchange.create_order("BTC/USDT", "market", "sell", 0.5, None, {"stopPrice": 90.0, "reduceOnly": True})
    assert calls(bench) == [("create_stop_market", "success", None)]
    (order,) = bench.ledger.open.values()
    assert order.order_type == "STOP_MARKET"
    assert order.reduce_only is True


def test_an_amount_in_quote_currency_is_a_notional(bench: Bench, exchange: Exchange) -> None:
    exchange.venue.status = "open"
    exchange.create_order("BTC/USDT", "market", "buy", 250.0, None, {"quoteOrderQty": 250.0})
    request = next(fact for fact, _, _ in bench.seen.facts if isinstance(fact, OrderRequested))
    assert (request.quantity, request.notional) == (None, 250.0)


def test_all_read_endpoints_are_measured(bench: Bench, exchange: Exchange) -> None:
    exchange.fetch_balance()
    exchange.fetch_ticker("BTC/USDT")
    exchange.fetch_open_orders()
    exchange.fetch_my_trades()
    assert calls(bench) == [
        ("fetch_balance", "success", None),
        ("fetch_ticker", "success", None),
        ("fetch_open_orders", "success", None),
    ]
    assert bench.spans == (), "a call outside of every cycle has no span"


def test_without_telemetry_the_exchange_works(exchange: Exchange) -> None:
    assert hubs.current() is None
    assert exchange.create_order("BTC/USDT", "market", "buy", 0.5)["id"] == "9001"
    exchange.venue.fail = InvalidOrder("no")
    with pytest.raises(InvalidOrder):
        exchange.create_order("BTC/USDT", "market", "buy", 0.5)


def run(main: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(main())  # type: ignore[arg-type]


def test_async_orders_side_by_side_keep_apart(bench: Bench) -> None:
    exchange = instrument_ccxt(AsyncExchange(), strategy="grid")
    assert inspect.iscoroutinefunction(exchange.create_order)

    async def main() -> None:
        await asyncio.gather(*(exchange.create_order("BTC/USDT", "market", "buy", 0.1) for _ in range(50)))
        await exchange.watch_orders()

    run(main)
    assert bench.ledger.totals.requested == 50
    assert bench.ledger.totals.filled["BTC/USDT"] == pytest.approx(5.0)
    assert len([span for span in bench.spans if span.name == "trade_cycle"]) == 50
    assert len([span for span in bench.spans if span.name == "exchange.create_order"]) == 50
    bench.tree()
    bench.check()


def test_a_cancelled_call_is_interrupted_not_rejected(bench: Bench) -> None:
    exchange = AsyncExchange()
    waiting = asyncio.Event()

    async def never(*_: Any) -> None:
        waiting.set()
        await asyncio.Event().wait()

    exchange.fetch = never  # type: ignore[method-assign, assignment]
    instrument_ccxt(exchange)

    async def main() -> None:
        task = asyncio.create_task(exchange.create_order("BTC/USDT", "market", "buy", 0.5))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main)
    assert bench.ledger.totals.by_status.get("rejected", 0) == 0
    call = bench.span("exchange.create_order").attributes
    assert call is not None
    assert call[semconv.ERROR_TYPE] == "interrupted"
