"""A forked child: silent until it calls ``configure()``, never stuck, and the parent neither doubles nor loses."""

from __future__ import annotations

from conftest import Arrived, Bots
from receiver import Receiver


def parent_orders(lines: list[str]) -> set[str]:
    return {line for line in lines if line.startswith("parent")}


def test_children_say_nothing_and_the_parent_goes_on(bots: Bots, receiver: Receiver) -> None:
    bot = bots("forker.py", "--children", "20")
    assert bot.wait(150) == 0, bot.errors
    assert [line for line in bot.lines if line.startswith("child")] == ["child 0"] * 20
    arrived = Arrived(receiver)
    orders = parent_orders(bot.lines)
    assert len(orders) >= 60
    filled = arrived.orders("trading.order.filled")
    assert len(filled) == len(set(filled))
    assert set(filled) == orders == set(arrived.filled_spans())
    assert arrived.last("mcbot.fills") == len(orders)
    assert {point["resource"]["service.instance.id"] for point in arrived.points} == {"alpha"}
    assert all(span["name"] != "child" for span in arrived.spans)
    for word in ("done", "also"):
        said = [log["body"] for log in arrived.logs if str(log["body"]).startswith(word)]
        assert sorted(said) == sorted(f"{word} {order}" for order in orders)


def test_a_child_that_configures_speaks_under_a_name_of_its_own(bots: Bots, receiver: Receiver) -> None:
    bot = bots("forker.py", "--children", "3", "--configure")
    assert bot.wait(150) == 0, bot.errors
    assert [line for line in bot.lines if line.startswith("child")] == ["child 0"] * 3, bot.errors
    arrived = Arrived(receiver)
    by_name: dict[str, set[str]] = {"alpha": set(), "alpha-2": set()}
    for log in arrived.logs:
        if log["event_name"] == "trading.order.filled":
            by_name[log["resource"]["service.instance.id"]].add(log["attributes"]["trading.order.client_id"])
    assert by_name == {"alpha": parent_orders(bot.lines), "alpha-2": {"own-btc-0", "own-btc-1", "own-btc-2"}}
    assert arrived.last("mcbot.fills", "alpha") == len(by_name["alpha"])
    assert arrived.last("mcbot.fills", "alpha-2") == 1
