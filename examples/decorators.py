"""The same stages as decorators: ``def`` and ``async def``, signature kept."""

import asyncio
from dataclasses import dataclass
from typing import Any

import paper_ccxt as ccxt

import otel_mcbot as mcbot


@dataclass
class Bar:
    symbol: str
    close: float


class Bot:
    def __init__(self) -> None:
        self.exchange = ccxt.binance()

    @mcbot.generate_signal(strategy="ctrend")  # the symbol is read from the bar, the direction from what is returned
    async def on_bar(self, bar: Bar) -> str | None:
        return "long" if bar.close < 64_000 else None

    @mcbot.pre_trade_check(strategy="ctrend")  # False has denied
    def allowed(self, symbol: str, quantity: float) -> bool:
        return quantity < 1

    @mcbot.submit_order(strategy="ctrend", order_type="market")  # a returned ccxt order is taken as the report
    async def send(self, symbol: str, side: str, quantity: float) -> dict[str, Any]:
        return self.exchange.create_order(symbol, "market", side, quantity)


async def main() -> None:
    telemetry = mcbot.configure("mc-coin-bot", mode="paper", strategies=["ctrend"])
    bot = Bot()
    for close in (64_100.0, 63_990.0):
        if await bot.on_bar(Bar("BTC/USDT", close)) and bot.allowed("BTC/USDT", 0.01):
            await bot.send("BTC/USDT", "buy", 0.01)
    print("orders:", telemetry.hub.ledger.totals.by_status)
    await telemetry.aclose()


asyncio.run(main())
