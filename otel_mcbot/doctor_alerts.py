"""The doctor's look at where alerts go. The addresses are secrets: none of them is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from otel_mcbot.doctor_case import FAIL, OK, WARN, Case, Line

DISCORD: Final = "MCBOT_DISCORD_URL"
CHANNELS: Final = (DISCORD, "MCBOT_DISCORD_HEARTBEAT_URL", "MCBOT_DISCORD_CRITICAL_URL")
MENTION: Final = "MCBOT_DISCORD_MENTION"
WATCHDOG: Final = "MCBOT_WATCHDOG_URL"

_WEBHOOK: Final = re.compile(
    r"https://(?:(?:ptb|canary)\.)?discord(?:app)?\.com/api(?:/v\d+)?/webhooks/\d+/[\w-]+(?:\?thread_id=\d+)?"
    r"|http://[\w.-]+(?::\d+)?/api/webhooks/preview/\w+"
)
_MENTIONS: Final = re.compile(r"(?:<@!?\d+>|<@&\d+>|@here|@everyone)(?: +(?:<@!?\d+>|<@&\d+>|@here|@everyone))*")
_ROOM: Final = 40
"""Characters that messages leave for the mention."""


def wrong_addresses(case: Case) -> Iterator[Line]:
    """What Grafana could not use: it would start, and nobody would be told."""
    for variable in CHANNELS:
        url = case.variables.get(variable)
        if url is not None and not _WEBHOOK.fullmatch(url):
            fix = "https://discord.com/api/webhooks/ID/TOKEN, from the channel's settings, Integrations, Webhooks"
            yield Line(
                variable, FAIL, f"{'blank' if not url else 'no address of a Discord webhook'}: alerts get lost", fix
            )
    url = case.variables.get(WATCHDOG)
    if url is not None and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
        yield Line(
            WATCHDOG, FAIL, "no URL: nobody outside hears the watchdog", "as https://hc-ping.com/UUID, or unset it"
        )
    mention = case.variables.get(MENTION)
    if mention is not None and not _MENTIONS.fullmatch(mention):
        yield Line(
            MENTION, FAIL, f"{mention!r} mentions nobody", "<@USER_ID> or <@&ROLE_ID>: the numbers, not the names"
        )
    elif mention is not None and len(mention) > _ROOM:
        yield Line(MENTION, WARN, f"longer than {_ROOM} characters: a long message would be cut", "mention a role")


def alerts(case: Case) -> Iterator[Line]:
    """Where they go, as far as that is said."""
    if not case.variables.get(DISCORD):
        yield Line("alerts", OK, f"{DISCORD} is not set: they are to be seen in the preview, and reach nobody")
        return
    watched = (
        "" if case.variables.get(WATCHDOG) else f"; without {WATCHDOG} nobody hears of it when this machine is gone"
    )
    yield Line("alerts", OK, f"they go to Discord{watched}")
