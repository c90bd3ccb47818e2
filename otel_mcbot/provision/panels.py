"""What a panel looks like. Each function gives one as Grafana stores it, without its place on the page.

Every panel says in words what it shows and when to worry. Ids are given, never counted: an alert links to
them, so they stay when panels come and go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from otel_mcbot.provision import grammar
from otel_mcbot.provision.grammar import Json

PROMETHEUS: Final[Json] = {"type": "prometheus", "uid": "prometheus"}
TEMPO: Final[Json] = {"type": "tempo", "uid": "tempo"}
LOKI: Final[Json] = {"type": "loki", "uid": "loki"}

FINEST: Final = "1m"
"""Smallest step of what happens now and then (fills, orders): finer steps would show mostly nothing."""


def prometheus(expr: str, legend: str = "", *, instant: bool = False, table: bool = False) -> Json:
    """A query of metrics. Counters and histograms bring their exemplars: dots that lead to one order each."""
    return {
        "datasource": PROMETHEUS,
        "editorMode": "code",
        "exemplar": not instant and ("rate(" in expr or "increase(" in expr),
        "expr": expr,
        "format": "table" if table else "time_series",
        "instant": instant,
        "legendFormat": legend or "__auto",
        "range": not instant,
    }


def loki(expr: str) -> Json:
    """A query of log lines."""
    return {"datasource": LOKI, "editorMode": "code", "expr": expr, "queryType": "range"}


def tempo(query: str) -> Json:
    """A search in TraceQL, or the id of a trace."""
    return {"datasource": TEMPO, "limit": 50, "query": query, "queryType": "traceql", "tableType": "traces"}


def link(title: str, url: str) -> Json:
    """A link from a point, a row or a value."""
    return {"targetBlank": False, "title": title, "url": url}


def override(field: str, **properties: object) -> Json:
    """What is different about one field. Property names with ``_`` for ``.``: ``custom_width=120``."""
    return {
        "matcher": {"id": "byName", "options": field},
        "properties": [{"id": name.replace("_", "."), "value": value} for name, value in properties.items()],
    }


def _panel(
    kind: str,
    id: int,
    title: str,
    description: str,
    targets: Sequence[Json],
    *,
    defaults: Json | None = None,
    options: Json | None = None,
    overrides: Sequence[Json] = (),
    **more: object,
) -> Json:
    return {
        "datasource": targets[0]["datasource"],
        "description": description,
        "fieldConfig": {"defaults": defaults or {}, "overrides": list(overrides)},
        "id": id,
        "options": options or {},
        "targets": [{**target, "refId": chr(ord("A") + at)} for at, target in enumerate(targets)],
        "title": title,
        "type": kind,
        **more,
    }


def curve(
    id: int,
    title: str,
    description: str,
    targets: Sequence[Json],
    *,
    unit: str,
    limit: str | float | None = None,
    links: Sequence[Json] = (),
    floor: float | None = None,
    colour: str | None = None,
    steps: bool = False,
    now_and_then: bool = False,
    overrides: Sequence[Json] = (),
) -> Json:
    """Values over time.

    Args:
        limit: of :func:`.grammar.steps`; drawn as dashed lines.
        floor: the axis begins here.
        colour: of all series, a meaning of :data:`.grammar.COLOURS`; by name when not given.
        steps: the value holds until the next one.
        now_and_then: what is measured when something happens: points, a step of a minute, gaps stay gaps.
    """
    custom: Json = {
        "drawStyle": "line",
        "fillOpacity": 12 if colour else 0,
        "lineInterpolation": "stepAfter" if steps else "linear",
        "lineWidth": 2,
        "pointSize": 5,
        "showPoints": "always" if now_and_then else "never",
        "spanNulls": False,
        "thresholdsStyle": {"mode": "dashed" if limit else "off"},
    }
    return _panel(
        "timeseries", id, title, description, targets,
        defaults=_defaults(unit, links, floor, colour) | {"custom": custom, "thresholds": grammar.steps(limit)},
        options=_LEGEND, overrides=[*_named(), *overrides], **_step(now_and_then),
    )  # fmt: skip


def bars(
    id: int, title: str, description: str, targets: Sequence[Json], *, unit: str, links: Sequence[Json] = ()
) -> Json:
    """How much there was in each step, stacked."""
    custom: Json = {
        "drawStyle": "bars",
        "fillOpacity": 70,
        "lineWidth": 0,
        "showPoints": "never",
        "stacking": {"group": "A", "mode": "normal"},
    }
    return _panel(
        "timeseries", id, title, description, targets,
        defaults=_defaults(unit, links, 0, None) | {"custom": custom, "thresholds": grammar.steps(None)},
        options=_LEGEND, overrides=_named(), **_step(True),
    )  # fmt: skip


def values(
    id: int,
    title: str,
    description: str,
    targets: Sequence[Json],
    *,
    unit: str,
    thresholds: Json | None = None,
    calculation: str = "lastNotNull",
    today: bool = False,
    links: Sequence[Json] = (),
    overrides: Sequence[Json] = (),
) -> Json:
    """Big numbers. ``calculation`` makes one of a series; ``today`` is since midnight, whatever the dashboard shows."""
    return _panel(
        "stat", id, title, description, targets,
        defaults=_defaults(unit, links, None, None)
        | {"color": {"mode": "thresholds"}, "thresholds": thresholds or grammar.steps(None)},
        options={
            "colorMode": "value", "graphMode": "none", "justifyMode": "auto", "orientation": "vertical",
            "reduceOptions": {"calcs": [calculation], "fields": "", "values": False},
            "textMode": "value_and_name" if len(targets) > 1 else "value",
        },
        overrides=overrides,
        **({"timeFrom": "now/d"} if today else {}),
    )  # fmt: skip


def gauge(
    id: int,
    title: str,
    description: str,
    target: Json,
    *,
    unit: str,
    limit: str | float,
    most: float,
    links: Sequence[Json] = (),
) -> Json:
    """One number on its scale from 0 to ``most``."""
    return _panel(
        "gauge", id, title, description, [target],
        defaults=_defaults(unit, links, 0, None)
        | {"color": {"mode": "thresholds"}, "max": most, "thresholds": grammar.steps(limit)},
        options={
            "orientation": "auto", "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "showThresholdLabels": True, "showThresholdMarkers": True,
        },
    )  # fmt: skip


def table(
    id: int,
    title: str,
    description: str,
    targets: Sequence[Json],
    *,
    unit: str,
    columns: Mapping[str, str] | None = None,
    overrides: Sequence[Json] = (),
) -> Json:
    """Rows. ``columns`` joins the queries by their labels and says what is seen: field → title, in this order."""
    transformations: list[Json] = []
    if columns is not None:
        transformations = [
            {"id": "merge", "options": {}},
            {"id": "filterFieldsByName", "options": {"include": {"names": list(columns)}}},
            {
                "id": "organize",
                "options": {
                    "excludeByName": {},
                    "indexByName": {field: at for at, field in enumerate(columns)},
                    "renameByName": dict(columns),
                },
            },
        ]
    return _panel(
        "table", id, title, description, targets,
        defaults={"custom": {"align": "auto", "filterable": False}, "thresholds": grammar.steps(None), "unit": unit},
        options={"cellHeight": "sm", "footer": {"show": False}, "showHeader": True},
        overrides=overrides, transformations=transformations,
    )  # fmt: skip


def logs(id: int, title: str, description: str, target: Json) -> Json:
    """Log lines, the newest first."""
    return _panel(
        "logs", id, title, description, [target],
        options={
            "dedupStrategy": "none", "enableLogDetails": True, "prettifyLogMessage": False, "showCommonLabels": False,
            "showLabels": False, "showTime": True, "sortOrder": "Descending", "wrapLogMessage": True,
        },
    )  # fmt: skip


def trace(id: int, title: str, description: str, target: Json) -> Json:
    """The spans of one trace."""
    return _panel("traces", id, title, description, [target])


_LEGEND: Final[Json] = {
    "legend": {"calcs": ["lastNotNull"], "displayMode": "list", "placement": "bottom", "showLegend": True},
    "tooltip": {"mode": "multi", "sort": "desc"},
}


def _defaults(unit: str, links: Sequence[Json], floor: float | None, colour: str | None) -> Json:
    color: Json = {"mode": "palette-classic-by-name"}
    if colour is not None:
        color = {"fixedColor": grammar.COLOURS[colour], "mode": "fixed"}
    return {"color": color, "links": list(links), "unit": unit} | ({} if floor is None else {"min": floor})


def _named() -> list[Json]:
    return [override(name, color={"fixedColor": colour, "mode": "fixed"}) for name, colour in grammar.SERIES.items()]


def _step(now_and_then: bool) -> Json:
    return {"interval": FINEST} if now_and_then else {}
