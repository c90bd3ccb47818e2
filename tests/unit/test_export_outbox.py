"""The outbox with nobody listening: the account, the embedded default, what cannot be encoded, how it ends."""

from __future__ import annotations

import logging
import math
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from otel_mcbot.export import Counts, Intake, Outbox
from otel_mcbot.export.files import read
from otel_mcbot.export.http_sender import _retry_after, _without_secrets
from otel_mcbot.export.limit import OnceAMinute
from otel_mcbot.export.sender import partial_success, root_cause


def soon(seconds: float = 30.0) -> float:
    return time.monotonic() + seconds


@pytest.fixture
def nobody() -> Iterator[str]:
    """An endpoint that refuses: bound, so that no one else can get it, and not listening."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture
def embedded(tmp_path: Path, nobody: str) -> Iterator[Outbox]:
    outbox = Outbox("embedded", directory=tmp_path, default_endpoint=nobody)
    yield outbox
    outbox.close(soon())


def spans(count: int) -> list[ReadableSpan]:
    tracer = TracerProvider().get_tracer("test")
    made = []
    for number in range(count):
        span = tracer.start_span(f"span {number}")
        span.end()
        assert isinstance(span, ReadableSpan)
        made.append(span)
    return made


def holds(counts: Counts) -> bool:
    return counts.emitted == counts.delivered + sum(counts.dropped.values()) + counts.held


# -- the intake --------------------------------------------------------------------------------------------------------


def test_intake_admits_what_has_room() -> None:
    intake = Intake(limit=2)
    assert [intake.admit() for _ in range(3)] == [True, True, False]
    intake.release(1)
    assert intake.admit()
    assert (intake.emitted, intake.queued, intake.queue_full) == (4, 2, 1)


def test_intake_after_its_end() -> None:
    intake = Intake(limit=5)
    intake.admit()
    intake.close()
    assert not intake.admit()
    assert (intake.emitted, intake.shutdown) == (2, 2)


def test_intake_is_exact_among_threads() -> None:
    intake = Intake(limit=100)
    admitted = [0] * 8

    def work(mine: int) -> None:
        for _ in range(2_000):
            if intake.admit():
                admitted[mine] += 1
                intake.release(1)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(mine,)) for mine in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert intake.emitted == 16_000
    assert intake.queued == 0
    assert sum(admitted) + intake.queue_full == 16_000


def test_intake_may_be_asked_again_in_the_middle_of_an_answer() -> None:
    """A signal handler that logs runs between two steps of the interrupted ``admit``: it must not wait for it."""
    intake = Intake(limit=10)
    entered = 0

    def handler(frame: object, event: str, argument: object) -> object:
        nonlocal entered
        if event == "line" and entered < 3:
            entered += 1
            sys.settrace(None)
            intake.admit()
            sys.settrace(handler)  # type: ignore[arg-type]
        return handler

    done = threading.Event()

    def work() -> None:
        sys.settrace(handler)  # type: ignore[arg-type]
        intake.admit()
        sys.settrace(None)
        done.set()

    threading.Thread(target=work, daemon=True).start()
    assert done.wait(30)
    assert entered == 3


# -- the embedded default ----------------------------------------------------------------------------------------------


def test_embedded_writes_all_three_signals(tmp_path: Path, embedded: Outbox) -> None:
    tracers = TracerProvider()
    tracers.add_span_processor(BatchSpanProcessor(embedded.span_exporter()))
    loggers = LoggerProvider()
    loggers.add_log_record_processor(BatchLogRecordProcessor(embedded.log_exporter()))
    meters = MeterProvider([PeriodicExportingMetricReader(embedded.metric_exporter())])
    with tracers.get_tracer("t").start_as_current_span("root"):
        loggers.get_logger("l").emit(event_name="mcbot.test", body="hello")
    meters.get_meter("m").create_counter("c").add(1)
    for provider in (tracers, loggers, meters):
        provider.force_flush()
    assert embedded.flush(soon())
    (traces,), (logs,), (metrics,) = (list(read(tmp_path, signal)) for signal in ("traces", "logs", "metrics"))
    span = traces["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    record = logs["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
    assert record["traceId"] == span["traceId"]
    assert metrics["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["name"] == "c"
    assert all(counts == Counts(1, 1, 1, {}, 0) for counts in embedded.counts().values())
    for provider in (tracers, loggers, meters):
        provider.shutdown()


def test_metrics_are_counted_by_request(embedded: Outbox) -> None:
    reader = PeriodicExportingMetricReader(embedded.metric_exporter(), export_interval_millis=math.inf)
    meters = MeterProvider([reader])
    meters.get_meter("m").create_counter("c").add(1)
    for _ in range(3):
        reader.collect()
    assert embedded.flush(soon())
    assert embedded.counts()["metrics"] == Counts(3, 3, 3, {}, 0)
    meters.shutdown()


def test_what_is_on_disk_stays_in_the_ring_without_being_owed(embedded: Outbox) -> None:
    embedded.span_exporter().export(spans(3))
    assert embedded.flush(soon())
    state = embedded.state()
    assert (state.collector, state.lanes["traces"].payloads, embedded.counts()["traces"].held) == (False, 1, 0)
    assert embedded.close(soon())
    assert embedded.counts()["traces"] == Counts(3, 3, 3, {}, 0)


def test_a_full_ring_of_what_is_on_disk_drops_nothing(tmp_path: Path, nobody: str) -> None:
    outbox = Outbox("embedded", directory=tmp_path, default_endpoint=nobody, buffer_bytes=5_000)
    exporter = outbox.span_exporter()
    for _ in range(20):
        exporter.export(spans(5))
        assert outbox.flush(soon())
    assert outbox.counts()["traces"] == Counts(100, 100, 100, {}, 0)
    assert outbox.state().lanes["traces"].bytes <= 5_000
    outbox.close(soon())


def test_a_disk_that_fails_is_counted_and_said_once_while_the_ring_keeps_all(
    tmp_path: Path, nobody: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("where the directory should be")
    outbox = Outbox("embedded", directory=tmp_path / "file", default_endpoint=nobody)
    exporter = outbox.span_exporter()
    exporter.export(spans(3))
    assert not outbox.flush(soon(0.2))
    assert not outbox.flush(soon(0.2))
    assert outbox.state().write_errors >= 2
    assert outbox.counts()["traces"] == Counts(3, 3, 0, {}, 3)
    assert len([record for record in caplog.records if record.name == "otel_mcbot.export"]) == 1
    (tmp_path / "file").unlink()
    assert outbox.flush(soon())
    assert outbox.counts()["traces"] == Counts(3, 3, 3, {}, 0)
    outbox.close(soon())


def test_embedded_needs_a_directory() -> None:
    with pytest.raises(ValueError, match="directory"):
        Outbox("embedded")


# -- the account -------------------------------------------------------------------------------------------------------


@pytest.fixture
def unheard(nobody: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outbox]:
    """Sends to where nobody listens, into a ring of 64 KiB."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", nobody)
    outbox = Outbox(buffer_bytes=64 * 1024)
    yield outbox
    outbox.close(soon(0))


def test_export_does_not_wait_and_loses_the_oldest_exactly(unheard: Outbox) -> None:
    intake = unheard.intake("traces", limit=10_000)
    exporter = unheard.span_exporter()
    batch = spans(100)
    for _ in range(20):
        for _ in batch:
            assert intake.admit()
        started = time.monotonic()
        exporter.export(batch)
        assert time.monotonic() - started < 5  # until somebody takes it, it would be for ever
        assert holds(unheard.counts()["traces"])
    counts = unheard.counts()["traces"]
    assert counts.emitted == counts.handed == 2_000
    assert counts.dropped["buffer_full"] > 0
    assert counts.held > 0
    assert not unheard.close(soon(0.1))
    after = unheard.counts()["traces"]
    assert after.held == 0
    assert after.dropped["shutdown"] == after.emitted - after.dropped["buffer_full"]


def test_one_item_that_cannot_be_encoded_costs_only_itself(embedded: Outbox) -> None:
    loggers = LoggerProvider()
    intake = embedded.intake("logs", limit=1_000)
    loggers.add_log_record_processor(BatchLogRecordProcessor(embedded.log_exporter()))
    logger = loggers.get_logger("l")
    for number in range(100):
        assert intake.admit()
        logger.emit(LogRecord(body=object() if number == 42 else f"line {number}", timestamp=number))  # type: ignore[arg-type]
    loggers.force_flush()
    assert embedded.flush(soon())
    assert embedded.counts()["logs"] == Counts(100, 100, 99, {"unencodable": 1}, 0)
    loggers.shutdown()


def test_the_sdk_never_drops_in_silence(embedded: Outbox) -> None:
    """More than the queue holds, faster than it is emptied: each span is delivered or counted."""
    tracers = TracerProvider()
    intake = embedded.intake("traces", limit=64)
    processor = BatchSpanProcessor(
        embedded.span_exporter(), max_queue_size=64, max_export_batch_size=64, schedule_delay_millis=20
    )
    tracers.add_span_processor(processor)
    admitted = [span for span in spans(5_000) if intake.admit() and processor.on_end(span) is None]
    tracers.force_flush()
    assert embedded.flush(soon())
    counts = embedded.counts()["traces"]
    assert counts.emitted == 5_000
    assert counts.delivered == len(admitted)
    assert counts.dropped == {"queue_full": 5_000 - len(admitted)}
    assert holds(counts)
    tracers.shutdown()


def test_what_still_waits_in_the_sdk_at_the_end_is_counted_once(unheard: Outbox) -> None:
    intake = unheard.intake("traces", limit=100)
    exporter = unheard.span_exporter()
    for _ in range(7):
        assert intake.admit()
    unheard.close(soon(0.1))
    exporter.export(spans(7))  # a worker that was late
    assert not intake.admit()
    assert unheard.counts()["traces"] == Counts(8, 0, 0, {"shutdown": 8}, 0)


def test_off_has_no_thread_and_counts_nothing() -> None:
    threads = threading.enumerate()
    outbox = Outbox("off")
    assert threading.enumerate() == threads
    intake = outbox.intake("traces", limit=10)
    assert not intake.admit()
    outbox.span_exporter().export(spans(3))
    assert outbox.flush(soon())
    assert outbox.close(soon())
    assert outbox.counts()["traces"] == Counts(0, 0, 0, {}, 0)


# -- what is said ------------------------------------------------------------------------------------------------------


def test_trouble_is_said_once_a_minute_and_without_secrets(
    nobody: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = nobody.replace("http://", "http://user:hunter2@") + "/in?key=hunter2"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", secret)
    outbox = Outbox()
    outbox.span_exporter().export(spans(1))
    with caplog.at_level(logging.INFO):
        for _ in range(5):
            outbox.flush(soon(0.1))
    outbox.close(soon(0.1))
    assert len(caplog.records) == 1
    (message,) = caplog.messages
    assert "ConnectionRefusedError" in message
    assert "1 requests" in message
    state = outbox.state().lanes["traces"]
    assert (state.endpoint, state.last_success) == (nobody + "/in", None)
    assert state.last_failure is not None
    assert "ConnectionRefusedError" in state.last_error
    assert "hunter2" not in message + repr(state)


def test_once_a_minute() -> None:
    limit = OnceAMinute(seconds=0.05)
    assert [limit.allows(), limit.allows()] == [True, False]
    end = soon()
    while not limit.allows():
        assert time.monotonic() < end


def test_retry_after_as_number_as_date_and_as_nonsense() -> None:
    assert _retry_after("7") == 7
    assert _retry_after("-1") == 0
    assert _retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert _retry_after("soon") is None
    assert _retry_after(None) is None


def test_urls_lose_their_secrets() -> None:
    assert _without_secrets("https://user:pass@host:4318/v1/traces?token=x#y") == "https://host:4318/v1/traces"


def test_unreadable_answers_are_no_rejection() -> None:
    assert partial_success("traces", b"") == (0, "")
    assert partial_success("logs", b"<html>not protobuf</html>") == (0, "")


def test_root_cause_survives_a_circle() -> None:
    outer, inner = ValueError("outer"), OSError("inner")
    outer.__cause__, inner.__cause__ = inner, outer
    assert root_cause(outer) == "OSError: inner"


def test_importing_it_imports_no_exporter() -> None:
    script = (
        "import sys, otel_mcbot.export.outbox; "
        "print([name for name in sys.modules if name.split('.')[0] in ('requests', 'urllib3', 'google', 'grpc') "
        "or name.startswith(('opentelemetry.exporter', 'opentelemetry.proto'))])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert ran.stdout.strip() == "[]"
