"""Tables of models side by side: figures with their intervals, and which model is best.

The same cells make the page's tables and the Markdown for a README.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from ..evaluation.comparison import ComparedModel, FigureGroup, FigureRow, spreads
from ..evaluation.measure import too_few
from ..evaluation.seed_groups import Verdict
from ..metrics.figures import BETTER, GROUPS, Figure, info_of, plain, prior_in_words, shown_in
from ..progress import duration
from .content import Block, Cell, Fold, Matrix

REAL = GROUPS["yardstick"]


def head_of(group: FigureGroup) -> str:
    """Return the heading of a group."""
    return GROUPS[group.of].capitalize() + (f", prior {group.prior}" if group.prior else "")


def summary_rows(group: FigureGroup) -> list[FigureRow]:
    """Return the rows of a group that the short table shows."""
    rows = {row.name: row for row in group.rows}
    return [rows[name] for name in shown_in("summary", group.of) if name in rows]


def summary_groups(groups: Sequence[FigureGroup]) -> list[FigureGroup]:
    """Return the groups that the short table shows: of samples the first, those of the default priors."""
    first = next((group for group in groups if group.of == "samples"), None)
    return [group for group in groups if summary_rows(group) and (group is first or group.of != "samples")]


def matrix_of(caption: str, rows: Sequence[FigureRow], models: Sequence[ComparedModel]) -> Matrix:
    """Return rows as a block: a column of the baseline if any have it, of each model, and of which is best."""
    names = [model.name for model in models]
    has_real = not all(math.isnan(row.real) for row in rows)
    cells = [
        (
            info_of(row.name).title,
            f"{BETTER[row.better]} is better" if row.better else "",
            [*([_real(row)] if has_real else []), *cells_of(row), Cell(in_words(row.verdict, names))],
        )
        for row in rows
    ]
    return Matrix(caption, ["metric", *([REAL] if has_real else []), *names, "best"], cells)


def spread_matrices(groups: Sequence[FigureGroup], models: Sequence[ComparedModel]) -> Iterator[Block]:
    """Yield the spread over seeds of each group that has one: figures of the short table, then all in a fold."""
    for group, rows in spreads(groups):
        summary = [row for row in rows if row.name in shown_in("summary", group.of)]
        if summary:
            yield matrix_of(f"{head_of(group)}: standard deviation over seeds", summary, models)
        yield Fold(f"{head_of(group)}: all standard deviations ({len(rows)})", [matrix_of("", rows, models)])


def in_words(verdict: Verdict, names: Sequence[str]) -> str:
    """Return which model is best, or whose intervals overlap; a dash where nothing can be said."""
    if verdict.best is not None:
        return names[verdict.best]
    if not verdict.overlapping:
        return "–"
    return f"no clear winner ({', '.join(names[i] for i in verdict.overlapping)})"


def verdict_of(groups: Sequence[FigureGroup], models: Sequence[ComparedModel]) -> str:
    """Say which of several models is best, by Fréchet distance and metric by metric; nothing about one model."""
    if not models[1:]:
        return ""
    rows = [row for group in summary_groups(groups) if group.of != "cost" for row in summary_rows(group) if row.better]
    few = _too_few(models)
    wins = Counter(models[row.verdict.best].name for row in rows if row.verdict.best is not None)
    undecided = sum(bool(row.verdict.overlapping) for row in rows)
    counts = [f"{name} {num}" for name, num in wins.most_common()] + ([f"undecided {undecided}"] if undecided else [])
    sentences = [few] if few else list(_conclusions(groups, models))
    what = "other metrics" if few else "metric by metric"
    return " ".join([*sentences, *([f"Clear wins, {what}: {', '.join(counts)}."] if counts else [])])


def _too_few(models: Sequence[ComparedModel]) -> str:
    """Say that there are too few held-out images to conclude by Fréchet distance; '' if there are enough."""
    few = too_few(models[0].runs[0].evaluation["data"], "conclude by Fréchet distance")
    return few and f"{few}."


def _conclusions(groups: Sequence[FigureGroup], models: Sequence[ComparedModel]) -> Iterator[str]:
    """Yield which model is best at reconstructions and at samples by the first figure, or whose intervals overlap."""
    for group in summary_groups(groups):
        row = summary_rows(group)[0]
        has_several = sum(math.isfinite(figure.mean.value) for figure in row.models) > 1
        if group.of == "reconstructions" or (group.of == "samples" and has_several):
            best, near = row.verdict.best, [models[i].name for i in row.verdict.overlapping]
            head, by = head_of(group), f"by {info_of(row.name).title}"
            if best is not None:
                yield f"{head}: {models[best].name} is best {by}."
            elif near:
                yield f"{head}: no clear winner {by}; the intervals of {', '.join(near[:-1])} and {near[-1]} overlap."
            else:
                yield f"{head}: nothing to conclude {by}; two models with intervals are needed."


def short_table(
    groups: Sequence[FigureGroup], models: Sequence[ComparedModel], marked: str = "{} *"
) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of the summary, each figure with its interval in brackets, a clear winner as ``marked``."""
    rows = []
    for group in summary_groups(groups):
        prefix = "" if group.of == "cost" else f"{head_of(group)}: "
        for row in summary_rows(group):
            cells = [_real(row), *cells_of(row)]
            rows.append([prefix + info_of(row.name).title, *(cell_text(cell, marked) for cell in cells)])
    return ["metric", REAL, *(model.name for model in models)], rows


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], align: str = "---") -> str:
    """Return a table in Markdown, columns after the first aligned as said."""
    lines = [head, ["---", *[align] * (len(head) - 1)], *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def markdown_of(groups: Sequence[FigureGroup], models: Sequence[ComparedModel]) -> str:
    """Return the short table in Markdown, a clear winner in bold; below it what was measured."""
    return f"{markdown_table(*short_table(groups, models, '**{}**'))}\n{about(models)}\n"


def about(models: Sequence[ComparedModel]) -> str:
    """Describe what was measured: runs, images, features, intervals and priors."""
    first = models[0].runs[0].evaluation
    runs = ", ".join(f"{model.name} {len(model.runs)}" for model in models)
    num = first["yardstick"]["frechet_distance"]["num"]
    return (
        f"Runs: {runs}. {first['data']['num']:,} held-out images of {first['data']['name']}, {num:,} samples, seed "
        f"{first['seed']}, features of {first['extractor']['name']}. The {REAL} is training images measured in place "
        "of samples. In brackets: 95 % intervals, over seeds where a model has several runs, else over images. "
        f"Bold: a clear winner, whose interval overlaps with no other. Default priors: {default_priors(models)}. "
        f"{_too_few(models)}"
    ).strip()


def default_priors(models: Sequence[ComparedModel]) -> str:
    """Return the default prior of each model as text."""
    priors = [
        (model.name, dict.fromkeys(prior_in_words(run.prior, run.evaluation) for run in model.runs if run.prior))
        for model in models
    ]
    return "; ".join(f"{name}: {' or '.join(of_runs)}" for name, of_runs in priors if of_runs) or "none"


def cell_text(cell: Cell, marked: str) -> str:
    """Return a cell as text, the interval in brackets."""
    text = marked.format(cell.text) if cell.is_best else cell.text
    return f"{text} ({cell.under})" if cell.under else text


def _real(row: FigureRow) -> Cell:
    return Cell("–" if math.isnan(row.real) else _writer(row.name)(row.real))


def cells_of(row: FigureRow) -> list[Cell]:
    """Return a row's cells, a model each; the best one is marked."""
    return [cell_of(row.name, figure.mean, row.verdict.best == i) for i, figure in enumerate(row.models)]


def cell_of(name: str, figure: Figure, is_best: bool = False) -> Cell:
    """Return a figure with its interval, in as many digits as that makes certain."""
    if not math.isfinite(figure.value):
        return Cell("–")
    write = _writer(name)
    if not figure.low < figure.high:
        return Cell(write(figure.value), is_best=is_best)
    if write is plain:
        write = partial(_fixed, decimals=decimals_for(figure.value, figure.low, figure.high))
    return Cell(write(figure.value), f"{write(figure.low)} to {write(figure.high)}", is_best)


def decimals_for(value: float, low: float, high: float) -> int:
    """Return how many decimals show two digits of the narrower side of an interval; a side of no width has none."""
    sides = [side for side in (value - low, high - value) if side > 1e-3 * (high - low)]
    return max(0, min(6, 1 - math.floor(math.log10(min(sides)))))


def _fixed(value: float, decimals: int) -> str:
    text = f"{value:,.{decimals}f}"
    return text if text.strip("-0.") else text.lstrip("-")


def _large(value: float) -> str:
    """Return a large number: 312 M, 1.25 G."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f}"


_WRITERS: dict[str, Callable[[float], str]] = {
    "": plain,
    "s": lambda value: duration(max(value, 0.0)),
    "FLOPs": _large,
    "count": lambda value: f"{max(value, 0.0):,.0f}",
}


def _writer(name: str) -> Callable[[float], str]:
    return _WRITERS[info_of(name).unit]
