"""The dashboard of runbooks: one text panel a rule, which its alert links to."""

from __future__ import annotations

from contextvars import ContextVar
from pathlib import Path
from typing import Final

from otel_mcbot.provision import dashboard, grammar, panels
from otel_mcbot.provision.grammar import Json
from otel_mcbot.rules import Rule

UID: Final = "runbooks"

folder: Final[ContextVar[Path]] = ContextVar("folder", default=Path("docs/runbooks"))
"""Where they are written, a file ``NAME.md`` for each rule."""


def build() -> Json:
    """The file ``runbooks.json``."""
    return dashboard.dashboard(
        UID,
        "Runbooks",
        "What to do about each alert: what it means, where to look, what to do.",
        [(_height(rule), [_panel(at, rule)]) for at, rule in enumerate(grammar.in_force.get(), 1)],
        variables=[],
    )


def _height(rule: Rule) -> int:
    """About what the text needs, in rows of Grafana's grid."""
    return max(6, len(_text(rule).splitlines()) + 4)


def _panel(id: int, rule: Rule) -> Json:
    condition = f"{rule.severity.value}: {rule.condition}, for {rule.hold}"
    return panels.words(id, rule.name, condition, _text(rule))


def _text(rule: Rule) -> str:
    file = folder.get() / f"{rule.name}.md"
    try:
        return file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return f"The runbook is the file `docs/runbooks/{rule.name}.md` of the project."
