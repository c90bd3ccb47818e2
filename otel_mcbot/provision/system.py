"""System Health: the bot's process, its event bus and its telemetry, then the host and the servers behind."""

from __future__ import annotations

from typing import Final

from otel_mcbot import catalog
from otel_mcbot.provision import dashboard, grammar, page, panels, why
from otel_mcbot.provision.grammar import BYTES, COUNT, PER_SECOND, PERCENT, SECONDS, SHARE, Json
from otel_mcbot.provision.panels import prometheus
from otel_mcbot.provision.queries import INSTANCE, JOB, STEP, legend, of_bot, quantile, series, total
from otel_mcbot.rules.pipeline import ANSWERS, FAILED, HOST_DISK, QUEUE_CAPACITY, QUEUE_SIZE, RECEIVED
from otel_mcbot.rules.watch import COLLECTOR

UID: Final = "system"

# -- what is not the bot's, and so not in the catalog --------------------------------------------------------------

FOLDED: Final = '__name__=~"mcbot_.+",__name__!~".+_(bucket|sum)",otel_metric_overflow="true"'
"""Series that stand for all the label sets that were too many."""
HOST_CPU: Final = "system_cpu_utilization_ratio"
HOST_MEMORY: Final = "system_memory_utilization_ratio"

REPLY: Final = grammar.states({0: ("no answer", "bad"), 1: ("up", "good")})
"""What a server looks like from outside."""

_WHY: Final = why.link()
_NO_BUS: Final = "no event bus is watched"
_NO_COLLECTOR: Final = "the Collector says nothing of itself"
_NO_HOST: Final = "the host's own numbers do not arrive: is the Collector up?"


def _loop() -> dashboard.Row:
    return (
        9,
        [
            panels.quiet(
                panels.curve(
                    1,
                    "Event loop lag",
                    "How late the event loop does what it was asked to do. Worry from the red line on: everything of "
                    "the bot waits, stops too. Look at CPU, then at what blocks: the log names the line that hung.",
                    [prometheus(series(catalog.event_loop_lag), "lag")],
                    unit=SECONDS,
                    limit="HighEventLoopLag",
                    floor=0,
                    colour="money",
                    links=[_WHY],
                ),
                "the event loop is not watched",
            ),
            panels.quiet(
                panels.curve(
                    2,
                    "Queue depth",
                    "Events that wait in the bot's bus, and the most that ever did. Worry from the red line on, and "
                    "about a depth that does not come back to 0: a handler is slower than what arrives. A full queue "
                    "loses bars.",
                    [
                        prometheus(series(catalog.eventbus_queue_depth), "waiting"),
                        prometheus(series(catalog.eventbus_max_queue_depth), "peak"),
                    ],
                    unit=COUNT,
                    limit="QueueCongestion",
                    floor=0,
                    links=[_WHY],
                ),
                _NO_BUS,
            ),
        ],
    )


def _bus() -> list[dashboard.Row]:
    wait = catalog.eventbus_queue_wait
    errors = f"rate({series(catalog.eventbus_handler_errors)}[5m])"
    return [
        (
            9,
            [
                panels.quiet(
                    panels.bars(
                        3,
                        "Events dropped",
                        "Events that the bus dropped in each step because its queue was full, and how many are "
                        "published a second (right). Worry about any: bars and alerts are lost, orders and fills "
                        "never are. Find the slow handler before you make the queue longer.",
                        [
                            prometheus(total(catalog.eventbus_events_dropped, over="$__interval"), "dropped"),
                            prometheus(f"rate({series(catalog.eventbus_events_published)}[{STEP}])", "published"),
                        ],
                        unit=COUNT,
                        links=[_WHY],
                        overrides=[
                            panels.coloured("dropped", "bad"),
                            panels.coloured(
                                "published",
                                "muted",
                                unit=PER_SECOND,
                                custom_drawStyle="line",
                                custom_fillOpacity=0,
                                custom_lineWidth=1,
                                custom_axisPlacement="right",
                                custom_stacking={"group": "A", "mode": "none"},
                            ),
                        ],
                    ),
                    _NO_BUS,
                ),
                panels.quiet(
                    panels.curve(
                        4,
                        "Handler errors",
                        "Exceptions of the bus' handlers a second, over five minutes. Worry from the red line on: the "
                        'log line "Handler error" names the handler and the event. One type only, or all of them?',
                        [prometheus(errors, "errors")],
                        unit=PER_SECOND,
                        limit="HandlerErrorsHigh",
                        floor=0,
                        colour="money",
                        links=[_WHY],
                    ),
                    _NO_BUS,
                ),
            ],
        ),
        (
            9,
            [
                panels.quiet(
                    panels.curve(
                        5,
                        "Time in the queue",
                        "Time of an event between its publication and its handler; half and 95 % are faster. Worry "
                        "when it comes near the time in which a price is old: decisions are made on the past.",
                        [prometheus(quantile(share, wait), name) for share, name in ((0.95, "95 %"), (0.5, "half"))],
                        unit=SECONDS,
                        floor=0,
                        links=[_WHY],
                    ),
                    _NO_BUS,
                ),
                panels.quiet(
                    panels.bars(
                        13,
                        "Telemetry dropped",
                        "What the bot could not tell in each step: by kind and reason; exceptions inside the telemetry "
                        "by place; metrics of which too many label sets are folded into one. Worry about any that goes "
                        "on: dashboards and alerts are blind there, and the trading does not feel it.",
                        [
                            prometheus(
                                total(catalog.telemetry_dropped, "signal", "reason", over="$__interval"),
                                legend("signal", "reason"),
                            ),
                            prometheus(total(catalog.telemetry_failures, "place", over="$__interval"), legend("place")),
                            prometheus(f"count by (__name__) ({{{of_bot()},{FOLDED}}})", "folded: {{__name__}}"),
                        ],
                        unit=COUNT,
                        links=[_WHY],
                    ),
                    "nothing was lost",
                ),
            ],
        ),
    ]


def _process() -> list[dashboard.Row]:
    collections = series(catalog.process_gc_collections, 'generation="2"')
    younger = series(catalog.process_gc_collections, 'generation!="2"')
    return [
        (
            9,
            [
                panels.curve(
                    6,
                    "Memory (RSS and peak)",
                    "Resident memory of the bot, and the most that it ever had, which never falls. Worry from the red "
                    "line on, and about a line that only rises: a leak ends with the kernel killing the bot.",
                    [
                        prometheus(series(catalog.process_memory_rss), "resident"),
                        prometheus(series(catalog.process_memory_rss_peak), "peak"),
                    ],
                    unit=BYTES,
                    limit="HighMemoryUsage",
                    floor=0,
                    links=[_WHY],
                ),
                panels.curve(
                    7,
                    "CPU",
                    "CPU time of the bot over wall time: 100 % is one core. Worry from the red line on, together with "
                    "a lag of the event loop: the work belongs into another process.",
                    [prometheus(series(catalog.process_cpu), "CPU")],
                    unit=PERCENT,
                    limit="HighCPUUsage",
                    floor=0,
                    colour="money",
                    links=[_WHY],
                ),
            ],
        ),
        (
            9,
            [
                panels.quiet(
                    panels.curve(
                        8,
                        "Open files",
                        "Open file descriptors: files, sockets, pipes. Worry from the red line on, and about a line "
                        "that only rises: connections or log files are not closed.",
                        [prometheus(series(catalog.process_open_fds), "open")],
                        unit=COUNT,
                        limit="HighFDCount",
                        floor=0,
                        colour="money",
                        links=[_WHY],
                    ),
                    "they cannot be counted on this system",
                ),
                panels.quiet(
                    panels.curve(
                        9,
                        "Tasks",
                        "Tasks of the event loop. Worry about a line that only rises: tasks that nobody ends, after "
                        "reconnects for example; waves are bursts of work.",
                        [prometheus(series(catalog.active_tasks), "tasks")],
                        unit=COUNT,
                        limit="HighTaskCount",
                        floor=0,
                        colour="money",
                        links=[_WHY],
                    ),
                    "the event loop is not watched",
                ),
            ],
        ),
        (
            9,
            [
                panels.curve(
                    10,
                    "Threads",
                    "Threads of the bot. Worry from the red line on, and about a line that only rises: executors that "
                    "are not shut down.",
                    [prometheus(series(catalog.process_thread_count), "threads")],
                    unit=COUNT,
                    limit="HighThreadCount",
                    floor=0,
                    colour="money",
                    links=[_WHY],
                ),
                panels.curve(
                    11,
                    "Garbage collection",
                    "Runs of the garbage collector a second: of everything, which stops the bot for a moment, and of "
                    "young objects (right). Worry from the red line on: each full run adds to the lag.",
                    [
                        prometheus(f"rate({collections}[5m])", "everything"),
                        prometheus(f"sum (rate({younger}[5m]))", "young objects"),
                    ],
                    unit=PER_SECOND,
                    limit="HighGCPressure",
                    floor=0,
                    links=[_WHY],
                    overrides=[
                        panels.coloured(
                            "young objects",
                            "muted",
                            custom_axisPlacement="right",
                            custom_thresholdsStyle={"mode": "off"},
                        )
                    ],
                ),
            ],
        ),
        (
            9,
            [
                panels.curve(
                    12,
                    "Uptime",
                    "Time since the bot's start. Worry where it falls to 0 and nobody restarted it: the kernel's log "
                    "and the memory before tell more often than the bot's own.",
                    [prometheus(series(catalog.uptime), "uptime")],
                    unit=SECONDS,
                    floor=0,
                    colour="money",
                    links=[_WHY, page.to("trading")],
                ),
                _points(14),
            ],
        ),
    ]


# -- the way to the stores -----------------------------------------------------------------------------------------


def _points(id: int) -> Json:
    bot = f'{JOB}="$job",{INSTANCE}="$instance"'
    # of each request that Prometheus took there is a sample of what it makes of the resource
    received, stored = (f"sum (count_over_time({name}{{{bot}}}[5m]))" for name in (RECEIVED, page.TARGET))
    return panels.quiet(
        panels.curve(
            id,
            "Points received and refused",
            "Points of this bot's metrics that the Collector received in five minutes, and requests that Prometheus "
            "did not take (right); up to two of these are the edge of the window. Worry about more that stay: a wrong "
            "clock, or two processes under one instance id. All numbers of this page are then older than they look.",
            [
                prometheus(f"sum (sum_over_time({RECEIVED}{{{bot}}}[5m]))", "points received"),
                prometheus(f"clamp_min({received} - ({stored} or 0 * {received}), 0)", "requests refused"),
            ],
            unit=COUNT,
            floor=0,
            links=[_WHY],
            overrides=[
                panels.coloured(
                    "requests refused",
                    "bad",
                    custom_axisPlacement="right",
                )
            ],
        ),
        "nothing of this bot arrives at the Collector",
    )


def _collector() -> list[dashboard.Row]:
    size, capacity = (f"max by (exporter) ({name})" for name in (QUEUE_SIZE, QUEUE_CAPACITY))
    # a difference, not an increase: the first failure is what the series begins with; until then there is a 0
    failed = f"sum by (exporter) ({FAILED})"
    before = f"(sum by (exporter) ({FAILED} offset $__interval) or 0 * {failed})"
    lost = f"clamp_min({failed} - {before}, 0) or 0 * {size}"
    return [
        (
            9,
            [
                panels.quiet(
                    panels.timeline(
                        17,
                        "Back ends",
                        "Whether the servers that store and show what the bots say answer. Worry about red: what bots "
                        "send waits in the Collector's queue and in the bots, and the alerts that need that server "
                        "are silent.",
                        [prometheus(ANSWERS, legend("backend"))],
                        states=REPLY,
                    ),
                    "nobody asks the servers whether they are up",
                ),
                panels.quiet(
                    panels.curve(
                        15,
                        "Collector queue",
                        "How full the Collector's queue for each store is, and how long ago the Collector was heard of "
                        "(right). Worry when a queue only rises: the store does not take anything, and at 100 % the "
                        "bots are told to keep what they have. After a minute of silence: the Collector is down.",
                        [
                            prometheus(f"{size} / {capacity}", legend("exporter")),
                            prometheus(f"time() - max (max_over_time(timestamp({COLLECTOR})[1h:30s]))", "last heard"),
                        ],
                        unit=SHARE,
                        limit="CollectorQueueFilling",
                        floor=0,
                        overrides=[
                            panels.coloured(
                                "last heard",
                                "muted",
                                unit=SECONDS,
                                custom_axisPlacement="right",
                                custom_thresholdsStyle={"mode": "off"},
                            )
                        ],
                    ),
                    _NO_COLLECTOR,
                ),
            ],
        ),
        (
            9,
            [
                panels.quiet(
                    panels.bars(
                        16,
                        "Collector send failures",
                        "Points, spans and log lines that the Collector gave up sending, in each step. Worry about "
                        "any: they are gone. Points received and refused says whose, the Collector's log why.",
                        [prometheus(lost, legend("exporter"))],
                        unit=COUNT,
                    ),
                    _NO_COLLECTOR,
                ),
                panels.quiet(
                    panels.curve(
                        18,
                        "Host CPU",
                        "Share of the host's CPU time that is in use. Worry when it stays above 90 %: the bot's event "
                        "loop has to wait too.",
                        [prometheus(f'1 - avg by ({INSTANCE}) ({HOST_CPU}{{state="idle"}})', legend(INSTANCE))],
                        unit=SHARE,
                        floor=0,
                    ),
                    _NO_HOST,
                ),
            ],
        ),
        (
            9,
            [
                panels.quiet(
                    panels.curve(
                        19,
                        "Host memory",
                        "Share of the host's memory that is in use, caches aside. Worry above 90 %: soon the kernel "
                        "kills something; the stack comes first, then the bot.",
                        [prometheus(f'sum by ({INSTANCE}) ({HOST_MEMORY}{{state="used"}})', legend(INSTANCE))],
                        unit=SHARE,
                        floor=0,
                    ),
                    _NO_HOST,
                ),
                panels.quiet(
                    panels.curve(
                        20,
                        "Host disk",
                        "How full the host's file systems are. Worry from the red line on: a full disk stops the "
                        "stores and the bot's own files.",
                        [prometheus(f"max by ({INSTANCE}, mountpoint) ({HOST_DISK})", legend(INSTANCE, "mountpoint"))],
                        unit=SHARE,
                        limit="HostDiskFilling",
                        floor=0,
                    ),
                    _NO_HOST,
                ),
            ],
        ),
    ]


def build() -> Json:
    """The file ``system.json``."""
    return dashboard.dashboard(
        UID,
        page.TITLES[UID],
        "The bot's process, its event bus and its telemetry; the host and the servers behind.",
        [_loop(), *_bus(), *_process(), *_collector()],
        variables=page.variables(),
        annotations=page.marks(),
    )
