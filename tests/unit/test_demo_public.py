"""The demo is what users copy: it may use nothing that they may not."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import otel_mcbot
from otel_mcbot import demo

BOT = sorted(path for path in Path(demo.__file__).parent.glob("*.py") if path.stem != "command")
"""All of it but the command line, which reads durations as settings are read."""


@pytest.mark.parametrize("path", BOT, ids=lambda path: path.stem)
def test_it_uses_the_public_names_alone(path: Path) -> None:
    public = {*otel_mcbot.__all__, "__version__"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert all(each.name.partition(".")[0] != "otel_mcbot" or each.asname == "mcbot" for each in node.names)
            assert all(not each.name.startswith("otel_mcbot.") for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith("otel_mcbot")
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "mcbot":
            assert node.attr in public
