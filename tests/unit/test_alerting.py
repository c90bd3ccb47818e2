"""How alerts are judged, sent and worded, as files that Grafana reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from otel_mcbot import cli, provision
from otel_mcbot.doctor_alerts import alerts, wrong_addresses
from otel_mcbot.doctor_case import FAIL, OK, WARN, Case
from otel_mcbot.doctor_stack import compose_variables
from otel_mcbot.provision import alerting, files, messages, routing, runbooks
from otel_mcbot.rules import RULES, Severity
from otel_mcbot.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2]
ALERTING = "provisioning/alerting"


def made(name: str) -> dict[str, Any]:
    content: dict[str, Any] = files.read(files.text(f"{ALERTING}/{name}.yaml"))
    return content


GROUPS = made("rules")["groups"]
MADE = {rule["title"]: rule for group in GROUPS for rule in group["rules"]}
WARNINGS = [rule for rule in RULES if rule.escalation]
POLICY = made("policies")["policies"][0]


# -- what Grafana takes; it ignores a key that it does not know ----------------------------------------------------

TEXT = {"type": "string", "minLength": 1}
UID = {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,40}$"}
DURATION = {"type": "string", "pattern": r"^(?=\d)(\d+d)?(\d+h)?(\d+m)?(\d+s)?$"}
ORG = {"const": 1}


def exactly(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(required),
        "properties": required | (optional or {}),
        "additionalProperties": False,
    }


def several(items: dict[str, Any], least: int = 1) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": least}


def query(ref: str, source: str, model: dict[str, Any]) -> dict[str, Any]:
    span = exactly({"from": {"type": "integer"}, "to": {"const": 0}})
    return exactly(
        {"refId": {"const": ref}, "datasourceUid": {"const": source}, "relativeTimeRange": span, "model": model}
    )


RULE = exactly(
    {
        "uid": UID,
        "title": TEXT,
        "condition": {"const": "B"},
        "data": {
            "type": "array",
            "prefixItems": [
                query(
                    "A",
                    "prometheus",
                    exactly(
                        {
                            "refId": {"const": "A"},
                            "expr": TEXT,
                            "instant": {"const": True},
                            "range": {"const": False},
                            "editorMode": {"const": "code"},
                        }
                    ),
                ),
                query(
                    "B",
                    "__expr__",
                    exactly(
                        {
                            "refId": {"const": "B"},
                            "type": {"const": "math"},
                            "expression": {"type": "string", "pattern": r"^\$A (>|>=|<|<=|==) -?\d+(\.\d+)?$"},
                            "datasource": {"const": {"type": "__expr__", "uid": "__expr__"}},
                        }
                    ),
                ),
            ],
            "minItems": 2,
            "maxItems": 2,
        },
        "for": DURATION,
        "noDataState": {"enum": ["OK", "Alerting"]},
        "execErrState": {"enum": ["KeepLast", "Alerting"]},
        "labels": exactly({"severity": {"enum": [*Severity]}, "family": TEXT}, {"escalated_from": TEXT}),
        "annotations": exactly(
            {
                "summary": TEXT,
                "runbook_url": {"type": "string", "pattern": r"^/d/runbooks\?viewPanel=[1-9]\d*$"},
                "panel": {"type": "string", "pattern": r"^[a-z-]+\?viewPanel=[1-9]\d*$"},
                "__dashboardUid__": TEXT,
                "__panelId__": {"type": "string", "pattern": r"^\d+$"},
            }
        ),
    }
)
ROUTE_KEYS = {
    "receiver": TEXT,
    "object_matchers": several({"type": "array", "items": TEXT, "minItems": 3, "maxItems": 3}),
    "group_by": several(TEXT),
    "group_wait": DURATION,
    "group_interval": DURATION,
    "repeat_interval": DURATION,
}
MUTED_ROUTE = exactly(
    {"object_matchers": ROUTE_KEYS["object_matchers"], "mute_time_intervals": several(TEXT), "receiver": TEXT}
)
TIMES = several(exactly({"start_time": TEXT, "end_time": TEXT}))
SCHEMAS = {
    "rules": exactly(
        {
            "apiVersion": {"const": 1},
            "deleteRules": several(exactly({"orgId": ORG, "uid": UID}), 0),
            "groups": several(
                exactly(
                    {
                        "orgId": ORG,
                        "name": TEXT,
                        "folder": {"const": "otel-mcbot"},
                        "interval": {"const": "10s"},
                        "rules": several(RULE),
                    }
                )
            ),
        }
    ),
    "contact-points": exactly(
        {
            "apiVersion": {"const": 1},
            "contactPoints": several(
                exactly(
                    {
                        "orgId": ORG,
                        "name": TEXT,
                        "receivers": several(
                            exactly(
                                {
                                    "uid": UID,
                                    "type": {"enum": ["discord", "webhook"]},
                                    "disableResolveMessage": {"type": "boolean"},
                                    "settings": exactly(
                                        {"url": TEXT}, {"title": TEXT, "message": TEXT, "httpMethod": TEXT}
                                    ),
                                }
                            )
                        ),
                    }
                )
            ),
        }
    ),
    "policies": exactly(
        {
            "apiVersion": {"const": 1},
            "policies": several(
                exactly(
                    {
                        "orgId": ORG,
                        **{key: value for key, value in ROUTE_KEYS.items() if key != "object_matchers"},
                        "routes": several(exactly(ROUTE_KEYS, {"routes": several(MUTED_ROUTE)})),
                    }
                )
            ),
        }
    ),
    "templates": exactly(
        {"apiVersion": {"const": 1}, "templates": several(exactly({"orgId": ORG, "name": TEXT, "template": TEXT}))}
    ),
    "mute-timings": exactly(
        {"apiVersion": {"const": 1}},
        {
            "deleteMuteTimes": several(exactly({"orgId": ORG, "name": TEXT})),
            "muteTimes": several(
                exactly(
                    {
                        "orgId": ORG,
                        "name": TEXT,
                        "time_intervals": several(
                            exactly(
                                {"times": TIMES},
                                {key: several(TEXT) for key in ("weekdays", "days_of_month", "months", "years")},
                            )
                        ),
                    }
                )
            ),
        },
    ),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_grafana_knows_every_key(name: str) -> None:
    jsonschema.validate(made(name), SCHEMAS[name], cls=jsonschema.Draft202012Validator)


def test_with_mute_windows_too() -> None:
    texts = files.texts(REPOSITORY / "grafana", mute=["Tue 06:00-07:00", "2026-12-01 23:00-24:00"])
    for name, schema in SCHEMAS.items():
        content = files.read(texts[f"{ALERTING}/{name}.yaml"])
        jsonschema.validate(content, schema, cls=jsonschema.Draft202012Validator)
    assert all("routes" in route for route in routes(files.read(texts[f"{ALERTING}/policies.yaml"]))[1:])


# -- rules -----------------------------------------------------------------------------------------------------------


def test_every_row_is_a_rule_and_every_warning_one_more() -> None:
    names = [*(rule.name for rule in RULES), *(f"{rule.name} (30 min)" for rule in WARNINGS)]
    assert sorted(MADE) == sorted(names)
    uids = [rule["uid"] for rule in MADE.values()]
    assert len(set(uids)) == len(uids) == len(names)
    assert {rule["uid"] for rule in MADE.values() if "(" not in rule["title"]} == {f"mcbot-{r.name}" for r in RULES}
    assert [group["name"] for group in GROUPS] == list(dict.fromkeys(rule.family for rule in RULES))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_grafana_asks_what_the_mirror_asks(rule: Any) -> None:
    """What promtool proves is the mirror: the same query, operator, threshold, time and labels must be in both."""
    there = MADE[rule.name]
    assert there["for"] == rule.hold
    assert there["labels"] == {"severity": rule.severity.value, "family": rule.family}
    mirrored = {
        each["alert"]: each
        for group in files.read(files.text("mirror/prometheus-rules.yaml"))["groups"]
        for each in group["rules"]
    }
    if rule.on_error == "alert":
        assert rule.name not in mirrored
        assert (there["noDataState"], there["execErrState"]) == ("Alerting", "Alerting")
        return
    assert (there["noDataState"], there["execErrState"]) == ("OK", "KeepLast")
    for title in (rule.name, f"{rule.name} (30 min)") if rule.escalation else (rule.name,):
        query, math = (part["model"] for part in MADE[title]["data"])
        mirror = mirrored[title]
        assert mirror["expr"] == math["expression"].replace("$A", f"({query['expr']})")
        assert mirror.get("for", "0s") == MADE[title]["for"]
        assert mirror["labels"].items() >= MADE[title]["labels"].items()


@pytest.mark.parametrize("rule", WARNINGS, ids=lambda rule: rule.name)
def test_a_warning_that_lasts_becomes_critical(rule: Any) -> None:
    first, later = MADE[rule.name], MADE[f"{rule.name} (30 min)"]
    assert later["uid"] == f"{first['uid']}-30m"
    assert later["labels"] == {"severity": "critical", "family": rule.family, "escalated_from": rule.name}
    assert (later["data"], later["annotations"]) == (first["data"], first["annotations"])
    assert seconds(later["for"]) == seconds(first["for"]) + 1800


def seconds(duration: str) -> int:
    sizes = {"d": 86400, "h": 3600, "m": 60, "s": 1}
    return sum(int(count) * sizes[name] for count, name in re.findall(r"(\d+)([dhms])", duration))


@pytest.mark.parametrize(
    ("duration", "later"), [("0s", "30m"), ("30s", "30m30s"), ("45m", "1h15m"), ("1d", "1d30m"), ("23h30m", "1d")]
)
def test_half_an_hour_later(duration: str, later: str) -> None:
    assert alerting.later(duration) == later


def test_what_is_no_more_is_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {rule["uid"] for rule in MADE.values()}
    deleted = {each["uid"] for each in made("rules")["deleteRules"]}
    assert not there & deleted
    assert deleted >= {f"mcbot-{rule.name}-30m" for rule in RULES if not rule.escalation}
    monkeypatch.setattr(alerting, "RETIRED", ("OldName",))
    assert {"mcbot-OldName", "mcbot-OldName-30m"} <= {each["uid"] for each in made("rules")["deleteRules"]}


def test_only_what_is_meant_to_is_replaced_by_the_environment() -> None:
    """Grafana expands variables everywhere but in queries, annotations (braces: from 13.2 on) and templates."""
    assert "${" not in json.dumps([rule["annotations"] for rule in MADE.values()])
    rest = [{key: rule[key] for key in rule.keys() - {"annotations", "data"}} for rule in MADE.values()]
    assert "$" not in json.dumps([rest, made("policies"), made("mute-timings")])
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(made("contact-points"))))
    compose = (REPOSITORY / "compose.yaml").read_text()
    assert used == set(re.findall(r"^ +(MCBOT_(?:DISCORD|WATCHDOG)\w+): \$\{\1:-", compose, re.MULTILINE))


# -- what a rule leads to --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def panels() -> dict[str, dict[int, str]]:
    return {
        Path(path).stem: {panel["id"]: panel["title"] for panel in make()["panels"]}
        for path, make in files.FILES.items()
        if path.endswith(".json")
    }


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_leads_to_its_panel_and_its_runbook(rule: Any, panels: dict[str, dict[int, str]]) -> None:
    notes = MADE[rule.name]["annotations"]
    uid, panel = re.fullmatch(r"(.+)\?viewPanel=(\d+)", notes["panel"]).groups()  # type: ignore[union-attr]
    assert f"{uid}/{panels[uid][int(panel)]}" == rule.panel
    assert (notes["__dashboardUid__"], notes["__panelId__"]) == (uid, panel)
    assert panels["runbooks"][int(notes["runbook_url"].partition("=")[2])] == rule.name


@pytest.mark.parametrize("panel", runbooks.build()["panels"], ids=lambda panel: panel["title"])
def test_the_runbook_is_on_the_panel(panel: dict[str, Any]) -> None:
    written = REPOSITORY / "docs" / "runbooks" / f"{panel['title']}.md"
    assert panel["type"] == "text"
    assert panel["options"]["mode"] == "markdown"
    committed = json.loads((REPOSITORY / "grafana" / "dashboards" / "runbooks.json").read_text())["panels"]
    (content,) = [each["options"]["content"] for each in committed if each["id"] == panel["id"]]
    assert content == written.read_text().strip()


def test_without_the_runbooks_the_panel_says_where_they_are(tmp_path: Path) -> None:
    content = json.loads(files.texts(tmp_path / "grafana")["dashboards/runbooks.json"])["panels"][0]["options"][
        "content"
    ]
    assert content == f"The runbook is the file `docs/runbooks/{RULES[0].name}.md` of the project."


# -- where it goes ---------------------------------------------------------------------------------------------------


def routes(policies: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = policies["policies"][0]["routes"]
    return found


def route_of(**labels: str) -> dict[str, Any]:
    """The route that takes an alert with these labels: the first that matches."""

    def matches(name: str, operator: str, value: str) -> bool:
        there = labels.get(name, "")
        return there == value if operator == "=" else re.fullmatch(value, there) is not None

    for route in POLICY["routes"]:
        if all(matches(*matcher) for matcher in route["object_matchers"]):
            return dict(route)
    return POLICY


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ({"severity": "critical", "trading_mode": "live"}, "discord-critical-mention"),
        ({"severity": "critical", "trading_mode": "paper"}, "discord-critical"),
        ({"severity": "critical"}, "discord-critical"),
        ({"severity": "warning", "trading_mode": "live"}, "discord-alerts"),
        ({"severity": "info", "trading_mode": "live"}, "discord-heartbeat"),
        ({"severity": "info", "alertname": "Watchdog"}, "watchdog"),
        ({"severity": "critical", "alertname": "DatasourceError", "trading_mode": "live"}, "discord-alerts"),
        ({}, "discord-alerts"),
    ],
)
def test_who_is_told(labels: dict[str, str], receiver: str) -> None:
    assert route_of(**labels)["receiver"] == receiver


def test_every_receiver_exists_and_none_is_for_nothing() -> None:
    there = {point["name"]: point["receivers"] for point in made("contact-points")["contactPoints"]}
    assert {POLICY["receiver"], *(route["receiver"] for route in POLICY["routes"])} == set(there)
    assert [each["uid"] for point in there.values() for each in point] == list(there)
    assert [name for name, (each,) in there.items() if each["disableResolveMessage"]] == [
        "discord-heartbeat",
        "watchdog",
    ]


def test_only_live_criticals_mention_and_only_while_they_fire() -> None:
    said = {
        point["name"]: point["receivers"][0]["settings"].get("message", "")
        for point in made("contact-points")["contactPoints"]
    }
    assert [name for name, message in said.items() if "MENTION" in message] == ["discord-critical-mention"]
    assert said["discord-critical-mention"].startswith('{{ if eq .Status "firing" }}${MCBOT_DISCORD_MENTION} {{ end }}')


@pytest.mark.parametrize("rule", MADE.values(), ids=lambda rule: rule["title"])
def test_a_message_leaves_within_30_seconds_after_its_time(rule: dict[str, Any]) -> None:
    for mode in ("live", "paper"):
        route = route_of(alertname=rule["title"], trading_mode=mode, **rule["labels"])
        export, evaluation = 10, seconds(alerting.INTERVAL)
        assert export + evaluation + seconds(route["group_wait"]) <= 30
        if route["receiver"] == "watchdog":
            assert 60 <= seconds(route["group_interval"]) <= 300
        else:
            assert seconds(route["group_interval"]) == 300
            assert seconds(route["repeat_interval"]) >= 1800


def test_one_kind_of_alert_is_one_message_and_bots_do_not_wait_for_each_other() -> None:
    for route in [POLICY, *POLICY["routes"]]:
        assert route["group_by"][:2] == ["grafana_folder", "alertname"]
        # a group that does not wait leaves with the first of its alerts
        assert seconds(route["group_wait"]) > 0 or route["receiver"] == "watchdog"
    assert route_of(severity="critical")["group_by"][2:] == ["job", "instance"]


# -- maintenance windows ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        ("Tue 06:00-07:00", {"weekdays": ["tuesday"]}),
        ("wednesday 06:00-07:00", {"weekdays": ["wednesday"]}),
        ("2026-12-01 06:00-07:00", {"days_of_month": ["1"], "months": ["12"], "years": ["2026"]}),
        ("  06:00-07:00 ", {}),
    ],
)
def test_a_window(text: str, interval: dict[str, Any]) -> None:
    assert routing.window(text) == interval | {"times": [{"start_time": "06:00", "end_time": "07:00"}]}


@pytest.mark.parametrize(
    "text",
    [
        *("", "Tue", "Tue 6-7", "Tu 06:00-07:00", "Tuesdays 06:00-07:00", "Tue Wed 06:00-07:00", "Tue 06:00 - 07:00"),
        *("Tue 06:00-06:00", "Tue 23:00-01:00", "Tue 06:00-25:00", "Tue 06:60-07:00", "Tue 06:00-24:30"),
        "2026-13-01 06:00-07:00",
    ],
)
def test_no_window(text: str) -> None:
    with pytest.raises(ValueError, match=f"mute window {re.escape(repr(text))} must"):
        routing.window(text)


def test_what_a_maintenance_of_the_exchange_silences() -> None:
    silent = {
        rule.name
        for rule in RULES
        if any(
            re.fullmatch(value, {"family": rule.family, "alertname": rule.name}[key]) for key, _, value in routing.MUTED
        )
    }
    assert {"WSDisconnected", "APIUnhealthy", "RequestWithoutAck", "SymbolNeverArrived"} <= silent
    assert not silent & {
        "BotDown",
        "HeartbeatStale",
        "HighDrawdown",
        "CircuitBreakerTriggered",
        "CollectorDown",
        "Watchdog",
    }


# -- words -----------------------------------------------------------------------------------------------------------


def test_templates_are_whole() -> None:
    (template,) = made("templates")["templates"]
    text = template["template"]
    assert re.findall(r'\{\{ define "([\w.]+)"', text) == [messages.TITLE, messages.MESSAGE]
    assert "§" not in text
    assert text.count("{{") == text.count("}}")
    opened = len(re.findall(r"\{\{-? (?:if|range|with|define) ", text))
    assert opened == len(re.findall(r"\{\{-? end -?\}\}", text))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_sentence_without_its_value_is_no_error(rule: Any) -> None:
    summary = MADE[rule.name]["annotations"]["summary"]
    if "{value}" in rule.text:
        assert summary.startswith("{{ if $values.A }}")
        with_value, without = summary.removesuffix("{{ end }}").split("{{ else }}")
        assert "$values" in with_value
        assert "$values" not in without
    else:
        assert "$values" not in summary


# -- the command -----------------------------------------------------------------------------------------------------


def build(*arguments: str) -> int:
    return cli.run(["grafana", "build", *arguments])


def drawn(root: Path) -> set[Any]:
    """The threshold of the drawdown, wherever it is."""
    rules = files.read((root / ALERTING / "rules.yaml").read_text())["groups"]
    mirror = files.read((root / "mirror/prometheus-rules.yaml").read_text())["groups"]
    trading = json.loads((root / "dashboards/trading.json").read_text())["panels"]
    return {
        *(
            each["data"][1]["model"]["expression"].split()[-1]
            for group in rules
            for each in group["rules"]
            if each["title"].startswith("HighDrawdown")
        ),
        *(
            each["expr"].split()[-1]
            for group in mirror
            for each in group["rules"]
            if each["alert"].startswith("HighDrawdown")
        ),
        *(
            f"{panel['fieldConfig']['defaults']['thresholds']['steps'][-1]['value']:g}"
            for panel in trading
            if panel["title"].startswith("Drawdown")
        ),
    }


def test_a_threshold_is_set_wherever_it_is_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    into = ["--into", str(tmp_path / "grafana")]
    assert build(*into) == 0
    assert drawn(tmp_path / "grafana") == {"10"}
    chosen = ["--set", "HighDrawdown.threshold=15", "--mute", "Tue 06:00-07:00"]
    assert build(*into, *chosen) == 0
    assert drawn(tmp_path / "grafana") == {"15"}
    assert build("--check", *into, *chosen) == 0
    assert build("--check", *into) == 1
    assert 'expression is "$A > 15", not "$A > 10"' in capsys.readouterr().err


def test_the_same_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my.toml").write_text('mute = ["Tue 06:00-07:00"]\n[HighDrawdown]\nthreshold = 15\n')
    by_option, by_variable = tmp_path / "a" / "grafana", tmp_path / "b" / "grafana"
    assert build("--into", str(by_option), "--set", "HighDrawdown.threshold=15", "--mute", "Tue 06:00-07:00") == 0
    monkeypatch.setenv("MCBOT_RULES", str(tmp_path / "my.toml"))
    assert build("--into", str(by_variable)) == 0
    for path in files.FILES:
        assert (by_option / path).read_text() == (by_variable / path).read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "HighDrawdwn.threshold=1"], "did you mean HighDrawdown?"),
        (["--set", "HighDrawdown.threshold=much"], "'much' is not a finite number"),
        (["--mute", "Tuesday"], "mute window 'Tuesday' must be"),
        (["--rules", "nowhere.toml"], "nowhere.toml"),
        (["--rules", "bad.toml"], "bad.toml: mute must be a list of windows"),
    ],
)
def test_what_cannot_be_is_one_line_and_nothing_is_written(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.toml").write_text("mute = 'Tue 06:00-07:00'\n")
    assert build(*arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not Path("grafana").exists()


def test_files_are_replaced_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write(tmp_path)
    before = {path: (tmp_path / path).read_text() for path in files.FILES}
    assert {file.name for file in tmp_path.rglob("*") if file.is_file()} == {Path(path).name for path in files.FILES}

    def broken(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fdopen", broken)
    with pytest.raises(OSError, match="No space"):
        files.write(tmp_path, mute=["Tue 06:00-07:00"])
    assert {path: (tmp_path / path).read_text() for path in files.FILES} == before
    assert {file.name for file in tmp_path.rglob("*") if file.is_file()} == {Path(path).name for path in files.FILES}


def test_choices_end_with_the_build(tmp_path: Path) -> None:
    before = files.text(f"{ALERTING}/policies.yaml")
    files.write(tmp_path, mute=["Tue 06:00-07:00"])
    assert files.text(f"{ALERTING}/policies.yaml") == before


# -- the doctor ------------------------------------------------------------------------------------------------------

HOOK = "https://discord.com/api/webhooks/1234567890/very-Secret_token"


def looked(**variables: str) -> Iterator[Any]:
    case = Case(Settings.load({}), variables)
    yield from wrong_addresses(case)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"MCBOT_DISCORD_URL": HOOK, "MCBOT_DISCORD_CRITICAL_URL": HOOK + "?thread_id=12"},
        {"MCBOT_DISCORD_URL": "http://preview:8090/api/webhooks/preview/alerts"},
        {"MCBOT_DISCORD_MENTION": "<@1> <@&2>", "MCBOT_WATCHDOG_URL": "https://hc-ping.com/x"},
    ],
)
def test_the_doctor_has_nothing_to_say(variables: dict[str, str]) -> None:
    assert list(looked(**variables)) == []


@pytest.mark.parametrize(
    ("variable", "value", "state"),
    [
        ("MCBOT_DISCORD_URL", "", FAIL),
        ("MCBOT_DISCORD_URL", "https://discord.com/channels/1/2", FAIL),
        ("MCBOT_DISCORD_HEARTBEAT_URL", HOOK.replace("discord", "dlscord"), FAIL),
        ("MCBOT_DISCORD_CRITICAL_URL", HOOK + "\n", FAIL),
        ("MCBOT_DISCORD_CRITICAL_URL", HOOK.replace("https", "http"), FAIL),
        ("MCBOT_WATCHDOG_URL", "hc-ping.com/secret-uuid", FAIL),
        ("MCBOT_DISCORD_MENTION", "@oncall", FAIL),
        ("MCBOT_DISCORD_MENTION", " ".join(f"<@{1234567890123456 + n}>" for n in range(3)), WARN),
    ],
)
def test_the_doctor_says_what_is_wrong_and_no_secret(variable: str, value: str, state: str) -> None:
    (line,) = looked(**{variable: value})
    assert (line.check, line.state) == (variable, state)
    assert "ecret" not in line.found + line.fix


def test_a_blank_is_not_nothing(tmp_path: Path) -> None:
    found = compose_variables({"MCBOT_DISCORD_URL": " ", "MCBOT_WATCHDOG_URL": ""}, tmp_path)
    assert found == {"MCBOT_DISCORD_URL": ""}


def test_the_doctor_says_where_alerts_go() -> None:
    def said(**variables: str) -> str:
        (line,) = alerts(Case(Settings.load({}), variables))
        assert line.state == OK
        assert "ecret" not in line.found
        return line.found

    assert "reach nobody" in said()
    assert "nobody hears of it when this machine is gone" in said(MCBOT_DISCORD_URL=HOOK)
    assert said(MCBOT_DISCORD_URL=HOOK, MCBOT_WATCHDOG_URL="https://hc-ping.com/secret") == "they go to Discord"


def test_no_address_is_in_a_file() -> None:
    for path in files.FILES:
        if path.startswith(ALERTING):
            assert "discord.com" not in files.text(path)
    assert provision.__doc__
