"""Files that hold images: what Pillow reads beside PNG and JPEG, TIFF, HEIC; and what is refused."""

from __future__ import annotations

import io
import logging
import sys

import numpy as np
import pytest
from image_folders import drawn
from PIL import Image

from vaegan.data import decoded, open_data
from vaegan.data.image_file import Target, prepare, read_header
from vaegan.data.image_types import open_image
from vaegan.errors import UserError
from vaegan.pixels import PixelFormat


@pytest.mark.parametrize("kind", ["GIF", "PPM", "AVIF"])
def test_other_files_that_pillow_reads(kind):
    file = io.BytesIO()
    first, second = (Image.new("RGB", (9, 6), colour) for colour in ((250, 0, 0), (0, 0, 250)))
    more = {"save_all": True, "append_images": [second]} if kind == "GIF" else {}
    first.save(file, kind, **more)
    image = open_image(file)
    assert (read_header(image).width, read_header(image).height) == (9, 6)
    np.testing.assert_allclose(prepare(image, Target(6, 9, 3, "none"))[2, 3], (250, 0, 0), atol=4)


def test_heic():
    pillow_heif = pytest.importorskip("pillow_heif", reason="HEIC needs the extra heic")
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (64, 64), (250, 0, 0))).save(file)
    np.testing.assert_allclose(prepare(open_image(file), Target(4, 4, 3))[2, 3], (250, 0, 0), atol=4)


@pytest.mark.parametrize(
    ("shape", "more", "channels", "alpha"),
    [
        ((8, 6), {}, 1, False),
        ((8, 6, 3), {"photometric": "rgb"}, 3, False),
        ((8, 6, 4), {"photometric": "rgb", "extrasamples": ["unassalpha"]}, 4, True),
        ((5, 8, 6), {"photometric": "minisblack"}, 5, False),
        ((5, 8, 6), {"photometric": "minisblack", "planarconfig": "separate"}, 5, False),
        ((8, 6, 7), {"photometric": "minisblack", "planarconfig": "contig", "compression": "zlib"}, 7, False),
        ((2, 3, 8, 6), {"metadata": {"axes": "TCYX"}, "photometric": "minisblack"}, 6, False),
    ],
)
def test_samples_and_pages_of_a_tiff_are_channels(tmp_path, shape, more, channels, alpha):
    tifffile = pytest.importorskip("tifffile", reason="TIFF needs the extra tiff")
    image = drawn(shape, np.uint16, 65535)
    tifffile.imwrite(tmp_path / "a.tif", image, **more)
    axes = (0, 1, 2) if len(shape) == 3 and shape[0] == 8 else (len(shape) - 2, len(shape) - 1, *range(len(shape) - 2))
    for file in (tmp_path / "a.tif", io.BytesIO((tmp_path / "a.tif").read_bytes())):
        with open_image(file) as opened:
            assert (opened.height, opened.width, opened.channels, opened.alpha) == (8, 6, channels, alpha)
            np.testing.assert_array_equal(opened.read(), image.transpose(axes).reshape(8, 6, -1))


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1.0)])
def test_colours_of_a_tiff_that_were_multiplied_by_opacity_are_divided_by_it(tmp_path, dtype, white):
    tifffile = pytest.importorskip("tifffile", reason="TIFF needs the extra tiff")
    half = white // 2 + 1 if white > 1 else 0.5
    image = np.array([[[half, 0, 0, half], [0, 0, 0, 0], [white, half, 0, white]]], dtype)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", extrasamples=["assocalpha"])
    with open_image(tmp_path / "a.tif") as opened:
        np.testing.assert_array_equal(opened.read(), [[[white, 0, 0, half], [0, 0, 0, 0], [white, half, 0, white]]])
    if dtype == np.uint8:
        with Image.open(tmp_path / "a.tif") as same:
            np.testing.assert_array_equal(np.asarray(same)[:, [0, 2]], [[[255, 0, 0, 128], [255, 128, 0, 255]]])


def test_a_palette_tiff_is_read_as_colour_or_grey(tmp_path):
    for name, colours in {
        "grey": [(i, i, i) for i in range(256)],
        "colour": [(i, 255 - i, 7) for i in range(256)],
    }.items():
        picture = Image.fromarray(drawn((8, 6), np.uint8, 255), "P")
        picture.putpalette([value for colour in colours for value in colour])
        picture.save(tmp_path / f"{name}.tif")
        header = read_header(open_image(tmp_path / f"{name}.tif"))
        assert header.colour == (name == "colour")
        wanted = np.asarray(picture.convert("RGB"))
        target = Target(8, 6, 3, "none")
        np.testing.assert_array_equal(prepare(open_image(tmp_path / f"{name}.tif"), target), wanted)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_is_turned_upright_as_pillow_does(tmp_path, orientation):
    tifffile = pytest.importorskip("tifffile", reason="TIFF needs the extra tiff")
    image = drawn((8, 6, 3), np.uint8, 255)
    tags = [(0x0112, "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", extratags=tags)
    with Image.open(tmp_path / "a.tif") as picture, open_image(tmp_path / "a.tif") as opened:
        expected = np.asarray(picture)
        assert (opened.height, opened.width) == expected.shape[:2]
        np.testing.assert_array_equal(opened.read(), expected)


def test_a_tiff_that_is_too_large_or_no_image_is_not_decoded(tmp_path):
    tifffile = pytest.importorskip("tifffile", reason="TIFF needs the extra tiff")
    tifffile.imwrite(tmp_path / "a.tif", shape=(3000, 100, 100), dtype=np.uint8, photometric="minisblack")
    with pytest.raises(ValueError, match="too large"):
        open_image(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((4, 4), np.int16))
    with pytest.raises(ValueError, match="int16; save them as"):
        open_image(tmp_path / "b.tif")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_tiff_where_white_is_zero(tmp_path, dtype):
    tifffile = pytest.importorskip("tifffile", reason="TIFF needs the extra tiff")
    numbers = np.arange(16, dtype=dtype).reshape(4, 4)
    tifffile.imwrite(tmp_path / "a.tif", numbers, photometric="miniswhite")
    if dtype == "float32":
        with pytest.raises(ValueError, match="white is zero; save it with photometric minisblack"):
            open_image(tmp_path / "a.tif")
        return
    with open_image(tmp_path / "a.tif") as image:
        prepared = prepare(image, Target(4, 4, 1, pixels=PixelFormat.of(dtype)))
    np.testing.assert_array_equal(prepared[..., 0], np.iinfo(dtype).max - numbers)


def test_decoded_tiffs_are_those_of_the_same_reader(tmp_path, monkeypatch):
    tifffile = pytest.importorskip("tifffile", reason="TIFF needs the extra tiff")
    for folder in ("tiff", "png"):
        (tmp_path / folder).mkdir()
        for i in range(20):
            if folder == "tiff":
                tifffile.imwrite(tmp_path / f"tiff/{i}.TIF", np.full((4, 4), i, np.uint16), photometric="miniswhite")
            else:
                Image.new("L", (4, 4), i).save(tmp_path / f"png/{i}.png")
    for version in (1, 2, 2):
        monkeypatch.setattr(decoded, "TIFF_VERSION", version)
        for folder in ("tiff", "png"):
            open_data(tmp_path / folder, cache=tmp_path / folder / "cache")
    entries = {folder: len(list((tmp_path / folder / "cache/decoded").iterdir())) for folder in ("tiff", "png")}
    assert entries == {"tiff": 2, "png": 1}


@pytest.mark.parametrize("library", ["PIL", "tifffile"])
def test_libraries_print_nothing_of_damaged_files(library):
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger(library).handlers)


def test_why_no_image_of_a_folder_can_be_read(tmp_path):
    tifffile = pytest.importorskip("tifffile", reason="TIFF needs the extra tiff")
    for i in range(3):
        tifffile.imwrite(tmp_path / f"{i}.tif", np.zeros((4, 4), np.int8))
    with pytest.raises(
        UserError, match=r"none of its 3 images can be read \(image \d.tif: its values are int8; save them"
    ):
        open_data(tmp_path, cache=tmp_path / "cache")


@pytest.mark.parametrize(("head", "extra"), [(b"II*\0", "tiff"), (b"\0\0\0\x18ftypheic", "heic")])
def test_a_missing_extra_is_named(tmp_path, monkeypatch, head, extra):
    monkeypatch.setitem(sys.modules, {"tiff": "tifffile", "heic": "pillow_heif"}[extra], None)
    for i in range(3):
        (tmp_path / f"{i}.{extra}").write_bytes(head + bytes(20))
    with pytest.raises(UserError, match=rf"need the extra {extra} .*pip install 'vaegan\[{extra}\]'"):
        open_data(tmp_path, cache=tmp_path / "cache")
