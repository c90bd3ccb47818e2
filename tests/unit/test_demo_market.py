"""Bars: what is read, what is refused, and that made-up ones repeat."""

from __future__ import annotations

import itertools
import math
import statistics
from datetime import UTC, datetime
from pathlib import Path

import pytest

from otel_mcbot.demo.market import BarsError, read_bars, synthetic_bars, synthetic_market, timeframe_of

HEADER = "timestamp,open,high,low,close,volume"
GOOD = (
    "2018-04-04T00:00:00Z,10,12,9,11,5",
    "2018-04-04T00:01:00Z,11,12,10,11.5,0",
    "2018-04-04T00:02:00Z,11.5,12,10,11,1e-3",
)


def write(path: Path, *lines: str, header: str = HEADER) -> Path:
    path.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")
    return path


def test_reads_bars_with_symbol_and_timeframe(tmp_path: Path) -> None:
    bars = read_bars([write(tmp_path / "btc-usd-1m-2018-04.csv", *GOOD)])

    assert [bar.close for bar in bars] == [11.0, 11.5, 11.0]
    assert bars[0].symbol == "BTC/USD"
    assert bars[0].timeframe == "1m"
    assert bars[0].time == datetime(2018, 4, 4, tzinfo=UTC)


def test_merges_files_in_the_order_of_time(tmp_path: Path) -> None:
    btc = write(tmp_path / "btc-usd-1m.csv", *GOOD)
    later = write(tmp_path / "btc-usd-1m-later.csv", *(line.replace("T00", "T01") for line in GOOD))
    eth = write(tmp_path / "eth-usd-1m.csv", *GOOD)

    bars = read_bars([later, eth, btc])

    assert [bar.time for bar in bars] == sorted(bar.time for bar in bars)
    assert [bar.symbol for bar in bars] == ["BTC/USD", "ETH/USD"] * 3 + ["BTC/USD"] * 3


@pytest.mark.parametrize(
    ("seconds", "timeframe"),
    [(1, "1s"), (60, "1m"), (900, "15m"), (14_400, "4h"), (86_400, "1D"), (604_800, "1W")],
)
def test_timeframe_is_the_usual_distance(seconds: int, timeframe: str) -> None:
    start = 1_522_800_000
    stamps = [start, start + seconds, start + 2 * seconds, start + 9 * seconds]  # one gap
    assert timeframe_of([datetime.fromtimestamp(stamp, UTC) for stamp in stamps]) == timeframe


@pytest.mark.parametrize(
    ("lines", "header", "where", "reason"),
    [
        (GOOD, "timestamp,open,high,low,close", 1, "no column volume"),
        (GOOD, "a,b", 1, "no column timestamp, open, high, low, close, volume"),
        ((), HEADER, 1, "needs two bars or more"),
        (GOOD[:1], HEADER, 2, "needs two bars or more"),
        ((*GOOD, "yesterday,1,1,1,1,1"), HEADER, 5, "timestamp 'yesterday' is no ISO 8601 time"),
        ((*GOOD, "2018-04-04T00:03:00Z,1,1,1,x,1"), HEADER, 5, "close 'x' is no positive number"),
        ((*GOOD, "2018-04-04T00:03:00Z,1,1,1,nan,1"), HEADER, 5, "close 'nan' is no positive number"),
        ((*GOOD, "2018-04-04T00:03:00Z,1,1,0,1,1"), HEADER, 5, "low '0' is no positive number"),
        ((*GOOD, "2018-04-04T00:03:00Z,1,1,1,1,-1"), HEADER, 5, "volume '-1' is no number"),
        ((*GOOD, "2018-04-04T00:03:00Z,1,1"), HEADER, 5, "low None is no positive number"),
        ((*GOOD, "2018-04-04T00:03:00Z,3,2,1,1,1"), HEADER, 5, "open and close must lie between low and high"),
        ((*GOOD, GOOD[2]), HEADER, 5, "the timestamp 2018-04-04T00:02:00Z is there twice"),
        ((*GOOD, GOOD[0]), HEADER, 5, "the timestamp 2018-04-04T00:00:00Z is older than the one before"),
    ],
)
def test_a_bad_file_is_named_with_line_and_reason(
    tmp_path: Path, lines: tuple[str, ...], header: str, where: int, reason: str
) -> None:
    path = write(tmp_path / "btc-usd.csv", *lines, header=header)
    with pytest.raises(BarsError) as refused:
        read_bars([path])
    assert str(refused.value) == f"{path}:{where}: {reason}"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BarsError, match=r"btc-usd\.csv:1: cannot be read: .*No such file"):
        read_bars([tmp_path / "btc-usd.csv"])


def test_a_name_without_a_symbol(tmp_path: Path) -> None:
    with pytest.raises(BarsError, match=r"bars\.csv:1: the name must begin with the symbol"):
        read_bars([write(tmp_path / "bars.csv", *GOOD)])


def test_files_of_one_symbol_must_not_overlap(tmp_path: Path) -> None:
    with pytest.raises(BarsError, match=r"overlaps .*btc-usd-a\.csv"):
        read_bars([write(tmp_path / "btc-usd-a.csv", *GOOD), write(tmp_path / "btc-usd-b.csv", *GOOD)])


def test_the_same_seed_makes_the_same_market() -> None:
    first, again, other = (list(itertools.islice(synthetic_market(seed), 200)) for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_volatility_comes_in_clusters_and_bars_are_sound() -> None:
    bars = list(itertools.islice(synthetic_bars("BTC/USDT", 60_000.0, 3), 20_000))
    assert all(0 < bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in bars)
    assert 20_000 < min(bar.low for bar in bars) <= max(bar.high for bar in bars) < 180_000

    moves = [abs(math.log(bar.close / bar.open)) for bar in bars]
    assert statistics.correlation(moves[:-1], moves[1:]) > 0.1
