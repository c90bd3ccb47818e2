"""What every dashboard of a bot has: the variables that pick it, the marks of what happened to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from otel_mcbot import catalog, semconv
from otel_mcbot.provision import dashboard, grammar, panels, queries, why
from otel_mcbot.provision.grammar import COLOURS, Json
from otel_mcbot.provision.queries import INSTANCE, JOB, MODE, POD, SERVICE, STRATEGY, SYMBOL, Metric
from otel_mcbot.semconv import BotEvent

TITLES: Final[Mapping[str, str]] = {
    "trading": "Trading Overview",
    "strategy": "Strategy Performance",
    "execution": "Execution Quality",
    "exchange": "Exchange Health",
    "system": "System Health",
    "regime": "Market Regime",
    "orchestrator": "Orchestrator",
    "anomaly": "Anomaly Detection",
    "onchain": "On-chain Data",
    "quick-overview": "Quick: Overview",
    "quick-strategy": "Quick: Strategy",
    "quick-system": "Quick: System",
}
"""The dashboards of a bot: uid, which is the file's name, → title."""

TARGET: Final = "target_info"
"""What Prometheus makes of a bot's resource: a series with its version and the hash of its configuration."""


def variables(*filters: str, strategies: Metric = catalog.strategy_signals) -> list[Json]:
    """The variables that pick one bot, and those of ``filters``: labels by which its panels can be narrowed.

    Args:
        filters: ``symbol``, ``strategy``, ``pod_id``.
        strategies: the metric whose strategies are offered; some layers call a pod so.
    """
    every = catalog.uptime.prometheus_name
    job, mode, instance = (f'{label}="${name}"' for label, name in queries.BOT_VARIABLES.items())
    narrow = {
        SYMBOL: dashboard.choice(
            SYMBOL,
            "Symbol",
            f'label_values({{{job},{instance},{SYMBOL}!=""}},{SYMBOL})',
            "What is traded; account-wide panels do not follow it",
            many=True,
            every=dashboard.ANY,
        ),
        STRATEGY: dashboard.choice(
            STRATEGY,
            "Strategy",
            f"label_values({strategies.prometheus_name}{{{job},{instance}}},{STRATEGY})",
            "Who decides; only panels by strategy follow it",
            many=True,
            every=dashboard.ANY,
        ),
        POD: dashboard.choice(
            queries.FILTER_VARIABLES[POD],
            "Pod",
            f"label_values({catalog.pod_equity.prometheus_name}{{{job},{instance}}},{POD})",
            "Which share of the capital; only panels by pod follow it",
            many=True,
            every=dashboard.ANY,
        ),
    }
    return [
        dashboard.choice("job", "Bot", f"label_values({every},{JOB})", "Namespace and name of the service"),
        dashboard.choice("mode", "Mode", f"label_values({every}{{{job}}},{MODE})", "live, paper or shadow"),
        dashboard.choice(
            "instance", "Instance", f"label_values({every}{{{job},{mode}}},{INSTANCE})", "The bot's stable id"
        ),
        *(narrow[name] for name in filters),
        dashboard.hidden(
            dashboard.choice("bot", "", f"label_values({every}{{{job},{instance}}},{SERVICE})", "The service's name")
        ),
    ]


def marks() -> list[Json]:
    """What happened to the bot, as marks in every panel."""
    version, config = (queries.stored(name) for name in (semconv.SERVICE_VERSION, semconv.CONFIG_HASH))
    what = f"version {{{{{version}}}}}, configuration {{{{{config}}}}}"
    events = (
        ("Started", "good", BotEvent.STARTED, what),
        ("Stopped", "muted", BotEvent.STOPPED, f"{{{{{queries.stored(semconv.STOP_REASON)}}}}}"),
        ("Circuit breaker", "bad", BotEvent.CIRCUIT_BREAKER, f"{{{{{queries.stored(semconv.BREAKER_REASON)}}}}}"),
    )
    return [
        *(dashboard.mark(name, COLOURS[colour], queries.event(event), text) for name, colour, event, text in events),
        dashboard.span("Version or configuration changed", COLOURS["money"], _changed(version, config), what),
        dashboard.alerts("Alerts", COLOURS["warning"]),
    ]


def _changed(*labels: str) -> str:
    """Has a result for two minutes after a bot came back as another: new now, and the old one within the hour."""
    bot = ", ".join(queries.BOT_VARIABLES)
    there = f"{TARGET}{{{queries.of_bot()}}}"
    each = f"group by ({bot}, {', '.join(labels)})"
    return (
        f"({each} ({there}) unless {each} ({there} offset 2m))"
        f" and on ({bot}) count by ({bot}) ({each} (last_over_time({there}[1h]))) > 1"
    )


def to(uid: str, **taken: str) -> Json:
    """The link of a panel to another dashboard, about the same bot and time.

    Args:
        uid: the dashboard, one of :data:`TITLES`.
        taken: variables there and the labels here whose values they take, as ``pod="strategy"``.
    """
    picked = [f"${{{name}:queryparam}}" for name in queries.BOT_VARIABLES.values()]
    picked += [f"var-{name}=${{__field.labels.{label}}}" for name, label in taken.items()]
    return panels.link(TITLES[uid], f"/d/{uid}?{'&'.join(picked)}&${{__url_time_range}}")


def number(
    id: int, title: str, worry: str, query: str, unit: str, *, limit: grammar.Limit = None, none: str, more: str
) -> Json:
    """A panel of one big number, with the way there behind it.

    Args:
        worry: what it is, and when to worry.
        limit: of :func:`.grammar.steps`.
        none: what it says without series.
        more: the dashboard that has more about it.
    """
    return panels.quiet(
        panels.values(
            id,
            title,
            worry,
            [panels.prometheus(query, title)],
            unit=unit,
            limit=limit,
            graph=True,
            links=[why.link(), to(more)],
        ),
        none,
    )
