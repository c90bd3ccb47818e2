"""Do the recent returns still come from the distribution that the backtest showed? Kolmogorov-Smirnov, two samples.

The statistic is kept as a whole number (so many N x w-ths), from positions found once when a day enters the window; the
exact p-value is a path count over that number and is remembered. Both equal scipy.stats.ks_2samp without its import.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, pairwise
from operator import sub
from typing import Any

from otel_mcbot.detect.inputs import clean
from otel_mcbot.detect.inputs import daily_return as usable_return
from otel_mcbot.detect.severity import Mode, Severity, check_mode
from otel_mcbot.detect.volatility import WARM_UP, Standardiser, dependence

MESSAGE = "Return distribution has shifted significantly"
"""The words of the alert."""

YEARLY_LINES = ((0.20, 1.59), (0.05, 1.85), (0.01, 2.09), (0.0025, 2.28))
"""Budget (share of healthy years with an alarm) and line for ``scaled_statistic`` on standardised returns.

The highest of three null models (normal, Student t4, GARCH(.08, .90) with t6), backtests of 365 and 730 days, judged
daily for a year. ``benchmarks/detect_operating.py drift`` prints what these lines give.
"""

SMALLEST_P = 1e-16
"""p-values stop here: an alert that asks for ``p > 0`` must not fall silent on the clearest shift of all."""

_MAX_WINDOW = 1000


@dataclass(frozen=True, slots=True)
class DriftCheckResult:
    """One day's verdict.

    Attributes:
        ks_statistic: largest distance between the two distribution functions, 0 to 1.
        p_value: exact two-sided p-value of one look at independent days; windows overlap, so daily use alarms far more.
        recent_n: returns in the window.
        drifted: severity is above NORMAL.
        scaled_statistic: what calibrated mode judges: the largest excess of the window's distribution function over the
            reference's (returns are lower now), times sqrt(N w / (N + w)), over the root of the reference's
            ``dependence``.
        tie_fraction: share of the window that repeats another of its days (flat days make the test timid).
        ready: enough samples for a verdict; before that, keep the gauge as it was.
        valid: this call's return was usable; if not, the numbers are those of the last usable one.
        message: empty unless severity is above NORMAL.
    """

    severity: Severity
    ks_statistic: float
    p_value: float
    recent_n: int
    drifted: bool
    scaled_statistic: float
    tie_fraction: float
    ready: bool
    valid: bool
    message: str


class DistributionDriftDetector:
    """Compares a rolling window of returns with the backtest.

    mode ``default``: p below ``p_value_warning`` is a WARNING, below ``p_value_critical`` CRITICAL. A healthy strategy
    is reported in most years: windows overlap and are tested daily.
    mode ``calibrated``: both samples are divided by their own recent volatility, days without a position (exactly 0)
    are left out, only a shift to lower returns counts, and it counts less where neighbouring days of the backtest are
    alike. WARNING and CRITICAL are passed by the shares ``budget`` and ``critical_budget`` of healthy years. Not seen:
    a pure change of volatility, of the share of days in the market, or a shift for the better.

    Args:
        reference_returns: backtest returns, fractions; unusable ones are left out.
        window_size: days compared, default 60, at most 1000.
        min_samples: of the window and of the reference before the first verdict, default 30.

    Raises:
        ValueError: a parameter out of range.
    """

    def __init__(
        self,
        reference_returns: Iterable[object],
        window_size: int = 60,
        p_value_warning: float = 0.05,
        p_value_critical: float = 0.01,
        *,
        mode: Mode = "default",
        min_samples: int = 30,
        budget: float = 0.05,
        critical_budget: float = 0.01,
    ) -> None:
        if not 2 <= window_size <= _MAX_WINDOW or min_samples < 2:
            raise ValueError(f"window_size must be 2 to {_MAX_WINDOW}, min_samples at least 2")
        if not 0.0 <= p_value_critical <= p_value_warning <= 1.0:
            raise ValueError("0 <= p_value_critical <= p_value_warning <= 1 must hold")
        self.mode = check_mode(mode)
        self._window = window_size
        self._min_samples = min_samples
        self._p_warning, self._p_critical = p_value_warning, p_value_critical
        self._line = line_for_budget(budget, YEARLY_LINES)
        self._critical_line = line_for_budget(critical_budget, YEARLY_LINES)
        reference = clean(reference_returns)
        self._standardiser: Standardiser | None = None
        if self.mode == "calibrated":
            reference = [r for r in reference if r != 0.0]
            self._standardiser = Standardiser(reference) if len(reference) > WARM_UP else None
            reference = self._standardiser.standardised if self._standardiser else []
        self._dependence = dependence(reference) if self._standardiser else 1.0
        self._reference = sorted(reference)
        self._recent: deque[float] = deque()
        self._sorted: list[float] = []  # the window in order, and of each value:
        self._below: list[int] = []  # how many reference values are below it
        self._upto: list[int] = []  # how many are not above it
        self._ignored = 0
        self._last = self._judge()

    def update(self, daily_return: object) -> DriftCheckResult:
        """Take one simple daily return. Never raises; what is no return is ignored and counted."""
        r = usable_return(daily_return)
        if r is None:
            self._ignored += 1
            return replace(self._last, valid=False)
        if self._standardiser is None:
            self._push(r)
        elif r != 0.0:
            self._push(self._standardiser.push(r))
        self._last = self._judge()
        return self._last

    @property
    def ignored(self) -> int:
        """How many values were no usable return."""
        return self._ignored

    @property
    def result(self) -> DriftCheckResult:
        """The last verdict."""
        return self._last

    def reset(self) -> None:
        """Empty the window; the reference stays."""
        for values in (self._recent, self._sorted, self._below, self._upto):
            values.clear()
        self._ignored = 0
        self._last = self._judge()

    def to_dict(self) -> dict[str, Any]:
        """What was seen, for JSON; the reference is not in it."""
        return {
            "recent_returns": list(self._recent),
            "ignored": self._ignored,
            "variance": self._standardiser.variance if self._standardiser else None,
        }

    def restore_from_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``to_dict`` was called: later results are identical to the bit.

        Raises:
            KeyError, TypeError, ValueError: a state that ``to_dict`` did not write.
        """
        recent = [float(x) for x in state["recent_returns"]]
        ignored = int(state["ignored"])
        if len(recent) > self._window or not all(map(math.isfinite, recent)):
            raise ValueError("not the state of this drift detector")
        if self._standardiser:
            self._standardiser.variance = float(state["variance"])
        self.reset()
        self._ignored = ignored
        for value in recent:
            self._push(value)
        self._last = self._judge()

    def _push(self, value: float) -> None:
        if len(self._recent) == self._window:
            at = bisect_left(self._sorted, self._recent.popleft())
            del self._sorted[at], self._below[at], self._upto[at]
        self._recent.append(value)
        at = bisect_left(self._sorted, value)
        self._sorted.insert(at, value)
        self._below.insert(at, bisect_left(self._reference, value))
        self._upto.insert(at, bisect_right(self._reference, value))

    def _judge(self) -> DriftCheckResult:
        n, w = len(self._reference), len(self._sorted)
        if min(n, w) < self._min_samples:
            return DriftCheckResult(Severity.NORMAL, 0.0, 1.0, w, False, 0.0, 0.0, False, True, "")
        h, worse = statistic(self._below, self._upto, n)
        p = p_value(h, n, w)
        d = h / (n * w)
        scaled = worse / (n * w) * math.sqrt(n * w / (n + w) / self._dependence)
        if self.mode == "calibrated":
            critical, warning = scaled > self._critical_line, scaled > self._line
        else:
            critical, warning = p < self._p_critical, p < self._p_warning
        severity = Severity.CRITICAL if critical else Severity.WARNING if warning else Severity.NORMAL
        message = f"{MESSAGE} (KS {d:.3f}, p {p:.2g}, last {w} days)" if severity is not Severity.NORMAL else ""
        return DriftCheckResult(
            severity,
            d,
            p,
            w,
            severity is not Severity.NORMAL,
            scaled,
            1.0 - len(set(self._sorted)) / w,
            True,
            True,
            message,
        )


def statistic(below: list[int], upto: list[int], n: int) -> tuple[int, int]:
    """The two-sample statistic and its one-sided part (the window's values are lower), both in 1 / (n w).

    Args:
        below, upto: for each of the w window values in order, how many of the ``n`` reference values are below it, and
            not above it. The functions differ most just left of a window value or at it: between window values only the
            reference's moves. Of tied values the first or last decides, the others are closer.
    """
    w = len(below)
    higher = max(map(sub, [x * w for x in below], range(0, n * w, n)))
    lower = max(map(sub, range(n, n * w + 1, n), [x * w for x in upto]))
    return max(higher, lower, 0), max(lower, 0)


@lru_cache(maxsize=8192)  # a window's statistic takes few values: a year repeats most, pods share them
def p_value(h: int, n: int, w: int) -> float:
    """P(the statistic is at least ``h`` / (n w)) for two samples of one continuous distribution, exactly.

    Counts lattice paths from (0, 0) to (w, n) that stay inside |i n - j w| < h, one row of the shorter sample at a
    time; row i is divided by C(n + i, i) as it grows, so that nothing overflows. Source: Hodges (1958).
    """
    if h <= 0:
        return 1.0
    if n < w:
        n, w = w, n
    row: list[float] = []
    low = 0
    for i in range(w + 1):
        first = max(0, (i * n - h) // w + 1)  # smallest j with i n - j w < h
        last = min(n, -((-i * n - h) // w) - 1)  # largest j with j w - i n < h
        if first > last:
            return 1.0
        if i == 0:
            row = [1.0] * (last + 1)
        else:
            scale = i / (n + i)
            kept = row[first - low :]
            kept += [0.0] * (last - first + 1 - len(kept))
            row = [x * scale for x in accumulate(kept)]
        low = first
    inside = row[n - low] if low + len(row) > n else 0.0
    return min(1.0, max(1.0 - inside, SMALLEST_P))


def line_for_budget(budget: float, lines: tuple[tuple[float, float], ...]) -> float:
    """The line for a yearly false-alarm ``budget`` (0.0025 to 0.20), straight in the logarithm between measured points.

    Raises:
        ValueError: a budget outside what was measured.
    """
    if not lines[-1][0] <= budget <= lines[0][0]:
        raise ValueError(f"budget must be {lines[-1][0]} to {lines[0][0]} a year, not {budget!r}")
    for (b0, l0), (b1, l1) in pairwise(lines):
        if budget >= b1:
            return l0 + (l1 - l0) * math.log(budget / b0) / math.log(b1 / b0)
    raise AssertionError("unreachable: the budget was checked above")
