"""Read files up to a bound; write files and folders atomically: under a temporary name beside, then renamed."""

import contextlib
import errno
import fnmatch
import glob
import hashlib
import json
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from .errors import UserError

MAX_TEXT = 2**26  # bytes of a description in JSON, or a table of a data set
MAX_FILE = 2**29  # bytes of an image file, also unpacked from an archive
MAX_PIXELS = 50_000_000  # of an image that is decoded
_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
_DAY = 24 * 3600.0
_live: set[Path] = set()  # what this process is writing, without links
_UNFINISHED = re.compile(r"\.(?P<stem>.+)\.(?P<pid>\d+)(-(?P<host>[0-9a-f]{8}))?\.(?P<what>part|before)(\.[^.]+)?")
OF_A_DISK = {
    getattr(errno, name, None)
    for name in ("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EIO", "ENAMETOOLONG", "ESTALE", "EMFILE", "ENFILE",
                 "EISDIR", "ENOTDIR", "ELOOP", "EFBIG")
}  # fmt: skip
"""Numbers of errors that are the disk's or the system's, not ours."""
_REMEDIES = dict.fromkeys((errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)), "free some space")
_REMEDIES[errno.EFBIG] = "allow longer files (ulimit -f)"


def read_bytes(source: Path | IO[bytes], limit: int = MAX_TEXT) -> bytes:
    """Return the content of a file, or what an open (unpacking) one still holds, without reading past ``limit`` bytes.

    Raises OSError, whose strerror says so, if it is longer, or a device or pipe, which may have no end.
    """
    if isinstance(source, Path):
        if source.exists() and not source.is_file() and not source.is_dir():
            raise OSError(errno.EINVAL, "not a regular file", str(source))
        with source.open("rb") as file:
            return read_bytes(file, limit)
    content = source.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"longer than {limit / 1e6:.3g} MB", str(getattr(source, "name", "")))
    return content


def read_json(path: Path) -> Any:
    """Return the value in a JSON file; OSError as `read_bytes`, ValueError if it is not JSON."""
    try:
        return json.loads(read_bytes(path).decode())
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the mapping in a JSON file; an empty one if there is none that can be read."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return dict(read_json(path))
    return {}


def expanded(path: str | Path) -> Path:
    """Return a path whose ~ is the home folder; UserError if there is none."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(f"{path}: its home folder is unknown; write the whole path, or set HOME") from error


@contextlib.contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, made if missing; on success flush it and rename it to ``path``.

    If the block fails, the temporary file is removed and ``path`` is unchanged. Raises UserError if the disk is full
    or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot create folder {path.parent}: {error.strerror}; choose another path") from error
    beside = _real(path.parent) / f".{path.stem}.{os.getpid()}-{_HOST}.part{path.suffix}"
    clear_leftovers(path.parent, glob.escape(path.stem))
    _live.add(beside)
    try:
        yield beside
        with beside.open("rb+") as file:  # Windows flushes only what may be written
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        _live.discard(beside)
        with contextlib.suppress(OSError):  # of a read-only disk, even for a file that is not there
            beside.unlink()


@contextlib.contextmanager
def folder_beside(folder: Path) -> Iterator[Path]:
    """Yield a new folder that replaces ``folder`` on success; UserError if it cannot be written."""
    folder = expanded(folder).resolve()
    own = f".{folder.name}.{os.getpid()}-{_HOST}"
    beside, before = folder.with_name(f"{own}.part"), folder.with_name(f"{own}.before")
    clear_leftovers(folder.parent, glob.escape(folder.name))
    _live.update((beside, before))
    try:
        beside.mkdir(parents=True)
        yield beside
        if folder.is_dir():
            folder.rename(before)
        beside.rename(folder)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    except UserError as error:  # of a file in it
        raise UserError(str(error).replace(str(beside), str(folder))) from error
    finally:
        with contextlib.suppress(OSError):
            if before.is_dir() and not folder.exists():
                before.rename(folder)
        for path in (beside, before):
            _live.discard(path)
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def unfinished_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder beside ``folder``, another one in each call, to fill and rename; what is left of it goes.

    Raises OSError if it cannot be made.
    """
    own = f".{folder.name}.{time.monotonic_ns()}.{os.getpid()}-{_HOST}.part"
    unfinished = _real(folder.parent) / own
    _live.add(unfinished)
    try:
        unfinished.mkdir(parents=True)
        yield unfinished
    finally:
        _live.discard(unfinished)
        shutil.rmtree(unfinished, ignore_errors=True)


def remove(path: Path) -> None:
    """Remove a file, if it is there; UserError if it cannot be removed."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from error


def check_writable(path: Path, option: str = "") -> None:
    """Raise UserError, before slow work, if nothing can be written there; ``option`` sets another place."""
    try:
        tempfile.TemporaryFile(dir=next(folder for folder in path.absolute().parents if folder.exists())).close()
    except OSError as error:
        raise _cannot_write(path, error, option) from error


def _cannot_write(path: Path, error: OSError, option: str = "") -> UserError:
    what, place = f"cannot write {path}: {error.strerror or error}", f" with {option}" if option else ""
    return UserError(f"{what}; {remedy_of(error)}, or choose another path{place}")


def remedy_of(error: OSError) -> str:
    """Return what to do at a path that could not be read or written: to free space helps only where none is left."""
    return _REMEDIES.get(error.errno or 0, "check the path and its permissions")


def clear_leftovers(folder: Path, stems: str, *, of_anyone: bool = False) -> None:
    """Remove what killed processes left unfinished in a folder; what one of them was about to replace comes back.

    ``stems`` is a pattern of the names, without suffix, of what is written there, and ``of_anyone`` whether no other
    process can be writing it.
    """
    folder = _real(folder)
    for path in sorted(folder.iterdir()) if folder.is_dir() and os.access(folder, os.R_OK) else ():
        match = _UNFINISHED.fullmatch(path.name)
        if match is None or not fnmatch.fnmatchcase(match["stem"], stems):
            continue
        with contextlib.suppress(OSError):  # another process may be faster
            if of_anyone or _is_abandoned(path, match):
                replaced = folder / match["stem"]
                if match["what"] == "before" and not replaced.exists():
                    path.rename(replaced)
                elif path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()


def is_leftover(path: Path) -> bool:
    """Whether a name is that of an unfinished file or folder."""
    return _UNFINISHED.fullmatch(path.name) is not None


def _real(folder: Path) -> Path:
    """Return the path without links, so that one place has one name."""
    return Path(os.path.realpath(folder))


def _is_abandoned(path: Path, match: re.Match[str]) -> bool:
    """Whether the process that was writing this has ended; of another machine's, whether all of it is a day old."""
    pid = int(match["pid"])
    if match["host"] is None:  # as earlier versions named it
        return True
    if match["host"] != _HOST or os.name == "nt":  # there `os.kill` would end the process
        return time.time() - max(each.lstat().st_mtime for each in (path, *path.rglob("*"))) > _DAY
    if pid == os.getpid():  # as in each start of a container
        return path not in _live
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    return False  # a PermissionError says so too


def check_free(path: Path, overwrite: bool) -> None:
    """Raise UserError if ``path`` exists and may not be replaced, or cannot be written."""
    if path.exists() and not overwrite:
        raise _taken(path)
    check_writable(path)


def _taken(path: Path) -> UserError:
    return UserError(f"{path} exists; choose another name or allow it to be replaced (--overwrite)")


def check_apart(out: Path, images: str, *, around: bool = False) -> None:
    """Refuse to write into the folder of the images, where it would become data, or a folder ``around`` them."""
    here, there = (Path(os.path.realpath(path)) for path in (expanded(out), images))
    if there == here or there in here.parents:
        raise UserError(f"--out {out} is in the folder of the images ({images}); choose another --out")
    if around and here in there.parents:
        raise UserError(f"--out {out} contains the images ({images}); choose another --out")


def check_folder(folder: Path, mark: str, key: str, overwrite: bool, names: Sequence[str] = ("*",)) -> None:
    """Raise UserError if a folder may or can not be written: it must be new, empty, or ours and to be replaced.

    It is ours if ``key`` is in its JSON file ``mark``; a folder replaced as a whole may hold ``names`` alone.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; name a folder")
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    if key in read_mapping(folder / mark):
        others = [entry for entry in entries if not any(entry.match(name) for name in names)]
    else:
        others = entries
    if others:
        raise UserError(f"folder {folder} contains other files ({others[0].name}); choose a new one")
    if entries and not overwrite:
        raise _taken(folder)
    check_writable(folder / mark)


def short_hash(content: str | bytes) -> str:
    """Return 32 hexadecimal digits of the SHA-256 of a text or bytes: a name for what they determine."""
    content = content.encode(errors="surrogateescape") if isinstance(content, str) else content  # of odd file names too
    return hashlib.sha256(content).hexdigest()[:32]


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` in one piece (see `written_beside`)."""
    with written_beside(path) as beside:
        beside.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` in one piece (see `written_beside`); bytes of odd file names are escaped."""
    with written_beside(path) as beside:
        beside.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON in one piece (see `written_beside`)."""
    write_text(path, to_json(value))


def to_json(value: Any) -> str:
    """Return indented JSON."""
    return json.dumps(value, indent=2) + "\n"


def write_together(folder: Path, contents: Mapping[str, bytes], replaced: Sequence[str]) -> None:
    """Write files that belong together: all beside, then ``replaced`` ones go, then all are renamed in this order.

    So a full disk changes nothing; a kill between leaves the first ones without the last, which describes them.
    """
    with contextlib.ExitStack() as files:
        for name in reversed(list(contents)):
            files.enter_context(written_beside(folder / name)).write_bytes(contents[name])
        for name in replaced:
            remove(folder / name)
