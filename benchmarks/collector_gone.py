"""What a Collector that is gone costs the bot: the same seeded run against a receiver that is there, one that is
absent, and one that takes connections and never answers.

    python benchmarks/collector_gone.py [--bars 2000] [--seconds 10] [--runs 5]

CPU seconds are those of the whole process, at full speed. The loop's lag is that of a timer of 1 ms on the bot's loop,
at 100 bars a second: at full speed a loop is busy with the bot itself. Both are medians of all runs, in turn, with
their ratio and difference to ``present``; the limits are 1.10 × and + 1 ms. Python's garbage collector is kept out: its
pauses on a large heap are longer than what is measured here, and hit all three alike.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
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


def bot(bars: int, seconds: float) -> None:
    """One run, in a process of its own; prints its measurements. ``seconds`` 0 is full speed."""
    from otel_mcbot.demo.bot import Bot, configure
    from otel_mcbot.demo.plan import SPEED, make_plan

    if seconds:
        plan = make_plan([], speed=100 / 2 * 60, duration=seconds, seed=1)  # two symbols
    else:
        plan = make_plan([], speed=math.inf, duration=bars / 2 * 60 / SPEED, seed=1)
    telemetry = configure(plan, "paper")
    lags: list[float] = []

    async def run() -> None:
        probe = asyncio.create_task(watch(lags))
        await Bot(telemetry, plan).run()
        probe.cancel()

    gc.collect()
    gc.disable()
    asyncio.run(run())
    telemetry.close()
    used = resource.getrusage(resource.RUSAGE_SELF)
    lags.sort()
    spans = telemetry.stats().emitted["spans"]
    print(json.dumps({"cpu": used.ru_utime + used.ru_stime, "lag": lags[int(len(lags) * 0.999)], "spans": spans}))


def measure(name: str, endpoint: str, state: Path, *arguments: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--bot", *arguments],
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "MCBOT_STATE_DIR": str(state / name)},
        check=True,
        capture_output=True,
        text=True,
    )
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bars", type=int, default=2_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--bot", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bot:
        bot(options.bars, options.seconds)
        return 0

    from receiver import BlackHole, Receiver, free_port

    cpu: dict[str, list[float]] = {"present": [], "absent": [], "black hole": []}
    lag: dict[str, list[float]] = {name: [] for name in cpu}
    spans = 0.0
    with tempfile.TemporaryDirectory() as scratch, Receiver(Path(scratch)) as receiver, BlackHole() as hole:
        absent = f"http://127.0.0.1:{free_port()}"
        endpoints = {"present": receiver.endpoint, "absent": absent, "black hole": hole.endpoint}
        for _ in range(options.runs):
            for name, endpoint in endpoints.items():
                full = measure(name, endpoint, Path(scratch), "--bars", str(options.bars), "--seconds", "0")
                paced = measure(name, endpoint, Path(scratch), "--seconds", str(options.seconds))
                cpu[name].append(full["cpu"])
                lag[name].append(paced["lag"])
                spans = full["spans"]
    base_cpu, base_lag = statistics.median(cpu["present"]), statistics.median(lag["present"])
    print(f"median of {options.runs}; {spans:.0f} spans at full speed")
    print(f"{'receiver':12} {'CPU s':>8} {'ratio':>7} {'lag p99.9 ms':>13} {'more':>7}")
    worst_cpu = worst_lag = 0.0
    for name in cpu:
        ratio, more = statistics.median(cpu[name]) / base_cpu, statistics.median(lag[name]) - base_lag
        worst_cpu, worst_lag = max(worst_cpu, ratio), max(worst_lag, more)
        print(f"{name:12} {ratio * base_cpu:8.2f} {ratio:6.2f}× {more + base_lag:13.2f} {more:+7.2f}")
    return 0 if worst_cpu <= 1.10 and worst_lag <= 1.0 else 1


if __name__ == "__main__":
    sys.exit(main())
