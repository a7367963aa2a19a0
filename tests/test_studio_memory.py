"""The server's memory stays flat over thousands of requests of all kinds, those that are refused among them."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="needs the extra studio: pip install -e '.[studio]'")

from vaegan.studio.app import create_app

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads memory in use from /proc"),
]
MIB = 2**20
BARS = "/api/models/bars"


async def ask(app, path: str, body: bytes | None = None, kind: str = "application/json") -> int:
    """Send a request to the application itself, without a socket, and return the status of the answer."""
    path, _, query = path.partition("?")
    scope = {
        "type": "http", "http_version": "1.1", "scheme": "http", "method": "GET" if body is None else "POST",
        "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", kind.encode())], "client": None, "server": None,
    }  # fmt: skip
    waiting = [{"type": "http.request", "body": body or b"", "more_body": False}]
    answers = []

    async def receive():
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    async def send(message):
        answers.append(message)

    await app(scope, receive, send)
    return answers[0]["status"]


def upload(content: bytes) -> bytes:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    return head + content + b"\r\n--x--\r\n"


def picture(number: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (40, 30), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def requests(number: int):
    """Eight requests, and what each is answered by; no two rounds ask the same."""
    code = np.random.default_rng(number).normal(size=4).tolist()
    body = {"codes": [code], "attributes": {"height": 0.5}, "dimensions": {"1": number / 1000}}
    form = "multipart/form-data; boundary=x"
    in_turn = [
        (f"{BARS}/decode", json.dumps(body).encode()),
        (f"{BARS}/samples?num=3&seed={number}",),
        (f"{BARS}/examples/{number % 5}",),
        (f"{BARS}/reconstruct", upload(picture(number)), form),
        (f"{BARS}/training",),
    ]
    yield 200, in_turn[number % len(in_turn)]
    yield 415, (f"{BARS}/reconstruct", upload(f"no image {number}".encode()), form)
    yield 422, (f"{BARS}/decode", json.dumps({"codes": [code[:3]]}).encode())
    yield 422, (f"{BARS}/samples?num=-{number + 1}",)
    yield 404, (f"{BARS}/samples?prior=unknown-{number}",)
    yield 404, (f"{BARS}/examples/{1000 + number}",)
    yield 404, (f"/api/models/unknown-{number}",)
    yield 404, (f"/unknown/{number}",)


def in_use() -> tuple[int, int]:
    """Bytes of memory that are the process's own, and objects that Python keeps."""
    gc.collect()
    text = Path("/proc/self/status").read_text()
    kib = dict(line.split()[:2] for line in text.splitlines() if line.startswith("Rss"))
    return 1024 * int(kib["RssAnon:"]), len(gc.get_objects())


def test_memory_stays_flat_over_thousands_of_requests(registry):
    app = create_app(registry)
    used = {}

    async def all_of_them() -> None:
        for number in range(450):
            if number in (150, 449):
                used[number] = in_use()
            for status, request in requests(number):
                assert await ask(app, *request) == status, request

    asyncio.run(all_of_them())
    (memory, objects), (memory_then, objects_then) = used[150], used[449]
    assert memory_then - memory < 4 * MIB  # 13 KiB a round
    assert objects_then - objects < 50  # fewer than the 60 of one for each request of the rarest kind
