"""What a person sees while it trains: a bar with images/s, time left and losses on a terminal; else plain lines."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import Any

log = logging.getLogger("vaegan")


class Progress:
    """Shows how far a run is.

    Args:
        bar: rich's progress bar, or None for lines alone.
        task: of the bar.
    """

    def __init__(self, bar: Any = None, task: Any = None) -> None:
        self._bar, self._task, self._worries = bar, task, ""

    def step(self, images: int) -> None:
        """So many images are seen."""
        if self._bar is not None:
            self._bar.update(self._task, completed=images)

    def losses(self, record: dict[str, Any]) -> None:
        """Show the losses of a record next to the bar."""
        if self._bar is not None:
            speed = f"{record['images_per_second']:,.0f} images/s  "
            self._bar.update(self._task, losses=speed + self._worries + describe(record["losses"]))

    def worries(self, words: str) -> None:
        """Show what is not well, in a few words, in front of the losses from now on; empty for nothing."""
        self._worries = f"! {words}  " if words else ""

    def line(self, record: dict[str, Any], total: int, scores: dict[str, float] | None = None) -> None:
        """One line for a snapshot.

        Args:
            record: the last of training.
            total: images that the run will see.
            scores: of `selection`, if there are any.
        """
        share = f"{record['images']:,} of {total:,} images, epoch {record['epoch']:.4g}"
        told = f"; score {scores['score']:.4g}" if scores else ""
        log.info(
            "%s, %s images/s: %s%s", share, f"{record['images_per_second']:,.0f}", describe(record["losses"]), told
        )


def describe(losses: dict[str, dict[str, float]]) -> str:
    """The losses of all parts in a few words, such as ``enc kl 21.3 llike 40.1 | dis real 0.41``."""
    parts = []
    for part, terms in losses.items():
        named = " ".join(f"{name} {value:.4g}" for name, value in terms.items() if name != "total")
        parts.append(f"{part[:3]} {named}")
    return " | ".join(parts)


@contextlib.contextmanager
def show_progress(start: int, total: int, *, speaks: bool) -> Iterator[Progress]:
    """Show progress from ``start`` to ``total`` images; a bar if this process speaks and there is a terminal."""
    if not (speaks and sys.stdout.isatty()):
        yield Progress()
        return
    import rich
    from rich import progress

    columns = (
        progress.BarColumn(bar_width=24),
        progress.TaskProgressColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("<"),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[losses]}"),
    )
    with progress.Progress(*columns, console=rich.get_console(), transient=True) as bar:
        task = bar.add_task("train", total=total, completed=start, losses="")
        yield Progress(bar, task)
