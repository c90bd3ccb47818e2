"""Layer 6: the market data's websockets, symbol by symbol."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import Final

from otel_mcbot import catalog
from otel_mcbot.guard import Guard

_guard: Final = Guard("record.websocket")


class WebSocket:
    """Takes the callbacks of the feed. Ages run on the monotonic clock, from the connection or the last message on."""

    def __init__(self) -> None:
        self._heard: dict[str, float] = {}
        self._failures: Counter[str] = Counter()

    def start(self) -> None:
        catalog.ws_last_message_age.watch(self._ages)

    @_guard
    def on_ws_status(self, symbol: str, connected: bool) -> None:
        """The symbol's connection is up or down now."""
        if symbol not in self._heard:
            catalog.ws_reconnects.zero(symbol=symbol)
            catalog.ws_messages_received.zero(symbol=symbol)
            catalog.ws_reconnect_failures.set(0, symbol=symbol)
            self._heard[symbol] = time.monotonic()
        catalog.exchange_ws_connected.set(1 if connected else 0, symbol=symbol)

    @_guard
    def on_ws_reconnect(self, symbol: str) -> None:
        """A dropped connection is back."""
        self.on_ws_status(symbol, True)
        catalog.ws_reconnects.add(symbol=symbol)
        self._failures[symbol] = 0
        catalog.ws_reconnect_failures.set(0, symbol=symbol)

    @_guard
    def on_ws_reconnect_failed(self, symbol: str) -> None:
        """An attempt to come back failed."""
        self.on_ws_status(symbol, False)
        self._failures[symbol] += 1
        catalog.ws_reconnect_failures.set(self._failures[symbol], symbol=symbol)

    @_guard
    def on_ws_message(self, symbol: str) -> None:
        """A message came in."""
        if symbol not in self._heard:
            self.on_ws_status(symbol, True)
        self._heard[symbol] = time.monotonic()
        catalog.ws_messages_received.add(symbol=symbol)

    @_guard
    def forget(self, symbol: str) -> None:
        """The symbol is not subscribed any more: its state and age disappear."""
        self._heard.pop(symbol, None)
        self._failures.pop(symbol, None)
        catalog.exchange_ws_connected.forget(symbol=symbol)  # a 0 would say that it is down
        catalog.ws_reconnect_failures.remove(symbol=symbol)

    def _ages(self) -> Iterable[tuple[float, dict[str, object]]]:
        now = time.monotonic()
        return [(max(0.0, now - at), {"symbol": symbol}) for symbol, at in self._heard.copy().items()]
