"""A bot on another host: TLS and a token, by the files that docs/operating.md gives."""

from __future__ import annotations

import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Start
from pages import block
from stack import ROOT, Stack, fetch, free_ports, wait_for

TOKEN = "a-token-of-32-characters-or-more-000"


@pytest.fixture
def remote(stack: Stack, tmp_path: Path) -> Iterator[str]:
    """The stack with the files of that section; the address of the port that they open."""
    (port,) = free_ports(1)
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=stack"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        cwd=tmp_path, capture_output=True, check=True,
    )  # fmt: skip
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "remote.yaml").write_text(block("remote"))
    override = tmp_path / "override.yaml"
    override.write_text(
        block("override").replace("./collector", str(tmp_path)).replace("4319:4319", f"127.0.0.1:{port}:4319")
    )
    for file in tmp_path.iterdir():
        file.chmod(0o644)
    stack.compose("-f", str(ROOT / "compose.yaml"), "-f", str(override), "up", "-d", "--wait", "collector")
    stack.wait_ready()
    yield f"https://127.0.0.1:{port}"
    stack.up("collector")


@pytest.mark.timeout(120)
def test_a_bot_with_the_token_is_heard_and_nobody_else(stack: Stack, start: Start, remote: str, tmp_path: Path) -> None:
    headers = tmp_path / "headers"
    headers.write_text(f"Authorization=Bearer%20{TOKEN}")
    bot = start(
        "born",
        "remote",
        OTEL_EXPORTER_OTLP_ENDPOINT=remote,
        OTEL_EXPORTER_OTLP_CERTIFICATE=str(tmp_path / "cert.pem"),
        OTEL_EXPORTER_OTLP_HEADERS_FILE=str(headers),
        OTEL_METRIC_EXPORT_INTERVAL="1000",
    )
    wait_for(lambda: bot.poll() is None and stack.value('mcbot_expected_up{instance="remote"}') == 1, 30)
    for authorization in ({}, {"Authorization": "Bearer wrong"}):
        request = urllib.request.Request(
            f"{remote}/v1/metrics", b"{}", {"Content-Type": "application/json", **authorization}
        )
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(request, context=ssl.create_default_context(cafile=tmp_path / "cert.pem"))
        assert refusal.value.code == 401
    assert fetch(remote.replace("https:", "http:"))[0] == 400, "not spoken to without TLS"
