"""logging → OTel: one handler on the root logger, put back when the host's configuration takes it away.

The SDK's own ``LoggingHandler`` is deprecated, hands extras on as one nested map and copies the stack trace into the
body; the one that replaces it patches ``logging``. This one does neither. It does not touch the root logger's level:
what ``logging`` is set up to hold back (by default all below WARNING) does not arrive here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from loguru import logger as loguru_logger

from otel_mcbot.logs.emitter import Emitter, Line

_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    "message", "asctime", "taskName",
    # written by opentelemetry-instrumentation-logging; the record has them already
    "otelSpanID", "otelTraceID", "otelTraceSampled", "otelServiceName",
}  # fmt: skip


class StdlibBridge:
    """Takes every line that reaches the root logger's handlers from ``level`` on.

    Args:
        emitter: where lines go.
        level: the least level taken, by one of loguru's names or by number.
        wake: has a callable run soon in another thread; without it the handler comes back at the next :meth:`check`.
    """

    def __init__(
        self,
        emitter: Emitter,
        *,
        level: str | int = "INFO",
        wake: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        number = level if isinstance(level, int) else loguru_logger.level(level).no
        self._handler = _Handler(emitter, number, self._removed)
        self._wake = wake
        self._closing = False

    def install(self) -> None:
        """Add the handler. Doing it twice is doing it once."""
        self._closing = False
        self.check()

    def remove(self) -> None:
        """Take the handler away."""
        self.mute()
        logging.getLogger().removeHandler(self._handler)
        self._handler.close()

    def mute(self) -> None:
        """Take no line any more, and leave logging as it is: for a forked child."""
        self._closing = self._handler.muted = True

    def check(self) -> None:
        """Put the handler back if ``basicConfig(force=True)`` or ``dictConfig`` took it away."""
        if not self._closing:
            logging.getLogger().addHandler(self._handler)  # waits for a configuration that is under way

    def _removed(self) -> None:
        if self._wake is not None and not self._closing:
            with suppress(Exception):
                self._wake(self.check)


class _Handler(logging.Handler):
    def __init__(self, emitter: Emitter, level: int, removed: Callable[[], None]) -> None:
        super().__init__(level)
        self.muted = False
        self._emitter = emitter
        self._removed = removed

    def emit(self, record: logging.LogRecord) -> None:
        if self.muted:
            return
        try:
            line = _line(record)
        except Exception as error:  # a record can be anything that a bot's filter made of it
            self._emitter.failed(error)
            return
        self._emitter.take(line)

    def close(self) -> None:
        super().close()
        self._removed()


def _line(record: logging.LogRecord) -> Line:
    try:
        message = record.getMessage()
    except Exception:  # arguments that do not fit: logging itself would print this to stderr
        message = f"{record.msg} {record.args!r}"
    extra: dict[str, Any] = {key: value for key, value in vars(record).items() if key not in _OWN}
    nested = extra.pop("extra", None)  # where loguru puts its own when it is led into a logging handler
    if isinstance(nested, Mapping):
        extra.update(nested)
    elif nested is not None:
        extra["extra"] = nested
    return Line(
        source="logging",
        message=message,
        level=record.levelno,
        level_name=record.levelname,
        time=record.created,
        path=record.pathname,
        line=record.lineno,
        function=f"{record.module}.{record.funcName}",
        logger=str(record.name),
        thread=record.threadName or "",
        exception=record.exc_info or None,
        extra=extra,
        stack=record.stack_info,
    )
