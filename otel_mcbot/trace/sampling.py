"""Which traces leave the process, decided when it is known what became of them.

A sampler at the head would throw away the one order that an alert links to. So every span is recorded, and the spans
of a trade cycle wait until the cycle is worth keeping (a signal that points somewhere, an order, a call to the venue,
an error, a slow one) or its root ends. Only to what is worth nothing in particular does the ratio apply, by trace id,
as ``TraceIdRatioBased`` does it; what is dropped is counted.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import StatusCode

from otel_mcbot import catalog, semconv
from otel_mcbot.semconv import SpanName

_WORTHY = frozenset({SpanName.SUBMIT_ORDER, SpanName.AWAIT_FILL, SpanName.CONTINUED})
_MAX_TRACES = 2_000
_MAX_SPANS = 256


class KeepProcessor(SpanProcessor):
    """Stands before the batch processor and lets through what is to be kept.

    Args:
        following: the processor that exports.
        ratio: share of the unremarkable traces to keep, 0–1; 1 lets everything through at once.
        slow: seconds from which a cycle is worth keeping for its length alone.
        admit: asked before each span is handed on; ``False`` when the queue behind is full (and has counted it).
    """

    def __init__(
        self,
        following: SpanProcessor,
        *,
        ratio: float = 1.0,
        slow: float = 10.0,
        admit: Callable[[], bool] | None = None,
    ) -> None:
        self._following = following
        self._bound = round(ratio * 2**64)
        self._all = ratio >= 1.0
        self._slow = int(slow * 1e9)
        self._admit = admit
        self._lock = threading.Lock()
        self._held: OrderedDict[int, list[ReadableSpan]] = OrderedDict()
        self._kept: OrderedDict[int, None] = OrderedDict()
        self.unsampled = 0
        """Cycles that were dropped so far."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self._following.on_start(span, parent_context)
        if not self._all and span.parent is None and span.name == SpanName.TRADE_CYCLE:
            with self._lock:
                self._held[span.get_span_context().trace_id] = []
                oldest = next(iter(self._held)) if len(self._held) > _MAX_TRACES else None
            if oldest is not None:
                self._decide(oldest, keep=True)

    def on_end(self, span: ReadableSpan) -> None:
        if self._all:
            self._pass(span)
            return
        context = span.get_span_context()
        trace_id = context.trace_id if context is not None else 0
        with self._lock:
            held = self._held.get(trace_id)
            kept = trace_id in self._kept
            if held is not None:
                held.append(span)
        if held is None:
            if kept or self._by_ratio(trace_id):
                self._pass(span)
        elif self._worthy(span) or len(held) >= _MAX_SPANS:
            self._decide(trace_id, keep=True)
        elif span.parent is None:
            self._decide(trace_id, keep=self._by_ratio(trace_id))

    def _worthy(self, span: ReadableSpan) -> bool:
        if span.name in _WORTHY or span.name.startswith(semconv.EXCHANGE_SPAN_PREFIX):
            return True
        attributes = span.attributes or {}
        if attributes.get(semconv.SIGNAL_DIRECTION) in ("long", "short") or span.status.status_code is StatusCode.ERROR:
            return True
        slow = (
            span.end_time is not None and span.start_time is not None and span.end_time - span.start_time > self._slow
        )
        return span.parent is None and (slow or attributes.get(semconv.OUTCOME) not in (None, "no_order"))

    def _by_ratio(self, trace_id: int) -> bool:
        return (trace_id & 0xFFFF_FFFF_FFFF_FFFF) < self._bound

    def _decide(self, trace_id: int, *, keep: bool) -> None:
        with self._lock:
            held = self._held.pop(trace_id, [])
            if keep:
                self._kept[trace_id] = None
                while len(self._kept) > _MAX_TRACES:
                    self._kept.popitem(last=False)
            else:
                self.unsampled += 1
        if not keep:
            catalog.cycles_unsampled.add(1)
            return
        for span in held:
            self._pass(span)

    def _pass(self, span: ReadableSpan) -> None:
        if self._admit is None or self._admit():
            self._following.on_end(span)

    def release(self) -> None:
        """Let through all that still waits: the process ends, and nobody will decide any more."""
        with self._lock:
            waiting = list(self._held)
        for trace_id in waiting:
            self._decide(trace_id, keep=True)

    def shutdown(self) -> None:
        self.release()
        self._following.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._following.force_flush(timeout_millis)
