"""``otel-mcbot grafana``: the files that Grafana is set up by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from otel_mcbot.provision import files
from otel_mcbot.rules import RULES


@click.group()
def grafana() -> None:
    """Dashboards, data sources and alerts of Grafana, as files."""


@grafana.command()
@click.option("--check", is_flag=True, help="Write nothing; say what is not as it should be, and exit with 1.")
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("grafana"),
    show_default=True,
    metavar="FOLDER",
    help="Where the files are.",
)
@click.option(
    "--mute",
    multiple=True,
    metavar="WINDOW",
    help="When the exchange is maintained and its alerts are silent, in UTC: 'Tue 06:00-07:00', "
    "'2026-12-01 06:00-07:00'. May be given several times.",
)
def build(check: bool, into: Path, mute: Sequence[str]) -> int:
    """Write all files anew, those that are as they should be aside."""
    try:
        if check:
            return _check(into, mute)
        for path in files.write(into, rules=RULES, mute=mute):
            click.echo(f"wrote {into}/{path}")
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"cannot write {error.filename}: {error.strerror}") from error
    return 0


def _check(into: Path, mute: Sequence[str]) -> int:
    found = list(files.differences(into, rules=RULES, mute=mute))
    for line in found:
        click.echo(f"{into}/{line}", err=True)
    if found:
        click.echo("otel-mcbot: mend it with: otel-mcbot grafana build, and the same options", err=True)
    return 1 if found else 0
