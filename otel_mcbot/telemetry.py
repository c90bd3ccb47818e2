"""``configure()``: one call that wires facts to OpenTelemetry, and a :class:`Telemetry` that looks after it.

Providers that the host has set, or hands in, are used as they are: nothing is added to them, and what leaves through
them is the host's. The rest is made here: spans, metrics and log records go through the outbox, which keeps what a
Collector does not take.

Daemon threads do the work: the keeper (time-outs, files), one that collects metrics and flushes, one that looks at the
process, the outbox' own and the SDK's two batch processors. The bot's threads and its event loop never wait for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from typing import Any, Final, Literal, cast
from urllib.parse import quote

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk.resources import Resource

from otel_mcbot import catalog, hub, instruments, semconv
from otel_mcbot.detectors import Detectors
from otel_mcbot.export import Outbox, Signal
from otel_mcbot.export.limit import OnceAMinute
from otel_mcbot.facts import ErrorOccurred, Fact
from otel_mcbot.guard import Guard
from otel_mcbot.hub import Hub
from otel_mcbot.identity import Identity, identify
from otel_mcbot.ledger import REFUSED, Ledger
from otel_mcbot.logs import Events, LogBridge, install_logs, otel_logger
from otel_mcbot.providers import Providers
from otel_mcbot.record import Recorders
from otel_mcbot.redaction import Redactor
from otel_mcbot.runtime import ProcessMonitor, ProcessMonitorConfig, StallInfo
from otel_mcbot.settings import Settings, SettingsError
from otel_mcbot.shutdown import Ending, Stop
from otel_mcbot.store import Store
from otel_mcbot.trace import Lifecycle, Trace, attributes_here
from otel_mcbot.worker import Worker

logger = logging.getLogger("otel_mcbot")

TICK: Final = 0.25
"""Seconds between two looks at what is due."""

LOOK: Final = 1.0
"""Seconds between two writes of open orders, and two looks at what the host may have taken away."""

DROPS: Final = ("buffer_full", "queue_full", "rejected", "shutdown")
"""Reasons for which telemetry may be lost: they exist at 0, so that the first loss is seen."""


@dataclass(frozen=True)
class Stats:
    """What became of the telemetry so far, exactly. Spans and records that the host exports are not counted.

    Attributes:
        emitted: by ``spans`` and ``log_records``: made, and kept by sampling.
        exported: the same, taken by a Collector, or on disk in the embedded default.
        dropped: lost ``spans`` and ``log_records``; ``measurements`` and ``facts`` that could not be used.
        metric_series: series at the last collection.
    """

    emitted: Mapping[str, int]
    exported: Mapping[str, int]
    dropped: Mapping[str, int]
    metric_series: int


def assemble(
    settings: Settings,
    tracer_provider: trace.TracerProvider,
    meter_provider: metrics.MeterProvider,
    logger_provider: _logs.LoggerProvider,
    redactor: Redactor,
    *,
    readers: int = 1,
    viewed: bool = True,
) -> Hub:
    """Bind the catalog and wire a hub to three providers. ``viewed``: the meter provider has our ``views()``."""
    meter = meter_provider.get_meter(semconv.SCOPE_NAME, _version(), semconv.SCHEMA_URL)
    tracer = tracer_provider.get_tracer(semconv.SCOPE_NAME, _version(), semconv.SCHEMA_URL)
    catalog.bind(meter, readers=readers, strict=settings.strict, viewed=viewed)
    ledger = Ledger(lost_after=settings.lost_after)
    lifecycle = Lifecycle(tracer, hold=settings.hold, exchange=settings.exchange, redact=redactor.text)
    recorders = Recorders(settings, ledger)
    events = Events(otel_logger(logger_provider, _version()), redactor, attributes_here)
    core = Hub(ledger, lifecycle, recorders, events, redact=redactor.text)
    recorders.tell = core.tell
    core.detectors = Detectors(settings, recorders, events)
    core.listeners.append(core.detectors.on_fact)
    core.tickers.append(core.detectors.tick)
    return core


def bridge(
    settings: Settings,
    logger_provider: _logs.LoggerProvider,
    redactor: Redactor,
    wake: Callable[[Callable[[], None]], object] | None = None,
) -> LogBridge:
    """Take the bot's log lines to ``logger_provider``."""
    return install_logs(
        logger_provider,
        redactor,
        wake,
        level=settings.log_level,
        sources=settings.logs,
        common=attributes_here,
        version=_version(),
    )


def _version() -> str:
    try:
        return package_version("otel-mcbot")
    except PackageNotFoundError:  # run from a checkout
        return ""


# -- one process' telemetry ------------------------------------------------------------------------------------------


class Telemetry:
    """What ``configure()`` returns. Its callback objects are handed to the layers of a bot that want them.

    Attributes:
        settings: as they were read.
        identity: who this process is.
        resource: the attributes of everything that leaves.
        hub: the spine.
        outbox: what is on its way out.
        exchange, websocket, onchain, regime, execution, anomaly, orchestrator, reconciliation: callback objects.
        detectors: judge execution and, fed with daily returns, the pods.
    """

    def __init__(
        self, settings: Settings, config: object = None, providers: Sequence[object] = (None, None, None)
    ) -> None:
        self.settings = settings
        self._started = time.monotonic()
        self._pid = os.getpid()
        self._closing = threading.Lock()
        self._open = False
        if settings.prometheus_port is not None:
            _need("prometheus", "prometheus_port", settings.prometheus_port)
        if settings.asyncio_instrumentation:
            _need("asyncio", "asyncio_instrumentation", True)
        with contextlib.ExitStack() as undo:  # what a failing start has begun ends again
            leased = settings.mode != "backtest" and not settings.disabled
            self.identity, self._lease = identify(settings, config, leased=leased)
            if self._lease is not None:
                undo.callback(self._lease.release)
            self.resource = Resource.create({**settings.resource_attributes, **self.identity.attributes()})
            if not settings.disabled:
                _import_late()
            self.outbox = _outbox(settings, self.identity)
            undo.callback(self.outbox.close, 0.0)
            with _as_environment(settings):
                self._providers = Providers(settings, self.resource, self.outbox, providers)
            undo.callback(self._providers.shutdown)
            instruments.dropped.clear()
            self._redactor = Redactor.from_environ(os.environ, settings.headers.values())
            self.hub = assemble(
                settings,
                self._providers.tracer,
                self._providers.meter,
                self._providers.logger,
                self._redactor,
                readers=self._providers.readers,
                viewed=self._providers.viewed,
            )
            undo.callback(catalog.unbind)
            self._give(self.hub)
            if not settings.disabled:
                self._start()
                undo.pop_all()

    def _give(self, core: Hub) -> None:
        recorders = core.recorders
        self.detectors: Detectors = core.detectors
        self.exchange = recorders.exchange
        self.websocket = recorders.websocket
        self.onchain = recorders.onchain
        self.regime = recorders.regime
        self.execution = recorders.execution
        self.anomaly = recorders.anomaly
        self.orchestrator = recorders.orchestrator
        self.reconciliation = recorders.reconciliation

    @classmethod
    def standing_in(cls, settings: Settings) -> Telemetry:
        """One that does nothing, for :meth:`lend`: for tests that keep in memory what is emitted."""
        return cls(replace(settings, disabled=True))

    def lend(self, core: Hub) -> None:
        """Speak for ``core``, which somebody else looks after."""
        self.hub = core
        self._give(core)
        self.detectors.start()

    def _start(self) -> None:
        settings = self.settings
        directory = self.identity.directory
        self._store = Store(directory / "ledger.sqlite") if directory is not None else None
        if self._store is not None:
            with Guard("restore"):
                self.hub.ledger.restore(self._store.load())
        self._look_at = 0.0
        self._bridge: LogBridge | None = None
        self._keeper = Worker("mcbot-keeper", self._keep, TICK)
        self._flusher = Worker("mcbot-metrics", self._providers.collect, settings.metric_interval)
        self._monitor = ProcessMonitor(ProcessMonitorConfig(), self.hub.recorders.process, self._on_stall)
        self._ending = Ending(self._on_end, self._on_crash, self._keeper, settings.exit_timeout)
        self._open = True
        _quiet_sdk()
        with Guard("start"):
            self.hub.recorders.start()
            catalog.telemetry_dropped.watch(self._dropped)
        with Guard("detectors"):
            self.detectors.start(directory, self._keeper.submit)
        with Guard("start"):
            self._monitor.start()
            self.hub.on_loop = self._monitor.ensure_beat
        with Guard("logs"):
            self._bridge = bridge(settings, self._providers.logger, self._redactor, self._keeper.submit)
        if settings.asyncio_instrumentation:
            with Guard("asyncio instrumentation"):
                _instrument_asyncio(self._providers)
        hub.install(self.hub)
        self._emit(
            semconv.BotEvent.STARTED,
            f"{settings.service_name} started in mode {settings.mode}",
            **{
                semconv.TRADING_MODE: settings.mode,
                semconv.STRATEGY: settings.strategies or None,
                semconv.SYMBOL: tuple(settings.expect) or None,
                semconv.SERVICE_VERSION: settings.version,
                semconv.CONFIG_HASH: self.identity.config_hash,
            },
        )
        self._ending.install()

    def _emit(self, name: semconv.BotEvent, body: str, **attributes: Any) -> None:
        if isinstance(self.hub.events, Events):
            self.hub.events.emit(name.value, body, **attributes)

    # -- what a bot uses -------------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether it works: not disabled, not closed, not a forked child's copy of its parent's."""
        return self._open and os.getpid() == self._pid

    def tell(self, fact: Fact) -> Trace | None:
        """Take a fact. Returns its place in a trade cycle, ``None`` where it has none."""
        return hub.tell(fact)

    def watch_loop(self) -> None:
        """Watch the running event loop's lag. Happens by itself with the first fact or stage on the loop."""
        if self.is_open:
            self._monitor.ensure_beat()

    def flush(self, timeout: float = 5.0) -> bool:
        """Get everything out now. Blocks up to ``timeout`` seconds: not for the event loop's thread.

        Returns whether everything is out.
        """
        if not self.is_open:
            return True
        deadline = time.monotonic() + timeout
        done = _wait(self._flusher.submit(self._providers.flush), deadline)
        return self.outbox.flush(deadline) and done

    def close(self, reason: str = "close", timeout: float | None = None) -> None:
        """End it all: open spans, the last metrics, the last export, the lease. Idempotent; never raises.

        Called by itself when the process ends. Blocks up to ``timeout`` seconds (default ``exit_timeout``): on an event
        loop use :meth:`aclose`.

        Args:
            reason: why, for the ``mcbot.bot.stopped`` record. An intended stop: ``mcbot_expected_up`` becomes 0.
        """
        self._close(Stop(reason), self.settings.exit_timeout if timeout is None else timeout)

    async def aclose(self, timeout: float | None = None, reason: str = "close") -> None:
        """:meth:`close` without blocking the event loop."""
        if self.is_open:
            future = self._keeper.submit(lambda: self.close(reason, timeout))
            limit = self.settings.exit_timeout if timeout is None else timeout
            await asyncio.wait([asyncio.wrap_future(future)], timeout=limit + 1.0)

    def stats(self) -> Stats:
        """What became of the telemetry so far, exactly."""
        counts = self.outbox.counts()
        kinds = {"spans": counts["traces"], "log_records": counts["logs"]}
        counted = self._providers.counted
        return Stats(
            emitted={kind: count.emitted for kind, count in kinds.items()},
            exported={kind: count.delivered for kind, count in kinds.items()},
            dropped={
                **{kind: sum(count.dropped.values()) for kind, count in kinds.items()},
                "measurements": sum(instruments.dropped.values()),
                "facts": sum(self.hub.dropped.values()) + sum(self.hub.ledger.dropped[reason] for reason in REFUSED),
            },
            metric_series=counted.series if counted is not None else 0,
        )

    @property
    def prometheus_port(self) -> int | None:
        """The port of the pull endpoint, ``None`` when it was not asked for."""
        return self._providers.prometheus_port

    # -- the keeper ------------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        self.hub.tick()
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK
            self._save()
            if self._bridge is not None:
                self._bridge.check()

    def _save(self) -> None:
        with Guard("save"):
            with self.hub.lock:
                rows = self.hub.ledger.take_dirty()  # also without a disk: the list must not grow
            if self._store is not None:
                self._store.save(rows)

    def _save_last(self) -> None:
        self._save()
        self.detectors.save()

    def _dropped(self) -> Iterator[tuple[float, Mapping[str, str]]]:
        counts = self.outbox.counts()
        names: dict[Signal, str] = {"traces": "spans", "metrics": "metrics", "logs": "log_records"}
        for signal, name in names.items():
            for reason, count in {**dict.fromkeys(DROPS, 0), **counts[signal].dropped}.items():
                yield count, {"signal": name, "reason": reason}

    def _on_stall(self, stall: StallInfo) -> None:
        where = stall.frame or "unknown code"
        if stall.ended:
            body, severity = f"the event loop hung for {stall.seconds:.1f} s in {where}", "INFO"
        else:
            body, severity = f"the event loop hangs in {where}, {stall.seconds:.1f} s so far", "WARN"
        self._emit(
            semconv.BotEvent.LOOP_STALLED,
            body,
            severity=severity,
            **{
                semconv.STALL_SECONDS: stall.seconds,
                semconv.STALL_FRAME: stall.frame,
                semconv.STACKTRACE: stall.stack or None,
            },
        )

    # -- the end ---------------------------------------------------------------------------------------------------

    def _on_end(self, stop: Stop) -> None:
        self._close(stop, self.settings.exit_timeout)

    def _on_crash(self, error: BaseException, main: bool) -> None:
        component = "LiveRunner" if main else "Thread"
        self.tell(ErrorOccurred(component=component, error_type=type(error).__name__, message=str(error)))

    def _close(self, stop: Stop, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        if not self.is_open or not self._closing.acquire(timeout=max(0.0, timeout)):
            return
        try:
            if self.is_open:
                self._shut(stop, deadline)
        finally:
            self._open = False
            self._closing.release()

    def _shut(self, stop: Stop, deadline: float) -> None:
        if hub.current() is self.hub:
            hub.install(None)  # nothing of the bot comes after this
        with Guard("close"):
            self._monitor.stop()
        with Guard("close"):
            self.hub.lifecycle.close()
        self._emit(
            semconv.BotEvent.STOPPED,
            f"{self.settings.service_name} stopped: {stop.reason}",
            severity="INFO" if stop.graceful else "ERROR",
            exception=stop.error,
            **{semconv.STOP_REASON: stop.reason, semconv.UPTIME: time.monotonic() - self._started},
        )
        with Guard("close"):
            if self._bridge is not None:
                self._bridge.close()
        with Guard("close"):
            if stop.graceful:
                self.hub.recorders.close()
        self.detectors.stop()
        if self._keeper.is_me:
            self._save_last()
        else:  # a disk that hangs must not hold up the end
            _wait(self._keeper.submit(self._save_last), deadline)
        # a host's exporter may block there: some of the time is kept for what is in the outbox already
        _wait(self._flusher.submit(self._providers.shutdown), time.monotonic() + 0.7 * (deadline - time.monotonic()))
        self.outbox.close(deadline)
        catalog.unbind()
        self._flusher.stop()
        self._keeper.stop()
        if self._store is not None:
            self._store.close()
        if self._lease is not None:
            self._lease.release()
        self._ending.remove()

    def _forked(self) -> None:
        """In a forked child: the parent goes on, this copy is dead. No lock is taken: somebody may have held it."""
        if self._open and self._bridge is not None:
            self._bridge.mute()
        self._open = False
        if self._lease is not None:
            self._lease.forget()
        self._providers.stop_serving(forked=True)


def _outbox(settings: Settings, identity: Identity) -> Outbox:
    directory = identity.directory / "otlp" if identity.directory is not None and settings.json_bytes else None
    mode: Literal["otlp", "embedded"] = "otlp" if settings.has_endpoint or directory is None else "embedded"
    try:
        return Outbox(
            "off" if settings.disabled or settings.mode == "backtest" else mode,
            protocol=cast("Literal['http/protobuf', 'grpc']", settings.protocol),
            buffer_bytes=settings.buffer_bytes,
            directory=directory,
            file_bytes=settings.json_bytes,
            timeout=settings.export_timeout,
            look_every=60.0 if settings.find_collector else math.inf,
        )
    except ModuleNotFoundError:
        raise SettingsError("protocol", settings.protocol, _EXTRA.format("grpc")) from None


_LATE: Final = (
    "netrc",
    "psutil",
    "opentelemetry.proto.collector.logs.v1.logs_service_pb2",
    "opentelemetry.proto.collector.metrics.v1.metrics_service_pb2",
    "opentelemetry.proto.collector.trace.v1.trace_service_pb2",
)
"""What our threads, or the libraries under them, import when they first need it."""


def _import_late() -> None:
    """Import it before there are threads: a fork in the middle of an import leaves its lock taken in the child."""
    for name in _LATE:
        with Guard("import"):
            importlib.import_module(name)


_EXTRA: Final = "only after pip install 'otel-mcbot[{}]'"


def _need(extra: str, setting: str, value: object) -> None:
    modules = {"prometheus": "opentelemetry.exporter.prometheus", "asyncio": "opentelemetry.instrumentation.asyncio"}
    try:
        importlib.import_module(modules[extra])
    except ModuleNotFoundError:
        raise SettingsError(setting, value, _EXTRA.format(extra)) from None


@contextlib.contextmanager
def _as_environment(settings: Settings) -> Iterator[None]:
    """The stock exporters read where and how to send from the environment only: let them read what was decided."""
    values = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": settings.endpoint,
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": settings.traces_endpoint,
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": settings.metrics_endpoint,
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": settings.logs_endpoint,
        "OTEL_SDK_DISABLED": "false",  # whoever is disabled makes no use of what is made here
        "OTEL_EXPORTER_OTLP_HEADERS": ",".join(f"{key}={quote(value)}" for key, value in settings.headers.items()),
    }
    before = {name: os.environ.get(name) for name in values}
    os.environ.update({name: value for name, value in values.items() if value})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _instrument_asyncio(providers: Providers) -> None:
    from opentelemetry.instrumentation.asyncio import AsyncioInstrumentor

    AsyncioInstrumentor().instrument(tracer_provider=providers.tracer, meter_provider=providers.meter)


def _quiet_sdk() -> None:
    """Trouble of the SDK is said once a minute by each of its modules, not at every measurement."""
    for name in [*logging.root.manager.loggerDict]:
        if name.startswith("opentelemetry."):
            module = logging.getLogger(name)
            if not any(isinstance(present, OnceAMinute) for present in module.filters):
                module.addFilter(OnceAMinute())


def _wait(future: Future[Any], deadline: float) -> bool:
    try:
        future.result(max(0.0, deadline - time.monotonic()))
    except Exception as error:
        logger.debug("a flush did not end in time: %r", error)
        return False
    return True


# -- the process' one ------------------------------------------------------------------------------------------------

_configuring = threading.RLock()
_telemetry: Telemetry | None = None
_stand_in: Telemetry | None = None


def stand_in(telemetry: Telemetry | None) -> Telemetry | None:
    """Let ``configure()`` return ``telemetry`` and start nothing, for tests. Returns the one before."""
    global _stand_in
    before, _stand_in = _stand_in, telemetry
    return before


def configure(
    service_name: str | None = None,
    *,
    mode: str | None = None,
    expect: Mapping[str, str] | None = None,
    strategies: Sequence[str] = (),
    version: str | None = None,
    exchange: str | None = None,
    config: object = None,
    tracer_provider: trace.TracerProvider | None = None,
    meter_provider: metrics.MeterProvider | None = None,
    logger_provider: _logs.LoggerProvider | None = None,
    **settings: Any,
) -> Telemetry:
    """Start the telemetry of this process. A second call returns what the first one made.

    Neither a dead network nor a full disk makes it fail; only a setting that cannot be used does. Call it in the main
    thread: elsewhere a signal that nobody handles ends the process without a last export, as Python has it.

    Args:
        service_name: the bot's name.
        mode: ``live``, ``paper``, ``shadow`` or ``backtest``.
        expect: symbols that must arrive, each with its timeframe: ``{"BTC/USDT": "1m"}``.
        strategies: strategies whose counters exist at 0 from the start.
        version: the bot's version.
        exchange: the venue it trades on.
        config: the bot's configuration, anything; a short hash of it is kept.
        tracer_provider: used instead of the one that is set, or of our own; likewise the other two.
        settings: any field of :class:`~otel_mcbot.settings.Settings` (docs/settings.md).

    Raises:
        SettingsError: a setting cannot be used. Uncaught it ends the script with status 2; the line is on standard
            error already.
        TypeError: an argument that is no setting.
    """
    global _telemetry
    arguments = {
        "service_name": service_name, "mode": mode, "expect": expect or None, "strategies": tuple(strategies) or None,
        "version": version, "exchange": exchange, **settings,
    }  # fmt: skip
    try:
        with _configuring:
            if _stand_in is not None:
                Settings.load({}, **arguments)
                return _stand_in
            loaded = Settings.load(**arguments)
            if _telemetry is not None and _telemetry.is_open:
                if loaded != _telemetry.settings and any(value is not None for value in arguments.values()):
                    logger.warning("configure() was called again with other settings: the first ones stay")
                return _telemetry
            Guard.strict = loaded.strict
            try:
                _telemetry = Telemetry(loaded, config, (tracer_provider, meter_provider, logger_provider))
            except Exception as error:
                if loaded.strict or isinstance(error, SettingsError):
                    raise
                logger.exception("telemetry cannot start, the bot goes on without it")
                _telemetry = Telemetry(replace(loaded, disabled=True), config)
            return _telemetry
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise


def _after_fork() -> None:
    global _configuring
    _configuring = threading.RLock()
    Guard.forget()
    hub.install(None)
    if _telemetry is not None:
        _telemetry._forked()
        catalog.unbind()
        instruments.dropped.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
