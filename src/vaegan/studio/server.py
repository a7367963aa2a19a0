"""An application on a socket, which is bound before its address is printed."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from ..errors import UserError
from .guard import LOOPBACK


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
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise UserError(f"--port {port}: {error.strerror}; choose another, or 0 for a free one") from error
    return listening


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect."""
    return host in LOOPBACK or host.startswith("127.")


def address_of(listening: socket.socket, host: str) -> str:
    """Return what to open in a browser."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listening.getsockname()[1]}/"


def server_of(app: FastAPI) -> uvicorn.Server:
    """Return a server, to be run with `bind`'s socket."""
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=2)
    return uvicorn.Server(config)


def start(app: FastAPI, listening: socket.socket, announce: Callable[[], None]) -> None:
    """Serve until Ctrl-C or SIGTERM; ``announce`` is called once the server can be reached."""
    announce()
    try:
        server_of(app).run(sockets=[listening])
    except KeyboardInterrupt:  # the usual end of a server
        pass
    finally:
        listening.close()
        app.state.registry.batcher.close()
