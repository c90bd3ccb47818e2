"""Every setting, in one frozen dataclass: a field is an argument of ``configure()`` and one environment variable.

An argument wins over the environment, the environment over the default; an empty variable counts as unset. Where
OpenTelemetry has a variable, that one is used, in its own unit; the rest are ``MCBOT_*``. Durations are seconds in
Python, and in ``MCBOT_*`` variables seconds or ``500ms``, ``90s``, ``10m``, ``2h``. A secret may come from a file: the
variable's name with ``_FILE`` appended holds its path.

Defaults differ from the SDK's where an alert on money needs it: metrics every 10 s instead of 60 s, spans after 1 s
instead of 5 s, room for 8,192 spans and records instead of 2,048, 3 s for a request instead of 10 s.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from platformdirs import user_state_dir

from otel_mcbot import semconv

MODES: Final = ("live", "paper", "shadow", "backtest")
"""What a bot can be. Only ``live`` may mention people; ``backtest`` exports nothing."""


class SettingsError(SystemExit, ValueError):
    """A setting that cannot be used: ``VARIABLE='value': allowed …`` in one line.

    Uncaught it ends a script with status 2 and without a traceback (``configure()`` has written the line to standard
    error); a program that wants to go on catches it as a ``ValueError``.
    """

    def __init__(self, name: str, value: object, allowed: str) -> None:
        self.line = f"{name}={str(value)!r}: allowed {allowed}"
        super().__init__(2)

    def __str__(self) -> str:
        return self.line


# -- how a value is read: from a string of the environment, or from what an argument holds ----------------------------


class _Kind(NamedTuple):
    """Reads a value or raises ``ValueError``; ``allowed`` says in words what can be read."""

    parse: Callable[[Any], Any]
    allowed: str


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError
    return value.strip()


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}[str(value).strip().lower()]


def _choice(*names: str, upper: bool = False) -> _Kind:
    def parse(value: Any) -> str:
        text = str(value).strip()
        text = text.upper() if upper else text.lower()
        if text not in names:
            raise ValueError
        return text

    return _Kind(parse, ", ".join(names))


def _whole(low: int, high: int) -> _Kind:
    def parse(value: Any) -> int:
        number = float(value)
        if isinstance(value, bool) or number != int(number) or not low <= number <= high:
            raise ValueError
        return int(number)

    return _Kind(parse, f"a whole number from {low} to {high}")


def _number(low: float, high: float) -> _Kind:
    def parse(value: Any) -> float:
        number = float(value)
        if isinstance(value, bool) or not low <= number <= high:
            raise ValueError
        return number

    return _Kind(parse, f"a number from {low:g} to {high:g}")


_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES: Final = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def seconds(value: Any) -> float:
    """A duration as seconds: a number, or a text like ``500ms``, ``90s``, ``10m``, ``2h``. Else ``ValueError``."""
    if isinstance(value, str):
        match = re.fullmatch(r"\s*([0-9.]+)\s*(ms|s|m|h|d)\s*", value)
        value = float(match[1]) * _SECONDS[match[2]] if match else float(value)
    result = float(value)
    if isinstance(value, bool) or not math.isfinite(result):
        raise ValueError
    return result


def _duration(low: float, high: float) -> _Kind:
    def parse(value: Any) -> float:
        result = seconds(value)
        if not low <= result <= high:
            raise ValueError
        return result

    return _Kind(parse, f"seconds, or as in 500ms, 90s, 10m, 2h; from {low:g} s to {high:g} s")


def _size(low: int) -> _Kind:
    def parse(value: Any) -> int:
        match = re.fullmatch(r"\s*([0-9.]+)\s*([KMG]?I?B?)\s*", str(value).upper())
        if match is None or match[2] not in _BYTES:
            raise ValueError
        result = int(float(match[1]) * _BYTES[match[2]])
        if result < low:
            raise ValueError
        return result

    return _Kind(parse, f"bytes, or as in 64KiB, 16MiB, 1GiB; at least {low}")


def _pairs(value: Any) -> dict[str, str]:
    """``a=1,b=2`` or a mapping."""
    if isinstance(value, Mapping):
        return {_text(key): _text(item) for key, item in value.items()}
    result = {}
    for part in filter(None, map(str.strip, str(value).split(","))):
        key, equals, item = part.partition("=")
        if not equals:
            raise ValueError
        result[_text(key)] = _text(item)
    return result


def _attributes(value: Any) -> dict[str, str]:
    return {key: unquote(item) for key, item in _pairs(value).items()}


def _expected(value: Any) -> dict[str, str]:
    expected = _pairs(value)
    if not all(re.fullmatch(r"[0-9]+[smhdDwWM]", timeframe) for timeframe in expected.values()):
        raise ValueError
    return expected


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = filter(str.strip, value.split(","))
    if not isinstance(value, Iterable):
        raise TypeError
    return tuple(dict.fromkeys(_text(name) for name in value))


def _url(value: Any) -> str:
    text = _text(value)
    if not urlsplit(text).hostname or urlsplit(text).scheme not in ("http", "https"):
        raise ValueError
    return text


def _path(value: Any) -> Path:
    return Path(os.fspath(value)).expanduser()


def _sources(value: Any) -> tuple[str, ...]:
    names = _names(value)
    if set(names) - {"loguru", "stdlib", "none"}:
        raise ValueError
    return tuple(name for name in names if name != "none")


_TEXT: Final = _Kind(_text, "printable text")
_FLAG: Final = _Kind(_flag, "true, false")
_URL: Final = _Kind(_url, "a URL as in http://localhost:4318")
_ATTRIBUTES: Final = _Kind(_attributes, "key=value pairs separated by commas, values percent-encoded")


def _setting(
    variable: str,
    kind: _Kind,
    help: str,
    default: Any = None,
    *,
    resource: str | None = None,
    milliseconds: bool = False,
    secret: bool = False,
) -> Any:
    """A field.

    Args:
        variable: its environment variable.
        kind: how a value is read.
        help: one sentence for the table of settings.
        default: a value, or a function without arguments that makes one.
        resource: the attribute of ``OTEL_RESOURCE_ATTRIBUTES`` that stands in when the variable is unset.
        milliseconds: the variable holds milliseconds, the field seconds.
        secret: never shown; may come from the file that ``<variable>_FILE`` names.
    """
    metadata = {
        "variable": variable, "kind": kind, "help": help, "resource": resource, "milliseconds": milliseconds,
        "secret": secret,
    }  # fmt: skip
    if callable(default):
        return field(default_factory=default, metadata=metadata, repr=not secret)
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of one process. Made by :meth:`load`; the table is docs/settings.md."""

    service_name: str = _setting(
        "OTEL_SERVICE_NAME", _TEXT, "The bot's name: `job` in Prometheus.", "mcbot", resource=semconv.SERVICE_NAME
    )
    service_namespace: str = _setting(
        "MCBOT_NAMESPACE", _TEXT, "What the bot belongs to.", "mcbot", resource=semconv.SERVICE_NAMESPACE
    )
    instance_id: str | None = _setting(
        "MCBOT_INSTANCE_ID",
        _TEXT,
        "This bot's own id: `instance` in Prometheus. Unset: made on the first run, kept in the state directory.",
        resource=semconv.SERVICE_INSTANCE_ID,
    )
    version: str | None = _setting(
        "MCBOT_VERSION", _TEXT, "The bot's version.", resource=semconv.SERVICE_VERSION
    )  # fmt: skip
    environment: str | None = _setting(
        "MCBOT_ENVIRONMENT", _TEXT, "Where it runs: `prod`, `staging` …", resource=semconv.DEPLOYMENT_ENVIRONMENT
    )
    resource_attributes: Mapping[str, str] = _setting(
        "OTEL_RESOURCE_ATTRIBUTES",
        _ATTRIBUTES,
        "More attributes of everything that is emitted.",
        dict,
    )
    mode: str = _setting(
        "MCBOT_MODE",
        _choice(*MODES),
        "What the bot does: only `live` may mention people, `backtest` exports nothing.",
        "paper",
        resource=semconv.TRADING_MODE,
    )
    exchange: str | None = _setting("MCBOT_EXCHANGE", _TEXT, "The venue it trades on.")
    expect: Mapping[str, str] = _setting(
        "MCBOT_EXPECT",
        _Kind(_expected, "symbol=timeframe pairs separated by commas, as in BTC/USDT=1m,ETH/USDT=4h"),
        "Symbols that must arrive, each with its timeframe; one that never does is reported.",
        dict,
    )
    strategies: tuple[str, ...] = _setting(
        "MCBOT_STRATEGIES",
        _Kind(_names, "names separated by commas"),
        "Strategies whose counters exist at 0 from the start.",
        tuple,
    )

    endpoint: str | None = _setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        _URL,
        "Where the Collector listens. Unset: it is looked for on this machine, and kept on disk until it is there.",
    )
    traces_endpoint: str | None = _setting(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", _URL, "The same for spans alone, as a full URL."
    )
    metrics_endpoint: str | None = _setting(
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", _URL, "The same for metrics alone, as a full URL."
    )
    logs_endpoint: str | None = _setting(
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", _URL, "The same for log records alone, as a full URL."
    )
    protocol: str = _setting(
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        _choice("http/protobuf", "grpc"),
        "How it is spoken to; `grpc` needs the extra of that name.",
        "http/protobuf",
    )
    headers: Mapping[str, str] = _setting(
        "OTEL_EXPORTER_OTLP_HEADERS",
        _ATTRIBUTES,
        "Sent with every request. A secret: `OTEL_EXPORTER_OTLP_HEADERS_FILE` names a file instead.",
        dict,
        secret=True,
    )
    export_timeout: float = _setting(
        "OTEL_EXPORTER_OTLP_TIMEOUT", _number(0.05, 60), "Seconds that one request may take.", 3.0
    )
    traces_exporter: str = _setting(
        "OTEL_TRACES_EXPORTER", _choice("otlp", "none"), "`none`: no spans are made.", "otlp"
    )
    metrics_exporter: str = _setting(
        "OTEL_METRICS_EXPORTER", _choice("otlp", "none"), "`none`: no metrics are sent.", "otlp"
    )
    logs_exporter: str = _setting(
        "OTEL_LOGS_EXPORTER", _choice("otlp", "none"), "`none`: no log records are made.", "otlp"
    )
    buffer_bytes: int = _setting(
        "MCBOT_BUFFER_BYTES",
        _size(1024),
        "Memory for each signal's batches that the Collector has not taken yet; the oldest go first.",
        16 * 2**20,
    )
    find_collector: bool = _setting(
        "MCBOT_FIND_COLLECTOR",
        _FLAG,
        "With no endpoint set, look for a Collector on this machine, at the start and each minute.",
        True,
    )
    json_bytes: int = _setting(
        "MCBOT_JSON_BYTES",
        _size(0),
        "Disk for OTLP JSON lines while no Collector was ever seen; 0 for none.",
        256 * 2**20,
    )
    metric_interval: float = _setting(
        "OTEL_METRIC_EXPORT_INTERVAL",
        _duration(0.1, 3600),
        "Time between two exports of metrics.",
        10.0,
        milliseconds=True,
    )
    span_delay: float = _setting(
        "OTEL_BSP_SCHEDULE_DELAY", _duration(0.01, 60), "The longest that an ended span waits.", 1.0, milliseconds=True
    )
    span_queue: int = _setting("OTEL_BSP_MAX_QUEUE_SIZE", _whole(1, 10**7), "Room for ended spans.", 8192)
    span_batch: int = _setting("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", _whole(1, 10**6), "Spans in a request.", 512)
    log_delay: float = _setting(
        "OTEL_BLRP_SCHEDULE_DELAY", _duration(0.01, 60), "The longest that a log record waits.", 1.0, milliseconds=True
    )
    log_queue: int = _setting("OTEL_BLRP_MAX_QUEUE_SIZE", _whole(1, 10**7), "Room for log records.", 8192)
    log_batch: int = _setting("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", _whole(1, 10**6), "Log records in a request.", 512)
    prometheus_port: int | None = _setting(
        "OTEL_EXPORTER_PROMETHEUS_PORT",
        _whole(0, 65535),
        "Also serve metrics for Prometheus to pull (8000 in the examples); needs the extra `prometheus`.",
    )
    prometheus_host: str = _setting(
        "OTEL_EXPORTER_PROMETHEUS_HOST", _TEXT, "The address that the pull endpoint listens on.", "127.0.0.1"
    )

    sampler: str = _setting(
        "OTEL_TRACES_SAMPLER",
        _choice(
            "always_on",
            "always_off",
            "traceidratio",
            "parentbased_always_on",
            "parentbased_always_off",
            "parentbased_traceidratio",
        ),
        "Which uneventful cycles are kept. One with a signal, an order or an error, or a slow one, always is.",
        "traceidratio",
    )
    sampler_ratio: float = _setting(
        "OTEL_TRACES_SAMPLER_ARG", _number(0, 1), "The part of the uneventful cycles that `traceidratio` keeps.", 1.0
    )
    hold: float = _setting(
        "MCBOT_HOLD", _duration(0.1, 86400), "How long a cycle waits for its orders before it ends as `working`.", 60.0
    )
    slow_cycle: float = _setting(
        "MCBOT_SLOW_CYCLE", _duration(0.001, 86400), "A cycle that takes longer is always kept.", 5.0
    )
    lost_after: float = _setting(
        "MCBOT_LOST_AFTER", _duration(0.1, 86400), "An order without an answer for so long is lost.", 60.0
    )

    logs: tuple[str, ...] = _setting(
        "MCBOT_LOGS",
        _Kind(_sources, "loguru, stdlib, none"),
        "Whose log lines are exported.",
        lambda: ("loguru", "stdlib"),
    )
    detectors: str = _setting(
        "MCBOT_DETECTORS",
        _choice("default", "calibrated"),
        "Thresholds of the detectors: the usual ones, or those with a stated rate of false alarms.",
        "default",
    )
    detector_budget: float = _setting(
        "MCBOT_DETECTOR_BUDGET",
        _number(0.01, 0.2),
        "Share of a healthy pod's years with an alarm of any calibrated detector.",
        0.05,
    )
    detector_driver: str | None = _setting(
        "MCBOT_DETECTOR_DRIVER",
        _choice("page_hinkley", "cusum", "rank"),
        "What moves a pod's lifecycle state. Unset: `page_hinkley`, or `cusum` with calibrated detectors.",
    )
    detector_grace_days: int = _setting(
        "MCBOT_DETECTOR_GRACE_DAYS", _whole(2, 10_000), "Days that a pod stays in probation before it retires.", 30
    )

    log_level: str = _setting(
        "MCBOT_LOG_LEVEL",
        _choice("TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL", upper=True),
        "Log lines below this level are not exported.",
        "INFO",
    )

    state_dir: Path = _setting(  # noqa: RUF009 - a field like the others
        "MCBOT_STATE_DIR",
        _Kind(_path, "a path"),
        "Identity, open orders and files. Default: the platform's directory for a user's state.",
        lambda: Path(user_state_dir("otel-mcbot")),
    )
    exit_timeout: float = _setting(
        "MCBOT_EXIT_TIMEOUT", _duration(0, 60), "How long the end of the process may wait for the last export.", 3.0
    )
    asyncio_instrumentation: bool = _setting(
        "MCBOT_ASYNCIO_INSTRUMENTATION",
        _FLAG,
        "Also switch on opentelemetry-instrumentation-asyncio; needs the extra `asyncio`.",
        False,
    )
    strict: bool = _setting("MCBOT_STRICT", _FLAG, "Our own errors are raised instead of logged. For tests.", False)
    disabled: bool = _setting("OTEL_SDK_DISABLED", _FLAG, "`true`: nothing is made, measured or sent.", False)

    @property
    def sample_ratio(self) -> float:
        """The part of the uneventful cycles to keep, 0.0–1.0."""
        if self.sampler.endswith("always_on"):
            return 1.0
        return 0.0 if self.sampler.endswith("always_off") else self.sampler_ratio

    @property
    def has_endpoint(self) -> bool:
        """Whether the user said where the Collector is."""
        return any((self.endpoint, self.traces_endpoint, self.metrics_endpoint, self.logs_endpoint))

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **arguments: Any) -> Settings:
        """Read every setting: ``arguments`` that are not ``None``, then ``environ`` (default: the process').

        Raises:
            SettingsError: a value cannot be used.
            TypeError: an argument that is no setting.
        """
        environ = os.environ if environ is None else environ
        known = {item.name: item for item in fields(cls)}
        if unknown := sorted(arguments.keys() - known.keys()):
            raise TypeError(f"no setting is called {', '.join(unknown)}; there are {', '.join(sorted(known))}")
        values: dict[str, Any] = {}
        said: dict[str, tuple[str, object]] = {}
        for name, item in known.items():
            given = arguments.get(name)
            label, scale = (name, 1.0) if given is not None else (item.metadata["variable"], 1.0)
            if given is None:
                given = _from_environment(environ, item.metadata["variable"], item.metadata["secret"])
                scale = 1000.0 if item.metadata["milliseconds"] else 1.0
            if given is None:
                continue
            kind: _Kind = item.metadata["kind"]
            said[name] = (label, "…" if item.metadata["secret"] else given)
            try:
                values[name] = kind.parse(given if scale == 1.0 else float(given) / scale)
            except (ValueError, TypeError, KeyError, OverflowError):
                allowed = f"milliseconds; {kind.allowed}" if scale != 1.0 else kind.allowed
                raise SettingsError(*said[name], allowed) from None
        attributes = values.get("resource_attributes", {})
        for name, item in known.items():
            if name not in values and (given := attributes.get(item.metadata["resource"])):
                kind = item.metadata["kind"]
                try:
                    values[name] = kind.parse(given)
                except (ValueError, TypeError, KeyError):
                    label = f"{said['resource_attributes'][0]} {item.metadata['resource']}"
                    raise SettingsError(label, given, kind.allowed) from None
        settings = cls(**values)
        for batch, queue in (("span_batch", "span_queue"), ("log_batch", "log_queue")):
            if getattr(settings, batch) > getattr(settings, queue):
                if batch not in said:  # only the room was made smaller: the default follows it
                    object.__setattr__(settings, batch, getattr(settings, queue))
                else:
                    raise SettingsError(*said[batch], f"at most the room in the queue, {getattr(settings, queue)}")
        return settings


def _from_environment(environ: Mapping[str, str], variable: str, secret: bool) -> str | None:
    """The variable's value; for a secret also what the file named by ``<variable>_FILE`` holds."""
    value = environ.get(variable, "").strip()
    if value or not secret:
        return value or None
    path = environ.get(f"{variable}_FILE", "").strip()
    if not path:
        return None
    try:
        return Path(path).expanduser().read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"{variable}_FILE", path, "a readable text file") from None


_PAGE: Final = """# Settings

Every argument of `configure()` is also an environment variable. An argument wins over the variable, the variable over
the default; an empty variable counts as unset. Where OpenTelemetry has a variable, that one is used, in its own unit.
Variables that are not listed (TLS, compression, limits of spans) keep their meaning for the exporters and the SDK.

A value that cannot be used is an error of one line, and the exit status of a script is 2:

```
MCBOT_MODE='lvie': allowed live, paper, shadow, backtest
```

A program that wants to go on catches it as a `ValueError`. Nothing else makes `configure()` fail: not a network that is
down, not a disk that is full.

"""


def markdown() -> str:
    """The page docs/settings.md."""
    rows = ["| argument | variable | default | allowed | what it does |", "|---|---|---|---|---|"]
    for item in fields(Settings):
        default = item.default
        if item.name == "state_dir":
            default = "platform's"
        elif item.default_factory is not MISSING:
            default = ", ".join(item.default_factory())
        kind: _Kind = item.metadata["kind"]
        unit = "milliseconds; the argument in " if item.metadata["milliseconds"] else ""
        shown = "" if default in (None, "") else f"`{str(default).lower() if isinstance(default, bool) else default}`"
        cells = (f"`{item.name}`", f"`{item.metadata['variable']}`", shown, unit + kind.allowed, item.metadata["help"])
        rows.append(f"| {' | '.join(cells)} |")
    return _PAGE + "\n".join(rows) + "\n"
