"""The page that shows messages as Discord does. Everything that came is escaped; nothing is loaded from elsewhere."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from importlib import resources
from typing import Any, Final
from urllib.parse import quote

from otel_mcbot.discord import markdown, webhook
from otel_mcbot.discord.history import File, Message

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page's Content-Security-Policy: whatever a message holds, no script of it runs and nothing of it is fetched."""

PICTURES: Final = {
    b"\x89PNG\r\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
}
"""How a picture begins, and what it is. Nothing else is shown as one."""

_YEAR_9999: Final = 253_370_764_800
_SILENT: Final = 1 << 12
_NO_EMBEDS: Final = 1 << 2
_HTTP: Final = re.compile(r"https?://[^\s]+", re.IGNORECASE)


def asset(name: str) -> bytes:
    """A file of the package: ``page.css`` or ``page.js``."""
    return (resources.files("otel_mcbot.discord") / name).read_bytes()


def page(messages: Sequence[Message], change: int, channel: str | None, watchdog: Mapping[str, Any]) -> Iterator[str]:
    """The whole page, or one channel of it, a message at a time: all of them at once would take too much memory."""
    title = f"#{channel}" if channel else "all channels"
    yield f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} – Discord preview</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="/page.css"><script src="/page.js" defer></script>
<noscript><meta http-equiv="refresh" content="10"></noscript></head>
<body data-change="{change}" data-channel="{escape(channel or "")}">
<header><nav>{channels(messages, channel)}</nav><div id="watchdog">{heard(watchdog)}</div></header>
<p class="empty">Nothing has come{f" to {escape(title)}" if channel else ""} yet. What would go to Discord
is shown here.</p>
<main>"""
    for message in messages:
        if channel in (None, message.channel):
            yield article(message)
    yield """</main>
<footer>A preview of this stack: nothing here was sent to Discord.</footer>
</body></html>
"""


def channels(messages: Sequence[Message], channel: str | None) -> str:
    """Links to the channels, with how many messages each has."""
    counts = dict.fromkeys(sorted({message.channel for message in messages} | ({channel} if channel else set())), 0)
    for message in messages:
        counts[message.channel] += 1
    links = [f'<a href="/"{_current(channel is None)}>all</a>']
    for name, count in counts.items():
        link = f"/?channel={quote(name)}"
        links.append(f'<a href="{escape(link)}"{_current(name == channel)}>#{escape(name)} <small>{count}</small></a>')
    return "".join(links)


def _current(here: bool) -> str:
    return ' aria-current="page"' if here else ""


def heard(watchdog: Mapping[str, Any]) -> str:
    """When Grafana last said that it evaluates its rules."""
    if watchdog["last"] is None:
        return "Grafana's watchdog: not heard yet"
    return f"Grafana's watchdog: {_time(watchdog['last'], 'R')} <small>({int(watchdog['count'])})</small>"


def article(message: Message) -> str:
    """One message."""
    payload = message.payload if isinstance(message.payload, dict) else {}
    name = _word(payload.get("username")) or "webhook"
    parts = []
    if message.refused is not None:
        parts.append(f'<p class="refused"><b>Discord refuses this message.</b> {escape(message.refused)}</p>')
    if not isinstance(message.payload, dict) and message.payload is not None:
        parts.append(f"<pre><code>{escape(str(message.payload)[:2000])}</code></pre>")
    if content := _word(payload.get("content"), webhook.CONTENT * 2):
        edited = " <small>(edited)</small>" if message.edited else ""
        parts.append(f'<div class="content">{markdown.html(content, webhook.may_ping(payload))}{edited}</div>')
    embeds = payload.get("embeds")
    used: set[str] = set()
    if isinstance(embeds, list) and not _flag(payload, _NO_EMBEDS):
        parts += [_embed(embed, message, used) for embed in embeds[: webhook.EMBEDS] if isinstance(embed, dict)]
    parts += [_attached(file, message, at) for at, file in enumerate(message.files) if file.name not in used]
    parts.append(f'<p class="pings">{escape(_who(message, payload))}</p>')
    hue = int(hashlib.sha256(name.encode(errors="replace")).hexdigest()[:2], 16) * 360 // 256
    return (
        f'<article id="m{message.id}" data-received="{message.received:.3f}"'
        f"{' class=no' if message.refused is not None else ''}>"
        f'<svg class="face" viewBox="0 0 40 40" aria-hidden="true"><circle cx="20" cy="20" r="20"'
        f' fill="hsl({hue} 45% 45%)"/><text x="20" y="27">{escape(name[0].upper())}</text></svg>'
        f'<div class="body"><div class="head"><b>{escape(name)}</b><span class="app">APP</span>'
        f'<span class="channel">#{escape(message.channel)}</span> {_time(message.received, "f")}</div>'
        f"{''.join(parts)}</div></article>"
    )


def _embed(embed: Mapping[str, Any], message: Message, used: set[str]) -> str:
    color = embed.get("color")
    bar = f"#{color:06x}" if isinstance(color, int) and 0 <= color <= webhook.LARGEST_COLOR else "#4e5058"
    parts = []
    author, footer, fields = embed.get("author"), embed.get("footer"), embed.get("fields")
    if isinstance(author, dict) and (name := _word(author.get("name"))):
        parts.append(f'<div class="author">{_linked(escape(name), author.get("url"))}</div>')
    if title := _word(embed.get("title")):
        linked = isinstance(embed.get("url"), str)
        parts.append(f'<div class="title">{_linked(markdown.inline(title, links=not linked), embed.get("url"))}</div>')
    if description := _word(embed.get("description"), markdown.LONGEST):
        parts.append(f'<div class="description">{markdown.html(description)}</div>')
    if isinstance(fields, list) and fields:
        parts.append(f'<div class="fields">{"".join(map(_field, fields[: webhook.FIELDS]))}</div>')
    for name in ("thumbnail", "image"):
        picture = embed.get(name)
        if isinstance(picture, dict):
            parts.append(_picture(_word(picture.get("url"), 2048), message, used, name))
    ends = []
    if isinstance(footer, dict) and (text := _word(footer.get("text"))):
        ends.append(escape(text))
    if then := _moment(embed.get("timestamp")):
        ends.append(_time(then, "f"))
    if ends:
        parts.append(f'<div class="foot">{" • ".join(ends)}</div>')
    return (
        '<div class="embed"><svg class="bar" viewBox="0 0 1 1" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="1" height="1" fill="{bar}"/></svg><div class="inside">{"".join(parts)}</div></div>'
    )


def _field(field: Any) -> str:
    if not isinstance(field, dict):
        return ""
    kind = "field inline" if field.get("inline") else "field"
    name, value = _word(field.get("name"), webhook.FIELD_VALUE), _word(field.get("value"), webhook.DESCRIPTION)
    return f'<div class="{kind}"><b>{markdown.inline(name)}</b><div>{markdown.html(value)}</div></div>'


def _picture(url: str, message: Message, used: set[str], kind: str) -> str:
    if url.startswith("attachment://"):
        name = url.removeprefix("attachment://")
        for at, file in enumerate(message.files):
            if file.name == name:
                used.add(name)
                return _attached(file, message, at, kind)
        return f'<p class="missing">no file of the name {escape(name)} came with this message</p>'
    return f'<p class="missing">{kind}: {_linked(escape(url), url)}</p>'


def _attached(file: File, message: Message, at: int, kind: str = "image") -> str:
    size = f"{escape(file.name)}, {max(1, file.size // 1024)} KiB"
    if file.data is None:
        return f'<p class="missing">{size}: too large to be kept</p>'
    link = f"/attachments/{message.id}/{at}"
    if picture_type(file.data):
        text = escape(file.description or file.name)
        return f'<a href="{link}" target="_blank"><img class="{kind}" src="{link}" alt="{text}" title="{text}"></a>'
    return f'<p class="missing"><a href="{link}">{size}</a></p>'


def picture_type(data: bytes) -> str | None:
    """The media type of a picture; ``None`` when it is none that is shown."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for begin, kind in PICTURES.items() if data.startswith(begin)), None)


def pings(message: Message) -> list[str]:
    """The mentions that would notify somebody, as they stand in the text: ``@everyone``, ``<@42>``, ``<@&7>``."""
    payload = message.payload if isinstance(message.payload, dict) else {}
    if message.refused is not None:
        return []
    may = webhook.may_ping(payload)
    signs = {"users": "<@{}>", "roles": "<@&{}>", "everyone": "@{}"}
    content = _word(payload.get("content"), webhook.CONTENT)
    return [signs[kind].format(who) for kind, who in markdown.mentions(content) if may(kind, who)]


def _who(message: Message, payload: Mapping[str, Any]) -> str:
    found = pings(message)
    if not found:
        return "pings nobody"
    return f"pings {', '.join(found)}" + (" silently" if _flag(payload, _SILENT) else "")


def _flag(payload: Mapping[str, Any], flag: int) -> bool:
    flags = payload.get("flags")
    return isinstance(flags, int) and bool(flags & flag)


def _word(value: Any, most: int = 2048) -> str:
    """A text of a message that may be anything."""
    return value[:most] if isinstance(value, str) else str(value) if isinstance(value, int | float) else ""


def _linked(inner: str, url: Any) -> str:
    return markdown.link(url, inner) if isinstance(url, str) and _HTTP.fullmatch(url) else inner


def _moment(value: Any) -> float | None:
    try:
        then = datetime.fromisoformat(value)
        unix = (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
    return unix if 0 <= unix < _YEAR_9999 else None


def _time(unix: float, style: str) -> str:
    text = datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f'<time data-unix="{unix:.0f}" data-style="{style}">{text}</time>'
