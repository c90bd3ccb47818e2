"""A bot that fills orders until it is told to stop, and prints the id of each after it was filled.

    trader.py [--loop plain|busy|asyncio|thread|wrapped] [--handler none|before|after|loop]
              [--end crash|thread-crash|exit|return] [--orders N]

``plain`` sleeps between orders, ``busy`` does not (so a signal nearly always finds it inside telemetry code),
``asyncio`` has a task, ``thread`` trades beside a main thread that waits, ``wrapped`` does everything inside a logging
handler. ``--handler`` is the bot's own SIGTERM handler, installed before or after ``configure()``, or by the event
loop.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import signal
import sys
import threading
import time

import otel_mcbot as mcbot

parser = argparse.ArgumentParser()
parser.add_argument("--loop", default="plain")
parser.add_argument("--handler", default="none")
parser.add_argument("--end", default="exit")
parser.add_argument("--orders", type=int, default=10**9)
options = parser.parse_args()

stopped = threading.Event()


def stop(*_: object) -> None:
    stopped.set()


def trade(number: int) -> None:
    client_id = f"trend-btc-{number}"
    with mcbot.trade_cycle(strategy="trend", symbol="BTC/USDT") as cycle:
        with cycle.generate_signal() as decided:
            decided.signal("long", strength=0.7)
        with cycle.order(side="buy", quantity=0.01, expected_price=100.0, client_order_id=client_id) as order:
            order.update({"id": str(number), "status": "closed", "filled": 0.01, "average": 101.0, "amount": 0.01})
    logging.getLogger("trader").warning("done %s", client_id)
    print(client_id, flush=True)


def end() -> None:
    match options.end:
        case "crash":
            raise RuntimeError("the strategy fell over its own feet")
        case "thread-crash":
            thread = threading.Thread(target=lambda: 1 / 0)
            thread.start()
            thread.join()
        case "exit":
            sys.exit(0)


def run(pause: float) -> None:
    for number in itertools.count():
        if stopped.is_set() or number >= options.orders:
            return
        trade(number)
        if pause:
            time.sleep(pause)


class Wrapped(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        run(0.002)


async def run_async() -> None:
    if options.handler == "loop":
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    for number in itertools.count():
        if stopped.is_set() or number >= options.orders:
            return
        trade(number)
        await asyncio.sleep(0.002)


if options.handler == "before":
    signal.signal(signal.SIGTERM, stop)
telemetry = mcbot.configure("trader", strategies=["trend"])
if options.handler == "after":
    signal.signal(signal.SIGTERM, stop)
print(telemetry.identity.instance_id, flush=True)

match options.loop:
    case "asyncio":
        asyncio.run(run_async())
    case "thread":
        thread = threading.Thread(target=run, args=(0.002,), daemon=True)
        thread.start()
        thread.join()
    case "wrapped":
        logger = logging.Logger("wrapped")
        logger.addHandler(Wrapped())
        logger.info("go")
    case loop:
        run(0.0 if loop == "busy" else 0.002)
end()
