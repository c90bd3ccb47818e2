"""Servers gone for a minute, restarted, taken down and up, while a bot makes 20 orders a second: nothing is lost."""

from __future__ import annotations

import itertools
import json
import os
import signal
import time

import otlp
import pytest
from conftest import Start
from stack import SERVERS, Stack, settle, wait_for

OUTAGE = float(os.environ.get("MCBOT_TEST_OUTAGE", "60"))
"""Seconds that each server is gone."""

ORDERS = 'mcbot_orders_total{instance="steady", status="filled", side="BUY"}'


def pause(seconds: float) -> None:
    end = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() >= end, seconds + 5)


@pytest.mark.timeout(2 * OUTAGE + 420)
def test_nothing_is_lost(stack: Stack, start: Start) -> None:
    bot = start("steady", "steady")
    wait_for(lambda: stack.value(ORDERS), 30)
    began = time.monotonic()

    stores = ("prometheus", "loki", "tempo")  # at once: each has a queue of its own in the Collector
    stack.compose("stop", *stores)
    pause(OUTAGE)
    stack.up(*stores)
    print(f"{time.monotonic() - began:.0f} s: stores are back")

    stack.compose("stop", "collector")
    pause(OUTAGE)
    stack.up("collector")
    print(f"{time.monotonic() - began:.0f} s: Collector is back")

    before = wait_for(lambda: stack.value(ORDERS))
    wait_for(lambda: (stack.value(ORDERS) or 0) > before, 60, "orders after the outages")
    stack.compose("restart")
    stack.wait_ready()
    print(f"{time.monotonic() - began:.0f} s: all restarted")

    before = wait_for(lambda: stack.value(ORDERS))
    wait_for(lambda: (stack.value(ORDERS) or 0) > before, 60, "orders after the restart")
    stack.down()
    stack.up()
    print(f"{time.monotonic() - began:.0f} s: down and up")

    before = wait_for(lambda: stack.value(ORDERS))
    wait_for(lambda: (stack.value(ORDERS) or 0) > before, 60, "orders after down and up")
    bot.send_signal(signal.SIGUSR1)
    assert bot.stdout
    said = bot.stdout.read().splitlines()
    assert bot.wait(30) == 0
    stats = json.loads(said[-1])
    print(stats)
    assert stats["orders"] > 10 * 2 * OUTAGE
    assert not any(stats["dropped"].values())
    assert stats["exported"] == stats["emitted"]

    settle(lambda: stack.value(ORDERS), stats["orders"], what="orders counted in Prometheus")
    samples = stack.samples(f"{ORDERS}[1h]")
    assert stack.value(f"resets({ORDERS}[1h])") == 0
    assert stack.value(f"increase({ORDERS}[1h])", time=samples[-1][0]) == pytest.approx(stats["orders"])
    gap = max(later - earlier for (earlier, _), (later, _) in itertools.pairwise(samples))
    print(f"{len(samples)} samples of the counter, {gap:.1f} s between two at most")
    assert gap < 15, "the outages are not visible in what is stored"

    selector = '{service_instance_id="steady"}'
    settle(lambda: stack.log_count(selector), stats["emitted"]["log_records"], what="log records in Loki")
    settle(lambda: span_count(stack, "steady"), stats["emitted"]["spans"], what="spans in Tempo")


def test_a_backlog_is_taken_whole(stack: Stack) -> None:
    """What an outage kept comes at once: more traces than a store likes to hold in memory, none of them thrown away."""
    traces, at_once = 24_000, 2_000
    now = time.time_ns()
    for first in range(1, traces, at_once):
        found = [
            {
                "trace_id": number.to_bytes(16),
                "span_id": number.to_bytes(8),
                "name": "kept",
                "start_time_unix_nano": now,
                "end_time_unix_nano": now,
                "attributes": otlp.attributes({"weight": "x" * 500}),  # enough for the store to slow the Collector down
            }
            for number in range(first, first + at_once)
        ]
        otlp.send(stack.url["otlp"], otlp.spans("backlog", *found))
    settle(lambda: span_count(stack, "backlog"), traces, what="spans in Tempo")
    assert {server: stack.inspect(server)["RestartCount"] for server in SERVERS} == dict.fromkeys(SERVERS, 0)


def span_count(stack: Stack, instance: str) -> int:
    found = stack.traces(f'{{resource.service.instance.id="{instance}"}}', limit=100_000)
    return sum(trace["spanSets"][0]["matched"] for trace in found)
