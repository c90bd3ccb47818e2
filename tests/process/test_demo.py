"""``otel-mcbot demo`` as a user runs it, in an empty home: what it prints, and what its telemetry left on disk."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import itertools
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import otlp_files
import pytest
import trace_rules

from otel_mcbot import catalog
from otel_mcbot.demo.market import COLUMNS, synthetic_bars
from otel_mcbot.ledger import Ledger, Order
from otel_mcbot.record.exchange import ENDPOINTS
from otel_mcbot.store import Store

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "metrics.tsv"
BARS, SEED = 1_600, 5
LAYERS = ("1", "1b", "2", "4", "5", "7", "10", "meta")


def write_bars(path: Path, count: int = BARS) -> Path:
    """The made-up market as a file of recorded bars, a good day long."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for bar in itertools.islice(synthetic_bars("BTC/USD", 8_000.0, SEED), count):
            writer.writerow((bar.time.isoformat(), bar.open, bar.high, bar.low, bar.close, bar.volume))
    return path


@dataclass
class Run:
    """A demo in a home of its own, and what it left there."""

    home: Path
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "MCBOT_"))}
        return {
            **kept,
            "HOME": str(self.home),
            "MCBOT_STATE_DIR": str(self.home / "state"),
            "MCBOT_FIND_COLLECTOR": "false",  # there may be one on the machine that tests
            "PYTHONPATH": str(ROOT),
            **self.more,
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        self.home.mkdir()
        return subprocess.Popen(
            [sys.executable, "-m", "otel_mcbot.cli", "demo", *arguments],
            env=self.environ,
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, process: subprocess.Popen[str], timeout: float = 60.0) -> Run:
        try:
            self.out, self.err = process.communicate(timeout=timeout)
        finally:
            process.kill()
        self.status = process.returncode
        return self

    def __call__(self, *arguments: str) -> Run:
        return self.finish(self.start(*arguments))

    @cached_property
    def summary(self) -> dict[str, Any]:
        assert self.status == 0, self.err
        found: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return found

    @property
    def trading(self) -> dict[str, Any]:
        """What seed and bars decide; the rest of the summary counts telemetry, some of which time decides."""
        return {name: self.summary[name] for name in ("bars", "signals", "orders", "fills", "fees", "pnl")}

    @property
    def instance(self) -> Path:
        """The directory of the one instance that ran."""
        (found,) = (path for path in (self.home / "state" / "otel-mcbot-demo").iterdir() if path.is_dir())
        return found

    @cached_property
    def spans(self) -> list[otlp_files.Span]:
        return otlp_files.spans(self.instance / "otlp")

    @cached_property
    def records(self) -> list[otlp_files.Record]:
        return otlp_files.records(self.instance / "otlp")

    @cached_property
    def points(self) -> list[otlp_files.Point]:
        return otlp_files.points(self.instance / "otlp")

    def total(self, row: Any, **labels: str) -> float:
        """The sum of a metric's series in the last collection."""
        found = [point for point in self.points if point.name == row.name and labels.items() <= point.labels.items()]
        return sum(point.value for point in found)

    @cached_property
    def ledger(self) -> list[Order]:
        """The ledger's own orders, open and ended, as it keeps them over a restart."""
        store, ledger = Store(self.instance / "ledger.sqlite"), Ledger()
        ledger.restore(store.load())
        store.close()
        return [*ledger.open.values(), *ledger._ended.values()]


def outcome(status: str, filled: float) -> str:
    """Where an order ended, in the words of the summary."""
    if status not in ("filled", "canceled", "expired", "rejected"):
        return "working"
    return "partially_filled" if filled > 0 and status in ("canceled", "expired") else status


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bars(tmp_path_factory.mktemp("bars") / "btc-usd-1m.csv")


@pytest.fixture(scope="module")
def run(bars: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run at a speed at which orders rest longer than their cycles."""
    return Run(tmp_path_factory.mktemp("run") / "home")("--bars", str(bars), "--duration", "10s", "--json")


# -- the last line ---------------------------------------------------------------------------------------------------


def test_the_last_line_counts_everything_and_nothing_is_lost(run: Run) -> None:
    summary = run.summary
    assert list(summary) == [
        "bars", "signals", "orders", "fills", "fees", "pnl", "emitted", "exported", "metric_series", "dropped"
    ]  # fmt: skip
    assert summary["bars"] == BARS
    orders = summary["orders"]
    assert sum(orders.values()) >= 100
    assert all(orders[name] >= 1 for name in ("filled", "partially_filled", "rejected", "canceled", "working")), orders
    assert summary["emitted"] == summary["exported"] == {"spans": len(run.spans), "log_records": len(run.records)}
    assert summary["dropped"] == {"spans": 0, "log_records": 0, "measurements": 0, "facts": 0}
    assert summary["metric_series"] >= 100
    assert run.err == ""


def test_the_same_seed_gives_the_same_run_at_any_speed(run: Run, bars: Path, tmp_path: Path) -> None:
    fast = Run(tmp_path / "fast")("--bars", str(bars), "--speed", "max", "--json")
    faster = Run(tmp_path / "faster")("--bars", str(bars), "--duration", "3s", "--json")
    other = Run(tmp_path / "other")("--bars", str(bars), "--speed", "max", "--seed", "2", "--json")
    assert fast.trading == faster.trading == run.trading
    assert other.trading != run.trading
    for each in (fast, faster, other):
        assert each.summary["emitted"] == each.summary["exported"]
        assert not any(each.summary["dropped"].values())
        assert trace_rules.broken(each.spans) == []
        assert trace_rules.torn(each.spans) == []


# -- what is on disk -------------------------------------------------------------------------------------------------


def test_every_order_is_one_whole_trace(run: Run) -> None:
    assert trace_rules.broken(run.spans) == []
    assert trace_rules.torn(run.spans) == []
    submitted = [span for span in run.spans if span.name == "oms.submit_order"]
    denied = [
        span
        for span in run.spans
        if span.name == "rm.pre_trade_check" and span.attributes["trading.check.result"] == "denied"
    ]
    assert len(submitted) + len(denied) == sum(run.summary["orders"].values())
    continued = [span for span in run.spans if span.name == "trade_cycle.continued"]
    assert continued, "orders that rest longer than hold go on in a trace of their own"
    waits = [span.attributes.get("mcbot.queue.wait") for span in run.spans if span.name == "pm.process_signal"]
    assert all(wait is None or wait >= 0 for wait in waits)
    assert any(waits), "handlers know how long their event waited"


def test_events_stand_in_the_traces_of_their_orders(run: Run) -> None:
    place = {span.span_id: span for span in run.spans}
    traces = {span.attributes.get("trading.order.client_id"): set() for span in run.spans}  # type: ignore[var-annotated]
    for span in run.spans:
        traces[span.attributes.get("trading.order.client_id")].add(span.trace_id)
    ended = Counter()  # type: ignore[var-annotated]
    events = [record for record in run.records if record.event.startswith("trading.order.")]
    for record in events:
        order = record.attributes["trading.order.client_id"]
        assert record.span_id in place
        assert place[record.span_id].trace_id == record.trace_id
        assert order not in traces or record.trace_id in traces[order]
        ended[record.event.removeprefix("trading.order.")] += 1
    orders = run.summary["orders"]
    assert ended["requested"] == sum(orders.values())
    assert ended["filled"] == orders["filled"]
    assert ended["rejected"] == orders["rejected"]
    assert ended["canceled"] + ended["expired"] == orders["canceled"] + orders["expired"] + orders["partially_filled"]
    assert ended["lost"] == 0


def test_bot_ledger_counters_and_spans_agree(run: Run) -> None:
    summary, orders = run.summary, run.summary["orders"]

    assert Counter(outcome(order.status, order.filled) for order in run.ledger) == +Counter(orders)
    assert sum(order.parts for order in run.ledger) == summary["fills"]
    fees, quantity = sum(order.fees for order in run.ledger), sum(order.filled for order in run.ledger)
    assert fees == pytest.approx(summary["fees"], abs=1e-4)

    assert run.total(catalog.fills) == summary["fills"]
    assert run.total(catalog.fees) == pytest.approx(fees)
    assert run.total(catalog.orders, status="filled") == orders["filled"]
    assert run.total(catalog.orders, status="rejected") == orders["rejected"]
    assert run.total(catalog.order_rejected) == orders["rejected"]
    assert run.total(catalog.open_orders) == orders["working"]
    assert run.total(catalog.signals) == summary["signals"]
    assert run.total(catalog.bars) == summary["bars"]
    assert run.total(catalog.strategy_fills) == summary["fills"]
    assert run.total(catalog.strategy_fees) == pytest.approx(fees)

    last: dict[str, otlp_files.Span] = {}
    for span in sorted(run.spans, key=lambda span: (span.name != "oms.submit_order", span.end)):
        if span.name in ("oms.submit_order", "oms.await_fill"):  # the latter knows more, where there is one
            last[span.attributes["trading.order.client_id"]] = span
    ends = Counter(
        outcome(span.attributes["trading.order.status"], span.attributes.get("trading.fill.quantity", 0))
        for span in last.values()
    )
    denied = sum(span.attributes.get("trading.check.result") == "denied" for span in run.spans)
    assert ends + Counter(rejected=denied) == +Counter(orders)
    assert sum(span.attributes.get("trading.fill.count", 0) for span in last.values()) == summary["fills"]
    assert sum(span.attributes.get("trading.fill.quantity", 0) for span in last.values()) == pytest.approx(quantity)
    assert sum(span.attributes.get("trading.fill.fee", 0) for span in last.values()) == pytest.approx(fees)


def test_every_row_that_this_bot_has_something_for_has_a_series(run: Run) -> None:
    with GOLDEN.open(encoding="utf-8", newline="") as file:
        promised = [row for row in csv.DictReader(file, delimiter="\t") if row["layer"].split()[0] in LAYERS]
    assert len(promised) >= 50
    names = {row.otel_name: row.prometheus_name for row in catalog.rows()}
    there = {names[point.name] for point in run.points}
    assert [row["prometheus_name"] for row in promised if row["prometheus_name"] not in there] == []


def test_the_made_up_market_feeds_every_row_there_is(tmp_path: Path) -> None:
    # often, since a fast machine is done within the usual 10 s, and the end alone knows nothing of the loop
    often = {"OTEL_METRIC_EXPORT_INTERVAL": "500"}
    run = Run(tmp_path / "home", often)("--speed", "max", "--duration", "120s", "--json")
    with GOLDEN.open(encoding="utf-8", newline="") as file:
        promised = [row["prometheus_name"] for row in csv.DictReader(file, delimiter="\t")]
    names = {row.otel_name: row.prometheus_name for row in catalog.rows()}
    there = {names[point.name] for point in run.points}
    assert [name for name in promised if name not in there] == []
    for endpoint in ENDPOINTS:
        assert run.total(catalog.exchange_api_calls, endpoint=endpoint, status="success") > 0, endpoint
    assert run.total(catalog.gbm_severity) == 0
    assert run.total(catalog.reconciliation_checks, status="ok") > 10
    assert run.summary["pnl"] > 0
    assert not any(run.summary["dropped"].values())


def test_histograms_lead_to_the_traces_of_their_orders(run: Run) -> None:
    traces = {span.trace_id for span in run.spans}
    latencies = [point for point in run.points if point.name == catalog.order_latency.name]
    assert sum(point.count for point in latencies) > 0
    exemplars = [exemplar["traceId"].lower() for point in latencies for exemplar in point.exemplars]
    assert exemplars
    assert set(exemplars) <= traces


def test_the_doctor_finds_the_run(run: Run) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "otel_mcbot.cli", "doctor", "--json", "--service", "otel-mcbot-demo"],
        env=run.environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    found = {line["check"]: line for line in json.loads(done.stdout)}
    assert found["expectations"]["found"] == "every expected symbol arrived in the last run: BTC/USD"
    assert found["identity"]["found"].endswith(f"instance {run.instance.name}")
    assert found["second instance"]["state"] == "ok"


# -- ends ------------------------------------------------------------------------------------------------------------


def test_sigterm_in_mid_run_ends_with_the_summary(bars: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "home")
    process = run.start("--bars", str(bars), "--duration", "60s", "--json")
    files = run.home / "state" / "otel-mcbot-demo"
    deadline = time.monotonic() + 45
    while time.monotonic() < deadline and not any(
        "oms.await_fill" in file.read_text() for file in files.rglob("traces*")
    ):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    run.finish(process)

    assert 0 < run.summary["bars"] < BARS
    assert run.summary["orders"]["filled"] > 0
    assert (
        run.summary["emitted"] == run.summary["exported"] == {"spans": len(run.spans), "log_records": len(run.records)}
    )
    assert not any(run.summary["dropped"].values())
    assert trace_rules.broken(run.spans) == []
    assert trace_rules.torn(run.spans) == []
    assert [record.event for record in run.records if record.event.startswith("mcbot.bot.")] == [
        "mcbot.bot.started",
        "mcbot.bot.stopped",
    ]


def test_on_a_terminal_orders_are_drawn_as_traces(bars: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "home")
    run.home.mkdir()
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "otel_mcbot.cli", "demo", "--bars", str(bars), "--duration", "2s"],
        env={**run.environ, "TERM": "xterm-256color"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    seen = b""
    with contextlib.suppress(OSError):  # how a terminal says that nobody is there any more
        while piece := os.read(master, 65_536):
            seen += piece
    os.close(master)
    assert process.wait(30) == 0
    drawn = seen.decode()
    for what in ("last orders, as traces", "trade_cycle", "oms.submit_order", "oms.await_fill", "profit", "working"):
        assert what in drawn
    assert f"{BARS} bars" in drawn.splitlines()[-5], "the summary stays when the picture goes"


def test_without_a_terminal_the_summary_is_for_people(bars: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "home")
    returns = tmp_path / "returns.csv"
    run("--bars", str(bars), "--speed", "max", "--returns", str(returns))
    assert run.status == 0
    assert f"{BARS} bars" in run.out
    assert str(run.instance / "otlp") in run.out
    assert "docker compose up" in run.out
    assert "\x1b" not in run.out
    with returns.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["strategy"] for row in rows} == {"trend", "reversion"}
    assert len(rows) == 2 * 2, "two days, two strategies"


@pytest.mark.parametrize(
    ("line", "change", "reason"),
    [
        (1, "timestamp,open,high,low,close", "no column volume"),
        (9, "2024-01-01T00:07:00+00:00,x,1,1,1,1", "open 'x' is no positive number"),
        (
            9,
            "2024-01-01T00:06:00+00:00,8000,8001,7999,8000,1",
            "the timestamp 2024-01-01T00:06:00+00:00 is there twice",
        ),
        (9, "2023-01-01T00:00:00+00:00,8000,8001,7999,8000,1", "is older than the one before"),
    ],
)
def test_bad_bars_are_named_before_anything_runs(tmp_path: Path, line: int, change: str, reason: str) -> None:
    good = write_bars(tmp_path / "eth-usd-1m.csv", 20)
    bad = write_bars(tmp_path / "btc-usd-1m.csv", 20)
    lines = bad.read_text(encoding="utf-8").splitlines()
    lines[line - 1] = change
    bad.write_text("\n".join(lines), encoding="utf-8")

    run = Run(tmp_path / "home")("--bars", str(good), str(bad), "--json")

    assert run.status == 2
    assert run.out == ""
    (said,) = run.err.splitlines()
    assert said.startswith(f"{bad}:{line}: ")
    assert reason in said
    assert list(run.home.iterdir()) == [], "nothing was begun"
