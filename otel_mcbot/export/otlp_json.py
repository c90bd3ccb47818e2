"""OTLP/JSON from OTLP protobuf: ids in hex, enums as integers, 64-bit integers as strings, names in lowerCamelCase.

protobuf's own JSON writes ids in base64 and is slow; this compiles a plan for each message type once and writes the
repeated leaves (spans, records, metrics) one by one, so that no single step holds the interpreter for long.

Source: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
"""

from __future__ import annotations

import base64
import functools
import json
import math
from collections.abc import Callable
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from otel_mcbot.export.sender import Signal

REQUESTS: Final[dict[Signal, type[Message]]] = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
}

Convert = Callable[[Any], Any]

_INT64: Final = frozenset(
    {
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_UINT64,
        FieldDescriptor.TYPE_FIXED64,
        FieldDescriptor.TYPE_SFIXED64,
        FieldDescriptor.TYPE_SINT64,
    }
)
_IDS: Final = frozenset({"trace_id", "span_id", "parent_span_id"})
_NOT_FINITE: Final = {math.inf: "Infinity", -math.inf: "-Infinity"}
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def encode(signal: Signal, body: bytes) -> bytes:
    """The protobuf export request ``body`` as one line of OTLP/JSON, without the line's end.

    Raises:
        google.protobuf.message.DecodeError: ``body`` is not such a request.
    """
    return _text(REQUESTS[signal].FromString(body), depth=3).encode()


def _text(message: Message, depth: int) -> str:
    if not depth:
        return _dumps(_object(message))
    plan = _plan(message.DESCRIPTOR)
    members: list[str] = []
    for field, value in message.ListFields():
        name, convert = plan[field.number]
        if field.is_repeated and field.message_type is not None:
            text = f"[{','.join([_text(part, depth - 1) for part in value])}]"
        else:
            text = _dumps(convert(value))
        members.append(f'"{name}":{text}')
    return f"{{{','.join(members)}}}"


def _object(message: Message) -> dict[str, Any]:
    plan = _plan(message.DESCRIPTOR)
    result: dict[str, Any] = {}
    for field, value in message.ListFields():
        name, convert = plan[field.number]
        result[name] = convert(value)
    return result


def _key_value(pair: KeyValue) -> dict[str, Any]:
    # attributes are most of a request: without the detour over ListFields they take a third of the time
    return {"key": pair.key, "value": _any_value(pair.value)}


def _any_value(value: AnyValue) -> dict[str, Any]:
    match value.WhichOneof("value"):
        case "string_value":
            return {"stringValue": value.string_value}
        case "int_value":
            return {"intValue": str(value.int_value)}
        case "double_value":
            return {"doubleValue": _double(value.double_value)}
        case "bool_value":
            return {"boolValue": value.bool_value}
        case _:
            return _object(value)


@functools.cache
def _plan(descriptor: Descriptor) -> dict[int, tuple[str, Convert]]:
    """Field number → name in JSON and conversion, for one message type."""
    return {field.number: (field.json_name, _convert(field)) for field in descriptor.fields}


def _convert(field: FieldDescriptor) -> Convert:
    one = _convert_one(field)
    if not field.is_repeated:
        return one
    return lambda values: [one(value) for value in values]


def _convert_one(field: FieldDescriptor) -> Convert:
    if field.message_type is not None:
        return _key_value if field.message_type is KeyValue.DESCRIPTOR else _object
    if field.type in _INT64:
        return str
    if field.type in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT):
        return _double
    if field.type == FieldDescriptor.TYPE_BYTES:
        return bytes.hex if field.name in _IDS else lambda value: base64.b64encode(value).decode()
    return lambda value: value


def _double(value: float) -> float | str:
    return value if math.isfinite(value) else _NOT_FINITE.get(value, "NaN")
