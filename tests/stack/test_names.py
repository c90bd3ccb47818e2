"""What the demo bot records is in Prometheus: each name, each series, no label that was not promised.

Prometheus keeps no type of what is pushed (``/api/v1/metadata`` knows scraped targets alone). Its translation states
the type in the name: ``_total`` is written behind monotonic sums and nothing else, ``_bucket``, ``_sum`` and ``_count``
behind histograms; a gauge that arrived as anything else would have another name than the catalog's.
"""

from __future__ import annotations

import re

import pytest
from conftest import Demo
from stack import Stack, fetch, get, settle, wait_for

from otel_mcbot import catalog

PROMOTED = {"service_name", "service_namespace", "service_instance_id", "deployment_environment_name", "trading_mode"}
"""Resource attributes that may be labels. A version is not among them: it would begin every series anew."""

OWN = {"__name__", "job", "instance", *PROMOTED}
OTHERS = {"target_info", "mcbot_collector_received_points"}
ROWS = {row.prometheus_name: row for row in catalog.rows()}

Series = tuple[str, frozenset[tuple[str, str]]]


def row_of(name: str) -> catalog.Row | None:
    """The row that a series of this name belongs to, by the type that the name states."""
    histogram = re.fullmatch(r"(.+)_(bucket|sum|count)", name)
    if histogram and (row := ROWS.get(histogram[1])) is not None and row.type == "histogram":
        return row
    row = ROWS.get(name)
    return row if row is not None and (row.type == "counter") == name.endswith("_total") else None


def series(name: str, labels: dict[str, str]) -> Series:
    bound = labels.get("le", "+Inf")
    exact = {"le": bound if bound == "+Inf" else str(float(bound))} if "le" in labels else {}
    return name, frozenset({**{key: value for key, value in labels.items() if key not in OWN}, **exact}.items())


@pytest.fixture(scope="module")
def pulled(demo: Demo) -> set[Series]:
    """The bot's own page, as the Python exporter for Prometheus writes it."""
    page = fetch(demo.pull)[1].decode()
    found = set()
    for name, labels in re.findall(r"^(mcbot_\w+)(?:\{(.*)\})? \S+$", page, re.MULTILINE):
        pairs = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels))
        found.add(series(name, {key: value for key, value in pairs.items() if not key.startswith("otel_scope")}))
    return found


def all_stored(stack: Stack, demo: Demo) -> list[dict[str, str]]:
    answer = get(f"{stack.url['prometheus']}/api/v1/series", **{"match[]": f'{{instance="{demo.instance}"}}'})
    return [each for each in answer["data"] if each["__name__"] not in OTHERS]


def test_every_series_of_the_bot_is_stored(stack: Stack, demo: Demo, pulled: set[Series]) -> None:
    """Two ways out of the bot, two implementations of the rules of naming, one result."""
    print(f"{len({name for name, _ in pulled})} names, {len(pulled)} series")
    assert len(pulled) > 300
    # the youngest of them leave the bot with its next export
    settle(lambda: pulled - {series(each["__name__"], each) for each in all_stored(stack, demo)}, set(), what="missing")


@pytest.fixture(scope="module")
def stored(stack: Stack, demo: Demo, pulled: set[Series]) -> list[dict[str, str]]:
    """All labels of all series of the bot, once every name of its own page is among them."""

    def ask() -> list[dict[str, str]]:
        found = all_stored(stack, demo)
        return found if {name for name, _ in pulled} <= {each["__name__"] for each in found} else []

    return wait_for(ask, 30, "every name of the bot's own page")


def test_every_name_is_the_catalogs_and_states_its_type(stored: list[dict[str, str]]) -> None:
    assert not {each["__name__"] for each in stored if row_of(each["__name__"]) is None}


def test_labels_are_the_catalogs_and_the_promoted_ones(stored: list[dict[str, str]], demo: Demo) -> None:
    for each in stored:
        row = row_of(each["__name__"])
        assert row is not None
        allowed = {*row.labels, *(["le"] if each["__name__"].endswith("_bucket") else [])}
        assert set(each) - OWN <= allowed, each
        assert (each["job"], each["instance"]) == ("mcbot/otel-mcbot-demo", demo.instance)
        assert each["trading_mode"] == "paper"


def test_nobody_elses_resource_becomes_a_label(stack: Stack, stored: list[dict[str, str]]) -> None:
    """The host's and the Collector's series obey the same rule."""
    for job in ("mcbot/host", "mcbot/collector"):
        found = wait_for(lambda job=job: stack.prometheus(f'{{job="{job}"}}'), 40, job)
        for each in found:
            extra = {
                label
                for label in each["metric"]
                if label.startswith(("service_", "host_", "os_", "process_", "telemetry_"))
            }
            assert extra <= PROMOTED or each["metric"]["__name__"] == "target_info", each
