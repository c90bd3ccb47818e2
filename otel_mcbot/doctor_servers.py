"""The servers of the stack as the doctor meets them: is it there, is it the right one, what does it answer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import urlsplit

import requests

PATIENCE = 2.0
"""Seconds for one request."""

LARGEST = 8 * 2**20
"""Bytes of an answer that are read at most."""

OTLP_PATH = "/v1/traces"


Kind = Literal["absent", "silent", "other", "starting", "denied"]


class Trouble(Exception):
    """Why a server cannot be used.

    ``kind``: ``absent`` (nothing listens), ``silent`` (listens and does not answer), ``other`` (another server
    answers), ``starting`` (the right one, not ready), ``denied`` (the right one wants a token or a certificate).
    """

    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: Mapping[str, str]

    def json(self) -> Any:
        """The document; ``None`` when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def text(self) -> str:
        return " ".join(self.body[:300].decode(errors="replace").split())


class Web:
    """One server. ``ahead``: by how many seconds its clock was ahead of this machine's, half a second more or less."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.ahead: float | None = None

    def get(self, path: str, **parameters: str | float) -> Answer:
        return self.ask("GET", path, params=parameters)

    def ask(self, method: str, path: str, **options: Any) -> Answer:
        """Raises :class:`Trouble` when there is no answer in HTTP."""
        with requests.Session() as session:
            # a proxy or a .netrc of this user has nothing to say about his own machine
            session.trust_env = not is_local(self.url)
            before = time.time()
            try:
                with session.request(
                    method, self.url + path, timeout=PATIENCE, allow_redirects=False, stream=True, **options
                ) as response:
                    body = response.raw.read(LARGEST, decode_content=True)
                    answer = Answer(response.status_code, body, response.headers)
            except Exception as error:  # requests, urllib3 and what they let through
                raise _trouble(error) from error
        self._compare(answer.headers.get("Date"), before, time.time())
        return answer

    def _compare(self, date: str | None, before: float, after: float) -> None:
        try:
            told = parsedate_to_datetime(date or "").timestamp() + 0.5  # whole seconds, cut off
        except ValueError:
            return
        self.ahead = told - (before + after) / 2


def is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def _trouble(error: Exception) -> Trouble:
    if isinstance(error, requests.exceptions.SSLError):
        return Trouble("denied", "its certificate is not trusted here")
    if isinstance(error, requests.exceptions.Timeout) or "timed out" in str(error):
        return Trouble("silent", f"no answer within {PATIENCE:g} s")
    # the operating system's own words are below what requests and urllib3 wrap around them
    cause: BaseException | None = error
    while cause is not None:
        inner = getattr(cause, "reason", None)
        following = inner if isinstance(inner, BaseException) else cause.__cause__ or cause.__context__
        if isinstance(cause, ConnectionRefusedError):
            return Trouble("absent", "nothing listens there")
        if (
            following is None
            and isinstance(cause, OSError)
            and cause.strerror
            and "reset" not in cause.strerror.lower()
        ):
            return Trouble("absent", cause.strerror)
        cause = following
    return Trouble("other", "what answers does not speak HTTP")


# -- who is it ---------------------------------------------------------------------------------------------------------


def _other(answer: Answer) -> Trouble:
    server = answer.headers.get("Server")
    return Trouble("other", f"another server answers{f', {server}' if server else ''} (HTTP {answer.status})")


def _ready(web: Web, path: str) -> None:
    answer = web.get(path)
    if answer.status != 200:
        time.sleep(1.1)  # Tempo and Loki count a second from the first time that somebody asks
        answer = web.get(path)
    if answer.status != 200:
        raise Trouble("starting", f"it is not ready: {answer.text[:120]}")


def is_grafana(web: Web) -> str:
    """Its version, empty where it does not say. :class:`Trouble` when it is not what it should be; likewise below."""
    health = web.get("/api/health")
    told = health.json()
    if not isinstance(told, dict) or "database" not in told:
        raise _other(health)
    if told["database"] != "ok":
        raise Trouble("starting", f"its database: {told['database']}")
    if web.get("/api/dashboards/uid/why").status != 200:
        raise Trouble("other", "another Grafana answers, without the dashboards of this stack")
    return str(told.get("version", ""))


def is_prometheus(web: Web) -> str:
    healthy = web.get("/-/healthy")
    if b"Prometheus Server" not in healthy.body:
        raise _other(healthy)
    _ready(web, "/-/ready")
    flags = web.get("/api/v1/status/flags").json() or {}
    if flags.get("data", {}).get("web.enable-otlp-receiver") != "true":
        raise Trouble("other", "another Prometheus answers, one that takes no OTLP")
    built = web.get("/api/v1/status/buildinfo").json() or {}
    return str(built.get("data", {}).get("version", ""))


def is_tempo(web: Web) -> str:
    told = web.get("/status/version")
    before, _, after = told.text.partition("tempo, version")
    if not after or told.status != 200 or len(before) > 40:
        raise _other(told)
    _ready(web, "/ready")
    return after.split("(")[0].strip()


def is_loki(web: Web) -> str:
    told = web.get("/loki/api/v1/status/buildinfo")
    built = told.json()
    if told.status != 200 or not isinstance(built, dict) or "goVersion" not in built:
        raise _other(told)
    _ready(web, "/ready")
    return str(built.get("version", ""))


def is_collector(web: Web) -> str:
    told = web.get("/")
    health = told.json()
    if not isinstance(health, dict) or not str(health.get("status", "")).startswith("Server"):
        raise _other(told)
    if told.status != 200:
        raise Trouble("starting", f"it says: {health['status']}")
    return ""


def is_otlp(
    web: Web, path: str = OTLP_PATH, headers: Mapping[str, str] | None = None, verify: str | bool = True
) -> str:
    """An empty request, as a bot would make it: nothing is stored."""
    sent = {"Content-Type": "application/x-protobuf", **(headers or {})}
    answer = web.ask("POST", path, data=b"", headers=sent, verify=verify)
    if answer.status in (401, 403):
        raise Trouble("denied", f"it does not accept this bot (HTTP {answer.status})")
    if answer.status in (429, 503):
        raise Trouble("starting", f"it takes nothing now (HTTP {answer.status})")
    if answer.status != 200:
        raise _other(answer)
    return ""


@dataclass(frozen=True)
class Server:
    """A part of the stack: as people and ``compose.yaml`` call it, where it listens, how it is known."""

    name: str
    title: str
    service: str
    variable: str
    port: int
    recognise: Callable[[Web], str]


SERVERS = (
    Server("grafana", "Grafana", "grafana", "MCBOT_GRAFANA_PORT", 3000, is_grafana),
    Server("prometheus", "Prometheus", "prometheus", "MCBOT_PROMETHEUS_PORT", 9090, is_prometheus),
    Server("tempo", "Tempo", "tempo", "MCBOT_TEMPO_PORT", 3200, is_tempo),
    Server("loki", "Loki", "loki", "MCBOT_LOKI_PORT", 3100, is_loki),
    Server("collector", "the Collector", "collector", "MCBOT_COLLECTOR_HEALTH_PORT", 13133, is_collector),
    Server("otlp", "the Collector's receiver", "collector", "MCBOT_OTLP_HTTP_PORT", 4318, is_otlp),
)
