"""How a process ends, and what is out by then: real bots, real signals, a real receiver."""

from __future__ import annotations

import signal
import time

import pytest
from conftest import Arrived, Bots
from receiver import BlackHole, Receiver, free_port, wait_for

SOON = 8.0
"""Seconds in which a process is gone: less than 5 s are promised, and a try that nobody answers would go on for 10."""


def everything_is_out(bot_orders: set[str], arrived: Arrived) -> None:
    """The last fill's span, event and counter value, and nothing twice."""
    filled = arrived.orders("trading.order.filled")
    assert bot_orders
    assert len(filled) == len(set(filled))
    assert bot_orders <= set(filled)
    assert len(filled) - len(bot_orders) <= 1, "at most the order that was in hand"
    assert set(filled) == set(arrived.filled_spans())
    assert arrived.last("mcbot.fills") == len(filled)
    done = {log["body"].removeprefix("done ") for log in arrived.logs if str(log["body"]).startswith("done ")}
    assert bot_orders <= done


@pytest.mark.parametrize("loop", ["plain", "busy", "asyncio"])
def test_sigterm_that_nobody_handles(loop: str, bots: Bots, receiver: Receiver) -> None:
    bot = bots("trader.py", "--loop", loop)
    bot.wait_lines(50)
    assert bot.stop() < SOON
    assert bot.process.returncode == -signal.SIGTERM
    assert bot.errors.count("Traceback") == 0
    arrived = Arrived(receiver)
    everything_is_out(bot.orders, arrived)
    assert arrived.event("mcbot.bot.stopped")["attributes"]["mcbot.stop.reason"] == "SIGTERM"
    assert arrived.last("mcbot.expected_up") == 0


def test_sigterm_where_the_main_thread_never_leaves_code_that_may_lock(bots: Bots, receiver: Receiver) -> None:
    """After half a second the flush goes on beside it: all that was told by then is out."""
    bot = bots("trader.py", "--loop", "wrapped")
    seen = set(bot.wait_lines(50)[1:])
    assert 0.5 < bot.stop() < SOON
    assert bot.process.returncode == -signal.SIGTERM
    arrived = Arrived(receiver)
    assert seen <= set(arrived.orders("trading.order.filled"))
    assert arrived.last("mcbot.fills") >= len(seen)
    assert arrived.event("mcbot.bot.stopped")["attributes"]["mcbot.stop.reason"] == "SIGTERM"


def test_sigterm_while_another_thread_trades_on(bots: Bots, receiver: Receiver) -> None:
    """Only the main thread can be held: what the others do until death, about 10 ms later, is nobody's."""
    bot = bots("trader.py", "--loop", "thread")
    seen = set(bot.wait_lines(50)[1:])
    assert bot.stop() < SOON
    assert bot.process.returncode == -signal.SIGTERM
    arrived = Arrived(receiver)
    assert seen <= set(arrived.orders("trading.order.filled"))
    assert seen <= set(arrived.filled_spans())
    assert arrived.last("mcbot.fills") >= len(seen)


@pytest.mark.parametrize(
    ("loop", "handler", "reason"),
    [
        ("plain", "before", "SIGTERM"),
        ("plain", "after", "exit"),
        ("asyncio", "loop", "exit"),
        ("asyncio", "before", "SIGTERM"),
    ],
)
def test_sigterm_that_the_bot_handles(loop: str, handler: str, reason: str, bots: Bots, receiver: Receiver) -> None:
    bot = bots("trader.py", "--loop", loop, "--handler", handler)
    bot.wait_lines(50)
    assert bot.stop() < SOON
    assert bot.process.returncode == 0
    arrived = Arrived(receiver)
    everything_is_out(bot.orders, arrived)
    assert arrived.event("mcbot.bot.stopped")["attributes"]["mcbot.stop.reason"] == reason
    assert arrived.last("mcbot.expected_up") == 0


@pytest.mark.parametrize("receiving", ["present", "absent", "black hole", "no connection"])
@pytest.mark.parametrize("handler", ["none", "before"])
def test_sigterm_is_obeyed_whoever_receives(
    receiving: str, handler: str, bots: Bots, request: pytest.FixtureRequest
) -> None:
    match receiving:
        case "present":
            request.getfixturevalue("receiver")
        case "absent":
            bots.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{free_port()}"
        case _:
            hole = BlackHole(accepts=receiving == "black hole")
            request.addfinalizer(lambda: hole.__exit__())
            bots.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = hole.endpoint
    bot = bots("trader.py", "--loop", "asyncio", "--handler", handler)
    bot.wait_lines(50)
    assert bot.stop() < SOON
    assert bot.process.returncode == (0 if handler == "before" else -signal.SIGTERM)


def test_many_signals_at_once_are_one(bots: Bots, receiver: Receiver) -> None:
    bot = bots("trader.py", "--loop", "busy")
    bot.wait_lines(20)
    for _ in range(5):
        bot.process.send_signal(signal.SIGTERM)
    bot.wait()
    assert bot.process.returncode == -signal.SIGTERM
    everything_is_out(bot.orders, Arrived(receiver))


def test_sigkill_leaves_all_but_the_last_seconds(bots: Bots, receiver: Receiver) -> None:
    """One or two of them where the machine has time; with the SDK's own delay it would be five."""
    bot = bots("trader.py", OTEL_METRIC_EXPORT_INTERVAL="500")
    old = set(bot.wait_lines(100)[1:])
    told = time.monotonic()
    bot.wait_lines(200)
    wait_for(lambda: bool(bot.wait_lines(len(bot.lines) + 1)) and time.monotonic() - told > 4.0)
    bot.stop(signal.SIGKILL)
    arrived = Arrived(receiver)
    assert old <= set(arrived.orders("trading.order.filled"))
    assert old <= set(arrived.filled_spans())
    assert arrived.last("mcbot.fills") >= len(old)
    assert arrived.last("mcbot.expected_up") == 1


def test_a_crash_is_told_with_its_reason_and_the_bot_counts_as_missing(bots: Bots, receiver: Receiver) -> None:
    bot = bots("trader.py", "--orders", "3", "--end", "crash")
    assert bot.wait() == 1
    assert bot.errors.rstrip().endswith("RuntimeError: the strategy fell over its own feet")
    arrived = Arrived(receiver)
    stopped = arrived.event("mcbot.bot.stopped")
    assert stopped["attributes"]["mcbot.stop.reason"] == "crash"
    assert stopped["attributes"]["exception.type"] == "RuntimeError"
    assert "trader.py" in stopped["attributes"]["exception.stacktrace"]
    assert stopped["severity_text"] == "ERROR"
    assert arrived.last("mcbot.expected_up") == 1
    assert arrived.last("mcbot.errors", component="LiveRunner", error_type="RuntimeError") == 1
    everything_is_out(bot.orders, arrived)


def test_a_thread_that_crashed_is_no_orderly_stop(bots: Bots, receiver: Receiver) -> None:
    bot = bots("trader.py", "--orders", "3", "--end", "thread-crash")
    assert bot.wait() == 0
    assert "ZeroDivisionError" in bot.errors
    arrived = Arrived(receiver)
    assert arrived.event("mcbot.bot.stopped")["attributes"]["exception.type"] == "ZeroDivisionError"
    assert arrived.last("mcbot.errors", component="Thread") == 1
    assert arrived.last("mcbot.expected_up") == 1


@pytest.mark.parametrize("end", ["exit", "return"])
def test_a_script_that_ends_was_meant_to(end: str, bots: Bots, receiver: Receiver) -> None:
    bot = bots("trader.py", "--orders", "3", "--end", end)
    assert bot.wait() == 0
    arrived = Arrived(receiver)
    assert arrived.event("mcbot.bot.stopped")["attributes"]["mcbot.stop.reason"] == "exit"
    assert arrived.last("mcbot.expected_up") == 0
    everything_is_out(bot.orders, arrived)


@pytest.mark.parametrize("loop", ["plain", "asyncio"])
def test_ctrl_c(loop: str, bots: Bots, receiver: Receiver) -> None:
    bot = bots("trader.py", "--loop", loop)
    bot.wait_lines(20)
    assert bot.stop(signal.SIGINT) < SOON
    assert bot.process.returncode in (-signal.SIGINT, 130, 1)
    assert "KeyboardInterrupt" in bot.errors
    arrived = Arrived(receiver)
    assert arrived.event("mcbot.bot.stopped")["attributes"]["mcbot.stop.reason"] == "SIGINT"
    assert arrived.last("mcbot.expected_up") == 0
    assert bot.orders <= set(arrived.orders("trading.order.filled"))


def test_a_second_process_gets_a_name_of_its_own(bots: Bots, receiver: Receiver) -> None:
    first = bots("trader.py")
    first.wait_lines(10)
    second = bots("trader.py", "--orders", "5", "--end", "return")
    second.wait()
    assert (first.lines[0], second.lines[0]) == ("alpha", "alpha-2")
    assert "another live process is 'alpha'" in second.errors
    first.stop(signal.SIGKILL)
    third = bots("trader.py", "--orders", "5", "--end", "return")
    third.wait()
    assert third.lines[0] == "alpha"
    assert Arrived(receiver).last("mcbot.fills", "alpha-2") == 5


def test_disabled_it_does_nothing(bots: Bots, receiver: Receiver) -> None:
    bot = bots("trader.py", "--orders", "5", "--end", "return", OTEL_SDK_DISABLED="true")
    assert bot.wait() == 0
    assert len(bot.orders) == 5
    assert receiver.requests() == []
    assert bot.errors == "".join(f"done {order}\n" for order in bot.lines[1:])


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({"MCBOT_MODE": "lvie"}, "MCBOT_MODE='lvie': allowed live, paper, shadow, backtest"),
        ({"OTEL_METRIC_EXPORT_INTERVAL": "soon"}, "OTEL_METRIC_EXPORT_INTERVAL='soon': allowed milliseconds; "),
    ],
)
def test_a_bad_setting_is_one_line_and_status_2(environ: dict[str, str], line: str, bots: Bots) -> None:
    bot = bots("trader.py", **environ)
    assert bot.wait() == 2
    assert bot.errors.startswith(line)
    assert bot.errors.count("\n") == 1
