"""Writes the generated pages of docs/, or with ``--check`` says which of them is not fresh."""

from __future__ import annotations

import sys
from pathlib import Path

from otel_mcbot import catalog, settings
from otel_mcbot.rules import page

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = {"alerts.md": page.markdown, "metrics.md": catalog.markdown, "settings.md": settings.markdown}


def main() -> int:
    stale = [name for name, make in PAGES.items() if not (DOCS / name).exists() or (DOCS / name).read_text() != make()]
    if "--check" in sys.argv[1:]:
        for name in stale:
            print(f"docs/{name} is not what the code says; run: make docs", file=sys.stderr)
        return 1 if stale else 0
    for name in stale:
        (DOCS / name).write_text(PAGES[name]())
        print(f"wrote docs/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
