"""Every rule, tried on made-up series by Prometheus' own promtool: when it fires, what it says, and when it must not.

Needs Docker and the image of Prometheus, and no running stack. A play's failure shows what promtool expected and got.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from promtool.cases import CASES
from promtool.plays import MIRROR, file, of_case
from promtool.scenes import SCENES
from stack import ROOT

from otel_mcbot.provision import files, mirror
from otel_mcbot.rules import RULES

IMAGE = re.findall(r"image: (\S*prom/prometheus\S*)", (ROOT / "compose.yaml").read_text())[0]

TRIED = {
    **{case.rule: (tuple(of_case(case)), (case.rule,), case.step, None) for case in CASES},
    **{scene.name: (scene.plays, scene.judges, scene.step, scene.every) for scene in SCENES},
}
"""Name → plays, the rules that judge them, seconds between samples and between evaluations."""


def promtool(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script where promtool is, in the folder; ``/out`` may be written to."""
    docker = ["docker", "run", "--rm", "--network=none", "--tmpfs=/out:mode=777", f"--volume={folder}:/here:ro"]
    command = [*docker, "--workdir=/here", "--entrypoint=sh", IMAGE, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def write(folder: Path, number: int, rules: Mapping[str, Any], tests: Mapping[str, Any]) -> None:
    (folder / f"{number}.rules").write_text(json.dumps(rules))
    (folder / f"{number}.test").write_text(json.dumps({**tests, "rule_files": [f"{number}.rules"]}))


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What promtool says to each: ``SUCCESS``, or what is wrong."""
    folder = tmp_path_factory.mktemp("promtool")
    folder.chmod(0o755)
    for number, (plays, judges, step, every) in enumerate(TRIED.values()):
        write(folder, number, *file(plays, judges, step=step, every=every))
    done = promtool(
        folder,
        "ls *.test | xargs -P 4 -I@ sh -c 'promtool test rules @ > /out/@ 2>&1; true'"
        ' && cd /out && for file in *.test; do echo "== $file"; cat $file; done',
    )
    assert done.returncode == 0, done.stderr
    said = dict(re.findall(r"^== (\d+)\.test\n((?:(?!== ).*\n?)*)", done.stdout, re.MULTILINE))
    return {name: said[str(number)] for number, name in enumerate(TRIED)}


@pytest.mark.parametrize("name", TRIED)
def test_a_rule_fires_when_it_should_and_not_when_it_should_not(answers: dict[str, str], name: str) -> None:
    assert answers[name].split() == ["SUCCESS"], answers[name]


def test_every_rule_is_tried() -> None:
    mirrored = {rule["alert"] for group in mirror.build()["groups"] for rule in group["rules"]}
    assert {case.rule for case in CASES} == {rule.name for rule in RULES if rule.name in mirrored}
    assert {rule.name for rule in RULES} - mirrored == {"PrometheusDown"}


def test_prometheus_accepts_the_file_of_rules(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "rules.yaml").write_text(MIRROR.read_text(encoding="utf-8"))
    done = promtool(tmp_path, "promtool check rules --lint-fatal rules.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    count = sum(1 + rule.escalation for rule in RULES if rule.on_error != "alert")
    assert f"{count} rules found" in done.stdout
    assert MIRROR.read_text(encoding="utf-8") == files.text("mirror/prometheus-rules.yaml")


def test_a_rule_that_waits_longer_or_says_something_else_is_found_out(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    case = next(case for case in CASES if case.rule == "HighDrawdown")
    rules, tests = file(of_case(case), [case.rule], step=case.step)
    changes = (("for", "70s"), ("for", "50s"), ("expr", "max(mcbot_drawdown_pct) > 10"), ("annotations", {}))
    for number, (key, value) in enumerate(changes):
        changed = json.loads(json.dumps(rules))
        changed["groups"][0]["rules"][0][key] = value
        write(tmp_path, number, changed, tests)
    done = promtool(tmp_path, "for file in *.test; do promtool test rules $file; done")
    assert done.stdout.count("FAILED") + done.stderr.count("FAILED") == len(changes), done.stdout + done.stderr
