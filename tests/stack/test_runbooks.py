"""What a runbook says to ask and to type works, while a bot trades."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Demo
from runbooks import FOLDER, INDEX, Block, Runbook, read
from stack import ROOT, Stack, get, wait_for

RUNBOOKS = [*read(), Runbook(INDEX, (FOLDER / f"{INDEX}.md").read_text())]
VALUES = {"instance": "demo-test", "symbol": "BTC/USDT", "strategy": "trend"}
POD = VALUES | {"strategy": "pod-trend"}
"""Of alerts whose ``$strategy`` is a pod's id."""


def blocks(*kinds: str) -> list[object]:
    """One parameter for each runbook that has such blocks."""
    return [pytest.param(found, id=runbook.name) for runbook in RUNBOOKS if (found := runbook.of(*kinds))]


def shell(block: Block) -> str:
    """A pipe fails with any of its parts, and the first line that fails ends the block."""
    return f"set -euo pipefail\n{block.filled(VALUES)}"


def ask(stack: Stack, kind: str, query: str) -> list[Any]:
    """What the store finds, series, streams or traces; ``OSError`` when it refuses the query."""
    if kind == "traceql":
        return stack.traces(query)
    address = f"{stack.url['prometheus']}/api/v1" if kind == "promql" else f"{stack.url['loki']}/loki/api/v1"
    now = time.time()
    answer = get(f"{address}/query_range", query=query, start=now - 3600, end=now, step=60)
    assert answer["status"] == "success"
    found: list[Any] = answer["data"]["result"]
    return found


@pytest.fixture(scope="module")
def full(stack: Stack, demo: Demo) -> Iterator[Stack]:
    """The stack with the bot that the placeholders name; it trades to the end."""
    assert demo.instance == VALUES["instance"]
    yield stack
    assert demo.process.poll() is None


@pytest.mark.parametrize("runbook", [pytest.param(each, id=each.name) for each in RUNBOOKS])
def test_every_query_is_accepted(full: Stack, runbook: Runbook) -> None:
    values = POD if "`$strategy` is the pod's id" in " ".join(runbook.text.split()) else VALUES
    refused = []
    for block in runbook.of("promql", "logql", "traceql"):
        try:
            if not ask(full, block.kind, block.filled(values)):
                print(f"nothing there now: {block.text}")
        except OSError as error:
            refused.append(f"{block.text}{error}")
    assert not refused, "\n".join(refused)


def typed(stack: Stack, block: Block) -> subprocess.CompletedProcess[str] | None:
    """What the commands say; nothing while Docker measures its disk for somebody else: it does that once at a time."""
    done = subprocess.run(
        ["bash", "-c", shell(block)], cwd=ROOT, env=stack.environ, capture_output=True, text=True, timeout=120
    )
    return None if "a disk usage operation is already running" in done.stderr else done


@pytest.mark.parametrize("found", blocks("sh"))
def test_every_command_for_the_stack_works(full: Stack, found: list[Block]) -> None:
    failed = []
    for block in found:
        done = wait_for(lambda block=block: typed(full, block), 60, block.text)
        if done.returncode:
            failed.append(f"{block.text}exit {done.returncode}: {done.stderr}")
    assert not failed, "\n".join(failed)


@pytest.mark.parametrize("found", blocks("sh host"))
def test_every_command_for_a_machine_is_one(found: list[Block]) -> None:
    for block in found:
        done = subprocess.run(["bash", "-n", "-c", shell(block)], capture_output=True, text=True, timeout=10)
        assert (done.returncode, done.stderr) == (0, ""), block.text


def test_a_query_that_is_wrong_is_refused(full: Stack) -> None:
    for kind, query in (("promql", "sum by ("), ("logql", "{service_name="), ("traceql", "{ status = }")):
        with pytest.raises(OSError, match="400"):
            ask(full, kind, query)
