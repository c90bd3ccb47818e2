"""A bot that sends what Prometheus refuses loses its own points, is named by a series, and takes nobody along."""

from __future__ import annotations

import time

from otlp import DELTA, counter, metrics, point, send
from pages import block
from stack import Stack, settle, wait_for

REFUSED = block("refused")
"""The expression that docs/operating.md gives for finding such a bot."""


def poison(kind: str, instance: str, number: int) -> list[object]:
    now = time.time()
    match kind:
        case "future":
            return [metrics(instance, counter("raw.bad", [point(number, at=now + 3600, start=now)]))]
        case "repeated":  # one time, two values
            return [metrics(instance, counter("raw.bad", [point(number + more, at=now)])) for more in (0, 7)]
        case "old":
            return [metrics(instance, counter("raw.bad", [point(number, at=now - 30 * 86400)]))]
    raise AssertionError(kind)


KINDS = ("future", "repeated", "old")
ROUNDS = 20


def test_a_poisoned_bot_beside_a_good_one(stack: Stack) -> None:
    began = time.time()
    for number in range(ROUNDS):
        for kind in KINDS:
            for request in poison(kind, f"poisoned-{kind}", number):
                send(stack.url["otlp"], request)
        send(stack.url["otlp"], metrics("good", counter("raw.good", [point(number, start=began)])))
    stored = wait_for(
        lambda: (
            (found := stack.samples('raw_good_total{instance="good"}[10m]'))[-1:]
            and found[-1][1] == ROUNDS - 1
            and found
        ),
        30,
    )
    assert [value for _, value in stored if value] == [float(number) for number in range(1, ROUNDS)], (
        "each of its points"
    )

    def named() -> dict[str, float]:
        return {each["metric"]["instance"]: float(each["value"][1]) for each in stack.prometheus(REFUSED)}

    all_of_both = [ROUNDS, ROUNDS]
    settle(lambda: [named().get(f"poisoned-{kind}") for kind in ("future", "old")], all_of_both, what="refused")
    refused = wait_for(lambda: "poisoned-repeated" in (found := named()) and found, 30, "what names the third")
    print("refused:", refused)
    assert {name for name in refused if name.startswith("poisoned")} == {f"poisoned-{kind}" for kind in KINDS}
    assert "good" not in refused
    assert ROUNDS * 0.8 <= refused["poisoned-repeated"] <= ROUNDS, (
        "the second of two; two received in one millisecond count once"
    )
    dropped = stack.value(
        'sum(increase(otelcol_exporter_send_failed_metric_points_total{exporter="otlp_http/prometheus"}[10m]))'
    )
    print("points that the Collector saw refused:", dropped)


def test_a_time_twice_in_one_request_costs_only_that_point(stack: Stack) -> None:
    """Prometheus keeps one of the two and takes the rest: nothing is refused, so nobody is named."""
    now = time.time()
    send(
        stack.url["otlp"],
        metrics(
            "twice", counter("raw.bad", [point(1, at=now), point(8, at=now)]), counter("raw.beside", [point(5, at=now)])
        ),
    )
    assert wait_for(lambda: stack.value('raw_beside_total{instance="twice"}')) == 5
    assert stack.value('raw_bad_total{instance="twice"}') in (1, 8)


def test_delta_temporality_is_made_cumulative(stack: Stack) -> None:
    """Prometheus would refuse it, and everything beside it in the request."""
    for number in range(1, 6):
        now = time.time()
        send(
            stack.url["otlp"],
            metrics(
                "delta",
                counter("raw.delta", [point(number, at=now, start=now - 0.01)], DELTA),
                counter("raw.beside", [point(number, at=now)]),
            ),
        )
    assert wait_for(lambda: stack.value('raw_delta_total{instance="delta"}') == 15)
    assert stack.value('raw_beside_total{instance="delta"}') == 5
