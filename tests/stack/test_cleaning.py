"""What must not be stored: secrets of a bot that leaks on purpose, and anything of a backtest."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

from otlp import any_value, attributes, counter, logs, metrics, point, send, spans
from stack import Stack, get, wait_for

SECRET = "hunter2" + secrets.token_hex(12)  # the same in all that leaks, so that one search finds any of it
KEY = f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----"

LEAKS: dict[str, Any] = {
    "api_key": SECRET,
    "exchange.secret": SECRET,
    "http.request.header.authorization": f"Bearer {SECRET}",
    "url": f"https://discord.com/api/webhooks/1234/{SECRET}",
    "proxy": f"http://me:{SECRET}@proxy:8080",
    "query": f"symbol=BTCUSDT&signature={SECRET}&timestamp=1",
    "config": {"venue": "binance", "apiSecret": SECRET},
    "arguments": ["buy", f"secret={SECRET}"],
    "pem": KEY,
    "text": f"Authorization: Basic {SECRET}, password: {SECRET}",
    "jwt": f"eyJhbGciOiJIUzI1NiJ9.{SECRET}.{SECRET}",
}
HARMLESS = {
    "trading.instrument.symbol": "BTC/USDT",
    "trading.order.client_id": "ctrend-btcusdt-17",
    "tokens": "PEPE",
    "n": 3,
}


def span(**more: Any) -> dict[str, Any]:
    now = time.time_ns()
    return {
        "trace_id": secrets.token_bytes(16),
        "span_id": secrets.token_bytes(8),
        "name": "leak",
        "kind": "SPAN_KIND_INTERNAL",
        "start_time_unix_nano": now,
        "end_time_unix_nano": now + 10**6,
        **more,
    }


def test_a_bot_that_leaks(stack: Stack) -> None:
    leaking = span(
        name=f"GET /api?api_key={SECRET}",
        attributes=attributes(LEAKS | HARMLESS),
        events=[{"name": "exception", "attributes": attributes({"exception.message": f"401 for api_key={SECRET}"})}],
        status={"code": "STATUS_CODE_ERROR", "message": f"password={SECRET} refused"},
    )
    send(stack.url["otlp"], spans("leaky", leaking))
    send(
        stack.url["otlp"],
        logs(
            "leaky",
            *(
                {"time_unix_nano": time.time_ns(), "body": any_value(body), "attributes": attributes(LEAKS | HARMLESS)}
                for body in (f"ordinary line, secret={SECRET}", KEY, {"config": {"passphrase": SECRET}})
            ),
        ),
    )
    send(
        stack.url["otlp"],
        metrics("leaky", counter("raw.leak", [point(1, url=LEAKS["url"], api_key=SECRET, **HARMLESS)])),
    )

    lines = wait_for(lambda: len(found := stack.loki('{service_instance_id="leaky"}')) == 3 and found)
    trace = wait_for(lambda: get(f"{stack.url['tempo']}/api/traces/{leaking['trace_id'].hex()}"))
    series = wait_for(lambda: stack.prometheus('raw_leak_total{instance="leaky"}'))
    for stored in (lines, trace, series):
        text = json.dumps(stored)
        assert SECRET not in text
        assert "****" in text
        for value in ("BTC/USDT", "ctrend-btcusdt-17", "PEPE"):
            assert value in text
    assert "ordinary line" in json.dumps(lines)
    (stored_span,) = trace["batches"][0]["scopeSpans"][0]["spans"]
    assert stored_span["name"] == "GET /api?****"
    assert stored_span["status"]["message"] == "**** refused"
    assert not [each["key"] for each in stored_span["attributes"] if "lent" in each["key"]]


def test_a_backtest_is_dropped(stack: Stack) -> None:
    """Sent before and after one of the same bot on paper, which arrives: so it did not just come late."""
    for mode in ("backtest", "paper", "backtest"):
        send(stack.url["otlp"], metrics(f"mode-{mode}", counter("raw.mode", [point(1)]), mode=mode))
        send(
            stack.url["otlp"],
            logs(f"mode-{mode}", {"time_unix_nano": time.time_ns(), "body": any_value(mode)}, mode=mode),
        )
        send(stack.url["otlp"], spans(f"mode-{mode}", span(name=mode), mode=mode))
    wait_for(lambda: stack.prometheus('raw_mode_total{instance="mode-paper"}'))
    wait_for(lambda: stack.loki('{service_instance_id="mode-paper"}'))
    wait_for(lambda: stack.traces('{resource.service.instance.id="mode-paper"}'))
    assert not stack.prometheus('{instance="mode-backtest"}')
    assert not stack.loki('{service_instance_id="mode-backtest"}')
    assert not stack.traces('{resource.service.instance.id="mode-backtest"}')
