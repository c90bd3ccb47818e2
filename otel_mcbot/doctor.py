"""``otel-mcbot doctor``: what a bot on this machine would run into, and how to mend it.

A check is a function of a :class:`Case` that yields lines; :data:`CHECKS` is the list. Nothing is changed: no id is
made, no file written, no Collector spoken to beyond a connection.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from otel_mcbot import catalog, identity, semconv
from otel_mcbot.export import Signal, files
from otel_mcbot.settings import Settings, SettingsError

OK, WARN, FAIL = "ok", "warn", "fail"

DEFAULT_ENDPOINT = "http://localhost:4318"

CONNECT = 1.0
"""Seconds to wait for a Collector."""

AFTER_START = 0.02
"""Seconds by which a bar comes after the start at least; two clocks are compared."""

PACKAGES = ("otel-mcbot", "opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http", "loguru")


@dataclass(frozen=True)
class Line:
    """One finding. ``state`` is ``ok``, ``warn`` or ``fail``; ``fix`` is empty where there is nothing to do."""

    check: str
    state: str
    found: str
    fix: str = ""


@dataclass(frozen=True)
class Case:
    """What is examined: the settings as this environment gives them."""

    settings: Settings

    @property
    def home(self) -> Path:
        """The service's own directory."""
        return self.settings.state_dir / identity.safe(self.settings.service_name)

    @cached_property
    def instance(self) -> str | None:
        """The bot's instance id: as set, or as kept from an earlier run."""
        if self.settings.instance_id:
            return self.settings.instance_id
        with contextlib.suppress(OSError, UnicodeDecodeError):
            return (self.home / "instance").read_text(encoding="utf-8").strip() or None
        return None

    @property
    def files(self) -> Path | None:
        """Where the embedded default writes, whether or not something is there."""
        return self.home / identity.safe(self.instance) / "otlp" if self.instance else None


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
    endpoints = dict.fromkeys(
        url
        for url in (
            case.settings.endpoint,
            case.settings.traces_endpoint,
            case.settings.metrics_endpoint,
            case.settings.logs_endpoint,
        )
        if url
    )
    for url in endpoints or (DEFAULT_ENDPOINT,):
        error = _connect(url)
        if error is None:
            yield Line("endpoint", OK, f"{url} takes connections")
        elif endpoints:
            yield Line("endpoint", FAIL, f"{url}: {error}", "start the Collector, or mend OTEL_EXPORTER_OTLP_ENDPOINT")
        else:
            yield Line(
                "endpoint",
                WARN,
                f"none is set and nothing listens at {url}: telemetry is kept in files",
                "docker compose up -d --wait, or set OTEL_EXPORTER_OTLP_ENDPOINT",
            )


def _connect(url: str) -> str | None:
    """Why nothing listens there, or ``None``."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), CONNECT).close()
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__
    return None


def check_clock(case: Case) -> Iterator[Line]:
    now = datetime.now(UTC)
    before = time.monotonic()
    if time.monotonic() < before:
        yield Line("clock", FAIL, "the monotonic clock runs backwards", "report it to whoever made this machine")
    elif now.year < 2024:
        yield Line("clock", FAIL, f"it says {now:%Y-%m-%d %H:%M} UTC", "switch on time synchronisation (NTP)")
    else:
        found = f"{now:%Y-%m-%d %H:%M:%S} UTC, zone {time.strftime('%Z')}; its error is not known without a network"
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
    size = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file()) if directory.exists() else 0
    newest = max((file.stat().st_mtime for file in case.files.glob("*.jsonl")), default=None) if case.files else None
    last = f", last file of {datetime.fromtimestamp(newest, UTC):%Y-%m-%d %H:%M:%S} UTC" if newest else ""
    yield Line("state directory", OK, f"{directory}, {size / 2**20:.1f} MiB{last}")


def check_second_instance(case: Case) -> Iterator[Line]:
    holder = identity.holder(case.home, case.instance) if case.instance else None
    if holder is None:
        yield Line("second instance", OK, "no live process has this id")
    else:
        yield Line(
            "second instance",
            WARN,
            f"process {holder} runs as {case.instance}: a bot started now becomes {case.instance}-2",
            "stop it first, or give each its own MCBOT_INSTANCE_ID",
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
    check_clock,
    check_state_directory,
    check_second_instance,
    check_expectations,
    check_versions,
]


def examine(settings: Settings) -> list[Line]:
    """All lines of all checks. A check that fails itself is a line, too."""
    case = Case(settings)
    lines: list[Line] = []
    for check in CHECKS:
        try:
            lines += check(case)
        except Exception as error:
            name = check.__name__.removeprefix("check_").replace("_", " ")
            lines.append(Line(name, WARN, f"could not be checked: {type(error).__name__}: {error}", "report it"))
    return lines


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


@click.command()
@click.option("--json", "as_json", is_flag=True, help="A list of objects: check, state, found, fix.")
@click.option("--service", help="The bot's name, where OTEL_SERVICE_NAME does not say it.")
def doctor(as_json: bool, service: str | None) -> int:
    """Check this machine and say what to mend. Exit status 1 when something fails, 2 when a setting cannot be used."""
    try:
        lines = examine(Settings.load(os.environ, service_name=service))
    except SettingsError as error:
        click.echo(str(error), err=True)
        return 2
    if as_json:
        click.echo(json.dumps([asdict(line) for line in lines], indent=1))
    else:
        for line in lines:
            click.echo(f"{line.state:4}  {line.check}: {line.found}")
            if line.fix:
                click.echo(f"      fix: {line.fix}")
    return int(any(line.state == FAIL for line in lines))
