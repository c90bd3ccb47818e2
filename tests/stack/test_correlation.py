"""One order through all three stores, by the queries of Grafana's own configuration, as an anonymous Viewer."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from conftest import Demo
from stack import Stack, column, get, wait_for
from trace_rules import ROOTS

from otel_mcbot import semconv

CHAIN = {  # spec of an order's trace: a span and the span that it hangs below
    "trade_cycle": None,
    "strategy.generate_signal": "trade_cycle",
    "pm.process_signal": "trade_cycle",
    "rm.pre_trade_check": "pm.process_signal",
    "oms.submit_order": "rm.pre_trade_check",
    "exchange.create_order": "oms.submit_order",
    "oms.await_fill": "trade_cycle",
}

Span = dict[str, Any]


@pytest.fixture(scope="module")
def sources(stack: Stack) -> dict[str, dict[str, Any]]:
    """What Grafana tells the browser about its data sources, by uid."""
    settings = get(f"{stack.url['grafana']}/api/frontend/settings")
    return {source["uid"]: source for source in settings["datasources"].values() if "uid" in source}


def filled_in(query: str, trace_id: str, span: Span, tags: Sequence[Mapping[str, str]] = ()) -> str:
    """The variables of a link from a span, put in as the browser does."""
    matchers = (f'{tag["value"]}="{span["tags"][tag["key"]]}"' for tag in tags if tag["key"] in span["tags"])
    query = query.replace("$__tags", ", ".join(matchers)).replace("${__trace.traceId}", trace_id)
    return re.sub(r'\$\{__span\.tags\["([^"]+)"\]\}', lambda found: span["tags"][found[1]], query)


def trace_of(stack: Stack, trace_id: str) -> list[Span]:
    """The spans of a trace: name, id, parent, linked traces, tags (the resource's too). Empty: not there yet."""
    frames = stack.grafana("tempo", {"queryType": "traceId", "query": trace_id})
    if not frames:
        return []
    (frame,) = frames
    rows = zip(
        *(
            column(frame, name)
            for name in ("operationName", "spanID", "parentSpanID", "references", "tags", "serviceTags")
        ),
        strict=True,
    )
    return [
        {
            "name": name,
            "id": own,
            "parent": parent,
            "links": [link["traceID"] for link in links or []],
            "tags": {tag["key"]: tag["value"] for tag in [*tags, *service]},
        }
        for name, own, parent, links, tags, service in rows
    ]


def whole_trace(stack: Stack, trace_id: str) -> dict[str, Span]:
    """The spans by name, once the root is there: it ends last."""

    def ask() -> dict[str, Span]:
        spans = {span["name"]: span for span in trace_of(stack, trace_id)}
        return spans if spans.keys() & set(ROOTS) else {}

    return wait_for(ask, 30, trace_id)


def cycle_of(stack: Stack, spans: dict[str, Span]) -> dict[str, Span]:
    """The trace in which it was decided: an order that outlives its cycle goes on in a trace that links back."""
    while "trade_cycle" not in spans:
        (before,) = spans["trade_cycle.continued"]["links"]
        spans = whole_trace(stack, before)
    return spans


def logs_of(stack: Stack, query: str) -> list[dict[str, str]]:
    """Labels of the log lines that a Loki query of Grafana finds; the line is ``line``."""
    frames = stack.grafana("loki", {"queryType": "range", "expr": query, "maxLines": 1000})
    return [
        {**labels, "line": line}
        for frame in frames
        for labels, line in zip(column(frame, "labels"), column(frame, "Line"), strict=True)
    ]


def test_exemplar_to_trace_to_logs(stack: Stack, demo: Demo, sources: Mapping[str, Any]) -> None:
    link = to_tempo(sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"])
    latency = f'rate(mcbot_order_latency_seconds_bucket{{instance="{demo.instance}"}}[1m])'
    panel = {
        "expr": f"histogram_quantile(0.95, sum by (le) ({latency}))",
        "range": True,
        "exemplar": True,
    }

    def dots() -> list[tuple[str, str]]:
        frames = stack.grafana("prometheus", panel)
        exemplars = [frame for frame in frames if frame["schema"].get("name") == "exemplar"]
        return [
            dot
            for frame in exemplars
            for dot in zip(column(frame, link["name"]), column(frame, "symbol"), strict=True)
            if dot[0]
        ]

    def uninterrupted() -> list[tuple[str, str, dict[str, Span]]]:
        found = ((trace_id, symbol, whole_trace(stack, trace_id)) for trace_id, symbol in dots())
        return [each for each in found if "trade_cycle" in each[2]]  # the others outlived their cycle

    trace_id, symbol, spans = wait_for(uninterrupted, 60, "an exemplar and its trace")[0]
    assert set(CHAIN) <= set(spans)
    for name, parent in CHAIN.items():
        assert spans[name]["parent"] == (spans[parent]["id"] if parent else "")
        assert spans[name]["tags"][semconv.SYMBOL] == symbol

    to_logs = sources["tempo"]["jsonData"]["tracesToLogsV2"]
    query = filled_in(to_logs["query"], trace_id, spans["oms.await_fill"])
    told = {"trading.order.requested", "trading.order.acknowledged", "trading.order.filled"}

    def arrived() -> list[dict[str, str]]:
        found = logs_of(stack, query)
        return found if told <= {line.get("event_name") for line in found} else []

    lines = wait_for(arrived, 60, f"the order's events by {query}")
    events = {line.get("event_name") for line in lines}
    print(f"exemplar of {symbol} → trace {trace_id}: {len(spans)} spans → {len(lines)} log lines, events {events}")
    assert {line["trace_id"] for line in lines} == {trace_id}
    assert {line["span_id"] for line in lines} <= {span["id"] for span in trace_of(stack, trace_id)}


def test_twenty_orders_from_log_to_trace_to_series(stack: Stack, demo: Demo, sources: Mapping[str, Any]) -> None:
    to_trace = to_tempo(sources["loki"]["jsonData"]["derivedFields"])
    assert to_trace["matcherType"] == "label"
    to_metrics = sources["tempo"]["jsonData"]["tracesToMetrics"]
    correlations = get(f"{stack.url['grafana']}/api/datasources/uid/loki/correlations")
    filled = logs_of(stack, f'{demo.selector} | event_name="trading.order.filled"')
    assert len(filled) >= 30
    for line in random.Random(7).sample(filled, 20):
        trace_id = line[to_trace["matcherRegex"]]
        spans = whole_trace(stack, trace_id)
        span = spans["oms.await_fill"]
        assert span["tags"]["trading.order.client_id"] == line["trading_order_client_id"]
        root = cycle_of(stack, spans)["trade_cycle"]
        assert root["tags"][semconv.SYMBOL] == line["trading_instrument_symbol"]
        labels = {
            f'instance="{demo.instance}"',
            f'strategy="{line["trading_strategy_name"]}"',
            f'symbol="{line["trading_instrument_symbol"]}"',
        }
        from_span = [filled_in(query["query"], trace_id, span, to_metrics["tags"]) for query in to_metrics["queries"]]
        from_line = [by_label(correlation, line) for correlation in correlations]
        assert from_span
        assert from_line
        for query in from_span + from_line:
            assert set(re.findall(r'\w+="[^"]*"', query)) <= labels, query
            frames = stack.grafana("prometheus", {"expr": query, "range": True})
            assert any(values for frame in frames for values in frame["data"]["values"]), f"nothing found by {query}"


def to_tempo(links: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    (link,) = (link for link in links if link.get("datasourceUid") == "tempo")
    return link


def by_label(correlation: Mapping[str, Any], line: Mapping[str, str]) -> str:
    """The query of a correlation, its variables taken out of a log line's labels as the browser does."""
    config = correlation["config"]
    assert config["field"] == "labels"
    text = "{" + ",".join(f'"{key}":"{value}"' for key, value in line.items()) + "}"
    query = config["target"]["expr"]
    for step in config["transformations"]:
        found = re.search(step["expression"], text)
        assert found, step
        query = query.replace("${" + step["mapValue"] + "}", found[1])
    return query


def test_identity_is_the_same_on_all_three_signals(stack: Stack, demo: Demo) -> None:
    (up,) = stack.prometheus(f'mcbot_expected_up{{instance="{demo.instance}"}}')
    line = stack.loki(f'{demo.selector} | event_name="trading.order.filled"', limit=1)[0]
    span = whole_trace(stack, line["trace_id"])["oms.await_fill"]["tags"]
    series = up["metric"]
    assert series["job"] == f"{line['service_namespace']}/{line['service_name']}" == "mcbot/otel-mcbot-demo"
    assert series["instance"] == line["service_instance_id"] == demo.instance
    for attribute in ("service.name", "service.namespace", "service.instance.id", "trading.mode"):
        name = attribute.replace(".", "_")
        assert span.get(attribute, series["service_name"]) == series[name] == line[name]


def test_a_stream_of_logs_has_few_labels(stack: Stack, demo: Demo) -> None:
    streams = get(f"{stack.url['loki']}/loki/api/v1/series", **{"match[]": demo.selector})["data"]
    assert len(streams) == 1
    assert set(streams[0]) == {"service_name", "service_namespace", "service_instance_id"}
