"""One visual grammar: a meaning has one colour, one unit and one limit on every dashboard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

COLOURS: Final[Mapping[str, str]] = {
    "good": "#2f9e6e",
    "warning": "#e0a100",
    "bad": "#d64550",
    "money": "#3f7fd6",
    "muted": "#8a8f98",
}
"""Meaning → colour. Green and red differ in lightness too, for eyes that do not tell them apart."""

SERIES: Final[Mapping[str, str]] = {
    "equity": COLOURS["money"],
    "drawdown": COLOURS["bad"],
}
"""Series that have a colour of their own. All others (symbols, strategies) get one by name: the same everywhere."""

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

LIMITS: Final[Mapping[str, float]] = {
    "drawdown": 10.0,
    "leverage": 5.0,
    "margin": 0.8,
    "slippage": 20.0,
    "latency": 5.0,
}
"""Where somebody is told: a panel is yellow from half of it, red from it on."""

Json = dict[str, Any]


def steps(limit: str | None) -> Json:
    """Thresholds of a limit; without one there is nothing to be good or bad about."""
    if limit is None:
        return {"mode": "absolute", "steps": [{"color": COLOURS["money"], "value": None}]}
    value = LIMITS[limit]
    return {
        "mode": "absolute",
        "steps": [
            {"color": COLOURS["good"], "value": None},
            {"color": COLOURS["warning"], "value": value / 2},
            {"color": COLOURS["bad"], "value": value},
        ],
    }


def sign() -> Json:
    """Thresholds of money won or lost."""
    return {
        "mode": "absolute",
        "steps": [{"color": COLOURS["bad"], "value": None}, {"color": COLOURS["good"], "value": 0}],
    }
