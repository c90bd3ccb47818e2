"""Queries, put together from the catalog and the vocabulary; the dashboards' variables are in them already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from otel_mcbot import semconv


class Metric(Protocol):
    """What the catalog is made of, as far as a query needs it."""

    @property
    def prometheus_name(self) -> str: ...
    @property
    def all_labels(self) -> tuple[str, ...]: ...


def stored(attribute: str) -> str:
    """What Prometheus and Loki call an attribute.

    >>> stored("trading.instrument.symbol")
    'trading_instrument_symbol'
    """
    return attribute.replace(".", "_")


JOB: Final = "job"
INSTANCE: Final = "instance"
MODE: Final = stored(semconv.TRADING_MODE)
SERVICE: Final = stored(semconv.SERVICE_NAME)
SYMBOL: Final = "symbol"
STRATEGY: Final = "strategy"
POD: Final = "pod_id"
EVENT: Final = "event_name"
"""Where Loki keeps the name of an event record."""
TRACE: Final = "trace_id"

BOT_VARIABLES: Final[Mapping[str, str]] = {JOB: "job", MODE: "mode", INSTANCE: "instance"}
"""Label → variable that picks one bot. Two bots are never added up: the sum would be a number that nobody owns."""

FILTER_VARIABLES: Final[Mapping[str, str]] = {SYMBOL: "symbol", STRATEGY: "strategy", POD: "pod"}
"""Label → variable that narrows what a panel shows; several values or all may be picked."""

STEP: Final = "$__rate_interval"
SHOWN: Final = "$__range"
"""All of the time that the dashboard shows."""


def of_bot() -> str:
    """The matchers that pick the bot."""
    return ",".join(f'{label}="${name}"' for label, name in BOT_VARIABLES.items())


def series(metric: Metric, *matchers: str, part: str = "") -> str:
    """The selector of a metric for the picked bot, and for the picked symbols, strategies and pods where it has them.

    Args:
        metric: from the catalog.
        matchers: more of them, as ``'side="BUY"'``.
        part: ``_bucket``, ``_sum`` or ``_count`` of a histogram.
    """
    picked = [of_bot()]
    picked += [f'{label}=~"${name}"' for label, name in FILTER_VARIABLES.items() if label in metric.all_labels]
    return f"{metric.prometheus_name}{part}{{{','.join([*picked, *matchers])}}}"


def legend(*labels: str) -> str:
    """The name of a series: the values of these labels."""
    return " ".join(f"{{{{{label}}}}}" for label in labels)


def total(metric: Metric, *by: str, over: str | None = None, where: str = "", part: str = "") -> str:
    """The sum by some labels, or of everything.

    Args:
        over: a window; the sum is of what a counter rose by in it.
        where: one more matcher, as ``'status="filled"'``.
        part: as in :func:`series`.
    """
    chosen = series(metric, *([where] if where else []), part=part)
    inner = chosen if over is None else f"increase({chosen}[{over}])"
    return f"sum{_by(*by)} ({inner})"


def _by(*labels: str) -> str:
    return f" by ({', '.join(labels)})" if labels else ""


def quantile(share: float, metric: Metric, *by: str, over: str = STEP) -> str:
    """A quantile of a histogram, by some labels."""
    inner = f"sum by ({', '.join((*by, 'le'))}) (rate({series(metric, part='_bucket')}[{over}]))"
    return f"histogram_quantile({share:g}, {inner})"


def lines(*filters: str, instance: bool = False) -> str:
    """The log lines of the bot that the variable ``bot`` names, in LogQL; ``filters`` are its stages."""
    picked = f'{SERVICE}=~"$bot"'
    if instance:
        picked += f',{stored(semconv.SERVICE_INSTANCE_ID)}="$instance"'
    return " | ".join([f"{{{picked}}}", *filters])


def of_trace(trace: str) -> str:
    """The lines of a trace. Tempo's search leaves out the zeros that an id begins with; the lines have them."""
    return f'{TRACE}=~"0*{trace}"'


def event(name: str) -> str:
    """The event records of this name and of the picked instance, in LogQL."""
    return lines(f'{EVENT}=~"{name}"', instance=True)
