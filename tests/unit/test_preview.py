"""What Discord takes and how it looks: the rules of a message, markdown, the page, what is kept."""

from __future__ import annotations

import json
import time
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_mcbot.discord import body, form, history, markdown, page, webhook
from otel_mcbot.discord.history import File, History, Message

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
PARTS = st.sampled_from(
    ["content", "embeds", "username", "flags", "allowed_mentions", "title", "url", "color", "timestamp", "fields",
     "name", "value", "author", "footer", "text", "image", "description", "parse", "users", "attachments"]
)  # fmt: skip
MESSAGES = st.recursive(
    JSON, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PARTS, inner, max_size=6), max_leaves=20
)


# -- what Discord takes ------------------------------------------------------------------------------------------------

FULL = {
    "content": "c" * 2000,
    "username": "Grafana",
    "embeds": [
        {
            "title": "t" * 256,
            "url": "http://localhost:3000/d/trading?var-job=a&b=c#x",
            "color": 0xFFFFFF,
            "timestamp": "2026-01-02T03:04:05Z",
            "description": "d" * 3000,
            "fields": [{"name": "n", "value": "v", "inline": True}] * 25,
            "footer": {"text": "f" * 2048},
            "author": {"name": "a" * 256},
            "image": {"url": "attachment://equity.png"},
        }
    ],
    "allowed_mentions": {"parse": ["everyone"], "users": ["42"]},
}


def test_a_message_at_its_limits_is_taken() -> None:
    assert webhook.check(FULL, 10) is None


@pytest.mark.parametrize(
    ("payload", "path", "code"),
    [
        ({"content": "c" * 2001}, "content", "BASE_TYPE_MAX_LENGTH"),
        ({"content": ["c"]}, "content", "STRING_TYPE_CONVERT"),
        ({"content": "c", "username": "u" * 81}, "username", "BASE_TYPE_MAX_LENGTH"),
        ({"content": "c", "username": "My Discord"}, "username", "USERNAME_INVALID_CONTAINS"),
        ({"content": "c", "username": " "}, "username", "BASE_TYPE_BAD_LENGTH"),
        ({"content": "c", "avatar_url": "ftp://a.b"}, "avatar_url", "URL_TYPE_INVALID_SCHEME"),
        ({"embeds": {"title": "t"}}, "embeds", "LIST_TYPE_CONVERT"),
        ({"embeds": [{"title": "t"}] * 11}, "embeds", "BASE_TYPE_MAX_LENGTH"),
        ({"embeds": ["t"]}, "embeds.0", "MODEL_TYPE_CONVERT"),
        ({"embeds": [{"title": "t" * 257}]}, "embeds.0.title", "BASE_TYPE_MAX_LENGTH"),
        ({"embeds": [{"description": "d" * 4097}]}, "embeds.0.description", "BASE_TYPE_MAX_LENGTH"),
        ({"embeds": [{"description": "d" * 4096}, {"description": "d" * 1905}]}, "embeds", "MAX_EMBED_SIZE_EXCEEDED"),
        ({"embeds": [{"title": "t", "url": "http://grafana:3000/"}]}, "embeds.0.url", "URL_TYPE_INVALID_URL"),
        ({"embeds": [{"title": "t", "url": "/alerting/list"}]}, "embeds.0.url", "URL_TYPE_INVALID_SCHEME"),
        ({"embeds": [{"title": "t", "url": ""}]}, "embeds.0.url", "URL_TYPE_INVALID_SCHEME"),
        ({"embeds": [{"title": "t", "color": 1 << 24}]}, "embeds.0.color", "NUMBER_TYPE_MAX"),
        ({"embeds": [{"title": "t", "color": -1}]}, "embeds.0.color", "NUMBER_TYPE_MIN"),
        ({"embeds": [{"title": "t", "color": "red"}]}, "embeds.0.color", "NUMBER_TYPE_COERCE"),
        ({"embeds": [{"title": "t", "timestamp": "now"}]}, "embeds.0.timestamp", "DATE_TIME_TYPE_PARSE"),
        ({"embeds": [{"title": "t", "footer": {"text": "f" * 2049}}]}, "embeds.0.footer.text", "BASE_TYPE_MAX_LENGTH"),
        ({"embeds": [{"title": "t", "author": {"name": "a" * 257}}]}, "embeds.0.author.name", "BASE_TYPE_MAX_LENGTH"),
        ({"embeds": [{"title": "t", "author": {}}]}, "embeds.0.author.name", "BASE_TYPE_REQUIRED"),
        ({"embeds": [{"title": "t", "image": {"url": "x:y"}}]}, "embeds.0.image.url", "URL_TYPE_INVALID_SCHEME"),
        ({"embeds": [{"fields": [{"name": "n", "value": "v"}] * 26}]}, "embeds.0.fields", "BASE_TYPE_MAX_LENGTH"),
        ({"embeds": [{"fields": [{"name": "n", "value": ""}]}]}, "embeds.0.fields.0.value", "BASE_TYPE_REQUIRED"),
        (
            {"embeds": [{"fields": [{"name": "n" * 257, "value": "v"}]}]},
            "embeds.0.fields.0.name",
            "BASE_TYPE_MAX_LENGTH",
        ),
        (
            {"embeds": [{"fields": [{"name": "n", "value": "v" * 1025}]}]},
            "embeds.0.fields.0.value",
            "BASE_TYPE_MAX_LENGTH",
        ),
        ({"content": "c", "allowed_mentions": {"parse": ["all"]}}, "allowed_mentions.parse.0", "BASE_TYPE_CHOICES"),
        (
            {"content": "c", "allowed_mentions": {"parse": ["users"], "users": ["1"]}},
            "allowed_mentions",
            "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE",
        ),
    ],
)  # fmt: skip
def test_what_is_refused_names_the_field_in_discords_words(payload: Any, path: str, code: str) -> None:
    refusal = webhook.check(payload)
    assert refusal is not None
    assert (refusal.status, refusal.code) == (400, 50035)
    assert [(where, what) for where, what, _ in refusal.problems] == [(path, code)]
    node = refusal.body()["errors"]
    for part in path.split("."):
        node = node[part]
    assert node["_errors"][0]["code"] == code
    assert path in str(refusal)


@pytest.mark.parametrize("payload", [{}, {"content": " \n"}, {"embeds": []}, {"embeds": [{}]}, {"username": "u"}])
def test_an_empty_message_is_refused_unless_a_file_comes_with_it(payload: Any) -> None:
    refusal = webhook.check(payload)
    assert refusal is not None
    assert refusal.body() == {"message": "Cannot send an empty message", "code": 50006}
    assert webhook.check(payload, files=1) is None


@given(MESSAGES)
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_anything_is_judged_and_shown(payload: Any) -> None:
    refusal = webhook.check(payload)
    if refusal:
        json.dumps(refusal.body())
    message = Message("1", "alerts", 1.7e9, payload, str(refusal) if refusal else None)
    tags_of(page.article(message))
    assert page.pings(message) == [] or refusal is None


# -- markdown ----------------------------------------------------------------------------------------------------------


class Tags(HTMLParser):
    """The tags and attributes of a page, and what is left open."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("br", "img", "meta", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


ALLOWED = {
    "p", "br", "b", "i", "u", "s", "span", "code", "pre", "blockquote", "h1", "h2", "h3", "ul", "ol", "li", "a", "time",
    "article", "div", "svg", "circle", "text", "rect", "img", "small",
}  # fmt: skip


def tags_of(html: str) -> Tags:
    """Read the HTML and hold it to what is promised of it."""
    tags = Tags()
    tags.feed(html)
    tags.close()
    assert tags.open == []
    for tag, attributes in tags.found:
        assert tag in ALLOWED
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "srcdoc")]
        assert (attributes.get("href") or "http://").startswith(("http://", "https://", "/attachments/"))
        assert (attributes.get("src") or "/attachments/").startswith("/attachments/")
    return tags


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("**b** *i* _i_ ***bi*** __u__ ~~s~~", "<b>b</b> <i>i</i> <i>i</i> <b><i>bi</i></b> <u>u</u> <s>s</s>"),
        ("**a *b* c**", "<b>a <i>b</i> c</b>"),
        ("snake_case_name 2 * 3 * 4", "snake_case_name 2 * 3 * 4"),
        (r"\*no\* \<@1>", "*no* &lt;@1&gt;"),
        ("||boo||", '<span class="spoiler">boo</span>'),
        ("`a *b* <c>` ``x`y``", "<code>a *b* &lt;c&gt;</code> <code>x`y</code>"),
        ("<:up:12> <a:wave:13> :up:", ":up: :wave: :up:"),
        ("</kill:7>", "/kill"),
        ("**open", "**open"),
    ],
)
def test_marks_within_a_line(text: str, html: str) -> None:
    assert markdown.inline(text) == html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a\nb", "<p>a<br>b</p>"),
        ("# one\n## two\n### three\n#### four", "<h1>one</h1><h2>two</h2><h3>three</h3><p>#### four</p>"),
        ("-# small\n#no", '<p class="subtext">small</p><p>#no</p>'),
        ("> a\n> **b**\nc", "<blockquote><p>a<br><b>b</b></p></blockquote><p>c</p>"),
        (">>> a\nb\n# c", "<blockquote><p>a<br>b</p><h1>c</h1></blockquote>"),
        ("- a\n- b", "<ul><li>a</li></ul><ul><li>b</li></ul>"),
        ("3. a\n  - b", '<ol start="3"><li>a</li></ol><ul><ul><li>b</li></ul></ul>'),
        ("x\n```py\na < *b*\n```\ny", "<p>x</p><pre><code>a &lt; *b*</code></pre><p>y</p>"),
        ("```one```", "<pre><code>one</code></pre>"),
    ],
)
def test_blocks(text: str, html: str) -> None:
    assert markdown.html(text) == html


def links(text: str) -> list[str | None]:
    return [attributes.get("href") for tag, attributes in tags_of(markdown.html(text)).found if tag == "a"]


def test_only_http_and_https_become_links() -> None:
    text = "[a](https://a.b/c?d=e&f=g) [b](<http://b.c>) <https://c.d> see https://d.e/f_g. (http://e.f/g)"
    assert links(text) == ["https://a.b/c?d=e&f=g", "http://b.c", "https://c.d", "https://d.e/f_g", "http://e.f/g"]
    assert links('[**b**](https://a.b "title")') == ["https://a.b"]
    for text in (
        "[x](javascript:alert(1))",
        "[x](data:text/html,<script>)",
        "[x](//evil)",
        '[x](java\nscript:a) [x](" onclick=alert(1))',
        "javascript:alert(1) vbscript:x file:///etc/passwd",
    ):
        assert links(text) == [], text


def test_a_message_with_a_script_shows_as_text() -> None:
    evil = '<script>alert(1)</script><img src=x onerror=alert(1)>" onmouseover="x'
    payload = {
        "content": evil,
        "username": evil[:80],
        "embeds": [
            {
                "title": evil,
                "url": 'https://a.b/"onclick="x',
                "description": f"```{evil}```[{evil[:20]}](https://a.b/'{evil[:9]})",
                "fields": [{"name": evil, "value": evil, "inline": evil}],
                "footer": {"text": evil},
                "author": {"name": evil, "url": "javascript:alert(1)"},
                "image": {"url": "attachment://" + evil},
                "thumbnail": {"url": "https://elsewhere.example/x.png"},
            }
        ],
    }
    tags = tags_of(page.article(Message("1", "alerts", 1.7e9, payload, evil, (File(evil, 3, evil, b"\x89PNG\r\n"),))))
    assert tags.text.count("<script>alert(1)</script>") >= 6
    assert {attributes["src"] for tag, attributes in tags.found if tag == "img"} == {"/attachments/1/0"}


def test_nothing_of_the_page_comes_from_elsewhere() -> None:
    payload = {"embeds": [{"title": "t", "image": {"url": "https://elsewhere.example/x.png"}}]}
    whole = "".join(page.page([Message("1", "alerts", 1.7e9, payload)], 7, None, {"last": None, "count": 0}))
    tags = Tags()
    tags.feed(whole)
    loaded = [attributes.get("src") or "" for tag, attributes in tags.found if tag in ("script", "img")]
    loaded += [attributes.get("href") or "" for tag, attributes in tags.found if tag == "link"]
    assert set(loaded) == {"/page.js", "/page.css", "data:,"}
    assert not [attributes for _, attributes in tags.found if "style" in attributes]
    assert "url(" not in page.asset("page.css").decode()
    assert "default-src 'none'" in page.POLICY
    assert "unsafe" not in page.POLICY


@given(st.text(alphabet="*_~`|<>@[]()\\#-:/ \nhtps.a1&\"'", max_size=80))
@settings(max_examples=500)
def test_any_text_is_well_formed_and_nothing_of_it_is_markup(text: str) -> None:
    tags_of(markdown.html(text))
    tags_of(markdown.inline(text))


@pytest.mark.parametrize(
    "unit", [*"*_`[\\|~<", "***a", "**a ", "_a", "[a](http://", "> ", "- ", "https://a(", "[x](https://a("]
)
def test_no_text_takes_long(unit: str) -> None:
    """At most 20 ms of the processor; a code span that may begin at any of 6,000 backticks takes more than 2 s."""
    began = time.thread_time()
    markdown.html((unit * 6000)[:6000])
    assert time.thread_time() - began < 1.0


# -- who is called -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "called"),
    [
        ({"content": "@everyone <@1> <@!2> <@&3> @here <#4>"}, ["@everyone", "<@1>", "<@2>", "<@&3>", "@here"]),
        ({"content": "`@everyone` ```<@1>``` \\<@2>"}, []),
        ({"content": "x", "embeds": [{"description": "@everyone <@1>"}]}, []),
        ({"content": "@everyone <@1>", "allowed_mentions": {"parse": []}}, []),
        ({"content": "@here <@1> <@&2>", "allowed_mentions": {"parse": ["users"]}}, ["<@1>"]),
        ({"content": "<@1> <@2>", "allowed_mentions": {"users": ["2"]}}, ["<@2>"]),
    ],
)
def test_who_would_be_called(payload: dict[str, Any], called: list[str]) -> None:
    message = Message("1", "alerts", 1.7e9, payload)
    assert page.pings(message) == called
    marked = page.article(message).count('class="mention ping"')
    assert marked == len(called)
    assert f"pings {', '.join(called)}" in tags_of(page.article(message)).text or (not called and marked == 0)


def test_a_mention_in_an_embed_is_shown_as_one_that_calls_nobody() -> None:
    tags = tags_of(page.article(Message("1", "a", 1.7e9, {"embeds": [{"description": "<@1>"}]})))
    (mention,) = [attributes for _, attributes in tags.found if "mention" in (attributes.get("class") or "")]
    assert mention["class"] == "mention"
    assert "pings nobody" in tags.text


# -- bodies ------------------------------------------------------------------------------------------------------------


def multipart(*parts: tuple[str, bytes]) -> bytes:
    return b"".join(b"--X\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + data + b"\r\n"
                    for head, data in parts) + b"--X--\r\n"  # fmt: skip


def test_a_form_with_files() -> None:
    told = {"content": "c", "attachments": [{"id": 1, "description": "rising"}]}
    read = form.read(
        'multipart/form-data; boundary="X"',
        multipart(
            ('name="payload_json"', json.dumps(told).encode()),
            ('name="files[0]"; filename="a.txt"', b"one\r\n--Y\r\n"),
            ('name="files[1]"; filename="b.png"', b""),
            ('name="files[2]"; filename="c"', bytes(form.KEPT)),
        ),
    )
    assert read.refusal is None
    assert read.payload == told
    assert [(file.name, file.size, file.description) for file in read.files] == [
        ("a.txt", 10, ""), ("b.png", 0, "rising"), ("c", form.KEPT, "")
    ]  # fmt: skip
    assert [file.data for file in read.files] == [b"one\r\n--Y\r\n", b"", None], "the last one is too much to keep"


@pytest.mark.parametrize(
    ("kind", "text", "code"),
    [
        ("application/json", b"{", 50109),
        ("application/json", b"[" * 100_000, 50109),
        ("application/json", b'"' + b"x" * form.JSON_BYTES + b'"', 40005),
        ("text/plain", b"{}", 50035),
        ("", b"{}", 50035),
        ("multipart/form-data", b"{}", 50035),
        ("multipart/form-data; boundary=X", multipart(('name="payload_json"', b"{")), 50109),
    ],
)
def test_bodies_that_discord_cannot_read(kind: str, text: bytes, code: int) -> None:
    read = form.read(kind, text)
    assert read.refusal is not None
    assert read.refusal.code == code


@given(st.binary(max_size=200), st.sampled_from(["multipart/form-data; boundary=X", "application/json", "x"]))
def test_any_body_is_read(text: bytes, kind: str) -> None:
    form.read(kind, text)
    form.read(kind, b"--X\r\n" + text + b"\r\n--X--")


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        (b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"0\r\nTrailer: x\r\n\r\n", b""),
        (b"3\r\nab", None),
        (b"x\r\nabc\r\n", None),
        (b"-1\r\n", b""),
        (b"3\r\nabcd\r\n0\r\n\r\n", None),
    ],
)
def test_a_body_in_chunks(text: bytes, whole: bytes | None) -> None:
    from email.message import Message as Headers

    headers = Headers()
    headers["Transfer-Encoding"] = "chunked"
    if whole is None:
        with pytest.raises(body.Broken), body.received(headers, BytesIO(text), None):
            pass
    else:
        with body.received(headers, BytesIO(text), None) as read:
            assert read == whole


# -- what is kept ------------------------------------------------------------------------------------------------------


def contents(kept: History) -> list[str]:
    return [message.payload["content"] for message in kept.all()]


def test_history_is_bounded_in_number_and_bytes() -> None:
    kept = History(messages=3)
    for number in range(5):
        kept.add("alerts", {"content": str(number)})
    assert contents(kept) == ["2", "3", "4"]
    small = History(size=3000)
    for number in range(5):
        small.add("alerts", {"content": str(number)}, None, (File("f", 900, "", bytes(900)),))
    assert contents(small) == ["3", "4"]
    assert len({message.id for message in small.all()}) == 2
    small.add("alerts", {"content": "huge" * 1000})
    assert len(small.all()) == 1, "one is always kept"


def test_history_outlives_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "new" / "history.jsonl"
    first = History(file)
    one = first.add("alerts", {"content": "one"}, None, (File("a.png", 3, "alt", b"\x89PN"), File("b", 9)))
    two = first.add("critical", None, "413 Request entity too large")
    three = first.add("alerts", {"content": "three"})
    first.edit(one, {"content": "edited"}, one.files)
    first.remove(three.id)
    with file.open("ab") as out:
        out.write(b'{"id": "x"}\n[]\n{"torn')
    second = History(file)
    assert [message.id for message in second.all()] == [one.id, two.id]
    found = second.get(one.id)
    assert found is not None
    assert (found.payload, found.files, found.received) == ({"content": "edited"}, one.files, one.received)
    assert found.edited
    assert int(second.add("alerts", {"content": "four"}).id) > int(two.id)
    assert second.change > first.change - 10


def test_the_file_is_bounded_and_holds_what_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    kept = History(file, messages=5, size=2000)
    for number in range(200):
        kept.add("alerts", {"content": str(number)})
    assert file.stat().st_size <= 2 * 2000
    assert contents(History(file, messages=5, size=2000)) == contents(kept) == ["195", "196", "197", "198", "199"]
    assert list(tmp_path.iterdir()) == [file], "nothing is left beside it"


def test_a_disk_that_fails_loses_only_the_copy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = History(tmp_path / "history.jsonl")
    kept._path = tmp_path  # a folder: every write fails
    kept.add("alerts", {"content": "one"})
    kept.add("alerts", {"content": "two"})
    assert contents(kept) == ["one", "two"]
    assert len([record for record in caplog.records if "history is not kept" in record.message]) == 1


def test_what_a_line_on_disk_is(tmp_path: Path) -> None:
    message = Message("5", "alerts", 1.5, {"content": "x"}, None, (File("a", 1, "", b"z"),))
    assert Message.of(json.loads(message.line())) == message
    assert history.BYTES < 10 * 2**20
