"""``otel-mcbot``: the command line. A command's module is imported when the command is used, not before."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "demo": ("otel_mcbot.demo.command:demo", "Run a small instrumented bot on made-up or recorded bars."),
    "detect": ("otel_mcbot.detect_command:detect", "What the detectors say about a file of daily returns."),
    "discord": ("otel_mcbot.discord_command:discord", "What would go to Discord, on a page."),
    "doctor": ("otel_mcbot.doctor:doctor", "Check this machine and say what to mend."),
    "grafana": ("otel_mcbot.grafana_command:grafana", "Grafana's dashboards and data sources, as files."),
    "metrics": ("otel_mcbot.metrics_command:metrics", "The metrics that a bot emits."),
    "retire": ("otel_mcbot.retire_command:command", "A bot that died for good is not expected any more."),
}
"""Command → where it is, and one line of help."""


class LazyGroup(click.Group):
    """Knows its commands by name and imports one when it is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            raise click.UsageError(f"no command {args[0]!r}: there are {', '.join(COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):  # from the table: help must import nothing
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Metrics, traces and logs of a live trading bot, through OpenTelemetry."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. A mistake in it is one line on standard error and status 2."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str], **context: Any) -> int:
    """Run one command and return its exit status."""
    try:
        result = cli.main(list(arguments), prog_name="otel-mcbot", standalone_mode=False, **context)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.Abort:
        return 130
    except click.ClickException as error:
        click.echo(f"otel-mcbot: {' '.join(error.format_message().split())}", err=True)
        return error.exit_code
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    main()
