"""loguru and logging → OTel log records; events of orders and of the bot.

``install_logs`` puts one bridge on each logger. Neither needs a line of the bot's, and neither changes what the bot's
own sinks and files see, but for the ids of the trace (see docs/logs.md).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from opentelemetry._logs import LoggerProvider
from opentelemetry.util.types import AttributeValue

from otel_mcbot.logs.emitter import Emitter, otel_logger
from otel_mcbot.logs.events import Events
from otel_mcbot.logs.loguru_bridge import LoguruBridge
from otel_mcbot.logs.stdlib_bridge import StdlibBridge
from otel_mcbot.redaction import Redactor

if TYPE_CHECKING:
    from loguru import Record

__all__ = ["Emitter", "Events", "LogBridge", "LoguruBridge", "StdlibBridge", "install_logs", "otel_logger"]


class LogBridge:
    """The bridges of one process. ``check()`` is to be called about each second, by a thread of ours."""

    def __init__(self, emitter: Emitter, loguru: LoguruBridge | None, stdlib: StdlibBridge | None) -> None:
        self.emitter = emitter
        self.loguru = loguru
        self.stdlib = stdlib

    def add_ids(self, record: Record) -> None:
        """For the patcher of a bot that has its own: the trace's ids into ``record["extra"]``."""
        if self.loguru is not None:
            self.loguru.add_ids(record)

    def check(self) -> None:
        """Put back what the host took away, and say once what went wrong inside."""
        for bridge in (self.loguru, self.stdlib):
            if bridge is not None:
                bridge.check()
        self.emitter.tell_failures()

    def mute(self) -> None:
        """Take no line any more and touch nothing: for a forked child, where locks may be held for ever."""
        for bridge in (self.loguru, self.stdlib):
            if bridge is not None:
                bridge.mute()

    def close(self) -> None:
        """Take the bridges away. Safe to call twice."""
        for bridge in (self.loguru, self.stdlib):
            if bridge is not None:
                bridge.remove()


def install_logs(
    logger_provider: LoggerProvider,
    redactor: Redactor,
    wake: Callable[[Callable[[], None]], object] | None = None,
    *,
    level: str | int = "INFO",
    sources: Collection[str] = ("loguru", "stdlib"),
    common: Callable[[], Mapping[str, AttributeValue]] = dict,
    version: str | None = None,
) -> LogBridge:
    """Bridge the bot's loggers.

    Args:
        logger_provider: where records go.
        redactor: what takes the secrets out of them.
        wake: has a callable run soon in a thread of ours, never in the calling one: loguru and logging tell of a
            removal while they hold a lock.
        level: lines below it are not taken: a name of loguru's, or a number.
        sources: ``"loguru"``, ``"stdlib"``.
        common: attributes that every record of the running code's chain carries, as ``trading.correlation.id``.
        version: of the instrumentation scope.
    """
    emitter = Emitter(otel_logger(logger_provider, version), redactor, common)
    bridge = LogBridge(
        emitter,
        LoguruBridge(emitter, level=level, wake=wake) if "loguru" in sources else None,
        StdlibBridge(emitter, level=level, wake=wake) if "stdlib" in sources else None,
    )
    if bridge.loguru is not None:
        bridge.loguru.install()
    if bridge.stdlib is not None:
        bridge.stdlib.install()
    return bridge
