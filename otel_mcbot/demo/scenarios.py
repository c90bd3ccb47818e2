"""What can be made to go wrong with the demo, so that an alert comes: one row a scenario."""

from __future__ import annotations

import asyncio
import difflib
import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from loguru import logger

from .bot import Bot
from .faults import days, inside, money, process, socket, venue

AFTER = 10.0
"""Seconds of an ordinary demo before the fault."""

AFTER_EXPORT = 30.0
"""The same where the process ends: what was there before must have been seen."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Attributes:
    name: on the command line.
    text: what happens, one sentence.
    alerts: rule → seconds from the fault until its condition holds. Others may come with it.
    fault: wrong inside this context, well again after it.
    after: seconds of an ordinary demo before it.
    lasts: seconds of the fault where nothing else is said.
    expect: symbol → timeframe that never comes, beside those that do.
    missing: why this machine cannot, if it cannot.
    """

    name: str
    text: str
    alerts: Mapping[str, float]
    fault: Callable[[Bot], AbstractAsyncContextManager[None]]
    after: float = AFTER
    lasts: float = math.inf
    expect: Mapping[str, str] = field(default_factory=dict)
    missing: Callable[[], str | None] = lambda: None


_DAY = 86_400.0

SCENARIOS = (
    Scenario("slippage", "Market orders fill 60 bp worse than expected.", {"HighSlippage": 20}, venue.slippage),
    Scenario(
        "rejects",
        "The venue refuses every order.",
        {"ExecutionConsecutiveRejections": 10, "ExecutionLowFillRate": 60},
        venue.rejects,
    ),
    Scenario(
        "write-failures",
        "The venue answers no order; after five failures in a row the bot sends none.",
        {"APIUnhealthy": 10, "LiveAPIBlocked": 15, "ExecutionConsecutiveRejections": 45},
        venue.writes,
    ),
    Scenario(
        "lost-order", "The venue takes orders and never acknowledges them.", {"RequestWithoutAck": 31}, venue.lost
    ),
    Scenario(
        "parse-failure",
        "The venue reports fills in a format that nobody knows.",
        {"LiveFillParseFailure": 10},
        venue.garbled,
    ),
    Scenario(
        "min-notional",
        "A strategy wants orders below the venue's smallest.",
        {"LiveFrequentMinNotionalSkip": 15},
        venue.tiny,
    ),
    Scenario(
        "stuck-signal",
        "The risk manager answers no request: signals do not become orders.",
        {"SignalWithoutRequest": 61},
        inside.stuck,
    ),
    Scenario("slow-exchange", "Every call of the API takes 7 s longer.", {"APILatencyHigh": 40}, venue.slow),
    Scenario("read-failures", "Every reading call of the API fails.", {"APIReadFailures": 60}, venue.reads),
    Scenario("rate-limit", "The bot makes 1,200 calls a minute.", {"APIRateLimitApproaching": 60}, venue.often),
    Scenario(
        "socket-drop",
        "The connections of all symbols are lost and do not come back.",
        {"WSDisconnected": 1, "WSNoMessages": 61, "SymbolNeverArrived": 181},
        socket.drop,
    ),
    Scenario(
        "socket-silence",
        "The connections stand, and nothing comes.",
        {"WSNoMessages": 61, "SymbolNeverArrived": 181},
        socket.silence,
    ),
    Scenario("reconnects", "Every connection drops each 15 s.", {"WSFrequentReconnects": 60}, socket.flap),
    Scenario(
        "missing-symbol",
        "SOL/USDT is expected and never comes.",
        {"SymbolNeverArrived": 181},
        inside.nothing,
        after=0.0,
        expect={"SOL/USDT": "1m"},
    ),
    Scenario(
        "queue",
        "A slow handler: the bus is full and drops bars.",
        {"QueueCongestion": 10, "QueueCongestionCritical": 10, "EventsDropped": 20},
        inside.queue,
    ),
    Scenario("handler-errors", "A handler fails at every heartbeat.", {"HandlerErrorsHigh": 20}, inside.handler),
    Scenario(
        "hung-loop",
        "A call blocks the event loop for five minutes; telemetry goes on.",
        {"HighEventLoopLag": 2, "HeartbeatStale": 121, "WSNoMessages": 61, "SymbolNeverArrived": 181},
        process.hang,
        lasts=300.0,
    ),
    Scenario("lag", "The event loop is blocked for 1.6 s, again and again.", {"HighEventLoopLag": 5}, process.lag),
    Scenario(
        "memory", "The process takes 2.25 GiB.", {"HighMemoryUsage": 20}, process.memory, missing=process.no_memory
    ),
    Scenario("fds", "1,040 sockets are open.", {"HighFDCount": 10}, process.files, missing=process.no_files),
    Scenario("threads", "60 threads wait.", {"HighThreadCount": 10}, process.threads),
    Scenario("tasks", "260 tasks wait.", {"HighTaskCount": 10}, process.tasks),
    Scenario("cpu", "Threads use two cores; the loop goes on.", {"HighCPUUsage": 20}, process.cpu),
    Scenario("gc", "A full garbage collection every 2 s.", {"HighGCPressure": 90}, process.garbage),
    Scenario("drawdown", "The market falls while the bot is long: 12 % are lost.", {"HighDrawdown": 45}, money.crash),
    Scenario(
        "strategy-loss",
        "`trend` buys before each fall: 1,500 USDT are lost.",
        {"StrategyPnlNegative": 20},
        money.losses,
    ),
    Scenario(
        "circuit-breaker",
        "The system stop-loss trips: everything is closed, nothing is opened.",
        {"CircuitBreakerTriggered": 15, "ExecutionConsecutiveRejections": 60},
        money.breaker,
    ),
    Scenario("netting", "Both pods are long everything: nothing nets out.", {"NettingLowOffset": 15}, money.netting),
    Scenario(
        "exposure",
        "One pod is long what the other is short, 3.6 times the capital.",
        {"HighGrossExposure": 15},
        money.exposure,
    ),
    Scenario(
        "margin",
        "Positions of 4.6 times the equity: 92 % of it is margin.",
        {"HighMarginUtilization": 15, "HighGrossExposure": 15, "NettingLowOffset": 15},
        money.margin,
    ),
    Scenario(
        "leverage",
        "Positions of 5.8 times the equity.",
        {"HighAggregateLeverage": 15, "HighMarginUtilization": 15, "HighGrossExposure": 15, "NettingLowOffset": 15},
        money.leverage,
    ),
    Scenario(
        "silent-strategies",
        "The strategies decide nothing any more.",
        {"StrategySignalSilent": 21_600},
        inside.silent,
    ),
    Scenario(
        "drift",
        "A pod's days are all alike: not what its backtest looked like.",
        {"DistributionDrift": 40, "DistributionDriftCritical": 60},
        days.drift,
    ),
    Scenario(
        "decay",
        "A pod loses every day, for two months.",
        {"StructuralDecay": 30, "StructuralDecayCritical": 50, "GBMDrawdownCritical": 40, "PodInProbation": 40},
        days.decay,
    ),
    Scenario(
        "gbm",
        "A pod loses day after day: its drawdown is deeper than chance would make it.",
        {"GBMDrawdownWarning": 15, "GBMDrawdownCritical": 60},
        days.drawdown,
    ),
    Scenario(
        "probation",
        "A pod earns less than its backtest, until it is put on probation.",
        {"PodInProbation": 20, "GBMDrawdownCritical": 30},
        days.probation,
    ),
    Scenario(
        "source-failures",
        "Every on-chain source fails, and the cache is lost.",
        {"OnchainFetchHighFailureRate": 120, "OnchainCacheEmpty": 10, "OnchainDataStale": 2 * _DAY},
        inside.sources,
    ),
    Scenario("slow-sources", "Every on-chain fetch takes 75 s.", {"OnchainFetchSlow": 90}, inside.slow_sources),
    Scenario(
        "lost-telemetry", "Measurements that are no numbers are dropped.", {"TelemetryDropped": 15}, inside.losses
    ),
    Scenario(
        "restart", "The process dies and starts anew, once.", {"BotRestarted": 15}, process.restart, after=AFTER_EXPORT
    ),
    Scenario("kill", "The process is killed.", {"BotDown": 61}, process.kill, after=AFTER_EXPORT),
)
"""All of them. Their names do not change: docs and tests know them."""

UNREACHABLE: Mapping[str, str] = {
    "OrderWithoutEnd": "an order has to be open for a day; with a limit of 60 s one that rests is enough",
    "MetricOverflow": "a guard refuses label sets long before the limit of the SDK",
    "PointsRefused": "a clock has to be wrong, or two processes have to be one",
    "CollectorQueueFilling": "`docker compose stop tempo`, for as long as the queue takes",
    "CollectorSendFailing": "`docker compose stop loki`",
    "CollectorDown": "`docker compose stop collector`",
    "BackendDown": "`docker compose stop tempo`",
    "PrometheusDown": "`docker compose stop prometheus`",
    "HostDiskFilling": "a disk has to be full",
    "Watchdog": "always there",
}
"""Rules that no scenario reaches, and why, or what does."""


def find(name: str) -> Scenario:
    """The scenario of that name.

    Raises:
        KeyError: there is none; the argument is the nearest name.
    """
    for scenario in SCENARIOS:
        if scenario.name == name:
            return scenario
    names = [scenario.name for scenario in SCENARIOS]
    raise KeyError(difflib.get_close_matches(name, names, 1, 0.0)[0])


@dataclass(frozen=True, slots=True)
class Drill:
    """A scenario of a run: how long it waits, and how long it goes on. Seconds of the clock on the wall."""

    scenario: Scenario
    after: float
    lasts: float

    async def run(self, bot: Bot) -> None:
        """The fault, in its time; then nothing more, for ever."""
        await asyncio.sleep(self.after)
        logger.info("scenario {}: {}", self.scenario.name, self.scenario.text)
        bot.fault_seconds = self.lasts
        end = time.monotonic() + self.lasts
        async with self.scenario.fault(bot):
            await (asyncio.Event().wait() if math.isinf(end) else asyncio.sleep(end - time.monotonic()))
        logger.info("scenario {}: over", self.scenario.name)
        await asyncio.Event().wait()
