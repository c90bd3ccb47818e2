"""Layer 10: pods, the portfolio they make, and what they net out against each other.

The orchestrator gives a plain snapshot, every 30 s or so; what follows from it is computed here. One part that fails
never stops the others.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import combinations
from statistics import fmean, stdev
from typing import Final

from otel_mcbot import catalog
from otel_mcbot.facts import number, text
from otel_mcbot.guard import Guard
from otel_mcbot.reports import read

_guard: Final = Guard("record.orchestrator")

DAYS_A_YEAR: Final = 365
POD_GAUGES: Final = (
    catalog.pod_equity,
    catalog.pod_allocation_fraction,
    catalog.pod_rolling_sharpe,
    catalog.pod_drawdown,
    catalog.pod_risk_contribution,
    catalog.pod_lifecycle_state,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorSnapshot:
    """The pods as they are now, by pod id. What is left out is not reported.

    Attributes:
        states: ``incubation``, ``production``, ``warning``, ``probation`` or ``retired``; a pod without one is active.
        weights: share of the capital, 0.0–1.0.
        returns: daily returns, oldest first; a shorter history counts as 0 before it begins.
        equity: quote currency.
        drawdowns: fraction, 0.0–1.0.
        sharpes: rolling Sharpe ratio; computed from ``returns`` where it is missing.
        targets: pod → symbol → target weight, already scaled by the pod's share of the capital.
    """

    states: Mapping[str, object] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    returns: Mapping[str, Sequence[float]] = field(default_factory=dict)
    equity: Mapping[str, float] = field(default_factory=dict)
    drawdowns: Mapping[str, float] = field(default_factory=dict)
    sharpes: Mapping[str, float] = field(default_factory=dict)
    targets: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, source: object) -> OrchestratorSnapshot:
        """The same from a mapping or any object with these names; what it does not have is left out."""
        if isinstance(source, OrchestratorSnapshot):
            return source
        known = {each.name: read(source, each.name) for each in fields(cls)}
        if not isinstance(source, Mapping) and all(value is None for value in known.values()):
            raise TypeError(f"no snapshot: {type(source).__name__} has none of {', '.join(known)}")
        return cls(**{name: value for name, value in known.items() if value is not None})

    @property
    def pods(self) -> frozenset[str]:
        """Every pod that is named anywhere."""
        return frozenset().union(self.states, self.weights, self.returns, self.equity)

    @property
    def active(self) -> list[str]:
        """Pods that are not retired."""
        return sorted(pod for pod in self.pods if (text(self.states.get(pod)) or "").lower() != "retired")


class Orchestrator:
    """Takes snapshots of the pods."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pods: frozenset[str] = frozenset()
        self._held: frozenset[tuple[str, str]] = frozenset()

    @_guard
    def update(self, snapshot: object) -> None:
        """The pods are as ``snapshot`` says: an :class:`OrchestratorSnapshot`, or a mapping or object like one.

        A pod that it does not name any more is gone, a target that it does not name any more is closed.
        """
        snapshot = OrchestratorSnapshot.of(snapshot)
        with self._lock:
            gone, self._pods = self._pods - snapshot.pods, snapshot.pods
        for pod in gone:
            for gauge in POD_GAUGES:
                gauge.remove(pod_id=pod)
        for part in (_money, _states, _sharpes, _portfolio, _netting, self._exposures):
            with _guard:
                part(snapshot)

    def _exposures(self, snapshot: OrchestratorSnapshot) -> None:
        targets = {
            (pod, symbol): weight
            for pod, weights in snapshot.targets.items()
            for symbol, target in weights.items()
            if (weight := number(target))
        }
        with self._lock:
            closed, self._held = self._held - targets.keys(), frozenset(targets)
        for pod, symbol in closed:
            catalog.pod_exposure.remove(pod_id=pod, symbol=symbol)
        for (pod, symbol), weight in targets.items():
            catalog.pod_exposure.set(weight, pod_id=pod, symbol=symbol)


def _money(snapshot: OrchestratorSnapshot) -> None:
    for pod, equity in snapshot.equity.items():
        catalog.pod_equity.set(equity, pod_id=pod)
    for pod, weight in snapshot.weights.items():
        catalog.pod_allocation_fraction.set(weight, pod_id=pod)
    for pod, drawdown in snapshot.drawdowns.items():
        catalog.pod_drawdown.set(drawdown * 100, pod_id=pod)


def _states(snapshot: OrchestratorSnapshot) -> None:
    for pod, state in snapshot.states.items():
        catalog.pod_lifecycle_state.set_state(state, pod_id=pod)
    catalog.active_pods.set(len(snapshot.active))


def _sharpes(snapshot: OrchestratorSnapshot) -> None:
    for pod in snapshot.pods:
        sharpe = snapshot.sharpes.get(pod)
        if sharpe is None:
            returns = list(snapshot.returns.get(pod, ()))
            if len(returns) < 2 or (deviation := stdev(returns)) <= 0:
                continue
            sharpe = fmean(returns) / deviation * math.sqrt(DAYS_A_YEAR)
        catalog.pod_rolling_sharpe.set(sharpe, pod_id=pod)


def _portfolio(snapshot: OrchestratorSnapshot) -> None:
    active = snapshot.active
    if len(active) < 2:
        contributions = {pod: 1.0 / len(active) for pod in active}
        correlation = 0.0
    else:
        returns = aligned({pod: snapshot.returns.get(pod, ()) for pod in active})
        contributions = risk_contributions(returns, snapshot.weights)
        correlation = average_correlation(returns)
    for pod, contribution in contributions.items():
        catalog.pod_risk_contribution.set(contribution, pod_id=pod)
    catalog.portfolio_effective_n.set(effective_n(contributions.values()))
    catalog.portfolio_avg_correlation.set(correlation)


def _netting(snapshot: OrchestratorSnapshot) -> None:
    gross, net, offset = netting(snapshot.targets)
    catalog.netting_gross_exposure.set(gross)
    catalog.netting_net_exposure.set(net)
    catalog.netting_offset_ratio.set(offset)


# -- the arithmetic ------------------------------------------------------------------------------------------------


def aligned(returns: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Histories of one length that end today: shorter ones begin with zeros, what is no number is 0."""
    length = max(map(len, returns.values()), default=0)
    return {
        pod: [0.0] * (length - len(history)) + [number(each) or 0.0 for each in history]
        for pod, history in returns.items()
    }


def covariance(one: Sequence[float], other: Sequence[float]) -> float:
    """Sample covariance; 0 with fewer than two days."""
    if len(one) < 2:
        return 0.0
    mean_one, mean_other = fmean(one), fmean(other)
    return sum((a - mean_one) * (b - mean_other) for a, b in zip(one, other, strict=True)) / (len(one) - 1)


def risk_contributions(returns: Mapping[str, Sequence[float]], weights: Mapping[str, float]) -> dict[str, float]:
    """Share of the portfolio's variance by pod, ``w_i (Σw)_i / w'Σw``; sums to 1. Equal shares where there is none.

    The part of a pod that hedges the others is below 0.
    """
    pods = list(returns)
    held = {pod: number(weights.get(pod)) or 0.0 for pod in pods}
    # the covariance of a pod with the whole portfolio is (Σw)_i: no matrix needed
    days = zip(*returns.values(), strict=True)
    portfolio = [sum(held[pod] * each for pod, each in zip(pods, day, strict=True)) for day in days]
    variance = covariance(portfolio, portfolio)
    if variance <= 0:
        return {pod: 1.0 / len(pods) for pod in pods}
    return {pod: held[pod] * covariance(returns[pod], portfolio) / variance for pod in pods}


def effective_n(contributions: Iterable[float]) -> float:
    """How many equal pods would be spread as well: 1 over the sum of squares; 0 without pods."""
    concentration = sum(each * each for each in contributions)
    return 1.0 / concentration if concentration > 0 else 0.0


def average_correlation(returns: Mapping[str, Sequence[float]]) -> float:
    """Mean of Pearson's correlation over all pairs in which both move; 0 when there is none."""
    pairs = []
    for one, other in combinations(returns.values(), 2):
        scale = math.sqrt(covariance(one, one) * covariance(other, other))
        if scale > 0:
            pairs.append(covariance(one, other) / scale)
    return fmean(pairs) if pairs else 0.0


def netting(targets: Mapping[str, Mapping[str, float]]) -> tuple[float, float, float]:
    """Gross exposure, net exposure, and the share of the gross that nets out; all 0 without targets."""
    gross = 0.0
    net: dict[str, float] = {}
    for weights in targets.values():
        for symbol, target in weights.items():
            weight = number(target) or 0.0
            gross += abs(weight)
            net[symbol] = net.get(symbol, 0.0) + weight
    total = sum(map(abs, net.values()))
    return gross, total, 1.0 - total / gross if gross > 0 else 0.0
