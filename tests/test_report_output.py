from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vaegan.errors import UserError
from vaegan.pixels import PixelFormat, Shown, to_uint8
from vaegan.report.grid import grid
from vaegan.views import write as output
from vaegan.views.view import View
from vaegan.views.write import check_output, write_view


def write_images(out, images, *, originals=None, codes=None, labels=None, names=None, columns=None, **settings):
    """Write a sequence `(N, ...)`, or a row for each of N paths of T steps `(T, N, ...)`."""
    pixels, others = to_uint8(images), None if originals is None else to_uint8(originals)
    is_sequence = pixels.ndim == 4
    rows, other_rows, code_rows = (
        None if part is None else part[None] if is_sequence else part.swapaxes(0, 1) for part in (pixels, others, codes)
    )
    view = View(
        rows,
        codes=code_rows,
        originals=other_rows,
        labels=labels,
        names=names,
        is_sequence=is_sequence,
        per_row=columns,
    )
    write_view(out, view, **settings)


@pytest.fixture
def images():
    return torch.rand(5, 3, 6, 4, generator=torch.Generator().manual_seed(0))


def read(path):
    with Image.open(path) as image:
        return np.asarray(image)


def names_in(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_png_is_a_grid(tmp_path, images):
    write_images(tmp_path / "new" / "out.png", images, columns=2)
    assert np.array_equal(read(tmp_path / "new" / "out.png"), grid(to_uint8(images), 2))


def test_png_with_originals_shows_pairs(tmp_path, images):
    write_images(tmp_path / "out.PNG", images, originals=1 - images)
    assert np.array_equal(read(tmp_path / "out.PNG"), grid(to_uint8(images), originals=to_uint8(1 - images)))


def test_grey_png_is_grey(tmp_path, images):
    write_images(tmp_path / "out.png", images[:, :1])
    assert np.array_equal(read(tmp_path / "out.png"), grid(to_uint8(images[:, :1]))[:, :, 0])


def test_folder_holds_numbered_images(tmp_path, images):
    write_images(tmp_path / "out", images, originals=1 - images)
    assert names_in(tmp_path) == ["out"]
    assert names_in(tmp_path / "out") == sorted(f"{i:05d}{end}.png" for i in range(5) for end in ("", "_original"))
    for index in range(5):
        assert np.array_equal(read(tmp_path / "out" / f"{index:05d}.png"), to_uint8(images)[index])
        assert np.array_equal(read(tmp_path / "out" / f"{index:05d}_original.png"), to_uint8(1 - images)[index])


def test_images_of_a_folder_become_bytes_one_at_a_time(tmp_path):
    """Of large types it takes several floats a number."""
    seen = []

    class Seen(Shown):
        def __call__(self, images, **options):
            seen.append(images.shape)
            return super().__call__(images, **options)

    numbers = np.random.default_rng(0).integers(0, 2**16, (2, 3, 6, 4, 1), dtype=np.uint16)
    view = View(numbers, originals=numbers[::-1], shown=Seen(PixelFormat.of("uint16")))
    write_view(tmp_path / "out", view)
    assert seen == [(6, 4, 1)] * 12
    last = Shown(PixelFormat.of("uint16"))(numbers)[1, 2, :, :, 0]
    assert np.array_equal(read(tmp_path / "out" / "00005.png"), last)
    assert np.array_equal(read(tmp_path / "out" / "00002_original.png"), last)


def test_npz_may_end_in_capitals(tmp_path, images):
    write_images(tmp_path / "out.NPZ", images)
    assert names_in(tmp_path) == ["out.NPZ"]
    with np.load(tmp_path / "out.NPZ") as arrays:
        assert np.array_equal(arrays["images"], to_uint8(images))


def test_npz_holds_exactly_what_was_given(tmp_path, images):
    codes = torch.randn(5, 7, dtype=torch.float64)
    write_images(
        tmp_path / "out.npz", images, originals=1 - images, codes=codes, labels=[3, 1, 4, 1, 5], names=list("abcdé")
    )
    with np.load(tmp_path / "out.npz", allow_pickle=False) as arrays:
        assert sorted(arrays) == ["codes", "images", "labels", "names", "originals"]
        assert arrays["images"].dtype == np.uint8
        assert np.array_equal(arrays["images"], to_uint8(images))
        assert np.array_equal(arrays["originals"], to_uint8(1 - images))
        assert arrays["codes"].dtype == np.float32
        assert np.array_equal(arrays["codes"], codes.float().numpy())
        assert arrays["labels"].tolist() == [3, 1, 4, 1, 5]
        assert arrays["names"].tolist() == list("abcdé")
    write_images(tmp_path / "bare.npz", to_uint8(images))
    with np.load(tmp_path / "bare.npz") as arrays:
        assert list(arrays) == ["images"]


def test_gif_shows_one_image_after_the_other(tmp_path, images):
    grey = images[:, :1]
    write_images(tmp_path / "out.gif", grey)
    with Image.open(tmp_path / "out.gif") as film:
        assert film.n_frames == 5
        for index in range(5):
            film.seek(index)
            assert film.info["duration"] == (120 if index < 4 else 1000)
            assert np.array_equal(np.asarray(film.convert("L")), grid(to_uint8(grey[index : index + 1]))[:, :, 0])


def test_gif_with_originals_shows_each_above_its_reconstruction(tmp_path, images):
    grey = images[:, :1]
    write_images(tmp_path / "out.gif", grey, originals=1 - grey)
    with Image.open(tmp_path / "out.gif") as film:
        film.seek(3)
        frame = np.asarray(film.convert("L"))
    assert np.array_equal(frame, grid(to_uint8(grey[3:4]), originals=to_uint8(1 - grey[3:4]))[:, :, 0])


class TestPaths:
    """Paths `(T, N, ...)`: four steps of three paths."""

    @pytest.fixture
    def paths(self):
        return torch.rand(4, 3, 1, 56, 56, generator=torch.Generator().manual_seed(1))

    def test_png_has_a_row_for_each_path(self, tmp_path, paths):
        write_images(tmp_path / "out.png", paths)
        picture = read(tmp_path / "out.png")
        assert picture.shape == (2 + 3 * 58, 2 + 4 * 58)
        assert np.array_equal(picture[118:174, 60:116], to_uint8(paths)[1, 2, :, :, 0])

    def test_gif_shows_all_paths_at_once(self, tmp_path, paths):
        write_images(tmp_path / "out.gif", paths, columns=3)
        with Image.open(tmp_path / "out.gif") as film:
            assert film.n_frames == 4
            film.seek(2)
            frame = np.asarray(film.convert("L"))
        assert np.array_equal(frame, grid(to_uint8(paths)[2], 3)[:, :, 0])

    def test_arrays_hold_path_after_path(self, tmp_path, paths):
        codes = torch.randn(4, 3, 2)
        write_images(tmp_path / "out.npz", paths, codes=codes)
        with np.load(tmp_path / "out.npz") as arrays:
            assert arrays["images"].shape == (12, 56, 56, 1)
            assert np.array_equal(arrays["images"][4 * 2 + 1], to_uint8(paths)[1, 2])
            assert np.array_equal(arrays["codes"][4 * 2 + 1], codes[1, 2].numpy())


@pytest.mark.parametrize("name", ["out.jpg", "out.tar.gz", "run.1"])
def test_an_unknown_ending_is_refused_with_the_four_forms(tmp_path, images, name):
    with pytest.raises(UserError, match=r"\.png .*\.gif .*folder.*\.npz"):
        write_images(tmp_path / name, images)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("name", ["out.png", "out.gif", "out.npz", "out"])
def test_what_is_there_stays_unless_it_may_be_replaced(tmp_path, images, name):
    write_images(tmp_path / name, images)
    before = _content(tmp_path / name)
    with pytest.raises(UserError, match="exists"):
        check_output(tmp_path / name)
    with pytest.raises(UserError, match="exists"):
        write_images(tmp_path / name, images[:2])
    assert _content(tmp_path / name) == before
    write_images(tmp_path / name, images[:2], overwrite=True)
    assert _content(tmp_path / name) != before
    assert names_in(tmp_path) == [name]
    if name == "out":
        assert names_in(tmp_path / name) == ["00000.png", "00001.png"]


def test_numbered_pictures_of_others_are_never_replaced(tmp_path, images):
    """A data set may be a folder of such names, as FFHQ is."""
    (tmp_path / "out").mkdir()
    Image.new("L", (6, 6)).save(tmp_path / "out" / "00000.png")
    for overwrite in (False, True):
        with pytest.raises(UserError, match=r"folder .*out contains other files \(00000.png\); choose a new one"):
            write_images(tmp_path / "out", images, overwrite=overwrite)
    assert names_in(tmp_path / "out") == ["00000.png"]


def _content(path):
    return [file.read_bytes() for file in sorted(path.iterdir())] if path.is_dir() else path.read_bytes()


def test_a_folder_with_other_things_is_never_replaced(tmp_path, images):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"thesis\.tex"):
        write_images(tmp_path / "out", images, overwrite=True)
    assert names_in(tmp_path / "out") == ["thesis.tex"]


def test_an_empty_folder_is_filled(tmp_path, images):
    (tmp_path / "out.d").mkdir()
    write_images(tmp_path / "out.d", images)
    assert len(names_in(tmp_path / "out.d")) == 5


def test_a_file_is_no_folder(tmp_path, images):
    (tmp_path / "out").write_text("x")
    with pytest.raises(UserError, match="is a file"):
        write_images(tmp_path / "out", images, overwrite=True)


@pytest.mark.parametrize("name", ["out.png", "out.gif", "out.npz", "out"])
@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_interrupted_write_leaves_what_was_there(tmp_path, images, monkeypatch, name, failure):
    write_images(tmp_path / name, images)
    before = _content(tmp_path / name)

    def fail(*args, **kwargs):
        raise failure

    real_save, calls = Image.Image.save, []

    def save_twice(image, *args, **kwargs):
        calls.append(1)
        return fail() if len(calls) > 2 or name != "out" else real_save(image, *args, **kwargs)

    monkeypatch.setattr(Image.Image, "save", save_twice)
    monkeypatch.setattr(output.np, "savez_compressed", fail)
    with pytest.raises(UserError if isinstance(failure, OSError) else KeyboardInterrupt) as told:
        write_images(tmp_path / name, images, overwrite=True)
    if isinstance(failure, OSError):
        assert "No space left on device" in str(told.value)
    assert names_in(tmp_path) == [name]
    assert _content(tmp_path / name) == before


def test_an_interruption_between_the_two_renames_leaves_the_old_folder(tmp_path, images, monkeypatch):
    write_images(tmp_path / "out", images)
    before = _content(tmp_path / "out")
    real = Path.rename

    def rename(path, target):
        if path.suffix == ".part":
            raise KeyboardInterrupt
        return real(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(KeyboardInterrupt):
        write_images(tmp_path / "out", images[:2], overwrite=True)
    assert names_in(tmp_path) == ["out"]
    assert _content(tmp_path / "out") == before


def test_ten_thousand_images_fit_in_little_memory(tmp_path):
    import tracemalloc

    images = np.zeros((10_000, 1, 28, 28), dtype=np.float32)
    tracemalloc.start()
    write_images(tmp_path / "out.npz", images)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < images.nbytes, "bytes of the result and a group of floats, not several copies of all floats"
    with np.load(tmp_path / "out.npz") as arrays:
        assert arrays["images"].shape == (10_000, 28, 28, 1)
