"""One line of the bot's is one record in its trace, whatever the host does with its loggers."""

from __future__ import annotations

import contextvars
import copy
import decimal
import enum
import io
import logging
import logging.config
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loguru import logger
from opentelemetry import context as otel_context
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider

from otel_mcbot import semconv
from otel_mcbot.guard import Guard
from otel_mcbot.logs import LogBridge, install_logs
from otel_mcbot.logs.emitter import plain
from otel_mcbot.redaction import REDACTED, Redactor

tracer = TracerProvider().get_tracer("test")
SECRET = "hunter2-hunter2"


class Keeper:
    """A thread that runs what it is handed; ``hold()`` makes it wait, as a busy one would."""

    def __init__(self) -> None:
        self.queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.free = threading.Event()
        self.free.set()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def wake(self, function: Callable[[], None]) -> None:
        self.queue.put(function)

    def settle(self) -> None:
        """Wait until everything handed in so far is done."""
        done = threading.Event()
        self.queue.put(done.set)
        assert done.wait(30)

    def stop(self) -> None:
        self.free.set()
        self.queue.put(None)
        self.thread.join(30)

    def _run(self) -> None:
        while (function := self.queue.get()) is not None:
            self.free.wait(30)
            function()


def soon(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    return True


class Records(InMemoryLogRecordExporter):
    def all(self) -> list[ReadableLogRecord]:
        return list(self.get_finished_logs())

    def bodies(self) -> list[object]:
        return [item.log_record.body for item in self.all()]

    def one(self) -> Any:
        (item,) = self.all()
        return item.log_record


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    keeper = Keeper()
    yield keeper
    keeper.stop()


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    """The two loggers of the process as they were found."""
    root = logging.getLogger()
    level = root.level
    logger.remove()
    logger.configure(patcher=lambda record: None, extra={})
    Guard.forget()
    yield
    logger.remove()
    logger.configure(patcher=lambda record: None, extra={})
    for handler in root.handlers[:]:
        if not type(handler).__module__.startswith("_pytest"):
            root.removeHandler(handler)
    root.setLevel(level)
    assert not Guard.failures


@pytest.fixture
def install(records: Records, keeper: Keeper) -> Iterator[Callable[..., LogBridge]]:
    made: list[LogBridge] = []

    def install(**options: Any) -> LogBridge:
        provider = LoggerProvider(shutdown_on_exit=False)
        provider.add_log_record_processor(SimpleLogRecordProcessor(records))
        options = {"wake": keeper.wake, "level": "TRACE", **options}
        made.append(install_logs(provider, Redactor([SECRET]), **options))
        return made[-1]

    yield install
    for bridge in made:
        bridge.close()
        bridge.check()


class Intercept(logging.Handler):
    """logging → loguru, as loguru's manual has it."""

    def emit(self, record: logging.LogRecord) -> None:
        frame, depth = sys._getframe(6), 6
        while frame and frame.f_code.co_filename == logging.__file__:
            frame, depth = frame.f_back, depth + 1  # type: ignore[assignment]
        logger.opt(depth=depth, exception=record.exc_info).log(record.levelname, record.getMessage())


class Propagate(logging.Handler):
    """loguru → logging, as loguru's manual has it."""

    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger(record.name).handle(record)


# -- what a record says ------------------------------------------------------------------------------------------------


def test_a_line_of_loguru_is_a_record_in_the_span_of_now(install: Any, records: Records) -> None:
    install()
    with tracer.start_as_current_span("cycle") as span:
        logger.bind(symbol="BTC/USDT", nested={"a": {"b": 1}}).info("order {} filled", 7)
    record = records.one()
    assert record.body == "order 7 filled"
    assert record.trace_id == span.get_span_context().trace_id
    assert record.span_id == span.get_span_context().span_id
    assert record.severity_number is SeverityNumber.INFO
    assert record.severity_text == "INFO"
    assert abs(record.timestamp / 1e9 - time.time()) < 5
    attributes = dict(record.attributes)
    assert attributes.pop("code.line.number") > 1
    assert attributes == {
        "symbol": "BTC/USDT",
        "nested.a.b": 1,
        "code.file.path": __file__,
        "code.function.name": f"{__name__}.test_a_line_of_loguru_is_a_record_in_the_span_of_now",
        "mcbot.logger.name": __name__,
        "thread.name": threading.current_thread().name,
    }
    scope = records.all()[0].instrumentation_scope
    assert scope is not None
    assert (scope.name, scope.schema_url) == (semconv.SCOPE_NAME, semconv.SCHEMA_URL)


def test_a_line_of_logging_is_the_same(install: Any, records: Records) -> None:
    install()
    with tracer.start_as_current_span("cycle") as span:
        logging.getLogger("bot.oms").warning("order %s filled", 7, extra={"symbol": "BTC/USDT", "nested": {"a": 1}})
    record = records.one()
    assert record.body == "order 7 filled"
    assert record.trace_id == span.get_span_context().trace_id
    assert (record.severity_number, record.severity_text) == (SeverityNumber.WARN, "WARN")
    attributes = dict(record.attributes)
    assert attributes.pop("code.line.number") > 1
    assert attributes == {
        "symbol": "BTC/USDT",
        "nested.a": 1,
        "code.file.path": __file__,
        "code.function.name": "test_logs.test_a_line_of_logging_is_the_same",
        "mcbot.logger.name": "bot.oms",
        "thread.name": threading.current_thread().name,
    }


@pytest.mark.parametrize(
    ("level", "number"),
    [
        ("TRACE", 1), ("DEBUG", 5), (15, 6), ("INFO", 9), ("SUCCESS", 10), ("WARNING", 13), (35, 14), ("ERROR", 17),
        ("CRITICAL", 21), (99, 22),
    ],
)  # fmt: skip
def test_severities(install: Any, records: Records, level: str | int, number: int) -> None:
    install()
    logger.log(level, "x")
    assert records.one().severity_number.value == number


def test_lines_below_the_level_are_not_taken(install: Any, records: Records) -> None:
    logging.getLogger().setLevel(logging.DEBUG)
    install(level="INFO")
    logger.debug("a")
    logging.getLogger("bot").debug("b")
    logger.info("c")
    logging.getLogger("bot").info("d")
    assert records.bodies() == ["c", "d"]


def test_the_level_of_the_root_logger_is_left_alone(install: Any) -> None:
    before = logging.getLogger().level
    install()
    assert logging.getLogger().level == before


def test_sources_can_be_left_out(install: Any, records: Records) -> None:
    install(sources=("stdlib",))
    logger.warning("a")
    logging.getLogger("bot").warning("b")
    assert records.bodies() == ["b"]


@pytest.mark.parametrize("source", ["loguru", "logging"])
def test_an_exception_has_the_fields_of_opentelemetry(install: Any, records: Records, source: str) -> None:
    install()
    try:
        raise decimal.InvalidOperation("bad price")
    except decimal.InvalidOperation:
        if source == "loguru":
            logger.exception("broke")
        else:
            logging.getLogger("bot").exception("broke")
    record = records.one()
    assert record.body == "broke"
    assert record.attributes["exception.type"] == "decimal.InvalidOperation"
    assert record.attributes["exception.message"] == "bad price"
    stack = record.attributes["exception.stacktrace"]
    assert stack.startswith("Traceback (most recent call last):")
    assert "test_an_exception_has_the_fields" in stack
    assert stack.count("Traceback") == 1


def test_an_exception_that_is_none_is_no_exception(install: Any, records: Records) -> None:
    install()
    logger.exception("outside of an except")
    logging.getLogger("bot").error("x", exc_info=True)
    assert all("exception.type" not in item.log_record.attributes for item in records.all())
    assert len(records.bodies()) == 2


def test_a_stack_trace_is_bounded_and_keeps_both_ends(install: Any, records: Records) -> None:
    install()
    try:
        raise ValueError("x" * 100_000)
    except ValueError:
        logger.exception("b" * 100_000)
    record = records.one()
    assert len(record.body) < 33 * 1024
    assert len(record.attributes["exception.message"]) < 5 * 1024
    assert record.attributes["exception.stacktrace"].startswith("Traceback")
    assert len(record.attributes["exception.stacktrace"]) < 17 * 1024


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_an_exception_without_text_does_not_take_the_line_with_it(install: Any, records: Records) -> None:
    install()
    try:
        raise Unprintable
    except Unprintable:
        logger.exception("broke")
    assert records.one().body == "broke"
    assert records.one().attributes["exception.type"] == f"{__name__}.Unprintable"


def ours(record: logging.LogRecord) -> None:
    """Hand a record to our handler alone: pytest's own do not stand what this one must."""
    (handler,) = installed()
    handler.handle(record)


def installed() -> list[logging.Handler]:
    return [item for item in logging.getLogger().handlers if type(item).__module__.startswith("otel_mcbot")]


def test_an_exception_that_is_none_does_not_take_the_line_with_it(install: Any, records: Records) -> None:
    bridge = install()
    fields = {"name": "bot", "msg": "x", "levelno": 30, "levelname": "WARNING", "exc_info": ("not", "a", "class")}
    ours(logging.makeLogRecord(fields))
    assert records.bodies() == ["x"]
    bridge.check()
    assert Guard.failures.pop("logs") == 1


def test_arguments_that_do_not_fit_are_told_as_they_are(install: Any, records: Records) -> None:
    install()
    fields = {"name": "bot", "msg": "%d orders", "args": ("two",), "levelno": 30, "levelname": "WARNING"}
    record = logging.makeLogRecord(fields)
    ours(record)
    assert records.one().body == "%d orders ('two',)"


# -- values ------------------------------------------------------------------------------------------------------------


class Side(enum.StrEnum):
    BUY = "buy"


class Direction(enum.IntEnum):
    LONG = 1


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ("a", "a"), (True, True), (1, 1), (1.5, 1.5), (Side.BUY, "buy"), (Direction.LONG, "LONG"),
        (decimal.Decimal("0.10"), "0.10"), (2**70, str(2**70)), ([1, 2], (1, 2)), ([1, "a"], ("1", "a")),
        ([Side.BUY, "x"], ("buy", "x")), ([[1], [2]], ("[1]", "[2]")), (b"\xff", "\ufffd"), ("\ud800", "?"), ((), ()),
    ],
)  # fmt: skip
def test_values_become_what_opentelemetry_takes(value: object, result: object) -> None:
    made = plain(value)
    assert made == result
    assert type(made) is type(result)


class Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no text")

    __str__ = __repr__


def test_odd_extras_are_flat_bounded_and_encode(install: Any, records: Records) -> None:
    install()
    knot: dict[Any, Any] = {}
    knot["self"] = knot
    big = {f"k{number}": "v" * 10_000 for number in range(300)}
    logger.bind(odd=Odd(), none=None, knot=knot, surrogate="\ud800", huge=2**80, empty={}, **{"": 1, "\udc80": 2}).info(
        "a"
    )
    logger.bind(**big).info("\ud83d")
    small, bounded = (item.log_record.attributes for item in records.all())
    assert small["odd"] == "<Odd without text>"
    assert "none" not in small
    assert "" not in small
    assert small["surrogate"] == "?"
    assert "knot.self.self.self.self.self" in small
    assert sum(len(str(value)) for value in bounded.values()) < 40 * 1024
    encode_logs(records.all())  # one that does not encode would lose its whole batch


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.builds(Odd) | st.decimals(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4) | st.sets(st.text())
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(extra=st.dictionaries(st.text(max_size=10), json_like, max_size=5), message=st.text())
def test_no_extra_raises_or_loses_the_line(extra: dict[str, Any], message: str) -> None:
    records = Records()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(records))
    bridge = install_logs(provider, Redactor(), level="INFO")
    try:
        logger.patch(lambda record: record["extra"].update(extra)).opt(raw=True).info(message.replace("{", "("))
        row = logging.makeLogRecord({"msg": message, "levelno": 40, "levelname": "ERROR", "name": "bot"})
        row.__dict__.update({f"x_{key}": value for key, value in extra.items()})
        logging.getLogger().handle(row)
    finally:
        bridge.close()
    bridge.check()
    assert len(records.all()) == 2
    encode_logs(records.all())


# -- secrets -----------------------------------------------------------------------------------------------------------


def test_a_bot_that_leaks_on_purpose(install: Any, records: Records) -> None:
    install()
    try:
        try:
            raise KeyError(f"signature=abcdef0123 of {SECRET}")
        except KeyError as error:
            raise RuntimeError(f"POST /order?apiKey=vmPUZE6mv9SD {SECRET}") from error
    except RuntimeError:
        logger.bind(
            password="p4ss", note=f"it is {SECRET}", config={"api_key": "vmPUZE6mv9SD", "url": "https://u:p4ss@h"}
        ).exception(f"login with {SECRET}, Authorization: Bearer vmPUZE6mv9SD")
        logging.getLogger("bot").exception("again %s", SECRET, extra={"client_secret": "vmPUZE6mv9SD"}, stack_info=True)
    everything = repr([(item.log_record.body, dict(item.log_record.attributes)) for item in records.all()])
    assert everything.count(REDACTED) > 10
    for secret in (SECRET, "vmPUZE6mv9SD", "p4ss", "abcdef0123"):
        # the source lines that a stack trace quotes are this test's own and hold the literals
        leaked = [line for line in everything.split("\\n") if secret in line and f'{secret}"' not in line]
        assert not leaked, leaked


def test_variables_of_the_bot_are_not_in_a_stack_trace(install: Any, records: Records) -> None:
    install()
    local = "".join(["vm", "PU", "ZE"])
    try:
        raise ValueError(1 + len(local))
    except ValueError:
        logger.exception("x")
    assert local not in records.one().attributes["exception.stacktrace"]


# -- trace ids in the bot's own lines ----------------------------------------------------------------------------------


def test_the_bots_own_lines_carry_the_ids(install: Any, records: Records) -> None:
    install(common=lambda: {semconv.CORRELATION_ID: "chain-7"})
    own = io.StringIO()
    logger.add(own, format="{extra[trace_id]}|{extra[span_id]}|{extra[correlation_id]}|{message}")
    with tracer.start_as_current_span("cycle") as span:
        logger.info("in")
    ids = span.get_span_context()
    assert own.getvalue() == f"{ids.trace_id:032x}|{ids.span_id:016x}|chain-7|in\n"
    attributes = records.one().attributes
    assert attributes[semconv.CORRELATION_ID] == "chain-7"
    assert not {"trace_id", "span_id", "correlation_id"} & set(attributes)


def test_outside_of_a_trace_the_ids_are_empty_and_formats_hold(install: Any) -> None:
    install()
    own = io.StringIO()
    logger.add(own, format="{extra[trace_id]}|{extra[span_id]}|{extra[correlation_id]}|{message}", catch=False)
    logger.info("out")
    assert own.getvalue() == "|||out\n"


def test_what_the_bot_bound_wins(install: Any, records: Records) -> None:
    install()
    own = io.StringIO()
    logger.add(own, format="{extra[trace_id]} {message}")
    logger.bind(trace_id="mine", correlation_id="c-1").info("x")
    assert own.getvalue() == "mine x\n"
    assert records.one().attributes["trace_id"] == "mine"
    assert records.one().attributes[semconv.CORRELATION_ID] == "c-1"


def test_a_patcher_of_the_bot_is_not_replaced(install: Any, records: Records) -> None:
    logger.configure(patcher=lambda record: record["extra"].update(request="r-1"))
    bridge = install()
    own = io.StringIO()
    logger.add(own, format="{extra[request]} {message}")
    logger.info("x")
    assert own.getvalue() == "r-1 x\n"
    assert not bridge.loguru.ids_in_lines
    assert records.one().attributes["request"] == "r-1"


def test_a_patcher_of_the_bot_can_add_the_ids(install: Any) -> None:
    holder: dict[str, LogBridge] = {}

    def mine(record: Any) -> None:
        record["extra"]["request"] = "r-1"
        if holder:
            holder["bridge"].add_ids(record)

    logger.configure(patcher=mine)
    holder["bridge"] = install()
    own = io.StringIO()
    logger.add(own, format="{extra[request]} {extra[trace_id]}")
    with tracer.start_as_current_span("cycle") as span:
        logger.info("x")
    assert own.getvalue() == f"r-1 {span.get_span_context().trace_id:032x}\n"


def test_looking_for_a_patcher_shows_in_no_sink(install: Any) -> None:
    lines: list[str] = []
    logger.add(lines.append, level=0)
    install()
    assert "".join(lines) == ""


def test_a_patcher_that_replaces_ours_costs_no_trace(install: Any, records: Records) -> None:
    install()
    logger.configure(patcher=lambda record: record["extra"].clear())
    with tracer.start_as_current_span("cycle") as span:
        logger.info("x")
    assert records.one().trace_id == span.get_span_context().trace_id


def test_a_second_telemetry_after_the_first_writes_ids_again(install: Any) -> None:
    install().close()
    assert install().loguru.ids_in_lines


# -- hosts that take our sink away -------------------------------------------------------------------------------------


def test_a_removed_sink_comes_back(install: Any, records: Records, keeper: Keeper) -> None:
    install()
    logger.remove()
    keeper.settle()
    logger.info("x")
    assert records.bodies() == ["x"]


def test_a_line_right_after_remove_and_add_is_there_once(install: Any, records: Records, keeper: Keeper) -> None:
    install()
    keeper.free.clear()
    logger.remove()
    logger.add(io.StringIO())
    with tracer.start_as_current_span("cycle") as span:
        logger.bind(k="v").info("in the gap")
    assert records.bodies() == ["in the gap"]
    assert records.one().trace_id == span.get_span_context().trace_id
    assert records.one().attributes["k"] == "v"
    keeper.free.set()
    keeper.settle()
    logger.info("after")
    assert records.bodies() == ["in the gap", "after"]


def test_a_sink_that_comes_back_under_a_line_does_not_take_it_again(
    install: Any, records: Records, keeper: Keeper
) -> None:
    install()
    keeper.free.clear()
    logger.remove()
    logger.add(io.StringIO())

    def meanwhile(record: Any) -> None:  # after our patcher, before the sinks
        keeper.free.set()
        keeper.settle()

    logger.patch(meanwhile).info("x")
    assert records.bodies() == ["x"]
    logger.info("y")
    assert records.bodies() == ["x", "y"]


def test_a_line_while_the_sink_is_being_put_back_is_there_once(
    install: Any, records: Records, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge = install().loguru
    add = bridge._add
    monkeypatch.setattr(bridge, "_add", lambda: (logger.info("between"), add()))
    keeper.free.clear()
    logger.remove()
    logger.add(io.StringIO())
    keeper.free.set()
    keeper.settle()
    assert records.bodies() == ["between"]


def test_in_the_gap_the_level_holds(install: Any, records: Records, keeper: Keeper) -> None:
    install(level="INFO")
    keeper.free.clear()
    logger.remove()
    logger.add(io.StringIO(), level="TRACE")
    logger.debug("no")
    assert records.bodies() == []


def test_lines_of_many_threads_during_removals_are_there_once(install: Any, records: Records, keeper: Keeper) -> None:
    bridge = install().loguru
    logger.add(io.StringIO())  # with no sink at all, loguru drops a line before anybody sees it
    stop = threading.Event()
    counts = [0, 0, 0]

    def work(number: int) -> None:
        while not stop.is_set():
            logger.info("{}-{}", number, counts[number])
            counts[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(30):
        goal = sum(counts) + 30
        logger.remove(bridge._number)
        keeper.settle()
        assert soon(lambda goal=goal: sum(counts) >= goal)
    stop.set()
    for thread in threads:
        thread.join(30)
    bodies = records.bodies()
    assert len(bodies) == len(set(bodies))
    # a line that is between the patcher and the sinks while both change hands can be lost: one a removal and thread
    assert len(bodies) >= sum(counts) - 90


def test_removed_again_and_again(install: Any, records: Records, keeper: Keeper) -> None:
    install()
    for number in range(5):
        logger.remove()
        keeper.settle()
        logger.info("{}", number)
    assert records.bodies() == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("wake", [None, "raises"])
def test_without_a_keeper_a_thread_puts_the_sink_back(install: Any, records: Records, wake: str | None) -> None:
    def broken(function: Callable[[], None]) -> None:
        raise RuntimeError("the keeper is gone")

    install(wake=broken if wake else None)
    logger.remove()
    for thread in threading.enumerate():
        if thread.name == "otel-mcbot-loguru":
            thread.join(30)
    logger.info("x")
    assert records.bodies() == ["x"]


def test_a_keeper_that_forgot_is_made_up_for_by_the_check(install: Any, records: Records) -> None:
    bridge = install(wake=lambda function: None)
    logger.remove()
    bridge.check()
    bridge.check()
    logger.info("x")
    assert records.bodies() == ["x"]


def test_closed_means_closed(install: Any, records: Records, keeper: Keeper) -> None:
    bridge = install()
    bridge.close()
    bridge.close()
    logger.add(io.StringIO())
    logger.info("x")
    logging.getLogger("bot").warning("y")
    logger.remove()
    bridge.check()
    keeper.settle()
    logger.info("z")
    assert records.bodies() == []
    assert installed() == []
    assert "handlers=[]" in repr(logger)


def test_closed_while_the_sink_is_on_its_way_back(install: Any, records: Records, keeper: Keeper) -> None:
    bridge = install()
    keeper.free.clear()
    logger.remove()
    bridge.close()
    keeper.free.set()
    keeper.settle()
    logger.info("x")
    assert records.bodies() == []
    assert "handlers=[]" in repr(logger)


def test_muted_means_silent_and_untouched(install: Any, records: Records) -> None:
    bridge = install()
    bridge.mute()
    logger.info("x")
    logging.getLogger("bot").warning("y")
    logger.remove()
    bridge.check()
    logger.info("z")
    assert records.bodies() == []


def test_a_logger_that_goes_to_another_process_can_be_pickled(install: Any, records: Records) -> None:
    install()
    there = pickle.loads(pickle.dumps(logger))
    there.info("x")  # in another process it would have no telemetry to go to
    assert records.bodies() == []


def test_a_copied_logger_is_taken_too_and_its_removals_are_its_own(
    install: Any, records: Records, keeper: Keeper
) -> None:
    install()
    other = copy.deepcopy(logger)
    other.info("a")
    other.remove()
    keeper.settle()
    logger.info("b")
    assert records.bodies() == ["a", "b"]


def test_the_handler_of_logging_survives_a_forced_basic_config(install: Any, records: Records, keeper: Keeper) -> None:
    install()
    logging.basicConfig(force=True, stream=io.StringIO())
    keeper.settle()
    logging.getLogger("bot").warning("x")
    assert records.bodies() == ["x"]


def test_the_handler_of_logging_survives_a_dict_config(install: Any, records: Records, keeper: Keeper) -> None:
    install()
    logging.config.dictConfig(
        {"version": 1, "disable_existing_loggers": False, "root": {"level": "INFO", "handlers": []}}
    )
    keeper.settle()
    logging.getLogger("bot").info("x")
    assert records.bodies() == ["x"]


def test_the_handler_of_logging_comes_back_at_the_next_check(install: Any, records: Records) -> None:
    bridge = install(wake=None)
    logging.getLogger().handlers.clear()
    bridge.check()
    bridge.check()
    logging.getLogger("bot").warning("x")
    assert records.bodies() == ["x"]


# -- one logger led into the other -------------------------------------------------------------------------------------


@pytest.mark.parametrize("ours_first", [True, False])
def test_logging_led_into_loguru_arrives_once(install: Any, records: Records, ours_first: bool) -> None:
    bridge = install()
    root = logging.getLogger()
    root.addHandler(Intercept())
    if not ours_first:
        root.handlers.reverse()
    bridge.check()
    for number in range(3):
        logging.getLogger("bot").warning("same line")
        logging.getLogger("bot").warning("line %d", number)
    assert records.bodies() == ["same line", "line 0", "same line", "line 1", "same line", "line 2"]


@pytest.mark.parametrize("ours_first", [True, False])
@pytest.mark.parametrize("form", ["{message}", "{time} | {level} | {message}"])
def test_loguru_led_into_logging_arrives_once(
    install: Any, records: Records, keeper: Keeper, ours_first: bool, form: str
) -> None:
    logging.getLogger().setLevel(logging.DEBUG)
    install()
    if not ours_first:  # ours is removed, and comes back behind the other
        keeper.free.clear()
        logger.remove()
    logger.add(Propagate(), format=form)
    keeper.free.set()
    keeper.settle()
    for number in range(3):
        logger.info("same line")
        logger.bind(k=1).info("line {}", number)
    bodies = [str(body) for body in records.bodies()]
    assert len(bodies) == 6
    assert [body.split(" | ")[-1].strip() for body in bodies] == [
        "same line",
        "line 0",
        "same line",
        "line 1",
        "same line",
        "line 2",
    ]
    assert records.all()[-1].log_record.attributes["k"] == 1  # flat from either side


def test_lines_that_only_look_alike_are_two(install: Any, records: Records) -> None:
    install()
    logger.warning("order")
    logging.getLogger("bot").warning("order placed")
    logger.warning("again")
    logger.warning("again")
    logging.getLogger("bot").error("again")
    assert records.bodies() == ["order", "order placed", "again", "again", "again"]


def test_the_same_line_once_led_over_and_once_not_is_two(install: Any, records: Records) -> None:
    install()
    logging.getLogger().addHandler(Intercept())
    logging.getLogger("bot").warning("x")
    logger.warning("x")
    assert records.bodies() == ["x", "x"]


def test_the_same_line_of_two_threads_is_two(install: Any, records: Records) -> None:
    install()
    logger.warning("x")
    thread = threading.Thread(target=logging.getLogger("bot").warning, args=("x",))
    thread.start()
    thread.join(30)
    assert records.bodies() == ["x", "x"]


# -- no loop, no storm -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["opentelemetry.sdk.trace.export", "urllib3.connectionpool", "requests", "otel_mcbot.export.sender"]
)
def test_lines_about_exporting_are_not_exported(install: Any, records: Records, name: str) -> None:
    install()
    logging.getLogger().addHandler(Intercept())
    logging.getLogger(name).error("export failed")
    assert records.bodies() == []


def test_a_module_that_is_only_named_alike_is_exported(install: Any, records: Records) -> None:
    install()
    logging.getLogger("requests_of_mine").warning("x")
    logging.getLogger("otel_mcbot").warning("y")
    assert records.bodies() == ["x", "y"]


@pytest.mark.parametrize(
    "key", [otel_context._SUPPRESS_INSTRUMENTATION_KEY, "suppress_instrumentation"], ids=["sdk", "user"]
)
def test_nothing_is_taken_where_instrumentation_is_suppressed(install: Any, records: Records, key: str) -> None:
    install()
    token = otel_context.attach(otel_context.set_value(key, True))
    logger.info("x")
    logging.getLogger("bot").warning("x")
    otel_context.detach(token)
    assert records.bodies() == []


def test_a_value_that_logs_when_it_is_read_does_not_recurse(install: Any, records: Records) -> None:
    install()

    class Chatty:
        def __str__(self) -> str:
            logger.info("from inside")
            logging.getLogger("bot").warning("from inside")
            return "chatty"

    logger.bind(value=Chatty()).info("x")
    assert records.bodies() == ["x"]
    assert records.one().attributes["value"] == "chatty"


class Broken(SimpleLogRecordProcessor):
    def on_emit(self, log_record: Any) -> None:
        raise RuntimeError("the processor broke")


def test_a_broken_pipeline_is_told_once_and_never_by_the_sink(caplog: pytest.LogCaptureFixture) -> None:
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(Broken(InMemoryLogRecordExporter()))
    bridge = install_logs(provider, Redactor(), level="INFO")
    logging.getLogger().addHandler(Intercept())
    for _ in range(3):
        logger.info("x")
        logging.getLogger("bot").warning("y")
    assert "failed" not in caplog.text
    bridge.close()
    bridge.check()
    bridge.check()
    assert caplog.text.count("the processor broke") >= 1
    assert sum("logs failed" in record.message for record in caplog.records) == 1
    assert Guard.failures["logs"] > 1
    Guard.forget()


def test_a_record_spoiled_by_a_patcher_is_counted(
    install: Any, records: Records, capsys: pytest.CaptureFixture[str]
) -> None:
    bridge = install()
    logger.patch(lambda record: record.pop("name")).info("x")  # type: ignore[misc]
    logger.info("y")
    assert records.bodies() == ["y"]
    bridge.check()
    assert Guard.failures.pop("logs") == 1
    assert "Logging error" not in capsys.readouterr().err


def test_a_line_in_a_task_has_the_context_of_the_task(install: Any, records: Records) -> None:
    install()
    with tracer.start_as_current_span("outer") as outer:
        inner = contextvars.copy_context()
    inner.run(logger.info, "in the copy")
    assert records.one().trace_id == outer.get_span_context().trace_id


AT_EXIT = """
import atexit, threading
def last():
    for thread in threading.enumerate():
        if thread.name == "otel-mcbot-loguru":
            thread.join()
    logger.info("d: loguru has no sinks any more")
atexit.register(last)
from loguru import logger
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import ConsoleLogRecordExporter, SimpleLogRecordProcessor
from otel_mcbot.logs import install_logs
from otel_mcbot.redaction import Redactor
logger.remove()
provider = LoggerProvider(shutdown_on_exit=False)
provider.add_log_record_processor(SimpleLogRecordProcessor(ConsoleLogRecordExporter(
    formatter=lambda item: item.log_record.body + "\\n")))
atexit.register(lambda: logger.info("c"))
install_logs(provider, Redactor())
atexit.register(lambda: logger.info("b"))
logger.info("a")
"""


def test_lines_at_exit_are_not_lost_and_the_sink_stays_away() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", AT_EXIT], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["a", "b", "c"], "")
