"""A script around a ccxt exchange: one line, and every ``create_order`` is a whole cycle."""

import paper_ccxt as ccxt

import otel_mcbot as mcbot

telemetry = mcbot.configure("grid-script", mode="paper", strategies=["grid"])
keys = {"apiKey": "…", "secret": "…"}

ex = mcbot.instrument_ccxt(ccxt.binance(keys), strategy="grid")  # same object back

ex.fetch_balance()
ex.create_order("BTC/USDT", "market", "buy", 0.01)
resting = ex.create_order("BTC/USDT", "limit", "buy", 0.01, 60_000)
ex.cancel_order(resting["id"], "BTC/USDT")
try:
    ex.create_order("BTC/USDT", "market", "buy", 100)
except ccxt.InsufficientFunds as error:  # passes as it is
    print("refused:", error)

print("orders:", telemetry.hub.ledger.totals.by_status)
telemetry.close()
