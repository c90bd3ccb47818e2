"""Bars: read from CSV files, or made by a seeded random walk whose volatility comes in clusters."""

from __future__ import annotations

import csv
import itertools
import math
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

COLUMNS = ("timestamp", "open", "high", "low", "close", "volume")

_FILE_NAME = re.compile(r"(?P<base>[a-z0-9]{2,10})-(?P<quote>[a-z]{3,5})(-.*)?", re.IGNORECASE)
_UNITS = ((604800, "W"), (86400, "D"), (3600, "h"), (60, "m"), (1, "s"))


class BarsError(ValueError):
    """A file of bars that cannot be used: one line, ``file:line: reason``."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar. ``time`` is its open (aware, UTC); prices in quote currency, ``volume`` in base currency."""

    symbol: str
    timeframe: str
    time: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float


# -- real bars -----------------------------------------------------------------------------------------------------


def symbol_of(path: Path) -> str:
    """``BTC/USD`` from ``btc-usd-1m-2018-04.csv``.

    Raises:
        BarsError: the name does not begin with base and quote currency.
    """
    match = _FILE_NAME.fullmatch(path.stem)
    if match is None:
        raise BarsError(f"{path}:1: the name must begin with the symbol, as in btc-usd-1m.csv")
    return f"{match['base']}/{match['quote']}".upper()


def read_bars(paths: Iterable[Path]) -> list[Bar]:
    """All bars of ``paths`` in the order of their time, every file read and checked before any is used.

    A file has a header with timestamp (ISO 8601, UTC where it names no zone), open, high, low, close and volume. Its
    name tells the symbol, its timestamps the timeframe. Several files of one symbol are put behind one another.

    Raises:
        BarsError: names the file, the line and the reason.
    """
    series: dict[str, tuple[Path, list[Bar]]] = {}
    for path, bars in sorted(((path, _read_file(path)) for path in paths), key=lambda read: read[1][0].time):
        earlier = series.get(bars[0].symbol)
        if earlier is not None and (
            bars[0].time <= earlier[1][-1].time or bars[0].timeframe != earlier[1][0].timeframe
        ):
            raise BarsError(f"{path}:2: overlaps {earlier[0]}, or has another timeframe")
        series[bars[0].symbol] = (path, [*(earlier[1] if earlier else ()), *bars])
    merged = itertools.chain.from_iterable(bars for _, bars in series.values())
    return sorted(merged, key=lambda bar: (bar.time, bar.symbol))


def _read_file(path: Path) -> list[Bar]:
    symbol = symbol_of(path)
    rows: list[tuple[datetime, list[float]]] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise BarsError(f"{path}:1: no column {', '.join(missing)}")
            for row in reader:
                try:
                    time, numbers = _read_row(row)
                    if rows and time == rows[-1][0]:
                        raise ValueError(f"the timestamp {row['timestamp']} is there twice")
                    if rows and time < rows[-1][0]:
                        raise ValueError(f"the timestamp {row['timestamp']} is older than the one before")
                except ValueError as error:
                    raise BarsError(f"{path}:{reader.line_num}: {error}") from None
                rows.append((time, numbers))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BarsError(f"{path}:1: cannot be read: {error}") from None
    if len(rows) < 2:
        raise BarsError(f"{path}:{len(rows) + 1}: needs two bars or more")
    timeframe = timeframe_of([time for time, _ in rows])
    return [Bar(symbol, timeframe, time, *numbers) for time, numbers in rows]


def _read_row(row: dict[str, str]) -> tuple[datetime, list[float]]:
    try:
        time = datetime.fromisoformat((row["timestamp"] or "").strip())
    except ValueError:
        raise ValueError(f"timestamp {row['timestamp']!r} is no ISO 8601 time") from None
    numbers = []
    for name in COLUMNS[1:]:
        try:
            number = float(row[name])
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number) or number < 0 or (number == 0 and name != "volume"):
            raise ValueError(f"{name} {row[name]!r} is no {'' if name == 'volume' else 'positive '}number")
        numbers.append(number)
    opened, high, low, close, _ = numbers
    if high < max(opened, close) or low > min(opened, close):
        raise ValueError("open and close must lie between low and high")
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC), numbers


def timeframe_of(times: Sequence[datetime]) -> str:
    """``1m``, ``4h``, ``1D`` …: the most frequent distance of neighbours."""
    seconds = Counter((later - time).total_seconds() for time, later in itertools.pairwise(times)).most_common(1)[0][0]
    for size, unit in _UNITS:
        if seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{seconds:g}s"


def seconds_of(timeframe: str) -> float:
    """Seconds of a timeframe as :func:`timeframe_of` writes it."""
    return float(timeframe[:-1]) * next(size for size, unit in _UNITS if unit == timeframe[-1])


# -- made-up bars --------------------------------------------------------------------------------------------------

START = datetime(2024, 1, 1, tzinfo=UTC)
"""Time of the first made-up bar. Fixed, so that the same seed gives the same days."""

MARKETS = {"BTC/USDT": 60_000.0, "ETH/USDT": 3_000.0}
"""Symbols of the made-up market and their first price."""

VOLATILITY = 0.0006
"""Usual standard deviation of a minute's shock, a fraction; what follows is in fractions and bars, too."""

NOISE = 0.12
"""Part of the shock that stays in the price."""

DRIFT, DRIFT_BARS = 0.00027, 120
"""Standard deviation of the drift a bar, and how long it remembers."""

EXCESS, EXCESS_BARS = 1.67, 1.5
"""A move too far, in standard deviations of the shock, and how long it lasts."""

HOMESICK = 0.0005
"""Part of the way to the first price that is gone in a bar."""


def synthetic_bars(symbol: str, price: float, seed: int) -> Iterator[Bar]:
    """One-minute bars without end, of a market that does not change and that both strategies live on.

    Three things move the price. A drift that turns every few hours is what `trend` follows. A move too far, half of
    which is taken back by the next bar, is what `reversion` waits for. The rest is noise: a GARCH(1,1) with fat-tailed
    shocks, after which the next minutes are wild. A slow pull home keeps a year of it in sight of the first price.
    """
    rng = random.Random(f"{seed}:{symbol}")
    home, usual = math.log(price), VOLATILITY**2
    variance, base, drift, excess = usual, home, 0.0, 0.0
    level = home
    for minute in itertools.count():
        shock = rng.gauss(0, 1) / math.sqrt(max(rng.gammavariate(3, 1 / 3), 0.05))  # Student-t like, fat tails
        move = max(-0.05, min(0.05, math.sqrt(variance) * shock))
        drift += rng.gauss(0, 1) * DRIFT * math.sqrt(2 / DRIFT_BARS) - drift / DRIFT_BARS
        base += NOISE * move + drift + HOMESICK * (home - base)
        excess = (1 - 1 / EXCESS_BARS) * excess + EXCESS * math.sqrt(variance) * rng.gauss(0, 1)
        variance = min(0.04 * usual + 0.10 * move * move + 0.86 * variance, 40 * usual)
        opened, closed = math.exp(level), math.exp(base + excess)
        level = base + excess
        wick = abs(rng.gauss(0, 0.4)) * math.sqrt(variance), abs(rng.gauss(0, 0.4)) * math.sqrt(variance)
        yield Bar(
            symbol=symbol,
            timeframe="1m",
            time=START + timedelta(minutes=minute),
            open=round(opened, 2),
            high=round(max(opened, closed) * (1 + wick[0]), 2),
            low=round(min(opened, closed) * (1 - wick[1]), 2),
            close=round(closed, 2),
            volume=round(rng.lognormvariate(1.0, 0.6) * math.sqrt(variance / usual), 6),
        )


def synthetic_market(seed: int) -> Iterator[Bar]:
    """The bars of all :data:`MARKETS`, minute by minute, without end."""
    for minute in zip(*(synthetic_bars(symbol, price, seed) for symbol, price in MARKETS.items()), strict=True):
        yield from minute
