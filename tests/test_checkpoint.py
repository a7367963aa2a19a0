"""Checkpoints: the last few are kept, damage is noticed, nothing is unpickled."""

from __future__ import annotations

import hashlib
import io
import logging
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from vaegan.errors import UserError
from vaegan.training.checkpoints import (
    FORMAT,
    checkpoint_path,
    list_checkpoints,
    newest_checkpoint,
    read_checkpoint,
    save_checkpoint,
)


def state(images: int) -> dict[str, Any]:
    weights = torch.arange(60.0).view(3, 20) + images
    return {"images": images, "parts": {"encoder": {"w": weights, "v": weights.bfloat16()}}, "lr": 0.5, "none": None}


def save(folder: Path, *images: int, keep: int = 3) -> list[Path]:
    return [save_checkpoint(folder, state(i), keep) for i in images]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    (path,) = save(tmp_path, 64)
    assert newest_checkpoint(tmp_path) == path
    back = read_checkpoint(path.read_bytes(), str(path))
    assert back.pop("format") == FORMAT
    wanted = state(64)
    for name, tensor in wanted["parts"]["encoder"].items():
        found = back["parts"]["encoder"][name]
        assert found.dtype == tensor.dtype
        assert torch.equal(found, tensor)
    assert {k: v for k, v in back.items() if k != "parts"} == {k: v for k, v in wanted.items() if k != "parts"}


@pytest.mark.parametrize("keep", [1, 3])
def test_the_last_few_are_kept(tmp_path: Path, keep: int) -> None:
    save(tmp_path, 64, 128, 1000, 100_000, 99_999_999, keep=keep)
    kept = [checkpoint_path(tmp_path, i) for i in (64, 128, 1000, 100_000, 99_999_999)][-keep:]
    assert list_checkpoints(tmp_path) == kept
    assert names(tmp_path) == {p.name for p in kept} | {p.with_suffix(".sha256").name for p in kept}


def test_copies_that_a_user_keeps_stay(tmp_path: Path) -> None:
    (path,) = save(tmp_path, 64)
    mine = [tmp_path / "000000000064-good.pt", tmp_path / "1-good.pt"]
    for copy in mine:
        copy.write_bytes(path.read_bytes())
    save(tmp_path, 128, 192, keep=1)
    assert all(copy.is_file() for copy in mine)
    assert list_checkpoints(tmp_path) == [checkpoint_path(tmp_path, 192)]


def test_a_run_that_went_back_leaves_no_later_ones(tmp_path: Path) -> None:
    save(tmp_path, 64, 128, 192)
    save(tmp_path, 100)
    assert list_checkpoints(tmp_path) == [checkpoint_path(tmp_path, i) for i in (64, 100)]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def lose_digest(path: Path) -> None:
    path.with_suffix(".sha256").unlink()


def spoil_digest(path: Path) -> None:
    path.with_suffix(".sha256").write_bytes(b"\xff\xfe")


@pytest.mark.parametrize("damage", [cut, empty, flip, lose_digest, spoil_digest])
def test_a_damaged_one_is_passed_over_with_a_warning(
    tmp_path: Path, damage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    paths = save(tmp_path, 64, 128, 192)
    damage(paths[2])
    with caplog.at_level(logging.WARNING, "vaegan"):
        assert newest_checkpoint(tmp_path) == paths[1]
    why = f"has no {paths[2].stem}.sha256 beside it" if damage is lose_digest else "is damaged"
    assert [record.getMessage() for record in caplog.records] == [
        f"checkpoint {paths[2]} {why}; using the previous one"
    ]


def test_all_damaged_is_the_users_to_decide(tmp_path: Path) -> None:
    for path in save(tmp_path, 64, 128):
        flip(path)
    with pytest.raises(UserError, match=r"all checkpoints in .* are damaged, or .*; restore them from a copy, or"):
        newest_checkpoint(tmp_path)


def test_an_empty_folder_has_none(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None
    assert newest_checkpoint(tmp_path / "none") is None


def test_a_write_that_was_cut_off_is_none(tmp_path: Path) -> None:
    (path,) = save(tmp_path, 64)
    # Killed while writing the next: its digest is there, and a part of it beside.
    (tmp_path / "000000000128.sha256").write_text("0" * 64 + "\n")
    (tmp_path / ".000000000128.77.part.pt").write_bytes(path.read_bytes()[:100])
    assert newest_checkpoint(tmp_path) == path


def test_a_disk_that_is_full_leaves_the_earlier_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = save(tmp_path, 64, 128, 192)

    def refuse(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(UserError, match="No space left on device"):
        save(tmp_path, 256)
    assert list_checkpoints(tmp_path) == paths
    assert newest_checkpoint(tmp_path) == paths[2]


def packed(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def test_a_newer_format_asks_for_an_upgrade() -> None:
    with pytest.raises(UserError, match=rf"a\.pt was written by a newer vaegan \(format {FORMAT + 1}, .*upgrade"):
        read_checkpoint(packed({"format": FORMAT + 1, "images": 0}), "a.pt")


class Sly:
    """Would run what it likes, if it were unpickled."""

    ran: list[str] = []  # noqa: RUF012

    def __reduce__(self) -> tuple[Any, ...]:
        return (Sly.ran.append, ("ran",))


FOREIGN = {
    "a class": packed({"format": FORMAT, "sly": Sly()}),
    "a path": packed({"format": FORMAT, "path": Path("x")}),
    "a list": packed([1, 2]),
    "no format": packed({"images": 3}),
    "a wordy format": packed({"format": "newest"}),
    "nothing": b"",
    "text": b"no checkpoint at all",
}


@pytest.mark.parametrize("data", FOREIGN.values(), ids=FOREIGN)
def test_nothing_foreign_is_read(tmp_path: Path, data: bytes) -> None:
    path = checkpoint_path(tmp_path, 64)
    path.write_bytes(data)
    path.with_suffix(".sha256").write_text(hashlib.sha256(data).hexdigest())
    found = newest_checkpoint(tmp_path)
    assert found == path
    with pytest.raises((pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError)):
        read_checkpoint(found.read_bytes(), str(found))
    assert Sly.ran == []
