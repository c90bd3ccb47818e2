"""``configure()`` in one process: what it adopts, what it counts, what survives a second one.

Global providers can be set once a process, so what concerns them runs in a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import textwrap
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import otel_mcbot as mcbot
from otel_mcbot import catalog, hub
from otel_mcbot.export.files import read
from otel_mcbot.export.outbox import DEFAULT_ENDPOINTS
from otel_mcbot.telemetry import Telemetry, configure

ROOT = Path(__file__).parents[2]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Telemetry]]:
    """``configure()`` with a state directory of the test's own; closed at the end."""
    for name in [name for name in os.environ if name.startswith(("OTEL_", "MCBOT_"))]:
        monkeypatch.delenv(name)
    # a Collector may really listen on this machine
    monkeypatch.setitem(DEFAULT_ENDPOINTS, "http/protobuf", "http://127.0.0.1:9")
    made: list[Telemetry] = []

    def configured(**settings: object) -> Telemetry:
        made.append(configure(**{"state_dir": tmp_path, "logs": "none", **settings}))  # type: ignore[arg-type]
        return made[-1]

    yield configured
    for telemetry in made:
        telemetry.close(timeout=30.0)


def fill(client_id: str) -> None:
    with mcbot.trade_cycle(strategy="trend", symbol="BTC/USDT") as cycle:
        with cycle.order(side="buy", quantity=0.01, expected_price=100.0, client_order_id=client_id) as order:
            order.update({"id": client_id, "status": "closed", "filled": 0.01, "average": 101.0, "amount": 0.01})


def alone(script: str, **environ: str) -> dict[str, object]:
    """What a script of its own process prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_with_no_collector_everything_is_on_disk(make: Callable[..., Telemetry], tmp_path: Path) -> None:
    telemetry = make(service_name="bot", instance_id="alpha", version="1.2", config={"size": 1}, strategies=["trend"])
    assert hub.current() is telemetry.hub
    fill("trend-btc-1")
    assert telemetry.flush(30.0)
    stats = telemetry.stats()
    assert stats.emitted == stats.exported == {"spans": 3, "log_records": 4}
    assert stats.dropped == {"spans": 0, "log_records": 0, "measurements": 0, "facts": 0}
    assert stats.metric_series > 20
    telemetry.close()
    assert hub.current() is None
    assert not catalog.orders.bound
    (started, stopped) = (
        record
        for request in read(tmp_path / "bot" / "alpha" / "otlp", "logs")
        for resource in request["resourceLogs"]
        for scope in resource["scopeLogs"]
        for record in scope["logRecords"]
        if record.get("eventName", "").startswith("mcbot.bot.")
    )
    known = {pair["key"]: pair["value"] for pair in started["attributes"]}
    assert known["trading.mode"] == {"stringValue": "paper"}
    assert known["service.version"] == {"stringValue": "1.2"}
    assert known["trading.config.hash"]["stringValue"] == telemetry.identity.config_hash
    assert known["trading.strategy.name"] == {"arrayValue": {"values": [{"stringValue": "trend"}]}}
    assert {"key": "mcbot.stop.reason", "value": {"stringValue": "close"}} in stopped["attributes"]


def test_the_same_identity_is_on_all_three_signals(make: Callable[..., Telemetry], tmp_path: Path) -> None:
    telemetry = make(service_name="bot", instance_id="alpha", environment="prod", mode="shadow")
    fill("trend-btc-1")
    telemetry.close()
    directory = tmp_path / "bot" / "alpha" / "otlp"
    for signal, word in (("traces", "resourceSpans"), ("metrics", "resourceMetrics"), ("logs", "resourceLogs")):
        for request in read(directory, signal):  # type: ignore[arg-type]
            for resource in request[word]:
                known = {pair["key"]: pair["value"].get("stringValue") for pair in resource["resource"]["attributes"]}
                assert known["service.name"] == "bot"
                assert known["service.namespace"] == "mcbot"
                assert known["service.instance.id"] == "alpha"
                assert known["deployment.environment.name"] == "prod"
                assert known["trading.mode"] == "shadow"
                for scope in resource[word.replace("resource", "scope")]:
                    assert scope["scope"]["name"] == "otel_mcbot"
                    assert scope["schemaUrl"].startswith("https://opentelemetry.io/schemas/")


def test_a_second_configure_is_the_first(make: Callable[..., Telemetry], caplog: pytest.LogCaptureFixture) -> None:
    first = make(service_name="bot")
    threads = threading.active_count()
    assert configure() is first
    assert not caplog.records
    assert make(service_name="bot") is first
    assert make(service_name="other") is first
    assert "the first ones stay" in caplog.text
    assert threading.active_count() == threads


def test_after_a_close_it_can_begin_anew_and_knows_its_open_orders(make: Callable[..., Telemetry]) -> None:
    first = make(instance_id="alpha")
    with mcbot.trade_cycle(strategy="trend", symbol="BTC/USDT") as cycle:
        with cycle.order(side="buy", quantity=1.0, client_order_id="trend-btc-1") as order:
            order.update({"id": "7", "status": "open", "filled": 0.4, "average": 100.0, "amount": 1.0})
    first.close()
    first.close()
    second = make(instance_id="alpha")
    assert second is not first
    assert second.identity.instance_id == "alpha"
    mcbot.update({"id": "7", "symbol": "BTC/USDT", "status": "closed", "filled": 1.0, "average": 101.0})
    restored = second.hub.ledger.get("trend-btc-1")
    assert restored is not None
    assert (restored.status, restored.filled) == ("filled", 1.0)
    assert second.hub.ledger.totals.filled == {"BTC/USDT": pytest.approx(0.6)}
    assert first.tell(mcbot.facts.Heartbeat()) is None
    assert first.flush()


async def test_aclose_does_not_block_the_loop(make: Callable[..., Telemetry], tmp_path: Path) -> None:
    with subprocess.Popen(  # a port that takes connections and never answers
        [sys.executable, "-c", "import socket, sys; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(50);"
         "print(s.getsockname()[1], flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as hole:  # fmt: skip
        assert hole.stdout is not None
        assert hole.stdin is not None
        telemetry = make(endpoint=f"http://127.0.0.1:{hole.stdout.readline().strip()}")
        fill("trend-btc-1")
        worst = 0.0
        closing = asyncio.ensure_future(telemetry.aclose(timeout=1.0))
        began = last = time.monotonic()
        while not closing.done():
            await asyncio.sleep(0.01)
            worst, last = max(worst, time.monotonic() - last), time.monotonic()
        assert 0.5 < time.monotonic() - began < 5.0  # a try of its own would go on for 10 s
        assert worst < 0.8  # a loop that waited for the answer itself would stand still for all of the second
        stats = telemetry.stats()
        assert stats.dropped["spans"] == stats.emitted["spans"] > 0
        hole.stdin.close()


def test_backtest_exports_nothing_and_touches_no_state(make: Callable[..., Telemetry], tmp_path: Path) -> None:
    telemetry = make(mode="backtest")
    fill("trend-btc-1")
    fill("trend-btc-2")
    assert telemetry.flush(30.0)
    assert telemetry.hub.ledger.totals.by_status["filled"] == 2
    assert telemetry.stats().emitted == {"spans": 0, "log_records": 0}
    telemetry.close()
    assert list(tmp_path.iterdir()) == []


def test_an_argument_wins_over_the_sdks_own_switch(
    make: Callable[..., Telemetry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    telemetry = make(disabled=False)
    fill("trend-btc-1")
    assert telemetry.stats().emitted["spans"] == 3


def test_disabled_it_is_all_there_and_does_nothing(make: Callable[..., Telemetry], tmp_path: Path) -> None:
    before = threading.active_count()
    telemetry = make(disabled=True)
    assert hub.current() is None
    fill("trend-btc-1")
    telemetry.exchange.on_api_call("fetch_balance", "success", 0.1)
    telemetry.watch_loop()
    assert telemetry.tell(mcbot.facts.Heartbeat()) is None
    assert telemetry.flush(30.0)
    assert telemetry.stats().emitted == {"spans": 0, "log_records": 0}
    assert telemetry.hub.ledger.totals.requested == 0
    assert threading.active_count() == before
    telemetry.close()
    assert list(tmp_path.iterdir()) == []


def test_callbacks_reach_the_metrics_of_the_pull_endpoint(make: Callable[..., Telemetry]) -> None:
    telemetry = make(prometheus_port=0, expect={"BTC/USDT": "1m"})
    telemetry.exchange.on_api_call("create_order", "success", 0.2)
    fill("trend-btc-1")
    url = f"http://127.0.0.1:{telemetry.prometheus_port}/metrics"
    with urllib.request.urlopen(url, timeout=30) as response:
        page = response.read().decode()
    assert 'mcbot_exchange_api_calls_total{endpoint="create_order",status="success"} 1.0' in page
    assert 'mcbot_fills_total{side="BUY",symbol="BTC/USDT"} 1.0' in page
    assert "otel_scope_name" not in page
    telemetry.close()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url, timeout=30)


def test_a_port_that_is_taken_does_not_stop_the_bot(
    make: Callable[..., Telemetry], caplog: pytest.LogCaptureFixture
) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        telemetry = make(prometheus_port=taken.getsockname()[1])
        assert telemetry.prometheus_port is None
        assert "prometheus failed" in caplog.text
        fill("trend-btc-1")
        assert telemetry.stats().emitted["spans"] == 3


def test_losses_are_a_metric(make: Callable[..., Telemetry]) -> None:
    telemetry = make(span_queue=1, prometheus_port=0, span_delay=60)
    for number in range(20):
        fill(f"trend-btc-{number}")
    stats = telemetry.stats()
    assert stats.dropped["spans"] > 0
    pages = []
    for _ in range(3):  # a label set that is new is 0 once to each of the two readers
        with urllib.request.urlopen(f"http://127.0.0.1:{telemetry.prometheus_port}/metrics", timeout=30) as response:
            pages.append(response.read().decode())
    assert (
        f'mcbot_telemetry_dropped_total{{reason="queue_full",signal="spans"}} {stats.dropped["spans"]}.0' in pages[-1]
    )
    telemetry.close()
    stats = telemetry.stats()
    assert stats.emitted["spans"] == stats.exported["spans"] + stats.dropped["spans"] == 60


def test_trouble_of_our_own_leaves_the_bot_alone(
    make: Callable[..., Telemetry], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("of ours")

    monkeypatch.setattr("otel_mcbot.telemetry.Outbox.span_exporter", fail)
    telemetry = make()
    assert not telemetry.is_open
    assert "the bot goes on without it" in caplog.text
    fill("trend-btc-1")
    with pytest.raises(RuntimeError, match="of ours"):
        make(strict=True)
    monkeypatch.undo()
    assert make().is_open


def test_a_stall_of_the_loop_is_told(make: Callable[..., Telemetry], tmp_path: Path) -> None:
    telemetry = make(instance_id="alpha")
    from otel_mcbot.runtime import StallInfo

    telemetry._on_stall(StallInfo(1.5, ended=False, frame="bot.py:42 in compute", stack="…"))
    telemetry.close()
    text = (tmp_path / "mcbot" / "alpha" / "otlp" / "logs.jsonl").read_text()
    assert "mcbot.event_loop.stalled" in text
    assert "bot.py:42 in compute" in text


def test_arguments_say_where_it_goes_and_the_environment_is_left_as_it_was(make: Callable[..., Telemetry]) -> None:
    before = dict(os.environ)
    telemetry = make(endpoint="http://127.0.0.1:9", headers={"authorization": "Bearer hunter2-hunter2"})
    assert telemetry.outbox.mode == "otlp"
    assert dict(os.environ) == before
    telemetry.flush(0.2)
    assert telemetry.outbox.state().lanes["logs"].endpoint == "http://127.0.0.1:9/v1/logs"
    telemetry.close(timeout=0.2)


@pytest.mark.parametrize(
    ("module", "settings"),
    [
        ("otel_mcbot.export.grpc_sender", {"protocol": "grpc", "endpoint": "http://127.0.0.1:4317"}),
        ("opentelemetry.exporter.prometheus", {"prometheus_port": 0}),
        ("opentelemetry.instrumentation.asyncio", {"asyncio_instrumentation": True}),
    ],
)
def test_an_extra_that_is_missing_is_a_setting_that_cannot_be_used(
    module: str,
    settings: dict[str, object],
    make: Callable[..., Telemetry],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(mcbot.SettingsError, match=r"only after pip install 'otel-mcbot\["):
        make(**settings)
    assert capsys.readouterr().err.count("\n") == 1
    assert make().is_open


HOST = """
    import json, logging, sys
    logging.basicConfig(stream=sys.stderr)
    from opentelemetry import _logs, metrics, trace
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    import otel_mcbot as mcbot
    from otel_mcbot.export.outbox import DEFAULT_ENDPOINTS

    DEFAULT_ENDPOINTS["http/protobuf"] = "http://127.0.0.1:9"
    spans, reader, records = InMemorySpanExporter(), InMemoryMetricReader(), InMemoryLogRecordExporter()
    tracer_provider, meter_provider, logger_provider = TracerProvider(), MeterProvider([reader]), LoggerProvider()
    tracer_provider.add_span_processor(SimpleSpanProcessor(spans))
    logger_provider.add_log_record_processor(SimpleLogRecordProcessor(records))

    def fill(client_id):
        with mcbot.trade_cycle(strategy="trend", symbol="BTC/USDT") as cycle:
            with cycle.order(side="buy", quantity=0.01, expected_price=100.0, client_order_id=client_id) as order:
                order.update({"id": client_id, "status": "closed", "filled": 0.01, "average": 101.0, "amount": 0.01})

    def names():
        data = reader.get_metrics_data()
        return {m.name for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics} if data else set()
"""


def test_the_hosts_providers_are_adopted(tmp_path: Path) -> None:
    seen = alone(
        HOST
        + """
    trace.set_tracer_provider(tracer_provider)
    metrics.set_meter_provider(meter_provider)
    _logs.set_logger_provider(logger_provider)
    telemetry = mcbot.configure("bot", logs="none")
    fill("trend-btc-1")
    fills = "mcbot.fills" in names()
    telemetry.close()
    tracer_provider.get_tracer("host").start_span("still open").end()
    print(json.dumps({
        "spans": [s.name for s in spans.get_finished_spans()],
        "fills": fills,
        "events": [r.log_record.event_name for r in records.get_finished_logs()],
        "emitted": telemetry.stats().emitted,
    }))
    """,
        MCBOT_STATE_DIR=str(tmp_path),
    )
    assert seen["spans"] == ["oms.await_fill", "oms.submit_order", "trade_cycle", "still open"]
    assert seen["fills"] is True
    assert seen["emitted"] == {"spans": 0, "log_records": 0}
    assert seen["events"] == [
        "mcbot.bot.started",
        "trading.order.requested",
        "trading.order.acknowledged",
        "trading.order.filled",
        "mcbot.bot.stopped",
    ]


def test_providers_that_are_handed_in_are_used_and_only_they(tmp_path: Path) -> None:
    seen = alone(
        HOST
        + """
    telemetry = mcbot.configure("bot", logs="none", tracer_provider=tracer_provider)
    fill("trend-btc-1")
    telemetry.flush()
    print(json.dumps({
        "spans": len(spans.get_finished_spans()),
        "emitted": telemetry.stats().emitted,
        "meter": type(metrics.get_meter_provider()).__module__,
        "tracer": type(trace.get_tracer_provider()).__name__,
    }))
    """,
        MCBOT_STATE_DIR=str(tmp_path),
    )
    assert seen["spans"] == 3
    assert seen["emitted"] == {"spans": 0, "log_records": 4}
    assert str(seen["meter"]).startswith("opentelemetry.sdk.metrics")
    assert seen["tracer"] == "ProxyTracerProvider"


def test_other_instrumentations_join_ours_and_a_second_life_works(tmp_path: Path) -> None:
    seen = alone(
        HOST
        + """
    first = mcbot.configure("bot", logs="none")
    with trace.get_tracer("http client").start_as_current_span("GET"):
        pass
    first.close()
    second = mcbot.configure("bot", logs="none")
    fill("trend-btc-1")
    second.close()
    print(json.dumps({"first": first.stats().exported["spans"], "second": second.stats().exported["spans"]}))
    """,
        MCBOT_STATE_DIR=str(tmp_path),
    )
    assert seen == {"first": 1, "second": 3}


def test_a_tracer_provider_without_ids_does_not_confuse_cycles(tmp_path: Path) -> None:
    seen = alone(
        HOST
        + """
    telemetry = mcbot.configure("bot", logs="none", tracer_provider=trace.NoOpTracerProvider())
    fill("trend-btc-1"); fill("trend-btc-2")
    print(json.dumps({"open": len(telemetry.hub.lifecycle.cycles), **telemetry.hub.ledger.totals.by_status}))
    telemetry.close()
    """,
        MCBOT_STATE_DIR=str(tmp_path),
    )
    assert (seen["open"], seen["filled"]) == (0, 2)


@pytest.mark.parametrize("endpoint", ["", "http://127.0.0.1:9"])
def test_no_thread_imports_anything_late(endpoint: str, tmp_path: Path) -> None:
    """A fork in the middle of an import would leave its lock taken in the child for ever."""
    seen = alone(
        HOST
        + """
    import sys
    import otel_mcbot.telemetry
    telemetry = mcbot.configure("bot", logs="none")
    fill("trend-btc-1")
    before = set(sys.modules)
    telemetry.flush(0.5)
    telemetry.close(timeout=0.5)
    print(json.dumps({"late": sorted(set(sys.modules) - before)}))
    """,
        MCBOT_STATE_DIR=str(tmp_path),
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
    )
    assert seen == {"late": []}


def test_the_asyncio_instrumentation_only_when_asked_for(tmp_path: Path) -> None:
    script = (
        HOST
        + """
    import asyncio
    telemetry = mcbot.configure("bot", logs="none")
    from opentelemetry.instrumentation.asyncio import AsyncioInstrumentor
    print(json.dumps({"on": AsyncioInstrumentor().is_instrumented_by_opentelemetry}))
    """
    )
    assert alone(script, MCBOT_STATE_DIR=str(tmp_path)) == {"on": False}
    environ = {"MCBOT_STATE_DIR": str(tmp_path), "MCBOT_ASYNCIO_INSTRUMENTATION": "true"}
    assert alone(script, **environ) == {"on": True}


def test_noise_of_the_sdk_is_said_once_a_minute(tmp_path: Path) -> None:
    seen = alone(
        HOST
        + """
    class Seen(logging.Handler):
        lines = []
        def emit(self, record):
            self.lines.append(record.name)
    logging.getLogger().addHandler(Seen())
    telemetry = mcbot.configure("bot", logs="none")
    counter = metrics.get_meter("host").create_counter("host.counter")
    for _ in range(50):
        counter.add(-1)
    print(json.dumps({"lines": len([name for name in Seen.lines if name.startswith("opentelemetry")])}))
    """,
        MCBOT_STATE_DIR=str(tmp_path),
    )
    assert seen == {"lines": 1}


def test_the_state_directory_that_cannot_be_used_costs_only_the_state(
    make: Callable[..., Telemetry], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    telemetry = make(state_dir=tmp_path / "file", endpoint="http://127.0.0.1:9")
    assert telemetry.is_open
    assert "no state is kept" in (telemetry.identity.problem or "")
    assert "no state is kept" in caplog.text
    fill("trend-btc-1")
    assert telemetry.stats().emitted["spans"] == 3
    telemetry.close(timeout=0.2)


def test_nothing_of_the_tests_is_left_behind() -> None:
    def left() -> set[str]:
        return {thread.name for thread in threading.enumerate() if thread.name.startswith("mcbot-")}

    end = time.monotonic() + 30
    while left() and time.monotonic() < end:
        time.sleep(0.01)
    assert left() == set()
