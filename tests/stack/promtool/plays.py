"""promtool's test files: made from the cases, and from scenes that are written by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import Any, Final

from promtool.cases import LATER, Case, Curve, Series, Value

from otel_mcbot import rules
from otel_mcbot.rules import text

Json = dict[str, Any]

MIRROR: Final = Path(__file__).resolve().parents[3] / "grafana" / "mirror" / "prometheus-rules.yaml"
"""The rules as they are committed."""

SECONDS: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}

NOISE: Final = {"service_instance_id": "x", "service_namespace": "mcbot"}
"""Labels that series of a bot have and alerts have not."""


def bot(instance: str = "a", mode: str = "live") -> dict[str, str]:
    """The labels of a bot."""
    return {"job": "mcbot/bot", "instance": instance, "service_name": "bot", "trading_mode": mode}


STACK: Final = {"job": "mcbot/collector", "instance": "collector", "service_name": "collector"}
"""The labels of the Collector, the host and the stores, as far as they matter here."""


@dataclass(frozen=True)
class Says:
    """What is to be heard at a moment: ``alerts`` are the labels of the series, with the value in the message."""

    at: int
    rule: str
    alerts: tuple[tuple[Mapping[str, str], float], ...] = ()
    later: bool = False


@dataclass(frozen=True)
class Play:
    """Series, complete with all labels, and what is to be heard."""

    name: str
    series: Series
    says: tuple[Says, ...]
    end: int
    never: str = ""
    """Alerts that never fire in all this time: matchers of ``ALERTS``."""


def seconds(duration: str) -> int:
    """Of a rule's ``for``."""
    return sum(int(part[:-1]) * SECONDS[part[-1]] for part in duration.split())


def with_labels(series: Series, labels: Mapping[str, str]) -> dict[str, Curve]:
    """The series of one bot; those that have all labels already stay as they are."""
    found = {}
    for name, curve in series.items():
        metric, _, own = name.rstrip("}").partition("{")
        pairs = ([] if "job=" in own else [f'{key}="{value}"' for key, value in labels.items()]) + (
            [own] if own else []
        )
        found[f"{metric}{{{', '.join(pairs)}}}"] = curve
    return found


def of_case(case: Case) -> Iterator[Play]:
    """Fires at its minute and not before, says what and whose, is over when it is; one unit less is silence."""
    rule = rules.find(case.rule)
    hold = seconds(rule.hold)
    own = bot() if case.bot else STACK
    labels = {**own, **case.labels}
    if rule.value == "vector(1)":
        labels = {}
    fires = case.first + hold
    end = max(case.end, fires + LATER) + 2 * case.step
    says = [Says(fires, case.rule, ((labels, case.value),))]
    if fires:
        says.append(Says(fires - case.step, case.rule))
    if case.end:
        says.append(Says(case.end, case.rule))
    if rule.escalation:
        value = case.value if case.later is None else case.later
        says += [
            Says(fires + LATER - case.step, case.rule, later=True),
            Says(fires + LATER, case.rule, ((labels, value),), later=True),
            Says(case.end, case.rule, later=True),
        ]
    other = with_labels(case.just[0], {**bot("b"), **NOISE}) if case.just and case.bot else {}
    yield Play(
        f"{case.rule} fires, of the bot that it is about",
        {**other, **with_labels(case.bad, {**own, **(NOISE if case.bot else {})})},
        tuple(says),
        end,
    )
    for at, just in enumerate(case.just):
        yield Play(
            f"{case.rule} is silent, {at}",
            with_labels(just, own),
            (),
            fires + LATER,
            never=f'alertname=~"{case.rule}.*"',
        )
    if case.half is not None:
        both = {**with_labels(case.half, bot("a")), **with_labels(case.half, bot("b"))}
        yield Play(
            f"{case.rule} does not add up two bots", both, (), fires + LATER, never=f'alertname=~"{case.rule}.*"'
        )


def file(plays: Iterable[Play], names: Iterable[str], *, step: int, every: int | None = None) -> tuple[Json, Json]:
    """A file of rules, with those of ``names`` alone, and the file of tests for it, without its name.

    ``step`` seconds between samples, ``every`` between evaluations.
    """
    wanted = {each for name in names for each in (name, f"{name} (30 min)")}
    groups = json.loads(MIRROR.read_text(encoding="utf-8").partition("\n")[2])["groups"]
    kept = [
        {**group, "interval": f"{every or step}s", "rules": chosen}
        for group in groups
        if (chosen := [rule for rule in group["rules"] if rule["alert"] in wanted])
    ]
    return {"groups": kept}, {
        "rule_files": [],
        "evaluation_interval": f"{every or step}s",
        "group_eval_order": [group["name"] for group in kept],
        "tests": [_test(play, step) for play in plays],
    }


def _test(play: Play, step: int) -> Json:
    test: Json = {
        "name": play.name,
        "interval": f"{step}s",
        "input_series": [
            {"series": name, "values": _samples(curve, play.end, step)} for name, curve in play.series.items()
        ],
        "alert_rule_test": [_asked(says) for says in play.says],
    }
    if play.never:
        heard = f'count_over_time(ALERTS{{alertstate="firing", {play.never}}}[{play.end + step}s])'
        expr = f"count by (alertname, instance) ({heard})"
        test["promql_expr_test"] = [{"expr": expr, "eval_time": f"{play.end}s", "exp_samples": []}]
    return test


def _samples(curve: Curve, end: int, step: int) -> str:
    """The samples until ``end``, in promtool's words for what repeats or grows evenly."""
    runs: list[tuple[Value, float, int]] = []  # first value, what each next one adds, how many follow
    for at in range(0, end + 1, step):
        value = curve(at)
        if runs:
            first, adds, more = runs[-1]
            if value is None and first is None:
                runs[-1] = (first, 0, more + 1)
                continue
            if isinstance(value, int) and isinstance(first, int) and (more == 0 or first + adds * (more + 1) == value):
                runs[-1] = (first, value - first if more == 0 else adds, more + 1)
                continue
        runs.append((value, 0, 0))
    return " ".join(starmap(_run, runs))


def _run(first: Value, adds: float, more: int) -> str:
    if first is None:
        return f"_x{more + 1}"
    if isinstance(first, str):
        return first
    return f"{first:.15g}{adds:+g}x{more}" if more else f"{first:.15g}"


def _asked(says: Says) -> Json:
    rule = rules.find(says.rule)
    labels = {"family": rule.family, "severity": rule.severity.value}
    if says.later:
        labels |= {"severity": "critical", "escalated_from": rule.name}
    return {
        "eval_time": f"{says.at}s",
        "alertname": f"{rule.name} (30 min)" if says.later else rule.name,
        "exp_alerts": [
            {"exp_labels": {**labels, **own}, "exp_annotations": {"summary": text.read(rule, value, own)}}
            for own, value in says.alerts
        ],
    }
