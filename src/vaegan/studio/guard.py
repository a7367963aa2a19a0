"""Who may send requests, and how long ones: checked before a request is read.

* The length of a body is bounded, whether it is announced or not; `server` bounds its time.
* On loopback no token is needed, but the Host header must name this machine: a web page whose own name is made to
  resolve to 127.0.0.1 is refused (DNS rebinding), and so are requests that pages of other origins send.
* Elsewhere every request to the API needs the token: ``Authorization: Bearer TOKEN``, or the cookie that the page gets
  for it. Of many wrong ones from one address, one a second is looked at.

It is our own because starlette's middleware limits no body and refuses no origin.
"""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .http_errors import SAFE_HEADERS, error_response

MAX_UPLOAD = 25_000_000  # bytes
MAX_JSON = 12_000_000  # two codes of a published autoencoder at 1024 pixels, 262,144 numbers each
FREE_GUESSES = 10  # wrong tokens of one address; further ones are looked at once a second
_MAX_ADDRESSES = 1000
COOKIE = "vaegan-token"
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Access:
    """Who may send requests: the token that the API needs, names that the Host header may have; None for any."""

    token: str | None = None
    hosts: tuple[str, ...] | None = LOOPBACK
    clock: Callable[[], float] = time.monotonic
    _wrong: OrderedDict[str, tuple[str, float]] = field(default_factory=OrderedDict)  # by address: the last, free when

    def refusal(self, presented: str | None, address: str) -> tuple[int, str] | None:
        """Return status and line for a token that is not the right one, or comes too soon after many wrong ones."""
        if self.token is None:
            return None
        now, (wrong, free) = self.clock(), self._wrong.get(address, (None, 0.0))
        if presented and presented != wrong and free > now + FREE_GUESSES:
            return 429, "too many wrong tokens; try again in a second"
        given, right = ((token or "").encode("utf-8", "replace") for token in (presented, self.token))
        if secrets.compare_digest(given, right):
            return None
        if presented and presented != wrong:  # the same one again, as of a page that is still open, is no guess
            self._wrong[address] = presented, max(free, now) + 1
            self._wrong.move_to_end(address)
            if len(self._wrong) > _MAX_ADDRESSES:
                self._wrong.popitem(last=False)
        return 401, "a token is needed: send 'Authorization: Bearer TOKEN'; the server printed it when it started"


class _TooLong(Exception):  # noqa: N818, never seen outside
    """A body longer than its bound."""


class Guard:
    """ASGI middleware that lets through what `Access` allows; some paths need no token."""

    def __init__(self, app: ASGIApp, access: Access, without_token: Collection[str] = ()) -> None:
        self.app, self.access, self.without_token = app, access, without_token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it on and count its body."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SAFE_HEADERS)
            await send(message)

        headers = Headers(scope=scope)
        limit = MAX_UPLOAD if headers.get("content-type", "").startswith("multipart/") else MAX_JSON
        refusal = self._refusal(scope, headers) or _too_long(headers.get("content-length"), limit)
        if refusal is not None:
            await error_response(*refusal)(scope, receive, send_safely)
        else:
            await self._counted(scope, receive, send_safely, limit)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        path, host = scope["path"], headers.get("host", "")
        if self.access.hosts is not None and _name_of(host) not in self.access.hosts:
            return 403, f"this server answers only to {', '.join(self.access.hosts)}, not to '{host[:100]}'"
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return 403, f"requests from pages of {origin[:100]} are refused"
        if path.startswith("/api") and headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return 403, "requests from pages of other sites are refused; open this server's own page"
        return None if path in self.without_token else self.access.refusal(_token_of(scope), address_of(scope))

    async def _counted(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        received, started = 0, False

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise _TooLong
            return message

        async def send_checked(message: Message) -> None:
            nonlocal started
            if received <= limit or started:  # else the response is to a body that was cut off
                started = True
                await send(message)

        try:
            await self.app(scope, receive_counted, send_checked)
        except _TooLong:
            if started:
                raise
        if received > limit and not started:
            await error_response(413, _LONG.format(limit / 1e6))(scope, receive, send)


_LONG = "the request is longer than {:.0f} MB; send less at a time"


def _too_long(length: str | None, limit: int) -> tuple[int, str] | None:
    if length is None or (length.isdigit() and int(length) <= limit):
        return None
    return (413, _LONG.format(limit / 1e6)) if length.isdigit() else (400, "Content-Length is not a number")


def address_of(scope: Mapping[str, Any]) -> str:
    """Return the address that a request comes from."""
    return str((scope.get("client") or ("",))[0])


def _name_of(host: str) -> str:
    """Return the name in a Host header, without the port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _token_of(scope: Scope) -> str | None:
    request = HTTPConnection(scope)
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else request.cookies.get(COOKIE)
