"""The server of ``otel-mcbot discord preview``: Discord's webhook endpoint, and the page that shows what came.

Made for a machine that does other work: one thread a connection and few of them, a time and a size for each request,
large bodies on disk. Tokens in addresses are neither kept nor logged.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import logging
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from mmap import mmap
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any, Final, cast
from urllib.parse import parse_qs, urlsplit

from otel_mcbot.discord import body, form, page, webhook
from otel_mcbot.discord.history import File, History, Message

logger = logging.getLogger("otel_mcbot")

CONNECTIONS: Final = 16
REQUEST_SECONDS: Final = 15.0
"""For a whole request and its answer …"""
CROWDED_SECONDS: Final = 2.0
"""… and while others wait for a thread."""

RATE: Final = 5
RATE_SECONDS: Final = 2.0
"""What Discord lets through for one webhook, where the limit is on."""

NAMED: Final = "preview"
"""Webhooks under this id are named by what stands in the place of a token: that one is a channel and no secret."""

_WEBHOOK: Final = re.compile(r"/api(?:/v\d{1,2})?/webhooks/([\w-]{1,64})/([\w.-]{1,128})(?:/messages/(\d{1,20}))?")
_CHANNEL: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
_ATTACHMENT: Final = re.compile(r"/attachments/(\d{1,20})/(\d{1,2})")
_ASSETS: Final = {"/page.css": "text/css; charset=utf-8", "/page.js": "text/javascript; charset=utf-8"}

UNKNOWN_WEBHOOK: Final = webhook.Refusal(404, 10015, "Unknown Webhook")
UNKNOWN_MESSAGE: Final = webhook.Refusal(404, 10008, "Unknown Message")


Body = bytes | mmap


class Preview(ThreadingMixIn, HTTPServer):
    """Listens from the moment it is made. ``OSError`` when the port cannot be had."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(
        self, address: tuple[str, int], history: History, *, rate_limit: bool = False, spool: Path | None = None
    ):
        self.history = history
        self.rate_limit = rate_limit
        self.spool = spool
        self.watchdog: dict[str, Any] = {"last": None, "count": 0}
        self.changing = threading.Lock()
        self._recent: dict[str, deque[float]] = {}
        self._open: dict[socket.socket, float] = {}
        self._slots = threading.BoundedSemaphore(CONNECTIONS)
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        super(HTTPServer, self).server_bind()  # HTTPServer's own asks a name server who this is
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    # -- connections: few, and none for long ----------------------------------------------------------------

    def process_request(self, request: Any, client_address: Any) -> None:
        while not self._slots.acquire(timeout=0.2):  # who comes now waits in the kernel's queue
            self._cut_off(CROWDED_SECONDS)
        self._open[request] = time.monotonic()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._open.pop(request, None)
            self._slots.release()

    def service_actions(self) -> None:
        self._cut_off(REQUEST_SECONDS)

    def _cut_off(self, seconds: float) -> None:
        """End connections that are older: with a time-out of each read alone, who drips would go on for ever."""
        now = time.monotonic()
        for request, began in list(self._open.items()):
            if now - began > seconds:
                with contextlib.suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.debug("a connection ended early", exc_info=True)

    # -- what Discord does -----------------------------------------------------------------------------------

    def hurried(self, channel: str) -> float:
        """Seconds to wait until the webhook may be used again; 0 when it may now."""
        if not self.rate_limit:
            return 0.0
        with self.changing:
            now = time.monotonic()
            recent = self._recent.setdefault(channel, deque())
            while recent and recent[0] <= now - RATE_SECONDS:
                recent.popleft()
            if len(recent) >= RATE:
                return recent[0] + RATE_SECONDS - now
            recent.append(now)
            return 0.0

    def heard(self) -> None:
        with self.changing:
            self.watchdog = {"last": time.time(), "count": self.watchdog["count"] + 1}


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"  # or curl would wait for a "100 Continue" that does not come
    server_version = "otel-mcbot"
    sys_version = ""
    timeout = REQUEST_SECONDS

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: an address holds a token."""

    @property
    def preview(self) -> Preview:
        return cast(Preview, self.server)

    # -- the four methods ----------------------------------------------------------------------------------------

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        channel = query.get("channel") or None
        history = self.preview.history
        if parts.path == "/":
            change = history.change  # first: what comes meanwhile is asked for again
            pieces = page.page(history.all(), change, channel, self.preview.watchdog)
            self._stream("text/html; charset=utf-8", pieces)
        elif parts.path == "/messages.json":
            self._messages(query.get("since"), channel)
        elif parts.path == "/changes.json":
            self._changes(query.get("since"), channel)
        elif parts.path == "/healthz":
            self._json(200, {"status": "ok"})
        elif parts.path == "/watchdog":
            self._json(200, self.preview.watchdog)
        elif parts.path in _ASSETS:
            self._send(200, page.asset(parts.path[1:]), _ASSETS[parts.path])
        elif found := _ATTACHMENT.fullmatch(parts.path):
            self._attachment(found[1], int(found[2]))
        elif found := _WEBHOOK.fullmatch(parts.path):
            self._webhook(*found.groups())
        else:
            self._send(404, b"there is no such page\n", "text/plain; charset=utf-8")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self._with_body(self._posted)

    def do_PATCH(self) -> None:
        self._with_body(self._patched)

    def do_DELETE(self) -> None:
        self._with_body(self._deleted)

    # -- the endpoint --------------------------------------------------------------------------------------------

    def _posted(self, whole: Body | None) -> None:
        parts = urlsplit(self.path)
        found = _WEBHOOK.fullmatch(parts.path)
        if parts.path == "/watchdog":
            self.preview.heard()
            self._send(204)
        elif found is None or found[3]:
            self._refuse(UNKNOWN_WEBHOOK)
        else:
            wait = parse_qs(parts.query).get("wait", [""])[-1].lower() in ("true", "1")
            self._execute(_channel(found[1], found[2]), self._read(whole), wait=wait)

    def _read(self, whole: Body | None) -> form.Form:
        if whole is None:
            return form.Form(refusal=form.TOO_LARGE)
        return form.read(self.headers.get("Content-Type", ""), whole)

    def _execute(self, channel: str, read: form.Form, *, wait: bool) -> None:
        refusal = read.refusal or webhook.check(read.payload, len(read.files))
        seconds = 0.0 if refusal else self.preview.hurried(channel)
        if seconds:
            refusal = webhook.Refusal(429, 0, "You are being rate limited.")
        payload = _short(read.payload) if refusal else read.payload
        message = self.preview.history.add(channel, payload, str(refusal) if refusal else None, read.files)
        if seconds:
            told = {"message": "You are being rate limited.", "retry_after": round(seconds, 3), "global": False}
            # a 429 without "Via" is taken for one of the network in front of Discord
            headers = {"Retry-After": f"{seconds:.3f}", "Via": "1.1 preview", "X-RateLimit-Scope": "user"}
            self._json(429, told, headers)
        elif refusal:
            self._refuse(refusal)
        elif wait:
            self._json(200, _object(message))
        else:
            self._send(204)

    def _patched(self, whole: Body | None) -> None:
        message, read = self._named(), self._read(whole)
        if message is None:
            self._refuse(UNKNOWN_MESSAGE)
            return
        files = message.files
        edited = read.payload
        if isinstance(edited, dict):
            if isinstance(listed := edited.get("attachments"), list):  # which of the old files stay
                stay = {str(each.get("id")) for each in listed if isinstance(each, dict)}
                files = tuple(file for at, file in enumerate(files) if str(at) in stay)
            edited = message.payload | edited
        files += read.files
        refusal = read.refusal or webhook.check(edited, len(files))
        if refusal:
            self.preview.history.add(message.channel, _short(read.payload), f"an edit: {refusal}")
            self._refuse(refusal)
        else:
            self._json(200, _object(self.preview.history.edit(message, edited, files)))

    def _deleted(self, whole: Body | None) -> None:
        message = self._named()
        if message is None:
            self._refuse(UNKNOWN_MESSAGE)
        else:
            self.preview.history.remove(message.id)
            self._send(204)

    def _named(self) -> Message | None:
        """The message of the address, if it is that webhook's and Discord has it."""
        found = _WEBHOOK.fullmatch(urlsplit(self.path).path)
        message = self.preview.history.get(found[3]) if found and found[3] else None
        if message is None or found is None or message.channel != _channel(found[1], found[2]) or message.refused:
            return None
        return message

    def _webhook(self, number: str, token: str, message: str | None) -> None:
        if message is None:
            channel = _channel(number, token)
            told = {"id": _snowflake(channel), "type": 1, "name": channel, "avatar": None, "application_id": None}
            self._json(200, told | {"channel_id": _snowflake(channel), "guild_id": "1"})
        elif found := self._named():
            self._json(200, _object(found))
        else:
            self._refuse(UNKNOWN_MESSAGE)

    def _refuse(self, refusal: webhook.Refusal) -> None:
        self._json(refusal.status, refusal.body())

    # -- what people and programs see ----------------------------------------------------------------------------

    def _messages(self, since: str | None, channel: str | None) -> None:
        try:
            after = float(since or 0)
        except ValueError:
            self._json(400, {"message": f"since={since!r}: Unix seconds, as in 1700000000.5"})
            return
        found = (
            {
                "id": message.id,
                "channel": message.channel,
                "received": message.received,
                "edited": message.edited,
                "payload": message.payload,
                "refused": message.refused,
                "pings": page.pings(message),
                "files": [{"name": file.name, "size": file.size} for file in message.files],
            }
            for message in self.preview.history.all()
            if message.received > after and channel in (None, message.channel)
        )
        self._stream("application/json", _listed(found))

    def _changes(self, since: str | None, channel: str | None) -> None:
        history = self.preview.history
        change, messages = history.change, history.all()
        shown = [message for message in messages if channel in (None, message.channel)]
        after = int(since) if since and since.isascii() and since.isdigit() else 0
        told = {
            "change": change,
            "ids": [message.id for message in shown],
            "channels": page.channels(messages, channel),
            "watchdog": page.heard(self.preview.watchdog),
        }
        fresh = ({"id": message.id, "html": page.article(message)} for message in shown if message.change > after)
        self._stream(
            "application/json", itertools.chain([json.dumps(told)[:-1], ', "messages": '], _listed(fresh), "}")
        )

    def _attachment(self, number: str, at: int) -> None:
        message = self.preview.history.get(number)
        file = message.files[at] if message and at < len(message.files) else None
        if file is None or file.data is None:
            self._send(404, b"there is no such file\n", "text/plain; charset=utf-8")
            return
        kind = page.picture_type(file.data)
        name = re.sub(r"[^\w.-]", "_", file.name, flags=re.ASCII)
        headers = {} if kind else {"Content-Disposition": f'attachment; filename="{name}"'}
        self._send(200, file.data, kind or "application/octet-stream", headers)

    # -- bodies in and out ---------------------------------------------------------------------------------------

    def _with_body(self, handle: Callable[[Body | None], None]) -> None:
        """Read the body and handle the request; ``None`` for a body that is too large."""
        origin = self.headers.get("Origin")
        if origin and urlsplit(origin).netloc != self.headers.get("Host"):
            # a page of another site, in the browser of somebody who may reach this one
            self._json(403, {"message": "another site's page may not write here", "code": 0})
            return
        try:
            with body.received(self.headers, self.rfile, self.preview.spool) as whole:
                handle(whole)
        except body.TooLarge:
            handle(None)
            self.connection.settimeout(1)
            body.swallow(self.rfile)
        except body.Broken:
            self._json(400, {"message": "400: Bad Request", "code": 0})
        except OSError as error:  # the disk, or the client is gone
            logger.warning("a message was not taken: %s", error.strerror or error)
            with contextlib.suppress(OSError):
                self._json(500, {"message": "500: Internal Server Error", "code": 0})

    def handle_expect_100(self) -> bool:
        with contextlib.suppress(body.Broken):
            if body.length(self.headers) > webhook.BODY:
                return True  # without "go on" it sends nothing, and do_POST answers
        return super().handle_expect_100()

    def _json(self, status: int, told: Any, headers: Mapping[str, str] | None = None) -> None:
        # exactly this type: clients take one with a charset for text
        self._send(status, json.dumps(told).encode(), "application/json", headers)

    def _stream(self, kind: str, pieces: Iterable[str]) -> None:
        """An answer that may be long, piece by piece; it ends with the connection."""
        self._head(200, {"Content-Type": kind})
        if self.command != "HEAD":
            for piece in pieces:
                self.wfile.write(piece.encode(errors="replace"))

    def _send(
        self, status: int, content: bytes = b"", kind: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        typed = {"Content-Type": kind} if content else {}
        sized = {"Content-Length": str(len(content))} if status != 204 else {}
        self._head(status, {**typed, **sized, **(headers or {})})
        if self.command != "HEAD":
            self.wfile.write(content)

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.close_connection = True
        self.send_response(status)
        for name, value in {**headers, **_HEADERS}.items():
            self.send_header(name, value)
        self.end_headers()


_HEADERS: Final = {
    "Content-Security-Policy": page.POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Connection": "close",
}


def _listed(items: Iterable[Any]) -> Iterator[str]:
    """A list in JSON, an item at a time."""
    between = "["
    for item in items:
        yield between + json.dumps(item)
        between = ", "
    yield "[]" if between == "[" else "]"


def _channel(number: str, token: str) -> str:
    return token if number == NAMED and _CHANNEL.fullmatch(token) else number


def _snowflake(text: str) -> str:
    """A number in the shape of Discord's ids, the same for the same text."""
    return text if text.isascii() and text.isdigit() else str(int(hashlib.sha256(text.encode()).hexdigest()[:15], 16))


def _short(payload: Any) -> Any:
    """What was refused may be of any size: its beginning is enough to see what it was."""
    text = json.dumps(payload)
    return payload if len(text) <= 32768 else text[:4096]


def _object(message: Message) -> dict[str, Any]:
    """The message as Discord answers it."""
    payload = message.payload
    return {
        "id": message.id,
        "type": 0,
        "content": payload.get("content") or "",
        "channel_id": _snowflake(message.channel),
        "webhook_id": _snowflake(message.channel),
        "author": {
            "id": _snowflake(message.channel),
            "username": payload.get("username") or message.channel,
            "avatar": None,
            "discriminator": "0000",
            "bot": True,
        },
        "attachments": [_attachment(message.id, at, file) for at, file in enumerate(message.files)],
        "embeds": [{"type": "rich", **embed} for embed in payload.get("embeds") or ()],
        "mentions": [],
        "mention_roles": [],
        "mention_everyone": bool({"@everyone", "@here"} & set(page.pings(message))),
        "pinned": False,
        "tts": bool(payload.get("tts")),
        "timestamp": datetime.fromtimestamp(message.received, UTC).isoformat(),
        "edited_timestamp": message.edited and datetime.fromtimestamp(message.edited, UTC).isoformat(),
        "flags": payload.get("flags") or 0,
        "components": [],
    }


def _attachment(number: str, at: int, file: File) -> dict[str, Any]:
    link = f"/attachments/{number}/{at}"
    told = {"id": str(at), "filename": file.name, "size": file.size, "url": link, "proxy_url": link}
    return told | ({"description": file.description} if file.description else {})
