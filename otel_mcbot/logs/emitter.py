"""One way out for every log record: types, limits, redaction, severity, exception fields.

What is emitted is flat and small enough for Loki (64 KiB of structured metadata, 128 entries), and always encodes: one
lone surrogate or one integer beyond 64 bits would otherwise lose the whole batch that it is in.
"""

from __future__ import annotations

import enum
import threading
import time
import traceback
from bisect import bisect_right
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import TracebackType
from typing import Any, Final, NamedTuple

from opentelemetry._logs import Logger, LoggerProvider, SeverityNumber
from opentelemetry.context import (
    _SUPPRESS_INSTRUMENTATION_KEY,  # the API has no public name for it; the SDK sets it while it exports
    Context,
    get_value,
)
from opentelemetry.semconv.attributes import code_attributes, exception_attributes
from opentelemetry.trace import INVALID_SPAN, set_span_in_context
from opentelemetry.util.types import AttributeValue

from otel_mcbot import semconv
from otel_mcbot.guard import Guard
from otel_mcbot.redaction import Redactor

BODY_LIMIT: Final = 32 * 1024
"""Characters of a body. Beyond a limit the middle is cut out."""
STACKTRACE_LIMIT: Final = 16 * 1024
ATTRIBUTE_LIMIT: Final = 4 * 1024
EXTRAS_LIMIT: Final = 24 * 1024
"""Characters of all that one record's extras hold together."""
MAX_EXTRAS: Final = 64
MAX_DEPTH: Final = 5
MAX_ITEMS: Final = 64

THREAD_NAME: Final = "thread.name"

SAME_LINE: Final = 0.1
"""Seconds in which the other bridge may bring the same line."""

IGNORED: Final = ("opentelemetry", "urllib3", "requests", "grpc", "otel_mcbot.export")
"""Loggers (and what is below them) whose lines may come from sending log records."""
_BELOW_IGNORED: Final = tuple(f"{name}." for name in IGNORED)

_SCALARS: Final = frozenset({str, bool, int, float, type(None)})

ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]

_SEVERITY_FROM: Final = (1, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55)
_SEVERITY: Final = (0, 1, 5, 6, 9, 10, 13, 14, 17, 18, 21, 22)
_SEVERITY_TEXT: Final = {"WARNING": "WARN", "CRITICAL": "FATAL"}  # OpenTelemetry's spelling
_EVENT_SEVERITY: Final = {
    "DEBUG": SeverityNumber.DEBUG,
    "INFO": SeverityNumber.INFO,
    "WARN": SeverityNumber.WARN,
    "ERROR": SeverityNumber.ERROR,
    "FATAL": SeverityNumber.FATAL,
}


@lru_cache(maxsize=256)
def severity(level: int) -> SeverityNumber:
    """OpenTelemetry's number for a level of loguru or logging: 5→1, 10→5, 20→9, 25→10, 30→13, 40→17, 50→21."""
    return SeverityNumber(_SEVERITY[bisect_right(_SEVERITY_FROM, level)])


def otel_logger(provider: LoggerProvider, version: str | None = None) -> Logger:
    """The package's own logger of ``provider``: scope name, version and schema URL set."""
    return provider.get_logger(semconv.SCOPE_NAME, version, schema_url=semconv.SCHEMA_URL)


def suppressed() -> bool:
    """Whether instrumentation is switched off here (``suppress_instrumentation()``, or the SDK that is exporting)."""
    return bool(get_value(_SUPPRESS_INSTRUMENTATION_KEY) or get_value("suppress_instrumentation"))


def valid(text: str) -> str:
    """``text`` as UTF-8 can carry it."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def plain(value: object) -> AttributeValue:
    """``value`` in a type that OpenTelemetry takes: str, bool, int, float, a tuple of one of them; others by str()."""
    if type(value) is str:
        return valid(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, enum.Enum):
        return plain(value.value if isinstance(value.value, str) else value.name)
    if isinstance(value, str):
        return valid(str.__str__(value))
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**63 else str(int(value))
    if isinstance(value, float):
        return float(value)
    if isinstance(value, bytes | bytearray):
        return bytes(value[:ATTRIBUTE_LIMIT]).decode("utf-8", "replace")
    if isinstance(value, list | tuple | set | frozenset):
        items = [_item(item) for _, item in zip(range(MAX_ITEMS), value, strict=False)]
        if len({type(item) for item in items}) > 1:
            return tuple(str(item) for item in items)
        return tuple(items)
    return _str(value)


def _item(value: object) -> str | bool | int | float:
    result = plain(value) if isinstance(value, str | bool | int | float | enum.Enum) else _str(value)
    return result if isinstance(result, str | bool | int | float) else _str(value)


def _str(value: object) -> str:
    if type(value) is str and value.isascii():
        return value
    try:
        return valid(str.__str__(str(value)))
    except Exception:
        return f"<{type(value).__name__} without text>"


def _size(value: AttributeValue) -> int:
    if isinstance(value, str):
        return len(value)
    return sum(map(_size, value)) if isinstance(value, tuple) else 8


class Line(NamedTuple):
    """One line of a log as a bridge hands it in. ``time`` in Unix seconds; ``level`` on the scale of logging."""

    source: str
    message: str
    level: int
    level_name: str
    time: float
    path: str
    line: int
    function: str
    logger: str
    thread: str
    exception: ExcInfo | None
    extra: Mapping[str, Any]
    stack: str | None = None


class _Seen(NamedTuple):
    source: str
    message: str
    level: int
    place: tuple[str, int]
    at: float


class _Here(threading.local):
    busy = False
    seen: _Seen | None = None


class Emitter:
    """Writes records to one OTel logger: in the context of now, without secrets, never raising (but under ``strict``).

    Args:
        logger: where records go; see :func:`otel_logger`.
        redactor: what takes the secrets out.
        common: attributes that every record of the running code's chain carries, as ``trading.correlation.id``.
    """

    def __init__(
        self,
        logger: Logger,
        redactor: Redactor,
        common: Callable[[], Mapping[str, AttributeValue]] = dict,
    ) -> None:
        self.logger = logger
        self.redactor = redactor
        self.common = common
        self._here = _Here()
        self._failure: Exception | None = None

    def take(self, line: Line) -> None:
        """Emit a line, unless it is one that the other bridge just brought, or that emitting itself brought about."""
        here = self._here
        if here.busy or suppressed():
            return
        here.busy = True
        try:
            if self._again(line) or line.logger in IGNORED or line.logger.startswith(_BELOW_IGNORED):
                return
            self._emit_line(line)
        except Exception as error:
            self.failed(error)
        finally:
            here.busy = False

    def event(
        self,
        name: str,
        body: str,
        severity: str,
        attributes: Mapping[str, object],
        *,
        context: Context | None = None,
        exception: BaseException | None = None,
    ) -> None:
        """Emit an event: a record with a name. ``context`` is where it belongs; ``None`` is here.

        Raises:
            KeyError: no such severity.
        """
        severity = _SEVERITY_TEXT.get(severity, severity)
        clean: dict[str, AttributeValue] = dict(self.common()) if context is None else {}
        self._flatten(clean, "", attributes, 0, [MAX_EXTRAS, EXTRAS_LIMIT])
        if exception is not None:
            self._exception(clean, (type(exception), exception, exception.__traceback__))
        if context is not None and not context:
            context = set_span_in_context(INVALID_SPAN, context)  # an empty one would be taken for none given
        self.logger.emit(
            timestamp=time.time_ns(),  # not every reader falls back on the time of observation
            context=context,
            severity_number=_EVENT_SEVERITY[severity],
            severity_text=severity,
            body=self.redactor.text(valid(body), BODY_LIMIT),
            attributes=clean,
            event_name=str.__str__(name),
        )

    def tell_failures(self) -> None:
        """Say, once for each kind, what failed since the last call: not to be called from inside a sink."""
        failure, self._failure = self._failure, None
        if failure is not None:
            with Guard("logs"):
                raise failure

    def failed(self, error: Exception) -> None:
        """Count an error. Says nothing: this may be inside a sink of the bot's logger, which a second line locks up."""
        if Guard.strict:
            raise error
        if self._failure is None:
            self._failure = error
        else:
            Guard.failures["logs"] += 1

    def _again(self, line: Line) -> bool:
        """Whether this is the line that the other bridge brought last: a bot may lead one logger into the other."""
        here, now, place = self._here, time.monotonic(), (line.path, line.line)
        seen = here.seen
        if (
            seen is not None
            and seen.source != line.source
            and seen.level == line.level
            and now - seen.at <= SAME_LINE
            and (
                seen.message == line.message
                # led over with the text around it that a format puts there
                or (seen.place == place and (seen.message in line.message or line.message in seen.message))
            )
        ):
            here.seen = None
            return True
        here.seen = _Seen(line.source, line.message, line.level, place, now)
        return False

    def _emit_line(self, line: Line) -> None:
        attributes: dict[str, AttributeValue] = {}
        try:
            self._flatten(attributes, "", line.extra, 0, [MAX_EXTRAS, EXTRAS_LIMIT])
            if "correlation_id" in attributes:  # the bot's own, or a nearer one that its loggers know
                attributes[semconv.CORRELATION_ID] = str(attributes.pop("correlation_id"))
            attributes.update(self.common())
        except Exception as error:  # an odd extra must not take the line with it
            self.failed(error)
        attributes[code_attributes.CODE_FILE_PATH] = valid(line.path)
        attributes[code_attributes.CODE_FUNCTION_NAME] = valid(line.function)
        attributes[code_attributes.CODE_LINE_NUMBER] = line.line
        attributes[semconv.LOGGER_NAME] = valid(line.logger)
        attributes[THREAD_NAME] = valid(line.thread)
        if line.stack:
            attributes[code_attributes.CODE_STACKTRACE] = self.redactor.text(valid(line.stack), STACKTRACE_LIMIT)
        if line.exception is not None:
            self._exception(attributes, line.exception)
        self.logger.emit(
            timestamp=int(line.time * 1e9),
            severity_number=severity(line.level),
            severity_text=_SEVERITY_TEXT.get(line.level_name, line.level_name),
            body=self.redactor.text(valid(line.message), BODY_LIMIT),
            attributes=attributes,
        )

    def _flatten(
        self, into: dict[str, AttributeValue], prefix: str, values: Mapping[Any, object], depth: int, room: list[int]
    ) -> None:
        """Nested mappings by dots. ``room``: how many attributes and how many characters may still come."""
        for name, value in list(values.items()):
            if room[0] <= 0 or room[1] <= 0:
                return
            key = f"{prefix}{_str(name)[:128]}"
            if type(value) not in _SCALARS and isinstance(value, Mapping) and depth < MAX_DEPTH and value:
                self._flatten(into, f"{key}.", value, depth + 1, room)
            elif key and value is not None:
                result = plain(value)
                if _size(result) > ATTRIBUTE_LIMIT:
                    result = self.redactor.text(str(result), ATTRIBUTE_LIMIT)
                into[key] = self.redactor.pair(key, result)
                room[0] -= 1
                room[1] -= _size(result)

    def _exception(self, attributes: dict[str, AttributeValue], exception: ExcInfo) -> None:
        try:
            kind, value, trace = exception
            if kind is None:
                return
            name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
            attributes[exception_attributes.EXCEPTION_TYPE] = name
            attributes[exception_attributes.EXCEPTION_MESSAGE] = self.redactor.text(_str(value), ATTRIBUTE_LIMIT)
            stack = valid("".join(traceback.format_exception(kind, value, trace)))
            attributes[exception_attributes.EXCEPTION_STACKTRACE] = self.redactor.text(stack, STACKTRACE_LIMIT)
        except Exception as error:  # exceptions with broken parts exist; their line goes without them
            self.failed(error)
