"""Who may send requests, and how long ones: checked before a request is read.

* The length of a body is bounded, whether it is announced or not.
* On loopback no token is needed, but the Host header must name this machine: a web page whose own name is made to
  resolve to 127.0.0.1 is refused (DNS rebinding), and so are requests that pages of other origins send.
* Elsewhere every request to the API needs the token: ``Authorization: Bearer TOKEN``, or the cookie that the page gets
  for it.

It is our own because starlette's middleware limits no body and refuses no origin.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .http_errors import error_response

MAX_UPLOAD = 25_000_000  # bytes
MAX_JSON = 4_000_000
COOKIE = "vaegan-token"
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Access:
    """Who may send requests: the token that the API needs, names that the Host header may have; None for any."""

    token: str | None = None
    hosts: tuple[str, ...] | None = LOOPBACK

    def accepts(self, presented: str | None) -> bool:
        """Whether this is the token, compared in constant time."""
        return self.token is None or secrets.compare_digest((presented or "").encode(), self.token.encode())


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
        headers = Headers(scope=scope)
        limit = MAX_UPLOAD if headers.get("content-type", "").startswith("multipart/") else MAX_JSON
        refusal = self._refusal(scope["path"], headers) or _too_long(headers.get("content-length"), limit)
        if refusal is not None:
            await error_response(*refusal)(scope, receive, send)
            return
        await self._counted(scope, receive, send, limit)

    def _refusal(self, path: str, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if self.access.hosts is not None and _name_of(host) not in self.access.hosts:
            return 403, f"this server answers only to {', '.join(self.access.hosts)}, not to '{host[:100]}'"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, f"requests from pages of {origin[:100]} are refused"
        if path not in self.without_token and not self.access.accepts(_token_of(headers)):
            return 401, "a token is needed: send 'Authorization: Bearer TOKEN'; the server printed it when it started"
        return None

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


def _name_of(host: str) -> str:
    """Return the name in a Host header, without the port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _token_of(headers: Headers) -> str | None:
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return token.strip()
    try:
        cookie: Any = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return None if cookie is None else str(cookie.value)
