"""What a venue says, read into facts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from otel_mcbot.facts import OrderAcknowledged, OrderFilled, OrderReported
from otel_mcbot.reports import facts_from, fill_from, report_from, unix_seconds

ORDER = {
    "id": "9001",
    "clientOrderId": "grid-BTCUSDT-7",
    "symbol": "BTC/USDT",
    "type": "limit",
    "side": "buy",
    "price": 60_000.0,
    "average": 59_990.0,
    "amount": 0.5,
    "filled": 0.2,
    "remaining": 0.3,
    "cost": 11_998.0,
    "status": "open",
    "fee": {"cost": 1.2, "currency": "USDT"},
    "trades": [],
}


def test_a_unified_order_is_read_whole() -> None:
    report = report_from(ORDER)
    assert report is not None
    assert (report.client_id, report.venue_id, report.symbol) == ("grid-BTCUSDT-7", "9001", "BTC/USDT")
    assert (report.side, report.order_type, report.quantity, report.price) == ("BUY", "limit", 0.5, 60_000.0)
    assert (report.status, report.filled, report.average_price) == ("partially_filled", 0.2, 59_990.0)
    assert (report.fee, report.fee_currency) == (1.2, "USDT")


@pytest.mark.parametrize(
    ("word", "filled", "status"),
    [
        ("open", 0, "new"),
        ("open", None, "new"),
        ("open", 0.1, "partially_filled"),
        ("closed", 0.5, "filled"),
        ("closed", None, "filled"),
        ("closed", 0, "canceled"),
        ("canceled", 0.1, "canceled"),
        ("CANCELLED", 0, "canceled"),
        ("expired", 0, "expired"),
        ("EXPIRED_IN_MATCH", 0, "expired"),
        ("rejected", None, "rejected"),
        ("PARTIALLY_FILLED", 0.1, "partially_filled"),
        ("partially-filled", 0.1, "partially_filled"),
        ("FILLED", 0.5, "filled"),
        ("canceling", 0, "new"),
        ("on the moon", 0, None),
        (None, 0.5, None),
    ],
)
def test_status_words(word: str | None, filled: float | None, status: str | None) -> None:
    report = report_from({**ORDER, "status": word, "filled": filled, "cost": None})
    assert report is not None
    assert report.status == status


@pytest.mark.parametrize("nothing", [None, {}, [], "9001", 3, {"symbol": "BTC/USDT"}, {"id": ""}, object()])
def test_what_names_no_order_gives_nothing(nothing: object) -> None:
    assert report_from(nothing) is None
    assert facts_from(nothing) == ()


def test_an_answer_with_only_an_id_is_a_report() -> None:
    report = report_from({"id": 12, "info": {}})
    assert report is not None
    assert report == OrderReported(venue_id="12", at=report.at)


def test_the_average_is_computed_from_cost_where_the_venue_gives_none() -> None:
    report = report_from({**ORDER, "average": None, "filled": 0.2, "cost": 12_000.0})
    assert report is not None
    assert report.average_price == pytest.approx(60_000.0)


def test_an_unfilled_market_order_has_no_price_of_zero() -> None:
    report = report_from({**ORDER, "price": 0.0, "average": 0.0, "filled": 0.0, "cost": 0.0})
    assert report is not None
    assert (report.price, report.average_price, report.filled) == (None, None, 0.0)


@pytest.mark.parametrize(
    ("fees", "expected"),
    [
        ({"fee": None, "fees": []}, (None, None)),
        ({"fee": {"cost": None, "currency": "USDT"}}, (None, None)),
        ({"fee": {"cost": "0.01", "currency": "BNB"}}, (0.01, "BNB")),
        ({"fee": None, "fees": [{"cost": 1, "currency": "USDT"}, {"cost": 2, "currency": "USDT"}]}, (3.0, "USDT")),
        (
            {"fee": None, "fees": [{"cost": 0.0001, "currency": "BTC"}, {"cost": 2, "currency": "USDT"}]},
            (pytest.approx(2 + 5.999), "USDT"),
        ),
        ({"fee": 0.7, "fee_currency": "USDT"}, (0.7, "USDT")),
        ({"fee": Decimal("0.7")}, (0.7, None)),
    ],
)
def test_fees(fees: dict[str, object], expected: tuple[object, object]) -> None:
    report = report_from({**ORDER, **fees})
    assert report is not None
    assert (report.fee, report.fee_currency) == expected


def test_a_swap_symbol_has_its_quote_before_the_colon() -> None:
    fees = [{"cost": 1, "currency": "USDT"}, {"cost": 0.001, "currency": "ETH"}]
    report = report_from({**ORDER, "symbol": "ETH/USDT:USDT", "average": 2_000.0, "fee": None, "fees": fees})
    assert report is not None
    assert (report.fee, report.fee_currency) == (pytest.approx(3.0), "USDT")


def test_trades_in_an_order_become_parts_with_ids_before_the_report() -> None:
    trade = {"id": "t1", "timestamp": 1_600_000_000_123, "price": 59_990.0, "amount": 0.2, "takerOrMaker": "taker"}
    trades = [{**trade, "fee": {"cost": 1.2, "currency": "USDT"}}, {"price": 1, "amount": 1}]
    facts = facts_from({**ORDER, "trades": trades})
    assert [type(fact).__name__ for fact in facts] == ["OrderFilled", "OrderReported"]
    part = facts[0]
    assert isinstance(part, OrderFilled)
    assert (part.client_id, part.venue_id, part.symbol) == ("grid-BTCUSDT-7", "9001", "BTC/USDT")
    assert (part.fill_id, part.quantity, part.price, part.fee) == ("t1", 0.2, 59_990.0, 1.2)
    assert (part.liquidity, part.fill_time) == ("taker", pytest.approx(1_600_000_000.123))


def test_a_trade_of_its_own_is_a_part_of_the_order_that_it_names() -> None:
    trade = {"id": "t9", "order": "9001", "symbol": "BTC/USDT", "side": "sell", "price": 10, "amount": 2, "info": {}}
    (part,) = facts_from(trade)
    assert isinstance(part, OrderFilled)
    assert (part.venue_id, part.fill_id, part.side, part.quantity, part.price) == ("9001", "t9", "SELL", 2.0, 10.0)
    assert report_from(ORDER) is not None
    assert fill_from(ORDER) is None


def test_objects_are_read_like_mappings() -> None:
    @dataclass
    class VenueOrder:
        order_id: int
        client_order_id: str
        status: str
        executed_qty: Decimal

    report = report_from(VenueOrder(5, "a-b-1", "Filled", Decimal("0.5")))
    assert report is not None
    assert (report.client_id, report.venue_id, report.status, report.filled) == ("a-b-1", "5", "filled", 0.5)


def test_raw_venue_words_are_read() -> None:
    raw = {"orderId": 5, "clientOrderId": "x", "origQty": "1", "executedQty": "0.5", "avgPrice": "3", "status": "NEW"}
    report = report_from(raw)
    assert report is not None
    assert (report.venue_id, report.quantity, report.filled, report.average_price) == ("5", 1.0, 0.5, 3.0)
    assert report.status == "partially_filled"


def test_a_fact_is_handed_back() -> None:
    fact = OrderAcknowledged(client_id="x")
    assert facts_from(fact) == (fact,)


@pytest.mark.parametrize(
    "value",
    [
        1_600_000_000,
        1_600_000_000_000,
        1_600_000_000_000_000,
        1_600_000_000_000_000_000,
        "1600000000000",
        datetime.fromtimestamp(1_600_000_000, UTC),
        datetime.fromtimestamp(1_600_000_000, timezone(timedelta(hours=9))),
        datetime.fromtimestamp(1_600_000_000, UTC).replace(tzinfo=None),
    ],
)
def test_times_become_unix_seconds(value: object) -> None:
    assert unix_seconds(value) == pytest.approx(1_600_000_000)


@pytest.mark.parametrize("value", [None, "soon", float("nan"), object()])
def test_what_is_no_time_is_none(value: object) -> None:
    assert unix_seconds(value) is None
