"""The stock OTLP/HTTP exporters with a session that ends in the ring: they encode, the outbox sends.

Their endpoint, headers, TLS, compression and time-out variables stay theirs. For gRPC they only encode.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from requests import Session

from otel_mcbot.export.http_sender import Route, session
from otel_mcbot.export.limit import OnceAMinute

T = TypeVar("T")
R = TypeVar("R")


class Desk:
    """Where a stock exporter hands over: knows how many items the request in hand holds.

    Args:
        put: takes ``(body, items)`` of an encoded request.
        lose: takes the number of items that could not be encoded.
        note: takes the route of the request.
    """

    def __init__(
        self, put: Callable[[bytes, int], None], lose: Callable[[int], None], note: Callable[[Route], None]
    ) -> None:
        self._put = put
        self._lose = lose
        self._note = note
        self._hand = threading.local()

    def session(self) -> Session:
        """The session to give to the stock exporter."""
        return session(self._take, self._note)

    def export(self, export: Callable[[Sequence[T]], R], batch: Sequence[T]) -> R:
        """Run the stock ``export``. One item that cannot be encoded costs itself, not the whole batch."""
        vars(self._hand)["items"] = len(batch)
        result = export(batch)
        if vars(self._hand).pop("items", None) is None:  # it was taken
            return result
        if len(batch) == 1:
            self._lose(1)
            return result
        middle = len(batch) // 2
        self.export(export, batch[:middle])
        return self.export(export, batch[middle:])

    def _take(self, body: bytes) -> None:
        self._put(body, vars(self._hand).pop("items", 1))


class SpanExporter(OTLPSpanExporter):
    """Spans into the ring."""

    def __init__(self, desk: Desk, **options: Any) -> None:
        super().__init__(session=desk.session(), **options)
        self.desk = desk

    def export(self, spans: Sequence[Any]) -> Any:
        """Encode and keep; never blocks on the network, never raises."""
        return self.desk.export(super().export, spans)

    def shutdown(self) -> None:
        """Nothing: the outbox is closed by its owner, after the providers."""


class LogExporter(OTLPLogExporter):
    """Log records into the ring."""

    def __init__(self, desk: Desk, **options: Any) -> None:
        super().__init__(session=desk.session(), **options)
        self.desk = desk

    def export(self, batch: Sequence[Any]) -> Any:
        """Encode and keep; never blocks on the network, never raises."""
        return self.desk.export(super().export, batch)

    def shutdown(self) -> None:
        """Nothing: the outbox is closed by its owner, after the providers."""


def metric_exporter(desk: Desk, **options: Any) -> OTLPMetricExporter:
    """The stock metric exporter: a request counts as one item, because the next one repeats its cumulative values."""
    return OTLPMetricExporter(session=desk.session(), **options)


def plain(url: str) -> dict[str, Any]:
    """Options for a stock exporter that only encodes, or sends to a default endpoint: no compression, a fixed URL."""
    return {"endpoint": url, "compression": Compression.NoCompression}


def quiet() -> None:
    """Let the stock exporters speak once a minute each: a request they cannot encode is counted by the outbox."""
    for name in (OTLPSpanExporter.__module__, OTLPLogExporter.__module__, OTLPMetricExporter.__module__):
        logger = logging.getLogger(name)
        if not any(isinstance(present, OnceAMinute) for present in logger.filters):
            logger.addFilter(OnceAMinute())
