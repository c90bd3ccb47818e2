"""Strategies: what they earn, whether they still decide, and what the detectors and the orchestrator say of them."""

from __future__ import annotations

from typing import Final

from otel_mcbot import catalog

from .promql import highest, in_service, kept, lowest, rate
from .rule import Rule, Severity, Unit

_POD: Final = "strategy"
"""What the detectors' gauges call a pod."""

RESTART: Final = "A restart, during which the gauge is missing for up to an hour, does not begin the day anew."
ZERO: Final = (
    "Also at exactly 0, which is as sure as it gets. `> 0` was there for a missing value: of that is no series."
)

STRATEGY: Final = (
    Rule(
        name="StrategyPnlNegative",
        family="strategy",
        severity=Severity.WARNING,
        hold="1h",
        value=lowest(catalog.strategy_pnl, "strategy"),
        op="<",
        threshold=-500,
        unit=Unit.USDT,
        text="{strategy} has made {value} since the start of the bot, the limit is {threshold}.",
        labels=("strategy",),
        panel="strategy/PnL",
    ),
    Rule(
        name="StrategySignalSilent",
        family="strategy",
        severity=Severity.WARNING,
        hold="1d",
        value=in_service(rate(catalog.strategy_signals, "strategy")),
        op="==",
        threshold=0,
        unit=Unit.NUMBER,
        text="{strategy} has given no signal for {hold} and more.",
        labels=("strategy",),
        panel="strategy/Since the last signal",
        parameters={"window": "6h"},
        deviation=(
            "All sides together: a strategy that only ever buys is not silent because it never sells. "
            "Silent while silence is planned (`mcbot_maintenance` is 1)."
        ),
    ),
)

ANOMALY: Final = (
    Rule(
        name="DistributionDrift",
        family="anomaly",
        severity=Severity.WARNING,
        hold="1d",
        value=kept(catalog.distribution_p_value, _POD),
        op="<",
        threshold=0.05,
        unit=Unit.NUMBER,
        text="The returns of {strategy} are not those of its backtest any more: p = {value}, the limit is {threshold}.",
        labels=(_POD,),
        panel="anomaly/p-value",
        parameters={"memory": "1h"},
        deviation=RESTART,
        escalates=False,  # there is one new return a day: half an hour brings no news
    ),
    Rule(
        name="DistributionDriftCritical",
        family="anomaly",
        severity=Severity.CRITICAL,
        hold="1d",
        value=kept(catalog.distribution_p_value, _POD),
        op="<",
        threshold=0.01,
        unit=Unit.NUMBER,
        text="The returns of {strategy} are surely not those of its backtest: p = {value}, the limit is {threshold}.",
        labels=(_POD,),
        panel="anomaly/p-value",
        parameters={"memory": "1h"},
        deviation=f"{ZERO} {RESTART}",
    ),
    Rule(
        name="StructuralDecay",
        family="anomaly",
        severity=Severity.WARNING,
        hold="1d",
        value=kept(catalog.ransac_decay_detected, _POD),
        op="==",
        threshold=1,
        unit=Unit.NUMBER,
        text="What {strategy} earns has stopped to grow, or has fallen below its bound.",
        labels=(_POD,),
        panel="anomaly/Decay detected",
        parameters={"memory": "1h"},
        deviation=RESTART,
        escalates=False,  # one new return a day
    ),
    Rule(
        name="StructuralDecayCritical",
        family="anomaly",
        severity=Severity.CRITICAL,
        hold="1d",
        value=f"""
            {kept(catalog.ransac_slope, _POD)}
            and {kept(catalog.ransac_current_cumulative, _POD)} < {kept(catalog.ransac_conformal_lower, _POD)}
        """,
        op="<=",
        threshold=0,
        unit=Unit.NUMBER,
        text="What {strategy} earns has stopped to grow (slope {value} a day) and has fallen below its bound.",
        labels=(_POD,),
        panel="anomaly/RANSAC slope",
        parameters={"memory": "1h"},
        deviation=RESTART,
    ),
    Rule(
        name="GBMDrawdownWarning",
        family="anomaly",
        severity=Severity.WARNING,
        hold="0s",
        value=highest(catalog.gbm_severity, _POD),
        op="==",
        threshold=1,
        unit=Unit.NUMBER,
        text="The drawdown of {strategy} is deeper or longer than chance would make it in 19 of 20 cases.",
        labels=(_POD,),
        panel="anomaly/Drawdown severity",
        escalates=False,  # one new return a day
    ),
    Rule(
        name="GBMDrawdownCritical",
        family="anomaly",
        severity=Severity.CRITICAL,
        hold="0s",
        value=highest(catalog.gbm_severity, _POD),
        op="==",
        threshold=2,
        unit=Unit.NUMBER,
        text="The drawdown of {strategy} is deeper and longer than chance would make it in 19 of 20 cases.",
        labels=(_POD,),
        panel="anomaly/Drawdown severity",
    ),
)

ORCHESTRATOR: Final = (
    Rule(
        name="PodInProbation",
        family="orchestrator",
        severity=Severity.WARNING,
        hold="0s",
        value=highest(
            f'{catalog.pod_lifecycle_state.prometheus_name}{{{catalog.pod_lifecycle_state.prometheus_name}="probation"}}',
            "pod_id",
        ),
        op="==",
        threshold=1,
        unit=Unit.NUMBER,
        text="{pod_id} is in probation: it retires by itself unless it recovers.",
        labels=("pod_id",),
        panel="orchestrator/Lifecycle state",
        escalates=False,  # a pod's state changes once a day
    ),
    Rule(
        name="NettingLowOffset",
        family="orchestrator",
        severity=Severity.WARNING,
        hold="1h",
        value=f"{lowest(catalog.netting_offset_ratio)} and {highest(catalog.netting_gross_exposure)} > 0",
        op="<",
        threshold=0.1,
        unit=Unit.SHARE,
        text="Only {value} of the pods' exposure nets out, less than {threshold}: all of them bet on one direction.",
        panel="orchestrator/Netting offset",
    ),
    Rule(
        name="HighGrossExposure",
        family="orchestrator",
        severity=Severity.WARNING,
        hold="5m",
        value=highest(catalog.netting_gross_exposure),
        op=">",
        threshold=3.0,
        unit=Unit.TIMES,
        text="The pods' gross exposure is {value} the capital, the limit is {threshold}.",
        panel="orchestrator/Gross and net exposure",
    ),
)
