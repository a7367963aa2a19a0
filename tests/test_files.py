"""Files are whole or not there at all."""

from __future__ import annotations

import errno
import fcntl
import gzip
import io
import json
import os
import tempfile
from functools import partial
from pathlib import Path

import pytest

from vaegan import files
from vaegan.errors import UserError, printable
from vaegan.files import (
    check_folder,
    check_free,
    folder_beside,
    read_bytes,
    read_json,
    write_json,
    write_text,
    written_beside,
)
from vaegan.views.write import check_output

needs_dev_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.txt"
    with written_beside(path) as beside:
        beside.write_text("half")
        assert not path.exists()
        assert beside.parent == path.parent
        assert beside.suffix == path.suffix
        beside.write_text("whole")
    assert path.read_text() == "whole"
    assert names(path.parent) == {"a.txt"}


def test_a_file_is_flushed_through_a_handle_that_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows no other can be flushed."""
    modes = []
    monkeypatch.setattr(os, "fsync", lambda number: modes.append(fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE))
    write_text(tmp_path / "a.txt", "whole")
    assert modes == [os.O_RDWR]


def fail_after_half(path: Path, failure: BaseException) -> None:
    with written_beside(path) as beside:
        beside.write_text("half")
        raise failure


@pytest.mark.parametrize("failure", [RuntimeError("ours"), KeyboardInterrupt(), UserError("theirs")])
def test_a_failure_inside_leaves_what_was_there(tmp_path: Path, failure: BaseException) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(type(failure)) as caught:
        fail_after_half(path, failure)
    assert caught.value is failure
    assert path.read_text() == "old"
    assert names(tmp_path) == {"a.txt"}


def test_a_failure_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ours"), written_beside(tmp_path / "a.txt"):
        raise RuntimeError("ours")
    assert names(tmp_path) == set()


def write_to_full_disk(path: Path) -> None:
    with written_beside(path) as beside:
        beside.symlink_to("/dev/full")
        beside.write_bytes(b"x" * 100_000)


@needs_dev_full
def test_a_full_disk_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(UserError) as caught:
        write_to_full_disk(path)
    wanted = f"cannot write {path}: No space left on device; free some space, or choose another path"
    assert str(caught.value) == wanted
    assert path.read_text() == "old"
    assert names(tmp_path) == {"a.txt"}
    assert Path("/dev/full").exists()


def test_a_disk_that_fills_up_while_flushing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    write_text(tmp_path / "a.txt", "old")
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(UserError, match="No space left on device; free some space"):
        write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == {"a.txt"}


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot create folder .*file.*; choose another path"):
        write_text(tmp_path / "file" / "a.txt", "new")
    assert names(tmp_path) == {"file"}


def test_it_is_flushed_before_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, flushed = tmp_path / "a.txt", []

    def note(descriptor: int) -> None:
        flushed.append((os.fstat(descriptor).st_ino, path.exists()))

    monkeypatch.setattr(os, "fsync", note)
    write_text(path, "new")
    assert flushed[0] == (path.stat().st_ino, False)


def test_json_and_text_come_back(tmp_path: Path) -> None:
    value = {"name": "grün", "numbers": [1, 2.5, None]}
    write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == value
    write_text(tmp_path / "a.txt", "grün\n")
    assert (tmp_path / "a.txt").read_bytes() == "grün\n".encode()


def test_a_folder_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "new" / "folder"
    for name in ("first", "second"):
        with folder_beside(folder) as beside:
            (beside / name).touch()
        assert [path.name for path in folder.iterdir()] == [name]
    with pytest.raises(RuntimeError, match="ours"), folder_beside(folder):
        raise RuntimeError("ours")
    with pytest.raises(UserError, match=f"cannot write {folder}: ") as caught, folder_beside(folder) as beside:
        beside.rmdir()  # so that the last rename fails, when the earlier folder is already out of the way
    assert "\n" not in str(caught.value)
    assert [path.name for path in folder.iterdir()] == ["second"]
    assert list(folder.parent.iterdir()) == [folder]


def test_an_error_inside_a_new_folder_names_the_folder_that_was_asked_for(tmp_path: Path) -> None:
    folder, name = tmp_path / "new", "x" * 300  # longer than a name may be
    with pytest.raises(UserError, match=f"^cannot write {folder}/{name}: "), folder_beside(folder) as to:
        write_text(to / name, "")


def test_what_cannot_be_written_is_refused_before_there_is_anything_to_write(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / "file" / "in" / "x"
    for check in (check_free, partial(check_folder, mark="a.json", key="k")):
        with pytest.raises(UserError, match=r"cannot write .*: Not a directory; .*, or choose another path$"):
            check(place, overwrite=False)
        check(tmp_path / "new" / "x", overwrite=False)
    with pytest.raises(UserError, match="cannot write"):
        check_output(place.with_suffix(".png"))
    assert names(tmp_path) == {"file"}


def test_reading_stops_at_the_bound(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    with pytest.raises(OSError, match="longer than"):
        read_bytes(path, 4)
    bomb = gzip.compress(bytes(10**6))
    with gzip.open(io.BytesIO(bomb)) as unpacked, pytest.raises(OSError, match="longer than"):
        read_bytes(unpacked, 1000)


def test_what_may_have_no_end_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (Path("/dev/zero"), tmp_path / "pipe"):
        with pytest.raises(OSError, match="not a regular file"):
            read_bytes(path)
    with pytest.raises(IsADirectoryError):
        read_bytes(tmp_path)


def test_json_nested_too_deeply_is_an_ordinary_error(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[" * 10**6)
    with pytest.raises(ValueError, match="nested"):
        read_json(tmp_path / "a.json")


def test_names_are_listed_on_one_line() -> None:
    assert printable("顔 a") == "顔 a"
    assert printable("a\nb\udcff\u202e") == r"a\nb\udcff\u202e"


def test_what_killed_processes_left_goes_with_the_next_write(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)  # a number that no process has now
    gone = [f".a.{child}.part.txt", f".a.{child}-{files._HOST}.part.json", f".a.{child}.part", ".a.1.part"]
    runs, elsewhere = f".a.{os.getppid()}-{files._HOST}.part.txt", f".a.{child}-00000000.part.txt"
    mine = [".a.part.txt", f".b.{child}.part.txt", runs, elsewhere]
    for name in (*gone[:-2], *mine):
        (tmp_path / name).touch()
    for name in gone[-2:]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    write_text(tmp_path / "a.txt", "new")
    assert names(tmp_path) == {"a.txt", *mine}


@pytest.mark.parametrize("stage", ["written", "moved away", "replaced"])
def test_a_folder_survives_a_kill_at_each_stage_of_its_replacement(tmp_path: Path, stage: str) -> None:
    whole, part, before = tmp_path / "export", tmp_path / ".export.99999999.part", tmp_path / ".export.99999999.before"
    for path in {"written": (whole, part), "moved away": (before, part), "replaced": (whole, before)}[stage]:
        path.mkdir()
        (path / "old").touch()
    files.clear_leftovers(tmp_path, "export")
    assert names(tmp_path) == {"export"}
    assert names(whole) == {"old"}


def test_a_leftover_of_an_earlier_process_of_this_number_goes(tmp_path: Path) -> None:
    """In a container the process has the same number each time."""
    (tmp_path / f".a.{os.getpid()}.part").mkdir()
    with written_beside(tmp_path / "a.json") as beside:
        beside.write_text("{}")
        assert names(tmp_path) == {beside.name}
        write_text(tmp_path / "a.txt", "text")  # of the same name: spares what is being written
        assert names(tmp_path) == {beside.name, "a.txt"}
    assert names(tmp_path) == {"a.json", "a.txt"}


def test_files_that_belong_together_are_all_replaced_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = ({"a.txt": word, "a.json": word} for word in (b"old", b"new"))
    files.write_together(tmp_path, old, replaced=["a.json"])
    write = Path.write_bytes

    def fill_up(path: Path, content: bytes) -> int:
        if path.suffix == ".txt":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fill_up)
        with pytest.raises(UserError, match=r"cannot write .*a\.txt: No space left on device"):
            files.write_together(tmp_path, new, replaced=["a.json"])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == old
    files.write_together(tmp_path, new, replaced=["a.json"])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == new


@pytest.mark.parametrize("failing", ["mkdir", "unlink", "replace", "rename"])
def test_a_disk_that_turns_read_only_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    write_text(tmp_path / "a.txt", "old")
    monkeypatch.setattr(Path, failing, refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    if failing in ("mkdir", "replace"):
        with pytest.raises(UserError, match=r"cannot .*: Read-only file system; "):
            write_text(tmp_path / "a.txt", "new")
        assert (tmp_path / "a.txt").read_text() == "old"
    if failing in ("mkdir", "rename"):
        with pytest.raises(UserError, match=r"cannot write .*: Read-only file system; "), folder_beside(tmp_path / "b"):
            pass
    with pytest.raises(UserError, match=r"cannot write .*a\.txt: Read-only file system; "):
        files.remove(tmp_path / "a.txt")


def test_only_a_folder_of_ours_is_written_into(tmp_path: Path) -> None:
    def check(folder: Path, *, overwrite: bool, names: tuple[str, ...] = ("*",)) -> None:
        files.check_folder(folder, "mark.json", "ours", overwrite, names)

    for overwrite in (False, True):
        check(tmp_path / "none", overwrite=overwrite)
        check(tmp_path, overwrite=overwrite)
    (tmp_path / "notes.txt").write_text("mine")
    for mark in ("", "[]", '{"theirs": 1}', "\xff"):
        (tmp_path / "mark.json").write_text(mark)
        with pytest.raises(UserError, match=r"folder .* contains other files \(mark.json\); choose a new one"):
            check(tmp_path, overwrite=True)
    (tmp_path / "mark.json").write_text('{"ours": 1}')
    check(tmp_path, overwrite=True)
    with pytest.raises(UserError, match="exists; choose another name or allow it to be replaced"):
        check(tmp_path, overwrite=False)
    with pytest.raises(UserError, match=r"contains other files \(notes.txt\)"):
        check(tmp_path, overwrite=True, names=("mark.json",))
    with pytest.raises(UserError, match=r"notes.txt is a file; name a folder"):
        check(tmp_path / "notes.txt", overwrite=True)


def test_odd_names_have_a_hash():
    odd = os.fsdecode(b"\xff.tar")
    assert files.short_hash(odd) == files.short_hash(b"\xff.tar")
    assert files.short_hash("a") == "ca978112ca1bbdcafac231b39a23dc4d"  # SHA-256 of "a", FIPS 180-4


def test_a_folder_of_ours_need_not_lie_in_a_folder_that_can_be_written(tmp_path, monkeypatch):
    """As where it is mounted."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    write_json(folder / "a.json", {"k": 1})
    new = tempfile.TemporaryFile

    def refused(dir):
        if dir != folder:
            raise PermissionError(errno.EACCES, "Permission denied")
        return new(dir=dir)

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    check_folder(folder, "a.json", "k", overwrite=True)
    with pytest.raises(UserError, match=r"cannot write .*other: Permission denied"):
        check_free(tmp_path / "other", overwrite=True)
