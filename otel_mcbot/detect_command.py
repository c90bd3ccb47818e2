"""``otel-mcbot detect``: the detectors on a file of daily returns, and the limits of a healthy drawdown."""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

from otel_mcbot.detect import DetectInputError
from otel_mcbot.detect.severity import Mode

if TYPE_CHECKING:
    from rich.table import Table

    from otel_mcbot.detect.tools import RunReport, WindowReport

P = ParamSpec("P")
R = TypeVar("R")


class Number(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions alone
    """A finite number in a range; says what is allowed when it is none.

    Args:
        low, high: the range. open: they are not in it themselves. whole: without fraction.
    """

    name = "number"

    def __init__(self, low: float, high: float, *, open: bool = False, whole: bool = False) -> None:
        self.low, self.high, self.open, self.whole = low, high, open, whole

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | int:
        with contextlib.suppress(TypeError, ValueError):
            number = int(value) if self.whole else float(value)
            if self.low < number < self.high or (not self.open and number in (self.low, self.high)):
                return number
        kind = "a whole number" if self.whole else "a number"
        words = "above {} and below {}" if self.open else "from {} to {}"
        self.fail(f"{value!r}: allowed is {kind} {words.format(f'{self.low:g}', f'{self.high:g}')}", param, ctx)


class InputError(click.ClickException):
    """A file that cannot be used, or an extra that is not installed: one line, status 2."""

    exit_code = 2


def one_line(function: Callable[P, R]) -> Callable[P, R]:
    """What is wrong with the input, in one line."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except DetectInputError as error:
            raise InputError(str(error)) from error
        except ModuleNotFoundError as error:
            raise InputError(f"{error.name} is not installed: pip install 'otel-mcbot[detectors]'") from error

    return wrapped


_csv = click.Path(path_type=Path)
_column = click.option("--column", metavar="NAME", help="The column of returns. Default: return, returns, r …")
_strategy = click.option("--strategy", metavar="NAME", help="The one meant, where the file holds several.")
_budget = click.option(
    "--budget",
    type=Number(0.01, 0.2),
    default=0.05,
    show_default=True,
    help="Share of healthy years with an alarm of any calibrated detector.",
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON object.")


@click.group()
def detect() -> None:
    """What the detectors say about a strategy's daily returns (fractions: 0.01 is 1 %)."""


@detect.command()
@click.argument("returns", type=_csv, metavar="RETURNS.csv")
@_column
@_strategy
@click.option(
    "--backtest-days",
    type=Number(30, 100_000, whole=True),
    default=365,
    show_default=True,
    help="The first returns, which the detectors are made of.",
)
@_budget
@click.option("--mode", type=click.Choice(["both", "default", "calibrated"]), default="both", show_default=True)
@click.option("--windows", is_flag=True, help="Also the share of 365-day windows with an alarm.")
@click.option("--plot", type=_csv, metavar="FILE.png", help="Draw drawdown, limits and alarms.")
@_json
@one_line
def run(
    returns: Path,
    column: str | None,
    strategy: str | None,
    backtest_days: int,
    budget: float,
    mode: str,
    windows: bool,
    plot: Path | None,
    as_json: bool,
) -> None:
    """What would have fired, when, and why: feeds a file of returns to the detectors, day by day.

    A file with a column strategy or pod is run for each of its names.
    """
    from otel_mcbot.detect import tools

    importlib.import_module("numpy")
    if plot is not None:
        importlib.import_module("matplotlib")
        if not plot.absolute().parent.is_dir():
            raise click.UsageError(f"--plot {str(plot)!r}: allowed is a file in a folder that exists")
    modes: Sequence[Mode] = tools.MODES if mode == "both" else ("default",) if mode == "default" else ("calibrated",)
    named = (strategy,) if strategy is not None else tools.strategies_in(returns, column=column) or (None,)
    found = []
    for name in named:
        report = tools.run_csv(
            returns, column=column, strategy=name, backtest_days=backtest_days, budget=budget, modes=modes
        )
        shares = None
        if windows:
            with _progress(f"windows of {name or returns}") as progress:
                shares = tools.windows_csv(
                    returns, column=column, strategy=name, backtest_days=backtest_days, budget=budget,
                    modes=modes, progress=progress,
                )  # fmt: skip
        if plot is not None:
            _save(report, plot if len(named) == 1 else plot.with_stem(f"{plot.stem}-{_slug(name)}"))
        found.append((name, report, shares))
    if as_json:
        click.echo(json.dumps({"runs": [_run_json(*each) for each in found]}, indent=1))
        return
    for each in found:
        _print_run(*each)


@detect.command()
@click.argument("backtest", type=_csv, metavar="BACKTEST.csv")
@_column
@_strategy
@_budget
@click.option(
    "--drop",
    "drops",
    type=Number(0, 10, open=True),
    multiple=True,
    default=(0.1, 0.2, 0.5),
    show_default=True,
    help="A decay to time: fall of the mean, in standard deviations a day. May be given again.",
)
@click.option(
    "--paths",
    type=Number(1, 100_000, whole=True),
    default=100,
    show_default=True,
    help="Simulated years a figure; 100 take about a minute.",
)
@click.option("--seed", type=Number(0, 2**31, whole=True), default=0, show_default=True)
@_json
@one_line
def calibrate(
    backtest: Path,
    column: str | None,
    strategy: str | None,
    budget: float,
    drops: tuple[float, ...],
    paths: int,
    seed: int,
    as_json: bool,
) -> None:
    """What to expect of the detectors on this strategy: limits, false alarms a year, days until a decay is seen.

    Simulated with the detectors themselves on years drawn from the backtest in blocks.
    """
    from otel_mcbot.detect import tools

    importlib.import_module("numpy")
    with _progress("simulating years") as progress:
        found = tools.calibrate_csv(
            backtest, column=column, strategy=strategy, budget=budget, drops=drops, paths=paths, seed=seed,
            progress=progress,
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps(asdict(found), indent=1))
        return
    _warn(found.warnings)
    click.echo(
        f"{backtest}: {found.days} days, mean {found.mu:+.4%} and standard deviation {found.sigma:.3%} a day, "
        f"annual Sharpe ratio {found.sharpe:.2f}"
    )
    table = _table(f"A healthy year stays within, with {1 - found.share:.2%}", "", "depth", "duration, days")
    table.add_row("if the mean were known exactly", f"{found.known.depth:.1%}", str(found.known.duration))
    table.add_row("allowing for its error, at this volatility", f"{found.aware.depth:.1%}", str(found.aware.duration))
    _show(table)
    table = _table(f"False alarms in {paths} healthy years", "mode", "detector", "years with one", "alarms a year")
    for alarm in found.false_alarms:
        table.add_row(alarm.mode, alarm.detector, f"{alarm.share:.0%} ± {alarm.error:.0%}", f"{alarm.episodes:.2f}")
    _show(table)
    table = _table(
        "Days until a decay is seen (calibrated)", "mean falls by", "detector", "seen within a year", "median"
    )
    for seen in found.detections:
        median = "—" if seen.median_days is None else f"{seen.median_days} days"
        table.add_row(f"{seen.drop:g} σ a day", seen.detector, f"{seen.share:.0%}", median)
    _show(table)


@detect.command()
@click.option("--mu", type=Number(-1, 10, open=True), required=True, help="Mean daily return, a fraction.")
@click.option("--sigma", type=Number(0, 10, open=True), required=True, help="Its standard deviation.")
@click.option("--days", type=Number(1, 10_000, whole=True), required=True, help="How long the strategy lives.")
@click.option(
    "--law",
    type=click.Choice(["log", "simple"]),
    default="log",
    show_default=True,
    help="What is normal: the logarithm of 1 + return (geometric Brownian motion), or the return.",
)
@click.option(
    "--confidence",
    type=Number(0, 1, open=True),
    default=0.95,
    show_default=True,
    help="Share of healthy strategies within.",
)
@_json
@one_line
def limits(mu: float, sigma: float, days: int, law: str, confidence: float, as_json: bool) -> None:
    """How deep (fraction of the peak) and how long (days) a drawdown of a healthy strategy gets."""
    from otel_mcbot.detect import tools

    found = tools.limits(mu, sigma, days, "simple" if law == "simple" else "log", confidence)
    if as_json:
        click.echo(json.dumps(asdict(found)))
        return
    table = _table(f"{confidence:.0%} of healthy strategies stay within, in {days} days", "depth", "duration")
    table.add_row(f"{found.depth:.2%} below the peak", f"{found.duration} days without a new high")
    _show(table)


def _run_json(name: str | None, report: RunReport, shares: WindowReport | None) -> dict[str, object]:
    plain = {key: value for key, value in asdict(report).items() if key != "tracks"}
    return {"strategy": name, **plain, "windows": None if shares is None else asdict(shares)}


def _print_run(name: str | None, report: RunReport, shares: WindowReport | None) -> None:
    _warn(report.warnings)
    click.echo(
        f"{report.source}{f', {name}' if name else ''}: made of {report.backtest_days} days (mean {report.mu:+.4%}, "
        f"standard deviation {report.sigma:.3%} a day), run on {report.live_days} days, {report.first_day} to "
        f"{report.last_day}"
    )
    count = f", {shares.windows}" if shares is not None else ""
    table = _table(None, "mode", "detector", "alarms", "days in alarm", "first", f"365-day windows with one{count}")
    for mode, days in report.alarm_days.items():
        for detector, share in days.items():
            own = [f for f in report.firings if f.mode == mode and f.detector == detector]
            window = f"{shares.shares[mode][detector]:.0%}" if shares is not None else "—"
            table.add_row(mode, detector, str(len(own)), f"{share:.1%}", own[0].day if own else "—", window)
        if shares is not None:
            table.add_row(mode, "any", "", "", "", f"{shares.shares[mode]['any']:.0%}")
    _show(table)
    table = _table("What would have fired", "day", "mode", "detector", "severity", "why")
    for firing in report.firings:
        table.add_row(firing.day, firing.mode, firing.detector, firing.severity, firing.message)
    if report.firings:
        _show(table)


def _save(report: RunReport, path: Path) -> None:
    from otel_mcbot.detect import tools

    try:
        tools.plot_run(report).savefig(path)
    except (OSError, ValueError) as error:
        raise InputError(f"--plot {str(path)!r}: cannot be written: {error}") from error


def _slug(name: str | None) -> str:
    return re.sub(r"[^\w.-]+", "_", name or "")


def _warn(warnings: Sequence[str]) -> None:
    for text in warnings:
        click.echo(f"otel-mcbot: {text}", err=True)


def _table(title: str | None, *columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(name, no_wrap=name != "why", overflow="fold")
    return table


def _show(table: Table) -> None:
    from rich.console import Console

    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        console.width = 160  # a file or a pipe has no edge
    console.print(table)


@contextlib.contextmanager
def _progress(what: str) -> Iterator[Callable[[float], None] | None]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda share: bar.update(task, completed=share)
