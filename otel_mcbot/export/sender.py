"""What every way of sending has in common: what became of a payload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol

Signal = Literal["traces", "metrics", "logs"]
SIGNALS: Final[tuple[Signal, ...]] = ("traces", "metrics", "logs")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a receiver made of a payload.

    Attributes:
        kind: ``delivered``; ``again`` when it must be sent once more; ``refused`` when it never will be taken.
        rejected: items of a delivered payload that the receiver did not take (OTLP's partial success).
        reason: for ``refused`` the reason under which its items are counted (``refused_400``).
        error: what went wrong, in words that hold no secret.
        wait: seconds after which the receiver asks to be tried again.
    """

    kind: Literal["delivered", "again", "refused"]
    rejected: int = 0
    reason: str = ""
    error: str = ""
    wait: float | None = None


class Sender(Protocol):
    """Sends one payload at a time; only the export thread calls it."""

    def send(self, signal: Signal, body: bytes, timeout: float) -> Outcome:
        """Send ``body`` within about ``timeout`` seconds. Never raises."""
        ...

    def endpoint(self, signal: Signal) -> str:
        """Where the signal goes, without credentials."""
        ...

    def close(self) -> None:
        """Give the connections back."""
        ...


def partial_success(signal: Signal, body: bytes) -> tuple[int, str]:
    """``(rejected items, message)`` of an OTLP export response in protobuf; ``(0, "")`` when it cannot be read."""
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    if not body:
        return 0, ""
    try:
        match signal:
            case "traces":
                spans = ExportTraceServiceResponse.FromString(body).partial_success
                return spans.rejected_spans, spans.error_message
            case "metrics":
                points = ExportMetricsServiceResponse.FromString(body).partial_success
                return points.rejected_data_points, points.error_message
            case "logs":
                records = ExportLogsServiceResponse.FromString(body).partial_success
                return records.rejected_log_records, records.error_message
    except DecodeError:
        return 0, ""


def root_cause(error: BaseException) -> str:
    """The innermost exception behind ``error`` as ``Type: words``; outer ones quote URLs, which may hold secrets."""
    seen = {id(error)}
    while (inner := error.__cause__ or error.__context__) is not None and id(inner) not in seen:
        seen.add(id(inner))
        error = inner
    return f"{type(error).__name__}: {error}"
