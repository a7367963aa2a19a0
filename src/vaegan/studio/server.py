"""An application on a socket, which is bound before its address is printed.

Clients that are slow on purpose, or stuck, cost no one else an answer: requests and the reading of answers have time
limits, and where connections are many, those that wait for their client longest make room for new ones.
"""

import asyncio
import contextlib
import ipaddress
import logging
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..errors import UserError
from .http_errors import OUT_OF_DESCRIPTORS, error_response

HEADER_SECONDS, CLIENT_SECONDS = 10.0, 120.0
"""Time for a request's headers, and for all else that waits for a client: its body, and that it reads the answer."""
_MAX_CONNECTIONS = 1024
_ACCEPTED_AT_ONCE = 16  # a new connection has its descriptor before it can be counted

_log = logging.getLogger("vaegan")


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens at a host ('0.0.0.0' for all addresses) and port (0 for a free one)."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:
        raise UserError(
            f"--host {host}: {getattr(error, 'strerror', None) or error}; 127.0.0.1 is this machine"
        ) from error
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # on Windows it would share a port that is in use
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise UserError(f"--port {port}: {error.strerror}; choose another, or 0 for a free one") from error
    return listening


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect; a name that looks like an address, such as 127.example.org, is a name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def address_of(listening: socket.socket, host: str) -> str:
    """Return what to open in a browser."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listening.getsockname()[1]}/"


class _Connection(H11Protocol):
    """HTTP/1.1 of one client."""

    since: float
    """When it began to wait for its client, who has to send a request or read an answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it, and close the one that has waited longest if there are too many."""
        super().connection_made(transport)
        self.since = self.loop.time()
        if len(self.connections) > max_connections():
            others = [c for c in self.connections if isinstance(c, _Connection) and c is not self]
            waiting = [c for c in others if c.waits and not c.transport.is_closing()]
            if waiting:
                min(waiting, key=lambda connection: connection.since).transport.abort()

    @property
    def waits(self) -> bool:
        """Whether its client has still to send a request, or to read an answer."""
        return self.conn.their_state in (h11.IDLE, h11.SEND_BODY) or self.transport.get_write_buffer_size() > 0

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        super().on_response_complete()
        self.since = self.loop.time()

    def close_if_late(self, now: float) -> None:
        """Close it if its client takes too long."""
        unread = self.transport.get_write_buffer_size() > 0
        limit = CLIENT_SECONDS if unread or self.conn.their_state is h11.SEND_BODY else HEADER_SECONDS
        if not self.waits:
            self.since = now
        elif now - self.since > limit and (unread or self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE)):
            self.transport.abort()
        elif now - self.since > limit:
            self._refuse(408, "the request took too long to arrive; send it again")

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP in the form of all errors."""
        self._refuse(400, msg)

    def _refuse(self, status: int, message: str) -> None:
        response = error_response(status, message)
        headers = [*response.raw_headers, (b"connection", b"close")]
        with contextlib.suppress(h11.LocalProtocolError):  # an answer to HEAD has no body
            for event in (
                h11.Response(status_code=status, headers=headers),
                h11.Data(bytes(response.body)),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class _Server(uvicorn.Server):
    """Looks at its connections each second, and survives having no descriptor for a new one."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen."""
        asyncio.get_running_loop().set_exception_handler(self._log_error)
        await super().startup(sockets)
        for listening in sockets or ():
            listening.listen(_MAX_CONNECTIONS)  # how many wait is no matter of how many are accepted at once

    async def on_tick(self, counter: int) -> bool:
        """Close what is late, every second."""
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, _Connection):
                    connection.close_if_late(now)
        return await super().on_tick(counter)

    def _log_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in OUT_OF_DESCRIPTORS):
            loop.default_exception_handler(context)
        elif not getattr(self, "has_logged", False):
            self.has_logged = True
            _log.warning("too many connections or open files: new connections wait; raise the limit with ulimit -n")


def max_connections() -> int:
    """Return the most connections at a time: half of the descriptors that this process may have, at most 1,024."""
    if sys.platform == "win32":
        return _MAX_CONNECTIONS
    import resource

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _MAX_CONNECTIONS if limit == resource.RLIM_INFINITY else max(8, min(_MAX_CONNECTIONS, limit // 2))


def server_of(app: FastAPI) -> uvicorn.Server:
    """Return a server, to be run with `bind`'s socket."""
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # else each malformed upload is a line of the log
    config = uvicorn.Config(
        app,
        http=_Connection,
        ws="none",
        log_level="error",
        access_log=False,
        lifespan="off",
        backlog=_ACCEPTED_AT_ONCE,
        timeout_graceful_shutdown=2,
    )
    return _Server(config)


def start(app: FastAPI, listening: socket.socket, announce: Callable[[], None]) -> None:
    """Serve until Ctrl-C or SIGTERM; ``announce`` is called once the server can be reached."""
    try:
        announce()
        server_of(app).run(sockets=[listening])
    except KeyboardInterrupt:  # the usual end of a server
        pass
    finally:
        listening.close()
        app.state.registry.batcher.close()
