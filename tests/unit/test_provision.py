"""What Grafana is set up by: made from the catalog, fresh, laid out for people, and every link leads somewhere."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import promql_parser as parser
import pytest

from otel_mcbot import catalog, cli, provision, rules, semconv
from otel_mcbot.provision import dashboard, files, grammar, page, queries, sources, system, trading, why
from otel_mcbot.rules import pipeline, watch

ROOT = Path(__file__).resolve().parents[2] / "grafana"
EVERY = {Path(path).stem: make() for path, make in files.FILES.items() if path.endswith(".json")}
DASHBOARDS = {uid: made for uid, made in EVERY.items() if uid != "runbooks"}  # of those: test_alerting.py
PANELS = [
    pytest.param(uid, panel, id=f"{uid}-{panel['id']}") for uid, made in DASHBOARDS.items() for panel in made["panels"]
]
BUILT_IN = {
    "__interval",
    "__rate_interval",
    "__range",
    "__url_time_range",
    "__value",
    "__field",
    "__tags",
    "__span",
    "__trace",
}
SCHEMA = {
    "type": "object",
    "required": ["uid", "title", "panels", "templating", "time", "schemaVersion", "annotations", "tags"],
    "properties": {
        "id": {"type": "null"},
        "uid": {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,40}$"},
        "schemaVersion": {"type": "integer", "minimum": 36, "maximum": 42},
        "panels": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["id", "type", "title", "description", "gridPos", "targets", "fieldConfig", "options"],
                "allOf": [
                    {
                        "if": {"properties": {"type": {"const": kind}}},
                        "then": {"properties": {"options": {"required": options}, "fieldConfig": {"properties": {
                            "defaults": {"required": defaults}}}}},
                    }
                    for kind, options, defaults in (
                        ("timeseries", ["legend", "tooltip"], ["custom", "thresholds", "color", "links"]),
                        ("stat", ["reduceOptions", "graphMode", "textMode"], ["thresholds", "links"]),
                        ("gauge", ["reduceOptions"], ["min", "max", "thresholds", "links"]),
                        ("bargauge", ["reduceOptions", "orientation", "displayMode"], ["thresholds", "links"]),
                        ("piechart", ["reduceOptions", "pieType", "legend"], ["links"]),
                        ("heatmap", ["calculate", "color", "yAxis", "exemplars", "rowsFrame"], ["custom", "links"]),
                        ("state-timeline", ["mergeValues", "showValue", "rowHeight"], ["mappings"]),
                        ("text", ["mode", "content"], []),
                    )
                ] + [
                    {
                        "if": {"properties": {"type": {"const": "text"}}},
                        "then": {"properties": {"targets": {"maxItems": 0}}},
                        "else": {"required": ["datasource"], "properties": {"targets": {"minItems": 1}}},
                    }
                ],
                "properties": {
                    "id": {"type": "integer", "minimum": 1},
                    "type": {
                        "enum": [
                            "timeseries", "stat", "gauge", "bargauge", "piechart", "heatmap", "state-timeline", "table",
                            "logs", "traces", "text",
                        ]
                    },
                    "title": {"type": "string", "minLength": 1},
                    "gridPos": {
                        "type": "object",
                        "required": ["h", "w", "x", "y"],
                        "additionalProperties": {"type": "integer", "minimum": 0},
                    },
                    "targets": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["refId", "datasource"],
                            "properties": {
                                "refId": {"type": "string", "pattern": "^[A-Z]$"},
                                "datasource": {
                                    "type": "object",
                                    "required": ["type", "uid"],
                                    "properties": {"uid": {"enum": ["prometheus", "tempo", "loki"]}},
                                },
                            },
                        },
                    },
                },
            },
        },
        "templating": {
            "type": "object",
            "properties": {
                "list": {
                    "items": {
                        "type": "object",
                        "required": ["name", "type", "label", "description", "hide"],
                        "properties": {"type": {"enum": ["query", "textbox"]}},
                    }
                }
            },
        },
    },
}  # fmt: skip


def strings(value: Any) -> Iterator[str]:
    """All strings inside of a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from strings(part)


def promql() -> Iterator[tuple[str, str]]:
    """Where, and a query of metrics."""
    for uid, made in DASHBOARDS.items():
        for panel in made["panels"]:
            for target in panel["targets"]:
                if target["datasource"]["type"] == "prometheus":
                    yield f"{uid}/{panel['title']}", target["expr"]
        for variable in made["templating"]["list"]:
            if variable["type"] == "query":
                asked = re.fullmatch(r"label_values\((.+),\w+\)", variable["query"]["query"])
                assert asked is not None
                yield f"{uid}/${variable['name']}", asked[1]
        for mark in made["annotations"]["list"]:
            if mark["datasource"]["type"] == "prometheus":
                yield f"{uid}/{mark['name']}", mark["target"]["expr"]
    for name, query in sources.metrics_queries('symbol="x"').items():
        yield f"data source/{name}", query


PROMQL = [pytest.param(query, id=where) for where, query in promql()]
IDENTITY = {"job", "instance", "trading_mode", "service_name"}
LABELS = {
    row.prometheus_name + part: {*row.labels} | IDENTITY | ({"le"} if part == "_bucket" else set())
    for row in catalog.rows()
    for part in (("_bucket", "_sum", "_count") if row.type == "histogram" else ("",))
} | {  # what is not the bot's, and so not in the catalog
    page.TARGET: {"service_version", "trading_config_hash"} | IDENTITY,
    pipeline.RECEIVED: {"job", "instance"},
    "up": {"job", "instance", "backend"},
    system.HOST_CPU: {"instance", "cpu", "state"},
    system.HOST_MEMORY: {"instance", "state"},
    pipeline.HOST_DISK: {"instance", "device", "mountpoint", "state", "type", "mode"},
    pipeline.QUEUE_SIZE: {"exporter"},
    pipeline.QUEUE_CAPACITY: {"exporter"},
    watch.COLLECTOR: {"instance"},
}
"""Series → its labels. Raises ``KeyError`` for what nobody writes."""

FAMILIES = {
    r"mcbot_.+": {*IDENTITY, "otel_metric_overflow", "__name__"},
    r"otelcol_exporter_(send|enqueue)_failed_.+_total": {"exporter"},
}
"""Of series that a query picks by a pattern of their names."""


def plain(query: str) -> str:
    """A query as Prometheus gets it."""
    return re.sub(r"\$__(rate_)?interval|\$__range", "1m", query)


def names(query: str) -> set[str]:
    """The series that a query asks for."""
    found = nodes(parser.parse(plain(query)))
    return {node.name for node in found if isinstance(node, parser.VectorSelector) and node.name}


def parts(node: Any) -> list[Any]:
    """What a node of a query is made of."""
    found = [getattr(node, name, None) for name in ("lhs", "rhs", "expr", "vector_selector")]
    return [part for part in (*found, *(getattr(node, "args", None) or ())) if part is not None]


def nodes(node: Any) -> Iterator[Any]:
    yield node
    for part in parts(node):
        yield from nodes(part)


def labels_of(node: Any) -> set[str]:
    """The labels that a query's result may have; fails where it asks for one that is not there."""
    if isinstance(node, parser.VectorSelector):
        matchers = [(matcher.name, matcher.value) for matcher in node.matchers.matchers]
        there = LABELS[node.name] if node.name else FAMILIES[dict(reversed(matchers))["__name__"]]
        assert {label for label, _ in matchers} - {"__name__"} <= there, node.prettify()
        return there
    inner = [labels_of(part) for part in parts(node)]
    if isinstance(node, parser.AggregateExpr) and str(node.op) not in ("topk", "bottomk"):
        by = set(node.modifier.labels) if node.modifier else set()
        assert by <= inner[0], node.prettify()
        return by
    if isinstance(node, parser.BinaryExpr) and node.modifier and node.modifier.matching:
        on = set(node.modifier.matching.labels)
        assert all(on <= side for side in inner), node.prettify()
    if isinstance(node, parser.Call) and node.func.name == "label_replace":
        inner.append({node.args[1].val})
    return set().union(*inner)


# -- files -----------------------------------------------------------------------------------------------------------


def test_the_committed_files_are_what_the_code_makes() -> None:
    assert list(files.differences(ROOT)) == []


@pytest.mark.parametrize("path", files.FILES)
def test_a_file_is_the_same_each_time_sorted_and_ends_its_last_line(path: str) -> None:
    text = files.text(path)
    body = text.removeprefix(files.HEAD).replace(*files.KEEP[::-1])
    assert text == files.text(path)
    assert text.endswith("}\n")
    assert body == json.dumps(files.read(text), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def test_writing_is_idempotent(tmp_path: Path) -> None:
    assert files.write(tmp_path) == list(files.FILES)
    assert files.write(tmp_path) == []
    assert list(files.differences(tmp_path)) == []


def edited(root: Path, path: str, old: str, new: str) -> None:
    text = (root / path).read_text()
    assert old in text
    (root / path).write_text(text.replace(old, new, 1))


def test_a_difference_is_told_with_file_and_place(tmp_path: Path) -> None:
    files.write(tmp_path)
    edited(tmp_path, "dashboards/trading.json", '"h": 5', '"h": 6')
    edited(tmp_path, "dashboards/why.json", '"title": "Why"', '"headline": "Why"')
    edited(tmp_path, "provisioning/datasources/datasources.yaml", '"prune": true', '"prune":  true')
    (tmp_path / "provisioning/dashboards/dashboards.yaml").write_text("apiVersion: 1\n")
    (tmp_path / "dashboards/mine.json").write_text("{}")
    found = list(files.differences(tmp_path))
    assert found[0] == "dashboards/trading.json: $.panels[0].gridPos.h is 6, not 5"
    assert "dashboards/why.json: $.headline is too much" in found
    assert "dashboards/why.json: $.title is missing" in found
    assert any(line.startswith("provisioning/dashboards/dashboards.yaml: is not JSON") for line in found)
    assert any(line.startswith("provisioning/datasources/datasources.yaml: is written otherwise") for line in found)
    assert found[-1] == "dashboards/mine.json: is nothing that the code makes"


@pytest.mark.parametrize(
    ("there", "wanted", "place"),
    [
        ([1], [1, 2], "$ has 1 entries, not 2"),
        ({"a": [{"b": True}]}, {"a": [{"b": 1}]}, "$.a[0].b is true, not 1"),
        ({"a": None}, {"a": {}}, "$.a is null, not {}"),
    ],
)
def test_the_place_of_a_difference(there: Any, wanted: Any, place: str) -> None:
    assert list(files.compare(there, wanted)) == [place]


def test_the_command_builds_and_checks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    into = ["--into", str(tmp_path)]
    assert cli.run(["grafana", "build", "--check", *into]) == 1
    assert "trading.json: is missing" in capsys.readouterr().err
    assert cli.run(["grafana", "build", *into]) == 0
    assert f"wrote {tmp_path}/dashboards/why.json" in capsys.readouterr().out
    assert cli.run(["grafana", "build", "--check", *into]) == 0
    edited(tmp_path, "dashboards/trading.json", '"Equity"', '"My equity"')
    assert cli.run(["grafana", "build", "--check", *into]) == 1
    assert 'title is "My equity", not "Equity"' in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "dashboards").write_text("a file where a folder should be")
    assert cli.run(["grafana", "build", "--into", str(tmp_path)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_provision_reads_only_what_has_the_words() -> None:
    allowed = {"catalog", "semconv", "naming", "rules", "provision"}
    for file in Path(provision.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names: list[str] = []
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("otel_mcbot"):
                module = (node.module or "").split(".")
                names = module[1:2] or [alias.name for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name.split(".")[1] for alias in node.names if alias.name.startswith("otel_mcbot.")]
            assert set(names) <= allowed, f"{file.name} imports {names}"


# -- queries ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", PROMQL)
def test_every_query_parses_and_asks_for_series_and_labels_that_there_are(query: str) -> None:
    tree = parser.parse(plain(query))
    if not names(query) and "__name__" not in query:  # a variable that asks for all series with a label
        assert {matcher.name for matcher in tree.matchers.matchers} <= set().union(*LABELS.values())
    else:
        labels_of(tree)


UNDRAWN = {
    "mcbot_info": "facts as labels; Version or configuration changed tells when they change",
    "mcbot_trading_mode": "the variable mode says it",
    "mcbot_expected_symbol": "what a bar is missed against; Stale symbols compares with it",
    "mcbot_last_bar_age_seconds": "Bar age draws the age by timeframe, which does not hide a feed behind a faster one",
    "mcbot_cycles_total": "the traces of the cycles are behind every link",
    "mcbot_cycles_unsampled_total": "likewise",
}
"""Metrics that no panel draws, and why."""


def test_every_metric_of_the_catalog_is_drawn() -> None:
    drawn = {name for made in DASHBOARDS.values() for panel in made["panels"] for name in asked(panel)}
    missing = {
        row.prometheus_name
        for row in catalog.rows()
        if not any(name.startswith(row.prometheus_name) and name in drawn for name in LABELS)
    }
    assert missing == set(UNDRAWN)


def asked(panel: dict[str, Any]) -> set[str]:
    """The series that a panel asks for."""
    queries = [target["expr"] for target in panel["targets"] if target["datasource"]["type"] == "prometheus"]
    return set().union(*(names(query) for query in queries))


def test_every_rule_has_its_panel() -> None:
    there = {f"{uid}/{panel['title']}" for uid, made in DASHBOARDS.items() for panel in made["panels"]}
    assert {rule.panel for rule in rules.RULES} <= there


def test_a_panel_that_a_rule_names_asks_for_what_the_rule_judges() -> None:
    shown = {f"{uid}/{panel['title']}": asked(panel) for uid, made in DASHBOARDS.items() for panel in made["panels"]}
    for rule in rules.RULES:
        judged = names(rule.query)
        assert not judged or judged & shown[rule.panel], rule.name


def test_every_limit_that_is_a_name_is_a_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    named: set[str] = set()

    def spy(function: Any) -> Any:
        def spied(*given: Any) -> Any:
            named.update(each for each in given if isinstance(each, str))
            return function(*given)

        return spied

    for name in ("steps", "left", "graded"):
        monkeypatch.setattr(grammar, name, spy(getattr(grammar, name)))
    for path, make in files.FILES.items():
        if path.startswith("dashboards/"):
            make()
    assert len(named) > 20
    assert named <= {rule.name for rule in rules.RULES}


def test_a_limit_is_drawn_where_the_rule_in_force_has_it() -> None:
    (loud,) = (rule for rule in rules.RULES if rule.name == "HighDrawdown")
    token = grammar.in_force.set([dataclasses.replace(loud, threshold=4)])
    try:
        assert [step["value"] for step in grammar.steps("HighDrawdown")["steps"]] == [None, 2, 4]
    finally:
        grammar.in_force.reset(token)
    assert [step["value"] for step in grammar.below(1)["steps"]] == [None, 1]


def test_a_query_follows_the_variables_that_its_metric_has_labels_for() -> None:
    assert queries.series(catalog.strategy_slippage, part="_count") == (
        'mcbot_strategy_slippage_bps_count{job="$job",trading_mode="$mode",instance="$instance",'
        'symbol=~"$symbol",strategy=~"$strategy"}'
    )
    assert queries.series(catalog.equity, 'a="b"') == (
        'mcbot_equity_usdt{job="$job",trading_mode="$mode",instance="$instance",a="b"}'
    )


@pytest.mark.parametrize(("uid", "panel"), PANELS)
def test_histograms_and_counters_bring_their_exemplars(uid: str, panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        if "exemplar" in target:
            rates = "rate(" in target["expr"] or "increase(" in target["expr"]
            assert target["exemplar"] == (rates and target["range"])
            assert target["range"] != target["instant"]


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_every_variable_in_use_exists(uid: str) -> None:
    names = {variable["name"] for variable in DASHBOARDS[uid]["templating"]["list"]}
    used = {name for text in strings(DASHBOARDS[uid]) for name in re.findall(r"\$\{?(\w+)", text)}
    assert used <= names | BUILT_IN | {"__all"}
    seen: set[str] = set()
    for variable in DASHBOARDS[uid]["templating"]["list"]:  # a variable may ask for those before it
        query = variable["query"]["query"] if variable["type"] == "query" else ""
        assert set(re.findall(r"\$\{?(\w+)", query)) <= seen
        seen.add(variable["name"])


def test_no_brackets_are_left_open() -> None:
    for made in DASHBOARDS.values():
        for panel in made["panels"]:
            for target in panel["targets"]:
                query = target.get("expr") or target["query"]
                for left, right in ("()", "{}", "[]"):
                    assert query.count(left) == query.count(right), query


# -- what people see -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_a_dashboard_is_what_grafana_reads(uid: str) -> None:
    made = DASHBOARDS[uid]
    jsonschema.validate(made, SCHEMA)
    assert made["uid"] == uid
    ids = [panel["id"] for panel in made["panels"]]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_at_most_two_panels_share_a_row_and_none_overlap(uid: str) -> None:
    taken: set[tuple[int, int]] = set()
    rows: dict[int, list[int]] = {}
    for panel in DASHBOARDS[uid]["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= dashboard.WIDTH
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
        rows.setdefault(at["y"], []).append(at["w"])
    assert all(len(widths) <= 2 and sum(widths) == dashboard.WIDTH for widths in rows.values())
    bottom = max(y for _, y in taken) + 1
    assert len(taken) == dashboard.WIDTH * bottom, "a hole in the page"


@pytest.mark.parametrize(("uid", "panel"), PANELS)
def test_a_panel_says_what_it_shows_and_when_to_worry(uid: str, panel: dict[str, Any]) -> None:
    if panel["type"] != "text":
        assert "orry" in panel["description"]
        assert len(panel["description"]) > 60


@pytest.mark.parametrize(("uid", "panel"), PANELS)
def test_numbers_have_units(uid: str, panel: dict[str, Any]) -> None:
    if panel["type"] not in ("logs", "traces", "text"):
        assert panel["fieldConfig"]["defaults"]["unit"]


def test_the_overview_has_what_it_is_for() -> None:
    titles = [panel["title"] for panel in trading.build()["panels"]]
    assert titles[:2] == ["Today's PnL", "Bot"]
    for part in ("Equity", "Drawdown", "Drawdown now", "Leverage", "Open positions", "Positions", "Fills", "Fees"):
        assert part in titles
    assert any(title.startswith("Realized PnL") for title in titles)
    assert any(title.startswith("Slippage") for title in titles)
    marks = [mark["name"] for mark in trading.build()["annotations"]["list"]]
    assert marks == ["Started", "Stopped", "Circuit breaker", "Version or configuration changed", "Alerts"]


@pytest.mark.parametrize(
    ("uid", "title", "kind"),
    [
        ("trading", "Open positions", "table"),
        ("trading", "PnL by position", "table"),
        ("trading", "Drawdown now", "gauge"),
        ("strategy", "Drawdown", "timeseries"),
        ("strategy", "Win rate", "timeseries"),
        ("strategy", "Signals", "timeseries"),
        ("execution", "Latency heatmap", "heatmap"),
        ("execution", "Slippage distribution", "bargauge"),
        ("execution", "Orders by status", "piechart"),
        ("exchange", "WebSocket connection", "state-timeline"),
        ("exchange", "Rate limit headroom", "gauge"),
    ],
)
def test_a_panel_is_drawn_as_what_it_is(uid: str, title: str, kind: str) -> None:
    assert [panel["type"] for panel in DASHBOARDS[uid]["panels"] if panel["title"] == title] == [kind]


@pytest.mark.parametrize("uid", page.TITLES)
def test_a_dashboard_of_a_bot_has_its_name_its_variables_and_its_marks(uid: str) -> None:
    made = DASHBOARDS[uid]
    assert made["title"] == page.TITLES[uid]
    assert [variable["name"] for variable in made["templating"]["list"]][:3] == ["job", "mode", "instance"]
    assert made["annotations"]["list"] == page.marks()
    titles = [panel["title"] for panel in made["panels"]]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("uid", page.TITLES)
def test_a_variable_that_narrows_is_used(uid: str) -> None:
    used = set(re.findall(r"\$(\w+)", " ".join(query for where, query in promql() if where.startswith(f"{uid}/"))))
    offered = {variable["name"] for variable in DASHBOARDS[uid]["templating"]["list"] if variable["multi"]}
    assert offered <= used


def test_colours_come_from_the_one_table() -> None:
    colours = {
        text for made in DASHBOARDS.values() for text in strings(made) if re.fullmatch("#[0-9a-fA-F]{3,8}", text)
    }
    assert colours <= set(grammar.COLOURS.values())
    named = {
        value["color"]
        for made in DASHBOARDS.values()
        for panel in made["panels"]
        for value in panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
    }
    assert named <= set(grammar.COLOURS.values())


# -- links -----------------------------------------------------------------------------------------------------------


def addresses() -> Iterator[str]:
    for path in files.FILES:
        for text in strings(files.read(files.text(path))):
            if text.startswith("/d/"):
                yield text.replace("$$", "$")


@pytest.mark.parametrize("address", sorted(set(addresses())))
def test_a_link_leads_to_a_dashboard_and_its_variables(address: str) -> None:
    path, _, query = address.partition("?")
    target = EVERY[path.removeprefix("/d/")]
    names = {variable["name"] for variable in target["templating"]["list"]}
    assert set(re.findall(r"var-(\w+)=", query)) <= names
    assert set(re.findall(r"\$\{(\w+):queryparam\}", query)) <= names


@pytest.mark.parametrize(("uid", "panel"), PANELS)
def test_numbers_lead_to_traces_and_logs_of_what_they_show(uid: str, panel: dict[str, Any]) -> None:
    of_bot = {name for name in asked(panel) if "job" in LABELS[name]} - {"up"}
    if panel["type"] in ("table", "logs", "traces", "text") or not of_bot:
        return
    assert any(link["url"].startswith(f"/d/{why.UID}?") for link in panel["fieldConfig"]["defaults"]["links"])
    for link in panel["fieldConfig"]["defaults"]["links"]:
        assert "${__url_time_range}" in link["url"]
        for label in re.findall(r"__field\.labels\.(\w+)", link["url"]):
            assert any(label in labels_of(parser.parse(plain(target["expr"]))) for target in panel["targets"])


def test_traces_are_searched_by_the_vocabulary() -> None:
    assert why.search() == (
        '{resource.service.name=~"${bot:raw}" && span.trading.instrument.symbol=~"${symbol:raw}"'
        ' && (span.trading.strategy.name=~"${strategy:raw}" || span.trading.pod.id=~"${strategy:raw}")}'
    )


# -- data sources ----------------------------------------------------------------------------------------------------


def built() -> dict[str, dict[str, Any]]:
    return {source["uid"]: source for source in sources.build()["datasources"]}


def test_data_sources_have_the_ids_that_everything_names() -> None:
    assert list(built()) == ["prometheus", "tempo", "loki"]
    assert all(uid == source["type"] and not source["editable"] for uid, source in built().items())
    named = {
        value for source in built().values() for key, value in pairs(source) if key in ("datasourceUid", "targetUID")
    }
    assert named <= set(built())


def pairs(value: Any) -> Iterator[tuple[str, Any]]:
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from pairs(part)
    if isinstance(value, dict):
        yield from value.items()


def test_a_dollar_sign_is_no_environment_variable() -> None:
    for text in strings(sources.build()):
        assert "$" not in text.replace("$$", "")


def test_the_data_sources_lead_to_each_other() -> None:
    prometheus, tempo, loki = (source["jsonData"] for source in built().values())
    assert prometheus["timeInterval"] == "10s"
    assert {"datasourceUid": "tempo", "name": "trace_id"}.items() <= prometheus["exemplarTraceIdDestinations"][
        0
    ].items()
    assert tempo["tracesToLogsV2"]["datasourceUid"] == "loki"
    assert '$${__span.tags["service.instance.id"]}' in tempo["tracesToLogsV2"]["query"]
    assert tempo["tracesToMetrics"]["tags"] == [
        {"key": "service.instance.id", "value": "instance"},
        {"key": semconv.SYMBOL, "value": "symbol"},
        {"key": semconv.STRATEGY, "value": "strategy"},
    ]
    assert all("$$__tags" in query["query"] for query in tempo["tracesToMetrics"]["queries"])
    assert loki["derivedFields"][0]["matcherType"] == "label"
    assert loki["derivedFields"][0]["matcherRegex"] == "trace_id"
    for correlation in built()["loki"]["correlations"]:
        mapped = {part["mapValue"] for part in correlation["config"]["transformations"]}
        used = set(re.findall(r"\$\$\{(\w+)\}", correlation["config"]["target"]["expr"]))
        assert used == mapped


def test_the_provider_loads_the_folder_that_is_written() -> None:
    (provider,) = files.FILES["provisioning/dashboards/dashboards.yaml"]()["providers"]
    assert provider["options"]["path"] == files.DASHBOARDS
    assert provider["allowUiUpdates"] is False
