"""``otel-mcbot grafana``: the files that Grafana is set up by."""

from __future__ import annotations

from pathlib import Path

import click

from otel_mcbot.provision import files


@click.group()
def grafana() -> None:
    """Dashboards and data sources of Grafana, as files."""


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
def build(check: bool, into: Path) -> int:
    """Write all files anew, those that are as they should be aside."""
    if check:
        found = list(files.differences(into))
        for line in found:
            click.echo(f"{into}/{line}", err=True)
        if found:
            click.echo("otel-mcbot: mend it with: otel-mcbot grafana build", err=True)
        return 1 if found else 0
    try:
        for path in files.write(into):
            click.echo(f"wrote {into}/{path}")
    except OSError as error:
        raise click.ClickException(f"cannot write {error.filename}: {error.strerror}") from error
    return 0
