"""The doctor: what each check finds, and the fix it names."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from otel_mcbot import catalog, doctor
from otel_mcbot.cli import run
from otel_mcbot.doctor import examine
from otel_mcbot.doctor_case import FAIL, OK, WARN, Case, Line
from otel_mcbot.doctor_servers import SERVERS
from otel_mcbot.identity import identify
from otel_mcbot.settings import Settings

Examine = Callable[..., dict[str, Line]]


@pytest.fixture
def nowhere() -> dict[str, str]:
    """Ports at which no stack is, whatever runs on this machine."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(len(SERVERS) + 1)]
    variables = [*(server.variable for server in SERVERS), "MCBOT_OTLP_GRPC_PORT"]
    ports = {name: str(each.getsockname()[1]) for name, each in zip(variables, sockets, strict=True)}
    for each in sockets:
        each.close()
    return ports


@pytest.fixture
def examined(tmp_path: Path, nowhere: dict[str, str]) -> Examine:
    """Check → its line, for a bot of a directory of its own."""

    def examined(**settings: Any) -> dict[str, Line]:
        given = {"service_name": "grid", "state_dir": tmp_path, **settings}
        lines = examine(Case(Settings.load({}, **given), nowhere))
        assert len({line.check for line in lines}) == len(lines)
        return {line.check: line for line in lines}

    return examined


@pytest.fixture
def receiver() -> Iterator[Callable[[int], str]]:
    """``receiver(200)``: the address of a server that answers each OTLP request so."""
    servers: list[ThreadingHTTPServer] = []

    def serve(status: int) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path.endswith("/v1/traces")
                assert self.headers["Content-Length"] == "0"
                accepted = status != 401 or self.headers.get("Authorization") == "Bearer right"
                self.send_response(200 if status == 401 and accepted else status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        servers.append(server := ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def closed() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def files(directory: Path, instance: str, *, started: float, expected: list[str], last_bars: dict[str, float]) -> None:
    """What an earlier run left: its start, and the age of each symbol's last bar at the last collection."""
    otlp = directory / "grid" / instance / "otlp"
    otlp.mkdir(parents=True)
    (directory / "grid" / "instance").write_text(instance, encoding="utf-8")
    symbols = {"arrayValue": {"values": [{"stringValue": symbol} for symbol in expected]}}
    start = {
        "eventName": "mcbot.bot.started",
        "timeUnixNano": str(int(started * 1e9)),
        "attributes": [{"key": "trading.instrument.symbol", "value": symbols}] if expected else [],
    }
    now = started + 60
    points = [
        {
            "timeUnixNano": str(int(now * 1e9)),
            "asDouble": now - at,
            "attributes": [{"key": "symbol", "value": {"stringValue": symbol}}],
        }
        for symbol, at in last_bars.items()
    ]
    ages = {"name": catalog.last_bar_age.name, "gauge": {"dataPoints": points}}
    for name, request in (
        ("logs", {"resourceLogs": [{"scopeLogs": [{"logRecords": [start]}]}]}),
        ("metrics", {"resourceMetrics": [{"scopeMetrics": [{"metrics": [ages]}]}]}),
    ):
        (otlp / f"{name}.jsonl").write_text(json.dumps(request) + "\n", encoding="utf-8")


def test_a_new_machine_has_nothing_to_mend_but_a_collector(
    examined: Examine, closed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "DEFAULT_ENDPOINT", f"http://127.0.0.1:{closed}")
    found = examined()
    assert [line.check for line in found.values() if line.state != OK] == ["stack"]
    assert found["stack"] == Line("stack", WARN, "no stack on this machine", "make up")
    assert "kept in files" in found["endpoint"].found
    assert all(line.fix for line in found.values() if line.state != OK)


def test_nothing_is_written_by_looking(examined: Examine, tmp_path: Path) -> None:
    examined()
    assert list(tmp_path.iterdir()) == []


def test_a_default_name_is_no_identity(examined: Examine) -> None:
    line = examined(service_name=None)["identity"]
    assert line.state == WARN
    assert "OTEL_SERVICE_NAME" in line.fix


def test_an_endpoint_that_takes_telemetry(examined: Examine, receiver: Callable[[int], str]) -> None:
    assert examined(endpoint=receiver(200))["endpoint"].state == OK
    assert examined(traces_endpoint=f"{receiver(200)}/v1/traces")["endpoint"].state == OK


def test_an_endpoint_that_wants_a_token(examined: Examine, receiver: Callable[[int], str]) -> None:
    url = receiver(401)
    line = examined(endpoint=url)["endpoint"]
    assert line.state == FAIL
    assert "OTEL_EXPORTER_OTLP_HEADERS" in line.fix
    assert examined(endpoint=url, headers={"Authorization": "Bearer right"})["endpoint"].state == OK


def test_an_endpoint_that_is_something_else(examined: Examine, receiver: Callable[[int], str]) -> None:
    line = examined(endpoint=receiver(404))["endpoint"]
    assert line.state == FAIL
    assert "another server" in line.found
    assert "BaseHTTP" in line.found


def test_a_bot_would_send_to_whatever_listens_at_the_default_endpoint(
    examined: Examine, receiver: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "DEFAULT_ENDPOINT", receiver(404))
    line = examined()["endpoint"]
    assert line.state == FAIL
    assert "MCBOT_FIND_COLLECTOR=false" in line.fix
    assert examined(find_collector=False)["endpoint"].state == OK
    monkeypatch.setattr(doctor, "DEFAULT_ENDPOINT", receiver(200))
    assert examined()["endpoint"].state == OK


def test_nothing_is_asked_of_a_bot_that_is_switched_off(examined: Examine, closed: int) -> None:
    assert examined(disabled=True, endpoint=f"http://127.0.0.1:{closed}")["endpoint"].state == OK


def test_grpc_is_only_connected_to(examined: Examine, receiver: Callable[[int], str], closed: int) -> None:
    assert examined(endpoint=receiver(404), protocol="grpc")["endpoint"].state == OK
    assert examined(endpoint=f"http://127.0.0.1:{closed}", protocol="grpc")["endpoint"].state == FAIL


def test_an_endpoint_that_does_not(examined: Examine, closed: int) -> None:
    line = examined(endpoint=f"http://127.0.0.1:{closed}")["endpoint"]
    assert line.state == FAIL
    assert str(closed) in line.found
    assert "Collector" in line.fix


def test_a_state_directory_that_cannot_be_one(examined: Examine, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    line = examined(state_dir=tmp_path / "file")["state directory"]
    assert line.state == FAIL
    assert "MCBOT_STATE_DIR" in line.fix


@pytest.mark.parametrize(("free", "state"), [(3 * 2**30, OK), (500 * 2**20, WARN), (50 * 2**20, FAIL)])
def test_a_disk_without_room(examined: Examine, monkeypatch: pytest.MonkeyPatch, free: int, state: str) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    line = examined()["state directory"]
    assert line.state == state
    assert f"{free / 2**20:.0f} MiB free" in line.found or state == OK


def test_a_second_instance_is_seen_while_it_lives(examined: Examine, tmp_path: Path) -> None:
    settings = Settings.load({}, service_name="grid", state_dir=tmp_path)
    assert examined()["second instance"].found == "no live process has this id"
    leases = [identify(settings)[1]]
    try:
        line = examined()["second instance"]
        assert (line.state, line.found.rpartition(", ")[2]) == (OK, "alone")
        leases.append(identify(settings)[1])
        line = examined()["second instance"]
        assert line.state == WARN
        assert "-2: one bot, started twice" in line.found
        assert "MCBOT_INSTANCE_ID" in line.fix
    finally:
        for lease in leases:
            assert lease is not None
            lease.release()


def test_expectations_of_the_last_run(examined: Examine, tmp_path: Path) -> None:
    started = time.time() - 100
    files(
        tmp_path,
        "alpha",
        started=started,
        expected=["BTC/USDT", "ETH/USDT"],
        last_bars={"BTC/USDT": started + 30, "ETH/USDT": started},
    )
    line = examined()["expectations"]
    assert line.state == FAIL
    assert "ETH/USDT" in line.found
    assert "BTC/USDT" not in line.found


def test_expectations_that_were_met(examined: Examine, tmp_path: Path) -> None:
    started = time.time() - 100
    files(tmp_path, "alpha", started=started, expected=["BTC/USDT"], last_bars={"BTC/USDT": started + 30})
    assert examined()["expectations"].state == OK
    assert "last file of" in examined()["state directory"].found


def test_a_run_that_expected_nothing(examined: Examine, tmp_path: Path) -> None:
    files(tmp_path, "alpha", started=time.time() - 100, expected=[], last_bars={})
    line = examined()["expectations"]
    assert line.state == WARN
    assert "expect=" in line.fix


def test_a_check_that_fails_is_a_line_like_any_other(examined: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    def check_moon(case: object) -> Iterator[Line]:
        raise RuntimeError("no moon")

    monkeypatch.setattr(doctor, "CHECKS", [check_moon])
    assert examined() == {
        "moon": Line(
            "moon", WARN, "could not be checked: RuntimeError: no moon", "try again; if it stays so, report it"
        )
    }


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command_for_programs(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    receiver: Callable[[int], str],
    nowhere: dict[str, str],
) -> None:
    for name, value in nowhere.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MCBOT_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver(200))
    assert run(["doctor", "--json", "--service", "grid"]) == 0
    lines = json.loads(capsys.readouterr().out)
    assert [line["check"] for line in lines] == [
        "identity", "endpoint", "stack", "clock", "state directory", "second instance", "expectations", "versions"
    ]  # fmt: skip
    assert all(list(line) == ["check", "state", "found", "fix"] for line in lines)


def test_the_command_fails_when_a_check_does(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    closed: int,
    nowhere: dict[str, str],
) -> None:
    for name, value in nowhere.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MCBOT_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{closed}")
    assert run(["doctor", "--service", "grid"]) == 1
    out = capsys.readouterr().out
    assert "fail  endpoint:" in out
    assert "      fix: start the Collector" in out
