"""Backup and restore, as docs/operating.md tells to do it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from otlp import any_value, counter, logs, metrics, point, send, spans
from pages import block
from stack import PROJECT, ROOT, Stack, wait_for
from test_cleaning import span


@pytest.fixture
def stack() -> Iterator[Stack]:
    """One of its own: what is put back takes away what came since."""
    stack = Stack(f"{PROJECT}-saved")
    stack.down(volumes=True)
    stack.up()
    yield stack
    stack.down(volumes=True)


def run(stack: Stack, mark: str, directory: Path) -> None:
    script = (
        block(mark).replace("project=otel-mcbot", f"project={stack.project}").replace('"$PWD/backup"', f'"{directory}"')
    )
    assert stack.project in script
    script = script.replace("mkdir -p backup", f"mkdir -p {directory}")
    done = subprocess.run(
        ["bash", "-euc", script], cwd=ROOT, env=stack.environ, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.timeout(400)
def test_what_was_saved_is_there_again(stack: Stack, tmp_path: Path) -> None:
    send(stack.url["otlp"], metrics("saved", counter("raw.saved", [point(42)])))
    send(stack.url["otlp"], logs("saved", {"time_unix_nano": time.time_ns(), "body": any_value("saved line")}))
    send(stack.url["otlp"], spans("saved", span(name="saved")))

    def all_there() -> bool:
        return (
            stack.value('last_over_time(raw_saved_total{instance="saved"}[1h])') == 42
            and len(stack.loki('{service_instance_id="saved"}')) == 1
            and len(stack.traces('{resource.service.instance.id="saved"}')) == 1
        )

    wait_for(all_there)
    run(stack, "backup", tmp_path / "backup")
    stack.wait_ready()
    stack.down(volumes=True)
    run(stack, "restore", tmp_path / "backup")
    stack.wait_ready()
    wait_for(all_there)
