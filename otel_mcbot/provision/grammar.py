"""One visual grammar: a meaning has one colour, one unit and one limit on every dashboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final

from otel_mcbot.rules import RULES, Rule, find

COLOURS: Final[Mapping[str, str]] = {
    "good": "#2f9e6e",
    "warning": "#e0a100",
    "bad": "#d64550",
    "money": "#3f7fd6",
    "muted": "#8a8f98",
}
"""Meaning → colour. Green and red differ in lightness too, for eyes that do not tell them apart."""

SERIES: Final[Mapping[str, str]] = {
    "equity": "money",
    "drawdown": "bad",
    "filled": "good",
    "rejected": "bad",
    "success": "good",
    "failure": "bad",
    "ok": "good",
    "drift": "warning",
    "WARNING": "warning",
    "CRITICAL": "bad",
    "peak": "muted",
}
"""Series that have a meaning, and its colour. All others (symbols, strategies) get one by name: the same everywhere."""

USDT: Final = "currencyUSD"
PERCENT: Final = "percent"
"""0 to 100."""
SHARE: Final = "percentunit"
"""0 to 1."""
SECONDS: Final = "s"
COUNT: Final = "short"
TIMES: Final = "suffix:×"
BPS: Final = "suffix: bp"
BASE: Final = "none"
"""A quantity of the base currency."""
NUMBER: Final = "none"
"""A number as it is: a ratio, a score, a statistic."""

BYTES: Final = "bytes"
DAYS: Final = "d"
PER_SECOND: Final = "suffix: /s"

Json = dict[str, Any]
Limit = str | float | Json | None

in_force: Final[ContextVar[Sequence[Rule]]] = ContextVar("in_force", default=RULES)
"""The rules whose thresholds are drawn and judged by: the built-in ones, or those of ``grafana build --set``."""


def steps(limit: Limit) -> Json:
    """Thresholds of a limit; without one there is nothing to be good or bad about.

    Args:
        limit: the name of a rule, whose condition is then what is bad, or a number from which on it is. Yellow begins
            at half of it, or, where less is worse, an eighth above it. Or thresholds as they are.
    """
    if isinstance(limit, dict):
        return limit
    op, value = ">", limit
    if isinstance(limit, str):
        rule = _rule(limit)
        op, value = rule.op, rule.threshold
    if value is None:
        return thresholds(("money", None))
    assert not isinstance(value, str)
    if op in ("<", "<="):
        return thresholds(("bad", None), ("warning", value), ("good", value + abs(value) / 8))
    if op == "==" and value <= 0:
        return thresholds(("bad", None), ("good", value + 1))
    if op == "==":
        return thresholds(("good", None), ("bad", value))
    return thresholds(("good", None), ("warning", value / 2), ("bad", value))


def _rule(name: str) -> Rule:
    return find(name, in_force.get())


def thresholds(*colours: tuple[str, float | None]) -> Json:
    """Thresholds as they are: meanings of :data:`COLOURS`, each with where it begins; the first has no beginning."""
    return {"mode": "absolute", "steps": [{"color": COLOURS[name], "value": at} for name, at in colours]}


def below(value: float) -> Json:
    """Thresholds of what is bad below a value, and good from there on."""
    return thresholds(("bad", None), ("good", value))


def left(limit: str, whole: float) -> Json:
    """Thresholds of what is left of ``whole``, where a rule judges what is used of it."""
    value = _rule(limit).threshold
    return thresholds(("bad", None), ("warning", whole - value), ("good", whole - value / 2))


def graded(warning: str, critical: str) -> Json:
    """Thresholds of two rules about one value, where less is worse: good down to the first, bad below the second."""
    return thresholds(("bad", None), ("warning", _rule(critical).threshold), ("good", _rule(warning).threshold))


def sign() -> Json:
    """Thresholds of money won or lost."""
    return thresholds(("bad", None), ("good", 0))


def states(looks: Mapping[int, tuple[str, str]]) -> Json:
    """Numbers that stand for states: number → the word that is shown and a meaning of :data:`COLOURS`."""
    options = {
        str(number): {"color": COLOURS[colour], "index": at, "text": text}
        for at, (number, (text, colour)) in enumerate(looks.items())
    }
    return {"options": options, "type": "value"}
