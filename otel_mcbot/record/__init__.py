"""Facts → instruments, one module a layer.

:class:`Recorders` is told every fact with what the ledger learnt from it, and holds the objects whose methods a bot's
own layers call. What fails in one layer is counted and does not stop the others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from opentelemetry.context import Context

from otel_mcbot import facts
from otel_mcbot.guard import Guard

from .account import Account
from .anomaly import Anomaly
from .exchange import Exchange
from .execution import Execution, ExpectedPrice
from .health import Health
from .meta import Meta
from .onchain import Onchain
from .orchestrator import Orchestrator, OrchestratorSnapshot
from .process import Process, ProcessSnapshot
from .reconciliation import Reconciliation
from .regime import Regime
from .strategy import Strategy
from .websocket import WebSocket

if TYPE_CHECKING:
    from otel_mcbot.ledger import Change, Ledger

__all__ = ["OrchestratorSnapshot", "ProcessSnapshot", "RecorderSettings", "Recorders"]

_guard: Final = Guard("record")

Handler = Callable[[Any, Sequence["Change"], Context | None], None]


class RecorderSettings(Protocol):
    """What recording wants to know of the settings."""

    @property
    def mode(self) -> str: ...
    @property
    def version(self) -> str | None: ...
    @property
    def exchange(self) -> str | None: ...
    @property
    def expect(self) -> Mapping[str, str]: ...
    @property
    def strategies(self) -> tuple[str, ...]: ...


class Recorders:
    """Every layer's recorder. The catalog is bound before :meth:`start`.

    Args:
        settings: mode, version, exchange, expected symbols, strategies.
        ledger: whose open orders are counted and who knows a symbol's last strategy.

    Attributes:
        tell: where the callbacks' facts go. Set it to the hub's ``tell``, so that every consumer hears them; alone, a
            recorder hears itself.
        exchange, websocket, onchain, regime, execution, anomaly, orchestrator, reconciliation, process: objects whose
            methods the bot's layers call, from any thread; none of them raises.
    """

    def __init__(self, settings: RecorderSettings, ledger: Ledger) -> None:
        self._settings = settings
        self._lock = threading.RLock()  # facts come from several threads, strategies' sums must not be torn
        self._symbols: set[str] = set()
        self.tell: Callable[[facts.Fact], object] = lambda fact: self.on_fact(fact, (), None)
        self.exchange = Exchange(self._tell)
        self.websocket = WebSocket()
        self.onchain = Onchain()
        self.regime = Regime()
        self.execution = Execution(ledger, settings.mode in ("live", "paper"), self._tell)
        self.anomaly = Anomaly(self._tell)
        self.orchestrator = Orchestrator()
        self.reconciliation = Reconciliation()
        self.process = Process()
        self.health = Health(settings.expect, self.process.lag)
        self._account = Account()
        self._strategy = Strategy(ledger)
        self._meta = Meta(settings, ledger)
        self._expected_price = ExpectedPrice()
        self._handlers: dict[type[facts.Fact], Handler] = {
            facts.BarReceived: self._bar,
            facts.SignalGenerated: self._signal,
            facts.PositionUpdated: self._position,
            facts.BalanceUpdated: self._balance,
            facts.OrderSkipped: lambda fact, _, __: self.execution.record_skipped(fact),
            facts.FillUnreadable: lambda fact, _, __: self.execution.record_unreadable(fact),
            facts.ApiCalled: lambda fact, _, __: self.exchange.record_call(fact),
            facts.RiskAlertRaised: lambda fact, _, __: self.health.record_risk_alert(fact),
            facts.CircuitBreakerTripped: lambda fact, _, __: self.health.record_circuit_breaker(),
            facts.Heartbeat: lambda fact, _, __: self.health.record_heartbeat(fact),
            facts.ErrorOccurred: lambda fact, _, __: self.health.record_error(fact),
            facts.MaintenanceChanged: lambda fact, _, __: self.health.record_maintenance(fact),
        }

    def start(self) -> None:
        """Begin: gauges are watched, counters that an alert reads exist at 0 for all that is known beforehand."""
        for start in (
            self._meta.start,
            self.health.start,
            self.process.start,
            self.exchange.start,
            self.websocket.start,
            self.anomaly.start,
            self.onchain.start,
            self.reconciliation.start,
            lambda: self._strategy.start(self._settings.strategies),
            self._meet_expected,
        ):
            with _guard:
                start()

    def close(self) -> None:
        """The bot stops on purpose. Export once more after this: what stays open at the venue is the last word."""
        with _guard:
            self.execution.count(time.monotonic())
        with _guard:
            self._meta.close()

    def on_fact(self, fact: facts.Fact, changes: Sequence[Change], context: Context | None) -> None:
        """Record a fact.

        Args:
            fact: what happened.
            changes: what the ledger learnt from it.
            context: the order's own place in its trace, so that exemplars carry it; ``None``: the current one.
        """
        with self._lock, _guard:
            if changes:
                self._orders(fact, changes, context)
            handler = self._handlers.get(type(fact))
            if handler is not None:
                handler(fact, changes, context)

    def tick(self, now: float) -> None:
        """Time passes; ``now`` is monotonic."""
        with _guard:
            self.execution.tick(now)
        with _guard:
            self.health.tick(now)

    def _tell(self, fact: facts.Fact) -> object:
        return self.tell(fact)

    def _meet(self, symbol: str | None) -> None:
        """At first sight of a symbol its counters come to exist at 0."""
        if symbol and symbol not in self._symbols:
            self._symbols.add(symbol)
            self.execution.meet_symbol(symbol)
            self._account.meet_symbol(symbol)

    def _meet_expected(self) -> None:
        for symbol in self._settings.expect:
            self._meet(symbol)

    def _orders(self, fact: facts.Fact, changes: Sequence[Change], context: Context | None) -> None:
        for change in changes:
            order = change.order
            self._meet(order.symbol)
            if change.requested:
                self._expected_price.note_request(order)
            slippage = self._expected_price.slippage(change)
            with _guard:
                self.execution.record_change(change, slippage, fact.at, context)
            with _guard:
                self._strategy.record_change(change, slippage, context)
            if change.ended:
                self._expected_price.forget(order)

    def _bar(self, bar: facts.BarReceived, changes: Sequence[Change], context: Context | None) -> None:
        self._meet(bar.symbol)
        self._expected_price.note_bar(bar)
        self._strategy.record_bar(bar)
        self.health.record_bar(bar)
        self.execution.record_bar(bar)

    def _signal(self, signal: facts.SignalGenerated, changes: Sequence[Change], context: Context | None) -> None:
        self._meet(signal.symbol)
        self.execution.record_signal(signal, context)
        self._strategy.record_signal(signal, context)

    def _position(self, position: facts.PositionUpdated, changes: Sequence[Change], context: Context | None) -> None:
        self._meet(position.symbol)
        realized = self._account.record_position(position)
        self._strategy.record_realized(position.symbol, realized)

    def _balance(self, balance: facts.BalanceUpdated, changes: Sequence[Change], context: Context | None) -> None:
        self._account.record_balance(balance)
        self._strategy.record_balance(balance)
