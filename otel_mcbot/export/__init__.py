"""From the SDK's exporters to a receiver or the disk, without ever hurting the bot: :class:`Outbox`."""

from __future__ import annotations

from otel_mcbot.export.intake import Intake
from otel_mcbot.export.outbox import Counts, LaneState, Outbox, State
from otel_mcbot.export.sender import SIGNALS, Signal

__all__ = ["SIGNALS", "Counts", "Intake", "LaneState", "Outbox", "Signal", "State"]
