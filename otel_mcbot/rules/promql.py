"""The few forms that conditions have. Each keeps the identity of the bot, and the labels that are given."""

from __future__ import annotations

from typing import Final, Protocol

from otel_mcbot import catalog

from .rule import BOT


class Metric(Protocol):
    """What the catalog is made of, as far as a condition needs it."""

    @property
    def prometheus_name(self) -> str: ...


STEP: Final = "4m"
"""Step of a search for a series' last sample: less than the 5 minutes for which Prometheus still shows it."""


def by(*labels: str) -> str:
    """The ``by`` clause that keeps a bot apart from others, and these labels of its series."""
    return f"by ({', '.join((BOT, *labels))})"


def highest(metric: Metric | str, *labels: str) -> str:
    """A gauge, or an expression; the highest, should there be two under one identity."""
    return f"max {by(*labels)} ({_name(metric)})"


def lowest(metric: Metric | str, *labels: str) -> str:
    """Likewise, the lowest."""
    return f"min {by(*labels)} ({_name(metric)})"


def rate(counter: Metric, *labels: str, only: str = "") -> str:
    """How often a second, over ``$window``. ``only`` is a matcher as ``status="failure"``."""
    matcher = f"{{{only}}}" if only else ""
    return f"sum {by(*labels)} (rate({_name(counter)}{matcher}[$window]))"


def increase(counter: Metric, *labels: str) -> str:
    """How often within ``$window``."""
    return f"sum {by(*labels)} (increase({_name(counter)}[$window]))"


def percentile(share: float, histogram: Metric, *labels: str) -> str:
    """What ``share`` of the observations within ``$window`` are below."""
    return f"histogram_quantile({share}, sum {by(*labels, 'le')} (rate({_name(histogram)}_bucket[$window])))"


def judged(value: str, histogram: Metric, *labels: str) -> str:
    """``value``, where there are at least ``$least`` observations within ``$window``."""
    return f"{value} and sum {by(*labels)} (increase({_name(histogram)}_count[$window])) >= $least"


def kept(gauge: Metric, *labels: str) -> str:
    """The last value within ``$memory``: a restart during which it is missing does not begin a long ``for`` anew."""
    return f"max {by(*labels)} (last_over_time({_name(gauge)}[$memory]))"


def heard(metric: Metric | str, memory: str) -> str:
    """Unix time of the last sample within ``memory``: of a living series this very one, of a dead one its last."""
    return (
        f"max {by()} (timestamp({_name(metric)}))"
        f" or max {by()} (max_over_time(timestamp({_name(metric)})[{memory}:{STEP}]))"
    )


def in_service(value: str) -> str:
    """``value``, but nothing while silence is planned."""
    return f"({value}) unless on ({BOT}) {highest(catalog.maintenance)} == 1"


def _name(metric: Metric | str) -> str:
    return metric if isinstance(metric, str) else metric.prometheus_name
