"""Quick: System: whether the bot's process is well, in seven numbers."""

from __future__ import annotations

from typing import Final

from otel_mcbot import catalog
from otel_mcbot.provision import dashboard, page
from otel_mcbot.provision.grammar import BYTES, COUNT, PERCENT, SECONDS, Json
from otel_mcbot.provision.queries import SYMBOL, series

UID: Final = "quick-system"


def disconnected() -> str:
    """How many feeds are not connected."""
    connected = series(catalog.exchange_ws_connected)
    return f"count ({connected} == 0) or 0 * count ({connected})"


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
                    page.number(
                        1,
                        "Event loop lag",
                        "How late the event loop is. Worry when it is red: everything waits, stops too.",
                        series(catalog.event_loop_lag),
                        SECONDS,
                        limit="HighEventLoopLag",
                        none=unwatched,
                        more="system",
                    ),
                    page.number(
                        6,
                        "WebSocket",
                        "Feeds without a connection. Worry about any that lasts: the bot trades on old prices.",
                        disconnected(),
                        "suffix: down",
                        limit=1,
                        none="the bot reports no WebSocket",
                        more="system",
                    ),
                ],
            ),
            (
                6,
                [
                    page.number(
                        7,
                        "Bus queue",
                        "Events that wait in the bus. Worry when it is yellow and rises: a handler is too slow.",
                        series(catalog.eventbus_queue_depth),
                        COUNT,
                        limit="QueueCongestion",
                        none="no event bus is watched",
                        more="system",
                    ),
                    page.number(
                        3,
                        "Memory",
                        "Resident memory. Worry when it is red, or only rises: a leak ends with the bot killed.",
                        series(catalog.process_memory_rss),
                        BYTES,
                        limit="HighMemoryUsage",
                        none=no_process,
                        more="system",
                    ),
                ],
            ),
            (
                6,
                [
                    page.number(
                        4,
                        "CPU",
                        "CPU time over wall time, 100 % is one core. Worry when it is red and the loop lags.",
                        series(catalog.process_cpu),
                        PERCENT,
                        limit="HighCPUUsage",
                        none=no_process,
                        more="system",
                    ),
                    page.number(
                        2,
                        "Tasks",
                        "Tasks of the event loop. Worry when they only rise: nobody ends them.",
                        series(catalog.active_tasks),
                        COUNT,
                        limit="HighTaskCount",
                        none=unwatched,
                        more="system",
                    ),
                ],
            ),
            (
                6,
                [
                    page.number(
                        5,
                        "Open files",
                        "Open file descriptors. Worry when they only rise: something is not closed.",
                        series(catalog.process_open_fds),
                        COUNT,
                        limit="HighFDCount",
                        none="they cannot be counted on this system",
                        more="system",
                    )
                ],
            ),
        ],
        variables=page.variables(SYMBOL),
        annotations=page.marks(),
        since="now-1h",
    )
