"""The demo's last word, for programs and for people."""

from __future__ import annotations

import json
from pathlib import Path

from otel_mcbot.demo.summary import Summary

KNOWN = Summary(
    bars=3,
    signals=2,
    orders={"filled": 1, "partially_filled": 1, "rejected": 0, "working": 0},
    fills=3,
    fees=1.25,
    pnl=-1234.5,
    emitted={"spans": 10, "log_records": 4},
    exported={"spans": 9, "log_records": 4},
    metric_series=7,
    dropped={"spans": 1, "log_records": 0, "measurements": 0, "facts": 0},
)


def test_json_is_one_line_with_every_count() -> None:
    line = KNOWN.to_json()
    assert "\n" not in line
    assert json.loads(line) == {
        "bars": 3,
        "signals": 2,
        "orders": {"filled": 1, "partially_filled": 1, "rejected": 0, "working": 0},
        "fills": 3,
        "fees": 1.25,
        "pnl": -1234.5,
        "emitted": {"spans": 10, "log_records": 4},
        "exported": {"spans": 9, "log_records": 4},
        "metric_series": 7,
        "dropped": {"spans": 1, "log_records": 0, "measurements": 0, "facts": 0},
    }


def test_people_read_where_it_is_and_what_to_do_next(tmp_path: Path) -> None:
    assert KNOWN.to_text(directory=tmp_path, collector=False).splitlines() == [
        "3 bars, 2 signals, 2 orders: 1 filled, 1 partially filled",
        "3 fills, fees 1.25, profit after fees -1,234.50",
        "telemetry: 9 of 10 spans and 4 of 4 log records exported, 7 metric series, lost: 1 spans",
        f"No Collector was there, so it is in files: {tmp_path}",
        "Next: docker compose up -d --wait, run this again, and open http://localhost:3000",
    ]


def test_with_a_collector_the_dashboards_are_next(tmp_path: Path) -> None:
    text = KNOWN.to_text(directory=tmp_path, collector=True)
    assert text.splitlines()[-1] == "A Collector took it: see the dashboards in Grafana, http://localhost:3000"
    assert str(tmp_path) not in text
