"""Orchestrator: how the pods do, how the capital is spread over them, and what they net out against each other."""

from __future__ import annotations

from typing import Final

from otel_mcbot import catalog
from otel_mcbot.provision import dashboard, grammar, page, panels, why
from otel_mcbot.provision.grammar import COUNT, NUMBER, PERCENT, SHARE, TIMES, USDT, Json
from otel_mcbot.provision.panels import prometheus
from otel_mcbot.provision.queries import POD, SYMBOL, legend, series

UID: Final = "orchestrator"

_POD: Final = legend(POD)
_NO_PODS: Final = "the bot reports no pods"
_NO_TARGETS: Final = "no pod wants a position"

_STATE: Final = catalog.pod_lifecycle_state.prometheus_name
_LOOKS: Final = dict(zip(catalog.POD_STATES, ("money", "good", "warning", "bad", "muted"), strict=True))

_LONG, _FLAT, _SHORT = 1, 0, -1


def _judged() -> list[Json]:
    """From a pod to what the detectors say about it, and to the traces and log lines."""
    return [page.to("anomaly", strategy=POD), why.link()]


def lifecycle() -> str:
    """The place of each pod's state among the states: the first is 0."""

    def where(state: str) -> str:
        return series(catalog.pod_lifecycle_state, f'{_STATE}="{state}"')

    states = [f"{at} * ({where(state)} == 1)" for at, state in enumerate(catalog.POD_STATES)]
    return f"sum by ({POD}) ({' or '.join(states)})"


def drawdown(id: int) -> Json:
    """The panel of each pod's drawdown."""
    return panels.quiet(
        panels.curve(
            id,
            "Pod drawdown",
            "Fall of each pod's equity from its highest value. Worry from the red line on, where the whole account "
            "would be an alert, and about one pod that falls while the others do not.",
            [prometheus(series(catalog.pod_drawdown), _POD)],
            unit=PERCENT,
            limit="HighDrawdown",
            floor=0,
            links=_judged(),
        ),
        _NO_PODS,
    )


def _money() -> dashboard.Row:
    return (
        9,
        [
            panels.quiet(
                panels.curve(
                    1,
                    "Pod equity",
                    "Value of each pod's share of the account. Worry about one that falls while the others rise: its "
                    "strategy is wrong, not the market; Anomaly Detection says whether this is still chance.",
                    [prometheus(series(catalog.pod_equity), _POD)],
                    unit=USDT,
                    links=_judged(),
                ),
                _NO_PODS,
            ),
            drawdown(2),
        ],
    )


def _state() -> dashboard.Row:
    return (
        9,
        [
            panels.quiet(
                panels.timeline(
                    3,
                    "Lifecycle state",
                    "What the orchestrator thinks of each pod: incubation, production, warning, probation, retired. "
                    "Worry from warning on: a pod in probation retires by itself when it does not recover within the "
                    "grace period.",
                    [prometheus(lifecycle(), _POD)],
                    states=grammar.states({at: (state, colour) for at, (state, colour) in enumerate(_LOOKS.items())}),
                    links=_judged(),
                ),
                _NO_PODS,
            ),
            panels.quiet(
                panels.curve(
                    4,
                    "Pod Sharpe",
                    "Each pod's rolling Sharpe ratio, annualised. Worry when it stays below 0 for weeks; in the first "
                    "days it jumps.",
                    [prometheus(series(catalog.pod_rolling_sharpe), _POD)],
                    unit=NUMBER,
                    limit=grammar.below(0),
                    links=_judged(),
                ),
                "needs two days of returns",
            ),
        ],
    )


def _exposure() -> dashboard.Row:
    direction = grammar.states({_LONG: ("long", "money"), _FLAT: ("flat", "muted"), _SHORT: ("short", "warning")})
    return (
        10,
        [
            panels.quiet(
                panels.curve(
                    5,
                    "Gross and net exposure",
                    "Target weights of all pods added up, in multiples of the capital: gross counts every one, net "
                    "only what is left after longs and shorts of a symbol cancel out. Worry about gross from the red "
                    "line on; where net stays low it is little risk, but it is traded and paid for.",
                    [
                        prometheus(series(catalog.netting_gross_exposure), "gross"),
                        prometheus(series(catalog.netting_net_exposure), "net"),
                    ],
                    unit=TIMES,
                    limit="HighGrossExposure",
                    floor=0,
                    links=[page.to("trading"), why.link()],
                ),
                _NO_PODS,
            ),
            panels.quiet(
                panels.timeline(
                    6,
                    "Position direction by pod",
                    "Which way each pod wants to go in each symbol; no bar where it wants none. Worry when all pods "
                    "go one way and are not meant to: together they are one big bet.",
                    [prometheus(f"sgn({series(catalog.pod_exposure)})", legend(SYMBOL, POD))],
                    states=direction,
                    links=[why.link(SYMBOL), page.to("trading", symbol=SYMBOL)],
                ),
                _NO_TARGETS,
            ),
        ],
    )


def _capital() -> dashboard.Row:
    return (
        9,
        [
            panels.quiet(
                panels.curve(
                    7,
                    "Allocation",
                    "Each pod's share of the capital. Worry when one takes more than you would give it, and about "
                    "shares that jump: the allocator chases the last days.",
                    [prometheus(series(catalog.pod_allocation_fraction), _POD)],
                    unit=SHARE,
                    floor=0,
                    steps=True,
                    links=_judged(),
                ),
                _NO_PODS,
            ),
            panels.quiet(
                panels.curve(
                    8,
                    "Risk contribution",
                    "Each pod's share of the portfolio's variance; below 0 it hedges the others. Worry when it is far "
                    "above its share of the capital: this pod decides how the account does.",
                    [prometheus(series(catalog.pod_risk_contribution), _POD)],
                    unit=SHARE,
                    links=_judged(),
                ),
                _NO_PODS,
            ),
        ],
    )


def _spread() -> dashboard.Row:
    return (
        8,
        [
            panels.quiet(
                panels.curve(
                    9,
                    "Effective N",
                    "How many equal, independent pods would spread the risk as well, beside how many are active. "
                    "Worry when it is far below: the risk sits in one or two of them.",
                    [
                        prometheus(series(catalog.portfolio_effective_n), "effective"),
                        prometheus(series(catalog.active_pods), "active"),
                    ],
                    unit=COUNT,
                    floor=0,
                    links=[why.link()],
                    overrides=[panels.coloured("active", "muted")],
                ),
                _NO_PODS,
            ),
            panels.quiet(
                panels.curve(
                    10,
                    "Average correlation",
                    "Mean correlation of the pods' returns, pair by pair: 1 is all the same, 0 independent. Worry "
                    "from the red line on: the pods are one strategy under several names.",
                    [prometheus(series(catalog.portfolio_avg_correlation), "correlation")],
                    unit=NUMBER,
                    limit=0.8,
                    colour="money",
                    links=[why.link()],
                ),
                _NO_PODS,
            ),
        ],
    )


def _netting() -> dashboard.Row:
    return (
        8,
        [
            panels.quiet(
                panels.values(
                    11,
                    "Active pods",
                    "Pods that are not retired, and how many are in which state. Worry when there are fewer than you "
                    "run: the others have retired, their capital waits.",
                    [
                        prometheus(series(catalog.active_pods), "active", instant=True),
                        prometheus(
                            f"sum by ({_STATE}) ({series(catalog.pod_lifecycle_state)}) > 0",
                            legend(_STATE),
                            instant=True,
                        ),
                    ],
                    unit=COUNT,
                    links=[why.link()],
                    overrides=[panels.coloured(state, colour) for state, colour in _LOOKS.items()],
                ),
                _NO_PODS,
            ),
            panels.quiet(
                panels.curve(
                    12,
                    "Netting offset",
                    "Share of the gross exposure that cancels out between the pods: 0 none, 1 all; nothing while no "
                    "pod wants a position. Worry below the red line: all pods lean one way. Where that is meant, "
                    "ignore it.",
                    [
                        prometheus(
                            f"{series(catalog.netting_offset_ratio)} and {series(catalog.netting_gross_exposure)} > 0",
                            "offset",
                        )
                    ],
                    unit=SHARE,
                    limit="NettingLowOffset",
                    floor=0,
                    colour="money",
                    links=[page.to("trading"), why.link()],
                ),
                _NO_TARGETS,
            ),
        ],
    )


def build() -> Json:
    """The file ``orchestrator.json``."""
    return dashboard.dashboard(
        UID,
        page.TITLES[UID],
        "The pods of one bot: how each does, how the capital is spread, what nets out.",
        [_money(), _state(), _exposure(), _capital(), _spread(), _netting()],
        variables=page.variables(POD, SYMBOL),
        annotations=page.marks(),
    )
