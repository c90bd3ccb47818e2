"""The detectors in a running bot: fed by its facts and its days, kept in its directory, said in metrics and records.

The mathematics is in ``detect``. Here it meets the process: execution is judged as orders come, in the thread that
tells of them (microseconds); a day of a pod is judged by the keeper's thread (up to some milliseconds, and a write to
disk), so that an event loop never waits for it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from opentelemetry.context import Context

from otel_mcbot import catalog, facts, semconv
from otel_mcbot.detect.bank import Anomaly, BankSettings, DetectorBank, InitResult, Name, PodReport
from otel_mcbot.detect.execution import ExecutionAnomaly, ExecutionAnomalyDetector, ExecutionLimits
from otel_mcbot.detect.lifecycle import LifecycleResult
from otel_mcbot.detect.severity import Severity
from otel_mcbot.guard import Guard
from otel_mcbot.record.execution import ExpectedPrice

if TYPE_CHECKING:
    from otel_mcbot.ledger import Change, Order
    from otel_mcbot.logs import Events
    from otel_mcbot.record import Recorders
    from otel_mcbot.settings import Settings

R = TypeVar("R")

CYCLE: Final = 30.0
"""Seconds between two looks at the fill rate."""

FILE: Final = "detectors.json"

EXECUTION: Final = "execution"
NAMES: Final[Mapping[Name, str]] = {
    "drawdown": "gbm_drawdown",
    "drift": "distribution_drift",
    "decay": "structural_decay",
    "lifecycle": "page_hinkley",
}
"""Detector → its value of the label ``detector``."""

_SAID: Final = {"NORMAL": "INFO", "WARNING": "WARN", "CRITICAL": "ERROR"}

_guard: Final = Guard("detectors")


class Detectors:
    """All detectors of one bot: ``telemetry.detectors``.

    The futures that it returns need not be looked at; what is in them is recorded already. Await one on an event loop
    with ``await asyncio.wrap_future(future)``. Nothing here raises into the bot; while telemetry is off nothing is
    judged, and the answer says so.

    Attributes:
        bank: the pods' detectors, for reading.
    """

    def __init__(self, settings: Settings, recorders: Recorders, events: Events) -> None:
        self._settings = BankSettings(
            mode="calibrated" if settings.detectors == "calibrated" else "default",
            driver=settings.detector_driver,  # type: ignore[arg-type]  # one of these, or None: so it was read
            budget=settings.detector_budget,
            critical_budget=max(0.01, settings.detector_budget / 5.0),
            grace_days=settings.detector_grace_days,
        )
        self._recorders = recorders
        self._events = events
        self._prices = ExpectedPrice()
        self._execution = ExecutionAnomalyDetector(
            ExecutionLimits.calibrated() if self._settings.mode == "calibrated" else ExecutionLimits()
        )
        self._lock = threading.RLock()  # facts come from several threads, the cycle from the keeper's
        self._wrong: dict[tuple[str, str | None], Severity] = {}
        self._due = 0.0
        self._unsaved = False
        self._pid = os.getpid()
        self._submit: Callable[[Callable[[], Any]], Future[Any]] | None = None
        self.bank = DetectorBank(None, self._settings, execution=self._execution)

    # -- what a bot uses -----------------------------------------------------------------------------------------------

    def auto_init(self, pod_id: str, returns: Iterable[object]) -> Future[InitResult]:
        """Give a pod its detectors, made of its backtest's daily returns; a pod that has a backtest keeps it.

        Args:
            returns: simple daily returns, fractions (0.01 is 1 %), oldest first; 30 usable ones or more.

        Returns:
            a future of whether the pod is ready, and why not.
        """
        returns = list(returns)  # now, in the caller's thread: the bot may go on changing its list
        off = InitResult(str(pod_id), False, "telemetry is off", 0.0, 0.0, 0, len(returns))
        return self._later(lambda: self._init(str(pod_id), returns), off)

    def update(self, pod_id: str, daily_return: object, day: object = None) -> Future[PodReport]:
        """Feed one day of one pod, once a day.

        Args:
            daily_return: simple return of the day, a fraction.
            day: date, datetime or ISO text; a day that is not after the pod's last one is ignored. Without it every
                call is a day.

        Returns:
            a future of what each detector says; it is on disk by then.
        """
        off = PodReport(str(pod_id), None, False, "telemetry is off")
        return self._later(lambda: self._update(str(pod_id), daily_return, day), off)

    def lifecycle(self, pod_id: str) -> LifecycleResult | None:
        """Where a pod stands: ``state``, ``status`` (``HEALTHY``, ``DEGRADING (PH: 2/3)``, ``RETIRED``), ``score``."""
        pod = self.bank.pod(str(pod_id))
        return None if pod is None else pod.lifecycle.result

    def status(self, pod_id: str) -> str | None:
        """``PH: 2/3``: how many thirds of its threshold the lifecycle's score has reached; None for an unknown pod."""
        result = self.lifecycle(pod_id)
        return None if result is None else result.ph

    def remove(self, pod_id: str) -> Future[None]:
        """Forget a pod, and its gauges."""
        return self._later(lambda: self._remove(str(pod_id)), None)

    # -- what telemetry uses -------------------------------------------------------------------------------------------

    def start(
        self, directory: Path | None = None, submit: Callable[[Callable[[], Any]], Future[Any]] | None = None
    ) -> None:
        """Begin, where the last run ended.

        Args:
            directory: where the state file is; None keeps nothing.
            submit: has a function run in another thread; default: at once, in the caller's.
        """
        if directory is not None:
            self.bank = DetectorBank(directory / FILE, self._settings, execution=self._execution)
        self._submit = submit or _at_once
        for pod_id in self.bank.pods:
            with _guard:
                self._recall(pod_id)

    def stop(self) -> None:
        """No more is judged."""
        self._submit = None

    def save(self) -> None:
        """Write what changed since the last write."""
        if self._unsaved:
            self._unsaved = False
            self.bank.save()

    def tick(self, now: float) -> None:
        """The fill rate, every 30 s; ``now`` is monotonic."""
        if self._submit is None or now < self._due:
            return
        self._due = now + CYCLE
        with _guard, self._lock:
            self._judge({("low_fill_rate", a.symbol): a for a in self._execution.check_fill_rate()}, ("low_fill_rate",))
            self._show_execution()
            self.save()

    def on_fact(self, fact: facts.Fact, changes: Sequence[Change], context: Context | None) -> None:
        """Judge execution by what the ledger learnt."""
        if isinstance(fact, facts.BarReceived):
            self._prices.note_bar(fact)
        if self._submit is not None:
            with self._lock:
                for change in changes:
                    if change.order.known:
                        self._order(change, fact.at, context)

    # -- execution -----------------------------------------------------------------------------------------------------

    def _order(self, change: Change, at: float, context: Context | None) -> None:
        order = change.order
        symbol, name = order.symbol, order.client_id
        if change.requested:
            self._prices.note_request(order)
        if change.validated:  # what risk management refuses was never sent: no fill can be missed
            self._execution.on_order_request(symbol, name)
        if change.ended and change.after == "rejected":
            found = self._execution.on_rejection(symbol, name)
            self._told(found, ("consecutive_rejections",), order, context)
        elif change.quantity > 0 or change.completed:
            since = order.requested_at if order.signal_at is None else order.signal_at
            latency = max(0.0, at - since) if change.completed else None  # once an order, as mcbot_order_latency
            found = self._execution.on_fill(latency, self._prices.slippage(change), symbol, name)
            kinds = ("latency_spike", "slippage_trend", "consecutive_rejections")
            self._told(found, kinds if change.completed else kinds[1:], order, context)
        if change.ended:
            self._prices.forget(order)

    def _told(
        self, found: Iterable[ExecutionAnomaly], kinds: Iterable[str], order: Order, context: Context | None
    ) -> None:
        self._unsaved = True
        self._judge({(a.anomaly_type, a.symbol): a for a in found}, kinds, order, context)
        catalog.execution_consecutive_rejections.set(self._execution.consecutive_rejections())

    def _judge(
        self,
        found: Mapping[tuple[str, str | None], ExecutionAnomaly],
        kinds: Iterable[str],
        order: Order | None = None,
        context: Context | None = None,
    ) -> None:
        """Say what turned for the worse, and note what is well again, of ``kinds`` of the order's symbol and of all."""
        if not found and not self._wrong:
            return
        looked_at = {(kind, symbol) for kind, symbol in self._wrong if kind in kinds}
        if order is not None:
            looked_at = {key for key in looked_at if key[1] in (None, order.symbol)}
        for key in looked_at - found.keys():
            del self._wrong[key]
        worse = {}
        for key, anomaly in found.items():
            before = self._wrong.get(key, Severity.NORMAL)
            self._wrong[key] = anomaly.severity
            if anomaly.severity.level > before.level:
                worse[key] = anomaly
        named = {kind for kind, symbol in worse if symbol is not None}
        for (kind, symbol), anomaly in worse.items():
            if symbol is None and kind in named:
                continue  # one and the same, seen by the symbol's detector too
            catalog.anomalies.add(context=context, detector=EXECUTION, severity=anomaly.severity.value)
            self._say(
                EXECUTION,
                anomaly.severity,
                anomaly.message,
                context,
                {
                    semconv.ANOMALY_KIND: kind,
                    semconv.ANOMALY_VALUE: anomaly.current_value,
                    semconv.ANOMALY_THRESHOLD: anomaly.threshold,
                    semconv.ANOMALY_UNIT: anomaly.unit,
                    semconv.SYMBOL: symbol if order is None else order.symbol,
                    semconv.ORDER_CLIENT_ID: None if order is None else order.client_id,
                    semconv.STRATEGY: None if order is None else order.strategy,
                    semconv.POD_ID: None if order is None else order.pod_id,
                },
            )

    def _show_execution(self) -> None:
        catalog.execution_consecutive_rejections.set(self._execution.consecutive_rejections())
        rate = self._execution.fill_rate()
        if rate is None:
            catalog.execution_fill_rate.forget()
        else:
            catalog.execution_fill_rate.set(rate)

    # -- pods ----------------------------------------------------------------------------------------------------------

    def _init(self, pod_id: str, returns: Iterable[object]) -> InitResult:
        result = self.bank.auto_init_detectors(pod_id, returns)
        if result.ready:
            self._show_state(pod_id)
        return result

    def _update(self, pod_id: str, daily_return: object, day: object) -> PodReport:
        report = self.bank.update(pod_id, daily_return, day)
        if report.accepted:
            with _guard:
                self._record(report)
        return report

    def _remove(self, pod_id: str) -> None:
        self.bank.remove(pod_id)
        self._recorders.anomaly.forget(pod_id)
        catalog.pod_lifecycle_state.remove(pod_id=pod_id)

    def _record(self, report: PodReport) -> None:
        self._show(report)
        said = {anomaly.detector for anomaly in report.anomalies if anomaly.is_new}
        for anomaly in report.anomalies:
            if anomaly.is_new:
                self._say_pod(anomaly)
        moved = report.lifecycle
        if moved is not None and moved.changed:
            self._show_state(report.pod_id)
            if "lifecycle" not in said:  # a recovery, or a step that is no worse in severity
                self._say(
                    NAMES["lifecycle"], moved.severity, f"{report.pod_id}: {moved.message}", None,
                    {semconv.POD_ID: report.pod_id},
                )  # fmt: skip

    def _show(self, report: PodReport) -> None:
        """The gauges. A detector that is not ready keeps its own as they were."""
        recorder, pod = self._recorders.anomaly, report.pod_id
        if (gbm := report.drawdown) is not None and gbm.ready:
            recorder.on_drawdown(pod, gbm.current_depth, gbm.current_duration_days, gbm.severity)
        if (drift := report.drift) is not None and drift.ready:
            recorder.on_drift(pod, drift.ks_statistic, drift.p_value, drift.severity)
        if (decay := report.decay) is not None and decay.ready and not decay.degenerate:
            recorder.on_decay(
                pod, decay.ransac_slope, decay.conformal_lower_bound, decay.current_cumulative, decay.decay_detected,
                decay.severity,
            )  # fmt: skip
        if report.lifecycle is not None:
            recorder.on_anomaly(NAMES["lifecycle"], report.lifecycle.severity, pod)

    def _recall(self, pod_id: str) -> None:
        """After a restart: gauges as they were, and what was wrong is not news."""
        report = self.bank.recall(pod_id)
        if report is None:
            return
        for name, label in NAMES.items():
            result = getattr(report, name)
            if result is not None:
                self._recorders.anomaly.remember(label, result.severity, pod_id)
        self._show(report)
        self._show_state(pod_id)

    def _show_state(self, pod_id: str) -> None:
        result = self.lifecycle(pod_id)
        if result is not None:
            catalog.pod_lifecycle_state.set_state(result.state.value, pod_id=pod_id)

    def _say_pod(self, anomaly: Anomaly) -> None:
        numbers = {f"{semconv.ANOMALY_NUMBER_PREFIX}{name}": value for name, value in anomaly.numbers.items()}
        attributes = {semconv.POD_ID: anomaly.pod_id, **numbers}
        text = f"{anomaly.pod_id}: {anomaly.message}"
        self._say(NAMES[anomaly.detector], anomaly.severity, text, None, attributes)

    # -- both ----------------------------------------------------------------------------------------------------------

    def _say(
        self, detector: str, severity: Severity, text: str, context: Context | None, attributes: Mapping[str, Any]
    ) -> None:
        self._events.emit(
            semconv.BotEvent.ANOMALY.value,
            text,
            severity=_SAID[severity.value],
            context=context,
            **{
                semconv.ANOMALY_DETECTOR: detector,
                semconv.ANOMALY_SEVERITY: severity.value.lower(),
                **attributes,
            },
        )

    def _later(self, function: Callable[[], R], off: R) -> Future[R]:
        if self._submit is None or os.getpid() != self._pid:  # off, or a forked child without the thread
            return _at_once(lambda: off)
        return self._submit(function)


def _at_once(function: Callable[[], R]) -> Future[R]:
    future: Future[R] = Future()
    try:
        future.set_result(function())
    except Exception as error:
        future.set_exception(error)
    return future
