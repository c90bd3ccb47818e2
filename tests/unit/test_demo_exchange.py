"""The paper exchange: what it does with an order, and that its books balance."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_mcbot.demo import exchange as venue
from otel_mcbot.demo.exchange import (
    ExchangeError,
    InsufficientFunds,
    InvalidOrder,
    OrderNotFound,
    PaperExchange,
    RequestTimeout,
)
from otel_mcbot.demo.fate import Fate, draw
from otel_mcbot.demo.market import Bar

START = datetime(2024, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PLAIN = Fate(timeouts=0, refusal=None, answer=0, parts=(1.0,), gaps=(0,), early=False, slippage=0)

Update = tuple[str, dict[str, Any]]


def bar(number: int, price: float = 100.0, *, low: float | None = None, high: float | None = None) -> Bar:
    return Bar("BTC/USDT", "1m", START + number * MINUTE, price, high or price, low or price, price, 1.0)


class Desk:
    """An exchange, its updates, and the shortest way to order."""

    def __init__(self) -> None:
        self.exchange = PaperExchange(1, pace=0.0)
        self.updates: list[Update] = []
        self.ids = itertools.count()

    async def listen(self) -> None:
        async for update in self.exchange.watch_updates():
            self.updates.append(update)

    async def order(self, kind: str = "market", side: str = "buy", price: float | None = None, **params: Any) -> Any:
        params = {"clientOrderId": f"a-b-{next(self.ids)}", "at": START, **params}
        return await self.exchange.create_order("BTC/USDT", kind, side, 1.0, price, params)

    async def settled(self) -> list[Update]:
        await self.exchange.settled()
        return self.updates


def play(scene: Callable[[Desk], Awaitable[None]]) -> None:
    async def run() -> None:
        desk = Desk()
        desk.exchange.on_bar(bar(0))
        listening = asyncio.create_task(desk.listen())
        try:
            await asyncio.wait_for(scene(desk), 60)
        finally:
            listening.cancel()

    asyncio.run(run())


@pytest.fixture
def fate(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def ordain(**different: Any) -> None:
        monkeypatch.setattr(venue, "draw", lambda *_, **__: replace(PLAIN, **different))

    ordain()
    return ordain


def test_a_market_order_is_acknowledged_then_filled_on_its_own_bar(fate: Callable[..., None]) -> None:
    fate(slippage=10)

    async def scene(desk: Desk) -> None:
        desk.exchange.on_bar(bar(1, 200.0))  # the market went on while the order was on its way
        answer = await desk.order()
        assert (answer["status"], answer["filled"]) == ("open", 0.0)
        ((kind, trade),) = await desk.settled()
        assert (kind, trade["amount"], trade["takerOrMaker"]) == ("trade", 1.0, "taker")
        assert trade["price"] == pytest.approx(100.1)
        assert (await desk.exchange.fetch_order(answer["id"], "BTC/USDT"))["status"] == "closed"

    play(scene)


def test_parts_add_up(fate: Callable[..., None]) -> None:
    fate(parts=(0.2, 0.3, 0.5), gaps=(0, 0, 0))

    async def scene(desk: Desk) -> None:
        await desk.order()
        trades = await desk.settled()
        assert [trade["amount"] for _, trade in trades] == [0.2, 0.3, 0.5]

    play(scene)


def test_the_rest_of_a_market_order_is_cancelled_by_the_venue(fate: Callable[..., None]) -> None:
    fate(parts=(0.4,))

    async def scene(desk: Desk) -> None:
        await desk.order()
        (_, trade), (kind, order) = await desk.settled()
        assert (trade["amount"], kind, order["status"], order["filled"]) == (0.4, "order", "canceled", 0.4)

    play(scene)


def test_a_limit_order_rests_until_its_price_comes(fate: Callable[..., None]) -> None:
    async def scene(desk: Desk) -> None:
        await desk.order("limit", price=95.0)
        desk.exchange.on_bar(bar(1, low=96.0))
        assert await desk.settled() == []
        desk.exchange.on_bar(bar(2, low=94.0))
        ((_, trade),) = await desk.settled()
        assert (trade["price"], trade["takerOrMaker"], trade["datetime"]) == (95.0, "maker", START + 2 * MINUTE)

    play(scene)


def test_a_late_limit_order_sees_the_bars_it_missed(fate: Callable[..., None]) -> None:
    async def scene(desk: Desk) -> None:
        desk.exchange.on_bar(bar(1, low=94.0))
        desk.exchange.on_bar(bar(2))
        await desk.order("limit", price=95.0)
        ((_, trade),) = await desk.settled()
        assert trade["datetime"] == START + MINUTE

    play(scene)


def test_a_cancelled_order_does_not_fill_and_one_that_matched_cannot_be_cancelled(fate: Callable[..., None]) -> None:
    async def scene(desk: Desk) -> None:
        resting = await desk.order("limit", price=95.0)
        canceled = await desk.exchange.cancel_order(resting["id"], "BTC/USDT")
        assert canceled["status"] == "canceled"
        desk.exchange.on_bar(bar(1, low=90.0))
        assert await desk.settled() == []

        matched = await desk.order("limit", price=95.0)
        with pytest.raises(OrderNotFound):
            await desk.exchange.cancel_order(matched["id"], "BTC/USDT")
        with pytest.raises(OrderNotFound):
            await desk.exchange.cancel_order("nowhere", "BTC/USDT")

    play(scene)


def test_a_cancel_counts_what_matched_before(fate: Callable[..., None]) -> None:
    fate(parts=(0.3,))

    async def scene(desk: Desk) -> None:
        resting = await desk.order("limit", price=95.0)
        desk.exchange.on_bar(bar(1, low=94.0))
        canceled = await desk.exchange.cancel_order(resting["id"], "BTC/USDT")
        assert (canceled["status"], canceled["filled"]) == ("canceled", 0.3)

    play(scene)


def test_the_venue_ends_a_good_till_date_order(fate: Callable[..., None]) -> None:
    async def scene(desk: Desk) -> None:
        await desk.order("limit", price=95.0, timeInForce="GTD", goodTillDate=START + 2 * MINUTE)
        desk.exchange.on_bar(bar(1))
        assert await desk.exchange.fetch_open_orders() != []
        desk.exchange.on_bar(bar(2))
        ((kind, order),) = await desk.settled()
        assert (kind, order["status"]) == ("order", "expired")
        assert await desk.exchange.fetch_open_orders() == []

    play(scene)


def test_refusals_and_silence(fate: Callable[..., None]) -> None:
    async def scene(desk: Desk) -> None:
        fate(refusal=("InsufficientFunds", "-2019 Margin is insufficient."))
        with pytest.raises(InsufficientFunds, match="-2019"):
            await desk.order()
        fate(timeouts=1)
        with pytest.raises(RequestTimeout):
            await desk.order(clientOrderId="a-b-once")
        first = await desk.order(clientOrderId="a-b-once")
        assert (await desk.order(clientOrderId="a-b-once"))["id"] == first["id"]  # sent twice, there once
        fate()
        with pytest.raises(InvalidOrder, match="notional"):
            await desk.exchange.create_order(
                "BTC/USDT", "market", "buy", 1e-6, None, {"clientOrderId": "a-b-tiny", "at": START}
            )

    play(scene)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["market", "limit"]), st.sampled_from(["buy", "sell"]), st.integers(90, 110)),
        min_size=1,
        max_size=12,
    ),
    st.lists(st.integers(80, 120), min_size=1, max_size=6),
    st.integers(0, 1_000),
)
def test_the_books_balance(orders: list[tuple[str, str, int]], prices: list[int], seed: int) -> None:
    """Whatever happens: cash and positions are what the trades say, and each order's ``filled`` is their sum."""

    async def scene(desk: Desk) -> None:
        desk.exchange.seed = seed
        answers = []
        for kind, side, price in orders:
            try:
                answers.append(await desk.order(kind, side, float(price) if kind == "limit" else None))
            except (ExchangeError, RequestTimeout):
                continue
        for number, price in enumerate(prices, 1):
            desk.exchange.on_bar(bar(number, float(price)))
        trades = [trade for kind, trade in await desk.settled() if kind == "trade"]

        held = sum(trade["amount"] * (1 if trade["side"] == "buy" else -1) for trade in trades)
        spent = sum(trade["amount"] * trade["price"] * (1 if trade["side"] == "buy" else -1) for trade in trades)
        fees = sum(trade["fee"]["cost"] for trade in trades)
        position = desk.exchange.positions.get("BTC/USDT")
        assert (position.quantity if position else 0.0) == pytest.approx(held, abs=1e-6)
        value = desk.exchange.cash + (position.unrealized(float(prices[-1])) if position else 0.0)
        assert value == pytest.approx(desk.exchange.start_cash - spent + held * prices[-1] - fees, abs=1e-4)
        for answer in answers:
            order = await desk.exchange.fetch_order(answer["id"], "BTC/USDT")
            parts = sum(trade["amount"] for trade in trades if trade["order"] == answer["id"])
            assert order["filled"] == pytest.approx(parts, abs=1e-6)
            assert order["filled"] <= order["amount"] + 1e-9

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(venue, "answer_time", lambda *_: (0.0, False))
        play(scene)


def test_a_fate_is_the_order_s_own() -> None:
    first = draw(1, "trend-btcusd:market:2024", reduce_only=False)
    draw(1, "another", reduce_only=False)
    assert draw(1, "trend-btcusd:market:2024", reduce_only=False) == first
    assert draw(2, "trend-btcusd:market:2024", reduce_only=False) != first


def test_fates_are_of_every_kind() -> None:
    fates = [draw(1, f"order {number}", reduce_only=False) for number in range(2_000)]
    assert 0.04 < sum(fate.refusal is not None for fate in fates) / 2_000 < 0.08
    assert 0.2 < sum(len(fate.parts) > 1 for fate in fates) / 2_000 < 0.4
    assert 0.03 < sum(sum(fate.parts) < 0.99 for fate in fates) / 2_000 < 0.07
    assert any(fate.timeouts for fate in fates)
    assert any(fate.early for fate in fates)
    closing = [draw(1, f"order {number}", reduce_only=True) for number in range(500)]
    assert all(fate.refusal is None and sum(fate.parts) == pytest.approx(1) for fate in closing)
