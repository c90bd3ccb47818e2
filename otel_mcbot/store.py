"""The ledger on disk, so that a restart knows what rests at the venue.

One small SQLite file with one row an order. It is used at the start and by the keeper's thread, never by the bot's. A
file that cannot be read is set aside, not repaired: better no memory than a wrong one.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from otel_mcbot.export.limit import OnceAMinute

logger = logging.getLogger("otel_mcbot")

MOST_UNSAVED: Final = 50_000
"""Rows kept in memory while the disk takes none; the oldest go first."""

_UPSERT: Final = "INSERT INTO rows VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET text = excluded.text"


class Store:
    """The rows of one instance's ledger.

    Args:
        path: the file; its directory exists. Readable by its owner alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._unsaved: dict[str, str | None] = {}
        self._warning = OnceAMinute()

    def load(self) -> list[dict[str, Any]]:
        """All rows, for ``Ledger.restore()``. A damaged file is set aside and gives none; never raises."""
        with self._lock:
            try:
                return [json.loads(text) for (text,) in self._open().execute("SELECT text FROM rows ORDER BY rowid")]
            except (sqlite3.Error, OSError, ValueError) as error:
                self._fail(error)
                return []

    def save(self, rows: Iterable[Mapping[str, Any]]) -> bool:
        """Keep the rows of ``Ledger.take_dirty()``. Never raises; what could not be written is written next time.

        Returns whether everything is on disk.
        """
        with self._lock:
            for row in rows:
                self._unsaved.update(_entries(row))
            while len(self._unsaved) > MOST_UNSAVED:
                del self._unsaved[next(iter(self._unsaved))]
            if not self._unsaved:
                return True
            try:
                connection = self._open()
                with connection:
                    for key, text in self._unsaved.items():
                        if text is None:
                            connection.execute("DELETE FROM rows WHERE key = ?", (key,))
                        else:
                            connection.execute(_UPSERT, (key, text))
            except (sqlite3.Error, OSError) as error:
                self._fail(error)
                return False
            self._unsaved.clear()
            return True

    def close(self) -> None:
        """Close the file. Idempotent."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    connection.close()

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self.path.touch(mode=0o600)
            # the lock keeps the threads apart; a short wait, because another process has no business here
            connection = sqlite3.connect(self.path, timeout=1.0, check_same_thread=False)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, text TEXT NOT NULL)")
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _fail(self, error: Exception) -> None:
        """A damaged file is set aside, anything else (a full disk, a lock) is tried again next time."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()
        damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
        if not damaged and not isinstance(error, ValueError):
            if self._warning.allows():
                logger.warning("open orders are not kept in %s: %s", self.path, error)
            return
        aside = self.path.with_name(f"{self.path.name}.corrupt-{time.strftime('%Y%m%dT%H%M%S')}")
        with contextlib.suppress(OSError):
            self.path.rename(aside)
            for suffix in ("-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        logger.warning(
            "%s is damaged (%s): set aside as %s; open orders of the last run are forgotten",
            self.path,
            error,
            aside.name,
        )


def _entries(row: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    """Key and text of a row of the ledger; without text it is forgotten."""
    if "last_strategy" in row:
        for symbol, strategy in row["last_strategy"].items():
            yield f"strategy/{symbol}", json.dumps({"last_strategy": {symbol: strategy}})
    else:
        yield f"order/{row['client_id']}", None if row.get("forget") else json.dumps(row, default=str)
