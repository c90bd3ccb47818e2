"""Rules with other thresholds: ``--set HighDrawdown.threshold=15``, or a TOML file with the same in sections.

.. code-block:: toml

    [HighDrawdown]
    threshold = 15
    hold = "5m"
"""

from __future__ import annotations

import contextlib
import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from .rule import Rule

DURATION: Final = re.compile(r"(?=\d)(\d+d)?(\d+h)?(\d+m)?(\d+s)?")
"""Days, hours, minutes, seconds, the largest first; Prometheus and Grafana read all of these alike."""

MUTE: Final = "mute"
"""What else such a file may have: when the exchange is maintained. It is read by whoever routes alerts."""


class OverrideError(ValueError):
    """What somebody set cannot be; the message is one line for people."""


def changed(rules: Iterable[Rule], sets: Iterable[str], file: Path | None) -> tuple[Rule, ...]:
    """The rules, changed as the file says, and then as ``sets`` say. Raises :class:`OverrideError`."""
    known = {rule.name: rule for rule in rules}
    for where, name, parameter, value in (*(_from_file(file) if file else ()), *map(_from_set, sets)):
        if name not in known:
            raise OverrideError(f"{where}: there is no rule {name!r}{_nearest(name, known)}")
        known[name] = _changed(known[name], parameter, value, where)
    return tuple(known.values())


def _from_set(text: str) -> tuple[str, str, str, object]:
    name, dot, rest = text.partition(".")
    parameter, equals, value = rest.partition("=")
    if not (dot and equals):
        raise OverrideError(f"--set {text}: it is written NAME.parameter=value, as HighDrawdown.threshold=15")
    return f"--set {text}", name.strip(), parameter.strip(), value.strip()


def _from_file(file: Path) -> Iterable[tuple[str, str, str, object]]:
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise OverrideError(f"{file}: {error.strerror}") from error
    except ValueError as error:  # also of text that is no UTF-8
        raise OverrideError(f"{file}: {error}") from error
    for name, table in tables.items():
        if name == MUTE:
            continue
        if not isinstance(table, Mapping):
            raise OverrideError(f"{file}: {name} is a value; a rule is a table, as [HighDrawdown]")
        for parameter, value in table.items():
            yield f"{file}, [{name}] {parameter}", name, parameter, value


def _changed(rule: Rule, parameter: str, value: object, where: str) -> Rule:
    if parameter not in rule.settings:
        raise OverrideError(
            f"{where}: {rule.name} has no parameter {parameter!r}{_nearest(parameter, rule.settings)}; "
            f"it has {', '.join(rule.settings)}"
        )
    try:
        if parameter == "threshold":
            return replace(rule, threshold=_number(value))
        if parameter == "hold":
            return replace(rule, hold=_duration(value))
        number = isinstance(rule.parameters[parameter], float | int)
        read = _least(value) if number else _range(value)
    except ValueError as error:
        raise OverrideError(f"{where}: {value!r} is not {error}") from None
    return replace(rule, parameters={**rule.parameters, parameter: read})


def _number(value: object) -> float:
    with contextlib.suppress(ValueError, OverflowError):
        if isinstance(value, str | int | float) and not isinstance(value, bool) and math.isfinite(float(value)):
            return float(value)
    raise ValueError("a finite number, as 15 or 0.5")


def _least(value: object) -> float:
    number = _number(value)
    if number < 0:
        raise ValueError("a number from 0 on")
    return number


def _duration(value: object) -> str:
    if not isinstance(value, str) or not DURATION.fullmatch(value):
        raise ValueError("a duration, as 30s, 5m, 1h, 1d or 1h30m")
    return value


def _range(value: object) -> str:
    duration = _duration(value)
    if not duration.strip("0dhms"):
        raise ValueError("longer than 0s")
    return duration


def _nearest(name: str, known: Iterable[str]) -> str:
    lower = {each.lower(): each for each in known}
    found = difflib.get_close_matches(name.lower(), lower, n=1)
    return f"; did you mean {lower[found[0]]}?" if found else ""
