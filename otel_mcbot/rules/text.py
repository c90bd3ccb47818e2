"""A rule's sentence: as a template for Prometheus, as a template for Grafana, and as it is read in the end.

Both servers have the functions that write numbers for people (``humanizeDuration`` and its like); a threshold does not
change, so it is written out here, in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from string import Formatter
from typing import Final

from .rule import Rule, Unit, written

_TEMPLATES: Final[Mapping[Unit, str]] = {
    Unit.COUNT: '{{{{ printf "%.0f" {} }}}}',
    Unit.PERCENT: '{{{{ printf "%.4g" {} }}}}%',
    Unit.SHARE: "{{{{ humanizePercentage {} }}}}",
    Unit.SECONDS: "{{{{ humanizeDuration {} }}}}",
    Unit.BYTES: "{{{{ humanize1024 {} }}}}B",
    Unit.BPS: '{{{{ printf "%.4g" {} }}}} bp',
    Unit.USDT: '{{{{ printf "%.2f" {} }}}} USDT',
    Unit.TIMES: '{{{{ printf "%.4g" {} }}}}×',
    Unit.NUMBER: '{{{{ printf "%.4g" {} }}}}',
}


_LABEL: Final = "{{{{ $labels.{} }}}}".format


def prometheus(rule: Rule) -> str:
    """The sentence as an annotation of a rule of Prometheus."""
    return _fill(rule, _TEMPLATES[rule.unit].format("$value"), _LABEL)


def grafana(rule: Rule) -> str:
    """The sentence as an annotation of a rule of Grafana, whose query A has the value.

    A query that failed has none, and a template that asks for it only logs errors.
    """
    said = _fill(rule, _TEMPLATES[rule.unit].format("$values.A.Value"), _LABEL)
    if "{value}" not in rule.text:
        return said
    return f"{{{{ if $values.A }}}}{said}{{{{ else }}}}{_fill(rule, '?', _LABEL)}{{{{ end }}}}"


def read(rule: Rule, value: float, labels: Mapping[str, str]) -> str:
    """The sentence as people read it."""
    return _fill(rule, number(value, rule.unit), lambda name: labels.get(name, ""))


def _fill(rule: Rule, value: str, label: Callable[[str], str]) -> str:
    """The sentence with ``value`` for its value, and what ``label`` says for each label that it names."""
    parts = []
    for words, name, _, _ in Formatter().parse(rule.text):
        parts.append(words)
        if name == "value":
            parts.append(value)
        elif name == "threshold":
            parts.append(limit(rule))
        elif name in rule.settings:
            parts.append(written(rule.settings[name]))
        elif name is not None:
            parts.append(label(name))
    return "".join(parts)


def limit(rule: Rule) -> str:
    """The threshold with its unit; ``2d``, not ``2d 0h 0m 0s``."""
    return re.sub(r"( 0[hms])+$", "", number(rule.threshold, rule.unit))


def number(value: float, unit: Unit) -> str:
    """A value as the templates write it."""
    if unit is Unit.COUNT:
        return f"{value:.0f}"
    if unit is Unit.PERCENT:
        return f"{value:.4g}%"
    if unit is Unit.SHARE:
        return f"{value * 100:.4g}%"
    if unit is Unit.SECONDS:
        return _duration(value)
    if unit is Unit.BYTES:
        return f"{_binary(value)}B"
    if unit is Unit.BPS:
        return f"{value:.4g} bp"
    if unit is Unit.USDT:
        return f"{value:.2f} USDT"
    return f"{value:.4g}×" if unit is Unit.TIMES else f"{value:.4g}"


def _duration(seconds: float) -> str:
    if 0 < abs(seconds) < 1:
        power = next((power for power in (1, 2) if abs(seconds) * 1000**power >= 1), 3)
        return f"{seconds * 1000**power:.4g}{'_mun'[power]}s"
    sign, whole = "-" if seconds < 0 else "", int(abs(seconds))
    if whole < 60:
        return f"{seconds:.4g}s"
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "m"), (whole % 60, "s")]
    while parts[0][0] == 0:
        del parts[0]
    return sign + " ".join(f"{count}{name}" for count, name in parts)


def _binary(value: float) -> str:
    prefixes = iter(("", "ki", "Mi", "Gi", "Ti", "Pi"))
    prefix = next(prefixes)
    while abs(value) >= 1024:
        value /= 1024
        prefix = next(prefixes)
    return f"{value:.4g}{prefix}"
