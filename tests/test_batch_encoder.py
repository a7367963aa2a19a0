"""Encoding batches in columns: the latents that `vaegan encode` writes, also on a local cluster of Ray."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from vaegan.errors import UserError
from vaegan.latent.batch_encoder import BatchEncoder


@pytest.fixture
def folder(make_model, tmp_path):
    model = make_model()
    model.info["scale_factor"] = 0.5
    model.save(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def encoded(folder, images_file, command, tmp_path):
    """Latents that the command writes, mirrored ones, and the images, by their names."""
    words = ["--data", images_file, "--data.cache", tmp_path, "--format", "safetensors", "--flip", "--scaled"]
    assert command("encode", folder, *words, "--out", tmp_path / "latents") == 0
    parts = [load_file(path) for path in sorted((tmp_path / "latents").glob("*.safetensors"))]
    names = [int(name) for part in parts for name in bytes(part["names"].numpy()).decode().split("\n")]
    tensors = [torch.cat([part[name] for part in parts]).numpy() for name in ("latents", "latents_flip")]
    return *tensors, np.load(images_file)[names]


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def test_a_batch_gets_the_latents_that_the_command_writes(folder, encoded):
    latents, flipped, images = encoded
    encoder = BatchEncoder(str(folder), scaled=True, flip=True, device="cpu")
    for column in (images, images[..., None], np.array([png(image) for image in images], object)):
        batch = encoder({"image": column, "id": np.arange(len(images))})
        assert list(batch) == ["id", "latents", "latents_flip"]
        np.testing.assert_allclose(batch["latents"], latents, atol=1e-6)
        np.testing.assert_allclose(batch["latents_flip"], flipped, atol=1e-6)
    larger = encoder({"image": images.repeat(4, 1).repeat(4, 2)})  # is resized
    np.testing.assert_allclose(larger["latents"], latents, atol=0.3)
    assert list(BatchEncoder(str(folder), column="x", device="cpu")({"x": images})) == ["latents"]


def test_mistakes(tmp_path, make_model):
    with pytest.raises(UserError, match="nowhere"):
        BatchEncoder(str(tmp_path / "nowhere"))
    make_model("gan").save(tmp_path / "gan")
    with pytest.raises(UserError, match="has no encoder"):
        BatchEncoder(str(tmp_path / "gan"))({"image": np.zeros((1, 8, 8), np.uint8)})


@pytest.mark.slow
def test_on_a_local_cluster_of_two_workers(folder, encoded, monkeypatch):
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray = pytest.importorskip("ray", reason="needs Ray: pip install 'vaegan[ray]'")
    data = pytest.importorskip("ray.data", reason="needs Ray Data: pip install 'vaegan[ray]'")
    latents, _, images = encoded
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        ds = data.from_items([{"image": image, "id": i} for i, image in enumerate(images)], override_num_blocks=4)
        options = {"model": str(folder), "scaled": True, "device": "cpu"}
        ds = ds.map_batches(BatchEncoder, fn_constructor_kwargs=options, concurrency=2, batch_size=16)
        rows = sorted(ds.take_all(), key=lambda row: row["id"])
    finally:
        ray.shutdown()
    np.testing.assert_allclose(np.stack([row["latents"] for row in rows]), latents, atol=1e-6)
