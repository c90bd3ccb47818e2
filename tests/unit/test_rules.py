"""Rules as rows: the contract's names and times, expressions that parse and keep bots apart, words that can be read."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser as parser
import pytest

from otel_mcbot import catalog, rules
from otel_mcbot.provision import alerting, files, grammar, mirror
from otel_mcbot.rules import IDENTITY, RULES, OverrideError, Rule, Severity, Unit, page, text
from otel_mcbot.rules.overrides import DURATION

GOLDEN = {
    row["alert"]: row
    for row in csv.DictReader((Path(__file__).parents[1] / "golden" / "alerts.tsv").open(), delimiter="\t")
}
EACH = [pytest.param(rule, id=rule.name) for rule in RULES]
STACK = {"CollectorQueueFilling", "CollectorSendFailing", "CollectorDown", "BackendDown", "HostDiskFilling"}
"""About the stack itself; Watchdog and PrometheusDown are about nothing at all."""

OTHERS = {
    "otelcol_process_uptime_seconds_total": set(),
    "otelcol_exporter_queue_size": {"exporter", "data_type"},
    "otelcol_exporter_queue_capacity": {"exporter", "data_type"},
    "mcbot_collector_received_points": set(),
    "target_info": {"trading_mode"},
    "up": {"backend"},
    "system_filesystem_utilization_ratio": {"mountpoint", "device", "type", "mode", "state"},
    ".*": {"exporter", "otel_metric_overflow"},  # by a pattern of names
}
"""Metrics that are no bot's: the Collector's, the host's, Prometheus' own, with their labels as the stack has them."""


# -- PromQL ----------------------------------------------------------------------------------------------------------


def parts(node: Any) -> list[Any]:
    found = [getattr(node, name, None) for name in ("expr", "lhs", "rhs", "vector_selector")]
    return [each for each in (*found, *getattr(node, "args", ())) if each is not None]


def nodes(node: Any) -> Iterator[Any]:
    yield node
    for part in parts(node):
        yield from nodes(part)


def labels(node: Any) -> set[str] | None:
    """The labels that a result is sure to have no others beside; ``None``: all that the series has, ``{}`` of none."""
    kind = type(node).__name__
    if kind == "AggregateExpr":
        return set(node.modifier.labels) if node.modifier is not None else set()
    if kind in ("NumberLiteral", "StringLiteral"):
        return set()
    if kind == "Call" and node.func.name in ("time", "vector"):
        return set()
    if kind == "Call" and node.func.name == "histogram_quantile":
        inner = labels(node.args[1])
        return inner - {"le"} if inner is not None else None
    if kind == "BinaryExpr":
        left, right = labels(node.lhs), labels(node.rhs)
        if str(node.op) == "or":
            assert left == right, f"{left} or {right}"
        return right if node.lhs.prettify() == "time()" or type(node.lhs).__name__ == "NumberLiteral" else left
    (inner,) = parts(node)[:1] or [None]
    return None if inner is None else labels(inner)


def used(rule: Rule) -> Iterator[tuple[str, set[str]]]:
    """Each metric of the condition, with the labels that it is picked by."""
    for node in nodes(parser.parse(rule.condition)):
        if type(node).__name__ == "VectorSelector":
            matched = {matcher.name for matcher in node.matchers.matchers}
            yield node.name or ".*", matched - {"__name__"}


def plain(condition: str) -> str:
    """A condition without spaces and brackets."""
    return re.sub(r"(\d+)\.0\b", r"\1", re.sub(r"[\s()]", "", condition))


def without_bots(rule: Rule) -> str:
    """A rule's condition without what keeps bots apart, the threshold behind the value."""
    value, joined, also = rule.query.partition(" and ")
    condition = f"{value} {rule.op} {rule.threshold:.15g}{joined}{also}"
    return plain(re.sub(r"\b(max|min|sum) by \([^)]*\)", "", condition))


METRICS = {
    row.prometheus_name + part: {*row.labels}
    for row in catalog.rows()
    for part in (("_bucket", "_sum", "_count") if row.type == "histogram" else ("",))
} | OTHERS


# -- the contract ----------------------------------------------------------------------------------------------------


def test_names_times_and_severities_are_the_contracts() -> None:
    theirs = {rule.name: (rule.hold, rule.severity.upper()) for rule in RULES if not rule.ours}
    assert theirs == {name: (row["for"], row["severity"]) for name, row in GOLDEN.items()}
    assert len(theirs) == 45


def test_ours_are_beside_them() -> None:
    ours = {rule.name: (rule.severity, rule.family) for rule in RULES if rule.ours}
    warning, critical = Severity.WARNING, Severity.CRITICAL
    assert ours == {
        "BotDown": (critical, "watch"),
        "SymbolNeverArrived": (warning, "watch"),
        "SignalWithoutRequest": (warning, "orders"),
        "RequestWithoutAck": (critical, "orders"),
        "OrderWithoutEnd": (warning, "orders"),
        "TelemetryDropped": (warning, "pipeline"),
        "MetricOverflow": (warning, "pipeline"),
        "PointsRefused": (warning, "pipeline"),
        "CollectorQueueFilling": (warning, "pipeline"),
        "CollectorSendFailing": (warning, "pipeline"),
        "CollectorDown": (critical, "pipeline"),
        "BackendDown": (critical, "pipeline"),
        "PrometheusDown": (critical, "pipeline"),
        "HostDiskFilling": (warning, "pipeline"),
        "Watchdog": (Severity.INFO, "pipeline"),
    }
    assert not set(ours) & set(GOLDEN)
    assert len({rule.name for rule in RULES}) == len(RULES) == 60


@pytest.mark.parametrize("name", GOLDEN)
def test_a_condition_is_the_contracts_or_says_why_not(name: str) -> None:
    rule = rules.find(name)
    same = without_bots(rule) == plain(GOLDEN[name]["condition"])
    assert same != bool(rule.deviation), without_bots(rule)


def test_most_conditions_are_the_contracts() -> None:
    other = {rule.name for rule in RULES if rule.deviation}
    assert other == {
        *("HeartbeatStale", "BotRestarted", "WSDisconnected", "WSFrequentReconnects", "WSNoMessages"),
        *("StrategySignalSilent", "HighSlippage", "ExecutionLowFillRate", "APILatencyHigh"),
        *("DistributionDrift", "DistributionDriftCritical", "StructuralDecay", "StructuralDecayCritical"),
        *("OnchainFetchHighFailureRate", "OnchainDataStale", "APIRateLimitApproaching"),
    }


def test_escalation_is_left_out_where_a_half_hour_is_no_news() -> None:
    silent = {rule.name for rule in RULES if rule.severity is Severity.WARNING and not rule.escalates}
    assert silent == {"DistributionDrift", "StructuralDecay", "GBMDrawdownWarning", "PodInProbation", "OrderWithoutEnd"}
    assert all(rule.escalation == (rule.severity is Severity.WARNING and rule.name not in silent) for rule in RULES)


# -- expressions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", EACH)
def test_a_condition_names_what_there_is(rule: Rule) -> None:
    found = list(used(rule))
    assert found or rule.value == "vector(1)"
    for name, matched in found:
        assert matched <= METRICS[name] | {*IDENTITY, name, "backend"}, name
    if found:
        known = set().union(*(METRICS[name] for name, _ in found))
        assert {*rule.labels} - {"metric"} <= known


@pytest.mark.parametrize("rule", EACH)
def test_bots_never_add_up(rule: Rule) -> None:
    """The result has the labels of one bot and those that the rule names, and no aggregation inside has fewer."""
    tree = parser.parse(rule.query)
    if rule.value == "vector(1)":
        assert labels(tree) == set()
        return
    assert labels(tree) == {*IDENTITY, *rule.labels}
    for node in nodes(tree):
        if type(node).__name__ != "AggregateExpr":
            continue
        by = set(node.modifier.labels) if node.modifier is not None else set()
        collector = "otelcol_process_uptime" in node.prettify() and rule.name == "BotDown"
        assert by >= {"job", "instance"} or collector, node.prettify()


def test_a_condition_that_adds_bots_up_would_be_found() -> None:
    wrong = dataclasses.replace(RULES[4], value="max by (job) (mcbot_drawdown_pct)")
    with pytest.raises(AssertionError):
        test_bots_never_add_up(wrong)
    wrong = dataclasses.replace(RULES[4], value="mcbot_nothing")
    with pytest.raises(KeyError):
        test_a_condition_names_what_there_is(wrong)


# -- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", EACH)
def test_a_sentence_is_short_and_knows_all_that_it_says(rule: Rule) -> None:
    long = {"symbol": "1000PEPE/USDT:USDT", "strategy": "anchor-momentum", "endpoint": "create_stop_market"}
    own = {name: long.get(name, name) for name in rule.labels}
    said = text.read(rule, rule.threshold * 1.2345 + 0.001, own)
    assert len(said) <= 130, said
    assert said.endswith(".")
    named = set(re.findall(r"{(\w+)}", rule.text))
    assert named <= {"value", "threshold", *rule.labels, *rule.settings}
    assert {*rule.labels} <= named, "what tells the series apart is said"
    for template in (text.prometheus(rule), text.grafana(rule)):
        assert re.sub(r"{{ [^{}]+ }}", "", template).count("{") == 0
        assert set(re.findall(r"\$labels\.(\w+)", template)) <= {*rule.labels}


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (3.2, Unit.COUNT, "3"),
        (12.3456, Unit.PERCENT, "12.35%"),
        (0.8, Unit.SHARE, "80%"),
        (0.0123, Unit.SECONDS, "12.3ms"),
        (5.8333, Unit.SECONDS, "5.833s"),
        (90_061.5, Unit.SECONDS, "1d 1h 1m 1s"),
        (-125, Unit.SECONDS, "-2m 5s"),
        (0, Unit.SECONDS, "0s"),
        (2_147_483_648, Unit.BYTES, "2GiB"),
        (512, Unit.BYTES, "512B"),
        (1536, Unit.BYTES, "1.5kiB"),
        (21.5, Unit.BPS, "21.5 bp"),
        (-500.5, Unit.USDT, "-500.50 USDT"),
        (5.1, Unit.TIMES, "5.1×"),
        (0.0004321, Unit.NUMBER, "0.0004321"),
    ],
)
def test_numbers_are_written_for_people(value: float, unit: Unit, said: str) -> None:
    assert text.number(value, unit) == said


def test_a_threshold_is_written_short() -> None:
    assert text.limit(rules.find("OnchainDataStale")) == "2d"
    assert text.limit(rules.find("HeartbeatStale")) == "2m"
    assert text.limit(rules.find("HighMemoryUsage")) == "2GiB"


# -- what can be set -------------------------------------------------------------------------------------------------


def chosen(name: str, *sets: str, file: Path | None = None) -> Rule:
    return next(rule for rule in rules.load(sets, file) if rule.name == name)


def test_nothing_set_is_the_rules_as_they_are() -> None:
    assert rules.load() == RULES


def test_what_is_set_is_in_the_condition_and_nowhere_else() -> None:
    sets = ("HighDrawdown.threshold=15", "HighDrawdown.hold=1h30m", "HighSlippage.window=30m", "HighSlippage.least=7")
    changed = rules.load(sets)
    drawdown, slippage = chosen("HighDrawdown", *sets), chosen("HighSlippage", *sets)
    assert drawdown.condition.endswith("> 15")
    assert drawdown.hold == "1h30m"
    assert "15%" in text.prometheus(drawdown)
    assert slippage.query.count("[30m]") == 2
    assert slippage.query.endswith(">= 7")
    assert [rule for rule in changed if rule not in RULES] == [drawdown, slippage]


def test_a_file_says_the_same_and_what_is_typed_wins(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text('mute = ["Tue 06:00-07:00"]\n[HighDrawdown]\nthreshold = 15\nhold = "5m"\n')
    assert chosen("HighDrawdown", file=file) == chosen(
        "HighDrawdown", "HighDrawdown.threshold=15", "HighDrawdown.hold=5m"
    )
    assert chosen("HighDrawdown", "HighDrawdown.threshold=20", file=file).threshold == 20
    assert chosen("HighDrawdown", "HighDrawdown.threshold=20", file=file).hold == "5m"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("HighDrawdwn.threshold=1", "there is no rule 'HighDrawdwn'; did you mean HighDrawdown?"),
        ("highdrawdown.threshold=1", "there is no rule 'highdrawdown'; did you mean HighDrawdown?"),
        ("HighDrawdown.treshold=1", "has no parameter 'treshold'; did you mean threshold?; it has threshold, hold"),
        ("HighDrawdown.window=5m", "has no parameter 'window'"),
        ("Watchdog.threshold=2", "has no parameter 'threshold'"),
        ("HighDrawdown.threshold=ten", "'ten' is not a finite number, as 15 or 0.5"),
        ("HighDrawdown.threshold=nan", "'nan' is not a finite number"),
        ("HighDrawdown.threshold=inf", "'inf' is not a finite number"),
        ("HighDrawdown.hold=5", "'5' is not a duration, as 30s, 5m, 1h, 1d or 1h30m"),
        ("HighDrawdown.hold=", "'' is not a duration"),
        ("HighDrawdown.hold=5ms", "'5ms' is not a duration"),
        ("HighSlippage.window=0s", "'0s' is not longer than 0s"),
        ("HighSlippage.least=-1", "'-1' is not a number from 0 on"),
        ("HighDrawdown", "it is written NAME.parameter=value"),
        ("HighDrawdown=5", "it is written NAME.parameter=value"),
    ],
)
def test_what_cannot_be_set_is_said_in_one_line(given: str, said: str) -> None:
    with pytest.raises(OverrideError) as error:
        rules.load([given])
    assert str(error.value).startswith(f"--set {given}: ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[HighDrawdown]\nthreshold = true\n", "True is not a finite number"),
        ("[HighDrawdown]\nthreshold = [1]\n", "[1] is not a finite number"),
        (f"[HighDrawdown]\nthreshold = 1{'0' * 400}\n", "is not a finite number"),
        ("[HighDrawdown]\nhold = 60\n", "60 is not a duration"),
        ("[HighDrawdwn]\nthreshold = 1\n", "there is no rule 'HighDrawdwn'"),
        ("HighDrawdown = 15\n", "HighDrawdown is a value; a rule is a table, as [HighDrawdown]"),
        ("[HighDrawdown\n", "line 1"),
    ],
)
def test_a_file_that_cannot_be_is_named(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(content)
    with pytest.raises(OverrideError) as error:
        rules.load(file=file)
    assert str(error.value).startswith(str(file))
    assert said in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OverrideError, match=r"rules\.toml: No such file"):
        rules.load(file=tmp_path / "rules.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(OverrideError, match=r"bytes\.toml: "):
        rules.load(file=tmp_path / "bytes.toml")


@pytest.mark.parametrize("rule", EACH)
def test_every_parameter_can_be_set_to_what_it_is(rule: Rule) -> None:
    for name, value in rule.settings.items():
        written = value if isinstance(value, str) else f"{value:.15g}"
        assert chosen(rule.name, f"{rule.name}.{name}={written}").condition == rule.condition
        assert not isinstance(value, str) or DURATION.fullmatch(value)
    assert all(f"${name}" in rule.value or f"{{{name}}}" in rule.text for name in rule.parameters)


# -- the mirror and the page -----------------------------------------------------------------------------------------


def test_the_mirror_has_every_rule_and_its_escalation() -> None:
    made = json.loads(files.text("mirror/prometheus-rules.yaml").removeprefix(files.HEAD))
    mirrored = {each["alert"]: each for group in made["groups"] for each in group["rules"]}
    assert {group["name"]: group["interval"] for group in made["groups"]} == dict.fromkeys(
        (rule.family for rule in RULES), "10s"
    )
    for rule in RULES:
        if rule.name == "PrometheusDown":
            assert rule.name not in mirrored
            continue
        one = mirrored.pop(rule.name)
        assert (one["expr"], one["for"]) == (rule.condition, rule.hold)
        assert one["labels"] == {"severity": rule.severity.value, "family": rule.family}
        assert one["annotations"] == {"summary": text.prometheus(rule)}
        if rule.escalation:
            later = mirrored.pop(f"{rule.name} (30 min)")
            assert (later["expr"], later["for"]) == (rule.condition, alerting.later(rule.hold))
            assert later["labels"] == {"severity": "critical", "family": rule.family, "escalated_from": rule.name}
    assert mirrored == {}


def test_the_mirror_has_the_thresholds_in_force() -> None:
    token = grammar.in_force.set(rules.load(["HighDrawdown.threshold=15"]))
    try:
        mirrored = {each["alert"]: each["expr"] for group in mirror.build()["groups"] for each in group["rules"]}
    finally:
        grammar.in_force.reset(token)
    assert mirrored["HighDrawdown"].endswith("> 15")
    assert mirrored["HighDrawdown (30 min)"].endswith("> 15")


def test_the_page_tells_of_every_rule() -> None:
    made = page.markdown()
    for rule in RULES:
        assert made.count(f"](runbooks/{rule.name}.md)") == 1
        assert f"**{rule.name}**\n\n```promql\n" in made
        assert f"- **{rule.name}**: " in made or not rule.deviation
        said = made.split(f"**{rule.name}**\n\n```promql\n")[1].split("\n```")[0]
        assert " ".join(said.split()) == rule.condition
