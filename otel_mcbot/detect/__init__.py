"""Is something wrong? The mathematics of the detectors: pure, no telemetry, no clock of its own.

Only ``bank`` touches a file (its state). numpy is imported when a detector first needs it,
scipy and scikit-learn never.
"""

from otel_mcbot.detect.bank import Anomaly, BankSettings, DetectorBank, InitResult, PodDetectors, PodReport
from otel_mcbot.detect.decay import ConformalRANSACDetector, DecayCheckResult
from otel_mcbot.detect.drawdown import DrawdownCheckResult, GBMDrawdownMonitor
from otel_mcbot.detect.drift import DistributionDriftDetector, DriftCheckResult
from otel_mcbot.detect.execution import ExecutionAnomaly, ExecutionAnomalyDetector, ExecutionLimits
from otel_mcbot.detect.inputs import DetectInputError
from otel_mcbot.detect.lifecycle import LifecycleResult, LifecycleState, PodLifecycle
from otel_mcbot.detect.severity import Severity
from otel_mcbot.detect.shift import CusumDetector, PageHinkleyDetector, RankShiftDetector

__all__ = [
    "Anomaly",
    "BankSettings",
    "ConformalRANSACDetector",
    "CusumDetector",
    "DecayCheckResult",
    "DetectInputError",
    "DetectorBank",
    "DistributionDriftDetector",
    "DrawdownCheckResult",
    "DriftCheckResult",
    "ExecutionAnomaly",
    "ExecutionAnomalyDetector",
    "ExecutionLimits",
    "GBMDrawdownMonitor",
    "InitResult",
    "LifecycleResult",
    "LifecycleState",
    "PageHinkleyDetector",
    "PodDetectors",
    "PodLifecycle",
    "PodReport",
    "RankShiftDetector",
    "Severity",
]
