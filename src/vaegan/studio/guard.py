"""Who may ask, and how much: checked before a request is read.

* A body is at most so long, whether its length is announced or not.
* On loopback no token is asked for, but the request must be meant for this machine by name: a page of the web whose
  own name is made to point at 127.0.0.1 is refused, and so is a request that a page of another origin sends.
* Elsewhere every request to the API needs the token: ``Authorization: Bearer TOKEN``, or the cookie that the page gets
  for it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .http_errors import problem
from .page_files import PAGE_FILES

MOST_UPLOADED = 25_000_000
MOST_JSON = 4_000_000
COOKIE = "vaegan-token"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_OPEN = (*PAGE_FILES, "/api/token")


@dataclass(frozen=True)
class Door:
    """What is asked of whoever asks.

    Attributes:
        token: that requests to the API need; None for none.
        hosts: names that a request may be meant for; None for any.
    """

    token: str | None = None
    hosts: tuple[str, ...] | None = LOOPBACK

    def fits(self, given: str | None) -> bool:
        """Whether this is the token, told in a time that does not depend on where it differs."""
        return self.token is None or secrets.compare_digest((given or "").encode(), self.token.encode())


class _TooLong(Exception):  # noqa: N818, never seen outside
    """A body that goes on past its bound."""


class Guard:
    """ASGI middleware that lets through what `Door` allows."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self.app, self.door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or hand it on with its body counted."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit = MOST_UPLOADED if headers.get("content-type", "").startswith("multipart/") else MOST_JSON
        refusal = self._refusal(scope["path"], headers) or _too_long(headers.get("content-length"), limit)
        if refusal is not None:
            await problem(*refusal)(scope, receive, send)
            return
        await self._counted(scope, receive, send, limit)

    def _refusal(self, path: str, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if self.door.hosts is not None and _name_of(host) not in self.door.hosts:
            return 403, f"this server answers to {', '.join(self.door.hosts)} alone, not to '{host[:100]}'"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, f"requests that pages of {origin[:100]} send are refused"
        if path not in _OPEN and not self.door.fits(_token_of(headers)):
            return 401, "a token is needed: send 'Authorization: Bearer TOKEN'; the server printed it when it started"
        return None

    async def _counted(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        seen, started = 0, False

        async def receive_counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise _TooLong
            return message

        async def send_noted(message: Message) -> None:
            nonlocal started
            if seen <= limit or started:  # else whatever the application makes of a body cut off is not sent
                started = True
                await send(message)

        try:
            await self.app(scope, receive_counted, send_noted)
        except _TooLong:
            if started:
                raise
        if seen > limit and not started:
            await problem(413, _LONG.format(limit / 1e6))(scope, receive, send)


_LONG = "the request is longer than {:.0f} MB; send less at a time"


def _too_long(length: str | None, limit: int) -> tuple[int, str] | None:
    if length is None or (length.isdigit() and int(length) <= limit):
        return None
    return (413, _LONG.format(limit / 1e6)) if length.isdigit() else (400, "Content-Length is no number")


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
