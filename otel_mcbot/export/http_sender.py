"""OTLP over HTTP: the stock exporters encode, a session of ours takes their requests, this sends them."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from requests import PreparedRequest, Response, Session
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.exceptions import RequestException

from otel_mcbot.export.sender import SIGNALS, Outcome, Signal, partial_success, root_cause

RETRYABLE: Final = frozenset({408, 429, 502, 503, 504})
"""Statuses after which OTLP wants the same request again; any other refusal is final (OTLP specification, failures)."""

MAX_ANSWER: Final = 16 * 1024
"""Bytes of an answer that are read; an OTLP response is far smaller."""


@dataclass(frozen=True, slots=True)
class Route:
    """How the stock exporter would have sent its last request: all of address, headers, TLS, proxies and time-out."""

    request: PreparedRequest
    timeout: float
    verify: bool | str
    cert: Any
    proxies: Any


class Intercept(BaseAdapter):
    """Stands where a session's network is: hands the body to ``put`` and answers 200 at once."""

    def __init__(self, put: Callable[[bytes], None], note: Callable[[Route], None]) -> None:
        super().__init__()
        self._put = put
        self._note = note

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> Response:
        body = request.body if isinstance(request.body, bytes) else b""
        request.body = None  # the route is kept, the body belongs to the ring
        self._note(Route(request, float(timeout or 10.0), verify, cert, proxies))
        self._put(body)
        response = Response()
        response.status_code = 200
        response.request = request
        return response

    def close(self) -> None:
        """Nothing is open."""


def session(put: Callable[[bytes], None], note: Callable[[Route], None]) -> Session:
    """A session for a stock exporter's ``session=`` that never touches the network."""
    made = Session()
    adapter = Intercept(put, note)
    made.mount("http://", adapter)
    made.mount("https://", adapter)
    return made


class HttpSender:
    """Sends payloads over kept-alive connections, one try a call."""

    def __init__(self) -> None:
        self._routes: dict[Signal, Route] = {}
        self._adapter = HTTPAdapter(pool_connections=len(SIGNALS), pool_maxsize=1, max_retries=0)

    def note(self, signal: Signal, route: Route) -> None:
        """Remember how ``signal`` is sent."""
        self._routes[signal] = route

    def endpoint(self, signal: Signal) -> str:
        route = self._routes.get(signal)
        return _without_secrets(route.request.url or "") if route else ""

    def send(self, signal: Signal, body: bytes, timeout: float) -> Outcome:
        route = self._routes[signal]
        request = route.request.copy()
        request.body = body
        request.headers["Content-Length"] = str(len(body))
        timeout = max(0.05, min(timeout, route.timeout))
        end = time.monotonic() + timeout
        try:
            response = self._adapter.send(
                request, stream=True, timeout=timeout, verify=route.verify, cert=route.cert, proxies=route.proxies
            )
            answer = _read(response, end)
        except (RequestException, OSError, ValueError) as error:
            return Outcome("again", error=root_cause(error))
        return _judge(signal, response, answer)

    def close(self) -> None:
        self._adapter.close()


def _read(response: Response, end: float) -> bytes:
    """The answer's body; a receiver that drips it is cut off, because its status already says what counts."""
    answer = bytearray()
    try:
        for piece in response.iter_content(1):  # a larger piece would be waited for, however slowly it drips
            answer += piece
            if len(answer) > MAX_ANSWER or time.monotonic() > end:
                break
        else:
            return bytes(answer)
    except RequestException:
        pass
    response.close()
    return bytes(answer)


def _judge(signal: Signal, response: Response, answer: bytes) -> Outcome:
    status = response.status_code
    if 200 <= status < 300:
        protobuf = "json" not in response.headers.get("Content-Type", "")
        rejected, message = partial_success(signal, answer) if protobuf else (0, "")
        return Outcome("delivered", rejected=rejected, error=message)
    words = "".join(letter for letter in answer.decode(errors="ignore") if letter.isprintable())[:200]
    error = f"HTTP {status} {response.reason or ''} {words}".strip()
    if status in RETRYABLE:
        return Outcome("again", error=error, wait=_retry_after(response.headers.get("Retry-After")))
    return Outcome("refused", reason=f"refused_{status}", error=error)


def _retry_after(value: str | None) -> float | None:
    """Seconds of a ``Retry-After`` header, given as a number or as a date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def _without_secrets(url: str) -> str:
    """``url`` without user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
