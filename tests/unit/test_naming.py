"""Names: the vectors are the output of Prometheus' own translator."""

from __future__ import annotations

import pytest

from otel_mcbot.naming import Kind, prometheus_name

VECTORS = [
    ("mcbot.order.submitted", "{order}", "counter", "mcbot_order_submitted_total"),
    ("mcbot.order.submitted", "1", "counter", "mcbot_order_submitted_total"),
    ("mcbot.orders", "", "counter", "mcbot_orders_total"),
    ("mcbot.orders", "order", "counter", "mcbot_orders_order_total"),
    ("mcbot.orders.total", "{order}", "counter", "mcbot_orders_total"),
    ("mcbot.total.orders", "{order}", "counter", "mcbot_orders_total"),
    ("mcbot.fees.paid", "USDT", "counter", "mcbot_fees_paid_USDT_total"),
    ("mcbot.fees", "usdt", "counter", "mcbot_fees_usdt_total"),
    ("mcbot.fees_usdt", "usdt", "counter", "mcbot_fees_usdt_total"),
    ("mcbot.net.io", "By", "counter", "mcbot_net_io_bytes_total"),
    ("mcbot.cpu.time", "s", "counter", "mcbot_cpu_time_seconds_total"),
    ("mcbot.ratio1", "1", "counter", "mcbot_ratio1_total"),
    ("mcbot.already.total", "", "counter", "mcbot_already_total"),
    ("mcbot.equity", "usdt", "gauge", "mcbot_equity_usdt"),
    ("mcbot.equity", "USDT", "gauge", "mcbot_equity_USDT"),
    ("mcbot.usdt.balance", "usdt", "gauge", "mcbot_usdt_balance"),
    ("mcbot.usdt.equity", "usdt", "gauge", "mcbot_usdt_equity"),
    ("mcbot.slippage", "bps", "histogram", "mcbot_slippage_bps"),
    ("mcbot.order.latency", "s", "histogram", "mcbot_order_latency_seconds"),
    ("mcbot.order.latency", "ms", "histogram", "mcbot_order_latency_milliseconds"),
    ("mcbot.heartbeat.timestamp", "s", "gauge", "mcbot_heartbeat_timestamp_seconds"),
    ("mcbot.drawdown", "%", "gauge", "mcbot_drawdown_percent"),
    ("mcbot.drawdown", "pct", "gauge", "mcbot_drawdown_pct"),
    ("mcbot.drawdown_pct", "%", "gauge", "mcbot_drawdown_pct_percent"),
    ("mcbot.drawdown", "1", "gauge", "mcbot_drawdown_ratio"),
    ("mcbot.win.ratio", "1", "gauge", "mcbot_win_ratio"),
    ("mcbot.leverage", "1", "updown", "mcbot_leverage"),
    ("mcbot.inflight", "{order}", "updown", "mcbot_inflight"),
    ("mcbot.queue.depth", "", "updown", "mcbot_queue_depth"),
    ("mcbot.position.open", "{position}", "updown", "mcbot_position_open"),
    ("mcbot.process.memory", "By", "gauge", "mcbot_process_memory_bytes"),
    ("mcbot.lag", "ms", "gauge", "mcbot_lag_milliseconds"),
    ("mcbot.net.io", "By/s", "gauge", "mcbot_net_io_bytes_per_second"),
    ("mcbot.ws.messages", "{msg}/s", "gauge", "mcbot_ws_messages_per_second"),
    ("mcbot.rate", "usdt/h", "gauge", "mcbot_rate_usdt_per_hour"),
    ("mcbot.rate", "1/s", "gauge", "mcbot_rate_per_second"),
    ("mcbot.price", "USDT/BTC", "gauge", "mcbot_price_USDT_per_BTC"),
    ("mcbot.funding.interval", "m", "gauge", "mcbot_funding_interval_meters"),
    ("mcbot.funding.interval", "min", "gauge", "mcbot_funding_interval_minutes"),
    ("mcbot.pnl", "{USDT}", "gauge", "mcbot_pnl"),
    ("mcbot.cost", "$", "gauge", "mcbot_cost"),
    ("9lives", "", "gauge", "_9lives"),
]


@pytest.mark.parametrize(("name", "unit", "kind", "expected"), VECTORS)
def test_the_translators_vectors(name: str, unit: str, kind: Kind, expected: str) -> None:
    assert prometheus_name(name, unit, kind) == expected
