"""The examples run as they stand, and their traces are what the page about traces shows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from otlp_files import spans

EXAMPLES = Path(__file__).parents[2] / "examples"
EXPECTED = {
    "call_chain.py": [
        "trade_cycle filled: strategy.generate_signal, rm.pre_trade_check, oms.submit_order, oms.await_fill",
        "trade_cycle denied: strategy.generate_signal, rm.pre_trade_check",
    ],
    "decorators.py": [
        "trade_cycle no_order: strategy.generate_signal",
        "trade_cycle filled: strategy.generate_signal, rm.pre_trade_check, oms.submit_order, oms.await_fill",
    ],
    "event_bus.py": [
        "trade_cycle filled: strategy.generate_signal, pm.process_signal, rm.pre_trade_check, oms.submit_order, "
        "oms.await_fill",
    ],
    "ccxt_script.py": [
        "trade_cycle filled: oms.submit_order, exchange.create_order, oms.await_fill",
        "trade_cycle canceled: oms.submit_order, exchange.create_order, oms.await_fill, exchange.cancel_order",
        "trade_cycle rejected: oms.submit_order, exchange.create_order",
    ],
    "detectors.py": [],
    "queue_worker.py": [
        "trade_cycle filled: strategy.generate_signal, oms.submit_order, exchange.create_order, oms.await_fill",
    ],
}


def test_every_example_is_tested() -> None:
    there = {path.name for path in EXAMPLES.glob("*.py")} - {"paper_ccxt.py"}
    assert there == set(EXPECTED)
    listed = (EXAMPLES / "README.md").read_text()
    assert all(f"`{name}`" in listed for name in there)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_example(name: str, tmp_path: Path) -> None:
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "MCBOT_"))}
    own = {"HOME": str(tmp_path), "MCBOT_STATE_DIR": str(tmp_path / "state"), "MCBOT_FIND_COLLECTOR": "false"}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name)],
        env=environ | own,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (directory,) = (tmp_path / "state").glob("*/*/otlp")
    found = sorted(spans(directory), key=lambda span: (span.start, span.end))
    drawn = set()
    for root in (span for span in found if not span.parent_id):
        inside = [span.name for span in found if span.trace_id == root.trace_id and span is not root]
        drawn.add(f"{root.name} {root.attributes['mcbot.cycle.outcome']}: {', '.join(inside)}")
    assert drawn == set(EXPECTED[name])


def test_the_detectors_of_the_example_find_what_is_wrong(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "detectors.py")],
        env=os.environ | {"HOME": str(tmp_path), "MCBOT_STATE_DIR": str(tmp_path), "MCBOT_FIND_COLLECTOR": "false"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    for said in ("Drawdown", "Return distribution has shifted significantly", "probation DEGRADING (PH: 1/3)"):
        assert said in done.stdout
