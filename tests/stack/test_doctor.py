"""``otel-mcbot doctor`` before the real servers: quiet about a healthy stack, the right line about a sick one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Demo
from otlp import counter, metrics, point, send
from stack import PORTS, ROOT, Stack, wait_for

Lines = dict[str, dict[str, str]]
Examine = Callable[..., tuple[int, Lines]]


@pytest.fixture
def examine(stack: Stack, demo: Demo, tmp_path: Path) -> Examine:
    """Exit status and lines by check, as the bot's user would see them."""

    def examine(**more: str) -> tuple[int, Lines]:
        environ = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "MCBOT_"))},
            **{variable: stack.url[name].rpartition(":")[2] for variable, name in PORTS.items()},
            "PYTHONPATH": str(ROOT),
            "OTEL_EXPORTER_OTLP_ENDPOINT": stack.url["otlp"],
            "OTEL_SERVICE_NAME": "otel-mcbot-demo",
            "MCBOT_STATE_DIR": str(tmp_path),
            "MCBOT_INSTANCE_ID": demo.instance,
            **more,
        }
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "otel_mcbot.cli", "doctor", "--json"],
            env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        assert time.monotonic() - began < 5
        assert not done.stderr
        return done.returncode, {line["check"]: line for line in json.loads(done.stdout)}

    return examine


def sick(lines: Lines) -> list[tuple[str, str]]:
    return [(line["check"], line["state"]) for line in lines.values() if line["state"] != "ok"]


@pytest.fixture
def without_loki(stack: Stack) -> Iterator[None]:
    stack.compose("stop", "loki")
    yield
    stack.compose("start", "loki")
    stack.wait_ready()


POISON = {"losses", "refused bots"}
"""Other tests of this stack send what is refused; that is their bots' and not this one's."""


def test_a_healthy_stack_with_a_bot(examine: Examine) -> None:
    """Once the Collector has told of itself, which takes it half a minute, and Tempo finds the first trace."""

    def well() -> Lines | None:
        _, lines = examine()
        return None if set(dict(sick(lines))) - POISON or "one began" not in lines["traces"]["found"] else lines

    lines = wait_for(well, 60)
    print("\n".join(f"{line['check']}: {line['found']}" for line in lines.values()))
    assert {"grafana", "prometheus", "tempo", "loki", "collector", "otlp", "disk", "clocks", "queues"} <= set(lines)
    assert "demo-test: last sample" in lines["metrics"]["found"]
    assert lines["logs"]["found"].startswith("the last line came")


def test_a_bot_that_nobody_has_seen(examine: Examine) -> None:
    _, lines = examine(MCBOT_INSTANCE_ID="nobody")
    assert lines["signals"]["state"] == "warn"
    assert "instance nobody" in lines["signals"]["found"]
    assert not {"metrics", "traces", "logs"} & set(lines)


@pytest.mark.usefixtures("without_loki")
def test_loki_stopped(examine: Examine) -> None:
    status, lines = examine()
    assert status == 1
    assert [check for check, state in sick(lines) if state == "fail" and check not in POISON] == ["loki"]
    assert "nothing listens there" in lines["loki"]["found"]
    assert "docker compose up -d --wait" in lines["loki"]["fix"]
    assert "logs" not in lines
    assert lines["traces"]["state"] == lines["metrics"]["state"] == "ok"


def test_a_bot_whose_metrics_are_refused(examine: Examine, stack: Stack) -> None:
    def refused() -> Lines:
        now = time.time()
        send(stack.url["otlp"], metrics("late", counter("raw.bad", [point(1, at=now + 7200, start=now)])))
        return examine()[1]

    lines = wait_for(lambda: "mcbot/raw late" in (found := refused())["refused bots"]["found"] and found, 60)
    assert lines["refused bots"]["state"] == "fail"
    losses = wait_for(lambda: (line := examine()[1]["losses"])["state"] != "ok" and line, 60)
    assert "metric points lost in the last 15 min: refused by otlp_http/prometheus" in losses["found"]


def test_the_password_of_an_earlier_time(examine: Examine) -> None:
    _, lines = examine(MCBOT_GRAFANA_PASSWORD="not-the-one-it-has")
    assert lines["variables"]["state"] == "warn"
    assert "does not know MCBOT_GRAFANA_PASSWORD" in lines["variables"]["found"]
