"""The bot, wired. What it needs of the package: ``configure``, ``attach``, and a ``with`` block a stage."""

from __future__ import annotations

import asyncio
import math
import os
import signal
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any

import otel_mcbot as mcbot

from .bus import EventBus
from .chores import Chores
from .days import BACKTEST, Days
from .exchange import PaperExchange
from .feed import Feed
from .health import ApiHealth
from .oms import OrderManager
from .onchain import Onchain
from .plan import Plan
from .pods import PodBook
from .portfolio import Pod, Portfolio
from .reconcile import Reconciler
from .regime import RegimeWatch
from .returns import DailyReturns
from .risk import RiskManager
from .strategies import Reversion, StrategyRunner, Trend

SERVICE = "otel-mcbot-demo"
PODS = (Pod("pod-trend", "trend", 50_000.0, "market"), Pod("pod-reversion", "reversion", 50_000.0, "limit"))
STRATEGIES = {"trend": Trend, "reversion": Reversion}
RECORD = {"pod-trend": (0.0061, 0.0070), "pod-reversion": (0.0092, 0.0077)}
"""Mean and deviation of the pods' daily returns on the made-up market, measured over two months of two seeds."""
SETTLE = 10.0
"""Seconds at most for what is on its way when the bars end."""


def configure(plan: Plan, mode: str, expect: Mapping[str, str] | None = None) -> mcbot.Telemetry:
    """Telemetry of the demo, under a name of its own. ``hold`` is short because a demo is.

    Args:
        expect: symbol → timeframe of what else shall come.
    """
    telemetry = mcbot.configure(
        os.environ.get("OTEL_SERVICE_NAME") or SERVICE,
        mode=mode,
        expect={**plan.symbols, **(expect or {})},
        strategies=[pod.strategy for pod in PODS],
        exchange="paper",
        version=mcbot.__version__,
        hold=2.0,
        detectors=os.environ.get("MCBOT_DETECTORS") or "calibrated",
    )
    for order in list(telemetry.hub.ledger.open.values()):  # the paper venue forgets at its end what rested there
        mcbot.tell(
            mcbot.facts.OrderCanceled(client_id=order.client_id, symbol=order.symbol, message="unknown to the venue")
        )
    return telemetry


class Bot:
    """Two strategies in two pods on one bus.

    Args:
        telemetry: what :func:`configure` returned.
        plan: bars and pace.
        keep_returns: collect what daily returns are made of; without end it would grow without end.

    Attributes:
        fault_seconds: how long the fault of a scenario goes on.
    """

    def __init__(self, telemetry: mcbot.Telemetry, plan: Plan, *, keep_returns: bool = False) -> None:
        self.fault_seconds = math.inf
        self.bus = EventBus()
        self.seen = mcbot.attach(self.bus).require("bar", "signal", "order_request", "order_rejected", "fill")
        capital = {pod.strategy: pod.capital for pod in PODS}
        self.exchange = PaperExchange(plan.seed, cash=sum(capital.values()), pace=plan.pace)
        self.regime = RegimeWatch(self.bus, telemetry, plan.seed)
        api = ApiHealth()
        self.portfolio = Portfolio(self.bus, PODS, telemetry.execution.on_order_skipped, api, plan.size)
        self.returns = DailyReturns(self.bus, capital) if keep_returns else None
        self.strategies = [StrategyRunner(self.bus, STRATEGIES[pod.strategy], pod.id) for pod in PODS]
        self.risk = RiskManager(self.bus, plan.size)
        self.oms = OrderManager(
            self.bus, self.exchange, self.portfolio.order_done, api, telemetry.execution.on_fill_parse_failure
        )
        self.feed = Feed(self.bus, self.exchange, telemetry, plan.bars, interval=plan.interval, seed=plan.seed)
        daily = set(plan.symbols.values()) == {"1D"}
        self.days = Days(
            self.bus,
            self.portfolio,
            PODS,
            telemetry,
            backtest=BACKTEST if daily else 0,
            record=RECORD if plan.made_up else None,
            seed=plan.seed,
        )
        book = PodBook(self.portfolio, PODS, telemetry.detectors.lifecycle)
        self.chores = Chores(
            self.bus, self.exchange, book, telemetry.orchestrator.update, last_order=lambda: self.oms.newest
        )
        self.reconciler = Reconciler(self.bus, self.exchange, self.portfolio, telemetry)
        self.onchain = Onchain(self.bus, telemetry, seed=plan.seed, pace=plan.pace)

    async def run(self, drill: Callable[[Bot], Coroutine[Any, Any, None]] | None = None) -> None:
        """Trades until the bars end or SIGTERM or SIGINT comes, then waits for what is on its way.

        Args:
            drill: goes on beside it for as long.
        """
        self.bus.start()
        feed = asyncio.create_task(self.feed.run(), name="feed")
        background = {
            asyncio.create_task(self.oms.listen(), name="oms"),
            asyncio.create_task(self.chores.run(), name="chores"),
        }
        drills = {asyncio.create_task(drill(self), name="drill")} if drill is not None else set()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with suppress(NotImplementedError):  # Windows
                loop.add_signal_handler(number, feed.cancel)
        try:
            done, _ = await asyncio.wait({feed, *background, *drills}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if not task.cancelled():
                    task.result()
            for task in drills:
                task.cancel()
            await asyncio.gather(*drills, return_exceptions=True)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._settled(), SETTLE)
        finally:
            for task in (feed, *background, *drills):
                task.cancel()
            await asyncio.gather(feed, *background, *drills, return_exceptions=True)
            await self.bus.stop()

    async def _settled(self) -> None:
        """Waits until nothing moves any more; resting orders rest on."""
        before = -1
        while before != self.bus.metrics.events_dispatched:
            before = self.bus.metrics.events_dispatched
            await self.bus.drained()
            await self.oms.settled()
            await self.exchange.settled()
            await self.chores.settled()
            await self.reconciler.settled()
            await self.onchain.settled()
            await self.days.settled()
            await self.bus.drained()
