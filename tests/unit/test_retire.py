"""``otel-mcbot retire`` before a Prometheus and a Collector that answer as the real ones do."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from otel_mcbot import identity, retire
from otel_mcbot.cli import run
from otel_mcbot.settings import Settings

DEAD = {
    "job": "desk/grid",
    "instance": "g1",
    "service_name": "grid",
    "service_namespace": "desk",
    "service_instance_id": "g1",
    "deployment_environment_name": "prod",
    "trading_mode": "live",
}


@dataclass
class Double:
    """Both servers at one port.

    Attributes:
        up: labels and value of each last ``mcbot_expected_up``.
        beats: what is known of the heartbeat, seconds ago.
        stored: the Collector passes on what it takes.
    """

    up: list[tuple[dict[str, str], float]] = field(default_factory=lambda: [(dict(DEAD), 1.0)])
    beats: float | None = 300.0
    sample: float | None = None
    stored: bool = True
    status: int = 200
    ahead: float = 0.0
    sent: list[ExportMetricsServiceRequest] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def answer(self, query: str) -> list[tuple[dict[str, str], float]]:
        now = time.time() + self.ahead
        if query == "vector(time())":
            return [({}, now)]
        if "mcbot_heartbeat_timestamp" in query:
            return [] if self.beats is None else [({}, now - self.beats)]
        if query.startswith("max(timestamp("):
            return [] if self.sample is None else [({}, now - self.sample)]
        if query.startswith("count by"):
            return self.up
        assert query.startswith("last_over_time(mcbot_expected_up{instance=")
        wanted = json.loads(query.partition("instance=")[2].rpartition("}")[0])
        return [(labels, value) for labels, value in self.up if labels["instance"] == wanted]

    def take(self, body: bytes, headers: dict[str, str]) -> None:
        request = ExportMetricsServiceRequest.FromString(body)
        self.sent.append(request)
        self.headers.append(headers)
        if not self.stored:
            return
        for resource in request.resource_metrics:
            named = {pair.key.replace(".", "_"): pair.value.string_value for pair in resource.resource.attributes}
            self.up = [
                (labels, 0.0 if named == {k: v for k, v in labels.items() if k not in ("job", "instance")} else value)
                for labels, value in self.up
            ]


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Double]:
    double = Double()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)["query"][0]
            result = [{"metric": labels, "value": [0, str(value)]} for labels, value in double.answer(query)]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"status": "success", "data": {"result": result}}).encode())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if double.status == 200:
                double.take(body, {"path": self.path, **self.headers})
            self.send_response(double.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    double.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.chdir(tmp_path)
    for variable in ("MCBOT_PROMETHEUS_PORT", "MCBOT_OTLP_HTTP_PORT"):
        monkeypatch.setenv(variable, str(server.server_port))
    yield double
    server.shutdown()
    server.server_close()


def said(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    (line,) = (out + err).splitlines()
    return line


def test_the_same_series_is_0_afterwards(double: Double, capsys: pytest.CaptureFixture[str]) -> None:
    before = time.time()
    assert run(["retire", "g1"]) == 0
    assert said(capsys) == "desk/grid g1 is not expected to run any more: Prometheus has mcbot_expected_up 0"
    (request,) = double.sent
    (resource,) = request.resource_metrics
    settings = Settings.load(
        {}, service_name="grid", service_namespace="desk", instance_id="g1", mode="live", environment="prod"
    )
    own = identity.identify(settings, leased=False)[0].attributes()
    assert {pair.key: pair.value.string_value for pair in resource.resource.attributes} == own
    (metric,) = resource.scope_metrics[0].metrics
    (point,) = metric.gauge.data_points
    assert (metric.name, metric.unit, point.as_int, list(point.attributes)) == ("mcbot.expected_up", "", 0, [])
    assert before - 1 <= point.time_unix_nano / 1e9 <= time.time() + 1
    assert double.headers[0]["path"] == "/v1/metrics"

    assert run(["retire", "g1"]) == 0
    assert said(capsys) == "desk/grid g1 is not expected to run: there is nothing to do"
    assert len(double.sent) == 1


def test_every_mode_that_it_ran_in_is_told(double: Double) -> None:
    double.up += [(DEAD | {"trading_mode": "paper"}, 1.0), (DEAD | {"trading_mode": "shadow"}, 0.0)]
    assert run(["retire", "g1"]) == 0
    modes = {
        pair.value.string_value
        for resource in double.sent[0].resource_metrics
        for pair in resource.resource.attributes
        if pair.key == "trading.mode"
    }
    assert modes == {"live", "paper"}
    assert [value for _, value in double.up] == [0, 0, 0]


def test_the_point_is_not_behind_the_bots_own_clock_nor_by_this_machines(double: Double) -> None:
    double.ahead = 900
    assert run(["retire", "g1"]) == 0
    point = double.sent[0].resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points[0]
    assert point.time_unix_nano / 1e9 == pytest.approx(time.time() + 900, abs=5)
    bot = retire.Bot("desk/grid", "g1", (DEAD,), (DEAD,), now=1000.0, heard=1400.0)
    request = ExportMetricsServiceRequest.FromString(retire.request(bot))
    assert request.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points[0].time_unix_nano > 1400 * 10**9


@pytest.mark.parametrize(("beats", "sample"), [(3.0, None), (None, 3.0), (900.0, 59.0), (-40.0, None)])
def test_a_living_bot_is_not_retired(
    double: Double, capsys: pytest.CaptureFixture[str], beats: float | None, sample: float | None
) -> None:
    double.beats, double.sample = beats, sample
    assert run(["retire", "g1"]) == 2
    assert "ID 'g1': desk/grid lives, it was heard of" in said(capsys)
    assert double.sent == []


def test_a_bot_of_which_only_its_being_expected_is_left(double: Double) -> None:
    double.beats = None
    assert run(["retire", "g1"]) == 0


def test_an_unknown_id_lists_the_known_ones(double: Double, capsys: pytest.CaptureFixture[str]) -> None:
    double.up.append((DEAD | {"instance": 'g"2'}, 0.0))
    assert run(["retire", "g3"]) == 2
    line = said(capsys)
    assert "ID 'g3': Prometheus heard of no such bot in the last 7 days" in line
    assert line.endswith('known are g"2 (desk/grid), g1 (desk/grid)')
    assert run(["retire", 'g"2']) == 0, "an id may hold what PromQL must quote"
    capsys.readouterr()
    double.up.clear()
    assert run(["retire", "g1"]) == 2
    assert said(capsys).endswith("it knows no bot at all")


def test_an_id_of_two_services_needs_the_service(double: Double, capsys: pytest.CaptureFixture[str]) -> None:
    double.up.append((DEAD | {"job": "desk/trend", "service_name": "trend"}, 1.0))
    assert run(["retire", "g1"]) == 2
    assert "ID 'g1' is that of desk/grid, desk/trend: say which of them with --service" in said(capsys)
    assert run(["retire", "g1", "--service", "nobody"]) == 2
    assert "ID 'g1' --service 'nobody'" in said(capsys)
    assert run(["retire", "g1", "--service", "trend"]) == 0
    assert [value for _, value in double.up] == [1, 0]


def test_what_the_stack_does_not_take_is_one_line_and_status_1(
    double: Double, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    double.status = 503
    assert run(["retire", "g1"]) == 1
    assert f"the Collector at {double.url} does not take it: HTTP 503" in said(capsys)
    double.status, double.stored = 200, False
    monkeypatch.setattr(retire, "PATIENCE", 0.2)
    assert run(["retire", "g1"]) == 1
    assert "sent, but Prometheus does not show it" in said(capsys)
    assert run(["retire", "g1", "--endpoint", "http://127.0.0.1:1"]) == 1
    assert "the Collector at http://127.0.0.1:1: nothing listens there" in said(capsys)
    assert run(["retire", "g1", "--prometheus", "http://127.0.0.1:1"]) == 1
    assert "Prometheus at http://127.0.0.1:1: nothing listens there" in said(capsys)


def test_the_bots_own_variables_say_where_the_collector_is(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCBOT_OTLP_HTTP_PORT", "1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"{double.url}/otlp")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20secret")
    assert run(["retire", "g1"]) == 0
    assert double.headers[0]["path"] == "/otlp/v1/metrics"
    assert {name.lower(): value for name, value in double.headers[0].items()}["authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    ("arguments", "variables", "line"),
    [
        ([], {}, "Missing argument 'ID'"),
        (["g1", "--prometheus", "localhost"], {}, "'--prometheus': 'localhost': allowed is a URL as in"),
        (["g1"], {"MCBOT_PROMETHEUS_PORT": "x"}, "MCBOT_PROMETHEUS_PORT='x': allowed is a port, 1 to 65535"),
        (["g1"], {"MCBOT_HOLD": "soon"}, "MCBOT_HOLD='soon': allowed"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    double: Double,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    variables: dict[str, str],
    line: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert run(["retire", *arguments]) == 2
    assert line in said(capsys)
