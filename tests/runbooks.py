"""The runbooks as they are written: their sections, and what somebody is told to look at, ask or type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "runbooks"
INDEX = "README"
PLACEHOLDERS = ("instance", "symbol", "strategy")

_FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>\S.*)\n(?P<text>(?:.*\n)*?)(?P=indent)```$", re.MULTILINE)
_PANEL = re.compile(r"\*\*([^*›]+) › ([^*›]+)\*\*")


@dataclass(frozen=True)
class Block:
    """What stands between fences. ``kind``: ``promql``, ``logql``, ``traceql``, ``sh``, ``sh host``."""

    kind: str
    text: str

    def filled(self, values: Mapping[str, str]) -> str:
        """With the values in the place of ``$instance`` and so on; the shell's own ``$`` stay."""
        return re.sub(rf"\$({'|'.join(PLACEHOLDERS)})\b", lambda found: values[found[1]], self.text)


@dataclass(frozen=True)
class Runbook:
    """One file; its name is the rule's."""

    name: str
    text: str

    @property
    def blocks(self) -> list[Block]:
        """All that is fenced, without the indentation of the step that it is in."""
        found = []
        for fence in _FENCE.finditer(self.text):
            lines = [line.removeprefix(fence["indent"]) for line in fence["text"].splitlines()]
            found.append(Block(fence["kind"], "\n".join(lines) + "\n"))
        return found

    @property
    def prose(self) -> str:
        """The same without what is fenced."""
        return _FENCE.sub("", self.text)

    @property
    def panels(self) -> list[tuple[str, str]]:
        """Dashboard and panel, by their titles."""
        return [(board, panel) for board, panel in _PANEL.findall(self.prose)]

    @property
    def sections(self) -> dict[str, str]:
        """What stands under each second heading, in order."""
        parts = re.split(r"^## (.+)\n", self.text, flags=re.MULTILINE)
        return dict(zip(parts[1::2], parts[2::2], strict=True))

    def of(self, *kinds: str) -> list[Block]:
        """The blocks of these kinds."""
        return [block for block in self.blocks if block.kind in kinds]


def read(folder: Path = FOLDER) -> list[Runbook]:
    """All of them, by name; the page that leads to them is none."""
    return [Runbook(file.stem, file.read_text()) for file in sorted(folder.glob("*.md")) if file.stem != INDEX]
