"""The same rules as Prometheus itself would evaluate them.

Grafana's rules cannot be tried on made-up series, Prometheus' can: ``promtool test rules`` proves each condition and
each ``for``. It also serves whoever alerts by Prometheus and its Alertmanager instead. A rule whose news is that
Prometheus does not answer is not among them.
"""

from __future__ import annotations

from otel_mcbot.provision import alerting, messages
from otel_mcbot.provision.alerting import Evaluation
from otel_mcbot.provision.grammar import Json
from otel_mcbot.rules import text


def build() -> Json:
    """The file of rules: a group a family."""
    return {
        "groups": [
            {
                "interval": alerting.INTERVAL,
                "name": family,
                "rules": [_rule(each) for each in group if each.rule.on_error == "ok"],
            }
            for family, group in alerting.evaluations().items()
        ]
    }


def _rule(each: Evaluation) -> Json:
    return {
        "alert": each.title,
        "annotations": {messages.SUMMARY: text.prometheus(each.rule)},
        "expr": each.rule.condition,
        "for": each.hold,
        "labels": each.labels,
    }
