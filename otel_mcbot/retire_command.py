"""``otel-mcbot retire``: a bot that died for good is not expected any more."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from otel_mcbot.doctor_servers import SERVERS, Trouble, Web
from otel_mcbot.doctor_stack import Prometheus, compose_variables
from otel_mcbot.retire import NotTaken, Refused, find, retire
from otel_mcbot.settings import Settings, SettingsError

METRICS_PATH = "/v1/metrics"


def _url(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    if value is not None and (urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname):
        raise click.BadParameter(f"{value!r}: allowed is a URL as in http://127.0.0.1:9090")
    return value


@click.command("retire")
@click.argument("instance", metavar="ID")
@click.option("--service", metavar="NAME", help="The bot's name, where several bots have this id.")
@click.option("--prometheus", metavar="URL", callback=_url, help="Where Prometheus is, if not on this machine.")
@click.option(
    "--endpoint",
    metavar="URL",
    callback=_url,
    help="Where the Collector takes OTLP over HTTP, if OTEL_EXPORTER_OTLP_ENDPOINT does not say it.",
)
def command(instance: str, service: str | None, prometheus: str | None, endpoint: str | None) -> int:
    """Say that the bot with this instance id, which died for good, is not expected to run any more.

    Exit status 2 when there is no such bot or it lives, 1 when the stack does not answer.
    """
    try:
        settings = Settings.load(os.environ)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    known = Prometheus(Web(prometheus or _local("prometheus")))
    collector, path = _receiver(settings, endpoint)
    options: dict[str, Any] = {"headers": dict(settings.headers)}
    if certificate := os.environ.get("OTEL_EXPORTER_OTLP_CERTIFICATE"):
        options["verify"] = certificate
    try:
        bot = find(known, instance, service)
        if not bot.expected:
            click.echo(f"{bot.job} {instance} is not expected to run: there is nothing to do")
            return 0
        retire(bot, known, collector, path, **options)
    except Refused as error:
        raise click.UsageError(str(error)) from error
    except NotTaken as error:
        raise click.ClickException(str(error)) from error
    except Trouble as error:
        raise click.ClickException(f"Prometheus at {known.web.url}: {error}") from error
    click.echo(f"{bot.job} {instance} is not expected to run any more: Prometheus has mcbot_expected_up 0")
    return 0


def _receiver(settings: Settings, endpoint: str | None) -> tuple[Web, str]:
    """Where metrics go over HTTP: as asked, as the variables say, else on this machine."""
    if endpoint is None and settings.protocol != "grpc":
        if settings.metrics_endpoint:  # a signal's own URL is complete
            return Web(settings.metrics_endpoint), ""
        endpoint = settings.endpoint
    return Web(endpoint or _local("otlp")), METRICS_PATH


def _local(name: str) -> str:
    """A server of this machine's stack, at the port that compose would give it."""
    server = next(server for server in SERVERS if server.name == name)
    port = compose_variables(os.environ, Path.cwd()).get(server.variable, str(server.port))
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise click.UsageError(f"{server.variable}={port!r}: allowed is a port, 1 to 65535")
    return f"http://127.0.0.1:{port}"
