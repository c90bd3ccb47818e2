"""Is execution getting worse? Latency, rejections, fill rate and slippage, judged as each order event arrives.

One detector a symbol and one for all; each event costs the same however many came before. The clock is handed in, so a
simulation can run a day in a second.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from otel_mcbot.detect.inputs import finite, number
from otel_mcbot.detect.severity import Severity

Kind = Literal["latency_spike", "consecutive_rejections", "low_fill_rate", "slippage_trend"]

MAX_SYMBOLS = 500
"""Symbols kept apart; beyond, the one that was quiet longest is dropped (the global detector has seen it all)."""


@dataclass(frozen=True, slots=True)
class ExecutionAnomaly:
    """Something is wrong with execution.

    Attributes:
        symbol: the symbol it concerns; None for all together.
        current_value, threshold: in ``unit``: s, orders, ratio (0 to 1) or bps.
    """

    anomaly_type: Kind
    severity: Severity
    message: str
    current_value: float
    threshold: float
    unit: str
    symbol: str | None


@dataclass(frozen=True, slots=True)
class ExecutionLimits:
    """What counts as wrong. The defaults are the user's thresholds.

    Attributes:
        spike: a latency above this multiple of its average is a spike.
        smoothing: weight of a new latency in the average.
        spike_z: and this many standard deviations of the log latency above its mean, so that a venue whose latency
            varies much by nature is not reported for it. 0 (the user's rule) asks for the multiple alone.
        cold_start: fills before spikes are looked for.
        reject_warning, reject_critical: rejections in a row.
        window_s: seconds that the fill rate looks back. min_fill_rate: below it is wrong, from min_orders orders on.
        grace_s: an order younger than this and still open is not yet counted as unfilled (0: counted at once).
        trend: increases of slippage in a row.
        trend_bps: and this many basis points of increase in all. 0 is the user's rule, which alarms on 1 fill in 24 of
            an unchanging market.
    """

    spike: float = 3.0
    spike_z: float = 0.0
    smoothing: float = 0.1
    cold_start: int = 5
    reject_warning: int = 3
    reject_critical: int = 5
    window_s: float = 3600.0
    min_fill_rate: float = 0.8
    min_orders: int = 5
    grace_s: float = 0.0
    trend: int = 3
    trend_bps: float = 0.0

    @classmethod
    def calibrated(cls) -> ExecutionLimits:
        """Thresholds with about 1 false alarm in 1,000 fills of each kind, however much latency varies by nature.

        Latency 3 x its average and 3.5 standard deviations out, 30 s of grace for an open order, 5 increases of
        slippage of 10 bps in all. ``benchmarks/detect_execution.py`` prints the rate a fill of both sets.
        """
        return cls(spike_z=3.5, cold_start=30, grace_s=30.0, trend=5, trend_bps=10.0)


class ExecutionAnomalyDetector:
    """Per symbol and global execution quality.

    ``on_order_request``, ``on_fill`` and ``on_rejection`` are for the trading path: constant time, never raise, return
    what is wrong now. ``check_fill_rate`` is for a periodic cycle. Safe to call from several threads.

    Args:
        limits: see ``ExecutionLimits``.
        clock: seconds, never going back; default ``time.monotonic``.
    """

    def __init__(self, limits: ExecutionLimits | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits or ExecutionLimits()
        self._clock = clock
        self._lock = threading.Lock()
        self._all = _Track(self._limits, None)
        self._symbols: OrderedDict[str, _Track] = OrderedDict()
        self._ignored = 0

    def on_order_request(self, symbol: str | None = None, order_id: str | None = None) -> None:
        """An order was sent. Without ``order_id`` orders and fills are only counted."""
        with self._lock:
            now = self._clock()
            for track in self._tracks(symbol):
                track.order(now, _text(order_id))

    def on_fill(
        self,
        latency_seconds: object = None,
        slippage_bps: object = None,
        symbol: str | None = None,
        order_id: str | None = None,
    ) -> list[ExecutionAnomaly]:
        """An order was filled, or a part of it.

        Args:
            latency_seconds: signal to fill, or order to fill where no signal is known. None, NaN or a negative number
                is left out.
            slippage_bps: positive is adverse. None or NaN is left out.
            order_id: makes the parts of one order count as one fill.
        """
        latency, slippage = number(latency_seconds), number(slippage_bps)
        with self._lock:
            if (latency is None and latency_seconds is not None) or (latency is not None and latency < 0.0):
                self._ignored += 1
                latency = None
            if slippage is None and slippage_bps is not None:
                self._ignored += 1
            now = self._clock()
            return [a for track in self._tracks(symbol) for a in track.fill(now, _text(order_id), latency, slippage)]

    def on_rejection(self, symbol: str | None = None, order_id: str | None = None) -> list[ExecutionAnomaly]:
        """An order was rejected."""
        with self._lock:
            return [a for track in self._tracks(symbol) for a in track.reject(_text(order_id))]

    def check_fill_rate(self) -> list[ExecutionAnomaly]:
        """Every fill rate that is too low now, the global one first. No fill at all alarms too."""
        with self._lock:
            now = self._clock()
            found = [self._all.check(now), *(track.check(now) for track in self._symbols.values())]
            return [a for a in found if a is not None]

    def fill_rate(self, symbol: str | None = None) -> float | None:
        """Filled share of the last hour's orders, 0 to 1; None (no gauge) with fewer than ``min_orders``."""
        with self._lock:
            track = self._all if symbol is None else self._symbols.get(symbol)
            return None if track is None else track.rate(self._clock())

    def consecutive_rejections(self, symbol: str | None = None) -> int:
        """Rejections since the last fill."""
        with self._lock:
            track = self._all if symbol is None else self._symbols.get(symbol)
            return 0 if track is None else track.rejections

    def average_latency(self, symbol: str | None = None) -> float | None:
        """The average that a spike is measured against, in seconds; None before the first fill."""
        with self._lock:
            track = self._all if symbol is None else self._symbols.get(symbol)
            return track.average if track is not None and track.fills else None

    @property
    def ignored(self) -> int:
        """How many latencies and slippages were no usable number."""
        return self._ignored

    def to_dict(self) -> dict[str, Any]:
        """Averages, rejections and trends. The hour of orders is not kept: its clock ends with the process."""
        with self._lock:
            return {
                "all": self._all.to_dict(),
                "symbols": {name: track.to_dict() for name, track in self._symbols.items()},
                "ignored": self._ignored,
            }

    def restore_from_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``to_dict`` was called, with an empty hour. KeyError, TypeError, ValueError for anything else."""
        everything = _Track(self._limits, None)
        everything.restore(state["all"])
        symbols: OrderedDict[str, _Track] = OrderedDict()
        for name, saved in state["symbols"].items():
            symbols[str(name)] = track = _Track(self._limits, str(name))
            track.restore(saved)
        with self._lock:
            self._all, self._symbols, self._ignored = everything, symbols, int(state["ignored"])

    def _tracks(self, symbol: str | None) -> tuple[_Track, ...]:
        if symbol is None:
            return (self._all,)
        if not isinstance(symbol, str):
            symbol = str(symbol)
        track = self._symbols.get(symbol)
        if track is None:
            if len(self._symbols) >= MAX_SYMBOLS:
                self._symbols.popitem(last=False)
            track = self._symbols[symbol] = _Track(self._limits, symbol)
        else:
            self._symbols.move_to_end(symbol)
        return self._all, track


def _text(order_id: object) -> str | None:
    return order_id if order_id is None or isinstance(order_id, str) else str(order_id)


_MAX_ORDERS = 1_000  # of the hour, kept a track: a bot that sends more is judged by the last thousand
_INSTANT = 1e-6  # seconds; a latency of 0 has no logarithm


class _Order:
    __slots__ = ("at", "filled", "name", "rejected")

    def __init__(self, at: float, name: str | None) -> None:
        self.at, self.name = at, name
        self.filled = self.rejected = False


class _Track:
    """The four checks for one symbol (or for all)."""

    __slots__ = (
        "anonymous",
        "average",
        "filled",
        "fills",
        "limits",
        "log_mean",
        "log_variance",
        "open",
        "orders",
        "rejections",
        "rise_start",
        "rises",
        "slippage",
        "symbol",
    )

    def __init__(self, limits: ExecutionLimits, symbol: str | None) -> None:
        self.limits, self.symbol = limits, symbol
        self.average, self.fills = 0.0, 0
        self.log_mean = self.log_variance = 0.0
        self.rejections = 0
        self.slippage: float | None = None
        self.rise_start, self.rises = 0.0, 0
        self.orders: deque[_Order] = deque()  # the hour's orders, oldest first
        self.open: dict[str, _Order] = {}  # those of them that have an id
        self.filled = 0  # how many of ``orders`` are filled
        self.anonymous: deque[float] = deque()  # the hour's fills that name no order

    def order(self, now: float, order_id: str | None) -> None:
        self._prune(now)
        if order_id is not None and order_id in self.open:
            return  # the same request, announced twice
        order = _Order(now, order_id)
        self.orders.append(order)
        if order_id is not None:
            self.open[order_id] = order

    def fill(
        self, now: float, order_id: str | None, latency: float | None, slippage: float | None
    ) -> list[ExecutionAnomaly]:
        self._prune(now)
        self.rejections = 0
        self._mark_filled(now, order_id)
        found = [self._latency(latency), self._trend(slippage)]
        return [a for a in found if a is not None]

    def reject(self, order_id: str | None) -> list[ExecutionAnomaly]:
        self.rejections += 1
        if order_id is not None and (order := self.open.get(order_id)) is not None:
            order.rejected = True
        count, limits = self.rejections, self.limits
        if count < limits.reject_warning:
            return []
        critical = count >= limits.reject_critical
        severity = Severity.CRITICAL if critical else Severity.WARNING
        threshold = limits.reject_critical if critical else limits.reject_warning
        return [
            self._anomaly("consecutive_rejections", severity, f"{count} orders rejected in a row", count, threshold)
        ]

    def rate(self, now: float) -> float | None:
        self._prune(now)
        counted = len(self.orders) - self._too_young(now)
        return None if counted < self.limits.min_orders else min(1.0, (self.filled + len(self.anonymous)) / counted)

    def check(self, now: float) -> ExecutionAnomaly | None:
        rate = self.rate(now)
        if rate is None or rate >= self.limits.min_fill_rate:
            return None
        text = f"fill rate {rate:.0%} of {len(self.orders)} orders in {self.limits.window_s / 60:.0f} min"
        return self._anomaly("low_fill_rate", Severity.WARNING, text, rate, self.limits.min_fill_rate)

    def to_dict(self) -> dict[str, Any]:
        return {
            "average": self.average,
            "fills": self.fills,
            "log_mean": self.log_mean,
            "log_variance": self.log_variance,
            "rejections": self.rejections,
            "slippage": self.slippage,
            "rise_start": self.rise_start,
            "rises": self.rises,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.average, self.fills = finite(state["average"]), int(state["fills"])
        self.log_mean, self.log_variance = finite(state["log_mean"]), max(finite(state["log_variance"]), 0.0)
        self.rejections, self.rises = int(state["rejections"]), int(state["rises"])
        self.slippage = None if state["slippage"] is None else finite(state["slippage"])
        self.rise_start = finite(state["rise_start"])

    def _latency(self, latency: float | None) -> ExecutionAnomaly | None:
        if latency is None:
            return None
        limits, before = self.limits, self.average
        limit = limits.spike * before
        # Compared with the average before it; a spike then enters that average at the limit, not at its full size.
        spiked = self.fills >= limits.cold_start and 0.0 < limit < latency and self._unusual(latency)
        self.fills += 1
        if self.fills == 1:
            self.average = latency
        else:
            self.average = before + limits.smoothing * ((limit if spiked else latency) - before)
        self._remember(limit if spiked else latency)
        if not spiked:
            return None
        text = f"fill took {latency:.2f} s, more than {limits.spike:g} x the average of {before:.2f} s"
        return self._anomaly("latency_spike", Severity.WARNING, text, latency, limit)

    def _unusual(self, latency: float) -> bool:
        if not self.limits.spike_z:
            return True
        reach = self.limits.spike_z * math.sqrt(self.log_variance)
        return math.log(max(latency, _INSTANT)) - self.log_mean > reach

    def _remember(self, latency: float) -> None:
        """Mean and variance of the log latency: plain over the first 50 fills, then over about the last 50."""
        weight = max(1.0 / self.fills, 0.02)
        distance = math.log(max(latency, _INSTANT)) - self.log_mean
        self.log_mean += weight * distance
        self.log_variance = (1.0 - weight) * (self.log_variance + weight * distance * distance)

    def _trend(self, slippage: float | None) -> ExecutionAnomaly | None:
        if slippage is None:
            return None
        before, self.slippage = self.slippage, slippage
        if before is None or slippage <= before:
            self.rises, self.rise_start = 0, slippage
            return None
        self.rises += 1
        if self.rises < self.limits.trend or slippage - self.rise_start < self.limits.trend_bps:
            return None
        text = f"slippage rose {self.rises} times in a row, from {self.rise_start:.1f} to {slippage:.1f} bps"
        return self._anomaly("slippage_trend", Severity.WARNING, text, slippage, self.rise_start)

    def _mark_filled(self, now: float, order_id: str | None) -> None:
        if order_id is not None:
            order = self.open.get(order_id)
            if order is not None and not order.filled:
                order.filled = True
                self.filled += 1
        else:
            self.anonymous.append(now)

    def _too_young(self, now: float) -> int:
        """Open orders that may still fill: they are at the young end, so only those are looked at."""
        count = 0
        for order in reversed(self.orders):
            if now - order.at >= self.limits.grace_s:
                break
            count += not order.filled and not order.rejected
        return count

    def _prune(self, now: float) -> None:
        oldest = now - self.limits.window_s
        while self.orders and (self.orders[0].at < oldest or len(self.orders) > _MAX_ORDERS):
            order = self.orders.popleft()
            self.filled -= order.filled
            if order.name is not None:
                del self.open[order.name]
        while self.anonymous and (self.anonymous[0] < oldest or len(self.anonymous) > _MAX_ORDERS):
            self.anonymous.popleft()

    def _anomaly(self, kind: Kind, severity: Severity, text: str, value: float, threshold: float) -> ExecutionAnomaly:
        where = f"{self.symbol}: " if self.symbol is not None else ""
        return ExecutionAnomaly(kind, severity, where + text, float(value), float(threshold), _UNITS[kind], self.symbol)


_UNITS: dict[Kind, str] = {
    "latency_spike": "s",
    "consecutive_rejections": "{order}",
    "low_fill_rate": "ratio",
    "slippage_trend": "bps",
}
