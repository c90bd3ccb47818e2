"""The outbox: keeps what was encoded, sends it in a thread of its own, again and again, and counts every loss."""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import os
import socket
import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

from opentelemetry import context as otel_context

from otel_mcbot.export.intake import Intake
from otel_mcbot.export.limit import OnceAMinute
from otel_mcbot.export.ring import Payload, Ring
from otel_mcbot.export.sender import SIGNALS, Outcome, Sender, Signal
from otel_mcbot.guard import Guard

if TYPE_CHECKING:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    from otel_mcbot.export.exporters import Desk, LogExporter, SpanExporter
    from otel_mcbot.export.files import JsonLines

logger = logging.getLogger("otel_mcbot.export")

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 5.0
LONGEST_RETRY_AFTER: Final = 30.0
LOOK_TIMEOUT: Final = 0.25
MIB: Final = 2**20
DEFAULT_ENDPOINTS: Final = {"http/protobuf": "http://localhost:4318", "grpc": "http://localhost:4317"}


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of a signal's items. At every moment ``emitted == delivered + sum(dropped.values()) + held``.

    Items are spans or log records; metrics are counted by request, except for ``dropped["rejected"]``, which are the
    data points that a receiver refused in a request it took.

    Attributes:
        emitted: asked for at the intake; without an intake, handed to the exporter.
        handed: handed to the exporter.
        delivered: taken by a receiver, or written to disk in the embedded default.
        dropped: lost, by reason: ``queue_full`` (no room in the SDK's queue), ``buffer_full`` (no room in the ring),
            ``rejected`` (partial success), ``refused_<status>``, ``unencodable``, ``shutdown``.
        held: on the way.
    """

    emitted: int
    handed: int
    delivered: int
    dropped: Mapping[str, int]
    held: int


@dataclass(frozen=True, slots=True)
class LaneState:
    """How a signal's way out is doing. Times are Unix seconds, ``None`` where it never happened."""

    endpoint: str
    payloads: int
    bytes: int
    last_success: float | None
    last_failure: float | None
    last_error: str


@dataclass(frozen=True, slots=True)
class State:
    """How the outbox is doing, for diagnosis.

    Attributes:
        mode: ``otlp``, ``embedded`` or ``off``, as it was made.
        collector: whether there is a receiver to send to; in the embedded default ``False`` until one was found.
        directory: where JSON lines are written, ``None`` when they are not.
        write_errors: failed writes of JSON lines.
        lanes: by signal.
    """

    mode: str
    collector: bool
    directory: Path | None
    write_errors: int
    lanes: Mapping[Signal, LaneState]


class Lane:
    """One signal's ring, counts and back-off. Guarded by the outbox' lock."""

    def __init__(self, signal: Signal, capacity: int) -> None:
        self.signal: Signal = signal
        self.ring = Ring(capacity)
        self.intake: Intake | None = None
        self.in_flight: Payload | None = None
        self.handed = 0
        self.delivered = 0
        self.dropped: Counter[str] = Counter()
        self.due = 0.0
        self.pause = FIRST_PAUSE
        self.last_success: float | None = None
        self.last_failure: float | None = None
        self.last_error = ""

    def drop(self, items: int, reason: str) -> None:
        if items:
            self.dropped[reason] += items

    def put(self, payload: Payload) -> None:
        self.handed += payload.items
        if self.intake is not None:
            self.intake.release(payload.items)
        self.drop(self.ring.put(payload), "buffer_full")

    def lose(self, items: int) -> None:
        self.handed += items
        if self.intake is not None:
            self.intake.release(items)
        self.drop(items, "unencodable")

    def succeeded(self) -> None:
        self.last_success = time.time()
        self.due = 0.0
        self.pause = FIRST_PAUSE

    def refused(self, error: str) -> None:
        self.last_failure = time.time()
        self.last_error = error

    def failed(self, error: str, wait: float | None = None) -> None:
        self.refused(error)
        self.due = time.monotonic() + (self.pause if wait is None else min(wait, LONGEST_RETRY_AFTER))
        self.pause = min(self.pause * 2, LONGEST_PAUSE)

    def close(self) -> None:
        lost = self.ring.clear()
        if self.in_flight is not None and not self.in_flight.on_disk:
            lost += self.in_flight.items
        self.in_flight = None
        self.drop(lost, "shutdown")
        if self.intake is not None:
            self.intake.close()

    def counts(self) -> Counts:
        dropped = self.dropped.copy()
        held = self.ring.items
        if self.in_flight is not None and not self.in_flight.on_disk:
            held += self.in_flight.items
        emitted = self.handed
        if self.intake is not None:
            emitted = self.intake.emitted
            held += self.intake.queued
            dropped["queue_full"] += self.intake.queue_full
            dropped["shutdown"] += self.intake.shutdown
        return Counts(emitted, self.handed, self.delivered, {k: n for k, n in dropped.items() if n}, held)


class Outbox:
    """Takes encoded telemetry from the SDK's exporters and sees that it arrives.

    The exporters that it makes encode a batch, put it into a ring in memory and return: the SDK's workers never wait
    for the network, and never lose a batch to it. A daemon thread sends the oldest payload of each signal; a refused
    one stays at the head and is sent again after a pause (0.5 s, doubling to 5 s, or what ``Retry-After`` says up to
    30 s). A payload that a receiver will never take is dropped, so that it does not hold up the others. Every loss is
    counted by reason.

    In a forked child an outbox does nothing and counts nothing; its parent's goes on.

    Args:
        mode: ``otlp`` sends to the endpoint of the ``OTEL_EXPORTER_OTLP_*`` variables. ``embedded`` is for when none
            is set: a receiver is looked for at ``default_endpoint``, at once and then every ``look_every`` seconds;
            until one is found, payloads are written as OTLP JSON lines into ``directory`` (that counts as delivered)
            and kept in the ring as long as they fit; once one is found, the ring is sent to it, nothing more is
            written, and it is never given up. ``off`` throws everything away and counts nothing.
        protocol: ``http/protobuf`` or ``grpc`` (needs the ``grpc`` extra).
        buffer_bytes: capacity of each signal's ring.
        directory: where the JSON lines go (``traces.jsonl``, ``metrics.jsonl``, ``logs.jsonl`` and their older parts).
        file_bytes: cap for all JSON lines together; the oldest part goes first.
        default_endpoint: where ``embedded`` looks; the protocol's port on localhost by default.
        look_every: seconds between two looks; infinite for none at all, not even at the start.
        timeout: seconds for one try, at most; ``OTEL_EXPORTER_OTLP_TIMEOUT`` can only shorten it.

    Raises:
        ModuleNotFoundError: ``grpc`` was asked for and is not installed.
        ValueError: ``embedded`` without a directory, or an unusable gRPC variable.
    """

    def __init__(
        self,
        mode: Literal["otlp", "embedded", "off"] = "otlp",
        *,
        protocol: Literal["http/protobuf", "grpc"] = "http/protobuf",
        buffer_bytes: int = 16 * MIB,
        directory: Path | None = None,
        file_bytes: int = 256 * MIB,
        default_endpoint: str | None = None,
        look_every: float = 60.0,
        timeout: float = 3.0,
    ) -> None:
        self.mode = mode
        self._protocol = protocol
        self._default_endpoint = default_endpoint or DEFAULT_ENDPOINTS[protocol]
        parts = urlsplit(self._default_endpoint)
        self._address = (parts.hostname or "localhost", parts.port or (443 if parts.scheme == "https" else 80))
        self._files = self._make_files(directory, file_bytes) if mode == "embedded" else None
        self._look_every = look_every
        self._timeout = timeout
        self._lanes: dict[Signal, Lane] = {signal: Lane(signal, buffer_bytes) for signal in SIGNALS}
        self._turns = deque(self._lanes.values())
        self._changed = threading.Condition()  # guards all that follows, and the lanes
        self._collector = mode == "otlp"
        self._look_at = 0.0 if look_every < math.inf else math.inf
        self._deadline = 0.0
        self._closed = mode == "off"
        self._write_errors = 0
        self._warning = OnceAMinute()
        self._sender: Sender | None = None
        self._thread: threading.Thread | None = None
        if not self._closed:
            self._sender = self._make_sender()
            self._thread = threading.Thread(target=self._run, name="mcbot-export", daemon=True)
            self._thread.start()
        _outboxes.add(self)

    # -- what the SDK is given ------------------------------------------------------------------------------------

    def span_exporter(self) -> SpanExporter:
        """An exporter for a ``BatchSpanProcessor``."""
        from otel_mcbot.export import exporters

        return exporters.SpanExporter(self._desk("traces"), **self._options("traces"))

    def log_exporter(self) -> LogExporter:
        """An exporter for a ``BatchLogRecordProcessor``."""
        from otel_mcbot.export import exporters

        return exporters.LogExporter(self._desk("logs"), **self._options("logs"))

    def metric_exporter(self, **options: Any) -> OTLPMetricExporter:
        """An exporter for a ``PeriodicExportingMetricReader``; ``options`` go to the stock exporter (temporality)."""
        from otel_mcbot.export import exporters

        return exporters.metric_exporter(self._desk("metrics"), **self._options("metrics"), **options)

    def intake(self, signal: Signal, limit: int) -> Intake:
        """The intake of a signal: ask its ``admit()`` before each item given to the SDK's processor.

        ``limit`` is the processor's ``max_queue_size``. There is one intake a signal.
        """
        with self._changed:
            intake = self._lanes[signal].intake = Intake(limit)
            if self._closed:
                intake.mute()
            return intake

    # -- what its owner does --------------------------------------------------------------------------------------

    def flush(self, deadline: float) -> bool:
        """Send what is held now, pauses cut short. Blocks until it is out or ``deadline`` (``time.monotonic()``).

        Flush the SDK's processors first. Returns whether everything is out.
        """
        with self._changed:
            if self._closed:
                return True
            self._deadline = max(self._deadline, deadline)
            for lane in self._lanes.values():
                lane.due = 0.0
                lane.pause = FIRST_PAUSE
            self._changed.notify_all()
            return self._changed.wait_for(self._empty, max(0.0, deadline - time.monotonic()))

    def close(self, deadline: float) -> bool:
        """Flush, then stop; what is left counts as dropped. Never longer than ``deadline``. Returns what flush did."""
        done = self.flush(deadline)
        with self._changed:
            if self._closed:
                return done
            self._closed = True
            for lane in self._lanes.values():
                lane.close()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))
        return done

    def counts(self) -> dict[Signal, Counts]:
        """The exact account of each signal, taken in one moment."""
        with self._changed:
            return {signal: lane.counts() for signal, lane in self._lanes.items()}

    def state(self) -> State:
        """How it is doing, for diagnosis."""
        with self._changed:
            lanes: dict[Signal, LaneState] = {}
            for signal, lane in self._lanes.items():
                flying = lane.in_flight
                lanes[signal] = LaneState(
                    endpoint=self._sender.endpoint(signal) if self._sender else "",
                    payloads=len(lane.ring) + (flying is not None),
                    bytes=lane.ring.bytes + (flying.size if flying else 0),
                    last_success=lane.last_success,
                    last_failure=lane.last_failure,
                    last_error=lane.last_error,
                )
            directory = self._files.directory if self._files else None
            return State(self.mode, self._collector, directory, self._write_errors, lanes)

    # -- from the exporters ---------------------------------------------------------------------------------------

    def _desk(self, signal: Signal) -> Desk:
        from otel_mcbot.export import exporters
        from otel_mcbot.export.http_sender import HttpSender, Route

        lane = self._lanes[signal]
        sender = self._sender

        def put(body: bytes, items: int) -> None:
            self._enter(functools.partial(lane.put, Payload(body, items)))

        def lose(items: int) -> None:
            self._enter(functools.partial(lane.lose, items))

        def note(route: Route) -> None:
            if isinstance(sender, HttpSender):
                sender.note(signal, route)

        exporters.quiet()
        return exporters.Desk(put, lose, note)

    def _enter(self, change: Callable[[], None]) -> None:
        if self._closed:  # before the lock: in a forked child somebody who is not there may have held it
            return
        with self._changed:
            if not self._closed:
                change()
                self._changed.notify_all()

    def _options(self, signal: Signal) -> dict[str, Any]:
        from otel_mcbot.export import exporters

        if self.mode == "otlp" and self._protocol == "http/protobuf":
            return {}
        return exporters.plain(f"{self._default_endpoint.removesuffix('/')}/v1/{signal}")

    # protobuf, requests and grpc are imported when they are used: the package itself must import fast

    def _make_files(self, directory: Path | None, cap: int) -> JsonLines:
        from otel_mcbot.export.files import JsonLines

        if directory is None:
            raise ValueError("the embedded default needs a directory for its JSON lines")
        return JsonLines(directory, cap)

    def _make_sender(self) -> Sender:
        if self._protocol == "grpc":
            try:
                from otel_mcbot.export.grpc_sender import GrpcSender
            except ModuleNotFoundError as error:
                raise ModuleNotFoundError("OTLP over gRPC needs the extra: pip install 'otel-mcbot[grpc]'") from error
            return GrpcSender(self._default_endpoint)
        from otel_mcbot.export.http_sender import HttpSender

        return HttpSender()

    # -- the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while (job := self._next()) is not None:
            with Guard("export"):  # what a logging filter of the bot raises must not end the thread
                job()
        if self._sender is not None:
            self._sender.close()

    def _next(self) -> Callable[[], None] | None:
        """The next thing to do, waited for; ``None`` when the outbox is closed."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                if not self._collector and now >= self._look_at:
                    return self._look
                for _ in range(len(self._turns)):
                    lane = self._turns[0]
                    self._turns.rotate(-1)
                    if lane.due <= now and self._work(lane):
                        if self._collector:
                            payload = lane.in_flight = lane.ring.take()
                            return functools.partial(self._send, lane, payload)
                        payload = lane.in_flight = lane.ring.take_waiting()
                        return functools.partial(self._write, lane, payload)
                dues = [lane.due for lane in self._turns if self._work(lane)]
                if not self._collector and self._look_at < math.inf:
                    dues.append(self._look_at)
                self._changed.wait(max(0.0, min(dues) - now) if dues else None)
            return None

    def _work(self, lane: Lane) -> int:
        return len(lane.ring) if self._collector else lane.ring.waiting

    def _empty(self) -> bool:
        return self._closed or not any(lane.in_flight or self._work(lane) for lane in self._turns)

    def _send(self, lane: Lane, payload: Payload) -> None:
        assert self._sender is not None
        left = self._deadline - time.monotonic()
        try:
            with _not_instrumented():
                timeout = min(self._timeout, left) if left > 0 else self._timeout
                outcome = self._sender.send(lane.signal, payload.body, timeout)
        except Exception as error:  # a mistake of ours must not stop the thread, nor hold up what comes after
            outcome = Outcome("refused", reason="internal_error", error=f"{type(error).__name__}: {error}")
        with self._changed:
            if self._closed:  # close() has counted it
                return
            lane.in_flight = None
            if outcome.kind == "again":
                lane.failed(outcome.error, outcome.wait)
                lane.drop(lane.ring.put_back(payload), "buffer_full")
            else:
                self._settle(lane, payload, outcome)
            self._changed.notify_all()
        if outcome.error and self._warning.allows():
            self._warn(lane, outcome)

    def _settle(self, lane: Lane, payload: Payload, outcome: Outcome) -> None:
        rejected = outcome.rejected
        if outcome.kind == "refused":
            lane.refused(outcome.error)
        else:
            lane.succeeded()
        if payload.on_disk:  # it was delivered there, whatever a receiver thinks of it later
            return
        if outcome.kind == "refused":
            lane.drop(payload.items, outcome.reason)
        elif lane.signal == "metrics":
            lane.delivered += payload.items
            lane.drop(rejected, "rejected")
        else:
            rejected = min(rejected, payload.items)
            lane.delivered += payload.items - rejected
            lane.drop(rejected, "rejected")

    def _write(self, lane: Lane, payload: Payload) -> None:
        assert self._files is not None
        error: Exception | None = None
        try:
            self._files.write(lane.signal, payload.body)
        except Exception as caught:
            error = caught
        with self._changed:
            if self._closed:
                return
            lane.in_flight = None
            if error is None:
                lane.succeeded()
                lane.delivered += payload.items
                lane.ring.keep(payload)
            elif isinstance(error, OSError):  # a full disk may have room later, or a Collector may be found
                self._write_errors += 1
                lane.failed(f"{type(error).__name__}: {error}", LONGEST_PAUSE)
                lane.drop(lane.ring.put_back(payload), "buffer_full")
            else:
                lane.refused(f"{type(error).__name__}: {error}")
                lane.drop(payload.items, "internal_error")
            self._changed.notify_all()
        if error is not None and self._warning.allows():
            logger.warning(
                "%s cannot be written to %s: %s (said once a minute)", lane.signal, self._files.directory, error
            )

    def _look(self) -> None:
        try:
            socket.create_connection(self._address, LOOK_TIMEOUT).close()
            found = True
        except OSError:
            found = False
        with self._changed:
            self._collector = found
            self._look_at = time.monotonic() + self._look_every
            self._changed.notify_all()
        if found:
            logger.info("a receiver listens at %s: telemetry goes there from now on", self._default_endpoint)

    def _warn(self, lane: Lane, outcome: Outcome) -> None:
        assert self._sender is not None
        with self._changed:
            payloads, size, dropped = len(lane.ring), lane.ring.bytes, sum(lane.dropped.values())
        fate = {"again": "kept and sent again", "refused": "dropped", "delivered": "taken in part"}[outcome.kind]
        logger.warning(
            "%s to %s: %s (%s; %d requests, %d bytes wait, %d items dropped so far; said once a minute)",
            lane.signal,
            self._sender.endpoint(lane.signal),
            outcome.error,
            fate,
            payloads,
            size,
            dropped,
        )

    def _forked(self) -> None:
        """In a forked child: no thread, no lock that somebody may have held, nothing sent, nothing counted."""
        self._changed = threading.Condition()
        self._closed = True
        self._thread = None
        for lane in self._lanes.values():
            if lane.intake is not None:
                lane.intake.mute()


_outboxes: weakref.WeakSet[Outbox] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for outbox in _outboxes:
        outbox._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


@contextlib.contextmanager
def _not_instrumented() -> Iterator[None]:
    """An instrumented HTTP client must make no span of our own request: that would never end."""
    token = otel_context.attach(otel_context.set_value(otel_context._SUPPRESS_INSTRUMENTATION_KEY, True))
    try:
        yield
    finally:
        otel_context.detach(token)
