"""The way of the telemetry itself: what bots lose, the Collector, the back ends, and who watches the watcher."""

from __future__ import annotations

from typing import Final

from otel_mcbot import catalog

from .promql import by, heard, highest
from .rule import BOT, Rule, Severity, Unit
from .watch import COLLECTOR

_DROPPED: Final = f'{catalog.telemetry_dropped.prometheus_name}{{reason!~"fee_currency|negative_fee|reused_id"}}'
"""What these reasons count is not lost: a rebate, or a fee in a third currency, is no news."""

ANSWERS: Final = 'up{backend!=""}'
RECEIVED: Final = "mcbot_collector_received_points"
"""One sample a request of a bot, its value the number of points in it."""
QUEUE_SIZE: Final = "otelcol_exporter_queue_size"
QUEUE_CAPACITY: Final = "otelcol_exporter_queue_capacity"
FAILED: Final = '{__name__=~"otelcol_exporter_(send|enqueue)_failed_.+_total"}'
"""What the Collector gave up sending, or could not even put in the queue: points, spans, log lines."""
HOST_DISK: Final = "system_filesystem_utilization_ratio"
_SENT: Final = '{__name__=~"otelcol_exporter_sent_.+_total"}'

PIPELINE: Final = (
    Rule(
        name="TelemetryDropped",
        family="pipeline",
        severity=Severity.WARNING,
        hold="0s",
        # a reason that had no series yet begins with its first loss, which is no increase
        value=f"""
            max {by("signal", "reason")} (
              increase({_DROPPED}[$window]) > 0 or ({_DROPPED} unless {_DROPPED} offset $window)
            )
        """,
        op=">",
        threshold=0,
        unit=Unit.COUNT,
        text="The bot has lost {value} {signal} in {window} ({reason}).",
        labels=("signal", "reason"),
        panel="system/Telemetry dropped",
        parameters={"window": "5m"},
        ours=True,
    ),
    Rule(
        name="MetricOverflow",
        family="pipeline",
        severity=Severity.WARNING,
        hold="1m",
        value=f"""
            count {by("metric")} (label_replace(
              {{__name__=~"mcbot_.+", __name__!~".+_(bucket|sum)", otel_metric_overflow="true"}},
              "metric", "$$1", "__name__", "(.+)"
            ))
        """,
        op=">",
        threshold=0,
        unit=Unit.COUNT,
        text="{metric} has too many label sets: those that are too many are counted as one.",
        labels=("metric",),
        panel="system/Telemetry dropped",
        ours=True,
    ),
    Rule(
        name="PointsRefused",
        family="pipeline",
        severity=Severity.WARNING,
        # longer than the window: what a bot kept while the Collector was gone comes at once and is stored in the past
        hold="10m",
        value=f"""
            sum {by()} (count_over_time({RECEIVED}[5m])) - on (job, instance) group_left () (
              sum by (job, instance) (count_over_time(target_info[5m]))
              or 0 * sum by (job, instance) (count_over_time({RECEIVED}[5m]))
            )
        """,
        op=">",
        threshold=2,
        unit=Unit.COUNT,
        text="Prometheus refused {value} requests of metrics in 5m: a wrong clock, or two processes under one id.",
        panel="system/Points received and refused",
        ours=True,
    ),
    Rule(
        name="CollectorQueueFilling",
        family="pipeline",
        severity=Severity.WARNING,
        hold="1m",
        value=highest(f"{QUEUE_SIZE} / {QUEUE_CAPACITY}", "exporter"),
        op=">",
        threshold=0.8,
        unit=Unit.SHARE,
        text="The Collector's queue for {exporter} is full to {value}: at 100% it refuses what bots send.",
        labels=("exporter",),
        panel="system/Collector queue",
        ours=True,
    ),
    Rule(
        name="CollectorSendFailing",
        family="pipeline",
        severity=Severity.WARNING,
        # longer than the window: one request that was refused is over by then
        hold="5m",
        value=f"""
            (
              sum {by("exporter")} ({FAILED})
              - (sum {by("exporter")} ({FAILED} offset $window) or 0 * sum {by("exporter")} ({FAILED}))
            ) > 0
            or (
              min {by("exporter")} (min_over_time({QUEUE_SIZE}[$window])) > 0
              unless on ({BOT}, exporter) sum {by("exporter")} (increase({_SENT}[$window])) > 0
            )
        """,
        op=">",
        threshold=0,
        unit=Unit.COUNT,
        text="The Collector cannot hand on to {exporter}: what it sends is refused, or waits.",
        labels=("exporter",),
        panel="system/Collector send failures",
        parameters={"window": "3m"},
        ours=True,
    ),
    Rule(
        name="CollectorDown",
        family="pipeline",
        severity=Severity.CRITICAL,
        hold="30s",
        value=f"time() - ({heard(COLLECTOR, '$memory')})",
        op=">",
        threshold=60,
        unit=Unit.SECONDS,
        text="The Collector has not been heard for {value}: nothing of any bot arrives.",
        panel="system/Collector queue",
        parameters={"memory": "7d"},
        ours=True,
    ),
    Rule(
        name="BackendDown",
        family="pipeline",
        severity=Severity.CRITICAL,
        hold="1m",
        # now, or for the third time within the window: one that is killed again and again is up in between
        value=f"""
            {highest(ANSWERS, "backend")} == 0
            or 0 * ({highest(f"changes({ANSWERS}[$window])", "backend")} >= 5)
        """,
        op="==",
        threshold=0,
        unit=Unit.NUMBER,
        text="{backend} does not answer, or only now and then. What it should store waits in the Collector.",
        labels=("backend",),
        panel="system/Back ends",
        parameters={"window": "10m"},
        ours=True,
    ),
    Rule(
        name="PrometheusDown",
        family="pipeline",
        severity=Severity.CRITICAL,
        hold="1m",
        value="vector(1)",  # never what is asked for: it is the missing answer that alerts
        op="==",
        threshold=0,
        unit=Unit.NUMBER,
        text="Prometheus does not answer: until it does, no rule can tell what is wrong.",
        panel="system/Back ends",
        ours=True,
        on_error="alert",
    ),
    Rule(
        name="HostDiskFilling",
        family="pipeline",
        severity=Severity.WARNING,
        hold="5m",
        value=highest(HOST_DISK, "mountpoint"),
        op=">",
        threshold=0.9,
        unit=Unit.SHARE,
        text="{mountpoint} is full to {value}, the limit is {threshold}.",
        labels=("mountpoint",),
        panel="system/Host disk",
        ours=True,
    ),
    Rule(
        name="Watchdog",
        family="pipeline",
        severity=Severity.INFO,
        hold="0s",
        value="vector(1)",
        op="==",
        threshold=1,
        unit=Unit.NUMBER,
        text="Rules are evaluated and messages go out.",
        panel="system/Back ends",
        ours=True,
    ),
)
