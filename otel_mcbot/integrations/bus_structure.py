"""What an event bus shows of itself: its event types, its handlers, its queue and its counters. Read, never touched."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any

from otel_mcbot.facts import number

from .events import type_name


def name_of(function: object) -> str:
    """A handler's name for people: ``Portfolio.on_fill``."""
    inner = getattr(function, "func", function)
    return str(getattr(inner, "__qualname__", None) or type(inner).__qualname__)


def is_async(function: object) -> bool:
    """Whether calling it makes a coroutine by declaration: ``async def``, its partials, objects with an async call."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def attributes_of(thing: object) -> dict[str, Any]:
    """An object's own attributes, ``__slots__`` included; no property is run."""
    found = dict(getattr(thing, "__dict__", {}))
    for cls in type(thing).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if inspect.ismemberdescriptor(cls.__dict__.get(slot)):
                found[slot] = getattr(thing, slot, None)
    return found


def handlers_of(bus: object) -> list[tuple[Any, Callable[..., Any]]]:
    """(key, handler) of everything subscribed so far, where the bus keeps it in a mapping of its own."""
    found: list[tuple[Any, Callable[..., Any]]] = []
    for value in attributes_of(bus).values():
        if not isinstance(value, Mapping):
            continue
        for key, handlers in list(value.items()):
            several = list(handlers) if isinstance(handlers, (list, tuple, set, frozenset)) else [handlers]
            found += [(key, each) for each in several if callable(each) and not isinstance(each, type)]
    return found


def event_types_of(bus: object) -> dict[str, Any]:
    """Type name → the member of the bus' own enum of event types; empty where no annotation names such an enum."""
    found: dict[str, Any] = {}
    for annotation in _parameters(bus, "subscribe"):
        if isinstance(annotation, type) and issubclass(annotation, Enum):
            found |= {type_name(member): member for member in annotation}
    return found


def event_classes_of(bus: object) -> dict[str, type]:
    """Type name → the class of its events, from what ``publish`` says it takes, with all subclasses."""
    found: dict[str, type] = {}
    for annotation in _parameters(bus, "publish"):
        for cls in _family(annotation):
            kind = _default(cls, "event_type")
            if kind is not None:
                found.setdefault(type_name(kind), cls)  # parents come first
    return found


def has_field(cls: type, name: str) -> bool:
    """Whether instances of an event class have this attribute, as far as its declaration tells."""
    return (
        hasattr(cls, name)
        or any(name in inspect.get_annotations(base) for base in cls.__mro__)
        or name in getattr(cls, "model_fields", {})
    )


def _parameters(bus: object, method: str) -> Iterator[Any]:
    """The types in a method's annotations, unions taken apart; none where they cannot be resolved."""
    function = getattr(type(bus), method, None)
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # a name that exists for type checkers only
        return
    for name, hint in hints.items():
        if name != "return":
            yield from _flat(hint)


def _flat(hint: Any) -> Iterator[Any]:
    parts = typing.get_args(hint)
    if not parts or isinstance(hint, type):
        yield hint
        return
    for part in parts:
        yield from _flat(part)


def _family(cls: Any) -> Iterator[type]:
    if not isinstance(cls, type) or cls is object or typing.get_origin(cls) is not None:
        return
    yield cls
    subclasses: list[type] = type.__subclasses__(cls)
    for sub in subclasses:
        yield from _family(sub)


def _default(cls: type, name: str) -> Any:
    """A field's default: a class attribute, a dataclass' or a pydantic model's."""
    field = getattr(cls, "model_fields", {}).get(name) or getattr(cls, "__dataclass_fields__", {}).get(name)
    default = field.default if field is not None else cls.__dict__.get(name)
    return default if isinstance(default, (str, Enum)) and default is not dataclasses.MISSING else None


# -- health ------------------------------------------------------------------------------------------------------------


def depth_reader(bus: object) -> Callable[[], float | None] | None:
    """How to read the queue's depth: ``queue_size`` or ``qsize``, a property or a method.

    A plain number on the instance is the capacity that the bus was made with, not its depth.
    """
    for name in ("queue_size", "qsize", "queue_depth"):
        if name in getattr(bus, "__dict__", {}) or not hasattr(type(bus), name):
            continue
        return lambda name=name: number(_value(getattr(bus, name)))  # type: ignore[misc]
    return None


COUNTERS = ("events_published", "events_dropped", "handler_errors", "max_queue_depth")


def counters_reader(bus: object) -> Callable[[], dict[str, float]] | None:
    """How to read the bus' own counters: ``metrics.snapshot()`` (object or mapping), or attributes of ``metrics``."""

    def read() -> dict[str, float]:
        source = _value(getattr(bus, "metrics", None))
        source = _value(getattr(source, "snapshot", source))
        values = {
            name: number(source.get(name) if isinstance(source, Mapping) else getattr(source, name, None))
            for name in COUNTERS
        }
        return {name: value for name, value in values.items() if value is not None}

    try:
        return read if read() else None
    except Exception:  # not the counters that we know: measured from outside
        return None


def _value(thing: Any) -> Any:
    return thing() if callable(thing) and not isinstance(thing, type) else thing
