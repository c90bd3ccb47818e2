"""A loopback OTLP receiver for tests: a real process, so that it can really be killed.

In a test::

    with Receiver(tmp_path) as receiver:                # a free port; POST /v1/{traces,metrics,logs}, gzip understood
        run_bot(env={"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint})
        receiver.stop()                                 # SIGKILL: connections are reset, then refused
        receiver.start()                                # the same port, the same file: what arrived before is kept
        receiver.answer(status=503, retry_after=1)      # from now on refuse everything (recorded only when it is 2xx)
        receiver.answer(rejected=2)                     # take requests, say that two items of each were not taken
        receiver.wait_for(lambda: len(receiver.spans()) >= 10)
        assert receiver.spans()[0]["name"] == "trade_cycle"

What arrived is written, decoded, as one JSON line a request before the answer is given: what the sender believes
delivered is in the file. ``spans()`` and ``logs()`` hold each item once, however often it was sent: spans by their
ids, log records by a digest of the whole record (times in nanoseconds included). ``arrivals()`` counts repetitions.

:class:`BlackHole` accepts connections and never answers, or does not even accept.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

# -- for tests ---------------------------------------------------------------------------------------------------------


class Receiver:
    """Starts, kills and reads a receiver.

    Args:
        directory: where its file goes.
        port: a free one by default; it stays the same over restarts.
    """

    def __init__(self, directory: Path, port: int | None = None) -> None:
        self.path = directory / "received.jsonl"
        self.port = port or free_port()
        self._process: subprocess.Popen[str] | None = None

    @property
    def endpoint(self) -> str:
        """The value for ``OTEL_EXPORTER_OTLP_ENDPOINT``."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Receiver:
        """Start it (again) and return when it listens."""
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--port", str(self.port), "--out", str(self.path)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        if not self._process.stdout.readline().startswith("listening"):
            raise RuntimeError("the receiver did not start; its own words are above")
        return self

    def stop(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def answer(self, *, status: int = 200, retry_after: float | None = None, rejected: int = 0) -> None:
        """How it answers from now on (until it is restarted)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        body = json.dumps({"status": status, "retry_after": retry_after, "rejected": rejected})
        connection.request("POST", "/answer", body)
        assert connection.getresponse().status == 200
        connection.close()

    def requests(self) -> list[dict[str, Any]]:
        """What arrived, in order: ``{"signal", "time", "headers", "items": [...]}``."""
        if not self.path.exists():
            return []
        requests = []
        for line in self.path.read_text().splitlines():
            try:
                requests.append(json.loads(line))
            except ValueError:  # torn by the kill, so it was never answered
                continue
        return requests

    def arrivals(self, signal: str) -> int:
        """Items of a signal that arrived, repetitions included."""
        return sum(len(request["items"]) for request in self.requests() if request["signal"] == signal)

    def spans(self) -> list[dict[str, Any]]:
        """Each span once, as :func:`spans` makes it."""
        return self._once("traces")

    def logs(self) -> list[dict[str, Any]]:
        """Each log record once, as :func:`logs` makes it."""
        return self._once("logs")

    def points(self) -> list[dict[str, Any]]:
        """Every metric data point, repetitions included, as :func:`points` makes it."""
        return [item for request in self.requests() if request["signal"] == "metrics" for item in request["items"]]

    def wait_for(self, condition: Callable[[], bool], timeout: float = 30.0) -> None:
        """Poll until ``condition()``; fails after ``timeout`` seconds."""
        wait_for(condition, timeout)

    def __enter__(self) -> Receiver:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _once(self, signal: str) -> list[dict[str, Any]]:
        seen: dict[str, dict[str, Any]] = {}
        for request in self.requests():
            if request["signal"] == signal:
                for item in request["items"]:
                    seen.setdefault(item["id"], item)
        return list(seen.values())


class BlackHole:
    """A port behind which nothing ever answers.

    Args:
        accepts: ``True``: connections are made and requests swallowed; ``False``: connecting itself hangs, as if a
            firewall dropped the packets (Linux: the queue of the listening socket is full).
    """

    def __init__(self, *, accepts: bool = True) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(128 if accepts else 0)
        self._clients: list[socket.socket] = []
        if not accepts:
            for _ in range(3):
                client = socket.socket()
                client.setblocking(False)
                client.connect_ex(self._socket.getsockname())
                self._clients.append(client)

    @property
    def endpoint(self) -> str:
        """The value for ``OTEL_EXPORTER_OTLP_ENDPOINT``."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> BlackHole:
        return self

    def __exit__(self, *exc: object) -> None:
        for each in (*self._clients, self._socket):
            each.close()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], bool], timeout: float = 30.0) -> None:
    """Poll until ``condition()``; fails after ``timeout`` seconds."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"not within {timeout} s"
        time.sleep(0.01)


# -- the process -------------------------------------------------------------------------------------------------------


def value(any_value: Any) -> Any:
    """An OTLP ``AnyValue`` as Python's own."""
    match any_value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [value(each) for each in any_value.array_value.values]
        case "kvlist_value":
            return attributes(any_value.kvlist_value.values)
        case "bytes_value":
            return base64.b64encode(any_value.bytes_value).decode()
        case kind:
            return getattr(any_value, kind)


def attributes(pairs: Any) -> dict[str, Any]:
    """OTLP ``KeyValue``s as a dict."""
    return {pair.key: value(pair.value) for pair in pairs}


def spans(request: Any) -> Iterator[dict[str, Any]]:
    """The spans of an ``ExportTraceServiceRequest``."""
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield {
                    "id": span.trace_id.hex() + span.span_id.hex(),
                    "trace_id": span.trace_id.hex(),
                    "span_id": span.span_id.hex(),
                    "parent_span_id": span.parent_span_id.hex(),
                    "name": span.name,
                    "kind": span.kind,
                    "start": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "status": span.status.code,
                    "status_message": span.status.message,
                    "attributes": attributes(span.attributes),
                    "events": [
                        {"name": event.name, "time": event.time_unix_nano, "attributes": attributes(event.attributes)}
                        for event in span.events
                    ],
                    "links": [{"trace_id": link.trace_id.hex(), "span_id": link.span_id.hex()} for link in span.links],
                    "scope": scope_spans.scope.name,
                    "resource": attributes(resource_spans.resource.attributes),
                }


def logs(request: Any) -> Iterator[dict[str, Any]]:
    """The records of an ``ExportLogsServiceRequest``."""
    for resource_logs in request.resource_logs:
        for scope_logs in resource_logs.scope_logs:
            for record in scope_logs.log_records:
                yield {
                    "id": hashlib.sha256(record.SerializeToString(deterministic=True)).hexdigest(),
                    "time": record.time_unix_nano,
                    "observed": record.observed_time_unix_nano,
                    "severity": record.severity_number,
                    "severity_text": record.severity_text,
                    "event_name": record.event_name,
                    "body": value(record.body),
                    "attributes": attributes(record.attributes),
                    "trace_id": record.trace_id.hex(),
                    "span_id": record.span_id.hex(),
                    "scope": scope_logs.scope.name,
                    "resource": attributes(resource_logs.resource.attributes),
                }


def points(request: Any) -> Iterator[dict[str, Any]]:
    """The data points of an ``ExportMetricsServiceRequest``; a histogram's ``value`` is its sum."""
    for resource_metrics in request.resource_metrics:
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                kind = metric.WhichOneof("data")
                data = getattr(metric, kind)
                for point in data.data_points:
                    item = {
                        "metric": metric.name,
                        "unit": metric.unit,
                        "kind": kind,
                        "monotonic": getattr(data, "is_monotonic", None),
                        "temporality": getattr(data, "aggregation_temporality", None),
                        "attributes": attributes(point.attributes),
                        "start": point.start_time_unix_nano,
                        "time": point.time_unix_nano,
                        "exemplars": [exemplar.trace_id.hex() for exemplar in getattr(point, "exemplars", ())],
                        "scope": scope_metrics.scope.name,
                        "resource": attributes(resource_metrics.resource.attributes),
                    }
                    if kind == "histogram":
                        item |= {"value": point.sum, "count": point.count, "bounds": list(point.explicit_bounds)}
                        item["buckets"] = list(point.bucket_counts)
                    elif kind in ("gauge", "sum"):
                        item["value"] = getattr(point, point.WhichOneof("value"))
                    yield item


def serve(port: int, out: Path) -> None:
    """Listen on ``port`` and append what arrives to ``out``, for ever."""
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

    routes = {
        "/v1/traces": ("traces", trace_service_pb2, "ExportTraceService", spans, "rejected_spans"),
        "/v1/metrics": ("metrics", metrics_service_pb2, "ExportMetricsService", points, "rejected_data_points"),
        "/v1/logs": ("logs", logs_service_pb2, "ExportLogsService", logs, "rejected_log_records"),
    }
    answer = {"status": 200, "retry_after": None, "rejected": 0}
    lock = threading.Lock()
    torn = out.exists() and not out.read_bytes().endswith(b"\n")
    file = out.open("a", encoding="utf-8")
    file.write("\n" if torn else "")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # connections are kept alive, as a Collector does
        wbufsize = -1  # one packet an answer
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path == "/answer":
                answer.update(json.loads(body))
                self.reply(200, b"")
                return
            if self.path not in routes:
                self.reply(404, b"")
                return
            if answer["status"] // 100 != 2:
                self.reply(answer["status"], b"refused by the test")
                return
            signal, module, service, items, rejected = routes[self.path]
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            request = getattr(module, f"{service}Request").FromString(body)
            headers = {name.lower(): text for name, text in self.headers.items()}
            line = {"signal": signal, "time": time.time(), "headers": headers, "items": list(items(request))}
            text = json.dumps(line) + "\n"
            with lock:
                file.write(text)
                file.flush()
            response = getattr(module, f"{service}Response")()
            if answer["rejected"]:
                setattr(response.partial_success, rejected, answer["rejected"])
                response.partial_success.error_message = "refused by the test"
            self.reply(answer["status"], response.SerializeToString())

        def reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(body)))
            if answer["retry_after"] is not None:
                self.send_header("Retry-After", str(answer["retry_after"]))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    print("listening", server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A loopback OTLP/HTTP receiver for tests.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    serve(arguments.port, arguments.out)
