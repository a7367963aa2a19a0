from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from vaegan.report.animation import numbered_pictures, write_animation, write_gif


def frames_of(path):
    with Image.open(path) as gif:
        assert gif.info["loop"] == 0, "loops forever"
        read = []
        for index in range(gif.n_frames):
            gif.seek(index)
            read.append((np.asarray(gif.convert("RGB")), gif.info["duration"]))
        return read


def test_grey_frames_keep_every_level(tmp_path):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (4, 32, 24, 1), dtype=np.uint8)
    frames[0] = np.arange(768).reshape(32, 24, 1) % 256
    write_gif(tmp_path / "a.gif", frames, 1500)
    read = frames_of(tmp_path / "a.gif")
    assert [duration for _, duration in read] == [120, 120, 120, 1500]
    for frame, (shown, _) in zip(frames, read, strict=True):
        assert np.array_equal(shown, frame.repeat(3, axis=2))


def test_colour_frames_stay_near_their_colours(tmp_path):
    y, x = np.mgrid[:64, :64].astype(np.uint8)
    frames = [np.stack([4 * x, 4 * y, np.full_like(x, blue)], axis=-1) for blue in (0, 128, 255)]
    write_gif(tmp_path / "a.gif", frames)
    read = frames_of(tmp_path / "a.gif")
    assert len(read) == 3
    for frame, (shown, _) in zip(frames, read, strict=True):
        error = shown.astype(int) - frame.astype(int)
        assert np.abs(error.mean()) < 2
        assert np.abs(error).mean() < 8


def test_one_frame_is_an_animation_too(tmp_path):
    write_gif(tmp_path / "a.gif", [np.full((4, 4, 1), 9, dtype=np.uint8)])
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 1
        assert np.asarray(gif.convert("L")).tolist() == [[9] * 4] * 4


def snapshots(folder, names, size=6):
    folder.mkdir()
    for number, name in enumerate(names):
        Image.fromarray(np.full((size, size), number, dtype=np.uint8)).save(folder / name)


def test_an_animation_of_a_folder_is_in_order_of_the_numbers(tmp_path):
    snapshots(tmp_path / "samples", ["8.png", "9.png", "10.png", "100.png"])
    (tmp_path / "samples" / ".9.1.part.png").write_bytes(b"half a file of another process")
    assert write_animation(tmp_path / "samples.gif", numbered_pictures(tmp_path / "samples")) == 4
    read = frames_of(tmp_path / "samples.gif")
    assert [shown[0, 0, 0] for shown, _ in read] == [0, 1, 2, 3]
    assert [duration for _, duration in read] == [120, 120, 120, 1500]


@pytest.mark.parametrize("max_frames", [2, 7, 100])
def test_of_many_snapshots_some_are_chosen_evenly(tmp_path, max_frames):
    snapshots(tmp_path / "samples", [f"{i:04d}.png" for i in range(150)])
    assert write_animation(tmp_path / "samples.gif", numbered_pictures(tmp_path / "samples"), max_frames) == max_frames
    shown = [int(frame[0, 0, 0]) for frame, _ in frames_of(tmp_path / "samples.gif")]
    assert len(shown) == max_frames
    assert shown[0] == 0
    assert shown[-1] == 149
    gaps = np.diff(shown)
    assert gaps.max() - gaps.min() <= 1


def test_pictures_of_another_size_are_left_out(tmp_path):
    snapshots(tmp_path / "samples", ["2.png", "3.png"])
    Image.new("RGB", (9, 9)).save(tmp_path / "samples" / "1.png")
    assert write_animation(tmp_path / "samples.gif", numbered_pictures(tmp_path / "samples")) == 2


def test_pictures_of_the_user_and_damaged_ones_are_left_out(tmp_path):
    snapshots(tmp_path / "samples", ["2.png", "3.png", "mine.png"])
    for name in ("4.png", "zz.png"):
        (tmp_path / "samples" / name).write_text("no picture")
    pictures = numbered_pictures(tmp_path / "samples")
    assert [path.name for path in pictures] == ["2.png", "3.png", "4.png"]
    assert write_animation(tmp_path / "samples.gif", pictures) == 2
    assert write_animation(tmp_path / "none.gif", pictures[2:]) == 0


def test_an_empty_folder_makes_no_animation(tmp_path):
    snapshots(tmp_path / "samples", [])
    assert write_animation(tmp_path / "samples.gif", numbered_pictures(tmp_path / "samples")) == 0
    assert not (tmp_path / "samples.gif").exists()
