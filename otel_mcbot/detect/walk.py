"""Exact laws of a walk that is looked at once a day: how deep it falls below its peak, and for how long.

One recursion serves two detectors. With D the distance below the peak, D <- max(D - x, 0) for a step x; the chance that
D never passes h in n days is both "maximum drawdown <= h" and "no CUSUM alarm at h in n days". It is solved by
Nystrom's method: an atom at D = 0 and Gauss-Legendre nodes on (0, h].

Everything is in units of one standard deviation of a daily step unless a name says otherwise. numpy is imported when a
depth is asked for; the duration law runs without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import mul
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

from otel_mcbot.detect import series

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Law = Literal["log", "simple"]
"""``log``: log(1 + r) is normal (geometric Brownian motion). ``simple``: r itself is normal."""

_DEEP = 60.0  # sigmas; beyond, the series agrees to 0.1 % (simple law 0.5 %) and costs far less than a large matrix
_SQRT_2PI = math.sqrt(2.0 * math.pi)


class Step:
    """The law of one day's log return, in units of ``scale``.

    Args:
        mu: mean of the simple daily return, a fraction.
        sigma: its standard deviation, a fraction > 0.
        law: what is normal: ``log`` (log(1 + r)) or ``simple`` (r).

    Attributes:
        scale: standard deviation of log(1 + r), the unit of every depth.
        theta: mean of log(1 + r) in that unit.
    """

    __slots__ = ("_mu", "_sigma", "law", "scale", "theta")

    def __init__(self, mu: float, sigma: float, law: Law = "log") -> None:
        self._mu = mu
        self._sigma = sigma
        self.law = law
        if law == "log":
            self.scale = sigma
            self.theta = (mu - 0.5 * sigma * sigma) / sigma
        elif law == "simple":
            # Moments of log(1 + r) by expansion in c = sigma / (1 + mu), good to c^4; c is a few per cent in practice.
            base = max(1.0 + mu, 1e-6)
            c2 = min(sigma / base, 0.5) ** 2
            self.scale = math.sqrt(c2 + 2.5 * c2 * c2)
            self.theta = (math.log(base) - 0.5 * c2 - 0.75 * c2 * c2) / self.scale
        else:
            raise ValueError(f"law must be 'log' or 'simple', not {law!r}")

    @classmethod
    def gaussian(cls, theta: float) -> Step:
        """A step that is normal with mean ``theta`` and standard deviation 1."""
        return cls(theta + 0.5, 1.0, "log")

    def p_rise(self, days: int) -> float:
        """P(sum of ``days`` steps > 0), taking log(1 + r) as normal: for ``simple`` a day's difference at most."""
        return 0.5 * math.erfc(-self.theta * math.sqrt(days / 2.0))

    def matrix(self, depth: float) -> Array:
        """One day's transition of the distance below the peak (row and column 0: at it), killed beyond ``depth``."""
        import numpy as np

        # 1.3 nodes a sigma: the error of the survival stays below 1e-5 up to _DEEP
        widest = 1.3 if self.law == "log" else 1.3 * self.scale * (1.0 + 4.0 * self._sigma) / self._sigma
        nodes, weights = _legendre(4 * math.ceil((widest * depth + 12.0) / 4.0))
        z = np.concatenate(([0.0], 0.5 * depth * (nodes + 1.0)))
        y = z[:, None] - z[None, 1:]  # the step that leads from z_i to z_j
        out = np.empty((len(z), len(z)))
        if self.law == "log":
            out[:, 1:] = np.exp(-0.5 * (y - self.theta) ** 2)
            out[:, 0] = [0.5 * math.erfc((zi - self.theta) / math.sqrt(2.0)) for zi in z]
        else:
            growth = np.exp(self.scale * y)
            standard = (growth - 1.0 - self._mu) / self._sigma
            out[:, 1:] = np.exp(-0.5 * standard**2) * growth * (self.scale / self._sigma)
            edge = (np.expm1(self.scale * z) - self._mu) / self._sigma
            out[:, 0] = [0.5 * math.erfc(e / math.sqrt(2.0)) for e in edge]
        out[:, 1:] *= weights * (0.5 * depth / _SQRT_2PI)
        return out

    def survival(self, depth: float, days: int) -> float:
        """P(maximum drawdown over ``days`` <= ``depth``), depth in ``scale``."""
        if days <= 0:
            return 1.0
        if depth > _DEEP or not _numpy_available():
            return series.survival(depth, self.theta, days)
        return _power(self.matrix(max(depth, 1e-9)), days)


def survival(depth: float, theta: float, days: int) -> float:
    """P(maximum drawdown of a Gaussian walk over ``days`` <= ``depth``); also P(no CUSUM alarm at ``depth``).

    Args:
        depth: sigmas, >= 0.
        theta: drift a day in sigmas (for a CUSUM: the allowance k plus the mean).
        days: number of steps.
    """
    return Step.gaussian(theta).survival(depth, days)


def average_run_length(depth: float, theta: float) -> float:
    """Mean number of days until a Gaussian walk first falls more than ``depth`` sigmas below its peak."""
    import numpy as np

    matrix = Step.gaussian(theta).matrix(depth)
    return float(np.linalg.solve(np.eye(len(matrix)) - matrix, np.ones(len(matrix)))[0])


def quantile(probability: float, theta: float, days: int) -> float:
    """The depth in sigmas that a Gaussian walk's maximum drawdown in ``days`` stays under with ``probability``."""
    return mixture_quantile(probability, [(1.0, Step.gaussian(theta))], days)


Mixture = Sequence[tuple[float, Step]]
"""Weights (adding up to 1) and steps: one step for known parameters, several for an uncertain mean."""


def uncertain_mean(mu: float, sigma: float, law: Law, backtest_days: int | None, points: int = 9) -> Mixture:
    """The steps that a backtest leaves possible: Gauss-Hermite over mu ~ N(mu, sigma^2 / ``backtest_days``).

    The error of sigma matters far less than that of mu and is left out. None: mu is taken as known.
    """
    if backtest_days is None:
        return [(1.0, Step(mu, sigma, law))]
    spread = sigma / math.sqrt(backtest_days)
    return [(w, Step(mu + spread * x, sigma, law)) for x, w in hermite(points)]


def mixture_survival(depth: float, steps: Mixture, days: int) -> float:
    """As ``Step.survival``, averaged over ``steps``; ``depth`` is in the scale of the middle one."""
    unit = steps[len(steps) // 2][1].scale
    return sum(weight * step.survival(depth * unit / step.scale, days) for weight, step in steps)


def mixture_quantile(probability: float, steps: Mixture, days: int, start: float | None = None) -> float:
    """The depth that the maximum drawdown stays under with ``probability``, in the scale of the middle step.

    Args:
        start: a depth near the answer (yesterday's) saves some of the work.
    """
    if days <= 0:
        return 0.0
    if start is None:
        start = series.quantile(probability, steps[len(steps) // 2][1].theta, days)
    start = max(start, 1e-3)

    def excess(h: float) -> float:
        return math.log(max(1.0 - mixture_survival(h, steps, days), 1e-300) / (1.0 - probability))

    # The series gives the slope for next to nothing, so that two evaluations of the exact law are enough.
    theta, nearby = steps[len(steps) // 2][1].theta, start * 1.001
    tails = [1.0 - series.survival(h, theta, days) for h in (start, nearby)]
    slope = math.log(tails[1] / tails[0]) / (nearby - start) if 0.0 < tails[1] < tails[0] else -0.1
    return decreasing_root(excess, start, slope)


def decreasing_root(function: Callable[[float], float], start: float, slope: float) -> float:
    """The x >= 0 where a decreasing, nearly straight function crosses 0; 0.0 when it is negative throughout.

    Bracketed secant: each step stays between a point known to be above and one known to be below. ``slope`` (< 0) is a
    guess for the first step. Close to 0 the last step is taken without looking again, which leaves about 1e-5 of the
    function (a thousandth of a per cent of a probability).
    """
    low, high = 0.0, math.inf
    x = start
    previous: tuple[float, float] | None = None
    for _ in range(200):
        f = function(x)
        if f > 0.0:
            low = x
        else:
            high = x
        if previous is not None and x != previous[0]:
            slope = (f - previous[1]) / (x - previous[0])
        guess = x - f / slope if slope < 0.0 else math.nan
        if not low <= guess <= high:  # also when it is NaN
            guess = 2.0 * low if math.isinf(high) else 0.5 * (low + high)
        elif abs(f) < 1e-3:
            return guess
        if math.isfinite(high) and high - low <= 1e-9 * max(high, 1e-6):
            return high
        previous = (x, f)
        x = guess
    return x


class DurationLaw:
    """The longest stay below a peak (days since the last new high, an unfinished stay included), exactly.

    With f_k the chance that the first new high comes on day k (Sparre Andersen: 1 - sum f_k s^k =
    exp(-sum p_k s^k / k), p_k = P(k days up in sum > 0)), the chance that no stay passes d days is a renewal equation.

    Args:
        steps: as in ``uncertain_mean``.
        probability: the level of ``limit``.
    """

    def __init__(self, steps: Mixture, probability: float = 0.95) -> None:
        self._probability = probability
        self._weights = [w for w, _ in steps]
        self._ladders = [_Ladder(step) for _, step in steps]
        self._asked = 0
        self._set(0)

    def survival(self, duration: int, days: int) -> float:
        """P(no stay below a peak longer than ``duration`` days within ``days``)."""
        if duration >= days:
            return 1.0
        return self._chance([_Renewal(ladder, max(duration, 0)) for ladder in self._ladders], days)

    def limit(self, days: int) -> int:
        """The smallest duration d with ``survival(d, days) >= probability``; asking for rising ``days`` is cheap."""
        if days <= 0:
            return 0
        if not self._asked <= days <= self._asked + 1:
            self._set(self._bisect(days))
        self._asked = days
        while self._chance(self._renewals, days) < self._probability:
            self._set(self._limit + 1)
        return self._limit

    def _bisect(self, days: int) -> int:
        low, high = -1, days
        while high - low > 1:
            middle = (low + high) // 2
            if self.survival(middle, days) >= self._probability:
                high = middle
            else:
                low = middle
        return high

    def _set(self, duration: int) -> None:
        self._limit = duration
        self._renewals = [_Renewal(ladder, duration) for ladder in self._ladders]

    def _chance(self, renewals: Sequence[_Renewal], days: int) -> float:
        return sum(w * renewal.at(days) for w, renewal in zip(self._weights, renewals, strict=True))


class _Ladder:
    """f_k and P(no new high for k days), grown as far as asked."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._dot, self._vector = _dot_product()
        self._p = self._vector(64)
        self._g = self._vector(64)  # coefficients of exp(-sum p_k s^k / k); f_k = -g_k
        self._g[0] = 1.0
        self._known = 0

    def first_highs(self, days: int) -> Any:
        """f_0 (zero) .. f_days, as a vector at least that long."""
        while self._known < days:
            k = self._known + 1
            if k >= len(self._g):
                self._p, self._g = _grow(self._p, self._vector), _grow(self._g, self._vector)
            self._p[k] = self._step.p_rise(k)
            self._g[k] = -self._dot(self._p[1 : k + 1], self._g[k - 1 :: -1]) / k
            self._known = k
        return self._g

    def under_water(self, days: int) -> list[float]:
        """P(no new high within k days) for k = 0 .. ``days``."""
        g = self.first_highs(days)
        total, out = 0.0, []
        for k in range(days + 1):
            total += float(g[k])
            out.append(total)
        return out


class _Renewal:
    """W(t): no stay longer than d up to day t. 1 up to d, then W(t) = sum_{k <= d + 1} f_k W(t - k)."""

    def __init__(self, ladder: _Ladder, duration: int) -> None:
        self._ladder = ladder
        self._d = duration
        self._w = ladder._vector(duration + 64)
        for t in range(duration + 1):
            self._w[t] = 1.0
        self._known = duration

    def at(self, day: int) -> float:
        if day <= self._d:
            return 1.0
        g = self._ladder.first_highs(self._d + 1)
        while self._known < day:
            t = self._known + 1
            if t >= len(self._w):
                self._w = _grow(self._w, self._ladder._vector)
            past = self._w[t - 1 : t - self._d - 2 : -1] if t > self._d + 1 else self._w[t - 1 :: -1]
            self._w[t] = -self._ladder._dot(g[1 : self._d + 2], past)
            self._known = t
        return float(self._w[day])


def under_water(theta: float, days: int) -> list[float]:
    """P(a Gaussian walk makes no new high within k days), k = 0 .. ``days``: the tail of its ladder epoch."""
    return _Ladder(Step.gaussian(theta)).under_water(days)


def hermite(points: int) -> list[tuple[float, float]]:
    """Nodes and weights for the mean over a standard normal variable (weights add up to 1)."""
    return list(_hermite(points))


@lru_cache(maxsize=8)
def _hermite(points: int) -> tuple[tuple[float, float], ...]:
    if not _numpy_available():  # equal-probability points: coarser, but needs nothing
        normal, count = NormalDist(), 4 * points + 1
        return tuple((normal.inv_cdf((i + 0.5) / count), 1.0 / count) for i in range(count))
    import numpy as np

    x, w = np.polynomial.hermite_e.hermegauss(points)
    return tuple((float(a), float(b / _SQRT_2PI)) for a, b in zip(x, w, strict=True))


@lru_cache(maxsize=32)
def _legendre(points: int) -> tuple[Array, Array]:
    import numpy as np

    x, w = np.polynomial.legendre.leggauss(points)
    return x, w


def _power(matrix: Array, days: int) -> float:
    """First entry of matrix^days times a vector of ones."""
    import numpy as np

    v = np.ones(len(matrix))
    while days > 32:  # squaring halves the days left; the last ones are cheaper as matrix times vector
        if days & 1:
            v = matrix @ v
        matrix = matrix @ matrix
        days >>= 1
    for _ in range(days):
        v = matrix @ v
    return min(1.0, max(0.0, float(v[0])))


@lru_cache(maxsize=1)
def _numpy_available() -> bool:
    try:
        import numpy  # noqa: F401
    except ImportError:
        return False
    return True


def _dot_product() -> tuple[Callable[[Any, Any], float], Callable[[int], Any]]:
    """A dot product and a maker of zero vectors: numpy's where it is there, else plain lists."""
    if _numpy_available():
        import numpy as np

        return np.dot, np.zeros
    return (lambda a, b: sum(map(mul, a, b))), (lambda n: [0.0] * n)


def _grow(vector: Any, maker: Callable[[int], Any]) -> Any:
    out = maker(2 * len(vector))
    out[: len(vector)] = vector
    return out
