"""The page of all rules."""

from __future__ import annotations

import textwrap

from . import RULES
from .rule import Rule, Severity, written

_WHY = """# Alerts

A rule speaks up when something lasts that somebody should look at. Each says in one sentence what is wrong, leads to
the panel that shows it and to a runbook, and tells whose it is: every condition keeps `job`, `instance`,
`service_name` and `trading_mode`, so that two bots never add up, and nobody looks at the wrong one.

How to read the tables: **for** is how long the condition must last before a message goes out; **says** is the message,
with `{value}` and labels as they are at that moment; **can be set** are the parameters and what they are now. Rules
marked ° are our own; names, times and severities of the others are those that such bots have always had.

- INFO goes to the heartbeat channel, WARNING to the alerts channel, CRITICAL there with a mention (live mode only).
- A WARNING that lasts 30 minutes more comes again as CRITICAL, as `NAME (30 min)`. Those marked ¹ do not: what they
  judge changes once a day, or is an order that has rested for a day already, and half an hour more is no news.
- Nothing is said of what is not used: no pods, no on-chain data, no websocket, no series, no alert. Nor of a restart of
  a store or of the Collector that takes less than a minute.
- `with mcbot.maintenance("new ticks", "30m"):` plans silence: what is then expected is not told (websockets, late bars,
  silent strategies, restarts). A death is.

## Thresholds of your own

```
otel-mcbot grafana build --set HighDrawdown.threshold=15 --set HighSlippage.hold=10m
otel-mcbot grafana build --rules rules.toml
```

```toml
[HighDrawdown]
threshold = 15

[HighSlippage]
hold = "10m"
window = "30m"
```

`MCBOT_RULES` names the file where no option does; `--set` wins over the file. Thresholds and minimum numbers are
numbers, `hold`, `window` and `memory` are durations: `30s`, `5m`, `1h`, `1d`, `1h30m`. What does not exist or cannot be
is refused, in one line. Dashboards draw the same thresholds.

## A bot that is gone

Bots push: a dead one just stops, and after five minutes Prometheus shows nothing of it. So BotDown searches the past,
seven days of it, for whoever was meant to run (`mcbot_expected_up` is 1; 0 after an intended stop) and was last heard
more than a minute before the moment up to which the Collector has surely been listening. It fires less than two
minutes after a death and stays on until the bot is back, is retired, or seven days are over. While the Collector is
gone, and for 70 seconds after it is back, nobody is called dead who was not dead before; the Collector's own rule
speaks. A process that runs while its loop hangs is HeartbeatStale's. Both compare clocks: a bot on another host whose
clock is half a minute behind is near the limit.

## Without Grafana

`grafana/mirror/prometheus-rules.yaml` has the same rules for Prometheus and its Alertmanager (PrometheusDown aside,
which only somebody else can tell). It is what the tests try each rule with.
"""


def markdown() -> str:
    """The page ``docs/alerts.md``."""
    families = dict.fromkeys(rule.family for rule in RULES)
    parts = [_WHY]
    for family in families:
        parts.append(f"## {family}\n\n| rule | severity | for | says | can be set |\n|---|---|---|---|---|")
        parts += [_row(rule) for rule in RULES if rule.family == family]
        parts.append("")
    parts.append(
        "## Where a condition is not what it used to be\n\n"
        "Besides keeping the bots apart, which all of them do. The names, times and severities are the same.\n"
    )
    parts += [_item(f"**{rule.name}**: {rule.deviation}") for rule in RULES if rule.deviation]
    parts.append("\n## The conditions\n")
    for rule in RULES:
        condition = textwrap.fill(rule.condition, 118, break_long_words=False, break_on_hyphens=False)
        parts.append(f"**{rule.name}**\n\n```promql\n{condition}\n```\n")
    return "\n".join(parts)


def _row(rule: Rule) -> str:
    marks = ("°" if rule.ours else "") + ("¹" if rule.severity is Severity.WARNING and not rule.escalates else "")
    settings = "<br>".join(f"`{name}={written(value)}`" for name, value in rule.settings.items())
    return (
        f"| [{rule.name}](runbooks/{rule.name}.md){f' {marks}' if marks else ''} "
        f"| {rule.severity.upper()} | {rule.hold} | {rule.text} | {settings} |"
    )


def _item(text: str) -> str:
    return textwrap.fill(text, 118, initial_indent="- ", subsequent_indent="  ", break_long_words=False)
