"""A blocking call on the event loop, seen from outside while it hangs."""

from __future__ import annotations

import signal
import urllib.request

from conftest import Bots
from receiver import wait_for

from otel_mcbot import semconv


def lag(port: str) -> float | None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith("mcbot_event_loop_lag_seconds "):
                return float(line.split()[1])
    return None


def test_a_hung_loop_is_seen_and_named_while_it_hangs(bots: Bots, receiver) -> None:  # type: ignore[no-untyped-def]
    bot = bots("hanger.py", OTEL_EXPORTER_PROMETHEUS_PORT="0")
    _, port, _ = bot.wait_lines(3)
    seen: list[float] = []

    def grown() -> bool:
        value = lag(port)
        if value is not None and (not seen or value > seen[-1]):
            seen.append(value)
        return bool(seen) and seen[-1] > 2.5

    wait_for(grown)
    assert len([value for value in seen if value > 0.5]) >= 5, "the gauge grows, it does not jump"

    def stalls() -> list[dict[str, object]]:
        return [log for log in receiver.logs() if log["event_name"] == semconv.BotEvent.LOOP_STALLED.value]

    wait_for(lambda: bool(stalls()))
    (first, *_) = stalls()
    assert "hanger.py" in str(first["attributes"])
    assert "compute_features" in str(first["attributes"]), "the frame is named"
    bot.process.send_signal(signal.SIGUSR1)
    assert bot.wait() == 0
    assert len(stalls()) == 2, "and when it is over"
