"""Shards on this machine: local ones in place, remote ones fetched whole into a folder of bounded size.

The folder is shared by all processes of a machine: a shard is fetched by one of them, written beside and renamed; the
one that was not used for longest goes first. http and https need no extra; s3 and gs come through obstore, which reads
credentials from the environment as the vendors' own tools do. Nothing logged or raised holds credentials: of an
address it is scheme, host and path, of an error its kind.
"""

import contextlib
import hashlib
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ...errors import UserError
from ...files import MAX_TEXT, clear_leftovers, is_leftover, written_beside

try:
    import fcntl
except ImportError:  # on Windows each process fetches for itself
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger("vaegan")
WAITS = (1.0, 4.0, 15.0, 60.0)  # seconds before each further try
_CONNECT, _READ = 10.0, 30.0  # seconds
_PIECE = 2**24  # bytes
_FREE = 2**30  # bytes that are left free on the disk
_SCHEMES = ("http", "https", "s3", "gs")

T = TypeVar("T")


class Unavailable(Exception):  # noqa: N818, it is a state, as in HTTP
    """A shard that cannot be had, and why in a phrase."""


class _Passing(Exception):  # noqa: N818
    """A failure that may pass: worth another try."""


def is_remote(source: str) -> bool:
    """Return whether a source is an address; UserError if nothing here reads its kind."""
    scheme, mark, _ = source.partition("://")
    if mark and scheme not in _SCHEMES:
        raise UserError(f"{shown(source)}: addresses start with {', '.join(f'{s}://' for s in _SCHEMES)}")
    return bool(mark)


def shown(url: str) -> str:
    """Return an address or path without what may be a credential."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class ShardStore:
    """Fetches shards into ``folder``, which holds at most ``limit`` bytes of them, or less where the disk is full."""

    def __init__(self, folder: Path, limit: float) -> None:
        self.folder, self.limit = folder, limit
        self.closing = threading.Event()  # set: give up what is being fetched

    def get(self, url: str) -> Path:
        """Return the file of a shard, fetched if it is not here; Unavailable, or UserError if there is no room."""
        if not is_remote(url):
            if not Path(url).is_file():
                raise Unavailable("no such file")
            return Path(url)
        name = hashlib.sha256(url.encode()).hexdigest()[:32]
        path = self.folder / f"{name}.tar"
        if _touched(path):
            return path
        with self._lock(name[:2]):
            if not _touched(path):
                self._retried(url, lambda: self._fetch(url, path))
        return path

    def read(self, url: str, limit: int = MAX_TEXT) -> bytes:
        """Return a small file, not stored; Unavailable if it cannot be had or is longer than ``limit`` bytes."""
        if not is_remote(url):
            try:
                with Path(url).open("rb") as file:
                    content = file.read(limit + 1)
            except OSError as error:
                raise Unavailable(error.strerror or "cannot be read") from error
        else:
            content = self._retried(url, lambda: _at_most(limit, _open(url)[1]))
        if len(content) > limit:
            raise Unavailable(f"longer than {limit / 1e6:.3g} MB")
        return content

    def _retried(self, url: str, attempt: Callable[[], T]) -> T:
        for wait in WAITS:
            try:
                return attempt()
            except _Passing as error:
                if self.closing.is_set():
                    raise Unavailable("stopped") from error
                log.info("%s: %s; trying again in %g s", shown(url), error, wait)
                self.closing.wait(wait)
        try:
            return attempt()
        except _Passing as error:
            raise Unavailable(f"{error}, {len(WAITS) + 1} times") from error

    def _fetch(self, url: str, path: Path) -> None:
        size, pieces = _open(url)
        with contextlib.ExitStack() as stack:
            with self.room(url, size or 0):
                beside = stack.enter_context(written_beside(path))
                with beside.open("wb") as file:
                    file.truncate(size or 0)  # others count it as a whole
            with beside.open("r+b") as file:
                done = 0
                for piece in pieces:
                    if self.closing.is_set():
                        raise _Passing("stopped")
                    file.write(piece)
                    done += len(piece)
            if size is not None and done != size:
                raise _Passing(f"{done:,} of {size:,} bytes came")

    @contextlib.contextmanager
    def room(self, url: str, size: int) -> Iterator[None]:
        """Drop the files that were not used for longest until ``size`` bytes more fit; meanwhile nobody else adds."""
        while True:
            with self._lock("room"):
                if self._make_room(url, size):
                    yield
                    return
            self.closing.wait(0.1)  # for those that are fetched now, which may go then

    def _make_room(self, url: str, size: int) -> bool:
        clear_leftovers(self.folder, "*")
        files = []
        for path in self.folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process is done with it
                files.append((path.stat().st_mtime, path.stat().st_size, path))
        total = sum(stored for _, stored, _ in files)
        limit = min(self.limit, total + shutil.disk_usage(self.folder).free - _FREE)
        for _, stored, path in sorted(files):
            if total + size > limit and path.suffix in (".tar", ".npy") and not is_leftover(path):
                path.unlink(missing_ok=True)
                total -= stored
        if total + size <= limit:
            return True
        if size <= limit and any(is_leftover(path) for *_, path in files) and not self.closing.is_set():
            return False
        raise UserError(
            f"{shown(url)}: no room for its {size / 1e9:.3g} GB in {self.folder}; "
            "raise --data.store-size, free some space, or choose another --data.cache"
        )

    @contextlib.contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        """Hold one of few locks, for all threads and processes; it ends with the process."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / f"lock-{name}").open("a") as file:
                if fcntl is not None:
                    fcntl.flock(file, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise UserError(
                f"cannot write {self.folder}: {error.strerror or error}; choose another --data.cache"
            ) from error


def _touched(path: Path) -> bool:
    """Return whether a file is there, and note that it is used."""
    try:
        os.utime(path)
    except OSError:
        return False
    return True


def _at_most(limit: int, pieces: Iterator[bytes]) -> bytes:
    content = b""
    for piece in pieces:
        content += piece
        if len(content) > limit:
            break
    return content


def _open(url: str) -> tuple[int | None, Iterator[bytes]]:
    """Return the size of a remote file, if it is given, and its content in pieces."""
    return _open_http(url) if url.startswith("http") else _open_object(url)


def _open_http(url: str) -> tuple[int | None, Iterator[bytes]]:
    import requests

    try:
        response = requests.get(url, stream=True, timeout=(_CONNECT, _READ), headers={"Accept-Encoding": "identity"})
    except requests.RequestException as error:
        raise _passing(error) from None
    status = response.status_code
    if status != 200:
        response.close()
        raise (_Passing if status >= 500 or status in (408, 429) else Unavailable)(f"HTTP {status}")
    length = response.headers.get("Content-Length", "")

    def pieces() -> Iterator[bytes]:
        try:
            with response:
                yield from response.iter_content(_PIECE)
        except requests.RequestException as error:
            raise _passing(error) from None

    return int(length) if length.isdecimal() else None, pieces()


def _passing(error: Exception) -> Exception:
    """Return a failed request by its kind alone: its text holds the whole address."""
    import requests

    if isinstance(error, (requests.Timeout, requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        return _Passing("timed out" if isinstance(error, requests.Timeout) else "connection failed")
    return Unavailable(type(error).__name__)


def _open_object(url: str) -> tuple[int | None, Iterator[bytes]]:
    try:
        import obstore
        from obstore import exceptions, store
    except ImportError:
        raise UserError(f"{shown(url)} needs the extra stream: pip install 'vaegan[stream]'") from None
    parts = urlsplit(url)
    path = parts.path.lstrip("/")

    def asked(request: Callable[[], T]) -> T:
        try:
            return request()
        except (FileNotFoundError, exceptions.NotFoundError):
            raise Unavailable("not found") from None
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError):
            raise Unavailable("access denied") from None
        except exceptions.BaseError as error:
            raise _Passing(f"{type(error).__name__} of {parts.scheme}") from None

    bucket: Any = asked(
        lambda: store.from_url(
            f"{parts.scheme}://{parts.netloc}",
            client_options={
                "connect_timeout": f"{_CONNECT:g}s",
                "timeout": f"{2 * _READ:g}s",  # of a piece
                "allow_http": True,  # where the environment names such an endpoint
            },
            retry_config={"max_retries": 0},  # we try again, and say so
        )
    )
    size = asked(lambda: obstore.head(bucket, path))["size"]

    def pieces() -> Iterator[bytes]:
        for start in range(0, size, _PIECE):
            request = partial(obstore.get_range, bucket, path, start=start, length=min(_PIECE, size - start))
            yield bytes(asked(request))

    return size, pieces()
