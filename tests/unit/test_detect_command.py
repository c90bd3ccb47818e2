"""``otel-mcbot detect``: what it prints, as text and as JSON, and one line for every mistake."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from otel_mcbot.cli import run
from otel_mcbot.detect import tools

Captured = pytest.CaptureFixture[str]


def normal(count: int, seed: int, mean: float = 0.001, sigma: float = 0.02) -> list[float]:
    generator = random.Random(seed)
    return [generator.gauss(mean, sigma) for _ in range(count)]


def write(path: Path, columns: dict[str, list[float]]) -> Path:
    """date, strategy, return; the strategies' days side by side."""
    days = range(len(next(iter(columns.values()))))
    dates = [f"{2020 + day // 336}-{day % 336 // 28 + 1:02d}-{day % 28 + 1:02d}" for day in days]
    lines = [f"{dates[day]},{name},{values[day]}" for day in days for name, values in columns.items()]
    path.write_text("date,strategy,return\n" + "\n".join(lines) + "\n")
    return path


@pytest.fixture
def two(tmp_path: Path) -> Path:
    good, bad = normal(480, 1), normal(365, 2) + normal(115, 3, mean=-0.02)
    return write(tmp_path / "returns.csv", {"good": good, "bad": bad})


def test_run_prints_both_modes_of_every_strategy(two: Path, capsys: Captured) -> None:
    assert run(["detect", "run", str(two)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert ", good: made of 365 days" in out
    assert ", bad: made of 365 days" in out
    assert min(out.count(f" {mode:12} lifecycle ") for mode in tools.MODES) >= 2
    assert "Return distribution has shifted significantly" in out
    assert "a strategy review is recommended" in " ".join(out.split())


def test_run_as_json_is_what_the_tools_say(two: Path, capsys: Captured) -> None:
    assert run(["detect", "run", str(two), "--strategy", "bad", "--mode", "calibrated", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["runs"]
    report = tools.run_csv(two, strategy="bad", modes=["calibrated"])
    assert found["strategy"] == "bad"
    assert found["live_days"] == 115
    assert [f["day"] for f in found["firings"]] == [f.day for f in report.firings]
    assert found["alarm_days"] == report.alarm_days
    assert {"drawdown", "drift", "decay", "lifecycle"} <= {f["detector"] for f in found["firings"]}


def test_run_counts_windows(tmp_path: Path, capsys: Captured) -> None:
    path = write(tmp_path / "r.csv", {"good": normal(430, 4)})
    asked = ["detect", "run", str(path), "--backtest-days", "60", "--windows", "--mode", "calibrated", "--json"]
    assert run(asked) == 0
    (found,) = json.loads(capsys.readouterr().out)["runs"]
    assert found["windows"]["windows"] == 1
    assert found["windows"]["shares"]["calibrated"]["any"] in (0.0, 1.0)
    assert run(asked[:-1]) == 0
    assert "365-day windows with one, 1" in capsys.readouterr().out


def test_run_draws_one_plot_a_strategy(two: Path, tmp_path: Path, capsys: Captured) -> None:
    pytest.importorskip("matplotlib")
    assert run(["detect", "run", str(two), "--plot", str(tmp_path / "p.png")]) == 0
    for name in ("p-good.png", "p-bad.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert run(["detect", "run", str(two), "--strategy", "bad", "--plot", str(tmp_path / "p.xyz")]) == 2
    assert "'xyz' is not supported" in capsys.readouterr().err


def test_calibrate(tmp_path: Path, capsys: Captured) -> None:
    path = write(tmp_path / "b.csv", {"good": normal(365, 5)})
    asked = ["detect", "calibrate", str(path), "--paths", "2", "--drop", "0.5"]
    assert run(asked) == 0
    out = capsys.readouterr().out
    for text in ("365 days", "allowing for its error", "False alarms in 2 healthy years", "0.5 σ a day"):
        assert text in out
    assert run([*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["aware"]["depth"] > found["known"]["depth"] > 0.2
    assert found["budget"] == 0.05
    assert {seen["drop"] for seen in found["detections"]} == {0.5}


def test_limits(capsys: Captured) -> None:
    asked = ["detect", "limits", "--mu", "0.001", "--sigma", "0.02", "--days", "365"]
    assert run([*asked, "--law", "simple", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["depth"] == pytest.approx(0.47408, rel=0.006)
    assert found["duration"] == 349
    assert run(asked) == 0
    assert "349 days without a new high" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "missing.csv"], "missing.csv: No such file"),
        (["run", "word.csv"], "word.csv, line 3: not a number: 'up'"),
        (["run", "twice.csv"], "twice.csv, line 3: day 2024-01-02 twice"),
        (["run", "short.csv"], "short.csv: 40 returns; 365 for the backtest and 1 after it are needed"),
        (["run", "short.csv", "--column", "gain"], "short.csv, line 1: no header, so no column 'gain'"),
        (["run", "short.csv", "--backtest-days", "5"], "'--backtest-days': '5': allowed is a whole number from 30"),
        (["run", "short.csv", "--budget", "0.5"], "'--budget': '0.5': allowed is a number from 0.01 to 0.2"),
        (["run", "short.csv", "--plot", "no/such/x.png"], "--plot 'no/such/x.png': allowed is a file in a folder"),
        (["run", "short.csv", "--mode", "loud"], "'loud' is not one of 'both', 'default', 'calibrated'"),
        (["calibrate", "short.csv"], "short.csv: 40 days with a return; more than 60 are needed"),
        (["calibrate", "short.csv", "--drop", "0"], "'--drop': '0': allowed is a number above 0 and below 10"),
        (["limits", "--mu", "x", "--sigma", "1", "--days", "9"], "'--mu': 'x': allowed is a number above -1"),
        (["limits", "--mu", "0", "--sigma", "nan", "--days", "9"], "'--sigma': 'nan': allowed is a number above 0"),
        (["limits", "--mu", "0", "--sigma", "1", "--days", "1.5"], "'--days': '1.5': allowed is a whole number"),
        (["limits", "--mu", "0", "--sigma", "1"], "Missing option '--days'"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    arguments: list[str], said: str, capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("word.csv").write_text("return\n0.1\nup\n")
    Path("twice.csv").write_text("date,return\n2024-01-02,0.1\n2024-01-02,0.1\n")
    Path("short.csv").write_text("".join(f"{r}\n" for r in normal(40, 1)))
    assert run(["detect", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert said in line


def test_percentages_are_warned_of(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "percent.csv"
    path.write_text("".join(f"{100 * abs(r)}\n" for r in normal(80, 1)))
    assert run(["detect", "run", str(path), "--backtest-days", "40", "--mode", "default"]) == 0
    assert "fractions are expected (0.01 is 1 %)" in capsys.readouterr().err


def test_nothing_heavy_is_imported_before_it_is_used_and_a_missing_extra_is_one_line(two: Path) -> None:
    code = (
        "import sys\n"
        "from otel_mcbot.cli import run\n"
        "run(['detect', 'limits', '--help'])\n"
        "assert not {'numpy', 'scipy', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "sys.modules['numpy'] = None\n"
        f"sys.exit(run(['detect', 'run', {str(two)!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.splitlines() == ["otel-mcbot: numpy is not installed: pip install 'otel-mcbot[detectors]'"]
