"""Charts of studies: a dot per seed, a bar for the mean, a band for the 95% interval; strips of example images."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from vaegan.files import written_beside
from vaegan.pixels import to_uint8
from vaegan.report.grid import grid

from .results import Results
from .statistics import interval

COLOURS = ("#2b6cb0", "#c05621", "#2f855a", "#6b46c1", "#b83280", "#718096", "#975a16")


def new_chart(width: float, height: float) -> Any:
    """Return an empty matplotlib figure; width and height in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    chart = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(chart)
    return chart


def save_chart(chart: Any, path: Path) -> None:
    """Write a matplotlib figure as PNG in one piece.

    Raises:
        UserError: if it cannot be written.
    """
    with written_beside(path) as beside:
        chart.savefig(beside, format="png")


def panel(axes: Any, title: str, x: str = "", y: str = "") -> Any:
    """Give axes a title, labels and a plain frame."""
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def logarithmic(axes: Any) -> None:
    """Make the vertical axis logarithmic, with plain numbers as labels, unless no drawn value is above 0."""
    from matplotlib.ticker import LogFormatter, LogLocator

    if axes.has_data() and not math.isfinite(axes.dataLim.minposy):
        return

    class Plain(LogFormatter):
        """Writes 20 instead of 2 x 10^1."""

        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0,)))
    axes.yaxis.set_major_formatter(Plain(minor_thresholds=(2, 1)))
    axes.yaxis.set_minor_formatter(Plain(minor_thresholds=(2, 1)))
    axes.tick_params(axis="y", which="both", labelsize=8)


def images_axis(axes: Any) -> None:
    """Label the horizontal axis with training images in thousands."""
    axes.set_xlabel("training images, in thousands", fontsize=9)
    axes.xaxis.set_major_formatter(lambda x, pos: f"{x / 1000:g}")


def dots(axes: Any, results: Results, metric: str) -> None:
    """Draw a metric of each variant in a column: seeds, mean, interval."""
    variants = results.variants
    for place, variant in enumerate(variants):
        values = results.values(variant, metric)
        mean, colour = interval(values), COLOURS[place % len(COLOURS)]
        shift = np.linspace(-0.12, 0.12, len(values)) if len(values) > 1 else [0.0]
        axes.scatter(place + np.asarray(shift), values, s=22, color=colour, zorder=3, linewidths=0)
        if mean.n:
            axes.hlines(mean.mean, place - 0.28, place + 0.28, color=colour, lw=1.8)
        if mean.n > 1:
            axes.vlines(place, mean.low, mean.high, color=colour, lw=5, alpha=0.25)
    axes.set_xticks(range(len(variants)), [_wrapped(variant) for variant in variants])
    axes.set_xlim(-0.6, len(variants) - 0.4)


def lines(
    axes: Any,
    x: Sequence[float],
    series: Sequence[Sequence[float]],
    label: str,
    colour: str,
    style: str = "-",
    band: bool = True,
) -> None:
    """Draw each seed as a faint line, their mean as a strong one, the interval as a band.

    Args:
        axes: to draw on.
        x: positions of the points.
        series: for each position the values of all seeds.
        label: in the legend.
        colour: of lines and band.
        style: of the lines, in matplotlib's notation.
        band: whether to draw the interval.
    """
    middle = [interval(values) for values in series]
    for run in zip(*series, strict=True):
        axes.plot(x, run, style, color=colour, lw=0.7, alpha=0.45)
    axes.plot(x, [one.mean for one in middle], style, color=colour, lw=2, marker="o", ms=3.5, label=label)
    if band and all(math.isfinite(one.half) for one in middle):
        axes.fill_between(x, [m.low for m in middle], [m.high for m in middle], color=colour, alpha=0.12, lw=0)


def strip(images: Tensor, columns: int = 16) -> np.ndarray[Any, Any]:
    """Return images `(N, C, H, W)` in [0, 1] in rows of ``columns``, as one uint8 image `(H, W)` or `(H, W, 3)`."""
    image = grid(to_uint8(images), columns=columns, pad=1, scale=1)
    return image[..., 0] if image.shape[-1] == 1 else image


def show_strips(chart: Any, strips: Mapping[str, np.ndarray[Any, Any]], columns: int = 1) -> None:
    """Fill a matplotlib figure, or a part of one, with strips under their titles."""
    rows = max(1, -(-len(strips) // columns))
    panels = list(chart.subplots(rows, columns, squeeze=False).flat)
    for axes, (title, image) in zip(panels, strips.items(), strict=False):
        axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(title, fontsize=9, loc="left")
    for axes in panels:
        axes.set_axis_off()


def _wrapped(words: str, width: int = 13) -> str:
    return "\n".join(textwrap.wrap(words, width, break_long_words=False))
