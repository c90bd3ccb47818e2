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


def prometheus(
    expr: str, legend: str = "", *, instant: bool = False, table: bool = False, buckets: bool = False
) -> Json:
    """A query of metrics. Counters and histograms bring their exemplars: dots that lead to one order each.

    Args:
        table: the answer is rows, not series.
        buckets: the answer is the buckets of a histogram, by ``le``: each becomes what is in it alone.
    """
    return {
        "datasource": PROMETHEUS,
        "editorMode": "code",
        "exemplar": not instant and ("rate(" in expr or "increase(" in expr),
        "expr": expr,
        "format": "table" if table else "heatmap" if buckets else "time_series",
        "instant": instant,
        "legendFormat": "{{le}}" if buckets else legend or "__auto",
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


def quiet(panel: Json, words: str) -> Json:
    """The panel, which says ``words`` instead of "No data" where there are no series."""
    defaults = {**panel["fieldConfig"]["defaults"], "noValue": words}
    return {**panel, "fieldConfig": {**panel["fieldConfig"], "defaults": defaults}}


def logarithmic(panel: Json, *, linear_below: float | None = None) -> Json:
    """The panel, its axis in powers of ten; between 0 and ``linear_below``, where there is a 0, it is even."""
    scale: Json = {"log": 10, "type": "log"}
    if linear_below is not None:
        scale = {"linearThreshold": linear_below, "log": 10, "type": "symlog"}
    defaults = panel["fieldConfig"]["defaults"]
    defaults = {**defaults, "custom": {**defaults["custom"], "scaleDistribution": scale}}
    return {**panel, "fieldConfig": {**panel["fieldConfig"], "defaults": defaults}}


def named(*names: str) -> list[Json]:
    """The overrides that give series their colours of :data:`.grammar.SERIES`, where they have one.

    A panel finds those of its legends itself; the values of a label are said.
    """
    return [coloured(name, grammar.SERIES[name]) for name in names if name in grammar.SERIES]


def coloured(field: str, colour: str, **properties: object) -> Json:
    """The override that gives one field the colour of a meaning of :data:`.grammar.COLOURS`, and what else it has."""
    return override(field, **properties, color=_fixed(colour))


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
        **({"datasource": targets[0]["datasource"]} if targets else {}),
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
    limit: grammar.Limit = None,
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
        options=_LEGEND, overrides=[*_named(targets), *overrides], **_step(now_and_then),
    )  # fmt: skip


def bars(
    id: int,
    title: str,
    description: str,
    targets: Sequence[Json],
    *,
    unit: str,
    links: Sequence[Json] = (),
    overrides: Sequence[Json] = (),
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
        options=_LEGEND, overrides=[*_named(targets), *overrides], **_step(True),
    )  # fmt: skip


def values(
    id: int,
    title: str,
    description: str,
    targets: Sequence[Json],
    *,
    unit: str,
    limit: grammar.Limit = None,
    calculation: str = "lastNotNull",
    today: bool = False,
    graph: bool = False,
    links: Sequence[Json] = (),
    overrides: Sequence[Json] = (),
) -> Json:
    """Big numbers.

    Args:
        limit: of :func:`.grammar.steps`, or thresholds.
        calculation: makes one number of a series.
        today: since midnight, whatever the dashboard shows.
        graph: the way there is drawn behind the number; the query is then one over time.
    """
    return _panel(
        "stat", id, title, description, targets,
        defaults=_defaults(unit, links, None, None)
        | {"color": {"mode": "thresholds"}, "thresholds": grammar.steps(limit)},
        options={
            "colorMode": "value", "graphMode": "area" if graph else "none", "justifyMode": "auto",
            "orientation": "vertical",
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
    limit: grammar.Limit = None,
    most: float,
    least: float = 0,
    links: Sequence[Json] = (),
) -> Json:
    """One number on its scale from ``least`` to ``most``."""
    return _panel(
        "gauge", id, title, description, [target],
        defaults=_defaults(unit, links, least, None)
        | {"color": {"mode": "thresholds"}, "max": most, "thresholds": grammar.steps(limit)},
        options={
            "orientation": "auto", "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "showThresholdLabels": True, "showThresholdMarkers": True,
        },
    )  # fmt: skip


def levels(
    id: int,
    title: str,
    description: str,
    targets: Sequence[Json],
    *,
    unit: str,
    most: float,
    links: Sequence[Json] = (),
) -> Json:
    """A horizontal bar for each series as it is now: few things side by side. ``most`` is a full bar."""
    return _panel(
        "bargauge", id, title, description, targets,
        defaults=_defaults(unit, links, 0, None)
        | {"color": {"mode": "thresholds"}, "max": most, "thresholds": grammar.steps(None)},
        options=_bar_options("horizontal"),
    )  # fmt: skip


def distribution(id: int, title: str, description: str, target: Json, *, links: Sequence[Json] = ()) -> Json:
    """A histogram over all of the time shown: a bar for each bucket, named by its upper bound.

    Args:
        target: an instant query of buckets.
    """
    return _panel(
        "bargauge", id, title, description, [target],
        defaults=_defaults(grammar.COUNT, links, 0, None)
        | {"color": {"mode": "thresholds"}, "decimals": 0, "thresholds": grammar.steps(None)},
        options=_bar_options("vertical"),
    )  # fmt: skip


def heatmap(id: int, title: str, description: str, target: Json, *, unit: str, links: Sequence[Json] = ()) -> Json:
    """A histogram over time: the darker a field, the more there was in this bucket then.

    Args:
        target: a query of buckets.
        unit: of the buckets' bounds.
    """
    return _panel(
        "heatmap", id, title, description, [target],
        defaults={"custom": {"hideFrom": {"legend": False, "tooltip": False, "viz": False}}, "links": list(links)}
        | {"unit": grammar.COUNT},
        options={
            "calculate": False,
            "cellGap": 1,
            "color": {
                "exponent": 0.5, "mode": "scheme", "reverse": False, "scale": "exponential", "scheme": "Blues",
                "steps": 32,
            },
            "exemplars": {"color": grammar.COLOURS["warning"]},
            "filterValues": {"le": 1e-9},
            "legend": {"show": False},
            "rowsFrame": {"layout": "auto"},
            "tooltip": {"mode": "single", "showColorScale": False, "yHistogram": True},
            "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
        },
        **_step(True),
    )  # fmt: skip


def pie(
    id: int,
    title: str,
    description: str,
    targets: Sequence[Json],
    *,
    unit: str,
    links: Sequence[Json] = (),
) -> Json:
    """Parts of a whole, over all of the time shown: instant queries."""
    return _panel(
        "piechart", id, title, description, targets,
        defaults=_defaults(unit, links, None, None) | {"decimals": 0},
        options={
            "displayLabels": ["percent"],
            "legend": {
                "displayMode": "table", "placement": "right", "showLegend": True, "values": ["value", "percent"],
            },
            "pieType": "donut",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "tooltip": {"mode": "single", "sort": "none"},
        },
        overrides=_named(targets),
    )  # fmt: skip


def timeline(
    id: int,
    title: str,
    description: str,
    targets: Sequence[Json],
    *,
    states: Json,
    links: Sequence[Json] = (),
) -> Json:
    """A bar of states over time for each series; ``states`` is of :func:`.grammar.states`."""
    return _panel(
        "state-timeline", id, title, description, targets,
        defaults=_defaults(grammar.NUMBER, links, None, None)
        | {
            "color": {"mode": "thresholds"},
            "custom": {"fillOpacity": 80, "insertNulls": False, "lineWidth": 0, "spanNulls": False},
            "mappings": [states],
            "thresholds": grammar.steps(None),
        },
        options={
            "alignValue": "left", "legend": {"showLegend": False}, "mergeValues": True, "rowHeight": 0.8,
            "showValue": "auto", "tooltip": {"mode": "single", "sort": "none"},
        },
    )  # fmt: skip


def words(id: int, title: str, description: str, markdown: str) -> Json:
    """A text in Markdown; it asks nobody."""
    return _panel(
        "text", id, title, description, [],
        options={
            "code": {"language": "plaintext", "showLineNumbers": False, "showMiniMap": False},
            "content": markdown, "mode": "markdown",
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


def _bar_options(orientation: str) -> Json:
    return {
        "displayMode": "basic",
        "minVizHeight": 16,
        "minVizWidth": 8,
        "namePlacement": "auto",
        "orientation": orientation,
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showUnfilled": True,
        "sizing": "auto",
        "valueMode": "color",
    }


def _defaults(unit: str, links: Sequence[Json], floor: float | None, colour: str | None) -> Json:
    color = {"mode": "palette-classic-by-name"} if colour is None else _fixed(colour)
    return {"color": color, "links": list(links), "unit": unit} | ({} if floor is None else {"min": floor})


def _fixed(colour: str) -> Json:
    return {"fixedColor": grammar.COLOURS[colour], "mode": "fixed"}


def _named(targets: Sequence[Json]) -> list[Json]:
    return named(*(target.get("legendFormat", "") for target in targets))


def _step(now_and_then: bool) -> Json:
    return {"interval": FINEST} if now_and_then else {}
