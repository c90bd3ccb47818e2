"""Does the strategy still earn? A robust slope of its cumulative return, and a lower bound for the level.

Default mode is conformal RANSAC on the curve of cumulative returns. Calibrated mode asks the same two questions of the
returns themselves and measures them against the backtest: a large return is a step in the curve, which a line through
the curve follows, but one day among many in a winsorised mean.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from otel_mcbot.detect import ransac
from otel_mcbot.detect.drift import line_for_budget
from otel_mcbot.detect.inputs import clean
from otel_mcbot.detect.inputs import daily_return as usable_return
from otel_mcbot.detect.severity import Mode, Severity, check_mode, from_legs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

YEARLY_LINES = ((0.20, 2.00), (0.05, 2.70), (0.01, 3.40), (0.0025, 3.90))
"""Budget (share of healthy years in which either leg alarms) and line for the two z-scores.

The highest of three null models, backtests of 365 and 730 days, judged daily for a year:
``benchmarks/detect_operating.py decay`` prints what these lines give.
"""

WINSOR = 2.5 * 1.4826
"""Returns further than this many MADs from the median count as if they lay there (2.5 standard deviations)."""

MIN_BACKTEST = 30
_TOTAL_LOSS = 1e-12  # what is left, for the logarithm, of an account that lost everything


@dataclass(frozen=True, slots=True)
class DecayCheckResult:
    """One day's verdict.

    Attributes:
        ransac_slope: cumulative return gained a day (default: the RANSAC line; calibrated: the winsorised mean return).
        slope_positive: ``ransac_slope`` > 0.
        conformal_lower_bound: the level that the cumulative return should not be below.
        current_cumulative: cumulative return, a fraction (default: since the start; calibrated: over the window).
        level_breach: the cumulative return is below the bound.
        n_samples: returns in the window.
        decay_detected: severity is above NORMAL.
        degenerate: default mode found no line to judge by, because half the window or more stands still; NORMAL then.
        slope_z, level_z: calibrated mode's distances from the backtest, in standard errors; 0.0 in default mode.
        ready: enough samples for a verdict; before that, keep the gauges as they were.
        valid: this call's return was usable; if not, the numbers are those of the last usable one.
        message: empty unless severity is above NORMAL or ``degenerate``.
    """

    severity: Severity
    ransac_slope: float
    slope_positive: bool
    conformal_lower_bound: float
    current_cumulative: float
    level_breach: bool
    n_samples: int
    decay_detected: bool
    degenerate: bool
    slope_z: float
    level_z: float
    ready: bool
    valid: bool
    message: str


class ConformalRANSACDetector:
    """Slope and level of the cumulative return.

    mode ``default``: a slope that is not positive or a level below the conformal bound is a WARNING, both are CRITICAL.
    The bound is the line's last value minus the ceil((1 - alpha)(n + 1))-th smallest absolute residual. Nearly every
    healthy strategy is reported several times a year; see docs/detectors.md.
    mode ``calibrated``: either z-score below minus the line of ``budget`` is a WARNING, both below minus the line of
    ``critical_budget`` are CRITICAL.

    Args:
        window_size: days judged, default 180.
        alpha: 1 - coverage of the conformal bound, default 0.05.
        min_samples: days before the first verdict, default 60.
        ransac_min_samples_ratio: share of the window in a trial fit, 0.02 to 0.98, default 0.5.
        intercept: False leaves the line's intercept out of the bound, which compares the level since the start with the
            gain over the window; only for results equal to a system that does so.
        seed: of RANSAC's subsets.
        reference_returns: the backtest; needed in calibrated mode (at least 30 usable returns), else unused.

    Raises:
        ValueError: a parameter out of range, or no backtest in calibrated mode.
    """

    def __init__(
        self,
        window_size: int = 180,
        alpha: float = 0.05,
        min_samples: int = 60,
        ransac_min_samples_ratio: float = 0.5,
        *,
        mode: Mode = "default",
        intercept: bool = True,
        seed: int = 42,
        reference_returns: Iterable[object] = (),
        budget: float = 0.05,
        critical_budget: float = 0.01,
    ) -> None:
        if not 5 <= min_samples <= window_size:
            raise ValueError("5 <= min_samples <= window_size must hold")
        if not 0.0 < alpha < 1.0 or not 0.02 <= ransac_min_samples_ratio <= 0.98:
            raise ValueError("alpha must be between 0 and 1, ransac_min_samples_ratio 0.02 to 0.98")
        self.mode = check_mode(mode)
        self._window, self._min_samples = window_size, min_samples
        self._alpha, self._ratio = alpha, ransac_min_samples_ratio
        self._intercept, self._seed = intercept, seed
        self._line = line_for_budget(budget, YEARLY_LINES)
        self._critical_line = line_for_budget(critical_budget, YEARLY_LINES)
        self._anchor = _Anchor(clean(reference_returns)) if self.mode == "calibrated" else None
        self._returns: deque[float] = deque(maxlen=window_size)
        self._cumulative: deque[float] = deque(maxlen=window_size)
        self._ignored = 0
        self._last = self._waiting()

    def update(self, daily_return: object) -> DecayCheckResult:
        """Take one simple daily return. Never raises; what is no return is ignored and counted."""
        r = usable_return(daily_return)
        if r is None:
            self._ignored += 1
            return replace(self._last, valid=False)
        before = self._cumulative[-1] if self._cumulative else 0.0
        # the bound is far above any account and far below where squares overflow
        self._cumulative.append(min((1.0 + before) * (1.0 + r) - 1.0, 1e100))
        self._returns.append(r)
        self._last = self._judge()
        return self._last

    @property
    def ignored(self) -> int:
        """How many values were no usable return."""
        return self._ignored

    @property
    def result(self) -> DecayCheckResult:
        """The last verdict."""
        return self._last

    def reset(self) -> None:
        """Forget the days seen."""
        self._returns.clear()
        self._cumulative.clear()
        self._ignored = 0
        self._last = self._waiting()

    def to_dict(self) -> dict[str, Any]:
        """What was seen, for JSON; parameters and backtest are not in it."""
        return {
            "daily_returns": list(self._returns),
            "cumulative_returns": list(self._cumulative),
            "ignored": self._ignored,
        }

    def restore_from_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``to_dict`` was called: later results are identical to the bit.

        Raises:
            KeyError, TypeError, ValueError: a state that ``to_dict`` did not write.
        """
        returns = [float(x) for x in state["daily_returns"]]
        cumulative = [float(x) for x in state["cumulative_returns"]]
        ignored = int(state["ignored"])
        if len(returns) != len(cumulative) or len(returns) > self._window:
            raise ValueError("not the state of this decay detector")
        if not all(map(math.isfinite, returns + cumulative)):
            raise ValueError("a decay state holds numbers that are not finite")
        self.reset()
        self._returns.extend(returns)
        self._cumulative.extend(cumulative)
        self._ignored = ignored
        self._last = self._judge()

    def _waiting(self) -> DecayCheckResult:
        current = self._cumulative[-1] if self._cumulative else 0.0
        n = len(self._returns)
        return DecayCheckResult(
            Severity.NORMAL, 0.0, True, 0.0, current, False, n, False, False, 0.0, 0.0, False, True, ""
        )

    def _judge(self) -> DecayCheckResult:
        if len(self._returns) < self._min_samples:
            return self._waiting()
        return self._judge_curve() if self._anchor is None else self._judge_returns(self._anchor)

    def _judge_curve(self) -> DecayCheckResult:
        import numpy as np

        y = np.array(self._cumulative)
        n, current = len(y), float(y[-1])
        line = ransac.fit(y, max(2, int(n * self._ratio)), self._seed)
        if line is None:
            message = "the cumulative return stood still for half of the window or more: no slope to judge"
            return DecayCheckResult(
                Severity.NORMAL, 0.0, False, current, current, False, n, False, True, 0.0, 0.0, True, True, message
            )
        rank = min(math.ceil((1.0 - self._alpha) * (n + 1)), n)
        margin = float(np.partition(line.residuals, rank - 1)[rank - 1])
        bound = (line.intercept if self._intercept else 0.0) + line.slope * (n - 1) - margin
        return self._verdict(line.slope, bound, current, from_legs(line.slope <= 0.0, current < bound))

    def _judge_returns(self, anchor: _Anchor) -> DecayCheckResult:
        import numpy as np

        x = np.array(self._returns)
        n = len(x)
        robust, logs = np.clip(x, *anchor.bounds), log_returns(x)
        slope, level = float(robust.mean()), float(logs.sum())
        # Welch: each sample with its own variance, or a wild season would pass for a decay
        slope_error = math.sqrt(_variance(robust) / n + anchor.variance / anchor.days)
        level_error = math.sqrt(n * _variance(logs) + n * n * anchor.log_variance / anchor.days)
        slope_z = (slope - anchor.mean) / slope_error
        level_z = (level - n * anchor.log_mean) / level_error
        bound = math.expm1(min(n * anchor.log_mean - self._line * level_error, 700.0))
        severity = Severity.NORMAL
        if max(slope_z, level_z) < -self._critical_line:
            severity = Severity.CRITICAL
        elif min(slope_z, level_z) < -self._line:
            severity = Severity.WARNING
        return self._verdict(slope, bound, math.expm1(min(level, 700.0)), severity, slope_z, level_z)

    def _verdict(
        self, slope: float, bound: float, current: float, severity: Severity, slope_z: float = 0.0, level_z: float = 0.0
    ) -> DecayCheckResult:
        n = len(self._returns)
        message = ""
        if severity is not Severity.NORMAL:
            message = (
                f"Structural decay: slope {slope:+.3%} a day, cumulative return {current:+.1%} "
                f"(lower bound {bound:+.1%}) over {n} days"
            )
            if severity is Severity.CRITICAL:
                message += "; a strategy review is recommended"
        detected = severity is not Severity.NORMAL
        return DecayCheckResult(
            severity,
            slope,
            slope > 0.0,
            bound,
            current,
            current < bound,
            n,
            detected,
            False,
            slope_z,
            level_z,
            True,
            True,
            message,
        )


class _Anchor:
    """What the backtest says a day is worth."""

    def __init__(self, reference: list[float]) -> None:
        import numpy as np

        if len(reference) < MIN_BACKTEST:
            raise ValueError(f"calibrated mode needs a backtest of at least {MIN_BACKTEST} returns")
        x = np.array(reference)
        self.bounds = winsor_bounds(x)
        robust, logs = np.clip(x, *self.bounds), log_returns(x)
        self.days = len(reference)
        self.mean, self.variance = float(robust.mean()), _variance(robust)
        self.log_mean, self.log_variance = float(logs.mean()), _variance(logs)


def winsor_bounds(returns: Array) -> tuple[float, float]:
    """The returns beyond which a day counts only as this much: median -/+ ``WINSOR`` MADs of the days that are not 0.

    Live days are bounded by the backtest's numbers, so that both means estimate the same quantity.
    """
    import numpy as np

    traded = returns[returns != 0.0]
    middle = float(np.median(traded)) if len(traded) else 0.0
    reach = WINSOR * float(np.median(np.abs(traded - middle))) if len(traded) else 0.0
    return (middle - reach, middle + reach) if reach > 0.0 else (-math.inf, math.inf)


def _variance(x: Array) -> float:
    return max(float(x.var(ddof=1)), 1e-24)


def log_returns(returns: Array) -> Array:
    """log(1 + r), with a total loss as a large finite number."""
    import numpy as np

    return np.log(np.maximum(1.0 + returns, _TOTAL_LOSS))
