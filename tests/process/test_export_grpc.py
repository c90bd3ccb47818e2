"""The outbox over gRPC: the same ring and the same account, other words for what went wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from receiver import BlackHole, wait_for
from test_export_http import Bot, span

from otel_mcbot.export import Counts, Outbox


class Collector:
    """A gRPC server for all OTLP services; ``answer`` may abort."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, bytes, dict[str, Any]]] = []
        self.response = b""
        self.answer: Callable[[grpc.ServicerContext], None] = lambda context: None
        self.port = 0
        self.start()

    def start(self) -> None:
        self._server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((self._handler(),))
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()

    def stop(self) -> None:
        self._server.stop(None).wait()

    @property
    def spans(self) -> list[str]:
        return [
            span.name
            for method, body, _ in self.calls
            if "TraceService" in method
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def _handler(self) -> grpc.GenericRpcHandler:
        collector = self

        class Handler(grpc.GenericRpcHandler):
            def service(self, details: Any) -> Any:
                def export(body: bytes, context: grpc.ServicerContext) -> bytes:
                    collector.answer(context)
                    collector.calls.append((details.method, body, dict(context.invocation_metadata())))
                    return collector.response

                return grpc.unary_unary_rpc_method_handler(export)

        return Handler()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    running = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{running.port}")
    yield running
    running.stop()


@pytest.fixture
def outbox(collector: Collector) -> Iterator[Outbox]:
    made = Outbox(protocol="grpc")
    yield made
    made.close(time.monotonic() + 1)


def abort(code: grpc.StatusCode, retry_after: float | None = None) -> Callable[[grpc.ServicerContext], None]:
    def answer(context: grpc.ServicerContext) -> None:
        if retry_after is not None:
            detail = AnyMessage()
            detail.Pack(RetryInfo(retry_delay=Duration(seconds=int(retry_after))))
            status = Status(code=code.value[0], details=[detail])
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(code, "refused by the test")

    return answer


def test_all_signals_arrive_as_the_standard_variables_say(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-token=all")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "x-token=logs")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"127.0.0.1:{collector.port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_INSECURE", "true")
    bot = Bot(Outbox(protocol="grpc"))
    for number in range(100):
        bot.order(number)
    assert bot.close()
    assert len(collector.spans) == 100
    assert bot.outbox.counts()["logs"] == Counts(100, 100, 100, {}, 0)
    tokens = {method.rpartition(".")[2]: metadata["x-token"] for method, _, metadata in collector.calls}
    assert tokens == {"TraceService/Export": "all", "MetricsService/Export": "all", "LogsService/Export": "logs"}
    assert bot.outbox.state().lanes["traces"].endpoint == f"127.0.0.1:{collector.port}"


def test_a_collector_that_dies_and_comes_back_has_lost_nothing(collector: Collector, outbox: Outbox) -> None:
    bot = Bot(outbox)
    bot.trade(0.3)
    assert bot.flush()
    collector.stop()
    bot.trade(0.7)
    wait_for(lambda: "UNAVAILABLE" in outbox.state().lanes["traces"].last_error)
    collector.start()
    bot.trade(0.3)
    assert bot.close()
    counts = outbox.counts()
    assert counts["traces"].dropped == counts["logs"].dropped == {}
    assert len(collector.spans) == counts["traces"].emitted == counts["traces"].delivered == 260


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "refused_invalid_argument"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "refused_resource_exhausted"),  # without RetryInfo: too large, for good
    ],
)
def test_what_is_refused_for_good_is_dropped(
    collector: Collector, outbox: Outbox, code: grpc.StatusCode, reason: str
) -> None:
    collector.answer = abort(code)
    outbox.span_exporter().export([span(), span()])
    assert outbox.flush(time.monotonic() + 30)
    assert outbox.counts()["traces"] == Counts(2, 2, 0, {reason: 2}, 0)


def test_what_is_exhausted_for_now_is_sent_again(collector: Collector, outbox: Outbox) -> None:
    collector.answer = abort(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after=20)
    outbox.span_exporter().export([span()])
    wait_for(lambda: outbox.state().lanes["traces"].last_failure is not None)
    assert outbox.counts()["traces"].held == 1
    collector.answer = lambda context: None
    assert outbox.flush(time.monotonic() + 30)
    assert outbox.counts()["traces"] == Counts(1, 1, 1, {}, 0)


def test_partial_success_is_counted(collector: Collector, outbox: Outbox) -> None:
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = 2
    collector.response = response.SerializeToString()
    outbox.span_exporter().export([span(), span(), span()])
    assert outbox.flush(time.monotonic() + 30)
    assert outbox.counts()["traces"] == Counts(3, 3, 1, {"rejected": 2}, 0)


@pytest.mark.parametrize("accepts", [True, False], ids=["swallows", "drops SYN"])
def test_a_black_hole_holds_nobody(accepts: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with BlackHole(accepts=accepts) as hole:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", hole.endpoint)
        outbox = Outbox(protocol="grpc")
        outbox.span_exporter().export([span()])
        started = time.monotonic()
        assert not outbox.close(started + 0.5)
        assert time.monotonic() - started < 5  # a try goes on for 10 s
        assert outbox.counts()["traces"] == Counts(1, 1, 0, {"shutdown": 1}, 0)


@pytest.mark.parametrize(("timeout", "variable"), [(0.2, "60"), (60, "0.2")])
def test_a_try_is_as_short_as_asked_for(timeout: float, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with BlackHole() as hole:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", hole.endpoint)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", variable)
        outbox = Outbox(protocol="grpc", timeout=timeout)
        outbox.span_exporter().export([span()])
        wait_for(lambda: outbox.state().lanes["traces"].last_failure is not None)
        assert "DEADLINE_EXCEEDED" in outbox.state().lanes["traces"].last_error
        assert outbox.counts()["traces"].held == 1
        outbox.close(time.monotonic())
