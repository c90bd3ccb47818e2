"""Read by type checkers, never run: what a user writes is typed, and a decorator keeps its function's signature."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import assert_type

import otel_mcbot as mcbot
from otel_mcbot.detect import PodReport
from otel_mcbot.testing import capture


@mcbot.generate_signal(strategy="ctrend")
async def on_bar(bar: dict[str, float], *, weight: float = 1.0) -> str | None:
    return "long" if bar["close"] > weight else None


@mcbot.pre_trade_check(strategy="ctrend", symbol="BTC/USDT")
def allowed(notional: float) -> bool:
    return notional < 100.0


class Oms:
    @mcbot.submit_order(strategy="ctrend")
    async def send(self, side: str, quantity: float) -> dict[str, object]:
        return {"id": side, "amount": quantity}


async def use(trace: mcbot.Trace | None, oms: Oms) -> None:
    assert_type(await on_bar({"close": 1.0}, weight=2.0), str | None)
    assert_type(allowed(1.0), bool)
    assert_type(await oms.send("buy", 1.0), dict[str, object])
    function: Callable[[float], bool] = allowed
    waited: Awaitable[str | None] = on_bar({"close": 1.0})
    del function
    await waited

    telemetry = mcbot.configure("bot", mode="paper", expect={"BTC/USDT": "1m"}, strategies=["ctrend"])
    assert_type(telemetry, mcbot.Telemetry)
    with mcbot.trade_cycle(strategy="ctrend", symbol="BTC/USDT") as cycle:
        with cycle.generate_signal() as stage:
            stage.signal("long", strength=0.7)
        with cycle.pre_trade_check() as check:
            assert_type(check.denied("leverage_exceeded"), bool)
        with cycle.order(side="buy", quantity=0.01, expected_price=64_000.0) as order:
            order.update({"id": "1"})
            assert_type(order.id, str)
    with mcbot.resume(trace, queue_wait=0.1), mcbot.exchange_call("fetch_order", address="api.example.com") as call:
        call.response(status_code=200)
    assert_type(mcbot.Trace.here(), mcbot.Trace | None)
    mcbot.update({"id": "1"})
    mcbot.tell(mcbot.facts.Heartbeat())
    judged = telemetry.detectors.update("pod", 0.01, "2026-01-01")
    assert_type(judged, Future[PodReport])
    assert_type(telemetry.detectors.status("pod"), str | None)
    telemetry.exchange.on_api_call("fetch_balance", "success", 0.1)
    with mcbot.maintenance("deploy", "10m"):
        await telemetry.aclose(timeout=5.0)
    with capture() as seen:
        assert_type(seen.ledger.pending, int)
