"""The table of scenarios: every alert is reached or said why not, and the page says the same as the command."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from otel_mcbot import rules
from otel_mcbot.demo.command import _about, messages, table
from otel_mcbot.demo.faults import process
from otel_mcbot.demo.faults.tools import beside, every
from otel_mcbot.demo.scenarios import SCENARIOS, UNREACHABLE, Drill, Scenario, find

PAGE = (Path(__file__).parents[2] / "docs" / "demo.md").read_text(encoding="utf-8")


def test_every_rule_is_reached_or_it_is_said_why_not() -> None:
    reached = {alert for scenario in SCENARIOS for alert in scenario.alerts}
    known = {rule.name for rule in rules.RULES}
    assert reached | UNREACHABLE.keys() == known
    assert not reached & UNREACHABLE.keys()


def test_names_are_what_people_type() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(names)) == len(names)
    assert all(name == name.lower() and " " not in name for name in names)
    assert "list" not in names


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_page_and_the_command_say_the_same(scenario: Scenario) -> None:
    told = ", ".join(f"{alert} ({wait})" for alert, wait in messages(scenario).items())
    assert f"| `{scenario.name}` | {scenario.text} | {told} |\n" in PAGE
    lines = table().splitlines()
    (at,) = (number for number, line in enumerate(lines) if line.split()[0] == scenario.name)
    assert lines[at].endswith(scenario.text)
    assert lines[at + 1].strip() == told


@pytest.mark.parametrize("alert", UNREACHABLE)
def test_the_page_says_what_is_not_reached(alert: str) -> None:
    assert f"| {alert} | {UNREACHABLE[alert]} |\n" in PAGE


@pytest.mark.parametrize(("typed", "meant"), [("slipage", "slippage"), ("hung", "hung-loop"), ("killl", "kill")])
def test_a_name_that_is_not_there_leads_to_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(KeyError) as refused:
        find(typed)
    assert refused.value.args == (meant,)


@pytest.mark.parametrize(
    ("wait", "said"), [(12, "15 s"), (55, "55 s"), (60, "1 min"), (400, "6.7 min"), (3_615, "1 h"), (100_000, "1.2 d")]
)
def test_times_are_said_as_people_do(wait: float, said: str) -> None:
    assert _about(wait) == said


async def test_a_drill_waits_goes_wrong_and_is_over() -> None:
    happened: list[str] = []

    class Fault:
        async def __aenter__(self) -> None:
            happened.append("wrong")

        async def __aexit__(self, *_: object) -> None:
            happened.append("well")

    scenario = Scenario("broken", "It breaks.", {}, lambda bot: Fault())
    bot = SimpleNamespace(fault_seconds=None)
    running = asyncio.create_task(Drill(scenario, 0.0, 0.05).run(bot))  # type: ignore[arg-type]
    while "well" not in happened:
        await asyncio.sleep(0.01)
    assert happened == ["wrong", "well"]
    assert bot.fault_seconds == 0.05
    assert not running.done(), "the demo goes on"
    running.cancel()


async def test_what_fails_beside_a_fault_is_not_hidden() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with beside(every(0.0, fail)):
            await asyncio.sleep(0.05)


def test_memory_that_is_not_there_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "memory_left", lambda: process.MEMORY + process.SPARE)
    assert process.no_memory() is None
    monkeypatch.setattr(process, "memory_left", lambda: 2**30)
    assert process.no_memory() == "it takes 2.25 GiB of memory, and there are 0.75 GiB to spare"


def test_files_that_are_not_allowed_are_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process.resource, "getrlimit", lambda _: (256, 1_000))
    assert process.no_files() == "it opens 1,040 files, and 1,000 are allowed"
    monkeypatch.setattr(process.resource, "getrlimit", lambda _: (256, 65_536))
    assert process.no_files() is None


@pytest.mark.skipif(not os.path.exists("/proc/meminfo"), reason="what is left is read from Linux")
def test_what_is_left_is_no_more_than_the_machine_has() -> None:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < process.memory_left() < total
