"""False alarms of the execution checks on an unchanging market, a fill: the user's thresholds and the calibrated ones.

python benchmarks/detect_execution.py [--fills N]
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter

from otel_mcbot.detect.execution import ExecutionAnomalyDetector, ExecutionLimits

KINDS = ("latency_spike", "slippage_trend", "consecutive_rejections", "low_fill_rate")


def rates(
    limits: ExecutionLimits, fills: int, *, spread: float = 0.5, rejected: float = 0.05, seed: int = 1
) -> dict[str, float]:
    """Alarms a fill by kind.

    Latency is lognormal with ``spread`` as standard deviation of its logarithm, slippage normal with 5 bps, an order
    comes every 20 seconds and is rejected with probability ``rejected``, all of it independent.
    """
    generator = random.Random(seed)
    now = [0.0]
    detector = ExecutionAnomalyDetector(limits, clock=lambda: now[0])
    found: Counter[str] = Counter()
    done = checks = 0
    while done < fills:
        now[0] += 20.0
        order = str(now[0])
        detector.on_order_request("BTC/USDT", order)
        if generator.random() < rejected:
            anomalies = detector.on_rejection("BTC/USDT", order)
        else:
            done += 1
            latency = 0.3 * generator.lognormvariate(0.0, spread)
            anomalies = detector.on_fill(latency, generator.gauss(2.0, 5.0), "BTC/USDT", order)
        found.update(a.anomaly_type for a in anomalies if a.symbol is None)
        if done % 10 == 0:
            checks += 1
            found.update(a.anomaly_type for a in detector.check_fill_rate() if a.symbol is None)
    return {kind: found[kind] / fills for kind in KINDS}


def main() -> int:
    parser = argparse.ArgumentParser(description="False alarms of the execution detector.")
    parser.add_argument("--fills", type=int, default=100_000)
    fills = parser.parse_args().fills
    for name, limits in (("user's", ExecutionLimits()), ("calibrated", ExecutionLimits.calibrated())):
        for spread in (0.25, 0.5, 0.75):
            text = "  ".join(f"{kind} {rate:.5f}" for kind, rate in rates(limits, fills, spread=spread).items())
            print(f"{name:10s} latency spread {spread}: {text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
