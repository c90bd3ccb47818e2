"""OTLP/JSON: the same content as protobuf's own JSON, with the ids and enums that OTLP wants."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanKind

from otel_mcbot.export.otlp_json import REQUESTS, encode
from otel_mcbot.export.sender import Signal

IDS = ("traceId", "spanId", "parentSpanId")


def as_otlp(node: Any) -> Any:
    """protobuf's JSON with the ids as OTLP writes them: hex."""
    if isinstance(node, list):
        return [as_otlp(each) for each in node]
    if isinstance(node, dict):
        return {key: base64.b64decode(each).hex() if key in IDS else as_otlp(each) for key, each in node.items()}
    return node


def same_as_protobuf(signal: Signal, body: bytes) -> dict[str, Any]:
    text = encode(signal, body)
    assert b"\n" not in text
    ours: dict[str, Any] = json.loads(text)
    request = REQUESTS[signal].FromString(body)
    theirs = json_format.MessageToDict(request, use_integers_for_enums=True)
    assert ours == as_otlp(theirs)
    return ours


def leaves(request: dict[str, Any], *path: str) -> list[dict[str, Any]]:
    found: Sequence[dict[str, Any]] = [request]
    for name in path:
        found = [each for node in found for each in node[name]]
    return list(found)


def test_spans() -> None:
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("scope", "1.0", schema_url="https://example.org/1", attributes={"of": "scope"})
    with tracer.start_as_current_span("root", kind=SpanKind.CLIENT) as root:
        root.set_attributes(
            {
                "text": 'quote " backslash \\ line\nbreak ünïcode \u2028',
                "empty": "",
                "whole": 2**62,
                "zero": 0,
                "negative": -7,
                "real": 0.1,
                "yes": True,
                "no": False,
                "list": ["a", "b"],
                "numbers": [1.5, 2.5],
            }
        )
        root.add_event("order.filled", {"price": 1.25})
        with (
            pytest.raises(ValueError, match="boom"),
            tracer.start_as_current_span("child", links=[Link(root.get_span_context(), {"why": "retry"})]),
        ):
            raise ValueError("boom")
    body = encode_spans(memory.get_finished_spans()).SerializeToString()
    child, parent = leaves(same_as_protobuf("traces", body), "resourceSpans", "scopeSpans", "spans")
    context = root.get_span_context()
    assert parent["traceId"] == f"{context.trace_id:032x}"
    assert parent["spanId"] == child["parentSpanId"] == child["links"][0]["spanId"] == f"{context.span_id:016x}"
    assert (parent["kind"], child["status"]["code"]) == (3, 2)
    assert isinstance(parent["startTimeUnixNano"], str)
    assert child["events"][0]["name"] == "exception"


def test_logs() -> None:
    memory = InMemoryLogRecordExporter()
    provider = LoggerProvider()
    provider.add_log_record_processor(SimpleLogRecordProcessor(memory))
    logger = provider.get_logger("scope")
    logger.emit(event_name="mcbot.order.filled", body="filled", attributes={"nested": {"a": [1, None, {"b": b"raw"}]}})
    logger.emit(body={"map": "body", "n": 1}, exception=ValueError("boom"))
    logger.emit(body=None)
    body = encode_logs(memory.get_finished_logs()).SerializeToString()
    first, second, _ = leaves(same_as_protobuf("logs", body), "resourceLogs", "scopeLogs", "logRecords")
    assert first["eventName"] == "mcbot.order.filled"
    assert "exception.type" in [pair["key"] for pair in second["attributes"]]


def test_metrics() -> None:
    reader = InMemoryMetricReader()
    view = View(instrument_name="exponential", aggregation=ExponentialBucketHistogramAggregation())
    provider = MeterProvider([reader], views=[view])
    meter = provider.get_meter("scope")
    with TracerProvider().get_tracer("t").start_as_current_span("order") as span:
        meter.create_counter("counter", "1").add(3, {"symbol": "BTC/USDT"})
        meter.create_up_down_counter("up_down").add(-2.5)
        meter.create_gauge("gauge").set(0.0)
        histogram = meter.create_histogram("histogram", "s", explicit_bucket_boundaries_advisory=[0.1, 1.0])
        histogram.record(0.05)
        histogram.record(5.0)
        meter.create_histogram("exponential").record(1.5)
    data = reader.get_metrics_data()
    assert data is not None
    body = encode_metrics(data).SerializeToString()
    metrics = {
        metric["name"]: metric
        for metric in leaves(same_as_protobuf("metrics", body), "resourceMetrics", "scopeMetrics", "metrics")
    }
    assert set(metrics) == {"counter", "up_down", "gauge", "histogram", "exponential"}
    point = metrics["histogram"]["histogram"]["dataPoints"][0]
    assert point["bucketCounts"] == ["1", "0", "1"]
    assert {exemplar["spanId"] for exemplar in point["exemplars"]} == {f"{span.get_span_context().span_id:016x}"}
    assert metrics["counter"]["sum"]["aggregationTemporality"] == 2


def test_numbers_that_json_does_not_have() -> None:
    request = ExportMetricsServiceRequest()
    points = request.resource_metrics.add().scope_metrics.add().metrics.add(name="g").gauge.data_points
    for number in (math.nan, math.inf, -math.inf):
        points.add(as_double=number)
    ours = same_as_protobuf("metrics", request.SerializeToString())
    metric = leaves(ours, "resourceMetrics", "scopeMetrics", "metrics")[0]
    assert [point["asDouble"] for point in metric["gauge"]["dataPoints"]] == ["NaN", "Infinity", "-Infinity"]


def test_empty_request() -> None:
    assert encode("traces", ExportTraceServiceRequest().SerializeToString()) == b"{}"
