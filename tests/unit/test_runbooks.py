"""A runbook for each alert: whole, true of the dashboards and the metrics, and no copy of another."""

from __future__ import annotations

import difflib
import itertools
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import promql_parser as parser
import pytest
from runbooks import FOLDER, INDEX, PLACEHOLDERS, Block, Runbook, read

from otel_mcbot import catalog, semconv
from otel_mcbot.provision import files
from otel_mcbot.rules import IDENTITY, RULES, find

RUNBOOKS = read()
EACH = [pytest.param(runbook, id=runbook.name) for runbook in RUNBOOKS]
SECTIONS = ["Likely causes", "Steps", "When to stop the bot", "Notes"]
KINDS = ["promql", "logql", "traceql", "sh", "sh host"]
VALUES = dict.fromkeys(PLACEHOLDERS, "a")

TITLES = {
    (made["title"], panel["title"])
    for path, make in files.FILES.items()
    if path.startswith("dashboards/") and not path.endswith("runbooks.json")
    for made in [make()]
    for panel in made["panels"]
}
"""Dashboard and panel, as they are generated."""

BRANDS = {"WebSocket", "OpenBLAS", "PnL", "MiB", "GiB", "NaN"}
"""Words that look like an alert and are none."""

EXPORTER = {"job", "instance", "exporter", "data_type"}
OTHERS = {
    "otelcol_process_uptime_seconds_total": {"job", "instance"},
    "otelcol_exporter_queue_size": EXPORTER,
    "otelcol_exporter_queue_capacity": EXPORTER,
    "otelcol_receiver_accepted_log_records_total": {"job", "instance", "receiver", "transport"},
    "mcbot_collector_received_points": {"job", "instance"},
    "target_info": {*IDENTITY, "service_version", "trading_config_hash"},
    "up": {"job", "instance", "backend"},
    "system_memory_usage_bytes": {"job", "instance", "state"},
    "system_filesystem_utilization_ratio": {"job", "instance", "mountpoint", "device", "type", "mode", "state"},
}
"""Series that are no bot's, with their labels as the stack has them."""

LABELS = OTHERS | {
    row.prometheus_name + part: {*row.labels, *IDENTITY} | ({"le"} if part == "_bucket" else set())
    for row in catalog.rows()
    for part in (("_bucket", "_sum", "_count") if row.type == "histogram" else ("",))
}
FAMILIES = EXPORTER | {*IDENTITY, "otel_metric_overflow", "__name__"}
"""Labels of series that are picked by a pattern of their names."""


def test_every_rule_has_one_and_nothing_else_is_there() -> None:
    assert {file.name for file in FOLDER.iterdir()} == {f"{rule.name}.md" for rule in RULES} | {f"{INDEX}.md"}


def test_the_index_leads_to_every_one() -> None:
    page = (FOLDER / f"{INDEX}.md").read_text()
    assert set(re.findall(r"\]\(([^)/]+)\.md\)", page)) == {rule.name for rule in RULES}


# -- the form --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("runbook", EACH)
def test_it_has_what_is_looked_for_in_the_order_of_a_night(runbook: Runbook) -> None:
    head, meaning = runbook.text.split("\n## ")[0].split("\n\n", 1)
    assert head == f"# {runbook.name}"
    assert re.fullmatch(r"[A-Z*].+[.:?](\s[`$\w' ]+\.)?\s*", meaning, re.DOTALL)
    assert list(runbook.sections) == SECTIONS
    assert all(text.strip() for text in runbook.sections.values())
    for section in ("Likely causes", "Steps"):
        numbers = [int(number) for number in re.findall(r"^(\d+)\. ", runbook.sections[section], re.MULTILINE)]
        assert numbers == list(range(1, len(numbers) + 1)), section
        assert len(numbers) >= 2, section
    assert re.findall("^- ", runbook.sections["Notes"], re.MULTILINE)
    assert runbook.panels, "no panel to look at"


@pytest.mark.parametrize("runbook", EACH)
def test_it_can_be_read_on_a_phone(runbook: Runbook) -> None:
    assert 25 <= len(runbook.text.splitlines()) <= 65
    assert not [line for line in runbook.prose.splitlines() if len(line) > 120]
    code = [line for block in runbook.blocks for line in block.text.splitlines()]
    assert not [line for line in code if len(line) > 140]  # what cannot be broken is copied, not read


@pytest.mark.parametrize("runbook", EACH)
def test_its_notes_say_how_loud_it_is(runbook: Runbook) -> None:
    first = runbook.sections["Notes"].strip().splitlines()[0]
    assert first.startswith(f"- {find(runbook.name).severity.name}"), first


def test_no_sentence_is_said_more_than_three_times() -> None:
    said: dict[str, set[str]] = defaultdict(set)
    for runbook in RUNBOOKS:
        for sentence in re.split(r"(?<=[.:?!;])\s+|\n\s*\n|\n\s*(?:-|\d+\.)\s", runbook.prose):
            words = sentence.split()
            if len(words) > 8:
                said[" ".join(words)].add(runbook.name)
    assert not {sentence: names for sentence, names in said.items() if len(names) > 3}


def test_no_two_are_alike() -> None:
    bodies = {runbook.name: runbook.text.split("\n", 1)[1].split() for runbook in RUNBOOKS}
    alike = []
    for one, other in itertools.combinations(bodies, 2):
        match = difflib.SequenceMatcher(None, bodies[one], bodies[other], autojunk=False)
        if match.real_quick_ratio() >= 0.6 and match.quick_ratio() >= 0.6 and match.ratio() >= 0.6:
            alike.append((one, other))
    assert not alike


# -- what it sends people to -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("runbook", EACH)
def test_every_panel_that_it_names_exists(runbook: Runbook) -> None:
    assert not set(runbook.panels) - TITLES
    bold = re.findall(r"\*\*(.+?)\*\*", runbook.prose, re.DOTALL)
    named = [words for words in bold if "›" in words]
    assert len(named) == len(runbook.panels) == runbook.prose.count(" › "), "a panel in another form"


@pytest.mark.parametrize("runbook", EACH)
def test_every_alert_that_it_names_exists(runbook: Runbook) -> None:
    words = re.findall(r"\b[A-Z]\w*[a-z][A-Z]\w*|\b[A-Z]{2,}[a-z]+[A-Z]\w*", re.sub(r"`[^`]*`", "", runbook.prose))
    assert not set(words) - {rule.name for rule in RULES} - BRANDS


@pytest.mark.parametrize("runbook", EACH)
def test_blocks_are_of_a_kind_that_is_known_and_none_is_left_open(runbook: Runbook) -> None:
    assert "```" not in runbook.prose
    for block in runbook.blocks:
        assert block.kind in KINDS
        assert block.text.strip()


def test_placeholders_are_the_three() -> None:
    for runbook in RUNBOOKS:
        for block in runbook.of("promql", "logql", "traceql"):
            assert set(re.findall(r"\$(\w+)", block.text)) <= set(PLACEHOLDERS), runbook.name


def nodes(node: Any) -> Iterator[Any]:
    """A node of a query and all that it is made of."""
    yield node
    parts = [getattr(node, name, None) for name in ("lhs", "rhs", "expr", "vector_selector")]
    for part in (*parts, *(getattr(node, "args", None) or ())):
        if part is not None:
            yield from nodes(part)


def labels(node: Any) -> set[str]:
    """What a result may be told apart by; fails where a query asks for a series or a label that is not there."""
    if isinstance(node, parser.VectorSelector):
        there = LABELS[node.name] | {node.name} if node.name else FAMILIES
        assert {matcher.name for matcher in node.matchers.matchers} <= there | {"__name__"}, node.prettify()
        return there
    parts = [getattr(node, name, None) for name in ("lhs", "rhs", "expr", "vector_selector")]
    inner = [labels(part) for part in (*parts, *(getattr(node, "args", None) or ())) if part is not None]
    known = set().union(*inner)
    if isinstance(node, parser.AggregateExpr) and node.modifier:
        assert set(node.modifier.labels) <= known, node.prettify()
    if isinstance(node, parser.BinaryExpr) and node.modifier and node.modifier.matching:
        assert all(set(node.modifier.matching.labels) <= side for side in inner), node.prettify()
    return known


PROMQL = [
    pytest.param(block, id=f"{runbook.name}-{at}")
    for runbook in RUNBOOKS
    for at, block in enumerate(runbook.of("promql"), 1)
]


@pytest.mark.parametrize("block", PROMQL)
def test_a_query_parses_and_asks_for_series_and_labels_that_there_are(block: Block) -> None:
    labels(parser.parse(block.filled(VALUES)))


def test_a_query_for_what_is_not_there_would_be_found() -> None:
    for wrong in ("mcbot_equity", 'mcbot_equity_usdt{symbol="a"}', "sum by (symbol) (mcbot_equity_usdt)"):
        with pytest.raises((AssertionError, KeyError)):
            labels(parser.parse(wrong))


SPANS = {str(span) for span in semconv.SpanName}
EVENTS = {str(event) for event in (*semconv.BotEvent, *semconv.OrderEvent)}


@pytest.mark.parametrize("runbook", EACH)
def test_events_and_attributes_are_of_the_vocabulary(runbook: Runbook) -> None:
    keys = {value for name, value in vars(semconv).items() if name.isupper() and isinstance(value, str)}
    stored = {re.sub(r"\W", "_", key) for key in keys}
    for block in runbook.of("logql"):
        for names in re.findall(r'event_name=~?"([^"]+)"', block.text):
            stem, listed, end = re.fullmatch(r"([^(]*)(?:\(([^)]*)\))?(.*)", names).groups("")
            for each in listed.split("|"):
                assert any(re.fullmatch(stem + each + end, event) for event in EVENTS), names
        assert set(re.findall(r"\b(?:trading|mcbot)_[a-z_]+\b", block.text)) <= stored
    for block in runbook.of("traceql"):
        used = set(re.findall(r"\b(?:span|resource)\.([a-z_.]+)", block.text))
        assert used <= keys, used - keys
        for name in re.findall(r'(?<!\.)\bname = "([^"]+)"', block.text):
            assert name in SPANS or name.startswith(semconv.EXCHANGE_SPAN_PREFIX)
