"""Quick: System: whether the bot's process is well, in seven numbers."""

from __future__ import annotations

from typing import Final

from otel_mcbot import catalog
from otel_mcbot.provision import dashboard, grammar, page, panels, why
from otel_mcbot.provision.grammar import BYTES, COUNT, PERCENT, SECONDS, Json
from otel_mcbot.provision.panels import prometheus
from otel_mcbot.provision.queries import SYMBOL, Metric, series

UID: Final = "quick-system"


def disconnected() -> str:
    """How many feeds are not connected."""
    connected = series(catalog.exchange_ws_connected)
    return f"count ({connected} == 0) or 0 * count ({connected})"


def _number(id: int, title: str, worry: str, query: str, unit: str, limit: grammar.Limit, none: str) -> Json:
    return panels.quiet(
        panels.values(
            id,
            title,
            worry,
            [prometheus(query, title)],
            unit=unit,
            limit=limit,
            graph=True,
            links=[why.link(), page.to("system")],
        ),
        none,
    )


def _of(metric: Metric, id: int, title: str, worry: str, unit: str, limit: grammar.Limit, none: str) -> Json:
    return _number(id, title, worry, series(metric), unit, limit, none)


def build() -> Json:
    """The file ``quick-system.json``."""
    unwatched, no_process = "the event loop is not watched", "the process is not watched"
    return dashboard.dashboard(
        UID,
        page.TITLES[UID],
        "Whether the bot's process is well, in seven numbers.",
        [
            (
                6,
                [
                    _of(
                        catalog.event_loop_lag,
                        1,
                        "Event loop lag",
                        "How late the event loop is. Worry when it is red: everything waits, stops too.",
                        SECONDS,
                        "HighEventLoopLag",
                        unwatched,
                    ),
                    _number(
                        6,
                        "WebSocket",
                        "Feeds without a connection. Worry about any that lasts: the bot trades on old prices.",
                        disconnected(),
                        "suffix: down",
                        1,
                        "the bot reports no WebSocket",
                    ),
                ],
            ),
            (
                6,
                [
                    _of(
                        catalog.eventbus_queue_depth,
                        7,
                        "Bus queue",
                        "Events that wait in the bus. Worry when it is yellow and rises: a handler is too slow.",
                        COUNT,
                        "QueueCongestion",
                        "no event bus is watched",
                    ),
                    _of(
                        catalog.process_memory_rss,
                        3,
                        "Memory",
                        "Resident memory. Worry when it is red, or only rises: a leak ends with the bot killed.",
                        BYTES,
                        "HighMemoryUsage",
                        no_process,
                    ),
                ],
            ),
            (
                6,
                [
                    _of(
                        catalog.process_cpu,
                        4,
                        "CPU",
                        "CPU time over wall time, 100 % is one core. Worry when it is red and the loop lags.",
                        PERCENT,
                        "HighCPUUsage",
                        no_process,
                    ),
                    _of(
                        catalog.active_tasks,
                        2,
                        "Tasks",
                        "Tasks of the event loop. Worry when they only rise: nobody ends them.",
                        COUNT,
                        "HighTaskCount",
                        unwatched,
                    ),
                ],
            ),
            (
                6,
                [
                    _of(
                        catalog.process_open_fds,
                        5,
                        "Open files",
                        "Open file descriptors. Worry when they only rise: something is not closed.",
                        COUNT,
                        "HighFDCount",
                        "they cannot be counted on this system",
                    )
                ],
            ),
        ],
        variables=page.variables(SYMBOL),
        annotations=page.marks(),
        links=[dashboard.others()],
        since="now-1h",
    )
