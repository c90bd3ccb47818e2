"""OTLP over gRPC (the ``grpc`` extra): the same bytes as over HTTP, in a unary call of the OTLP services."""

from __future__ import annotations

import os
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.util.re import parse_env_headers

from otel_mcbot.export.sender import Outcome, Signal, partial_success

METHODS: Final[dict[Signal, str]] = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}

RETRYABLE: Final = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""Codes after which OTLP wants the same request again (OTLP specification, failures over gRPC)."""

CHANNEL_OPTIONS: Final = (
    # our own back-off decides when to try; the channel's would still sleep (up to 2 minutes) after a Collector is back
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


class Target(NamedTuple):
    """Where a signal goes, by the standard variables."""

    address: str
    call: Any
    metadata: tuple[tuple[str, str], ...]
    timeout: float


class GrpcSender:
    """Sends payloads over one channel a signal, one try a call.

    Args:
        default_endpoint: used where no variable names one.

    Raises:
        ValueError: a variable holds what gRPC cannot use.
        OSError: a certificate file cannot be read.
    """

    def __init__(self, default_endpoint: str) -> None:
        self._channels: list[Any] = []
        self._targets = {signal: self._target(signal, default_endpoint) for signal in METHODS}

    def endpoint(self, signal: Signal) -> str:
        return self._targets[signal].address

    def send(self, signal: Signal, body: bytes, timeout: float) -> Outcome:
        target = self._targets[signal]
        try:
            answer = target.call(body, timeout=min(timeout, target.timeout), metadata=target.metadata)
        except grpc.RpcError as error:
            return _judge(error)
        except ValueError as error:  # the channel was closed
            return Outcome("again", error=str(error))
        rejected, message = partial_success(signal, answer)
        return Outcome("delivered", rejected=rejected, error=message)

    def close(self) -> None:
        for channel in self._channels:
            channel.close()

    def _target(self, signal: Signal, default_endpoint: str) -> Target:
        endpoint = _variable(signal, "ENDPOINT") or default_endpoint
        parts = urlsplit(endpoint)
        address = parts.netloc.rpartition("@")[2] or endpoint
        insecure = (_variable(signal, "INSECURE") or "").lower() == "true" or parts.scheme == "http"
        gzip = (_variable(signal, "COMPRESSION") or "").strip().lower() == "gzip"
        compression = grpc.Compression.Gzip if gzip else grpc.Compression.NoCompression
        if insecure and parts.scheme != "https":
            channel = grpc.insecure_channel(address, options=CHANNEL_OPTIONS, compression=compression)
        else:
            credentials = grpc.ssl_channel_credentials(
                root_certificates=_file(_variable(signal, "CERTIFICATE")),
                private_key=_file(_variable(signal, "CLIENT_KEY")),
                certificate_chain=_file(_variable(signal, "CLIENT_CERTIFICATE")),
            )
            channel = grpc.secure_channel(address, credentials, options=CHANNEL_OPTIONS, compression=compression)
        self._channels.append(channel)
        headers = parse_env_headers(_variable(signal, "HEADERS") or "", liberal=True)
        return Target(
            address,
            channel.unary_unary(METHODS[signal], request_serializer=None, response_deserializer=None),
            tuple(headers.items()),
            float(_variable(signal, "TIMEOUT") or 10.0),
        )


def _judge(error: Any) -> Outcome:
    code = error.code()
    words = f"gRPC {code.name} {error.details() or ''}".strip()[:200]
    wait = _retry_delay(error)
    # exhausted for good (a message that is too large) or for now: OTLP tells them apart by the delay that comes along
    if code in RETRYABLE or (code is grpc.StatusCode.RESOURCE_EXHAUSTED and wait is not None):
        return Outcome("again", error=words, wait=wait)
    return Outcome("refused", reason=f"refused_{code.name.lower()}", error=words)


def _retry_delay(error: Any) -> float | None:
    """Seconds of the ``RetryInfo`` in the status details, if there is one."""
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    if not isinstance(details, bytes):
        return None
    info = RetryInfo()
    try:
        found = any(detail.Unpack(info) for detail in Status.FromString(details).details)
    except DecodeError:
        return None
    return info.retry_delay.seconds + info.retry_delay.nanos / 1e9 if found else None


def _variable(signal: Signal, name: str) -> str | None:
    """The signal's own variable of the OTLP exporter, else the one for all signals."""
    return os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_{name}") or os.environ.get(f"OTEL_EXPORTER_OTLP_{name}")


def _file(path: str | None) -> bytes | None:
    if not path:
        return None
    with open(path, "rb") as file:
        return file.read()
