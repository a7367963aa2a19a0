"""The drawn sources: figures against their formulas, factors against their pictures."""

from __future__ import annotations

import numpy as np
import pytest

from vaegan.data import SOURCES, open_data
from vaegan.data.synthetic import drawing
from vaegan.data.synthetic.drawing import Canvas, box, ellipse, hue_colour, in_pieces, turned
from vaegan.data.synthetic.faces import BINARY, CONTINUOUS, FACES_SOURCE, paint_faces
from vaegan.data.synthetic.shapes import SHAPES, SHAPES_SOURCE, paint_shapes
from vaegan.errors import UserError

DRAWINGS = (SHAPES_SOURCE, FACES_SOURCE)
GREY_WEIGHTS = np.array([0.299, 0.587, 0.114])


def grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    return Canvas(np.zeros((1, 3), np.float32), (size, size)).grid()


@pytest.fixture
def opened(tmp_path):
    def opened(source, **options):
        return open_data(source, cache=tmp_path / "cache", **{"limit": 100, "workers": 1, **options})

    return opened


@pytest.fixture(autouse=True)
def few_held_out(monkeypatch):
    monkeypatch.setattr("vaegan.data.synthetic.drawing.NUM_TEST", 50)


@pytest.mark.parametrize(
    ("figure", "area"),
    [
        (lambda u, v: ellipse(u, v, 0.7, 0.3), np.pi * 0.7 * 0.3),
        (lambda u, v: box(u, v, 0.5, 0.25), 0.5),
        (lambda u, v: box(u, v, 0.5, 0.4, 0.2), 0.8 - (4 - np.pi) * 0.2**2),
    ],
)
@pytest.mark.parametrize("angle", [0.0, 0.5])
def test_antialiased_area_is_that_of_the_figure(figure, area, angle):
    canvas = Canvas(np.zeros((1, 3), np.float32), (64, 64))
    u, v = turned(*canvas.grid(), np.array([angle]))
    canvas.lay(figure(u, v), np.ones(3, np.float32), opacity=np.ones(1, np.float32))
    assert canvas.planes[0].mean() * 4 == pytest.approx(area, rel=3e-3)


def test_distances_outside_a_rounded_box_are_euclidean():
    u, v = np.meshgrid(np.linspace(-2, 2, 41), np.linspace(-2, 2, 41))
    core = np.hypot(np.maximum(abs(u) - 0.3, 0), np.maximum(abs(v) - 0.1, 0)) - 0.2
    outside = core > 0
    np.testing.assert_allclose(box(u, v, 0.5, 0.3, 0.2)[outside], core[outside], atol=1e-6)


def test_layers_mix_by_opacity_in_their_window_only():
    canvas = Canvas(np.full((2, 3), 0.5, np.float32), (8, 8))
    window = canvas.window(0, -1, 1, 0)
    canvas.lay(
        np.full((2, 4, 4), -1, np.float32), np.array([1, 0, 0.5], np.float32), window, opacity=np.array([1, 0.5])
    )
    np.testing.assert_allclose(canvas.planes[:, :, 0, 7].T, [[1, 0, 0.5], [0.75, 0.25, 0.5]])
    assert (canvas.planes[:, :, 4:] == 0.5).all()
    assert (canvas.planes[:, :, :, :4] == 0.5).all()


def test_hues_run_from_red_to_violet():
    colours = hue_colour(np.array([0, 1 / 2.4, 2 / 2.4, 1], np.float32), 1.0, 1.0)
    np.testing.assert_allclose(colours, [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.8, 0, 1]], atol=1e-5)


@pytest.mark.parametrize("drawing_", DRAWINGS, ids=lambda drawing_: drawing_.name)
def test_other_shapes_show_more_around_the_same_scene(opened, drawing_):
    factors = drawing_.factors(0, 6)
    square = drawing_.paint(factors, (32, 32)).astype(int)
    wide, high = drawing_.paint(factors, (32, 48)), drawing_.paint(factors, (48, 32))
    assert abs(wide[:, :, 8:40] - square).max() <= 1
    assert abs(high[:, 8:40] - square).max() <= 1
    np.testing.assert_array_equal(opened(drawing_.name, limit=6, size="48x32").train.images, high)


@pytest.mark.parametrize("drawing_", DRAWINGS, ids=lambda drawing_: drawing_.name)
def test_pieces_do_not_matter(monkeypatch, drawing_):
    factors = drawing_.factors(0, 20)
    whole = in_pieces(drawing_.paint, factors, (32, 32))
    monkeypatch.setattr(drawing, "_PIXELS", 3 * 32**2)
    np.testing.assert_array_equal(in_pieces(drawing_.paint, factors, (32, 32)), whole)


@pytest.mark.parametrize("drawing_", DRAWINGS, ids=lambda drawing_: drawing_.name)
def test_image_i_is_always_the_same(opened, drawing_):
    few, many = opened(drawing_.name, limit=30, size=16), opened(drawing_.name, limit=300, size=16, workers=2)
    np.testing.assert_array_equal(few.train.images, many.train.images[:30])
    np.testing.assert_array_equal(few.train.attributes, many.train.attributes[:30])
    np.testing.assert_array_equal(few.test.images, many.test.images)
    assert few.train.names == many.train.names[:30]
    assert len(many.train) == 300
    assert len(many.test) == 50
    assert isinstance(many.train.images, np.memmap)
    shown = {image.tobytes() for image in many.train.images}
    assert len(shown) == 300
    assert not shown & {image.tobytes() for image in many.test.images}


@pytest.mark.parametrize("drawing_", DRAWINGS, ids=lambda drawing_: drawing_.name)
def test_factors_never_change(drawing_):
    """Other numbers here mean that every picture changed: raise the version then."""
    first = {"shapes": [0.45735, 0.59818], "shapes-faces": [0.52362, 0.26599]}[drawing_.name]
    np.testing.assert_allclose(drawing_.factors(drawing_ is SHAPES_SOURCE, 1)[0, -2:], first, atol=1e-5)


@pytest.mark.parametrize("drawing_", DRAWINGS, ids=lambda drawing_: drawing_.name)
def test_factors_are_even_and_independent(drawing_):
    factors = drawing_.factors(0, 4000)
    correlation = np.corrcoef(factors.T) - np.eye(factors.shape[1])
    assert abs(correlation).max() < 5 / np.sqrt(4000)
    attributes = factors[:, len(drawing_.label_names) > 0 :]
    assert set(np.unique(attributes[:, : drawing_.num_binary])) <= {0.0, 1.0}
    np.testing.assert_allclose(attributes.mean(0), 0.5, atol=5 * 0.5 / np.sqrt(4000))
    assert (attributes[:, drawing_.num_binary :].std(0) < 0.3).all()
    assert attributes.min() >= 0
    assert attributes.max() <= 1


@pytest.mark.parametrize("name", ["shapes", "shapes-faces"])
def test_registered_with_its_shape(opened, name):
    data = opened(name)
    assert data.image_shape == SOURCES[name].image_shape
    assert not SOURCES[name].needs_root
    assert opened(name, size=24).image_shape == (3, 24, 24)


def test_a_range_that_is_not_theirs_is_refused(opened):
    with pytest.raises(UserError, match=r"shapes: drawn images have values from 0 to 255; leave out --data\.range"):
        opened("shapes", range=(0.0, 100.0))


def test_a_crop_that_does_nothing_is_a_warning(opened, caplog):
    opened("shapes", size=16, limit=2)
    assert not caplog.text
    opened("shapes", size=16, limit=2, crop_size=8)
    assert "shapes: drawn images are not cropped; leave out --data.crop-size" in caplog.text


@pytest.mark.parametrize("name", ["shapes", "shapes-faces"])
def test_grey_is_the_colour_picture_by_rec_601(opened, name):
    colour, grey = opened(name, size=32), opened(name, size=32, channels=1)
    assert grey.image_shape == (1, 32, 32)
    assert abs(grey.train.images[..., 0] - colour.train.images @ GREY_WEIGHTS).max() <= 0.51
    assert (grey.train.images.std((1, 2, 3)) > 3).all()


@pytest.mark.parametrize("drawing_", DRAWINGS, ids=lambda drawing_: drawing_.name)
def test_the_same_picture_at_any_size(drawing_):
    factors = drawing_.factors(0, 8)
    small = drawing_.paint(factors, (32, 32)).astype(float)
    large = drawing_.paint(factors, (256, 256)).reshape(8, 32, 8, 32, 8, 3).mean((2, 4))
    assert abs(large - small).mean() < 2


def test_shapes_lie_where_their_factors_say():
    factors = SHAPES_SOURCE.factors(0, 200)
    factors[:, 6] = 0
    mask = paint_shapes(factors, (128, 128)).max(-1) > 130
    assert not mask[:, [0, -1]].any()
    assert not mask[:, :, [0, -1]].any()
    u, v = grid(128)
    area = mask.sum((1, 2))
    centre_u, centre_v = (mask * u).sum((1, 2)) / area, (mask * v).sum((1, 2)) / area
    assert abs(centre_u - (-0.4 + 0.8 * factors[:, 3])).max() < 0.09
    assert abs(centre_v - (-0.4 + 0.8 * factors[:, 4])).max() < 0.09
    for kind in range(len(SHAPES)):
        rows = factors[:, 0] == kind
        assert np.corrcoef(np.sqrt(area[rows]), factors[rows, 2])[0, 1] > 0.99
        scale = area[rows] / (0.2 + 0.26 * factors[rows, 2]) ** 2 * 4 / 128**2
        exact = (4 * 0.85**2, np.pi * 0.72 * 1.15, 3 * np.sqrt(3) * 0.625**2, (2 + np.pi / 2) * 0.9**2)[kind]
        assert scale.mean() == pytest.approx(exact, rel=0.03)


def test_shapes_turn_clockwise():
    factors = np.array([[1, 0.5, 1, 0.5, 0.5, share, 0] for share in (0, 0.5, 1)], np.float32)
    mask = paint_shapes(factors, (64, 64))[..., 1] > 100
    u, v = grid(64)
    moments = [(mask * a * b).sum((1, 2)) for a, b in ((u, u), (v, v), (u, v))]
    axis = 0.5 * np.arctan2(2 * moments[2], moments[1] - moments[0])  # of the long axis, from upright
    np.testing.assert_allclose(np.degrees(axis), [40, 0, -40], atol=1)


@pytest.mark.parametrize("name", BINARY + CONTINUOUS)
def test_every_face_attribute_is_visible_whatever_the_others_are(name):
    factors = FACES_SOURCE.factors(1, 200)
    index = (BINARY + CONTINUOUS).index(name)
    factors[:, index] = 0
    without = paint_faces(factors, (64, 64)).astype(int)
    factors[:, index] = 1
    changed = abs(paint_faces(factors, (64, 64)) - without).max(-1) > 25
    assert changed.sum((1, 2)).min() >= 10


@pytest.mark.parametrize(
    ("name", "rows"),
    [("smiling", (40, 64)), ("hat", (0, 30)), ("mustache", (30, 56)), ("bangs", (8, 34)), ("eyes_open", (24, 46))],
)
def test_binary_attributes_change_their_place_only(name, rows):
    factors = FACES_SOURCE.factors(1, 50)
    index = BINARY.index(name)
    pictures = []
    for value in (0, 1):
        factors[:, index] = value
        pictures.append(paint_faces(factors, (64, 64)).astype(int))
    changed = np.flatnonzero(abs(pictures[0] - pictures[1]).max((0, 2, 3)))
    assert changed.min() >= rows[0]
    assert changed.max() < rows[1]
