"""Says, in place of a bot that died for good, that it is not expected to run any more.

A bot says so itself when it is stopped in order. One that was killed and does not come back stays expected, and missed,
until the point that it did not send is sent: ``mcbot_expected_up`` 0, under its own identity, so that it is the same
series.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from otel_mcbot import catalog, semconv
from otel_mcbot.doctor_servers import Trouble, Web
from otel_mcbot.doctor_stack import Prometheus

DAYS: Final = 7
"""How far back a bot is looked for."""

ALIVE: Final = 60.0
"""Seconds: a bot that was heard of within them is not dead."""

PATIENCE: Final = 30.0
"""Seconds until Prometheus shows what was sent."""

PROMOTED: Final = {
    key.replace(".", "_"): key
    for key in (
        semconv.SERVICE_NAME,
        semconv.SERVICE_NAMESPACE,
        semconv.SERVICE_INSTANCE_ID,
        semconv.DEPLOYMENT_ENVIRONMENT,
        semconv.TRADING_MODE,
    )
}
"""Label → resource attribute: what ``prometheus/prometheus.yml`` promotes. A series is found again by all of them."""

UP: Final = catalog.expected_up.prometheus_name
BEAT: Final = catalog.heartbeat_timestamp.prometheus_name


class Refused(Exception):
    """There is no such bot to retire; the text says why, in a line for people."""


class NotTaken(Exception):
    """The stack did not take or does not show it; likewise."""


@dataclass(frozen=True)
class Bot:
    """What Prometheus holds of one bot.

    Attributes:
        series: labels of its ``mcbot_expected_up``; one for each mode and environment that it ran in.
        expected: those of them that are not 0.
        now: Prometheus' clock, Unix seconds.
        heard: when it was last heard of, likewise; ``None`` when that is too long ago to know.
    """

    job: str
    instance: str
    series: tuple[Mapping[str, str], ...]
    expected: tuple[Mapping[str, str], ...]
    now: float
    heard: float | None


def find(prometheus: Prometheus, instance: str, service: str | None = None) -> Bot:
    """The bot with this id. :class:`Refused` when there is none or more than one; ``Trouble`` without an answer."""
    of_id = f"instance={json.dumps(instance)}"
    rows = prometheus.ask(f"last_over_time({UP}{{{of_id}}}[{DAYS}d])")
    rows = [(labels, value) for labels, value in rows if service in (None, labels.get("service_name"), labels["job"])]
    jobs = sorted({labels["job"] for labels, _ in rows})
    if not jobs:
        raise Refused(_unknown(prometheus, instance, service))
    if len(jobs) > 1:
        raise Refused(f"ID {instance!r} is that of {', '.join(jobs)}: say which of them with --service")
    of_bot = f"job={json.dumps(jobs[0])}, {of_id}"
    heard = [
        prometheus.value(f"max(last_over_time({BEAT}{{{of_bot}}}[{DAYS}d]))"),
        prometheus.value(
            f"max(timestamp({UP}{{{of_bot}}}) and {UP} != 0)"
        ),  # a hung bot beats no more, and still sends
    ]
    return Bot(
        job=jobs[0],
        instance=instance,
        series=tuple(labels for labels, _ in rows),
        expected=tuple(labels for labels, value in rows if value),
        now=prometheus.value("vector(time())") or time.time(),
        heard=max((at for at in heard if at is not None), default=None),
    )


def _unknown(prometheus: Prometheus, instance: str, service: str | None) -> str:
    rows = prometheus.ask(f"count by (job, instance) (last_over_time({UP}[{DAYS}d]))")
    known = sorted(f"{labels.get('instance')} ({labels.get('job')})" for labels, _ in rows)
    named = f"ID {instance!r}" + (f" --service {service!r}" if service else "")
    allowed = f"known are {', '.join(known)}" if known else "it knows no bot at all"
    return f"{named}: Prometheus heard of no such bot in the last {DAYS} days; {allowed}"


def request(bot: Bot) -> bytes:
    """The OTLP request of metrics that says that the bot is not expected.

    Its time is Prometheus' own, or later where the bot's clock was ahead: an older point would be behind its last one.
    """
    export = ExportMetricsServiceRequest()
    at = max(bot.now, (bot.heard or 0.0) + 0.001)
    for labels in bot.expected:
        resource = export.resource_metrics.add()
        for label, key in PROMOTED.items():
            if label in labels:
                resource.resource.attributes.add(key=key).value.string_value = labels[label]
        metric = resource.scope_metrics.add().metrics.add(name=catalog.expected_up.name)
        metric.gauge.data_points.add(time_unix_nano=int(at * 1e9), as_int=0)
    return export.SerializeToString()


def retire(bot: Bot, prometheus: Prometheus, collector: Web, path: str, **options: Any) -> None:
    """Send it, and wait until Prometheus shows it.

    Args:
        path: of the Collector's receiver of metrics.
        options: headers and certificate, as ``requests`` calls them.

    Raises:
        Refused: the bot lives.
        NotTaken: the Collector does not take it, or Prometheus does not show it within :data:`PATIENCE`.
        Trouble: Prometheus does not answer.
    """
    if bot.heard is not None and bot.now - bot.heard < ALIVE:
        ago = max(0.0, bot.now - bot.heard)
        raise Refused(f"ID {bot.instance!r}: {bot.job} lives, it was heard of {ago:.0f} s ago: stop it first")
    headers = {"Content-Type": "application/x-protobuf", **options.pop("headers", {})}
    try:
        answer = collector.ask("POST", path, data=request(bot), headers=headers, **options)
    except Trouble as error:
        raise NotTaken(f"the Collector at {collector.url}: {error}") from error
    if answer.status != 200:
        raise NotTaken(f"the Collector at {collector.url} does not take it: HTTP {answer.status}")
    end = time.monotonic() + PATIENCE
    while find(prometheus, bot.instance, bot.job).expected:
        if time.monotonic() > end:
            raise NotTaken(
                f"sent, but Prometheus does not show it after {PATIENCE:.0f} s: docker compose logs --tail 50 collector"
            )
        time.sleep(0.5)
