"""Models side by side, in words and cells: what each figure is called, how its numbers are written, who is best.

The same cells make the page's tables and the Markdown for a README.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from ..evaluation.comparison import Compared, Group, Row, spreads
from ..evaluation.ranking import Verdict
from ..evaluation.seeds import Combined
from ..metrics.titles import title_of
from .content import Block, Cell, Fold, Matrix
from .run_sections import duration

REAL = "real images"
BEST = "best"
_ARROWS = {"low": "lower is better", "high": "higher is better", "real": "better near to real images"}
_HEADS = {
    "samples": "Samples",
    "reconstructions": "Reconstructions",
    "likelihood": "Likelihood",
    "codes": "Codes",
    "cost": "Cost",
}
MAIN = {
    "samples": ("frechet_distance", "coverage", "rarest_share", "sharpness"),
    "reconstructions": ("frechet_distance", "feature_distance", "mse", "sharpness"),
    "cost": ("training_seconds", "training_operations"),
}
"""Figures of the short table."""


def head_of(group: Group) -> str:
    """Return the heading of a group."""
    return _HEADS[group.of] + (f" of prior {group.prior}" if group.prior else "")


def main_rows(group: Group) -> list[Row]:
    """Return the rows of a group that the short table shows, in its order."""
    there = {row.figure: row for row in group.rows}
    return [there[name] for name in MAIN.get(group.of, ()) if name in there]


def main_groups(groups: Sequence[Group]) -> list[Group]:
    """Return the groups that the short table shows: of samples the first, those of each model's own prior."""
    first = next((group for group in groups if group.of == "samples"), None)
    return [group for group in groups if group is first or (group.of in MAIN and group.of != "samples")]


def matrix_of(caption: str, rows: Sequence[Row], models: Sequence[Compared]) -> Matrix:
    """Return rows as a block: a column of real images if any have it, of each model, and of who is best."""
    names = [model.name for model in models]
    has_real = any(row.real is not None for row in rows)
    cells = [
        (
            title_of(row.figure),
            _ARROWS[row.better] if row.better else "",
            [*_real(row, has_real), *_cells(row), Cell(in_words(row.verdict, names))],
        )
        for row in rows
    ]
    return Matrix(caption, ["figure", *([REAL] if has_real else []), *names, BEST], cells)


def spread_matrices(groups: Sequence[Group], models: Sequence[Compared]) -> Iterator[Block]:
    """Yield the spread over seeds of each group that has one: its main figures, then all in a fold."""
    for group, rows in spreads(groups):
        main = [row for row in rows if row.figure in MAIN.get(group.of, ())]
        if main:
            yield matrix_of(f"{head_of(group)}: standard deviation over seeds", main, models)
        yield Fold(f"{head_of(group)}, all spreads ({len(rows)})", [matrix_of("", rows, models)])


def in_words(verdict: Verdict, names: Sequence[str]) -> str:
    """Return who is best, or whose intervals overlap; nothing where nothing can be said."""
    if verdict.best is not None:
        return names[verdict.best]
    if not verdict.overlapping:
        return "–"
    return f"open between {', '.join(names[i] for i in verdict.overlapping)}"


def short_table(
    groups: Sequence[Group], models: Sequence[Compared], marked: str = "{} *"
) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of the main figures of all groups as text, each with its interval in brackets.

    Args:
        groups: from `compare`.
        models: that were compared.
        marked: how the best is written where intervals do not overlap.
    """
    rows = []
    for group in main_groups(groups):
        prefix = "" if group.of == "cost" else f"{head_of(group)}: "
        for row in main_rows(group):
            cells = [*_real(row, True), *_cells(row)]
            rows.append([prefix + title_of(row.figure), *(_text(cell, marked) for cell in cells)])
    return ["figure", REAL, *(model.name for model in models)], rows


def markdown_of(groups: Sequence[Group], models: Sequence[Compared]) -> str:
    """Return the short table in Markdown, the best in bold where intervals do not overlap; below it what it is of."""
    head, rows = short_table(groups, models, "**{}**")
    table = "".join("| " + " | ".join(line) + " |\n" for line in [head, ["---"] * len(head), *rows])
    return f"{table}\n{about(models)}\n"


def about(models: Sequence[Compared]) -> str:
    """Say how many runs and images figures are of, made by what, and what intervals and priors they have."""
    found = models[0].members[0].evaluation
    runs = ", ".join(f"{model.name} {len(model.members)}" for model in models)
    num = found["yardstick"]["frechet_distance"]["num"]
    return (
        f"Runs: {runs}. {found['data']['num']:,} held-out images of {found['data']['name']}, {num:,} samples, seed "
        f"{found['seed']}, features of {found['extractor']['name']}; real images are training images in place of "
        "samples. In brackets intervals of 95 %, over seeds where there are several runs, else over images; bold is "
        f"what overlaps with no other. Priors: {own_priors(models) or 'none'}."
    )


def own_priors(models: Sequence[Compared]) -> str:
    """Return which prior each model draws from if none is named."""
    own = [(model.name, dict.fromkeys(one.prior for one in model.members if one.prior)) for model in models]
    return "; ".join(f"{name}: {' or '.join(priors)}" for name, priors in own if priors)


def _text(cell: Cell, marked: str) -> str:
    text = marked.format(cell.text) if cell.is_best else cell.text
    return f"{text} ({cell.under})" if cell.under else text


def _real(row: Row, has_real: bool) -> list[Cell]:
    if not has_real:
        return []
    return [Cell("–" if row.real is None else _writer(row.figure)(row.real))]


def _cells(row: Row) -> list[Cell]:
    return [cell_of(row.figure, one, row.verdict.best == i) for i, one in enumerate(row.models)]


def cell_of(name: str, one: Combined, is_best: bool) -> Cell:
    """Return a figure with its interval, in as many digits as this leaves sure."""
    if one.value is None:
        return Cell("–")
    write = _writer(name)
    if one.low is None or one.high is None or one.low == one.high:
        return Cell(write(one.value), is_best=is_best)
    if write is plain:
        write = partial(_fixed, decimals=decimals_for(one.value, one.low, one.high))
    return Cell(write(one.value), f"{write(one.low)} to {write(one.high)}", is_best)


def decimals_for(value: float, low: float, high: float) -> int:
    """Return how many decimals show two digits of the narrower side of an interval; a side of no width has none."""
    sides = [side for side in (value - low, high - value) if side > 1e-3 * (high - low)]
    return max(0, min(6, 1 - math.floor(math.log10(min(sides)))))


def _fixed(value: float, decimals: int) -> str:
    text = f"{value:,.{decimals}f}".replace("-", "−")
    return text if text.strip("−0.") else text.lstrip("−")


def plain(value: float) -> str:
    """Return a number with four digits that count."""
    return f"{value:.4g}".replace("-", "−")


def _large(value: float) -> str:
    """Return operations: 312 M, 1.25 G."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f}"


def _writer(name: str) -> Callable[[float], str]:
    if name == "training_seconds":
        return lambda value: duration(max(value, 0.0))
    if name.endswith("_operations"):
        return _large
    if name.endswith("_parameters") or name in ("images_seen", "images_per_second"):
        return lambda value: f"{max(value, 0.0):,.0f}"
    return plain
