"""OTel name, unit and kind → the Prometheus name that a query uses.

Written from the rules of Prometheus' OTLP endpoint (strategy ``UnderscoreEscapingWithSuffixes``, its default) and of
the Collector: https://github.com/prometheus/otlptranslator, v1.0.0. The Python Prometheus exporter follows older rules
which differ in corners (unit ``1``, a unit's word or ``total`` inside a name); the catalog stays out of those corners.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram", "updown"]
"""What the wire knows. Info and enum travel as gauges."""

_UNITS: Final[Mapping[str, str]] = {
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds", "us": "microseconds",
    "ns": "nanoseconds", "By": "bytes", "KiBy": "kibibytes", "MiBy": "mebibytes", "GiBy": "gibibytes",
    "TiBy": "tibibytes", "KBy": "kilobytes", "MBy": "megabytes", "GBy": "gigabytes", "TBy": "terabytes",
    "m": "meters", "V": "volts", "A": "amperes", "J": "joules", "W": "watts", "g": "grams", "Cel": "celsius",
    "Hz": "hertz", "1": "", "%": "percent",
}  # fmt: skip
_PER: Final[Mapping[str, str]] = {
    "s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year",
}  # fmt: skip


def _words(text: str) -> list[str]:
    return [word for word in re.split("[^A-Za-z0-9:]+", text) if word]


def _unit(text: str, words: Mapping[str, str]) -> str:
    text = text.strip()
    if "{" in text or "}" in text:  # an annotation such as {order} is for people
        return ""
    return "_".join(_words(words.get(text, text)))


def prometheus_name(otel_name: str, unit: str, kind: Kind) -> str:
    """The name under which Prometheus stores the metric, without ``_bucket``, ``_sum`` and ``_count``.

    >>> prometheus_name("mcbot.order.latency", "s", "histogram")
    'mcbot_order_latency_seconds'
    >>> prometheus_name("mcbot.orders", "{order}", "counter")
    'mcbot_orders_total'
    """
    main, _, per = unit.partition("/")
    words = _words(otel_name)
    per = _unit(per, _PER)
    for suffix in (_unit(main, _UNITS), f"per_{per}" if per else ""):
        if suffix and suffix not in words:  # once is enough, wherever it stands
            words.append(suffix)
    last = "total" if kind == "counter" else "ratio" if kind == "gauge" and unit == "1" else None
    if last is not None:
        words = [word for word in words if word != last] + [last]
    name = "_".join(words)
    return f"_{name}" if name[:1].isdigit() else name
