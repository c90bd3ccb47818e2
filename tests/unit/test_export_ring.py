"""The ring: bounded, oldest first, every loss told."""

from __future__ import annotations

import pytest

from otel_mcbot.export.ring import OVERHEAD, Payload, Ring


def payload(name: str, items: int = 1, size: int = 100) -> Payload:
    return Payload(name.encode().ljust(size), items)


def names(ring: Ring) -> list[str]:
    return [ring.take().body.decode().strip() for _ in range(len(ring))]


def room_for(count: int) -> Ring:
    return Ring(count * (100 + OVERHEAD))


def test_gives_back_in_order() -> None:
    ring = room_for(3)
    for name in "abc":
        assert ring.put(payload(name)) == 0
    assert names(ring) == ["a", "b", "c"]
    assert ring.bytes == 0


def test_full_ring_loses_the_oldest_and_says_how_many_items() -> None:
    ring = room_for(2)
    ring.put(payload("a", items=5))
    ring.put(payload("b", items=7))
    assert ring.put(payload("c", items=1)) == 5
    assert ring.items == 8
    assert names(ring) == ["b", "c"]


def test_a_large_payload_costs_as_many_old_ones_as_it_needs() -> None:
    ring = room_for(3)
    for name in "abc":
        ring.put(payload(name))
    assert ring.put(payload("d", size=100 + OVERHEAD + 100)) == 2
    assert names(ring) == ["c", "d"]


def test_a_payload_larger_than_the_ring_is_lost_alone() -> None:
    ring = room_for(2)
    ring.put(payload("a"))
    assert ring.put(payload("huge", items=9, size=10_000)) == 9
    assert names(ring) == ["a"]


def test_many_empty_payloads_are_bounded_too() -> None:
    ring = Ring(10 * OVERHEAD)
    lost = sum(ring.put(Payload(b"", 1)) for _ in range(100))
    assert len(ring) == 10
    assert lost == 90


def test_what_could_not_be_sent_is_first_again() -> None:
    ring = room_for(3)
    for name in "abc":
        ring.put(payload(name))
    assert ring.put_back(ring.take()) == 0
    assert names(ring) == ["a", "b", "c"]


def test_put_back_into_a_ring_that_filled_meanwhile_loses_itself() -> None:
    ring = room_for(2)
    ring.put(payload("a", items=3))
    flying = ring.take()
    ring.put(payload("b"))
    ring.put(payload("c"))
    assert ring.put_back(flying) == 3
    assert names(ring) == ["b", "c"]


def test_what_is_on_disk_goes_first_and_is_no_loss() -> None:
    ring = room_for(3)
    ring.put(payload("a"))
    ring.keep(ring.take_waiting())
    ring.put(payload("b"))
    ring.put(payload("c"))
    assert (ring.waiting, ring.items, len(ring)) == (2, 2, 3)
    assert ring.put(payload("d")) == 0  # a
    assert ring.put(payload("e")) == 1  # b
    assert names(ring) == ["c", "d", "e"]


def test_order_holds_across_the_disk() -> None:
    ring = room_for(4)
    for name in "abcd":
        ring.put(payload(name))
    ring.keep(ring.take_waiting())
    ring.keep(ring.take_waiting())
    assert ring.put_back(ring.take()) == 0
    assert names(ring) == ["a", "b", "c", "d"]


def test_clear_tells_what_is_nowhere_else() -> None:
    ring = room_for(4)
    ring.put(payload("a", items=2))
    ring.keep(ring.take_waiting())
    ring.put(payload("b", items=3))
    assert ring.clear() == 3
    assert (len(ring), ring.bytes) == (0, 0)


def test_empty_ring_has_nothing_to_take() -> None:
    with pytest.raises(IndexError):
        room_for(1).take()
