"""What a run came to: as one JSON object, or for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import otel_mcbot as mcbot

from .bot import Bot

OUTCOMES = ("filled", "partially_filled", "rejected", "canceled", "expired", "working")
"""``partially_filled`` ended cancelled or expired with a part filled; ``rejected`` by our risk manager or by the venue;
``working`` rests in the venue's book as the run ends."""


@dataclass(frozen=True)
class Summary:
    """Attributes:
    bars, signals, orders, fills: how many; orders by :data:`OUTCOMES`, each order in one of them.
    fees, pnl: quote currency; ``pnl`` is realized and unrealized profit at the last close, after fees.
    emitted, exported, dropped, metric_series: :class:`otel_mcbot.telemetry.Stats` after ``close()``.
    """

    bars: int
    signals: int
    orders: Mapping[str, int]
    fills: int
    fees: float
    pnl: float
    emitted: Mapping[str, int]
    exported: Mapping[str, int]
    metric_series: int
    dropped: Mapping[str, int]

    @classmethod
    def of(cls, bot: Bot, telemetry: mcbot.Telemetry) -> Summary:
        """Read after ``telemetry.close()``."""
        stats = telemetry.stats()
        outcomes = {name: bot.oms.outcomes[name] for name in OUTCOMES} | {"working": len(bot.oms.open)}
        return cls(
            bars=bot.feed.count,
            signals=sum(strategy.signals for strategy in bot.strategies),
            orders=outcomes,
            fills=bot.oms.fills,
            fees=round(bot.oms.fees, 4),
            pnl=round(bot.portfolio.pnl(), 4),
            emitted=dict(stats.emitted),
            exported=dict(stats.exported),
            metric_series=stats.metric_series,
            dropped=dict(stats.dropped),
        )

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    def to_text(self, *, directory: Path | None, collector: bool) -> str:
        """For people.

        Args:
            directory: where OTLP JSON lines were written, if they were.
            collector: whether a Collector took the telemetry.
        """
        orders = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in self.orders.items() if count)
        lost = {name: count for name, count in self.dropped.items() if count}
        lines = [
            f"{self.bars} bars, {self.signals} signals, {sum(self.orders.values())} orders: {orders or 'none'}",
            f"{self.fills} fills, fees {self.fees:,.2f}, profit after fees {self.pnl:+,.2f}",
            f"telemetry: {self.exported.get('spans', 0)} of {self.emitted.get('spans', 0)} spans and "
            f"{self.exported.get('log_records', 0)} of {self.emitted.get('log_records', 0)} log records exported, "
            f"{self.metric_series} metric series, lost: "
            + (", ".join(f"{count} {name}" for name, count in lost.items()) or "nothing"),
        ]
        if collector:
            lines.append("A Collector took it: see the dashboards in Grafana, http://localhost:3000")
        elif directory is not None:
            lines += [
                f"No Collector was there, so it is in files: {directory}",
                "Next: docker compose up -d --wait, run this again, and open http://localhost:3000",
            ]
        return "\n".join(lines)
