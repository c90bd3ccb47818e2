"""Grafana's data sources, wired to each other: exemplar → trace → logs and metrics, log line → trace and metrics."""

from __future__ import annotations

from typing import Any, Final

from otel_mcbot import catalog, semconv
from otel_mcbot.provision import why
from otel_mcbot.provision.grammar import Json
from otel_mcbot.provision.queries import INSTANCE, JOB, STEP, STRATEGY, SYMBOL, TRACE, of_trace, stored

PROMETHEUS: Final = "prometheus"
TEMPO: Final = "tempo"
LOKI: Final = "loki"

IDENTITY: Final = {
    semconv.SERVICE_INSTANCE_ID: INSTANCE,
    semconv.LABELS[SYMBOL]: SYMBOL,
    semconv.LABELS[STRATEGY]: STRATEGY,
}
"""Attribute of a span or a log record → label of the series that it is about."""

_WHY: Final = {"url": f"/d/{why.UID}?var-trace=${{__value.raw}}&${{__url_time_range}}", "urlDisplayLabel": "Why"}
# plain links too: a Viewer has no Explore, where the links between data sources go


def metrics_queries(picked: str) -> dict[str, str]:
    """What to ask Prometheus about one strategy and symbol, by title.

    Args:
        picked: matchers of ``instance``, ``symbol`` and ``strategy``, or of those that are known.
    """
    # The one metric that has all three labels stands in for those that lack one: a matcher of a label that a series
    # does not have would find nothing.
    both = f"{catalog.strategy_slippage.prometheus_name}_count{{{picked}}}"
    slippage = f"{catalog.strategy_slippage.prometheus_name}_bucket{{{picked}}}"
    latency = f"{catalog.order_latency.prometheus_name}_bucket[{STEP}]"
    of_symbol, of_strategy = (f"and on ({JOB}, {INSTANCE}, {label}) {both}" for label in (SYMBOL, STRATEGY))
    return {
        "Slippage of this strategy and symbol (95 %)": (
            f"histogram_quantile(0.95, sum by (le, {STRATEGY}, {SYMBOL}) (rate({slippage}[{STEP}])))"
        ),
        "Order latency of this symbol (95 %)": (
            f"histogram_quantile(0.95, sum by (le, {SYMBOL}) (rate({latency}) {of_symbol}))"
        ),
        "Orders of this symbol by status": (
            f"sum by (status) (increase({catalog.orders.prometheus_name}[{STEP}]) {of_symbol})"
        ),
        "Fills of this strategy": (
            f"sum by (side) (increase({catalog.strategy_fills.prometheus_name}[{STEP}]) {of_strategy})"
        ),
        "PnL of this strategy": f"{catalog.strategy_pnl.prometheus_name} {of_strategy}",
    }


def _prometheus() -> Json:
    return {
        "isDefault": True,
        "jsonData": {
            "exemplarTraceIdDestinations": [
                {"datasourceUid": TEMPO, "name": TRACE, "urlDisplayLabel": "Trace of this order"},
                {"name": TRACE, **_WHY},
            ],
            "httpMethod": "POST",
            "prometheusType": "Prometheus",
            "prometheusVersion": "3.14.0",
            "timeInterval": "10s",  # as often as a bot exports: $__rate_interval follows from it
        },
        "url": "http://prometheus:9090",
    }


def _tempo() -> Json:
    def tag(attribute: str) -> str:
        return f'{stored(attribute)}="${{__span.tags["{attribute}"]}}"'

    logs = f"{{{tag(semconv.SERVICE_NAME)}, {tag(semconv.SERVICE_INSTANCE_ID)}}} | {of_trace('${__trace.traceId}')}"
    return {
        "jsonData": {
            "nodeGraph": {"enabled": True},
            "traceQuery": {"spanEndTimeShift": "30m", "spanStartTimeShift": "-30m", "timeShiftEnabled": True},
            "tracesToLogsV2": {
                "customQuery": True,
                "datasourceUid": LOKI,
                "filterBySpanID": False,
                "filterByTraceID": False,  # it is in the query: the id is structured metadata, not part of the line
                "query": logs,
                "spanEndTimeShift": "5m",
                "spanStartTimeShift": "-5m",
            },
            "tracesToMetrics": {
                "datasourceUid": PROMETHEUS,
                # $__tags is the one thing that every Grafana puts into these; what the span lacks is left out of it
                "queries": [{"name": name, "query": query} for name, query in metrics_queries("$__tags").items()],
                "spanEndTimeShift": "30m",
                "spanStartTimeShift": "-30m",
                "tags": [{"key": attribute, "value": label} for attribute, label in IDENTITY.items()],
            },
        },
        "url": "http://tempo:3200",
    }


def _loki() -> Json:
    picked = ", ".join(f'{label}="${{{label}}}"' for label in IDENTITY.values())
    transformations = [
        {"expression": f'"{stored(attribute)}":"([^"]+)"', "mapValue": label, "type": "regex"}
        for attribute, label in IDENTITY.items()
    ]
    return {
        "correlations": [
            {
                "config": {
                    "field": "labels",
                    "target": {"expr": query, "refId": "A"},
                    "transformations": transformations,
                    "type": "query",
                },
                "description": f"{name} that a log line is about",
                "label": name,
                "targetUID": PROMETHEUS,
                "type": "query",
            }
            for name, query in metrics_queries(picked).items()
        ],
        "jsonData": {
            "derivedFields": [
                {
                    "datasourceUid": TEMPO,
                    "matcherRegex": TRACE,
                    "matcherType": "label",
                    "name": "Trace",
                    "url": "${__value.raw}",
                    "urlDisplayLabel": "Trace",
                },
                {"matcherRegex": TRACE, "matcherType": "label", "name": "Why", **_WHY},
            ],
            "maxLines": 1000,
        },
        "url": "http://loki:3100",
    }


def _escaped(value: Any) -> Any:
    """In these files ``$`` begins an environment variable, and ``$$`` is a dollar sign."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, dict):
        return {key: _escaped(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_escaped(part) for part in value]
    return value


def build() -> Json:
    """The file ``provisioning/datasources/datasources.yaml``."""
    common = {"access": "proxy", "editable": False}
    named = {PROMETHEUS: _prometheus(), TEMPO: _tempo(), LOKI: _loki()}
    sources = [{"name": uid.title(), "type": uid, "uid": uid, **common, **own} for uid, own in named.items()]
    return {"apiVersion": 1, "datasources": [_escaped(source) for source in sources], "prune": True}
