"""The stack of ``compose.yaml`` under a name, ports and volumes of its own, and the questions that tests ask it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parents[2]

PROJECT = "-".join(
    [os.environ.get("MCBOT_TEST_STACK", "otel-mcbot-test"), *filter(None, [os.environ.get("PYTEST_XDIST_WORKER")])]
)
"""Name of the compose project; tests that run side by side have one each. It is taken down with its volumes before and
after: never the name of a stack in use."""

PORTS = {
    "MCBOT_GRAFANA_PORT": "grafana",
    "MCBOT_PROMETHEUS_PORT": "prometheus",
    "MCBOT_TEMPO_PORT": "tempo",
    "MCBOT_LOKI_PORT": "loki",
    "MCBOT_OTLP_GRPC_PORT": "otlp_grpc",
    "MCBOT_OTLP_HTTP_PORT": "otlp",
    "MCBOT_COLLECTOR_HEALTH_PORT": "collector",
    "MCBOT_PREVIEW_PORT": "preview",
}

LINES = 1000
"""Log lines that Grafana asks for where a panel says nothing else."""

SERVERS = ("collector", "prometheus", "tempo", "loki", "grafana", "preview")

OTHERS = ("OTEL_", "MCBOT_", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables of the caller that a bot must not see; the last two would win over OTEL_EXPORTER_OTLP_CERTIFICATE."""

T = TypeVar("T")


def wait_for(ask: Callable[[], T], timeout: float = 30.0, what: str = "") -> T:
    """The first true answer. Errors of a connection are answers that are not true yet."""
    end = time.monotonic() + timeout
    answer: Any = None
    while True:
        try:
            if answer := ask():
                return answer
        except (OSError, json.JSONDecodeError) as error:
            answer = error
        assert time.monotonic() < end, f"{what or ask} was still {answer!r} after {timeout} s"
        time.sleep(0.2)


def settle(ask: Callable[[], Any], wanted: Any, timeout: float = 60.0, what: str = "") -> None:
    """Wait until the answer is what is wanted; fails with the last answer that was not."""
    answers: list[Any] = []

    def asked() -> bool:
        answers[:] = [ask()]
        return answers[0] == wanted

    try:
        wait_for(asked, timeout)
    except AssertionError:
        raise AssertionError(f"{what}: {answers} instead of {wanted!r} after {timeout} s") from None


def last_hour() -> tuple[int, int]:
    """Begin and end, Unix milliseconds."""
    now = int(time.time() * 1000)
    return now - 3_600_000, now


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def fetch(url: str, body: Any = None, *, headers: Mapping[str, str] = {}, timeout: float = 30.0) -> tuple[int, bytes]:
    """Status and body; a refusal is an answer, no connection is an ``OSError``."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    kind = {} if data is None or "Content-Type" in headers else {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data=data, headers={**kind, **headers})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read()


def get(url: str, **parameters: Any) -> Any:
    """The JSON there; an answer other than 200 is an ``OSError``, so that :func:`wait_for` asks again."""
    if parameters:
        url += "?" + urllib.parse.urlencode(parameters)
    status, body = fetch(url)
    if status != 200:
        raise OSError(f"{status} from {url}: {body[:500].decode(errors='replace')}")
    return json.loads(body)


def put_in(query: str, values: Mapping[str, str], *, interval: float = 60.0, span: float = 3600.0) -> str:
    """A query as Grafana's pages ask it: the dashboard's variables filled in, and those that follow from the time."""
    known = {
        "__rate_interval": f"{max(interval + 10, 40):.0f}s",
        "__interval": f"{interval:.0f}s",
        "__range": f"{span:.0f}s",
        **values,
    }
    return re.sub(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))", lambda found: known[found[1] or found[2]], query)


class Stack:
    """The running servers. ``url["grafana"]`` and so on are their addresses on this machine."""

    def __init__(self, project: str = PROJECT) -> None:
        self.project = project
        ports = free_ports(len(PORTS))
        self.url = {name: f"http://127.0.0.1:{port}" for name, port in zip(PORTS.values(), ports, strict=True)}
        # an empty environment besides the name and the ports: nothing of the caller's may make it work
        self.environ = {key: os.environ[key] for key in ("PATH", "HOME", "DOCKER_HOST") if key in os.environ}
        self.environ |= {"MCBOT_STACK_NAME": project}
        self.environ |= {variable: str(port) for variable, port in zip(PORTS, ports, strict=True)}
        self.said: list[str] = []

    def compose(self, *arguments: str, timeout: float = 300.0, check: bool = True) -> str:
        done = subprocess.run(
            ["docker", "compose", *arguments],
            cwd=ROOT, env=self.environ, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"docker compose {' '.join(arguments)}: {done.stderr}"
        return done.stdout if check else done.stdout + done.stderr

    def up(self, *services: str) -> None:
        self.compose("up", "-d", "--wait", *services)
        self.wait_ready()

    def wait_ready(self) -> None:
        for url in (
            f"{self.url['collector']}/",
            f"{self.url['prometheus']}/-/ready",
            f"{self.url['loki']}/ready",
            f"{self.url['tempo']}/ready",
            f"{self.url['grafana']}/api/health",
        ):
            wait_for(lambda url=url: fetch(url, timeout=5)[0] == 200, 60, url)

    def logs(self) -> list[str]:
        """All lines that the servers wrote, those of containers that are gone too, as ``service | line``."""
        lines = self.compose("--profile", "demo", "logs", "--no-color", "--no-log-prefix=false").splitlines()
        return self.said + [re.sub(r"^(\S+?)-\d+\s*\|", r"\1 |", line) for line in lines]

    def down(self, *, volumes: bool = False) -> None:
        self.said = self.logs()
        self.compose("--profile", "demo", "down", *(["--volumes"] if volumes else []))

    def containers(self) -> list[dict[str, Any]]:
        """What ``docker compose ps`` says, those that ended too."""
        lines = self.compose("--profile", "demo", "ps", "--all", "--format", "json").splitlines()
        return [json.loads(line) for line in lines]

    def inspect(self, service: str) -> dict[str, Any]:
        (container,) = self.compose("ps", "--all", "--quiet", service).split()
        done = subprocess.run(["docker", "inspect", container], capture_output=True, text=True, check=True)
        return json.loads(done.stdout)[0]

    def bot(
        self, state: Path, instance: str, *command: str, environ: Mapping[str, str] = {}, streams: int = subprocess.PIPE
    ) -> subprocess.Popen[str]:
        """A Python program that sends here.

        Args:
            state: its state directory, where standard error is kept too.
            environ: variables besides those that make it send here; of the caller's it sees none of :data:`OTHERS`.
            streams: of standard input and output.
        """
        kept = {key: value for key, value in os.environ.items() if not key.startswith(OTHERS)}
        own = {"PYTHONPATH": str(ROOT), "MCBOT_STATE_DIR": str(state), "MCBOT_INSTANCE_ID": instance}
        with (state / f"{instance}.err").open("a") as errors:
            return subprocess.Popen(
                [sys.executable, *command],
                env={**kept, **own, "OTEL_EXPORTER_OTLP_ENDPOINT": self.url["otlp"], **environ},
                stdin=streams,
                stdout=streams,
                stderr=errors,
                text=True,
            )

    # -- each server's own interface ------------------------------------------------------------------

    def prometheus(self, query: str, time: float | None = None) -> list[dict[str, Any]]:
        """The result of an instant query."""
        at = {} if time is None else {"time": time}
        return get(f"{self.url['prometheus']}/api/v1/query", query=query, **at)["data"]["result"]

    def value(self, query: str, time: float | None = None) -> float | None:
        """The one value of an instant query, ``None`` without one."""
        result = self.prometheus(query, time)
        assert len(result) < 2, result
        return float(result[0]["value"][1]) if result else None

    def samples(self, series: str) -> list[tuple[float, float]]:
        """Times and values of one series, as stored, oldest first."""
        result = self.prometheus(series)
        assert len(result) < 2, result
        return [(float(at), float(value)) for at, value in result[0]["values"]] if result else []

    def loki(self, query: str, *, limit: int = 1000) -> list[dict[str, Any]]:
        """Log lines of the last hour: their labels (structured metadata among them), with the line as ``line``."""
        now = time.time_ns()
        data = get(
            f"{self.url['loki']}/loki/api/v1/query_range",
            query=query, limit=limit, start=now - 3600 * 10**9, end=now + 60 * 10**9,
        )["data"]  # fmt: skip
        return [{**stream["stream"], "line": line} for stream in data["result"] for _, line, *_ in stream["values"]]

    def log_count(self, selector: str) -> int:
        result = get(f"{self.url['loki']}/loki/api/v1/query", query=f"sum(count_over_time({selector}[6h]))")
        return int(result["data"]["result"][0]["value"][1]) if result["data"]["result"] else 0

    def traces(self, query: str, limit: int = 20) -> list[dict[str, Any]]:
        """What a TraceQL search of the last hour finds."""
        now = int(time.time())
        return get(f"{self.url['tempo']}/api/search", q=query, limit=limit, spss=1, start=now - 3600, end=now + 60).get(
            "traces", []
        )

    # -- through Grafana, as an anonymous Viewer --------------------------------------------------------

    def grafana(
        self, source: str, query: Mapping[str, Any], *, times: tuple[int, int] | None = None
    ) -> list[dict[str, Any]]:
        """The frames that a panel would get, from the server-side query of Grafana; ``OSError`` when it says no.

        Args:
            times: begin and end, Unix milliseconds; the last hour when not given.
        """
        begin, end = times or last_hour()
        body = {
            "from": str(begin),
            "to": str(end),
            "queries": [
                {"refId": "A", "datasource": {"uid": source}, "intervalMs": 10_000, "maxDataPoints": 1000, **query}
            ],
        }
        status, answer = fetch(f"{self.url['grafana']}/api/ds/query", body)
        if status != 200:
            raise OSError(f"{status} for {query}: {answer[:500].decode(errors='replace')}")
        return json.loads(answer)["results"]["A"].get("frames", [])

    def panel(
        self,
        target: Mapping[str, Any],
        values: Mapping[str, str],
        *,
        times: tuple[int, int] | None = None,
        interval: float = 60.0,
    ) -> list[dict[str, Any]]:
        """What a panel gets of a target: frames, or traces of a search.

        Args:
            values: variable → what is picked.
            times: as in :meth:`grafana`.
            interval: seconds from point to point.
        """
        begin, end = times or last_hour()
        source = target["datasource"]["uid"]
        name = "query" if source == "tempo" else "expr"
        filled = put_in(target[name], values, interval=interval, span=(end - begin) // 1000)
        asked = {**target, name: filled, "refId": "A", "intervalMs": int(interval * 1000), "maxLines": LINES}
        if source == "tempo":
            if not re.fullmatch("[0-9a-f]+", filled):
                traces: list[dict[str, Any]] = self.proxy(
                    "tempo", "api/search", q=filled, limit=target["limit"], start=begin // 1000, end=end // 1000
                ).get("traces", [])
                return traces
            asked["queryType"] = "traceId"
        return self.grafana(source, asked, times=(begin, end))

    def proxy(self, source: str, path: str, **parameters: Any) -> Any:
        """What the data source's server answers to Grafana."""
        return get(f"{self.url['grafana']}/api/datasources/proxy/uid/{source}/{path}", **parameters)


def column(frame: Mapping[str, Any], name: str) -> list[Any]:
    """A field's values of a Grafana frame; empty when it has none of that name."""
    for field, values in zip(frame["schema"]["fields"], frame["data"]["values"], strict=True):
        if field["name"] == name:
            return values
    return []
