"""An ordinary demo on the shipped stack, left alone: nothing may reach Discord, and only the Watchdog may fire.

make quiet ARGS="--minutes 60"
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from stack import Stack, fetch, get, wait_for

PROJECT = "otel-mcbot-quiet"
"""Name of the compose project; it is taken down with its volumes before and after."""

LOOK = 10.0
"""Seconds between two looks at the rules: Grafana evaluates them as often."""

UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def memory(stack: Stack) -> dict[str, float]:
    """Service → bytes, as ``docker stats`` counts them."""
    ids = stack.compose("--profile", "demo", "ps", "--quiet").split()
    done = subprocess.run(
        ["docker", "stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", *ids],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = re.findall(rf"^{stack.project}-(\S+)-\d+ ([\d.]+)(\w+) /", done.stdout, re.MULTILINE)
    return {name: float(number) * UNITS[unit] for name, number, unit in found}


class Watch:
    """What was seen so far.

    Attributes:
        active: (alert, its labels, state) → when it was first and last seen so.
        errors: what the rules themselves said of failed evaluations.
        peak: service → most bytes.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.active: dict[tuple[str, str, str], list[float]] = {}
        self.errors: dict[str, str] = {}
        self.peak: dict[str, float] = {}
        self.now: dict[str, float] = {}
        self.rules = 0

    def look(self) -> None:
        groups = get(f"{self.stack.url['grafana']}/api/prometheus/grafana/api/v1/rules")["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        self.rules = len(rules)
        at = time.time()
        for rule in rules:
            if rule.get("lastError"):
                self.errors[rule["name"]] = rule["lastError"]
            for alert in rule.get("alerts") or []:
                state = str(alert["state"]).lower()
                if state.startswith("normal") or state == "inactive":
                    continue
                shown = {
                    name: value
                    for name, value in alert["labels"].items()
                    if name not in ("alertname", "grafana_folder", "family", "severity", "job", "trading_mode")
                }
                key = (rule["name"], " ".join(f"{name}={value}" for name, value in sorted(shown.items())), state)
                self.active.setdefault(key, [at, at])[1] = at
        self.now = memory(self.stack)
        for service, used in self.now.items():
            self.peak[service] = max(used, self.peak.get(service, 0.0))

    def fired(self) -> list[tuple[str, str, str]]:
        """Everything that was firing, but the Watchdog."""
        return [key for key in self.active if "pending" not in key[2] and key[0] != "Watchdog"]


def report(watch: Watch, messages: list[dict[str, Any]], heard: dict[str, Any], series: int) -> None:
    print(f"\n{len(messages)} messages reached Discord; the Watchdog was heard {heard['count']} times", end="")
    print(f", last at {clock(heard['last'])}" if heard["last"] else "")
    for message in messages:
        print(f"  {clock(message['received'])} {message['channel']}: {message['payload'].get('content')}")
        if message["refused"]:
            print(f"    refused: {message['refused']}")
    print(f"\n{watch.rules} rules; what was pending or firing:")
    for (name, labels, state), (first, last) in sorted(watch.active.items()):
        print(f"  {name:32} {state:10} {clock(first)} to {clock(last)}  {labels}")
    for name, error in watch.errors.items():
        print(f"  {name}: {error}")
    print("\nmemory in MiB:")
    for service, used in sorted(watch.now.items()):
        print(f"  {service:12} {used / 2**20:6.0f} now {watch.peak[service] / 2**20:6.0f} at most")
    print(f"  {'sum':12} {sum(watch.now.values()) / 2**20:6.0f} now {sum(watch.peak.values()) / 2**20:6.0f} at most")
    print(f"\n{series} series in Prometheus")


def keep_on(look: Callable[[], None], end: float) -> None:
    """Look until the end. A server that does not answer at one look is asked at the next."""
    missed = 0
    while time.monotonic() < end:
        began = time.monotonic()
        try:
            look()
            missed = 0
        except OSError as error:
            missed += 1
            print(f"{clock(time.time())} {error}", flush=True)
            assert missed < 6, "Grafana does not answer"
        time.sleep(max(0.0, LOOK - (time.monotonic() - began)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--project", default=PROJECT, help="name of the compose project")
    given = parser.parse_args()
    stack = Stack(given.project)
    stack.down(volumes=True)
    try:
        stack.compose("--profile", "demo", "up", "-d", "--wait", "--build", timeout=900)
        stack.wait_ready()
        print(f"{clock(time.time())} up; Grafana: {stack.url['grafana']}, {given.minutes:g} minutes begin", flush=True)
        watch = Watch(stack)
        keep_on(watch.look, time.monotonic() + given.minutes * 60)
        wait_for(lambda: fetch(f"{stack.url['preview']}/healthz")[0] == 200)
        messages = get(f"{stack.url['preview']}/messages.json")
        heard = get(f"{stack.url['preview']}/watchdog")
        series = get(f"{stack.url['prometheus']}/api/v1/status/tsdb")["data"]["headStats"]["numSeries"]
        report(watch, messages, heard, series)
        restarts = [
            f"{each['Service']} {each['State']}"
            for each in stack.containers()
            if each["State"] != "running" and each["Service"] != "collector-queue"
        ]
        wrong = {
            "messages": len(messages),
            "alerts fired": watch.fired(),
            "rules with errors": watch.errors,
            "containers that do not run": restarts,
            "no Watchdog": heard["count"] < given.minutes - 2,
        }
        print("\n" + ("\n".join(f"WRONG: {name}: {value}" for name, value in wrong.items() if value) or "quiet"))
        return 1 if any(wrong.values()) else 0
    finally:
        stack.down(volumes=True)


if __name__ == "__main__":
    sys.exit(main())
