"""Identity: the same id after every restart, never two live processes under one."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from otel_mcbot.identity import Identity, config_hash, holder, identify, safe
from otel_mcbot.settings import Settings

HOLD = """
import sys
from otel_mcbot.identity import identify
from otel_mcbot.settings import Settings
identity, lease = identify(Settings.load())
print(identity.instance_id, flush=True)
sys.stdin.read()
"""


def settings(tmp_path: Path, **arguments: object) -> Settings:
    return Settings.load({}, state_dir=tmp_path, **arguments)


def taken(tmp_path: Path, **arguments: object) -> Identity:
    identity, lease = identify(settings(tmp_path, **arguments))
    assert lease is not None
    lease.release()
    return identity


def test_the_id_is_made_once_and_kept(tmp_path: Path) -> None:
    first = taken(tmp_path)
    assert re.fullmatch(r"[a-z0-9-]+-[0-9a-f]{4}", first.instance_id)
    assert taken(tmp_path).instance_id == first.instance_id
    assert taken(tmp_path, service_name="other").instance_id != first.instance_id


def test_the_users_id_wins(tmp_path: Path) -> None:
    assert taken(tmp_path, instance_id="alpha").instance_id == "alpha"
    environ = {"OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=beta", "MCBOT_STATE_DIR": str(tmp_path)}
    identity, lease = identify(Settings.load(environ))
    assert (identity.instance_id, lease is not None) == ("beta", True)


def test_a_second_live_process_gets_the_next_id_and_a_kill_frees_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    environ = {**os.environ, "MCBOT_STATE_DIR": str(tmp_path), "MCBOT_INSTANCE_ID": "alpha"}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process, process.stdin, process.stdout:
        assert process.stdout.readline().strip() == "alpha"
        assert holder(tmp_path / "mcbot", "alpha") == process.pid
        second, lease = identify(settings(tmp_path, instance_id="alpha"))
        third, other = identify(settings(tmp_path, instance_id="alpha"))
        assert (second.instance_id, second.wanted_id, third.instance_id) == ("alpha-2", "alpha", "alpha-3")
        assert "another live process is 'alpha'" in caplog.text
        assert second.directory != third.directory
        process.kill()
        process.wait(30)
    assert holder(tmp_path / "mcbot", "alpha") is None
    assert taken(tmp_path, instance_id="alpha").instance_id == "alpha"
    assert lease is not None
    assert other is not None
    lease.release()
    assert taken(tmp_path, instance_id="alpha").instance_id == "alpha"


def test_two_first_runs_at_once_agree(tmp_path: Path) -> None:
    environ = {**os.environ, "MCBOT_STATE_DIR": str(tmp_path)}
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    ids = {run.stdout.readline().strip() for run in runs if run.stdout}
    for run in runs:
        run.communicate("", timeout=30)
    base = min(ids, key=len)
    assert ids == {base, f"{base}-2", f"{base}-3", f"{base}-4"}


def test_a_garbled_id_is_made_anew(tmp_path: Path) -> None:
    first = taken(tmp_path)
    (tmp_path / "mcbot" / "instance").write_bytes(b"\x00\xff\n")
    again = taken(tmp_path)
    assert re.fullmatch(r"[a-z0-9-]+-[0-9a-f]{4}", again.instance_id)
    assert taken(tmp_path).instance_id == again.instance_id != first.instance_id


def test_without_a_state_directory_it_goes_on_under_a_name_that_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    identity, lease = identify(settings(tmp_path / "file" / "below"))
    assert lease is None
    assert identity.directory is None
    assert "MCBOT_STATE_DIR" in (identity.problem or "")
    assert "MCBOT_STATE_DIR" in caplog.text
    assert identify(settings(tmp_path / "file" / "below"))[0].instance_id == identity.instance_id


def test_attributes_leave_out_what_is_unknown(tmp_path: Path) -> None:
    identity = taken(tmp_path, service_name="grid", instance_id="a", mode="live")
    assert identity.attributes() == {
        "service.name": "grid",
        "service.namespace": "mcbot",
        "service.instance.id": "a",
        "trading.mode": "live",
    }
    full = dataclasses.replace(identity, version="1.2", environment="prod", config_hash="9f2c41")
    assert full.attributes()["deployment.environment.name"] == "prod"
    assert full.attributes()["trading.config.hash"] == "9f2c41"
    assert full.attributes()["service.version"] == "1.2"


@dataclasses.dataclass
class Config:
    symbol: str
    size: float


class Opaque:
    pass


def test_the_configurations_hash_follows_its_content(tmp_path: Path) -> None:
    path = tmp_path / "bot.toml"
    path.write_text("size = 1")
    before = config_hash(path)
    assert re.fullmatch(r"[0-9a-f]{6}", before or "")
    path.write_text("size = 2")
    assert config_hash(path) != before
    assert config_hash({"a": 1, "b": [2]}) == config_hash({"b": [2], "a": 1}) != config_hash({"a": 2, "b": [2]})
    assert config_hash(Config("BTC", 1)) == config_hash(Config("BTC", 1)) != config_hash(Config("BTC", 2))
    assert config_hash({"x": Opaque()}) == config_hash({"x": Opaque()})
    assert config_hash(None) is None
    assert config_hash(tmp_path / "gone") is None


def test_names_as_paths_stay_apart_and_inside() -> None:
    assert safe("mc-coin-bot") == "mc-coin-bot"
    assert "/" not in safe("../../etc")
    assert not safe("../../etc").startswith(".")
    assert safe("a/b") != safe("a_b")
