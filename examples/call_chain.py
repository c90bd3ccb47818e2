"""A bot whose order path is one call chain: decide, check, order."""

from dataclasses import dataclass

import paper_ccxt as ccxt

import otel_mcbot as mcbot

telemetry = mcbot.configure("mc-coin-bot", mode="paper", expect={"BTC/USDT": "1m"}, strategies=["ctrend"])
exchange = ccxt.binance({"apiKey": "…", "secret": "…"})


@dataclass
class Bar:
    symbol: str
    close: float


@dataclass
class Risk:
    limit: int

    def allows(self, side: str) -> bool:
        self.limit -= 1
        return self.limit >= 0


def decide(bar: Bar) -> str:
    return "buy" if bar.close < 64_000 else "sell"


risk = Risk(limit=3)

for close in (63_990.0, 64_010.0, 63_950.0, 64_100.0):
    bar = Bar("BTC/USDT", close)
    mcbot.tell(mcbot.facts.BarReceived(symbol=bar.symbol, timeframe="1m", close=bar.close))

    with mcbot.trade_cycle(strategy="ctrend", symbol="BTC/USDT") as cycle:
        with cycle.generate_signal() as s:
            s.signal(side := decide(bar), strength=0.7)
        with cycle.pre_trade_check() as check:
            ok = risk.allows(side) or check.denied("leverage_exceeded")  # denied() returns False
        if ok:
            with cycle.order(
                side=side, quantity=0.01, expected_price=bar.close
            ) as order:  # an id is made when none is given
                order.update(
                    exchange.create_order("BTC/USDT", "market", side, 0.01)
                )  # a ccxt dict: cumulative, idempotent

mcbot.update(exchange.fetch_order(order.id, "BTC/USDT"))  # anywhere, any task, after a restart: found by its id

with mcbot.maintenance("deploy", "10m"):  # expected silence is not an incident
    pass

print("orders:", telemetry.hub.ledger.totals.by_status)
telemetry.close()
