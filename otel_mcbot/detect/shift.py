"""Has the mean of the daily returns dropped? Three sequential tests with one interface.

``PageHinkleyDetector`` is the one that the user has. ``CusumDetector`` and ``RankShiftDetector`` know the backtest, and
their thresholds follow from a false-alarm rate: the first by the exact law of ``walk``, the second by a martingale.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from otel_mcbot.detect import walk
from otel_mcbot.detect.inputs import clean, finite, number
from otel_mcbot.detect.inputs import daily_return as usable_return
from otel_mcbot.detect.severity import DAYS_A_YEAR
from otel_mcbot.detect.volatility import Standardiser


class ShiftDetector(Protocol):
    """What a lifecycle asks of its driver. ``score`` is >= 0 and comparable with ``threshold``."""

    @property
    def score(self) -> float: ...

    @property
    def threshold(self) -> float: ...

    @property
    def restarts(self) -> bool:
        """True: ``restart`` is meaningful, and a second alarm after it is new evidence."""
        ...

    def update(self, daily_return: object, /) -> bool:
        """Take one return; True when the score is beyond the threshold. Never raises."""
        ...

    def restart(self, fraction: float) -> None:
        """Set the score to ``fraction`` of the threshold."""
        ...

    def reset(self) -> None: ...

    def to_dict(self) -> dict[str, Any]: ...

    def restore_from_dict(self, state: Mapping[str, Any]) -> None: ...


class PageHinkleyDetector:
    """Page-Hinkley test for a fall of the mean, with an exponentially weighted running mean.

    mean <- alpha mean + (1 - alpha) x;  m <- m + mean - x - delta;  alarm when m - min(m) > lambda_.

    With the usual parameters, made for numbers of size 1, it does not react to daily returns: lambda_ = 50 is a
    cumulative loss of 5,000 %. docs/detectors.md has the figures.

    Args:
        delta: drop of the mean that is tolerated, in the unit of the values (default 0.005).
        lambda_: alarm threshold in the same unit (default 50).
        alpha: weight of the past in the running mean (default 0.9999).
    """

    restarts = False

    def __init__(self, delta: float = 0.005, lambda_: float = 50.0, alpha: float = 0.9999) -> None:
        if not (math.isfinite(delta) and lambda_ > 0.0 and 0.0 <= alpha <= 1.0):
            raise ValueError("delta must be finite, lambda_ positive, alpha 0 to 1")
        self._delta, self._lambda, self._alpha = delta, lambda_, alpha
        self._n = 0
        self._mean = self._m = self._m_min = 0.0

    @property
    def score(self) -> float:
        """m - min(m)."""
        return self._m - self._m_min

    @property
    def threshold(self) -> float:
        """lambda_."""
        return self._lambda

    @property
    def n_observations(self) -> int:
        """Usable values seen."""
        return self._n

    def update(self, value: object) -> bool:
        """Take one value of any size; what is no finite number is ignored. Never raises."""
        x = number(value)
        if x is None:
            return False
        self._n += 1
        if self._n == 1:
            self._mean = x
            return False
        self._mean = self._alpha * self._mean + (1.0 - self._alpha) * x
        self._m += self._mean - x - self._delta
        self._m_min = min(self._m_min, self._m)
        return self.score > self._lambda

    def restart(self, fraction: float) -> None:
        """Set the score to ``fraction`` of the threshold."""
        self._m = self._m_min + fraction * self._lambda

    def reset(self) -> None:
        """Forget everything."""
        self._n = 0
        self._mean = self._m = self._m_min = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The state without the parameters."""
        return {"n": self._n, "x_mean": self._mean, "m_t": self._m, "m_min": self._m_min}

    def restore_from_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``to_dict`` was called. KeyError, TypeError or ValueError for anything else."""
        n = int(state["n"])
        values = [finite(state[key]) for key in ("x_mean", "m_t", "m_min")]
        self._n = n
        self._mean, self._m, self._m_min = values


class CusumDetector:
    """One-sided CUSUM against the backtest: S <- max(0, S - z - k), alarm when S > h.

    The mean stays that of the backtest; a running mean would learn the decay it should report.

    Args:
        mu: mean daily return of the backtest, a fraction. sigma: its standard deviation, > 0.
        k: allowance in sigmas a day, default 0.25: drops of twice that are found soonest.
        h: threshold in sigmas; default: solved so that ``budget`` of healthy strategies alarm within ``horizon`` days.
        budget: default 0.05. horizon: days, default 365.
        backtest_days: length of the backtest, whose error then counts in ``h``; None takes ``mu`` as exact.
        standardiser: divides returns by their recent volatility; None divides by ``sigma``.
        clip: a single day's z counts at most this much; default 3 with a standardiser, else unlimited.

    Raises:
        ValueError: a parameter out of range.
    """

    restarts = True

    def __init__(
        self,
        mu: float,
        sigma: float,
        k: float = 0.25,
        h: float | None = None,
        *,
        budget: float = 0.05,
        horizon: int = DAYS_A_YEAR,
        backtest_days: int | None = None,
        standardiser: Standardiser | None = None,
        clip: float | None = None,
    ) -> None:
        if not (math.isfinite(mu) and sigma > 0.0 and math.isfinite(sigma) and k >= 0.0):
            raise ValueError("mu must be finite, sigma positive and k not negative")
        if not 0.0 < budget < 1.0 or horizon < 1 or (h is not None and h <= 0.0):
            raise ValueError("budget must be between 0 and 1, horizon at least 1, h positive")
        self._mu, self._sigma, self._k = mu, sigma, k
        self._standardiser = standardiser
        self._clip = clip if clip is not None else (3.0 if standardiser else math.inf)
        self._h = cusum_threshold(k, budget, horizon, backtest_days) if h is None else h
        self._score = 0.0

    @classmethod
    def from_returns(cls, returns: Iterable[object], k: float = 0.25, *, budget: float = 0.05) -> CusumDetector:
        """Made of a backtest of more than 60 usable returns: its mean, its volatility, its length."""
        usable = clean(returns)
        standardiser = Standardiser(usable)
        n = len(usable)
        mu = math.fsum(usable) / n
        sigma = math.sqrt(math.fsum((r - mu) ** 2 for r in usable) / (n - 1))
        return cls(mu, sigma, k, budget=budget, backtest_days=n, standardiser=standardiser)

    @property
    def score(self) -> float:
        """S, in sigmas."""
        return self._score

    @property
    def threshold(self) -> float:
        """h, in sigmas."""
        return self._h

    def update(self, daily_return: object) -> bool:
        """Take one return; what is no return is ignored. Never raises."""
        r = usable_return(daily_return)
        if r is None:
            return False
        z = self._standardiser.push(r, self._mu) if self._standardiser else (r - self._mu) / self._sigma
        z = max(-self._clip, min(self._clip, z))
        self._score = max(0.0, self._score - z - self._k)
        return self._score > self._h

    def restart(self, fraction: float) -> None:
        """Set the score to ``fraction`` of the threshold."""
        self._score = fraction * self._h

    def reset(self) -> None:
        """Score 0; the volatility is kept."""
        self._score = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The state without the parameters."""
        return {"score": self._score, "variance": self._standardiser.variance if self._standardiser else None}

    def restore_from_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``to_dict`` was called. KeyError, TypeError or ValueError for anything else."""
        score = finite(state["score"])
        if self._standardiser:
            self._standardiser.variance = float(state["variance"])
        self._score = score


def cusum_threshold(k: float, budget: float, horizon: int, backtest_days: int | None = None) -> float:
    """The h of a CUSUM with allowance ``k`` that ``budget`` of healthy strategies pass within ``horizon`` days."""
    if backtest_days is None:
        return walk.quantile(1.0 - budget, k, horizon)
    error = 1.0 / math.sqrt(backtest_days)
    steps = [(w, walk.Step.gaussian(k + error * x)) for x, w in walk.hermite(11)]
    return walk.mixture_quantile(1.0 - budget, steps, horizon)


class RankShiftDetector:
    """Bets, day by day, that returns rank low in the backtest; alarms when the winnings pass horizon / budget.

    A mixture of Shiryaev-Roberts e-processes: u = mid-rank of the day in the backtest, E = the mean of several
    M_b <- (M_b + 1)(1 + b (1 - 2 u)), one a stake b. While live days and backtest can be exchanged the mean of E after
    n days is n, so P(alarm within the horizon) <= budget whatever the distribution: fat tails need no other threshold.
    Source: Shin, Ramdas & Rinaldo, E-detectors (arXiv:2203.03532).

    Args:
        reference: backtest returns, at least 30 usable ones.
        budget: share of healthy strategies that may alarm within ``horizon`` days; defaults 0.05 and 365.
        stakes: between 0 and 1.
        online: add each live day to the ranks. Exactly valid, but slower to see a drop; default: only for backtests
            shorter than a year, whose error would otherwise break the budget.

    Raises:
        ValueError: a parameter out of range or a backtest that is too short.
    """

    restarts = True

    def __init__(
        self,
        reference: Iterable[object],
        *,
        budget: float = 0.05,
        horizon: int = DAYS_A_YEAR,
        stakes: tuple[float, ...] = (0.1, 0.25, 0.5, 0.8),
        online: bool | None = None,
    ) -> None:
        self._bag = sorted(clean(reference))
        if len(self._bag) < 30:
            raise ValueError("a backtest of at least 30 usable returns is needed")
        if not 0.0 < budget < 1.0 or horizon < 1 or not stakes or not all(0.0 < b < 1.0 for b in stakes):
            raise ValueError("budget and stakes must be between 0 and 1, horizon at least 1")
        self._online = len(self._bag) < DAYS_A_YEAR if online is None else online
        self._original = list(self._bag)
        self._added: list[float] = []
        self._stakes = stakes
        self._alarm = horizon / budget
        self._winnings = [0.0] * len(stakes)

    @property
    def evidence(self) -> float:
        """E, the mean of the winnings."""
        return math.fsum(self._winnings) / len(self._winnings)

    @property
    def score(self) -> float:
        """log10(1 + E): evidence in tens, steady enough for a gauge."""
        return math.log10(1.0 + self.evidence)

    @property
    def threshold(self) -> float:
        """log10(1 + horizon / budget)."""
        return math.log10(1.0 + self._alarm)

    def update(self, daily_return: object) -> bool:
        """Take one return; what is no return is ignored. Never raises."""
        r = usable_return(daily_return)
        if r is None:
            return False
        below, upto = bisect_left(self._bag, r), bisect_right(self._bag, r)
        # the day itself is one of the N + 1; ties share their ranks, which keeps the mean of 1 - 2u at 0
        edge = 1.0 - (below + upto + 1) / (len(self._bag) + 1)
        self._winnings = [
            min((m + 1.0) * (1.0 + b * edge), 1e250) for m, b in zip(self._winnings, self._stakes, strict=True)
        ]
        if self._online:
            insort(self._bag, r)
            self._added.append(r)
        return self.evidence >= self._alarm

    def restart(self, fraction: float) -> None:
        """Set the score to ``fraction`` of the threshold."""
        self._winnings = [10.0 ** (fraction * self.threshold) - 1.0] * len(self._stakes)

    def reset(self) -> None:
        """No winnings; the ranks are kept."""
        self._winnings = [0.0] * len(self._stakes)

    def to_dict(self) -> dict[str, Any]:
        """The state without parameters and backtest."""
        return {"winnings": list(self._winnings), "added": list(self._added)}

    def restore_from_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``to_dict`` was called. KeyError, TypeError or ValueError for anything else."""
        winnings = [finite(x) for x in state["winnings"]]
        added = [finite(x) for x in state["added"]]
        if len(winnings) != len(self._stakes) or min(winnings) < 0.0:
            raise ValueError("not the state of this detector")
        self._winnings, self._added = winnings, added
        self._bag = sorted(self._original + added)
