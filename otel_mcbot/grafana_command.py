"""``otel-mcbot grafana``: the files that Grafana is set up by."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from otel_mcbot import rules
from otel_mcbot.provision import files
from otel_mcbot.rules.overrides import MUTE


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
    "--set",
    "sets",
    multiple=True,
    metavar="RULE.PARAMETER=VALUE",
    help="Another threshold or time of a rule: HighDrawdown.threshold=15, HighDrawdown.hold=5m. As often as needed.",
)
@click.option(
    "--rules",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="MCBOT_RULES",
    show_envvar=True,
    metavar="FILE",
    help="The same as a TOML file: [HighDrawdown], threshold = 15. --set comes after it.",
)
@click.option(
    "--mute",
    multiple=True,
    metavar="WINDOW",
    help="When the exchange is maintained, in UTC: 'Tue 06:00-07:00' or '2026-12-01 06:00-07:00'. In the file: "
    "mute = ['Tue 06:00-07:00'], above the rules.",
)
def build(check: bool, into: Path, sets: Sequence[str], file: Path | None, mute: Sequence[str]) -> int:
    """Write all files anew, those that are as they should be aside.

    Thresholds that are set change the alerts and the lines on the dashboards. A --check wants the same options.
    """
    try:
        chosen: dict[str, Any] = {"rules": rules.load(sets, file), "mute": [*_muted(file), *mute]}
        if check:
            return _check(into, chosen)
        for path in files.write(into, **chosen):
            click.echo(f"wrote {into}/{path}")
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"cannot write {error.filename}: {error.strerror}") from error
    return 0


def _muted(file: Path | None) -> list[str]:
    """The mute windows of the file, which has been read before without an error."""
    if file is None:
        return []
    windows = tomllib.loads(file.read_text(encoding="utf-8")).get(MUTE, [])
    if not isinstance(windows, list) or not all(isinstance(each, str) for each in windows):
        raise ValueError(f"{file}: {MUTE} must be a list of windows, as ['Tue 06:00-07:00']")
    return windows


def _check(into: Path, chosen: dict[str, Any]) -> int:
    found = list(files.differences(into, **chosen))
    for line in found:
        click.echo(f"{into}/{line}", err=True)
    if found:
        click.echo("otel-mcbot: mend it with: otel-mcbot grafana build, and the same options", err=True)
    return 1 if found else 0
