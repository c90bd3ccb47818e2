"""What the command line is made of: files in, plain results out, and one clear line for a bad file."""

import dataclasses
import json
import math
import random
from itertools import pairwise
from pathlib import Path

import pytest

from otel_mcbot.detect import DetectInputError
from otel_mcbot.detect.calibrate import calibrate, resample
from otel_mcbot.detect.tools import (
    alarm_windows,
    calibrate_csv,
    limits,
    plot_run,
    read_returns,
    run_csv,
    strategies_in,
    windows_csv,
)


def normal(count: int, seed: int, mean: float = 0.001) -> list[float]:
    generator = random.Random(seed)
    return [generator.gauss(mean, 0.02) for _ in range(count)]


def days(count: int) -> list[str]:
    from datetime import date, timedelta

    return [(date(2024, 1, 1) + timedelta(days=i)).isoformat() for i in range(count)]


@pytest.fixture
def decaying(tmp_path: Path) -> Path:
    path = tmp_path / "returns.csv"
    values = normal(365, 1) + normal(150, 2, mean=-0.012)
    path.write_text("date,return\n" + "".join(f"{d},{r!r}\n" for d, r in zip(days(515), values, strict=True)))
    return path


# --- limits


def test_limits_are_the_exact_quantiles() -> None:
    found = limits(0.001, 0.02, 365, law="simple")
    assert found.depth == pytest.approx(0.47408, rel=0.001)
    assert found.duration == 349
    log = limits(0.001, 0.02, 365)
    assert log == limits(0.001, 0.02, 365, law="log", confidence=0.95)
    assert log.depth == pytest.approx(0.47403, rel=0.003)
    assert limits(0.001, 0.02, 365, confidence=0.99).depth > log.depth
    assert limits(0.001, 0.02, 365, confidence=0.999).depth > limits(0.001, 0.02, 365, confidence=0.99).depth


@pytest.mark.parametrize(
    "arguments",
    [
        (math.nan, 0.02, 365),
        (0.001, 0.0, 365),
        (0.001, -0.02, 365),
        (0.001, math.nan, 365),
        (0.001, 0.02, 0),
        (0.001, 0.02, 365, "normal"),
        (0.001, 0.02, 365, "log", 1.5),
    ],
)
def test_impossible_limits_are_one_clear_error(arguments: tuple[float, ...]) -> None:
    with pytest.raises(DetectInputError, match=r"limits: .*must"):
        limits(*arguments)  # type: ignore[arg-type]


# --- run


def test_run_says_what_fired_when_and_why_in_both_modes(decaying: Path) -> None:
    report = run_csv(decaying)
    assert (report.backtest_days, report.live_days) == (365, 150)
    assert (report.first_day, report.last_day) == ("2024-12-31", "2025-05-29")
    for mode in ("default", "calibrated"):
        mine = [f for f in report.firings if f.mode == mode]
        assert {f.detector for f in mine} >= {"drawdown", "drift", "decay"}
        assert all(f.day == days(515)[f.index] for f in mine)
        assert all(f.message for f in mine)
        assert set(report.alarm_days[mode]) == {"drawdown", "drift", "decay", "lifecycle"}
    assert any(f.detector == "lifecycle" and f.message.startswith("production -> warning") for f in report.firings)
    assert [f.index for f in report.firings] == sorted(f.index for f in report.firings)
    assert report.alarm_days["calibrated"]["lifecycle"] > 0.2
    assert report.alarm_days["default"]["lifecycle"] == 0.0
    json.dumps(dataclasses.asdict(report), allow_nan=False)


def test_plot(decaying: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    target = tmp_path / "plot.png"
    plot_run(run_csv(decaying)).savefig(target)
    assert target.read_bytes().startswith(b"\x89PNG")


def test_windows(decaying: Path) -> None:
    done: list[float] = []
    report = windows_csv(decaying, live_days=90, step=30, progress=done.append)
    assert report.windows == 3
    assert done == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert report.shares["calibrated"]["any"] == 1.0
    healthy = alarm_windows(normal(500, 7), backtest_days=365, live_days=90, step=20)
    assert healthy.shares["calibrated"]["any"] <= healthy.shares["default"]["any"]


# --- files

GOOD = {
    "plain": ("0.01\n-0.02\n", [0.01, -0.02], ()),
    "dates": ("2024-01-01,0.01\n2024-01-02,-0.02\n", [0.01, -0.02], ("2024-01-01", "2024-01-02")),
    "header": ("Date,Return\n2024-01-01,0.01\n", [0.01], ("2024-01-01",)),
    "timestamps": ("timestamp,ctrend\n2024-01-01T00:00:00Z,0.01\n", [0.01], ("2024-01-01",)),
    "bom and blank lines": ("\ufeffday,r\n\n2024-01-01, 0.01\n\n", [0.01], ("2024-01-01",)),
    "more columns": ("date,equity,daily_return\n2024-01-01,100,0.01\n", [0.01], ("2024-01-01",)),
    "one strategy": ("date,strategy,return\n2024-01-01,a,0.01\n2024-01-02,a,0.02\n", [0.01, 0.02], None),
}


@pytest.mark.parametrize("name", GOOD)
def test_files_that_are_understood(tmp_path: Path, name: str) -> None:
    text, values, dates = GOOD[name]
    path = tmp_path / "r.csv"
    path.write_text(text, encoding="utf-8")
    data = read_returns(path)
    assert list(data.values) == values
    if dates is not None:
        assert data.days == dates


def test_choosing_a_column_and_a_strategy(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("date,a,b\n2024-01-01,0.1,0.2\n")
    assert read_returns(path, column="b").values == (0.2,)
    path.write_text("date,pod,return\n2024-01-01,a,0.1\n2024-01-01,b,0.2\n2024-01-02,b,0.3\n")
    assert read_returns(path, strategy="b").values == (0.2, 0.3)
    assert strategies_in(path) == ("a", "b")
    path.write_text("0.1\n0.2\n")
    assert strategies_in(path) == ()


BAD = {
    "": (None, "empty"),
    "date,return\n": (None, "no returns"),
    "date,return\n2024-01-01,abc\n": (2, "not a number: 'abc'"),
    "date,return\n2024-01-01,nan\n": (2, "not a finite number"),
    "date,return\n2024-01-01,-inf\n": (2, "not a finite number"),
    "date,return\n2024-01-01,\n": (2, "not a number: ''"),
    "date,return\n2024-01-01\n": (2, "1 columns, 2 are needed"),
    "date,return\n2024-01-01,-2.5\n": (2, "a loss of more than all"),
    "date,return\nyesterday,0.1\n": (2, "not a date: 'yesterday'"),
    "date,return\n2024-01-02,0.1\n2024-01-02,0.1\n": (3, "day 2024-01-02 twice"),
    "date,return\n2024-01-02,0.1\n2024-01-01,0.1\n": (3, "not in order"),
    "date,a,b\n2024-01-01,0.1,0.2\n": (1, "which column holds the returns"),
    "2024-01-01,0.1,0.2\n": (1, "no header and more than two columns"),
    "date,pod,return\n2024-01-01,a,0.1\n2024-01-01,b,0.2\n": (3, "several strategies (a, b): name one"),
}


@pytest.mark.parametrize("text", BAD, ids=[reason for _, reason in BAD.values()])
def test_a_bad_file_is_one_line_with_file_line_and_reason(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    line, reason = BAD[text]
    with pytest.raises(DetectInputError) as caught:
        read_returns(path)
    message = str(caught.value)
    assert reason in message
    assert message.startswith(f"{path}, line {line}: " if line else f"{path}: ")
    assert "\n" not in message
    assert caught.value.line == line


def test_other_bad_files(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    with pytest.raises(DetectInputError, match="No such file"):
        run_csv(path)
    with pytest.raises(DetectInputError, match="directory"):
        run_csv(tmp_path)
    path.write_bytes(b"\xff\xfe\x00bad")
    with pytest.raises(DetectInputError, match="not a CSV"):
        run_csv(path)
    path.write_text("\n".join("0.001" for _ in range(500)))
    with pytest.raises(DetectInputError, match="constant"):
        run_csv(path)
    path.write_text("\n".join(map(repr, normal(100, 1))))
    with pytest.raises(DetectInputError, match="100 returns; 365 for the backtest and 1 after it"):
        run_csv(path)
    assert run_csv(path, backtest_days=60).live_days == 40
    with pytest.raises(DetectInputError, match="too short"):
        run_csv(path, backtest_days=5)
    path.write_text("date,return\n2024-01-01,0.1\n")
    with pytest.raises(DetectInputError, match="no column 'x'"):
        read_returns(path, column="x")
    path.write_text("date,pod,return\n2024-01-01,a,0.1\n")
    with pytest.raises(DetectInputError, match="no returns of strategy 'z', only of a"):
        read_returns(path, strategy="z")


def test_percentages_are_read_and_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("0.01\n1.7\n2.0\n")
    data = read_returns(path)
    assert data.values == (0.01, 1.7, 2.0)
    assert len(data.warnings) == 1
    assert "line 2" in data.warnings[0]


# --- calibrate


def test_calibration_of_a_healthy_backtest() -> None:
    done: list[float] = []
    result = calibrate(normal(365, 3), paths=12, drops=(0.5,), progress=done.append)
    assert (result.days, result.paths, result.budget) == (365, 12, 0.05)
    assert result.mu == pytest.approx(0.001, abs=0.003)
    assert result.aware.depth > result.known.depth > 0.1
    assert result.lines["drift_critical"] > result.lines["drift"]
    assert done[-1] == 1.0
    assert len(done) == 36
    rates = {(f.mode, f.detector): f for f in result.false_alarms}
    assert len(rates) == 10
    assert rates["default", "decay"].share >= 0.75
    for detector in ("drawdown", "drift", "decay", "lifecycle"):
        assert rates["calibrated", detector].share <= 0.34  # 4 of 12: a budget of 5 % would have to be broken badly
        assert rates["default", detector].episodes >= rates["default", detector].share
    seen = {d.detector: d for d in result.detections}
    assert seen["decay"].share >= 0.9
    assert seen["decay"].median_days is not None
    assert 50 <= seen["decay"].median_days <= 120
    json.dumps(dataclasses.asdict(result), allow_nan=False)


def test_calibration_without_simulation_is_limits_only() -> None:
    result = calibrate(normal(100, 3), paths=0)
    assert result.false_alarms == ()
    assert result.detections == ()
    assert "100 days" in result.warnings[0]


def test_calibration_is_reproducible() -> None:
    one, two = (calibrate(normal(200, 3), paths=2, drops=(0.5,), seed=9) for _ in range(2))
    assert one == two


@pytest.mark.parametrize(
    ("returns", "reason"),
    [
        ([], "0 days with a return"),
        ([0.0] * 500, "0 days with a return"),
        ([0.01] * 500, "constant"),
        (normal(60, 1), "60 days"),
    ],
)
def test_what_cannot_be_calibrated(returns: list[float], reason: str) -> None:
    with pytest.raises(DetectInputError, match=reason):
        calibrate(returns)


def test_a_budget_that_was_not_measured(decaying: Path) -> None:
    with pytest.raises(DetectInputError, match="budget"):
        calibrate_csv(decaying, budget=0.5)
    assert calibrate_csv(decaying, budget=0.1, paths=0).budget == 0.1


def test_resampling_keeps_blocks_and_values() -> None:
    source = [float(i) for i in range(500)]
    drawn = resample(source, 20_000, random.Random(1))
    assert set(drawn) <= set(source)
    joined = sum((b - a) % 500 == 1 for a, b in pairwise(drawn))
    assert joined / len(drawn) == pytest.approx(0.95, abs=0.01)
