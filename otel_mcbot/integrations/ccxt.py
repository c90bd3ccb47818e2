"""Instrument a ccxt exchange object: its calls are measured, its orders followed, its answers read.

The exchange is known by the names of its methods alone (sync, async and pro; ccxt is not imported). They are replaced
on that one instance, in both spellings. Arguments, results and exceptions pass through untouched: an order sent without
a client order id stays without, and is known by the venue's.

Nine calls are measured, as the contract names them. ``create_order`` is more: where the running code stands in no order
of its own, it is a whole trade cycle. What the venue says about an order of this bot, in whatever answer, completes it;
what it says about other orders (of the account's history, of another bot) is none of ours.

Nothing of a request but its host gets onto a span: no query, no header, no signature.
"""

from __future__ import annotations

import functools
import inspect
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from otel_mcbot import hub, semconv
from otel_mcbot.facts import OrderCanceled, number, text
from otel_mcbot.guard import Guard
from otel_mcbot.reports import CLIENT_ID, facts_from, read
from otel_mcbot.semconv import SpanName
from otel_mcbot.trace import exchange_call, scope_here, submit_order, trade_cycle
from otel_mcbot.trace.order import tell_report
from otel_mcbot.trace.stages import ExchangeCall

E = TypeVar("E")

MEASURED: Final = (
    "create_order",
    "fetch_positions",
    "fetch_balance",
    "fetch_ticker",
    "fetch_open_orders",
    "fetch_order",
    "cancel_order",
    "cancel_all_orders",
)
"""The endpoints of the contract; its ninth, ``create_stop_market``, is a ``create_order`` with a trigger in ccxt."""
READ: Final = (
    "create_orders",
    "edit_order",
    "fetch_orders",
    "fetch_closed_orders",
    "fetch_canceled_orders",
    "fetch_order_trades",
    "fetch_my_trades",
    "watch_orders",
    "watch_my_trades",
)
"""Not measured; their answers are read."""

_ORDER: Final = ("symbol", "type", "side", "amount", "price", "params")
_BY_ID: Final = ("id", "symbol", "params")
_TRIGGERS: Final = ("triggerPrice", "stopPrice", "stopLossPrice", "takeProfitPrice")
_COSTS: Final = ("cost", "quoteOrderQty")
_CODE: Final = re.compile(r'"(?:code|retCode|sCode)"\s*:\s*"?(-?\w+)')
_WEIGHT: Final = "x-mbx-used-weight"

_GUARD: Final = Guard("ccxt")


def instrument_ccxt(exchange: E, *, strategy: str | None = None, pod_id: str | None = None) -> E:
    """Watch a ccxt exchange. Idempotent.

    Args:
        exchange: any object with ccxt's ``create_order`` and ``fetch_order``, sync or async.
        strategy: whose orders these are, where the running code does not stand in a cycle that says so; default the
            exchange's id.
        pod_id: likewise.

    Returns:
        The same object.

    Raises:
        TypeError: ``exchange`` is no exchange.
    """
    methods = ("create_order", "fetch_order")
    if isinstance(exchange, type) or not all(callable(getattr(exchange, name, None)) for name in methods):
        kind = exchange.__name__ if isinstance(exchange, type) else type(exchange).__name__
        raise TypeError(
            f"instrument_ccxt() needs a ccxt exchange object, with create_order and fetch_order; not {kind}"
        )
    if not hasattr(getattr(exchange, "create_order", None), "_mcbot_instrumented"):
        _Exchange(exchange, strategy, pod_id).instrument()
    return exchange


class _Exchange:
    """One instrumented exchange."""

    def __init__(self, exchange: Any, strategy: str | None, pod_id: str | None) -> None:
        self.exchange = exchange
        self.strategy = strategy
        self.pod_id = pod_id
        self.name = text(getattr(exchange, "id", None)) or type(exchange).__name__
        self.address = _address(exchange) or self.name

    def instrument(self) -> None:
        for name in (*MEASURED, *READ):
            for suffix in ("", "_ws"):
                self._replace(name + suffix, functools.partial(_Call, self, name))
        for name, wrap in (("fetch", _on_the_wire), ("throttle", _throttled), ("on_rest_response", _answered)):
            original = getattr(self.exchange, name, None)
            if callable(original):
                self._set(name, wrap(original))

    def _replace(self, name: str, begin: Callable[[tuple[Any, ...], dict[str, Any]], _Call]) -> None:
        original = getattr(self.exchange, name, None)
        if not callable(original):
            return

        if inspect.iscoroutinefunction(original):

            @functools.wraps(original)
            async def call_async(*args: Any, **kwargs: Any) -> Any:
                if _call.get() is not None:  # ccxt calls its own methods: the outermost one is what the bot did
                    return await original(*args, **kwargs)
                with begin(args, kwargs) as call:
                    return call.took(await original(*args, **kwargs))

            self._set(name, call_async)
            return

        @functools.wraps(original)
        def call_sync(*args: Any, **kwargs: Any) -> Any:
            if _call.get() is not None:
                return original(*args, **kwargs)
            with begin(args, kwargs) as call:
                return call.took(original(*args, **kwargs))

        self._set(name, call_sync)

    def _set(self, name: str, wrapper: Callable[..., Any]) -> None:
        vars(wrapper)["_mcbot_instrumented"] = True
        first, *rest = name.split("_")
        for spelling in {name, first + "".join(word.capitalize() for word in rest)}:
            if hasattr(self.exchange, spelling):
                setattr(self.exchange, spelling, wrapper)


class _Call:
    """One call of the bot's, with whatever of spans it belongs in."""

    def __init__(self, of: _Exchange, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.of = of
        self.name = name
        self.given: dict[str, Any] = {}
        self.client_id: str | None = None
        self.stage: ExchangeCall | None = None
        self.resent = 0
        self.path: str | None = None
        self.host: str | None = None
        self.code: str | None = None
        self.status: int | None = None
        self.weight: int | None = None
        self.throttled: float | None = None
        self.on_wire: float | None = None
        self._stages = ExitStack()
        self._token: Token[_Call | None] | None = None
        with _GUARD:
            self.given = dict(zip(_ORDER if name == "create_order" else _BY_ID, args, strict=False)) | kwargs

    def __enter__(self) -> _Call:
        with _GUARD:
            core = hub.current()
            if core is not None and self.name in MEASURED:
                self._open(core)
        self._token = _call.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._token is not None:
            _call.reset(self._token)
        with _GUARD:
            self._say(error)
        self._stages.__exit__(kind, error, tb)

    def took(self, result: Any) -> Any:
        """Read the venue's answer; hand it on."""
        with _GUARD:
            core = hub.current()
            if core is not None:
                if self.client_id is not None and self.name == "create_order":
                    tell_report(core, result, client_id=self.client_id)
                else:
                    self._read(core, result)
        return result

    # -- where it belongs ----------------------------------------------------------------------------------------------

    def _open(self, core: hub.Hub) -> None:
        operation = self.name
        if self.name == "create_order":
            operation = "create_stop_market" if self._is_stop_market() else self.name
            self.client_id = self._known_order(core)
            if self.client_id is None:
                self._request(core)
        elif self.name in ("cancel_order", "fetch_order"):
            with core.lock:
                order = core.ledger.get(text(self.given.get("id")) or "")
            self.client_id = order.client_id if order is not None else None
        call = exchange_call(operation, address=self.of.address, client_order_id=self.client_id)
        self.stage = self._stages.enter_context(call)

    def _known_order(self, core: hub.Hub) -> str | None:
        """The order that this call sends, if the bot told of it: the code's own, or the one with the id it sends."""
        with core.lock:
            scope = scope_here()
            inside = (
                [place for name, place in scope.chain if name == SpanName.SUBMIT_ORDER] if scope is not None else []
            )
            if scope is not None and inside:
                for client_id, spans in scope.cycle.orders.items():
                    unanswered = spans.order.acknowledged_at is None and not spans.order.status.is_terminal
                    if unanswered and spans.submit is not None and spans.submit.get_span_context() == inside[-1]:
                        return client_id
            sent = core.ledger.get(self._sent_id() or "")
            return sent.client_id if sent is not None and sent.acknowledged_at is None else None

    def _request(self, core: hub.Hub) -> None:
        """The bot told nobody of this order: tell it, in the cycle around the running code or in one of its own."""
        given, params, of = self.given, self._params(), self.of
        symbol = text(given.get("symbol")) or "unknown"
        where: dict[str, Any] = {"symbol": symbol, "pod_id": of.pod_id, "exchange": of.name}
        where["instrument_type"] = self._instrument_type(symbol)
        strategy = of.strategy
        with core.lock:
            alone = scope_here() is None and core.lifecycle.find(strategy, symbol)[0] is None
        if alone:
            strategy = strategy or of.name
            self._stages.enter_context(trade_cycle(strategy=strategy, **where))
        cost = next((params[name] for name in _COSTS if params.get(name) is not None), None)
        order = submit_order(
            **where,
            strategy=strategy,
            side=given.get("side"),
            order_type="stop_market" if self._is_stop_market() else given.get("type"),
            quantity=given.get("amount") if cost is None else None,
            notional=cost,
            price=given.get("price") if number(given.get("price")) else None,
            client_order_id=self._sent_id(),
            time_in_force=text(params.get("timeInForce")),
            reduce_only=bool(params["reduceOnly"]) if "reduceOnly" in params else None,
        )
        self.client_id = self._stages.enter_context(order).client_order_id

    def _params(self) -> Mapping[str, Any]:
        params = self.given.get("params")
        return params if isinstance(params, Mapping) else {}

    def _sent_id(self) -> str | None:
        return text(read(self._params(), *CLIENT_ID))

    def _is_stop_market(self) -> bool:
        kind = (text(self.given.get("type")) or "").lower()
        triggered = any(self._params().get(name) is not None for name in _TRIGGERS)
        return kind in ("stop_market", "stop", "take_profit_market") or (kind == "market" and triggered)

    def _instrument_type(self, symbol: str) -> str | None:
        markets = getattr(self.of.exchange, "markets", None)
        market = markets.get(symbol) if isinstance(markets, Mapping) else None
        return text(read(market, "type")) if market is not None else None

    # -- what came back ------------------------------------------------------------------------------------------------

    def _say(self, error: BaseException | None) -> None:
        if self.stage is None:
            return
        code = _CODE.search(str(error)) if isinstance(error, Exception) else None
        self.stage.response(
            status_code=self.status,
            error_code=code.group(1) if code is not None else self.code,
            weight_used=self.weight,
            throttle_wait=self.throttled,
            wire_time=self.on_wire,
        )
        if self.host is not None:
            self.stage.set(server_address=self.host)
        if self.resent:
            self.stage._put({semconv.RESEND_COUNT: self.resent})

    def _read(self, core: hub.Hub, result: object) -> None:
        """Tell what the answer says about orders of this bot."""
        if self.name in ("fetch_positions", "fetch_balance", "fetch_ticker"):
            return
        told = False
        for item in result if isinstance(result, list) else [result]:
            for fact in facts_from(item) if isinstance(item, Mapping) else ():
                with core.lock:
                    ours = any(core.ledger.get(one) is not None for one in (fact.client_id, fact.venue_id) if one)
                if ours:
                    core.tell(fact)
                    told = told or getattr(fact, "status", None) is not None
        if self.name == "cancel_order" and self.client_id is not None and not told:
            core.tell(OrderCanceled(client_id=self.client_id))  # most venues answer with little more than the id


_call: ContextVar[_Call | None] = ContextVar("otel_mcbot_ccxt_call", default=None)


# -- inside a call -----------------------------------------------------------------------------------------------------


@contextmanager
def _timed(note: Callable[[_Call, float], None]) -> Iterator[None]:
    call, began = _call.get(), time.monotonic()
    try:
        yield
    finally:
        if call is not None:
            note(call, time.monotonic() - began)


def _note_wire(call: _Call, seconds: float) -> None:
    call.on_wire = (call.on_wire or 0.0) + seconds


def _note_throttle(call: _Call, seconds: float) -> None:
    call.throttled = (call.throttled or 0.0) + seconds


def _measured(original: Callable[..., Any], note: Callable[[_Call, float], None]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(original):

        @functools.wraps(original)
        async def measure_async(*args: Any, **kwargs: Any) -> Any:
            with _timed(note):
                return await original(*args, **kwargs)

        return measure_async

    @functools.wraps(original)
    def measure(*args: Any, **kwargs: Any) -> Any:
        with _timed(note):
            return original(*args, **kwargs)

    return measure


def _on_the_wire(fetch: Callable[..., Any]) -> Callable[..., Any]:
    """``fetch``: one request and its answer."""
    return _measured(fetch, _note_wire)


def _throttled(throttle: Callable[..., Any]) -> Callable[..., Any]:
    """``throttle``: ccxt's own rate limiter."""
    return _measured(throttle, _note_throttle)


def _answered(on_rest_response: Callable[..., Any]) -> Callable[..., Any]:
    """``on_rest_response(code, reason, url, method, headers, body, …)``: where the answer shows its head."""

    @functools.wraps(on_rest_response)
    def answered(*args: Any, **kwargs: Any) -> Any:
        call = _call.get()
        if call is not None and len(args) >= 6:
            with _GUARD:
                _note_answer(call, *args[:6])
        return on_rest_response(*args, **kwargs)

    return answered


def _note_answer(call: _Call, status: Any, reason: Any, url: Any, method: Any, headers: Any, body: Any) -> None:
    parts = urlsplit(str(url))
    path = f"{method} {parts.path}"
    if path == call.path:  # ccxt tried again; what it had to fetch first (the markets) has another path
        call.resent += 1
    call.path, call.host, call.status = path, parts.hostname, int(status)
    code = _CODE.search(str(body)[:2_048]) if call.status >= 400 else None
    call.code = code.group(1) if code is not None else None
    if isinstance(headers, Mapping):
        weights = (number(value) for name, value in headers.items() if str(name).lower().startswith(_WEIGHT))
        call.weight = max((int(weight) for weight in weights if weight is not None), default=None)


def _address(exchange: Any) -> str | None:
    """The venue's host, before the first answer shows it."""
    urls = getattr(exchange, "urls", None)
    api = urls.get("api") if isinstance(urls, Mapping) else None
    while isinstance(api, Mapping):
        api = next(iter(api.values()), None)
    hostname = text(getattr(exchange, "hostname", None))
    if not isinstance(api, str):
        return hostname
    return urlsplit(api.replace("{hostname}", hostname or "")).hostname or hostname
