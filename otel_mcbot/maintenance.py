"""Planned silence: a deploy, an exchange's maintenance window. Expected silence is not an incident."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from otel_mcbot import hub
from otel_mcbot.facts import MaintenanceChanged
from otel_mcbot.settings import SettingsError, seconds


@contextmanager
def maintenance(reason: str, duration: float | str = "10m") -> Iterator[None]:
    """Say that the bot is silent on purpose while the block runs, and for ``duration`` at most.

    The series ``mcbot_maintenance`` is 1 meanwhile, and an event record marks both ends.

    Args:
        reason: shown wherever the silence is seen, as ``"deploy"``.
        duration: seconds, or ``90s``, ``10m``, ``2h``: a block that hangs must not silence the alerts for ever.

    Raises:
        SettingsError: ``duration`` is neither.
    """
    try:
        until = time.time() + seconds(duration)
    except ValueError:
        raise SettingsError("duration", duration, "seconds, or a number with ms, s, m or h") from None
    hub.tell(MaintenanceChanged(reason=reason, until=until))
    try:
        yield
    finally:
        hub.tell(MaintenanceChanged(reason=reason, until=None))
