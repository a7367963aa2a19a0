"""The page of several models side by side: pictures and figures of all, section by section."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..config import KINDS
from ..errors import UserError
from ..evaluation.comparison import FigureGroup
from ..report.grid import Bytes
from ..runs.compared_runs import Comparison
from ..runs.opened import OpenedRun
from ..views.reconstructions import reconstructions
from ..views.samples import samples
from .comparison_tables import default_priors, head_of, matrix_of, spread_matrices, summary_groups, summary_rows
from .content import Block, Facts, Fold, Note, Section, Table
from .render import render_page, strips

NUM_ORIGINALS = 12
NUM_SAMPLES, LINES = 24, 2
_ABOUT = {
    "samples": "As many samples of each model as the real-data baseline has training images.",
    "reconstructions": "Held-out images, encoded and decoded.",
    "likelihood": "Likelihood of held-out images under each model, with pixels Gaussian around the decoded code.",
    "codes": "How well simple classifiers predict labels from the codes.",
    "cost": "Time is that of each training, without snapshots, on the machine it ran on. FLOPs count matrix products "
    "and convolutions, two for each multiply-add.",
}
_INTERVALS = (
    "Below each figure is its interval of 95 %: over seeds (Student's t) where a model has several runs, over images "
    "(bootstrap) where it has one, which does not account for other seeds. ★ marks a clear winner, whose interval "
    "overlaps with no other; otherwise the models whose intervals overlap with that of the best mean are named. An "
    "interval of no width counts as unknown."
)
_SPREAD = "Standard deviations over the runs of a model, with 95 % intervals: lower means less dependence on the seed."


def comparison_page(comparison: Comparison, seed: int) -> str:
    """Return the HTML; the seed chooses images and samples."""
    first = comparison.models[0].runs[0].evaluation
    facts = Facts(
        [
            ("data", str(first["data"]["name"])),
            ("held-out images", f"{first['data']['num']:,}"),
            ("samples", f"{first['yardstick']['frechet_distance']['num']:,}"),
            ("features of", str(first["extractor"]["name"])),
            ("seed", str(first["seed"])),
        ]
    )
    names = [model.name for model in comparison.models]
    title = f"{', '.join(names[:-1])} and {names[-1]}" if names[1:] else names[0]
    num = sum(len(model.runs) for model in comparison.models)
    lead = f"{_count(num, 'run')} of {_count(len(names), 'model')}, with the same images, counts and seeds for all."
    return render_page(title, lead, facts, _sections(comparison, seed), "vaegan compare")


def _count(num: int, what: str) -> str:
    return f"{num} {what}" if num == 1 else f"{num} {what}s"


def _sections(comparison: Comparison, seed: int) -> list[Section]:
    models, groups = comparison.models, comparison.groups
    summary = [matrix_of(head_of(group), summary_rows(group), models) for group in summary_groups(groups)]
    spread = list(spread_matrices(groups, models)) or [Note("No model has several runs that differ in seed alone.")]
    return [
        Section("Summary", summary, _INTERVALS),
        *(_group_section(comparison, group, seed) for group in groups),
        Section("Spread over seeds", spread, _SPREAD),
        _runs(comparison),
    ]


def _group_section(comparison: Comparison, group: FigureGroup, seed: int) -> Section:
    """Return the pictures and figures of a group; these folded if the summary shows some of them."""
    blocks: list[Block] = []
    text = _ABOUT[group.of]
    if group.of == "samples":
        blocks.append(_samples(comparison, group.prior, seed))
        if not group.prior:
            text += f" Default priors, which fit the codes best: {default_priors(comparison.models)}."
    elif group.of == "reconstructions":
        blocks.append(_reconstructions(comparison, seed))
    table: Block = matrix_of("", group.rows, comparison.models)
    if summary_rows(group) and group.of != "cost":
        table = Fold(f"All figures ({len(group.rows)})", [table])
    return Section(head_of(group), [*blocks, table, *_missing(comparison, group)], text)


def _missing(comparison: Comparison, group: FigureGroup) -> list[Note]:
    """Return why some models do not have these figures."""
    notes: dict[str, None] = {}
    runs = [(model.name, run) for model in comparison.models for run in model.runs]
    for name, run in runs if group.of != "cost" else ():
        if not run.figures(group.of, group.prior):
            left_out = run.evaluation["left_out"]
            why = left_out.get(group.name) or left_out.get(group.of) or f"it has no prior {group.prior}".rstrip()
            notes[f"{name} is left out: {why}."] = None
    return [Note(words) for words in notes]


def _reconstructions(comparison: Comparison, seed: int) -> Block:
    images = comparison.data.test.some(NUM_ORIGINALS, seed)
    caption = f"{len(images)} held-out images, and each model's reconstructions of them."
    rows = {"original": images.images}
    return _strips(comparison, rows, lambda run: reconstructions(run, images).images[0], caption)


def _samples(comparison: Comparison, prior: str, seed: int) -> Block:
    caption = f"{NUM_SAMPLES} samples of each model, drawn with the same seed."
    return _strips(comparison, {}, lambda run: samples(run, NUM_SAMPLES, seed, prior or None).images[0], caption, LINES)


def _strips(
    comparison: Comparison, rows: dict[str, Bytes], make: Callable[[OpenedRun], Bytes], caption: str, lines: int = 1
) -> Block:
    """Return a row of images of each model that has the parts; of several runs the first."""
    for model, runs in zip(comparison.models, comparison.runs, strict=True):
        try:
            rows[model.name] = make(runs[0])
        except UserError:  # a note says what is missing
            continue
    if any(len(model.runs) > 1 for model in comparison.models):
        caption += " Of several runs the first is shown."
    alts = [f"Images of {name}" for name in rows]
    return strips(np.stack(list(rows.values())), caption, alts, list(rows), lines=lines)


def _runs(comparison: Comparison) -> Section:
    rows: list[Sequence[str]] = []
    for model, opened in zip(comparison.models, comparison.runs, strict=True):
        for measured, run in zip(model.runs, opened, strict=True):
            recipe, kind = run.config.recipe if run.config else "–", KINDS[run.model().kind].title
            images = run.model().info.get("images")
            seed = "–" if measured.seed is None else str(measured.seed)
            rows.append((run.name, model.name, recipe, kind, seed, "–" if images is None else f"{images:,}"))
    head = ("run", "model", "recipe", "kind", "seed", "images seen")
    return Section("Runs", [Table("", head, rows)], "Runs with equal settings but for the seed count as one model.")
