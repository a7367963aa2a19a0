"""Connections: time limits, more of them than descriptors, what is not HTTP."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

pytest.importorskip("fastapi", reason="needs the extra studio: pip install -e '.[studio]'")
import h11

from vaegan.studio import server
from vaegan.studio.app import create_app
from vaegan.studio.server import bind, is_loopback, server_of


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_this_machine(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["127.example.org", "127.0.0.1.example.org", "0.0.0.0", "::", "10.0.0.1", "127.1", ""])
def test_a_name_that_begins_like_this_machine_is_another(host):
    assert not is_loopback(host)


@pytest.fixture
def served(monkeypatch):
    """Port and connections of a server without models that holds at most 20 of them."""
    monkeypatch.setattr(server, "max_connections", lambda: 20)
    listening = bind("127.0.0.1", 0)
    running = server_of(create_app({}, page=False))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield listening.getsockname()[1], running.server_state.connections
    running.should_exit = True
    thread.join()
    listening.close()


@pytest.mark.parametrize("system", ["posix", "nt"])
def test_a_port_is_never_shared(system, monkeypatch):
    """On Windows SO_REUSEADDR does not only take a port that was in use a moment ago."""
    with monkeypatch.context() as changed:
        changed.setattr(os, "name", system)
        listening = bind("127.0.0.1", 0)
    with listening:
        assert bool(listening.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)) == (system == "posix")


HALF_SENT = (
    b"",
    b"GET /health HT",
    b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n",
    b"POST /api/models HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nabc",
)


def test_half_sent_requests_keep_nobody_out(served):
    port, connections = served
    half_open = []
    for k in range(60):
        half_open.append(socket.create_connection(("127.0.0.1", port)))
        half_open[-1].sendall(HALF_SENT[k % len(HALF_SENT)])
        if k % 20 == 19:
            with urlopen(f"http://127.0.0.1:{port}/health", timeout=60) as answer:
                assert answer.status == 200
            assert len(connections) <= 20 + 1  # one that is being closed
    for each in half_open:
        each.close()


def test_a_malformed_upload_is_no_line_of_the_log(served, caplog):
    port, _ = served
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    with pytest.raises(HTTPError, match="40"):
        urlopen(Request(f"http://127.0.0.1:{port}/api/models/x/encode", b"{}", kind), timeout=60)
    assert caplog.messages == []


def test_what_is_not_http_is_answered_in_the_form_of_all_errors(served):
    port, _ = served
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(b"\0\1\2 is not HTTP\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(1000), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"nosniff" in answer
    assert answer.endswith(b'{"error":"Invalid HTTP request received."}')


class FakeTransport(asyncio.Transport):
    """A transport that remembers what is written."""

    def __init__(self):
        super().__init__()
        self.written, self.unread, self.closed = b"", 0, None

    def write(self, data):
        self.written += data

    def get_write_buffer_size(self):
        return self.unread

    def is_closing(self):
        return self.closed is not None

    def close(self):
        self.closed = "closed"

    def abort(self):
        self.closed = "aborted"


@pytest.fixture
def connection():
    loop = asyncio.new_event_loop()
    running = server_of(create_app({}, page=False))
    made = server._Connection(running.config, running.server_state, {}, loop)
    made.connection_made(FakeTransport())
    made.since = 0.0
    yield made
    loop.close()


@pytest.mark.parametrize("sent", HALF_SENT)
def test_a_request_has_to_arrive_in_time(connection, sent, monkeypatch):
    monkeypatch.setattr(
        connection.loop, "create_task", lambda task: (task.close(), asyncio.Future(loop=connection.loop))[1]
    )
    if sent:
        connection.data_received(sent)
    limit = server.CLIENT_SECONDS if sent.startswith(b"POST") else server.HEADER_SECONDS
    connection.close_if_late(limit)
    assert connection.transport.closed is None
    connection.close_if_late(limit + 1)
    assert connection.transport.closed == "closed"
    assert connection.transport.written.startswith(b"HTTP/1.1 408 ")


def test_an_answer_has_to_be_read_in_time(connection):
    connection.transport.unread = 1
    connection.close_if_late(server.CLIENT_SECONDS)
    assert connection.transport.closed is None
    connection.close_if_late(server.CLIENT_SECONDS + 1)
    assert connection.transport.closed == "aborted"


def test_an_answer_that_takes_long_is_waited_for(connection):
    connection.conn.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert [type(connection.conn.next_event()) for _ in range(2)] == [h11.Request, h11.EndOfMessage]
    connection.close_if_late(10_000)
    assert connection.transport.closed is None


def test_a_server_without_descriptors_says_so_once(monkeypatch):
    said, passed_on = [], []
    loop = asyncio.new_event_loop()
    monkeypatch.setattr(server._log, "warning", said.append)
    monkeypatch.setattr(loop, "default_exception_handler", passed_on.append)
    running = server_of(create_app({}, page=False))
    for _ in range(100):
        running._log_error(loop, {"message": "accept", "exception": OSError(24, "Too many open files")})
    running._log_error(loop, {"message": "other", "exception": OSError(5, "Input/output error")})
    loop.close()
    assert [line[:20] for line in said] == ["too many connections"]
    assert [context["message"] for context in passed_on] == ["other"]
