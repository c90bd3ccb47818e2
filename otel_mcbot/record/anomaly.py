"""Layer 8: what the detectors say. They judge; here it is only written down.

A detector that has not enough data says nothing (do not call), and its gauges have no series: no 0 that would look
like a verdict.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from otel_mcbot import catalog, facts
from otel_mcbot.guard import Guard

_guard: Final = Guard("record.anomaly")

SEVERITIES: Final = ("NORMAL", "WARNING", "CRITICAL")
DETECTORS: Final = ("gbm_drawdown", "distribution_drift", "structural_decay", "execution", "page_hinkley")


class Anomaly:
    """Takes the detectors' results. ``tell`` is where risk alerts go. The label ``strategy`` is the pod's id.

    ``severity`` is ``NORMAL``, ``WARNING``, ``CRITICAL``, an enum of these, or 0, 1, 2. Only a turn for the worse
    counts as an anomaly, not each look at the same state.
    """

    def __init__(self, tell: Callable[[facts.Fact], object]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._levels: dict[tuple[str, str], int] = {}

    def start(self) -> None:
        """Let the counters exist at 0."""
        for detector in DETECTORS:
            for severity in SEVERITIES[1:]:
                catalog.anomalies.zero(detector=detector, severity=severity)

    @_guard
    def on_drawdown(self, pod: str, depth: float, duration_days: float, severity: object) -> None:
        """Drawdown against geometric Brownian motion. ``depth`` 0.0–1.0. A turn to CRITICAL is a risk alert as well."""
        catalog.gbm_drawdown_depth.set(depth, strategy=pod)
        catalog.gbm_drawdown_duration.set(duration_days, strategy=pod)
        level = _level(severity)
        catalog.gbm_severity.set(level, strategy=pod)
        if self._turned("gbm_drawdown", pod, level) and level == 2:
            message = (
                f"{pod}: drawdown {depth:.1%} for {duration_days:g} days is beyond its bounds; "
                "a strategy review is recommended"
            )
            self._tell(facts.RiskAlertRaised(level="CRITICAL", message=message, source="gbm_drawdown"))

    @_guard
    def on_drift(self, pod: str, statistic: float, p_value: float, severity: object = None) -> None:
        """Kolmogorov–Smirnov test of recent returns against the backtest's."""
        catalog.distribution_ks_statistic.set(statistic, strategy=pod)
        catalog.distribution_p_value.set(p_value, strategy=pod)
        self._turned("distribution_drift", pod, _level(severity))

    @_guard
    def on_decay(
        self, pod: str, slope: float, lower: float, cumulative: float, decayed: bool, severity: object = None
    ) -> None:
        """Conformal RANSAC: slope a day, lower bound, cumulative return; ``decayed`` when either condition holds."""
        catalog.ransac_slope.set(slope, strategy=pod)
        catalog.ransac_conformal_lower.set(lower, strategy=pod)
        catalog.ransac_current_cumulative.set(cumulative, strategy=pod)
        catalog.ransac_decay_detected.set(1 if decayed else 0, strategy=pod)
        self._turned("structural_decay", pod, _level(severity))

    @_guard
    def on_execution(self, rejections: int, fill_rate: float | None, severity: object = None) -> None:
        """Rejections in a row; share of the last hour's orders that filled, ``None`` when there were too few to say."""
        catalog.execution_consecutive_rejections.set(rejections)
        if fill_rate is None:
            catalog.execution_fill_rate.forget()
        else:
            catalog.execution_fill_rate.set(fill_rate)
        self._turned("execution", "", _level(severity))

    @_guard
    def on_anomaly(self, detector: str, severity: object, subject: str = "") -> None:
        """Any other detector's state of ``subject`` (a pod, a symbol)."""
        self._turned(detector, subject, _level(severity))

    @_guard
    def remember(self, detector: str, severity: object, subject: str = "") -> None:
        """The state before a restart: to find it again is no turn for the worse."""
        with self._lock:
            self._levels[detector, subject] = _level(severity)

    @_guard
    def forget(self, pod: str) -> None:
        """The pod is gone: so are its verdicts."""
        for gauge in (
            catalog.gbm_drawdown_depth,
            catalog.gbm_drawdown_duration,
            catalog.gbm_severity,
            catalog.distribution_ks_statistic,
            catalog.distribution_p_value,
            catalog.ransac_slope,
            catalog.ransac_conformal_lower,
            catalog.ransac_current_cumulative,
            catalog.ransac_decay_detected,
        ):
            gauge.forget(strategy=pod)  # a p-value of 0 would be a verdict
        with self._lock:
            self._levels = {key: level for key, level in self._levels.items() if key[1] != pod}

    def _turned(self, detector: str, subject: str, level: int) -> bool:
        """Whether it is worse than it was; counts that."""
        with self._lock:
            worse = level > self._levels.get((detector, subject), 0)
            self._levels[detector, subject] = level
        if worse:
            catalog.anomalies.add(detector=detector, severity=SEVERITIES[level])
        return worse


def _level(severity: object) -> int:
    if isinstance(severity, int):
        return min(max(int(severity), 0), 2)
    name = (facts.text(severity) or "").upper()
    return SEVERITIES.index(name) if name in SEVERITIES else 0
