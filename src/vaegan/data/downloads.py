"""Official files of published data sets, found in their usual places or downloaded and checked by their checksum.

If no download succeeds, the error says what is missing, where to get it and where to put it.
"""

import glob
import logging
import os
import tarfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..errors import UserError
from ..files import clear_leftovers, expanded, remedy_of, unfinished_folder
from ..settings import DataSettings
from .cache import cache_folder, publish

log = logging.getLogger("vaegan")
MIRROR = "VAEGAN_MIRROR"  # environment variable: a URL below which SOURCE/FILE is tried before all else


def root_of(source: str, settings: DataSettings) -> Path:
    """Return the folder for a source's official files."""
    return cache_folder(None) / source if settings.root is None else expanded(settings.root)


def find(root: Path, below: Sequence[str], names: Sequence[str]) -> Path | None:
    """Return the first file or folder that exists of ``names`` in the folders ``below`` the root; None if none does."""
    places = (root / folder / name for folder in below for name in names)
    return next((path for path in places if path.is_file() or path.is_dir()), None)


def find_or_download(
    source: str,
    checksums: Mapping[str, str],
    spellings: Sequence[Sequence[str]],
    root: Path,
    below: Sequence[str],
    *,
    urls: Sequence[str],
    page: str | None = None,
) -> list[Path]:
    """Return the files of a source, each the first of its ``spellings`` in the folders ``below`` the root.

    Those missing are downloaded under their official names, the keys of ``checksums``; errors as in `download`.
    """
    paths = [find(root, below, names) for names in spellings]
    missing = [file for file, path in zip(checksums, paths, strict=True) if path is None]
    if missing and urls:
        log.info("downloading %s to %s", source, root)
    return [
        path or download(source, file, checksum, root, urls=urls, page=page, missing=missing)
        for (file, checksum), path in zip(checksums.items(), paths, strict=True)
    ]


def download(
    source: str,
    file: str,
    checksum: str | None,
    root: Path,
    *,
    urls: Sequence[str],
    page: str | None = None,
    missing: Sequence[str] = (),
) -> Path:
    """Download one file to ``root`` from one of the folders ``urls``, tried in turn after the mirror.

    The checksum is ``md5:...`` or ``sha256:...``, None where none was published. UserError if no download succeeds, or
    the checksum is wrong: it names the ``page`` where people get the file (else the first URL) and all that is missing.
    """
    import pooch  # both are slow to import
    import requests

    pooch.get_logger().setLevel(logging.WARNING)
    mirror = os.environ.get(MIRROR)
    for url in ([f"{mirror.rstrip('/')}/{source}"] if mirror else []) + list(urls):
        try:
            downloader = pooch.HTTPDownloader(timeout=30)
            path = Path(pooch.retrieve(f"{url}/{file}", checksum, file, root, downloader=downloader))
            if checksum is None:
                own = pooch.file_hash(str(path))
                log.warning("%s: not verified, as no checksum is published; it has sha256:%s", path, own)
            return path
        except requests.RequestException as error:
            log.info("%s/%s: %s", url, file, error)
        except ValueError as error:  # what pooch raises for a wrong checksum
            raise UserError(
                f"{url}/{file}: is not the published file (wrong checksum); fetch it elsewhere and put it into {root}"
            ) from error
        except OSError as error:
            raise UserError(
                f"cannot write {root / file}: {error.strerror or error}; choose another --data.root"
            ) from error
    raise UserError(
        f"{source}: {', '.join(missing or [file])} not found in {root}, and the download failed; "
        f"fetch from {page or urls[0]} and put them there, or point --data.root at their folder"
    )


def unpacked(archive: Path, folder: str) -> Path:
    """Return ``folder`` beside the .tar.gz it is in, unpacked if it is missing; UserError if that fails."""
    target = archive.parent / folder
    if target.is_dir():
        return target
    clear_leftovers(archive.parent, f"{glob.escape(folder)}.*")
    log.info("unpacking %s", archive)
    try:
        with unfinished_folder(target) as unfinished:
            with tarfile.open(archive, "r:gz") as content:
                content.extractall(unfinished, filter="data")
            if not (unfinished / folder).is_dir():
                raise UserError(f"{archive}: the folder {folder} is not in it; download it again")
            publish(unfinished / folder, target)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UserError(f"{archive}: cannot be unpacked ({error}); download it again") from error
    except OSError as error:
        why = f"cannot be unpacked into {archive.parent} ({error.strerror or error})"
        raise UserError(f"{archive}: {why}; {remedy_of(error)}, or choose another --data.root") from error
    return target


def stamp(paths: Iterable[Path]) -> str:
    """Return a text that changes when a file does."""
    stats = [(path.resolve(), path.stat()) for path in paths]
    return " ".join(f"{path} {stat.st_size} {stat.st_mtime_ns}" for path, stat in stats)
