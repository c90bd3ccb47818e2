"""The three levels that every detector speaks in."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

Mode = Literal["default", "calibrated"]
"""``default``: the user's thresholds. ``calibrated``: thresholds with a stated false-alarm rate."""

DAYS_A_YEAR = 365
"""Daily bars close in UTC on every day of the week."""


class Severity(StrEnum):
    """How bad it is. The value is the word that stands in alerts and logs."""

    NORMAL = "NORMAL"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"

    @property
    def level(self) -> int:
        """0 NORMAL, 1 WARNING, 2 CRITICAL: the value of a severity gauge."""
        return _ORDER.index(self)


_ORDER = (Severity.NORMAL, Severity.WARNING, Severity.CRITICAL)


def from_legs(one: bool, other: bool) -> Severity:
    """One of two conditions is a WARNING, both are CRITICAL (drawdown: depth, duration; decay: slope, level)."""
    return _ORDER[int(one) + int(other)]


def check_mode(mode: str) -> Mode:
    """``mode`` itself, or ValueError when it is neither ``default`` nor ``calibrated``."""
    if mode == "default":
        return "default"
    if mode == "calibrated":
        return "calibrated"
    raise ValueError(f"mode must be 'default' or 'calibrated', not {mode!r}")
