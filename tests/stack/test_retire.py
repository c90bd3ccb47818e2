"""``otel-mcbot retire`` before the real servers: the series of a bot that was killed is 0, a living one is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from conftest import Start
from stack import PORTS, ROOT, Stack, wait_for

BOT = 'job="mcbot/steady", instance="killed-for-good"'


@pytest.mark.timeout(300)
def test_a_bot_that_was_killed_for_good(stack: Stack, start: Start) -> None:
    def retire(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "otel_mcbot.cli", "retire", *arguments],
            env={
                **{key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "MCBOT_"))},
                **{variable: stack.url[name].rpartition(":")[2] for variable, name in PORTS.items()},
                "PYTHONPATH": str(ROOT),
            },
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    bot = start("steady", "killed-for-good", MCBOT_ENVIRONMENT="lab")
    wait_for(lambda: stack.value(f"mcbot_expected_up{{{BOT}}}") == 1, 60, "a first point")
    alive = retire("killed-for-good")
    assert alive.returncode == 2
    assert "mcbot/steady lives" in alive.stderr
    assert stack.value(f"mcbot_expected_up{{{BOT}}}") == 1

    bot.kill()
    bot.wait()
    before = stack.prometheus(f"last_over_time(mcbot_expected_up{{{BOT}}}[1h])")
    assert [each["value"][1] for each in before] == ["1"], "a killed bot says nothing: it is missed"
    killed = time.monotonic()
    done = wait_for(lambda: (tried := retire("killed-for-good")).returncode != 2 and tried, 120, "that it is dead")
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - killed > 30, "not while it could still be alive"
    after = stack.prometheus(f"last_over_time(mcbot_expected_up{{{BOT}}}[1h])")
    assert [(each["metric"], each["value"][1]) for each in after] == [(before[0]["metric"], "0")], "the same series"

    again = retire("killed-for-good")
    assert again.returncode == 0
    assert again.stdout == "mcbot/steady killed-for-good is not expected to run: there is nothing to do\n"
    unknown = retire("never-was")
    assert unknown.returncode == 2
    assert "known are" in unknown.stderr
    assert "killed-for-good (mcbot/steady)" in unknown.stderr
