"""OTLP JSON lines on disk: one export request a line, in parts, with a cap for all of them together."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from otel_mcbot.export.otlp_json import encode
from otel_mcbot.export.sender import SIGNALS, Signal

PART_BYTES: Final = 8 * 2**20


class JsonLines:
    """Appends export requests to ``traces.jsonl``, ``metrics.jsonl`` and ``logs.jsonl`` in ``directory``.

    A full file becomes ``traces-<UTC time>.jsonl``; when all files together would pass ``cap`` bytes, the oldest part
    of any signal is removed. Every write opens the file anew: nothing is buffered (a killed process loses nothing that
    was written), a removed directory is made again, and two processes may share it.

    Args:
        directory: made when it is missing, readable by its owner alone.
        cap: bytes of all files together.
        part_bytes: size at which a new part begins; smaller under a small cap.
    """

    def __init__(self, directory: Path, cap: int, part_bytes: int = PART_BYTES) -> None:
        self.directory = directory
        self._cap = cap
        self._part_bytes = min(part_bytes, cap // (2 * len(SIGNALS)))

    def write(self, signal: Signal, body: bytes) -> None:
        """Append the protobuf request ``body`` as one line.

        Raises:
            OSError: the disk is full, read-only, or not ours. The file stays readable.
        """
        line = encode(signal, body) + b"\n"
        path = self.directory / f"{signal}.jsonl"
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size + len(line) > self._part_bytes:
            self._begin_part(path)
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            size = os.fstat(file).st_size
            if size and os.pread(file, 1, size - 1) != b"\n":  # torn by a kill or a full disk
                line = b"\n" + line
            while line:
                line = line[os.write(file, line) :]
        finally:
            os.close(file)

    def _begin_part(self, path: Path) -> None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        path.rename(path.with_stem(f"{path.stem}-{stamp}"))
        room = self._cap - self._part_bytes * len(SIGNALS)  # the rest is for the files that are open
        sizes = {part: part.stat().st_size for part in parts(self.directory)}
        total = sum(sizes.values())
        for part, size in sizes.items():
            if total <= room:
                return
            part.unlink(missing_ok=True)
            total -= size


def parts(directory: Path, *signals: Signal) -> list[Path]:
    """The closed parts of ``signals`` (of all by default), oldest first."""
    found = [part for signal in signals or SIGNALS for part in directory.glob(f"{signal}-*.jsonl")]
    return sorted(found, key=lambda part: part.name.partition("-")[2])


def read(directory: Path, signal: Signal) -> Iterator[dict[str, Any]]:
    """The requests of a signal, oldest first; a line that was torn is passed over."""
    for path in (*parts(directory, signal), directory / f"{signal}.jsonl"):
        if not path.exists():
            continue
        with path.open(encoding="utf-8") as file:
            for line in file:
                try:
                    request = json.loads(line)
                except ValueError:
                    continue
                yield request
