"""The demo bot in its container: healthy by its heartbeat, one writer, the same series after it was killed."""

from __future__ import annotations

import re
import subprocess

import pytest
from stack import Stack, wait_for

BOT = 'instance="demo", job="mcbot/otel-mcbot-demo"'


@pytest.mark.timeout(300)
def test_the_demo_killed_and_started_again(stack: Stack) -> None:
    stack.compose("--profile", "demo", "up", "-d", "--wait", "--build")
    container = stack.inspect("demo")
    assert container["State"]["Health"]["Status"] == "healthy"
    assert container["HostConfig"]["ReadonlyRootfs"]
    assert container["Config"]["User"] == "10001:10001"
    uptime = f"mcbot_uptime_seconds{{{BOT}}}"
    wait_for(lambda: len(stack.samples(f"{uptime}[10m]")) >= 3, 60)

    stack.compose("kill", "--signal", "KILL", "demo")
    stack.compose("--profile", "demo", "up", "-d", "--wait")
    killed_at = stack.samples(f"{uptime}[10m]")[-1][0]
    samples = wait_for(lambda: (s := stack.samples(f"{uptime}[10m]")) and s[-1][0] > killed_at + 25 and s, 60)
    assert stack.value(f"resets({uptime}[10m])") == 1, samples
    of_it = '{job="mcbot/otel-mcbot-demo", deployment_environment_name="demo"}'  # as bots of other tests are not
    instances = {each["metric"]["instance"] for each in stack.prometheus(of_it)}
    assert instances == {"demo"}, "the lease of a killed process is free again"
    (up,) = stack.prometheus(f"mcbot_expected_up{{{BOT}}}")
    assert up["metric"]["deployment_environment_name"] == "demo"


def test_memory_of_the_whole_stack(stack: Stack) -> None:
    ids = stack.compose("--profile", "demo", "ps", "--quiet").split()
    done = subprocess.run(
        ["docker", "stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", *ids],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    units = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
    used = {
        name: float(number) * units[unit]
        for name, number, unit in re.findall(r"^(\S+) ([\d.]+)(\w+) /", done.stdout, re.MULTILINE)
    }
    print(
        {name: f"{amount / 2**20:.0f} MiB" for name, amount in used.items()},
        f"sum {sum(used.values()) / 2**20:.0f} MiB",
    )
    assert len(used) >= 5
    assert sum(used.values()) < 2e9
