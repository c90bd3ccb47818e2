"""Is this drawdown deeper or longer than the strategy's own backtest allows?

The strategy's equity is a walk with the backtest's mean and volatility. ``walk`` gives the exact law of its maximum
drawdown and of its longest stay below a peak; this module compares and says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from otel_mcbot.detect import walk
from otel_mcbot.detect.inputs import clean
from otel_mcbot.detect.inputs import daily_return as usable_return
from otel_mcbot.detect.severity import DAYS_A_YEAR, Mode, Severity, check_mode, from_legs
from otel_mcbot.detect.volatility import WARM_UP, Standardiser

MIN_SIGMA = 1e-12
"""Below this a backtest has no volatility and no law can be made of it."""

_DEEPEST = -0.99  # a standardised day can be worth more than all there is, which has no logarithm
_FLAT = 1e-12  # equity this close to its peak, relatively, is at the peak


@dataclass(frozen=True, slots=True)
class DrawdownCheckResult:
    """One day's verdict. Depths are fractions of the peak (0 to 1), durations days since the last high.

    Attributes:
        standard_depth: what is compared with the limit: the drawdown at the backtest's volatility where the monitor
            knows it (``GBMDrawdownMonitor.from_returns``), else ``current_depth``.
        expected_max_depth: the limit for it; 0.0 before ``ready``.
        expected_max_duration: the limit for the duration; 0 before ``ready``.
        n_days: usable returns seen.
        ready: enough days for a verdict; before that, severity is NORMAL and no gauge should be recorded.
        valid: this call's return was usable; if not, the numbers are those of the last usable one.
        message: empty unless severity is above NORMAL.
    """

    severity: Severity
    current_depth: float
    current_duration_days: int
    expected_max_depth: float
    expected_max_duration: int
    depth_exceeded: bool
    duration_exceeded: bool
    n_days: int
    ready: bool
    valid: bool
    message: str
    standard_depth: float


class GBMDrawdownMonitor:
    """Compares the current drawdown with what a healthy strategy would show.

    mode ``default``: the limits are those of the days lived so far and are looked at every day. Depth or duration
    beyond its limit is a WARNING, both are CRITICAL. Since a 95 % bound that is tested daily is passed by more than 5 %
    of healthy strategies in a year, there is

    mode ``calibrated``: the limits are those of a whole ``horizon``. A depth beyond the ``confidence`` limit is a
    WARNING, beyond the ``critical_confidence`` limit CRITICAL: 1 - confidence is then the share of healthy strategies
    that ever alarm within the horizon. The duration is reported and alarms nothing: it is too weak a sign.

    Args:
        mu: mean of the simple daily return in the backtest, a fraction.
        sigma: its standard deviation.
        confidence: between 0 and 1, default 0.95.
        min_days: days before the first verdict, default 30.
        horizon: days, default 365; used in calibrated mode.
        backtest_days: length of the backtest behind ``mu``. Given, the limits allow for the error of ``mu``; None takes
            it as exact. The whole gain of calibration is lost without it: a year's backtest says little about a mean.
        law: ``simple`` (the daily return is normal, default) or ``log`` (geometric Brownian motion to the letter).

    Raises:
        ValueError: a parameter that is not a finite number or out of range.
    """

    def __init__(
        self,
        mu: float,
        sigma: float,
        confidence: float = 0.95,
        *,
        mode: Mode = "default",
        min_days: int = 30,
        horizon: int = DAYS_A_YEAR,
        backtest_days: int | None = None,
        critical_confidence: float = 0.99,
        law: walk.Law = "simple",
    ) -> None:
        if not (math.isfinite(mu) and mu > -1.0):
            raise ValueError(f"mu must be a finite daily return above -1, not {mu!r}")
        if not (math.isfinite(sigma) and sigma >= 0.0):
            raise ValueError(f"sigma must be finite and not negative, not {sigma!r}")
        if not 0.0 < confidence < 1.0 or not confidence <= critical_confidence < 1.0:
            raise ValueError("0 < confidence <= critical_confidence < 1 must hold")
        if horizon < 1 or min_days < 1 or (backtest_days is not None and backtest_days < 2):
            raise ValueError("horizon and min_days must be at least 1, backtest_days 2")
        self.mode = check_mode(mode)
        self._confidence = confidence
        self._min_days = min_days
        self._horizon = horizon
        self._steps = walk.uncertain_mean(mu, max(sigma, MIN_SIGMA), law, backtest_days)
        self._unit = self._steps[len(self._steps) // 2][1].scale
        self._durations = walk.DurationLaw(self._steps, confidence)
        self._limit_h: float | None = None  # today's depth limit in units; tomorrow's search starts here
        self._limit_days = 0
        self._critical_depth = 1.0
        if self.mode == "calibrated":
            self._limit_h, self._limit_days = self._solve(confidence, horizon), self._durations.limit(horizon)
            self._critical_depth = self._fraction(self._solve(critical_confidence, horizon))
        self._standardiser: Standardiser | None = None
        self._typical = 0.0  # what a standardised return of 1 is worth: a trading day of the backtest
        self._start()

    @classmethod
    def from_returns(
        cls, returns: Iterable[object], confidence: float = 0.95, *, critical_confidence: float = 0.99
    ) -> GBMDrawdownMonitor:
        """A calibrated monitor that asks how deep the drawdown would be had volatility stayed the backtest's.

        Every return is divided by the volatility of the days before it, so that a wild season is no decay and a calm
        one hides none; days without a position (exactly 0) are no steps, and the limit is that of 365 others. The
        error of the mean counts. A backtest of 60 trading days or fewer gives a plain calibrated monitor.
        """
        usable = clean(returns)
        if sum(r != 0.0 for r in usable) > WARM_UP:
            standardiser = Standardiser(usable)
            typical = math.sqrt(math.fsum(r * r for r in usable) / sum(r != 0.0 for r in usable))
            steps = [typical * z for z in standardiser.standardised]
        else:
            standardiser, typical, steps = None, 0.0, usable
        mu, sigma = cls.estimate_params(steps)
        monitor = cls(
            max(mu, -0.5),
            sigma,
            confidence,
            mode="calibrated",
            backtest_days=max(2, len(steps)),
            critical_confidence=critical_confidence,
        )
        monitor._standardiser, monitor._typical = standardiser, typical
        return monitor

    def _start(self) -> None:
        self._equity = self._peak = 1.0
        self._level = 0.0  # log of the equity at the backtest's volatility, below its own peak
        self._n = self._high_day = self._ignored = 0
        self._last = self._judge()

    @staticmethod
    def estimate_params(returns: Iterable[object]) -> tuple[float, float]:
        """``(mu, sigma)`` of simple daily returns; (0.0, 0.01) with fewer than two usable ones. Never raises."""
        usable = clean(returns)
        if len(usable) < 2:
            return 0.0, 0.01
        mu = math.fsum(usable) / len(usable)
        variance = math.fsum((r - mu) ** 2 for r in usable) / (len(usable) - 1)
        return mu, max(math.sqrt(variance), MIN_SIGMA)

    def expected_max_drawdown(self, n_days: int) -> float:
        """The depth (fraction of the peak) that a healthy strategy stays within for ``n_days`` with ``confidence``."""
        if n_days <= 0:
            return 0.0
        return self._fraction(self._solve(self._confidence, n_days))

    def expected_max_duration(self, n_days: int) -> int:
        """The longest stay below a peak (days) of a healthy strategy in ``n_days``, with ``confidence``."""
        return self._durations.limit(n_days)

    def depth_p_value(self, depth: float, n_days: int) -> float:
        """P(a healthy strategy's maximum drawdown over ``n_days`` is at least ``depth``), ``depth`` a fraction."""
        if depth >= 1.0:
            return 0.0
        return 1.0 - walk.mixture_survival(-math.log1p(-max(depth, 0.0)) / self._unit, self._steps, n_days)

    def is_drawdown_abnormal(self, current_dd: float, dd_duration_days: int, n_days: int | None = None) -> bool:
        """True when that depth (a fraction) or that duration is beyond its limit.

        Args:
            n_days: how long the strategy has lived; default: the days seen. The horizon in calibrated mode and while
                fewer than ``min_days`` were seen.
        """
        if n_days is None:
            n_days = self._horizon if self.mode == "calibrated" or self._n < self._min_days else self._n
        return current_dd > self.expected_max_drawdown(n_days) or dd_duration_days > self.expected_max_duration(n_days)

    def update(self, daily_return: object) -> DrawdownCheckResult:
        """Take one simple daily return (0.01 is 1 %). Never raises; what is no return is ignored and counted."""
        r = usable_return(daily_return)
        if r is None:
            self._ignored += 1
            return replace(self._last, valid=False)
        self._n += 1
        self._equity *= 1.0 + r
        if self._equity >= self._peak * (1.0 - _FLAT):
            self._high_day = self._n
        self._peak = max(self._peak, self._equity)
        if self._standardiser is not None and r != 0.0:
            step = self._typical * self._standardiser.push(r)
            self._level = min(0.0, self._level + math.log1p(max(step, _DEEPEST)))
        if self._peak > 1e150:  # only the ratio matters; percentages fed as fractions must not overflow
            self._equity, self._peak = (self._equity / self._peak if math.isfinite(self._equity) else 1.0), 1.0
        if self.mode == "default" and self._n >= self._min_days:
            self._limit_h = self._solve(self._confidence, self._n, self._limit_h)
            self._limit_days = self._durations.limit(self._n)
        self._last = self._judge()
        return self._last

    @property
    def ignored(self) -> int:
        """How many values were no usable return."""
        return self._ignored

    @property
    def result(self) -> DrawdownCheckResult:
        """The last verdict."""
        return self._last

    def reset(self) -> None:
        """Forget the days seen; the parameters stay."""
        self._start()

    def to_dict(self) -> dict[str, Any]:
        """What was seen, for JSON; the parameters are not in it."""
        return {
            "equity": self._equity,
            "peak": self._peak,
            "n": self._n,
            "high_day": self._high_day,
            "ignored": self._ignored,
            "limit_h": self._limit_h,
            "limit_days": self._limit_days,
            "level": self._level,
            "variance": self._standardiser.variance if self._standardiser else None,
        }

    def restore_from_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``to_dict`` was called: later results are identical to the bit.

        Raises:
            KeyError, TypeError, ValueError: a state that ``to_dict`` did not write.
        """
        equity, peak = float(state["equity"]), float(state["peak"])
        n, high_day, ignored = int(state["n"]), int(state["high_day"]), int(state["ignored"])
        limit_h, limit_days, level = state["limit_h"], int(state["limit_days"]), float(state["level"])
        if not (0.0 <= equity <= peak < math.inf and peak > 0.0 and 0 <= high_day <= n and level <= 0.0):
            raise ValueError("not the state of a drawdown monitor")
        if self._standardiser:
            self._standardiser.variance = float(state["variance"])
        self._level = level
        if self.mode == "default":  # in calibrated mode the limits follow from the parameters
            self._limit_h, self._limit_days = (None if limit_h is None else float(limit_h)), limit_days
        self._equity, self._peak, self._n, self._high_day, self._ignored = equity, peak, n, high_day, ignored
        self._last = self._judge()

    def _solve(self, confidence: float, days: int, start: float | None = None) -> float:
        return walk.mixture_quantile(confidence, self._steps, days, start)

    def _fraction(self, h: float) -> float:
        return min(-math.expm1(-h * self._unit), math.nextafter(1.0, 0.0))

    def _judge(self) -> DrawdownCheckResult:
        depth = min(1.0, max(0.0, 1.0 - self._equity / self._peak))
        duration = self._n - self._high_day
        if self._n < self._min_days or self._limit_h is None:
            return DrawdownCheckResult(
                Severity.NORMAL, depth, duration, 0.0, 0, False, False, self._n, False, True, "", depth
            )
        depth_limit, duration_limit = self._fraction(self._limit_h), self._limit_days
        standard = -math.expm1(self._level) if self._standardiser else depth
        deep, long = standard > depth_limit, duration > duration_limit
        severity = from_legs(deep, standard > self._critical_depth if self.mode == "calibrated" else long)
        message = ""
        if severity is not Severity.NORMAL:
            measured = f"{standard:.1%} at the backtest's volatility, " if self._standardiser else ""
            message = (
                f"Drawdown {depth:.1%} ({measured}limit {depth_limit:.1%}) "
                f"for {duration} days (limit {duration_limit}) after {self._n} days"
            )
            if severity is Severity.CRITICAL:
                message += "; a strategy review is recommended"
        return DrawdownCheckResult(
            severity, depth, duration, depth_limit, duration_limit, deep, long, self._n, True, True, message, standard
        )
