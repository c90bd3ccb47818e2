"""Whatever the order in which facts arrive, and however often: the ledger knows what really happened.

Each example makes up the truth of a few orders, tells it in a random interleaving (twice, late, stale, in parts and as
totals, by either id, over restarts) and compares what the ledger says with the truth.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, fields, replace
from typing import Any

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from otel_mcbot.facts import (
    OrderAcknowledged,
    OrderCanceled,
    OrderExpired,
    OrderFact,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderReported,
    OrderRequested,
)
from otel_mcbot.ledger import Change, Ledger
from otel_mcbot.orders import OrderStatus

SYMBOLS = ("BTC/USDT", "ETH/USDT")


@dataclass(frozen=True)
class Part:
    id: str
    quantity: float
    price: float
    fee: float


@dataclass
class Truth:
    """What really became of an order, and the facts that tell it."""

    client_id: str
    symbol: str
    status: str
    known: bool
    quantity: float
    parts: list[Part]
    part_count: int | None
    """``None``: as many as the reports told apart."""
    facts: list[OrderFact] = field(default_factory=list)

    @property
    def acknowledged(self) -> bool:
        return any(
            isinstance(fact, OrderAcknowledged | OrderFilled | OrderCanceled | OrderExpired | OrderReplaced)
            or (isinstance(fact, OrderReported) and fact.status not in ("rejected", "pending_new"))
            for fact in self.facts
        )


class World:
    """A bot's process and the clocks around it: the ledger, what its changes add up to, and restarts."""

    def __init__(self) -> None:
        self.now, self.wall = 1_000.0, 1.7e9
        self.summed: Counter[str] = Counter()
        self.totals: Counter[str] = Counter()
        self.by_status: Counter[str] = Counter()
        self.requested_before: set[str] = set()
        self.requested: set[str] = set()
        self.file: list[dict[str, Any]] = []
        self.ledger = self.start()

    def start(self) -> Ledger:
        return Ledger(clock=lambda: self.now, wall=lambda: self.wall)

    def restart(self) -> None:
        self.file += self.ledger.take_dirty()
        self.add_totals()
        self.now, self.wall = 50.0, self.wall + 0.001  # another boot: another monotonic clock
        self.ledger = self.start()
        self.ledger.restore(json.loads(json.dumps(self.file)))
        assert self.ledger.totals.requested == self.ledger.totals.fills == 0
        self.requested_before = set(self.requested)

    def add_totals(self) -> None:
        totals = self.ledger.totals
        self.totals.update(requested=totals.requested, fills=totals.fills)
        self.totals["fees"] += totals.fees  # type: ignore[assignment]
        for symbol, quantity in totals.filled.items():
            self.totals[symbol] += quantity  # type: ignore[assignment]
        self.by_status.update({status: n for status, n in totals.by_status.items() if status != "working"})

    def tell(self, fact: OrderFact) -> None:
        self.now += 1e-4
        self.wall += 1e-4
        client_id = fact.client_id
        if isinstance(fact, OrderRequested) and client_id is not None:
            order = self.ledger.get(client_id)
            if client_id in self.requested_before and order is not None and order.status != "pending_new":
                return  # a request is the bot's own word: the process before cannot say it now
            self.requested.add(client_id)
        if isinstance(fact, OrderReplaced) and fact.new_client_id is not None:
            self.requested.add(fact.new_client_id)
        order = self.ledger.get(client_id or fact.venue_id or "")
        filled, ended = (order.filled, order.status.is_terminal) if order is not None else (0.0, False)
        fact = replace(fact, at=self.now)
        for change in self.ledger.apply(fact):
            self.add(change)
        if order is not None:
            assert order.filled >= filled * (1 - 1e-9), "filled moved back"
            assert order.status.is_terminal or not ended, "an ended order is open again"

    def add(self, change: Change) -> None:
        assert change.quantity >= 0
        assert change.fee >= 0
        assert change.parts >= 0
        assert change.after is change.order.status
        id = change.order.client_id
        for milestone in ("requested", "validated", "acknowledged", "completed", "ended"):
            if getattr(change, milestone):
                self.summed[f"{milestone} {id}"] += 1
                assert self.summed[f"{milestone} {id}"] == 1, f"{milestone} was said twice"
                self.summed[milestone] += 1
        if change.ended:
            self.summed[f"as {change.after}"] += 1
        elif change.order.known and change.before is not change.after and change.before and change.before.is_terminal:
            self.summed[f"as {change.before}"] -= 1
            self.summed[f"as {change.after}"] += 1
        self.summed["fills"] += change.parts
        self.summed["fees"] += change.fee  # type: ignore[assignment]
        self.summed[change.order.symbol] += change.quantity  # type: ignore[assignment]

    def let_pass(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds
        for fact in self.ledger.due(self.now):
            for change in self.ledger.apply(fact):
                self.add(change)


def short(fact: OrderFact | None) -> str:
    """A fact in one line, for the report of a failure."""
    if fact is None:
        return "-- restart"
    said = {f.name: getattr(fact, f.name) for f in fields(fact) if f.name not in ("at", "symbol", "fee_currency")}
    return f"{type(fact).__name__} " + " ".join(f"{name}={value}" for name, value in said.items() if value is not None)


def near(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-7 * max(1.0, abs(b))


sizes = st.integers(1, 5_000).map(lambda n: n / 1_000)
prices = st.integers(9_000, 11_000).map(lambda n: n / 100)
charges = st.integers(0, 900).map(lambda n: n / 10_000)


@st.composite
def orders(draw: st.DrawFn, number: int, of: str | None = None, replaced_by: Truth | None = None) -> Truth:
    """The truth of one order and all facts about it, each at least once.

    Args:
        number: makes the ids unique.
        of: the order whose place this one took.
        replaced_by: the order that took this one's place.
    """
    client_id, venue_id, symbol = f"alpha-x-{number}", f"v{number}", SYMBOLS[number % 2]
    known = of is not None or replaced_by is not None or draw(st.integers(0, 4)) > 0
    status = "replaced" if replaced_by else draw(
        st.sampled_from(["filled", "filled", "canceled", "expired", "rejected", "open"])
    )  # fmt: skip
    told = draw(st.sampled_from(["trades", "unnumbered", "reports", "trades and reports", "trades and events", "all"]))
    in_parts = told != "reports"
    in_reports = told in ("reports", "trades and reports", "all")

    rebate = draw(st.integers(0, 9)) == 0
    least = 1 if status == "filled" else 0
    parts = [
        Part(f"{number}/{n}", draw(sizes), draw(prices), draw(charges) * (-1 if rebate else 1))
        for n in range(0 if status == "rejected" else draw(st.integers(least, 4)))
    ]
    done = sum(part.quantity for part in parts)
    cost = sum(part.quantity * part.price for part in parts)
    quantity = done if status == "filled" else done + draw(sizes)
    # how large it was to be: known exactly, by its notional, or not at all; the last two only end by themselves
    target = "quantity"
    if of is None and (in_reports or status != "open" or not parts):
        target = draw(st.sampled_from(["quantity", "notional", "nothing"]))
    notional = cost + 100_000.0
    if status == "filled":
        notional = cost * draw(st.sampled_from([1.0003, 1.05]))
    only_silence_ends_it = not in_reports and (target == "nothing" or (target == "notional" and notional > cost * 1.01))

    acknowledged = bool(parts) or draw(st.booleans())
    by_venue_id = known and acknowledged and not (of or replaced_by) and draw(st.booleans())
    address: dict[str, Any] = {"client_id": client_id, "symbol": symbol}
    if by_venue_id:
        address = {"venue_id": venue_id, "symbol": symbol}
    elif draw(st.booleans()):
        address["venue_id"] = venue_id
    facts: list[OrderFact] = []

    if known and (of is None or draw(st.booleans())):
        request = OrderRequested(
            client_id=client_id,
            symbol=symbol,
            side="BUY",
            quantity=quantity if target == "quantity" else None,
            notional=notional if target == "notional" else None,
            validated=True,
        )
        facts += [request] * draw(st.integers(1, 2))
        facts += [replace(request, validated=False)] * draw(st.integers(0, 2))
    if acknowledged:
        facts += [OrderAcknowledged(client_id=client_id, venue_id=venue_id, symbol=symbol)] * draw(st.integers(1, 2))

    if in_parts:
        for part in parts:
            fill = OrderFilled(**address, quantity=part.quantity, price=part.price, fee=part.fee, fee_currency="USDT")
            if told == "unnumbered":
                facts.append(fill)
                continue
            facts += [replace(fill, fill_id=part.id)] * draw(st.integers(1, 2))
            facts += [replace(fill, fill_id=part.id, fee=None)] * draw(st.integers(0, 1))  # the fee comes late
            if told in ("trades and events", "all"):
                facts.append(replace(fill, fill_id=f"event:{part.id}"))
    if in_reports:
        for n in range(len(parts) + 1):
            sofar = parts[:n]
            filled = sum(part.quantity for part in sofar)
            last = n == len(parts)
            word = "partially_filled" if sofar else "new" if acknowledged else "pending_new"
            if last and status != "open":
                word = "canceled" if status == "replaced" else status
            report = OrderReported(
                **address,
                quantity=quantity,
                status=word,
                filled=filled,
                average_price=sum(p.quantity * p.price for p in sofar) / filled if filled else None,
                fee=sum(part.fee for part in sofar),
            )
            facts += [report] * draw(st.integers(1 if last else 0, 2))
            if last and sofar:
                facts += [replace(report, fee=None, average_price=None)] * draw(st.integers(0, 1))
    too_late = status == "filled" and not only_silence_ends_it and draw(st.integers(0, 3)) == 0
    if status == "canceled" or too_late:
        facts += [OrderCanceled(**address)] * draw(st.integers(1, 2))
    if status == "expired" and (not in_reports or draw(st.booleans())):
        facts.append(OrderExpired(**address))
    if status == "rejected":
        facts += [OrderRejected(**address)] * draw(st.integers(1, 2))
    if replaced_by:
        taken = OrderReplaced(
            client_id=client_id, symbol=symbol, new_client_id=replaced_by.client_id, quantity=replaced_by.quantity
        )
        facts += [taken] * draw(st.integers(1, 2))
        facts += [OrderCanceled(**address)] * draw(st.integers(0, 1))

    if not facts:
        facts.append(OrderAcknowledged(client_id=client_id, venue_id=venue_id, symbol=symbol))
    truth = Truth(client_id, symbol, status, known, quantity, parts, len(parts) if in_parts else None, facts)
    if status == "open":
        truth.status = "partially_filled" if parts else "new" if truth.acknowledged else "pending_new"
    return truth


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[Truth], list[OrderFact | None]]:
    """Some orders, and all facts about them in a random order; ``None`` is a restart."""
    truths: list[Truth] = []
    for number in range(0, 2 * draw(st.integers(1, 3)), 2):
        if draw(st.integers(0, 3)) == 0:
            new = draw(orders(number + 2_000, of=f"alpha-x-{number}"))
            truths += [draw(orders(number, replaced_by=new)), new]
        else:
            truths.append(draw(orders(number)))
    told: list[OrderFact | None] = [fact for truth in truths for fact in truth.facts]
    told += [None] * draw(st.integers(0, 2))
    return truths, draw(st.permutations(told))


@settings(max_examples=400, deadline=None, report_multiple_bugs=False, suppress_health_check=list(HealthCheck))
@given(stories())
def test_the_ledger_knows_the_truth(story: tuple[list[Truth], list[OrderFact | None]]) -> None:
    truths, told = story
    note("\n".join(short(fact) for fact in told))
    world = World()
    steps: dict[str, float] = {}
    report_parts: Counter[str] = Counter()
    owner = {id(fact): truth for truth in truths for fact in truth.facts}
    for fact in told:
        if fact is None:
            world.restart()
            continue
        if isinstance(fact, OrderReported) and fact.filled:
            truth = owner[id(fact)]
            if fact.filled > steps.get(truth.client_id, 0.0) * (1 + 1e-9):
                steps[truth.client_id] = fact.filled
                report_parts[truth.client_id] += 1
        world.tell(fact)
    world.let_pass(2.1)
    ledger = world.ledger
    world.add_totals()

    expected: Counter[str] = Counter()
    for truth in truths:
        order = ledger.get(truth.client_id)
        assert order is not None
        filled = sum(part.quantity for part in truth.parts)
        fees = sum(part.fee for part in truth.parts)
        count = truth.part_count if truth.part_count is not None else report_parts[truth.client_id]
        assert order.known is truth.known
        assert near(order.filled, filled)
        assert near(order.cost, sum(part.quantity * part.price for part in truth.parts))
        assert near(order.fees, fees)
        assert order.parts == count
        assert order.strategy == ("alpha" if truth.known else None)
        if truth.known or truth.status != "filled":  # nobody knows how large a stranger was to be
            assert order.status == truth.status
        assert (truth.client_id in ledger.open) is (not order.status.is_terminal)
        expected["fills"] += count
        expected[truth.symbol] += filled  # type: ignore[assignment]
        if truth.known:
            expected.update(
                {
                    "requested": 1,
                    "acknowledged": int(truth.acknowledged),
                    "completed": int(truth.status == "filled"),
                    "ended": int(OrderStatus(truth.status).is_terminal),
                    f"as {truth.status}": int(OrderStatus(truth.status).is_terminal),
                }
            )
    for what in ("requested", "acknowledged", "completed", "ended", "fills"):
        assert world.summed[what] == expected[what], what
    for status in OrderStatus:
        assert world.summed[f"as {status}"] == expected[f"as {status}"] == world.by_status[status.value]
    for symbol in SYMBOLS:
        assert near(world.summed[symbol], expected[symbol])
        assert near(world.totals[symbol], world.summed[symbol])
    if all(part.fee >= 0 for truth in truths for part in truth.parts):
        assert near(world.summed["fees"], sum(part.fee for truth in truths for part in truth.parts))
    assert near(world.totals["fees"], world.summed["fees"])
    assert world.totals["requested"] == world.summed["requested"]
    assert world.totals["fills"] == world.summed["fills"]

    own_open = [truth for truth in truths if truth.known and not OrderStatus(truth.status).is_terminal]
    assert ledger.totals.by_status["working"] == len(own_open)
    assert ledger.pending == sum(truth.status == "pending_new" for truth in own_open)

    world.let_pass(700.0)
    world.let_pass(0.0)
    for truth in truths:
        if not (truth.known and truth in own_open):
            assert ledger.get(truth.client_id) is None
    assert len(ledger.open) == len(own_open)
