"""What the doctor's checks share: the case, the line, and how to do things side by side within a time."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from otel_mcbot import identity
from otel_mcbot.settings import Settings

OK, WARN, FAIL = "ok", "warn", "fail"

T = TypeVar("T")


@dataclass(frozen=True)
class Line:
    """One finding. ``state`` is ``ok``, ``warn`` or ``fail``; ``fix`` is empty where there is nothing to do."""

    check: str
    state: str
    found: str
    fix: str = ""


@dataclass(frozen=True)
class Case:
    """What is examined.

    Attributes:
        settings: the bot's, as this environment gives them.
        variables: those that ``compose.yaml`` reads, :func:`otel_mcbot.doctor_stack.compose_variables`.
        addresses: server → URL where somebody said it; the others are on this machine, at the ports of ``variables``.
    """

    settings: Settings
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    addresses: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def home(self) -> Path:
        """The service's own directory."""
        return self.settings.state_dir / identity.safe(self.settings.service_name)

    @cached_property
    def instance(self) -> str | None:
        """The bot's instance id: as set, or as kept from an earlier run."""
        if self.settings.instance_id:
            return self.settings.instance_id
        with contextlib.suppress(OSError, UnicodeDecodeError):
            return (self.home / "instance").read_text(encoding="utf-8").strip() or None
        return None

    @cached_property
    def holder(self) -> int | None:
        """The live process on this machine that has the instance id."""
        return identity.holder(self.home, self.instance) if self.instance else None

    @property
    def files(self) -> Path | None:
        """Where the embedded default writes, whether or not something is there."""
        return self.home / identity.safe(self.instance) / "otlp" if self.instance else None


def side_by_side(tasks: Sequence[Callable[[], T]], seconds: float) -> list[T | Exception]:
    """What each task returned or raised, in order; a ``TimeoutError`` for one that takes longer than ``seconds``.

    Nobody waits for such a task, not even the end of the process: name servers and black holes keep their own time.
    """
    results: list[Any] = [TimeoutError(f"no answer within {seconds:g} s") for _ in tasks]
    threads = [threading.Thread(target=_keep, args=(task, results, at), daemon=True) for at, task in enumerate(tasks)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return list(results)


def _keep(task: Callable[[], Any], results: list[Any], at: int) -> None:
    try:
        results[at] = task()
    except Exception as error:
        results[at] = error
