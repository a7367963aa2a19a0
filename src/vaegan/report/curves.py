"""Losses over images seen, one panel for each part.

Of many points a running mean is drawn over the faint raw line. Held-out losses are dashed, in the colour of the
training loss of the same name. Losses whose sizes differ by more than a factor of 30 get a logarithmic scale, linear
around zero where there are values that are not positive.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import PARTS
from ..files import written_beside

Line = tuple[NDArray[np.float64], NDArray[np.float64]]
Lines = dict[str, dict[str, dict[str, Line]]]
SCORES = {"frechet_samples": "samples", "frechet_reconstructions": "reconstructions", "score": "sum"}

_SMOOTHED_FROM = 60
_WILD = 30.0


def draw_losses(records: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Draw `losses.png` out of the records of `metrics.jsonl`.

    Args:
        records: each with "images" (images seen), "split" ("train" or "test") and "losses", which maps parts to
            losses by name, in nats per image; those of snapshots may have "scores" by name, which get a panel, too.
            All else, and records without these, are passed over. Of several records with the same number of images, as
            a resumed run may leave them, the last one counts.
        path: the PNG, written beside and then renamed.

    Raises:
        UserError: if the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    records = list(records)
    lines, scores = collect_lines(records), collect_scores(records)
    parts = [part for part in PARTS if part in lines]
    num_panels = max(1, len(parts) + bool(scores))
    figure = Figure(figsize=(5.6 * num_panels, 4.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, num_panels, squeeze=False)[0]
    for part, axes in zip(parts, panels, strict=False):
        _draw_part(axes, part, lines[part])
    if scores:
        _draw_scores(panels[-1], scores)
    if not parts and not scores:
        panels[0].set_axis_off()
        panels[0].text(0.5, 0.5, "no losses recorded yet", ha="center", va="center")
    with written_beside(path) as beside:
        figure.savefig(beside, format="png")


def collect_lines(records: Iterable[Mapping[str, Any]]) -> Lines:
    """Sort losses into `lines[part][loss][split] = (images, values)`, by images; values may be NaN or infinite."""
    points: dict[str, dict[str, dict[str, dict[int, float]]]] = {}
    for record in records:
        images, losses = record.get("images"), record.get("losses")
        if not isinstance(images, int) or not isinstance(losses, Mapping):
            continue
        for part, values in losses.items():
            for name, value in values.items() if isinstance(values, Mapping) else ():
                if isinstance(value, int | float):
                    of_loss = points.setdefault(part, {}).setdefault(name, {})
                    of_loss.setdefault(record.get("split", "train"), {})[images] = float(value)
    return {
        part: {name: {split: _line(line) for split, line in splits.items()} for name, splits in names.items()}
        for part, names in points.items()
    }


def collect_scores(records: Iterable[Mapping[str, Any]]) -> dict[str, Line]:
    """Sort scores of snapshots into ``lines[name] = (images, values)``, by images; with their spoken names."""
    points: dict[str, dict[int, float]] = {}
    for record in records:
        for name, value in record.get("scores", {}).items():
            points.setdefault(SCORES.get(name, name), {})[record["images"]] = float(value)
    return {name: _line(line) for name, line in points.items()}


def running_mean(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Mean of the finite among the `width` values around each one (fewer at the ends); NaN where there is none."""
    finite = np.isfinite(values)
    window = np.ones(width)
    counts = np.convolve(finite, window, mode="same")
    sums = np.convolve(np.where(finite, values, 0.0), window, mode="same")
    means = np.full(len(values), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0.5)
    return means


def _line(points: Mapping[int, float]) -> Line:
    images = sorted(points)
    return np.array(images, dtype=float), np.array([points[i] for i in images], dtype=float)


def _draw_part(axes: Any, part: str, losses: Mapping[str, Mapping[str, Line]]) -> None:
    from matplotlib.ticker import EngFormatter

    for number, (name, splits) in enumerate(losses.items()):
        color = f"C{number % 10}"
        if "train" in splits:
            _draw_train(axes, *splits["train"], name, color)
        if "test" in splits:
            images, values = splits["test"]
            axes.plot(images, _finite(values), "--o", color=color, markersize=3.5, label=f"{name}, held out")
    _set_scale(axes, [values for splits in losses.values() for _, values in splits.values()])
    axes.set_title(part)
    axes.set_xlabel("images seen")
    axes.set_ylabel("nats per image")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(True, alpha=0.25)
    axes.legend(fontsize=8, framealpha=0.85)


def _draw_scores(axes: Any, scores: Mapping[str, Line]) -> None:
    from matplotlib.ticker import EngFormatter

    for name, (images, values) in scores.items():
        axes.plot(images, _finite(values), "-o", markersize=3.5, label=name)
    _set_scale(axes, [values for _, values in scores.values()])
    axes.set_title("Fréchet distance to held-out images")
    axes.set_xlabel("images seen")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(True, alpha=0.25)
    axes.legend(fontsize=8, framealpha=0.85)


def _draw_train(axes: Any, images: NDArray[np.float64], values: NDArray[np.float64], name: str, color: str) -> None:
    if len(values) < _SMOOTHED_FROM:
        marker = "." if len(values) < 3 else None
        axes.plot(images, _finite(values), color=color, marker=marker, label=name)
        return
    axes.plot(images, _finite(values), color=color, alpha=0.25, linewidth=0.8)
    axes.plot(images, running_mean(values, len(values) // 30 | 1), color=color, label=name)


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isfinite(values), values, np.nan)


def _set_scale(axes: Any, lines: Iterable[NDArray[np.float64]]) -> None:
    values = np.concatenate([line[np.isfinite(line)] for line in lines])
    sizes = np.abs(values[values != 0.0])
    if len(sizes) == 0:
        return
    low, high = np.percentile(sizes, 2), sizes.max()
    if high / low <= _WILD:
        return
    if (values > 0).all():
        axes.set_yscale("log")
    else:
        axes.set_yscale("symlog", linthresh=10.0 ** math.floor(math.log10(max(low, high * 1e-4))))
