"""Facts become event records: each step of an order once, at once, in the order's context."""

from __future__ import annotations

import time
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import INVALID_SPAN_ID, set_span_in_context

from otel_mcbot import facts, semconv
from otel_mcbot.facts import Fact, OrderFact
from otel_mcbot.guard import Guard
from otel_mcbot.ledger import Ledger
from otel_mcbot.logs import Events, otel_logger
from otel_mcbot.redaction import REDACTED, Redactor

tracer = TracerProvider().get_tracer("test")
SECRET = "hunter2-hunter2"


class Bot:
    """Ledger and events, as the hub puts them together."""

    def __init__(self, **options: Any) -> None:
        self.exporter = InMemoryLogRecordExporter()
        provider = LoggerProvider(shutdown_on_exit=False)
        provider.add_log_record_processor(SimpleLogRecordProcessor(self.exporter))
        self.events = Events(otel_logger(provider), Redactor([SECRET]), **options)
        self.ledger = Ledger()

    def tell(self, *told: Fact, context: Context | None = None) -> Bot:
        for fact in told:
            changes = self.ledger.apply(fact) if isinstance(fact, OrderFact) else ()
            self.events.on_fact(fact, changes, context)
        return self

    @property
    def records(self) -> list[Any]:
        return [item.log_record for item in self.exporter.get_finished_logs()]

    def names(self) -> list[str]:
        return [record.event_name.removeprefix("trading.order.") for record in self.records]


@pytest.fixture
def bot() -> Bot:
    return Bot()


def test_an_event_has_its_time(bot: Bot) -> None:
    before = time.time_ns()
    bot.events.emit("mcbot.bot.started", "started")
    assert before <= bot.records[0].timestamp <= time.time_ns()


ID = {"client_id": "ctrend-btcusdt-12", "symbol": "BTC/USDT"}


def request(**fields: Any) -> facts.OrderRequested:
    known: dict[str, Any] = {"side": "buy", "quantity": 0.01, "strategy": "ctrend", "correlation_id": "chain-7", **ID}
    return facts.OrderRequested(**{**known, **fields})


def fill(number: int, quantity: float, price: float = 64010.5, **fields: Any) -> facts.OrderFilled:
    return facts.OrderFilled(fill_id=f"f-{number}", quantity=quantity, price=price, **{**ID, **fields})


def test_the_life_of_an_order(bot: Bot) -> None:
    bot.tell(
        request(order_type="limit", price=64000, expected_price=64001, time_in_force="GTC"),
        facts.OrderAcknowledged(venue_id="838", **ID),
        fill(1, 0.004, fee=0.25, fee_currency="USDT", liquidity="Maker"),
        fill(2, 0.006, 64020.5),
    )
    assert bot.names() == ["requested", "acknowledged", "partially_filled", "filled"]
    assert [record.body for record in bot.records] == [
        "BTC/USDT buy 0.01 requested at 64000 (ctrend)",
        "BTC/USDT buy 0.01 acknowledged (ctrend)",
        "BTC/USDT buy 0.01 filled 0.004 at 64010.5 (ctrend)",
        "BTC/USDT buy 0.01 filled at 64016.5 (ctrend)",
    ]
    assert {(record.severity_text, record.severity_number.value) for record in bot.records} == {("INFO", 9)}
    common = {
        "trading.order.client_id": "ctrend-btcusdt-12",
        "trading.instrument.symbol": "BTC/USDT",
        "trading.strategy.name": "ctrend",
        "trading.correlation.id": "chain-7",
        "trading.order.side": "buy",
    }
    requested, acknowledged, part, filled = (dict(record.attributes) for record in bot.records)
    assert requested == common | {
        "trading.order.type": "limit",
        "trading.order.quantity": 0.01,
        "trading.order.price": 64000.0,
        "trading.order.expected_price": 64001.0,
        "trading.order.time_in_force": "gtc",
    }
    assert acknowledged == common | {"trading.order.id": "838"}
    assert part == common | {
        "trading.fill.id": "f-1",
        "trading.fill.quantity": 0.004,
        "trading.fill.price": 64010.5,
        "trading.fill.fee": 0.25,
        "trading.fill.fee_currency": "USDT",
        "trading.fill.liquidity": "maker",
    }
    assert filled.pop("trading.fill.quantity") == pytest.approx(0.006)
    assert filled.pop("trading.fill.average_price") == pytest.approx(64016.5)
    assert filled == common | {"trading.fill.id": "f-2", "trading.fill.price": 64020.5, "trading.fill.count": 2}


def test_the_fills_of_the_records_add_up_to_the_ledger(bot: Bot) -> None:
    bot.tell(
        request(),
        fill(1, 0.003),
        fill(1, 0.003),
        fill(2, 0.003),
        facts.OrderReported(status="filled", filled=0.01, **ID),
    )
    quantity = sum(record.attributes.get(semconv.FILL_QUANTITY, 0.0) for record in bot.records)
    assert quantity == pytest.approx(0.01)
    assert bot.names() == ["requested", "acknowledged", "partially_filled", "partially_filled", "filled"]


def test_a_fill_before_its_acknowledgement_implies_it_once(bot: Bot) -> None:
    bot.tell(request(), fill(1, 0.01), facts.OrderAcknowledged(**ID), request())
    assert bot.names() == ["requested", "acknowledged", "filled"]


def test_an_order_of_unknown_quantity_is_filled_by_the_venues_word(bot: Bot) -> None:
    bot.tell(request(quantity=None, notional=700), fill(1, 0.01), facts.OrderReported(status="filled", **ID))
    assert bot.names() == ["requested", "acknowledged", "partially_filled", "filled"]
    assert bot.records[0].body == "BTC/USDT buy for 700 requested (ctrend)"
    assert semconv.FILL_QUANTITY not in bot.records[-1].attributes


def test_a_rejection_warns_and_says_why(bot: Bot) -> None:
    bot.tell(request(), facts.OrderRejected(reason="leverage_exceeded", message=f"-2019 margin, key {SECRET}", **ID))
    record = bot.records[-1]
    assert record.event_name == "trading.order.rejected"
    assert (record.severity_text, record.severity_number.value) == ("WARN", 13)
    assert record.attributes["trading.order.reject_reason"] == "leverage_exceeded"
    assert record.body == f"BTC/USDT buy 0.01 rejected: leverage_exceeded: -2019 margin, key {REDACTED} (ctrend)"
    assert SECRET not in repr(dict(record.attributes))


def test_a_lost_order_is_an_error(bot: Bot) -> None:
    bot.tell(request(), facts.OrderLost(**ID))
    record = bot.records[-1]
    assert record.event_name == "trading.order.lost"
    assert (record.severity_text, record.severity_number.value) == ("ERROR", 17)
    assert record.body == "BTC/USDT buy 0.01 lost: no answer (ctrend)"


@pytest.mark.parametrize(("fact", "name"), [(facts.OrderCanceled, "canceled"), (facts.OrderExpired, "expired")])
def test_other_ends(bot: Bot, fact: Any, name: str) -> None:
    bot.tell(request(), fill(1, 0.004), fact(**ID), fact(**ID))
    assert bot.names() == ["requested", "acknowledged", "partially_filled", name]
    assert bot.records[-1].attributes["trading.fill.count"] == 1


def test_a_replacement_names_both_orders(bot: Bot) -> None:
    bot.tell(request(), facts.OrderReplaced(new_client_id="ctrend-btcusdt-13", price=63000.0, **ID))
    assert bot.names() == ["requested", "acknowledged", "replaced", "requested"]
    _, _, old, new = bot.records
    assert old.attributes["trading.order.client_id"] == "ctrend-btcusdt-12"
    assert old.attributes["trading.order.replaced_by"] == "ctrend-btcusdt-13"
    assert new.attributes["trading.order.client_id"] == "ctrend-btcusdt-13"
    assert new.attributes["trading.order.replaces"] == "ctrend-btcusdt-12"


def test_an_amendment_tells_what_is_new(bot: Bot) -> None:
    bot.tell(request(), facts.OrderAcknowledged(**ID), facts.OrderReplaced(quantity=0.02, price=63000.0, **ID))
    assert bot.names() == ["requested", "acknowledged", "replaced"]
    assert bot.records[-1].body == "BTC/USDT buy 0.02 amended at 63000 (ctrend)"
    assert bot.records[-1].attributes["trading.order.quantity"] == 0.02


def test_a_fill_of_an_order_that_nobody_requested_is_told(bot: Bot) -> None:
    bot.tell(fill(1, 0.01))
    assert bot.names() == ["partially_filled"]
    assert bot.records[0].body == "BTC/USDT filled 0.01 at 64010.5"


def test_a_record_is_in_the_context_of_its_order(bot: Bot) -> None:
    with tracer.start_as_current_span("order") as order:
        context = set_span_in_context(order)
    with tracer.start_as_current_span("something else") as here:
        bot.tell(request(), context=context)
        bot.tell(facts.OrderAcknowledged(**ID), context=None)
        bot.tell(facts.OrderCanceled(**ID), context=Context())
    mine, current, none = bot.records
    assert mine.span_id == order.get_span_context().span_id
    assert current.span_id == here.get_span_context().span_id
    assert none.span_id == INVALID_SPAN_ID


def test_small_prices_are_readable(bot: Bot) -> None:
    bot.tell(request(symbol="PEPE/USDT", quantity=1_500_000.0, price=0.00001234))
    assert bot.records[0].body == "PEPE/USDT buy 1500000 requested at 0.00001234 (ctrend)"


@pytest.mark.parametrize(
    ("fact", "name", "severity", "body", "attributes"),
    [
        (
            facts.RiskAlertRaised(level="WARNING", message="drawdown 6 %", source="rm"), "mcbot.risk_alert", "WARN",
            "drawdown 6 %", {"mcbot.alert.level": "warning", "mcbot.alert.source": "rm"},
        ),
        (
            facts.RiskAlertRaised(level="CRITICAL"), "mcbot.risk_alert", "ERROR", "CRITICAL from bot",
            {"mcbot.alert.level": "critical", "mcbot.alert.source": "bot"},
        ),
        (
            facts.CircuitBreakerTripped(reason="daily loss", close_all=True), "mcbot.circuit_breaker.tripped", "ERROR",
            "circuit breaker tripped: daily loss",
            {"mcbot.circuit_breaker.reason": "daily loss", "mcbot.circuit_breaker.close_all": True},
        ),
        (
            facts.RegimeChanged(symbol="BTC/USDT", previous="calm", current="storm", confidence=0.9),
            "mcbot.regime.changed", "INFO", "BTC/USDT regime calm → storm",
            {
                "trading.instrument.symbol": "BTC/USDT", "mcbot.regime.previous": "calm",
                "mcbot.regime.current": "storm", "mcbot.regime.confidence": 0.9,
            },
        ),
        (
            facts.ErrorOccurred(component="Exchange", error_type="NetworkError", message=f"with {SECRET}"),
            "mcbot.error", "ERROR", f"Exchange: NetworkError: with {REDACTED}",
            {"mcbot.component": "Exchange", "error.type": "NetworkError"},
        ),
        (
            facts.MaintenanceChanged(reason="deploy", until=1.5), "mcbot.maintenance", "INFO",
            "maintenance began: deploy",
            {"mcbot.maintenance.reason": "deploy", "mcbot.maintenance.until": 1.5},
        ),
    ],
)  # fmt: skip
def test_what_the_bot_says_of_itself(
    bot: Bot, fact: Fact, name: str, severity: str, body: str, attributes: dict[str, object]
) -> None:
    bot.tell(fact)
    (record,) = bot.records
    assert (record.event_name, record.severity_text, record.body) == (name, severity, body)
    assert dict(record.attributes) == attributes


def test_facts_without_news_write_nothing(bot: Bot) -> None:
    bot.tell(facts.Heartbeat(), facts.BarReceived(symbol="BTC/USDT", timeframe="1m"), facts.OrderAcknowledged(**ID))
    assert bot.records == []


def test_any_event_can_be_written() -> None:
    bot = Bot(common=lambda: {semconv.CORRELATION_ID: "chain-7"})
    try:
        raise ValueError(f"bad {SECRET}")
    except ValueError as error:
        bot.events.emit(
            semconv.BotEvent.LOOP_STALLED, "the loop hangs", severity="CRITICAL", exception=error,
            **{"mcbot.frame": "bot.py:7", "none": None, "api_key": "x", "several": ["a", "b"]},
        )  # fmt: skip
    (record,) = bot.records
    assert record.event_name == "mcbot.event_loop.stalled"
    assert type(record.event_name) is str
    assert (record.severity_text, record.severity_number.value) == ("FATAL", 21)
    attributes = dict(record.attributes)
    assert "ValueError" in attributes.pop("exception.stacktrace")
    assert attributes == {
        "exception.type": "ValueError",
        "exception.message": f"bad {REDACTED}",
        "mcbot.frame": "bot.py:7",
        "api_key": REDACTED,
        "several": ("a", "b"),
        "trading.correlation.id": "chain-7",
    }


def test_a_severity_that_is_none_is_counted_and_does_not_raise(bot: Bot) -> None:
    Guard.forget()
    bot.events.emit("x", "y", severity="LOUD")
    assert Guard.failures.pop("events") == 1
    assert bot.records == []
