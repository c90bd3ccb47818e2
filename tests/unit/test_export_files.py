"""JSON lines on disk: parts, cap, restarts, torn lines, disks that fail."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_mcbot.export.files import JsonLines, parts, read


def request(name: str, size: int = 0) -> bytes:
    made = ExportTraceServiceRequest()
    made.resource_spans.add().scope_spans.add().spans.add(name=name + "." * size)
    return made.SerializeToString()


def log(text: str, size: int) -> bytes:
    made = ExportLogsServiceRequest()
    made.resource_logs.add().scope_logs.add().log_records.add(event_name=text + "." * size)
    return made.SerializeToString()


def names(directory: Path) -> list[str]:
    def name(line: dict[str, Any]) -> str:
        return str(line["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"]).rstrip(".")

    return [name(line) for line in read(directory, "traces")]


def total(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.iterdir())


def test_appends_over_restarts(tmp_path: Path) -> None:
    for name in "abc":
        JsonLines(tmp_path, 1_000_000).write("traces", request(name))
    assert names(tmp_path) == ["a", "b", "c"]
    assert [file.name for file in tmp_path.iterdir()] == ["traces.jsonl"]


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    files = JsonLines(tmp_path / "new", 1_000_000)
    files.write("traces", request("a"))
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "new" / "traces.jsonl").stat().st_mode) == 0o600


def test_full_files_become_parts_read_in_order(tmp_path: Path) -> None:
    files = JsonLines(tmp_path, 1_000_000, part_bytes=1_000)
    written = [f"{number:03}" for number in range(40)]
    for name in written:
        files.write("traces", request(name, 200))
    assert len(parts(tmp_path, "traces")) > 5
    assert all(file.stat().st_size <= 1_000 for file in tmp_path.iterdir())
    assert names(tmp_path) == written


def test_cap_removes_the_oldest_part_of_any_signal(tmp_path: Path) -> None:
    files = JsonLines(tmp_path, 12_000, part_bytes=1_000)
    mine = tmp_path / "traces of mine.jsonl"
    mine.touch()
    for number in range(10):
        files.write("logs", log(f"{number:03}", 200))
    assert parts(tmp_path, "logs")
    for number in range(100):
        files.write("traces", request(f"{number:03}", 200))
        assert total(tmp_path) <= 12_000
    kept = names(tmp_path)
    assert kept == [f"{number:03}" for number in range(100 - len(kept), 100)]
    assert len(kept) > 20
    assert not parts(tmp_path, "logs")
    assert mine.exists()


def test_a_torn_last_line_costs_only_itself(tmp_path: Path) -> None:
    files = JsonLines(tmp_path, 1_000_000)
    files.write("traces", request("a"))
    with (tmp_path / "traces.jsonl").open("a") as file:
        file.write('{"resourceSpans": [{"scop')
    assert names(tmp_path) == ["a"]
    JsonLines(tmp_path, 1_000_000).write("traces", request("b"))
    assert names(tmp_path) == ["a", "b"]


def test_a_removed_directory_is_made_again(tmp_path: Path) -> None:
    files = JsonLines(tmp_path / "telemetry", 1_000_000)
    files.write("traces", request("a"))
    (tmp_path / "telemetry" / "traces.jsonl").unlink()
    (tmp_path / "telemetry").rmdir()
    files.write("traces", request("b"))
    assert names(tmp_path / "telemetry") == ["b"]


def test_a_disk_that_fails_is_an_oserror(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(OSError, match="file"):
        JsonLines(tmp_path / "file", 1_000_000).write("traces", request("a"))


def test_reading_nothing(tmp_path: Path) -> None:
    assert list(read(tmp_path / "absent", "logs")) == []
