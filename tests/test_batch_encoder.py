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
from vaegan.models import load
from vaegan.pixels import PixelFormat


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


def test_an_empty_batch_gives_empty_latents(folder):
    batch = BatchEncoder(str(folder), flip=True, device="cpu")({"image": np.empty((0, 8, 8), np.uint8), "id": []})
    latent_dim = load(folder).latent_dim
    assert {name: np.shape(values) for name, values in batch.items()} == {
        "id": (0,), "latents": (0, latent_dim), "latents_flip": (0, latent_dim),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (b"garbage", "cannot be read as an image"),
        (b"", "cannot be read as an image"),
        (png(np.zeros((8, 8), np.uint8))[:-30], "."),
        (None, "a NoneType; give the bytes of an image file, or an array"),
        (np.zeros((1, 8, 8, 1), np.uint8), r"an array of shape \(1, 8, 8, 1\); give"),
        (np.zeros((8, 8), np.int64), "its values are int64"),
        (np.zeros((8, 8, 5), np.uint8), "it has 5 channels, not 1"),
        (np.zeros((0, 8, 1), np.uint8), r"an array of shape \(0, 8, 1\); give"),
        (np.full((8, 8), 1.5, np.float32), "not within 0 to 1"),
    ],
)
def test_a_row_that_is_no_image_is_named(folder, image, message):
    rows = np.empty(2, object)
    rows[:] = [np.zeros((8, 8), np.uint8), image]
    with pytest.raises(UserError, match=rf"column 'x', row 1: .*{message}"):
        BatchEncoder(str(folder), column="x", device="cpu")({"x": rows})


def test_floats_of_the_model_s_size_are_checked_too(make_model, tmp_path):
    model = make_model()
    model.info["pixels"] = PixelFormat.of("float32").as_json()
    model.save(tmp_path / "model")
    encoder = BatchEncoder(str(tmp_path / "model"), device="cpu")
    with pytest.raises(UserError, match="row 0: its values are 2 to 2, not within 0 to 1"):
        encoder({"image": np.full((1, 8, 8), 2, np.float32)})


def test_a_missing_column_is_named(folder):
    with pytest.raises(UserError, match=r"no column 'image' .*'images'.*; set column=NAME"):
        BatchEncoder(str(folder), device="cpu")({"images": np.zeros((1, 8, 8), np.uint8)})


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
