"""What an alert looks like in Discord: the templates that Grafana fills in.

Grafana cuts a message at 2000 characters wherever that is, also amid a link. So a message is put together in a
variable and measured; an alert that does not fit is left out as a whole and counted. Whatever comes from outside (a
symbol, the name of a strategy, a sentence with such a name in it) is made harmless first: Discord would obey an
``@everyone`` in it.
"""

from __future__ import annotations

from string import Template
from typing import Final

from otel_mcbot.provision import why

NAME: Final = "mcbot"
TITLE: Final = "mcbot.title"
MESSAGE: Final = "mcbot.message"

ROOM: Final = 1960
"""Characters of a message. Discord takes 2000; the rest is for a mention."""

STORM: Final = 5
"""From so many firing alerts on, a message is a summary …"""
STORM_ROOM: Final = 1000
"""… of so many characters."""

PANEL: Final = "panel"
"""Annotation: the panel that shows the value, as ``trading?viewPanel=4``."""
RUNBOOK: Final = "runbook_url"
"""Annotation: the runbook, below Grafana's own address. Grafana's pages know it by this name."""
SUMMARY: Final = "summary"
"""Annotation: what is wrong, in a sentence."""

BEFORE: Final = -1_800_000_000_000
"""Nanoseconds that links show of the time before an alert began: 30 minutes …"""
AFTER: Final = 1_800_000_000_000
"""… and after it."""

_BOT: Final = ("instance", "job", "service_name", "trading_mode")
_TOLD: Final = ("alertname", "escalated_from", "family", "grafana_folder", "severity", *_BOT)
"""Labels that a message tells in its own way, or that are nobody's business. All others are listed."""


def _query(value: str) -> str:
    """As part of an address. ``/`` and ``:`` may stay as they are there: shorter, and can be read."""
    encoded = f"(urlquery {value})"
    for pattern, text in (("[+]", "%20"), ("%2F", "/"), ("%3A", ":")):
        encoded = f'(reReplaceAll "{pattern}" "{text}" {encoded})'
    return encoded


def _harmless(value: str) -> str:
    """No mention, no link: an invisible space after each ``@`` and ``<``, and amid ``://``."""
    silent = f'(reReplaceAll "[@<]" "${{0}}\u200b" {value})'
    return f'(reReplaceAll "://" ":\u200b//" {silent})'


def _code(value: str) -> str:
    """As inline code, in which nothing is formatted."""
    bare = f'(reReplaceAll "[`[:cntrl:]]" "\'" (printf "%.40s" {value}))'
    return f'(printf "`%s`" {_harmless(bare)})'


def _prose(value: str, most: int = 200) -> str:
    """As part of a sentence, in which nothing is formatted either."""
    line = f'(reReplaceAll "[[:cntrl:]]+" " " (printf "%.{most}s" {value}))'
    plain = rf'(reReplaceAll "([\\\\*_~`|\\[\\]])" "\\${{1}}" {line})'
    return _harmless(plain)


def _found(value: str, text: str) -> str:
    """Whether ``text`` has ``value`` in it."""
    return r'(match (reReplaceAll "([!-/:-@\\[-`{-~])" "\\${1}" ' + f"{value}) {text})"


def _one_of(value: str, names: tuple[str, ...]) -> str:
    return f"(eq {value} " + " ".join(f'"{name}"' for name in names) + ")"


def _at(time: str, shift: int) -> str:
    """Unix time in milliseconds."""
    return f"({time}.Add {shift}).UnixMilli"


def _fits(*parts: str, room: str = str(ROOM)) -> str:
    """Whether these parts are short enough together. ``len`` counts bytes, so what is not ASCII becomes one first."""
    joined = f'(printf "{"%s" * len(parts)}" {" ".join(parts)})'
    return f'(le (len (reReplaceAll "[^[:ascii:]]" "." {joined})) {room})'


class _Text(Template):
    """Go's templates are full of braces and dollars."""

    delimiter = "§"


_MACROS: Final = {
    "code": _code(".Value"),
    "query": _query(".Value"),
    "prose": _prose(".Value", 40),
    "told": _one_of(".Name", _TOLD),
    "clock": '"Jan 2 15:04 UTC"',
}

_ICON: Final = """\
{{- $icon := "🟢" -}}
{{- if eq .Status "firing" }}{{ $icon = "🔵" -}}
{{- if eq .CommonLabels.severity "warning" }}{{ $icon = "🟠" }}{{ end -}}
{{- if eq .CommonLabels.severity "critical" }}{{ $icon = "🔴" }}{{ end -}}
{{- end -}}
"""

_READ: Final = """\
{{- $bot = "" }}{{ $picked = "" }}{{ $asked = "" }}{{ $ours = false -}}
{{- range §labels.SortedPairs }}{{ if .Value }}{{ $value := §query }}{{ $new := §new -}}
{{- if eq .Name "job" }}{{ $picked = printf "%s&var-job=%s" $picked $value -}}
{{- else if eq .Name "instance" -}}
{{- $picked = printf "%s&var-instance=%s" $picked $value }}{{ if $new }}{{ $bot = printf "%s %s" $bot §code }}{{ end -}}
{{- else if eq .Name "service_name" -}}
{{- $asked = printf "var-bot=%s%s" $value $asked }}{{ if $new }}{{ $bot = printf " %s%s" §code $bot }}{{ end -}}
{{- else if eq .Name "trading_mode" -}}
{{- $ours = true }}{{ $picked = printf "%s&var-mode=%s" $picked $value -}}
{{- if $new }}{{ $bot = printf "%s %s" $bot §prose }}{{ end -}}
{{- else if eq .Name "symbol" "strategy" }}{{ $asked = printf "%s&var-%s=%s" $asked .Name $value -}}
{{- end }}{{ end }}{{ end -}}
{{- if not $ours }}{{ $picked = "" }}{{ $asked = "" }}{{ end -}}
"""
"""From labels to words about the bot and the ends of two addresses, which only bots have."""

_TITLE: Final = """\
{{ define "§name" -}}
§icon
{{- $how := printf "%s " (toUpper .CommonLabels.severity) -}}
{{- if eq .Status "resolved" }}{{ $how = "RESOLVED " }}{{ end -}}
{{- $icon }} {{ if gt (len $how) 1 }}{{ $how }}{{ end }}{{ .CommonLabels.alertname -}}
{{- with .CommonLabels.service_name }} · {{ §bot }}{{ end -}}
{{- end -}}
"""

_MESSAGE: Final = """\
{{ define "§name" -}}
{{- $base := reReplaceAll "/+$" "" .ExternalURL -}}
{{- $common := .CommonLabels }}{{ $firing := len .Alerts.Firing -}}
{{- $bot := "" }}{{ $picked := "" }}{{ $asked := "" }}{{ $ours := false -}}

{{- /* the heading, with what all have in common */ -}}
§icon
§read_common
{{- $one := and .CommonLabels.job .CommonLabels.instance }}{{ if not $one }}{{ $picked = "" }}{{ end -}}
{{- $head := printf "%s **" $icon -}}
{{- if gt $firing 1 }}{{ $head = printf "%s%d × " $head $firing }}{{ end -}}
{{- $head = printf "%s%s**%s" $head §alertname $bot -}}

{{- /* the links that are the same for all */ -}}
{{- $panel := "" }}{{ $links := "" }}{{ $closer := "" -}}
{{- with .CommonAnnotations.§panel -}}
{{- $panel = printf " · [panel](<%s/d/%s%s&from=%d&to=now>)" $base . $picked §since_first -}}
{{- end -}}
{{- if $firing -}}
{{- with .CommonAnnotations.§runbook }}{{ $links = printf " · [runbook](<%s%s>)" $base . }}{{ end -}}
{{- $silence := "/alerting/silence/new?alertmanager=grafana&matcher=alertname%3D" -}}
{{- $links = printf "%s · [silence](<%s%s%s" $links $base $silence §alertname_query -}}
{{- $closer = ">)" -}}
{{- with .CommonLabels.instance }}{{ $closer = printf "&matcher=instance%%3D%s>)" §dot_query }}{{ end -}}
{{- end -}}

{{- /* what fires: each with a panel of its own where the bots are several and there is room; a summary of many */ -}}
{{- $full := $head }}{{ $text := $head }}{{ $left := "" }}{{ $several := false -}}
{{- range $at, $alert := .Alerts.Firing -}}
§read
{{- $said := .Annotations.§summary }}{{ $rest := "" }}{{ $short := $bot -}}
{{- range .Labels.SortedPairs }}{{ if not §told -}}
{{- if not §found }}{{ $rest = printf "%s %s %s" $rest .Name §code }}{{ end -}}
{{- if ne .Value (index $common .Name) }}{{ $short = printf "%s %s" $short §code }}{{ end -}}
{{- end }}{{ end -}}
{{- $line := printf "\\n• %s%s%s · since %s" §said $rest $bot (.StartsAt.UTC.Format §clock) -}}
{{- $own := "" }}{{ $trace := "" -}}
{{- if and $picked .Annotations.§panel -}}
{{- $several = not $one -}}
{{- $own = printf " · [panel](<%s/d/%s%s&from=%d&to=now>)" $base .Annotations.§panel $picked §since -}}
{{- end -}}
{{- if $asked -}}
{{- $trace = printf " · [why](<%s/d/§why?%s&from=%d&to=%d>)" $base $asked §since §until -}}
{{- end -}}
{{- $full = printf "%s%s%s%s" $full $line $own $trace -}}
{{- $next := printf "%s%s%s" $text $line $trace }}{{ $room := §room -}}
{{- if ge $firing §storm -}}
{{- $room = §storm_room -}}
{{- if eq $at 1 }}{{ $next = printf "%s\\n• also%s" $text $short }}{{ end -}}
{{- if gt $at 1 }}{{ $next = printf "%s ·%s" $text $short }}{{ end -}}
{{- end -}}
{{- if §fits_next }}{{ $text = $next }}{{ else }}{{ $left = printf "%s." $left }}{{ end -}}
{{- end -}}
{{- if and $several (lt $firing §storm) §fits_full }}{{ $text = $full }}{{ $panel = "" }}{{ $left = "" }}{{ end -}}

{{- /* what is over: the sentence would tell of a value that is well again */ -}}
{{- range .Alerts.Resolved -}}
§read
{{- $rest := "" -}}
{{- range .Labels.SortedPairs }}{{ if not §told }}{{ $rest = printf "%s %s %s" $rest .Name §code }}{{ end }}{{ end -}}
{{- $lasted := (.EndsAt.Sub .StartsAt).Round 1000000000 }}{{ $room := §room -}}
{{- $next := printf "%s\\n✅ over after %v%s%s" $text $lasted $rest $bot -}}
{{- if §fits_next }}{{ $text = $next }}{{ else }}{{ $left = printf "%s." $left }}{{ end -}}
{{- end -}}
{{- if $left }}{{ $text = printf "%s\\nand %d more" $text (len $left) }}{{ end -}}

{{- /* the links again, all of them when they fit */ -}}
{{- if and $firing (not §fits_narrow) }}{{ $closer = ">)" }}{{ end -}}
{{- if not §fits_narrow }}{{ $panel = "" }}{{ end -}}
{{- $text }}{{ with printf "%s%s%s" $panel $links $closer }}{{ "\\n" }}{{ reReplaceAll "^ · " "" . }}{{ end -}}
{{- end -}}
"""


def title() -> str:
    """How bad, what, whose: the heading of the box below the message."""
    return _Text(_TITLE).substitute(name=TITLE, icon=_ICON.strip(), bot=_prose(".", 60))


def message() -> str:
    """The message: for each alert what is wrong, since when, of which bot, and where to look."""

    def read(labels: str, new: str) -> str:
        return _Text(_READ).substitute(_MACROS, labels=labels, new=new).strip()

    return _Text(_MESSAGE).substitute(
        _MACROS,
        name=MESSAGE,
        icon=_ICON.strip(),
        read_common=read(".CommonLabels", "true"),
        read=read(".Labels", "ne .Value (index $common .Name)"),
        alertname=_prose(".CommonLabels.alertname", 60),
        alertname_query=_query(".CommonLabels.alertname"),
        dot_query=_query("."),
        panel=PANEL,
        runbook=RUNBOOK,
        summary=SUMMARY,
        said=_prose("$said"),
        found=_found(".Value", "$said"),
        fits_next=_fits("$next", "$links", '"and 99 more>)"', room="$room"),
        fits_full=_fits("$full", "$links", "$closer"),
        fits_narrow=_fits("$text", "$panel", "$links", "$closer"),
        since=_at(".StartsAt", BEFORE),
        until=_at(".StartsAt", AFTER),
        since_first=_at("(index $.Alerts 0).StartsAt", BEFORE),
        why=why.UID,
        room=ROOM,
        storm=STORM,
        storm_room=STORM_ROOM,
    )
