"""A bot that is killed between two days goes on as if it had not been."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

BOT = textwrap.dedent(
    """
    import json, sys
    import otel_mcbot as mcbot

    telemetry = mcbot.configure("judged", strict=True)
    backtest, first = json.loads(sys.stdin.readline())
    telemetry.detectors.auto_init("pod-1", backtest).result()
    day = first
    for line in sys.stdin:
        date = f"2026-{day // 28 + 1:02d}-{day % 28 + 1:02d}"
        report = telemetry.detectors.update("pod-1", float(line), date).result()
        day += 1
        print(json.dumps({name: repr(getattr(report, name)) for name in report.__slots__}), flush=True)
    """
)


class Bot:
    def __init__(self, home: Path, backtest: list[float], first: int = 0, **environ: str) -> None:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "MCBOT_"))}
        own = {"MCBOT_STATE_DIR": str(home), "MCBOT_FIND_COLLECTOR": "false"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", BOT],
            env=kept | own | environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._write(json.dumps([backtest, first]))

    def day(self, value: float) -> dict[str, Any]:
        self._write(repr(value))
        assert self.process.stdout is not None
        return dict(json.loads(self.process.stdout.readline()))

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=30)

    def _write(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()


@pytest.mark.parametrize("mode", ["default", "calibrated"])
def test_kill_9_between_two_updates(tmp_path: Path, mode: str) -> None:
    generator = random.Random(1)
    backtest = [generator.gauss(0.001, 0.02) for _ in range(365)]
    live = [generator.gauss(-0.01, 0.02) for _ in range(100)]
    undisturbed = Bot(tmp_path / "one", backtest, MCBOT_DETECTORS=mode)
    expected = [undisturbed.day(r) for r in live]
    undisturbed.kill()
    assert any("CRITICAL" in day["drawdown"] for day in expected)
    found: list[dict[str, Any]] = []
    for part in range(0, 100, 25):
        bot = Bot(tmp_path / "other", backtest if part == 0 else [], part, MCBOT_DETECTORS=mode)
        found += [bot.day(r) for r in live[part : part + 25]]
        bot.kill()
    assert found == expected
    assert sorted(path.name for path in (tmp_path / "other").rglob("detectors.json*")) == ["detectors.json"]
