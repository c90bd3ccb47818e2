"""A Collector that is gone for a minute at 20 orders a second: what was emitted arrived, or was counted as dropped."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Bots
from receiver import Receiver, wait_for

OUTAGE = float(os.environ.get("MCBOT_TEST_OUTAGE", "60"))
"""Seconds without a receiver."""


@pytest.mark.timeout(OUTAGE + 300)
def test_an_outage_of_a_minute(tmp_path: Path) -> None:
    """Two bots at once, so that the minute passes once: one with the default ring, one with a far too small one."""
    small, usual = tmp_path / "small", tmp_path / "usual"
    for directory in (small, usual):
        directory.mkdir()
    bots = {small: Bots(small), usual: Bots(usual)}
    receivers = {directory: Receiver(directory).start() for directory in bots}
    try:
        running = {}
        for directory, start in bots.items():
            ring = {"MCBOT_BUFFER_BYTES": "65536"} if directory is small else {}
            running[directory] = start("steady.py", OTEL_EXPORTER_OTLP_ENDPOINT=receivers[directory].endpoint, **ring)
        for directory, receiver in receivers.items():
            receiver.wait_for(lambda receiver=receiver: len(receiver.spans()) > 20, 60)
            receiver.stop()
            assert running[directory].process.poll() is None
        back = time.monotonic() + OUTAGE
        wait_for(lambda: time.monotonic() >= back, OUTAGE + 10)
        counted: dict[Path, dict[str, Any]] = {}
        for directory, receiver in receivers.items():
            receiver.start()
            before = len(receiver.spans())
            receiver.wait_for(lambda receiver=receiver, before=before: len(receiver.spans()) > before, 60)
            running[directory].process.send_signal(signal.SIGUSR1)
            assert running[directory].wait(60) == 0, running[directory].errors
            counted[directory] = json.loads(running[directory].lines[-1])
        for directory, receiver in receivers.items():
            stats = counted[directory]
            arrived = {"spans": len(receiver.spans()), "log_records": len(receiver.logs())}
            print(directory.name, stats, "arrived", arrived)
            assert stats["orders"] > 5 * OUTAGE, "it traded on"
            for kind, count in arrived.items():
                assert stats["emitted"][kind] == count + stats["dropped"][kind]
                assert stats["exported"][kind] == count
                assert (stats["dropped"][kind] > 0) is (directory is small)
            assert running[directory].errors.count("\n") < 3 * (OUTAGE / 60 + 1), "one line a minute at most"
    finally:
        for start in bots.values():
            for bot in start.running:
                bot.kill()
        for receiver in receivers.values():
            receiver.stop()
