"""``otel-mcbot metrics``: the catalog, for people and for programs."""

from __future__ import annotations

import json

import click

from otel_mcbot import catalog


@click.group()
def metrics() -> None:
    """The metrics that a bot emits."""


@metrics.command("list")
@click.option("--json", "as_json", is_flag=True, help="A list of objects.")
@click.option("--markdown", is_flag=True, help="The page docs/metrics.md.")
def list_metrics(as_json: bool, markdown: bool) -> None:
    """Name, type, labels, unit and meaning of every metric."""
    if as_json and markdown:
        raise click.UsageError("--json and --markdown exclude each other: give one of them")
    if markdown:
        click.echo(catalog.markdown(), nl=False)
    elif as_json:
        click.echo(json.dumps(catalog.as_json(), indent=1))
    else:
        for row in catalog.rows():
            click.echo(f"{row.prometheus_name:48} {row.type:10} {','.join(row.labels):40} {row.meaning}")
