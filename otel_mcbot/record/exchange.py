"""Layer 3: calls of the exchange's API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from otel_mcbot import catalog, facts
from otel_mcbot.guard import Guard

_guard: Final = Guard("record.exchange")

WRITES: Final = frozenset({"create_order", "create_stop_market"})
ENDPOINTS: Final = (
    "create_order",
    "create_stop_market",
    "fetch_positions",
    "fetch_balance",
    "fetch_ticker",
    "fetch_open_orders",
    "fetch_order",
    "cancel_order",
    "cancel_all_orders",
)
"""The endpoints that count; set-up of the account and ingestion of data do not."""

LOGIC_ERRORS: Final = frozenset(
    {
        "InvalidOrder",
        "OrderNotFound",
        "OrderNotCached",
        "OrderImmediatelyFillable",
        "OrderNotFillable",
        "DuplicateOrderId",
        "ContractUnavailable",
    }
)
"""``InvalidOrder`` and ccxt's subclasses of it: the bot's mistake, not the venue's health."""


class Exchange:
    """Takes the callback of the layer that calls the exchange. ``tell`` is where its facts go."""

    def __init__(self, tell: Callable[[facts.Fact], object]) -> None:
        self._tell = tell
        self._failures = 0

    def on_api_call(self, endpoint: str, status: str, seconds: float, error: str | None = None) -> None:
        """A call has returned.

        Args:
            endpoint: ccxt's name of it, as ``create_order``.
            status: ``success`` or ``failure``.
            seconds: how long it took, retries and backoff included.
            error: class name of the exception of a failed call.
        """
        with _guard:
            self._tell(facts.ApiCalled(endpoint=endpoint, status=status, seconds=seconds, error=error))

    def start(self) -> None:
        """Let the counters exist at 0."""
        for endpoint in ENDPOINTS:
            for status in ("success", "failure"):
                catalog.exchange_api_calls.zero(endpoint=endpoint, status=status)
        catalog.exchange_consecutive_failures.set(0)

    def record_call(self, call: facts.ApiCalled) -> None:
        succeeded = call.status.lower() in ("success", "ok")
        if not succeeded:
            catalog.errors.add(component="Exchange", error_type=call.error or "unknown")
        if call.endpoint not in ENDPOINTS:
            return
        catalog.exchange_api_calls.add(endpoint=call.endpoint, status="success" if succeeded else "failure")
        if call.seconds is not None:
            catalog.exchange_api_latency.record(call.seconds, endpoint=call.endpoint)
        if call.endpoint in WRITES and (succeeded or call.error not in LOGIC_ERRORS):
            self._failures = 0 if succeeded else self._failures + 1
            catalog.exchange_consecutive_failures.set(self._failures)
