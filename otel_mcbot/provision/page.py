"""What every dashboard of a bot has: the variables that pick it, the marks of what happened to it."""

from __future__ import annotations

from otel_mcbot import catalog
from otel_mcbot.provision import dashboard, queries
from otel_mcbot.provision.grammar import COLOURS, Json
from otel_mcbot.provision.queries import INSTANCE, JOB, MODE, SERVICE, STRATEGY, SYMBOL
from otel_mcbot.semconv import BotEvent


def variables(*filters: str) -> list[Json]:
    """The variables that pick one bot, and those of ``filters``: labels by which its panels can be narrowed."""
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
            f"label_values({catalog.strategy_signals.prometheus_name}{{{job},{instance}}},{STRATEGY})",
            "Who decides; only panels by strategy follow it",
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
    return [
        dashboard.mark(name, COLOURS[colour], queries.event(event, instance=True))
        for name, colour, event in (
            ("Started", "good", BotEvent.STARTED),
            ("Stopped", "muted", BotEvent.STOPPED),
            ("Circuit breaker", "bad", BotEvent.CIRCUIT_BREAKER),
        )
    ]
