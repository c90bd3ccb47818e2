"""The pods' books: what the orchestrator knows about each, as plain numbers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from .portfolio import Pod, Portfolio

PERIODS = 120
"""Returns kept a pod."""

INCUBATION = 5
"""Periods before a pod counts as proven."""

WARNING, PROBATION = 0.05, 0.15
"""Drawdowns (fractions) from which a pod is in that state."""


class PodBook:
    """Equity, returns and state by pod. A return is that of one look to the next: here the demo's day is a second.

    Args:
        judged: pod id → what the detectors say of its lifecycle, if they know it.
    """

    def __init__(self, portfolio: Portfolio, pods: Sequence[Pod], judged: Callable[[str], Any]) -> None:
        self.portfolio = portfolio
        self.pods = pods
        self.judged = judged
        self._equity = {pod.id: pod.capital for pod in pods}
        self._peak = dict(self._equity)
        self._returns = {pod.id: deque[float](maxlen=PERIODS) for pod in pods}

    def snapshot(self) -> dict[str, Any]:
        """Look at the pods now, in the words of ``telemetry.orchestrator.update``."""
        drawdowns, states, targets = {}, {}, {}
        for pod in self.pods:
            equity = pod.capital + self.portfolio.pnl(pod.strategy)
            self._returns[pod.id].append(equity / self._equity[pod.id] - 1)
            self._equity[pod.id] = equity
            self._peak[pod.id] = max(self._peak[pod.id], equity)
            drawdowns[pod.id] = 1 - equity / self._peak[pod.id]
            states[pod.id] = self._state(pod, drawdowns[pod.id])
            exposure = self.portfolio.exposure(pod.strategy)
            targets[pod.id] = {symbol: notional / self.portfolio.capital for symbol, notional in exposure.items()}
        total = sum(self._equity.values())
        return {
            "states": states,
            "weights": {pod: equity / total for pod, equity in self._equity.items()},
            "returns": {pod: list(history) for pod, history in self._returns.items()},
            "equity": dict(self._equity),
            "drawdowns": drawdowns,
            "targets": targets,
        }

    def _state(self, pod: Pod, drawdown: float) -> str:
        judged = self.judged(pod.id)
        if judged is not None and judged.state != "production":
            return str(judged.state)
        if drawdown > PROBATION:
            return "probation"
        if drawdown > WARNING:
            return "warning"
        return "production" if len(self._returns[pod.id]) > INCUBATION else "incubation"
