"""The connection to a teacher's server, which is a stranger: one host, no foreign headers, bytes and time bounded.

The key and the prompts go to the configured host alone: a redirect elsewhere, or an address of another host in an
answer, is not followed. What is read is bounded by `Bound`, whatever the server sends.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.request import getproxies, proxy_bypass

from pydantic import SecretStr

from rollout.teacher.config import Protocol, TeacherConfig
from rollout.teacher.errors import HTTP, LOST, AnswerTooLarge, Untrusted
from rollout.teacher.request_cache import TeacherStopped

ANSWER_BYTES, TOKEN_BYTES = 1 << 18, 1 << 10
"""Of the transfer of one answer: at most so many bytes, and so many more for each of its tokens (an event a token)."""
PLAIN_BYTES = 1 << 20
"""Of any other answer, such as the state of a batch."""
ERROR_BYTES = 1 << 16
"""Of the body of an error; what comes after is not read."""
SLOWEST = 20.0
"""Tokens a second of the slowest server that is waited for, beyond `TeacherConfig.timeout`."""
RESULT_SECONDS = 0.1
"""That each result of a batch adds to the time that their transfer may take."""
EVENT_LINES = 64
"""In one event of a stream; the SDK's reader is quadratic in them."""
REDIRECTS = 3
"""That are followed, within the same host."""
LIMITS = HTTP.Limits(max_connections=1000, max_keepalive_connections=100)
KEEP_ALIVE = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
HEADERS = {
    "accept", "accept-encoding", "anthropic-beta", "anthropic-version", "authorization", "connection",
    "content-length", "content-type", "host", "user-agent", "x-api-key",
}  # fmt: skip
"""That a server away from home gets, beside the SDK's own `x-stainless-*`: the environment may add secrets."""

_EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Bound:
    """What one answer may take."""

    whole: int = PLAIN_BYTES
    """Bytes."""
    line: int = PLAIN_BYTES
    """Bytes without the end of a line."""
    events: bool = False
    """Whether it is a stream of events, whose lines are counted."""
    more_seconds: float = 0.0
    """Beyond `TeacherConfig.timeout`."""

    @classmethod
    def of_message(cls, max_tokens: int) -> Bound:
        """Of a message that is streamed."""
        size = ANSWER_BYTES + TOKEN_BYTES * max_tokens
        return cls(size, size, events=True, more_seconds=max_tokens / SLOWEST)

    @classmethod
    def of_results(cls, count: int, max_tokens: int) -> Bound:
        """Of the results of a batch of `count` requests."""
        size = ANSWER_BYTES + TOKEN_BYTES * max_tokens
        return cls(size * (count + 1), size, more_seconds=RESULT_SECONDS * count)


_PLAIN = PROBE = Bound()
_bound: ContextVar[Bound] = ContextVar("bound", default=_PLAIN)


@contextmanager
def bounded(bound: Bound) -> Iterator[None]:
    """Requests that are sent in this block get answers of this size at most."""
    token = _bound.set(bound)
    try:
        yield
    finally:
        _bound.reset(token)


def http_client(config: TeacherConfig, key: SecretStr) -> Any:
    """What an SDK sends by. Raises TeacherStopped where the environment names a proxy that cannot be used."""
    return HTTP.AsyncClient(
        transport=BoundedTransport(config, key), follow_redirects=False, trust_env=False, timeout=config.timeout
    )


async def speaks(http: Any, config: TeacherConfig, protocol: Protocol) -> bool:
    """Whether a server has the path of another protocol: it refuses an empty request there, at no cost."""
    root = config.url.removesuffix("/v1")
    path = "/v1/messages" if protocol == "anthropic" else "/v1/chat/completions"
    try:
        with bounded(PROBE):
            answer = await http.post(root + path, json={})
    except (*LOST, AnswerTooLarge, Untrusted):
        return False
    return answer.status_code in (400, 401, 403, 422, 500) and "json" in answer.headers.get("content-type", "")


class BoundedTransport(HTTP.AsyncBaseTransport):
    """Sends requests to the configured host alone, and bounds what comes back.

    Raises Untrusted (another host, an encoding that was not asked for), AnswerTooLarge, and the HTTP client's
    ReadTimeout where an answer is not whole in time.
    """

    def __init__(self, config: TeacherConfig, key: SecretStr) -> None:
        self._base = HTTP.URL(config.url)
        self._foreign = not config.is_home
        self._timeout = config.timeout
        self._key = key
        self._inner = HTTP.AsyncHTTPTransport(limits=LIMITS, proxy=proxy_of(config), socket_options=KEEP_ALIVE)

    async def handle_async_request(self, request: Any) -> Any:
        """One exchange, redirects within the host included."""
        bound = _bound.get()
        deadline = asyncio.get_running_loop().time() + self._timeout + bound.more_seconds
        for _ in range(REDIRECTS + 1):
            self._prepare(request)
            response = await within(deadline, self._inner.handle_async_request(request))
            following = self._redirected(request, response)
            if following is None:
                break
            await response.aclose()
            request = following
        encoding = response.headers.get("content-encoding", "identity")
        if encoding.lower() not in ("", "identity"):
            await response.aclose()
            raise Untrusted("its answers come compressed, although the request asks for plain ones")
        stream = _BoundedStream(response.stream, bound, deadline, error=response.status_code >= 300)
        return HTTP.Response(
            response.status_code, headers=response.headers, stream=stream, extensions=response.extensions
        )

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._inner.aclose()

    def _prepare(self, request: Any) -> None:
        if not same_origin(request.url, self._base):
            raise Untrusted(f"it names an address on another host ({request.url.host}); only {self._base} is asked")
        request.headers["accept-encoding"] = "identity"
        if not self._foreign:
            return
        key = self._key.get_secret_value()
        for name in {name.lower() for name in request.headers}:
            if name not in HEADERS and not name.startswith("x-stainless-"):
                del request.headers[name]
        if request.headers.get("x-api-key") not in (None, key):
            del request.headers["x-api-key"]
        request.headers["authorization"] = f"Bearer {key}"

    def _redirected(self, request: Any, response: Any) -> Any:
        """The request that a redirect within the host asks for, else None."""
        kept = (307, 308) if request.method != "GET" else (301, 302, 303, 307, 308)
        if response.status_code not in kept:
            return None
        try:
            target = request.url.join(response.headers.get("location", ""))
        except (HTTP.InvalidURL, ValueError):
            return None
        if not same_origin(target, self._base):
            return None
        return HTTP.Request(
            request.method, target, headers=request.headers, stream=request.stream, extensions=request.extensions
        )


class _BoundedStream(HTTP.AsyncByteStream):
    """The body of an answer. That of an error ends where it has told enough, for its status to be known."""

    def __init__(self, inner: Any, bound: Bound, deadline: float, error: bool) -> None:
        self._inner, self._bound, self._deadline, self._error = inner, bound, deadline, error
        self._whole = self._line = 0
        self._event = b""  # since the last event's end

    async def __aiter__(self) -> AsyncIterator[bytes]:
        parts = aiter(self._inner)
        while True:
            try:
                part = await within(self._deadline, anext(parts))
            except StopAsyncIteration:
                return
            self._whole += len(part)
            if not self._error:
                self._count(part)
            elif self._whole > ERROR_BYTES:
                yield part[: len(part) - self._whole + ERROR_BYTES]
                return
            yield part

    async def aclose(self) -> None:
        """Lets the connection go."""
        await self._inner.aclose()

    def _count(self, part: bytes) -> None:
        end = max(part.rfind(b"\n"), part.rfind(b"\r"))
        self._line = self._line + len(part) if end < 0 else len(part) - end - 1
        if self._whole > self._bound.whole or self._line > self._bound.line:
            raise AnswerTooLarge(f"the answer is longer than {self._bound.whole // 1024} KiB")
        if self._bound.events:
            *whole, rest = _EVENT_END.split(self._event + part)
            if any(text.count(b"\n") + text.count(b"\r") > EVENT_LINES for text in (*whole, rest)):
                raise AnswerTooLarge(f"an event of the answer has more than {EVENT_LINES} lines")
            # Of what has no end yet only the line ends and the last bytes matter, so that long lines cost nothing.
            self._event = re.sub(rb"[^\r\n]+", b".", rest)


async def within(deadline: float, work: Awaitable[Found]) -> Found:
    """What is awaited. Raises the HTTP client's ReadTimeout at `deadline`, by the running loop's clock."""
    try:
        async with asyncio.timeout_at(deadline):
            found = await work
    except TimeoutError:
        raise HTTP.ReadTimeout("the answer was not whole within teacher.timeout") from None
    if asyncio.get_running_loop().time() > deadline:  # where something is always there, nothing is ever waited for
        raise HTTP.ReadTimeout("the answer was not whole within teacher.timeout")
    return found


def same_origin(one: Any, other: Any) -> bool:
    """Whether two addresses have scheme, host and port in common."""
    ports = {"https": 443, "http": 80}
    first, second = ((url.scheme, url.host, url.port or ports.get(url.scheme)) for url in (one, other))
    return bool(first == second)


def proxy_of(config: TeacherConfig) -> Any:
    """The environment's proxy for a server, or None. Only TLS goes through one: it cannot read what passes.

    Raises TeacherStopped where it cannot be used.
    """
    url = HTTP.URL(config.url)
    if url.scheme != "https" or proxy_bypass(url.host):
        return None
    named = getproxies()
    found = named.get("https") or named.get("all")
    if not found:
        return None
    try:
        return HTTP.Proxy(found if "://" in found else f"http://{found}")
    except (ValueError, HTTP.InvalidURL):  # its text may hold a password
        raise TeacherStopped(
            "the proxy that HTTPS_PROXY or ALL_PROXY names cannot be used; give it as http://HOST:PORT"
        ) from None
