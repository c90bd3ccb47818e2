"""On-chain data: whether it still comes."""

from __future__ import annotations

from typing import Final

from otel_mcbot import catalog

from .promql import by, highest, increase, percentile, rate
from .rule import BOT, Rule, Severity, Unit

_FETCH: Final = catalog.onchain_fetch.prometheus_name
_SUCCESS: Final = catalog.onchain_last_success_timestamp.prometheus_name

ONCHAIN: Final = (
    Rule(
        name="OnchainFetchHighFailureRate",
        family="onchain",
        severity=Severity.WARNING,
        hold="1h",
        value=f"""
            {rate(catalog.onchain_fetch, "source", only='status="failure"')} / {rate(catalog.onchain_fetch, "source")}
            and {increase(catalog.onchain_fetch, "source")} >= $least
        """,
        op=">",
        threshold=0.5,
        unit=Unit.SHARE,
        text="{value} of the fetches of {source} failed in {window}, the limit is {threshold}.",
        labels=("source",),
        panel="onchain/Share of failed fetches",
        parameters={"window": "1d", "least": 2},
        deviation=(
            "Failures are divided by all fetches of the source; series by series a failure would be divided by itself. "
            "Judged from 2 fetches on."
        ),
    ),
    Rule(
        name="OnchainDataStale",
        family="onchain",
        severity=Severity.WARNING,
        hold="1h",
        value=f"""
            time() - max {by("source")} (
              {_SUCCESS}
              or last_over_time({_SUCCESS}[7d])
                and on ({BOT}, source) sum {by("source")} (increase({_FETCH}[1d])) > 0
            )
        """,
        op=">",
        threshold=172_800,
        unit=Unit.SECONDS,
        text="No fetch of {source} has succeeded for {value}, the limit is {threshold}.",
        labels=("source",),
        panel="onchain/Since the last success",
        deviation=(
            "A bot that was restarted while its source fails has no time of a success of its own: "
            "the one from before the restart counts, as long as the source is still asked."
        ),
    ),
    Rule(
        name="OnchainCacheEmpty",
        family="onchain",
        severity=Severity.WARNING,
        hold="30m",
        value=highest(catalog.onchain_cache_size, "symbol"),
        op="==",
        threshold=0,
        unit=Unit.COUNT,
        text="Nothing on-chain is cached for {symbol}: its strategies decide without.",
        labels=("symbol",),
        panel="onchain/Cache size",
    ),
    Rule(
        name="OnchainFetchSlow",
        family="onchain",
        severity=Severity.INFO,
        hold="5m",
        # no least number: a source is fetched every six hours, and each fetch is news
        value=percentile(0.95, catalog.onchain_fetch_latency, "source"),
        op=">",
        threshold=60,
        unit=Unit.SECONDS,
        text="A fetch of {source} takes {value}, the limit is {threshold}.",
        labels=("source",),
        panel="onchain/Fetch latency (95 %)",
        parameters={"window": "1h"},
    ),
)
