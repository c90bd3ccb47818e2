"""The doctor before a stack: loopback servers that answer as the real ones do, wrong ones, silent ones, none."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest

from otel_mcbot import doctor_servers, doctor_stack
from otel_mcbot.doctor import PATIENCE
from otel_mcbot.doctor_case import FAIL, OK, WARN, Case, Line
from otel_mcbot.doctor_servers import SERVERS
from otel_mcbot.doctor_stack import ASK, FIND, check_stack, compose_variables
from otel_mcbot.identity import identify
from otel_mcbot.settings import Settings

ROOT = Path(__file__).resolve().parents[2]

Reply = tuple[int, str | bytes]
Look = Callable[..., dict[str, Line]]


class Double:
    """A stack of small servers, well and with a bot that arrives, until a test changes what one answers.

    ``pages[name][path]`` is a status and a body, or a function of the query's parameters that returns them.
    ``samples``: regular expression on a PromQL query → what it finds; the first that matches counts.
    """

    def __init__(self) -> None:
        now = time.time()
        self.now: Callable[[], float] = time.time
        self.ahead = 0.0
        self.samples: dict[str, list[tuple[dict[str, str], float]]] = {
            r"last_over_time\(mcbot_expected_up": [({}, 1)],
            r"last_over_time\(mcbot_heartbeat": [({}, now - 3)],
            r"on \(job, instance\) timestamp\(mcbot_collector_received": [({}, -0.01)],
            r"timestamp\(mcbot_expected_up": [({}, now - 4)],
            r"mcbot_uptime_seconds": [({}, 600)],
            r"mcbot_cycles_total": [({}, 12)],
            r"timestamp\(otelcol_process_uptime": [({}, now - 5)],
            r"otelcol_exporter_queue_size": [
                ({"exporter": "otlp_http/tempo"}, 0.01),
                ({"exporter": "otlp_http/loki"}, 0),
            ],
            r"system_filesystem_utilization_ratio": [({"mountpoint": "/"}, 0.4), ({"mountpoint": "/boot"}, 0.2)],
        }
        self.traces = [{"traceID": "a1", "startTimeUnixNano": str(int((now - 9) * 1e9))}]
        self.logs = [{"stream": {}, "values": [[str(int((now - 7) * 1e9)), "filled"]]}]
        ready = (200, "ready")
        self.pages: dict[str, dict[str, Any]] = {
            "grafana": {
                "/api/health": (200, '{"database": "ok", "version": "13.1.3"}'),
                "/api/dashboards/uid/why": (200, '{"dashboard": {"uid": "why"}}'),
                "/api/user": (200, '{"login": "admin"}'),
            },
            "prometheus": {
                "/-/healthy": (200, "Prometheus Server is Healthy.\n"),
                "/-/ready": (200, "Prometheus Server is Ready.\n"),
                "/api/v1/status/flags": (200, '{"status": "success", "data": {"web.enable-otlp-receiver": "true"}}'),
                "/api/v1/status/buildinfo": (200, '{"status": "success", "data": {"version": "3.14.0"}}'),
                "/api/v1/query": self._query,
                "/metrics": (
                    200,
                    "# TYPE prometheus_tsdb_storage_blocks_bytes gauge\n"
                    "prometheus_tsdb_storage_blocks_bytes 1.048576e+06\n"
                    "prometheus_tsdb_wal_storage_size_bytes 1048576\n"
                    "prometheus_tsdb_retention_limit_bytes 8.589934592e+09\n",
                ),
            },
            "tempo": {
                "/status/version": (200, "GET /status/version\ntempo, version 2.10.8 (branch: HEAD, revision: 1)\n"),
                "/ready": ready,
                "/api/search": lambda _: (200, json.dumps({"traces": self.traces, "metrics": {}})),
            },
            "loki": {
                "/loki/api/v1/status/buildinfo": (200, '{"version": "3.7.6", "goVersion": "go1.26"}'),
                "/ready": ready,
                "/loki/api/v1/query_range": lambda _: (200, json.dumps({"data": {"result": self.logs}})),
            },
            "collector": {"/": (200, '{"status": "Server available", "uptime": "2m"}')},
            "otlp": {"/v1/traces": (200, "")},
        }
        self.asked: list[str] = []
        self.servers = {name: self._serve(pages) for name, pages in self.pages.items()}

    def _query(self, parameters: dict[str, str]) -> Reply:
        self.asked.append(query := parameters["query"])
        found = next((found for pattern, found in self.samples.items() if re.search(pattern, query)), [])
        result = [{"metric": labels, "value": [time.time(), str(value)]} for labels, value in found]
        return 200, json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}})

    def _serve(self, pages: dict[str, Any]) -> ThreadingHTTPServer:
        double = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                page = pages.get(parts.path, (404, "404 page not found"))
                status, body = page({k: v[0] for k, v in parse_qs(parts.query).items()}) if callable(page) else page
                self.send_response_only(status)
                self.send_header("Date", formatdate(double.now() + double.ahead, usegmt=True))
                self.end_headers()
                self.wfile.write(body.encode() if isinstance(body, str) else body)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server

    def stop(self, *names: str) -> None:
        for name in names or tuple(self.servers):
            self.servers[name].shutdown()
            self.servers[name].server_close()

    @property
    def variables(self) -> dict[str, str]:
        return {server.variable: str(self.servers[server.name].server_port) for server in SERVERS}


@pytest.fixture
def double() -> Iterator[Double]:
    double = Double()
    yield double
    double.stop()


@pytest.fixture
def look(tmp_path: Path, double: Double, closed: int) -> Look:
    """Check → its line, for the bot ``grid``, instance ``g1``."""

    def look(variables: dict[str, str] | None = None, **settings: Any) -> dict[str, Line]:
        given = {"service_name": "grid", "instance_id": "g1", "state_dir": tmp_path, **settings}
        known = {**double.variables, "MCBOT_OTLP_GRPC_PORT": str(closed), **(variables or {})}
        began = time.monotonic()
        lines = list(check_stack(Case(Settings.load({}, **given), known)))
        assert time.monotonic() - began < 8  # one server after the other, or one that hangs, would take 10 and more
        assert all(bool(line.fix) == (line.state != OK) for line in lines)
        assert len({line.check for line in lines}) == len(lines)
        return {line.check: line for line in lines}

    return look


@pytest.fixture
def closed() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def holes() -> Iterator[list[int]]:
    """Ports that take connections and never say a word."""
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(len(SERVERS) + 1)]
        yield [server.getsockname()[1] for server in servers]


def sick(lines: dict[str, Line]) -> list[tuple[str, str]]:
    return [(line.check, line.state) for line in lines.values() if line.state != OK]


def told(found: str, expected: str) -> bool:
    """Whether it was said. ``{4}``: seconds of age, or some more, since the clock goes on while the doctor looks."""
    ages = [int(age) for age in re.findall(r"{(\d+)}", expected)]
    said = re.fullmatch(re.sub(r"\\{\d+\\}", r"(\\d+)", re.escape(expected)), found)
    return said is not None and all(age <= int(now) < age + 10 for age, now in zip(ages, said.groups(), strict=True))


# -- is it there -------------------------------------------------------------------------------------------------------


def test_a_healthy_stack_with_a_bot(look: Look) -> None:
    lines = look()
    assert not sick(lines)
    assert list(lines) == [
        "grafana", "prometheus", "tempo", "loki", "collector", "otlp",
        "alerts", "variables", "metrics", "traces", "logs", "clocks", "queues", "losses", "refused bots", "disk",
    ]  # fmt: skip
    for name, version in {"grafana": "13.1.3", "prometheus": "3.14.0", "tempo": "2.10.8", "loki": "3.7.6"}.items():
        assert version in lines[name].found
    for check, found in {
        "metrics": "mcbot/grid, instance g1: last sample {4} s ago, last heartbeat {3} s ago",
        "traces": "one began {9} s ago",
        "logs": "the last line came {7} s ago",
    }.items():
        assert told(lines[check].found, found)
    assert lines["disk"].found == "Prometheus holds 2.0 MiB of 8.0 GiB; the fullest disk of the host, /, is 40% full"


def test_no_stack_is_one_line(look: Look, double: Double) -> None:
    double.stop()
    assert list(look().values()) == [Line("stack", WARN, "no stack on this machine", "make up")]


def test_no_stack_where_one_was_said_to_be(tmp_path: Path, double: Double, closed: int) -> None:
    url = f"http://127.0.0.1:{closed}"
    double.stop()
    case = Case(Settings.load({}, state_dir=tmp_path), double.variables, {"loki": url})
    assert [(line.check, line.state) for line in check_stack(case)] == [("stack", FAIL)]


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_a_server_that_is_stopped_is_one_line(look: Look, double: Double, server: Any) -> None:
    double.stop(server.name)
    lines = look()
    assert sick(lines) == [(server.name, FAIL)]
    assert "nothing listens" in lines[server.name].found
    assert "docker compose up -d --wait" in lines[server.name].fix
    assert f"logs --tail 50 {server.service}" in lines[server.name].fix


def test_a_server_that_is_silent(look: Look, holes: list[int]) -> None:
    lines = look({"MCBOT_LOKI_PORT": str(holes[0])})
    assert sick(lines) == [("loki", FAIL)]
    assert "docker compose restart loki" in lines["loki"].fix
    assert lines["traces"].state == OK


def test_black_holes_everywhere(look: Look, holes: list[int]) -> None:
    variables = [*(server.variable for server in SERVERS), "MCBOT_OTLP_GRPC_PORT"]
    lines = look(dict(zip(variables, map(str, holes), strict=True)))
    assert lines["stack"].state == WARN
    assert set(lines) == {"stack", *(f"port {port}" for port in holes)}
    assert not [line for line in lines.values() if line.state == FAIL]


def test_a_server_that_drips(look: Look) -> None:
    """Each byte comes in time, the answer never does."""

    def drip(server: socket.socket) -> None:
        with server.accept()[0] as connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while not over.wait(0.05):
                connection.sendall(b"x")

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=drip, args=(server,), daemon=True).start()
        lines = look({"MCBOT_TEMPO_PORT": str(server.getsockname()[1])})
        over.set()
    assert sick(lines) == [("tempo", FAIL)]


def test_a_server_whose_answers_hang(look: Look, double: Double) -> None:
    over = threading.Event()

    def hang(_: object) -> Reply:
        over.wait(30)
        return 200, ""

    double.pages["prometheus"]["/api/v1/query"] = hang
    lines = look()
    over.set()
    assert lines["metrics"].state == lines["losses"].state == WARN
    assert lines["traces"].state == OK
    assert "could not be asked: no answer within" in lines["losses"].found


def test_it_has_time_to_start_within_five_seconds() -> None:
    assert FIND + ASK < PATIENCE <= 4.2


def test_the_whole_command_waits_for_no_server_in_turn(tmp_path: Path, holes: list[int]) -> None:
    """Nobody answers: less than 5 s on a machine with nothing else to do, 16 s and more if it asked them in turn."""
    variables = [*(server.variable for server in SERVERS), "MCBOT_OTLP_GRPC_PORT"]
    environ = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "MCBOT_"))},
        **dict(zip(variables, map(str, holes), strict=True)),
        "MCBOT_STATE_DIR": str(tmp_path),
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{holes[-2]}",
        "PYTHONPATH": str(ROOT),
    }
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "otel_mcbot.cli", "doctor", "--json"],
        env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    took = time.monotonic() - began
    assert done.returncode == 1, done.stderr
    assert [line["check"] for line in json.loads(done.stdout) if line["state"] == FAIL] == ["endpoint"]
    assert took < 10, f"{took:.1f} s"


def test_another_server_on_a_port_of_the_stack(look: Look, double: Double) -> None:
    double.pages["grafana"].clear()
    lines = look()
    assert sick(lines) == [("grafana", FAIL)]
    assert "another server answers (HTTP 404)" in lines["grafana"].found
    assert f"{psutil.Process().name()} (process {os.getpid()})" in lines["grafana"].found
    assert "MCBOT_GRAFANA_PORT" in lines["grafana"].fix


def test_what_does_not_speak_http(look: Look) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: server.accept()[0].sendall(b"SSH-2.0-OpenSSH_9.2\r\n"), daemon=True).start()
        lines = look({"MCBOT_TEMPO_PORT": str(server.getsockname()[1])})
    assert sick(lines) == [("tempo", FAIL)]
    assert "does not speak HTTP" in lines["tempo"].found


def test_ones_own_grafana_and_prometheus_are_no_stack(look: Look, double: Double) -> None:
    double.stop("tempo", "loki", "collector", "otlp")
    del double.pages["grafana"]["/api/dashboards/uid/why"]
    double.pages["prometheus"]["/api/v1/status/flags"] = (200, '{"data": {"web.enable-otlp-receiver": "false"}}')
    lines = look()
    assert {line.state for line in lines.values()} == {WARN}
    names = [f"port {double.servers[name].server_port}" for name in ("grafana", "prometheus")]
    assert list(lines) == ["stack", *names]
    assert str(os.getpid()) in lines[names[0]].found
    assert "MCBOT_PROMETHEUS_PORT" in lines[names[1]].fix


def test_a_server_that_is_not_ready(look: Look, double: Double) -> None:
    double.pages["loki"]["/ready"] = (503, "Ingester not ready: waiting for 1s after being ready\n")
    lines = look()
    assert sick(lines) == [("loki", FAIL)]
    assert "it is not ready: Ingester not ready" in lines["loki"].found


def test_a_server_that_counts_its_second_from_the_first_question(look: Look, double: Double) -> None:
    answers = iter([(503, "Ingester not ready"), (200, "ready")])
    double.pages["tempo"]["/ready"] = lambda _: next(answers)
    assert not sick(look())


# -- does the bot arrive -----------------------------------------------------------------------------------------------

EXPECTED = r"last_over_time\(mcbot_expected_up"
HEARTBEAT = r"last_over_time\(mcbot_heartbeat"
SAMPLE = r"timestamp\(mcbot_expected_up"
CYCLES = r"mcbot_cycles_total"


def silence(double: Double) -> None:
    for pattern in (EXPECTED, HEARTBEAT, SAMPLE, CYCLES, r"mcbot_uptime_seconds"):
        double.samples[pattern] = []
    double.traces, double.logs = [], []


def test_the_bot_is_asked_for_by_its_own_names(look: Look, double: Double) -> None:
    look(service_name='gr"id', service_namespace="desk")
    assert any('{job="desk/gr\\"id", instance="g1"}' in query for query in double.asked)


def test_a_bot_that_was_never_seen(look: Look, double: Double) -> None:
    silence(double)
    lines = look()
    assert sick(lines) == [("signals", WARN)]
    assert "--service" in lines["signals"].fix


def test_a_bot_that_runs_here_and_does_not_arrive(look: Look, double: Double, tmp_path: Path) -> None:
    silence(double)
    _, lease = identify(Settings.load({}, service_name="grid", instance_id="g1", state_dir=tmp_path))
    assert lease is not None
    try:
        doctor_stack.YOUNG, before = -1, doctor_stack.YOUNG
        try:
            line = look(endpoint="http://127.0.0.1:1")["signals"]
            assert line.state == FAIL
            assert f"process {os.getpid()} runs" in line.found
            assert look()["signals"].state == WARN, "it keeps its telemetry in files"
        finally:
            doctor_stack.YOUNG = before
    finally:
        lease.release()


def test_a_bot_that_was_stopped_in_order(look: Look, double: Double) -> None:
    double.samples |= {EXPECTED: [({}, 0)], SAMPLE: [], HEARTBEAT: [({}, time.time() - 7300)], CYCLES: []}
    double.traces, double.logs = [], []
    lines = look()
    assert not sick(lines)
    assert "was stopped in order, last heartbeat 2 h ago" in lines["metrics"].found


def test_a_bot_that_died(look: Look, double: Double) -> None:
    double.samples |= {SAMPLE: [], HEARTBEAT: [({}, time.time() - 600)], CYCLES: []}
    double.traces = []
    lines = look()
    assert sick(lines) == [("metrics", FAIL)]
    assert "nothing since its heartbeat 10 min ago, and it was not stopped in order" in lines["metrics"].found


def test_a_bot_whose_loop_hangs(look: Look, double: Double) -> None:
    double.samples[HEARTBEAT] = [({}, time.time() - 200)]
    line = look()["metrics"]
    assert line.state == FAIL
    assert "event loop hangs" in line.found


def test_metrics_alone_do_not_arrive(look: Look, double: Double) -> None:
    double.samples |= {EXPECTED: [], SAMPLE: [], HEARTBEAT: []}
    lines = look()
    assert sick(lines) == [("metrics", FAIL)]
    assert "refused bots" in lines["metrics"].fix


def test_cycles_without_traces(look: Look, double: Double) -> None:
    double.traces = []
    lines = look()
    assert sick(lines) == [("traces", FAIL)]
    assert "12 trade cycles ended" in lines["traces"].found
    assert not sick(look(traces_exporter="none"))
    assert not sick(look(sampler="always_off"))


def test_no_cycle_no_trace(look: Look, double: Double) -> None:
    double.traces = []
    double.samples[CYCLES] = [({}, 0)]
    lines = look()
    assert not sick(lines)
    assert "no trade cycle ended before" in lines["traces"].found


def test_no_log_line_of_a_bot_that_began_today(look: Look, double: Double) -> None:
    double.logs = []
    lines = look()
    assert sick(lines) == [("logs", FAIL)]
    assert "not even of the bot's start" in lines["logs"].found
    assert not sick(look(logs_exporter="none"))
    double.samples[r"mcbot_uptime_seconds"] = [({}, 90_000)]
    assert sick(look()) == [("logs", WARN)]


# -- what is lost and full ---------------------------------------------------------------------------------------------


def test_the_expression_is_the_one_of_the_page() -> None:
    page = (ROOT / "docs" / "operating.md").read_text().split("<!-- refused -->")[1]
    said = page.split("```promql")[1].split("```")[0]
    assert said.split() == doctor_stack.REFUSED.split()


def test_a_bot_whose_metrics_are_refused_is_named(look: Look, double: Double) -> None:
    double.samples[r"count_over_time\(target_info"] = [({"job": "mcbot/late", "instance": "l1"}, 30)]
    lines = look()
    assert sick(lines) == [("refused bots", FAIL)]
    assert "mcbot/late l1 (30 requests in 5 min)" in lines["refused bots"].found


@pytest.mark.parametrize(("part", "state"), [(0.05, OK), (0.3, WARN), (0.9, FAIL)])
def test_a_queue_that_fills(look: Look, double: Double, part: float, state: str) -> None:
    double.samples[r"otelcol_exporter_queue_size"] = [
        ({"exporter": "otlp_http/tempo"}, 0.01), ({"exporter": "otlp_http/loki"}, part)
    ]  # fmt: skip
    line = look()["queues"]
    assert line.state == state
    assert state == OK or "collector loki" in line.fix


def test_a_collector_that_does_not_say_how_it_is(look: Look, double: Double) -> None:
    double.samples[r"timestamp\(otelcol_process_uptime"] = []
    assert sick(look()) == [("queues", WARN)]
    double.samples[r"timestamp\(otelcol_process_uptime"] = [({}, time.time() - 200)]
    assert sick(look()) == [("queues", WARN)]


@pytest.mark.parametrize(
    ("labels", "state", "said"),
    [
        ({"what": "exporter_enqueue_failed", "items": "log_records", "exporter": "x/loki"}, FAIL, "queue for x/loki"),
        ({"what": "exporter_send_failed", "items": "metric_points", "exporter": "x/y"}, WARN, "refused by x/y"),
        ({"what": "receiver_refused", "items": "spans", "receiver": "otlp"}, WARN, "short of memory"),
    ],
)  # fmt: skip
def test_losses_of_the_collector(look: Look, double: Double, labels: dict[str, str], state: str, said: str) -> None:
    double.samples[r"otelcol_exporter_send_failed"] = [(labels, 8)]
    lines = look()
    assert sick(lines) == [("losses", state)]
    assert said in lines["losses"].found
    assert lines["losses"].found.startswith(f"8 {labels['items'].replace('_', ' ')}")


def test_losses_of_the_bot(look: Look, double: Double) -> None:
    double.samples[r"mcbot_telemetry_dropped_total"] = [({"signal": "spans", "reason": "queue_full"}, 17)]
    line = look()["losses"]
    assert line.state == WARN
    assert "17 spans dropped by the bot in the last 15 min: queue_full" in line.found


@pytest.mark.parametrize(("part", "state"), [(0.91, WARN), (0.98, FAIL)])
def test_a_disk_that_fills(look: Look, double: Double, part: float, state: str) -> None:
    double.samples[r"system_filesystem_utilization_ratio"] = [
        ({"mountpoint": "/data"}, part),
        ({"mountpoint": "/"}, 0.1),
    ]
    line = look()["disk"]
    assert line.state == state
    assert f"/data is {part:.0%} full" in line.found


# -- clocks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead", "state", "said"), [(1, OK, "agree"), (-10, WARN, "10 s behind"), (60, FAIL, "60 s ahead")]
)
def test_clocks_of_the_servers(
    look: Look, double: Double, monkeypatch: pytest.MonkeyPatch, ahead: float, state: str, said: str
) -> None:
    """The clock stands at half a second, as which HTTP's whole seconds are read: a slow answer changes nothing."""
    double.now = lambda: 1_700_000_000.5
    monkeypatch.setattr(doctor_servers, "time", SimpleNamespace(time=double.now, sleep=time.sleep))
    double.ahead = ahead
    line = look()["clocks"]
    assert line.state == state
    assert said in line.found


@pytest.mark.parametrize(
    ("difference", "state", "said"),
    [(-19, OK, "agree"), (-30, WARN, "the bot is 10 s behind"), (80, FAIL, "the bot is 60 s ahead")],
)  # fmt: skip
def test_the_clock_of_the_bot(look: Look, double: Double, difference: float, state: str, said: str) -> None:
    """Two exports may lie between the two stamps that are compared."""
    double.samples[r"on \(job, instance\) timestamp\(mcbot_collector_received"] = [({}, difference)]
    line = look()["clocks"]
    assert line.state == state
    assert said in line.found


# -- variables ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MCBOT_LOKI_PORT", "31OO"),
        ("MCBOT_OTLP_GRPC_PORT", "70000"),
        ("MCBOT_STACK_NAME", "My Stack"),
        ("MCBOT_GRAFANA_URL", "grafana.example.com"),
    ],
)
def test_a_variable_that_compose_could_not_use(look: Look, variable: str, value: str) -> None:
    line = look({variable: value})[variable]
    assert line.state == FAIL
    assert value in line.found


def test_one_port_for_two(look: Look, double: Double) -> None:
    line = look({"MCBOT_OTLP_GRPC_PORT": double.variables["MCBOT_TEMPO_PORT"]})["MCBOT_OTLP_GRPC_PORT"]
    assert line.state == FAIL
    assert "MCBOT_TEMPO_PORT's, too" in line.found


def test_the_password(look: Look, double: Double) -> None:
    assert "nobody can log in" in look()["variables"].found
    assert look({"MCBOT_GRAFANA_PASSWORD": "admin"})["variables"].state == WARN
    assert look({"MCBOT_GRAFANA_PASSWORD": "correct horse"})["variables"].found.endswith("is the admin's")
    double.pages["grafana"]["/api/user"] = (401, '{"message": "invalid username or password"}')
    line = look({"MCBOT_GRAFANA_PASSWORD": "correct horse"})["variables"]
    assert line.state == WARN
    assert "correct horse" not in line.found + line.fix


def test_variables_come_from_where_compose_takes_them(tmp_path: Path) -> None:
    text = '# ours\nMCBOT_LOKI_PORT=3101\nexport MCBOT_TEMPO_PORT="3201"\nMCBOT_GRAFANA_PORT=\nOTHER=1\n'
    (tmp_path / ".env").write_text(text)
    assert compose_variables({"MCBOT_LOKI_PORT": "1"}, tmp_path) == {"MCBOT_LOKI_PORT": "1"}, "no compose.yaml there"
    (tmp_path / "compose.yaml").touch()
    found = compose_variables({"MCBOT_LOKI_PORT": "1", "PATH": "/bin"}, tmp_path)
    assert found == {"MCBOT_LOKI_PORT": "1", "MCBOT_TEMPO_PORT": "3201"}
