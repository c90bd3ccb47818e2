"""``otel-mcbot doctor``: what a bot on this machine would run into, and how to mend it.

A check is a function of a :class:`Case` that yields lines; :data:`CHECKS` is the list. Nothing is changed: no id is
made, no file written, and what the Collector gets is an empty request.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from otel_mcbot import catalog, identity, semconv
from otel_mcbot.doctor_case import FAIL, OK, WARN, Case, Line, side_by_side
from otel_mcbot.doctor_servers import OTLP_PATH, SERVERS, Trouble, Web, is_otlp
from otel_mcbot.doctor_stack import FIND, check_stack, compose_variables
from otel_mcbot.export import Signal, files
from otel_mcbot.settings import Settings, SettingsError

DEFAULT_ENDPOINT = "http://localhost:4318"

PATIENCE = 4.2
"""Seconds for all checks: a check that takes longer is a line that says so."""

AFTER_START = 0.02
"""Seconds by which a bar comes after the start at least; two clocks are compared."""

LITTLE, TOO_LITTLE = 2**30, 100 * 2**20
"""Free bytes for state and buffers."""

PACKAGES = ("otel-mcbot", "opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http", "loguru")


def check_identity(case: Case) -> Iterator[Line]:
    settings = case.settings
    name = f"{settings.service_namespace}/{settings.service_name}, mode {settings.mode}"
    if settings.service_name == Settings.service_name:
        yield Line(
            "identity", WARN, f"{name}: the name is the default", "set OTEL_SERVICE_NAME, or name it in configure()"
        )
    elif case.instance is None:
        yield Line("identity", OK, f"{name}, an instance id is made on the first run")
    else:
        yield Line("identity", OK, f"{name}, instance {case.instance}")


def check_endpoint(case: Case) -> Iterator[Line]:
    settings = case.settings
    if settings.disabled:
        yield Line("endpoint", OK, "OTEL_SDK_DISABLED is set: nothing is sent")
        return
    signals = (settings.traces_endpoint, settings.metrics_endpoint, settings.logs_endpoint)
    whole = {url: "" for url in signals if url}
    base = {settings.endpoint: OTLP_PATH} if settings.endpoint else {}
    if not base and not whole:
        yield _default_endpoint(case)
        return
    urls = base | whole  # a signal's own URL is complete, the common one is where the paths begin
    answers = side_by_side([partial(_speak, case, url, path) for url, path in urls.items()], FIND)
    for url, answer in zip(urls, answers, strict=True):
        if not isinstance(answer, Exception):
            yield Line("endpoint", OK, f"{url} takes telemetry")
        elif isinstance(answer, Trouble) and answer.kind == "denied":
            fix = "check OTEL_EXPORTER_OTLP_HEADERS (the token) and OTEL_EXPORTER_OTLP_CERTIFICATE"
            yield Line("endpoint", FAIL, f"{url}: {answer}", fix)
        else:
            yield Line("endpoint", FAIL, f"{url}: {answer}", "start the Collector, or mend OTEL_EXPORTER_OTLP_ENDPOINT")


def _default_endpoint(case: Case) -> Line:
    """Without an endpoint the bot keeps its telemetry in files, and sends it to what listens at the default one."""
    if not case.settings.find_collector:
        return Line("endpoint", OK, "none is set and none is looked for: telemetry is kept in files")
    (answer,) = side_by_side([partial(_speak, case, DEFAULT_ENDPOINT, OTLP_PATH)], FIND)
    if not isinstance(answer, Exception):
        return Line("endpoint", OK, f"none is set, and {DEFAULT_ENDPOINT} takes telemetry: it goes there")
    if isinstance(answer, Trouble) and answer.kind == "absent":
        found = f"none is set and nothing listens at {DEFAULT_ENDPOINT}: telemetry is kept in files"
        return Line("endpoint", OK, found)
    found = f"none is set, and what listens at {DEFAULT_ENDPOINT} is no Collector, but a bot would send there: {answer}"
    return Line("endpoint", FAIL, found, "free that port, or MCBOT_FIND_COLLECTOR=false")


def _speak(case: Case, url: str, path: str) -> str:
    if case.settings.protocol == "grpc":
        parts = urlsplit(url)
        try:
            socket.create_connection((parts.hostname or "", parts.port or 4317), FIND).close()
        except OSError as error:
            raise Trouble("absent", error.strerror or str(error)) from error
        return ""
    certificate = os.environ.get("OTEL_EXPORTER_OTLP_CERTIFICATE")
    return is_otlp(Web(url), path, case.settings.headers, certificate or True)


def check_clock(case: Case) -> Iterator[Line]:
    now = datetime.now(UTC)
    before = time.monotonic()
    if time.monotonic() < before:
        yield Line("clock", FAIL, "the monotonic clock runs backwards", "report it to whoever made this machine")
    elif now.year < 2024:
        yield Line("clock", FAIL, f"it says {now:%Y-%m-%d %H:%M} UTC", "switch on time synchronisation (NTP)")
    else:
        found = f"{now:%Y-%m-%d %H:%M:%S} UTC, zone {time.strftime('%Z')}"
        yield Line("clock", OK, found)


def check_state_directory(case: Case) -> Iterator[Line]:
    directory = case.settings.state_dir
    there = next(parent for parent in (directory, *directory.parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        yield Line(
            "state directory",
            FAIL,
            f"{directory}: {error.strerror}",
            "set MCBOT_STATE_DIR to a folder that this user can write to",
        )
        return
    free = shutil.disk_usage(there).free
    if free < LITTLE:
        yield Line(
            "state directory",
            FAIL if free < TOO_LITTLE else WARN,
            f"{directory}: {free / 2**20:.0f} MiB free on its disk",
            "make room: without it neither open orders nor telemetry survive a restart",
        )
        return
    size = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file()) if directory.exists() else 0
    newest = max((file.stat().st_mtime for file in case.files.glob("*.jsonl")), default=None) if case.files else None
    last = f", last file of {datetime.fromtimestamp(newest, UTC):%Y-%m-%d %H:%M:%S} UTC" if newest else ""
    yield Line("state directory", OK, f"{directory}, {size / 2**20:.1f} MiB, {free / 2**30:.0f} GiB free{last}")


def check_second_instance(case: Case) -> Iterator[Line]:
    second = identity.holder(case.home, f"{case.instance}-2")
    if case.holder is None:
        yield Line("second instance", OK, "no live process has this id")
    elif second is None:
        yield Line("second instance", OK, f"process {case.holder} runs as {case.instance}, alone")
    else:
        yield Line(
            "second instance",
            WARN,
            f"process {case.holder} runs as {case.instance}, and {second} as {case.instance}-2: one bot, started twice",
            "stop one, or give each its own MCBOT_INSTANCE_ID",
        )


def check_expectations(case: Case) -> Iterator[Line]:
    arrived = _last_run(case.files) if case.files is not None else None
    if arrived is None:
        yield Line("expectations", OK, "no file of an earlier run to look at")
        return
    missing = [symbol for symbol, came in arrived.items() if not came]
    if missing:
        yield Line(
            "expectations",
            FAIL,
            f"expected in the last run and never seen: {', '.join(missing)}",
            "check the symbol's spelling and the bot's subscription, or take it out of expect=",
        )
    elif arrived:
        yield Line("expectations", OK, f"every expected symbol arrived in the last run: {', '.join(arrived)}")
    else:
        yield Line("expectations", WARN, "the last run expected no symbol", 'configure(expect={"BTC/USDT": "1m"})')


def check_versions(case: Case) -> Iterator[Line]:
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{package} (not installed)")
    state = OK if sys.version_info >= (3, 11) else FAIL
    fix = "" if state == OK else "use Python 3.11 or newer"
    yield Line("versions", state, f"Python {platform.python_version()}, {', '.join(found)}", fix)


CHECKS: list[Callable[[Case], Iterator[Line]]] = [
    check_identity,
    check_endpoint,
    check_stack,
    check_clock,
    check_state_directory,
    check_second_instance,
    check_expectations,
    check_versions,
]


def examine(case: Case) -> list[Line]:
    """All lines of all checks, made side by side. A check that fails itself is a line, too."""
    lines: list[Line] = []
    answers = side_by_side([partial(_all, check, case) for check in CHECKS], PATIENCE)
    for check, answer in zip(CHECKS, answers, strict=True):
        if isinstance(answer, Exception):
            name = check.__name__.removeprefix("check_").replace("_", " ")
            error = f"{type(answer).__name__}: {answer}"
            lines.append(Line(name, WARN, f"could not be checked: {error}", "try again; if it stays so, report it"))
        else:
            lines += answer
    return lines


def _all(check: Callable[[Case], Iterator[Line]], case: Case) -> list[Line]:
    return list(check(case))


# -- the embedded files --------------------------------------------------------------------------------------------


def _last_run(directory: Path) -> dict[str, bool] | None:
    """Expected symbol → whether a bar of it came in the last run; ``None`` without a file of one.

    The age of a symbol's last bar counts from the start until the first one comes, so the last bar's time tells.
    """
    started = 0
    expected: list[str] = []
    for record in _items(directory, "logs", "resourceLogs", "scopeLogs", "logRecords"):
        if record.get("eventName") == semconv.BotEvent.STARTED:
            started = int(record.get("timeUnixNano", 0))
            expected = _attributes(record).get(semconv.SYMBOL) or []
    if not started:
        return None
    arrived = dict.fromkeys(expected, False)
    for metric in _items(directory, "metrics", "resourceMetrics", "scopeMetrics", "metrics"):
        if metric.get("name") != catalog.last_bar_age.name:
            continue
        for point in metric["gauge"]["dataPoints"]:
            symbol = _attributes(point).get("symbol")
            last_bar = int(point["timeUnixNano"]) / 1e9 - float(point.get("asDouble", point.get("asInt", 0)))
            if symbol in arrived and last_bar > started / 1e9 + AFTER_START:
                arrived[symbol] = True
    return arrived


def _items(directory: Path, signal: Signal, *path: str) -> Iterator[dict[str, Any]]:
    """What lies at the end of ``path`` in each request of a signal, oldest first."""
    for request in files.read(directory, signal):
        found = [request]
        for name in path:
            found = [each for item in found for each in item.get(name, ())]
        yield from found


def _attributes(item: dict[str, Any]) -> dict[str, Any]:
    return {pair["key"]: _value(pair["value"]) for pair in item.get("attributes", ())}


def _value(value: dict[str, Any]) -> Any:
    if "arrayValue" in value:
        return [_value(each) for each in value["arrayValue"].get("values", ())]
    return next(iter(value.values()), None)


# -- the command ---------------------------------------------------------------------------------------------------


def _addresses(command: Callable[..., int]) -> Callable[..., int]:
    """An option for each server."""
    for server in reversed(SERVERS):
        text = f"Where {server.title} is, if not on this machine at {server.port} or {server.variable}."
        command = click.option(f"--{server.name}", metavar="URL", help=text)(command)
    return command


@click.command()
@click.option("--json", "as_json", is_flag=True, help="A list of objects: check, state, found, fix.")
@click.option("--service", help="The bot's name, where OTEL_SERVICE_NAME does not say it.")
@click.option("--instance", help="The bot's instance id, where neither MCBOT_INSTANCE_ID nor the state directory does.")
@_addresses
def doctor(as_json: bool, service: str | None, instance: str | None, **addresses: str | None) -> int:
    """Check this machine and the stack, and say what to mend.

    Exit status 1 when something fails, 2 when a setting cannot be used.
    """
    for name, url in addresses.items():
        if url is not None and not re.match(r"https?://[^/]", url):
            raise click.UsageError(f"--{name} {url}: a URL as in http://127.0.0.1:9090")
    try:
        settings = Settings.load(os.environ, service_name=service, instance_id=instance)
    except SettingsError as error:
        click.echo(str(error), err=True)
        return 2
    given = {name: url for name, url in addresses.items() if url}
    lines = examine(Case(settings, compose_variables(os.environ, Path.cwd()), given))
    if as_json:
        click.echo(json.dumps([asdict(line) for line in lines], indent=1))
    else:
        for line in lines:
            click.echo(f"{line.state:4}  {line.check}: {line.found}")
            if line.fix:
                click.echo(f"      fix: {line.fix}")
    return int(any(line.state == FAIL for line in lines))
