"""One stack for all tests, and bots that send to it."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from stack import ROOT, Stack, free_ports, wait_for

Start = Callable[..., subprocess.Popen[str]]

BOTS = {"demo": ["-m", "otel_mcbot.cli", "demo"]} | {
    name: [str(ROOT / folder / f"{name}.py")]
    for name, folder in {"steady": "tests/process/bots", "born": "tests/stack/bots"}.items()
}


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Up from nothing, with an empty environment; gone afterwards, with all that it stored."""
    if not shutil.which("docker"):
        pytest.fail("these tests need Docker with the compose plugin")
    stack = Stack()
    stack.down(volumes=True)  # of a run that was killed
    began = time.monotonic()
    stack.up()
    print(f"stack up in {time.monotonic() - began:.0f} s")
    yield stack
    stack.down(volumes=True)


@pytest.fixture(scope="session")
def start(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """``start("steady", "instance-id", "--argument", VARIABLE="value")``: a bot that sends to the stack."""
    state = tmp_path_factory.mktemp("state")
    running: list[subprocess.Popen[str]] = []

    def run(bot: str, instance: str, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        process = stack.bot(state, instance, *BOTS[bot], *arguments, environ=environ)
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream:
                stream.close()


@dataclass(frozen=True)
class Demo:
    """The demo bot while it trades. ``pull`` is its own page for Prometheus: what it says without any stack."""

    instance: str
    pull: str
    process: subprocess.Popen[str]

    @property
    def selector(self) -> str:
        return f'{{service_name="otel-mcbot-demo", service_instance_id="{self.instance}"}}'


@pytest.fixture(scope="session")
def demo(stack: Stack, start: Start) -> Demo:
    """Returned when 30 filled orders are in the stack."""
    (port,) = free_ports(1)
    process = start("demo", "demo-test", "--duration", "forever", OTEL_EXPORTER_PROMETHEUS_PORT=str(port))
    demo = Demo("demo-test", f"http://127.0.0.1:{port}/metrics", process)
    filled = f'{demo.selector} | event_name="trading.order.filled"'
    wait_for(lambda: process.poll() is None and stack.log_count(filled) >= 30, 90, "30 filled orders in Loki")
    return demo
