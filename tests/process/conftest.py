"""Bots in processes of their own, and what the receiver got of them."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from receiver import Receiver

BOTS = Path(__file__).parent / "bots"

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # started in the background, which bots would inherit
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Bot:
    """A running bot. Its first line is its instance id, each further one the id of a filled order."""

    def __init__(self, environ: Mapping[str, str], script: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(BOTS / script), *arguments],
            env={**os.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._errors: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(line.strip())
        self._queue.put(None)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self._errors.extend(self.process.stderr)

    def wait_lines(self, count: int, timeout: float = 60.0) -> list[str]:
        """Read until ``count`` lines are there."""
        end = time.monotonic() + timeout
        while len(self.lines) < count:
            line = self._queue.get(timeout=max(0.01, end - time.monotonic()))
            assert line is not None, f"it ended after {self.lines}: {''.join(self._errors)}"
            self.lines.append(line)
        return self.lines

    def stop(self, number: int = signal.SIGTERM, timeout: float = 60.0) -> float:
        """Send the signal; returns the seconds until the process was gone."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.wait(timeout)
        return time.monotonic() - began

    def wait(self, timeout: float = 60.0) -> int:
        """Wait for its end and read what it still said. Returns the exit status."""
        status = self.process.wait(timeout)
        for reader in self._readers:
            reader.join(30)
        while (line := self._queue.get(timeout=30)) is not None:
            self.lines.append(line)
        return status

    @property
    def orders(self) -> set[str]:
        """The orders that it said were filled."""
        return set(self.lines[1:])

    @property
    def errors(self) -> str:
        """Its standard error, once it has ended."""
        return "".join(self._errors)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for reader in self._readers:
            reader.join(30)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


class Bots:
    """Starts bots that share a state directory and an endpoint."""

    def __init__(self, state: Path) -> None:
        self.environ = {
            "MCBOT_STATE_DIR": str(state),
            "MCBOT_INSTANCE_ID": "alpha",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        self.running: list[Bot] = []

    def __call__(self, script: str, *arguments: str, **environ: str) -> Bot:
        bot = Bot({**self.environ, **environ}, script, *arguments)
        self.running.append(bot)
        return bot


@pytest.fixture
def bots(tmp_path: Path) -> Iterator[Bots]:
    made = Bots(tmp_path / "state")
    yield made
    for bot in made.running:
        bot.kill()


@pytest.fixture
def receiver(tmp_path: Path, bots: Bots) -> Iterator[Receiver]:
    with Receiver(tmp_path) as started:
        bots.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = started.endpoint
        yield started


class Arrived:
    """What a receiver has, in the words of the tests."""

    def __init__(self, receiver: Receiver) -> None:
        self.spans = receiver.spans()
        self.logs = receiver.logs()
        self.points = receiver.points()

    def orders(self, event: str) -> list[str]:
        """Ids of the orders that ``event`` was told of, repetitions included."""
        return [log["attributes"]["trading.order.client_id"] for log in self.logs if log["event_name"] == event]

    def filled_spans(self) -> list[str]:
        """Ids of the orders that have a filled ``oms.await_fill``."""
        return [
            span["attributes"]["trading.order.client_id"]
            for span in self.spans
            if span["name"] == "oms.await_fill" and span["attributes"]["trading.order.status"] == "filled"
        ]

    def event(self, name: str) -> dict[str, Any]:
        """The one event of this name."""
        (found,) = [log for log in self.logs if log["event_name"] == name]
        return found

    def last(self, metric: str, instance: str = "alpha", **labels: str) -> float:
        """The last value of a metric, its series added up."""
        points = [
            point
            for point in self.points
            if point["metric"] == metric
            and point["resource"]["service.instance.id"] == instance
            and labels.items() <= point["attributes"].items()
        ]
        newest = max(point["time"] for point in points)
        return sum(point["value"] for point in points if point["time"] == newest)
