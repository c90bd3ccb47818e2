"""The preview as a process: real requests, bad clients, an end in time."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

TOKEN = "7fA-very_Secret.token"
NUMBERED = f"/api/v10/webhooks/123456789012345678/{TOKEN}"
ALERTS = "/api/webhooks/preview/alerts"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


class Preview:
    """A running preview and questions to it."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "otel_mcbot.cli", "discord", "preview", "--port", "0", *arguments],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline()
        self.port = int(self.said.rstrip("/\n").rpartition(":")[2])

    def ask(
        self, method: str, path: str, content: Any = None, kind: str = "application/json", **headers: str
    ) -> tuple[int, Any]:
        """Status and what was answered; JSON where it is some."""
        data = content if isinstance(content, bytes | None) else json.dumps(content).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        typed = {"Content-Type": kind} if data is not None else {}
        try:
            connection.request(method, path, data, {**typed, **headers})
            answer = connection.getresponse()
            read = answer.read()
            self.headers = answer.headers
            return answer.status, json.loads(read) if answer.headers.get_content_type().endswith("json") else read
        finally:
            connection.close()

    def post(self, content: Any, path: str = ALERTS, **more: Any) -> tuple[int, Any]:
        return self.ask("POST", path, content, **more)

    def messages(self, query: str = "") -> list[dict[str, Any]]:
        status, found = self.ask("GET", f"/messages.json{query}")
        assert status == 200
        return list(found)

    def stop(self) -> tuple[float, str]:
        """Seconds until it was gone, and all that it said."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=60)
        return time.monotonic() - began, self.said + out + err

    def __enter__(self) -> Preview:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def shared() -> Iterator[Preview]:
    with Preview() as preview:
        yield preview


def form(*parts: tuple[str, bytes]) -> bytes:
    whole = b"".join(b"--X\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + data + b"\r\n"
                     for head, data in parts)  # fmt: skip
    return whole + b"--X--\r\n"


# -- as Discord answers ------------------------------------------------------------------------------------------------


def test_a_message_comes_is_changed_and_goes(shared: Preview) -> None:
    began = time.time()
    assert shared.post({"content": "first", "username": "Grafana"}) == (204, b"")
    status, made = shared.post({"content": "second", "embeds": [{"title": "t"}]}, f"{ALERTS}?wait=true")
    assert status == 200
    assert shared.headers["Content-Type"] == "application/json", "clients take one with a charset for text"
    assert (made["content"], made["embeds"][0]["title"], made["author"]["bot"]) == ("second", "t", True)
    assert all(made[key].isdigit() for key in ("id", "channel_id", "webhook_id"))
    one = f"{ALERTS}/messages/{made['id']}"
    assert shared.ask("GET", one)[1]["content"] == "second"

    status, edited = shared.ask("PATCH", one, {"content": "changed"})
    assert (status, edited["content"], edited["embeds"][0]["title"]) == (200, "changed", "t")
    assert edited["edited_timestamp"]
    first, second = shared.messages(f"?since={began}&channel=alerts")
    assert (first["payload"], first["refused"]) == ({"content": "first", "username": "Grafana"}, None)
    assert second["payload"]["content"] == "changed"
    assert began <= first["received"] <= second["received"] <= time.time()
    assert [each["id"] for each in shared.messages(f"?since={first['received']}")] == [second["id"]]

    assert shared.ask("PATCH", one, {"content": "x" * 2001})[0] == 400
    assert shared.ask("GET", one)[1]["content"] == "changed"
    assert shared.ask("PATCH", one.replace("alerts", "critical"), {"content": "x"})[1]["code"] == 10008
    assert shared.ask("DELETE", one) == (204, b"")
    assert shared.ask("DELETE", one)[0] == 404
    assert made["id"] not in {each["id"] for each in shared.messages()}


def test_what_is_refused_is_answered_and_shown(shared: Preview) -> None:
    status, answer = shared.post({"embeds": [{"title": "t" * 257}]}, f"{ALERTS}?wait=true")
    assert status == 400
    wrong = {"code": "BASE_TYPE_MAX_LENGTH", "message": "Must be 256 or fewer in length."}
    errors = {"embeds": {"0": {"title": {"_errors": [wrong]}}}}
    assert answer == {"message": "Invalid Form Body", "code": 50035, "errors": errors}
    assert shared.messages()[-1]["refused"].endswith("embeds.0.title: Must be 256 or fewer in length.")
    assert shared.post(b"{not json")[1]["code"] == 50109
    assert shared.messages()[-1]["payload"] == "{not json"
    assert shared.post({"content": "x"}, kind="text/plain")[0] == 400
    assert shared.post({})[1] == {"message": "Cannot send an empty message", "code": 50006}
    assert b"Discord refuses this message." in shared.ask("GET", "/")[1]
    assert shared.post({"content": "x"}, "/api/webhooks/preview")[1]["code"] == 10015


def test_files_come_with_a_form(shared: Preview) -> None:
    told = {"embeds": [{"image": {"url": "attachment://equity.png"}}], "attachments": [{"id": 0, "description": "up"}]}
    parts = [('name="payload_json"', json.dumps(told).encode()), ('name="files[0]"; filename="equity.png"', PNG)]
    parts.append(('name="files[1]"; filename="<b>.html"', b"<script>"))
    kind = "multipart/form-data; boundary=X"
    status, made = shared.post(form(*parts), f"{ALERTS}?wait=true", kind=kind)
    assert status == 200
    assert [(each["filename"], each["size"]) for each in made["attachments"]] == [("equity.png", 108), ("<b>.html", 8)]
    assert shared.ask("GET", made["attachments"][0]["url"]) == (200, PNG)
    assert shared.headers["Content-Type"] == "image/png"
    assert shared.ask("GET", made["attachments"][1]["url"]) == (200, b"<script>")
    assert shared.headers["Content-Type"] == "application/octet-stream"
    assert shared.headers["Content-Disposition"].startswith("attachment;")
    assert shared.headers["X-Content-Type-Options"] == "nosniff"
    page = shared.ask("GET", "/")[1].decode()
    assert f'<img class="image" src="{made["attachments"][0]["url"]}" alt="up"' in page
    assert "<b>.html" not in page


def test_five_in_two_seconds_where_it_is_asked_for() -> None:
    with Preview("--rate-limit") as preview:
        taken = 0
        while (told := preview.post({"content": str(taken)}))[0] == 204:
            taken += 1
            assert taken < 50
        status, answer = told
        assert status == 429
        assert taken >= 5  # the sixth is too much; on a slow machine a later one
        assert 0 < answer["retry_after"] <= 2
        assert preview.headers["Via"]
        assert float(preview.headers["Retry-After"]) == pytest.approx(answer["retry_after"], abs=0.01)
        assert preview.messages()[-1]["refused"].startswith("429")
        assert preview.post({"content": "another webhook"}, "/api/webhooks/preview/critical")[0] == 204


def test_the_watchdog_is_counted_and_not_kept(shared: Preview) -> None:
    before = len(shared.messages())
    assert shared.ask("GET", "/watchdog")[1] == {"last": None, "count": 0}
    assert shared.post({"alerts": [1, 2]}, "/watchdog")[0] == 204
    assert shared.post(b"anything", "/watchdog", kind="text/plain")[0] == 204
    heard = shared.ask("GET", "/watchdog")[1]
    assert heard["count"] == 2
    assert time.time() - heard["last"] < 60
    assert len(shared.messages()) == before
    assert shared.ask("GET", "/healthz") == (200, {"status": "ok"})


# -- what a page may do ------------------------------------------------------------------------------------------------


def test_the_page_and_what_changes_on_it(shared: Preview) -> None:
    shared.post({"content": "**loud** <script>alert(1)</script>"}, "/api/webhooks/preview/heartbeat")
    status, page = shared.ask("GET", "/?channel=heartbeat")
    assert status == 200
    assert "default-src 'none'" in shared.headers["Content-Security-Policy"]
    assert b"<b>loud</b> &lt;script&gt;" in page
    assert page.count(b"<article") == 1
    change = page.split(b'data-change="')[1].split(b'"')[0].decode()
    told = shared.ask("GET", f"/changes.json?since={change}&channel=heartbeat")[1]
    assert (told["messages"], str(told["change"]), len(told["ids"])) == ([], change, 1)
    shared.post({"content": "more"}, "/api/webhooks/preview/heartbeat")
    told = shared.ask("GET", f"/changes.json?since={change}&channel=heartbeat")[1]
    assert [b">more<" in each["html"].encode() for each in told["messages"]] == [True]
    assert "#heartbeat <small>2</small>" in told["channels"]
    for path, kind in (("/page.css", "text/css"), ("/page.js", "text/javascript")):
        assert shared.ask("GET", path)[0] == 200
        assert shared.headers.get_content_type() == kind
    assert shared.ask("GET", "/../../etc/passwd")[0] == 404
    assert shared.ask("HEAD", "/") == (200, b"")
    status, said = shared.ask("GET", "/messages.json?since=yesterday")
    assert (status, said["message"]) == (400, "since='yesterday': Unix seconds, as in 1700000000.5")


def test_a_page_of_another_site_may_not_write(shared: Preview) -> None:
    before = len(shared.messages())
    kind = "multipart/form-data; boundary=X"
    parts = form(('name="payload_json"', b'{"content": "forged"}'))
    assert shared.post(parts, kind=kind, Origin="https://evil.example")[0] == 403
    assert len(shared.messages()) == before
    assert shared.post(parts, kind=kind, Origin=f"http://127.0.0.1:{shared.port}")[0] == 204


def test_a_token_is_neither_kept_nor_shown_nor_said(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    with Preview("--history", str(file)) as preview:
        status, made = preview.post({"content": "hello"}, f"{NUMBERED}?wait=true")
        assert status == 200
        preview.post({"content": "x" * 2001}, NUMBERED)
        seen = [json.dumps(made), json.dumps(preview.ask("GET", NUMBERED)[1]), json.dumps(preview.messages())]
        seen += [preview.ask("GET", "/")[1].decode(), json.dumps(preview.ask("GET", "/changes.json")[1])]
        assert [each["channel"] for each in preview.messages()] == ["123456789012345678"] * 2
        preview.ask("POST", f"/api/webhooks/1/{TOKEN}/nonsense", {})
        seen += [preview.stop()[1], file.read_text()]
        assert len(seen) == 7
        assert not [text for text in seen if TOKEN in text]


# -- a machine that does other work ------------------------------------------------------------------------------------


def test_too_large_is_413_whether_the_client_waits_or_not(shared: Preview) -> None:
    size = 25 * 2**20 + 1
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", shared.port), 20) as client:
        client.sendall(
            f"POST {ALERTS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {size}\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        assert client.recv(4096).startswith(b"HTTP/1.1 413 ")
    status, answer = shared.post(bytes(size), kind="multipart/form-data; boundary=X")
    assert (status, answer["code"]) == (413, 40005)
    assert time.monotonic() - began < 20  # nobody waited for what the other would have said
    assert shared.messages()[-1]["refused"].startswith("413")
    assert shared.messages()[-1]["payload"] is None


def resident(preview: Preview) -> float:
    """MiB of memory of its own, not of files that the kernel may drop."""
    status = Path(f"/proc/{preview.process.pid}/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_memory_stays_small(tmp_path: Path) -> None:
    with Preview("--history", str(tmp_path / "h")) as preview:
        before = resident(preview)
        large = form(('name="files[0]"; filename="x"', bytes(20 * 2**20)))
        full = {"content": "c" * 2000, "embeds": [{"description": "d" * 4000, "footer": {"text": "f" * 1900}}]}
        with ThreadPoolExecutor(8) as pool:
            sent = [pool.submit(preview.post, full) for _ in range(700)]
            assert {each.result()[0] for each in sent} == {204}
            sent = [pool.submit(preview.post, large, kind="multipart/form-data; boundary=X") for _ in range(8)]
            looked = [pool.submit(preview.ask, "GET", path) for path in ("/", "/messages.json", "/changes.json") * 4]
            assert {each.result()[0] for each in sent} == {204}
            assert {each.result()[0] for each in looked} == {200}
        assert len(preview.messages()) == 500
        assert resident(preview) - before < 30
        assert (tmp_path / "h").stat().st_size <= 8 * 2**20
        assert [each.name for each in tmp_path.iterdir()] == ["h"], "bodies on disk are gone"


def test_who_drips_or_says_nothing_holds_up_nobody_for_long(shared: Preview) -> None:
    answered = threading.Event()
    clients = [socket.create_connection(("127.0.0.1", shared.port), 30) for _ in range(40)]

    def drip() -> None:
        while not answered.wait(0.3):
            for client in clients[:20]:
                with contextlib.suppress(OSError):
                    client.send(b"X")

    for client in clients[:20]:
        client.sendall(f"POST {ALERTS} HTTP/1.1\r\nContent-Length: 100\r\n".encode())
    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        began = time.monotonic()
        assert shared.ask("GET", "/healthz")[0] == 200  # behind all of them
        assert time.monotonic() - began < 20  # 2 s for some of them at a time; the first of 15 s each would take 30
    finally:
        answered.set()
        dripping.join()
        for client in clients:
            client.close()


def test_it_ends_in_time_and_begins_with_what_it_had(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    with Preview("--history", str(file)) as first:
        first.post({"content": "kept"})
        (before,) = first.messages()
        with socket.create_connection(("127.0.0.1", first.port)) as client:  # one that is in the middle of something
            client.sendall(f"POST {ALERTS} HTTP/1.1\r\nContent-Length: 100\r\n".encode())
            seconds, said = first.stop()
        assert seconds < 5, "the rest of a request is not waited for"
        assert first.process.returncode == 0
        assert said == first.said
    with Preview("--history", str(file)) as second:
        assert second.messages() == [before]


# -- mistakes of a person ----------------------------------------------------------------------------------------------


def start(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "otel_mcbot.cli", "discord", "preview", *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip


def test_a_mistake_is_one_line_and_status_2(shared: Preview, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for arguments, said in [
        (["--port", str(shared.port)], f"--port {shared.port}: Address already in use; allowed is"),
        (["--port", "70000"], "70000 is not in the range 0<=x<=65535"),
        (["--host", "203.0.113.7", "--port", "0"], "--host 203.0.113.7 --port 0: Cannot assign requested address"),
        (["--port", "0", "--history", "/proc/no/such"], "--history '/proc/no/such': "),
        (["--port", "0", "--history", str(tmp_path / "folder")], "is a directory"),
    ]:
        done = start(*arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        (line,) = done.stderr.splitlines()
        assert said in line


def test_two_at_once_lose_nothing(shared: Preview) -> None:
    channel = "/api/webhooks/preview/burst"
    with ThreadPoolExecutor(16) as pool:
        assert {status for status, _ in pool.map(lambda n: shared.post({"content": str(n)}, channel), range(100))} == {
            204
        }
    found = [int(message["payload"]["content"]) for message in shared.messages("?channel=burst")]
    assert sorted(found) == list(range(100))
    numbers = [int(message["id"]) for message in shared.messages()]
    assert numbers == sorted(set(numbers))
    assert urllib.request.urlopen(f"http://127.0.0.1:{shared.port}/?channel=burst").read().count(b"<article") == 100
