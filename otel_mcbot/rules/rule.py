"""What an alert is: a row of plain data, from which Grafana's rules, the mirror that promtool proves and pages come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from string import Template
from typing import Final

IDENTITY: Final = ("job", "instance", "service_name", "trading_mode")
"""Labels of one bot. Every aggregation keeps them: two bots never add up, and a message knows whose it is."""

BOT: Final = ", ".join(IDENTITY)
"""The same for a ``by`` clause."""


class Severity(StrEnum):
    """How loud: the heartbeat channel, the alerts channel, the alerts channel with a mention (live mode only)."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Unit(StrEnum):
    """How a value and a threshold are written in a message."""

    COUNT = "count"
    PERCENT = "percent"
    """0 to 100."""
    SHARE = "share"
    """0 to 1, shown in percent."""
    SECONDS = "seconds"
    BYTES = "bytes"
    BPS = "bps"
    USDT = "usdt"
    TIMES = "times"
    NUMBER = "number"
    """As it is, four significant digits."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One alert.

    Attributes:
        name: the contract's, CamelCase; also the runbook's: ``docs/runbooks/NAME.md``.
        family: the group it is evaluated in.
        severity: how loud.
        hold: how long the condition must be true before somebody is told (``for``), as ``0s``, ``30s``, ``1d``.
        value: PromQL of the number that is judged, a series for each thing that may be wrong; ``$name`` stands for a
            parameter. It must carry :data:`IDENTITY`.
        op: ``>``, ``>=``, ``<``, ``<=`` or ``==``: ``value op threshold`` is the condition.
        threshold: a parameter like the others, named ``threshold``; of an ``==`` it is a fact and may not be set.
        unit: of value and threshold, for people.
        text: one sentence that says what is wrong; ``{value}``, any parameter as ``{threshold}`` and any label as
            ``{symbol}`` stand for what they are at that moment.
        labels: what tells the series of one bot apart, as ``("symbol",)``.
        panel: ``uid/title`` of the panel that shows the value.
        parameters: more that may be set, with their defaults: durations as ``15m``, numbers.
        deviation: why the expression is not the contract's; empty where it is.
        ours: not in the contract.
        escalates: a WARNING that lasts 30 minutes more becomes CRITICAL.
        on_error: ``ok``, or ``alert`` where a store that does not answer is itself the news.
    """

    name: str
    family: str
    severity: Severity
    hold: str
    value: str
    op: str
    threshold: float
    unit: Unit
    text: str
    panel: str
    labels: tuple[str, ...] = ()
    parameters: Mapping[str, float | str] = field(default_factory=dict)
    deviation: str = ""
    ours: bool = False
    escalates: bool = True
    on_error: str = "ok"

    @property
    def settings(self) -> dict[str, float | str]:
        """Every parameter that may be set, with its value: ``threshold``, ``hold`` and :attr:`parameters`."""
        judged = {} if self.op == "==" else {"threshold": self.threshold}
        return {**judged, "hold": self.hold, **self.parameters}

    @property
    def query(self) -> str:
        """The PromQL of the value, on one line, its parameters filled in."""
        filled = {name: written(value) for name, value in self.settings.items()}
        return " ".join(Template(self.value).substitute(filled).split())

    @property
    def condition(self) -> str:
        """The PromQL that has a result while something is wrong."""
        return f"({self.query}) {self.op} {written(self.threshold)}"

    @property
    def escalation(self) -> bool:
        """Whether there is a second rule, CRITICAL, that waits 30 minutes longer."""
        return self.escalates and self.severity is Severity.WARNING


def written(value: float | str) -> str:
    """A parameter as it stands in an expression or a sentence: ``5``, not ``5.0``."""
    return value if isinstance(value, str) else f"{value:.15g}"
