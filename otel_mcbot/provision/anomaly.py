"""Anomaly Detection: what the detectors say about each pod and about the execution, and the numbers they judge by."""

from __future__ import annotations

from typing import Final

from otel_mcbot import catalog
from otel_mcbot.provision import dashboard, execution, grammar, page, panels, why
from otel_mcbot.provision.grammar import COUNT, DAYS, NUMBER, SHARE, Json
from otel_mcbot.provision.panels import prometheus
from otel_mcbot.provision.queries import STRATEGY, SYMBOL, legend, series, total

UID: Final = "anomaly"

LEAST_P: Final = 0.0001
"""A smaller p-value is drawn here: the axis in powers of ten has no 0."""

_POD: Final = legend(STRATEGY)
"""The detectors' label ``strategy`` is the pod's id."""

_YOUNG: Final = "no detector in use has {} daily returns yet"
_GBM, _DRIFT, _RANSAC = (_YOUNG.format(days) for days in (30, 30, 60))


def _links() -> list[Json]:
    """From a verdict to the pod, and to the traces and log lines."""
    return [page.to("orchestrator", pod=STRATEGY), why.link()]


def _verdicts() -> dashboard.Row:
    return (
        8,
        [
            panels.quiet(
                panels.timeline(
                    1,
                    "Drawdown severity",
                    "Whether each pod's drawdown is deeper or longer than 95 % of what its backtest lets expect: "
                    "WARNING is one of the two, CRITICAL both. Worry from WARNING on; at CRITICAL cut its allocation. "
                    "It never changes the pod's state by itself.",
                    [prometheus(series(catalog.gbm_severity), _POD)],
                    states=grammar.states({0: ("NORMAL", "good"), 1: ("WARNING", "warning"), 2: ("CRITICAL", "bad")}),
                    links=_links(),
                ),
                _GBM,
            ),
            panels.quiet(
                panels.timeline(
                    2,
                    "Decay detected",
                    "Whether each pod's edge is gone: its cumulative return does not rise any more, or is below what "
                    "its trend allows. Worry when it lasts for days, and look at the drawdown and the p-value too.",
                    [prometheus(series(catalog.ransac_decay_detected), _POD)],
                    states=grammar.states({0: ("sound", "good"), 1: ("DECAY", "bad")}),
                    links=_links(),
                ),
                _RANSAC,
            ),
        ],
    )


def _drift() -> dashboard.Row:
    return (
        9,
        [
            panels.quiet(
                panels.logarithmic(
                    panels.curve(
                        3,
                        "p-value",
                        "How likely returns as unlike those of the backtest as these are, if nothing has changed. "
                        "Worry when it stays below the upper line for a day, act below the lower one: the market or "
                        f"the strategy is not what was tested. Less than {LEAST_P:g} is drawn as that.",
                        [prometheus(f"clamp_min({series(catalog.distribution_p_value)}, {LEAST_P:f})", _POD)],
                        unit=NUMBER,
                        limit=grammar.graded("DistributionDrift", "DistributionDriftCritical"),
                        links=_links(),
                        steps=True,
                    )
                ),
                _DRIFT,
            ),
            panels.quiet(
                panels.curve(
                    4,
                    "KS statistic",
                    "Largest distance between the distributions of the last 60 days' returns and of the backtest's: "
                    "0 is the same, 1 has nothing in common. Worry when it grows for weeks; the p-value says from "
                    "where on it is more than chance.",
                    [prometheus(series(catalog.distribution_ks_statistic), _POD)],
                    unit=NUMBER,
                    floor=0,
                    links=_links(),
                    steps=True,
                ),
                _DRIFT,
            ),
        ],
    )


def _decay() -> dashboard.Row:
    lower = "lower bound"
    return (
        9,
        [
            panels.quiet(
                panels.curve(
                    5,
                    "RANSAC level",
                    "Cumulative return of each pod, and dashed the bound that 95 % of its days stay above if the trend "
                    "still holds. Worry when a line falls below its bound.",
                    [
                        prometheus(series(catalog.ransac_current_cumulative), _POD),
                        prometheus(series(catalog.ransac_conformal_lower), f"{_POD} {lower}"),
                    ],
                    unit=SHARE,
                    links=_links(),
                    steps=True,
                    overrides=[
                        {
                            "matcher": {"id": "byRegexp", "options": f"/{lower}$/"},
                            "properties": [
                                {"id": "custom.lineStyle", "value": {"dash": [6, 6], "fill": "dash"}},
                                {"id": "custom.lineWidth", "value": 1},
                            ],
                        }
                    ],
                ),
                _RANSAC,
            ),
            panels.quiet(
                panels.curve(
                    6,
                    "RANSAC slope",
                    "What the trend of each pod's cumulative return gains a day, outliers left aside. Worry at 0 and "
                    "below: it earns nothing any more.",
                    [prometheus(series(catalog.ransac_slope), _POD)],
                    unit=SHARE,
                    limit=grammar.below(0),
                    links=_links(),
                    steps=True,
                ),
                _RANSAC,
            ),
        ],
    )


def _drawdown() -> dashboard.Row:
    return (
        9,
        [
            panels.quiet(
                panels.curve(
                    7,
                    "Drawdown depth",
                    "How far each pod's daily equity is below its peak. Worry when Drawdown severity says so: how "
                    "deep is normal depends on the pod.",
                    [prometheus(series(catalog.gbm_drawdown_depth), _POD)],
                    unit=SHARE,
                    floor=0,
                    links=_links(),
                    steps=True,
                ),
                _GBM,
            ),
            panels.quiet(
                panels.curve(
                    8,
                    "Drawdown duration",
                    "Days since each pod's last peak. Worry when Drawdown severity says so: how long is normal "
                    "depends on the pod.",
                    [prometheus(series(catalog.gbm_drawdown_duration), _POD)],
                    unit=DAYS,
                    floor=0,
                    links=_links(),
                    steps=True,
                ),
                _GBM,
            ),
        ],
    )


def _execution() -> dashboard.Row:
    return (9, [execution.fill_rate(9), execution.rejections_in_a_row(10)])


def _count() -> dashboard.Row:
    return (
        9,
        [
            panels.quiet(
                panels.bars(
                    11,
                    "Anomalies",
                    "Turns of a detector for the worse, in each step. Worry about a CRITICAL one, and about several "
                    "detectors that turn on the same day: they look at different things.",
                    [
                        prometheus(
                            f"{total(catalog.anomalies, 'detector', 'severity', over='$__interval')} > 0",
                            legend("detector", "severity"),
                        )
                    ],
                    unit=COUNT,
                    links=[why.link()],
                ),
                "no detector has turned in this time",
            )
        ],
    )


def build() -> Json:
    """The file ``anomaly.json``."""
    return dashboard.dashboard(
        UID,
        page.TITLES[UID],
        "What the detectors say about the pods and the execution of one bot. They judge daily returns: real changes "
        "come once a day.",
        [_verdicts(), _drift(), _decay(), _drawdown(), _execution(), _count()],
        variables=page.variables(STRATEGY, SYMBOL, strategies=catalog.gbm_severity),
        annotations=page.marks(),
        since="now-7d",
    )
