"""These tests use the harness of the stack's tests."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "stack"))

pytest.register_assert_rewrite("faults", "stack")
