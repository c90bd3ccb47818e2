"""Each fault on the shipped stack: it fires, Discord hears of it in time, the links lead to it, and then it is over.

All bots run side by side, one fault each, while the rules are as they are shipped. `make test-scenarios` prints what
was measured; it takes half an hour, because windows of rules and the pace of messages do.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import faults
import pytest
from faults import Board, Bot, Bots, Measured, Opened, check_message, measure, said, until
from stack import Stack, wait_for

from otel_mcbot import rules
from otel_mcbot.demo import scenarios
from otel_mcbot.settings import seconds

pytestmark = pytest.mark.timeout(2400)

PROJECT, OUTAGES = "otel-mcbot-scenarios", "otel-mcbot-outages"
"""Names of the two compose projects: one of them loses its servers."""

ORDINARY = 40.0
"""Seconds of an ordinary bot before its fault: there are orders to look at."""

WHOLE = 37 * 60.0
"""Seconds until all must be over."""

DEAD = 180.0
"""Seconds from the death of a bot to its message, at most."""

STAYS = 600.0
"""Seconds for which a dead bot is watched: it must stay reported, and one that was stopped must not be."""


@contextmanager
def noted(wrong: list[str]) -> Iterator[None]:
    """What fails is written down, and it goes on."""
    try:
        yield
    except (AssertionError, OSError, ValueError) as error:
        wrong.append(f"{type(error).__name__}: {error}")


@dataclass(frozen=True)
class Case:
    """A scenario of the demo and the rules that must fire for it; others may.

    Attributes:
        lasting: rule → why no message comes within the time that it is over.
    """

    name: str
    rules: tuple[str, ...]
    lasting: tuple[tuple[str, str], ...] = ()

    def crosses(self, rule: str) -> float:
        return scenarios.find(self.name).alerts[rule]

    @property
    def lasts(self) -> float:
        """Seconds for which it must be wrong: until the last rule fires, and a while."""
        return max(self.crosses(rule) + seconds(rules.find(rule).hold) for rule in self.rules) + 45


CASES = (
    Case("slippage", ("HighSlippage",)),
    Case("slow-exchange", ("APILatencyHigh",)),
    Case(
        "rejects",
        ("ExecutionConsecutiveRejections", "ExecutionLowFillRate"),
        (("ExecutionLowFillRate", "it judges an hour"),),
    ),
    Case("write-failures", ("APIUnhealthy", "LiveAPIBlocked")),
    Case("read-failures", ("APIReadFailures",)),
    Case("lost-order", ("RequestWithoutAck",), (("RequestWithoutAck", "an order counts as lost for an hour"),)),
    Case("parse-failure", ("LiveFillParseFailure",)),
    Case("socket-silence", ("WSNoMessages",)),
    Case("socket-drop", ("WSDisconnected",)),
    Case("reconnects", ("WSFrequentReconnects",)),
    Case("queue", ("QueueCongestionCritical", "EventsDropped")),
    Case("handler-errors", ("HandlerErrorsHigh",)),
    Case("hung-loop", ("HighEventLoopLag", "HeartbeatStale")),
    Case("fds", ("HighFDCount",)),
    Case("threads", ("HighThreadCount",)),
    Case("tasks", ("HighTaskCount",)),
    Case("drawdown", ("HighDrawdown",)),
    Case("circuit-breaker", ("CircuitBreakerTriggered",)),
    Case("gbm", ("GBMDrawdownCritical",)),
    Case("lost-telemetry", ("TelemetryDropped",)),
)
"""One bot each; a warning is raised by one of them alone, because messages about two would wait for each other."""

PROOFS = {
    "slippage": ("filled at", r"'value': ([2-9]\d|\d{3})[\d.]*, 'key': 'trading.fill.slippage_bps'"),
    "slow-exchange": ("requested", "oms.submit_order"),
    "rejects": ("rejected: ", "venue_reject"),
    "write-failures": ("requested", "oms.submit_order"),
    "lost-order": ("requested", "generate_signal"),
    "parse-failure": ("requested", "oms.submit_order"),
    "queue": ("a slow handler is on the bus", ""),
    "handler-errors": ("over an equity of 0", ""),
    "hung-loop": ("a request without a time-out", ""),
    "fds": ("sockets are opened and not closed", ""),
    "threads": ("each request has an executor", ""),
    "tasks": ("each reconnect leaves its tasks", ""),
    "drawdown": ("the whole market falls", ""),
    "circuit-breaker": ("circuit breaker tripped", "trade_cycle"),
    "lost-telemetry": ("is not a number", ""),
    "kill": ("the kernel takes the process", ""),
    "restart": ("the supervisor starts the bot anew", ""),
}
"""Scenario → regular expressions of a line that the link to `why` shows, and of something in that line's trace."""


class Run:
    """All that goes on side by side."""

    def __init__(self, stack: Stack, bots: Bots, board: Board) -> None:
        self.stack = stack
        self.bots = bots
        self.board = board
        self.end = time.time() + WHOLE
        self.rows: list[Measured] = []

    @property
    def left(self) -> float:
        return max(1.0, self.end - time.time())

    def fault(self, bot: Bot, text: str) -> float:
        """When the bot said that it begins."""
        return until(lambda: said(self.stack, bot, text), 120, f"{bot.name} says {text!r}")

    def over(self, row: Measured, bot: str) -> None:
        message = until(
            lambda: self.board.resolve(row.rule, bot, row.message), self.left, f"{row.rule} of {bot} is over"
        )
        row.resolved = message.at

    def told(self, name: str, rule: str, bot: str, fault: float, patience: float, wrong: list[str]) -> Measured:
        """Wait for the message and follow its links; what is wrong about them must not keep the end from being seen."""
        row, message = measure(self.board, name, rule, bot, fault, patience)
        self.rows.append(row)
        if not row.in_time:
            wrong.append(f"later than for + {faults.LATE:.0f} s: {row}")
        promised = scenarios.find(name).alerts[rule] + row.hold + faults.LATE
        if row.message - fault > promised:
            wrong.append(f"later than the {promised:.0f} s that the demo says: {row}")
        with noted(wrong):
            opened = check_message(self.stack, message, rule, bot)
            row.links = len(opened.links)
            if "why" in opened.links:
                self.prove(name, opened)
        return row

    # -- what happens -----------------------------------------------------------------------------------------

    def play(self, case: Case, bot: Bot, wrong: list[str]) -> None:
        fault = self.fault(bot, f"scenario {case.name}: ")
        for rule in case.rules:
            patience = case.crosses(rule) + seconds(rules.find(rule).hold) + 120
            with noted(wrong):
                row = self.told(case.name, rule, bot.name, fault, patience, wrong)
                row.note = dict(case.lasting).get(rule, "")
        for row in [row for row in self.rows if row.scenario == case.name and not row.note]:
            with noted(wrong):
                self.over(row, bot.name)

    def prove(self, name: str, opened: Opened) -> None:
        """What the link to `why` shows is what happened."""
        line, span = PROOFS.get(name, ("", ""))
        found = [each for each in opened.lines if re.search(line, each["line"])]
        if line:
            assert found, f"no {line!r} in {len(opened.lines)} lines: {[each['line'] for each in opened.lines[:20]]}"
        if span:
            ids = [each["trace_id"] for each in found if "trace_id" in each][:10]
            traces = [faults.trace(self.stack, opened, each) for each in ids]
            assert any(re.search(span, each) for each in traces), f"no {span!r} in the traces of {line!r}: {traces[:1]}"

    def never(self, bot: Bot, wrong: list[str]) -> None:
        """It is expected to have SOL/USDT, which never comes; then it is told to do without."""
        row = self.told("missing-symbol", "SymbolNeverArrived", bot.name, bot.began, 360, wrong)
        assert bot.end() == 0
        self.bots.start(bot.name)
        self.over(row, bot.name)

    def killed(self, bot: Bot, wrong: list[str]) -> None:
        """It stays reported until it is back."""
        until(lambda: bot.process.poll() is not None, 120, "it is killed")
        fault = time.time()
        row = self.told("kill", "BotDown", bot.name, fault, DEAD + 60, wrong)
        assert row.message - fault <= DEAD, row
        while time.time() < fault + STAYS:
            assert self.board.resolve("BotDown", bot.name) is None, "it is still dead"
            time.sleep(1.0)
        assert ("BotDown", bot.name) in self.board.firing
        self.bots.start(bot.name)
        self.over(row, bot.name)

    def restarted(self, bot: Bot, wrong: list[str]) -> None:
        fault = self.fault(bot, "the supervisor starts the bot anew") + 2.0
        self.over(self.told("restart", "BotRestarted", bot.name, fault, 120, wrong), bot.name)

    def stopped(self, bot: Bot, wrong: list[str]) -> float:
        """Returns when it was."""
        time.sleep(90)
        assert bot.end() == 0
        return time.time()


@dataclass
class Outage:
    """A stack that loses its servers, and a bot that goes on."""

    stack: Stack
    board: Board
    bots: Bots
    rows: list[Measured]

    def told(self, name: str, rule: str, fault: float) -> Measured:
        row, message = measure(self.board, name, rule, "", fault, 300)
        self.rows.append(row)
        row.links = len(check_message(self.stack, message, rule, "").links)
        return row

    def over(self, row: Measured) -> None:
        row.resolved = until(lambda: self.board.resolve(row.rule, "", row.message), 600, f"{row.rule} is over").at

    def collector(self, bot: Bot, wrong: list[str], after: Future[float | None] | None) -> None:
        """Nobody is called dead when it is the Collector that is."""
        filled = f'{bot.selector} | event_name="trading.order.filled"'
        until(lambda: self.stack.log_count(filled) >= 3, 120, "orders in Loki")
        time.sleep(60)  # the Collector has been heard for a while
        fault = time.time()
        self.stack.compose("stop", "collector")
        row = self.told("collector-stopped", "CollectorDown", fault)
        time.sleep(60)
        back = time.time()
        self.stack.compose("start", "collector")
        while time.time() < back + 150:
            assert not self.board.about(bot.name), "the bot was well all the time"
            time.sleep(1.0)
        self.over(row)
        fires = [m for m in self.board.messages if m.rule == "CollectorDown" and m.fires("")]
        assert len(fires) == 1, fires
        assert not self.board.about(bot.name)
        stored = _stored(self.stack, bot, fault + 5, back)
        row.note = f"{stored} lines of the outage came later"
        assert stored > 0
        assert row.in_time, row

    def loki(self, bot: Bot, wrong: list[str], after: Future[float | None] | None) -> None:
        """What was said meanwhile comes later."""
        if after is not None:
            after.exception()  # its turn
        fault = time.time()
        self.stack.compose("stop", "loki")
        row = self.told("loki-stopped", "BackendDown", fault)
        assert [
            m
            for m in self.board.messages
            if m.rule == row.rule and m.at >= fault and "loki does not answer" in m.content
        ]
        back = time.time()
        self.stack.compose("start", "loki")
        self.over(row)
        stored = wait_for(lambda: _stored(self.stack, bot, fault + 15, back), 120)
        row.note = f"{stored} lines of the outage came later"
        assert not self.board.about(bot.name)
        assert row.in_time, row


def _stored(stack: Stack, bot: Bot, begin: float, end: float) -> int:
    """Lines of the bot that Loki has from then."""
    window = f"{int(end - begin)}s"
    result = faults.get(
        f"{stack.url['loki']}/loki/api/v1/query", query=f"sum(count_over_time({bot.selector}[{window}]))", time=end
    )["data"]["result"]
    return int(result[0]["value"][1]) if result else 0


@dataclass(frozen=True)
class Stage:
    """Everything, running."""

    run: Run
    outage: Outage
    plays: dict[str, Future[float | None]]


def _played(wrong: list[str], play: Callable[..., float | None], bot: Bot) -> float | None:
    """All that went wrong, at once."""
    result = None
    with noted(wrong):
        result = play(bot, wrong)
    assert not wrong, "\n\n".join(wrong)
    return result


def _ready(project: str) -> Stack:
    stack = Stack(project)
    stack.down(volumes=True)  # of a run that was killed
    stack.compose("build", "preview", timeout=900)
    stack.up()
    return stack


@pytest.fixture(scope="module")
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Both stacks and the bots of the tests that were chosen; then the table."""
    chosen = {item.callspec.params["name"] for item in request.session.items if hasattr(item, "callspec")}
    state: Path = tmp_path_factory.mktemp("state")
    stack, other = _ready(PROJECT), _ready(OUTAGES)
    bots, board = Bots(stack, state), Board(stack)
    outage = Outage(other, Board(other), Bots(other, state), [])
    run = Run(stack, bots, board)
    parts: dict[str, tuple[Callable[..., float | None], list[str]]] = {"stopped": (run.stopped, [])}
    for case in CASES:
        wrong = [
            "--scenario",
            case.name,
            "--scenario-after",
            f"{ORDINARY:.0f}s",
            "--scenario-for",
            f"{case.lasts:.0f}s",
        ]
        parts[case.name] = (partial(run.play, case), wrong)
    for name, play in (("missing-symbol", run.never), ("kill", run.killed), ("restart", run.restarted)):
        parts[name] = (play, ["--scenario", name])
    try:
        with board.watching(), outage.board.watching(), ThreadPoolExecutor(len(parts) + 4) as pool:
            try:
                plays: dict[str, Future[float | None]] = {}
                bot = outage.bots.start("scn-outage")
                before: Future[float | None] | None = None
                for name, play in (("collector-stopped", outage.collector), ("loki-stopped", outage.loki)):
                    if name in chosen:
                        before = plays[name] = pool.submit(_played, [], partial(play, after=before), bot)
                bots.start("scn-steady")
                for name, (play, arguments) in parts.items():
                    if name in chosen:
                        plays[name] = pool.submit(_played, [], play, bots.start(f"scn-{name}", *arguments))
                        time.sleep(1.0)
                for name, future in plays.items():
                    future.add_done_callback(partial(_told, name))
                yield Stage(run, outage, plays)
            finally:
                for each in (*bots.running, *outage.bots.running):
                    each.process.kill()
                run.end = 0.0
        _print(run, outage)
    finally:
        bots.kill()
        outage.bots.kill()
        stack.down(volumes=True)
        other.down(volumes=True)


def _told(name: str, future: Future[float | None]) -> None:
    """At once: half an hour is long."""
    error = None if future.cancelled() else future.exception()
    print(f"{time.strftime('%H:%M:%S')} {name}: {f'{error}'[:2000] if error else 'well'}", flush=True)


def _print(run: Run, outage: Outage) -> None:
    print(f"\n{faults.HEADING}")
    for row in sorted([*run.rows, *outage.rows], key=lambda row: row.scenario):
        print(row.row())
    asked = {(row.scenario, row.rule) for row in run.rows}
    for bot in run.bots.running:
        also = {m.rule for m in run.board.about(bot.name)} - {rule for name, rule in asked if f"scn-{name}" == bot.name}
        if also:
            print(f"{bot.name}: also {', '.join(sorted(also))}")
    messages = run.board.messages + outage.board.messages
    longest = max((len(message.content) for message in messages), default=0)
    print(f"{len(messages)} messages, the longest of {longest} characters")
    for line in run.board.missed + outage.board.missed:
        print(f"not heard: {line}")


@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_a_fault_is_told_and_explained_and_then_it_is_over(stage: Stage, name: str) -> None:
    stage.plays[name].result()


@pytest.mark.parametrize("name", ["missing-symbol"])
def test_a_symbol_that_never_arrives_is_told(stage: Stage, name: str) -> None:
    stage.plays[name].result()


@pytest.mark.parametrize("name", ["kill"])
def test_a_bot_that_was_killed_stays_reported_until_it_is_back(stage: Stage, name: str) -> None:
    stage.plays[name].result()


@pytest.mark.parametrize("name", ["restart"])
def test_a_restart_is_told(stage: Stage, name: str) -> None:
    stage.plays[name].result()


@pytest.mark.parametrize("name", ["collector-stopped"])
def test_without_a_collector_no_bot_is_called_dead(stage: Stage, name: str) -> None:
    stage.plays[name].result()


@pytest.mark.parametrize("name", ["loki-stopped"])
def test_without_loki_its_lines_wait(stage: Stage, name: str) -> None:
    stage.plays[name].result()


@pytest.mark.parametrize("name", ["stopped"])
def test_of_a_bot_that_was_stopped_nothing_is_ever_told(stage: Stage, name: str) -> None:
    stopped = stage.plays[name].result()
    assert stopped is not None
    time.sleep(max(0.0, stopped + STAYS - time.time()))
    _silent(stage.run.board, f"scn-{name}")


def test_of_a_bot_that_is_well_nothing_is_ever_told(stage: Stage) -> None:
    _silent(stage.run.board, "scn-steady")
    _silent(stage.outage.board, "scn-outage")


def test_every_message_fits_and_mentions_nobody(stage: Stage) -> None:
    for message in stage.run.board.messages + stage.outage.board.messages:
        assert message.refused is None, message
        assert len(message.content) <= 2000, message
        assert not message.pings, message
        for name, address in faults.links(message.content):
            assert len(address) < faults.LINK, (name, address)


def _silent(board: Board, bot: str) -> None:
    assert not board.about(bot)
    assert not [key for key in board.fired if key[1] == bot]
