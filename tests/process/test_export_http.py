"""The outbox against real receivers: killed, refusing, silent, forked from. The equation holds in all of them."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry import context as otel_context
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from receiver import BlackHole, Receiver, wait_for

from otel_mcbot.export import Counts, Outbox


class Spans(SpanProcessor):
    """Asks the intake, then hands to the SDK's batch processor."""

    def __init__(self, outbox: Outbox) -> None:
        self.intake = outbox.intake("traces", 4096)
        self.batch = BatchSpanProcessor(outbox.span_exporter(), max_queue_size=4096, schedule_delay_millis=50)

    def on_end(self, span: ReadableSpan) -> None:
        if self.intake.admit():
            self.batch.on_end(span)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self.batch.force_flush(timeout_millis)

    def shutdown(self) -> None:
        self.batch.shutdown()


class Logs(LogRecordProcessor):
    """Asks the intake, then hands to the SDK's batch processor."""

    def __init__(self, outbox: Outbox) -> None:
        self.intake = outbox.intake("logs", 4096)
        self.batch = BatchLogRecordProcessor(outbox.log_exporter(), max_queue_size=4096, schedule_delay_millis=50)

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        if self.intake.admit():
            self.batch.on_emit(log_record)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self.batch.force_flush(timeout_millis)

    def shutdown(self) -> None:
        self.batch.shutdown()


class Bot:
    """Spans, logs and metrics into an outbox."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(Spans(outbox))
        self.loggers = LoggerProvider()
        self.loggers.add_log_record_processor(Logs(outbox))
        self.meters = MeterProvider([PeriodicExportingMetricReader(outbox.metric_exporter(), 100)])
        self.tracer = self.tracers.get_tracer("bot")
        self.logger = self.loggers.get_logger("bot")
        self.orders = self.meters.get_meter("bot").create_counter("mcbot.orders")

    def order(self, number: int) -> None:
        with self.tracer.start_as_current_span("order", attributes={"number": number, "note": "x" * 200}):
            self.logger.emit(event_name="mcbot.order", body=f"order {number}")
            self.orders.add(1)

    def trade(self, seconds: float, *, rate: float = 200.0) -> None:
        """So many seconds of orders at ``rate`` a second. A slow machine takes longer; there are as many of them."""
        start = time.monotonic()
        for number in range(round(seconds * rate)):
            time.sleep(max(0.0, start + number / rate - time.monotonic()))
            self.order(number)

    def flush(self, timeout: float = 30.0) -> bool:
        for provider in (self.tracers, self.loggers, self.meters):
            provider.force_flush()
        return self.outbox.flush(time.monotonic() + timeout)

    def close(self, timeout: float = 30.0) -> bool:
        for provider in (self.tracers, self.loggers, self.meters):
            provider.shutdown()
        return self.outbox.close(time.monotonic() + timeout)


@pytest.fixture
def receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with Receiver(tmp_path) as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.endpoint)
        yield running


def check(receiver: Receiver, counts: dict[str, Counts]) -> None:
    """Emitted = arrived + dropped, from both sides' own counts."""
    for signal, arrived in (("traces", len(receiver.spans())), ("logs", len(receiver.logs()))):
        of = counts[signal]
        assert of.delivered == arrived, signal
        assert of.emitted == arrived + sum(of.dropped.values()) + of.held, signal


def test_everything_arrives_as_the_standard_variables_say(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-token=all")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "x-token=logs")
    bot = Bot(Outbox())
    for number in range(300):
        bot.order(number)
    assert bot.close()
    check(receiver, bot.outbox.counts())
    assert len(receiver.spans()) == len(receiver.logs()) == 300
    assert {span["span_id"] for span in receiver.spans()} == {log["span_id"] for log in receiver.logs()}
    assert [point["value"] for point in receiver.points() if point["metric"] == "mcbot.orders"][-1] == 300
    for request in receiver.requests():
        assert request["headers"]["content-encoding"] == "gzip"
        assert request["headers"]["x-token"] == ("logs" if request["signal"] == "logs" else "all")
    lane = bot.outbox.state().lanes["traces"]
    assert lane.endpoint == receiver.endpoint + "/v1/traces"
    assert lane.last_success is not None
    assert (lane.payloads, lane.bytes) == (0, 0)


def test_a_receiver_that_dies_and_comes_back_has_lost_nothing(receiver: Receiver) -> None:
    bot = Bot(Outbox())
    bot.trade(0.5)
    receiver.stop()
    bot.trade(1.5)
    assert bot.outbox.counts()["traces"].held > 0
    receiver.start()
    bot.trade(0.5)
    assert bot.close()
    counts = bot.outbox.counts()
    check(receiver, counts)
    assert counts["traces"].dropped == counts["logs"].dropped == {}
    assert counts["traces"].emitted == counts["logs"].emitted == 500
    starts = [span["start"] for span in receiver.spans()]
    assert starts == sorted(starts)  # oldest first


def test_a_small_ring_loses_the_oldest_and_the_account_is_exact(receiver: Receiver) -> None:
    bot = Bot(Outbox(buffer_bytes=64 * 1024))
    bot.trade(0.3)
    assert bot.flush()
    receiver.stop()
    bot.trade(2.0, rate=1_000)
    receiver.start()
    bot.trade(0.3)
    assert bot.close()
    counts = bot.outbox.counts()
    check(receiver, counts)
    for signal in ("traces", "logs"):
        assert counts[signal].dropped.keys() == {"buffer_full"}, signal
        assert counts[signal].held == 0, signal
    newest = max(span["start"] for span in receiver.spans())
    before = [span["start"] for span in receiver.spans() if span["start"] < newest - 2_000_000_000]
    assert len(before) >= 50  # what was out before the outage; the gap is in the middle, not at the end


def test_a_payload_that_is_never_taken_does_not_hold_up_the_others(receiver: Receiver) -> None:
    bot = Bot(Outbox())
    receiver.answer(status=400)
    for number in range(5):
        bot.order(number)
    assert bot.flush()
    receiver.answer(status=200)
    bot.order(5)
    assert bot.close()
    counts = bot.outbox.counts()
    check(receiver, counts)
    assert counts["traces"].dropped == counts["logs"].dropped == {"refused_400": 5}
    assert "400" in bot.outbox.state().lanes["traces"].last_error
    assert "refused by the test" in bot.outbox.state().lanes["traces"].last_error


def test_refusals_are_not_waited_for(receiver: Receiver) -> None:
    outbox = Outbox()
    exporter = outbox.span_exporter()
    receiver.answer(status=400)
    for _ in range(10):
        exporter.export([span()])
    wait_for(lambda: outbox.counts()["traces"].dropped == {"refused_400": 10})
    outbox.close(time.monotonic())


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_a_receiver_that_is_busy_gets_it_again(receiver: Receiver, status: int) -> None:
    bot = Bot(Outbox())
    receiver.answer(status=status)
    bot.order(1)
    assert not bot.flush(0.3)
    wait_for(lambda: f"HTTP {status}" in bot.outbox.state().lanes["traces"].last_error)
    receiver.answer()
    assert bot.close()
    check(receiver, bot.outbox.counts())
    assert bot.outbox.counts()["traces"] == Counts(1, 1, 1, {}, 0)


def test_retry_after_is_honoured_and_a_flush_does_not_wait_for_it(receiver: Receiver) -> None:
    outbox = Outbox()
    exporter = outbox.span_exporter()
    receiver.answer(status=503, retry_after=30)
    exporter.export([span()])
    wait_for(lambda: outbox.state().lanes["traces"].last_failure is not None)
    failed = outbox.state().lanes["traces"].last_failure
    receiver.answer()
    time.sleep(0.8)  # the ordinary pause is 0.5 s: what has not been tried by now is being held back
    assert outbox.state().lanes["traces"].last_failure == failed
    assert outbox.counts()["traces"].held == 1
    assert outbox.close(time.monotonic() + 25)
    assert len(receiver.spans()) == 1


def test_partial_success_is_counted(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    bot = Bot(Outbox())
    receiver.answer(rejected=2)
    for number in range(5):
        bot.order(number)
    assert bot.close()
    traces = bot.outbox.counts()["traces"]
    requests = sum(request["signal"] == "traces" for request in receiver.requests())
    assert traces.dropped == {"rejected": min(5, 2 * requests)}
    assert traces.delivered == 5 - traces.dropped["rejected"]
    assert "refused by the test" in caplog.text


@pytest.mark.parametrize("accepts", [True, False], ids=["swallows", "drops SYN"])
def test_a_black_hole_holds_nobody(accepts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with BlackHole(accepts=accepts) as hole:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", hole.endpoint)
        bot = Bot(Outbox())
        used = time.process_time()
        bot.trade(1.0, rate=20)
        assert time.process_time() - used < 0.6  # it waits, it does not spin for all of the second
        started = time.monotonic()
        assert not bot.close(1.0)
        assert time.monotonic() - started < 6  # a try goes on for 10 s
        for counts in bot.outbox.counts().values():
            assert counts.emitted == counts.dropped["shutdown"] > 0
            assert counts.held == 0


def test_close_after_a_try_that_outlasts_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    with BlackHole() as hole:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", hole.endpoint)
        outbox = Outbox(timeout=30)
        outbox.span_exporter().export([span()])
        wait_for(lambda: outbox.state().lanes["traces"].payloads == 1)
        started = time.monotonic()
        assert not outbox.close(started + 0.3)
        assert time.monotonic() - started < 10
        assert outbox.counts()["traces"] == Counts(1, 1, 0, {"shutdown": 1}, 0)


def test_the_standard_timeout_shortens_a_try(monkeypatch: pytest.MonkeyPatch) -> None:
    with BlackHole() as hole:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", hole.endpoint)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")
        outbox = Outbox(timeout=60)
        outbox.span_exporter().export([span()])
        wait_for(lambda: outbox.state().lanes["traces"].last_failure is not None)
        outbox.close(time.monotonic())


def test_embedded_finds_a_collector_and_gives_it_all_that_the_ring_holds(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path)
    outbox = Outbox("embedded", directory=tmp_path / "lines", default_endpoint=receiver.endpoint, look_every=0.1)
    bot = Bot(outbox)
    for number in range(50):
        bot.order(number)
    assert bot.flush()
    assert not outbox.state().collector
    assert outbox.counts()["traces"] == Counts(50, 50, 50, {}, 0)
    lines = (tmp_path / "lines" / "traces.jsonl").read_bytes()
    with receiver:
        receiver.wait_for(lambda: len(receiver.spans()) == len(receiver.logs()) == 50)
        for number in range(50, 60):
            bot.order(number)
        assert bot.flush()
        assert len(receiver.spans()) == 60
        receiver.stop()
        bot.order(60)
        assert not bot.flush(0.3)
        assert outbox.state().collector  # never given up: what it does not take waits for it
        receiver.start()
        assert bot.close()
        assert len(receiver.spans()) == len(receiver.logs()) == 61
    assert outbox.counts()["traces"] == Counts(61, 61, 61, {}, 0)
    assert (tmp_path / "lines" / "traces.jsonl").read_bytes() == lines


def test_embedded_with_a_collector_at_start_writes_nothing(receiver: Receiver, tmp_path: Path) -> None:
    bot = Bot(Outbox("embedded", directory=tmp_path / "lines", default_endpoint=receiver.endpoint))
    bot.order(1)
    assert bot.close()
    assert len(receiver.spans()) == 1
    assert not (tmp_path / "lines").exists()


FORK = """
import json, os, sys, time
sys.path.insert(0, sys.argv[1])
from test_export_http import Bot
from otel_mcbot.export import Outbox

bot = Bot(Outbox())
for number in range(50):
    bot.order(number)
child = os.fork()
for number in range(1000, 1050):
    bot.order(number if child else number + 1000)
if child == 0:
    uncounted = bot.outbox.counts()["traces"].emitted == bot.outbox.counts()["logs"].emitted == 50
    os._exit(0 if uncounted and bot.close(30) else 1)
done = bot.close(30)
counts = {signal: (c.emitted, c.delivered, c.dropped, c.held) for signal, c in bot.outbox.counts().items()}
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(json.dumps({"child": status, "done": done, "counts": counts}))
"""


def test_a_forked_child_sends_nothing_and_its_parent_all(receiver: Receiver) -> None:
    here = str(Path(__file__).parent)
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK, here], capture_output=True, text=True, timeout=60, check=True
    )
    told = json.loads(ran.stdout)
    assert (told["child"], told["done"]) == (0, True)
    assert told["counts"]["traces"] == told["counts"]["logs"] == [100, 100, {}, 0]
    numbers = sorted(span["attributes"]["number"] for span in receiver.spans())
    assert numbers == [*range(50), *range(1000, 1050)]
    assert receiver.arrivals("traces") == receiver.arrivals("logs") == 100


FORK_UNDER_LOCK = """
import os, sys, threading
sys.path.insert(0, sys.argv[1])
from test_export_http import Bot
from otel_mcbot.export import Outbox

bot = Bot(Outbox())
intake = bot.outbox.intake("traces", 100)
held, go_on = threading.Event(), threading.Event()

def hold():
    with bot.outbox._changed, intake._lock:
        held.set()
        go_on.wait()

threading.Thread(target=hold, daemon=True).start()
held.wait()
child = os.fork()
if child == 0:
    bot.order(1)
    intake.admit()
    bot.outbox.counts(), bot.outbox.state()
    bot.close(0)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
go_on.set()
bot.close(0)
"""


def test_a_child_forked_while_somebody_holds_the_locks_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    here = str(Path(__file__).parent)
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK_UNDER_LOCK, here],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stdout.strip() == "0"


def test_our_own_requests_are_not_instrumented(receiver: Receiver) -> None:
    """An instrumented HTTP client or a bridged logger must not make telemetry of sending telemetry."""
    seen: list[object] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if threading.current_thread().name == "mcbot-export":
                seen.append(otel_context.get_value(otel_context._SUPPRESS_INSTRUMENTATION_KEY))

    logger = logging.getLogger("urllib3.connectionpool")
    handler = Handler()
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        outbox = Outbox()
        outbox.span_exporter().export([span()])
        assert outbox.close(time.monotonic() + 30)
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
    assert seen
    assert all(seen)


def test_an_answer_after_the_end_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        outbox = Outbox()
        outbox.span_exporter().export([span()])
        connection, _ = server.accept()
        with connection:
            assert connection.recv(65536)
            assert not outbox.close(time.monotonic() + 0.1)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            wait_for(lambda: "mcbot-export" not in [thread.name for thread in threading.enumerate()])
    assert outbox.counts()["traces"] == Counts(1, 1, 0, {"shutdown": 1}, 0)


def test_an_answer_that_drips_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        outbox = Outbox(timeout=0.3)
        outbox.span_exporter().export([span()])
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
            end = time.monotonic() + 60  # all of it would take 200 s
            while not outbox.counts()["traces"].delivered:
                assert time.monotonic() < end
                with contextlib.suppress(OSError):
                    connection.sendall(b".")
                time.sleep(0.02)
    outbox.close(time.monotonic())


def test_waiting_for_a_receiver_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    outbox = Outbox()
    outbox.span_exporter().export([span()])
    wait_for(lambda: outbox.state().lanes["traces"].last_failure is not None)
    used = time.process_time()
    threading.Event().wait(1)
    assert time.process_time() - used < 0.3  # not for all of the second
    outbox.close(time.monotonic())


def test_a_try_within_a_flush_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with BlackHole() as hole:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", hole.endpoint)
        outbox = Outbox(timeout=60)
        assert outbox.flush(time.monotonic() + 0.3)
        outbox.span_exporter().export([span()])
        wait_for(lambda: outbox.state().lanes["traces"].last_failure is not None)
        outbox.close(time.monotonic())


def span() -> ReadableSpan:
    made = TracerProvider().get_tracer("test").start_span("one")
    made.end()
    assert isinstance(made, ReadableSpan)
    return made
