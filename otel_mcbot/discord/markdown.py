"""Discord's markdown as HTML. Pure; whatever the text is, the result has only tags that are written here.

Known: bold, italics, underline, strikethrough, spoilers, code, blocks, quotes, headings, subtext, lists, masked and
bare links of ``http`` and ``https``, mentions, timestamps. Custom emoji stay text: their pictures are elsewhere.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from html import escape
from typing import Final

Pings = Callable[[str, str], bool]
"""``pings(kind, who)``: does a mention notify somebody? ``kind`` is ``users``, ``roles`` or ``everyone``."""

LONGEST: Final = 6000
"""Characters that are looked at: as much as Discord takes in any text."""

_DEEPEST: Final = 8
"""Levels of bold in italics in bold: what is deeper stays text."""

_LINE: Final = "\n"
_FENCE: Final = re.compile(r"```(?:([\w+#.-]*)\n)?(.*?)\n?```", re.DOTALL)
_HEADING: Final = re.compile(r"(#{1,3}) +(\S.*)")
_ITEM: Final = re.compile(r"( *)([-*]|\d{1,9}\.) +(\S.*)")

_SPECIAL: Final = re.compile(r"[\\<@\[]|`+|[*_~|]|https?:")
_ESCAPED: Final = re.compile(r"\\([^\w\s])")
_CODE: Final = re.compile(r"(`{1,2})(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_MENTION: Final = re.compile(r"<(@!?|@&|#)(\d{1,20})>")
_EVERYONE: Final = re.compile(r"@(everyone|here)\b")
_TIME: Final = re.compile(r"<t:(-?\d{1,12})(?::([tTdDfFR]))?>")
_EMOJI: Final = re.compile(r"<a?(:\w{1,32}:)\d{1,20}>")
_COMMAND: Final = re.compile(r"<(/[\w -]{1,100}):\d{1,20}>")
_AUTOLINK: Final = re.compile(r"<(https?://[^\s<>]+)>")
_BARE: Final = re.compile(r"https?://[^\s<]+[^\s<.,:;\"'\]*_~|)]|https?://[^\s<]*[^\s<.,:;\"'\]*_~|]")
_MASKED: Final = re.compile(r"\[((?:[^\[\]\\\n]|\\.){1,1000})\]\( *<?(https?://[^\s<>()]+(?:\([^\s<>()]*\)[^\s<>()]*)*)>?"
                            r"(?: +(?:\"[^\"\n]*\"|'[^'\n]*'))? *\)")  # fmt: skip
_MARKS: Final = {
    "***": "<b><i>",
    "**": "<b>",
    "__": "<u>",
    "~~": "<s>",
    "||": '<span class="spoiler">',
    "*": "<i>",
    "_": "<i>",
}
_CLOSED: Final = {
    "<b><i>": "</i></b>",
    "<b>": "</b>",
    "<u>": "</u>",
    "<s>": "</s>",
    '<span class="spoiler">': "</span>",
    "<i>": "</i>",
}
_PRETTY: Final = {
    "t": "%H:%M",
    "T": "%H:%M:%S",
    "d": "%d/%m/%Y",
    "D": "%d %B %Y",
    "f": "%d %B %Y %H:%M",
    "F": "%A, %d %B %Y %H:%M",
    "R": "%Y-%m-%d %H:%M:%S",
}


def nobody(kind: str, who: str) -> bool:
    """The :data:`Pings` of a text whose mentions notify nobody, as in an embed."""
    return False


def html(text: str, pings: Pings = nobody) -> str:
    """A message's content, a description or the value of a field, as blocks of HTML."""
    text = text[:LONGEST]
    parts: list[str] = []
    at = 0
    for fence in _FENCE.finditer(text):
        if not fence[2].strip():
            continue
        parts += _blocks(text[at : fence.start()].removesuffix("\n"), pings)
        parts.append(f"<pre><code>{escape(fence[2])}</code></pre>")
        at = fence.end() + (text[fence.end() : fence.end() + 1] == "\n")
    parts += _blocks(text[at:], pings)
    return "".join(parts)


def inline(text: str, pings: Pings = nobody, *, links: bool = True) -> str:
    """One line: a title or the name of a field. ``links=False``: inside of a link."""
    return "".join(_inline(text[:LONGEST], pings, links, 0, ""))


def link(url: str, inner: str) -> str:
    """A link that tells the other side nothing; ``inner`` is HTML."""
    return f'<a href="{escape(url)}" rel="noopener noreferrer nofollow" target="_blank">{inner}</a>'


def mentions(text: str) -> list[tuple[str, str]]:
    """What is mentioned in a content, in order, each once: ``("users", "42")``, ``("everyone", "here")``."""
    found: dict[tuple[str, str], None] = {}

    def note(kind: str, who: str) -> bool:
        found[kind, who] = None
        return False

    html(text, note)
    return list(found)


def _blocks(text: str, pings: Pings, *, quotes: bool = True) -> Iterator[str]:
    lines = text.split("\n") if text else []
    plain: list[str] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        taken, block = _block(lines[at:], pings, quotes) if line[:1] in "># -*0123456789" else (0, "")
        if not taken:
            plain.append(line)
        if plain and (taken or at + 1 == len(lines)):
            yield f"<p>{inline(_LINE.join(plain), pings).replace(_LINE, '<br>')}</p>"
            plain = []
        yield block
        at += taken or 1


def _block(lines: list[str], pings: Pings, quotes: bool) -> tuple[int, str]:
    """How many of the lines are a block of their own, and its HTML; 0 when the first one is only text."""
    line = lines[0]
    if quotes and line.startswith(">>> "):
        return len(lines), _quote([line[4:], *lines[1:]], pings)
    if quotes and line.startswith("> "):
        quoted = list(itertools.takewhile(lambda each: each.startswith("> "), lines))
        return len(quoted), _quote([each[2:] for each in quoted], pings)
    if heading := _HEADING.fullmatch(line):
        level = len(heading[1])
        return 1, f"<h{level}>{inline(heading[2], pings)}</h{level}>"
    if line.startswith("-# ") and line[3:].strip():
        return 1, f'<p class="subtext">{inline(line[3:], pings)}</p>'
    items = list(itertools.takewhile(bool, map(_ITEM.fullmatch, lines)))
    return len(items), _list([item for item in items if item], pings)


def _quote(lines: list[str], pings: Pings) -> str:
    return f"<blockquote>{''.join(_blocks(_LINE.join(lines), pings, quotes=False))}</blockquote>"


def _list(items: list[re.Match[str]], pings: Pings) -> str:
    """Each item is a list of its own, as deep as it is indented: that looks the same and cannot be left open."""
    parts: list[str] = []
    for item in items:
        kind = "ul" if item[2] in "-*" else "ol"
        number = "" if kind == "ul" else f' start="{int(item[2][:-1])}"'
        deep = min(len(item[1]) // 2, 5) + 1
        parts.append(f"<{kind}{number}>" + f"<{kind}>" * (deep - 1))
        parts.append(f"<li>{inline(item[3], pings)}</li>" + f"</{kind}>" * deep)
    return "".join(parts)


def _inline(text: str, pings: Pings, links: bool, depth: int, before: str) -> Iterator[str]:
    """``before`` is the character ahead of the text: an underscore inside of a word is no mark."""
    at = plain = 0
    while found := _SPECIAL.search(text, at):
        at = found.start()
        length, made = _span(text, at, pings, links, depth, text[at - 1] if at else before)
        if length:
            yield escape(text[plain:at])
            yield made
            at = plain = at + length
        else:
            at += len(found[0])
    yield escape(text[plain:])


def _span(text: str, at: int, pings: Pings, links: bool, depth: int, before: str) -> tuple[int, str]:
    """Length and HTML of what begins at ``at``; length 0 when that is only text."""
    match text[at]:
        case "\\":
            if found := _ESCAPED.match(text, at):
                return 2, escape(found[1])
        case "`":
            if found := _CODE.match(text, at):
                return len(found[0]), f"<code>{escape(found[2].strip() or found[2])}</code>"
        case "<":
            return _angle(text, at, pings, links)
        case "@":
            if found := _EVERYONE.match(text, at):
                return len(found[0]), _mention(found[0], "everyone", found[1], pings)
        case "h":
            if links and not before.isalnum() and (found := _BARE.match(text, at)):
                return len(found[0]), link(found[0], escape(found[0]))
        case "[":
            if links and (found := _MASKED.match(text, at)):
                inner = "".join(_inline(found[1], pings, False, depth + 1, "["))
                return len(found[0]), link(found[2], inner)
        case _:
            return _marked(text, at, pings, links, depth, before)
    return 0, ""


def _angle(text: str, at: int, pings: Pings, links: bool) -> tuple[int, str]:
    if found := _MENTION.match(text, at):
        kind, who = found[1], found[2]
        if kind == "#":
            return len(found[0]), f'<span class="mention">#{who}</span>'
        sign = f"@&{who}" if kind == "@&" else f"@{who}"
        return len(found[0]), _mention(sign, "roles" if kind == "@&" else "users", who, pings)
    if found := _TIME.match(text, at):
        return len(found[0]), _time(int(found[1]), found[2] or "f")
    if found := _EMOJI.match(text, at) or _COMMAND.match(text, at):
        return len(found[0]), escape(found[1])
    if links and (found := _AUTOLINK.match(text, at)):
        return len(found[0]), link(found[1], escape(found[1]))
    return 0, ""


def _marked(text: str, at: int, pings: Pings, links: bool, depth: int, before: str) -> tuple[int, str]:
    if depth >= _DEEPEST:
        return 0, ""
    for mark, tag in _MARKS.items():
        if not text.startswith(mark, at) or (mark == "_" and (before.isalnum() or before == "_")):
            continue
        begin = at + len(mark)
        end = _closing(text, begin, mark)
        if end > begin and not (mark == "*" and text[begin].isspace()):
            inner = "".join(_inline(text[begin:end], pings, links, depth + 1, mark[0]))
            return end + len(mark) - at, f"{tag}{inner}{_CLOSED[tag]}"
    return 0, ""


def _closing(text: str, begin: int, mark: str) -> int:
    """Where the mark comes again, not escaped, and as such: a ``*`` of a ``**`` closes no italics. -1: nowhere."""
    at = begin
    while (at := text.find(mark, at)) >= 0:
        after = text[at + len(mark) : at + len(mark) + 1]
        if at > begin and text[at - 1] == "\\":
            at += 1
        elif mark in ("*", "_") and after == mark:
            at += 2
        elif (
            (mark in ("**", "__") and after == mark[0])
            or (mark == "_" and after.isalnum())
            or (mark == "*" and text[at - 1].isspace())
        ):
            at += 1
        else:
            return at
    return -1


def _mention(shown: str, kind: str, who: str, pings: Pings) -> str:
    if pings(kind, who):
        return f'<span class="mention ping" title="notifies">{escape(shown)}</span>'
    return f'<span class="mention" title="notifies nobody">{escape(shown)}</span>'


def _time(unix: int, style: str) -> str:
    try:
        then = datetime.fromtimestamp(unix, UTC)
    except (OverflowError, ValueError, OSError):
        return "Invalid Date"
    # the page's script says it in the reader's zone and language; this is what stands there without it
    return f'<time data-unix="{unix}" data-style="{style}">{then.strftime(_PRETTY[style])} UTC</time>'
