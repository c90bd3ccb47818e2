"""The messages that came, newest last: bounded in number and bytes, on disk too where a file is given."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

logger = logging.getLogger("otel_mcbot")

MESSAGES: Final = 500
BYTES: Final = 4 * 2**20
"""Of all messages together, their pictures included."""

_EPOCH: Final = 1_420_070_400_000
"""Milliseconds: where Discord's ids begin to count, the year 2015."""


@dataclass(frozen=True)
class File:
    """What came with a message. ``data`` is ``None`` when it was too large to keep."""

    name: str
    size: int
    description: str = ""
    data: bytes | None = None


@dataclass(frozen=True)
class Message:
    """One message as it came.

    Attributes:
        id: a number that grows, as text.
        received: Unix seconds.
        payload: the JSON, or what could be read of it.
        refused: why Discord would not have taken it; ``None`` when it would have.
        edited: Unix seconds of the last edit.
        change: number of the history's change that this is from.
    """

    id: str
    channel: str
    received: float
    payload: Any
    refused: str | None = None
    files: tuple[File, ...] = ()
    edited: float | None = None
    change: int = field(default=0, compare=False)

    def line(self) -> bytes:
        """As it is kept on disk."""
        files = [
            {
                "name": file.name,
                "size": file.size,
                "description": file.description,
                "data": None if file.data is None else base64.b64encode(file.data).decode(),
            }
            for file in self.files
        ]
        kept = {
            "id": self.id,
            "channel": self.channel,
            "received": self.received,
            "payload": self.payload,
            "refused": self.refused,
            "files": files,
            "edited": self.edited,
        }
        return json.dumps(kept, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def of(cls, kept: dict[str, Any]) -> Message:
        """Back from disk. ``KeyError``, ``TypeError`` or ``ValueError`` when it is none."""
        files = tuple(
            File(
                str(file["name"]),
                int(file["size"]),
                str(file["description"]),
                None if file["data"] is None else base64.b64decode(file["data"]),
            )
            for file in kept["files"]
        )
        edited = None if kept["edited"] is None else float(kept["edited"])
        refused = None if kept["refused"] is None else str(kept["refused"])
        number = str(int(kept["id"]))
        return cls(number, str(kept["channel"]), float(kept["received"]), kept["payload"], refused, files, edited)


class History:
    """Safe to use from several threads."""

    def __init__(self, path: Path | None = None, *, messages: int = MESSAGES, size: int = BYTES) -> None:
        """Read what ``path`` holds. ``OSError`` when it cannot be read or written."""
        self._path = path
        self._limits = (messages, size)
        self._lock = threading.Lock()
        self._messages: dict[str, Message] = {}
        self._sizes: dict[str, int] = {}
        self._change = int(time.time() * 1000)  # numbers of an earlier run are smaller
        self._last_id = 0
        self._written = 0
        self._troubled = False
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            for message in _read(path):
                self._put(message)
            self._rewrite(path)

    @property
    def change(self) -> int:
        """Grows with each message that comes, changes or goes."""
        return self._change

    def all(self) -> list[Message]:
        with self._lock:
            return list(self._messages.values())

    def get(self, number: str) -> Message | None:
        with self._lock:
            return self._messages.get(number)

    def add(self, channel: str, payload: Any, refused: str | None = None, files: tuple[File, ...] = ()) -> Message:
        """Keep a new message; the oldest ones go when there are too many."""
        with self._lock:
            now = time.time()
            self._last_id = max(self._last_id + 1, int(now * 1000) - _EPOCH << 22)
            message = self._put(Message(str(self._last_id), channel, now, payload, refused, files))
            self._append(message.line())
            return message

    def edit(self, message: Message, payload: Any, files: tuple[File, ...]) -> Message:
        with self._lock:
            message = self._put(replace(message, payload=payload, files=files, edited=time.time()))
            self._append(message.line())
            return message

    def remove(self, number: str) -> None:
        with self._lock:
            self._drop(number)
            self._append(json.dumps({"id": number, "deleted": True}).encode() + b"\n")

    def _put(self, message: Message) -> Message:
        self._change += 1
        message = replace(message, change=self._change)
        self._messages[message.id] = message
        self._sizes[message.id] = len(message.line())
        self._last_id = max(self._last_id, int(message.id))
        most, size = self._limits
        while len(self._messages) > most or (sum(self._sizes.values()) > size and len(self._messages) > 1):
            self._drop(next(iter(self._messages)))
        return message

    def _drop(self, number: str) -> None:
        self._change += 1
        self._messages.pop(number, None)
        self._sizes.pop(number, None)

    def _append(self, line: bytes) -> None:
        if self._path is None:
            return
        try:
            if self._written + len(line) > 2 * self._limits[1]:
                self._rewrite(self._path)
            else:
                with self._path.open("ab") as file:
                    file.write(line)
                self._written += len(line)
            self._troubled = False
        except OSError as error:  # a full disk: the page still shows what came
            if not self._troubled:
                logger.warning("the history is not kept in %s: %s", self._path, error.strerror or error)
            self._troubled = True

    def _rewrite(self, path: Path) -> None:
        """What is there now and nothing else, in place of the file: whole or not at all."""
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(handle, "wb") as out:
                out.writelines(message.line() for message in self._messages.values())
                self._written = out.tell()
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise


def _read(path: Path) -> Iterator[Message]:
    """The messages of a file in the order in which they came first; lines that are none are passed over."""
    found: dict[str, Message] = {}
    with path.open("rb") as file:
        for line in file:
            with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
                kept: dict[str, Any] = json.loads(line)
                if "deleted" in kept:
                    found.pop(kept["id"], None)
                else:
                    message = Message.of(kept)
                    found[message.id] = message
    yield from found.values()
