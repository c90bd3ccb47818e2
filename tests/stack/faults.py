"""Bots in which something goes wrong, the messages that reach Discord about it, and what their links lead to."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from stack import Stack, fetch, get, last_hour, wait_for

from otel_mcbot import rules
from otel_mcbot.settings import seconds

SPEED = "60"
"""Bot seconds a second: a bar of each symbol a second, so that the last minutes fit into the lines of a panel."""

LATE = 30.0
"""Seconds that a message may take beyond a rule's ``for``."""

LOOK = 5.0
"""Seconds between two looks at Grafana's rules and at what reached Discord."""

LINK = 200
"""Characters that a link has at most."""

WITHOUT = ("SymbolNeverArrived",)
"""Rules about something of which there is neither a trace nor a line."""

KEPT = {"symbol": ("trading_instrument_symbol",), "strategy": ("trading_strategy_name", "trading_pod_id")}
"""Variable of a link → where Loki keeps it; the detectors' alerts call a pod a strategy."""

STEP = 2
"""Seconds between the points at which a condition is judged afterwards."""

T = TypeVar("T")


# -- bots ----------------------------------------------------------------------------------------------------------


@dataclass
class Bot:
    """A demo. Its instance is its service too, so that links and messages tell it from all others."""

    name: str
    process: subprocess.Popen[str]
    began: float

    @property
    def selector(self) -> str:
        return f'{{service_name="{self.name}", service_instance_id="{self.name}"}}'

    def end(self, wait: float = 40.0) -> int:
        """SIGTERM, as a supervisor does; returns the exit status."""
        self.process.terminate()
        return self.process.wait(wait)


class Bots:
    """Starts demos that send to a stack, and ends all of them."""

    def __init__(self, stack: Stack, state: Path) -> None:
        self.stack = stack
        self.state = state
        self.running: list[Bot] = []

    def start(self, name: str, *arguments: str) -> Bot:
        process = self.stack.bot(
            self.state,
            name,
            *("-m", "otel_mcbot.cli", "demo", "--speed", SPEED, "--duration", "forever", "--json", *arguments),
            environ={"OTEL_SERVICE_NAME": name},
            streams=subprocess.DEVNULL,
        )
        bot = Bot(name, process, time.time())
        self.running.append(bot)
        return bot

    def kill(self) -> None:
        for bot in self.running:
            bot.process.kill()
        for bot in self.running:
            bot.process.wait()


def said(stack: Stack, bot: Bot, text: str) -> float | None:
    """When the bot first wrote a line with this text, Unix time."""
    now = time.time_ns()
    found = get(
        f"{stack.url['loki']}/loki/api/v1/query_range",
        query=f"{bot.selector} |= `{text}`", limit=1, direction="forward", start=now - 3600 * 10**9, end=now,
    )["data"]["result"]  # fmt: skip
    return min((int(value[0]) / 1e9 for stream in found for value in stream["values"]), default=None)


# -- messages ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Message:
    """What reached Discord. ``rule`` is the alert's name in the heading."""

    at: float
    channel: str
    content: str
    pings: tuple[str, ...]
    refused: str | None

    @property
    def head(self) -> str:
        return self.content.partition("\n")[0]

    @property
    def rule(self) -> str:
        named = re.search(r"\*\*(?:\d+ × )?(.+?)\*\*", self.head)
        return named[1] if named else ""

    def lines(self, mark: str, bot: str) -> list[str]:
        """The lines that begin so and are about this bot; about anybody, where no bot is named."""
        ours = not bot or f"`{bot}`" in self.head
        return [line for line in self.content.split("\n")[1:] if line.startswith(mark) and (ours or f"`{bot}`" in line)]

    def fires(self, bot: str) -> list[str]:
        return self.lines("• ", bot)

    def resolves(self, bot: str) -> list[str]:
        return self.lines("✅ ", bot)


class Board:
    """Looks all the time at what Grafana's rules say and at what reached Discord.

    Attributes:
        messages: all of them, oldest first.
        fired: (rule, instance) → Unix time at which Grafana first called it firing.
        pending: (rule, instance) that ever were.
        firing: those that are, at the last look.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.messages: list[Message] = []
        self.fired: dict[tuple[str, str], float] = {}
        self.pending: set[tuple[str, str]] = set()
        self.firing: set[tuple[str, str]] = set()
        self.missed: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @contextmanager
    def watching(self) -> Iterator[Board]:
        self._thread.start()
        try:
            yield self
        finally:
            self._over.set()
            self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(LOOK):
            try:
                self._look()
            except (OSError, ValueError) as error:
                self.missed.append(f"{time.strftime('%H:%M:%S')} {error}")

    def _look(self) -> None:
        self.messages = [
            Message(each["received"], each["channel"], each["payload"].get("content") or "", tuple(each["pings"]),
                    each["refused"])
            for each in get(f"{self.stack.url['preview']}/messages.json")
        ]  # fmt: skip
        firing = set()
        for group in get(f"{self.stack.url['grafana']}/api/prometheus/grafana/api/v1/rules")["data"]["groups"]:
            for rule in group["rules"]:
                for alert in rule.get("alerts") or []:
                    key = (rule["name"], alert["labels"].get("instance", ""))
                    if alert["state"] == "Pending":
                        self.pending.add(key)
                    elif alert["state"] == "Alerting":
                        firing.add(key)
                        at = datetime.fromisoformat(alert["activeAt"]).timestamp()
                        self.fired[key] = min(at, self.fired.get(key, at))
        self.firing = firing

    def message(self, rule: str, bot: str, since: float = 0.0) -> Message | None:
        """The first that says that the rule fires for the bot."""
        told = (m for m in self.messages if m.rule == rule and m.at >= since and m.fires(bot))
        return next(told, None)

    def resolve(self, rule: str, bot: str, since: float = 0.0) -> Message | None:
        """The first that says that it is over."""
        told = (m for m in self.messages if m.rule == rule and m.at >= since and m.resolves(bot) and not m.fires(bot))
        return next(told, None)

    def about(self, bot: str) -> list[Message]:
        return [m for m in self.messages if m.fires(bot) or m.resolves(bot)]


def came_true(stack: Stack, rule: str, bot: str, since: float, fired: float) -> float:
    """When the condition became true that led to the firing, Unix time.

    It is judged afterwards, from the samples' own times: what a sample takes on its way is part of the delay.
    """
    end = fired + 3 * STEP
    found = get(
        f"{stack.url['prometheus']}/api/v1/query_range",
        query=rules.find(rule).condition, start=since - 30, end=end, step=STEP,
    )["data"]["result"]  # fmt: skip
    begins = []
    for series in found:
        if bot and series["metric"].get("instance") != bot:
            continue
        times = [float(at) for at, _ in series["values"] if float(at) <= fired]
        if not times or times[-1] < fired - 4 * STEP:
            continue
        begin = times[-1]
        for at in reversed(times):
            if begin - at > 1.5 * STEP:
                break
            begin = at
        begins.append(begin)
    assert begins, f"{rule} of {bot} fired at {fired}, and its condition was not true then: {found}"
    return min(begins)


# -- links ---------------------------------------------------------------------------------------------------------


def links(text: str) -> list[tuple[str, str]]:
    """Name and address of each link."""
    return re.findall(r"\[(\w+)\]\(<([^>]*)>\)", text)


@dataclass
class Opened:
    """What the links of a message led to.

    Attributes:
        links: their names.
        ids: of the traces of `why`.
        lines: log lines and order events of `why`: their labels, with the line itself as ``line``.
    """

    links: set[str] = field(default_factory=set)
    ids: list[str] = field(default_factory=list)
    lines: list[dict[str, str]] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)


def check_message(stack: Stack, message: Message, rule: str, bot: str) -> Opened:
    """Read a message that says that the rule fires, and follow each link that is about the bot."""
    assert message.refused is None, message
    assert len(message.content) <= 2000, message
    assert not message.pings, "a mention of somebody, on paper"
    (line, *_) = message.fires(bot)
    footer = message.content.split("\n")[-1]
    found = dict(links(line)) | dict(links(footer))
    wanted = {"panel", "runbook", "silence"} | ({"why"} if bot else set())
    assert set(found) == wanted, f"{set(found)} instead of {wanted}: {message.content}"
    opened = Opened(set(found))
    for name, address in found.items():
        assert len(address) < LINK, f"{name}: {len(address)} characters: {address}"
        assert fetch(address)[0] == 200, address
        check = {"panel": _panel, "runbook": _runbook, "silence": _silence, "why": _why}[name]
        check(stack, address, rule, bot, opened)
    return opened


def _parts(address: str) -> tuple[str, dict[str, list[str]]]:
    parts = urlsplit(address)
    return parts.path, parse_qs(parts.query)


def _shown(stack: Stack, path: str, query: Mapping[str, list[str]]) -> dict[str, Any]:
    """The panel that a link opens alone."""
    uid = path.removeprefix("/d/")
    panels = get(f"{stack.url['grafana']}/api/dashboards/uid/{uid}")["dashboard"]["panels"]
    (panel,) = [panel for panel in panels if str(panel["id"]) == query["viewPanel"][0]]
    return panel


def _panel(stack: Stack, address: str, rule: str, bot: str, opened: Opened) -> None:
    path, query = _parts(address)
    panel = _shown(stack, path, query)
    assert f"{path.removeprefix('/d/')}/{panel['title']}" == rules.find(rule).panel
    values = _values(query)
    if bot and "var-instance" in query:
        assert values["instance"] == bot, address
    targets = panel["targets"]
    interval = seconds(panel.get("interval", "10s"))

    def shown() -> bool:
        answers = [_ask(stack, target, values, query, interval) for target in targets]  # none of them may be refused
        return any(answers)

    wait_for(shown, 30, f"data of {address}: {targets}")


def _runbook(stack: Stack, address: str, rule: str, bot: str, opened: Opened) -> None:
    panel = _shown(stack, *_parts(address))
    assert (panel["title"], panel["type"]) == (rule, "text")
    assert panel["options"]["content"]


def _silence(stack: Stack, address: str, rule: str, bot: str, opened: Opened) -> None:
    path, query = _parts(address)
    assert path == "/alerting/silence/new"
    assert query["alertmanager"] == ["grafana"]
    matchers = dict(matcher.split("=", 1) for matcher in query["matcher"])
    assert matchers["alertname"] == rule
    if bot and "instance" in matchers:
        assert matchers["instance"] == bot


def _why(stack: Stack, address: str, rule: str, bot: str, opened: Opened) -> None:
    path, query = _parts(address)
    assert path == "/d/why"
    opened.values = _values(query)
    assert opened.values["bot"] == bot
    panels = {
        panel["title"]: panel["targets"][0]
        for panel in get(f"{stack.url['grafana']}/api/dashboards/uid/why")["dashboard"]["panels"]
    }

    def show() -> bool:
        opened.ids = [trace["traceID"] for trace in _ask(stack, panels["Traces"], opened.values, query)]
        asked = [_ask(stack, panels[title], opened.values, query) for title in ("Order events", "Log lines")]
        opened.lines = [line for frames in asked for frame in frames for line in _lines(frame)]
        return bool(opened.ids and opened.lines) or rule in WITHOUT

    wait_for(show, 30, f"traces and lines of {address}")
    for line in opened.lines:
        assert line["service_name"] == bot
        for name, kept in KEPT.items():
            if f"var-{name}" in query:
                assert opened.values[name] in [line.get(each) for each in kept], line


def trace(stack: Stack, opened: Opened, trace_id: str) -> str:
    """The trace of this id as `why` shows it: all its spans with all their tags, as text."""
    panels = get(f"{stack.url['grafana']}/api/dashboards/uid/why")["dashboard"]["panels"]
    (target,) = next(panel["targets"] for panel in panels if panel["title"] == "Trace")
    values = {**opened.values, "trace": trace_id.lstrip("0")}
    frames = wait_for(lambda: _ask(stack, target, values, {}), 30, f"trace {trace_id}")
    return "\n".join(str(frame["data"]["values"]) for frame in frames)


def _lines(frame: Mapping[str, Any]) -> Iterable[dict[str, str]]:
    columns = {
        entry["name"]: values for entry, values in zip(frame["schema"]["fields"], frame["data"]["values"], strict=True)
    }
    texts = columns.get("Line") or columns.get("body") or []
    return [{**labels, "line": text} for labels, text in zip(columns["labels"], texts, strict=True)]


def _values(query: Mapping[str, list[str]]) -> dict[str, str]:
    """The dashboards' variables: those of the address, the others as they are when nothing is picked."""
    picked = {name.removeprefix("var-"): value[0] for name, value in query.items() if name.startswith("var-")}
    free = dict.fromkeys(("symbol", "strategy", "pod"), ".*") | dict.fromkeys(("bot", "job", "mode", "instance"), ".+")
    return {**free, "trace": "", **picked}


def _times(query: Mapping[str, list[str]]) -> tuple[int, int]:
    """Unix milliseconds; the last hour where the address says none."""
    begin, now = last_hour()
    end = query.get("to", ["now"])[0]
    return int(query.get("from", [begin])[0]), now if end == "now" else int(end)


def _ask(
    stack: Stack,
    target: Mapping[str, Any],
    values: Mapping[str, str],
    query: Mapping[str, list[str]],
    interval: float = 10.0,
) -> list[dict[str, Any]]:
    """What a panel gets of a target in the time of an address: frames with something in them, or traces."""
    found = stack.panel(target, values, times=_times(query), interval=interval)
    return [each for each in found if "data" not in each or any(each["data"]["values"])]


# -- what was measured ---------------------------------------------------------------------------------------------


@dataclass
class Measured:
    """Unix times of one rule in one scenario."""

    scenario: str
    rule: str
    fault: float
    true: float
    fired: float
    message: float
    links: int = 0
    resolved: float | None = None
    note: str = ""

    @property
    def hold(self) -> float:
        return seconds(rules.find(self.rule).hold)

    @property
    def in_time(self) -> bool:
        return self.message - self.true <= self.hold + LATE

    def row(self) -> str:
        over = f"{self.resolved - self.message:6.0f}" if self.resolved else "     –"
        return (
            f"{self.scenario:18} {self.rule:31} {self.hold:5.0f} {self.true - self.fault:7.1f} "
            f"{self.fired - self.true:7.1f} {self.message - self.fired:7.1f} {self.message - self.true:7.1f} "
            f"{self.message - self.fault:7.1f} {over} {self.links:3} {self.note}"
        )


HEADING = (
    f"{'scenario':18} {'rule':31} {'for':>5} {'→ true':>7} {'→ fire':>7} {'→ msg':>7} {'true→m':>7} {'fault→m':>7} "
    f"{'→ over':>6} {'links':>3}\n"
    "seconds: from the fault to the true condition, from there to firing, from there to the message; from the true "
    "condition to the message (at most for + 30); from the fault to the message; from the message to the one that it "
    "is over"
)


def measure(
    board: Board, scenario: str, rule: str, bot: str, fault: float, patience: float
) -> tuple[Measured, Message]:
    """Wait for the message and look at the way to it."""
    message = until(lambda: board.message(rule, bot, fault), patience, f"message {rule} of {bot or scenario}")

    def times() -> list[float]:
        return [at for (name, whose), at in list(board.fired.items()) if name == rule and bot in ("", whose)]

    fired = min(wait_for(times, 20, f"Grafana calls {rule} firing"))
    true = came_true(board.stack, rule, bot, fault, fired)
    return Measured(scenario, rule, fault, true, fired, message.at), message


def until(what: Callable[[], T | None], timeout: float, text: str) -> T:
    """Like :func:`stack.wait_for`, looking less often: nothing new comes within a second."""
    end = time.monotonic() + timeout
    while True:
        if answer := what():
            return answer
        assert time.monotonic() < end, f"{text}: not after {timeout:.0f} s"
        time.sleep(1.0)
