"""Positions: money is neither made nor lost in the books."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_mcbot.demo.account import Position

fills = st.lists(
    st.tuples(
        st.sampled_from(["BUY", "SELL"]),
        st.integers(1, 10_000).map(lambda lots: lots / 1_000),
        st.integers(1, 100_000).map(lambda cents: cents / 100),
        st.integers(0, 100).map(lambda cents: cents / 100),
    ),
    max_size=30,
)


@given(fills, st.integers(1, 100_000).map(lambda cents: cents / 100))
def test_pnl_is_what_came_in_less_what_went_out(made: list[tuple[str, float, float, float]], last: float) -> None:
    position = Position()
    cash = held = fees = realized = 0.0
    for side, quantity, price, fee in made:
        sign = 1 if side == "BUY" else -1
        realized += position.fill(side, quantity, price, fee)
        cash -= sign * quantity * price
        held += sign * quantity
        fees += fee

    assert position.quantity == pytest.approx(held, abs=1e-8)
    assert position.realized == pytest.approx(realized, abs=1e-6)
    assert position.pnl(last) == pytest.approx(cash + held * last - fees, abs=1e-4)


def test_turning_round_realizes_what_was_held() -> None:
    position = Position()
    assert position.fill("BUY", 2, 100) == 0
    assert position.fill("SELL", 3, 110) == 20
    assert (position.quantity, position.average_price) == (-1, 110)
    assert position.unrealized(100) == 10
    assert position.fill("BUY", 1, 100) == 10
    assert (position.quantity, position.average_price, position.realized) == (0, 0, 30)
