"""loguru → OTel: every line of the bot's logger, in the trace that it belongs to.

loguru has one list of handlers and one patcher for the whole process, and a host does with them what it likes:
``logger.remove()`` is how its manual begins. So nothing here relies on staying installed: a removed sink comes back,
a replaced patcher is not missed, and the trace is read when a line is emitted, not from what a patcher wrote.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

from loguru import logger
from opentelemetry.trace import format_span_id, format_trace_id, get_current_span

from otel_mcbot import semconv
from otel_mcbot.logs.emitter import Emitter, Line

if TYPE_CHECKING:
    from loguru import Message, Record

_TAKEN: Final = "otel_mcbot"  # a key of loguru's record: its line went out while the sink was away


class _Id(str):
    """An id that our patcher wrote: exported as the record's own, so never again as an attribute."""

    __slots__ = ()


class _Held:
    """What loguru holds of us: a sink with its filter, or the patcher.

    A copied logger gets its own, so that its removals are not taken for removals of ours; a pickled one (a bot that
    hands its logger to another process) gets an empty one.
    """

    def __init__(self, bridge: LoguruBridge | None) -> None:
        self.bridge = bridge

    def filter(self, record: Record) -> bool:
        # The line is taken here and not in write(): nothing is formatted and no lock of loguru's is held.
        if self.bridge is not None:
            self.bridge.take(record)
        return False

    def write(self, message: Message) -> None:
        """What makes this a sink for loguru; the filter lets nothing through."""

    def stop(self) -> None:
        if self.bridge is not None:
            self.bridge.removed(self)

    def patch(self, record: Record) -> None:
        if self.bridge is not None:
            self.bridge.patch(record)

    def __deepcopy__(self, memo: dict[int, Any]) -> _Held:
        return _Held(self.bridge)

    def __reduce__(self) -> tuple[type[_Held], tuple[None]]:
        return _Held, (None,)


class LoguruBridge:
    """Takes every line of loguru's ``logger`` from ``level`` on, and writes the trace's ids into the bot's own lines.

    Args:
        emitter: where lines go.
        level: the least level taken, by name or by loguru's number.
        wake: has a callable run soon in another thread. loguru says that a sink is gone while it holds its lock, so
            the sink cannot be put back there. Without it, or when it raises, a short-lived thread does that.

    Attributes:
        ids_in_lines: whether records carry ``trace_id``, ``span_id`` and ``correlation_id`` in ``extra``. False where
            the bot has a patcher of its own: loguru keeps only one, and it is the bot's.
    """

    def __init__(
        self,
        emitter: Emitter,
        *,
        level: str | int = "INFO",
        wake: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self.ids_in_lines = False
        self._emitter = emitter
        self._level = level if isinstance(level, int) else logger.level(level).no
        self._wake = wake
        self._active = False
        self._closing = False
        self._sink: _Held | None = None
        self._number: int | None = None
        self._away: list[None] = []  # one entry when the sink was removed; whoever pops it puts the sink back
        self._adding = False

    def install(self) -> None:
        """Add the sink, and the patcher unless the bot has one. Doing it twice is doing it once."""
        if self._active:
            return
        self._active, self._closing = True, False
        atexit.register(self._exiting)
        self._add()
        if not _host_patches():
            logger.configure(patcher=_Held(self).patch)
            self.ids_in_lines = True

    def remove(self) -> None:
        """Take the sink away. loguru cannot give up a patcher: ours stays, and does nothing."""
        self.mute()
        atexit.unregister(self._exiting)
        self._drop()

    def mute(self) -> None:
        """Take no line any more, and leave loguru as it is: for a forked child."""
        self._active, self._closing = False, True

    def check(self) -> None:
        """Put the sink back if it is away still."""
        self._adding = True  # until the sink is there the patcher takes the lines: none is lost between
        try:
            self._away.pop()
            self._add()
            if self._closing:
                self._drop()
        except IndexError:
            return
        finally:
            self._adding = False

    def add_ids(self, record: Record) -> None:
        """Write ``trace_id``, ``span_id`` and ``correlation_id`` into ``record["extra"]``: "" where there is none.

        For the patcher of a bot that has its own. What the bot bound under these names stays.
        """
        extra = record["extra"]
        span = get_current_span().get_span_context()
        valid = span.is_valid
        extra.setdefault("trace_id", _Id(format_trace_id(span.trace_id) if valid else ""))
        extra.setdefault("span_id", _Id(format_span_id(span.span_id) if valid else ""))
        extra.setdefault("correlation_id", _Id(self._emitter.common().get(semconv.CORRELATION_ID, "")))

    def take(self, record: Record) -> None:
        """Emit a record of loguru's, unless that was done while the sink was away."""
        if not self._active or _TAKEN in record:
            return
        try:
            name = record["name"] or ""
            line = Line(
                source="loguru",
                message=record["message"],
                level=record["level"].no,
                level_name=record["level"].name,
                time=record["time"].timestamp(),
                path=record["file"].path,
                line=record["line"],
                function=f"{name}.{record['function']}",
                logger=name,
                thread=record["thread"].name,
                exception=record["exception"],
                extra={key: value for key, value in record["extra"].items() if type(value) is not _Id},
            )
        except Exception as error:  # a patcher of the bot's may do anything to a record
            self._emitter.failed(error)
            return
        self._emitter.take(line)

    def patch(self, record: Record) -> None:
        """What loguru calls for every record before any sink sees it."""
        if not self._active:
            return
        try:
            self.add_ids(record)
            if (self._away or self._adding) and record["level"].no >= self._level:
                self.take(record)
                cast("dict[str, Any]", record)[_TAKEN] = True
        except Exception as error:
            self._emitter.failed(error)

    def removed(self, held: _Held) -> None:
        """Called by loguru, under its lock: the sink is gone."""
        if held is not self._sink or self._closing:
            return
        self._away.append(None)
        try:
            if self._wake is None:
                raise RuntimeError
            self._wake(self.check)
        except Exception:
            try:
                threading.Thread(target=self.check, name="otel-mcbot-loguru", daemon=True).start()
            except RuntimeError:
                return  # the interpreter ends

    def _add(self) -> None:
        self._sink = sink = _Held(self)
        self._number = logger.add(
            sink, level=self._level, format=_no_text, filter=sink.filter,
            colorize=False, backtrace=False, diagnose=False, enqueue=False, catch=True,
        )  # fmt: skip

    def _drop(self) -> None:
        number, self._number = self._number, None
        if number is not None:
            with suppress(ValueError):  # the host was first
                logger.remove(number)

    def _exiting(self) -> None:
        """Registered after loguru's own ``atexit`` hook, so called before it: the removal that follows is the last."""
        self._closing = True


def _no_text(record: Record) -> str:
    return ""


class _Look(str):
    """An empty message that sees a record before any patcher does."""

    __slots__ = ("before",)
    before: str

    def format(self, *args: object, **kwargs: Any) -> str:
        self.before = repr(kwargs["record"]["extra"])
        return ""


def _host_patches() -> bool:
    """Whether a patcher changes records already. Ours would replace it, and the bot's formats may live by it.

    loguru has no way to ask. So a record is sent through that no sink shows: below every level, raw, and empty.
    """
    look, patched, me = _Look(), [], threading.get_ident()

    def see(record: Record) -> bool:
        if record["level"].no == 0 and record["thread"].id == me and record["name"] == __name__:
            patched.append(record["message"] != "" or repr(record["extra"]) != look.before)
        return False

    number = logger.add(_Held(None), level=0, format=_no_text, filter=see, catch=True)
    try:
        logger.opt(record=True, raw=True).log(0, look)
    except Exception:  # the patcher did not like it
        return True
    finally:
        logger.remove(number)
    return patched != [False]
