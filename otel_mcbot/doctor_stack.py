"""The doctor's questions to the stack of ``compose.yaml``: is it there, does this bot arrive, what is lost.

Everything is read: HTTP requests of two seconds at most, side by side. What depends on a server that does not answer is
not asked, so one cause is one line.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psutil

from otel_mcbot.doctor_alerts import alerts, wrong_addresses
from otel_mcbot.doctor_case import FAIL, OK, WARN, Case, Line, side_by_side
from otel_mcbot.doctor_servers import SERVERS, Kind, Server, Trouble, Web

FIND: Final = 2.3
"""Seconds for all servers to say who they are …"""
ASK: Final = 1.7
"""… and for all questions after that: the doctor is done within five, Python's start included."""

RECENT: Final = 15 * 60
"""Seconds in which a running bot should have been heard of."""

SILENCE: Final = 90
"""Seconds after which a heartbeat is missing, as in the alert."""

YOUNG: Final = 30
"""Seconds that a process may take until something of it has arrived."""

CLOCK_WARN, CLOCK_FAIL = 2.0, 30.0
"""Seconds between two clocks."""

REFUSED: Final = """
(
  sum by (job, instance) (count_over_time(mcbot_collector_received_points[5m]))
  - (sum by (job, instance) (count_over_time(target_info[5m])) or 0 * sum by (job, instance) (count_over_time(mcbot_collector_received_points[5m])))
) > 2
"""  # noqa: E501 - as docs/operating.md has it
"""Bots of which Prometheus refused requests of the last minutes, and how many."""

LOSSES: Final = " or ".join(
    f"label_replace(label_replace(sum by ({part}) (increase(otelcol_{name}_{items}_total[15m])),"
    f' "what", "{name}", "", ""), "items", "{items}", "", "") > 0.5'
    for part, name in (
        ("exporter", "exporter_enqueue_failed"),
        ("exporter", "exporter_send_failed"),
        ("receiver", "receiver_refused"),
    )
    for items in ("metric_points", "spans", "log_records")
)

PORT_VARIABLES: Final = {server.variable: server.port for server in SERVERS} | {
    "MCBOT_OTLP_GRPC_PORT": 4317,
    "MCBOT_PREVIEW_PORT": 8090,
}

START: Final = "make up"


def compose_variables(environ: Mapping[str, str], directory: Path) -> dict[str, str]:
    """The ``MCBOT_*`` variables that compose would see: the environment's, else those of ``.env`` beside the file."""
    found: dict[str, str] = {}
    if (directory / "compose.yaml").exists():
        with contextlib.suppress(OSError, UnicodeDecodeError):
            for line in (directory / ".env").read_text(encoding="utf-8").splitlines():
                name, equals, value = line.strip().removeprefix("export ").partition("=")
                if equals and name.startswith("MCBOT_"):
                    found[name.strip()] = value.strip().strip("\"'")
    found |= {name: value for name, value in environ.items() if name.startswith("MCBOT_")}
    # empty is unset; a blank is not: compose hands it on
    return {name: value.strip() for name, value in found.items() if value}


# -- finding the servers -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """A server, or why it is not one."""

    server: Server
    web: Web
    version: str = ""
    trouble: Trouble | None = None

    @property
    def there(self) -> bool:
        """It is a part of the stack, well or not."""
        return self.trouble is None or self.trouble.kind in ("starting", "denied")


def _port(case: Case, variable: str) -> int:
    text = case.variables.get(variable, "")
    return int(text) if _is_port(text) else PORT_VARIABLES[variable]


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) < 65536


def _find(case: Case, server: Server) -> Found:
    web = Web(case.addresses.get(server.name) or f"http://127.0.0.1:{_port(case, server.variable)}")
    try:
        return Found(server, web, server.recognise(web))
    except Trouble as trouble:
        return Found(server, web, trouble=trouble)


def find(case: Case) -> dict[str, Found]:
    """All servers by name."""
    answers = side_by_side([partial(_find, case, server) for server in SERVERS], FIND)
    found = {}
    for server, answer in zip(SERVERS, answers, strict=True):
        if isinstance(answer, Exception):
            web = Web(case.addresses.get(server.name) or f"http://127.0.0.1:{_port(case, server.variable)}")
            kind: Kind = "silent" if isinstance(answer, TimeoutError) else "other"
            answer = Found(server, web, trouble=Trouble(kind, str(answer) or type(answer).__name__))
        found[server.name] = answer
    return found


def owner(port: int) -> str:
    """The process that listens on ``port`` of this machine, as far as this user may see: ``node (process 12)``."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.pid and tuple(connection.laddr)[1:2] == (port,):
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return ""


# -- the lines ---------------------------------------------------------------------------------------------------------


def check_stack(case: Case) -> Iterator[Line]:
    yield from _wrong_variables(case)
    yield from wrong_addresses(case)
    found = find(case)
    if not any(each.there for each in found.values()):
        yield from _no_stack(case, found)
        return
    for each in found.values():
        yield _server(each)
    yield from alerts(case)
    questions: list[tuple[str, Callable[[], Iterator[Line]]]] = [
        ("variables", partial(_password, case, found)),
        ("signals", partial(_signals, case, found)),
        ("clocks", partial(_clocks, case, found)),
    ]
    if _up(found, "prometheus"):
        prometheus = Prometheus(found["prometheus"].web)
        questions += [
            ("queues", partial(_queues, prometheus)),
            ("losses", partial(_losses, case, prometheus)),
            ("refused bots", partial(_refused, prometheus)),
            ("disk", partial(_disk, prometheus)),
        ]
    answers = side_by_side([partial(_all, question) for _, question in questions], ASK)
    for (name, _), answer in zip(questions, answers, strict=True):
        if isinstance(answer, Exception):
            yield Line(name, WARN, f"could not be asked: {answer}", "try again; docker compose logs --tail 50")
        else:
            yield from answer


def _all(question: Callable[[], Iterator[Line]]) -> list[Line]:
    return list(question())


def _up(found: Mapping[str, Found], *names: str) -> bool:
    return all(found[name].trouble is None for name in names)


def _no_stack(case: Case, found: Mapping[str, Found]) -> Iterator[Line]:
    if case.addresses:
        yield Line("stack", FAIL, f"nothing of it at {', '.join(case.addresses.values())}", "check the addresses")
    else:
        yield Line("stack", WARN, "no stack on this machine", START)
    taken = {each.server.variable: each for each in found.values() if each.trouble and each.trouble.kind != "absent"}
    for variable in PORT_VARIABLES:
        port = _port(case, variable)
        known = taken.get(variable)
        if known is not None and known.server.name in case.addresses:
            continue
        if known is not None or (variable == "MCBOT_OTLP_GRPC_PORT" and _listens(port)):
            yield Line(
                f"port {port}",
                WARN,
                f"taken by {owner(port) or 'another program'}: the stack could not start",
                f"stop it, or set {variable} to a free port",
            )


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.25).close()
    except OSError:
        return False
    return True


def _server(found: Found) -> Line:
    server, trouble, url = found.server, found.trouble, found.web.url
    if trouble is None:
        return Line(server.name, OK, f"{server.title}{f' {found.version}' if found.version else ''} answers at {url}")
    said = f"{server.title} at {url}: {trouble}"
    logs = f"docker compose logs --tail 50 {server.service}"
    match trouble.kind:
        case "absent":
            return Line(server.name, FAIL, said, f"docker compose up -d --wait; if it ends again: {logs}")
        case "silent":
            return Line(server.name, FAIL, said, f"docker compose restart {server.service}; {logs}")
        case "starting":
            return Line(server.name, FAIL, said, f"wait a minute and ask again, then: {logs}")
        case "denied":
            return Line(server.name, WARN, said, "send its token (OTEL_EXPORTER_OTLP_HEADERS) or trust its certificate")
    who = owner(urlsplit(url).port or 80)
    fix = f"stop it, or set {server.variable} to a free port; then {START}"
    return Line(server.name, FAIL, f"{said}{f': {who}' if who else ''}", fix)


# -- variables of compose.yaml -----------------------------------------------------------------------------------------


def _wrong_variables(case: Case) -> Iterator[Line]:
    for variable in PORT_VARIABLES:
        if (text := case.variables.get(variable, "")) and not _is_port(text):
            yield Line(
                variable, FAIL, f"{text!r} is no port", f"unset it (then {PORT_VARIABLES[variable]}), or 1-65535"
            )
    ports: dict[int, str] = {}
    for variable in PORT_VARIABLES:
        if (port := _port(case, variable)) in ports:
            yield Line(variable, FAIL, f"{port} is {ports[port]}'s, too", "give each its own")
        ports.setdefault(port, variable)
    name = case.variables.get("MCBOT_STACK_NAME", "")
    if name and not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        fix = "lower-case letters, digits, - and _, a letter or a digit first"
        yield Line("MCBOT_STACK_NAME", FAIL, f"{name!r} is no name of a compose project", fix)
    url = case.variables.get("MCBOT_GRAFANA_URL", "")
    if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
        yield Line("MCBOT_GRAFANA_URL", FAIL, f"{url!r} is no URL", "as people open it: https://grafana.example.com/")


def _password(case: Case, found: Mapping[str, Found]) -> Iterator[Line]:
    password = case.variables.get("MCBOT_GRAFANA_PASSWORD", "")
    if not password:
        said = "MCBOT_GRAFANA_PASSWORD is not set: who is on this machine may look, nobody can log in"
        yield Line("variables", OK, said)
    elif password.lower() in ("admin", "password", "grafana", "changeme") or len(password) < 8:
        fix = "set a longer one before Grafana's first start; afterwards it is changed in Grafana"
        yield Line("variables", WARN, "MCBOT_GRAFANA_PASSWORD is easily guessed", fix)
    elif _up(found, "grafana"):
        answer = found["grafana"].web.ask("GET", "/api/user", auth=("admin", password.encode()))
        if answer.status == 401:
            yield Line(
                "variables",
                WARN,
                "Grafana does not know MCBOT_GRAFANA_PASSWORD: it is read once, when its volume is empty",
                "log in with the one of then, or: docker compose exec grafana grafana cli admin reset-admin-password …",
            )
        else:
            yield Line("variables", OK, "MCBOT_GRAFANA_PASSWORD is the admin's")


# -- what Prometheus knows ---------------------------------------------------------------------------------------------


class Prometheus:
    """Instant queries. Raises :class:`Trouble` when one is not answered."""

    def __init__(self, web: Web) -> None:
        self.web = web

    def ask(self, query: str) -> list[tuple[dict[str, str], float]]:
        answer = self.web.get("/api/v1/query", query=query)
        told = answer.json()
        if answer.status != 200 or not isinstance(told, dict):
            raise Trouble("other", f"Prometheus answers {answer.status}: {answer.text[:200]}")
        return [(each["metric"], float(each["value"][1])) for each in told["data"]["result"]]

    def value(self, query: str) -> float | None:
        """The first value, ``None`` without one."""
        return next((value for _, value in self.ask(query)), None)


def _queues(prometheus: Prometheus) -> Iterator[Line]:
    told = prometheus.value('timestamp(otelcol_process_uptime_seconds_total{job="mcbot/collector"})')
    if told is None or time.time() - told > SILENCE:
        yield Line(
            "queues",
            WARN,
            "the Collector's own metrics are not in Prometheus, or old",
            "right after its start that is so for half a minute; else: docker compose logs --tail 50 collector",
        )
        return
    full = prometheus.ask("max by (exporter) (otelcol_exporter_queue_size / otelcol_exporter_queue_capacity)")
    worst, part = max(((labels["exporter"], value) for labels, value in full), key=lambda x: x[1], default=("", 0.0))
    if part < 0.1:
        yield Line("queues", OK, f"the Collector's fullest queue is {part:.1%} full")
        return
    yield Line(
        "queues",
        FAIL if part > 0.8 else WARN,
        f"the Collector's queue for {worst} is {part:.0%} full: what is behind it takes less than comes",
        f"docker compose logs --tail 50 collector {worst.partition('/')[2].replace('host', 'prometheus')}",
    )


def _losses(case: Case, prometheus: Prometheus) -> Iterator[Line]:
    fine = True
    for labels, count in prometheus.ask(LOSSES):
        fine = False
        items, part = labels["items"].replace("_", " "), labels.get("exporter") or labels.get("receiver", "")
        match labels["what"]:
            case "exporter_enqueue_failed":
                said = f"{count:.0f} {items} turned away in the last 15 min: the Collector's queue for {part} was full"
                yield Line("losses", FAIL, said, f"mend what is behind it: docker compose ps; {_collector_logs}")
            case "exporter_send_failed":
                said = f"{count:.0f} {items} lost in the last 15 min: refused by {part}"
                yield Line("losses", WARN, said, f"'refused bots' names whose they are; the reason: {_collector_logs}")
            case _:
                said = f"{count:.0f} {items} turned away in the last 15 min: the Collector was short of memory"
                yield Line("losses", WARN, said, "bots keep and send them again; if it goes on, raise its mem_limit")
    query = f"sum by (signal, reason) (increase(mcbot_telemetry_dropped_total{_selector(case)}[15m])) > 0.5"
    for labels, count in prometheus.ask(query):
        fine = False
        items = labels["signal"].replace("_", " ")
        said = f"{count:.0f} {items} dropped by the bot in the last 15 min: {labels['reason']}"
        yield Line("losses", WARN, said, "docs/export.md says what each reason means")
    if fine:
        yield Line("losses", OK, "nothing refused or dropped in the last 15 min")


_collector_logs: Final = "docker compose logs --tail 50 collector"


def _refused(prometheus: Prometheus) -> Iterator[Line]:
    bots = [
        f"{labels.get('job', '?')} {labels.get('instance', '?')} ({count:.0f} requests in 5 min)"
        for labels, count in prometheus.ask(REFUSED)
    ]
    if bots:
        yield Line(
            "refused bots",
            FAIL,
            f"Prometheus refuses metrics of {', '.join(bots)}",
            f"check that bot's clock, and that no second process has its id; the reason: {_collector_logs}",
        )
    else:
        yield Line("refused bots", OK, "none")


def _disk(prometheus: Prometheus) -> Iterator[Line]:
    sizes: dict[str, float] = {}
    for line in prometheus.web.get("/metrics").body.decode(errors="replace").splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith("prometheus_tsdb_") and name.endswith("_bytes"):
            sizes[name.removeprefix("prometheus_tsdb_")] = float(value)
    parts = ("storage_blocks_bytes", "wal_storage_size_bytes", "head_chunks_storage_size_bytes")
    stored = sum(sizes.get(part, 0.0) for part in parts)
    kept = f"Prometheus holds {_bytes(stored)}" + (
        f" of {_bytes(limit)}" if (limit := sizes.get("retention_limit_bytes", 0.0)) else ""
    )
    full = prometheus.ask('max by (mountpoint) (system_filesystem_utilization_ratio{job="mcbot/host"})')
    worst, part = max(((labels["mountpoint"], value) for labels, value in full), key=lambda x: x[1], default=("", 0.0))
    if not worst:
        yield Line("disk", OK, f"{kept}; nothing is known of the host's disks yet")
    elif part > 0.9:
        fix = "make room, or shorten the retention in prometheus/, loki/ and tempo/; docker system df"
        yield Line("disk", FAIL if part > 0.97 else WARN, f"{worst} is {part:.0%} full; {kept}", fix)
    else:
        yield Line("disk", OK, f"{kept}; the fullest disk of the host, {worst}, is {part:.0%} full")


def _bytes(size: float) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"


# -- this bot's signals ------------------------------------------------------------------------------------------------


def _selector(case: Case) -> str:
    settings = case.settings
    labels = {"job": f"{settings.service_namespace}/{settings.service_name}"}
    if case.instance:
        labels["instance"] = case.instance
    return "{" + ", ".join(f"{name}={json.dumps(value)}" for name, value in labels.items()) + "}"


@dataclass(frozen=True)
class Beat:
    """What Prometheus knows of the bot. Times are Unix seconds; ``None`` where nothing is known.

    Attributes:
        sample: of the last sample in the last five minutes.
        expected: the last ``mcbot_expected_up`` of the last day.
        heartbeat: the last heartbeat of the last day.
        uptime: seconds that the telemetry has been running.
        cycles: trade cycles that ended and whose trace was kept, long enough ago for it to have arrived.
    """

    sample: float | None
    expected: float | None
    heartbeat: float | None
    uptime: float | None
    cycles: float


def _beat(case: Case, web: Web) -> Beat:
    prometheus, bot = Prometheus(web), _selector(case)
    return Beat(
        sample=prometheus.value(f"max(timestamp(mcbot_expected_up{bot}))"),
        expected=prometheus.value(f"max(last_over_time(mcbot_expected_up{bot}[1d]))"),
        heartbeat=prometheus.value(f"max(last_over_time(mcbot_heartbeat_timestamp{bot}[1d]))"),
        uptime=prometheus.value(f"min(mcbot_uptime_seconds{bot})"),
        cycles=prometheus.value(
            f"sum(increase(mcbot_cycles_total{bot}[15m] offset 1m))"
            f" - (sum(increase(mcbot_cycles_unsampled_total{bot}[15m] offset 1m)) or vector(0))"
        )
        or 0.0,
    )


def _last_trace(case: Case, web: Web) -> float | None:
    """Start of a trace of the last minutes, of the last three if there is one: Tempo returns any, not the newest."""
    return _trace_since(case, web, 180) or _trace_since(case, web, RECENT)


def _trace_since(case: Case, web: Web, seconds: int) -> float | None:
    settings, now = case.settings, int(time.time())
    wanted = {"resource.service.name": settings.service_name, "resource.service.instance.id": case.instance}
    query = " && ".join(f"{name} = {json.dumps(value)}" for name, value in wanted.items() if value)
    answer = web.get("/api/search", q=f"{{ {query} }}", limit=20, start=now - seconds, end=now + 60)
    told = _document(answer.status, answer.json(), "Tempo", answer.text)
    return max((int(trace["startTimeUnixNano"]) / 1e9 for trace in told.get("traces") or ()), default=None)


def _last_log(case: Case, web: Web) -> float | None:
    """Time of the newest log line of the last day."""
    settings, now = case.settings, time.time()
    wanted = {"service_name": settings.service_name, "service_instance_id": case.instance}
    query = ", ".join(f"{name}={json.dumps(value)}" for name, value in wanted.items() if value)
    answer = web.get(
        "/loki/api/v1/query_range",
        query=f"{{{query}}}", limit=1, direction="backward",
        start=f"{now - 86400:.0f}", end=f"{now + 60:.0f}",
    )  # fmt: skip
    told = _document(answer.status, answer.json(), "Loki", answer.text)
    return max(
        (int(entry[0]) / 1e9 for stream in told["data"]["result"] for entry in stream["values"]),
        default=None,
    )


def _document(status: int, told: Any, who: str, text: str) -> Any:
    if status != 200 or not isinstance(told, dict):
        raise Trouble("other", f"{who} answers {status}: {text[:200]}")
    return told


def _ask(found: Mapping[str, Found], name: str, question: Callable[[Web], Any]) -> Any:
    """The answer; ``None`` when the server is not there to be asked."""
    return question(found[name].web) if _up(found, name) else None


def _signals(case: Case, found: Mapping[str, Found]) -> Iterator[Line]:
    """Three lines, one for each signal whose server answers; one for a bot of which there is nothing."""
    beat, trace, log = side_by_side(
        [
            partial(_ask, found, "prometheus", partial(_beat, case)),
            partial(_ask, found, "tempo", partial(_last_trace, case)),
            partial(_ask, found, "loki", partial(_last_log, case)),
        ],
        ASK - 0.2,
    )
    for name, server, answer in (("metrics", "prometheus", beat), ("traces", "tempo", trace), ("logs", "loki", log)):
        if isinstance(answer, Exception):
            yield Line(name, WARN, f"could not be asked: {answer}", f"docker compose logs --tail 50 {server}")
    beat = beat if isinstance(beat, Beat) else None
    trace = trace if isinstance(trace, float) else None
    log = log if isinstance(log, float) else None
    if (beat is None or beat.expected is None) and trace is None and log is None:
        if _up(found, "prometheus", "tempo", "loki"):
            yield _unknown(case)
        return
    running = beat is not None and beat.expected == 1
    if beat is not None:
        yield _metrics_line(case, beat)
    if _up(found, "tempo") and not (trace is None and beat is None):
        yield _traces_line(case, trace, beat, running)
    if _up(found, "loki") and not (log is None and beat is None):
        yield _logs_line(case, log, beat, running)


def _who(case: Case) -> str:
    settings = case.settings
    instance = f", instance {case.instance}" if case.instance else ""
    return f"{settings.service_namespace}/{settings.service_name}{instance}"


def _unknown(case: Case) -> Line:
    holder = case.holder
    if holder is None:
        fix = "start it; or say which bot is meant: --service NAME --instance ID"
        return Line("signals", WARN, f"nothing of {_who(case)} in the last day", fix)
    with contextlib.suppress(psutil.Error):
        if time.time() - psutil.Process(holder).create_time() < YOUNG:
            return Line("signals", WARN, f"nothing of {_who(case)} yet: process {holder} has just begun", "ask again")
    sends = case.settings.has_endpoint
    fix = "set OTEL_EXPORTER_OTLP_ENDPOINT for the bot, too, and look into its log for otel_mcbot.export"
    return Line("signals", FAIL if sends else WARN, f"process {holder} runs, and nothing of {_who(case)} arrived", fix)


def _metrics_line(case: Case, beat: Beat) -> Line:
    now = time.time()
    if beat.expected is None:
        fix = "'refused bots' says whether Prometheus refuses them; else OTEL_METRICS_EXPORTER"
        return Line("metrics", FAIL, f"none of {_who(case)} in the last day, though it sends other signals", fix)
    if beat.expected != 1:
        last = f", last heartbeat {_ago(now - beat.heartbeat)}" if beat.heartbeat else ""
        return Line("metrics", OK, f"{_who(case)} was stopped in order{last}")
    if beat.sample is None or now - beat.sample > max(SILENCE, 3 * case.settings.metric_interval):
        last = f"since its heartbeat {_ago(now - beat.heartbeat)}" if beat.heartbeat else "for minutes"
        said = f"{_who(case)}: nothing {last}, and it was not stopped in order: it died, hangs, or cannot send"
        return Line("metrics", FAIL, said, "start it again; if it runs, its log says why it cannot send")
    if beat.heartbeat is not None and now - beat.heartbeat > SILENCE:
        said = f"{_who(case)} sends, but its last heartbeat was {_ago(now - beat.heartbeat)}: its event loop hangs"
        return Line("metrics", FAIL, said, "find what blocks the loop: its log has the stack of the stall")
    heart = f", last heartbeat {_ago(now - beat.heartbeat)}" if beat.heartbeat else ""
    return Line("metrics", OK, f"{_who(case)}: last sample {_ago(now - beat.sample)}{heart}")


def _traces_line(case: Case, trace: float | None, beat: Beat | None, running: bool) -> Line:
    if trace is not None:
        return Line("traces", OK, f"one began {_ago(time.time() - trace)}")
    if case.settings.traces_exporter == "none" or case.settings.sample_ratio == 0:
        return Line("traces", OK, "none: switched off")
    if beat is not None and beat.cycles >= 1:
        said = f"{beat.cycles:.0f} trade cycles ended in the last 15 min and none of their traces is in Tempo"
        return Line(
            "traces", FAIL, said, "OTEL_TRACES_EXPORTER of the bot; docker compose logs --tail 50 collector tempo"
        )
    why = ": no trade cycle ended before the last minute" if running else ""
    return Line("traces", OK, f"none in the last 15 min{why}")


def _logs_line(case: Case, log: float | None, beat: Beat | None, running: bool) -> Line:
    if log is not None:
        return Line("logs", OK, f"the last line came {_ago(time.time() - log)}")
    if case.settings.logs_exporter == "none":
        return Line("logs", OK, "none: switched off")
    if running and beat is not None and beat.uptime is not None and YOUNG < beat.uptime < 86000:
        fix = "OTEL_LOGS_EXPORTER of the bot; docker compose logs --tail 50 collector loki"
        return Line("logs", FAIL, "none in Loki, not even of the bot's start", fix)
    state = WARN if running else OK
    return Line(
        "logs", state, "none in the last day", "MCBOT_LOGS and MCBOT_LOG_LEVEL say what is sent" if running else ""
    )


def _ago(seconds: float) -> str:
    if seconds < 120:
        return f"{max(seconds, 0):.0f} s ago"
    return f"{seconds / 60:.0f} min ago" if seconds < 7200 else f"{seconds / 3600:.0f} h ago"


# -- clocks ------------------------------------------------------------------------------------------------------------


def _clocks(case: Case, found: Mapping[str, Found]) -> Iterator[Line]:
    """This machine's against the servers', and the bot's against the Collector's.

    The Collector stamps a point of its own for each request of a bot, so the newest of both are of one moment, but for
    the request that is on its way.
    """
    ahead = {each.server.title: each.web.ahead for each in found.values() if each.there and each.web.ahead is not None}
    compared = list(ahead.items())
    if _up(found, "prometheus"):
        bot = _selector(case)
        difference = Prometheus(found["prometheus"].web).value(
            f"max(timestamp(mcbot_expected_up{bot})"
            f" - on (job, instance) timestamp(mcbot_collector_received_points{bot}))"
        )
        late = 2 * case.settings.metric_interval
        if difference is not None:  # a request on its way is no difference
            compared.append(("the bot", difference - late if difference > late else min(difference + late, 0.0)))
    who, most = max(compared, key=lambda each: abs(each[1]), default=("", 0.0))
    if abs(most) <= CLOCK_WARN:
        yield Line("clocks", OK, f"this machine's, the servers' and the bot's agree within {CLOCK_WARN:g} s")
        return
    yield Line(
        "clocks",
        FAIL if abs(most) > CLOCK_FAIL else WARN,
        f"the clock of {who} is {abs(most):.0f} s {'ahead' if most > 0 else 'behind'}",
        "switch on time synchronisation (NTP) on both: data of the future is refused, alerts come at wrong times",
    )
