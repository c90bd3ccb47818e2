"""Secrets go, everything else stays; and no text can make the search slow."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_mcbot.redaction import REDACTED, Redactor

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.sflKxwRJSMeKKF2QT4"
HEX = "9f8e7d6c5b4a39281706f5e4d3c2b1a0"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("POST https://discord.com/api/webhooks/123456789012345678/abcDEF_ghi-jkl 404", "abcDEF_ghi-jkl"),
        ("https://canary.discordapp.com/api/v10/webhooks/123456789012345678/tok/messages/1", "/tok"),
        ("https://discord.com/api/interactions/123456789012345678/aW50ZXJhY3Rpb24/callback", "aW50ZXJhY3Rpb24"),
        ("Authorization: Bearer abc.def", "abc.def"),
        ("{'Authorization': 'Basic dXNlcjpwYXNz'}", "dXNlcjpwYXNz"),
        ("sent with bearer " + HEX, HEX),
        ("GET /api/v3/order?symbol=BTCUSDT&timestamp=17&signature=deadbeef00&x=1", "deadbeef00"),
        ("apiKey=abc123 more", "abc123"),
        ("api_key: abc123", "abc123"),
        ("X-MBX-APIKEY: vmPUZE6mv9SD", "vmPUZE6mv9SD"),
        ("OK-ACCESS-SIGN: AbCdEf0123456789AbCdEf==", "AbCdEf0123456789"),
        ("OK-ACCESS-PASSPHRASE: tulip", "tulip"),
        ("{'apiKey': 'abc', 'secret': \"x y z\", 'uid': 12}", "x y z"),
        ('{"apiKey": "abc-1", "uid": 12}', "abc-1"),
        (r'"{\"apiKey\": \"abc-1\", \"uid\": 12}"', "abc-1"),
        ("Config(api_key='abc-1', symbol='BTC/USDT')", "abc-1"),
        ("password=hunter2, user=bob", "hunter2"),
        ("client_secret => s3cr3t", "s3cr3t"),
        ("API key " + HEX + " refused", HEX),
        ("bot token is NzkyNzE1NDU0MTk2MDg4.X-hvzA.Ovy4MCQywSkoMRRclStW4", "Ovy4MCQywSkoMRRclStW4"),
        ("redis://:pa55@host:6379/0", "pa55"),
        ("postgres://u:p@ss@db/x", "p@ss"),
        ("https://ghp_token1@github.com/a/b", "ghp_token1"),
        ("jwt " + JWT, "sflKxwRJSMeKKF2QT4"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----", "MIIEow"),
        ("-----BEGIN PRIVATE KEY-----\\nMIIEow", "MIIEow"),
    ],
)
def test_an_announced_secret_goes(text: str, secret: str) -> None:
    clean = Redactor().text(text)
    assert secret not in clean
    assert REDACTED in clean


@pytest.mark.parametrize(
    "text",
    [
        "BTC/USDT buy 0.01 filled at 64010.5 (ctrend)",
        "order ctrend-btcusdt-12 filled, venue id 8389765544391, fill 284710-3",
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
        "trace 4bf92f3577b34da6a3ce929d0e0e4736 span 00f067aa0ba902b7",
        "Invalid API-key, IP, or permissions for action.",
        "API-key format invalid.",
        "token=PEPE token: BTC/USDT max_tokens=1024",
        "key 12 of 20, monkey, keyboard",
        "signal: LONG strength 0.73, design: x",
        "password: None",
        "api_key=null",
        "mail bob@example.com about https://example.com/users/me@example.com",
        "wss://stream.binance.com:9443/ws/btcusdt@trade",
        "bearer of bad news",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redactor(["hunter2hunter2"]).text(text) == text


def test_a_known_value_goes_wherever_it_is() -> None:
    secret = 'k9/Very+Secret"Value=='
    redactor = Redactor([secret])
    for text in (f"login {secret} ok", "q=k9%2FVery%2BSecret%22Value%3D%3D", r'{"a": "k9/Very+Secret\"Value=="}'):
        assert "Very" not in redactor.text(text)


def test_each_line_of_a_known_value_is_one() -> None:
    redactor = Redactor(["first-line-of-it\nsecond-line-of-it\n"])
    assert redactor.text("a second-line-of-it b") == f"a {REDACTED} b"


def test_of_two_known_values_the_longer_goes_whole() -> None:
    assert Redactor(["abcdefgh", "abcdefgh-and-more"]).text("x abcdefgh-and-more") == f"x {REDACTED}"


def test_the_environment_is_read_by_the_names_in_it() -> None:
    redactor = Redactor.from_environ(
        {
            "BINANCE_API_KEY": "key-of-binance",
            "binance_secret": "lower-case-name",
            "MCBOT_DISCORD_TOKEN": "token-of-discord",
            "MCBOT_DISCORD_URL": "https://discord.example/hook",
            "DB_PASSWORD": "short",
            "DB_PASSWORD_FILE": "/run/secrets/db",
            "TRADED_TOKENS": "BTC/USDT,ETH/USDT",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-team=alpha-team,authorization=Basic%20YWxhZGRpbg",
            "HOME": "/home/trader",
        },
        ["content of a file"],
    )
    text = (
        "key-of-binance lower-case-name token-of-discord https://discord.example/hook "
        "Basic YWxhZGRpbg alpha-team content of a file"
    )
    assert redactor.text(text) == " ".join([REDACTED] * 7)
    innocent = "short /run/secrets/db BTC/USDT,ETH/USDT /home/trader"
    assert redactor.text(innocent) == innocent


def test_an_attribute_goes_whole_where_its_key_says_so() -> None:
    redactor = Redactor()
    for key in ("password", "db.password", "apiKey", "exchange.api_key", "client-secret", "X-MBX-APIKEY", "cookie"):
        assert redactor.pair(key, "x") == REDACTED, key
        assert redactor.pair(key, 12345678) == REDACTED, key
    assert redactor.pair("bot_token", "a" * 20) == REDACTED
    assert redactor.pair("token", "PEPE") == "PEPE"
    assert redactor.pair("max_tokens", 1024) == 1024
    assert redactor.pair("has_api_key", True) is True
    assert redactor.pair("trading.order.client_id", "ctrend-btcusdt-12") == "ctrend-btcusdt-12"


def test_a_value_keeps_its_type() -> None:
    redactor = Redactor(["hunter2hunter2"])
    assert redactor.value(("a hunter2hunter2", 1.5)) == (f"a {REDACTED}", 1.5)
    assert redactor.value({"secret": "x", "n": [1, "hunter2hunter2"]}) == {"secret": REDACTED, "n": [1, REDACTED]}
    assert redactor.value(7) == 7


def test_a_value_that_holds_itself_ends() -> None:
    knot: dict[str, object] = {"password": "x"}
    knot["self"] = knot
    assert Redactor().value(knot)["password"] == REDACTED


def test_a_long_text_loses_its_middle() -> None:
    clean = Redactor().text("a" * 500 + "b" * 10_000 + "c" * 500, limit=1000)
    assert clean.startswith("a" * 500)
    assert clean.endswith("c" * 500)
    assert len(clean) < 1100


@given(place=st.integers(0, 12_000), shrink=st.integers(0, 40))
def test_no_part_of_a_secret_survives_a_cut(place: int, shrink: int) -> None:
    secret = "".join(f"<{number:03}>" for number in range(40))
    text = "x" * place + secret + "y" * (12_000 - place)
    text = (secret * shrink) + text if shrink else text  # other redactions move what is behind the edge
    clean = Redactor([secret]).text(text, limit=1000)
    assert not any(f"<{number:03}" in clean for number in range(40))


@given(st.text(max_size=300))
def test_never_raises_and_never_shrinks_to_nothing(text: str) -> None:
    assert bool(Redactor(["hunter2hunter2"]).text(text)) == bool(text)


@pytest.mark.parametrize(
    "bomb",
    [
        'secret="', "secret ", "://", "://a@", "eyJ", "eyJaaaaaaaaa.", "token ", "-----BEGIN PRIVATE KEY-----",
        "api_key", "token=" + "a" * 40, "authorization:", "bearer ", "/webhooks/1", "password" + " " * 50,
        "secret" + "." * 40, "sign=", '"', "\\", "secret='",
    ],
)  # fmt: skip
def test_no_text_makes_it_slow(bomb: str) -> None:
    """At most 40 ms of the processor; a pattern without its bounds takes 2 s and more for a text as long as this."""
    text = (bomb * (100_000 // len(bomb) + 1))[:100_000]
    began = time.thread_time()
    Redactor().text(text)
    assert time.thread_time() - began < 0.5
