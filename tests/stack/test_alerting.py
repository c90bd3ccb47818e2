"""Alerts from a metric to a message: what a real Grafana makes of the files, and what Discord would get."""

from __future__ import annotations

import base64
import json
import re
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import otlp
import pytest
from stack import Stack, fetch, get, wait_for

from otel_mcbot.provision import files, messages
from otel_mcbot.rules import RULES, find

MENTION = "<@&123456789012345678>"
PASSWORD = "of-this-test-only"
LINKS = re.compile(r"\[(\w+)\]\(<([^>]*)>\)")
SERVICE = "momentum-and-mean-reversion-bt"
"""30 characters, as long as a name is in practice; an instance has 40, a symbol and a strategy 30."""


def instance(number: int) -> str:
    return f"live-eu-central-1-frankfurt-host-{number}-".ljust(40, "x")


def symbol(number: int) -> str:
    return f"1000SHIB{number}/USDT:USDT-251226".ljust(30, "0")


def strategy(number: int) -> str:
    return f"anchored-momentum-breakout-{number}".ljust(30, "v")


class Grafana:
    """Its interface for an administrator."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.url = stack.url["grafana"]
        self.log_in = {"Authorization": "Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode()}

    def ask(self, path: str, body: Any = None) -> Any:
        status, answer = fetch(
            f"{self.url}/api/{path}", body, headers=self.log_in | {"Content-Type": "application/json"}
        )
        assert status == 200, (status, path, answer[:500])
        return json.loads(answer)

    def render(self, alerts: Sequence[Mapping[str, Any]], *, base: str = "") -> str:
        """Message and, with a ``base`` for Grafana's own address, its links below that."""
        (template,) = self.ask("v1/provisioning/templates")
        body = {"name": template["name"], "template": template["template"], "alerts": list(alerts)}
        if base:
            body["template"] = body["template"].replace(".ExternalURL", json.dumps(base))
        answer = self.ask("alertmanager/grafana/config/api/v1/templates/test", body)
        assert not answer.get("errors"), answer["errors"]
        texts = {each["name"]: each["text"] for each in answer["results"]}
        assert len(texts[messages.TITLE]) <= 256
        message: str = texts[messages.MESSAGE]
        assert len(message) <= messages.ROOM
        assert message.count("(<") == len(LINKS.findall(message)), "a link was cut"
        return message


@pytest.fixture(scope="module")
def grafana(stack: Stack) -> Iterator[Grafana]:
    """A new container with somebody to mention, and a password."""
    stack.environ["MCBOT_DISCORD_MENTION"] = MENTION
    stack.compose("up", "-d", "--wait", "grafana")
    stack.compose("exec", "-T", "grafana", "grafana", "cli", "admin", "reset-admin-password", PASSWORD)
    yield Grafana(stack)
    del stack.environ["MCBOT_DISCORD_MENTION"]
    stack.compose("up", "-d", "--wait", "grafana")


def made(name: str) -> Any:
    return files.read(files.text(f"provisioning/alerting/{name}.yaml"))


# -- what Grafana makes of the files ----------------------------------------------------------------------------------


def test_it_has_the_rules_as_they_are_committed(grafana: Grafana) -> None:
    there = {rule["uid"]: rule for rule in grafana.ask("v1/provisioning/alert-rules")}
    wanted = {rule["uid"]: (group, rule) for group in made("rules")["groups"] for rule in group["rules"]}
    assert there.keys() == wanted.keys()
    folders = {folder["uid"]: folder["title"] for folder in grafana.ask("folders")}
    assert list(folders.values()) == ["otel-mcbot"], "dashboards and rules share one folder"
    for uid, (group, rule) in wanted.items():
        found = there[uid]
        assert folders[found["folderUID"]] == group["folder"]
        assert (found["ruleGroup"], found["title"], found["labels"]) == (group["name"], rule["title"], rule["labels"])
        assert found["annotations"] == rule["annotations"]
        assert seconds(found["for"]) == seconds(rule["for"])
        assert found["noDataState"] == rule["noDataState"]
        query, math = (part["model"] for part in found["data"])
        assert query.items() >= rule["data"][0]["model"].items()
        assert math["expression"] == rule["data"][1]["model"]["expression"]


def seconds(duration: str) -> int:
    sizes = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
    return sum(int(count) * sizes[name] for count, name in re.findall(r"(\d+)([wdhms])", duration))


def test_it_has_the_routes_and_the_templates(grafana: Grafana) -> None:
    def plain(route: Mapping[str, Any]) -> dict[str, Any]:
        times = {key: seconds(route[key]) for key in ("group_wait", "group_interval", "repeat_interval")}
        matchers = sorted(map(tuple, route.get("object_matchers", [])))
        return {"receiver": route["receiver"], "group_by": route["group_by"], "matchers": matchers} | times

    (policy,) = made("policies")["policies"]
    there = grafana.ask("v1/provisioning/policies")
    assert plain(there) == plain(policy)
    assert [plain(route) for route in there["routes"]] == [plain(route) for route in policy["routes"]]
    points = {point["uid"]: point for point in grafana.ask("v1/provisioning/contact-points") if point["uid"]}
    for wanted in made("contact-points")["contactPoints"]:
        (receiver,) = wanted["receivers"]
        assert points[receiver["uid"]]["name"] == wanted["name"]
        assert points[receiver["uid"]]["disableResolveMessage"] == receiver["disableResolveMessage"]
    assert MENTION in points["discord-critical-mention"]["settings"]["message"]
    (template,) = grafana.ask("v1/provisioning/templates")
    assert template["template"] == made("templates")["templates"][0]["template"]


def test_every_rule_is_evaluated_without_an_error(grafana: Grafana) -> None:
    def states() -> dict[str, tuple[str, str]]:
        groups = grafana.ask("prometheus/grafana/api/v1/rules")["data"]["groups"]
        found = {rule["name"]: (rule["health"], rule["state"]) for group in groups for rule in group["rules"]}
        evaluated = all(health == "ok" for health, _ in found.values())
        return found if evaluated and found["Watchdog"] == ("ok", "firing") else {}

    found = wait_for(states, 60, "all rules healthy, the Watchdog firing")
    assert found.keys() >= {rule.name for rule in RULES}
    assert found["PrometheusDown"] == ("ok", "inactive")


def test_nothing_is_complained_about(grafana: Grafana) -> None:
    said = grafana.stack.compose("logs", "--no-color", "grafana").splitlines()
    assert said
    about = [line for line in said if re.search(r"logger=(provisioning|ngalert|alertmanager)", line)]
    assert [line for line in about if re.search("level=(warn|error)", line)] == []


@pytest.mark.timeout(300)
def test_the_watchdog_is_heard_outside(stack: Stack, grafana: Grafana) -> None:
    heard = get(f"{stack.url['preview']}/watchdog")["count"]
    assert wait_for(lambda: get(f"{stack.url['preview']}/watchdog")["count"] >= heard + 2, 240, "two more pings")


# -- words, of alerts that are made up --------------------------------------------------------------------------------


def bot(number: int = 0, **labels: str) -> dict[str, str]:
    return {
        "job": f"mcbot/{SERVICE}",
        "instance": instance(number),
        "service_name": SERVICE,
        "trading_mode": "live",
        **labels,
    }


def alert(name: str, labels: Mapping[str, str], *, over: bool = False) -> dict[str, Any]:
    """An alert that began ten minutes ago; ``over``: one that began an hour ago and ended just now."""
    rule = find(name)
    now = datetime.now(UTC)
    notes = next(each for g in made("rules")["groups"] for each in g["rules"] if each["title"] == name)["annotations"]
    summary = re.sub(r"\{value\}|\{threshold\}", "24.71 bp", rule.text)
    return {
        "labels": {"alertname": name, "family": rule.family, "severity": rule.severity.value, **labels},
        "annotations": notes | {"summary": re.sub(r"\{(\w+)\}", lambda found: labels.get(found[1], "5m"), summary)},
        "startsAt": (now - timedelta(minutes=60 if over else 10)).isoformat(),
        "endsAt": (now - timedelta(seconds=1) if over else now + timedelta(minutes=5)).isoformat(),
    }


@pytest.mark.parametrize("several_bots", [True, False], ids=["four bots", "one bot"])
@pytest.mark.parametrize("name", ["HighSlippage", "StrategyPnlNegative", "LiveFillParseFailure"])
def test_four_of_the_longest_names_fit(grafana: Grafana, name: str, several_bots: bool) -> None:
    of_rule = {"symbol": symbol, "strategy": strategy, "side": lambda _: "SELL"}
    four = [
        alert(name, bot(n if several_bots else 0, **{label: of_rule[label](n) for label in find(name).labels}))
        for n in range(4)
    ]
    message = grafana.render(four, base="https://grafana.example.com/")
    links = LINKS.findall(message)
    assert "more" not in re.sub(r"\(<.*?>\)", "", message).split("\n")[-2:]
    assert not re.search(r"^and \d+ more$", message, re.MULTILINE)
    assert [word for word, _ in links].count("why") == 4
    assert {word for word, _ in links} == {"why", "panel", "runbook", "silence"}
    assert max(len(url) for _, url in links) < 200
    for n in range(4):
        assert (instance(n) if several_bots else SERVICE) in message


def test_five_are_a_summary(grafana: Grafana) -> None:
    message = grafana.render([alert("WSDisconnected", bot(symbol=symbol(n))) for n in range(5)])
    assert message.startswith("🔴 **5 × WSDisconnected**")
    assert message.count("is down") == 1
    assert message.count("[why]") == 1, "of the first"
    assert all(symbol(n) in message for n in range(5))
    assert len(grafana.render([alert("WSDisconnected", bot(symbol=symbol(n))) for n in range(4)])) > len(message)


def test_of_a_storm_the_rest_is_counted(grafana: Grafana) -> None:
    message = grafana.render([alert("WSDisconnected", bot(symbol=symbol(n))) for n in range(100)])
    assert len(message) < 1400
    named = message.count("1000SHIB") - 1  # the first's link has it too
    (left,) = re.findall(r"^and (\d+) more$", message, re.MULTILINE)
    assert named + int(left) == 100


def test_what_is_over_says_how_long_it_lasted_and_no_value(grafana: Grafana) -> None:
    message = grafana.render([alert("HighSlippage", bot(symbol="BTC/USDT", side="BUY"), over=True)])
    heading, line, links = message.split("\n")
    assert heading == f"🟢 **HighSlippage** `{SERVICE}` `{instance(0)}` live"
    assert re.fullmatch(r"✅ over after 59m59s side `BUY` symbol `BTC/USDT`", line)
    assert [word for word, _ in LINKS.findall(links)] == ["panel"]


def test_some_fire_and_some_are_over(grafana: Grafana) -> None:
    firing = alert("HighSlippage", bot(symbol="BTC/USDT", side="BUY"))
    over = alert("HighSlippage", bot(symbol="ETH/USDT", side="BUY"), over=True)
    message = grafana.render([firing, over])
    assert message.startswith("🟠 **HighSlippage**")
    assert re.search(r"^• .*BTC/USDT", message, re.MULTILINE)
    assert re.search(r"^✅ over after .*ETH/USDT", message, re.MULTILINE)


def test_what_is_no_bots_leads_to_no_traces(grafana: Grafana) -> None:
    labels = {"job": "mcbot/collector", "instance": "collector", "service_name": "collector"}
    links = dict(LINKS.findall(grafana.render([alert("CollectorDown", labels)])))
    assert links.keys() == {"panel", "runbook", "silence"}
    assert "var-" not in links["panel"]


AWKWARD = [
    "@everyone",
    "@here",
    "<@1234>",
    "<@&1234>",
    "a`b`c",
    "**x**_y_",
    "[x](https://evil.example)",
    "a\nb",
    "||s||",
]
AWKWARD += ["https://evil.example/x", "\\", "é ü 策略", "a b/c#d?e&f=g+h%i)]>", "'\"", "x" * 500]


@pytest.mark.parametrize("name", AWKWARD)
def test_no_name_can_mention_link_or_format(grafana: Grafana, name: str) -> None:
    for over in (False, True):
        message = grafana.render([alert("StrategyPnlNegative", bot(strategy=name), over=over)])
        assert not re.search(r"@(?!\u200b)|<(?!\u200b|http)", message)
        visible = LINKS.sub("", message)
        assert "://" not in visible
        plain = re.sub(r"`[^`\n]*`|\\.", "", visible)
        assert not re.search(r"[`_|~\[\]\\]|\*(?!\*)(?<!\*\*)", plain), plain
        assert message.count("\n") == 2
    why = dict(LINKS.findall(grafana.render([alert("StrategyPnlNegative", bot(strategy=name))])))["why"]
    asked = urllib.parse.parse_qs(urllib.parse.urlsplit(why).query)
    assert asked["var-strategy"] == [name]


def test_the_mention_is_on_what_fires_only(grafana: Grafana) -> None:
    """The contact point's own text, filled in by Grafana."""
    points = {point["uid"]: point["settings"]["message"] for point in grafana.ask("v1/provisioning/contact-points")
              if point["type"] == "discord"}  # fmt: skip
    definitions = grafana.ask("v1/provisioning/templates")[0]["template"]
    for uid, message in points.items():
        for over in (False, True):
            body = {
                "name": "tried",
                "template": f'{definitions}\n{{{{ define "tried" }}}}{message}{{{{ end }}}}',
                "alerts": [alert("BotDown", bot(), over=over)],
            }
            answer = grafana.ask("alertmanager/grafana/config/api/v1/templates/test", body)
            (text,) = [each["text"] for each in answer["results"] if each["name"] == "tried"]
            mentioned = uid == "discord-critical-mention" and not over
            assert text.startswith(f"{MENTION} 🔴" if mentioned else "🟢" if over else "🔴")
            assert (MENTION in text) == mentioned


# -- from a metric to a message ---------------------------------------------------------------------------------------


def gauge(name: str, *points: tuple[float, Mapping[str, str]]) -> dict[str, Any]:
    found = [otlp.point(int(value), **labels) for value, labels in points]
    for each in found:
        each.start_time_unix_nano = 0  # with a start there would be a 0 at it
    return {"name": name, "gauge": {"data_points": found}}


class Fleet:
    """Bots with bad values, sent as often as asked, in one request: a rule sees all of them or none."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def send(self) -> None:
        bad = "mcbot_gbm_severity"
        assert bad in find("GBMDrawdownCritical").query
        storm = [(2, {"strategy": f"s{n}"}) for n in range(7)]
        injected = (2, {"strategy": "@everyone <@1234> [x](https://evil.example)"})
        request = otlp.metrics("live-one", gauge(bad, (2, {"strategy": "trend"})), mode="live")
        request.MergeFrom(otlp.metrics("paper-one", gauge(bad, injected)))
        request.MergeFrom(otlp.metrics("storm", gauge(bad, *storm), mode="live"))
        for n in range(4):
            request.MergeFrom(otlp.metrics(instance(n), gauge(bad, (1, {"strategy": strategy(n)}))))
        status, answer = fetch(
            f"{self.stack.url['otlp']}/v1/metrics", request.SerializeToString(),
            headers={"Content-Type": "application/x-protobuf"},
        )  # fmt: skip
        assert status == 200, answer

    def messages(self) -> dict[str, dict[str, Any]]:
        """The first message about each, by its name; the four together are ``four``."""
        found: dict[str, dict[str, Any]] = {}
        for message in get(f"{self.stack.url['preview']}/messages.json"):
            content = message["payload"]["content"]
            if "GBMDrawdown" in content:
                name = re.search(r"`(live-one|paper-one|storm)`", content)
                found.setdefault(name[1] if name else "four", message)
        return found


@pytest.fixture(scope="module")
def told(stack: Stack, grafana: Grafana) -> dict[str, dict[str, Any]]:
    """What arrived, with the seconds that it took as ``took``."""
    fleet = Fleet(stack)
    wait_for(lambda: grafana.ask("prometheus/grafana/api/v1/rules")["data"]["groups"], 60, "rules")
    began = time.time()
    end = began + 60
    while len(fleet.messages()) < 4 and time.time() < end:
        fleet.send()
        time.sleep(1)  # the bots' own pace, not a wait: what is awaited is asked for in between
    found = fleet.messages()
    assert found.keys() == {"live-one", "paper-one", "storm", "four"}
    return {name: message | {"took": message["received"] - began} for name, message in found.items()}


def test_messages_arrive_within_30_seconds_after_their_time(told: Mapping[str, Any]) -> None:
    took = {name: round(message["took"], 1) for name, message in told.items()}
    print(f"seconds from the first bad value to the message: {took}")
    assert max(took.values()) <= 30


def test_they_arrive_where_they_should_and_as_discord_takes_them(told: Mapping[str, Any]) -> None:
    assert {name: message["channel"] for name, message in told.items()} == {
        "live-one": "critical",
        "paper-one": "critical",
        "storm": "critical",
        "four": "alerts",
    }
    for message in told.values():
        assert message["refused"] is None
        assert len(message["payload"]["content"]) <= 2000
        (box,) = message["payload"]["embeds"]
        assert re.match("🔴 CRITICAL GBMDrawdownCritical · raw|🟠 WARNING GBMDrawdownWarning · raw", box["title"])


def test_only_a_live_bot_in_danger_wakes_somebody(told: Mapping[str, Any]) -> None:
    pings = {name: message["pings"] for name, message in told.items()}
    assert pings == {"live-one": [MENTION], "storm": [MENTION], "paper-one": [], "four": []}
    assert told["live-one"]["payload"]["content"].startswith(f"{MENTION} 🔴 **GBMDrawdownCritical**")
    assert "@\u200beveryone" in told["paper-one"]["payload"]["content"]


def test_several_at_once_are_one_message(told: Mapping[str, Any]) -> None:
    assert "**7 × GBMDrawdownCritical**" in told["storm"]["payload"]["content"]
    four = told["four"]["payload"]["content"]
    assert "**4 × GBMDrawdownWarning**" in four
    assert all(instance(n) in four for n in range(4))


def test_the_links_lead_to_something(stack: Stack, told: Mapping[str, Any]) -> None:
    base = f"{stack.url['grafana']}/"
    links = dict(LINKS.findall(told["live-one"]["payload"]["content"]))
    assert links.keys() == {"why", "panel", "runbook", "silence"}
    assert max(map(len, links.values())) < 200
    assert [url for url in links.values() if not url.startswith(base)] == []

    board, panel, asked = opened(stack, links["panel"], base)
    assert panel["title"] == find("GBMDrawdownCritical").panel.partition("/")[2]
    assert (asked["job"], asked["mode"], asked["instance"]) == ("mcbot/raw", "live", "live-one")
    frames = stack.panel(panel["targets"][0], {"symbol": ".*", "strategy": ".*", **asked}, interval=10)
    assert frames
    assert any(frame["data"]["values"] for frame in frames)

    board, _, asked = opened(stack, links["why"], base)
    assert (board["uid"], asked["bot"], asked["strategy"]) == ("why", "raw", "trend")
    assert asked.keys() - {"from", "to"} <= {variable["name"] for variable in board["templating"]["list"]}
    assert int(asked["from"]) / 1000 < told["live-one"]["received"] < int(asked["to"]) / 1000

    board, panel, _ = opened(stack, links["runbook"], base)
    assert (board["uid"], panel["title"], panel["type"]) == ("runbooks", "GBMDrawdownCritical", "text")

    silence = urllib.parse.parse_qs(urllib.parse.urlsplit(links["silence"]).query)
    assert silence["matcher"] == ["alertname=GBMDrawdownCritical", "instance=live-one"]


def opened(stack: Stack, url: str, base: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
    """The dashboard of a link, its panel, and the variables and times that the link gives."""
    parts = urllib.parse.urlsplit(url.removeprefix(base))
    query = {name: values[0] for name, values in urllib.parse.parse_qs(parts.query).items()}
    board = get(f"{stack.url['grafana']}/api/dashboards/uid/{parts.path.removeprefix('d/')}")["dashboard"]
    wanted = [each for each in board["panels"] if str(each["id"]) == query.get("viewPanel")]
    assert len(wanted) == ("viewPanel" in query)
    return board, (wanted or [{}])[0], {name.removeprefix("var-"): value for name, value in query.items()}
