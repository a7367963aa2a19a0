"""Training from streamed shards compared with the decoded map, in turn; and its peak memory for many images.

    python benchmarks/stream.py [--images 8000] [--stored 64] [--rounds 5] [--batch-size 64] [--memory]

Writes synthetic faces as JPEG into .tar shards of 1,000, and serves them from two other processes: an HTTP server, and
moto's S3 server (left out where moto is missing). Each round takes one epoch of training steps (objective and
optimisers of the recipe's networks) from the decoded map, from HTTP and from S3, each time with an empty store, and
prints images/s. The first step is not timed: it waits for the first window. Then the ratio of the medians.

With `--memory` nothing is timed: a process reads 200 batches of an index of 10^4 images, another one of an index of
10^6 (the same shards under many names), and the peak memory of both is printed. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.pop(0)  # `requests` is the library, not the benchmark beside this one

import torch
from PIL import Image
from torch import Tensor

from vaegan.data import open_data
from vaegan.data.batches import Batches, StreamBatches
from vaegan.data.stream import StreamedData
from vaegan.objectives import Noise
from vaegan.recipes import config_for
from vaegan.training.device import autocast_for, computes_bf16, layout_of, pick_device
from vaegan.training.factories import build_model, build_objective, build_optimisers
from vaegan.training.optimisers import assign_gradients

PER_SHARD = 1000
MOTO = """
from moto.server import ThreadedMotoServer
import logging, signal
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print("port", server.get_host_and_port()[1], flush=True)
signal.pause()
"""
PEAK = """
import re, sys
from pathlib import Path
from vaegan.data import open_data
from vaegan.data.batches import StreamBatches
source, cache, workers = sys.argv[1:]
data = open_data(source, stream=True, size=32, cache=cache, workers=int(workers))
batches = StreamBatches(data.stream, 64, seed=0)
for i in range(200):
    batches.at(64 * i)
print(data.num_train, re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
data.stream.close()
"""


def write_shards(folder: Path, num: int, side: int) -> str:
    """Write ``num`` synthetic faces as shards with an index; return their pattern."""
    folder.mkdir()
    images = open_data("shapes-faces", size=side, limit=num).train.images[:num]
    shards = []
    for number, start in enumerate(range(0, num, PER_SHARD)):
        path = folder / f"{number:04}.tar"
        with tarfile.open(path, "w") as out:
            for i, image in enumerate(images[start : start + PER_SHARD], start):
                file = io.BytesIO()
                Image.fromarray(image).save(file, "JPEG", quality=90)
                info = tarfile.TarInfo(f"{i:08}.jpg")
                info.size = file.tell()
                out.addfile(info, io.BytesIO(file.getvalue()))
        shards.append({"url": path.name, "nsamples": min(PER_SHARD, num - start)})
    (folder / "index.json").write_text(json.dumps({"shardlist": shards}))
    return f"{{0000..{len(shards) - 1:04}}}.tar"


@contextlib.contextmanager
def server(*command: str) -> Iterator[str]:
    """Run a server; yield its address, whose port is the number in its first line."""
    process = subprocess.Popen([sys.executable, "-u", *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    line = next((line for line in process.stdout if b"port" in line), b"")
    try:
        match = re.search(rb"port (\d+)", line)
        assert match, "the server does not start"
        yield f"http://127.0.0.1:{int(match[1])}"
    finally:
        process.terminate()
        process.wait()


def upload(folder: Path, address: str) -> bool:
    """Copy the shards into a bucket, and name the server to obstore; False where that is not possible."""
    try:
        import boto3
        import obstore  # noqa: F401
    except ImportError:
        return False
    os.environ |= {"AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "secret"}
    os.environ["AWS_REGION"] = "us-east-1"
    client = boto3.client("s3", endpoint_url=address, region_name="us-east-1")
    client.create_bucket(Bucket="shards")
    for path in folder.iterdir():
        client.upload_file(str(path), "shards", path.name)
    return True


def stepper(recipe: str, batch_size: int, image_shape: tuple[int, int, int]) -> Callable[[Tensor, int], None]:
    """Return a training step of the recipe's networks in their fastest form: a batch, images seen."""
    device, config = pick_device("auto"), config_for(recipe, {"train.batch_size": batch_size})
    precision, memory_format = ("bf16", "channels_last") if computes_bf16(device) else ("fp32", "channels_last")
    model = build_model(config, image_shape).train()
    model.to(device=device, memory_format=layout_of(memory_format))
    objective = build_objective(config, model, autocast_for(precision, device))
    optimisers = build_optimisers(config, objective)

    def step(batch: Tensor, seen: int) -> None:
        x = model.image_range.from_bytes(batch.to(device)).contiguous(memory_format=layout_of(memory_format))
        noise = Noise.draw(batch_size, model.latent_dim, seed=0, images=seen, device=device)
        result = objective.step(x, noise)
        for part, gradients in result.gradients.items():
            assign_gradients(objective.weights[part], gradients)
            optimisers[part].step()
            optimisers[part].zero_grad()

    return step


def speed(at: Callable[[int], Tensor], step: Callable[[Tensor, int], None], size: int, num: int) -> float:
    """Return images/s of ``num`` images, the first batch aside."""
    step(at(0), 0)
    begin = time.perf_counter()
    for seen in range(size, num, size):
        step(at(seen), seen)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (num - size) / (time.perf_counter() - begin)


def time_them(options: argparse.Namespace, folder: Path, pattern: str) -> None:
    """Print images/s from each source, in turn, and ratios."""
    shards, size, cache = folder / "shards", options.batch_size, folder / "cache"
    settings = {"size": 32, "cache": cache, "workers": options.workers}
    with contextlib.ExitStack() as stack:
        http = stack.enter_context(server("-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(shards)))
        sources = {"HTTP": f"{http}/{pattern}"}
        with contextlib.suppress(AssertionError):
            s3 = stack.enter_context(server("-c", MOTO))
            if upload(shards, s3):
                sources["S3"] = f"s3://shards/{pattern}"
        decoded = open_data(f"{shards}/{pattern}", **settings)
        step = stepper(options.recipe, size, decoded.image_shape)
        speed(Batches(decoded.train, size, seed=0).at, step, size, 3 * size)
        speeds: dict[str, list[float]] = {name: [] for name in ("decoded map", *sources)}
        for round_ in range(options.rounds):
            num = len(decoded.train) // size * size
            speeds["decoded map"].append(speed(Batches(decoded.train, size, seed=round_).at, step, size, num))
            for name, source in sources.items():
                shutil.rmtree(cache / "streams", ignore_errors=True)
                data = open_data(source, stream=True, held_out_by="shard", **settings)
                assert isinstance(data, StreamedData)
                shutil.rmtree(cache / "streams" / "shards")
                batches = StreamBatches(data.stream, size, seed=round_)
                speeds[name].append(speed(batches.at, step, size, min(num, data.num_train // size * size)))
                data.stream.close()
            print(
                f"round {round_ + 1}: " + ", ".join(f"{name} {of[-1]:.0f}" for name, of in speeds.items()), flush=True
            )
    base = statistics.median(speeds["decoded map"])
    print("\n| source | images/s | ratio |\n|---|---|---|")
    for name, of in speeds.items():
        print(f"| {name} | {statistics.median(of):.0f} | {statistics.median(of) / base:.3f} |")


def measure_memory(options: argparse.Namespace, folder: Path) -> None:
    """Print the peak memory of reading from 10^4 and from 10^6 images."""
    (folder / "cache").mkdir()
    print("| training images | peak memory, MB |\n|---|---|")
    for num in (10**4, 10**6):
        many = folder / str(num)
        many.mkdir()
        for i in range(num // PER_SHARD):
            os.link(folder / "shards" / f"{i % (options.images // PER_SHARD):04}.tar", many / f"{i:04}.tar")
        shards = [{"url": f"{i:04}.tar", "nsamples": PER_SHARD} for i in range(num // PER_SHARD)]
        (many / "index.json").write_text(json.dumps({"shardlist": shards}))
        source = f"{many}/{{0000..{num // PER_SHARD - 1:04}}}.tar"
        command = [sys.executable, "-c", PEAK, source, str(folder / "cache"), str(options.workers or 2)]
        images, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        print(f"| {int(images):,} | {int(peak) / 1e3:.0f} |", flush=True)


def main() -> None:
    """Measure one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=8000)
    parser.add_argument("--stored", type=int, default=64, help="side of the images in the shards; 32 in training")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--recipe", default="conv-32")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pattern = write_shards(folder / "shards", options.images, options.stored)
        if options.memory:
            measure_memory(options, folder)
        else:
            time_them(options, folder, pattern)


if __name__ == "__main__":
    main()
