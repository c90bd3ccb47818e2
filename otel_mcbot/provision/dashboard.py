"""The page around the panels: rows, variables, annotations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from otel_mcbot.provision.grammar import Json
from otel_mcbot.provision.panels import LOKI, PROMETHEUS

WIDTH: Final = 24
"""Columns of Grafana's grid."""

TAG: Final = "otel-mcbot"
SCHEMA: Final = 39
"""Of the file: Grafana 10 knows it, later ones bring it up to theirs."""

ANY: Final = ".*"
"""Everything, also what does not have the label."""
SOME: Final = ".+"
"""Everything that has the label. Loki wants at least one such."""

Row = tuple[int, Sequence[Json]]
"""Height, and one or two panels that share the width."""


def dashboard(
    uid: str,
    title: str,
    description: str,
    rows: Sequence[Row],
    *,
    variables: Sequence[Json],
    annotations: Sequence[Json] = (),
    since: str = "now-6h",
) -> Json:
    """A dashboard as Grafana stores it. Its day is UTC's, as in the reports."""
    return {
        "annotations": {"list": list(annotations)},
        "description": description,
        "editable": False,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "id": None,
        "links": [_others()],
        "panels": _placed(rows),
        "refresh": "30s",
        "schemaVersion": SCHEMA,
        "tags": [TAG],
        "templating": {"list": list(variables)},
        "time": {"from": since, "to": "now"},
        "timepicker": {},
        "timezone": "utc",
        "title": title,
        "uid": uid,
        "version": 1,
        "weekStart": "",
    }


def _placed(rows: Sequence[Row]) -> list[Json]:
    placed: list[Json] = []
    top = 0
    for height, panels in rows:
        width = WIDTH // len(panels)
        placed += [
            {**panel, "gridPos": {"h": height, "w": width, "x": at * width, "y": top}}
            for at, panel in enumerate(panels)
        ]
        top += height
    return placed


def choice(
    name: str, label: str, query: str, description: str, *, many: bool = False, every: str | None = None
) -> Json:
    """A variable whose values are those of a label in Prometheus; ``query`` is a ``label_values(…)``.

    Args:
        many: several may be picked.
        every: or no choice made: the regular expression that then stands for it, :data:`ANY` or :data:`SOME`.
    """
    return {
        "allValue": every,
        "current": {"selected": True, "text": "All", "value": "$__all"} if every else {},
        "datasource": PROMETHEUS,
        "definition": query,
        "description": description,
        "hide": 0,
        "includeAll": every is not None,
        "label": label,
        "multi": many,
        "name": name,
        "options": [],
        "query": {"qryType": 1, "query": query, "refId": name},
        "refresh": 2,
        "regex": "",
        "skipUrlSync": False,
        "sort": 1,
        "type": "query",
    }


def hidden(variable: Json) -> Json:
    """A variable that nobody picks: it follows from the others."""
    return {**variable, "hide": 2}


def text(name: str, label: str, description: str) -> Json:
    """A variable to type into."""
    return {
        "current": {"text": "", "value": ""},
        "description": description,
        "hide": 0,
        "label": label,
        "name": name,
        "options": [{"selected": True, "text": "", "value": ""}],
        "query": "",
        "skipUrlSync": False,
        "type": "textbox",
    }


def mark(name: str, colour: str, expr: str, text: str) -> Json:
    """An annotation for each log line of ``expr``; ``text`` says more, ``{{label}}`` in it is a label's value."""
    return _mark(name, LOKI, colour, expr) | {
        "target": {"expr": expr, "maxLines": 100, "queryType": "range", "refId": "A"},
        "textFormat": text,
    }


def span(name: str, colour: str, expr: str, text: str) -> Json:
    """An annotation for each time that ``expr`` (PromQL) is above 0."""
    return _mark(name, PROMETHEUS, colour, expr) | {
        "step": "60s",
        "target": {"expr": expr, "instant": False, "interval": "60s", "range": True, "refId": "A"},
        "textFormat": text,
    }


def _mark(name: str, source: Json, colour: str, expr: str) -> Json:
    return {
        "datasource": source,
        "enable": True,
        "expr": expr,
        "hide": False,
        "iconColor": colour,
        "name": name,
        "titleFormat": name,
    }


def alerts(name: str, colour: str) -> Json:
    """The annotations that Grafana's alerting writes: a panel shows those of the rules that name it."""
    return {
        "builtIn": 1,
        "datasource": {"type": "grafana", "uid": "-- Grafana --"},
        "enable": True,
        "hide": False,
        "iconColor": colour,
        "name": name,
        "target": {"limit": 100, "matchAny": False, "refId": "A", "tags": [], "type": "dashboard"},
        "type": "dashboard",
    }


def _others() -> Json:
    """A menu of the project's other dashboards; time and variables go along."""
    return {
        "asDropdown": True,
        "icon": "external link",
        "includeVars": True,
        "keepTime": True,
        "tags": [TAG],
        "targetBlank": False,
        "title": "Dashboards",
        "type": "dashboards",
    }
