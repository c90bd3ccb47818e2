"""A bot whose counters for a symbol are born when it is told how many orders to fill: a number on standard input."""

from __future__ import annotations

import sys

import otel_mcbot as mcbot
from otel_mcbot import catalog

published = 0
telemetry = mcbot.configure("born", strategies=["trend"])
catalog.eventbus_events_published.watch(lambda: [(published, {})] if published else [])
print("ready", flush=True)
for line in sys.stdin:
    for _ in range(int(line)):
        with mcbot.trade_cycle(strategy="trend", symbol="NEW/USDT") as cycle:
            with cycle.order(side="buy", quantity=0.01, expected_price=100.0) as order:
                order.filled(0.01, 100.1, fee=0.001)
    published = int(line)
    print("done", flush=True)
telemetry.close()
