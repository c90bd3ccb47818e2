"""Daily returns by strategy, from fills and closes."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

from .bus import EventBus
from .events import BarEvent, EventType, FillEvent


class DailyReturns:
    """Collects what the returns are made of. A day is a date in UTC; a fill belongs to the bar that priced it.

    Args:
        capital: strategy → quote currency at the start.
    """

    def __init__(self, bus: EventBus, capital: Mapping[str, float]) -> None:
        self.capital = capital
        self._closes: dict[date, dict[str, float]] = defaultdict(dict)
        self._fills: dict[tuple[date, str], list[tuple[str, float, float, float]]] = defaultdict(list)
        bus.subscribe(EventType.BAR, self.on_bar)
        bus.subscribe(EventType.FILL, self.on_fill)

    async def on_bar(self, bar: BarEvent) -> None:
        self._closes[bar.bar_timestamp.date()][bar.symbol] = bar.close

    async def on_fill(self, fill: FillEvent) -> None:
        strategy = fill.client_order_id.rsplit("-", 2)[0]
        signed = fill.fill_qty if fill.side == "BUY" else -fill.fill_qty
        self._fills[fill.fill_timestamp.date(), strategy].append((fill.symbol, signed, fill.fill_price, fill.fee))

    def rows(self) -> Iterator[tuple[date, str, float]]:
        """Date, strategy, return: the day's gain over the strategy's capital. Orders are sized by that capital, too."""
        held: dict[str, dict[str, float]] = {strategy: defaultdict(float) for strategy in self.capital}
        closes: dict[str, float] = {}
        for day in sorted(self._closes):
            before, closes = closes, closes | self._closes[day]
            for strategy in sorted(self.capital):
                positions = held[strategy]
                gain = sum(
                    quantity * (closes[symbol] - before[symbol])
                    for symbol, quantity in positions.items()
                    if symbol in before
                )
                for symbol, signed, price, fee in sorted(self._fills.get((day, strategy), ())):
                    gain += signed * (closes[symbol] - price) - fee
                    positions[symbol] += signed
                yield day, strategy, gain / self.capital[strategy]

    def write(self, path: Path) -> None:
        """CSV with the columns date, strategy, return."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("date", "strategy", "return"))
            writer.writerows((day.isoformat(), strategy, f"{value:.8f}") for day, strategy, value in self.rows())
