"""OTLP JSON lines, read back: the spans, series and log records that a process left on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from otel_mcbot.export.files import read
from otel_mcbot.export.sender import Signal


@dataclass(frozen=True)
class Span:
    """A span. Ids are lower-case hex, times nanoseconds; ``status`` is ``""``, ``OK`` or ``ERROR``."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int
    status: str
    attributes: Mapping[str, Any]
    links: tuple[Mapping[str, Any], ...]
    resource: Mapping[str, Any]


@dataclass(frozen=True)
class Record:
    """A log record. ``event`` is empty for a plain line."""

    event: str
    severity: str
    body: Any
    time: int
    trace_id: str
    span_id: str
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]


@dataclass(frozen=True)
class Point:
    """One series at its last collection. ``value`` is a histogram's sum, ``count`` its count (else 0).

    ``exemplars`` are those of every collection: each brings the ones since the collection before.
    """

    name: str
    type: str
    labels: Mapping[str, Any]
    value: float
    count: int
    exemplars: tuple[Mapping[str, Any], ...] = field(default=())


def spans(directory: Path) -> list[Span]:
    """Every span in the order in which it was written."""
    return [
        Span(
            name=span["name"],
            kind=_KINDS.get(span.get("kind", 0), str(span.get("kind"))),
            trace_id=span["traceId"].lower(),
            span_id=span["spanId"].lower(),
            parent_id=span.get("parentSpanId", "").lower(),
            start=int(span["startTimeUnixNano"]),
            end=int(span.get("endTimeUnixNano", 0)),
            status=_STATUS.get(span.get("status", {}).get("code", 0), "?"),
            attributes=attributes(span),
            links=tuple({**link, "attributes": attributes(link)} for link in span.get("links", ())),
            resource=resource,
        )
        for resource, span in _items(directory, "traces", "resourceSpans", "scopeSpans", "spans")
    ]


def records(directory: Path) -> list[Record]:
    """Every log record in the order in which it was written."""
    return [
        Record(
            event=record.get("eventName", ""),
            severity=record.get("severityText", ""),
            body=value(record.get("body", {})),
            time=int(record.get("timeUnixNano", 0)),
            trace_id=record.get("traceId", "").lower(),
            span_id=record.get("spanId", "").lower(),
            attributes=attributes(record),
            resource=resource,
        )
        for resource, record in _items(directory, "logs", "resourceLogs", "scopeLogs", "logRecords")
    ]


def points(directory: Path) -> list[Point]:
    """Every series with its last value."""
    found: dict[tuple[str, tuple[tuple[str, Any], ...]], Point] = {}
    for _, metric in _items(directory, "metrics", "resourceMetrics", "scopeMetrics", "metrics"):
        kind = next(name for name in ("sum", "gauge", "histogram") if name in metric)
        for point in metric[kind].get("dataPoints", ()):
            labels = attributes(point)
            number = point.get("asDouble", point.get("asInt", point.get("sum", 0)))
            key = (metric["name"], tuple(sorted(labels.items())))
            earlier = found[key].exemplars if key in found else ()
            found[key] = Point(
                name=metric["name"],
                type=kind,
                labels=labels,
                value=float(number),
                count=int(point.get("count", 0)),
                exemplars=(*earlier, *point.get("exemplars", ())),
            )
    return list(found.values())


def attributes(item: Mapping[str, Any]) -> dict[str, Any]:
    """OTLP's list of key and value as a plain mapping."""
    return {pair["key"]: value(pair["value"]) for pair in item.get("attributes", ())}


def value(wrapped: Mapping[str, Any]) -> Any:
    """OTLP's ``AnyValue`` as a Python value."""
    if "arrayValue" in wrapped:
        return [value(each) for each in wrapped["arrayValue"].get("values", ())]
    if "intValue" in wrapped:
        return int(wrapped["intValue"])
    return next(iter(wrapped.values()), None)


def _items(directory: Path, signal: Signal, *path: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The resource's attributes, and what lies at the end of ``path``, for each request of a signal."""
    for request in read(directory, signal):
        for outer in request.get(path[0], ()):
            resource = attributes(outer.get("resource", {}))
            for scope in outer.get(path[1], ()):
                for item in scope.get(path[2], ()):
                    yield resource, item


_KINDS = {1: "INTERNAL", 2: "SERVER", 3: "CLIENT", 4: "PRODUCER", 5: "CONSUMER"}
_STATUS = {0: "", 1: "OK", 2: "ERROR"}
