"""Three faults side by side: each is told in time, its links lead to it, and it ends when it is over.

All others, and the messages that they are over: `make test-scenarios`.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import faults
import pytest
from faults import Board, Bot, Bots, check_message, measure, said, until
from stack import Stack

from otel_mcbot.demo.scenarios import find

DEAD = 180.0
"""Seconds from the death of a bot to its message, at most."""

SILENCE = 150.0
"""Seconds of silence: enough for the message, too short for what comes of longer ones."""


@pytest.fixture(scope="module")
def board(stack: Stack) -> Iterator[Board]:
    with Board(stack).watching() as board:
        yield board


@pytest.fixture(scope="module")
def bots(stack: Stack, board: Board, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bots]:
    bots = Bots(stack, tmp_path_factory.mktemp("scenarios"))
    yield bots
    bots.kill()


@pytest.fixture(scope="module")
def begun(stack: Stack, bots: Bots) -> dict[str, tuple[Bot, float]]:
    """All of them at once: bot and the moment of its fault, Unix time."""
    silent = bots.start("ci-silence", "--scenario", "socket-silence", "--scenario-for", f"{SILENCE:.0f}s")
    tripped = bots.start("ci-breaker", "--scenario", "circuit-breaker", "--scenario-for", "60s")
    killed = bots.start("ci-killed")
    up = f'count_over_time(mcbot_uptime_seconds{{instance="{killed.name}"}}[5m]) >= 3'
    until(lambda: stack.prometheus(up), 90, "the bot that is to die is in Prometheus")
    killed.process.send_signal(signal.SIGKILL)
    killed.process.wait()
    found = {"killed": (killed, time.time())}
    for bot, name in ((silent, "socket-silence"), (tripped, "circuit-breaker")):
        found[name] = (bot, until(lambda: said(stack, bot, f"scenario {name}: "), 60, f"{name} begins"))  # noqa: B023
    return found


def at_rest(board: Board, rule: str, bot: Bot, patience: float) -> None:
    """Wait until Grafana has nothing against the bot any more. The message of it may wait for five minutes."""
    until(lambda: (rule, bot.name) not in board.firing, patience, f"{rule} of {bot.name} is over")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("name", "rule", "line"),
    [
        ("circuit-breaker", "CircuitBreakerTriggered", "circuit breaker tripped"),
        ("socket-silence", "WSNoMessages", "requested"),
    ],
)
def test_a_fault_reaches_discord_and_its_links_lead_to_it(
    stack: Stack, board: Board, begun: dict[str, tuple[Bot, float]], name: str, rule: str, line: str
) -> None:
    bot, fault = begun[name]
    row, message = measure(board, name, rule, bot.name, fault, find(name).alerts[rule] + 150)
    opened = check_message(stack, message, rule, bot.name)
    row.links = len(opened.links)
    print(f"\n{faults.HEADING}\n{row.row()}")
    assert row.in_time, row
    assert any(line in each["line"] for each in opened.lines), opened.lines
    assert any(faults.trace(stack, opened, each) for each in opened.ids)


@pytest.mark.timeout(300)
def test_a_bot_killed_with_9_is_reported_until_it_is_back(
    stack: Stack, board: Board, bots: Bots, begun: dict[str, tuple[Bot, float]]
) -> None:
    bot, fault = begun["killed"]
    row, message = measure(board, "kill -9", "BotDown", bot.name, fault, DEAD + 30)
    row.links = len(check_message(stack, message, "BotDown", bot.name).links)
    print(f"\n{faults.HEADING}\n{row.row()}")
    assert row.message - row.fault <= DEAD, row
    assert row.in_time, row
    assert ("BotDown", bot.name) in board.firing, "it is still dead"
    bots.start(bot.name)
    at_rest(board, "BotDown", bot, 60)


@pytest.mark.timeout(120)
def test_a_silence_that_ends_is_over(board: Board, begun: dict[str, tuple[Bot, float]]) -> None:
    at_rest(board, "WSNoMessages", begun["socket-silence"][0], 90)
