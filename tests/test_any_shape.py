"""Every recipe builds for images that are not square, and every command works on a model of 12 x 16 pixels."""

from __future__ import annotations

import base64
import io
import itertools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY
from PIL import Image

import vaegan
from vaegan.errors import UserError
from vaegan.networks import build_parts, code_shape
from vaegan.recipes import RECIPES
from vaegan.settings_io import load_yaml


@pytest.fixture(scope="module")
def training(told_images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wide")
    words = ["train", "--data", told_images, "--data.size", "12x16", "--data.channels", "1", *TINY.split()]
    return [*map(str, words), "--train.priors", "gaussian", "--data.cache", str(folder), "--out", str(folder / "run")]


@pytest.fixture(scope="module")
def run(training):
    from vaegan.cli import main

    assert main(training) == 0
    return Path(training[-1])


@pytest.mark.parametrize("size", [(48, 64), (64, 40)])
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_builds_for_sides_that_differ(name, size):
    model, channels = RECIPES[name].config.model.model_dump(), RECIPES[name].image_shape[0]
    if model["kind"] == "vae-dis-l":
        model["kind"] = "vaegan"
    if name == "photos-64":  # sides must be multiples of 16
        size = tuple(-(-side // 16) * 16 for side in size)
    with torch.device("meta"):
        x = torch.empty(2, channels, *size)
        parts = build_parts(**model, image_shape=x.shape[1:])
        code = code_shape({**model, "image_shape": x.shape[1:]})
        z = torch.empty(2, int(np.prod(code)))
        assert parts["decoder"](z).shape == x.shape
        if "encoder" in parts:
            encoded = parts["encoder"](x)
            assert (encoded[0] if isinstance(encoded, tuple) else encoded).shape == z.shape
        if "discriminator" in parts:
            assert parts["discriminator"](x).shape == (2,)


def test_too_many_strides_say_which_sides_would_do():
    model = RECIPES["conv-64"].config.model.model_dump()
    with pytest.raises(
        UserError, match=r"strides 2,2,2.* for images of 64x4: number 3 meets a map of 16x1;.* at least 5 pix"
    ):
        build_parts(**model, image_shape=(3, 64, 4))
    with torch.device("meta"):
        build_parts(**model, image_shape=(3, 64, 5))


def test_the_size_is_kept_with_the_run(run, training, command, capsys):
    assert "\n  size: 12x16\n" in (run / "config.yaml").read_text()
    assert load_yaml(run / "config.yaml").data.height_width == (12, 16)
    assert vaegan.load(run).image_shape == (1, 12, 16)
    assert command(*training) == 0  # resumes the finished run
    assert command(*training, "--data.size", "16x12") == 2
    assert "is a run with data.size 12x16, not 16x12" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        "sample RUN --num 4",
        "reconstruct RUN --num 4",
        "interpolate RUN --num 2 --steps 3",
        "interpolate RUN --between four --num 3 --steps 3",
        "traverse RUN --num 2",
        "attributes RUN --num 2",
        "nearest RUN --num 2",
    ],
)
def test_a_command_gives_images_of_this_shape(run, command, tmp_path, words):
    path = tmp_path / "out.npz"
    assert command(*words.replace("RUN", str(run)).split(), "--out", path) == 0
    with np.load(path) as arrays:
        assert arrays["images"].shape[1:] == (12, 16, 1)


@pytest.mark.parametrize(
    "words",
    [
        "cluster RUN --k 2 --out OUT",
        "encode RUN --out OUT.npz",
        "export RUN --format safetensors torch --out OUT",
        "report RUN --out OUT.html",
        "priors RUN --priors gaussian --out OUT",
    ],
)
def test_a_command_works(run, command, tmp_path, words):
    given = words.replace("RUN", str(run)).replace("OUT", str(tmp_path / "out")).split()
    assert command(*given) == 0


def test_evaluation_and_comparison(run, command, tmp_path):
    assert command("evaluate", run, "--num", "4", "--extractor", "pixels") == 0
    shutil.copytree(run, tmp_path / "other")
    out = ["--out", tmp_path / "out.html"]
    assert command("compare", run, tmp_path / "other", "--num", "4", "--extractor", "pixels", *out) == 0
    assert json.loads((run / "evaluation.json").read_text())["reconstructions"]["mse"]["value"] > 0
    page = (tmp_path / "out.html").read_text()
    maps = re.findall(r'width="(\d+)" height="(\d+)" alt="Errors of ', page)
    assert maps
    assert all((int(width) // 12, int(height) // 12) == (16, 12) for width, height in maps)  # drawn 12 times as large


def test_a_report_shows_images_in_their_shape(run, command, tmp_path):
    assert command("report", run, "--out", tmp_path / "out.html") == 0
    page = (tmp_path / "out.html").read_text()
    assert "12 × 16, grey" in page
    tags = re.findall(r'<img[^>]* src="data:image/(?:png|webp);base64,([^"]+)" width="(\d+)" height="(\d+)"', page)
    assert tags
    for content, width, height in tags:
        assert Image.open(io.BytesIO(base64.b64decode(content))).size == (int(width), int(height))


def test_a_browser_shows_them_in_their_shape(run, command, tmp_path, new_page):
    assert command("report", run, "--out", tmp_path / "out.html") == 0
    page = new_page(900)
    page.goto((tmp_path / "out.html").as_uri())
    sizes = page.eval_on_selector_all(
        "img", "all => all.map(i => [i.naturalWidth / i.naturalHeight, i.width / i.height])"
    )
    seen = [(own, shown) for own, shown in sizes if own and shown]
    assert len(seen) > 5
    for own, shown in seen:
        assert shown == pytest.approx(own, rel=0.05)


def test_a_card_says_height_times_width(run, tmp_path):
    vaegan.load(run).save_pretrained(tmp_path / "shared")
    assert "grey images of 12x16 pixels" in (tmp_path / "shared" / "README.md").read_text()


def test_the_studio_shows_and_takes_images_of_this_shape(run):
    pytest.importorskip("fastapi", reason="needs the extra studio: pip install -e '.[studio]'")
    from fastapi.testclient import TestClient

    from vaegan.studio.app import create_app
    from vaegan.studio.registry import Registry

    registry = Registry([str(run)], [load_yaml(run / "config.yaml").data])
    client = TestClient(create_app(registry), base_url="http://127.0.0.1")
    file = io.BytesIO()
    Image.fromarray(np.arange(100 * 80, dtype=np.uint32).reshape(100, 80).astype(np.uint8)).save(file, "PNG")
    answers = [
        client.get("/api/models/run/samples?num=2").json()["images"],
        client.get("/api/models/run/examples?num=2").json()["images"],
        [client.post("/api/models/run/reconstruct", files={"file": ("x.png", file.getvalue())}).json()["error_map"]],
    ]
    registry.batcher.close()
    for uri in itertools.chain(*answers):
        assert Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).size == (16, 12)
