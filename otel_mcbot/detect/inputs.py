"""What a detector does with a number that is not one.

A bot hands over whatever its broker gave it: ``None``, ``Decimal``, a NaN, an enum. Nothing here raises; what cannot be
used is ignored and counted by the caller.
"""

from __future__ import annotations

import math
from collections.abc import Iterable


class DetectInputError(ValueError):
    """A file or a series that no detector can work with. The text names the source, the row where known, and why."""

    def __init__(self, source: str, line: int | None, reason: str) -> None:
        self.source = source
        self.line = line
        self.reason = reason
        super().__init__(f"{source}: {reason}" if line is None else f"{source}, line {line}: {reason}")


def number(value: object) -> float | None:
    """``value`` as a finite float, else None. Text and booleans are not numbers."""
    if type(value) is float:  # the usual case, and the only fast one
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, bytes, bool)):
        return None
    try:
        result = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, ArithmeticError):
        return None
    return result if math.isfinite(result) else None


def finite(value: object) -> float:
    """A saved state's number. ValueError when it is none."""
    result = number(value)
    if result is None:
        raise ValueError(f"not a finite number: {value!r}")
    return result


def daily_return(value: object) -> float | None:
    """``value`` as a simple daily return (a fraction: 0.01 is one per cent), else None.

    Below -1 is not a return: an account cannot lose more than all of it, so the number is a percentage or a defect.
    """
    result = number(value)
    return None if result is None or result < -1.0 else result


def clean(returns: Iterable[object]) -> list[float]:
    """The usable returns of a series, in order."""
    return [r for r in map(daily_return, returns) if r is not None]


def looks_like_percent(value: float) -> bool:
    """True when ``|value| > 1``: more than 100 % in a day is a unit mistake far more often than a day."""
    return abs(value) > 1.0
