"""``otel-mcbot demo``."""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
from pathlib import Path
from typing import Final

import click
from loguru import logger

import otel_mcbot as mcbot
from otel_mcbot import rules
from otel_mcbot.settings import MODES, seconds

from .bot import Bot, configure
from .market import BarsError
from .plan import Plan, make_plan
from .scenarios import SCENARIOS, Drill, Scenario, find
from .summary import Summary

MESSAGE = 30.0
"""Seconds from a condition that held long enough to its message: export, evaluation, grouping."""


_TIME: Final = "a time as in 20s, 2m, 1h"


def _time(ctx: click.Context, param: click.Parameter, value: str | None, allowed: str = _TIME) -> float | None:
    if value is None:
        return None
    with contextlib.suppress(ValueError):
        time = seconds(value)
        if time >= 0:
            return time
    raise click.BadParameter(f"{value!r}: allowed is {allowed}")


def _duration(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    if value == "forever":
        return math.inf
    time = _time(ctx, param, value, f"{_TIME}, or 0 or forever until stopped")
    return math.inf if time == 0 else time


def _speed(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    if value == "max":
        return math.inf
    with contextlib.suppress(ValueError):
        speed = float(value)
        if 0 < speed < math.inf:
            return speed
    raise click.BadParameter(f"{value!r}: allowed is a positive number of bot seconds a second, or max")


def _seed(ctx: click.Context, param: click.Parameter, value: str) -> int:
    with contextlib.suppress(ValueError):
        return int(value)
    raise click.BadParameter(f"{value!r}: allowed is a whole number")


@click.command()
@click.option(
    "--bars", "bars", type=click.Path(path_type=Path), multiple=True, metavar="FILE.csv ...",
    help="Replay recorded bars (timestamp,open,high,low,close,volume; base-quote-....csv) instead of made-up ones.",
)  # fmt: skip
@click.argument("more_bars", type=click.Path(path_type=Path), nargs=-1, metavar="")
@click.option(
    "--speed",
    callback=_speed,
    metavar="FACTOR",
    help="Bot seconds a second, or max. Default: files fit --duration, else 1500.",
)
@click.option(
    "--duration", callback=_duration, metavar="TIME", help="As 20s (the default), 2m, 1h; 0 or forever: until SIGTERM."
)
@click.option(
    "--seed",
    callback=_seed,
    metavar="NUMBER",
    default="1",
    show_default=True,
    help="The same seed gives the same run again.",
)
@click.option(
    "--scenario",
    metavar="NAME",
    help="Let something go wrong, so that an alert comes; list shows what. Without a --duration it runs forever.",
)
@click.option(
    "--scenario-after",
    callback=_time,
    metavar="TIME",
    help="How long all is well before. Default 10s, or what it needs.",
)
@click.option(
    "--scenario-for",
    callback=_time,
    metavar="TIME",
    help="How long it is wrong; then it is well again. Default: to the end.",
)
@click.option(
    "--mode", type=click.Choice(MODES), default="paper", show_default=True, help="Mode that telemetry states."
)
@click.option("--json", "as_json", is_flag=True, help="The last line is one JSON object.")
@click.option(
    "--returns", type=click.Path(path_type=Path, dir_okay=False), help="Write daily returns by strategy (CSV)."
)
def demo(
    bars: tuple[Path, ...],
    more_bars: tuple[Path, ...],
    speed: float | None,
    duration: float | None,
    seed: int,
    mode: str,
    as_json: bool,
    returns: Path | None,
    scenario: str | None,
    scenario_after: float | None,
    scenario_for: float | None,
) -> int:
    """Run a small instrumented bot on made-up or recorded bars and show what its telemetry saw.

    Two strategies in two pods, a portfolio and a risk manager, an order manager and a paper exchange. Nothing leaves
    this machine unless OTEL_EXPORTER_OTLP_ENDPOINT says so.
    """
    if scenario == "list":
        click.echo(table())
        return 0
    drill = _drill(scenario, scenario_after, scenario_for, bars)
    if drill is not None and duration is None:
        duration = math.inf
    if more_bars and not bars:
        raise click.UsageError(f"unexpected argument {str(more_bars[0])!r}: files of bars come after --bars")
    if returns is not None and duration == math.inf and not bars:
        raise click.UsageError("--returns needs a run that ends: give a --duration other than forever")
    if returns is not None and not returns.absolute().parent.is_dir():
        raise click.UsageError(f"--returns {str(returns)!r}: allowed is a file in a folder that exists")
    try:
        plan = make_plan((*bars, *more_bars), speed=speed, duration=duration, seed=seed)
    except BarsError as error:
        click.echo(str(error), err=True)
        return 2
    logger.remove()
    logger.add(sys.stderr, level="ERROR", format="{time:HH:mm:ss} {level} {message}")
    if drill is not None:
        expected = ", ".join(f"{alert} ({wait})" for alert, wait in messages(drill.scenario).items())
        click.echo(f"In {drill.after:g} s: {drill.scenario.text} Then, about: {expected}", err=True)
    telemetry = configure(plan, mode, drill.scenario.expect if drill is not None else None)
    try:
        live = sys.stdout.isatty() and not as_json
        bot = asyncio.run(_trade(telemetry, plan, drill, keep_returns=returns is not None, live=live))
    finally:
        telemetry.close()
    if bot.returns is not None and returns is not None:
        bot.returns.write(returns)
    summary = Summary.of(bot, telemetry)
    if as_json:
        click.echo(summary.to_json())
    else:
        outbox = telemetry.outbox.state() if telemetry.outbox is not None else None
        click.echo(
            summary.to_text(
                directory=outbox.directory if outbox is not None else None,
                collector=outbox is not None and outbox.collector,
            )
        )
    return 0


def _drill(name: str | None, after: float | None, lasts: float | None, bars: tuple[Path, ...]) -> Drill | None:
    if name is None:
        if after is not None or lasts is not None:
            raise click.UsageError(f"--scenario-{'after' if after is not None else 'for'} needs a --scenario")
        return None
    try:
        scenario = find(name)
    except KeyError as error:
        raise click.BadParameter(
            f"{name!r}: did you mean {error.args[0]!r}? list shows all of them", param_hint="--scenario"
        ) from None
    if bars:
        raise click.UsageError(f"--scenario {name}: allowed on the made-up market alone, leave --bars out")
    if (reason := scenario.missing()) is not None:
        raise click.UsageError(f"--scenario {name}: not on this machine: {reason}")
    return Drill(scenario, scenario.after if after is None else after, scenario.lasts if lasts is None else lasts)


def messages(scenario: Scenario) -> dict[str, str]:
    """Alert → how long after the start its message comes, about, with the holds that the rules have."""
    return {
        alert: _about(scenario.after + crosses + seconds(rules.find(alert).hold) + MESSAGE)
        for alert, crosses in scenario.alerts.items()
    }


def table() -> str:
    """Every scenario: name, what happens, the alerts that it leads to and how long until their message."""
    rows = []
    for scenario in SCENARIOS:
        told = ", ".join(f"{alert} ({wait})" for alert, wait in messages(scenario).items())
        rows.append(f"{scenario.name:18} {scenario.text}\n{'':18} {told}")
    return "\n".join(rows)


def _about(wait: float) -> str:
    """A time as people say it."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if wait >= size * 0.95:
            return f"{wait / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"{math.ceil(wait / 5) * 5} s"


async def _trade(telemetry: mcbot.Telemetry, plan: Plan, drill: Drill | None, *, keep_returns: bool, live: bool) -> Bot:
    bot = Bot(telemetry, plan, keep_returns=keep_returns)
    run = drill.run if drill is not None else None
    if not live:
        await bot.run(run)
        return bot
    from .view import View  # rich is slow to import and only drawn with

    drawing = asyncio.create_task(View(bot, telemetry).run(), name="view")
    try:
        await bot.run(run)
    finally:
        drawing.cancel()
        await asyncio.gather(drawing, return_exceptions=True)
    return bot
