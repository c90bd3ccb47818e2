"""Where facts meet: every source tells the hub, and the hub tells everybody else in one fixed order.

The order matters: the ledger decides what is new, the lifecycle gives the order its place in a trace, and only then do
instruments and event records speak, so that both carry that place. One lock covers the first two; the rest is safe on
its own. Nothing here raises into the bot.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry.context import Context

from otel_mcbot.facts import Fact, OrderFact, SignalGenerated
from otel_mcbot.guard import Guard

if TYPE_CHECKING:
    from otel_mcbot.ledger import Change, Ledger
    from otel_mcbot.trace.lifecycle import Lifecycle
    from otel_mcbot.trace.propagation import Trace


class Consumer(Protocol):
    """Reads facts. ``changes`` is what the ledger learnt from the fact, ``context`` the order's place in its trace."""

    def on_fact(self, fact: Fact, changes: Sequence[Change], context: Context | None) -> None: ...


class Hub:
    """One process' spine: ledger, lifecycle and consumers behind one call.

    Args:
        ledger: the arbiter of orders.
        lifecycle: facts → spans.
        recorders: facts → instruments.
        events: facts → event records.
        on_loop: called on every fact in the bot's own thread; starts the beat on its event loop when there is one.
        redact: cleans text of secrets before it gets onto a span.

    Attributes:
        listeners: told every fact after the others. tickers: told the time at every :meth:`tick`.
        detectors: one of the listeners, which judges.
    """

    def __init__(
        self,
        ledger: Ledger,
        lifecycle: Lifecycle,
        recorders: Any,
        events: Consumer | None = None,
        *,
        on_loop: Callable[[], None] | None = None,
        redact: Callable[[str], str] = str,
    ) -> None:
        self.ledger = ledger
        self.lifecycle = lifecycle
        self.recorders = recorders
        self.events = events
        self.on_loop = on_loop
        self.redact = redact
        self.listeners: list[Callable[[Fact, Sequence[Change], Context | None], None]] = []
        self.tickers: list[Callable[[float], None]] = []
        self.detectors: Any = None
        self.dropped: Counter[str] = Counter()
        self.lock = threading.RLock()
        lifecycle.lock = self.lock

    def tell(self, fact: Fact) -> Trace | None:
        """Take a fact. Returns its place in a trade cycle, to be carried across a queue; ``None`` where it has none."""
        changes: Sequence[Change] = ()
        place: Trace | None = None
        context: Context | None = None
        with Guard("tell"):
            with self.lock:
                if isinstance(fact, OrderFact):
                    changes = self.ledger.apply(fact)
                elif isinstance(fact, SignalGenerated):
                    if self.lifecycle.has_signal(fact):
                        return self.lifecycle.here()
                    if fact.direction != "NEUTRAL":
                        self.ledger.note_signal(fact.strategy, fact.symbol, fact.at)
                with Guard("trace"):
                    place = self.lifecycle.on_fact(fact, changes)
            context = place.as_parent() if place is not None else None
            consumers = (self.recorders, self.events) if self.events is not None else (self.recorders,)
            for consumer in consumers:
                with Guard("consume"):
                    consumer.on_fact(fact, changes, context)
            for listener in self.listeners:
                with Guard("listen"):
                    listener(fact, changes, context)
            if self.on_loop is not None:
                self.on_loop()
        return place

    def tick(self, now: float | None = None) -> None:
        """Let time pass: orders that are due, cycles on hold, gauges that age. Called by the keeper's thread."""
        now = time.monotonic() if now is None else now
        with Guard("tick"):
            with self.lock:
                due = self.ledger.due(now)
            for fact in due:
                self.tell(fact)
            self.lifecycle.tick(now)
            self.recorders.tick(now)
        for ticker in self.tickers:
            with Guard("tick"):
                ticker(now)


_current: Hub | None = None


def current() -> Hub | None:
    """The hub of this process: ``None`` before ``configure()``, after ``close()`` and in a forked child."""
    return _current


def install(hub: Hub | None) -> Hub | None:
    """Make ``hub`` the current one; returns the one before."""
    global _current
    before, _current = _current, hub
    return before


def tell(fact: Fact) -> Trace | None:
    """Tell the current hub, or nobody."""
    hub = _current
    return hub.tell(fact) if hub is not None else None
