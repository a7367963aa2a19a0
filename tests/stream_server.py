"""Shards of tiny images, and a local HTTP server for them that fails on demand."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from PIL import Image


def write_shards(folder: Path, num_shards: int, num: int, *, side: int = 4, dtype: type = np.uint8) -> str:
    """Write shards of grey images that tell their number by the rows' sums; return the pattern."""
    folder.mkdir(parents=True, exist_ok=True)
    for shard in range(num_shards):
        with tarfile.open(folder / f"train-{shard:03}.tar", "w") as out:
            for i in range(shard * num, (shard + 1) * num):
                image = np.full((side, side), i % 256, dtype)
                image[0] = i // 256
                file = io.BytesIO()
                Image.fromarray(image).save(file, "PNG")
                for name, content in ((f"{i:05}.png", file.getvalue()), (f"{i:05}.cls", str(i % 3).encode())):
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    out.addfile(info, io.BytesIO(content))
    return str(folder / f"train-{{000..{num_shards - 1:03}}}.tar")


def spoil(shard: Path, num: int) -> None:
    """Overwrite the first images of a shard."""
    with tarfile.open(shard) as archive:
        images = [member for member in archive if member.name.endswith(".png")][:num]
    with shard.open("r+b") as file:
        for image in images:
            file.seek(image.offset_data)
            file.write(bytes(20))


def numbers(images: np.ndarray) -> list[int]:
    """The numbers of images (N, H, W, 1)."""
    return (images[:, -1, 0, 0].astype(int) + 256 * images[:, 0, 0, 0].astype(int)).tolist()


def write_index(folder: Path, num_shards: int, num: int) -> None:
    shards = [{"url": f"train-{i:03}.tar", "nsamples": num} for i in range(num_shards)]
    (folder / "index.json").write_text(json.dumps({"wids_version": 1, "shardlist": shards}))


class Served:
    """A folder behind HTTP: requests by path, statuses that a path answers first, paths that are gone, raw answers."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.url = folder, f"http://127.0.0.1:{port}"
        self.asked: Counter[str] = Counter()
        self.fails: dict[str, list[int]] = {}
        self.gone: set[str] = set()
        self.raw: dict[str, bytes | Iterator[bytes]] = {}


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Served]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            served.asked[path] += 1
            file = served.folder / path.removeprefix("/moved").lstrip("/")
            if path.startswith("/moved/"):
                self.send_response(302)
                self.send_header("Location", path.removeprefix("/moved"))
                self.end_headers()
            elif path in served.raw:
                with contextlib.suppress(OSError):  # the client may hang up
                    raw = served.raw[path]
                    for piece in (raw,) if isinstance(raw, bytes) else raw:
                        self.wfile.write(piece)
            elif served.fails.get(path):
                self.send_error(served.fails[path].pop(0))
            elif path in served.gone or not file.is_file():
                self.send_error(404)
            else:
                content = file.read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Served(folder, server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
