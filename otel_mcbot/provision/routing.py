"""Which alert goes where, how soon and how often: contact points, policies, mute timings.

The addresses come from Grafana's environment (``compose.yaml``), so that no secret is in a file.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, Final

from otel_mcbot.provision import messages
from otel_mcbot.provision.grammar import Json
from otel_mcbot.rules import Severity

ALERTS: Final = "discord-alerts"
HEARTBEAT: Final = "discord-heartbeat"
CRITICAL: Final = "discord-critical"
MENTION: Final = "discord-critical-mention"
WATCHDOG: Final = "watchdog"

WATCHDOG_RULE: Final = "Watchdog"
"""The rule that always fires. When its pings stay away, whoever gets them knows that nothing here speaks any more."""

COOLDOWN: Final = "5m"
"""A group that was told of says nothing new before this has passed."""

MAINTENANCE: Final = "exchange-maintenance"
"""The mute timing."""
MUTED: Final = (["family", "=~", "exchange|websocket|execution|orders"], ["alertname", "=~", "SymbolNeverArrived.*"])
"""What says nothing in a maintenance of the exchange. Money, the bot itself and the back ends go on."""

DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

windows: Final[ContextVar[Sequence[str]]] = ContextVar("windows", default=())
"""When the exchange is maintained, as :func:`window` reads it: those of ``grafana build --mute``."""

_TIMES: Final = re.compile(r"(?P<begin>\d\d:\d\d)-(?P<end>\d\d:\d\d)")


def _discord(name: str, variable: str, *, message: str = "", resolved: bool = True) -> Json:
    """A Discord channel. Grafana does not start with an empty address; a ``#`` behind it is never sent anywhere."""
    return {
        "name": name,
        "orgId": 1,
        "receivers": [
            {
                "disableResolveMessage": not resolved,
                "settings": {
                    "message": f'{message}{{{{ template "{messages.MESSAGE}" . }}}}',
                    "title": f'{{{{ template "{messages.TITLE}" . }}}}',
                    "url": f"${{{variable}}}#",
                },
                "type": "discord",
                "uid": name,
            }
        ],
    }


def contact_points() -> Json:
    """The file ``contact-points.yaml``."""
    mention = '{{ if eq .Status "firing" }}${MCBOT_DISCORD_MENTION} {{ end }}'
    return {
        "apiVersion": 1,
        "contactPoints": [
            _discord(ALERTS, "MCBOT_DISCORD_URL"),
            _discord(HEARTBEAT, "MCBOT_DISCORD_HEARTBEAT_URL", resolved=False),
            _discord(CRITICAL, "MCBOT_DISCORD_CRITICAL_URL"),
            _discord(MENTION, "MCBOT_DISCORD_CRITICAL_URL", message=mention),
            {
                "name": WATCHDOG,
                "orgId": 1,
                "receivers": [
                    {
                        "disableResolveMessage": True,
                        "settings": {"httpMethod": "POST", "url": "${MCBOT_WATCHDOG_URL}#"},
                        "type": "webhook",
                        "uid": WATCHDOG,
                    }
                ],
            },
        ],
    }


def policies() -> Json:
    """The file ``policies.yaml``. The first route that an alert matches takes it."""
    critical = ["severity", "=", Severity.CRITICAL]
    of_a_bot = ["grafana_folder", "alertname", "job", "instance"]
    by_name = ["grafana_folder", "alertname"]
    return {
        "apiVersion": 1,
        "policies": [
            {
                "orgId": 1,
                "receiver": ALERTS,
                **_pace(by_name, wait="5s", repeat="4h"),
                "routes": [
                    # the first tick after 30 s is the one after a minute
                    _route(WATCHDOG, [["alertname", "=", WATCHDOG_RULE]], by_name, "0s", "30s", interval="1m"),
                    _route(ALERTS, [["alertname", "=~", "DatasourceNoData|DatasourceError"]], by_name, "5s", "12h"),
                    # without a wait the first of seven symbols leaves alone, and the other six five minutes later
                    _route(MENTION, [critical, ["trading_mode", "=", "live"]], of_a_bot, "2s", "30m"),
                    _route(CRITICAL, [critical], of_a_bot, "2s", "30m"),
                    _route(HEARTBEAT, [["severity", "=", Severity.INFO]], by_name, "5s", "6h"),
                    _route(ALERTS, [["severity", "=", Severity.WARNING]], by_name, "5s", "4h"),
                ],
            }
        ],
    }


def _pace(group: Sequence[str], *, wait: str, repeat: str, interval: str = COOLDOWN) -> Json:
    return {
        "group_by": list(group),
        "group_interval": interval,
        "group_wait": wait,
        "repeat_interval": repeat,
    }


def _route(
    receiver: str, matchers: Sequence[Sequence[str]], group: Sequence[str], wait: str, repeat: str, *,
    interval: str = COOLDOWN,
) -> Json:  # fmt: skip
    route: Json = {
        "object_matchers": [list(matcher) for matcher in matchers],
        "receiver": receiver,
        **_pace(group, wait=wait, repeat=repeat, interval=interval),
    }
    if windows.get() and receiver != WATCHDOG:
        route["routes"] = [
            {"mute_time_intervals": [MAINTENANCE], "object_matchers": [list(matcher)], "receiver": receiver}
            for matcher in MUTED
        ]
    return route


def templates() -> Json:
    """The file ``templates.yaml``."""
    return {
        "apiVersion": 1,
        "templates": [
            {"name": messages.NAME, "orgId": 1, "template": f"{messages.title()}\n{messages.message()}".strip()}
        ],
    }


def mute_timings() -> Json:
    """The file ``mute-timings.yaml``; raises ``ValueError`` for a window that is none."""
    if not windows.get():
        return {"apiVersion": 1, "deleteMuteTimes": [{"name": MAINTENANCE, "orgId": 1}]}
    intervals = [window(text) for text in windows.get()]
    return {"apiVersion": 1, "muteTimes": [{"name": MAINTENANCE, "orgId": 1, "time_intervals": intervals}]}


def window(text: str) -> Json:
    """A time in which the exchange is maintained, in UTC: ``Tue 06:00-07:00``, each day or once on a date.

    Raises ``ValueError``.

    >>> window("Tue 06:00-07:00")
    {'times': [{'end_time': '07:00', 'start_time': '06:00'}], 'weekdays': ['tuesday']}
    >>> window("2026-12-01 23:00-24:00")["days_of_month"]
    ['1']
    """
    day, _, hours = text.strip().rpartition(" ")
    times = _TIMES.fullmatch(hours)
    allowed = (
        f"mute window {text!r} must be a weekday, a date or nothing, then the hours in UTC, as 'Tue 06:00-07:00', "
        "'2026-12-01 06:00-07:00' or '06:00-07:00'"
    )
    if times is None or not all(_clock(times[name]) for name in ("begin", "end")):
        raise ValueError(allowed)
    if times["begin"] >= times["end"]:
        raise ValueError(f"mute window {text!r} must end after it begins; one over midnight is two, the first to 24:00")
    found: dict[str, Any] = {"times": [{"end_time": times["end"], "start_time": times["begin"]}]}
    if not day:
        return found
    if weekdays := [name for name in DAYS if len(day) >= 3 and name.startswith(day.lower())]:
        return found | {"weekdays": weekdays}
    try:
        date = datetime.date.fromisoformat(day)
    except ValueError:
        raise ValueError(allowed) from None
    return found | {"days_of_month": [str(date.day)], "months": [str(date.month)], "years": [str(date.year)]}


def _clock(text: str) -> bool:
    hours, minutes = int(text[:2]), int(text[3:])
    return (hours < 24 and minutes < 60) or (hours, minutes) == (24, 0)
