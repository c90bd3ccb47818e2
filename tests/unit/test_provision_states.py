"""What is special about the dashboards of the market, the pods and the detectors: numbers that stand for words."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from otel_mcbot import catalog, rules
from otel_mcbot.provision import anomaly, grammar, orchestrator, regime


def panel_of(made: dict[str, Any], title: str) -> dict[str, Any]:
    (found,) = [panel for panel in made["panels"] if panel["title"] == title]
    return dict(found)


def words_of(panel: dict[str, Any]) -> dict[str, str]:
    """Number → the word that is shown for it."""
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
    return {number: look["text"] for number, look in mapping["options"].items()}


def test_a_pods_state_has_the_number_that_is_shown_as_its_word() -> None:
    asked = dict(
        re.findall(r'(\d) \* \(\w+\{[^}]*mcbot_pod_lifecycle_state="(\w+)"\} == 1\)', orchestrator.lifecycle())
    )
    assert asked == words_of(panel_of(orchestrator.build(), "Lifecycle state"))
    assert tuple(asked.values()) == catalog.POD_STATES


def test_every_timeframe_is_compared_with_its_own_seconds() -> None:
    asked = re.findall(r'timeframe(=|!~)"([^"]+)"\} / (\d+)', regime.ages())
    assert asked.pop() == ("!~", "|".join(name for _, name, _ in asked), "86400")  # any other is taken for a day
    assert {"1m", "1h", "4h", "1d"} <= {name for _, name, _ in asked}
    sizes = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "M": 31 * 86_400}
    for match, timeframe, seconds in asked:
        assert (match, int(seconds)) == ("=", int(timeframe[:-1]) * sizes[timeframe[-1]])


def test_severities_are_the_words_of_the_detectors() -> None:
    made = anomaly.build()
    assert list(words_of(panel_of(made, "Drawdown severity")).items()) == [
        ("0", "NORMAL"),
        ("1", "WARNING"),
        ("2", "CRITICAL"),
    ]
    assert words_of(panel_of(made, "Decay detected")).keys() == {"0", "1"}


def lines(panel: dict[str, Any]) -> list[float | None]:
    return [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]]


def test_the_p_value_is_drawn_against_both_of_its_rules() -> None:
    panel = panel_of(anomaly.build(), "p-value")
    assert lines(panel) == [None, 0.01, 0.05]
    assert panel["fieldConfig"]["defaults"]["custom"]["scaleDistribution"] == {"log": 10, "type": "log"}
    assert rules.find("DistributionDriftCritical").threshold > anomaly.LEAST_P
    stricter = [replace(rule, threshold=0.02) if rule.name == "DistributionDrift" else rule for rule in rules.RULES]
    before = grammar.in_force.set(stricter)
    try:
        assert lines(panel_of(anomaly.build(), "p-value")) == [None, 0.01, 0.02]
    finally:
        grammar.in_force.reset(before)
