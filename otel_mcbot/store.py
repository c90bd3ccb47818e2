"""Open orders on disk, so that a restart knows what rests at the venue.

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
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

logger = logging.getLogger("otel_mcbot")

R = TypeVar("R")


class Store:
    """The orders of one instance.

    Args:
        path: the file; its directory exists. Readable by its owner alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def load(self) -> list[dict[str, Any]]:
        """The rows of all orders, oldest first. A damaged file is set aside and gives none; never raises."""
        with self._lock:
            try:
                return [json.loads(row) for (row,) in self._open().execute("SELECT row FROM orders ORDER BY rowid")]
            except (sqlite3.Error, OSError, ValueError) as error:
                self._fail(error)
                return []

    def save(self, rows: Iterable[Mapping[str, Any]], forgotten: Iterable[str] = ()) -> bool:
        """Keep ``rows`` (each with its ``client_id``), remove those in ``forgotten``. Never raises.

        Returns whether it worked; a full disk is told in the log by whoever calls.
        """
        changed = [(str(row["client_id"]), json.dumps(row, default=str)) for row in rows]
        gone = [(client_id,) for client_id in forgotten]
        if not changed and not gone:
            return True
        with self._lock:
            try:
                connection = self._open()
                with connection:
                    connection.executemany(
                        "INSERT INTO orders VALUES (?, ?) ON CONFLICT (client_id) DO UPDATE SET row = excluded.row",
                        changed,
                    )
                    connection.executemany("DELETE FROM orders WHERE client_id = ?", gone)
            except (sqlite3.Error, OSError) as error:
                self._fail(error)
                return False
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
                connection.execute("CREATE TABLE IF NOT EXISTS orders (client_id TEXT PRIMARY KEY, row TEXT NOT NULL)")
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
