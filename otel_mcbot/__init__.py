"""OpenTelemetry-native monitoring for live trading bots.

    import otel_mcbot as mcbot

    telemetry = mcbot.configure("my-bot", mode="paper", expect={"BTC/USDT": "1m"}, strategies=["trend"])

    with mcbot.trade_cycle(strategy="trend", symbol="BTC/USDT") as cycle:
        with cycle.order(side="buy", quantity=0.01, expected_price=64_000.0) as order:
            order.update(exchange.create_order("BTC/USDT", "market", "buy", 0.01))

It never hurts the bot, it never stays silent, it answers "why".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_mcbot import facts
from otel_mcbot.hub import tell
from otel_mcbot.maintenance import maintenance
from otel_mcbot.settings import Settings, SettingsError
from otel_mcbot.trace import (
    Trace,
    exchange_call,
    generate_signal,
    pre_trade_check,
    process_signal,
    resume,
    submit_order,
    trade_cycle,
    update,
)

if TYPE_CHECKING:
    from otel_mcbot.integrations.bus import attach
    from otel_mcbot.integrations.ccxt import instrument_ccxt
    from otel_mcbot.telemetry import Telemetry, configure

__version__ = "0.1.0"

__all__ = [
    "Settings",
    "SettingsError",
    "Telemetry",
    "Trace",
    "attach",
    "configure",
    "exchange_call",
    "facts",
    "generate_signal",
    "instrument_ccxt",
    "maintenance",
    "pre_trade_check",
    "process_signal",
    "resume",
    "submit_order",
    "tell",
    "trade_cycle",
    "update",
]

_LAZY = {
    "Telemetry": "otel_mcbot.telemetry",
    "attach": "otel_mcbot.integrations.bus",
    "configure": "otel_mcbot.telemetry",
    "instrument_ccxt": "otel_mcbot.integrations.ccxt",
}
"""Names that cost an import of their own (the SDK, an integration) come when they are asked for."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
