"""The stack from an empty environment: healthy, valid, small, and closed to everybody who is not on this machine."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from stack import ROOT, SERVERS, Stack, fetch, get, wait_for

VALIDATIONS = {  # service, entrypoint ("" for the image's own), arguments, and a typo that must be found
    "collector": ("", ["validate", "--config=/etc/otelcol-contrib/config.yaml"], ("memory_limiter:", "memory_limitr:")),
    "prometheus": ("promtool", ["check", "config", "/etc/prometheus/prometheus.yml"], ("retention:", "retencion:")),
    "tempo": ("", ["-config.file=/etc/tempo.yaml", "-config.verify=true"], ("block_retention", "block_retencion")),
    "loki": ("", ["-config.file=/etc/loki/loki.yaml", "-verify-config"], ("retention_period", "retencion_period")),
}
FILES = {
    "collector": ("collector/config.yaml", "/etc/otelcol-contrib/config.yaml"),
    "prometheus": ("prometheus/prometheus.yml", "/etc/prometheus/prometheus.yml"),
    "tempo": ("tempo/tempo.yaml", "/etc/tempo.yaml"),
    "loki": ("loki/loki.yaml", "/etc/loki/loki.yaml"),
}


def test_everything_runs(stack: Stack) -> None:
    def settled() -> dict[str, Any]:
        found = {container["Service"]: container for container in stack.containers()}
        return {} if any(found[server]["Health"] == "starting" for server in SERVERS) else found

    states = wait_for(settled, 60, "health states, after what an earlier test restarted")
    for server in SERVERS:
        assert states[server]["State"] == "running"
        assert states[server]["Health"] in ("healthy", ""), server
    assert {server for server in SERVERS if not states[server]["Health"]} == {"collector", "tempo"}, (
        "their images cannot ask"
    )
    assert states["collector-queue"]["State"] == "exited"
    assert states["collector-queue"]["ExitCode"] == 0


@pytest.mark.parametrize("service", VALIDATIONS)
def test_each_server_accepts_its_file_and_would_refuse_a_typo(stack: Stack, tmp_path: Path, service: str) -> None:
    entrypoint, arguments, (right, wrong) = VALIDATIONS[service]
    source, target = FILES[service]
    text = (ROOT / source).read_text()
    assert right in text
    tmp_path.chmod(0o755)
    typo = tmp_path / "typo.yaml"
    typo.write_text(text.replace(right, wrong))

    def validate(file: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *("docker", "compose", "run", "--rm", "--no-deps", "--quiet-pull"),
                *(["--entrypoint", entrypoint] if entrypoint else []),
                *("--volume", f"{file}:{target}:ro", service, *arguments),
            ],
            cwd=ROOT, env=stack.environ, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    good = validate(ROOT / source)
    assert good.returncode == 0, good.stderr + good.stdout
    bad = validate(typo)
    assert bad.returncode != 0
    assert wrong.rstrip(":") in bad.stderr + bad.stdout


def test_a_wrong_variable_is_composes_own_message() -> None:
    done = subprocess.run(
        ["docker", "compose", "config", "--quiet"],
        cwd=ROOT,
        env={**os.environ, "MCBOT_GRAFANA_PORT": "threethousand"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "threethousand" in done.stderr


def test_it_cannot_hurt_the_machine_that_it_shares(stack: Stack) -> None:
    limits = {}
    for server in SERVERS:
        container = stack.inspect(server)
        host = container["HostConfig"]
        limits[server] = host["Memory"]
        assert host["Memory"] > 0
        assert host["OomScoreAdj"] >= 500, "before the bot"
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert not host["CapAdd"]
        assert "no-new-privileges:true" in host["SecurityOpt"]
        assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}
        assert container["Config"]["User"] not in ("", "0", "root", "0:0")
        for bindings in host["PortBindings"].values():
            assert {binding["HostIp"] for binding in bindings} == {"127.0.0.1"}
    print(f"limits: {sum(limits.values()) >> 20} MiB in all")
    assert sum(limits.values()) < 2_000_000_000


def test_grafana_shows_to_everybody_and_obeys_nobody(stack: Stack) -> None:
    grafana = stack.url["grafana"]
    assert fetch(f"{grafana}/api/org")[0] == 200
    assert fetch(f"{grafana}/api/datasources", {"name": "x", "type": "loki", "access": "proxy"})[0] in (401, 403)
    for password in ("admin", ""):
        status, answer = fetch(f"{grafana}/login", {"user": "admin", "password": password})
        assert status in (400, 401), answer


def test_grafana_reaches_every_store(stack: Stack) -> None:
    assert stack.proxy("prometheus", "api/v1/query", query="1")["status"] == "success"
    assert stack.proxy("loki", "loki/api/v1/labels")["status"] == "success"
    assert "traces" in stack.proxy("tempo", "api/search", q="{}")


def test_the_host_and_the_collector_tell_of_themselves(stack: Stack) -> None:
    for query in (
        'system_cpu_utilization_ratio{job="mcbot/host", instance="host"}',
        'system_memory_usage_bytes{job="mcbot/host", instance="host"}',
        'otelcol_exporter_queue_size{job="mcbot/collector", instance="collector", exporter="otlp_http/prometheus"}',
        'otelcol_process_uptime_seconds_total{job="mcbot/collector"}',
    ):
        wait_for(lambda query=query: stack.prometheus(query), 45, query)
    (disk,) = stack.prometheus('max(system_filesystem_utilization_ratio{mountpoint="/"})')
    assert 0 < float(disk["value"][1]) < 1, "the machine's own disk, not the container's"


def test_the_oldest_sample_that_can_still_arrive_is_hours_old(stack: Stack) -> None:
    """What a bot or the Collector kept over a long outage comes behind the points of others that are newer."""
    config = get(f"{stack.url['prometheus']}/api/v1/status/config")["data"]["yaml"]
    assert "out_of_order_time_window: 12h" in config
    flags = json.dumps(get(f"{stack.url['prometheus']}/api/v1/status/flags")["data"])
    assert "created-timestamp-zero-ingestion" in flags
