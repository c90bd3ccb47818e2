"""The file of open orders: what was saved is there, and nothing that happens to it stops a bot."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from otel_mcbot.facts import OrderFilled, OrderRequested
from otel_mcbot.ledger import Ledger
from otel_mcbot.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "orders.sqlite"


def test_what_was_saved_is_there_after_a_restart(path: Path) -> None:
    store = Store(path)
    assert store.load() == []
    assert store.save([{"client_id": "a", "filled": 0.5}, {"client_id": "b", "filled": 0}])
    assert store.save([{"client_id": "a", "filled": 0.7}, {"client_id": "b", "forget": True}])
    assert store.save([{"last_strategy": {"BTC/USDT": "trend", "ETH/USDT": "grid"}}])
    assert store.save([{"last_strategy": {"BTC/USDT": "grid"}}])
    store.close()
    store.close()
    assert Store(path).load() == [
        {"client_id": "a", "filled": 0.7},
        {"last_strategy": {"BTC/USDT": "grid"}},
        {"last_strategy": {"ETH/USDT": "grid"}},
    ]


def test_a_ledger_comes_back_as_it_was(path: Path) -> None:
    before, after = Ledger(), Ledger()
    before.apply(OrderRequested(client_id="trend-btc-1", symbol="BTC/USDT", side="BUY", quantity=2, strategy="trend"))
    before.apply(OrderFilled(client_id="trend-btc-1", quantity=0.5, price=100, fill_id="1"))
    store = Store(path)
    store.save(before.take_dirty())
    after.restore(Store(path).load())
    order = after.get("trend-btc-1")
    assert order is not None
    assert (order.filled, order.status, after.last_strategy("BTC/USDT")) == (0.5, "partially_filled", "trend")
    assert after.apply(OrderFilled(client_id="trend-btc-1", quantity=0.5, price=100, fill_id="1")) == ()


def test_orders_keep_their_order(path: Path) -> None:
    store = Store(path)
    store.save([{"client_id": name} for name in "cab"])
    store.save([{"client_id": "c", "new": True}])
    assert [row["client_id"] for row in store.load()] == ["c", "a", "b"]


def test_a_killed_process_loses_nothing_that_it_saved(path: Path) -> None:
    script = (
        "import os, sys, pathlib; from otel_mcbot.store import Store; s = Store(pathlib.Path(sys.argv[1]));"
        "s.save([{'client_id': str(n)} for n in range(100)]); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)], timeout=60, check=False).returncode == -9
    assert len(Store(path).load()) == 100


@pytest.mark.parametrize(
    "content", [b"no database at all, but long enough to look at" * 50, b"SQLite format 3\x00" + b"\xff" * 5000]
)
def test_a_damaged_file_is_set_aside_and_said(path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path.write_bytes(content)
    store = Store(path)
    assert store.load() == []
    (aside,) = path.parent.glob("orders.sqlite.corrupt-*")
    assert aside.read_bytes() == content
    assert "is damaged" in caplog.text
    assert store.save([{"client_id": "a"}])
    assert store.load() == [{"client_id": "a"}]


def test_a_row_that_is_no_json_is_damage_too(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    import sqlite3

    store = Store(path)
    store.save([{"client_id": "a"}])
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE rows SET text = '{'")
    connection.close()
    assert store.load() == []
    assert "is damaged" in caplog.text


def test_a_disk_that_cannot_be_written_is_said_and_survived(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(tmp_path / "gone" / "orders.sqlite")
    assert not store.save([{"client_id": "a"}])
    assert store.load() == []
    assert caplog.text.count("are not kept") == 1
    (tmp_path / "gone").mkdir()
    assert store.save([{"client_id": "b"}])
    assert store.load() == [{"client_id": "a"}, {"client_id": "b"}]


def test_only_its_owner_reads_it(path: Path) -> None:
    Store(path).save([{"client_id": "a"}])
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
