"""What docs/operating.md tells people to type, for tests that type it."""

from __future__ import annotations

import re

from stack import ROOT


def block(mark: str) -> str:
    """The code block behind ``<!-- mark -->``."""
    page = (ROOT / "docs" / "operating.md").read_text()
    found = re.search(rf"<!-- {mark} -->\n```\w*\n(.*?)```", page, re.DOTALL)
    assert found, f"docs/operating.md has no block {mark}"
    return found[1]


def table(mark: str) -> list[list[str]]:
    """The rows of the table behind ``<!-- mark -->``, without its head."""
    page = (ROOT / "docs" / "operating.md").read_text()
    found = re.search(rf"<!-- {mark} -->\n((?:\|.*\n)+)", page)
    assert found, f"docs/operating.md has no table {mark}"
    rows = [re.split(r"(?<!\\)\|", line.strip().strip("|")) for line in found[1].splitlines()[2:]]
    return [[cell.strip().replace(r"\|", "|") for cell in row] for row in rows]
