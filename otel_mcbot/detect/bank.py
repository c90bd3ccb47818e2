"""A set of detectors for every pod of a bot, fed once a day and kept in one file.

``DetectorBank.update`` and ``auto_init_detectors`` cost from half a millisecond (a day) to some tens of milliseconds (a
start) and write a file: call them off the bot's event loop, from any thread. ``execution`` is for the trading path.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

from otel_mcbot.detect.decay import ConformalRANSACDetector, DecayCheckResult
from otel_mcbot.detect.drawdown import MIN_SIGMA, DrawdownCheckResult, GBMDrawdownMonitor
from otel_mcbot.detect.drift import DistributionDriftDetector, DriftCheckResult
from otel_mcbot.detect.execution import ExecutionAnomalyDetector
from otel_mcbot.detect.inputs import clean, looks_like_percent, number
from otel_mcbot.detect.inputs import daily_return as usable_return
from otel_mcbot.detect.lifecycle import LifecycleResult, PodLifecycle
from otel_mcbot.detect.severity import Mode, Severity, check_mode
from otel_mcbot.detect.shift import CusumDetector, PageHinkleyDetector, RankShiftDetector, ShiftDetector
from otel_mcbot.detect.volatility import WARM_UP

SCHEMA = 2
"""Version of the state file. A file of another version is set aside, not guessed at."""

Driver = Literal["page_hinkley", "cusum", "rank"]
Name = Literal["drawdown", "drift", "decay", "lifecycle"]

_NAMES: tuple[Name, ...] = ("drawdown", "drift", "decay", "lifecycle")

_log = logging.getLogger("otel_mcbot.detect")


@dataclass(frozen=True, slots=True)
class BankSettings:
    """How every pod is judged.

    Attributes:
        mode: of drawdown, drift and decay.
        driver: what moves a pod's state; None: Page-Hinkley in default mode, the CUSUM in calibrated mode.
        budget, critical_budget: share of healthy years in which any calibrated detector of a pod may warn, and be
            critical. Each of the four has a quarter of it: that holds however much they agree.
        min_returns: backtest returns that a pod needs, default 30.
        warning_days, grace_days: see ``PodLifecycle``.
    """

    mode: Mode = "default"
    driver: Driver | None = None
    budget: float = 0.05
    critical_budget: float = 0.01
    min_returns: int = 30
    warning_days: int = 30
    grace_days: int = 30

    def __post_init__(self) -> None:
        check_mode(self.mode)
        if self.driver not in (None, "page_hinkley", "cusum", "rank"):
            raise ValueError(f"driver must be 'page_hinkley', 'cusum' or 'rank', not {self.driver!r}")
        if not 0.01 <= self.critical_budget <= self.budget <= 0.20:
            raise ValueError("0.01 <= critical_budget <= budget <= 0.20 must hold")
        if min(self.min_returns, self.warning_days, self.grace_days) < 2:
            raise ValueError("min_returns, warning_days and grace_days must be at least 2")

    @property
    def share(self) -> float:
        """One detector's part of the budget."""
        return self.budget / len(_NAMES)

    @property
    def critical_share(self) -> float:
        """One detector's part of the critical budget."""
        return self.critical_budget / len(_NAMES)


@dataclass(frozen=True, slots=True)
class InitResult:
    """What ``auto_init_detectors`` did with a pod.

    Attributes:
        ready: the pod has its detectors (new or kept).
        reason: why not, or what is worth knowing; empty when all is plain.
        used, ignored: returns taken and left out.
    """

    pod_id: str
    ready: bool
    reason: str
    mu: float
    sigma: float
    used: int
    ignored: int


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A detector that is not NORMAL today.

    Attributes:
        previous: the detector's severity on the day before; ``is_new`` when it rose.
        numbers: what the message says, for an event record.
    """

    pod_id: str
    detector: Name
    severity: Severity
    previous: Severity
    message: str
    numbers: Mapping[str, float]

    @property
    def is_new(self) -> bool:
        """The severity rose today."""
        return self.severity.level > self.previous.level


@dataclass(frozen=True, slots=True)
class PodReport:
    """One day of one pod. A detector that the pod does not have is None.

    Attributes:
        accepted: the return was fed; if not, ``reason`` says why. A day that was fed already has no results; a return
            that is none has the last results again, with ``valid`` False.
    """

    pod_id: str
    day: str | None
    accepted: bool
    reason: str
    drawdown: DrawdownCheckResult | None = None
    drift: DriftCheckResult | None = None
    decay: DecayCheckResult | None = None
    lifecycle: LifecycleResult | None = None
    anomalies: tuple[Anomaly, ...] = ()


class PodDetectors:
    """The detectors of one pod. ``reference`` empty: only those that need no backtest."""

    def __init__(self, pod_id: str, reference: Iterable[object] = (), settings: BankSettings | None = None) -> None:
        self.pod_id = pod_id
        self.settings = settings or BankSettings()
        self.reference = clean(reference)
        self.drawdown: GBMDrawdownMonitor | None = None
        self.drift: DistributionDriftDetector | None = None
        self.decay: ConformalRANSACDetector | None = None
        s = self.settings
        if self.reference:
            self.drawdown = (
                GBMDrawdownMonitor.from_returns(
                    self.reference, 1.0 - s.share, critical_confidence=1.0 - s.critical_share
                )
                if s.mode == "calibrated"
                else GBMDrawdownMonitor(*GBMDrawdownMonitor.estimate_params(self.reference))
            )
            self.drift = DistributionDriftDetector(
                self.reference, mode=s.mode, budget=s.share, critical_budget=s.critical_share
            )
        if self.reference or s.mode == "default":
            self.decay = ConformalRANSACDetector(
                mode=s.mode, reference_returns=self.reference, budget=s.share, critical_budget=s.critical_share
            )
        self.lifecycle = PodLifecycle(self._driver(), warning_days=s.warning_days, grace_days=s.grace_days)
        self.last_day: str | None = None
        self.failures = 0
        self._severities: dict[str, Severity] = {}

    def update(self, daily_return: object, day: str | None = None) -> PodReport:
        """Feed one return to every detector. Never raises; a detector that fails is counted and not in the report."""
        r = usable_return(daily_return)
        results: dict[Name, Any] = {}
        for name in _NAMES:
            detector = getattr(self, name)
            if detector is None:
                continue
            try:
                results[name] = detector.update(daily_return)
            except Exception as error:  # one failing detector must not silence the others, nor reach the bot
                self.failures += 1
                if self.failures == 1:
                    _log.error("pod %s: detector %s failed: %s: %s", self.pod_id, name, type(error).__name__, error)
        anomalies = []
        for found, result in results.items():
            previous = self._severities.get(found, Severity.NORMAL)
            self._severities[found] = result.severity
            if result.severity is not Severity.NORMAL:
                message = result.message or getattr(result, "status", "")
                anomalies.append(Anomaly(self.pod_id, found, result.severity, previous, message, _numbers(result)))
        if r is not None and day is not None:
            self.last_day = day
        reason = "" if r is not None else f"not a daily return: {_short(daily_return)}"
        return PodReport(self.pod_id, day, r is not None, reason, **results, anomalies=tuple(anomalies))

    def recall(self) -> PodReport:
        """The last results again; nothing is fed."""
        results = {name: d.result for name in _NAMES if (d := getattr(self, name)) is not None}
        return PodReport(self.pod_id, self.last_day, True, "", **results)

    def to_dict(self) -> dict[str, Any]:
        """Everything but code: settings, backtest, states."""
        return {
            "settings": asdict(self.settings),
            "reference": self.reference,
            "last_day": self.last_day,
            "failures": self.failures,
            "severities": {name: s.value for name, s in self._severities.items()},
            **{name: d.to_dict() for name in _NAMES if (d := getattr(self, name)) is not None},
        }

    @classmethod
    def from_dict(cls, pod_id: str, state: Mapping[str, Any]) -> PodDetectors:
        """The pod that ``to_dict`` described. KeyError, TypeError or ValueError for anything else."""
        pod = cls(pod_id, state["reference"], BankSettings(**state["settings"]))
        for name in _NAMES:
            if (detector := getattr(pod, name)) is not None:
                detector.restore_from_dict(state[name])
        pod.last_day = None if state["last_day"] is None else str(state["last_day"])
        pod.failures = int(state["failures"])
        pod._severities = {str(name): Severity(value) for name, value in state["severities"].items()}
        return pod

    def _driver(self) -> ShiftDetector:
        wanted = self.settings.driver or ("cusum" if self.settings.mode == "calibrated" else "page_hinkley")
        if wanted == "cusum" and len(self.reference) > WARM_UP:
            return CusumDetector.from_returns(self.reference, budget=self.settings.share)
        if wanted != "page_hinkley" and len(self.reference) >= 30:
            return RankShiftDetector(self.reference, budget=self.settings.share)
        return PageHinkleyDetector()


class DetectorBank:
    """All pods of a bot.

    Args:
        path: the state file; None keeps nothing. It is read now and written after every update, atomically.
        settings: see ``BankSettings``. A pod stored under other settings keeps its backtest and its lifecycle state and
            starts the rest afresh.
        execution: default ``ExecutionAnomalyDetector()``.

    A file that is damaged or of another version is renamed to ``<name>.corrupt`` or ``<name>.schema-<n>`` (numbered
    when that exists), logged as a warning and reported in ``notices``; the bank then starts empty.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        settings: BankSettings | None = None,
        *,
        execution: ExecutionAnomalyDetector | None = None,
    ) -> None:
        self.settings = settings or BankSettings()
        self.execution = execution or ExecutionAnomalyDetector()
        self.notices: list[str] = []
        self.save_failures = 0
        self.ignored = 0
        self._path = None if path is None else Path(path)
        self._pods: dict[str, PodDetectors] = {}
        self._lock = threading.RLock()
        self._file_lock = threading.Lock()
        self._said: set[str] = set()
        if self._path is not None:
            self._load(self._path)

    @property
    def pods(self) -> tuple[str, ...]:
        """The pods that have detectors."""
        with self._lock:
            return tuple(self._pods)

    def pod(self, pod_id: str) -> PodDetectors | None:
        """A pod's detectors, for reading."""
        with self._lock:
            return self._pods.get(pod_id)

    def auto_init_detectors(self, pod_id: str, returns: Iterable[object], *, force: bool = False) -> InitResult:
        """Give a pod its detectors, made of its backtest's daily returns. Never raises.

        A pod that already has a backtest keeps it, or its own live returns would become what it is judged by; ``force``
        replaces it. Too few returns (a new pod) or a standard deviation below 1e-12: no backtest detectors yet.
        """
        pod_id = str(pod_id)
        try:
            values = list(returns)
        except TypeError:
            values = []
        usable = clean(values)
        mu, sigma = GBMDrawdownMonitor.estimate_params(usable)
        used, ignored = len(usable), len(values) - len(usable)

        def result(ready: bool, reason: str) -> InitResult:
            if not ready:
                _log.info("pod %s: no detectors: %s", pod_id, reason)
            return InitResult(pod_id, ready, reason, mu, sigma, used, ignored)

        notes = []
        if any(looks_like_percent(x) for x in map(number, values) if x is not None):
            notes.append(self._say_percent(pod_id))
        with self._lock:
            known = self._pods.get(pod_id)
            if known is not None and known.reference and not force:
                return result(True, "kept the backtest that the pod already has")
        if used < self.settings.min_returns:
            return result(False, f"{used} usable returns, {self.settings.min_returns} are needed")
        if not sigma > MIN_SIGMA:
            return result(False, "the returns are constant")
        try:
            pod = PodDetectors(pod_id, usable, self.settings)
        except (ValueError, ImportError) as error:
            return result(False, f"{type(error).__name__}: {error}")
        if self.settings.mode == "calibrated" and used <= WARM_UP:
            notes.append(f"calibrated drift needs more than {WARM_UP} returns and stays silent")
        with self._lock:
            if (known := self._pods.get(pod_id)) is not None:
                _carry_over(known, pod)
            self._pods[pod_id] = pod
        self.save()
        return result(True, "; ".join(notes))

    def update(self, pod_id: str, daily_return: object, day: object = None) -> PodReport:
        """Feed one day of one pod and keep the file. Never raises.

        Args:
            daily_return: simple return of the day, a fraction.
            day: date, datetime or ISO text; a day that is not after the pod's last, or is none, is ignored and
                counted. None: every call is a day.
        """
        pod_id = str(pod_id)
        try:
            iso = _iso(day)
        except ValueError:
            self.ignored += 1
            return PodReport(pod_id, None, False, f"not a day: {_short(day)}; a date or ISO text is expected")
        with self._lock:
            pod = self._pods.get(pod_id)
            if pod is None:
                pod = self._pods[pod_id] = PodDetectors(pod_id, (), self.settings)
            if iso is not None and pod.last_day is not None and iso <= pod.last_day:
                self.ignored += 1
                return PodReport(pod_id, iso, False, f"day {iso} is not after {pod.last_day}")
            value = number(daily_return)
            if value is not None and looks_like_percent(value):
                self._say_percent(pod_id)
            report = pod.update(daily_return, iso)
            if not report.accepted:
                self.ignored += 1
        self.save()
        return report

    def recall(self, pod_id: str) -> PodReport | None:
        """A pod's last results again; nothing is fed. None for an unknown pod."""
        with self._lock:
            pod = self._pods.get(pod_id)
            return None if pod is None else pod.recall()

    def remove(self, pod_id: str) -> None:
        """Forget a pod."""
        with self._lock:
            self._pods.pop(pod_id, None)
        self.save()

    def save(self) -> bool:
        """Write the state file now. False when that failed (logged once, counted); never raises."""
        if self._path is None:
            return True
        with self._file_lock:
            try:
                with self._lock:
                    body = {
                        "pods": {pod_id: pod.to_dict() for pod_id, pod in self._pods.items()},
                        "execution": self.execution.to_dict(),
                    }
                _write(self._path, _encode(body))
            except (OSError, TypeError, ValueError) as error:
                self.save_failures += 1
                self._say("save", f"detector state cannot be written: {error}")
                return False
        return True

    def _load(self, path: Path) -> None:
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            self._say("load", f"detector state cannot be read: {error}")
            return
        try:
            version, body = _decode(raw)
        except ValueError as error:
            self._set_aside(path, "corrupt", f"is damaged ({error})")
            return
        if version != SCHEMA:
            self._set_aside(path, f"schema-{version}", f"has schema {version}, not {SCHEMA}")
            return
        try:
            pods = {pod_id: PodDetectors.from_dict(pod_id, state) for pod_id, state in body["pods"].items()}
            self.execution.restore_from_dict(body["execution"])
        except ImportError as error:  # the file is good: it must not be replaced by what works without numpy
            self._path = None
            self._say("load", f"detector state {path} cannot be used and will not be written: {error}")
            return
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self._set_aside(path, "corrupt", f"does not fit ({type(error).__name__}: {error})")
            return
        for pod_id, pod in pods.items():
            self._pods[pod_id] = pod if pod.settings == self.settings else self._renewed(pod)

    def _renewed(self, pod: PodDetectors) -> PodDetectors:
        self._say(f"settings {pod.pod_id}", f"pod {pod.pod_id}: settings changed, detectors start afresh")
        fresh = PodDetectors(pod.pod_id, pod.reference, self.settings)
        _carry_over(pod, fresh)
        return fresh

    def _set_aside(self, path: Path, suffix: str, why: str) -> None:
        target = path.with_name(f"{path.name}.{suffix}")
        count = 1
        while target.exists():
            count += 1
            target = path.with_name(f"{path.name}.{suffix}-{count}")
        try:
            path.rename(target)
            self._say("load", f"detector state {path} {why}; set aside as {target.name}, starting empty")
        except OSError as error:
            self._say("load", f"detector state {path} {why} and cannot be set aside: {error}")

    def _say_percent(self, pod_id: str) -> str:
        text = "a return beyond 100 % a day: are these percentages? Fractions are expected (0.01 is one per cent)"
        self._say(f"percent {pod_id}", f"pod {pod_id}: {text}")
        return text

    def _say(self, key: str, text: str) -> None:
        if key not in self._said:  # once each: a defect that repeats daily needs one line
            self._said.add(key)
            self.notices.append(text)
            _log.warning("%s", text)


def _carry_over(old: PodDetectors, new: PodDetectors) -> None:
    """What does not depend on the backtest: a retired pod stays retired, a day stays fed. The driver starts afresh."""
    state = old.lifecycle.to_dict()
    new.lifecycle.restore_from_dict({**new.lifecycle.to_dict(), "state": state["state"], "days": state["days"]})
    new.last_day = old.last_day
    if old.decay is not None and new.decay is not None:
        new.decay.restore_from_dict(old.decay.to_dict())


def _numbers(result: object) -> dict[str, float]:
    names: Iterable[str] = getattr(result, "__slots__", ())
    values = ((name, getattr(result, name)) for name in names)
    return {name: float(v) for name, v in values if isinstance(v, (int, float)) and not isinstance(v, bool)}


def _iso(day: object) -> str | None:
    if day is None:
        return None
    if isinstance(day, datetime):
        return day.date().isoformat()
    if isinstance(day, date):
        return day.isoformat()
    try:
        return datetime.fromisoformat(str(day)).date().isoformat()
    except Exception as error:  # also a broken __str__
        raise ValueError("not a day") from error


def _short(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # a broken __repr__ is the bot's, and no reason to fail here
        text = type(value).__name__
    return text if len(text) <= 40 else text[:37] + "..."


def _encode(body: Mapping[str, Any]) -> bytes:
    text = json.dumps(body, allow_nan=False, separators=(",", ":"), sort_keys=True)
    check = zlib.crc32(text.encode())
    return f'{{"schema":{SCHEMA},"crc32":{check},"body":{text}}}\n'.encode()


def _decode(raw: bytes) -> tuple[object, dict[str, Any]]:
    """Version and body. ValueError when the bytes are not what ``_encode`` wrote."""
    outer = json.loads(raw)  # JSONDecodeError and UnicodeDecodeError are ValueErrors
    if not isinstance(outer, dict) or "schema" not in outer:
        raise ValueError("no schema in it")
    if outer["schema"] != SCHEMA:
        return outer["schema"], {}
    body = outer.get("body")
    text = json.dumps(body, allow_nan=False, separators=(",", ":"), sort_keys=True)
    if not isinstance(body, dict) or zlib.crc32(text.encode()) != outer.get("crc32"):
        raise ValueError("the checksum does not match")
    return SCHEMA, body


def _write(path: Path, data: bytes) -> None:
    """Either the old file or the new one is there, whole, whatever happens in between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    with contextlib.suppress(OSError):  # some systems cannot sync a directory
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
