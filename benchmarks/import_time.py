"""What ``import otel_mcbot`` costs, next to what a bot with OpenTelemetry and loguru imports anyway.

    python benchmarks/import_time.py [--runs 9]

Each import is a process of its own, the empty process is subtracted, the median counts. The limit is 1.25.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

BASELINE = "import opentelemetry.sdk.trace, opentelemetry.sdk.metrics, opentelemetry.sdk._logs, loguru"
CASES = {
    "empty": "pass",
    "baseline": BASELINE,
    "otel_mcbot": "import otel_mcbot",
    "configure": "import otel_mcbot; otel_mcbot.configure",
}


def once(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    times: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(runs + 1):  # in turn, so that a busy moment meets all of them; the first one warms the caches
        for name, code in CASES.items():
            times[name].append(once(code))
    median = {name: statistics.median(values[1:]) for name, values in times.items()}
    baseline = median["baseline"] - median["empty"]
    print(f"SDK (trace, metrics, logs) and loguru   {baseline * 1e3:7.1f} ms")
    for name, label in (("otel_mcbot", "import otel_mcbot"), ("configure", "… and all that configure() needs")):
        own = median[name] - median["empty"]
        print(f"{label:39} {own * 1e3:7.1f} ms   {own / baseline:5.2f} ×")
    return 0 if (median["otel_mcbot"] - median["empty"]) / baseline <= 1.25 else 1


if __name__ == "__main__":
    sys.exit(main())
