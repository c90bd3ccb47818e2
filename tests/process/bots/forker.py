"""A bot that forks while threads of it trade. The children do what a child may do, and must all come to an end.

    forker.py [--children N] [--configure]

Prints its instance id, then for each child ``child <exit status>``, then the ids of its own orders.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
import time

from loguru import logger
from opentelemetry import trace

import otel_mcbot as mcbot
from otel_mcbot import hub

parser = argparse.ArgumentParser()
parser.add_argument("--children", type=int, default=1)
parser.add_argument("--configure", action="store_true")
options = parser.parse_args()


def trade(client_id: str) -> None:
    with mcbot.trade_cycle(strategy="trend", symbol="BTC/USDT") as cycle:
        with cycle.order(side="buy", quantity=0.01, expected_price=100.0, client_order_id=client_id) as order:
            order.update({"id": client_id, "status": "closed", "filled": 0.01, "average": 101.0, "amount": 0.01})
    logging.getLogger("forker").warning("done %s", client_id)
    logger.warning("also {}", client_id)


def child(number: int) -> int:
    """What a child does; the status says what was wrong."""
    if hub.current() is not None:
        return 1
    trade(f"child-btc-{number}")
    with trace.get_tracer("somebody").start_as_current_span("child"):
        pass
    telemetry.flush(1.0)
    telemetry.close()
    if not options.configure:
        return 0
    own = mcbot.configure("trader", strategies=["trend"])
    if own is telemetry or hub.current() is None:
        return 2
    trade(f"own-btc-{number}")
    own.close()
    if own.stats().emitted == own.stats().exported:
        return 0
    print(own.outbox.counts(), own.outbox.state(), file=sys.stderr, flush=True)
    return 3


telemetry = mcbot.configure("trader", strategies=["trend"])
print(telemetry.identity.instance_id, flush=True)
done: list[str] = []
going = threading.Event()
going.set()


def run(name: str) -> None:
    number = 0
    while going.is_set():
        client_id = f"{name}-btc-{number}"
        trade(client_id)
        done.append(client_id)
        number += 1
        time.sleep(0.0005)


threads = [threading.Thread(target=run, args=(f"parent{each}",)) for each in range(2)]
for thread in threads:
    thread.start()
for number in range(options.children):
    before = len(done)
    while len(done) < before + 3:  # the threads are in the middle of it
        time.sleep(0.0001)
    pid = os.fork()
    if pid == 0:
        os._exit(child(number))
    end = time.monotonic() + 30
    status: int | None = None
    while status is None and time.monotonic() < end:
        waited, code = os.waitpid(pid, os.WNOHANG)
        status = os.waitstatus_to_exitcode(code) if waited else None
        time.sleep(0.001)
    if status is None:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    print("child", status, flush=True)
going.clear()
for thread in threads:
    thread.join()
print("\n".join(done), flush=True)
