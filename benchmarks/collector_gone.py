"""What a Collector that is gone costs the bot: the same seeded full-speed run against a receiver that is there, one
that is absent, and one that takes connections and never answers.

    python benchmarks/collector_gone.py [--bars 2000] [--runs 5]

Printed are CPU seconds of the whole process and the loop's lag at p99.9 (a timer of 1 ms on the bot's loop), the median
of all runs, in turn, and their ratio and difference to ``present``. The limits are 1.10 × and + 1 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "process"))


async def watch(lags: list[float]) -> None:
    """How late a timer of 1 ms is, in ms."""
    while True:
        due = time.perf_counter() + 0.001
        await asyncio.sleep(0.001)
        lags.append((time.perf_counter() - due) * 1e3)


def bot(bars: int) -> None:
    """One run, in a process of its own; prints its measurements."""
    from otel_mcbot.demo.bot import Bot, configure
    from otel_mcbot.demo.plan import SPEED, make_plan

    plan = make_plan([], speed=math.inf, duration=bars / 2 * 60 / SPEED, seed=1)  # two symbols
    telemetry = configure(plan, "paper")
    lags: list[float] = []

    async def run() -> None:
        probe = asyncio.create_task(watch(lags))
        await Bot(telemetry, plan).run()
        probe.cancel()

    asyncio.run(run())
    telemetry.close()
    used = resource.getrusage(resource.RUSAGE_SELF)
    lags.sort()
    stats = telemetry.stats()
    print(
        json.dumps(
            {
                "cpu": used.ru_utime + used.ru_stime,
                "lag": lags[int(len(lags) * 0.999)],
                "spans": stats.emitted["spans"],
                "dropped": stats.dropped["spans"],
            }
        ),
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bars", type=int, default=2_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--bot", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bot:
        bot(options.bars)
        return 0

    from receiver import BlackHole, Receiver, free_port

    measured: dict[str, list[dict[str, float]]] = {"present": [], "absent": [], "black hole": []}
    with tempfile.TemporaryDirectory() as scratch, Receiver(Path(scratch)) as receiver, BlackHole() as hole:
        absent = f"http://127.0.0.1:{free_port()}"
        endpoints = {"present": receiver.endpoint, "absent": absent, "black hole": hole.endpoint}
        for number in range(options.runs):
            for name, endpoint in endpoints.items():
                state = Path(scratch) / f"{name}-{number}"
                done = subprocess.run(
                    [sys.executable, __file__, "--bot", "--bars", str(options.bars)],
                    env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "MCBOT_STATE_DIR": str(state)},
                    check=True,
                    capture_output=True,
                    text=True,
                )
                measured[name].append(json.loads(done.stdout.splitlines()[-1]))
    median = {
        name: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for name, runs in measured.items()
    }
    base = median["present"]
    print(f"{'receiver':12} {'CPU s':>8} {'ratio':>7} {'lag p99.9 ms':>13} {'more':>7} {'spans':>8}")
    for name, run in median.items():
        ratio, more = run["cpu"] / base["cpu"], run["lag"] - base["lag"]
        print(f"{name:12} {run['cpu']:8.2f} {ratio:6.2f}× {run['lag']:13.2f} {more:+7.2f} {run['spans']:8.0f}")
    worst = max((run["cpu"] / base["cpu"] for run in median.values()), default=1.0)
    return 0 if worst <= 1.10 and all(run["lag"] - base["lag"] <= 1.0 for run in median.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
