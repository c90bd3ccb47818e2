"""What a call costs in the bot's thread, next to what you would have used instead. Ratios of one run, side by side.

python benchmarks/overhead.py [--seconds 0.3]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Callable

from loguru import logger
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from prometheus_client import CollectorRegistry, Counter, Histogram

from otel_mcbot import catalog, facts
from otel_mcbot.redaction import Redactor
from otel_mcbot.runtime import ProcessMonitor, ProcessMonitorConfig
from otel_mcbot.testing import capture
from otel_mcbot.trace import trade_cycle

Row = tuple[str, Callable[[], object], str, Callable[[], object]]


class Forget(SpanProcessor):
    """Keeps nothing, so that only the making of spans is measured."""

    def on_end(self, span: ReadableSpan) -> None: ...

    def export(self, spans: object) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def per_call(call: Callable[[], object], seconds: float) -> float:
    """Median µs of a call, over nine slices of ``seconds``."""
    number = 1
    while True:
        began = time.perf_counter()
        for _ in range(number):
            call()
        if (took := time.perf_counter() - began) > seconds / 20:
            break
        number *= 2
    number = max(1, int(number * seconds / 9 / took))
    slices = []
    for _ in range(9):
        began = time.perf_counter()
        for _ in range(number):
            call()
        slices.append((time.perf_counter() - began) / number * 1e6)
    return statistics.median(slices)


async def on_a_loop(calls: list[Callable[[], object]], seconds: float) -> list[float]:
    """Median µs of each call, on a running loop."""
    return [per_call(call, seconds) for call in calls]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.3)
    seconds = parser.parse_args().seconds

    registry = CollectorRegistry()
    labels = ("symbol", "side", "order_type", "status")
    theirs = Counter("orders", "orders", labels, registry=registry)
    latency = Histogram("latency", "latency", ["symbol"], registry=registry)
    meter = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False).get_meter("bench")
    raw_counter, raw_histogram = meter.create_counter("orders"), meter.create_histogram("latency")
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Forget())
    tracer = provider.get_tracer("bench")
    values = {"symbol": "BTC/USDT", "side": "BUY", "order_type": "MARKET", "status": "filled"}

    def cycle() -> None:
        with trade_cycle(strategy="s", symbol="BTC/USDT") as one:
            with one.generate_signal() as stage:
                stage.signal("long", strength=0.5)
            with one.pre_trade_check():
                pass
            with one.order(side="buy", quantity=0.01, expected_price=100.0) as order:
                with one.exchange_call("create_order", address="api.example.com"):
                    pass
                order.filled(0.01, 100.1, fee=0.01)

    def raw_cycle() -> None:
        """The same six spans, eleven measurements and three event records by hand, without a ledger behind them."""
        common = {"strategy": "s", "symbol": "BTC/USDT"}
        with tracer.start_as_current_span("trade_cycle", attributes=common):
            with tracer.start_as_current_span("generate_signal", attributes=common) as span:
                span.set_attribute("direction", "long")
            raw_counter.add(1, {"symbol": "BTC/USDT"})
            raw_counter.add(1, {"strategy": "s", "side": "LONG"})
            with tracer.start_as_current_span("pre_trade_check", attributes=common):
                pass
            with tracer.start_as_current_span("submit_order", attributes=common | values):
                with tracer.start_as_current_span("create_order", attributes=common):
                    pass
                raw_counter.add(1, {"endpoint": "create_order", "status": "success"})
                raw_histogram.record(0.1, {"endpoint": "create_order"})
            with tracer.start_as_current_span("await_fill", attributes=common | values):
                pass
            for status in ("ack", "filled"):
                raw_counter.add(1, values | {"status": status})
            raw_counter.add(1, {"symbol": "BTC/USDT", "side": "BUY"})
            raw_counter.add(0.01, {"symbol": "BTC/USDT"})
            raw_histogram.record(0.1, {"symbol": "BTC/USDT"})
            raw_histogram.record(1.0, {"symbol": "BTC/USDT", "side": "BUY"})
            raw_histogram.record(1.0, {"strategy": "s", "symbol": "BTC/USDT", "side": "BUY"})

    redactor = Redactor(f"secret-value-{number}" for number in range(8))
    line = "BTC/USDT buy 0.01 filled at 64010.5 (ctrend), order ctrend-btcusdt-12, fee 0.64, latency 0.12 s".ljust(100)

    with capture(strict=False, logs=()) as seen:
        seen.hub.lifecycle.tracer = tracer
        bar = facts.BarReceived(symbol="BTC/USDT", timeframe="1m", close=100.0)
        rows: list[Row] = [
            (
                "counter, 4 labels",
                lambda: catalog.orders.add(1, **values),
                "raw SDK",
                lambda: raw_counter.add(1, values),
            ),
            ("", lambda: catalog.orders.add(1, **values), "prometheus_client", lambda: theirs.labels(**values).inc()),
            (
                "histogram, 1 label",
                lambda: catalog.order_latency.record(0.1, symbol="BTC/USDT"),
                "raw SDK",
                lambda: raw_histogram.record(0.1, {"symbol": "BTC/USDT"}),
            ),
            (
                "",
                lambda: catalog.order_latency.record(0.1, symbol="BTC/USDT"),
                "prometheus_client",
                lambda: latency.labels(symbol="BTC/USDT").observe(0.1),
            ),
            (
                "a bar (fact → 4 series)",
                lambda: seen.tell(bar),
                "raw SDK",
                lambda: raw_counter.add(1, {"timeframe": "1m"}),
            ),
            ("a whole order, ledger and events too", cycle, "raw SDK, spans and metrics", raw_cycle),
            ("a line without secrets, searched", lambda: redactor.text(line), "line.lower()", line.lower),
        ]
        print(f"{'':38} {'µs':>8}   {'next to':27} {'µs':>8} {'ratio':>7}")
        for name, ours, other, call in rows:
            mine, his = per_call(ours, seconds), per_call(call, seconds)
            print(f"{name:38} {mine:8.1f}   {other:27} {his:8.1f} {mine / his:6.2f}×")
            seen.clear()
        monitor = ProcessMonitor(ProcessMonitorConfig(), seen.hub.recorders.process)
        monitor.start()
        beat, loop = asyncio.run(on_a_loop([monitor.ensure_beat, asyncio.get_running_loop], seconds))
        monitor.stop()
        print(
            f"{'the beat of a loop ensured':38} {beat:8.2f}   {'get_running_loop()':27} {loop:8.2f} {beat / loop:6.2f}×"
        )

    logger.remove()
    logger.add(lambda _: None, format="{message}")
    plain = per_call(lambda: logger.info("filled {} at {}", 0.01, 64_000), seconds)
    with capture(strict=False):
        ours_too = per_call(lambda: logger.info("filled {} at {}", 0.01, 64_000), seconds)
    label, other = "a loguru line, ours beside it", "plain loguru, same sink"
    print(f"{label:38} {ours_too:8.1f}   {other:27} {plain:8.1f} {ours_too / plain:6.2f}×")
    return 0


if __name__ == "__main__":
    sys.exit(main())
