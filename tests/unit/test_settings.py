"""Settings: where a value comes from, and what a person sees of a bad one."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from otel_mcbot.settings import Settings, SettingsError, markdown, seconds

DOCS = Path(__file__).parents[2] / "docs" / "settings.md"


def load(environ: dict[str, str] | None = None, **arguments: object) -> Settings:
    return Settings.load(environ or {}, **arguments)


def test_an_argument_wins_over_the_environment_and_that_over_the_default() -> None:
    assert load().service_name == "mcbot"
    assert load({"OTEL_SERVICE_NAME": "grid"}).service_name == "grid"
    assert load({"OTEL_SERVICE_NAME": "grid"}, service_name="trend").service_name == "trend"
    assert load({"OTEL_SERVICE_NAME": "  "}).service_name == "mcbot"


def test_resource_attributes_stand_in_for_unset_variables() -> None:
    environ = {"OTEL_RESOURCE_ATTRIBUTES": "service.name=grid,service.instance.id=a%20b,trading.mode=live,team=x"}
    settings = load(environ)
    assert (settings.service_name, settings.instance_id, settings.mode) == ("grid", "a b", "live")
    assert settings.resource_attributes["team"] == "x"
    assert load({**environ, "OTEL_SERVICE_NAME": "trend"}).service_name == "trend"


def test_milliseconds_in_the_environment_are_seconds_in_python() -> None:
    settings = load({"OTEL_METRIC_EXPORT_INTERVAL": "2500", "OTEL_BSP_SCHEDULE_DELAY": "200"})
    assert (settings.metric_interval, settings.span_delay) == (2.5, 0.2)
    assert load(metric_interval="2500ms").metric_interval == 2.5


def test_our_defaults_are_those_that_alerts_need() -> None:
    settings = load()
    assert (settings.metric_interval, settings.span_delay, settings.span_queue, settings.export_timeout) == (
        10.0, 1.0, 8192, 3.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "expected"), [("500ms", 0.5), ("90s", 90), ("10m", 600), ("2h", 7200), ("1.5", 1.5), (3, 3)]
)
def test_durations(value: object, expected: float) -> None:
    assert seconds(value) == pytest.approx(expected)


def test_expect_and_strategies() -> None:
    settings = load({"MCBOT_EXPECT": "BTC/USDT:USDT=1m, ETH/USDT=4h", "MCBOT_STRATEGIES": "trend, grid,trend"})
    assert settings.expect == {"BTC/USDT:USDT": "1m", "ETH/USDT": "4h"}
    assert settings.strategies == ("trend", "grid")


def test_the_sampler_as_a_ratio() -> None:
    assert load().sample_ratio == 1.0
    assert load({"OTEL_TRACES_SAMPLER_ARG": "0.1"}).sample_ratio == 0.1
    assert load({"OTEL_TRACES_SAMPLER": "always_on", "OTEL_TRACES_SAMPLER_ARG": "0.1"}).sample_ratio == 1.0
    assert load({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}).sample_ratio == 0.0


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("MCBOT_MODE", "lvie", "live, paper, shadow, backtest"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "10s", "milliseconds; seconds, or as in"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1", "a whole number from 1"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318", "a URL as in http://localhost:4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "http/protobuf, grpc"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "nan", "a number from 0.05"),
        ("OTEL_SDK_DISABLED", "yes", "true, false"),
        ("MCBOT_EXPECT", "BTC/USDT", "symbol=timeframe"),
        ("MCBOT_EXPECT", "BTC/USDT=hourly", "symbol=timeframe"),
        ("MCBOT_BUFFER_BYTES", "16 parsecs", "64KiB"),
        ("MCBOT_HOLD", "soon", "500ms"),
        ("MCBOT_LOGS", "loguru,journald", "loguru, stdlib, none"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5", "from 0 to 1"),
        ("OTEL_EXPORTER_PROMETHEUS_PORT", "99999", "65535"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "9000", "at most the room in the queue"),
    ],
)
def test_a_bad_value_is_one_line_with_variable_value_and_what_is_allowed(
    variable: str, value: str, allowed: str
) -> None:
    with pytest.raises(ValueError, match=r"allowed") as caught:
        load({variable: value})
    line = str(caught.value)
    assert line.startswith(f"{variable}={value!r}: allowed ")
    assert allowed in line
    assert "\n" not in line


def test_a_bad_argument_is_named_as_the_caller_wrote_it() -> None:
    with pytest.raises(SettingsError, match=r"^mode='lvie': allowed live"):
        load({"MCBOT_MODE": "live"}, mode="lvie")
    with pytest.raises(TypeError, match="no setting is called hodl"):
        load(hodl=60)


def test_a_smaller_queue_makes_a_smaller_batch() -> None:
    assert load({"OTEL_BSP_MAX_QUEUE_SIZE": "100"}).span_batch == 100


def test_secrets_come_from_a_file_and_are_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "headers"
    path.write_text("authorization=Bearer%20hunter2\n")
    settings = load({"OTEL_EXPORTER_OTLP_HEADERS_FILE": str(path)})
    assert settings.headers == {"authorization": "Bearer hunter2"}
    assert "hunter2" not in repr(settings)
    with pytest.raises(SettingsError) as caught:
        load({"OTEL_EXPORTER_OTLP_HEADERS": "hunter2"})
    assert "hunter2" not in str(caught.value)
    with pytest.raises(SettingsError, match=r"^OTEL_EXPORTER_OTLP_HEADERS_FILE='.*': allowed a readable"):
        load({"OTEL_EXPORTER_OTLP_HEADERS_FILE": str(tmp_path / "gone")})


def test_a_field_is_one_variable() -> None:
    variables = [item.metadata["variable"] for item in dataclasses.fields(Settings)]
    assert len(variables) == len(set(variables))
    assert all(variable.startswith(("OTEL_", "MCBOT_")) for variable in variables)


def test_the_documented_table_is_the_real_one() -> None:
    assert DOCS.read_text(encoding="utf-8") == markdown(), "make docs"


def test_uncaught_it_ends_a_script_with_status_2_and_one_line() -> None:
    script = """
import sys
from otel_mcbot.settings import Settings
try:
    Settings.load()
except ValueError as error:
    print(error, file=sys.stderr)
    raise
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"MCBOT_MODE": "lvie"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "MCBOT_MODE='lvie': allowed live, paper, shadow, backtest\n"
