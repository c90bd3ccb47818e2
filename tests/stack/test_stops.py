"""A store that stops under load: whatever it refuses, it refuses in a way after which the Collector asks again.

The Collector drops what is answered with a status that OTLP calls final, and a stop is when servers say odd things, for
some milliseconds: too few for a test that stops the whole stack and looks at what arrived.
"""

from __future__ import annotations

import http.client
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from otlp import PATHS, any_value, counter, logs, metrics, point, spans
from stack import PROJECT, Stack, free_ports, wait_for
from test_cleaning import span

TAKEN = {200, 204}
RETRIED = {429, 502, 503, 504}
"""https://opentelemetry.io/docs/specs/otlp/#failures-1"""

STORES: dict[str, tuple[int, str, Callable[[], Any]]] = {
    "prometheus": (9090, "/api/v1/otlp/", lambda: metrics("stops", counter("raw.stops", [point(1)]))),
    "tempo": (4318, "/", lambda: spans("stops", *(span() for _ in range(20)))),
    "loki": (3100, "/otlp/", lambda: logs("stops", {"time_unix_nano": time.time_ns(), "body": any_value("stops")})),
}
STOPS = {"prometheus": 3, "tempo": 5, "loki": 1}
"""Loki takes ten seconds to stop, and every one of them is under load."""


@pytest.fixture
def run() -> Iterator[Callable[[str, int, int], str]]:
    """``run(store, port, inside)``: that store alone, one more of its ports on this machine; the container's id."""
    stack = Stack(f"{PROJECT}-stops")

    def down() -> None:
        stack.compose("down", "--volumes", "--remove-orphans")

    def run(store: str, port: int, inside: int) -> str:
        published = f"127.0.0.1:{port}:{inside}"
        return stack.compose("run", "--detach", "--no-deps", "--publish", published, store).strip()

    down()
    yield run
    down()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("store", STORES)
def test_what_it_refuses_comes_again(run: Callable[[str, int, int], str], store: str) -> None:
    inside, path, make = STORES[store]
    (port,) = free_ports(1)
    container = run(store, port, inside)
    answers: Counter[int] = Counter()
    final: Counter[tuple[int, bytes]] = Counter()
    done = threading.Event()

    def send() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        while not done.is_set():
            request = make()
            body, headers = request.SerializeToString(), {"Content-Type": "application/x-protobuf"}
            try:
                connection.request("POST", path + PATHS[type(request)], body, headers)
                answer = connection.getresponse()
                said = answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                done.wait(0.01)
                continue
            answers[answer.status] += 1
            if answer.status not in TAKEN | RETRIED:
                final[answer.status, said] += 1

    def taken() -> int:
        return sum(answers[status] for status in TAKEN)

    senders = [threading.Thread(target=send) for _ in range(6)]
    for sender in senders:
        sender.start()
    try:
        for _ in range(STOPS[store]):
            before = taken()
            wait_for(lambda before=before: taken() > before + 100, 30, f"{store} takes requests")
            subprocess.run(["docker", "stop", "--time", "30", container], capture_output=True, check=True)
            subprocess.run(["docker", "start", container], capture_output=True, check=True)
    finally:
        done.set()
        for sender in senders:
            sender.join()
    print(store, dict(answers))
    assert not final
