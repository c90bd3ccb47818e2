"""What the package promises about itself: its surface, what importing it brings in, who may know the SDK."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import otel_mcbot

PACKAGE = Path(otel_mcbot.__file__).parent
MAY_KNOW_THE_SDK = ("providers.py", "telemetry.py", "testing.py", "trace/")


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(module, name) of every import, in functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.module, alias.name) for alias in node.names)


def test_the_public_surface_is_small_and_real() -> None:
    assert len(otel_mcbot.__all__) <= 25
    assert list(otel_mcbot.__all__) == sorted(otel_mcbot.__all__)
    for name in otel_mcbot.__all__:
        assert getattr(otel_mcbot, name) is not None
    assert set(otel_mcbot.__all__) <= set(dir(otel_mcbot))


def test_only_some_modules_know_the_sdk() -> None:
    found = {
        name
        for name, tree in modules()
        for module, _ in imports(tree)
        if module.startswith("opentelemetry.sdk") and not name.startswith(MAY_KNOW_THE_SDK)
    }
    assert found == set()


def test_no_private_name_of_the_sdk_is_imported() -> None:
    found = [
        (name, module, attribute)
        for name, tree in modules()
        for module, attribute in imports(tree)
        if module.startswith("opentelemetry.sdk")
        and (attribute.startswith("_") or any(part.startswith("_") and part != "_logs" for part in module.split(".")))
    ]
    assert found == []


def test_importing_brings_in_nothing_heavy() -> None:
    code = (
        "import sys, otel_mcbot\n"
        "heavy = ('opentelemetry.exporter', 'grpc', 'rich', 'matplotlib', 'scipy', 'sklearn', 'numpy', 'requests',"
        " 'psutil', 'click', 'aiohttp', 'discord')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""
