"""What the paper venue will do with an order, drawn once from the seed and the order itself.

Nothing here depends on when an order arrives or which others are about: a run on a slow machine ends with the same
fills as a run on a fast one.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

REFUSALS = (
    ("InsufficientFunds", "-2019 Margin is insufficient."),
    ("ExchangeError", "-2027 Exceeded the maximum allowable position."),
    ("InvalidOrder", "-4005 Quantity greater than max quantity."),
    ("InvalidOrder", "-4116 clientOrderId is duplicated."),
    ("ExchangeError", "-1008 Request throttled by system protection."),
)
"""Refusals of a venue: the exception's class and its words."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one order.

    Attributes:
        timeouts: attempts that get no answer before one does.
        refusal: class name and words of a refusal, or ``None``.
        answer: seconds from request to answer.
        parts: shares of the order's quantity that fill, one a part. Below 1 in total: a market order's rest is
            cancelled by the venue, a limit order's rest stays in the book.
        gaps: seconds before each part.
        early: the first part is reported before the request is answered.
        slippage: basis points, positive is adverse. Limit orders have none.
    """

    timeouts: int
    refusal: tuple[str, str] | None
    answer: float
    parts: tuple[float, ...]
    gaps: tuple[float, ...]
    early: bool
    slippage: float


def draw(seed: int, key: str, *, reduce_only: bool) -> Fate:
    """The fate of the order known by ``key``. One that only reduces a position is never refused, nor cut short."""
    rng = random.Random(f"{seed}:{key}")
    timeouts = int(rng.random() < 0.01)
    refused = rng.random() < 0.06 and not reduce_only
    refusal = REFUSALS[rng.randrange(len(REFUSALS))]
    answer = _seconds(rng, 0.035, 0.5)
    count = rng.choices((1, 2, 3, 4), (70, 15, 10, 5))[0]
    weights = [rng.uniform(0.5, 1.5) for _ in range(count)]
    cut_short = rng.random() < 0.05 and not reduce_only
    whole = rng.uniform(0.3, 0.8) if cut_short else 1.0
    return Fate(
        timeouts=timeouts,
        refusal=refusal if refused else None,
        answer=answer,
        parts=tuple(whole * weight / sum(weights) for weight in weights),
        gaps=tuple(_seconds(rng, 0.015, 0.6) for _ in range(count)),
        early=rng.random() < 0.03,
        slippage=rng.gauss(1.5, 3.0),
    )


def answer_time(seed: int, endpoint: str, call: int) -> tuple[float, bool]:
    """Seconds until the ``call``-th call of a reading endpoint is answered, and whether the network fails it."""
    rng = random.Random(f"{seed}:{endpoint}:{call}")
    return _seconds(rng, 0.030, 0.5), rng.random() < 0.01


def _seconds(rng: random.Random, median: float, spread: float) -> float:
    """Log-normal, as latencies are: most near the median, a few far beyond."""
    return min(median * rng.lognormvariate(0, spread), 20 * median)
