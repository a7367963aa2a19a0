"""Sections of a run's page from its settings and records: configuration, losses, scores, health, snapshots, timing.

Records hold means over windows of images: a window of n images at v images/s took n / v seconds, without snapshots.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from ..config import Config
from ..errors import shown
from ..progress import duration
from ..recipes import RECIPES
from ..report.animation import evenly, numbered_pictures, read_picture
from ..report.chart import Line, draw_chart
from ..report.curves import Lines, collect_lines, line_of, loss_charts, phase_marks, rate_chart, score_chart
from ..settings import PARTS
from .content import Facts, Fold, Note, Section, Table
from .render import data_uri


def settings_section(config: Config) -> Section:
    """Return the settings of a run: those that differ from the defaults first, then all, group by group."""
    recipe = RECIPES.get(config.recipe)
    rows = list(_rows(config, Config(), recipe.config if recipe else None))
    differing = [row for row in rows if row[1] != row[3]]
    text = f"{len(differing)} of {len(rows)} settings differ from the defaults"
    text += f"; the recipe is {config.recipe}." if recipe else f". This version has no recipe {config.recipe}."
    blocks = [
        _fold(f"Settings that differ from the defaults ({len(differing)})", differing),
        _fold(f"All settings ({len(rows)})", rows),
    ]
    return Section("Configuration", blocks, text)


def _fold(title: str, rows: list[tuple[str, ...]]) -> Fold:
    head = ("setting", "this run", "recipe", "default")
    return Fold(title, [Table("", head, [row[:4] for row in rows], [row[4] for row in rows])])


def _rows(config: BaseModel, default: BaseModel, recipe: Any, prefix: str = "") -> Iterator[tuple[str, ...]]:
    """Yield name, value, the recipe's value, default and description of each setting, in order."""
    for name, about in type(config).model_fields.items():
        value, usual = getattr(config, name), getattr(default, name)
        of_recipe = getattr(recipe, name, None)
        if isinstance(value, BaseModel):
            yield from _rows(value, usual, of_recipe, f"{prefix}{name}.")
        else:
            in_recipe = "" if recipe is None else as_text(of_recipe)
            yield prefix + name, as_text(value), in_recipe, as_text(usual), " ".join((about.description or "").split())


def as_text(value: Any) -> str:
    """Return a value as a reader writes it; of an absolute path only the name, of an address no credentials."""
    if isinstance(value, str | Path):
        text = shown(str(value))
        rooted = re.match(r"[\\/~]|[A-Za-z]:[\\/]|file:", text)
        return "…/" + re.split(r"[\\/]+", text.rstrip("\\/"))[-1] if rooted else text
    if value is None or value == ():
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(as_text, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


TEXT = (
    "Losses of each network over images seen, in nats per image: sums over pixels, features or dimensions, means over "
    "the batch. Solid: training; the faint line is the raw values, the strong one their running mean. Dashed: held-out "
    "images."
)
_MOVING = " The feature loss (llike) may rise while images get better, because the features move."


def losses_section(records: Sequence[Mapping[str, Any]]) -> Section:
    """Return a chart for each network, one of learning rates that change, and a table of the latest values."""
    charts = loss_charts(records)
    if not charts:
        return Section("Losses", [Note("No losses recorded yet.")])
    lines = collect_lines(records)
    parts = [part for part in PARTS if part in lines]
    text = (
        TEXT
        + (_MOVING if len(parts) == len(PARTS) else "")
        + "".join(
            f" At {at:,} images the phase changes to {title}: losses of different phases cannot be compared."
            for at, title in phase_marks(records)
        )
    )
    rates = [chart] if (chart := rate_chart(records)) else []
    return Section("Losses", [*charts, *rates, Fold("Latest values", [_table(parts, lines)])], text)


def _table(parts: Sequence[str], lines: Lines) -> Table:
    rows = [
        (f"{part} {name}", *(_last(splits.get(split)) for split in ("train", "test")))
        for part in parts
        for name, splits in lines[part].items()
    ]
    return Table("Latest losses, in nats per image.", ("loss", "training", "held out"), rows)


def _last(line: Line | None) -> str:
    return "–" if line is None else f"{line[1][-1]:.4g}"


_SCORES_TEXT = (
    "Fréchet distances of samples and of reconstructions to held-out images, with the same images and seeds at each "
    "snapshot; lower is better. The model with the lowest sum is saved in best/, beside the last one."
)


def scores_section(records: Sequence[Mapping[str, Any]]) -> Section | None:
    """Return a chart of the snapshots' scores, with the best; None if there are none."""
    scored = [record for record in records if record.get("scores")]
    if not scored:
        return None
    best = min(scored, key=lambda record: record["scores"]["score"])
    facts = Facts([
        ("best", f"{best['scores']['score']:.4g}"),
        ("after", f"{best['images']:,} images"),
        ("last", f"{scored[-1]['scores']['score']:.4g}"),
    ])  # fmt: skip
    chart = score_chart(records)
    return Section("Scores", [facts, *([chart] if chart else [])], _SCORES_TEXT)


_HEALTH_TEXT = (
    "Checks made at each snapshot, from the records since the one before: whether discriminator and decoder are "
    "balanced, the code is used, both losses move the decoder, samples have every label, weights do not explode."
)
CHECK_WORDS = {
    "discriminator": "discriminator", "kl": "KL", "units": "inactive dimensions", "routes": "gradient balance",
    "modes": "label coverage", "weights": "weight norms",
}  # fmt: skip
"""How pages and logs call the checks; the words in records never change."""
_EARLIER_STATES = {"warn": "warning", "bad": "unhealthy"}  # of earlier versions' records


def state_of(finding: Mapping[str, str]) -> str:
    """Return the state of a finding in a record: ok, warning or unhealthy."""
    return _EARLIER_STATES.get(finding["state"], finding["state"])


def health_section(records: Sequence[Mapping[str, Any]]) -> Section:
    """Return the latest findings and the earlier changes, from the records of `metrics.jsonl`."""
    checked = [record for record in records if record.get("health")]
    if not checked:
        return Section("Health", [Note("No checks yet: they start at the first snapshot after 1,000 images.")])
    last = checked[-1]
    rows = [(CHECK_WORDS[f["check"]], state_of(f), f["sentence"]) for f in last["health"]]
    hints = [f["remedy"] for f in last["health"]]
    for check, why in last.get("not_checked", {}).items():
        rows.append((CHECK_WORDS[check], "not checked", why))
        hints.append("")
    now = Table(f"After {last['images']:,} images.", ("check", "state", "measured"), rows, hints)
    return Section("Health", [now, Fold("History", [_changes(checked)])], _HEALTH_TEXT)


def health_verdict(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the latest findings in a sentence, '' if there are none."""
    findings: Sequence[Mapping[str, str]] = next((r["health"] for r in reversed(records) if r.get("health")), [])
    wrong = [f"{CHECK_WORDS[f['check']]} ({state_of(f)})" for f in findings if f["state"] != "ok"]
    return f"Health: {', '.join(wrong) or 'ok'}." if findings else ""


def _changes(checked: Sequence[Mapping[str, Any]]) -> Table:
    """A row for each change of a check's state, the first state included."""
    states: dict[str, str] = {}
    rows, hints = [], []
    for record in checked:
        for f in record["health"]:
            if states.get(f["check"]) != state_of(f):
                rows.append((CHECK_WORDS[f["check"]], f"{record['images']:,}", state_of(f), f["sentence"]))
                hints.append(f["remedy"])
            states[f["check"]] = state_of(f)
    return Table("State changes.", ("check", "images seen", "state", "measured"), rows, hints)


MAX_SNAPSHOTS = 40
FRAMES_LIMIT = 8_000_000
"""Characters of all frames together."""
_FOLDERS = {
    "samples": ("Samples", "images decoded from the same random codes each time"),
    "reconstructions": ("Reconstructions", "held-out originals above their reconstructions, the same each time"),
}


@dataclass(frozen=True)
class Pane:
    """The pictures of one folder: title, caption, size in pixels, and a data URI ('' if missing) per snapshot."""

    title: str
    caption: str
    size: tuple[int, int]
    frames: Sequence[str]


@dataclass(frozen=True)
class SnapshotSlider:
    """Panes side by side under one slider over snapshots, each with a label."""

    kind: ClassVar[str] = "slider"
    labels: Sequence[str]
    panes: Sequence[Pane]


def snapshots_section(run: Path, records: Iterable[Mapping[str, Any]]) -> Section:
    """Return a slider over the grids of a run's snapshots; the records have the epoch of each."""
    folders = {name: {int(path.stem): path for path in numbered_pictures(run / name)} for name in _FOLDERS}
    folders = {name: pictures for name, pictures in folders.items() if pictures}
    if not folders:
        return Section("Snapshots over time", [Note("No snapshots yet.")])
    snapshots = sorted({images for pictures in folders.values() for images in pictures})
    chosen = evenly(snapshots, MAX_SNAPSHOTS)
    limit = FRAMES_LIMIT // (len(chosen) * len(folders))
    epochs = {record["images"]: record["epoch"] for record in records if {"images", "epoch"} <= record.keys()}
    panes = [_pane(name, pictures, chosen, limit) for name, pictures in folders.items()]
    text = "The same codes and the same held-out images at each snapshot."
    if len(chosen) < len(snapshots):
        text += f" {len(chosen)} of {len(snapshots)} snapshots are shown."
    slider = SnapshotSlider([_words(images, epochs) for images in chosen], panes)
    return Section("Snapshots over time", [Fold(f"Show the snapshots ({len(chosen)})", [slider])], text)


def _pane(name: str, pictures: Mapping[int, Path], snapshots: Sequence[int], limit: int) -> Pane:
    images = [read_picture(pictures[seen]) if seen in pictures else None for seen in snapshots]
    sizes = [(1, 1), *(image.size for image in images if image)]
    return Pane(*_FOLDERS[name], sizes[-1], [data_uri(image, limit) if image else "" for image in images])


def _words(images: int, epochs: Mapping[int, float]) -> str:
    return f"{images:,} images seen" + (f", epoch {epochs[images]:.4g}" if images in epochs else "")


def timing_section(records: Sequence[Mapping[str, Any]], config: Config | None, device: str | None = None) -> Section:
    """Return speed over the run, total time and time per epoch, device and precision."""
    pairs = []
    if config:
        t = config.train
        pairs = [("device", device or config.device), ("precision", t.precision)]
        pairs += [("memory format", t.memory_format.replace("_", " ")), ("batch", f"{t.batch_size} images")]
    line = speeds(records)
    if line is None:
        return Section("Timing", [Note("No speed recorded yet."), *([Facts(pairs)] if pairs else [])])
    seconds = float(window_seconds(line).sum())
    per_image = seconds / line[0][-1]
    epochs = next((record["epoch"] for record in reversed(records) if "epoch" in record), 0)
    per_epoch = [("per epoch", duration(seconds / epochs))] if epochs > 0 else []
    times = [("training", duration(seconds)), *per_epoch, ("mean", f"{1 / per_image:,.0f} images/s")]
    chart = draw_chart(
        "speed", "Training speed, averaged between records.", [("images/s", 0, False, line)], from_zero=True
    )
    assert chart is not None
    return Section("Timing", [Facts([*times, *pairs]), chart], "Training only, without the time for snapshots.")


def speeds(records: Sequence[Mapping[str, Any]]) -> Line | None:
    """Return images seen and images/s of each record that has them, or None; the last of repeated records counts."""
    speed_at = {
        record["images"]: record["images_per_second"]
        for record in records
        if isinstance(record.get("images"), int) and (record.get("images_per_second") or 0) > 0
    }
    return line_of(speed_at) if speed_at else None


def window_seconds(line: Line) -> NDArray[np.float64]:
    """Return the seconds that each record's window took."""
    images, speed = line
    return np.asarray(np.diff(images, prepend=0.0) / speed)
