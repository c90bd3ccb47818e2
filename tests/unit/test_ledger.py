"""The traps of real bots, one by one: what is told, what the ledger makes of it, what its changes add up to."""

from __future__ import annotations

import gc
import json
import math
import time
import tracemalloc
from dataclasses import dataclass, field
from typing import Any

import pytest

import otel_mcbot.ledger
import otel_mcbot.orders
from otel_mcbot.facts import (
    OrderAcknowledged,
    OrderCanceled,
    OrderExpired,
    OrderFact,
    OrderFilled,
    OrderLost,
    OrderRejected,
    OrderReplaced,
    OrderReported,
    OrderRequested,
)
from otel_mcbot.ledger import Change, Ledger
from otel_mcbot.orders import FILL_IDS, TERMINAL, TRANSITIONS, Happening, OrderStatus, in_quote, pair, strategy_in

A = "ctrend-btcusdt-1"
B = "ctrend-btcusdt-2"
V = "81234"
SYMBOL = "BTC/USDT"


def request(quantity: float | None = 1.0, client_id: str = A, **more: Any) -> OrderRequested:
    return OrderRequested(**{"client_id": client_id, "symbol": SYMBOL, "side": "buy", "quantity": quantity, **more})


def notional(amount: float, **more: Any) -> OrderRequested:
    return request(None, notional=amount, **more)


def ack(client_id: str | None = A, **more: Any) -> OrderAcknowledged:
    return OrderAcknowledged(**{"client_id": client_id, "symbol": SYMBOL, **more})


def fill(fill_id: str | None, quantity: float | None, price: float | None = 100.0, **more: Any) -> OrderFilled:
    about = {"client_id": A, "symbol": SYMBOL, "fill_id": fill_id, "quantity": quantity, "price": price}
    return OrderFilled(**{**about, **more})


def report(
    status: str | None, filled: float | None = None, average: float | None = 100.0, **more: Any
) -> OrderReported:
    about = {"client_id": A, "symbol": SYMBOL, "status": status, "filled": filled, "average_price": average}
    return OrderReported(**{**about, **more})


def cancel(**more: Any) -> OrderCanceled:
    return OrderCanceled(**{"client_id": A, "symbol": SYMBOL, **more})


def reject(reason: str = "other", **more: Any) -> OrderRejected:
    return OrderRejected(**{"client_id": A, "symbol": SYMBOL, "reason": reason, **more})


def amend(new: str | None = None, **more: Any) -> OrderReplaced:
    return OrderReplaced(**{"client_id": A, "symbol": SYMBOL, "new_client_id": new, **more})


class Sum:
    """What somebody who only adds up changes comes to."""

    def __init__(self) -> None:
        self.requested = self.validated = self.acknowledged = self.completed = self.ended = self.lost = 0
        self.fills = self.partial = self.rejected = 0
        self.quantity = self.fee = 0.0
        self.prices: list[float | None] = []

    def add(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            for name in ("requested", "validated", "acknowledged", "completed", "ended", "lost", "partial"):
                setattr(self, name, getattr(self, name) + getattr(change, name))
            self.rejected += change.ended and change.after == "rejected"
            self.fills += change.parts
            self.quantity += change.quantity
            self.fee += change.fee
            if change.quantity:
                self.prices.append(change.price)


def tell(ledger: Ledger, *told: OrderFact) -> Sum:
    total = Sum()
    for fact in told:
        total.add(ledger.apply(fact))
    return total


@dataclass
class Case:
    name: str
    told: list[OrderFact]
    order: dict[str, Any] = field(default_factory=dict)
    """Of the order ``A`` afterwards."""
    sums: dict[str, Any] = field(default_factory=dict)
    """Of all changes."""
    dropped: dict[str, int] = field(default_factory=dict)


ONE_FILLED = {"requested": 1, "acknowledged": 1, "completed": 1, "ended": 1, "quantity": 1.0}

CASES = [
    # -- requests ------------------------------------------------------------------------------------------------------
    Case(
        "published by the portfolio manager, then by the risk manager",
        [notional(500, validated=False), notional(300, validated=True), notional(500, validated=False)],
        {"status": "pending_new", "validated": True, "notional": 300.0, "strategy": "ctrend", "side": "BUY"},
        {"requested": 1, "validated": 1, "acknowledged": 0},
    ),
    Case(
        "validated only",
        [request(), request()],
        {"quantity": 1.0},
        {"requested": 1, "validated": 1},
    ),
    Case(
        "resized and changed by the risk manager, then repeated out of order",
        [
            request(2.0, order_type="limit", price=90.0, validated=False),
            request(1.0, order_type="stop_limit", price=91.0),
            request(2.0, order_type="limit", price=90.0, validated=False),
            request(1.0, order_type="stop_limit", price=91.0),
        ],
        {"quantity": 1.0, "order_type": "STOP_LIMIT", "price": 91.0},
        {"requested": 1, "validated": 1},
    ),
    Case(
        "never validated",
        [request(2.0, order_type="limit", price=90.0, validated=False)],
        {"quantity": 2.0, "order_type": "LIMIT", "price": 90.0, "validated": False},
        {"requested": 1, "validated": 0},
    ),
    Case(
        "the typical chain of a bus",
        [notional(100, validated=False), notional(100), ack(), fill("f", 0.9995, fee=0.05)],
        {"status": "filled", "fees": 0.05},
        {**ONE_FILLED, "quantity": 0.9995, "fills": 1, "partial": 0, "fee": 0.05},
    ),
    Case(
        "the request comes after the fill",
        [fill("f", 1.0), ack(), request()],
        {"status": "filled", "known": True, "strategy": "ctrend"},
        {**ONE_FILLED, "fills": 1},
    ),
    Case(
        "the request comes after the rejection",
        [reject("circuit breaker"), request()],
        {"status": "rejected", "reject_reason": "circuit_breaker"},
        {"requested": 1, "acknowledged": 0, "ended": 1, "rejected": 1},
    ),
    Case(
        "a fill that nobody requested",
        [fill("f", 1.0, fee=0.1, side="sell")],
        {"known": False, "strategy": None, "status": "partially_filled", "side": "SELL"},
        {"requested": 0, "acknowledged": 0, "completed": 0, "partial": 0, "fills": 1, "quantity": 1.0, "fee": 0.1},
    ),
    Case(
        "a liquidation, reported to the end",
        [report("new", 0.0, order_type="stop", side="sell"), report("filled", 1.0)],
        {"known": False, "status": "filled", "side": "SELL", "order_type": "STOP_MARKET"},
        {"completed": 0, "ended": 0, "acknowledged": 0, "fills": 1, "quantity": 1.0},
    ),
    # -- acks ----------------------------------------------------------------------------------------------------------
    Case("a second ack", [request(), ack(), ack()], {"status": "new"}, {"acknowledged": 1}),
    Case("a fill before the ack", [request(), fill("f", 1.0), ack()], {"status": "filled"}, ONE_FILLED),
    Case("a cancel without an ack", [request(), cancel()], {"status": "canceled"}, {"acknowledged": 1, "ended": 1}),
    Case(
        "an expiry without an ack",
        [request(), OrderExpired(client_id=A, symbol=SYMBOL)],
        {"status": "expired"},
        {"acknowledged": 1, "ended": 1},
    ),
    Case(
        "lost, then refused",
        [request(), OrderLost(client_id=A, symbol=SYMBOL), reject()],
        {"status": "rejected", "lost": False},
        {"lost": 1, "rejected": 1, "acknowledged": 0},
    ),
    Case(
        "lost, then reported as refused",
        [request(), OrderLost(client_id=A, symbol=SYMBOL), report("rejected")],
        {"status": "rejected", "lost": False},
        {"lost": 1, "rejected": 1, "acknowledged": 0},
    ),
    Case("refused by the risk manager", [request(), reject()], {}, {"acknowledged": 0, "rejected": 1}),
    Case("refused after the ack", [request(), ack(), reject()], {}, {"acknowledged": 1, "rejected": 1}),
    Case("the ack overtaken by its rejection", [request(), reject(), ack()], {}, {"acknowledged": 1, "rejected": 1}),
    Case("a report that only knows the venue's id", [request(), report(None, venue_id=V)], {"status": "new"}, {}),
    Case("a report that knows nothing", [request(), report(None)], {"status": "pending_new"}, {"acknowledged": 0}),
    Case("a report from before the ack", [request(), report("pending_new", 0.0)], {}, {"acknowledged": 0}),
    Case(
        "a reported rejection",
        [request(), report("rejected", 0.0, message="Margin is insufficient. -2019")],
        {"status": "rejected", "reject_reason": "leverage_exceeded"},
        {"acknowledged": 0, "rejected": 1},
    ),
    # -- parts ---------------------------------------------------------------------------------------------------------
    Case(
        "parts",
        [request(), fill("a", 0.1), fill("b", 0.2), fill("c", 0.7)],
        {"status": "filled", "parts": 3},
        {**ONE_FILLED, "fills": 3, "partial": 2},
    ),
    Case(
        "the same part on two topics",
        [request(), fill("a", 0.5), fill("a", 0.5)],
        {"status": "partially_filled", "filled": 0.5},
        {"fills": 1, "partial": 1, "quantity": 0.5},
    ),
    Case(
        "parts from a source without ids",
        [request(), fill(None, 0.5), fill(None, 0.5)],
        {"status": "filled"},
        {**ONE_FILLED, "fills": 2},
    ),
    Case(
        "the same parts from two sources that number them differently",
        [request(2.0), fill("event:x", 0.5), fill("777", 0.5), fill(None, 0.5), fill("778", 0.5), fill("event:y", 0.5)],
        {"status": "partially_filled", "filled": 1.0},
        {"fills": 2, "quantity": 1.0},
    ),
    Case(
        "the fee of a part comes later",
        [request(), fill("a", 1.0), fill("a", 1.0, fee=0.04), fill("a", 1.0, fee=0.04), fill("a", 1.0)],
        {"fees": 0.04, "status": "filled"},
        {**ONE_FILLED, "fills": 1, "fee": 0.04},
    ),
    Case(
        "more than was wanted",
        [request(), fill("a", 1.0), fill("b", 0.5)],
        {"status": "filled", "filled": 1.5},
        {**ONE_FILLED, "quantity": 1.5, "fills": 2, "partial": 0},
    ),
    Case(
        "a part without a price",
        [request(price=90.0, order_type="limit"), fill("a", 1.0, None)],
        {"status": "filled", "cost": 90.0},
        {**ONE_FILLED, "prices": [None]},
    ),
    # -- reports -------------------------------------------------------------------------------------------------------
    Case(
        "the same report again, and a stale one",
        [request(), *[report("partially_filled", 0.6)] * 2, report("new", 0.2), report("new", 0)],
        {"status": "partially_filled", "filled": 0.6},
        {"fills": 1, "quantity": 0.6, "acknowledged": 1},
    ),
    Case(
        "prices of what reports add",
        [request(4.0), report("partially_filled", 1.0, 100.0), report("partially_filled", 3.0, 102.0)],
        {"cost": 306.0},
        {"prices": [100.0, 103.0]},
    ),
    Case(
        "an average that was rounded",
        [request(2_000.0), fill("a", 1_000.0, 1.014), report("partially_filled", 1_001.0, 1.01)],
        {},
        {"prices": [1.014, 1.01]},
    ),
    Case(
        "a part, then the report of it, then the next",
        [request(), fill("a", 0.5, fee=0.1), report("partially_filled", 0.5, fee=0.1), fill("b", 0.5, fee=0.1)],
        {"status": "filled", "fees": 0.2},
        {**ONE_FILLED, "fills": 2, "fee": 0.2},
    ),
    Case(
        "a report, then the parts of it",
        [request(), report("filled", 1.0, fee=0.2), fill("a", 0.5, fee=0.1), fill("b", 0.5, fee=0.1)],
        {"status": "filled", "fees": 0.2, "parts": 2},
        {**ONE_FILLED, "fills": 2, "fee": 0.2},
    ),
    Case(
        "a report that says filled and not how much",
        [request(), report("filled", None)],
        {"filled": 1.0},
        {**ONE_FILLED, "fills": 1},
    ),
    Case(
        "filled at less than was asked for: the venue rounds",
        [request(1.0004), report("new", 0.0, quantity=1.0), fill("a", 1.0)],
        {"status": "filled", "quantity": 1.0},
        ONE_FILLED,
    ),
    Case(
        "a quantity that is no more than the error of a sum",
        [request(0.3), fill("a", 0.1), fill("b", 0.2), report("filled", 0.3)],
        {"status": "filled"},
        {"fills": 2, "completed": 1, "prices": [100.0, 100.0]},
    ),
    # -- races ---------------------------------------------------------------------------------------------------------
    Case(
        "canceled, then the rest fills",
        [request(), fill("a", 0.4), cancel(), fill("b", 0.6), cancel()],
        {"status": "filled"},
        {**ONE_FILLED, "fills": 2},
    ),
    Case(
        "canceled, then a part comes late",
        [request(), cancel(), fill("a", 0.4)],
        {"status": "canceled", "filled": 0.4},
        {"completed": 0, "ended": 1, "quantity": 0.4},
    ),
    Case(
        "a rejection that was wrong",
        [request(), reject(), fill("a", 1.0)],
        {"status": "filled"},
        {**ONE_FILLED, "rejected": 1},
    ),
    Case(
        "expired, then a report that it was canceled",
        [request(), OrderExpired(client_id=A, symbol=SYMBOL), report("canceled", 0.0)],
        {"status": "expired"},
        {"ended": 1},
    ),
    Case("filled, then canceled", [request(), fill("a", 1.0), cancel()], {"status": "filled"}, ONE_FILLED),
    Case(
        "a cancel by a report that knows of the last fill",
        [request(), report("canceled", 1.0)],
        {"status": "filled"},
        ONE_FILLED,
    ),
    Case(
        "a status nobody knows",
        [request(), report("shrugged", 0.5)],
        {"status": "partially_filled"},
        {"acknowledged": 1},
    ),
    # -- fees ----------------------------------------------------------------------------------------------------------
    Case("in a stable coin", [request(), fill("a", 1.0, fee=0.1, fee_currency="usdc")], {"fees": 0.1}, {"fee": 0.1}),
    Case("in base currency", [request(), fill("a", 1.0, fee=0.001, fee_currency="BTC")], {"fees": 0.1}, {"fee": 0.1}),
    Case(
        "in a coin of which nobody here knows the price",
        [request(), fill("a", 1.0, fee=0.001, fee_currency="BNB"), fill("a", 1.0, fee=0.001, fee_currency="BNB")],
        {"fees": 0.0, "fee_currency": "BNB"},
        {"fee": 0.0},
        {"fee_currency": 1},
    ),
    Case(
        "in base currency, reported",
        [request(), report("filled", 1.0, 200.0, fee=0.001, fee_currency="BTC")],
        {"fees": 0.2},
        {"fee": 0.2},
    ),
    Case(
        "a rebate after a fee",
        [request(), fill("a", 0.5, fee=0.3), fill("b", 0.5, fee=-0.1)],
        {"fees": pytest.approx(0.2)},
        {"fee": 0.3},
        {"negative_fee": 1},
    ),
    Case(
        "rebates from both kinds of source",
        [request(), fill("a", 0.5, fee=-0.1), report("filled", 1.0, fee=-0.3), fill("b", 0.5, fee=-0.2)],
        {"fees": pytest.approx(-0.3)},
        {"fee": 0.0},
        {"negative_fee": 3},
    ),
    # -- ids -----------------------------------------------------------------------------------------------------------
    Case(
        "by the venue's id, learnt from the ack",
        [request(), ack(venue_id=V), fill("a", 1.0, client_id=None, venue_id=V, symbol=None)],
        {"status": "filled", "venue_id": V},
        ONE_FILLED,
    ),
    Case(
        "by the venue's id, before anybody knew whose it is",
        [request(), fill("a", 0.5, client_id=None, venue_id=V), ack(venue_id=V), fill("b", 0.5)],
        {"status": "filled", "venue_id": V},
        {**ONE_FILLED, "fills": 2},
    ),
    Case(
        "by the venue's id first, and requested last",
        [fill("a", 1.0, client_id=None, venue_id=V), ack(venue_id=V), request()],
        {"status": "filled", "client_id": A},
        {**ONE_FILLED, "fills": 1},
    ),
    Case(
        "the same part under both ids before they are known to be one",
        [
            request(2),
            fill("a", 0.5, client_id=None, venue_id=V),
            fill("a", 0.5, fee=0.1),
            ack(venue_id=V),
            fill("b", 1.5),
        ],
        {"status": "filled", "filled": 2.0, "fees": 0.1, "parts": 2},
        {"quantity": 2.0, "fills": 2, "fee": 0.1},
    ),
    Case(
        "canceled by the venue's id before anybody knew whose it is",
        [request(), cancel(client_id=None, venue_id=V), ack(venue_id=V)],
        {"status": "canceled"},
        {"acknowledged": 1, "ended": 1},
    ),
    Case(
        "a venue that uses a client id of its own",
        [request(), report("new", 0.0, venue_id=V), report("filled", 1.0, client_id="x-99", venue_id=V)],
        {"status": "filled"},
        ONE_FILLED,
    ),
    Case(
        "its own client id first",
        [request(), ack(venue_id=V), fill("a", 0.5, client_id="x-99"), fill("b", 0.5, client_id="x-99", venue_id=V)],
        {"status": "filled"},
        {**ONE_FILLED, "fills": 2},
    ),
    Case(
        "the same number at another symbol is another order",
        [request(), ack(venue_id=V), fill("a", 5.0, client_id=None, venue_id=V, symbol="ETH/USDT")],
        {"status": "new", "filled": 0.0},
        {"quantity": 5.0},
    ),
    Case(
        "another spelling of the symbol is the same order",
        [request(), ack(venue_id=V), fill("a", 1.0, client_id=None, venue_id=V, symbol="BTCUSDT")],
        {"status": "filled"},
        ONE_FILLED,
    ),
    # -- amendments ----------------------------------------------------------------------------------------------------
    Case(
        "amended in place",
        [request(), ack(), amend(quantity=0.5, price=99.0), report("new", 0.0, quantity=1.0), fill("a", 0.5)],
        {"quantity": 0.5, "price": 99.0, "status": "filled"},
        {**ONE_FILLED, "quantity": 0.5},
    ),
    Case(
        "amended to what is filled already",
        [request(), fill("a", 0.5), amend(quantity=0.5)],
        {"status": "filled"},
        {"completed": 1, "ended": 1},
    ),
    Case(
        "replaced, and told twice",
        [request(), ack(), amend(B), amend(B), cancel()],
        {"status": "replaced"},
        {"requested": 2, "validated": 2, "acknowledged": 1, "ended": 1},
    ),
    Case(
        "called canceled before it is called replaced",
        [request(), ack(), cancel(), amend(B)],
        {"status": "replaced"},
        {"requested": 2, "ended": 1},
    ),
    Case(
        "replaced, then filled after all",
        [request(), ack(), amend(B), fill("a", 1.0)],
        {"status": "filled"},
        {"requested": 2, "ended": 1, "completed": 1},
    ),
    # -- nonsense ------------------------------------------------------------------------------------------------------
    Case("no id", [OrderAcknowledged(symbol=SYMBOL)], {}, {}, {"invalid": 1}),
    Case("no quantity", [fill("a", None), fill("b", math.nan), fill("c", 0), fill("d", -1)], {}, {}, {"invalid": 4}),
    Case("not a fact of an order", [OrderFact(client_id=A, symbol=SYMBOL)], {}, {}, {"invalid": 1}),
    Case("unknown and without a symbol", [cancel(symbol=None), request(symbol=None)], {}, {}, {"unknown_order": 2}),
    Case("nobody knows what is lost", [OrderLost(client_id=A, symbol=SYMBOL)], {}, {}, {"unknown_order": 1}),
    Case("a request for less than nothing", [request(-1.0), fill("a", 0.5)], {"quantity": None}, {"quantity": 0.5}),
    Case("a report of less than nothing", [request(), report("new", -1.0)], {"filled": 0.0, "status": "new"}, {}),
    Case(
        "a stranger by a number that another symbol's stranger has",
        [ack(None, venue_id=V), ack(None, venue_id=V, symbol="ETH/USDT")],
        {},
        {},
        {"ambiguous": 1},
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "_"))
def test_trap(case: Case) -> None:
    ledger = Ledger()
    total = tell(ledger, *case.told)
    order = ledger.get(A)
    for name, value in case.order.items():
        assert order is not None
        assert getattr(order, name) == value, name
    for name, value in case.sums.items():
        assert getattr(total, name) == pytest.approx(value), name
    assert dict(ledger.dropped) == case.dropped
    # whatever happened: what the ledger counted is what somebody else adds up
    totals = ledger.totals
    assert totals.requested == total.requested
    assert totals.fills == total.fills
    assert totals.fees == pytest.approx(total.fee)
    assert sum(totals.filled.values()) == pytest.approx(total.quantity)
    assert sum(totals.by_status.values()) == total.requested
    assert totals.by_status["working"] == sum(order.known for order in ledger.open.values())


def test_every_state_moves_only_as_the_table_says() -> None:
    assert set(TRANSITIONS) == set(OrderStatus)
    for status, moves in TRANSITIONS.items():
        assert status not in moves.values()
        if status.is_terminal:  # only the venue's fills, or the word for why it was canceled, move it on
            assert set(moves) <= {Happening.COMPLETE, Happening.REPLACE}
            assert set(moves.values()) <= TERMINAL
        else:
            assert OrderStatus.PENDING_NEW not in moves.values()


# -- what the order carries --------------------------------------------------------------------------------------------


def test_a_replacement_takes_over() -> None:
    ledger = Ledger()
    ledger.note_signal("ctrend", SYMBOL, 5.0)
    first = request(
        1.0, price=90.0, order_type="limit", pod_id="pod", expected_price=91.0, correlation_id="chain", exchange="x"
    )
    tell(ledger, first, ack(venue_id=V), fill("a", 0.25))
    old, new = ledger.apply(amend(B, price=95.0))
    assert (old.before, old.after, old.ended) == ("partially_filled", "replaced", True)
    assert (new.before, new.after, new.requested, new.validated) == (None, "pending_new", True, True)
    order = new.order
    assert (order.client_id, order.replaces, order.quantity, order.price) == (B, A, 0.75, 95.0)
    assert (order.strategy, order.pod_id, order.side, order.order_type) == ("ctrend", "pod", "BUY", "LIMIT")
    assert (order.correlation_id, order.exchange, order.expected_price, order.signal_at) == ("chain", "x", 91.0, 5.0)
    assert ledger.pending == 1
    assert ledger.get(V) is old.order


def test_a_replacement_takes_over_what_is_left_of_the_notional() -> None:
    ledger = Ledger()
    tell(ledger, notional(100.0), fill("a", 0.4), amend(B), amend("c", client_id=B, quantity=0.25))
    assert (ledger.open["c"].quantity, ledger.open["c"].notional) == (0.25, None)
    assert (ledger.get(B).quantity, ledger.get(B).notional) == (None, 60.0)  # type: ignore[union-attr]
    tell(ledger, notional(100.0, client_id="d"), fill("a", 0.9, client_id="d"), fill("b", 0.2, client_id="d"))
    tell(ledger, amend("e", client_id="d"), request(None, client_id="f"), amend("g", client_id="f"))
    assert ledger.open["e"].notional is ledger.open["g"].notional is None


def test_a_replacement_that_was_heard_of_first() -> None:
    ledger = Ledger()
    total = tell(ledger, request(), ack(B, venue_id="9"), fill("a", 0.5, client_id=B), amend(B, quantity=0.5))
    new = ledger.get(B)
    assert new is not None
    assert (new.status, new.replaces, new.known) == ("filled", A, True)
    assert (total.requested, total.acknowledged, total.completed, total.quantity) == (2, 2, 1, 0.5)


def test_a_replacement_under_the_venue_id_of_the_old_one() -> None:
    ledger = Ledger()
    tell(ledger, request(), ack(venue_id=V), ack(B, venue_id=V), amend(B))
    new = ledger.get(B)
    assert new is not None
    assert (new.client_id, new.status) == (B, "new")  # the venue has spoken of it
    assert B not in ledger.get(A).aliases  # type: ignore[union-attr]
    tell(ledger, fill("b", 1.0, client_id=B, venue_id=V))
    assert (ledger.get(B).status, ledger.get(A).status) == ("filled", "replaced")  # type: ignore[union-attr]


def test_the_signal_goes_with_the_next_request_only() -> None:
    ledger = Ledger()
    ledger.note_signal("ctrend", SYMBOL, 7.0)
    ledger.note_signal("ctrend", "ETH/USDT", 8.0)
    tell(ledger, request(validated=False))
    ledger.note_signal("ctrend", SYMBOL, 9.0)
    tell(ledger, request(), request(client_id=B), request(client_id="ctrend-btcusdt-3"))
    assert [order.signal_at for order in ledger.open.values()] == [7.0, 9.0, None]


def test_signals_and_strategies_are_bounded() -> None:
    ledger = Ledger()
    for n in range(5_000):
        ledger.note_signal("s", f"C{n}/USDT", float(n))
        tell(ledger, request(client_id=f"s-c{n}-{n}", symbol=f"C{n}/USDT"), fill("a", 1.0, client_id=f"s-c{n}-{n}"))
    assert ledger.last_strategy("C0/USDT") is None
    assert ledger.last_strategy("C4999/USDT") == "s"


def test_the_strategy_of_the_last_fill() -> None:
    ledger = Ledger()
    tell(ledger, request(strategy="one"), fill("a", 1.0), request(client_id=B, strategy="two"))
    assert ledger.last_strategy(SYMBOL) == "one"
    tell(ledger, fill("b", 1.0, client_id=B))
    assert ledger.last_strategy(SYMBOL) == "two"
    tell(ledger, fill("c", 1.0, client_id="liquidation"))
    assert ledger.last_strategy(SYMBOL) == "two"
    assert ledger.last_strategy("ETH/USDT") is None


@pytest.mark.parametrize(
    ("client_id", "strategy"),
    [
        ("ctrend-btcusdt-17", "ctrend"),
        ("anchor-mom-btcusdt-17", "anchor-mom"),
        ("ctrend-btcusdt-x", None),
        ("-btcusdt-17", None),
        ("btcusdt-17", None),
        ("81234", None),
    ],
)
def test_the_strategy_in_a_client_id(client_id: str, strategy: str | None) -> None:
    assert strategy_in(client_id) == strategy


@pytest.mark.parametrize(
    ("symbol", "base", "quote"),
    [
        ("BTC/USDT", "BTC", "USDT"),
        ("BTC/USDT:USDT", "BTC", "USDT"),
        ("BTC-USDT-SWAP", "BTC", "USDT"),
        ("btc_usdt", "BTC", "USDT"),
        ("BTCFDUSD", "BTC", "FDUSD"),
        ("ETH/BTC", "ETH", "BTC"),
        ("XYZ", "XYZ", ""),
    ],
)
def test_the_currencies_of_a_symbol(symbol: str, base: str, quote: str) -> None:
    assert pair(symbol) == (base, quote)
    assert in_quote(symbol, 2.0, base, 10.0) == 20.0
    assert in_quote(symbol, 2.0, quote or None, None) == 2.0
    assert in_quote(symbol, 2.0, base, None) is None


def test_two_orders_that_turn_out_to_be_one() -> None:
    ledger = Ledger()
    by_number = {"client_id": None, "venue_id": V}
    told = [
        request(None, notional=1_000.0, order_type="limit"),
        fill("both", 1.0, 100.0, fee=-0.1),
        fill("mine", 1.0, 101.0, fee=-0.2),
        fill("both", 1.0, 100.0, fee=-0.1, liquidity="maker", pod_id="pod", **by_number),
        fill("theirs", 1.0, 102.0, fee=-0.3, correlation_id="chain", **by_number),
        report("partially_filled", 2.0, 101.0, quantity=4.0, price=105.0, fee=-0.4, **by_number),
    ]
    total = tell(ledger, *told)
    assert total.quantity == 4.0  # nobody could know
    total.add(ledger.apply(reject(venue_id=V)))
    order = ledger.get(A)
    assert order is ledger.get(V)
    assert order is not None
    assert (order.filled, order.cost, order.parts, order.fees) == (3.0, 303.0, 3, pytest.approx(-0.6))
    assert (order.quantity, order.price, order.order_type) == (4.0, 105.0, "LIMIT")
    assert (order.liquidity, order.pod_id, order.correlation_id) == ("maker", "pod", "chain")
    assert (total.acknowledged, total.rejected) == (1, 1)
    total.add(ledger.apply(fill("last", 1.0, 103.0)))  # brings to the sums what had been there twice
    assert (order.status, order.filled, total.quantity, total.completed) == ("filled", 4.0, 4.0, 1)


def test_a_part_told_of_both_counts_its_fee_once() -> None:
    ledger = Ledger()
    by_number = {"client_id": None, "venue_id": V}
    tell(ledger, request(9), fill("a", 1.0), fill("b", 1.0, fee=-0.1), report("new", 1.5, fee=-0.3))
    tell(ledger, fill("a", 1.0, fee=-0.1, **by_number), fill("b", 1.0, fee=-0.1, **by_number), ack(venue_id=V))
    assert ledger.open[A].fees == pytest.approx(-0.2)  # of 2.0, against the report's 1.5
    tell(ledger, fill("a", 1.0, fee=-0.1), report("new", 2.5, fee=-0.4))
    assert ledger.open[A].fees == -0.4


def test_every_id_of_an_order_leads_to_it() -> None:
    ledger = Ledger()
    tell(ledger, request(), ack(venue_id=V), ack("x-99"), ack("x-99", venue_id=V))
    assert ledger.get("x-99") is ledger.get(V) is ledger.open[A]
    assert list(ledger.open) == [A]


def test_the_time_of_a_request_that_comes_late() -> None:
    ledger = Ledger(clock=lambda: 50.0, wall=lambda: 1_050.0)
    tell(ledger, fill("a", 0.5, at=20.0), request(at=10.0))
    order = ledger.open[A]
    assert (order.requested_at, order.requested_time, order.acknowledged_at) == (10.0, 1_010.0, 20.0)


def test_an_amendment_that_changes_nothing_is_no_news() -> None:
    ledger = Ledger()
    tell(ledger, request(price=90.0), ack())
    assert len(ledger.apply(amend(price=91.0))) == 1
    assert ledger.apply(amend(price=91.0)) == ledger.apply(amend()) == ()


def test_what_a_stranger_did_before_its_request_counts_as_the_venues_answer() -> None:
    ledger = Ledger()
    tell(ledger, request(), ack(None, venue_id=V))
    assert tell(ledger, reject(venue_id=V)).acknowledged == 1


def test_of_equal_quantities_the_one_with_prices_speaks() -> None:
    ledger = Ledger()
    tell(ledger, request(), fill("a", 1.0, None), report("filled", 1.0, 100.0), fill("a", 1.0, None))
    assert ledger.get(A).average_price == 100.0  # type: ignore[union-attr]


def test_a_late_rebate_counts_by_the_quantity_it_is_for() -> None:
    ledger = Ledger()
    tell(ledger, request(3), report("new", 1.0, fee=-0.1), fill("a", 2.0), fill("a", 2.0, fee=-0.2))
    assert ledger.open[A].fees == -0.2


def test_what_is_known_is_not_overwritten_by_a_report() -> None:
    ledger = Ledger()
    tell(ledger, request(price=90.0), report("new", 0.0, side="sell", price=95.0, order_type="limit"))
    order = ledger.open[A]
    assert (order.side, order.price, order.order_type) == ("BUY", 90.0, "MARKET")


# -- time --------------------------------------------------------------------------------------------------------------


def told_by_time(ledger: Ledger, now: float) -> Sum:
    return tell(ledger, *ledger.due(now))


def test_an_order_of_unknown_quantity_completes_after_its_last_part() -> None:
    ledger = Ledger()
    tell(ledger, notional(100.0, at=10.0), ack(at=10.1), fill("a", 0.5, at=11.0), fill("b", 0.4, at=12.0))
    assert ledger.due(13.9) == []
    (fact,) = ledger.due(14.1)
    assert fact.at == 12.0
    total = tell(ledger, fact)
    assert (total.completed, total.ended, total.quantity, total.fills) == (1, 1, 0.0, 0)
    order = ledger.get(A)
    assert order is not None
    assert (order.status, order.last_at, order.filled) == ("filled", 12.0, 0.9)
    assert ledger.due(20.0) == []


def test_parts_of_an_order_that_was_a_strangers_ripen_too() -> None:
    ledger = Ledger()
    tell(ledger, notional(100.0, at=10.0), fill("a", 0.5, client_id=None, venue_id=V, at=11.0))
    assert ledger.due(15.0) == []
    tell(ledger, ack(venue_id=V, at=15.0))
    assert told_by_time(ledger, 17.1).completed == 1


def test_silence_completes_nothing_that_was_not_begun_or_has_ended_or_whose_quantity_is_known() -> None:
    ledger = Ledger()
    tell(ledger, notional(100.0, at=10.0), ack(at=10.0))
    tell(
        ledger,
        notional(100.0, client_id=B, at=10.0),
        fill("b", 0.5, client_id=B, at=10.0),
        cancel(client_id=B, at=10.0),
    )
    third = "ctrend-btcusdt-3"
    tell(ledger, notional(100.0, client_id=third, at=10.0), fill("c", 0.5, client_id=third, at=10.0))
    tell(ledger, report("partially_filled", 0.5, client_id=third, quantity=1.0, at=10.0))
    assert ledger.due(30.0) == []


def test_a_request_without_an_answer_is_lost_and_may_come_back() -> None:
    ledger = Ledger()
    tell(ledger, request(validated=False, at=0.0), request(at=30.0))
    assert ledger.due(89.0) == []
    assert ledger.pending == 1
    total = told_by_time(ledger, 90.5)
    order = ledger.open[A]
    assert (total.lost, order.lost, order.status, ledger.pending) == (1, True, "pending_new", 0)
    assert ledger.due(200.0) == []
    assert tell(ledger, ack(at=201.0)).acknowledged == 1
    assert (order.lost, order.status, ledger.pending) == (False, "new", 0)


def test_what_was_never_validated_is_never_lost_but_no_longer_pending() -> None:
    ledger = Ledger()
    tell(ledger, request(validated=False, at=0.0))
    assert ledger.pending == 1
    assert ledger.due(61.0) == []
    assert ledger.pending == 0
    tell(ledger, request(at=62.0))
    assert ledger.pending == 1


def test_reconciliation_may_call_an_order_lost() -> None:
    ledger = Ledger()
    lost = OrderLost(client_id=A, symbol=SYMBOL)
    assert tell(ledger, request(), ack(), lost, lost).lost == 1
    tell(ledger, fill("a", 0.5))
    assert ledger.open[A].lost is False
    assert tell(ledger, fill("b", 0.5), lost).lost == 0
    lost = OrderLost(client_id=B, symbol=SYMBOL)
    tell(ledger, request(client_id=B, validated=False, at=0.0), lost, request(client_id=B, at=0.0))
    assert ledger.pending == 0
    assert ledger.due(100.0) == []


def test_a_fact_that_was_not_applied_is_due_again() -> None:
    ledger = Ledger()
    tell(ledger, request(at=0.0))
    assert len(ledger.due(61.0)) == len(ledger.due(62.0)) == 1


# -- memory ------------------------------------------------------------------------------------------------------------


def test_ended_orders_are_remembered_for_a_while() -> None:
    ledger = Ledger(remember=2, remember_for=10.0)
    for n in range(3):
        tell(ledger, request(client_id=f"o{n}", at=n), fill("a", 1.0, client_id=f"o{n}", venue_id=f"v{n}", at=n))
    assert ledger.get("o0") is ledger.get("v0") is None
    assert tell(ledger, fill("a", 1.0, client_id="o1", at=5.0)).quantity == 0.0
    ledger.due(11.5)
    assert ledger.get("o1") is ledger.get("v1") is None
    assert ledger.get("v2") is ledger.get("o2") is not None


def test_the_oldest_open_order_goes_when_there_are_too_many_and_a_stranger_first() -> None:
    ledger = Ledger(max_open=2)
    tell(ledger, request(client_id="one"), ack("stranger", venue_id=V), request(client_id="two"))
    assert list(ledger.open) == ["one", "two"]
    tell(ledger, request(client_id="three"))
    assert list(ledger.open) == ["two", "three"]
    assert ledger.get(V) is None
    assert ledger.dropped == {"overflow": 2}
    assert ledger.totals.by_status["working"] == 2
    assert ledger.pending == 2


def test_strangers_are_forgotten_when_nothing_is_heard_of_them() -> None:
    ledger = Ledger(remember_for=10.0)
    tell(ledger, ack("one", at=0.0), ack("two", at=0.0), report("new", 0.0, client_id="one", at=8.0), request(at=0.0))
    ledger.due(12.0)
    assert list(ledger.open) == ["one", A]
    ledger.due(19.0)
    assert list(ledger.open) == [A]


def test_fill_ids_are_bounded() -> None:
    ledger = Ledger()
    tell(ledger, request(1e9), *(fill(str(n), 1.0) for n in range(2 * FILL_IDS)))
    assert len(ledger.open[A].fill_ids) == FILL_IDS
    assert ledger.open[A].filled == ledger.open[A].parts == 2 * FILL_IDS


def test_ids_are_bounded() -> None:
    ledger = Ledger()
    tell(ledger, request(), *(ack(venue_id=f"v{n}") for n in range(100)))
    assert ledger.get("v0") is None
    assert ledger.get("v99") is ledger.open[A]
    assert len(ledger.open[A].aliases) == 8


def busy_round(ledger: Ledger, start: float, size: int = 200) -> float:
    """Orders that fill, end otherwise, never end, are nobody's, or are lost; the rows are taken as the store would."""
    now = start
    for n in range(size):
        now += 0.01
        id, venue = f"s-x-{start:.0f}{n:04}", f"v{start:.0f}{n:04}"
        ledger.note_signal("s", SYMBOL, now)
        tell(ledger, request(client_id=id, at=now), ack(id, venue_id=venue, at=now))
        tell(ledger, fill("a", 0.5, client_id=None, venue_id=venue, at=now), fill("b", 0.1, client_id=f"z{id}", at=now))
        last = (fill("c", 0.5, client_id=id, at=now), cancel(client_id=id, at=now), reject(client_id=id, at=now))[n % 3]
        if n % 10:
            tell(ledger, last)
        ledger.take_dirty()
    return now


def test_memory_is_stable_over_rounds() -> None:
    ledger = Ledger(max_open=50, remember=50, remember_for=0.5)
    ours = [tracemalloc.Filter(True, module.__file__ or "") for module in (otel_mcbot.ledger, otel_mcbot.orders)]
    now = 0.0
    sizes = []
    tracemalloc.start()
    try:
        for _ in range(10):
            now = busy_round(ledger, now)
            told_by_time(ledger, now)
            ledger.take_dirty()
            gc.collect()
            snapshot = tracemalloc.take_snapshot().filter_traces(ours)
            sizes.append(sum(statistic.size for statistic in snapshot.statistics("filename")))
    finally:
        tracemalloc.stop()
    assert len(ledger.open) <= 50
    assert max(sizes[6:]) <= sizes[5] * 1.02  # by then as many orders rest as may


def test_nothing_is_left_when_all_is_over() -> None:
    ledger = Ledger(remember_for=10.0)
    now = busy_round(ledger, 0.0)
    for order in list(ledger.open.values()):
        tell(ledger, cancel(client_id=order.client_id, at=now))
    ledger.due(now + 11.0)
    assert (len(ledger.open), ledger.pending) == (0, 0)
    for name, value in vars(ledger).items():
        if (
            name.startswith("_")
            and name not in ("_strategies", "_dirty", "_dirty_strategies", "_handlers")
            and hasattr(value, "__len__")
        ):
            assert len(value) == 0, name
    forgotten = ledger.take_dirty()
    assert all(row.get("forget") or "last_strategy" in row for row in forgotten)
    assert ledger.take_dirty() == []


# -- a restart ---------------------------------------------------------------------------------------------------------


class Process:
    """Ledgers one after another over the same file, each with a monotonic clock that begins anew."""

    def __init__(self) -> None:
        self.now, self.wall = 5_000.0, 1.7e9
        self.rows: list[dict[str, Any]] = []
        self.ledger = Ledger(clock=lambda: self.now, wall=lambda: self.wall)

    def restart(self, after: float) -> Ledger:
        self.rows += json.loads(json.dumps(self.ledger.take_dirty()))
        self.now, self.wall = 100.0, self.wall + after
        self.ledger = Ledger(clock=lambda: self.now, wall=lambda: self.wall)
        self.ledger.restore(self.rows)
        return self.ledger


def test_open_and_ended_orders_survive_a_restart() -> None:
    process = Process()
    ended = fill("e", 1.0, client_id=B, at=4_995.0)
    tell(process.ledger, request(client_id=B, at=4_990.0), ended)
    tell(
        process.ledger,
        request(2.0, at=4_980.0, strategy="one"),
        ack(venue_id=V, at=4_981.0),
        fill("a", 0.5, at=4_982.0),
    )
    before = process.ledger.open[A]
    before.trace = "00-abc-def-01"
    ledger = process.restart(after=60.0)

    order = ledger.get(V)
    assert order is ledger.open[A]
    assert order is not None
    assert (order.status, order.filled, order.strategy, order.trace) == (
        "partially_filled",
        0.5,
        "one",
        "00-abc-def-01",
    )
    assert order.requested_at == pytest.approx(100.0 - 60.0 - 20.0)
    assert order.acknowledged_at == pytest.approx(order.requested_at + 1.0)
    assert order.requested_time == before.requested_time
    assert ledger.last_strategy(SYMBOL) == "one"
    assert ledger.totals.by_status["working"] == 1
    assert (ledger.totals.requested, ledger.totals.fills, ledger.take_dirty()) == (0, 0, [])

    assert tell(ledger, fill("a", 0.5), ended, ack(), ack(B)).__dict__ == Sum().__dict__  # all known
    total = tell(ledger, fill("b", 1.5))
    assert (total.requested, total.acknowledged, total.completed, total.quantity) == (0, 0, 1, 1.5)
    assert ledger.totals.by_status == {
        "working": 0,
        "filled": 1,
        "canceled": 0,
        "replaced": 0,
        "rejected": 0,
        "expired": 0,
    }


def test_what_was_waited_for_is_waited_for_after_a_restart() -> None:
    process = Process()
    tell(
        process.ledger,
        request(at=4_950.0),
        notional(100.0, client_id=B, at=4_999.8),
        fill("b", 0.5, client_id=B, at=4_999.8),
    )
    tell(process.ledger, ack("stranger", at=4_999.0))
    ledger = process.restart(after=1.0)
    assert ledger.pending == 1
    assert ledger.due(100.5) == []
    assert {type(fact).__name__: fact.client_id for fact in ledger.due(115.0)} == {"OrderLost": A, "OrderReported": B}
    ledger.due(800.0)
    assert "stranger" not in ledger.open


def test_rows_of_forgotten_orders_are_forgotten() -> None:
    process = Process()
    tell(process.ledger, request(at=4_000.0), fill("a", 1.0, at=4_000.0))
    tell(process.ledger, fill("v", 1.0, client_id=None, venue_id=V, at=4_999.0), ack(B, venue_id=V, at=4_999.0))
    process.rows = process.ledger.take_dirty()
    process.ledger.due(5_000.0)
    ledger = process.restart(after=1.0)
    assert ledger.get(A) is None
    assert list(ledger.open) == [B]


def test_an_id_that_the_bot_gives_again_after_a_restart_is_a_new_order() -> None:
    process = Process()
    tell(process.ledger, request(strategy="one"), fill("a", 1.0))
    for n in range(2):
        tell(process.ledger, request(client_id=f"resting{n}", at=4_999.0), ack(f"resting{n}"))
    tell(process.ledger, request(client_id="overdue", at=4_900.0))
    ledger = process.restart(after=1.0)
    again = [request(client_id=id, at=100.0) for id in ("resting0", "resting1", "overdue")]
    total = tell(ledger, request(strategy="two"), *again, request(), fill("a", 1.0))
    assert (total.requested, total.completed, total.quantity) == (4, 1, 1.0)
    assert ledger.dropped == {"reused_id": 3}
    assert ledger.totals.by_status["working"] == 3


def test_a_second_try_after_a_restart_is_the_same_order() -> None:
    process = Process()
    tell(process.ledger, request(at=4_999.0))
    ledger = process.restart(after=1.0)
    assert tell(ledger, request(at=100.0), ack(at=101.0), request(at=102.0)).requested == 0


def test_an_order_that_was_known_by_the_venues_id_is_one_after_a_restart() -> None:
    process = Process()
    tell(process.ledger, ack(None, venue_id=V))
    process.rows += process.ledger.take_dirty()
    tell(process.ledger, report(None, venue_id=V))
    ledger = process.restart(after=1.0)
    assert list(ledger.open) == [A]
    assert ledger.get(V) is ledger.open[A]


def test_what_this_process_knows_is_not_restored_over() -> None:
    process = Process()
    tell(process.ledger, request(), request(client_id=B), fill("b", 1.0, client_id=B))
    rows = process.ledger.take_dirty()
    tell(process.ledger, fill("a", 0.5))
    process.ledger.restore(rows)
    assert process.ledger.open[A].filled == 0.5
    assert B not in process.ledger.open
    assert process.ledger.totals.by_status["working"] == 1


def test_a_smaller_ledger_takes_the_newest() -> None:
    process = Process()
    for n in range(4):
        tell(process.ledger, request(client_id=f"open{n}", at=n), request(client_id=f"done{n}", at=n))
        tell(process.ledger, reject(client_id=f"done{n}", at=n))
    ledger = Ledger(max_open=2, remember=2)
    ledger.restore(process.ledger.take_dirty())
    assert list(ledger.open) == ["open2", "open3"]
    assert [ledger.get(f"done{n}") is not None for n in range(4)] == [False, False, True, True]
    assert ledger.pending == 2


def test_a_resting_order_does_not_ripen_over_a_restart() -> None:
    process = Process()
    tell(process.ledger, notional(100.0, at=4_000.0), ack(at=4_000.0))
    tell(process.ledger, request(client_id=B, at=4_000.0), fill("b", 0.5, client_id=B, at=4_000.0))
    assert process.restart(after=100.0).due(101.0) == []


def test_a_clock_that_was_set_back_makes_no_future() -> None:
    process = Process()
    tell(process.ledger, request())
    assert process.restart(after=-3_600.0).open[A].requested_at <= 100.0


def test_rows_that_cannot_be_read_are_left_out() -> None:
    good = Process()
    tell(good.ledger, request())
    (row,) = good.ledger.take_dirty()
    ledger = Ledger()
    ledger.restore(
        [{}, {"client_id": "x"}, {**row, "status": "?"}, {**row, "said": [1] * 20}, {"last_strategy": 3}, row]
    )
    assert list(ledger.open) == [A]
    assert ledger.dropped == {"unreadable_row": 5}


# -- speed -------------------------------------------------------------------------------------------------------------


def test_a_part_costs_the_same_among_20_000_resting_orders() -> None:
    """Neither a fact nor the passing of time looks through the open orders: that would take about 100 times as long."""

    def seconds(resting: int) -> float:
        ledger = Ledger()
        for n in range(resting):
            ledger.apply(request(1e9, client_id=f"o{n}", at=0.0))
            ledger.apply(ack(f"o{n}", at=0.0))
        ledger.take_dirty()
        parts = [fill(str(n), 1.0, client_id=f"o{n % 100}", at=0.0) for n in range(2_000)]
        best = math.inf
        for _ in range(3):
            start = time.thread_time()
            for part in parts:
                ledger.apply(part)
                ledger.due(1.0)
            best = min(best, time.thread_time() - start)
        return best

    assert seconds(19_999) < 20.0 * seconds(200)
