"""A bot whose event loop is blocked until SIGUSR1. Prints its instance id, its metrics port, and ``hanging``."""

import asyncio
import signal
import time

import otel_mcbot as mcbot

over: list[int] = []


def compute_features() -> None:
    print("hanging", flush=True)
    while not over:
        time.sleep(0.05)


async def main() -> None:
    signal.signal(signal.SIGUSR1, lambda number, frame: over.append(number))
    telemetry = mcbot.configure("hanger")
    telemetry.watch_loop()
    print(telemetry.identity.instance_id, telemetry.prometheus_port, sep="\n", flush=True)
    await asyncio.sleep(0.5)  # the beat has begun
    compute_features()
    await asyncio.sleep(0.5)
    await telemetry.aclose()


asyncio.run(main())
