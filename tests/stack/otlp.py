"""Requests as any OpenTelemetry sender could make them, well or badly: written by hand, one at a time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, NumberDataPoint
from stack import fetch

DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE

PATHS = {
    ExportMetricsServiceRequest: "v1/metrics",
    ExportTraceServiceRequest: "v1/traces",
    ExportLogsServiceRequest: "v1/logs",
}


def any_value(value: Any) -> AnyValue:
    if isinstance(value, Mapping):
        return AnyValue(kvlist_value={"values": attributes(value)})
    if isinstance(value, list):
        return AnyValue(array_value={"values": [any_value(item) for item in value]})
    return AnyValue(
        **{{bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}[type(value)]: value}
    )


def attributes(values: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in values.items()]


def resource(instance: str, mode: str = "paper", **more: Any) -> dict[str, Any]:
    return {
        "attributes": attributes(
            {"service.name": "raw", "service.namespace": "mcbot", "service.instance.id": instance, "trading.mode": mode}
            | more
        )
    }


def point(value: int, *, at: float | None = None, start: float | None = None, **labels: Any) -> NumberDataPoint:
    now = time.time() if at is None else at
    return NumberDataPoint(
        as_int=value,
        time_unix_nano=int(now * 1e9),
        start_time_unix_nano=int((now - 1 if start is None else start) * 1e9),
        attributes=attributes(labels),
    )


def counter(name: str, points: Iterable[NumberDataPoint], temporality: Any = CUMULATIVE) -> dict[str, Any]:
    return {
        "name": name,
        "sum": {"is_monotonic": True, "aggregation_temporality": temporality, "data_points": list(points)},
    }


def metrics(instance: str, *found: Mapping[str, Any], mode: str = "paper") -> ExportMetricsServiceRequest:
    return ExportMetricsServiceRequest(
        resource_metrics=[
            {
                "resource": resource(instance, mode),
                "scope_metrics": [{"scope": {"name": "raw"}, "metrics": list(found)}],
            }
        ]
    )


def spans(instance: str, *found: Mapping[str, Any], mode: str = "paper") -> ExportTraceServiceRequest:
    return ExportTraceServiceRequest(
        resource_spans=[
            {"resource": resource(instance, mode), "scope_spans": [{"scope": {"name": "raw"}, "spans": list(found)}]}
        ]
    )


def logs(instance: str, *found: Mapping[str, Any], mode: str = "paper") -> ExportLogsServiceRequest:
    return ExportLogsServiceRequest(
        resource_logs=[
            {
                "resource": resource(instance, mode),
                "scope_logs": [{"scope": {"name": "raw"}, "log_records": list(found)}],
            }
        ]
    )


def send(endpoint: str, request: Any) -> None:
    """Post it; the Collector must have taken it."""
    status, body = fetch(
        f"{endpoint}/{PATHS[type(request)]}",
        request.SerializeToString(),
        headers={"Content-Type": "application/x-protobuf"},
    )
    assert status == 200, body
