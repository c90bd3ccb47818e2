"""The doctor: what each check finds, and the fix it names."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_mcbot import catalog, doctor
from otel_mcbot.cli import run
from otel_mcbot.doctor import FAIL, OK, WARN, Line, examine
from otel_mcbot.identity import identify
from otel_mcbot.settings import Settings

Examine = Callable[..., dict[str, Line]]


@pytest.fixture
def examined(tmp_path: Path) -> Examine:
    """Check → its line, for a bot of a directory of its own."""

    def examined(**settings: Any) -> dict[str, Line]:
        given = {"service_name": "grid", "state_dir": tmp_path, **settings}
        lines = examine(Settings.load({}, **given))
        assert len({line.check for line in lines}) == len(lines)
        return {line.check: line for line in lines}

    return examined


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


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
    assert {line.state for line in found.values()} == {OK, WARN}
    assert [line.check for line in found.values() if line.state == WARN] == ["endpoint"]
    assert "kept in files" in found["endpoint"].found
    assert "docker compose up" in found["endpoint"].fix
    assert all(line.fix for line in found.values() if line.state != OK)


def test_nothing_is_written_by_looking(examined: Examine, tmp_path: Path) -> None:
    examined()
    assert list(tmp_path.iterdir()) == []


def test_a_default_name_is_no_identity(examined: Examine) -> None:
    line = examined(service_name=None)["identity"]
    assert line.state == WARN
    assert "OTEL_SERVICE_NAME" in line.fix


def test_an_endpoint_that_listens(examined: Examine, listening: int) -> None:
    assert examined(endpoint=f"http://127.0.0.1:{listening}")["endpoint"].state == OK


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


def test_a_second_instance_is_seen_while_it_lives(examined: Examine, tmp_path: Path) -> None:
    _, lease = identify(Settings.load({}, service_name="grid", state_dir=tmp_path))
    assert lease is not None
    try:
        line = examined()["second instance"]
        assert line.state == WARN
        assert "MCBOT_INSTANCE_ID" in line.fix
    finally:
        lease.release()
    assert examined()["second instance"].state == OK


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
    assert examined() == {"moon": Line("moon", WARN, "could not be checked: RuntimeError: no moon", "report it")}


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command_for_programs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, listening: int
) -> None:
    monkeypatch.setenv("MCBOT_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{listening}")
    assert run(["doctor", "--json", "--service", "grid"]) == 0
    lines = json.loads(capsys.readouterr().out)
    assert [line["check"] for line in lines] == [
        "identity", "endpoint", "clock", "state directory", "second instance", "expectations", "versions"
    ]  # fmt: skip
    assert all(list(line) == ["check", "state", "found", "fix"] for line in lines)


def test_the_command_fails_when_a_check_does(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, closed: int
) -> None:
    monkeypatch.setenv("MCBOT_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{closed}")
    assert run(["doctor", "--service", "grid"]) == 1
    out = capsys.readouterr().out
    assert "fail  endpoint:" in out
    assert "      fix: start the Collector" in out
