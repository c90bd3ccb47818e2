"""``otel-mcbot demo``."""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
from pathlib import Path

import click
from loguru import logger

import otel_mcbot as mcbot
from otel_mcbot.settings import MODES, seconds

from .bot import Bot, configure
from .market import BarsError
from .plan import Plan, make_plan
from .summary import Summary


def _duration(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    if value == "forever":
        return math.inf
    with contextlib.suppress(ValueError):
        duration = seconds(value)
        if duration >= 0:
            return duration or math.inf
    raise click.BadParameter(f"{value!r}: allowed is a time as in 20s, 2m, 1h, or 0 or forever until stopped")


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
) -> int:
    """Run a small instrumented bot on made-up or recorded bars and show what its telemetry saw.

    Two strategies in two pods, a portfolio and a risk manager, an order manager and a paper exchange. Nothing leaves
    this machine unless OTEL_EXPORTER_OTLP_ENDPOINT says so.
    """
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
    telemetry = configure(plan, mode)
    try:
        bot = asyncio.run(_trade(telemetry, plan, returns is not None, live=sys.stdout.isatty() and not as_json))
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


async def _trade(telemetry: mcbot.Telemetry, plan: Plan, keep_returns: bool, *, live: bool) -> Bot:
    bot = Bot(telemetry, plan, keep_returns=keep_returns)
    if not live:
        await bot.run()
        return bot
    from .view import View  # rich is slow to import and only drawn with

    drawing = asyncio.create_task(View(bot, telemetry).run(), name="view")
    try:
        await bot.run()
    finally:
        drawing.cancel()
        await asyncio.gather(drawing, return_exceptions=True)
    return bot
