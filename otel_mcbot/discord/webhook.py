"""What Discord takes from a webhook, and how it words what it does not take. Pure: nothing is sent here.

Sources: Discord's reference (Webhook, Message, Embed limits, Error codes) and answers of the real API that people
reported. Lengths are code points. A URL's host needs a dot, unless it is ``localhost``: an embed that links to
``http://grafana:3000`` is refused with the whole message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

CONTENT: Final = 2000
USERNAME: Final = 80
EMBEDS: Final = 10
TITLE: Final = 256
DESCRIPTION: Final = 4096
FIELDS: Final = 25
FIELD_NAME: Final = 256
FIELD_VALUE: Final = 1024
FOOTER: Final = 2048
AUTHOR: Final = 256
TOTAL: Final = 6000
"""Characters of all embeds of a message together."""
FILES: Final = 10
BODY: Final = 25 * 2**20
"""Bytes of a request."""
LARGEST_COLOR: Final = 0xFFFFFF

EMPTY_MESSAGE: Final = 50006
INVALID_FORM: Final = 50035
INVALID_JSON: Final = 50109

Problem = tuple[str, str, str]
"""Where (``embeds.0.title``), Discord's code of the error, its words."""

_URL: Final = re.compile(
    r"https?://(?:(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z][a-z0-9-]{1,62}\.?|localhost|\d{1,3}(?:\.\d{1,3}){3})"
    r"(?::\d{1,5})?(?:[/?#]\S*)?",
    re.IGNORECASE,
)
_MENTIONS: Final = ("roles", "users", "everyone")


@dataclass(frozen=True)
class Refusal:
    """Discord's answer to what it does not take.

    Attributes:
        status: of HTTP.
        code: Discord's own, 0 where it has none.
        problems: for :data:`INVALID_FORM`, each field and what is wrong with it.
    """

    status: int
    code: int
    message: str
    problems: tuple[Problem, ...] = ()

    def body(self) -> dict[str, Any]:
        """The JSON that Discord answers."""
        body: dict[str, Any] = {"message": self.message, "code": self.code}
        if self.problems:
            body["errors"] = {}
        for path, code, words in self.problems:
            node = body["errors"]
            for part in path.split("."):
                node = node.setdefault(part, {})
            node.setdefault("_errors", []).append({"code": code, "message": words})
        return body

    def __str__(self) -> str:
        said = "; ".join(f"{path}: {words}" for path, _, words in self.problems)
        return f"{self.status} {self.message} ({self.code})" + (f": {said}" if said else "")


def check(payload: Any, files: int = 0) -> Refusal | None:
    """Why Discord would refuse the message; ``None`` when it would take it.

    Args:
        payload: the JSON of the request, or its ``payload_json``.
        files: how many come with it.
    """
    if not isinstance(payload, dict):
        return Refusal(400, INVALID_FORM, "Invalid Form Body", (("_", *_NO_MODEL),))
    problems = tuple(_message(payload, files))
    if problems:
        return Refusal(400, INVALID_FORM, "Invalid Form Body", problems)
    content, embeds = payload.get("content"), payload.get("embeds") or []
    if not (isinstance(content, str) and content.strip()) and not any(map(_says, embeds)) and not files:
        return Refusal(400, EMPTY_MESSAGE, "Cannot send an empty message")
    return None


_NO_MODEL: Final = ("MODEL_TYPE_CONVERT", "Only dictionaries may be used in a ModelType")
_NO_LIST: Final = ("LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")


def _message(payload: Mapping[str, Any], files: int) -> Iterator[Problem]:
    yield from _text(payload, "content", CONTENT, "content")
    yield from _text(payload, "username", USERNAME, "username")
    yield from _username(payload.get("username"))
    yield from _url(payload, "avatar_url", "avatar_url")
    yield from _allowed_mentions(payload.get("allowed_mentions"))
    if files > FILES:
        yield "files", "BASE_TYPE_BAD_LENGTH", f"Must be between 1 and {FILES} in length."
    embeds = payload.get("embeds")
    if embeds is None:
        return
    if not isinstance(embeds, list):
        yield "embeds", *_NO_LIST
        return
    if len(embeds) > EMBEDS:
        yield "embeds", "BASE_TYPE_MAX_LENGTH", f"Must be {EMBEDS} or fewer in length."
    for at, embed in enumerate(embeds):
        if isinstance(embed, dict):
            yield from _embed(embed, f"embeds.{at}")
        else:
            yield f"embeds.{at}", *_NO_MODEL
    if sum(map(_size, embeds)) > TOTAL:
        yield "embeds", "MAX_EMBED_SIZE_EXCEEDED", f"Embed size exceeds maximum size of {TOTAL}"


def _embed(embed: Mapping[str, Any], path: str) -> Iterator[Problem]:
    yield from _text(embed, "title", TITLE, f"{path}.title")
    yield from _text(embed, "description", DESCRIPTION, f"{path}.description")
    yield from _url(embed, "url", f"{path}.url")
    yield from _color(embed.get("color"), f"{path}.color")
    yield from _time(embed.get("timestamp"), f"{path}.timestamp")
    for name, check_part in _PARTS.items():
        part = embed.get(name)
        if isinstance(part, dict):
            yield from check_part(part, f"{path}.{name}")
        elif part is not None:
            yield f"{path}.{name}", *_NO_MODEL
    fields = embed.get("fields")
    if fields is None:
        return
    if not isinstance(fields, list):
        yield f"{path}.fields", *_NO_LIST
        return
    if len(fields) > FIELDS:
        yield f"{path}.fields", "BASE_TYPE_MAX_LENGTH", f"Must be {FIELDS} or fewer in length."
    for at, field in enumerate(fields):
        if isinstance(field, dict):
            yield from _text(field, "name", FIELD_NAME, f"{path}.fields.{at}.name", required=True)
            yield from _text(field, "value", FIELD_VALUE, f"{path}.fields.{at}.value", required=True)
        else:
            yield f"{path}.fields.{at}", *_NO_MODEL


def _author(part: Mapping[str, Any], path: str) -> Iterator[Problem]:
    yield from _text(part, "name", AUTHOR, f"{path}.name", required=True)
    yield from _url(part, "url", f"{path}.url")
    yield from _url(part, "icon_url", f"{path}.icon_url", attached=True)


def _footer(part: Mapping[str, Any], path: str) -> Iterator[Problem]:
    yield from _text(part, "text", FOOTER, f"{path}.text", required=True)
    yield from _url(part, "icon_url", f"{path}.icon_url", attached=True)


def _picture(part: Mapping[str, Any], path: str) -> Iterator[Problem]:
    yield from _url(part, "url", f"{path}.url", attached=True)


_PARTS: Final[Mapping[str, Callable[[Mapping[str, Any], str], Iterator[Problem]]]] = {
    "author": _author,
    "footer": _footer,
    "image": _picture,
    "thumbnail": _picture,
}


def _text(holder: Mapping[str, Any], name: str, most: int, path: str, *, required: bool = False) -> Iterator[Problem]:
    value = holder.get(name)
    if isinstance(value, bool | list | dict):
        yield path, "STRING_TYPE_CONVERT", "Could not interpret the value as string."
    elif required and (value is None or not str(value).strip()):
        yield path, "BASE_TYPE_REQUIRED", "This field is required"
    elif value is not None and len(str(value)) > most:
        yield path, "BASE_TYPE_MAX_LENGTH", f"Must be {most} or fewer in length."


def _username(value: Any) -> Iterator[Problem]:
    if not isinstance(value, str):
        return
    if not value.strip():
        yield "username", "BASE_TYPE_BAD_LENGTH", f"Must be between 1 and {USERNAME} in length."
    for word in ("clyde", "discord"):
        if word in value.lower():
            yield "username", "USERNAME_INVALID_CONTAINS", f'Username cannot contain "{word}"'


def _url(holder: Mapping[str, Any], name: str, path: str, *, attached: bool = False) -> Iterator[Problem]:
    value = holder.get(name)
    if value is None or (attached and isinstance(value, str) and value.startswith("attachment://")):
        return
    if not isinstance(value, str):
        yield path, "STRING_TYPE_CONVERT", "Could not interpret the value as string."
        return
    scheme = value.partition("://")[0] if "://" in value else value.partition(":")[0] if ":" in value else ""
    if scheme.lower() not in ("http", "https"):
        said = f"Scheme \"{scheme.lower()}\" is not supported. Scheme must be one of ('http', 'https')."
        yield path, "URL_TYPE_INVALID_SCHEME", said
    elif len(value) > 2048 or not _URL.fullmatch(value):
        yield path, "URL_TYPE_INVALID_URL", "Not a well formed URL."


def _color(value: Any, path: str) -> Iterator[Problem]:
    if value is None:
        return
    try:
        number = int(value)
    except (TypeError, ValueError):
        yield path, "NUMBER_TYPE_COERCE", f'Value "{str(value)[:40]}" is not int.'
        return
    if number < 0:
        yield path, "NUMBER_TYPE_MIN", "int value should be greater than or equal to 0."
    elif number > LARGEST_COLOR:
        yield path, "NUMBER_TYPE_MAX", f"int value should be less than or equal to {LARGEST_COLOR}."


def _time(value: Any, path: str) -> Iterator[Problem]:
    if value is None:
        return
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        yield path, "DATE_TIME_TYPE_PARSE", f"Could not parse {str(value)[:40]}. Should be ISO8601."


def _allowed_mentions(allowed: Any) -> Iterator[Problem]:
    if allowed is None:
        return
    if not isinstance(allowed, dict):
        yield "allowed_mentions", *_NO_MODEL
        return
    for name in ("parse", "users", "roles"):
        listed = allowed.get(name)
        if listed is not None and not isinstance(listed, list):
            yield f"allowed_mentions.{name}", *_NO_LIST
            continue
        for at, value in enumerate(listed or ()):
            if name == "parse" and value not in _MENTIONS:
                said = f"Value must be one of {{{', '.join(map(repr, _MENTIONS))}}}."
                yield f"allowed_mentions.parse.{at}", "BASE_TYPE_CHOICES", said
        if name != "parse" and len(listed or ()) > 100:
            yield f"allowed_mentions.{name}", "BASE_TYPE_MAX_LENGTH", "Must be 100 or fewer in length."
        if name != "parse" and listed and isinstance(parse := allowed.get("parse"), list) and name in parse:
            said = f'parse:["{name}"] and {name}: [ids...] are mutually exclusive.'
            yield "allowed_mentions", "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE", said


def _size(embed: Any) -> int:
    """Characters that count towards :data:`TOTAL`."""
    if not isinstance(embed, dict):
        return 0
    author, footer = embed.get("author"), embed.get("footer")
    fields = embed.get("fields")
    texts = [
        embed.get("title"),
        embed.get("description"),
        author.get("name") if isinstance(author, dict) else None,
        footer.get("text") if isinstance(footer, dict) else None,
    ]
    for field in fields if isinstance(fields, list) else ():
        if isinstance(field, dict):
            texts += [field.get("name"), field.get("value")]
    return sum(len(text) for text in texts if isinstance(text, str))


def _says(embed: Mapping[str, Any]) -> bool:
    return bool(_size(embed) or embed.get("image") or embed.get("thumbnail"))


def may_ping(payload: Mapping[str, Any]) -> Callable[[str, str], bool]:
    """Which mentions in the content notify somebody: ``may_ping(payload)("users", "42")``.

    A webhook may mention everyone, unless ``allowed_mentions`` says otherwise.
    """
    allowed = payload.get("allowed_mentions")
    if not isinstance(allowed, dict):
        return lambda kind, who: True
    parse = allowed.get("parse") or ()

    def pings(kind: str, who: str) -> bool:
        return kind in parse or (kind != "everyone" and who in map(str, allowed.get(kind) or ()))

    return pings
