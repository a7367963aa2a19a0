"""Snapshots over time: the same codes and the same held-out images after more and more training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from .blocks import Note, Section
from .embed import data_uri, evenly

MOST_MOMENTS = 40
FILM_LIMIT = 8_000_000
"""Characters of all frames together."""
_FOLDERS = {
    "samples": ("Samples", "images decoded from the same random codes each time"),
    "reconstructions": ("Reconstructions", "held-out originals above their reconstructions, the same each time"),
}


@dataclass(frozen=True)
class Pane:
    """What one folder shows.

    Attributes:
        title: of the pane.
        caption: what is seen.
        size: width and height of the last frame in pixels.
        frames: data URI of each moment; empty where there is no picture.
    """

    title: str
    caption: str
    size: tuple[int, int]
    frames: Sequence[str]


@dataclass(frozen=True)
class Film:
    """Panes side by side under one slider.

    Attributes:
        moments: each moment in words.
        panes: one for each folder that has pictures.
    """

    kind: ClassVar[str] = "film"
    moments: Sequence[str]
    panes: Sequence[Pane]


def snapshots_section(run: Path, records: Iterable[Mapping[str, Any]]) -> Section:
    """Return a slider over the grids in `samples/` and `reconstructions/` of a run.

    Args:
        run: the folder.
        records: of `metrics.jsonl`; they tell the epoch of a moment.
    """
    folders = {name: _pictures(run / name) for name in _FOLDERS}
    folders = {name: pictures for name, pictures in folders.items() if pictures}
    if not folders:
        return Section("Snapshots over time", [Note("There is no snapshot yet; training writes them as it goes on.")])
    moments = sorted({images for pictures in folders.values() for images in pictures})
    kept = evenly(moments, MOST_MOMENTS)
    limit = FILM_LIMIT // (len(kept) * len(folders))
    epochs = {record["images"]: record["epoch"] for record in records if {"images", "epoch"} <= record.keys()}
    panes = [_pane(name, pictures, kept, limit) for name, pictures in folders.items()]
    text = "The same codes and the same held-out images at each snapshot: the slider goes through the run."
    if len(kept) < len(moments):
        text += f" {len(kept)} of {len(moments)} snapshots are shown."
    return Section("Snapshots over time", [Film([_words(moment, epochs) for moment in kept], panes)], text)


def _pictures(folder: Path) -> dict[int, Path]:
    """Return the pictures of a folder by the images seen."""
    return {int(path.stem): path for path in folder.glob("*.png") if path.stem.isdecimal()}


def _pane(name: str, pictures: Mapping[int, Path], moments: Sequence[int], limit: int) -> Pane:
    frames = [_frame(pictures[moment], limit) if moment in pictures else "" for moment in moments]
    with Image.open(pictures[max(pictures)]) as last:
        return Pane(*_FOLDERS[name], last.size, frames)


def _frame(path: Path, limit: int) -> str:
    with Image.open(path) as image:
        return data_uri(image, limit)


def _words(images: int, epochs: Mapping[int, float]) -> str:
    return f"{images:,} images seen" + (f", epoch {epochs[images]:.4g}" if images in epochs else "")
