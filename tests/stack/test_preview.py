"""The Discord preview as a service: Grafana reaches it by name, it keeps what came, it stays small and shut in."""

from __future__ import annotations

import json
import time

from stack import Stack, fetch, get, wait_for

CHANNEL = "test-of-preview"
INSIDE = f"http://preview:8090/api/webhooks/preview/{CHANNEL}"


def post(stack: Stack, payload: object) -> None:
    """From Grafana's container, as Grafana does."""
    stack.compose(
        *("exec", "-T", "grafana", "wget", "-q", "-O", "-", "--header", "Content-Type: application/json"),
        *("--post-data", json.dumps(payload), INSIDE),
    )


def test_what_grafana_says_is_shown_and_outlives_a_restart(stack: Stack) -> None:
    preview = stack.url["preview"]
    began = time.time()
    post(stack, {"content": "**BotDown** <b>", "embeds": [{"title": "t", "url": "http://localhost:3000/"}]})
    (message,) = get(f"{preview}/messages.json", channel=CHANNEL)
    assert message["payload"]["content"] == "**BotDown** <b>"
    assert message["refused"] is None
    assert began - 2 < message["received"] < time.time() + 2
    assert b"<b>BotDown</b> &lt;b&gt;" in fetch(f"{preview}/?channel={CHANNEL}")[1]

    stack.compose("restart", "preview")
    assert wait_for(lambda: get(f"{preview}/messages.json", channel=CHANNEL), 30) == [message]
    wait_for(lambda: stack.inspect("preview")["State"]["Health"]["Status"] == "healthy", 60, "health")


def test_its_container(stack: Stack) -> None:
    container = stack.inspect("preview")
    assert container["State"]["Health"]["Status"] == "healthy"
    assert container["Config"]["User"] == "10001:10001"
    assert container["HostConfig"]["ReadonlyRootfs"]
    assert container["HostConfig"]["Memory"] == 48 * 2**20
    assert not container["State"]["OOMKilled"]
    assert container["HostConfig"]["PortBindings"]["8090/tcp"][0]["HostIp"] == "127.0.0.1"
