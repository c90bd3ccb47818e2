"""The SDK's providers: handed in, the host's, or ours; and what stands between them and the outbox."""

from __future__ import annotations

import contextlib
import math
import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

from otel_mcbot import catalog
from otel_mcbot.export import Intake, Outbox
from otel_mcbot.guard import Guard
from otel_mcbot.settings import Settings
from otel_mcbot.trace.sampling import KeepProcessor


class _Admitted(LogRecordProcessor):
    """Stands before the batch processor and counts, so that the SDK never drops in silence."""

    def __init__(self, following: LogRecordProcessor, intake: Intake) -> None:
        self._following = following
        self._intake = intake

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        if self._intake.admit():
            self._following.on_emit(log_record)

    def shutdown(self) -> None:
        self._following.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._following.force_flush(timeout_millis)


class Counted(MetricExporter):
    """Counts the series of each collection. Cumulative, whatever a variable prefers: Prometheus takes nothing else."""

    def __init__(self, following: MetricExporter) -> None:
        super().__init__()
        self._following = following
        self.series = 0

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        self.series = sum(
            len(metric.data.data_points)
            for resource in metrics_data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        )
        return self._following.export(metrics_data, timeout_millis=timeout_millis, **kwargs)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        self._following.shutdown(timeout_millis=timeout_millis, **kwargs)


_ours: weakref.WeakSet[object] = weakref.WeakSet()
"""Providers that this module made, also those of a parent process: never the host's."""


class Providers:
    """The three providers: handed in, the host's, or ours."""

    def __init__(self, settings: Settings, resource: Resource, outbox: Outbox, given: Sequence[object]) -> None:
        host = (
            (trace.get_tracer_provider(), TracerProvider),
            (metrics.get_meter_provider(), MeterProvider),
            (_logs.get_logger_provider(), LoggerProvider),
        )
        off = outbox.mode == "off"
        used = [
            handed or (current if isinstance(current, kind) and current not in _ours and not off else None)
            for handed, (current, kind) in zip(given, host, strict=True)
        ]
        self._settings = settings
        self._resource = resource
        self._outbox = outbox
        self._own: list[TracerProvider | LoggerProvider] = []
        self._server: Any = None
        self.reader: PeriodicExportingMetricReader | None = None
        self.counted: Counted | None = None
        self.readers = 1
        self.viewed = used[1] is None
        if isinstance(used[0], trace.NoOpTracerProvider):
            used[0] = None  # its spans have no ids, by which the lifecycle knows its cycles
            settings = replace(settings, traces_exporter="none")
        self.meter: Any = used[1] or self._make_meter(export=not off and settings.metrics_exporter == "otlp")
        self.tracer: Any = used[0] or self._make_tracer(export=not off and settings.traces_exporter == "otlp")
        self.logger: Any = used[2] or self._make_logger(export=not off and settings.logs_exporter == "otlp")
        _ours.update(
            made for made, adopted in zip((self.tracer, self.meter, self.logger), used, strict=True) if not adopted
        )
        self._share(used)

    def _make_meter(self, *, export: bool) -> MeterProvider:
        readers: list[MetricReader] = []
        if export:
            self.counted = Counted(self._outbox.metric_exporter())
            # no thread of its own: it would go on in a forked child, under its parent's name
            self.reader = PeriodicExportingMetricReader(self.counted, export_interval_millis=math.inf)
            readers.append(self.reader)
        if self._settings.prometheus_port is not None:
            with Guard("prometheus"):
                readers.append(self._serve(self._settings.prometheus_host, self._settings.prometheus_port))
        self.readers = max(1, len(readers))
        return MeterProvider(readers, self._resource, shutdown_on_exit=False, views=views())

    def _serve(self, host: str, port: int) -> MetricReader:
        from opentelemetry.exporter.prometheus import PrometheusMetricReader
        from prometheus_client import CollectorRegistry, start_http_server

        registry = CollectorRegistry()
        self._server, _ = start_http_server(port, host, registry)
        return PrometheusMetricReader(scope_info_enabled=False, registry=registry)

    @property
    def prometheus_port(self) -> int | None:
        """The port that the pull endpoint got."""
        return int(self._server.server_port) if self._server is not None else None

    def _make_tracer(self, *, export: bool) -> TracerProvider:
        # without export a span still has ids of its own: the lifecycle knows its cycles by them
        provider = TracerProvider(ALWAYS_ON if export else ALWAYS_OFF, self._resource, shutdown_on_exit=False)
        if export:
            settings = self._settings
            batch = BatchSpanProcessor(
                self._outbox.span_exporter(),
                max_queue_size=settings.span_queue,
                schedule_delay_millis=settings.span_delay * 1e3,
                max_export_batch_size=settings.span_batch,
                meter_provider=self.meter,
            )
            intake = self._outbox.intake("traces", settings.span_queue)
            provider.add_span_processor(
                KeepProcessor(batch, ratio=settings.sample_ratio, slow=settings.slow_cycle, admit=intake.admit)
            )
        self._own.append(provider)
        return provider

    def _make_logger(self, *, export: bool) -> Any:
        if not export:
            return _logs.NoOpLoggerProvider()
        settings = self._settings
        provider = LoggerProvider(self._resource, shutdown_on_exit=False)
        batch = BatchLogRecordProcessor(
            self._outbox.log_exporter(),
            max_queue_size=settings.log_queue,
            schedule_delay_millis=settings.log_delay * 1e3,
            max_export_batch_size=settings.log_batch,
            meter_provider=self.meter,
        )
        provider.add_log_record_processor(_Admitted(batch, self._outbox.intake("logs", settings.log_queue)))
        self._own.append(provider)
        return provider

    def _share(self, used: Sequence[object]) -> None:
        """Let other instrumentations of the process join ours, where nobody else's is set."""
        for mine, adopted, current, share in (
            (self.tracer, used[0], trace.get_tracer_provider(), trace.set_tracer_provider),
            (self.meter, used[1], metrics.get_meter_provider(), metrics.set_meter_provider),
            (self.logger, used[2], _logs.get_logger_provider(), _logs.set_logger_provider),
        ):
            unset = type(current).__module__.startswith("opentelemetry.") and ".sdk." not in type(current).__module__
            if not adopted and unset and self._outbox.mode != "off":
                share(mine)

    def collect(self) -> None:
        """Read all instruments and hand the values to the outbox."""
        if self.reader is not None:
            self.reader.collect()

    def flush(self) -> None:
        """Hand everything to the outbox. Blocks on nothing but the host's own exporters."""
        for provider in (self.tracer, self.logger):
            if hasattr(provider, "force_flush"):
                with Guard("flush"):
                    provider.force_flush()
        with Guard("flush"):
            self.collect()

    def shutdown(self) -> None:
        """:meth:`flush`, and no more after that from ours."""
        for provider in self._own:
            with Guard("flush"):
                provider.shutdown()
        self.flush()
        self.stop_serving()

    def stop_serving(self, *, forked: bool = False) -> None:
        """Close the pull endpoint; in a forked child only its socket, because its thread is not there."""
        server, self._server = self._server, None
        if server is not None:
            with contextlib.suppress(OSError):
                if not forked:
                    server.shutdown()
                server.server_close()


def views() -> list[View]:
    """The views that a meter provider needs: histograms of values below 0, which the SDK has no instrument for."""
    return [
        View(instrument_name=row.otel_name, aggregation=ExplicitBucketHistogramAggregation(row.buckets or ()))
        for row in catalog.signed_histograms()
    ]
