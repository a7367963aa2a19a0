"""The studio's page in a real browser, Chromium without a window: each control is used, and what it shows is compared
with what the model, loaded on its own, makes of the same.
"""

from __future__ import annotations

import io
import shutil
import threading

import numpy as np
import pytest
import torch
from PIL import Image

import vaegan
from vaegan.data.image_file import Target, prepare
from vaegan.settings_io import load_yaml


@pytest.fixture(scope="module")
def serve():
    """Serve runs from a thread and return the address; all are stopped at the end."""
    pytest.importorskip("fastapi", reason="needs the extra studio: pip install -e '.[studio]'")
    from vaegan.studio.app import create_app
    from vaegan.studio.guard import Access
    from vaegan.studio.server import address_of, bind, server_of

    running = []

    def start(registry, access=None):
        listening = bind("127.0.0.1", 0)
        server = server_of(create_app(registry, access or Access()))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        running.append((server, thread, listening, registry))
        return address_of(listening, "127.0.0.1")

    yield start
    for server, thread, listening, registry in running:
        server.should_exit = True
        thread.join(30)
        listening.close()
        registry.batcher.close()


@pytest.fixture(scope="module")
def other(studio_run, tmp_path_factory):
    """A second run, whose decoder makes something else."""
    run = tmp_path_factory.mktemp("runs") / "other"
    shutil.copytree(studio_run, run)
    model = vaegan.load(run)
    with torch.no_grad():
        for weight in model.decoder.parameters():
            weight.mul_(1.3)
    model.save(run / "model")
    return run


@pytest.fixture(scope="module")
def registry(serve, studio_run, other):
    """Both runs."""
    from vaegan.studio.registry import Registry

    data = load_yaml(studio_run / "config.yaml").data
    return Registry([str(studio_run), str(other)], [data, data])


@pytest.fixture(scope="module")
def address(serve, registry):
    return serve(registry)


@pytest.fixture(scope="module")
def model(studio_run):
    return vaegan.load(studio_run)


@pytest.fixture
def open_page(new_page, address):
    """Open a view; at the end nothing must have been asked for elsewhere."""

    def open_at(view="", width=1240, at=address, **options):
        page = new_page(width, 900, **options)
        page.goto(at + view)
        page.wait_for_function("() => document.getElementById('about').textContent !== ''")
        return page

    open_at.complaints = new_page.complaints
    yield open_at
    assert [url for url in new_page.requests if not url.startswith(("data:", "blob:", "http://127.0.0.1:"))] == []


@pytest.fixture(scope="module")
def photo():
    """A picture of no special size: its bytes, and what the model should see of it, uint8 `(1, 8, 8)`."""
    rng = np.random.default_rng(4)
    file = io.BytesIO()
    coarse = rng.integers(0, 256, (5, 8, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((160, 100), Image.Resampling.BICUBIC).save(file, "PNG")
    seen = prepare(Image.open(io.BytesIO(file.getvalue())), Target(8, 8, 1))
    return file.getvalue(), seen[None, :, :, 0].astype(np.int32)
