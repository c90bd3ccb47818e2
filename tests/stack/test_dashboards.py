"""Every query of every dashboard, as the browser of an anonymous Viewer issues it, while a bot trades."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import Demo
from stack import Stack, column, get, put_in, wait_for

from otel_mcbot.provision import files, why

UIDS = [Path(path).stem for path in files.FILES if path.startswith("dashboards/")]

MAYBE = {
    "Stopped": "nobody stopped it",
    "Version or configuration changed": "nothing changed",
    "Circuit breaker": "it did not trip",
    "Alerts": "none fired",
    "trading/Open positions": "it may hold nothing just then",
    "trading/PnL by position": "likewise",
    "regime/Stale symbols": "a list of what is late: nothing is",
    "anomaly/Anomalies": "no detector found anything",
    "system/Telemetry dropped": "failures by place and folded series: none are",
    "strategy/Rolling Sharpe": "a number of days, and the demo's days take a while",
    "quick-strategy/Rolling Sharpe": "likewise",
}
"""What need not happen while the test looks, and why: of these an answer without an error is enough."""

Values = Mapping[str, str]


def run(stack: Stack, target: Mapping[str, Any], values: Values) -> list[dict[str, Any]]:
    """What a panel gets of a target: frames with something in them, or traces."""
    return [each for each in stack.panel(target, values) if "schema" not in each or says_something(each)]


def says_something(frame: Mapping[str, Any]) -> bool:
    """Whether there is a value in it: a number that is one, or a line of text."""
    fields = zip(frame["schema"]["fields"], frame["data"]["values"], strict=True)
    said = [values for field, values in fields if field["type"] != "time"]
    return any(value is not None and value == value for values in said for value in values)  # NaN is not itself


@pytest.fixture(scope="module")
def dashboards(stack: Stack) -> dict[str, Any]:
    """As the server has them."""
    return {uid: get(f"{stack.url['grafana']}/api/dashboards/uid/{uid}") for uid in UIDS}


@pytest.fixture(scope="module")
def values(demo: Demo) -> Values:
    return {
        "job": "mcbot/otel-mcbot-demo",
        "mode": "paper",
        "instance": demo.instance,
        "bot": "otel-mcbot-demo",
        "symbol": ".*",
        "strategy": ".*",
        "pod": ".*",
        "trace": "",
    }


@pytest.mark.parametrize("uid", UIDS)
def test_grafana_has_the_dashboards_as_they_are_committed(dashboards: Mapping[str, Any], uid: str) -> None:
    there = dashboards[uid]
    made = files.FILES[f"dashboards/{uid}.json"]()
    assert there["meta"]["provisioned"]
    assert there["meta"]["canSave"] is False
    assert there["dashboard"]["panels"] == made["panels"]


@pytest.mark.parametrize("uid", UIDS)
def test_variables_offer_the_bot(stack: Stack, dashboards: Mapping[str, Any], values: Values, uid: str) -> None:
    for variable in dashboards[uid]["dashboard"]["templating"]["list"]:
        if variable["type"] != "query":
            continue
        asked = re.fullmatch(r"label_values\((.+),(\w+)\)", variable["query"]["query"])
        assert asked is not None
        path, match = f"api/v1/label/{asked[2]}/values", put_in(asked[1], values)
        named = {"symbol": "BTC/USDT", "strategy": "pod-trend" if uid == "anomaly" else "trend", "pod": "pod-trend"}
        wanted = named.get(variable["name"], values[variable["name"]])

        def offers(path: str = path, match: str = match, wanted: str = wanted) -> list[str]:
            offered: list[str] = stack.proxy("prometheus", path, **{"match[]": match})["data"]
            return offered if wanted in offered else []

        offered = wait_for(offers, 30, f"{wanted} among the values of ${variable['name']}")
        assert not any("," in value for value in offered), "a list is no value to pick"


@pytest.mark.parametrize("uid", UIDS)
@pytest.mark.timeout(600)
def test_every_panel_and_annotation_shows_something(
    stack: Stack, dashboards: Mapping[str, Any], values: Values, uid: str
) -> None:
    made = dashboards[uid]["dashboard"]
    shown = {panel["title"]: panel["targets"] for panel in made["panels"] if panel["type"] != "text"}
    shown |= {
        mark["name"]: [
            {**mark["target"], "datasource": mark["datasource"]} if "target" in mark else {**mark, "refId": "A"}
        ]
        for mark in made["annotations"]["list"]
        if mark["datasource"]["uid"] in ("loki", "prometheus")
    }
    count = 0
    for title, targets in shown.items():
        asked = [target for target in targets if target.get("query") != "${trace}"]  # below, with an id
        count += len(asked)
        if title in MAYBE or f"{uid}/{title}" in MAYBE:
            for target in asked:
                run(stack, target, values)
            continue
        for target in asked:
            assert wait_for(lambda target=target: run(stack, target, values), 90, f"{uid}/{title}: {target}")
    print(f"{uid}: {count} queries")


def test_why_leads_from_a_symbol_to_a_trace_and_its_lines(
    stack: Stack, dashboards: Mapping[str, Any], values: Values
) -> None:
    panels = {panel["title"]: panel["targets"][0] for panel in dashboards[why.UID]["dashboard"]["panels"]}
    picked = {**values, "bot": ".+", "symbol": "BTC/USDT", "strategy": "trend"}  # a link may name no bot
    events = run(stack, panels["Order events"], picked)
    ids = {labels["trace_id"] for frame in events for labels in column(frame, "labels") if labels.get("trace_id")}
    assert ids
    for labels in (labels for frame in events for labels in column(frame, "labels")):
        assert (labels["trading_instrument_symbol"], labels["trading_strategy_name"]) == ("BTC/USDT", "trend")
    assert wait_for(lambda: run(stack, panels["Traces"], picked), 30)
    trace_id = min(ids)  # the likeliest to begin with a zero, which Tempo's search leaves out
    opened = {**picked, "trace": trace_id.lstrip("0"), "symbol": "ETH/USDT"}  # a given id is all that counts
    (frame,) = wait_for(lambda: run(stack, panels["Trace"], opened), 30, "the trace")
    assert "oms.submit_order" in column(frame, "operationName")
    lines = [labels for frame in run(stack, panels["Log lines"], opened) for labels in column(frame, "labels")]
    assert {line["trace_id"] for line in lines} == {trace_id}
