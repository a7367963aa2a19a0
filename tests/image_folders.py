"""Folders and .zip files of small images, for tests of what reads them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from PIL import Image


def paint(path: Path, value: int = 0, size: tuple[int, int] = (8, 8), mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value, 0, 0)).save(path)


def fill(folder: Path, num: int = 30) -> Path:
    for i in range(num):
        paint(folder / f"{i:03}.png", i)
    return folder


def packed(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder.parent))
    return path


def nothing_left(tmp_path: Path) -> bool:
    return not any(path.is_file() for path in (tmp_path / "cache").rglob("*"))


def drawn(shape, dtype, high, low=0.0):
    """Return an image with many different numbers."""
    return (low + (high - low) * np.random.default_rng(0).random(shape)).astype(dtype)
