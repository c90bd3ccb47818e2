"""The dashboard that alerts link to: the traces and the log lines behind a number.

It needs no Explore, which an anonymous Viewer does not have.
"""

from __future__ import annotations

from typing import Final

from otel_mcbot import catalog, semconv
from otel_mcbot.provision import dashboard, panels, queries
from otel_mcbot.provision.grammar import COUNT, Json
from otel_mcbot.provision.queries import STRATEGY, SYMBOL, stored

UID: Final = "why"

_DECIDED: Final = (semconv.LABELS[STRATEGY], semconv.POD_ID)
"""Attributes that may be meant by a strategy: the alerts of the detectors call a pod so."""


def link(*labels: str) -> Json:
    """The link of a panel whose series have these labels: from a point to the traces and log lines behind it."""
    known = "".join(f"&var-{label}=${{__field.labels.{label}}}" for label in (SYMBOL, STRATEGY) if label in labels)
    return panels.link("Why? Its traces and log lines", f"/d/{UID}?var-bot=${{bot}}{known}&${{__url_time_range}}")


def search() -> str:
    """The traces of a bot's symbol and strategy, in TraceQL."""
    conditions = [f'resource.{semconv.SERVICE_NAME}=~"${{bot:raw}}"']
    conditions += [f'span.{semconv.LABELS[SYMBOL]}=~"${{{SYMBOL}:raw}}"']
    either = [f'span.{attribute}=~"${{{STRATEGY}:raw}}"' for attribute in _DECIDED]
    conditions += [f"({' || '.join(either)})"]
    return f"{{{' && '.join(conditions)}}}"


def _lines() -> str:
    """The trace's lines, or without a trace those of the symbol and strategy. LogQL has no if: a label helps out."""
    chosen = f'{stored(semconv.LABELS[SYMBOL])}=~"${SYMBOL}" and ({_decided()})'
    return queries.lines(
        "label_format chosen=`${trace}`",
        f'(chosen!="" and {queries.of_trace("${trace}")}) or (chosen="" and {chosen})',
        "drop chosen",
    )


def _decided() -> str:
    return " or ".join(f'{stored(attribute)}=~"${STRATEGY}"' for attribute in _DECIDED)


def _events() -> str:
    chosen = [f'{stored(semconv.LABELS[SYMBOL])}=~"${SYMBOL}"', _decided()]
    names = "|".join(semconv.OrderEvent)
    return queries.lines(f'{queries.EVENT}=~"{names}"', *chosen, queries.of_trace("${trace}.*"))


def _variables() -> list[Json]:
    of_bot = f'{queries.SERVICE}=~"$bot"'
    return [
        dashboard.choice(
            "bot",
            "Bot",
            f"label_values({catalog.uptime.prometheus_name},{queries.SERVICE})",
            "The service's name",
            every=dashboard.SOME,
        ),
        dashboard.choice(
            SYMBOL, "Symbol", f'label_values({{{of_bot},{SYMBOL}!=""}},{SYMBOL})', "What is traded", every=dashboard.ANY
        ),
        dashboard.choice(
            STRATEGY,
            "Strategy",
            f"label_values({catalog.strategy_signals.prometheus_name}{{{of_bot}}},{STRATEGY})",
            "Who decided",
            every=dashboard.ANY,
        ),
        dashboard.text("trace", "Trace id", "Click a trace in the table, or paste an id"),
    ]


def build() -> Json:
    """The file ``why.json``."""
    open_trace = panels.link(
        "Show this trace",
        f"/d/{UID}?${{bot:queryparam}}&${{{SYMBOL}:queryparam}}&${{{STRATEGY}:queryparam}}"
        "&var-trace=${__value.raw}&${__url_time_range}",
    )
    return dashboard.dashboard(
        UID,
        "Why",
        "From an alert or a point on a curve to what the bot did: the traces of a symbol and strategy, one of them in "
        "full, and the log lines.",
        [
            (
                9,
                [
                    panels.table(
                        1,
                        "Traces",
                        "The trade cycles of this symbol and strategy, a click on an id opens one below. "
                        "Worry when the long ones are the ones around the time of the alert: open such a one. None at "
                        "all means that nothing was decided, or that uneventful cycles were not kept.",
                        [panels.tempo(search())],
                        unit=COUNT,
                        overrides=[
                            panels.override("traceID", links=[open_trace]),
                            panels.override("traceIdHidden", links=[open_trace]),
                        ],
                    ),
                    panels.logs(
                        2,
                        "Order events",
                        "Each step in the life of the orders: requested, acknowledged, filled … Worry about "
                        "a request without an answer, about rejections, and about the word lost.",
                        panels.loki(_events()),
                    ),
                ],
            ),
            (
                14,
                [
                    panels.trace(
                        3,
                        "Trace",
                        "The trace of the id above: every stage of the cycle and the time it took; an error while no "
                        "id is given. Worry about red spans, and about the longest bar: that is where the time went.",
                        panels.tempo("${trace}"),
                    )
                ],
            ),
            (
                12,
                [
                    panels.logs(
                        4,
                        "Log lines",
                        "What the bot wrote during this trace; without an id, all lines about the symbol and strategy. "
                        "Worry about errors just before the alert.",
                        panels.loki(_lines()),
                    )
                ],
            ),
        ],
        variables=_variables(),
        since="now-1h",
    )
