"""On-chain Data: do the sources answer, how much do they give, and how old is what the bot decides on."""

from __future__ import annotations

from typing import Final

from otel_mcbot import catalog
from otel_mcbot.provision import dashboard, page, panels, why
from otel_mcbot.provision.grammar import COUNT, SECONDS, SHARE, Json
from otel_mcbot.provision.panels import prometheus
from otel_mcbot.provision.queries import SYMBOL, legend, quantile, series, total

UID: Final = "onchain"

SOURCE: Final = "source"
STATUS: Final = "status"

DAY: Final = "24h"
"""Sources are asked every 6 to 12 hours: a shorter window holds hardly a fetch."""

_SOURCE: Final = legend(SOURCE)
_NONE: Final = "the bot reports no on-chain data"


def failures() -> str:
    """Share of each source's fetches that failed within a day; none of a source that was not asked."""
    failed = total(catalog.onchain_fetch, SOURCE, over=DAY, where=f'{STATUS}="failure"')
    return f"{failed} / ({total(catalog.onchain_fetch, SOURCE, over=DAY)} > 0)"


def _age() -> dashboard.Row:
    return (
        9,
        [
            panels.quiet(
                panels.curve(
                    1,
                    "Since the last success",
                    "Time since each source was last fetched with success. Worry from the red line on: the bot "
                    "decides on old data, which stays in the cache while the source fails. Status page of the source?",
                    [prometheus(f"time() - {series(catalog.onchain_last_success_timestamp)}", _SOURCE)],
                    unit=SECONDS,
                    limit="OnchainDataStale",
                    floor=0,
                    links=[why.link()],
                ),
                _NONE,
            ),
            panels.quiet(
                panels.curve(
                    2,
                    "Share of failed fetches",
                    "Share of each source's fetches of the last 24 hours that failed. Worry from the red line on: the "
                    "source's API, its rate limit or your key; the log lines say which.",
                    [prometheus(failures(), _SOURCE)],
                    unit=SHARE,
                    limit="OnchainFetchHighFailureRate",
                    floor=0,
                    links=[why.link()],
                ),
                _NONE,
            ),
        ],
    )


def _fetches() -> dashboard.Row:
    return (
        9,
        [
            panels.quiet(
                panels.bars(
                    3,
                    "Fetches",
                    "Fetches in each step, by source and how they ended. Each source is asked every 6 to 12 hours. "
                    "Worry about failures in a row, about empty answers of a source that has data, and about a source "
                    "that is not asked any more.",
                    [
                        prometheus(
                            f"{total(catalog.onchain_fetch, SOURCE, STATUS, over='$__interval')} > 0",
                            legend(SOURCE, STATUS),
                        )
                    ],
                    unit=COUNT,
                    links=[why.link()],
                ),
                "no fetch in this time",
            ),
            panels.quiet(
                panels.curve(
                    4,
                    "Fetch latency (95 %)",
                    "How long fetches take: 95 % of those of an hour were faster. Worry from the red line on: the "
                    "source is slow, or the bot asks too often and is held back.",
                    [prometheus(quantile(0.95, catalog.onchain_fetch_latency, SOURCE, over="1h"), _SOURCE)],
                    unit=SECONDS,
                    limit="OnchainFetchSlow",
                    floor=0,
                    now_and_then=True,
                    links=[why.link()],
                ),
                "no fetch in this time",
            ),
        ],
    )


def _data() -> dashboard.Row:
    return (
        9,
        [
            panels.quiet(
                panels.curve(
                    5,
                    "Rows by source",
                    "Rows that the last fetch of each table brought. Worry about a fall to 0 or to a fraction of what "
                    "it was: the source has changed its answer.",
                    [prometheus(series(catalog.onchain_fetch_rows), legend(SOURCE, "name"))],
                    unit=COUNT,
                    floor=0,
                    steps=True,
                    links=[why.link()],
                ),
                _NONE,
            ),
            panels.quiet(
                panels.curve(
                    6,
                    "Cache size",
                    "Columns of on-chain data that the cache holds for each symbol. Worry about 0: strategies that "
                    "need them are blind; fill the cache again.",
                    [prometheus(series(catalog.onchain_cache_size), legend(SYMBOL))],
                    unit=COUNT,
                    limit="OnchainCacheEmpty",
                    floor=0,
                    steps=True,
                    links=[why.link(SYMBOL)],
                ),
                _NONE,
            ),
        ],
    )


def _cache() -> dashboard.Row:
    return (
        9,
        [
            panels.quiet(
                panels.bars(
                    7,
                    "Cache refreshes",
                    "Refreshes of the cache in each step, one a source and round. Worry about failures: what a source "
                    "gave before stays in the cache and grows old.",
                    [
                        prometheus(
                            f"{total(catalog.onchain_cache_refresh, STATUS, over='$__interval')} > 0", legend(STATUS)
                        )
                    ],
                    unit=COUNT,
                    links=[why.link()],
                    overrides=panels.named("success", "failure"),
                ),
                "no refresh in this time",
            )
        ],
    )


def build() -> Json:
    """The file ``onchain.json``."""
    return dashboard.dashboard(
        UID,
        page.TITLES[UID],
        "The on-chain sources of one bot: do they answer, how much do they give, how old is it.",
        [_age(), _fetches(), _data(), _cache()],
        variables=page.variables(SYMBOL),
        annotations=page.marks(),
        since="now-2d",
    )
