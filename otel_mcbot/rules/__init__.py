"""What wakes somebody up: one row an alert, pure data.

A row is read by whatever acts on it: Grafana's alerting and the mirror of it (:mod:`otel_mcbot.provision`), the
thresholds that dashboards draw, the pages. Nothing here imports anything but the catalog.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from .account import ACCOUNT
from .exchange import EXCHANGE, WEBSOCKET
from .execution import EXECUTION, ORDERS
from .onchain import ONCHAIN
from .overrides import OverrideError, changed
from .pipeline import PIPELINE
from .process import BUS, PROCESS
from .rule import BOT, IDENTITY, Rule, Severity, Unit
from .strategy import ANOMALY, ORCHESTRATOR, STRATEGY
from .watch import WATCH

RULES: Final[tuple[Rule, ...]] = (
    *(*WATCH, *ACCOUNT, *EXECUTION, *ORDERS, *EXCHANGE, *WEBSOCKET, *STRATEGY, *ANOMALY, *ORCHESTRATOR),
    *(*ONCHAIN, *BUS, *PROCESS, *PIPELINE),
)
"""All of them, in the order of the families."""


def find(name: str, among: Iterable[Rule] = RULES) -> Rule:
    """The rule of that name. Raises ``KeyError``."""
    for rule in among:
        if rule.name == name:
            return rule
    raise KeyError(name)


def load(sets: Sequence[str] = (), file: Path | None = None) -> tuple[Rule, ...]:
    """All of them with other thresholds: as the file says, and then as ``sets`` say.

    Args:
        sets: ``NAME.parameter=value`` each.
        file: TOML, a table a rule. ``None``: no file.

    Raises:
        OverrideError: there is no such rule, parameter or file, or the value cannot be; a line for people.
    """
    return changed(RULES, sets, file)


__all__ = ["BOT", "IDENTITY", "RULES", "OverrideError", "Rule", "Severity", "Unit", "find", "load"]
