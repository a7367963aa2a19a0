"""Images that are not bytes of grey or colour: 16 bits, floats, many channels, opacity; from file to file and back."""

from __future__ import annotations

import json
import re
import sys
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY
from image_folders import drawn
from PIL import Image

from vaegan.data import cache, open_data
from vaegan.data.image_file import ImageHeader, Target, prepare, read_header
from vaegan.data.image_types import ArrayImage, open_image
from vaegan.errors import UserError
from vaegan.models import load
from vaegan.pixels import BYTES, ImageRange, PixelFormat, as_range

SIXTEEN = PixelFormat.of("uint16")


def write_grey(folder, i, image):
    Image.fromarray(image[..., 0]).save(folder / f"{i}.png")


def write_tiff(folder, i, image):
    tifffile = pytest.importorskip("tifffile", reason="TIFF needs the extra tiff")
    tifffile.imwrite(folder / f"{i}.tif", np.moveaxis(image, 2, 0))  # a page for each channel


def write_deep(folder, i, image):
    imagecodecs = pytest.importorskip("imagecodecs", reason="PNG of 16 bits in colour needs the extra tiff")
    (folder / f"{i}.png").write_bytes(imagecodecs.png_encode(image))


def write_rgba(folder, i, image):
    Image.fromarray(image).save(folder / f"{i}.png")


KINDS = {
    "grey of 16 bits": (write_grey, drawn((30, 8, 8, 1), np.uint16, 65535), [], SIXTEEN),
    "twelve bands of floats": (
        write_tiff, drawn((30, 8, 8, 12), np.float32, 9.0, -3.0), ["--data.range", "-4", "9.5", "--bands", "3,2,1"],
        PixelFormat("float32", -4.0, 9.5),
    ),
    "colour of 16 bits": (write_deep, drawn((30, 8, 8, 3), np.uint16, 65535), [], SIXTEEN),
    "opacity of 16 bits": (write_deep, drawn((30, 8, 8, 4), np.uint16, 65535), ["--data.channels", "4"], SIXTEEN),
    "opacity": (write_rgba, drawn((30, 8, 8, 4), np.uint8, 255), ["--data.channels", "4"], BYTES),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_there_and_back(tmp_path, monkeypatch, command, kind):
    """A training, its reconstructions as arrays in the input's type and range, and the originals as in the files."""
    monkeypatch.chdir(tmp_path)
    write, images, more, pixels = KINDS[kind]
    (tmp_path / "images").mkdir()
    for i, image in enumerate(images):
        write(tmp_path / "images", i, image)
    words = [*TINY.split(), "--train.priors", "none", "--data.cache", "cache"]
    command("train", "--data", "images", "--out", "run", *words, *more)
    command("reconstruct", "run", "--out", "back.npz")
    with np.load("back.npz") as arrays:
        numbers = [int(name.split(".")[0]) for name in arrays["names"]]
        assert arrays["originals"].dtype == arrays["images"].dtype == images.dtype
        np.testing.assert_array_equal(arrays["originals"], images[numbers])
        unit = (arrays["images"].astype(np.float64) - pixels.low) / pixels.span
        assert 0.0 <= unit.min() < unit.max() <= 1.0
        x = pixels.to_unit(torch.from_numpy(arrays["originals"]))
    model = load("run")
    assert model.pixels == pixels
    np.testing.assert_allclose(model.reconstruct(x).permute(0, 2, 3, 1), unit, atol=0.6 / 255)
    channels = "L" if images.shape[3] == 1 else "RGB"
    assert {Image.open(path).mode for path in (tmp_path / "run" / "reconstructions").iterdir()} == {channels}
    command("train", "--data", "images", "--out", "run", *words, *more, "--train.epochs", "2")
    assert json.loads((tmp_path / "run" / "status.json").read_text())["finished"]


def test_a_run_from_before_stays_at_eight_bits(tmp_path, monkeypatch, command):
    """Its data.json names no type: images of 16 bits have been read as bytes, and still are when it resumes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    for i, image in enumerate(KINDS["grey of 16 bits"][1]):
        write_grey(tmp_path / "images", i, image)
    words = ["--data", "images", "--out", "run", *TINY.split(), "--train.priors", "none", "--data.cache", "cache"]
    with monkeypatch.context() as patch:
        patch.setattr("vaegan.training.setup.open_data", lambda place, **_: open_data(place, pixels=BYTES))
        command("train", *words)
    assert "pixels" not in (tmp_path / "run" / "data.json").read_text()
    command("train", *words, "--train.epochs", "2")
    assert load("run").pixels == BYTES


@pytest.mark.parametrize("pixels", [BYTES, SIXTEEN, PixelFormat("uint16", 100, 4000)])
def test_integers_come_back_exactly(pixels):
    every = np.arange(pixels.low, pixels.high + 1).astype(pixels.dtype).reshape(1, 1, -1, 1)
    x = pixels.to_unit(torch.from_numpy(every))
    assert (x.min(), x.max()) == (0.0, 1.0)
    np.testing.assert_array_equal(pixels.from_unit(x), every)
    inside = ImageRange(-1.0, 1.0)
    torch.testing.assert_close(inside.from_bytes(torch.from_numpy(every), pixels), inside.from_unit(x))
    assert pixels.cell == pytest.approx(float(x[0, 0, 0, 1] - x[0, 0, 0, 0]), rel=1e-3)


def test_a_range_wider_than_its_type_ends_at_the_type_s_limits():
    x = torch.tensor([0.0, 0.5, 1.0]).reshape(1, 1, 1, 3)
    assert PixelFormat("uint8", -10, 300).from_unit(x).flatten().tolist() == [0, 145, 255]


def test_a_range_without_numbers():
    with pytest.raises(ValueError, match="empty"):
        PixelFormat("uint8", 3, 3)


def test_resized_bands_stay_within_the_range():
    """Lanczos overshoots at an edge; each channel is resized by itself, like a picture of one channel."""
    image = np.zeros((16, 16, 5), np.uint16)
    image[:, 8:] = np.array([65535, 1000, 30000, 7, 0])
    target = Target(7, 7, 5, pixels=SIXTEEN)
    small = prepare(ArrayImage(lambda: image, image.shape, image.dtype), target)
    assert small.dtype == np.uint16
    assert (small.min(), small.max()) == (0, 65535)
    plane = Image.fromarray(image[..., 1].astype(np.float32)).resize((7, 7), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(small[..., 1], np.round(np.asarray(plane)).clip(0, None))


def test_colour_and_grey_of_sixteen_bits():
    image = drawn((4, 4, 3), np.uint16, 65535)
    grey = prepare(ArrayImage(lambda: image, image.shape, image.dtype), Target(4, 4, 1, pixels=SIXTEEN))
    np.testing.assert_allclose(grey[..., 0], image @ [0.299, 0.587, 0.114], atol=0.51)
    colour = prepare(ArrayImage(lambda: grey, grey.shape, grey.dtype), Target(4, 4, 3, pixels=SIXTEEN))
    np.testing.assert_array_equal(colour, grey.repeat(3, 2))


def test_some_of_sixteen_bits_and_some_of_eight(tmp_path, caplog):
    for i in range(6):
        image = np.full((4, 4), 257 * i, np.uint16)
        Image.fromarray(image if i % 2 else image.astype(np.uint8)).save(tmp_path / f"{i}.png")
    data = open_data(tmp_path, cache=tmp_path / "cache")
    assert data.pixels == BYTES
    assert f"{tmp_path}: 3 images of more than 8 bits are read as 8 bits, as others have 8" in caplog.text
    assert [int(name.split(".")[0]) for name in data.train.names] == data.train.images[:, 0, 0, 0].tolist()


def test_bytes_outside_of_a_model_s_range_of_floats_need_none(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(30 * 16, dtype=np.uint8).reshape(30, 4, 4) % 200)
    own = PixelFormat("float32")
    with pytest.raises(UserError, match=r"outside of -5 to 5; set --data.range none, as their values are integers$"):
        open_data(tmp_path / "a.npy", cache=tmp_path / "cache", range=(-5.0, 5.0), pixels=own)
    open_data(tmp_path / "a.npy", cache=tmp_path / "cache", pixels=own)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_a_deep_png_is_read_as_pillow_reads_it_but_for_its_bits(tmp_path, channels):
    """Upright, on white or with opacity, as grey or colour; and as bytes exactly as before."""
    image = drawn((6, 4, channels), np.uint16, 65535)
    write_deep(tmp_path, 0, image)
    exif = Image.Exif()
    exif[0x0112] = 6
    content = (tmp_path / "0.png").read_bytes()
    chunk = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    (tmp_path / "0.png").write_bytes(content[:33] + chunk + content[33:])
    assert read_header(open_image(tmp_path / "0.png")) == ImageHeader(6, 4, True, None, "uint16")
    with Image.open(tmp_path / "0.png") as picture:
        bits = np.rot90(image, -1)
        for wanted in (1, 3, 4):
            target = Target(4, 6, wanted)
            deep = prepare(open_image(tmp_path / "0.png"), replace(target, pixels=SIXTEEN))
            flat = prepare(open_image(tmp_path / "0.png"), target)
            np.testing.assert_allclose(deep / 257.0, flat, atol=2.0)
            if wanted == 4:
                np.testing.assert_array_equal(flat[..., 3], np.rot90(np.asarray(picture.convert("RGBA")), -1)[..., 3])
            if wanted == channels:
                np.testing.assert_array_equal(deep, bits)


def test_what_is_transparent_has_no_colour_when_resized():
    """16 bits as Pillow resizes 8, in which colours are weighted by their opacity."""
    eight = drawn((16, 16, 4), np.uint8, 255)
    eight[:8, :, 3] = 0
    target = Target(5, 5, 4)
    expected = prepare(Image.fromarray(eight), replace(target, pixels=replace(BYTES, alpha=True)))
    sixteen = ArrayImage(lambda: eight.astype(np.uint16) * 257, (16, 16, 4), np.dtype(np.uint16), alpha=True)
    deep = prepare(sixteen, replace(target, pixels=replace(SIXTEEN, alpha=True))) / 257
    opaque = expected[..., 3] > 16  # with less, bytes have lost the colour
    assert opaque.sum() > 10
    np.testing.assert_allclose(deep[..., 3], expected[..., 3], atol=2)
    np.testing.assert_allclose(deep[opaque], expected[opaque], atol=12)


def test_a_deep_png_without_the_extra(tmp_path, monkeypatch):
    for i in range(3):
        write_deep(tmp_path, i, drawn((4, 4, 3), np.uint16, 65535))
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(UserError, match=r"16-bit colour PNG images need the extra tiff .*pip install 'vaegan\[tiff\]'"):
        open_data(tmp_path, cache=tmp_path / "cache")
    assert open_data(tmp_path, cache=tmp_path / "cache", pixels=BYTES).pixels == BYTES  # a run from before


def test_what_was_decoded_before_is_still_used(tmp_path, monkeypatch):
    """An entry without a format holds bytes; it is used for images of 8 bits and not for those of 16."""
    grey = drawn((6, 4, 4), np.uint8, 255)
    for name, images in (("eight", grey), ("sixteen", grey.astype(np.uint16) * 257)):
        (tmp_path / name).mkdir()
        for i, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / name / f"{i}.png")
    before = open_data(tmp_path / "sixteen", cache=tmp_path / "cache", pixels=BYTES)
    assert before.train.images.dtype == np.uint8
    assert open_data(tmp_path / "eight", cache=tmp_path / "cache").pixels == BYTES
    assert not any("pixels" in path.read_text() for path in (tmp_path / "cache").rglob("index.json"))
    assert open_data(tmp_path / "sixteen", cache=tmp_path / "cache").pixels == SIXTEEN
    monkeypatch.setattr(cache, "make", None)
    again = open_data(tmp_path / "sixteen", cache=tmp_path / "cache", pixels=BYTES)
    assert again.fingerprint == before.fingerprint


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"channels": 3}, "its images have 5 channels, not 3"),
        (
            {"range": (5, 99)},
            r"18 of 20 images \(0, 1, 10, ...\) have values outside of 5 to 99; set --data.range 0 179,",
        ),
        ({"range": (0, 70000)}, r"a.npy: --data.range 0 70000 is outside of uint16 \(0 to 65535\), the type of its"),
        ({"range": (-1e308, 1e308)}, "--data.range -1e.308 1e.308 is too wide"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, settings, complaint):
    np.save(tmp_path / "a.npy", (np.arange(20 * 4 * 4 * 5) % 180).astype(np.uint16).reshape(20, 4, 4, 5))
    for size in (None, 2):  # in memory, and decoded
        with pytest.raises(UserError, match=complaint):
            open_data(tmp_path / "a.npy", cache=tmp_path / "cache", size=size, **settings)


def test_numbers_in_a_range_of_their_own(tmp_path):
    images = drawn((20, 4, 4, 1), np.uint16, 4000, 100)
    np.save(tmp_path / "a.npy", images)
    data = open_data(tmp_path / "a.npy", range=(100, 4000))
    assert data.pixels == PixelFormat("uint16", 100, 4000)
    unit = (data.train.images - 100.0) / 3900
    np.testing.assert_allclose(data.train.unit([0]).numpy()[0, 0], unit[0, ..., 0], atol=1e-6)
    as_bytes = open_data(tmp_path / "a.npy", cache=tmp_path / "cache", range=(100, 4000), pixels=BYTES)
    np.testing.assert_array_equal(as_bytes.train.images, np.round(unit * 255))


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_a_range_that_images_hardly_fill_is_said(tmp_path, caplog, dtype):
    """A camera of 12 bits, or reflectances: the range that is proposed holds all files, also where they are cropped."""
    images = drawn((20, 6, 6, 1), dtype, 100, 20) / np.array(1 if dtype == "uint16" else 1234, dtype)
    images[3, 0, 0] *= 3
    np.save(tmp_path / "a.npy", images.astype(dtype))
    low, high = (float(str(number)) for number in (images.min(), images.max()))
    for settings in (
        {},
        {"size": 4, "crop_size": 4},
        {"size": 4, "crop_size": 4},
    ):  # in memory, decoded, from the cache
        caplog.clear()
        data = open_data(tmp_path / "a.npy", cache=tmp_path / "cache", **settings)
        assert f"{dtype} from 0 to {data.pixels.high:g}, values {low:g} to {high:g}" in data.summary()[0]
        (line,) = [record.getMessage() for record in caplog.records]
        match = re.search(r"less than a third of the range 0 to \d+; set --data.range (\S+) (\S+) for more", line)
        caplog.clear()
        open_data(tmp_path / "a.npy", cache=tmp_path / "cache", range=[*map(float, match.groups())], **settings)
        assert not caplog.records


def test_entries_without_extremes_are_still_used(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", drawn((20, 6, 6, 1), "uint16", 100))
    options = {"cache": tmp_path / "cache", "size": 4}
    assert open_data(tmp_path / "a.npy", **options).details
    (index,) = (tmp_path / "cache").rglob("index.json")
    index.write_text(
        json.dumps({key: value for key, value in json.loads(index.read_text()).items() if key != "values"})
    )
    monkeypatch.setattr(cache, "make", None)
    assert not open_data(tmp_path / "a.npy", **options).details


def test_a_proposed_range_holds_both():
    assert as_range(100, 65535) == "100 65535"
    assert as_range(-0.12345678, 0.8) == "-0.123457 0.8"
    assert as_range(0.12345678, 1234567.8) == "0.123456 1.23457e+06"
    assert as_range(-1234564.0, 1234564.0) == "-1.23457e+06 1.23457e+06"


@pytest.mark.parametrize("name", ["x.npy", "tiles"])
def test_one_range_for_all_images_outside_of_it(tmp_path, name):
    values = np.arange(100, 130, dtype=np.uint16)
    images = np.broadcast_to(values[:, None, None], (30, 4, 4))
    np.save(tmp_path / "x.npy", images)
    (tmp_path / "tiles").mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "tiles" / f"{i:02}.png")
    with pytest.raises(UserError, match=r"6 of 30 images \(.*outside of 102 to 125; set --data.range 100 129, which"):
        open_data(tmp_path / name, cache=tmp_path / "cache", range=(102, 125))
    assert not [*(tmp_path / "cache").rglob("*.npy")]


@pytest.mark.parametrize("size", [None, 48])
def test_a_crop_that_was_not_asked_for_is_said(tmp_path, size):
    np.save(tmp_path / "a.npy", np.zeros((4, 48, 64), np.uint8))
    line = open_data(tmp_path / "a.npy", cache=tmp_path / "cache", size=size).summary()[0]
    said = ", centre-cropped from 48x64 (--data.size 48x64 keeps all)" if size is None else ""
    assert f"3 training images of 1x48x48{said}, 1 held out" in line


def test_a_size_that_leaves_little_of_images_is_said(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 40, 200), np.uint8))
    line = open_data(tmp_path / "a.npy", cache=tmp_path / "cache", size="200x40").summary()[0]
    assert "1x200x40, centre-cropped from 40x200 (height x width), 4% of each is left" in line


def test_grey_of_sixteen_bits_among_colour_has_no_opacity(tmp_path):
    for i in range(4):
        write_rgba(tmp_path, i, drawn((4, 4, 3), np.uint8, 255))
        write_grey(tmp_path, i + 4, drawn((4, 4, 1), np.uint16, 65535))
    with pytest.raises(UserError, match=r"images differ \(uint16, channels: 1; uint8, channels: 1, 3 or 4\); convert"):
        open_data(tmp_path, cache=tmp_path / "cache", channels=4)
