"""A bot whose event loop is blocked for 3 s. Prints its instance id, its metrics port, and ``hanging``."""

import asyncio
import time

import otel_mcbot as mcbot


def compute_features() -> None:
    print("hanging", flush=True)
    time.sleep(3)


async def main() -> None:
    telemetry = mcbot.configure("hanger")
    telemetry.watch_loop()
    print(telemetry.identity.instance_id, telemetry.prometheus_port, sep="\n", flush=True)
    await asyncio.sleep(0.5)  # the beat has begun
    compute_features()
    await asyncio.sleep(0.5)
    await telemetry.aclose()


asyncio.run(main())
