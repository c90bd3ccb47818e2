"""The body of a request: JSON, or a form of parts with files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser
from email.policy import HTTP
from mmap import mmap
from typing import Any, Final

from otel_mcbot.discord.history import File
from otel_mcbot.discord.webhook import INVALID_FORM, INVALID_JSON, Refusal

JSON_BYTES: Final = 512 * 1024
"""Of the JSON alone: ten times what the limits of a message allow."""

KEPT: Final = 2**20
"""Bytes of a message's files that are kept, the first ones first; of the others only name and size."""

_PARTS: Final = 32
_HEADER: Final = 4096

NOT_JSON: Final = Refusal(400, INVALID_JSON, "The request body contains invalid JSON.")
TOO_LARGE: Final = Refusal(413, 40005, "Request entity too large")


@dataclass(frozen=True)
class Form:
    """A message's JSON and files. ``refusal`` is set when the body could not be read."""

    payload: Any = None
    files: tuple[File, ...] = ()
    refusal: Refusal | None = None


def read(content_type: str, body: bytes | mmap) -> Form:
    """What Discord would read in a body of this ``Content-Type``."""
    header = Message()
    header["Content-Type"] = content_type
    kind = header.get_content_type() if content_type else ""
    if kind == "application/json":
        return _json(body[: JSON_BYTES + 1])
    if kind == "multipart/form-data" and (boundary := header.get_param("boundary")):
        return _parts(body, str(boundary).encode(errors="replace"))
    said = f'Expected "Content-Type" header to be one of {{"application/json", "multipart/form-data"}}, not "{kind}".'
    problem = ("_", "CONTENT_TYPE_INVALID", said)
    return Form(refusal=Refusal(400, INVALID_FORM, "Invalid Form Body", (problem,)))


def _json(text: bytes) -> Form:
    if len(text) > JSON_BYTES:
        return Form(refusal=TOO_LARGE)
    try:
        return Form(json.loads(text))
    except (ValueError, RecursionError):
        return Form(text[:2000].decode(errors="replace"), refusal=NOT_JSON)


def _parts(body: bytes | mmap, boundary: bytes) -> Form:
    payload: Any = None
    plain: dict[str, Any] = {}
    files: list[tuple[str, str, int, bytes | None]] = []
    room = KEPT
    for header, begin, end in _split(body, boundary):
        name = str(header.get_param("name", "", header="content-disposition"))
        filename = header.get_filename()
        if filename is not None:
            data = body[begin:end] if end - begin <= room else None
            room -= len(data or b"")
            files.append((name, filename[:260], end - begin, data))
        elif name == "payload_json":
            form = _json(body[begin : min(end, begin + JSON_BYTES + 1)])
            if form.refusal:
                return form
            payload = form.payload
        elif name in ("content", "username", "avatar_url"):
            plain[name] = body[begin : min(end, begin + 8192)].decode(errors="replace")
    payload = plain or None if payload is None else payload
    described = _descriptions(payload)
    kept = tuple(File(filename, size, described.get(name, ""), data) for name, filename, size, data in files)
    return Form({} if payload is None else payload, kept)


def _split(body: bytes | mmap, boundary: bytes) -> Iterator[tuple[Any, int, int]]:
    """Header, begin and end of each part."""
    mark = b"\r\n--" + boundary
    at = 0 if body[: len(mark) - 2] == mark[2:] else body.find(mark)
    at += 0 if at == 0 else 2
    for _ in range(_PARTS):
        at += len(mark) - 2
        begin = body.find(b"\r\n\r\n", at, at + _HEADER)
        end = body.find(mark, begin)
        if at < len(mark) - 2 or begin < 0 or end < 0 or body[at : at + 2] != b"\r\n":
            return
        yield BytesHeaderParser(policy=HTTP).parsebytes(body[at + 2 : begin]), begin + 4, max(begin + 4, end)
        at = end + 2


def _descriptions(payload: Any) -> Mapping[str, str]:
    """Part's name → the picture's text for those who do not see it."""
    listed = payload.get("attachments") if isinstance(payload, dict) else None
    return {
        f"files[{each['id']}]": str(each.get("description") or "")[:1024]
        for each in (listed if isinstance(listed, list) else ())
        if isinstance(each, dict) and "id" in each
    }
