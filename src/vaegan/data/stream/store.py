"""Shards on this machine: local ones in place, remote ones fetched whole into a folder of bounded size.

The folder is shared by all processes of a machine: one of them fetches a shard, writes it beside and renames it; the
least recently used shard is dropped first. http and https need no extra; s3 and gs use obstore, which reads credentials
from the environment as the vendors' own tools do. The log and errors show no credentials: only scheme, host and path of
an address, and the class of an error.
"""

import contextlib
import logging
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ...errors import UserError, shown
from ...files import MAX_TEXT, clear_leftovers, is_leftover, short_hash, written_beside

try:
    import fcntl
except ImportError:  # on Windows each process fetches for itself
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger("vaegan")
WAITS = (1.0, 4.0, 15.0, 60.0)  # seconds before each further try
_CONNECT, _READ = 10.0, 30.0  # seconds
_PIECE = 2**24  # bytes
_FREE = 2**30  # bytes that are left free on the disk
_OURS = re.compile(r"[0-9a-f]{32}\.(tar|npy)")
_SCHEMES = ("http", "https", "s3", "gs")
_Content = tuple[int | None, Iterator[bytes]]  # bytes in all, if that is given, and the content in pieces

T = TypeVar("T")


class Unavailable(Exception):  # noqa: N818, a state as in HTTP
    """A shard is unavailable; the text is a phrase that says why."""


class _Passing(Exception):  # noqa: N818
    """A transient failure: worth another try."""


def is_remote(source: str) -> bool:
    """Return whether a source is an address; UserError if its scheme is not supported."""
    scheme, mark, _ = source.partition("://")
    if mark and scheme not in _SCHEMES:
        raise UserError(f"{shown(source)}: unknown scheme; use {', '.join(f'{s}://' for s in _SCHEMES)}")
    return bool(mark)


class ShardStore:
    """Fetches shards into ``folder``, which holds at most ``limit`` bytes of them, or less where the disk is full."""

    def __init__(self, folder: Path, limit: float) -> None:
        self.folder, self.limit = folder, limit
        self.closing = threading.Event()  # set: give up what is being fetched

    def make_folder(self) -> None:
        """Make the folder if it is missing; UserError if that is impossible."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot write {self.folder}: {error.strerror}; choose another --data.cache") from error

    def get(self, url: str) -> Path:
        """Return the file of a shard, fetched if it is not here; Unavailable, or UserError if there is no room."""
        if not is_remote(url):
            return Path(url)
        name = short_hash(url)
        path = self.folder / f"{name}.tar"
        with contextlib.nullcontext() if _touched(path) else self._lock(name[:2]):
            if not _touched(path):
                self._retried(url, lambda: self._fetch(url, path), WAITS)
        return path

    def read(self, url: str) -> bytes:
        """Return a small file, not stored; Unavailable if it cannot be fetched, or is longer than MAX_TEXT bytes."""

        def read() -> bytes:
            content = bytearray()
            for piece in _open(url)[1]:
                content += piece
                if len(content) > MAX_TEXT:
                    raise Unavailable(f"longer than {MAX_TEXT / 1e6:.3g} MB")
            return bytes(content)

        return self._retried(url, read, WAITS[:2])

    def _retried(self, url: str, attempt: Callable[[], T], waits: Sequence[float]) -> T:
        for wait in (*waits, None):
            try:
                return attempt()
            except Unavailable as error:
                raise Unavailable(f"{shown(url)}: {error}") from error
            except _Passing as error:
                if wait is None or self.closing.is_set():
                    raise Unavailable(f"{shown(url)}: {error}, in {len(waits) + 1} attempts") from error
                log.info("%s: %s; trying again in %g s", shown(url), error, wait)
                self.closing.wait(wait)
        raise AssertionError

    def _fetch(self, url: str, path: Path) -> None:
        size, pieces = _open(url)
        reserved = size or 0
        with contextlib.ExitStack() as stack:
            with self.room(url, reserved):
                beside = stack.enter_context(written_beside(path))
                file = stack.enter_context(beside.open("wb"))
                file.truncate(reserved)  # others count it as a whole
            for piece in pieces:
                if self.closing.is_set():
                    raise _Passing("stopped")
                received = file.tell() + len(piece)
                if received > reserved:
                    if size is not None:
                        raise Unavailable(f"longer than the {size:,} bytes that the server gives as its length")
                    reserved = received + received // 16
                    with self._lock("room"):
                        if not self._make_room(url, reserved, beside):
                            raise _Passing("no room while other shards are fetched")
                        file.truncate(reserved)
                file.write(piece)
            if size is not None and file.tell() != size:
                raise _Passing(f"{file.tell():,} of {size:,} bytes received")
            file.truncate()

    @contextlib.contextmanager
    def room(self, url: str, size: int) -> Iterator[None]:
        """Drop the least recently used files until ``size`` more bytes fit; meanwhile no other process adds any."""
        while True:
            with self._lock("room"):
                if self._make_room(url, size):
                    yield
                    return
            self.closing.wait(0.1)  # for those that are fetched now, which may go then

    def _make_room(self, url: str, size: int, own: Path | None = None) -> bool:
        """Return whether ``size`` bytes fit, now or after others are dropped; ``own`` is the part that is here."""
        clear_leftovers(self.folder, "*")
        files = []
        for path in self.folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process is done with it
                files.append((path.stat().st_mtime, path.stat().st_size, path))
        total = sum(stored for _, stored, _ in files)
        more = size - (own.stat().st_size if own else 0)
        limit = min(self.limit, total + shutil.disk_usage(self.folder).free - _FREE)
        for _, stored, path in sorted(files):
            if total + more > limit and _OURS.fullmatch(path.name):
                path.unlink(missing_ok=True)
                total -= stored
        others = any(is_leftover(path) and path != own for *_, path in files)
        if total + more > limit and not (size <= limit and others and not self.closing.is_set()):
            raise UserError(
                f"{shown(url)}: no room for its {size / 1e9:.3g} GB in {self.folder}; "
                "raise --data.store-size, free some space, or choose another --data.cache"
            )
        return total + more <= limit

    @contextlib.contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        """Hold one of few locks, for all threads and processes; it ends with the process."""
        self.make_folder()
        with (self.folder / f"lock-{name}").open("a") as file:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _touched(path: Path) -> bool:
    """Return whether a file is there, and note that it is used."""
    with contextlib.suppress(OSError):
        os.utime(path)
        return True
    return False


def _open(url: str) -> _Content:
    return _open_http(url) if url.startswith("http") else _open_object(url)


def _open_http(url: str) -> _Content:
    import requests

    def passing(error: Exception) -> Exception:  # its text holds the whole address
        if isinstance(error, ValueError):
            return Unavailable("this address, or one that it redirects to, is not valid")
        may_pass = isinstance(
            error, (requests.Timeout, requests.ConnectionError, requests.exceptions.ChunkedEncodingError)
        )
        return (_Passing if may_pass else Unavailable)(type(error).__name__)

    def pieces() -> Iterator[bytes]:
        try:
            with response:
                yield from response.iter_content(_PIECE)
        except requests.RequestException as error:
            raise passing(error) from None

    # A redirect is closed at once: requests would read its whole body.
    hooks: Any = {"response": lambda response, **_: response.close() if response.is_redirect else None}
    how: Any = {"timeout": (_CONNECT, _READ), "headers": {"Accept-Encoding": "identity"}, "hooks": hooks}
    try:
        response = requests.get(url, stream=True, **how)
    except (requests.RequestException, ValueError) as error:  # ValueError: of what is no address
        raise passing(error) from None
    if (status := response.status_code) != 200:
        response.close()
        raise (_Passing if status >= 500 or status in (408, 429) else Unavailable)(f"HTTP {status}")
    if response.headers.get("Content-Encoding", "").strip().lower() not in ("", "identity"):
        response.close()
        raise Unavailable("sent compressed, which was not asked for")
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None, pieces()


def _open_object(url: str) -> _Content:
    try:
        import obstore
        from obstore import exceptions, store
    except ImportError:
        raise UserError(f"{shown(url)} needs the extra stream: pip install 'vaegan[stream]'") from None

    def asked(request: Callable[[], T]) -> T:
        try:
            return request()
        except (FileNotFoundError, exceptions.NotFoundError):
            raise Unavailable("not found") from None
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError):
            raise Unavailable("access denied") from None
        except ValueError:
            raise Unavailable("this address is not valid") from None
        except exceptions.BaseError as error:
            raise _Passing(f"{type(error).__name__} of {parts.scheme}") from None

    try:
        parts = urlsplit(url)
    except ValueError:
        raise Unavailable("this address is not valid") from None
    path = parts.path.lstrip("/")
    # Plain http where the environment names such an endpoint; the time is that of a piece.
    options: Any = {"connect_timeout": f"{_CONNECT:g}s", "timeout": f"{2 * _READ:g}s", "allow_http": True}
    place, once = f"{parts.scheme}://{parts.netloc}", {"max_retries": 0}  # we try again, and say so
    bucket: Any = asked(partial(store.from_url, place, client_options=options, retry_config=once))
    size = asked(lambda: obstore.head(bucket, path))["size"]
    ranges = ((start, min(_PIECE, size - start)) for start in range(0, size, _PIECE))
    return size, (
        bytes(asked(partial(obstore.get_range, bucket, path, start=start, length=length))) for start, length in ranges
    )
