"""The body of a request as it comes over the network: a small one in memory, a large one on disk, none without end."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from email.message import Message
from io import BufferedIOBase
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Final

from otel_mcbot.discord.webhook import BODY

IN_MEMORY: Final = 256 * 1024
"""Bytes of a body that is not put on disk."""

_PIECE: Final = 65536


class TooLarge(Exception):
    """More than Discord takes; the rest is still to be read."""


class Broken(Exception):
    """The body did not come whole, or its length is not said in a way of HTTP/1.1."""


@contextlib.contextmanager
def received(headers: Message, stream: BufferedIOBase, spool: Path | None) -> Iterator[bytes | mmap]:
    """The whole body. ``spool``: the folder for large ones, ``None`` for the system's.

    Raises:
        TooLarge, Broken: as they say.
        OSError: from the connection or the disk.
    """
    if length(headers) > BODY:
        raise TooLarge
    with tempfile.SpooledTemporaryFile(IN_MEMORY, dir=None if spool is None else str(spool)) as file:
        size = 0
        for piece in _chunks(stream) if headers.get("Transfer-Encoding") else _pieces(stream, length(headers)):
            size += len(piece)
            if size > BODY:
                raise TooLarge
            file.write(piece)
        file.seek(0)
        if size <= IN_MEMORY:
            yield file.read()
        else:
            with mmap(file.fileno(), 0, access=ACCESS_READ) as body:
                yield body


def length(headers: Message) -> int:
    """The ``Content-Length``, 0 without one."""
    text = headers.get("Content-Length", "0").strip()
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise Broken
    return int(text)


def swallow(stream: BufferedIOBase) -> None:
    """Read on: a client that still writes would not read the answer. Ends with the connection, or its time-out."""
    with contextlib.suppress(OSError):
        for _ in range(2 * BODY // _PIECE):
            if not stream.read(_PIECE):
                break


def _pieces(stream: BufferedIOBase, left: int) -> Iterator[bytes]:
    while left:
        piece = stream.read(min(left, _PIECE))
        if not piece:
            raise Broken
        left -= len(piece)
        yield piece


def _chunks(stream: BufferedIOBase) -> Iterator[bytes]:
    while True:
        line = stream.readline(1024)
        try:
            size = int(line.partition(b";")[0].strip(), 16)
        except ValueError:
            raise Broken from None
        if size <= 0:
            while stream.readline(1024).strip():
                pass
            return
        yield from _pieces(stream, size)
        if stream.readline(3) != b"\r\n":
            raise Broken
