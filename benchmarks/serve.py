"""Requests per second and 99th percentile of the latency of `vaegan serve`, with joint passes and one by one.

    python benchmarks/serve.py [--clients 32] [--rounds 5]

Both servers run in this process and are measured in turn, by clients that each send a request as soon as the previous
one is answered. The weights are untrained, as the speed does not depend on them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from vaegan.recipes import RECIPES, config_for
from vaegan.studio.app import create_app
from vaegan.studio.batching import Batcher
from vaegan.studio.registry import Registry
from vaegan.studio.server import address_of, bind, server_of
from vaegan.training.factories import build_model


class Served:
    """A server in its own thread."""

    def __init__(self, folder: str, joint: bool) -> None:
        self.registry = Registry([folder], batcher=Batcher(max_rows=64 if joint else 1))
        self.listening = bind("127.0.0.1", 0)
        self.server = server_of(create_app(self.registry, page=False))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listening]}, daemon=True)
        self.thread.start()
        self.port = urlsplit(address_of(self.listening, "127.0.0.1")).port

    def close(self) -> None:
        """Stop the server."""
        self.server.should_exit = True
        self.thread.join()
        self.listening.close()
        self.registry.batcher.close()


def request_of(code: list[float]) -> bytes:
    """Return a complete HTTP request that decodes one code."""
    body = json.dumps({"codes": [code], "form": "png"}).encode()
    head = "POST /api/models/served/decode HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def client(port: int, latent_dim: int, seed: int, end: float) -> list[float]:
    """Send requests until ``end``; return the latency of each in seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    requests = [request_of(code.tolist()) for code in np.random.default_rng(seed).normal(size=(16, latent_dim))]
    latencies: list[float] = []
    while (start := time.perf_counter()) < end:
        writer.write(requests[len(latencies) % len(requests)])
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert head.startswith("http/1.1 200"), head
        await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
        latencies.append(time.perf_counter() - start)
    writer.close()
    return latencies


async def measure_latencies(port: int, latent_dim: int, clients: int, seconds: float) -> list[float]:
    """Return the latencies of all clients over some seconds."""
    end = time.perf_counter() + seconds
    per_client = await asyncio.gather(*(client(port, latent_dim, k, end) for k in range(clients)))
    return [latency for latencies in per_client for latency in latencies]


def measure(recipe: str, clients: int, rounds: int, seconds: float) -> dict[bool, tuple[float, float]]:
    """Return requests/s and the 99th percentile in seconds, medians over rounds, by whether passes are joint."""
    with tempfile.TemporaryDirectory() as folder:
        model = build_model(config_for(recipe), RECIPES[recipe].image_shape)
        model.save(Path(folder) / "served")
        sides = {joint: Served(f"{folder}/served", joint) for joint in (True, False)}
        rounds_of: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
        for round_ in range(rounds + 1):
            for joint, served in sides.items():
                latencies = asyncio.run(measure_latencies(served.port, model.latent_dim, clients, seconds))
                if round_:  # the first is a warm-up
                    rounds_of[joint].append((len(latencies) / seconds, float(np.percentile(latencies, 99))))
        for served in sides.values():
            served.close()
    return {joint: tuple(map(statistics.median, zip(*rows, strict=True))) for joint, rows in rounds_of.items()}


def main() -> None:
    """Measure the chosen recipes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=["mnist-mlp", "mnist-conv", "larsen-celeba64"])
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    print("| recipe | clients | joint, requests/s | one by one | ratio | joint, 99th percentile | one by one | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for recipe in options.recipes:
        results = measure(recipe, options.clients, options.rounds, options.seconds)
        (a, p), (b, q) = results[True], results[False]
        times = f"{1e3 * p:.0f} ms | {1e3 * q:.0f} ms | {q / p:.2f}"
        print(f"| {recipe} | {options.clients} | {a:.0f} | {b:.0f} | {a / b:.2f} | {times} |", flush=True)


if __name__ == "__main__":
    main()
