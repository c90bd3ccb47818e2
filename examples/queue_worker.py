"""A bot with a queue of its own: the item carries the trace, the worker resumes it."""

import asyncio

import otel_mcbot as mcbot

Item = tuple[mcbot.Trace | None, str, float]


async def worker(queue: asyncio.Queue[Item]) -> None:
    """Made before any cycle: its own context knows nothing of the item's."""
    while True:
        carried, side, quantity = await queue.get()
        with mcbot.resume(carried):
            with mcbot.submit_order(side=side, quantity=quantity) as order:
                with mcbot.exchange_call("create_order", address="api.example.com"):
                    await asyncio.sleep(0.01)
                order.filled(quantity, 64_000.0, fee=0.64)
        queue.task_done()


async def main() -> None:
    telemetry = mcbot.configure("queue-bot", mode="paper", strategies=["ctrend"])
    queue: asyncio.Queue[Item] = asyncio.Queue()
    task = asyncio.create_task(worker(queue))
    for side in ("buy", "sell"):
        with mcbot.generate_signal(strategy="ctrend", symbol="BTC/USDT") as stage:
            stage.signal(side)
            queue.put_nowait((mcbot.Trace.here(), side, 0.01))
        await queue.join()
    task.cancel()
    print("orders:", telemetry.hub.ledger.totals.by_status)
    await telemetry.aclose()


asyncio.run(main())
