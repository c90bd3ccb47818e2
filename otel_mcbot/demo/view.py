"""The bot on a terminal: its last orders as the traces that they leave, its money, its health."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field

from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.tree import Tree

import otel_mcbot as mcbot

from .bot import Bot
from .events import (
    EventType,
    FillEvent,
    OrderAckEvent,
    OrderCanceledEvent,
    OrderExpiredEvent,
    OrderRejectedEvent,
    OrderRequestEvent,
)

REFRESH = 0.2
"""Seconds between two pictures."""

SHOWN = 4
"""Orders on screen at most."""

TREE_LINES, OTHER_LINES = 7, 13
"""What an order and what all the rest take of the screen's height."""

_COLOURS = {"filled": "green", "rejected": "red", "canceled": "yellow", "expired": "yellow"}


@dataclass
class Shown:
    """An order as it is drawn. Times are monotonic seconds."""

    request: OrderRequestEvent
    trace_id: str
    asked_at: float = field(default_factory=time.monotonic)
    checked_at: float | None = None
    answered_at: float | None = None
    ended_at: float | None = None
    status: str = "working"
    reason: str = ""
    parts: int = 0
    filled: float = 0.0

    def tree(self) -> Tree:
        request = self.request
        colour = _COLOURS.get(self.status, "cyan")
        tree = Tree(
            f"[bold]trade_cycle[/] {request.strategy_name} {request.symbol} [{colour}]{self.status}[/] "
            f"{self._took(self.asked_at, self.ended_at)} [dim]{self.trace_id}[/]"
        )
        tree.add("strategy.generate_signal")
        manager = tree.add(f"pm.process_signal {request.notional_usd:,.2f}")
        if self.checked_at is None and self.status == "rejected":
            manager.add(f"rm.pre_trade_check [red]denied {self.reason}[/]")
            return tree
        check = manager.add("rm.pre_trade_check approved")
        price = f" at {request.price:,.2f}" if request.price else ""
        submit = check.add(
            f"oms.submit_order {request.side.lower()} {request.order_type.lower()}{price} "
            f"{self._took(self.checked_at, self.answered_at)} {self.reason}"
        )
        submit.add("exchange.create_order")
        if self.answered_at is not None and self.status != "rejected":
            parts = f"{self.parts} part{'s' * (self.parts != 1)}, {self.filled:.6f}"
            tree.add(f"oms.await_fill {parts} {self._took(self.answered_at, self.ended_at)}")
        return tree

    @staticmethod
    def _took(begin: float | None, end: float | None) -> str:
        if begin is None:
            return ""
        return f"{1000 * max(0.0, (end or time.monotonic()) - begin):.0f} ms" + ("" if end else " …")


class View:
    """Follows the bot's events as any other subscriber would."""

    def __init__(self, bot: Bot, telemetry: mcbot.Telemetry) -> None:
        self.bot = bot
        self.telemetry = telemetry
        self._orders: OrderedDict[str, Shown] = OrderedDict()
        for event_type, handler in (
            (EventType.ORDER_REQUEST, self._on_request),
            (EventType.ORDER_ACK, self._on_ack),
            (EventType.ORDER_REJECTED, self._on_rejected),
            (EventType.FILL, self._on_fill),
            (EventType.ORDER_CANCELED, self._on_end),
            (EventType.ORDER_EXPIRED, self._on_end),
        ):
            bot.bus.subscribe(event_type, handler)

    async def run(self) -> None:
        """Draws until cancelled."""
        with Live(refresh_per_second=1 / REFRESH, transient=True) as live:
            while True:
                live.update(self._draw(live.console.size.height))
                await asyncio.sleep(REFRESH)

    async def _on_request(self, event: OrderRequestEvent) -> None:
        shown = self._orders.get(event.client_order_id)
        if shown is None:
            trace = mcbot.Trace.here()
            trace_id = trace.traceparent().split("-")[1] if trace is not None else ""
            self._orders[event.client_order_id] = Shown(event, trace_id)
            while len(self._orders) > 50:
                self._orders.popitem(last=False)
        else:
            shown.checked_at = time.monotonic()

    async def _on_ack(self, event: OrderAckEvent) -> None:
        if shown := self._orders.get(event.client_order_id):
            shown.answered_at = time.monotonic()

    async def _on_rejected(self, event: OrderRejectedEvent) -> None:
        if shown := self._orders.get(event.client_order_id):
            shown.status, shown.reason = "rejected", event.reason
            shown.answered_at = shown.ended_at = time.monotonic()

    async def _on_fill(self, event: FillEvent) -> None:
        if shown := self._orders.get(event.client_order_id):
            shown.parts += 1
            shown.filled += event.fill_qty
            if event.client_order_id not in self.bot.oms.open:
                shown.status, shown.ended_at = "filled", time.monotonic()

    async def _on_end(self, event: OrderCanceledEvent | OrderExpiredEvent) -> None:
        if shown := self._orders.get(event.client_order_id):
            shown.status, shown.ended_at = event.event_type.removeprefix("order_"), time.monotonic()

    def _draw(self, height: int) -> Group:
        bot = self.bot
        pnl = bot.portfolio.pnl()
        money = Table.grid(padding=(0, 2))
        for name, value in (
            ("bars", f"{bot.feed.count}"),
            ("signals", f"{sum(strategy.signals for strategy in bot.strategies)}"),
            ("orders", ", ".join(f"{n} {what}" for what, n in sorted(bot.oms.outcomes.items())) or "none yet"),
            ("working", f"{len(bot.oms.open)}"),
            ("fills, fees", f"{bot.oms.fills}, {bot.oms.fees:,.2f}"),
            ("profit", f"[{'green' if pnl >= 0 else 'red'}]{pnl:+,.2f}[/]"),
            ("bus", f"{bot.bus.queue_size} waiting, {bot.bus.metrics.events_dispatched} handled"),
            ("spans", f"{self.telemetry.stats().emitted.get('spans', 0)} emitted"),
        ):
            money.add_row(f"[dim]{name}[/]", value)
        room = max(1, min(SHOWN, (height - OTHER_LINES) // TREE_LINES))
        trees = [shown.tree() for shown in list(self._orders.values())[-room:]]
        return Group(
            Panel(money, title="otel-mcbot demo", border_style="blue"),
            Panel(Group(*trees) if trees else "no order yet", title="last orders, as traces", border_style="blue"),
        )
