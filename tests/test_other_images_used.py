"""Images of other types, channels or opacity after training: as pictures, in the studio, to networks and metrics."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from image_folders import drawn
from PIL import Image

from vaegan.data import open_data
from vaegan.errors import UserError
from vaegan.evaluation.measure import evaluate
from vaegan.metrics.extractors import features
from vaegan.models import Model, load
from vaegan.pixels import BYTES, PixelFormat, Shown
from vaegan.settings import DataSettings
from vaegan.views.view import View
from vaegan.views.write import write_view

SIXTEEN = PixelFormat.of("uint16")


def test_pictures_show_chosen_bands():
    image = np.arange(12, dtype=np.uint16).reshape(1, 1, 12) * 5000
    for bands, expected in (((), [0, 5000, 10000]), ((3, 2, 1), [10000, 5000, 0]), ((12,), [55000])):
        shown = Shown(SIXTEEN, bands)
        np.testing.assert_array_equal(shown(image)[0, 0], np.round(np.array(expected) / 257).astype(np.uint8))
    assert Shown()(image[..., :2].astype(np.uint8)).shape == (1, 1, 1)
    for bands in ((13,), (1, 2)):
        with pytest.raises(UserError, match=r"--bands .*: give one channel, or three"):
            Shown(SIXTEEN, bands).checked(12)


def test_what_is_transparent_is_shown_on_white():
    image = np.array([[[10, 20, 30, 0], [10, 20, 30, 255], [0, 0, 0, 51]]], np.uint8)
    shown = Shown(PixelFormat(alpha=True))(image)
    np.testing.assert_array_equal(shown[0], [[255] * 3, [10, 20, 30], [204] * 3])
    np.testing.assert_array_equal(Shown()(image), image[..., :3])


def test_a_folder_of_pngs_has_their_opacity(tmp_path):
    image = np.array([[[10, 20, 30, 0], [10, 20, 30, 255], [0, 0, 0, 51]]], np.uint8)
    for bands, expected in (((), image), ((2,), image[..., 1])):
        view = View(image[None, None], shown=Shown(PixelFormat(alpha=True), bands))
        write_view(tmp_path / f"out{len(bands)}", view)
        np.testing.assert_array_equal(Image.open(tmp_path / f"out{len(bands)}" / "00000.png"), expected)


@pytest.fixture
def made(make_model):
    """Return a function: a saved model of eight by eight images of these channels and this format."""

    def made(folder, channels, pixels, **info):
        architecture = make_model().architecture | {"image_shape": [channels, 8, 8]}
        Model.from_architecture(architecture, {"pixels": pixels.as_json(), **info}).save(folder)
        return folder

    return made


def test_the_studio_takes_what_fits_and_shows_bands(tmp_path, made):
    pytest.importorskip("fastapi", reason="needs the extra studio")
    tifffile = pytest.importorskip("tifffile", reason="TIFF needs the extra tiff")
    from fastapi.testclient import TestClient

    from vaegan.studio.app import create_app
    from vaegan.studio.registry import Registry

    pixels = PixelFormat("float32", -1.0, 1.0)
    folder = made(tmp_path / "bands", 5, pixels, bands=[5, 1, 2])
    client = TestClient(create_app(Registry([str(folder)])), base_url="http://127.0.0.1")

    def sent(image, path="/api/models/bands/reconstruct", form="json"):
        file = io.BytesIO()
        tifffile.imwrite(file, np.moveaxis(image, 2, 0), photometric="minisblack")
        return client.post(path, files={"file": ("x.tif", file.getvalue())}, data={"form": form})

    image = drawn((8, 8, 5), np.float32, 1.0, -1.0)
    answer = sent(image).json()
    png = Image.open(io.BytesIO(base64.b64decode(answer["original"].partition(",")[2])))
    np.testing.assert_array_equal(np.asarray(png), Shown(pixels, (5, 1, 2))(image))
    arrays = sent(image, form="npz").content
    with np.load(io.BytesIO(arrays)) as arrays:
        np.testing.assert_array_equal(arrays["originals"], image[None])
        x_tilde = load(folder).reconstruct(pixels.to_unit(torch.from_numpy(image[None])))
        np.testing.assert_allclose(arrays["images"], pixels.from_unit(x_tilde), atol=1e-5)
    drawn_ones = client.get("/api/models/bands/samples?num=2&form=npz").content
    with np.load(io.BytesIO(drawn_ones)) as arrays:
        assert (arrays["images"].dtype, arrays["images"].shape) == (np.float32, (2, 8, 8, 5))
    for wrong, why in ((image[..., :3], "it has 3 channels, not 5"), (2 * image, "not within -1 to 1")):
        refused = sent(wrong)
        assert refused.status_code == 422
        assert why in refused.text


@pytest.mark.parametrize(
    ("channels", "pixels", "bands"),
    [
        (1, PixelFormat.of("uint16", (0.0, 4095.0)), []),
        (3, PixelFormat.of("float32", (-1.0, 1.0)), [3, 2, 1]),
        (4, PixelFormat(alpha=True), []),
        (4, PixelFormat(), []),
        (3, PixelFormat(), [2]),
        (5, PixelFormat.of("float32"), [5, 1, 2]),
    ],
)
def test_the_studio_reads_a_picture_that_it_has_shown(tmp_path, made, channels, pixels, bands):
    """Its bytes are of the whole range, whatever the data are; opacity stays. One that lacks channels is refused."""
    pytest.importorskip("fastapi", reason="needs the extra studio")
    from fastapi.testclient import TestClient

    from vaegan.studio.app import create_app
    from vaegan.studio.registry import Registry

    folder, data = made(tmp_path / "one", channels, pixels, bands=bands), DataSettings(range=(pixels.low, pixels.high))
    client = TestClient(create_app(Registry([str(folder)], [data])), base_url="http://127.0.0.1")

    def sent(png, form="json"):
        about = {"shown": "true", "form": form}
        return client.post("/api/models/one/reconstruct", files={"file": ("x.png", png)}, data=about)

    x = torch.rand(1, channels, 8, 8, generator=torch.Generator().manual_seed(0))
    file, picture = io.BytesIO(), Shown(pixels, tuple(bands))(pixels.from_unit(x), alpha=True)[0]
    Image.fromarray(picture.squeeze()).save(file, "PNG")
    answer = sent(file.getvalue())
    is_whole = channels == (len(bands) or channels) and (channels < 4 or pixels.alpha)
    assert client.get("/api/models/one").json()["shows_all_channels"] == is_whole
    if not is_whole:
        assert answer.status_code == 422
        why = f"a picture shows only {len(bands) or 3} of the {channels} channels of this model's images"
        assert answer.json()["error"] == why
        return
    again = Image.open(io.BytesIO(base64.b64decode(answer.json()["original"].partition(",")[2])))
    np.testing.assert_array_equal(np.asarray(again), picture.squeeze())
    with np.load(io.BytesIO(sent(file.getvalue(), "npz").content)) as arrays:
        torch.testing.assert_close(pixels.to_unit(torch.from_numpy(arrays["originals"])), x, atol=3e-3, rtol=0)


def test_compared_runs_show_the_bands_chosen(tmp_path, made, monkeypatch, command):
    seen = []
    bands_of = "vaegan.metrics.extractors.features.open_extractor"
    open_extractor = features.open_extractor
    monkeypatch.setattr(bands_of, lambda *a, bands, **more: (seen.append(bands), open_extractor(*a, **more))[1])
    page = "vaegan.pages.comparison_page.comparison_page"
    monkeypatch.setattr(page, lambda comparison, seed: str(seen.append(comparison.runs[0][0].shown.bands)))
    runs = [made(tmp_path / name, 5, BYTES, bands=[1, 2, 3]) for name in ("a", "b")]
    np.save(tmp_path / "x.npy", drawn((20, 8, 8, 5), np.uint8, 255))
    words = ["--data", tmp_path / "x.npy", "--num", "4", "--extractor", "pixels", "--data.cache", tmp_path / "cache"]
    command("compare", *runs, *words, "--bands", "5,1,2", "--out", tmp_path / "page.html")
    assert seen == [(5, 1, 2)] * 2


def test_published_extractors_see_the_bands_shown(monkeypatch, caplog, tmp_path):
    class Means:
        name, fingerprint, dim = "inception", "means", 3

        def __init__(self, *_):
            pass

        def features(self, x, *, batch_size):
            return x.mean((2, 3))

    monkeypatch.setitem(features._PUBLISHED, "inception", Means)
    np.save(tmp_path / "a.npy", drawn((20, 4, 4, 5), np.float32, 1.0))
    data = open_data(tmp_path / "a.npy")
    with caplog.at_level("INFO", "vaegan"):
        extractor = features.open_extractor("inception", data, bands=(5, 1, 2))
    assert "inception sees channels 5, 1, 2 of 5" in caplog.text
    assert extractor.fingerprint != "means"
    x = data.train.unit()
    torch.testing.assert_close(extractor.features(x), x[:, [4, 0, 1]].mean((2, 3)))
    np.save(tmp_path / "b.npy", drawn((20, 4, 4, 3), np.float32, 1.0))
    assert features.open_extractor("inception", open_data(tmp_path / "b.npy")).fingerprint == "means"


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_bits_per_dimension_are_of_the_type_s_steps(tmp_path, made, dtype):
    """Steps 257 times as fine take log2 257 = 8.006 bits more; floats have none."""
    grey = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1), np.uint8)
    figures = []
    for pixels in (BYTES, PixelFormat.of(dtype)):
        np.save(tmp_path / "a.npy", pixels.converted(grey, BYTES))
        model, data = load(made(tmp_path / "model", 1, pixels)), open_data(tmp_path / "a.npy")
        torch.manual_seed(0)
        for weights in model.parameters():
            torch.nn.init.normal_(weights, std=0.1)
        report = evaluate(model, data, extractor=features.open_extractor("pixels", data), priors=(), cache=tmp_path)
        figures.append(report["likelihood"])
        assert ("bits per dimension" in report["left_out"]) == (pixels.dtype == "float32")
    first, second = figures
    assert second["nll"]["value"] == pytest.approx(first["nll"]["value"], rel=1e-3)
    if dtype == "uint16":
        more = second["bits_per_dimension"]["value"] - first["bits_per_dimension"]["value"]
        assert more == pytest.approx(np.log2(257), abs=0.01)
    else:
        assert "bits_per_dimension" not in second
