"""The same rules as Prometheus itself would evaluate them.

Grafana's rules cannot be tried on made-up series, Prometheus' can: ``promtool test rules`` proves each condition and
each ``for``. It also serves whoever alerts by Prometheus and its Alertmanager instead. A rule whose news is that
Prometheus does not answer is not among them.
"""

from __future__ import annotations

from otel_mcbot.provision import alerting, grammar, messages
from otel_mcbot.provision.grammar import Json
from otel_mcbot.rules import Rule, Severity, text


def build() -> Json:
    """The file of rules: a group a family."""
    groups: dict[str, list[Json]] = {}
    for rule in grammar.in_force.get():
        if rule.on_error == "alert":
            continue
        group = groups.setdefault(rule.family, [])
        group.append(_rule(rule))
        if rule.escalation:
            group.append(_escalation(rule))
    return {
        "groups": [{"interval": alerting.INTERVAL, "name": family, "rules": group} for family, group in groups.items()]
    }


def _rule(rule: Rule) -> Json:
    return {
        "alert": rule.name,
        "annotations": {messages.SUMMARY: text.prometheus(rule)},
        "expr": rule.condition,
        "for": rule.hold,
        "labels": {"family": rule.family, "severity": rule.severity.value},
    }


def _escalation(rule: Rule) -> Json:
    made = _rule(rule)
    return made | {
        "alert": f"{rule.name} (30 min)",
        "for": alerting.later(rule.hold),
        "labels": made["labels"] | {"escalated_from": rule.name, "severity": Severity.CRITICAL.value},
    }
