"""The detectors for people: on a file of returns, and as limits for a strategy. Plain results; the CLI prints them."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from otel_mcbot.detect.bank import BankSettings, PodDetectors
from otel_mcbot.detect.calibrate import DETECTORS, Calibration, Limits, calibrate
from otel_mcbot.detect.drawdown import MIN_SIGMA, GBMDrawdownMonitor
from otel_mcbot.detect.inputs import DetectInputError, looks_like_percent
from otel_mcbot.detect.severity import DAYS_A_YEAR, Mode
from otel_mcbot.detect.walk import Law

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_VALUE_NAMES = ("return", "returns", "daily_return", "ret", "r", "pnl_pct")
_DAY_NAMES = ("date", "day", "timestamp", "time", "datetime")
_GROUP_NAMES = ("strategy", "pod", "pod_id")

MODES: tuple[Mode, Mode] = ("default", "calibrated")


@dataclass(frozen=True, slots=True)
class Returns:
    """A file of returns as read. ``days`` is empty when the file has no dates."""

    source: str
    values: tuple[float, ...]
    days: tuple[str, ...]
    warnings: tuple[str, ...]

    def day(self, index: int) -> str:
        """The date of a return, or its number from 1."""
        return self.days[index] if self.days else str(index + 1)


@dataclass(frozen=True, slots=True)
class Firing:
    """An alarm that would have started: when, who, how bad, why."""

    day: str
    index: int
    mode: Mode
    detector: str
    severity: str
    message: str


@dataclass(frozen=True, slots=True)
class Track:
    """One mode's numbers, a value a live day (None before a detector is ready), for a plot.

    Attributes:
        depth: what is compared with ``depth_limit``: in calibrated mode the drawdown at the backtest's volatility.
    """

    mode: Mode
    depth: tuple[float, ...]
    depth_limit: tuple[float | None, ...]
    p_value: tuple[float | None, ...]
    slope: tuple[float | None, ...]
    score: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class RunReport:
    """What would have happened on a file.

    Attributes:
        backtest_days: the returns that the detectors were made of; the rest was fed day by day.
        alarm_days: share of live days on which each detector was above NORMAL, by mode and detector.
    """

    source: str
    backtest_days: int
    live_days: int
    first_day: str
    last_day: str
    mu: float
    sigma: float
    firings: tuple[Firing, ...]
    alarm_days: dict[str, dict[str, float]]
    tracks: tuple[Track, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WindowReport:
    """Share of windows with at least one alarm, by mode and detector (``any``: of all)."""

    windows: int
    backtest_days: int
    live_days: int
    step: int
    shares: dict[str, dict[str, float]]


def limits(mu: float, sigma: float, days: int, law: Law = "log", confidence: float = 0.95) -> Limits:
    """How deep and how long a drawdown of a healthy strategy gets in ``days`` days.

    Args:
        mu, sigma: mean and standard deviation of simple daily returns, fractions.
        law: ``log``: log(1 + r) is normal (geometric Brownian motion); ``simple``: r is.
        confidence: share of healthy strategies that stay within each limit.

    Returns:
        ``depth`` as a fraction of the peak, ``duration`` in days.

    Raises:
        DetectInputError: a parameter that is not a number or out of range.
    """
    try:
        if days < 1:
            raise ValueError(f"days must be at least 1, not {days}")
        if not sigma > 0.0:
            raise ValueError(f"sigma must be positive, not {sigma}")
        monitor = GBMDrawdownMonitor(mu, sigma, confidence, critical_confidence=max(confidence, 0.99), law=law)
    except ValueError as error:
        raise DetectInputError("limits", None, str(error)) from None
    return Limits(monitor.expected_max_drawdown(days), monitor.expected_max_duration(days))


def run_csv(
    path: str | os.PathLike[str],
    *,
    column: str | None = None,
    strategy: str | None = None,
    backtest_days: int = DAYS_A_YEAR,
    budget: float = 0.05,
    modes: Sequence[Mode] = MODES,
) -> RunReport:
    """Feed a file of returns day by day: what would have fired, when, why.

    Args:
        path: see ``read_returns``.
        backtest_days: the first returns, which the detectors are made of.
        budget: of calibrated mode: the share of healthy years with an alarm of any detector.

    Raises:
        DetectInputError: a file that cannot be used.
    """
    data = read_returns(path, column=column, strategy=strategy)
    _split_or_raise(data, backtest_days, 1)
    before, live = data.values[:backtest_days], data.values[backtest_days:]
    mu, sigma = GBMDrawdownMonitor.estimate_params(before)
    firings: list[Firing] = []
    tracks: list[Track] = []
    shares: dict[str, dict[str, float]] = {}
    for mode in modes:
        pod = _pod(before, mode, budget)
        counts = dict.fromkeys(DETECTORS, 0)
        rows = []
        for i, r in enumerate(live, backtest_days):
            report = pod.update(r)
            for a in report.anomalies:
                counts[a.detector] += 1
                if a.is_new:
                    firings.append(Firing(data.day(i), i, mode, a.detector, a.severity.value, a.message))
            rows.append(report)
        shares[mode] = {name: counts[name] / len(live) for name in DETECTORS}
        tracks.append(
            Track(
                mode,
                tuple(r.drawdown.standard_depth if r.drawdown else 0.0 for r in rows),
                tuple(r.drawdown.expected_max_depth if r.drawdown and r.drawdown.ready else None for r in rows),
                tuple(r.drift.p_value if r.drift and r.drift.ready else None for r in rows),
                tuple(r.decay.ransac_slope if r.decay and r.decay.ready else None for r in rows),
                tuple(r.lifecycle.score / r.lifecycle.threshold if r.lifecycle else 0.0 for r in rows),
            )
        )
    return RunReport(
        source=data.source,
        backtest_days=backtest_days,
        live_days=len(live),
        first_day=data.day(backtest_days),
        last_day=data.day(len(data.values) - 1),
        mu=mu,
        sigma=sigma,
        firings=tuple(sorted(firings, key=lambda f: f.index)),
        alarm_days=shares,
        tracks=tuple(tracks),
        warnings=data.warnings,
    )


def windows_csv(
    path: str | os.PathLike[str],
    *,
    column: str | None = None,
    strategy: str | None = None,
    backtest_days: int = DAYS_A_YEAR,
    live_days: int = DAYS_A_YEAR,
    step: int = 15,
    budget: float = 0.05,
    modes: Sequence[Mode] = MODES,
    progress: Callable[[float], None] | None = None,
) -> WindowReport:
    """``alarm_windows`` of a file. DetectInputError when it cannot be used."""
    data = read_returns(path, column=column, strategy=strategy)
    _split_or_raise(data, backtest_days, live_days)
    return alarm_windows(
        data.values, backtest_days=backtest_days, live_days=live_days, step=step, budget=budget, modes=modes,
        progress=progress,
    )  # fmt: skip


def alarm_windows(
    returns: Sequence[float],
    *,
    backtest_days: int = DAYS_A_YEAR,
    live_days: int = DAYS_A_YEAR,
    step: int = 15,
    budget: float = 0.05,
    modes: Sequence[Mode] = MODES,
    progress: Callable[[float], None] | None = None,
) -> WindowReport:
    """Every ``step`` days: make the detectors of ``backtest_days``, live through ``live_days``, note who alarms."""
    starts = range(0, len(returns) - backtest_days - live_days + 1, step)
    hits: dict[Mode, dict[str, int]] = {mode: dict.fromkeys((*DETECTORS, "any"), 0) for mode in modes}
    for done, start in enumerate(starts, 1):
        middle = start + backtest_days
        for mode in modes:
            pod = _pod(returns[start:middle], mode, budget)
            fired = {a.detector for r in returns[middle : middle + live_days] for a in pod.update(r).anomalies}
            for name in fired:
                hits[mode][name] += 1
            hits[mode]["any"] += bool(fired)
        if progress is not None:
            progress(done / len(starts))
    count = max(len(starts), 1)
    shares = {mode: {name: n / count for name, n in row.items()} for mode, row in hits.items()}
    return WindowReport(len(starts), backtest_days, live_days, step, {str(mode): row for mode, row in shares.items()})


def calibrate_csv(
    path: str | os.PathLike[str],
    *,
    column: str | None = None,
    strategy: str | None = None,
    budget: float = 0.05,
    drops: Sequence[float] = (0.1, 0.2, 0.5),
    paths: int = 100,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Calibration:
    """``calibrate`` of a file. DetectInputError when it, or the budget, cannot be used."""
    data = read_returns(path, column=column, strategy=strategy)
    try:
        return calibrate(
            data.values,
            budget=budget,
            critical_budget=min(0.01, budget),
            drops=drops,
            paths=paths,
            seed=seed,
            progress=progress,
            source=data.source,
        )
    except DetectInputError:
        raise
    except ValueError as error:
        raise DetectInputError(data.source, None, str(error)) from None


def read_returns(path: str | os.PathLike[str], *, column: str | None = None, strategy: str | None = None) -> Returns:
    """Simple daily returns (fractions) from a CSV file.

    With a header: the column named ``column``, else one named like return, returns or daily_return, else the only
    column besides dates; dates from a column named like date, day or timestamp. Where a column strategy or pod holds
    several names, ``strategy`` picks one. Without a header: one column of returns, or dates and returns.

    Raises:
        DetectInputError: with file, line and reason: no such file, empty, no such column, not a number, NaN or
            infinite, below -1, days not in order or a day twice.
    """
    source = os.fspath(path)
    layout, rows = _table(path, column)
    values: list[float] = []
    days: list[str] = []
    groups: set[str] = set()
    percent: int | None = None
    for line, row in rows:
        if len(row) <= layout.width:
            raise DetectInputError(source, line, f"{len(row)} columns, {layout.width + 1} are needed")
        if layout.group is not None:
            name = row[layout.group].strip()
            groups.add(name)
            if strategy is not None and name != strategy:
                continue
            if strategy is None and len(groups) > 1:
                raise DetectInputError(source, line, f"several strategies ({', '.join(sorted(groups))}): name one")
        value = _value(source, line, row[layout.value])
        if looks_like_percent(value) and percent is None:
            percent = line
        if layout.day is not None:
            day = _day(source, line, row[layout.day])
            if days and day <= days[-1]:
                reason = f"day {day} twice" if day == days[-1] else f"day {day} comes after {days[-1]}: not in order"
                raise DetectInputError(source, line, reason)
            days.append(day)
        values.append(value)
    if not values:
        asked = f"no returns of strategy {strategy!r}, only of {', '.join(sorted(groups))}" if groups else "no returns"
        raise DetectInputError(source, None, asked)
    warnings: tuple[str, ...] = ()
    if percent is not None:
        warnings = (f"{source}, line {percent}: a return beyond 100 % a day; fractions are expected (0.01 is 1 %)",)
    return Returns(source, tuple(values), tuple(days), warnings)


def strategies_in(path: str | os.PathLike[str], *, column: str | None = None) -> tuple[str, ...]:
    """The names in a file's column strategy or pod, sorted; empty without such a column. DetectInputError as ever."""
    layout, rows = _table(path, column)
    at = layout.group
    return () if at is None else tuple(sorted({row[at].strip() for _, row in rows if len(row) > at}))


def plot_run(report: RunReport) -> Figure:
    """Drawdown with its limits, and the driver's score, over the live days; alarms marked. Needs matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    days = range(1, report.live_days + 1)
    for i, track in enumerate(report.tracks):
        depth = [-100 * d for d in track.depth]
        if track.mode == "default":
            top.fill_between(days, depth, color="0.8", label="drawdown")
        else:
            top.plot(days, depth, color="0.5", linewidth=1, label="at the backtest's volatility")
        limit = [float("nan") if d is None else -100 * d for d in track.depth_limit]
        top.plot(days, limit, label=f"limit, {track.mode}")
        bottom.plot(days, [100 * s for s in track.score], label=track.mode)
        marks = [f for f in report.firings if f.mode == track.mode]
        top.scatter(
            [f.index - report.backtest_days + 1 for f in marks],
            [2.0 + 2.0 * i] * len(marks),
            marker="v",
            s=18,
            label=f"alarm, {track.mode}",
        )
    top.set_ylabel("below peak, %")
    bottom.set_ylabel("score, % of threshold")
    bottom.set_xlabel(f"live day (1 = {report.first_day})")
    top.legend(fontsize="small")
    bottom.legend(fontsize="small")
    return figure


@dataclass(frozen=True, slots=True)
class _Layout:
    header: bool
    value: int
    day: int | None
    group: int | None

    @property
    def width(self) -> int:
        """The highest column index in use."""
        return max(self.value, self.day or 0, self.group or 0)


def _table(path: str | os.PathLike[str], column: str | None) -> tuple[_Layout, list[tuple[int, list[str]]]]:
    source = os.fspath(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [(number, row) for number, row in _rows(file) if any(cell.strip() for cell in row)]
    except OSError as error:
        raise DetectInputError(source, None, error.strerror or str(error)) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DetectInputError(source, None, f"not a CSV file: {error}") from None
    if not rows:
        raise DetectInputError(source, None, "empty")
    layout = _layout(source, rows[0][1], column)
    return layout, rows[1:] if layout.header else rows


def _rows(file: Iterable[str]) -> list[tuple[int, list[str]]]:
    reader = csv.reader(file)
    return [(reader.line_num, row) for row in reader]


def _layout(source: str, first: list[str], column: str | None) -> _Layout:
    names = [cell.strip().lower() for cell in first]
    if _is_number(first[-1]) or (column is None and any(map(_is_number, first))):
        if column is not None:
            raise DetectInputError(source, 1, f"no header, so no column {column!r}")
        if len(first) > 2:
            raise DetectInputError(source, 1, "no header and more than two columns")
        return _Layout(False, len(first) - 1, 0 if len(first) == 2 else None, None)
    day = next((i for i, name in enumerate(names) if name in _DAY_NAMES), None)
    group = next((i for i, name in enumerate(names) if name in _GROUP_NAMES), None)
    if column is not None:
        if column.strip().lower() not in names:
            raise DetectInputError(source, 1, f"no column {column!r}; there are {', '.join(first)}")
        return _Layout(True, names.index(column.strip().lower()), day, group)
    named = [i for i, name in enumerate(names) if name in _VALUE_NAMES]
    rest = named or [i for i in range(len(names)) if i not in (day, group)]
    if len(rest) != 1:
        raise DetectInputError(source, 1, f"which column holds the returns? There are {', '.join(first)}")
    return _Layout(True, rest[0], day, group)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _value(source: str, line: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise DetectInputError(source, line, f"not a number: {text.strip()!r}") from None
    if not abs(value) < float("inf"):
        raise DetectInputError(source, line, f"not a finite number: {text.strip()}")
    if value < -1.0:
        raise DetectInputError(
            source, line, f"a loss of more than all: {value:g}; fractions are expected (0.01 is 1 %)"
        )
    return value


def _day(source: str, line: int, text: str) -> str:
    text = text.strip()
    try:
        return datetime.fromisoformat(text).date().isoformat()
    except ValueError:
        pass
    try:
        return date.fromisoformat(text[:10]).isoformat()
    except ValueError:
        raise DetectInputError(source, line, f"not a date: {text!r}") from None


def _split_or_raise(data: Returns, backtest_days: int, live_days: int) -> None:
    if backtest_days < 30:
        raise DetectInputError(data.source, None, f"a backtest of {backtest_days} days is too short: 30 at least")
    if len(data.values) < backtest_days + live_days:
        need = f"{backtest_days} for the backtest and {live_days} after it are needed"
        raise DetectInputError(data.source, None, f"{len(data.values)} returns; {need}")
    if GBMDrawdownMonitor.estimate_params(data.values[:backtest_days])[1] <= MIN_SIGMA:
        raise DetectInputError(data.source, None, f"the first {backtest_days} returns are constant")


def _pod(before: Sequence[float], mode: Mode, budget: float) -> PodDetectors:
    return PodDetectors("csv", before, BankSettings(mode=mode, budget=budget, critical_budget=min(0.01, budget)))
