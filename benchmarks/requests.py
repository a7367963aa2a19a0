"""Thousands of requests to `vaegan serve`, hostile ones among them: status codes, memory, and who is kept waiting.

    python benchmarks/requests.py [--requests 10000] [--half-open 300] [--descriptors 256]

The server is a process of its own that may open `--descriptors` files. First a mixture of good, wrong and malicious
requests arrives from 16 clients at a time; then half-sent requests are left open, and between them a client asks for
samples. The weights are untrained: what is answered does not depend on them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from pathlib import Path

from vaegan.recipes import RECIPES, config_for
from vaegan.training.factories import build_model

RECIPE = "digits"
CLIENTS = 16
API = "/api/models/served"


def png(width: int, height: int, rows: int) -> bytes:
    """Return a grey PNG of any size with some of its rows."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = zlib.compress(bytes((width + 1) * rows))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def get(path: str, **headers: str) -> bytes:
    """Return a GET request."""
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("utf-8", "surrogateescape")


def post(path: str, body: bytes, kind: str = "application/json", length: int | None = None) -> bytes:
    """Return a POST request; its length may be a lie."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


def upload(path: str, content: bytes) -> bytes:
    """Return a POST request with a file."""
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + content + b"\r\n--x--\r\n"
    return post(path, part, "multipart/form-data; boundary=x")


def requests_of(latent_dim: int, rng: random.Random) -> list[tuple[str, bytes]]:
    """Return requests of all sorts with their names."""
    code = [round(rng.gauss(0, 1), 3) for _ in range(latent_dim)]
    seed = rng.randrange(10**6)
    noise = rng.randbytes(rng.randrange(1, 400))
    return [
        ("samples", get(f"{API}/samples?num=4&seed={seed}")),
        ("decode", post(f"{API}/decode", json.dumps({"codes": [code], "form": "png"}).encode())),
        ("encode", upload(f"{API}/encode", png(30, 20, 20))),
        ("models", get("/api/models")),
        ("health", get("/health")),
        ("page of another site", get(f"{API}/samples", Sec_Fetch_Site="cross-site")),
        ("malformed origin", get("/api/models", Origin="http://[::1")),
        ("other host", get("/api/models").replace(b"127.0.0.1", b"evil.example")),
        ("unknown path", get(f"/{'../' * rng.randrange(9)}etc/passwd")),
        ("unknown model", get(f"/api/models/{'%00%ff%ed%a0%80' * rng.randrange(1, 50)}")),
        ("bad number", get(f"{API}/samples?num={'9' * rng.randrange(1, 5000)}")),
        ("lone surrogate", post(f"{API}/decode", b'{"codes": [[0]], "told": {"label": "\\ud800"}, "\\udfff": 1}')),
        ("nan", post(f"{API}/decode", json.dumps({"codes": [[float("nan")] * latent_dim]}).encode())),
        ("deep", post(f"{API}/decode", b"[" * rng.randrange(1, 100_000))),
        (
            "wrong type",
            post(f"{API}/interpolate", json.dumps({"codes": rng.choice([3, "x", None, {}, [[]]])}).encode()),
        ),
        ("image bomb", upload(f"{API}/encode", png(17_000, 10_000, 1))),
        ("large image", upload(f"{API}/encode", png(2_000, 1_500, 1_500))),
        ("broken image", upload(f"{API}/reconstruct", png(100, 100, 50)[: rng.randrange(1, 120)])),
        ("noise as image", upload(f"{API}/encode", noise)),
        ("noise", noise + b"\r\n\r\n"),
        ("noise in a header", get("/api/models").replace(b"Connection", b"X: " + noise.replace(b"\r", b"") + b"\r\nC")),
        ("long header", get("/api/models", X="x" * 200_000)),
        ("too long", post(f"{API}/decode", b"", length=10**12)),
        ("cut off", post(f"{API}/decode", b"{", length=100)),
        ("hung up", b"GET /api"),
    ]


async def ask(port: int, request: bytes, cut: bool) -> str:
    """Send a request and return the status of its answer, or that there is none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        if cut:
            return "hung up"
        await asyncio.wait_for(writer.drain(), 60)
        answer = await asyncio.wait_for(reader.read(), 60)
        return answer[9:12].decode() or "closed"
    except OSError:
        return "closed"
    finally:
        writer.close()


def memory(process: subprocess.Popen[str]) -> float:
    """Return the memory of a process in MB."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1e3


async def many_requests(port: int, num: int, latent_dim: int, process: subprocess.Popen[str]) -> None:
    """Send a mixture of requests and report statuses and memory."""
    rng = random.Random(0)
    queue: list[tuple[str, bytes]] = []
    statuses: Counter[str] = Counter()
    by_name: dict[str, Counter[str]] = {}
    sent = 0

    async def client() -> None:
        nonlocal sent
        while sent < num:
            sent += 1
            if not queue:
                queue.extend(requests_of(latent_dim, rng))
                rng.shuffle(queue)
            name, request = queue.pop()
            status = await ask(port, request, name in ("cut off", "hung up"))
            statuses[status] += 1
            by_name.setdefault(name, Counter())[status] += 1

    start = time.perf_counter()
    for share in range(1, 6):
        until, total = num * share // 5, num
        num = until
        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        num = total
        print(f"{sent:,} requests: {memory(process):.0f} MB", flush=True)
    print(f"{sent / (time.perf_counter() - start):.0f} requests/s; answers {dict(sorted(statuses.items()))}")
    for name, answers in sorted(by_name.items()):
        print(f"  {name}: {dict(answers)}")
    assert not any(status.startswith("5") for status in statuses), "an error of the server"


async def half_open(port: int, num: int, process: subprocess.Popen[str]) -> None:
    """Leave half-sent requests open, and report how long others wait meanwhile."""
    starts = (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n", post(f"{API}/decode", b"{", length=100))
    waiting, latencies = [], []
    for k in range(num):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(starts[k % len(starts)])
        waiting.append((reader, writer))
        if k % 10 == 9:
            start = time.perf_counter()
            status = await ask(port, get(f"{API}/samples?num=1"), cut=False)
            latencies.append(time.perf_counter() - start)
            assert status == "200", status
    worst = f"{1e3 * max(latencies):.0f} ms at most"
    descriptors = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
    print(f"{num} half-sent requests open: {len(latencies)} others answered, {worst}; {descriptors} descriptors")
    for _, writer in waiting:
        writer.close()


def main() -> None:
    """Start the server and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--half-open", type=int, default=300)
    parser.add_argument("--descriptors", type=int, default=256)
    options = parser.parse_args()
    model = build_model(config_for(RECIPE), RECIPES[RECIPE].image_shape)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "served")
        limit = (options.descriptors, options.descriptors)
        with subprocess.Popen(
            [sys.executable, "-m", "vaegan", "serve", f"{folder}/served", "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit),
        ) as process:
            try:
                assert process.stdout is not None
                port = int(process.stdout.readline().rsplit(":", 1)[1].split("/")[0])
                asyncio.run(many_requests(port, options.requests, model.latent_dim, process))
                asyncio.run(half_open(port, options.half_open, process))
            finally:
                process.terminate()
                _, log = process.communicate()
    print(f"log of the server: {len(log)} bytes {log[:300]!r}")


if __name__ == "__main__":
    main()
