"""The command line: what it lists, what it prints, and one line for every mistake."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from otel_mcbot import catalog
from otel_mcbot.cli import COMMANDS, run

GOLDEN = Path(__file__).parents[1] / "golden" / "metrics.tsv"


def test_help_lists_the_commands_and_imports_none_of_them() -> None:
    code = (
        "import sys; from otel_mcbot.cli import run; status = run(['--help']);"
        "print(*[name for name in sys.modules if name.startswith('otel_mcbot.') and name != 'otel_mcbot.cli']);"
        "sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert all(name in done.stdout for name in COMMANDS)
    imported = done.stdout.splitlines()[-1].split()
    assert not {"otel_mcbot.demo", "otel_mcbot.doctor", "otel_mcbot.telemetry"} & set(imported)


def test_without_a_command_it_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "Commands" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], f"no command 'nonsense': there are {', '.join(COMMANDS)}"),
        (
            ["demo", "--speed", "fast"],
            "'--speed': 'fast': allowed is a positive number of bot seconds a second, or max",
        ),
        (["demo", "--speed", "-1"], "'--speed': '-1': allowed is a positive number of bot seconds a second, or max"),
        (["demo", "--duration", "soon"], "'--duration': 'soon': allowed is a time as in 20s, 2m, 1h, or 0 or forever"),
        (["demo", "--seed", "x"], "'--seed': 'x': allowed is a whole number"),
        (["demo", "--mode", "real"], "'--mode': 'real' is not one of 'live', 'paper', 'shadow', 'backtest'"),
        (["demo", "--nonsense"], "--nonsense"),
        (["demo", "lost.csv"], "unexpected argument 'lost.csv': files of bars come after --bars"),
        (["demo", "--bars", "not-there-1m.csv"], "not-there-1m.csv:1: cannot be read"),
        (
            ["demo", "--returns", "no/such/folder/r.csv"],
            "--returns 'no/such/folder/r.csv': allowed is a file in a folder",
        ),
        (["demo", "--returns", "r.csv", "--duration", "forever"], "--returns needs a run that ends"),
        (["metrics", "list", "--json", "--markdown"], "--json and --markdown exclude each other"),
        (["doctor", "--nonsense"], "--nonsense"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert said in line
    assert list(tmp_path.iterdir()) == []


def test_a_bad_variable_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MCBOT_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("MCBOT_HOLD", "soon")
    assert run(["doctor"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "MCBOT_HOLD='soon': allowed" in line


# -- metrics -----------------------------------------------------------------------------------------------------------


def test_the_list_for_programs_is_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["metrics", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert list(listed[0]) == [
        "prometheus_name", "otel_name", "type", "labels", "unit", "buckets", "layer", "ours", "meaning"
    ]  # fmt: skip
    with GOLDEN.open(encoding="utf-8", newline="") as file:
        promised = list(csv.DictReader(file, delimiter="\t"))
    assert [
        (row["prometheus_name"], row["type"], sorted(row["labels"])) for row in listed if not row["ours"]
    ] == [
        (row["prometheus_name"], row["type"], sorted(label for label in (row["labels"] or "").split(",") if label))
        for row in promised
    ]  # fmt: skip


def test_the_list_for_people_has_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["metrics", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [row.prometheus_name for row in catalog.rows()]


def test_the_page_is_the_one_in_docs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["metrics", "list", "--markdown"]) == 0
    page = Path(__file__).parents[2] / "docs" / "metrics.md"
    assert capsys.readouterr().out == page.read_text(encoding="utf-8")
