"""What several test files share: a tiny training, the command in this process, and real processes."""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import logging
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import zlib
from pathlib import Path

# Before torch is imported: tests run side by side, and OpenMP threads that spin for work slow each other tenfold.
# With one thread, child processes also repeat each other bit for bit wherever they run.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("XDG_CACHE_HOME", None)  # tests move the cache with HOME

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

sys.modules["umap"] = None  # it compiles for about 20 s in each process; the tests of UMAP itself bring it back

# A shell that starts the tests in the background has Ctrl-C ignored, in all child processes too.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run, and none is judged by the clock.
settings.register_profile(
    "exact", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("exact")

TINY = (
    "--device cpu --train.precision fp32 --train.memory-format contiguous --train.tensorboard false "
    "--train.best-metric none --train.batch-size 16 --train.epochs 1 --train.snapshot-epochs 1 --model.latent-dim 4 "
    "--model.encoder.channels 4,8 --model.encoder.hidden 16 "
    "--model.decoder.channels 8,4 --model.decoder.first-channels 8 "
    "--model.discriminator.channels 4,8,8 --model.discriminator.hidden 16"
)


def begin(words: str) -> None:
    """Seed all global generators by these words."""
    seed = zlib.crc32(words.encode())
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


@pytest.hookimpl(tryfirst=True)
def pytest_make_collect_report(collector):
    """Draw the same while a test file is imported; torch is imported before, as it seeds itself by chance."""
    import torch  # noqa: F401

    begin(collector.nodeid)


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef):
    """Draw the same in a fixture whatever ran before it."""
    begin(f"{fixturedef.baseid} {fixturedef.argname}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    """Draw the same in a test alone, in any order, and beside others."""
    begin(item.nodeid)


@pytest.fixture(scope="session")
def images_file(tmp_path_factory):
    """A .npy of 110 grey 8x8 images, bright blobs at random places; about a tenth is held out."""
    rng = np.random.default_rng(0)
    row, column = np.mgrid[:8, :8]
    centres = rng.uniform(2, 6, (110, 2))
    squares = (row - centres[:, :1, None]) ** 2 + (column - centres[:, 1:, None]) ** 2
    path = tmp_path_factory.mktemp("images") / "blobs.npy"
    np.save(path, (255 * np.exp(-squares / 4)).astype(np.uint8))
    return path


@pytest.fixture(scope="session")
def tiny(images_file):
    """Words behind ``vaegan train`` for a training of a second."""
    return ["--data", str(images_file), *TINY.split(), "--train.priors", ""]


@pytest.fixture(scope="session")
def tiny_of(tiny):
    """Such words for a kind of model: those of parts that it has not are refused."""

    def words(kind):
        lacked = {"gan": "encoder", "vaegan": "none"}.get(kind, "discriminator")
        options = zip(tiny[::2], tiny[1::2], strict=True)
        fitting = [word for option in options if f".{lacked}." not in option[0] for word in option]
        return [*fitting, "--model.kind", kind]

    return words


@pytest.fixture(scope="session")
def told_images(tmp_path_factory):
    """A folder of 110 such images of which labels and attributes are known.

    The label is the half where the bright bar is, left or right; attributes are ``right`` (0 or 1), ``height`` (of the
    bar, in rows from above) and ``said``, 0 or 1 without a meaning; most images say nothing of the last.
    """
    rng = np.random.default_rng(1)
    folder = tmp_path_factory.mktemp("told")
    rows = ["file,right,height,said"]
    for i in range(110):
        side, height = int(rng.integers(2)), int(rng.integers(6))
        image = np.zeros((8, 8), np.uint8)
        image[height : height + 3, 4 * side : 4 * side + 4] = 255
        place = folder / ("left", "right")[side] / f"{i}.png"
        place.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(place)
        rows.append(f"{i}.png,{side},{height if i % 10 else ''},{i % 3 if i % 4 == 0 and i % 3 < 2 else ''}")
    (folder / "attributes.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture
def study_script(monkeypatch):
    """Return a function: the module of a study by its name, imported as when it runs as a script."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "studies"))
    return importlib.import_module


@pytest.fixture(scope="session")
def make_model():
    """Return a function: an untrained model of the recipe `digits`, whose images depend on their codes."""

    def make(kind="vaegan", seed=0):
        import torch

        from vaegan.models import Model
        from vaegan.recipes import config_for

        config = config_for("digits", {"model.kind": kind})
        torch.manual_seed(seed)
        model = Model.from_architecture({"image_shape": [1, 8, 8], **config.model.model_dump()}, {"images": seed})
        for weights in model.parameters():  # larger than at the start of a training
            weights.data.mul_(4 if weights.dim() > 1 else 1)
        return model

    return make


@pytest.fixture
def opened(tmp_path):
    """Open a source with a cache of this test's own."""
    from vaegan.data import open_data

    return lambda source, **options: open_data(source, cache=tmp_path / "cache", **options)


@pytest.fixture
def command():
    """Run ``vaegan`` with these words in this process; the log goes to the streams that pytest captures."""
    from vaegan.cli import main

    logger = logging.getLogger("vaegan")
    before = logger.handlers[:], logger.propagate, logger.level
    yield lambda *words: main([str(word) for word in words])
    logger.handlers[:], logger.propagate = before[:2]
    logger.setLevel(before[2])


@pytest.fixture(scope="session", autouse=True)
def plain_curves():
    """Leave losses.png empty: drawing it takes longer than a tiny run. Other processes draw it."""
    from vaegan.training import snapshots

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots, "draw_losses", lambda records, path: path.touch())
        yield


@pytest.fixture(scope="session")
def onnx_registry():
    """Let torch's exporter read the sources of its 500 operations once, not for each part of a model."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(functools.cache(ONNXRegistry.from_torchlib)))
        yield


# Reads a line of JSON for each process and forks it, as importing torch takes longer than most trainings here; replies
# with process ids, then with exit codes. Several processes are ranks of one world; its store has a process of its own,
# as under torchrun.
FORKER = """
import gc, json, os, runpy, signal, sys
import matplotlib.figure, torch._dynamo, torch.distributed, vaegan.cli, vaegan.training.session

def fork_store():
    read, write = os.pipe()
    if (pid := os.fork()) == 0:
        store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        os.write(write, str(store.port).encode())
        signal.pause()
    return pid, os.read(read, 9).decode()

def become(asked, rank, port):
    for number, (path, flags) in enumerate([(os.devnull, 0), (asked["out"], os.O_APPEND), (asked["err"], os.O_APPEND)]):
        os.dup2(os.open(path, os.O_RDWR | flags), number)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    if port:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(asked["world"])}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}
    how, what, *words = asked["words"]
    sys.argv = [how, *words]
    if how == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
    sys.exit()

replies = os.fdopen(os.dup(1), "w", buffering=1)
gc.freeze()
while line := sys.stdin.readline():
    asked, children = json.loads(line), []
    store, port = fork_store() if asked["world"] > 1 else (None, None)
    for rank in range(asked["world"]):
        children.append(os.fork())
        if children[-1] == 0:
            become(asked, rank, port)
    print(json.dumps(children), file=replies)
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]), file=replies)
    if store:
        os.kill(store, signal.SIGKILL)
        os.waitpid(store, 0)
"""


class Forked:
    """A process, or several of one world, that runs."""

    def __init__(self, forker, arguments, world, folder):
        self._forker, self._folder = forker, folder
        for name in ("out", "err"):
            (folder / name).touch()
        asked = {"words": list(map(str, arguments)), "world": world, "environment": dict(os.environ)}
        asked |= {"folder": str(Path.cwd()), "out": str(folder / "out"), "err": str(folder / "err")}
        forker.stdin.write(json.dumps(asked) + "\n")
        forker.stdin.flush()
        self.pids = json.loads(forker.stdout.readline())

    def has_ended(self):
        """Whether all have ended."""
        return bool(select.select([self._forker.stdout], [], [], 0)[0])

    def wait(self):
        """Wait for the end; return exit codes, one alone as a number, and what was printed."""
        try:
            codes = json.loads(self._forker.stdout.readline())
        except BaseException:  # the test's time is up
            for pid in self.pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            raise
        out, err = ((self._folder / name).read_text() for name in ("out", "err"))
        return subprocess.CompletedProcess(self.pids, codes[0] if len(codes) == 1 else codes, out, err)


@pytest.fixture(scope="session")
def start_python(tmp_path_factory):
    """Start Python with ``-c`` or ``-m`` and these arguments as a process of its own, or as several of one world.

    Torch is imported there already: what a process imports by itself is tested with `subprocess`.
    """
    with subprocess.Popen(
        [sys.executable, "-c", FORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as forker:
        yield lambda *arguments, world=1: Forked(forker, arguments, world, tmp_path_factory.mktemp("process"))
        forker.stdin.close()


@pytest.fixture(scope="session")
def python(start_python):
    """As `start_python`, and wait for the end."""
    return lambda *arguments, world=1: start_python(*arguments, world=world).wait()


@pytest.fixture(scope="module")
def browser():
    """Chromium; a test is skipped where it or playwright is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install -e '.[browser]'")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("needs Chromium: install it by the system's package manager")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield browser
        browser.close()


@pytest.fixture
def new_page(browser):
    """Open pages in a window of some size; at the end nothing must have been complained of.

    What was asked for is in ``requests``, what was complained of in ``complaints``.
    """
    pages, complaints, requests = [], [], []

    def new(width, height=800, **options):
        page = browser.new_context(viewport={"width": width, "height": height}, **options).new_page()
        page.set_default_timeout(100_000)  # for what should come at once
        pages.append(page)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        return page

    new.complaints, new.requests = complaints, requests
    yield new
    for page in pages:
        page.evaluate("0")  # after this round trip all that it complained of has arrived
    found = complaints[:]
    for page in pages:
        page.context.close()
    assert found == []


@pytest.fixture(scope="module")
def registry(studio_run):
    """What the server serves of `studio_run`."""
    from vaegan.settings_io import load_yaml
    from vaegan.studio.registry import Registry

    registry = Registry([str(studio_run)], [load_yaml(studio_run / "config.yaml").data])
    yield registry
    registry.batcher.close()


@pytest.fixture(scope="session")
def studio_run(told_images, tmp_path_factory):
    """A tiny run of two snapshots on the told images, with a prior and attribute vectors.

    So short a training leaves all images and codes much alike; weights are made larger until they differ.
    """
    import torch

    from vaegan import load
    from vaegan.cli import main

    run = tmp_path_factory.mktemp("runs") / "bars"
    words = ["--data", str(told_images), *TINY.split(), "--data.channels", "1", "--train.priors", ""]
    assert main(["train", *words, "--train.epochs", "2", "--data.cache", str(run.parent), "--out", str(run)]) == 0
    model = load(run)
    with torch.no_grad():
        model.encoder.head.weight[: model.latent_dim].mul_(20)
        model.decoder.first.linear.weight.mul_(3)
        model.decoder.output.weight.mul_(60)
    model.save(run / "model")
    assert main(["priors", str(run), "--priors", "gaussian"]) == 0
    assert main(["attributes", str(run), "--num", "4"]) == 0
    return run
