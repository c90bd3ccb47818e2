"""A paper exchange with the methods and the dictionaries of ccxt: it answers late, refuses, fills in parts, lets rest.

Orders are priced on the bar that they were decided on (``params["at"]``), not on the one that happens to be newest when
they arrive, and a limit order can match on the :data:`MATCH_WINDOW` bars after that one. So the outcome is a matter of
seed and bars alone, see :mod:`otel_mcbot.demo.fate`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from loguru import logger

from .account import Position
from .fate import Fate, answer_time, draw
from .market import Bar, seconds_of

HOST = "paper-exchange.invalid"
"""The address of a venue that is not there."""

MATCH_WINDOW = 12
"""Bars after its own on which a resting order can match; then others stand before it in the queue."""

MAKER_FEE, TAKER_FEE = 0.0002, 0.0005
MIN_NOTIONAL = 5.0
LEVERAGE = 5.0
REMEMBERED_BARS = 2_000
REMEMBERED_ORDERS = 1_000

OrderDict = dict[str, Any]


class ExchangeError(Exception):
    """The venue said no."""


class InvalidOrder(ExchangeError):
    """The order cannot be: too small, too large, there twice."""


class OrderNotFound(InvalidOrder):
    """No such open order."""


class InsufficientFunds(ExchangeError):
    """Not enough margin."""


class NetworkError(Exception):
    """Nobody knows whether the venue heard the call."""


class RequestTimeout(NetworkError):
    """No answer in time."""


_ERRORS: Mapping[str, type[ExchangeError]] = {
    kind.__name__: kind for kind in (ExchangeError, InvalidOrder, InsufficientFunds)
}


@dataclass(slots=True)
class Faults:
    """What is wrong with the venue. Nothing is, unless a scenario says so.

    Attributes:
        slippage: basis points that every market order pays more.
        delay: seconds that every call takes longer, whatever the pace.
        reads_fail, writes_fail: such calls are not answered.
        refusal: what it says to every order instead of taking it.
        unanswered: an order's request hangs for as long as this is so.
        garbled: every trade is reported in a format that nobody knows, before it is in the usual one.
    """

    slippage: float = 0.0
    delay: float = 0.0
    reads_fail: bool = False
    writes_fail: bool = False
    refusal: str | None = None
    unanswered: bool = False
    garbled: bool = False


@dataclass(slots=True)
class PaperOrder:
    """An order in the venue's books. ``placed`` is the time of the bar that prices it."""

    id: str
    client_id: str
    symbol: str
    type: str
    side: str
    amount: float
    price: float | None
    time_in_force: str
    fate: Fate
    placed: datetime
    match_until: datetime
    expires: datetime | None
    status: str = "open"
    filled: float = 0.0
    cost: float = 0.0
    fee: float = 0.0
    matched: bool = False
    parts: asyncio.Task[None] | None = None

    def to_ccxt(self) -> OrderDict:
        return {
            "id": self.id,
            "clientOrderId": self.client_id,
            "symbol": self.symbol,
            "type": self.type,
            "side": self.side,
            "amount": self.amount,
            "price": self.price,
            "timeInForce": self.time_in_force.upper(),
            "status": self.status,
            "filled": self.filled,
            "remaining": round(self.amount - self.filled, 8),
            "average": self.cost / self.filled if self.filled else None,
            "cost": self.cost,
            "fee": {"cost": self.fee, "currency": self.symbol.partition("/")[2]},
            "trades": [],
        }


class PaperExchange:
    """One margin account on one venue.

    Args:
        seed: what the venue does to which order.
        cash: balance at the start, quote currency.
        pace: factor on every waiting time; 0 answers on the next turn of the event loop.

    Attributes:
        faults: what is wrong with it.
    """

    def __init__(self, seed: int, *, cash: float = 100_000.0, pace: float = 1.0) -> None:
        self.seed = seed
        self.pace = pace
        self.start_cash = cash
        self.faults = Faults()
        self.positions: dict[str, Position] = {}
        self._bars: dict[str, deque[Bar]] = {}
        self._open: dict[str, PaperOrder] = {}
        self._stops: dict[str, list[OrderDict]] = {}
        self._closed: deque[PaperOrder] = deque()
        self._by_client_id: dict[str, PaperOrder] = {}
        self._unanswered: dict[str, int] = {}
        self._calls: dict[str, int] = {}
        self._ids = itertools.count(1)
        self._updates: asyncio.Queue[tuple[str, OrderDict]] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()

    # -- the market ------------------------------------------------------------------------------------------------

    def on_bar(self, bar: Bar) -> None:
        """The market moved: resting orders may match or expire."""
        self._bars.setdefault(bar.symbol, deque(maxlen=REMEMBERED_BARS)).append(bar)
        for order in [order for order in self._open.values() if order.symbol == bar.symbol and order.type == "limit"]:
            self._match(order, bar)

    def _match(self, order: PaperOrder, bar: Bar) -> None:
        if order.expires is not None and bar.time >= order.expires and not _all_matched(order):
            self._run(self._end(order, "expired"))
        if order.matched or not order.placed < bar.time <= order.match_until:
            return
        price = order.price or 0.0
        if bar.low <= price if order.side == "buy" else bar.high >= price:
            order.matched = True
            order.parts = self._run(self._fill(order, price, bar.time, MAKER_FEE, "maker"))

    # -- writing ---------------------------------------------------------------------------------------------------

    async def create_order(
        self,
        symbol: str,
        type: str,
        side: str,
        amount: float,
        price: float | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> OrderDict:
        """Send an order; returns it as acknowledged (``status`` open, nothing filled).

        Args:
            symbol: as in ``BTC/USD``.
            type: ``market`` or ``limit``.
            side: ``buy`` or ``sell``.
            amount: base currency.
            price: of a limit order.
            params: ``clientOrderId``; ``at``, the bar's time that prices it; ``timeInForce`` (``IOC``, ``GTC``, or
                ``GTD`` with ``goodTillDate``); ``reduceOnly``.

        Raises:
            ExchangeError: refused.
            NetworkError: no answer. Send it again with the same client id: it will not be doubled.
        """
        await self._suffer("POST order", write=True)
        if self.faults.unanswered:
            logger.error("an order of {} is not acknowledged", symbol)
            while self.faults.unanswered:
                await asyncio.sleep(0.1)
        params = params or {}
        client_id = str(params["clientOrderId"])
        at: datetime = params["at"]
        key = f"{client_id.rpartition('-')[0]}:{type}:{at.isoformat()}"  # the counter may differ from run to run
        fate = draw(self.seed, key, reduce_only=bool(params.get("reduceOnly")))
        known = self._by_client_id.get(client_id)
        if known is not None:
            await self._wait(fate.answer)
            return known.to_ccxt()
        if self._unanswered.get(client_id, 0) < fate.timeouts:
            self._unanswered[client_id] = self._unanswered.get(client_id, 0) + 1
            await self._wait(4 * fate.answer)
            raise RequestTimeout(f"{HOST} POST order: no answer")
        self._unanswered.pop(client_id, None)
        await self._wait(fate.answer / 2)
        bar = next((bar for bar in reversed(self._bars[symbol]) if bar.time <= at), self._bars[symbol][0])
        if amount * (price or bar.close) < MIN_NOTIONAL:
            raise InvalidOrder("-4164 Order's notional must be no smaller than 5.")
        if self.faults.refusal is not None:
            raise InvalidOrder(self.faults.refusal)
        if fate.refusal is not None:
            await self._wait(fate.answer / 2)
            raise _ERRORS[fate.refusal[0]](fate.refusal[1])
        order = PaperOrder(
            id=str(next(self._ids)),
            client_id=client_id,
            symbol=symbol,
            type=type,
            side=side,
            amount=amount,
            price=price,
            time_in_force=str(params.get("timeInForce", "GTC")),
            fate=fate,
            placed=bar.time,
            match_until=bar.time + MATCH_WINDOW * timedelta(seconds=seconds_of(bar.timeframe)),
            expires=params.get("goodTillDate"),
        )
        self._open[order.id] = self._by_client_id[client_id] = order
        answer = order.to_ccxt()
        if type == "market":
            adverse = (fate.slippage + self.faults.slippage) / 10_000 * (1 if side == "buy" else -1)
            order.matched = True
            order.parts = self._run(
                self._fill(order, round(bar.close * (1 + adverse), 8), bar.time, TAKER_FEE, "taker")
            )
        else:  # what the market did while the request was on its way
            for missed in [missed for missed in self._bars[symbol] if missed.time > bar.time]:
                self._match(order, missed)
        await self._wait(fate.answer / 2)
        return answer

    async def cancel_order(self, id: str, symbol: str) -> OrderDict:
        """Take an order out of the book; what matched before is reported first.

        Raises:
            OrderNotFound: it is not open, or all of it has matched.
        """
        order = self._open.get(id)
        await self._suffer("DELETE order")
        await self._wait((order.fate.answer if order else 0.04) / 2)
        if order is None or order.status != "open" or _all_matched(order):
            raise OrderNotFound(f"-2011 Unknown order sent: {id} on {symbol}")
        await self._end(order, "canceled", told=True)
        return order.to_ccxt()

    async def create_stop_market(self, symbol: str, side: str, amount: float, stop_price: float) -> OrderDict:
        """Leave a stop at the venue for the day that the bot is not there. It is kept and never triggered here.

        Raises:
            NetworkError: no answer.
        """
        await self._suffer("POST order", write=True)
        await self._answer("create_stop_market")
        stop = {
            "id": f"stop-{next(self._ids)}",
            "symbol": symbol,
            "type": "stop_market",
            "side": side,
            "amount": amount,
            "stopPrice": stop_price,
            "status": "open",
        }
        self._stops.setdefault(symbol, []).append(stop)
        return dict(stop)

    async def cancel_all_orders(self, symbol: str) -> list[OrderDict]:
        """Take every stop of a symbol back (ccxt's ``params={"stop": True}``); returns them.

        Raises:
            NetworkError: no answer.
        """
        await self._suffer("DELETE orders")
        await self._answer("cancel_all_orders")
        return [{**stop, "status": "canceled"} for stop in self._stops.pop(symbol, [])]

    # -- reading ---------------------------------------------------------------------------------------------------

    async def fetch_order(self, id: str, symbol: str) -> OrderDict:
        """The order as it is now."""
        await self._answer("fetch_order")
        order = self._open.get(id) or next((order for order in self._closed if order.id == id), None)
        if order is None:
            raise OrderNotFound(f"-2013 Order does not exist: {id} on {symbol}")
        return order.to_ccxt()

    async def fetch_open_orders(self, symbol: str | None = None) -> list[OrderDict]:
        """The resting orders."""
        await self._answer("fetch_open_orders")
        return [order.to_ccxt() for order in self._open.values() if symbol in (None, order.symbol)]

    async def fetch_ticker(self, symbol: str) -> dict[str, Any]:
        """The last price."""
        await self._answer("fetch_ticker")
        bar = self._bars[symbol][-1]
        return {"symbol": symbol, "last": bar.close, "high": bar.high, "low": bar.low, "baseVolume": bar.volume}

    async def fetch_balance(self) -> dict[str, Any]:
        """Cash of the margin account: ``total`` after realized profit and fees, ``used`` as margin, ``free``."""
        await self._answer("fetch_balance")
        used = sum(abs(p.quantity) * self._last(symbol) for symbol, p in self.positions.items()) / LEVERAGE
        return {"total": self.cash, "used": used, "free": self.cash - used}

    async def fetch_positions(self) -> list[dict[str, Any]]:
        """The open positions, net by symbol."""
        await self._answer("fetch_positions")
        return [
            {
                "symbol": symbol,
                "side": "long" if position.quantity > 0 else "short",
                "contracts": abs(position.quantity),
                "entryPrice": position.average_price,
                "unrealizedPnl": position.unrealized(self._last(symbol)),
            }
            for symbol, position in self.positions.items()
            if position.quantity
        ]

    @property
    def cash(self) -> float:
        """Balance after realized profit and fees."""
        return self.start_cash + sum(position.realized - position.fees for position in self.positions.values())

    # -- the account's own stream ----------------------------------------------------------------------------------

    async def watch_updates(self) -> AsyncIterator[tuple[str, OrderDict]]:
        """``("trade", trade)`` for every part, ``("order", order)`` when the venue ends an order by itself."""
        while True:
            yield await self._updates.get()
            self._updates.task_done()

    async def settled(self) -> None:
        """Waits until nothing is on its way any more. Resting orders are not on their way."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._updates.join()

    # -- inside ----------------------------------------------------------------------------------------------------

    async def _fill(self, order: PaperOrder, price: float, time: datetime, fee_rate: float, liquidity: str) -> None:
        if order.type == "market" and not order.fate.early:
            await self._wait(order.fate.answer / 2)  # the answer comes first
        left = order.amount * sum(order.fate.parts)
        for number, (share, gap) in enumerate(zip(order.fate.parts, order.fate.gaps, strict=True), 1):
            await self._wait(0.0 if number == 1 and order.fate.early else gap)
            last = number == len(order.fate.parts)
            quantity = round(left if last else share * order.amount, 8)
            left -= quantity
            fee = round(quantity * price * fee_rate, 8)
            order.filled = round(order.filled + quantity, 8)
            order.cost += quantity * price
            order.fee += fee
            self.positions.setdefault(order.symbol, Position()).fill(order.side.upper(), quantity, price, fee)
            if self.faults.garbled:
                self._updates.put_nowait(("trade", {"c": order.client_id, "s": order.symbol, "q": f"{quantity}~"}))
            self._updates.put_nowait(
                (
                    "trade",
                    {
                        "id": f"{order.id}-{number}",
                        "order": order.id,
                        "clientOrderId": order.client_id,
                        "symbol": order.symbol,
                        "side": order.side,
                        "price": price,
                        "amount": quantity,
                        "takerOrMaker": liquidity,
                        "fee": {"cost": fee, "currency": order.symbol.partition("/")[2]},
                        "datetime": time,
                    },
                )
            )
        if _all_matched(order):
            self._close(order, "closed")
        elif order.type == "market":
            self._close(order, "canceled")
            self._updates.put_nowait(("order", order.to_ccxt()))

    async def _end(self, order: PaperOrder, status: str, *, told: bool = False) -> None:
        if order.parts is not None:
            await order.parts
        if order.status == "open":
            self._close(order, status)
            if not told:
                self._updates.put_nowait(("order", order.to_ccxt()))

    def _close(self, order: PaperOrder, status: str) -> None:
        order.status = status
        self._open.pop(order.id, None)
        self._closed.append(order)
        if len(self._closed) > REMEMBERED_ORDERS:
            del self._by_client_id[self._closed.popleft().client_id]

    def _last(self, symbol: str) -> float:
        return self._bars[symbol][-1].close

    async def _suffer(self, request: str, *, write: bool = False) -> None:
        """What is wrong with the venue happens to a request."""
        faults = self.faults
        if faults.delay:
            logger.warning("{} has no answer yet, waiting up to {:.0f} s", request, 2 * faults.delay)
            await asyncio.sleep(faults.delay)
        if write and faults.writes_fail:
            raise NetworkError(f"{HOST} {request}: 502 Bad Gateway")

    async def _answer(self, endpoint: str) -> None:
        if endpoint.startswith("fetch_"):
            await self._suffer(f"GET {endpoint}")
            if self.faults.reads_fail:
                raise NetworkError(f"{HOST} GET {endpoint}: 502 Bad Gateway")
        call = self._calls[endpoint] = self._calls.get(endpoint, 0) + 1
        seconds, fails = answer_time(self.seed, endpoint, call)
        await self._wait(seconds)
        if fails:
            raise NetworkError(f"{HOST} {endpoint}: connection reset")

    async def _wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds * self.pace)

    def _run(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _all_matched(order: PaperOrder) -> bool:
    return order.matched and sum(order.fate.parts) > 0.999
