"""Losses and scores of a run over images seen: sorted out of its records, as charts, and as `losses.png`."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files import written_beside
from ..settings import PARTS, PHASES
from .chart import BOTTOM, LEFT, RIGHT, TOP, Chart, Line, draw_chart

Lines = dict[str, dict[str, dict[str, Line]]]
SCORES = {"frechet_samples": "samples", "frechet_reconstructions": "reconstructions", "score": "sum"}


def loss_charts(records: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """Return a chart of the losses of each network; held-out losses are dashed, in the colour of the training loss."""
    lines, marks = collect_lines(records), phase_marks(records)
    charts = (
        draw_chart(part, f"Losses of the {part}, in nats per image.", _of_part(lines[part]), marks)
        for part in PARTS
        if part in lines
    )
    return [chart for chart in charts if chart]


def score_chart(records: Sequence[Mapping[str, Any]]) -> Chart | None:
    """Return a chart of the scores of snapshots; None if there are none."""
    scores = _collect(records, "scores")
    lines = [(SCORES.get(name, name), i, False, line_of(points)) for i, (name, points) in enumerate(scores.items())]
    return draw_chart("score", "Fréchet distance to held-out images.", lines, phase_marks(records))


def rate_chart(records: Sequence[Mapping[str, Any]]) -> Chart | None:
    """Return a chart of the learning rates, one line for networks with equal rates; None if they never change."""
    names: dict[tuple[tuple[int, float], ...], list[str]] = {}
    for part, points in _collect(records, "lr").items():
        names.setdefault(tuple(sorted(points.items())), []).append(part)
    if all(len({rate for _, rate in points}) == 1 for points in names):
        return None
    lines = [(", ".join(parts), i, False, line_of(dict(points))) for i, (points, parts) in enumerate(names.items())]
    caption = "Learning rate of each network."
    return draw_chart("learning rate", caption, lines, phase_marks(records), from_zero=True, is_exact=True)


def phase_marks(records: Iterable[Mapping[str, Any]]) -> list[tuple[int, str]]:
    """Return the images seen at which a run began to train something else, with its title."""
    known = (r for r in records if r.get("split") == "train" and str(r.get("phase")) in PHASES and "images" in r)
    phases = sorted((int(record["images"]), record["phase"]) for record in known)
    return [(at, PHASES[new].title) for (at, old), (_, new) in itertools.pairwise(phases) if old != new]


def _of_part(losses: Mapping[str, Mapping[str, Line]]) -> list[tuple[str, int, bool, Line]]:
    return [
        (label, colour, split == "test", splits[split])
        for colour, (name, splits) in enumerate(losses.items())
        for split, label in (("train", name), ("test", "held out"))
        if split in splits
    ]


def draw_losses(records: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Draw `losses.png` from the records of `metrics.jsonl`.

    Records have "images" (images seen), "split" ("train" or "test") and "losses", which maps parts to losses by name,
    in nats per image; those of snapshots may have "scores" by name, which get a panel too. All else is ignored. Of
    several records with the same number of images, as a resumed run may leave them, the last one counts.
    """
    from matplotlib.figure import Figure

    records = list(records)
    charts: Sequence[Chart] = [chart for chart in (*loss_charts(records), score_chart(records)) if chart]
    num_panels = max(1, len(charts))
    figure = Figure(figsize=(5.6 * num_panels, 4.2), dpi=110, layout="constrained")
    panels = figure.subplots(1, num_panels, squeeze=False)[0]
    for chart, axes in zip(charts, panels, strict=False):
        _draw(axes, chart)
    if not charts:
        panels[0].set_axis_off()
        panels[0].text(0.5, 0.5, "no losses recorded yet", ha="center", va="center")
    with written_beside(path) as beside:
        figure.savefig(beside, format="png")


def _draw(axes: Any, chart: Chart) -> None:
    from matplotlib.lines import Line2D

    for line in chart.lines:
        color = f"C{line.colour % 10}"
        if line.raw_points:
            axes.plot(*zip(*line.raw_points, strict=True), color=color, alpha=0.25, linewidth=0.8)
        marker = "o" if line.is_dashed else "." if len(line.points) < 3 else None
        style = "--" if line.is_dashed else "-"
        label = None if line.is_dashed else line.name
        axes.plot(*zip(*line.points, strict=True), style, color=color, marker=marker, markersize=3.5, label=label)
    handles, _ = axes.get_legend_handles_labels()
    if any(line.is_dashed for line in chart.lines):
        handles.append(Line2D([], [], linestyle="--", color="grey", marker="o", markersize=3.5, label="held out"))
    axes.set(xlim=(LEFT, RIGHT), ylim=(BOTTOM, TOP), title=chart.caption, xlabel="images seen")
    axes.set_xticks(*zip(*chart.x_ticks, strict=True))
    axes.set_yticks(*zip(*chart.y_ticks, strict=True))
    for x, text in chart.marks:
        axes.axvline(x, color="grey", linestyle=":", linewidth=1)
        axes.text(x, TOP + 4, f" {text}", fontsize=8, va="top")
    axes.grid(True, alpha=0.25)
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3, fontsize=8, frameon=False)


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
        part: {name: {split: line_of(line) for split, line in splits.items()} for name, splits in names.items()}
        for part, names in points.items()
    }


def _collect(records: Iterable[Mapping[str, Any]], key: str) -> dict[str, dict[int, float]]:
    """Return the numbers under a key of the records by their names, and by images."""
    points: dict[str, dict[int, float]] = {}
    for record in records:
        values = record.get(key)
        for name, value in values.items() if isinstance(values, Mapping) else ():
            if isinstance(value, int | float):
                points.setdefault(name, {})[record["images"]] = float(value)
    return points


def line_of(points: Mapping[int, float]) -> Line:
    """Return values by images seen as a line, ordered by images."""
    images = sorted(points)
    return np.array(images, dtype=float), np.array([points[i] for i in images], dtype=float)
