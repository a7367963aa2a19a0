from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from vaegan.data.image_file import ImageHeader, Target, prepare, read_header

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def stored(image: Image.Image, kind: str, **how: object) -> Image.Image:
    """Return ``image`` as a file of this kind is opened."""
    file = io.BytesIO()
    image.save(file, kind, **how)
    file.seek(0)
    return Image.open(file)


def decoded(image: Image.Image, channels: int, kind: str = "PNG", **how: object) -> np.ndarray:
    opened = stored(image, kind, **how)
    return prepare(opened, Target(opened.height, opened.width, channels, "none"))


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_grey_stays_and_becomes_rgb(kind):
    image = Image.fromarray(RAMP)
    np.testing.assert_array_equal(decoded(image, 1, kind)[..., 0], RAMP)
    np.testing.assert_array_equal(decoded(image, 3, kind), np.stack([RAMP] * 3, -1))


def test_lossless_webp_keeps_rgb():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    np.testing.assert_array_equal(decoded(Image.fromarray(pixels), 3, "WEBP", lossless=True), pixels)


def test_rgb_becomes_grey_by_rec_601():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    expected = pixels @ np.array([0.299, 0.587, 0.114])
    assert np.abs(decoded(Image.fromarray(pixels), 1)[..., 0] - expected).max() <= 1


def test_sixteen_bits_are_scaled_to_eight():
    values = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    got = decoded(Image.fromarray(values), 1)[..., 0]
    np.testing.assert_array_equal(got, np.round(values / 257).astype(np.uint8))


def test_see_through_is_laid_on_white():
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0] = (200, 100, 0, 255)
    pixels[1, 0] = (200, 100, 0, 0)
    pixels[1, 1] = (0, 0, 0, 51)
    got = decoded(Image.fromarray(pixels), 3)
    np.testing.assert_array_equal(got[0], [[200, 100, 0]] * 2)
    np.testing.assert_array_equal(got[1, 0], [255, 255, 255])
    np.testing.assert_allclose(got[1, 1], 255 * 0.8, atol=1)


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_palette_gives_its_colours(kind):
    image = Image.new("P", (2, 1))
    image.putpalette([250, 10, 20, 30, 40, 240])
    image.putpixel((1, 0), 1)
    np.testing.assert_array_equal(decoded(image, 3, kind), [[[250, 10, 20], [30, 40, 240]]])


def test_palette_with_a_transparent_entry():
    image = Image.new("P", (2, 1))
    image.putpalette([250, 10, 20, 30, 40, 240])
    image.putpixel((1, 0), 1)
    np.testing.assert_array_equal(decoded(image, 3, transparency=1), [[[250, 10, 20], [255, 255, 255]]])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation):
    upright = np.zeros((24, 16), np.uint8)
    upright[:8, :8] = 255  # top left
    upright[:8, 8:] = 160  # top right
    upright[16:, :8] = 80  # bottom left
    # EXIF 2.3: what the stored 0th row and 0th column are, seen upright
    as_stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    opened = stored(Image.fromarray(np.ascontiguousarray(as_stored)), "JPEG", exif=exif, quality=100)
    assert read_header(opened) == ImageHeader(16, 24, False)
    got = prepare(opened, Target(24, 16, 1, "none"))[..., 0]
    assert np.abs(got.astype(int) - upright).max() <= 4


@pytest.mark.parametrize(
    ("image", "colour"),
    [
        (Image.new("L", (3, 2)), False),
        (Image.new("1", (3, 2)), False),
        (Image.new("LA", (3, 2)), False),
        (Image.new("RGB", (3, 2)), True),
        (Image.new("RGBA", (3, 2)), True),
        (Image.new("RGB", (3, 2), (9, 8, 7)).quantize(4), True),
        (Image.new("RGB", (3, 2), (9, 9, 9)).quantize(4), False),
    ],
)
def test_header_tells_size_and_colour(image, colour):
    assert read_header(stored(image, "PNG")) == ImageHeader(3, 2, colour)


def test_header_of_sixteen_bits():
    assert read_header(stored(Image.new("I;16", (3, 2)), "PNG")) == ImageHeader(3, 2, False, 1, "uint16")


def test_centre_crop_is_the_largest_square():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 11, 3), np.uint8)
    np.testing.assert_array_equal(prepare(stored(Image.fromarray(pixels), "PNG"), Target(6, 6, 3)), pixels[:, 2:8])
    np.testing.assert_array_equal(
        prepare(stored(Image.fromarray(pixels), "PNG"), Target(4, 4, 3, crop_size=4)), pixels[1:5, 3:7]
    )


def test_centre_crop_has_the_shape_of_the_target():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 11, 3), np.uint8)
    for shape, crop in [((6, 12), np.s_[1:7, :]), ((8, 4), np.s_[:, 3:7]), ((8, 11), np.s_[:, :])]:
        image = Image.fromarray(pixels)
        part = Image.fromarray(np.ascontiguousarray(pixels[crop]))
        want = np.asarray(part.resize(shape[::-1], Image.Resampling.LANCZOS))
        np.testing.assert_array_equal(prepare(stored(image, "PNG"), Target(*shape, 3)), want)


def test_resizing_averages_and_does_not_alias():
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    got = prepare(stored(Image.fromarray(stripes), "PNG"), Target(8, 8, 1))
    assert np.abs(got.astype(int) - 127).max() <= 12


def test_small_image_is_enlarged():
    got = prepare(stored(Image.new("L", (1, 1), 77), "PNG"), Target(16, 16, 1))
    np.testing.assert_array_equal(got, np.full((16, 16, 1), 77))


@pytest.mark.parametrize(("height", "width"), [(16, 64), (64, 16)])
def test_big_jpeg_stored_on_its_side_keeps_its_detail(height, width):
    y, x = np.mgrid[0 : 8 * height, 0 : 8 * width]
    image = Image.fromarray((128 + 100 * np.sin(x / 4) * np.sin(y / 4)).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    on_its_side = stored(image.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=95, exif=exif)
    got, want = (prepare(file, Target(height, width, 1)) for file in (on_its_side, stored(image, "JPEG", quality=95)))
    assert np.abs(got.astype(int) - want).max() <= 2


def test_big_jpeg_decoded_in_part_looks_like_the_whole():
    y, x = np.mgrid[0:600, 0:800]
    pixels = np.stack([x * 255 / 800, y * 255 / 600, 128 + 100 * np.sin(x / 40)], -1).astype(np.uint8)
    image = Image.fromarray(pixels)
    for target, part in [
        (Target(32, 32, 3, crop_size=400), (200, 100, 600, 500)),
        (Target(64, 32, 3), (250, 0, 550, 600)),
        (Target(24, 64, 3), (0, 150, 800, 450)),
    ]:
        got = prepare(stored(image, "JPEG", quality=95), target)
        whole = image.crop(part).resize((target.width, target.height), Image.Resampling.LANCZOS)
        assert np.abs(got.astype(int) - np.asarray(whole)).mean() < 2
