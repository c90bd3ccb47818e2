"""Each scenario of the demo, as a user runs it: what it says it does to an alert's condition is seen on the wire.

Conditions that take minutes are not waited out: that their value is on its way there must do.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import otlp_files
import pytest
from receiver import free_port

from otel_mcbot import rules
from otel_mcbot.demo.scenarios import SCENARIOS, find

ROOT = Path(__file__).parents[2]
AT_ONCE = 16
PATIENCE = 90.0
"""Seconds until a condition must be there."""

EXPENSIVE = {"memory": "2.25 GiB", "silent-strategies": "nothing happens for a day", "slow-sources": "75 s a fetch"}
ENDS = ("restart", "kill")

Values = Mapping[tuple[str, str], float]


@dataclass
class Wire:
    """What a demo's pull endpoint said: now, and first."""

    now: Values = field(default_factory=dict)
    first: Values = field(default_factory=dict)
    since: float = 0.0

    def take(self, values: Values) -> None:
        if not self.first:
            self.first, self.since = values, time.monotonic()
        self.now = values

    def most(self, name: str, *labels: str) -> float:
        """The largest value of a metric."""
        return max(self._values(name, labels), default=float("-inf"))

    def least(self, name: str, *labels: str) -> float:
        return min(self._values(name, labels), default=float("inf"))

    def grown(self, name: str, *labels: str) -> float:
        """How much the sum of a counter's series is more than it was at first."""
        first = sum(value for key, value in self.first.items() if _is(key, name, labels))
        return sum(self._values(name, labels)) - first

    def rate(self, name: str, *labels: str) -> float:
        """The same a second; 0 for the first seconds, of which nothing can be said."""
        seconds = time.monotonic() - self.since
        return self.grown(name, *labels) / seconds if seconds > 5 else 0.0

    def percentile(self, name: str, share: float) -> float:
        """The bucket's bound that so many of the last observations are below, of the worst series."""
        counts: dict[str, dict[float, float]] = {}
        for (metric, labels), value in self.now.items():
            if metric == f"{name}_bucket" and (bound := re.search(r'le="([^"]+)"', labels)):
                series = labels.replace(bound[0], "")
                counts.setdefault(series, {})[float(bound[1])] = value - self.first.get((metric, labels), 0.0)
        worst = 0.0
        for buckets in counts.values():
            total = buckets[float("inf")]
            if total >= 3:
                worst = max(worst, *(upper for upper, count in buckets.items() if count < share * total), 0.0)
        return worst

    def _values(self, name: str, labels: tuple[str, ...]) -> list[float]:
        return [value for key, value in self.now.items() if _is(key, name, labels)]


def _is(key: tuple[str, str], name: str, labels: tuple[str, ...]) -> bool:
    return key[0] == name and all(label in key[1] for label in labels)


def threshold(rule: str) -> float:
    return rules.find(rule).threshold


def above(rule: str, name: str, *labels: str, least: float | None = None) -> Callable[[Wire], bool]:
    return lambda wire: wire.most(name, *labels) > (threshold(rule) if least is None else least)


def risen(name: str, by: float = 1) -> Callable[[Wire], bool]:
    return lambda wire: wire.grown(name) >= by


def busy(wire: Wire) -> bool:
    """Beyond the limit; where the machine has more to do than it can, beyond the share of one of its threads."""
    share = 100 * (os.cpu_count() or 1) / max(1.0, os.getloadavg()[0])
    return wire.most("mcbot_process_cpu_percent") > min(threshold("HighCPUUsage"), share)


AGE = 10.0
"""Seconds that an age must have where minutes would be needed; in an ordinary demo it is below 2."""

CONDITIONS: Mapping[str, Callable[[Wire], bool]] = {
    "HighSlippage": lambda wire: wire.percentile("mcbot_slippage_bps", 0.95) >= threshold("HighSlippage"),
    "ExecutionConsecutiveRejections": lambda wire: (
        wire.most("mcbot_execution_consecutive_rejections") >= threshold("ExecutionConsecutiveRejections")
    ),
    "ExecutionLowFillRate": lambda wire: wire.least("mcbot_execution_fill_rate") < threshold("ExecutionLowFillRate"),
    "APIUnhealthy": lambda wire: wire.most("mcbot_exchange_consecutive_failures") >= threshold("APIUnhealthy"),
    "LiveAPIBlocked": risen("mcbot_live_api_blocked_total"),
    "RequestWithoutAck": above("RequestWithoutAck", "mcbot_oldest_order_seconds", 'stage="request"'),
    "LiveFillParseFailure": risen("mcbot_live_fill_parse_failure_total"),
    "LiveFrequentMinNotionalSkip": risen("mcbot_live_min_notional_skip_total", 6),
    "SignalWithoutRequest": lambda wire: (
        wire.most("mcbot_oldest_order_seconds", 'stage="signal"') > AGE
        and wire.most("mcbot_oldest_order_seconds", 'stage="request"') == 0
        and wire.most("mcbot_oldest_order_seconds", 'stage="ack"') == 0
    ),
    "APILatencyHigh": lambda wire: (
        wire.percentile("mcbot_exchange_api_latency_seconds", 0.95) >= threshold("APILatencyHigh")
    ),
    "APIReadFailures": lambda wire: (
        wire.rate("mcbot_exchange_api_calls_total", 'endpoint="fetch_balance"', 'status="failure"')
        > threshold("APIReadFailures")
    ),
    "APIRateLimitApproaching": lambda wire: (
        60 * wire.rate("mcbot_exchange_api_calls_total") > threshold("APIRateLimitApproaching")
    ),
    "WSDisconnected": lambda wire: wire.most("mcbot_exchange_ws_connected") == 0,
    "WSNoMessages": above("WSNoMessages", "mcbot_ws_last_message_age_seconds", least=AGE),
    "SymbolNeverArrived": above("SymbolNeverArrived", "mcbot_bar_age_seconds", least=AGE),
    "WSFrequentReconnects": lambda wire: (
        wire.grown("mcbot_ws_reconnects_total", "BTC/USDT") >= threshold("WSFrequentReconnects")
    ),
    "QueueCongestion": above("QueueCongestion", "mcbot_eventbus_queue_depth"),
    "QueueCongestionCritical": above("QueueCongestionCritical", "mcbot_eventbus_queue_depth"),
    "EventsDropped": risen("mcbot_eventbus_events_dropped_total"),
    "HandlerErrorsHigh": lambda wire: wire.rate("mcbot_eventbus_handler_errors_total") > threshold("HandlerErrorsHigh"),
    "HighEventLoopLag": above("HighEventLoopLag", "mcbot_event_loop_lag_seconds"),
    "HeartbeatStale": lambda wire: time.time() - wire.most("mcbot_heartbeat_timestamp") > AGE,
    "HighFDCount": above("HighFDCount", "mcbot_process_open_fds"),
    "HighThreadCount": above("HighThreadCount", "mcbot_process_thread_count"),
    "HighTaskCount": above("HighTaskCount", "mcbot_active_tasks"),
    "HighCPUUsage": busy,
    "HighGCPressure": lambda wire: (
        wire.rate("mcbot_process_gc_collections_total", 'generation="2"') > threshold("HighGCPressure")
    ),
    "HighDrawdown": above("HighDrawdown", "mcbot_drawdown_pct"),
    "StrategyPnlNegative": lambda wire: wire.least("mcbot_strategy_pnl_usdt") < threshold("StrategyPnlNegative"),
    "CircuitBreakerTriggered": risen("mcbot_circuit_breaker_total"),
    "NettingLowOffset": lambda wire: (
        wire.least("mcbot_netting_offset_ratio") < threshold("NettingLowOffset")
        and wire.most("mcbot_netting_gross_exposure") > 0.3
    ),
    "HighGrossExposure": above("HighGrossExposure", "mcbot_netting_gross_exposure"),
    "HighAggregateLeverage": above("HighAggregateLeverage", "mcbot_aggregate_leverage"),
    "HighMarginUtilization": lambda wire: (
        wire.most("mcbot_margin_used_usdt") / wire.most("mcbot_equity_usdt") > threshold("HighMarginUtilization")
    ),
    "DistributionDrift": lambda wire: wire.least("mcbot_distribution_p_value") < threshold("DistributionDrift"),
    "DistributionDriftCritical": lambda wire: (
        wire.least("mcbot_distribution_p_value") < threshold("DistributionDriftCritical")
    ),
    "StructuralDecay": lambda wire: wire.most("mcbot_ransac_decay_detected") == 1,
    "StructuralDecayCritical": lambda wire: (
        wire.least("mcbot_ransac_slope") <= 0
        and wire.most("mcbot_ransac_current_cumulative", "pod-trend")
        < wire.most("mcbot_ransac_conformal_lower", "pod-trend")
    ),
    "GBMDrawdownWarning": lambda wire: wire.most("mcbot_gbm_severity") == 1,
    "GBMDrawdownCritical": lambda wire: wire.most("mcbot_gbm_severity") == 2,
    "PodInProbation": lambda wire: wire.most("mcbot_pod_lifecycle_state", 'mcbot_pod_lifecycle_state="probation"') == 1,
    "OnchainFetchHighFailureRate": lambda wire: (
        wire.grown("mcbot_onchain_fetch_total", 'status="failure"')
        > threshold("OnchainFetchHighFailureRate") * wire.grown("mcbot_onchain_fetch_total")
        > 2
    ),
    "OnchainCacheEmpty": lambda wire: wire.most("mcbot_onchain_cache_size") == 0,
    "TelemetryDropped": risen("mcbot_telemetry_dropped_total"),
}
"""Rule → whether its condition holds, as far as it can be seen from one bot in some seconds."""

TOO_LONG = {"OnchainDataStale": "two days without a success"}


class Demo:
    """A demo with a scenario, in a home of its own."""

    def __init__(self, home: Path, name: str, *arguments: str) -> None:
        self.home = home
        self.port = free_port()
        self.wire = Wire()
        home.mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "MCBOT_"))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "otel_mcbot.cli", "demo", "--scenario", name, *arguments],
            env={
                **kept,
                "HOME": str(home),
                "MCBOT_STATE_DIR": str(home / "state"),
                "MCBOT_FIND_COLLECTOR": "false",
                "OTEL_EXPORTER_PROMETHEUS_PORT": str(self.port),
                "PYTHONPATH": str(ROOT),
            },
            cwd=home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def look(self) -> bool:
        """Read the pull endpoint; whether it answered."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
                self.wire.take(read(answer.read().decode()))
            return True
        return False

    def wait(self, *true: Callable[[Wire], bool]) -> list[bool]:
        """Look every half second until each was true once; which of them were."""
        seen = [False] * len(true)
        end = time.monotonic() + PATIENCE
        while not all(seen) and time.monotonic() < end and self.process.poll() is None:
            if self.look():
                seen = [condition(self.wire) or before for before, condition in zip(seen, true, strict=True)]
            time.sleep(0.5)
        return seen

    def stop(self) -> None:
        """SIGTERM, and what it said."""
        try:
            self.process.send_signal(signal.SIGTERM)
            self.out, self.err = self.process.communicate(timeout=45)
        finally:
            self.process.kill()

    @property
    def complaints(self) -> list[otlp_files.Record]:
        """Log lines that are no good news."""
        (directory,) = self.home.glob("state/otel-mcbot-demo/*/otlp")
        return [
            record
            for record in otlp_files.records(directory)
            if record.severity in ("WARN", "ERROR") and not record.event
        ]


def read(exposition: str) -> dict[tuple[str, str], float]:
    """Name and labels → value."""
    lines = re.finditer(r"^(\w+)(\{.*\})? (\S+)$", exposition, re.MULTILINE)
    return {(line[1], line[2] or ""): float(line[3]) for line in lines}


@dataclass(frozen=True)
class Ran:
    """What came of a demo: which conditions were seen, its end, and how many lines complain."""

    seen: Mapping[str, bool]
    status: int | None
    err: str
    complaints: int


def run(home: Path, name: str, conditions: Mapping[str, Callable[[Wire], bool]], *arguments: str) -> Ran:
    demo = Demo(home, name, "--scenario-after", "2s", *arguments)
    try:
        seen = demo.wait(*conditions.values())
    finally:
        demo.stop()
    return Ran(dict(zip(conditions, seen, strict=True)), demo.process.returncode, demo.err, len(demo.complaints))


def heals(rule: str) -> Mapping[str, Callable[[Wire], bool]]:
    """Its condition holds, and then it does not."""
    held: list[bool] = []

    def holds(wire: Wire) -> bool:
        held.append(CONDITIONS[rule](wire))
        return held[-1]

    return {"holds": holds, "over": lambda wire: any(held) and not held[-1]}


def restarts() -> Mapping[str, Callable[[Wire], bool]]:
    """The uptime falls, and rises longer than it did before: it is once, not for ever."""
    uptimes: list[float] = []

    def fell(wire: Wire) -> bool:
        uptimes.append(wire.most("mcbot_uptime_seconds"))
        return uptimes[-1] < max(uptimes)

    return {"fell": fell, "rose": lambda wire: min(uptimes) < max(uptimes) and uptimes[-1] > 10}


RUN = [row.name for row in SCENARIOS if row.name not in EXPENSIVE and row.name not in ENDS]
HEALED = {
    "fds": "HighFDCount",
    "socket-drop": "WSDisconnected",
    "leverage": "HighAggregateLeverage",
    "gbm": "GBMDrawdownWarning",
    "threads": "HighThreadCount",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Future[Ran]]]:
    """Everything that is run, some at a time, the slowest first."""
    home = tmp_path_factory.mktemp("scenarios")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        started = {"restart": pool.submit(run, home / "restart", "restart", restarts())}
        for name, rule in HEALED.items():
            started[f"{name} heals"] = pool.submit(
                run, home / f"{name}-heals", name, heals(rule), "--scenario-for", "15s"
            )
        for name in sorted(RUN, key=lambda name: -max(find(name).alerts.values())):
            alerts = {alert: CONDITIONS[alert] for alert in find(name).alerts if alert not in TOO_LONG}
            started[name] = pool.submit(run, home / name, name, alerts)
        yield started
        pool.shutdown(cancel_futures=True)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", RUN)
def test_it_leads_to_the_conditions_of_its_alerts(name: str, runs: Mapping[str, Future[Ran]]) -> None:
    ran = runs[name].result()
    assert all(ran.seen.values()), ran
    assert ran.status == 0, "SIGTERM ends it as it ends any demo"
    assert ran.complaints, "there is nothing in the logs that says why"


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", HEALED)
def test_it_is_well_again_after_it(name: str, runs: Mapping[str, Future[Ran]]) -> None:
    ran = runs[f"{name} heals"].result()
    assert ran.seen == {"holds": True, "over": True}, ran


@pytest.mark.timeout(400)
def test_a_restart_is_the_same_bot_with_another_uptime(runs: Mapping[str, Future[Ran]]) -> None:
    ran = runs["restart"].result()
    assert (ran.seen, ran.status) == ({"fell": True, "rose": True}, 0), ran


@pytest.mark.timeout(60)
def test_killed_is_killed(tmp_path: Path) -> None:
    demo = Demo(tmp_path / "home", "kill", "--scenario-after", "1s")
    try:
        assert demo.process.wait(30) == -signal.SIGKILL
    finally:
        demo.process.kill()
        demo.process.communicate()
    assert demo.complaints


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--scenario", "slipage"], "Invalid value for --scenario: 'slipage': did you mean 'slippage'?"),
        (["--scenario-for", "20s"], "--scenario-for needs a --scenario"),
        (["--scenario", "lag", "--scenario-after", "soon"], "'soon': allowed is a time as in 20s, 2m, 1h"),
        (["--scenario", "lag", "--bars", "btc-usd.csv"], "--scenario lag: allowed on the made-up market alone"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "otel_mcbot.cli", "demo", *arguments],
        env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert said in line
