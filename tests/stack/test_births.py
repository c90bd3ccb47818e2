"""A counter that is born during the run: the events it was born with are counted."""

from __future__ import annotations

import time

import pytest
from conftest import Start
from stack import Stack, wait_for

BIRTHS = {
    "synchronous": 'mcbot_fills_total{instance="born", symbol="NEW/USDT", side="BUY"}',
    "a histogram's": 'mcbot_order_latency_seconds_count{instance="born", symbol="NEW/USDT"}',
    "observable": 'mcbot_eventbus_events_published_total{instance="born"}',
}


@pytest.mark.timeout(120)
def test_increase_over_the_first_minute_is_the_truth(stack: Stack, start: Start) -> None:
    bot = start("born", "born", OTEL_METRIC_EXPORT_INTERVAL="1000")
    assert bot.stdin
    assert bot.stdout
    assert bot.stdout.readline() == "ready\n"
    wait_for(lambda: stack.value('mcbot_expected_up{instance="born"}') == 1, 30)
    for series in BIRTHS.values():
        assert not stack.samples(f"{series}[5m]"), "not born yet"
    bot.stdin.write("7\n")
    bot.stdin.flush()
    assert bot.stdout.readline() == "done\n"
    born = time.time()
    for kind, series in BIRTHS.items():
        samples = wait_for(
            lambda series=series: (s := stack.samples(f"{series}[5m]")) and s[-1][0] > born + 3 and s, 30, series
        )
        # asked for the time of a sample, so that nothing is extrapolated: the first minute is what was measured in it
        increase = stack.value(f"increase({series}[1m])", time=samples[-1][0])
        print(f"{kind}: samples {[value for _, value in samples]}, increase {increase}")
        assert increase == pytest.approx(7, abs=1e-9)
    bot.stdin.close()
    assert bot.wait(20) == 0
