"""Attach to a bot's event bus: facts out of its events, and their places in a trace across its queue.

The bus is known by structure alone: ``publish(event)`` and ``subscribe(event_type, handler)``, either of them ``async``
or not. Both are replaced on that one instance; the bot's classes stay as they are.

A consumer task sees the context of where it was made, so the place of an event travels beside the queue: ``publish``
keeps event id → place, and each handler subscribed after :func:`attach` runs in it. A fact is made once an event, when
the first handler gets it, stamped with the time of its publication: an event that the bus drops never happened.
"""

from __future__ import annotations

import functools
import inspect
import logging
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Any, Final

from otel_mcbot import catalog, hub
from otel_mcbot.facts import ErrorOccurred, Fact, text
from otel_mcbot.guard import Guard
from otel_mcbot.reports import read
from otel_mcbot.trace import Trace, resume

from .bus_health import Health, forget, join
from .bus_structure import event_classes_of, event_types_of, handlers_of, has_field, is_async, name_of
from .events import SHAPES, fields_of, missing_in, read_event, type_name

logger = logging.getLogger("otel_mcbot")

MAX_IN_FLIGHT: Final = 20_000
"""Events whose place is kept at most; beyond it the oldest goes (twice the default capacity of the buses we know)."""
MAX_TOLD: Final = 4_096
"""Event ids remembered after their event is done, so that a second topic does not tell it again."""
MAX_KINDS: Final = 256
"""Subscriptions of our own, and names of unknown events that are counted apart."""

_GUARD: Final = Guard("bus")

_Route = tuple[Any, type, Any]
"""What decides whom an event reaches: its type as the bot writes it, its class, the topic if there is one."""


def attach(bus: Any) -> Attached:
    """Watch an event bus; call it before the bot subscribes.

    Args:
        bus: any object with ``publish`` and ``subscribe``. ``queue_size`` and ``metrics`` are read where it has them.

    Returns:
        What was understood; ``print`` it. The same object again for a bus that is attached already.

    Raises:
        TypeError: ``bus`` is no bus.
    """
    missing = [name for name in ("publish", "subscribe") if not callable(getattr(bus, name, None))]
    if missing or isinstance(bus, type):
        kind = f"the class {bus.__name__}" if isinstance(bus, type) else type(bus).__name__
        raise TypeError(
            f"attach() needs an event bus with publish(event) and subscribe(event_type, handler), not {kind}"
            + (f": it has no {' and no '.join(missing)}" if missing else "")
        )
    return _attached_to(bus.publish) or _Tap(bus).attached


@dataclass(eq=False)
class Attached:
    """What :func:`attach` made of a bus.

    Attributes:
        bus: the name of its class.
        understood: event type → the fields read, in the bus' own names; from the event classes that ``publish`` names,
            then from the events seen.
        unknown: event type → events that gave no fact.
        earlier_handlers: subscribed before, so they run outside the event's place: ``"fill → Bot.on_fill"``.
        measured: where depth and counters come from, ``"bus metrics"`` or ``"from outside"``.
        wrapped: ``publish`` and ``subscribe`` could be replaced; without, events carry no place.
        problems: what could not be done, a sentence each.
    """

    bus: str
    understood: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unknown: Counter[str] = field(default_factory=Counter)
    earlier_handlers: tuple[str, ...] = ()
    measured: str = "from outside"
    wrapped: bool = True
    problems: list[str] = field(default_factory=list)
    _known: frozenset[str] = frozenset()
    _incomplete: dict[str, str] = field(default_factory=dict)
    _tap: _Tap | None = field(default=None, repr=False)

    @property
    def in_flight(self) -> int:
        """Events published and not yet through all their handlers."""
        return len(self._tap.in_flight) if self._tap is not None else 0

    def require(self, *event_types: str) -> Attached:
        """Make sure now that these events will be understood.

        Before the first event the bus is judged by what it shows: that it can be wrapped, the enum of event types that
        ``subscribe`` names, the event classes that ``publish`` names. An event already seen is judged by what it was.

        Raises:
            LookupError: names the event type and what is missing.
        """
        for name in event_types:
            kind = type_name(name)
            if kind not in SHAPES:
                raise LookupError(f"{name!r} is no event type that is understood; these are: {', '.join(SHAPES)}")
            if not self.wrapped:
                raise LookupError(f"{self.bus} cannot be watched for {name!r}: {self.problems[0]}")
            if kind in self._incomplete:
                raise LookupError(f"{self.bus}: {name!r} events cannot be read: {self._incomplete[kind]}")
            if self._known and kind not in self._known:
                raise LookupError(
                    f"{self.bus} knows no event type {name!r}; it knows: {', '.join(sorted(self._known))}"
                )
        return self

    def detach(self) -> None:
        """Give the bus its own methods back. Handlers subscribed meanwhile run as they were written."""
        if self._tap is not None:
            self._tap.detach()

    def __str__(self) -> str:
        where = "from its own metrics" if self.measured == "bus metrics" else "measured from outside"
        lines = [f"{self.bus}: {'' if self.wrapped else 'only partly '}attached; depth and counters {where}"]
        if self.understood:
            lines.append("understood:")
            lines += [f"  {name}: {', '.join(fields) or 'seen'}" for name, fields in sorted(self.understood.items())]
        else:
            lines.append("no event seen yet")
        why = {**dict.fromkeys(self.unknown, "no event type that is understood"), **self._incomplete}
        if why:
            lines.append("not understood:")
            lines += [f"  {name} ({self.unknown[name]} events): {reason}" for name, reason in sorted(why.items())]
        if self.earlier_handlers:
            lines.append("subscribed earlier, so outside of the event's trace:")
            lines += [f"  {handler}" for handler in self.earlier_handlers]
        lines += [f"problem: {problem}" for problem in self.problems]
        return "\n".join(lines)


@dataclass(slots=True)
class _Carried:
    """What an event carries beside the queue. ``left``: handlers that have not finished."""

    trace: Trace | None
    at: float
    event: object  # kept, because the address of an event without an id is its key
    route: _Route
    left: int = 0
    started: bool = False
    told: bool = False


@dataclass(eq=False, slots=True)
class _Handler:
    """A subscribed handler: under which keys, and what has reached it."""

    keys: tuple[Any, ...]
    original: Callable[..., Any]
    wrapper: Callable[..., Any]
    routes: set[_Route] = field(default_factory=set)

    def hears(self, route: _Route) -> bool:
        """Whether an event will reach it. A bus may have rules of its own (wildcards): what came before tells."""
        kind, cls, topic = route
        if route in self.routes:
            return True
        return any(issubclass(cls, key) if isinstance(key, type) else key in (kind, topic) for key in self.keys)


@dataclass(slots=True)
class _Publication:
    """One call of ``publish``, to be undone when the bus does not take the event."""

    key: Hashable
    carried: _Carried
    handlers: int
    number: int


class _Run:
    """One run of a handler, in the place of its event; an escaping exception is counted and goes on."""

    __slots__ = ("carried", "event", "held", "key", "tap", "trace", "wait")

    def __init__(self, tap: _Tap) -> None:
        self.tap = tap
        self.key: Hashable = None
        self.carried: _Carried | None = None
        self.event: object = None
        self.trace: Trace | None = None
        self.wait: float | None = None
        self.held: AbstractContextManager[None] | None = None

    def __enter__(self) -> None:
        self.held = resume(self.trace, queue_wait=self.wait)
        self.held.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if isinstance(error, Exception):  # a cancellation is none
            with _GUARD:
                self.tap.failed(error, self.event)
        if self.held is not None:
            self.held.__exit__(None, None, None)
        with _GUARD:
            self.tap.finished(self)


class _Nothing:
    """What our own plain handler returns, to a bus that may await it or not: nothing in either way."""

    def __await__(self) -> Iterator[None]:
        return iter(())


_NOTHING: Final = _Nothing()


class _Tap:
    """The wrappers of one bus and what they share."""

    def __init__(self, bus: Any) -> None:
        self.bus = bus
        self.on = True
        self.in_flight: OrderedDict[Hashable, _Carried] = OrderedDict()
        self._lock = threading.Lock()
        self._handlers: list[_Handler] = []
        self._own: set[Hashable] = set()
        self._told: dict[Hashable, _Route] = {}
        self._told_order: deque[Hashable] = deque()
        self._counts: dict[_Route, int] = {}
        self._unheard: set[_Route] = set()
        self._names: dict[Hashable, str] = {}
        self._number = 0
        self._joining: list[Awaitable[Any]] = []
        self._replaced: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {}
        self._subscribe = bus.subscribe
        self._cannot_join = is_async(bus.subscribe) and not is_async(bus.publish)
        earlier = handlers_of(bus)
        types, classes = event_types_of(bus), event_classes_of(bus)
        self._by_class = any(isinstance(key, type) for key, _ in earlier)
        self._async: bool | None = any(is_async(handler) for _, handler in earlier) or None
        self.health = Health(bus)
        join(hub.current())
        self.attached = Attached(
            bus=type(bus).__name__,
            earlier_handlers=tuple(f"{_word(key)} → {name_of(handler)}" for key, handler in earlier),
            measured=self.health.measured,
            _known=frozenset(types),
            _tap=self,
        )
        for name, cls in classes.items():
            self._judge(name, functools.partial(has_field, cls))
        self._replace(types)

    def _judge(self, name: str, has: Callable[[str], bool]) -> None:
        """Note what events of a known type offer, and what they lack."""
        if name in SHAPES:
            missing = missing_in(name, has)
            if missing:
                self.attached._incomplete[name] = f"no {', no '.join(missing)}"
            else:
                self.attached.understood[name] = fields_of(name, has)

    def _replace(self, types: Mapping[str, Any]) -> None:
        wraps = (
            ("publish", self._wrap_publish),
            ("subscribe", self._wrap_subscribe),
            ("unsubscribe", self._wrap_unsubscribe),
        )
        try:
            for name, wrap in wraps:
                original = getattr(self.bus, name, None)
                if callable(original):
                    wrapper = wrap(original)
                    vars(wrapper)["_mcbot_attached"] = self.attached
                    setattr(self.bus, name, wrapper)
                    self._replaced[name] = (wrapper, original)
        except (AttributeError, TypeError) as error:  # __slots__, a frozen instance, an extension type
            self.attached.wrapped = False
            self.attached.problems.append(
                f"publish and subscribe cannot be replaced ({error}): events give facts, but carry no place in a trace"
            )
            for name in SHAPES:  # publications cannot be watched, so every type is subscribed now
                self._watch((types.get(name, name), object, None))
        else:
            if self._cannot_join:
                self.attached.problems.append(
                    "subscribe is async and publish is not: only events that the bot handles itself give facts"
                )

    def detach(self) -> None:
        self.on = False
        for name, (wrapper, original) in self._replaced.items():
            if getattr(self.bus, name) is wrapper:  # else somebody wrapped it after us, and ours is an empty shell now
                delattr(self.bus, name)
                if getattr(self.bus, name, None) != original:  # it was the instance's own before
                    setattr(self.bus, name, original)
        with self._lock:
            self.in_flight.clear()
            self._told.clear()
            self._told_order.clear()
            self.health.waiting = 0
        forget(self.health)

    # -- publish -------------------------------------------------------------------------------------------------------

    def _wrap_publish(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def publish(*args: Any, **kwargs: Any) -> Any:
            publication = self._publishing(args, kwargs)
            try:
                result = original(*args, **kwargs)
            except BaseException:
                self._refused(publication)
                raise
            if inspect.iscoroutine(result):
                return self._finish_publish(publication, result)
            self._took(publication, result)
            return result

        return _awaiting(publish) if is_async(original) else publish

    async def _finish_publish(self, publication: _Publication | None, result: Awaitable[Any]) -> Any:
        try:
            while self._joining:
                with _GUARD:
                    await self._joining.pop()
            taken = await result
        except BaseException:
            self._refused(publication)
            raise
        self._took(publication, taken)
        return taken

    def _publishing(self, args: Any, kwargs: Any) -> _Publication | None:
        """Keep the place of an event that is about to be published."""
        with _GUARD:
            if not self.on:
                return None
            join(hub.current())
            event, topic = _event_in(args, kwargs)
            key, route = _key_of(event), (_kind_of(event), type(event), topic)
            self._watch(route)
            handlers = self._count(route)
            carried = _Carried(Trace.here(), time.monotonic(), event, route, told=key in self._told)
            with self._lock:
                self._number += 1
                if handlers == 0:
                    if route in self._unheard or len(self._unheard) >= MAX_KINDS:
                        return None  # nobody listens, so nobody would take the place away again
                    self._unheard.add(route)
                found = self.in_flight.setdefault(key, carried)
                found.left += handlers
                if found is carried:
                    self.health.waiting += 1
                    if len(self.in_flight) > MAX_IN_FLIGHT:
                        self._gone(self.in_flight.popitem(last=False)[1])
                return _Publication(key, found, handlers, self._number)
        return None

    def _took(self, publication: _Publication | None, result: object) -> None:
        """The bus took the event, or it dropped it: it says so, or its own counter does."""
        with _GUARD:
            # a drop that the bus counted is ours if nobody else published meanwhile: what is droppable does not wait
            if publication is not None and (
                result is False or (publication.number == self._number and self.health.drop_seen())
            ):
                self.health.dropped += 1
                self._refused(publication)
            else:
                self.health.published += 1
            self.health.note_depth()

    def _refused(self, publication: _Publication | None) -> None:
        if publication is None:
            return
        with self._lock:
            publication.carried.left -= publication.handlers
            self._settle(publication.key, publication.carried)

    def _settle(self, key: Hashable, carried: _Carried) -> None:
        """Forget an event that no handler is waiting for any more. The lock is held."""
        if carried.left <= 0 and self.in_flight.get(key) is carried:
            del self.in_flight[key]
            self._gone(carried)
            if carried.told:
                self._remember(key, carried.route)

    def _gone(self, carried: _Carried) -> None:
        if not carried.started:
            carried.started = True
            self.health.waiting -= 1

    def _remember(self, key: Hashable, route: _Route) -> None:
        if isinstance(key, _Address):
            return  # an address is used again: it says nothing about a later event
        if key not in self._told:
            self._told_order.append(key)
            if len(self._told_order) > MAX_TOLD:
                del self._told[self._told_order.popleft()]
        self._told[key] = route

    # -- subscribe -----------------------------------------------------------------------------------------------------

    def _wrap_subscribe(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def subscribe(*args: Any, **kwargs: Any) -> Any:
            handler, args, kwargs = self._with_wrapper(args, kwargs)
            try:
                result = original(*args, **kwargs)
            except BaseException:
                self._drop(handler)
                raise
            if handler is None and callable(result) and self.on:  # @bus.subscribe("fill")
                return self._registering(result, args, kwargs)
            return result

        return _awaiting(subscribe) if is_async(original) else subscribe

    def _with_wrapper(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[_Handler | None, Any, Any]:
        """The arguments of ``subscribe`` with the handler wrapped."""
        with _GUARD:
            original = _handler_in(args, kwargs)
            if original is not None and self.on:
                handler = self._add(_keys_in(args, kwargs), original)
                return handler, *_swapped(args, kwargs, original, handler.wrapper)
        return None, args, kwargs

    def _registering(self, register: Callable[..., Any], args: Any, kwargs: Any) -> Callable[..., Any]:
        @functools.wraps(register)
        def decorate(original: Callable[..., Any]) -> Any:
            wrapper = original
            with _GUARD:
                wrapper = self._add(_keys_in(args, kwargs), original).wrapper
            result = register(wrapper)
            return original if result is wrapper else result

        return decorate

    def _wrap_unsubscribe(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def unsubscribe(*args: Any, **kwargs: Any) -> Any:
            with _GUARD:
                function, keys = _handler_in(args, kwargs), _keys_in(args, kwargs)
                handler = self._find(keys, function)
                if handler is not None:
                    args, kwargs = _swapped(args, kwargs, function, handler.wrapper)
                    self._drop(handler)
            return original(*args, **kwargs)

        return _awaiting(unsubscribe) if is_async(original) else unsubscribe

    def _add(self, keys: tuple[Any, ...], original: Callable[..., Any]) -> _Handler:
        known = self._find(keys, original)
        handler = _Handler(keys, original, original)
        # a bus that looks for doubles must find them: one wrapper for one handler under one key
        handler.wrapper = known.wrapper if known is not None else self._wrap_handler(handler)
        with self._lock:
            self._handlers.append(handler)
            self._counts.clear()
        self._by_class = self._by_class or any(isinstance(key, type) for key in keys)
        self._async = self._async or is_async(original)
        return handler

    def _find(self, keys: tuple[Any, ...], original: object) -> _Handler | None:
        same = [handler for handler in self._handlers if handler.original == original]
        return next((handler for handler in same if not keys or handler.keys == keys), None)

    def _drop(self, handler: _Handler | None) -> None:
        with self._lock:
            if handler in self._handlers:
                self._handlers.remove(handler)
                self._counts.clear()

    def _count(self, route: _Route) -> int:
        """How many handlers an event will reach."""
        count = self._counts.get(route)
        if count is None:
            with self._lock:
                count = sum(handler.hears(route) for handler in self._handlers)
                if len(self._counts) >= 4 * MAX_KINDS:
                    self._counts.clear()
                self._counts[route] = count
        return count

    def _watch(self, route: _Route) -> None:
        """Subscribe to a kind of event before its first publication, in the form of key that this bus uses.

        The form is the topic that was given, else the class where the bot subscribes to classes, else ``event_type``.
        """
        kind, cls, topic = route
        key = topic if topic is not None else cls if self._by_class and cls is not object else kind
        if key in self._own or len(self._own) >= MAX_KINDS or self._cannot_join:
            return
        self._own.add(key)
        handler = _Handler((key,), _observe, _observe)
        handler.wrapper = self._observer(handler)
        with self._lock:
            self._handlers.append(handler)
            self._counts.clear()
        try:
            joining = self._subscribe(key, handler.wrapper)
        except Exception as error:  # a bus may refuse it, as when it is running already
            self._drop(handler)
            problem = f"it refused a subscription to {_word(key)} ({type(error).__name__}: {error})"
            self.attached.problems.append(f"{problem}: such events give facts only where the bot handles them itself")
        else:
            if inspect.isawaitable(joining):
                self._joining.append(joining)

    # -- dispatch ------------------------------------------------------------------------------------------------------

    def _wrap_handler(self, handler: _Handler) -> Callable[..., Any]:
        original = handler.original
        if is_async(original):

            @functools.wraps(original)
            async def handle_async(*args: Any, **kwargs: Any) -> Any:
                if not self.on:
                    return await original(*args, **kwargs)
                with self._begin(handler, args, kwargs):
                    return await original(*args, **kwargs)

            return handle_async

        @functools.wraps(original)
        def handle(*args: Any, **kwargs: Any) -> Any:
            if not self.on:
                return original(*args, **kwargs)
            run = self._begin(handler, args, kwargs)
            with run:
                result = original(*args, **kwargs)
            return _await_in(run, result) if inspect.iscoroutine(result) else result

        return handle

    def _observer(self, handler: _Handler) -> Callable[..., Any]:
        """Our own handler: it only begins and ends. ``async`` where a handler of the bot, or else the bus, is."""

        def observe(*args: Any, **kwargs: Any) -> _Nothing:
            if self.on:
                run = self._begin(handler, args, kwargs)
                with _GUARD:
                    self.finished(run)
            return _NOTHING

        async def observe_async(*args: Any, **kwargs: Any) -> None:
            observe(*args, **kwargs)

        asynchronous = self._async
        if asynchronous is None:
            asynchronous = any(inspect.iscoroutinefunction(method) for method in vars(type(self.bus)).values())
        return observe_async if asynchronous else observe

    def _begin(self, handler: _Handler, args: Any, kwargs: Any) -> _Run:
        """Find what the event carries, and tell its fact if nobody did."""
        run = _Run(self)
        with _GUARD:
            now = time.monotonic()
            event, _ = _event_in(args, kwargs)
            run.key, run.event = _key_of(event), event
            with self._lock:
                carried = run.carried = self.in_flight.get(run.key)
                if carried is not None:
                    route, told, carried.told = carried.route, carried.told, True
                    self._gone(carried)
                else:  # not published through us, or its place is away already: our count of handlers was too low
                    told = run.key in self._told
                    route = self._told.get(run.key) or (_kind_of(event), type(event), None)
                    self._remember(run.key, route)
                if route not in handler.routes and len(handler.routes) < MAX_KINDS:
                    handler.routes.add(route)
                    self._unheard.discard(route)
                    self._counts.clear()
            if carried is not None:
                run.trace, run.wait = carried.trace, now - carried.at
            if not told:
                self._tell(run, route[0], now)
        return run

    def _tell(self, run: _Run, kind: Hashable, now: float) -> None:
        carried = run.carried
        if run.wait is not None:
            catalog.eventbus_queue_wait.record(run.wait)
        fact = self._fact(kind, run.event, carried.at if carried is not None else now)
        if fact is None:
            return
        with resume(run.trace, queue_wait=run.wait):
            place = hub.tell(fact)
        if place is not None:  # the cycle that the fact began or belongs to: the handlers work in it
            run.trace = place
            if carried is not None:
                carried.trace = place

    def _fact(self, kind: Hashable, event: object, at: float) -> Fact | None:
        name = self._names.get(kind)
        if name is None:
            name = type_name(kind)
            if len(self._names) < 4 * MAX_KINDS:
                self._names[kind] = name
        if name not in SHAPES:
            self._unknown(name, "no such event type is known")
            return None
        try:
            fact = read_event(name, event, at=at)
        except Exception as error:  # an event may compute its attributes, and fail
            self._unknown(name, str(error) or type(error).__name__)
            return None
        if name not in self.attached.understood:
            self._judge(name, event.__contains__ if isinstance(event, Mapping) else functools.partial(hasattr, event))
        return fact

    def _unknown(self, name: str, why: str) -> None:
        unknown = self.attached.unknown
        if name not in unknown:
            if len(unknown) >= MAX_KINDS:
                name = "other"
            if name in SHAPES:
                self.attached._incomplete[name] = why
            logger.warning("a bus event gives no fact, the bot goes on (said once): %s: %s", name, why)
        unknown[name] += 1

    def failed(self, error: Exception, event: object) -> None:
        """A handler raised. Called in the place of the event."""
        self.health.errors += 1
        hub.tell(
            ErrorOccurred(
                component="EventBus",
                error_type=type(error).__name__,
                message=str(error),
                correlation_id=text(read(event, "correlation_id")),
            )
        )

    def finished(self, run: _Run) -> None:
        """A handler ended, in whatever way."""
        carried, run.carried = run.carried, None
        if carried is not None:
            with self._lock:
                carried.left -= 1
                self._settle(run.key, carried)


async def _await_in(run: _Run, coroutine: Awaitable[Any]) -> Any:
    """The rest of a plain function that gave a coroutine."""
    with run:
        return await coroutine


def _awaiting(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, which returns awaitables, as ``async def``: the bot may ask which it is."""

    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        return await function(*args, **kwargs)

    return call


def _observe(*_: Any) -> None:
    """The body of our own handlers."""


class _Address(int):
    """The key of an event without an id: where it lies in memory."""


def _key_of(event: object) -> Hashable:
    found: Hashable = getattr(event, "event_id", None) or read(event, "event_id")
    return found if found is not None else _Address(id(event))


def _kind_of(event: object) -> Any:
    kind: Any = getattr(event, "event_type", None) or read(event, "event_type")
    return type(event) if kind is None else kind


def _event_in(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, Hashable]:
    """The event among the arguments of ``publish`` or of a handler, and the topic if there is one."""
    if len(args) == 1 and not kwargs:
        return args[0], None
    values = [*args, *kwargs.values()]
    event = next((value for value in values if read(value, "event_type", "event_id") is not None), values[-1])
    topics = (value for value in values if value is not event and isinstance(value, (str, Enum, type)))
    return event, next(topics, None)


def _handler_in(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[..., Any] | None:
    """The handler among the arguments of ``subscribe``; an event class is callable too, and is none."""
    values = (*args, *kwargs.values())
    return next((value for value in values if callable(value) and not isinstance(value, (type, Enum))), None)


def _keys_in(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
    """The event types, topics or classes among the arguments of ``subscribe``."""
    found: list[Any] = []
    for value in (*args, *kwargs.values()):
        if isinstance(value, (list, tuple, set, frozenset)):
            found += value
        elif isinstance(value, (str, Enum, type)):
            found.append(value)
    return tuple(found)


def _swapped(args: tuple[Any, ...], kwargs: dict[str, Any], old: object, new: object) -> tuple[Any, Any]:
    return (
        tuple(new if value is old else value for value in args),
        {name: new if value is old else value for name, value in kwargs.items()},
    )


def _attached_to(method: object) -> Attached | None:
    found = getattr(method, "__dict__", {}).get("_mcbot_attached")
    return found if isinstance(found, Attached) else None


def _word(key: object) -> str:
    return key.__name__ if isinstance(key, type) else text(key) or "everything"
