"""The catalog against the contract, against the Python Prometheus exporter, and against its own page."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from metering import provider
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from prometheus_client import CollectorRegistry

from otel_mcbot import catalog
from otel_mcbot.instruments import Counter, EnumGauge, Gauge, Histogram, Info, ObservableCounter
from otel_mcbot.naming import prometheus_name

ROOT = Path(__file__).resolve().parents[2]
with (ROOT / "tests/golden/metrics.tsv").open(newline="") as _file:
    GOLDEN = {row["prometheus_name"]: row for row in csv.DictReader(_file, delimiter="\t")}


def test_the_contract_is_all_there() -> None:
    assert len(GOLDEN) == 99
    assert {row.prometheus_name for row in catalog.rows() if not row.ours} == set(GOLDEN)


@pytest.mark.parametrize("name", GOLDEN)
def test_a_row_of_the_contract(name: str) -> None:
    golden, row = GOLDEN[name], catalog.find(name)
    assert row.type == golden["type"]
    assert ",".join(row.labels) == golden["labels"]
    assert golden["layer"].startswith(row.layer)


def test_names_are_unique_derived_and_predictable() -> None:
    rows, handles = catalog.rows(), catalog.handles()
    assert len({row.prometheus_name for row in rows}) == len(rows) == len(handles)
    assert len({row.otel_name for row in rows}) == len(rows)
    for row, handle in zip(rows, handles, strict=True):
        attribute = row.otel_name.removeprefix("mcbot.").replace(".", "_")
        assert getattr(catalog, attribute) is handle
        assert row.prometheus_name == prometheus_name(handle.name, handle.unit, handle.kind)
        assert handle.limit < 2_000  # where the SDK folds label sets into one
        assert row.meaning


def test_unknown_names_are_told() -> None:
    with pytest.raises(KeyError, match="mcbot_nothing"):
        catalog.find("mcbot_nothing")


@pytest.mark.parametrize(
    ("name", "buckets"),
    [
        ("mcbot_order_latency_seconds", "0.01 0.05 0.1 0.25 0.5 1 2.5 5 10"),
        ("mcbot_slippage_bps", "0 1 2 5 10 20 50 100"),
        ("mcbot_strategy_slippage_bps", "0 1 2 5 10 20 50 100"),
        ("mcbot_slippage_signed_bps", "-100 -50 -20 -10 -5 0 5 10 20 50 100"),
        ("mcbot_exchange_api_latency_seconds", "0.05 0.1 0.25 0.5 1 2.5 5 10 30"),
        ("mcbot_onchain_fetch_latency_seconds", "0.5 1 2.5 5 10 30 60 120"),
    ],
)
def test_buckets(name: str, buckets: str) -> None:
    row = catalog.find(name)
    assert row.buckets is not None
    assert " ".join(f"{bound:g}" for bound in row.buckets) == buckets


def test_the_python_exporter_prints_the_same_names_types_and_labels() -> None:
    registry = CollectorRegistry()
    source = provider(PrometheusMetricReader(True, scope_info_enabled=False, registry=registry))
    catalog.bind(source.get_meter("test"), strict=True, viewed=True)
    for handle in catalog.handles():
        labels = dict.fromkeys(handle.labels, "x")
        match handle:
            case Counter():
                handle.add(1, **labels)
            case Histogram():
                handle.record(1, **labels)
            case EnumGauge():
                handle.set_state(handle.states[0], **labels)
            case Info():
                handle.set_info(**labels)
            case Gauge():
                handle.set(1, **labels)
            case ObservableCounter():
                handle.watch(lambda labels=labels: [(1, labels)])  # type: ignore[misc]
    families = {
        f"{family.name}_total" if family.type == "counter" else family.name: family for family in registry.collect()
    }
    catalog.unbind()
    source.shutdown()
    assert set(families) == {row.prometheus_name for row in catalog.rows()}
    on_the_wire = {"info": "gauge", "enum": "gauge"}
    for row in catalog.rows():
        family = families[row.prometheus_name]
        assert family.type == on_the_wire.get(row.type, row.type)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(row.labels)


def test_json_is_for_programs() -> None:
    rows = json.loads(json.dumps(catalog.as_json()))
    assert len(rows) == len(catalog.rows())
    keys = ["prometheus_name", "otel_name", "type", "labels", "unit", "buckets", "layer", "ours", "meaning"]
    assert all(list(row) == keys for row in rows)
    (orders,) = (row for row in rows if row["prometheus_name"] == "mcbot_orders_total")
    assert orders["labels"] == ["symbol", "side", "order_type", "status"]
    assert orders["buckets"] is None
    assert orders["ours"] is False


def test_the_page_is_fresh() -> None:
    assert (ROOT / "docs/metrics.md").read_text() == catalog.markdown(), "otel-mcbot metrics list --markdown"
