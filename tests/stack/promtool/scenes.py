"""What has gone wrong with such rules before, each as a scene of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from promtool.cases import BTC, COLLECTOR, Curve, clock, events, flat, gap, growing, named, until
from promtool.plays import STACK, Play, Says, bot, with_labels

from otel_mcbot import catalog, rules

HOUR: Final = 3_600
DAY: Final = 86_400

ALL: Final = tuple(rule.name for rule in rules.RULES)
LIFE: Final = ("BotDown", "HeartbeatStale", "CollectorDown")
QUIET: Final = 'alertname!="Watchdog"'


@dataclass(frozen=True)
class Scene:
    """Plays that are judged by some rules. ``step`` seconds between samples, ``every`` between evaluations."""

    name: str
    judges: tuple[str, ...]
    plays: tuple[Play, ...]
    step: int = 10
    every: int | None = None


def scene(
    name: str,
    judges: tuple[str, ...],
    *says: Says,
    series: Mapping[str, Curve],
    end: int,
    never: str = "",
    step: int = 10,
    every: int | None = None,
) -> Scene:
    """A scene of one play."""
    return Scene(name, judges, (Play(name, series, says, end, never),), step, every)


def alive(
    instance: str, *, mode: str = "live", ends: int = 10**9, back: int = 10**9, wanted: Curve | None = None
) -> dict[str, Curve]:
    """A bot's signs of life, until it dies, and from when it is back."""
    return with_labels(
        {
            "mcbot_uptime_seconds": gap(ends, back, lambda t: t if t <= ends else t - back),
            "mcbot_heartbeat_timestamp": gap(ends, back),
            "mcbot_expected_up": gap(ends, back, wanted or flat(1)),
            "mcbot_maintenance": gap(ends, back, flat(0)),
        },
        bot(instance, mode),
    )


def healthy(instance: str, *, ends: int = 10**9, back: int = 10**9) -> dict[str, Curve]:
    """Everything that a bot may say, all of it in order; counters begin at 0, again when it is back."""
    fine: dict[str, Curve] = {
        "mcbot_uptime_seconds": lambda t: t if t <= ends else t - back,
        "mcbot_heartbeat_timestamp": clock,
        "mcbot_onchain_last_success_timestamp": clock,
        "mcbot_expected_up": flat(1),
        "mcbot_expected_symbol": flat(1),
        "mcbot_exchange_ws_connected": flat(1),
        "mcbot_equity_usdt": flat(10_000),
        "mcbot_execution_fill_rate": flat(1),
        "mcbot_distribution_p_value": flat(0.5),
        "mcbot_ransac_slope": flat(0.001),
        "mcbot_ransac_current_cumulative": flat(1.2),
        "mcbot_onchain_cache_size": flat(3),
        "mcbot_netting_gross_exposure": flat(1),
        "mcbot_netting_offset_ratio": flat(0.5),
        "mcbot_bars_total": lambda t: (t if t <= ends else t - back) // 60,
    }
    found: dict[str, Curve] = {}
    for row in catalog.rows():
        labels = {label: "1m" if label == "timeframe" else "x" for label in row.labels}
        parts = ("_count", "_bucket") if row.type == "histogram" else ("",)
        for part in parts:
            own = {**labels, "le": "+Inf"} if part == "_bucket" else labels
            found[named(row.prometheus_name + part, own)] = gap(ends, back, fine.get(row.prometheus_name, flat(0)))
    return with_labels(found, bot(instance))


def stack(*, ends: int = 10**9, back: int = 10**9) -> dict[str, Curve]:
    """A Collector with empty queues, and stores that answer."""
    said = {
        "otelcol_process_uptime_seconds_total": gap(ends, back, lambda t: t if t <= ends else t - back),
        named("otelcol_exporter_queue_size", {"exporter": "otlp_http/loki"}): gap(ends, back, flat(0)),
        named("otelcol_exporter_queue_capacity", {"exporter": "otlp_http/loki"}): gap(ends, back, flat(100)),
        named("otelcol_exporter_sent_log_records_total", {"exporter": "otlp_http/loki"}): gap(ends, back),
        named("system_filesystem_utilization_ratio", {"mountpoint": "/"}): gap(ends, back, flat(0.5)),
        named("up", {"backend": "loki"}): flat(1),
    }
    return with_labels(said, STACK)


def _collector(ends: int, back: int) -> dict[str, Curve]:
    return {name: gap(ends, back) for name in COLLECTOR}


def _says(at: int, rule: str, instance: str, value: float, **labels: str) -> Says:
    return Says(at, rule, (({**bot(instance), **labels}, value),))


LIVES: Final = (
    scene(
        "a death is told within two minutes, once, and of the one that died",
        LIFE,
        Says(1290, "BotDown"),
        _says(1300, "BotDown", "a", 100),
        Says(1380, "HeartbeatStale"),
        series={**alive("a", ends=1200), **alive("b"), **COLLECTOR},
        end=5000,
        never='alertname!="BotDown"',
    ),
    scene(
        "a dead bot stays dead after 26 hours, until somebody retires it",
        LIFE,
        _says(26 * HOUR, "BotDown", "a", 26 * HOUR - 1200),
        _says(27 * HOUR - 60, "BotDown", "a", 27 * HOUR - 60 - 1200),
        Says(27 * HOUR, "BotDown"),
        Says(30 * HOUR, "BotDown"),
        series={
            **alive("a", ends=1200),
            **with_labels({"mcbot_expected_up": lambda t: 1 if t <= 1200 else 0 if t == 27 * HOUR else None}, bot("a")),
            **COLLECTOR,
        },
        end=30 * HOUR,
        every=60,
        never='alertname!="BotDown"',
    ),
    scene(
        "a dead bot is remembered for seven days",
        LIFE,
        _says(7 * DAY - HOUR, "BotDown", "a", 7 * DAY - HOUR - 1200),
        Says(7 * DAY + HOUR, "BotDown"),
        series={**alive("a", ends=1200), **COLLECTOR},
        end=7 * DAY + HOUR,
        every=HOUR,
        never='alertname!="BotDown"',
    ),
    scene(
        "a bot that is back is not dead any more",
        LIFE,
        _says(2990, "BotDown", "a", 1790),
        Says(3000, "BotDown"),
        series={**alive("a", ends=1200, back=3000), **COLLECTOR},
        end=5000,
        never='alertname!="BotDown"',
    ),
    scene(
        "an intended stop is no death",
        LIFE,
        series={**alive("a", ends=1200, wanted=until(1200, flat(1), flat(0))), **COLLECTOR},
        end=3 * HOUR,
        never=QUIET,
    ),
    scene(
        "planned silence does not hide a death",
        LIFE,
        _says(1300, "BotDown", "a", 100),
        series={
            **alive("a", ends=1200),
            **with_labels({"mcbot_maintenance": gap(1200, 10**9, flat(1))}, bot("a")),
            **COLLECTOR,
        },
        end=1300,
    ),
    scene(
        "while the Collector is gone there is one message about it, none about bots, and the dead stay dead",
        LIFE,
        Says(1290, "CollectorDown"),
        Says(1300, "CollectorDown", ((STACK, 100),)),
        Says(1790, "CollectorDown", ((STACK, 590),)),
        Says(1800, "CollectorDown"),
        _says(1190, "BotDown", "c", 590),
        _says(1500, "BotDown", "c", 600),
        _says(1850, "BotDown", "c", 600),
        Says(1890, "BotDown", ((bot("c"), 1290), (bot("d"), 690))),
        series={
            **alive("a", ends=1200, back=1850),
            **alive("b", ends=1200, back=1850),
            **alive("c", ends=600),
            **alive("d", ends=1200),
            **_collector(1200, 1800),
        },
        end=4000,
        never='alertname!="CollectorDown", instance!~"c|d"',
    ),
    scene(
        "a bot that hangs is told as that, and one that is killed then as gone, without a break",
        LIFE,
        Says(780, "HeartbeatStale"),
        _says(790, "HeartbeatStale", "a", 190),
        Says(3000, "BotDown"),
        _says(3090, "HeartbeatStale", "a", 2490),
        _says(3100, "BotDown", "a", 100),
        Says(3130, "HeartbeatStale"),
        series={
            **alive("a", ends=3000),
            **with_labels({"mcbot_heartbeat_timestamp": gap(3000, 10**9, lambda t: min(t, 600))}, bot("a")),
            **COLLECTOR,
        },
        end=4000,
    ),
    scene(
        "a bot of which only heartbeats are known stays stale after 26 hours",
        LIFE,
        _says(26 * HOUR, "HeartbeatStale", "a", 25 * HOUR),
        series=with_labels({"mcbot_heartbeat_timestamp": gap(HOUR, 10**9)}, bot("a")),
        end=26 * HOUR,
        step=60,
    ),
    scene(
        "a bot that comes back in another mode is not dead in the old one",
        LIFE,
        series={**alive("a", mode="paper", ends=600), **alive("a", ends=0, back=640), **COLLECTOR},
        end=3000,
        never=QUIET,
    ),
    scene(
        "a restart of forty seconds is a restart and no death",
        ("BotRestarted", *LIFE),
        _says(1240, "BotRestarted", "a", 1),
        series={**alive("a", ends=1200, back=1240), **COLLECTOR},
        end=3000,
        never='alertname!="BotRestarted"',
    ),
)

NOISE: Final = (
    scene("a new bot is silent", ALL, series={**healthy("a"), **healthy("b"), **stack()}, end=1800, never=QUIET),
    scene("a stack without bots is silent", ALL, series=stack(), end=1800, never=QUIET),
    scene(
        "a bot that says little is silent",
        ALL,
        series={**alive("a"), **stack()},
        end=2 * HOUR,
        every=60,
        never=QUIET,
    ),
    scene(
        "a restart of the bot is a restart and nothing else",
        ALL,
        _says(960, "BotRestarted", "a", 1),
        series={**healthy("a", ends=900, back=960), **healthy("b"), **stack()},
        end=2400,
        never='alertname!~"Watchdog|BotRestarted"',
    ),
    scene(
        "a restart of the Collector is nothing",
        ALL,
        series={name: gap(900, 960, curve) for name, curve in healthy("a").items()} | stack(ends=900, back=940),
        end=2400,
        never=QUIET,
    ),
    scene(
        "a store that restarts within a minute is nothing",
        ALL,
        series={
            **healthy("a"),
            **stack(),
            **with_labels(
                {
                    named("up", {"backend": "loki"}): lambda t: 0 if 900 <= t < 950 else 1,
                    named("otelcol_exporter_queue_size", {"exporter": "otlp_http/loki"}): (
                        lambda t: 50 if 900 <= t < 960 else 0
                    ),
                    named("otelcol_exporter_sent_log_records_total", {"exporter": "otlp_http/loki"}): (
                        lambda t: min(t, 900) if t < 960 else t
                    ),
                },
                STACK,
            ),
        },
        end=2400,
        never=QUIET,
    ),
)

_SIGNALS: Final = "mcbot_strategy_signals_total"
_CALLS: Final = named("mcbot_exchange_api_calls_total", {"endpoint": "fetch_ticker", "status": "success"})


def _fetches(source: str, **by_status: Curve) -> dict[str, Curve]:
    return {
        named("mcbot_onchain_fetch_total", {"source": source, "status": status}): by_status.get(status, flat(0))
        for status in ("success", "failure", "empty")
    }


CORRECTIONS: Final = (
    scene(
        "a strategy that only buys is not silent",
        ("StrategySignalSilent",),
        series=with_labels(
            {
                named(_SIGNALS, {"strategy": "s", "side": "LONG"}): growing(1, every=HOUR),
                named(_SIGNALS, {"strategy": "s", "side": "SHORT"}): flat(0),
                named(_SIGNALS, {"strategy": "s", "side": "NEUTRAL"}): flat(0),
            },
            bot(),
        ),
        end=32 * HOUR,
        step=60,
        never=QUIET,
    ),
    scene(
        "failures are a share of all fetches of their source; a source that is not used has none",
        ("OnchainFetchHighFailureRate",),
        _says(3 * HOUR, "OnchainFetchHighFailureRate", "a", 0.75, source="defillama"),
        series=with_labels(
            {
                **_fetches("defillama", failure=growing(3, every=1800), success=growing(1, every=1800)),
                **_fetches("sentiment", failure=growing(1, every=1800), success=growing(1, every=1800)),
                **_fetches("coinmetrics", failure=growing(1, every=1800), empty=growing(1, every=1800)),
                **_fetches("btc_mining"),
            },
            bot(),
        ),
        end=3 * HOUR,
        step=60,
    ),
    scene(
        "an unanswered source is stale across a restart, one that is asked no more is not",
        ("OnchainDataStale",),
        _says(4 * DAY, "OnchainDataStale", "a", 3 * DAY + 60, source="defillama"),
        series=with_labels(
            {
                named("mcbot_onchain_last_success_timestamp", {"source": "defillama"}): gap(DAY, 10**9, flat(DAY - 60)),
                named("mcbot_onchain_last_success_timestamp", {"source": "etherscan"}): gap(DAY, 10**9, flat(DAY - 60)),
                **_fetches("defillama", failure=growing(1, every=6 * HOUR)),
                **_fetches("etherscan"),
            },
            bot(),
        ),
        end=4 * DAY,
        step=60,
        every=600,
    ),
    scene(
        "when nothing fills at all the fill rate is low; without orders there is none",
        ("ExecutionLowFillRate",),
        _says(300, "ExecutionLowFillRate", "a", 0),
        series={**with_labels({"mcbot_execution_fill_rate": flat(0)}, bot("a")), **alive("b")},
        end=300,
    ),
    scene(
        "a p of exactly 0 is the surest drift; a restart of half an hour does not begin the day anew",
        ("DistributionDriftCritical",),
        Says(DAY - 60, "DistributionDriftCritical"),
        _says(DAY, "DistributionDriftCritical", "a", 0, strategy="pod-a"),
        series=with_labels(
            {named("mcbot_distribution_p_value", {"strategy": "pod-a"}): gap(12 * HOUR, 12 * HOUR + 1800, flat(0))},
            bot(),
        ),
        end=DAY,
        step=60,
    ),
    scene(
        "the calls of two bots are not one bot's calls, and the message names the right one",
        ("APIRateLimitApproaching",),
        _says(300, "APIRateLimitApproaching", "b", 960),
        series={
            **with_labels({_CALLS: growing(145)}, bot("a")),
            **with_labels({_CALLS: growing(160)}, bot("b")),
            **with_labels({_CALLS: growing(145)}, bot("c", "paper")),
        },
        end=300,
    ),
)

FORMS: Final = (
    scene(
        "a loss whose counter is born with it is told",
        ("TelemetryDropped",),
        _says(600, "TelemetryDropped", "a", 7, signal="metrics", reason="refused_400"),
        Says(900, "TelemetryDropped"),
        series=with_labels(
            {
                named("mcbot_telemetry_dropped_total", {"signal": "metrics", "reason": "refused_400"}): (
                    lambda t: None if t < 600 else 7
                ),
                named("mcbot_telemetry_dropped_total", {"signal": "facts", "reason": "negative_fee"}): growing(1),
            },
            bot(),
        ),
        end=900,
    ),
    scene(
        "a counter that exists at 0 shows its first event",
        ("LiveAPIBlocked", "CircuitBreakerTriggered"),
        _says(600, "LiveAPIBlocked", "a", 1, **BTC),
        _says(600, "CircuitBreakerTriggered", "a", 1),
        series=with_labels(
            {
                named("mcbot_live_api_blocked_total", BTC): events(600, 10**6, 600),
                "mcbot_circuit_breaker_total": events(600, 10**6, 600),
            },
            bot(),
        ),
        end=600,
    ),
    scene(
        "a request that is lost stays unanswered",
        ("RequestWithoutAck",),
        Says(130, "RequestWithoutAck"),
        _says(140, "RequestWithoutAck", "a", 40),
        _says(160, "RequestWithoutAck", "a", 60),
        _says(3600, "RequestWithoutAck", "a", 60),
        Says(3760, "RequestWithoutAck"),
        series=with_labels(
            {
                named("mcbot_oldest_order_seconds", {"stage": "request"}): lambda t: t - 100 if 100 <= t < 160 else 0,
                named("mcbot_orders_lost_total", BTC): events(160, 10**6, 160),
            },
            bot(),
        ),
        end=3760,
    ),
    scene(
        "an order that rests at the exchange is no signal without a request",
        ("SignalWithoutRequest",),
        series=with_labels(
            {named("mcbot_oldest_order_seconds", {"stage": stage}): flat(0) for stage in ("signal", "request")}
            | {named("mcbot_oldest_order_seconds", {"stage": "ack"}): clock},
            bot(),
        ),
        end=3600,
        never=QUIET,
    ),
    scene(
        "a bar is late by its own timeframe",
        ("SymbolNeverArrived",),
        Says(7320, "SymbolNeverArrived"),
        _says(7380, "SymbolNeverArrived", "a", 180, timeframe="1h", **BTC),
        series=with_labels(
            {
                named("mcbot_bar_age_seconds", {**BTC, "timeframe": timeframe}): clock
                for timeframe in ("1h", "4h", "1d", "7m")
            }
            | {
                named("mcbot_expected_symbol", {**BTC, "timeframe": timeframe}): flat(1)
                for timeframe in ("1h", "4h", "1d", "7m")
            },
            bot(),
        ),
        end=7380,
        step=60,
    ),
    scene(
        "planned silence is silent, and ends",
        ("WSDisconnected", "WSNoMessages", "WSFrequentReconnects", "SymbolNeverArrived", "BotRestarted"),
        *(Says(990, name) for name in ("WSDisconnected", "WSNoMessages", "SymbolNeverArrived")),
        _says(1120, "WSDisconnected", "a", 0, **BTC),
        _says(1060, "WSNoMessages", "a", 1060, **BTC),
        _says(1060, "SymbolNeverArrived", "a", 940, timeframe="1m", **BTC),
        series=with_labels(
            {
                "mcbot_maintenance": until(1000, flat(1), flat(0)),
                "mcbot_uptime_seconds": lambda t: t % 200 if t < 380 else t,
                named("mcbot_exchange_ws_connected", BTC): flat(0),
                named("mcbot_ws_last_message_age_seconds", BTC): clock,
                named("mcbot_ws_reconnects_total", BTC): events(60, 60, 600),
                named("mcbot_bar_age_seconds", {**BTC, "timeframe": "1m"}): clock,
                named("mcbot_expected_symbol", {**BTC, "timeframe": "1m"}): flat(1),
            },
            bot(),
        ),
        end=1120,
        never='alertname=~"WSFrequentReconnects|BotRestarted"',
    ),
    scene(
        "a store that is killed again and again is told, one that is restarted twice is not",
        ("BackendDown",),
        Says(250, "BackendDown"),
        Says(260, "BackendDown", (({**STACK, "backend": "tempo"}, 0),)),
        Says(900, "BackendDown", (({**STACK, "backend": "tempo"}, 0),)),
        Says(1600, "BackendDown"),
        series=with_labels(
            {
                named("up", {"backend": "tempo"}): lambda t: 0 if t % 80 >= 40 and t < 960 else 1,
                named("up", {"backend": "loki"}): lambda t: 0 if 100 <= t < 150 or 300 <= t < 350 else 1,
            },
            STACK,
        ),
        end=1600,
    ),
    scene(
        "what waits and is not sent is told, what waits and is sent is not",
        ("CollectorSendFailing",),
        Says(520, "CollectorSendFailing"),
        Says(530, "CollectorSendFailing", (({**STACK, "exporter": "otlp_http/loki"}, 1000),)),
        series=with_labels(
            {
                named("otelcol_exporter_queue_size", {"exporter": "otlp_http/loki"}): until(60, flat(0), flat(1000)),
                named("otelcol_exporter_sent_log_records_total", {"exporter": "otlp_http/loki"}): flat(5),
                named("otelcol_exporter_queue_size", {"exporter": "otlp_grpc/tempo"}): flat(1000),
                named("otelcol_exporter_sent_spans_total", {"exporter": "otlp_grpc/tempo"}): clock,
            },
            STACK,
        ),
        end=530,
    ),
)

SCENES: Final = (*LIVES, *NOISE, *CORRECTIONS, *FORMS)
