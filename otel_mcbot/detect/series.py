"""Maximum drawdown of a Brownian motion as a series, in plain Python.

Used where numpy is missing and where a drawdown is so many sigmas deep that the exact law of ``walk`` costs more than
it adds. Source: Domine (1996), Magdon-Ismail, Atiya, Pratap & Abu-Mostafa, J. Appl. Prob. 41 (2004) 147-161.
"""

from __future__ import annotations

import math
from statistics import NormalDist

BETA = 0.5825971579390107
"""-zeta(1/2)/sqrt(2 pi): sigmas that daily sampling of a Brownian motion misses. Broadie, Glasserman & Kou (1997)."""

_MAX_TERMS = 400
_NEGLIGIBLE = 1e-13
_STEEP = 30.0  # exponent beyond which the series for a falling walk loses its digits


def survival(depth: float, theta: float, days: int) -> float:
    """P(maximum drawdown over ``days`` <= ``depth``) of a Gaussian walk, to 1 % of the depth (0.3 % from 90 days on).

    Args:
        depth: log drawdown in units of the daily standard deviation (>= 0).
        theta: daily log drift in the same units.
        days: number of daily steps.

    Daily sampling is corrected twice: once for the peak that was missed, once for the overshoot below it.
    """
    if days <= 0:
        return 1.0
    if theta < 0.0 and max(theta * theta * days / 2.0, -theta * depth) > _STEEP:
        # A walk that falls this steadily has its start as peak: its drawdown is the fall and a wobble at each end.
        return NormalDist().cdf((depth + theta * days + 1.0 / theta) / math.sqrt(days))
    h = depth + 2.0 * BETA
    return min(1.0, max(0.0, _brownian(theta * h, days / (h * h))))


def quantile(probability: float, theta: float, days: int) -> float:
    """The depth (daily sigmas of log equity) that the maximum drawdown stays under with ``probability``."""
    if days <= 0:
        return 0.0
    high = max(1.0, math.sqrt(days), -2.0 * theta * days)
    while survival(high, theta, days) < probability:
        high *= 2.0
    low = 0.0
    if survival(low, theta, days) >= probability:
        return 0.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        if survival(middle, theta, days) < probability:
            low = middle
        else:
            high = middle
        if high - low < 1e-9 * high:
            break
    return high


def _brownian(a: float, tau: float) -> float:
    """S = P(max drawdown <= h) with a = theta h, tau = n / h^2 (both without unit)."""
    if abs(a) < 1e-9 or abs(a - 1.0) < 1e-9:  # removable singularities of the formula
        a += 2e-9
    total = _slow_term(a, tau) if a > 1.0 else 0.0
    scale = 2.0 * math.exp(-a)
    for k in range(_MAX_TERMS):
        root = _root(k, a)
        square = root * root
        term = scale * root * math.exp(-(square + a * a) * tau / 2.0) / (square + a * a - a)
        total += term * math.sin(root)
        if abs(term) < _NEGLIGIBLE:
            break
    return total


def _root(k: int, a: float) -> float:
    """The k-th positive root of tan x = x / a, by Newton on x = offset + atan(x / a)."""
    offset = (k if 0.0 < a < 1.0 else k + 1) * math.pi
    x = offset + math.copysign(math.pi / 2.0, a)
    for _ in range(60):
        step = (x - offset - math.atan(x / a)) / (1.0 - a / (a * a + x * x))
        x -= step
        if abs(step) < 1e-13 * x:
            break
    return x


def _slow_term(a: float, tau: float) -> float:
    """The one hyperbolic root (a > 1): tanh x = x / a. Written without the overflow of sinh for large a."""
    x = a
    for _ in range(200):
        sech2 = _sech2(x)
        step = (x - a * math.tanh(x)) / (1.0 - a * sech2)
        x -= step
        if abs(step) < 1e-14 * x:
            break
    sech2 = _sech2(x)
    # x^2 - a^2 = -a^2 sech^2 x at the root, which keeps its digits where the difference would not
    e2 = math.exp(-2.0 * x)
    growth = math.exp(-2.0 * a * e2 / (1.0 + e2)) * (1.0 - e2)  # 2 e^-a sinh x
    return growth * x / (a - a * a * sech2) * math.exp(-a * a * sech2 * tau / 2.0)


def _sech2(x: float) -> float:
    e2 = math.exp(-2.0 * x)
    return 4.0 * e2 / (1.0 + e2) ** 2
