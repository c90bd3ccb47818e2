"""Rules as Grafana evaluates them, made from the rows of :mod:`otel_mcbot.rules`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from otel_mcbot.provision import grammar, messages
from otel_mcbot.provision.grammar import Json
from otel_mcbot.rules import Rule, Severity, text
from otel_mcbot.rules.rule import written

FOLDER: Final = "otel-mcbot"
INTERVAL: Final = "10s"
"""Bots export every 10 seconds; Grafana's scheduler knows nothing shorter."""

LATER: Final = 30 * 60
"""Seconds after which a warning that goes on becomes critical."""

RETIRED: Final[tuple[str, ...]] = ()
"""Names of rules that are no more. Grafana keeps what is no longer in its files until it is told to delete it."""

_SECONDS: Final[Mapping[str, int]] = {"d": 86400, "h": 3600, "m": 60, "s": 1}


class Evaluation(NamedTuple):
    """A rule as a server evaluates it: the rule itself, or what speaks up when a warning goes on."""

    rule: Rule
    uid: str
    title: str
    hold: str
    labels: dict[str, str]


def evaluations() -> dict[str, list[Evaluation]]:
    """Family → what the rules in force are evaluated as, each warning followed by its escalation."""
    families: dict[str, list[Evaluation]] = {}
    for rule in grammar.in_force.get():
        family = families.setdefault(rule.family, [])
        labels = {"family": rule.family, "severity": rule.severity.value}
        family.append(Evaluation(rule, _uid(rule.name), rule.name, rule.hold, labels))
        if rule.escalation:
            labels = labels | {"escalated_from": rule.name, "severity": Severity.CRITICAL.value}
            title = f"{rule.name} (30 min)"
            family.append(Evaluation(rule, _uid(rule.name, escalated=True), title, later(rule.hold), labels))
    return families


def _uid(name: str, *, escalated: bool = False) -> str:
    return f"mcbot-{name}-30m" if escalated else f"mcbot-{name}"


def later(duration: str) -> str:
    """A duration and :data:`LATER` more.

    >>> later("45m"), later("1d"), later("0s")
    ('1h15m', '1d30m', '30m')
    """
    left = LATER + sum(int(count) * _SECONDS[name] for count, name in re.findall(r"(\d+)([dhms])", duration))
    parts = []
    for name, size in _SECONDS.items():
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{name}")
    return "".join(parts)


def rules(dashboards: Mapping[str, Callable[[], Json]]) -> Json:
    """The file ``rules.yaml``. ``dashboards`` makes those that rules link to: uid → the dashboard."""
    made = {name: build() for name, build in dashboards.items()}
    panels = {f"{name}/{panel['title']}": panel["id"] for name, each in made.items() for panel in each["panels"]}
    return {
        "apiVersion": 1,
        "deleteRules": [{"orgId": 1, "uid": each} for each in _gone(grammar.in_force.get())],
        "groups": [
            {
                "folder": FOLDER,
                "interval": INTERVAL,
                "name": family,
                "orgId": 1,
                "rules": [_rule(each, panels) for each in group],
            }
            for family, group in evaluations().items()
        ],
    }


def _gone(rows: Iterable[Rule]) -> list[str]:
    """What may be left from before: retired rules, and escalations that are no more."""
    return sorted(
        [_uid(name, escalated=escalated) for name in RETIRED for escalated in (False, True)]
        + [_uid(rule.name, escalated=True) for rule in rows if not rule.escalation]
    )


def _rule(each: Evaluation, panels: Mapping[str, int]) -> Json:
    rule = each.rule
    alert = rule.on_error == "alert"
    return {
        "annotations": _annotations(rule, panels),
        "condition": "B",
        "data": [
            {
                "datasourceUid": "prometheus",
                "model": {"editorMode": "code", "expr": rule.query, "instant": True, "range": False, "refId": "A"},
                "refId": "A",
                "relativeTimeRange": {"from": 600, "to": 0},
            },
            {
                "datasourceUid": "__expr__",
                "model": {
                    "datasource": {"type": "__expr__", "uid": "__expr__"},
                    # a query alone never fires at the value 0
                    "expression": f"$A {rule.op} {written(rule.threshold)}",
                    "refId": "B",
                    "type": "math",
                },
                "refId": "B",
                "relativeTimeRange": {"from": 0, "to": 0},
            },
        ],
        "execErrState": "Alerting" if alert else "KeepLast",
        "for": each.hold,
        "labels": each.labels,
        "noDataState": "Alerting" if alert else "OK",
        "title": each.title,
        "uid": each.uid,
    }


def _annotations(rule: Rule, panels: Mapping[str, int]) -> dict[str, str]:
    dashboard, _, _ = rule.panel.partition("/")
    panel = panels[rule.panel]
    return {
        messages.SUMMARY: text.grafana(rule),
        messages.RUNBOOK: f"/d/runbooks?viewPanel={panels[f'runbooks/{rule.name}']}",
        messages.PANEL: f"{dashboard}?viewPanel={panel}",
        "__dashboardUid__": dashboard,
        "__panelId__": str(panel),
    }
