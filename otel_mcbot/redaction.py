"""Keeping secrets out of what leaves the process.

Two nets. Values known to be secret (from the environment, or handed in) are replaced wherever they appear; words that
announce a secret (``apiKey=``, ``Authorization:``, a URL's ``user:password@`` …) have what follows them replaced.
Neither guesses what a secret looks like on its own, so ids, hashes and symbols stay readable.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote

REDACTED: Final = "[redacted]"
"""What stands where a secret stood."""

MIN_SECRET: Final = 8
"""Shorter values are not taken for secrets: a password ``test`` would make every log unreadable."""

_MARGIN: Final = 4096  # a secret up to this long is found even where a cut goes through it
_DEPTH: Final = 8

_SECRET_NAME: Final = re.compile(
    r"TOKEN|SECRET|PASSW|PASSPHRASE|API_?KEY|ACCESS_?KEY|PRIVATE|CREDENTIAL|WEBHOOK|DISCORD.*URL"
)
_PLACE_NAME: Final = re.compile(r"_(?:FILE|PATH|DIR)$")  # where a secret is, not what it is
_SYMBOLS: Final = re.compile(r"(?:,?[A-Z0-9]{2,12}/[A-Z]{2,12}(?::[A-Z]{2,12})?)+")  # TRADED_TOKENS=BTC/USDT,ETH/USDT

_SECRET_KEY: Final = re.compile(
    r"secret|passw|passphrase|(?:api|private|access)[ _.-]?key|authorization|credential|signature|cookie|webhook_?url",
    re.IGNORECASE,
)
_TOKEN_KEY: Final = re.compile(r"token$", re.IGNORECASE)
_TOKEN_LENGTH: Final = 16  # in this field a token is also a coin: token=PEPE stays


class _Rule(NamedTuple):
    words: tuple[str, ...]  # lower case; a text with none of them is not searched
    pattern: re.Pattern[str]
    mask: str


# Possessive quantifiers (++) and bounds keep every pattern linear: a log line must not be able to hold the bot up.
_RULES: Final = (
    _Rule(
        ("private key-----",),
        re.compile(
            r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,20}PRIVATE KEY-----|\Z)", re.DOTALL
        ),
        REDACTED,
    ),
    _Rule(
        ("/webhooks/", "/interactions/"),
        re.compile(r"(/(?:webhooks|interactions)/)\d++/[^/?\s\"'\\<>)]++", re.IGNORECASE),
        rf"\1{REDACTED}",
    ),
    _Rule(
        ("authorization",),
        re.compile(
            r"""(\bauthorization["'\\]*+\s*+[:=]\s*+["'\\]*+(?:(?:bearer|basic|bot|token|digest)\s++)?)[^\s"',;\\]++""",
            re.IGNORECASE,
        ),
        rf"\1{REDACTED}",
    ),
    _Rule(("bearer",), re.compile(r"(\bbearer\s++)[\w.~+/=-]{16,}+", re.IGNORECASE), rf"\1{REDACTED}"),
    _Rule(  # a word that announces a secret, = or :, and a value: quoted, or up to the next delimiter
        ("key", "secret", "passw", "passphrase", "credential", "signature"),
        re.compile(
            r"""((?:(?:api|private|access)[ _.-]?key|secret|passw(?:or)?d|passphrase|credentials?|signature)
                 [\w.-]{0,32}["'\\]*+\s*+(?:=>|[=:])\s*+)
                (?:(\\*+")[^"\n]++ | (\\*+')[^'\n]++ | (?!(?:none|null|true|false)\b)[^\s&,;"'(){}\[\]\\]++)""",
            re.IGNORECASE | re.VERBOSE,
        ),
        rf"\1\2\3{REDACTED}",
    ),
    _Rule(  # a word that may announce one, and something long with a digit in it
        ("key", "secret", "token", "sign=", "sign:", "sign'", 'sign"'),
        re.compile(
            r"""((?:token|\bsign|[_-]sign|(?:api|private|access)[ _-]?key|secret)
                 ["'\\]*+(?:\s*+[:=]\s*+|\s++(?:is\s++)?)["'\\]*+)
                (?=[\w+/.=-]{0,64}\d)[\w+/.=-]{16,}+""",
            re.IGNORECASE | re.VERBOSE,
        ),
        rf"\1{REDACTED}",
    ),
    _Rule(("eyj",), re.compile(r"\beyJ[\w-]{8,}+\.[\w-]{8,}+(?:\.[\w-]*+)?"), REDACTED),  # a JSON web token
    _Rule(("@",), re.compile(r"(://)[^\s/\"'<>]+@"), rf"\1{REDACTED}@"),
)
_WORDS: Final = tuple(dict.fromkeys(word for rule in _RULES for word in rule.words))


@lru_cache(maxsize=4096)
def _key_says(key: str) -> str | None:
    if _SECRET_KEY.search(key):
        return "secret"
    return "token" if _TOKEN_KEY.search(key) else None


class Redactor:
    """Replaces secrets by ``[redacted]``. Holds no state that changes: one object serves all threads.

    Args:
        secrets: values that must never appear, besides what the patterns find. Each is also looked for as URL and as
            JSON would write it, and a value of several lines line by line. Shorter than 8 characters is left out.
    """

    __slots__ = ("_secrets",)

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        found = {form for secret in secrets for form in _forms(secret)}
        self._secrets = tuple(sorted(found, key=len, reverse=True))  # the longest first: one may contain another

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], secrets: Iterable[str] = ()) -> Redactor:
        """With the values of the variables whose names say TOKEN, SECRET, PASSWORD, API_KEY, PRIVATE, WEBHOOK …

        Args:
            environ: as ``os.environ``. ``…_FILE``, ``…_PATH`` and ``…_DIR`` name a place and are left alone; of
                ``…_HEADERS`` (``key=value`` pairs separated by commas) each value counts.
            secrets: more values, as the contents of the ``…_FILE`` variables.
        """
        return cls([*_environ_secrets(environ), *secrets])

    def text(self, text: str, limit: int | None = None) -> str:
        """``text`` without secrets, and with its middle cut out where it is longer than ``limit`` characters."""
        if limit is None or len(text) <= limit:
            return self._clean(text)
        half = limit // 2
        # The cut may go through a secret: more is cleaned than is kept, and what was only looked at is dropped again.
        size = half + _MARGIN
        unsure = _MARGIN if len(text) > size else 0
        head = self._clean(text[:size])
        tail = self._clean(text[-size:])
        head = head[: min(half, max(0, len(head) - unsure))]
        tail = tail[max(len(tail) - half, unsure) :]
        return f"{head}\n[… {len(text) - 2 * half} characters …]\n{tail}"

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, REDACTED)
        lower = text.lower()
        for word in _WORDS:  # most texts are innocent, and this costs less than one regular expression
            if word in lower:
                break
        else:
            return text
        for words, pattern, mask in _RULES:
            if any(word in lower for word in words):
                text = pattern.sub(mask, text)
        return text

    def pair(self, key: str, value: Any) -> Any:
        """``value`` as the attribute ``key`` may carry it: whole behind a key that says secret, password, api_key …"""
        return self._pair(key, value, 0)

    def value(self, value: Any) -> Any:
        """``value`` without secrets, its type kept: strings, and those inside of lists, tuples and mappings."""
        return self._value(value, 0)

    def _pair(self, key: str, value: Any, depth: int) -> Any:
        says = _key_says(key)
        if says is None or value is None or isinstance(value, bool):
            return self._value(value, depth)
        if says == "token" and (not isinstance(value, str) or len(value) < _TOKEN_LENGTH):
            return self._value(value, depth)
        return REDACTED

    def _value(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self._clean(value)
        if depth >= _DEPTH:
            return value
        if isinstance(value, Mapping):
            return {key: self._pair(str(key), item, depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [self._value(item, depth + 1) for item in value]
        if isinstance(value, tuple):
            return tuple(self._value(item, depth + 1) for item in value)
        return value


def _forms(secret: str) -> Iterator[str]:
    secret = secret.strip()
    for part in {secret, *secret.splitlines()}:
        for form in (part, quote(part, safe=""), json.dumps(part)[1:-1], repr(part)[1:-1]):
            if len(form) >= MIN_SECRET:
                yield form


def _environ_secrets(environ: Mapping[str, str]) -> Iterator[str]:
    for name, value in environ.items():
        name = name.upper()
        if name.endswith("_HEADERS"):
            for item in value.split(","):
                yield unquote(item.partition("=")[2].strip())
        elif _SECRET_NAME.search(name) and not _PLACE_NAME.search(name) and not _SYMBOLS.fullmatch(value):
            yield value
