"""Loss curves and the last numbers of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...config import PARTS
from ..curves import Line, Lines, collect_lines
from .blocks import Block, Fold, Note, Section, Table
from .chart import draw_chart

TEXT = (
    "Losses of each part over the images seen, in nats per image: sums over pixels, features or dimensions, means over "
    "the batch. Solid: training; a faint line is what was recorded, a strong one its running mean. Dashed: held-out "
    "images. The feature loss (llike) may rise while images get better, because the features move."
)


def losses_section(records: Iterable[Mapping[str, Any]]) -> Section:
    """Return a chart for each part out of the records of `metrics.jsonl`, and a table of the last values."""
    lines = collect_lines(records)
    parts = [part for part in PARTS if part in lines]
    charts = [draw_chart(part, f"Losses of the {part}, in nats per image.", _lines(lines[part])) for part in parts]
    if not any(charts):
        return Section("Losses", [Note("No losses are recorded yet.")])
    blocks: list[Block] = [chart for chart in charts if chart]
    return Section("Losses", [*blocks, Fold("The last values", [_table(parts, lines)])], TEXT)


def _lines(losses: Mapping[str, Mapping[str, Line]]) -> list[tuple[str, int, bool, Line]]:
    found = []
    for colour, (name, splits) in enumerate(losses.items()):
        for split, label in (("train", name), ("test", "held out")):
            if split in splits:
                found.append((label, colour, split == "test", splits[split]))
    return found


def _table(parts: Sequence[str], lines: Lines) -> Table:
    rows = [
        (f"{part} {name}", *(_last(splits.get(split)) for split in ("train", "test")))
        for part in parts
        for name, splits in lines[part].items()
    ]
    return Table("The last recorded losses, in nats per image.", ("loss", "training", "held out"), rows)


def _last(line: Line | None) -> str:
    return "–" if line is None else f"{line[1][-1]:.4g}"
