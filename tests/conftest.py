"""What several test files share: a tiny training, the command in this process, and real processes."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys

# Before torch is imported: tests run side by side, and OpenMP threads that spin for work slow each other tenfold.
# With one thread, child processes also repeat each other bit for bit wherever they run.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from PIL import Image

TINY = (
    "--device cpu --train.precision fp32 --train.memory-format contiguous --train.tensorboard false "
    "--train.best-metric none --train.batch-size 16 --train.epochs 1 --train.snapshot-epochs 1 --model.latent-dim 4 "
    "--model.encoder.channels 4,8 --model.encoder.hidden 16 "
    "--model.decoder.channels 8,4 --model.decoder.first-channels 8 "
    "--model.discriminator.channels 4,8,8 --model.discriminator.hidden 16"
)


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
def command():
    """Run ``vaegan`` with these words in this process; the log goes to the streams that pytest captures."""
    from vaegan.cli import main

    logger = logging.getLogger("vaegan")
    before = logger.handlers[:], logger.propagate, logger.level
    yield lambda *words: main([str(word) for word in words])
    logger.handlers[:], logger.propagate = before[:2]
    logger.setLevel(before[2])


@pytest.fixture
def plain_curves(monkeypatch):
    """Leave losses.png empty: drawing it takes longer than a tiny run."""
    from vaegan.training import snapshots

    monkeypatch.setattr(snapshots, "draw_losses", lambda records, path: path.touch())


@pytest.fixture(scope="session")
def environment():
    """Environment of child processes."""
    return dict(os.environ)


@pytest.fixture(scope="session")
def python(environment):
    """Run Python with these arguments as a process of its own, and wait for its end."""

    def run(*arguments, timeout=240):
        words = [sys.executable, *map(str, arguments)]
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=timeout, check=False)

    return run


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
    contexts, complaints, requests = [], [], []

    def new(width, height=800, **options):
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        return page

    new.complaints, new.requests = complaints, requests
    yield new
    for context in contexts:
        context.close()
    assert complaints == []


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
