"""A bot with 20 orders a second until SIGUSR1; then it closes and prints what became of its telemetry, as JSON."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import signal
from dataclasses import asdict

import otel_mcbot as mcbot


async def main() -> None:
    telemetry = mcbot.configure("steady", strategies=["trend"])
    print(telemetry.identity.instance_id, flush=True)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, ended.set)
    for number in itertools.count():
        with mcbot.trade_cycle(strategy="trend", symbol="BTC/USDT") as cycle:
            with cycle.generate_signal() as decided:
                decided.signal("long", strength=0.7)
            with cycle.pre_trade_check():
                pass
            with cycle.order(side="buy", quantity=0.01, expected_price=100.0) as order:
                order.filled(0.01, 100.1, fee=0.001)
        logging.getLogger("steady").warning("done %d", number)
        if number % 20 == 0:
            print(number, flush=True)
        try:
            await asyncio.wait_for(ended.wait(), 0.05)
        except TimeoutError:
            continue
        break
    await telemetry.aclose(timeout=20.0)
    print(json.dumps(asdict(telemetry.stats()) | {"orders": number + 1}), flush=True)


asyncio.run(main())
