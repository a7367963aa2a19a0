"""The page of several models side by side: pictures and figures of all, section by section."""

import contextlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..errors import UserError
from ..evaluation.comparison import FigureGroup
from ..report.grid import Bytes, grid
from ..runs.compared_runs import Comparison
from ..runs.opened import OpenedRun
from ..settings import KINDS
from ..views.reconstructions import reconstructions
from ..views.samples import samples
from ..views.view import View
from . import comparison_tables as tables
from .comparison_tables import head_of, summary_groups, summary_rows
from .content import Block, Cell, Facts, Fold, Matrix, Note, Section
from .render import named_strips, picture, render_page

NUM_ORIGINALS, NUM_WORST = 12, 8
NUM_SAMPLES, LINES = 24, 2
_ABOUT = {
    "samples": "As many samples of each model as the real-data baseline has training images.",
    "reconstructions": "Held-out images, encoded and decoded.",
    "likelihood": "Likelihood of held-out images under each model: Gaussian pixels around the decoder's output, or "
    "Bernoulli pixels for binarised data.",
    "codes": "How well simple classifiers predict labels from the codes.",
    "cost": "Time is that of each training run, without snapshots, on the machine it ran on. FLOPs count matrix "
    "products and convolutions, two for each multiply-add.",
}
_INTERVALS = (
    "Below each value is its 95 % interval: over seeds (Student's t) where a model has several runs, over images "
    "(bootstrap) where it has one, which does not account for other seeds. ★ marks a clear winner, whose interval "
    "overlaps with no other; otherwise the models whose intervals overlap the best one's are listed. Where an interval "
    "cannot be computed, none is shown."
)
_SPREAD = "Standard deviations over the runs of a model, with 95 % intervals: lower means less dependence on the seed."


def comparison_page(comparison: Comparison, seed: int) -> str:
    """Return the HTML; the seed chooses images and samples."""
    first = comparison.models[0].runs[0].evaluation
    facts = Facts([
        ("data", str(first["data"]["name"])),
        ("held-out images", f"{first['data']['num']:,}"),
        ("samples", f"{first['yardstick']['frechet_distance']['num']:,}"),
        ("feature extractor", str(first["extractor"]["name"])),
        ("seed", str(first["seed"])),
    ])  # fmt: skip
    names = [model.name for model in comparison.models]
    title = f"{', '.join(names[:-1])} and {names[-1]}" if names[1:] else names[0]
    num = sum(len(model.runs) for model in comparison.models)
    models = f"{len(names)} model{'s' if len(names) > 1 else ''}"
    lead = f"{num} runs of {models}, with the same images, counts and seeds for all."
    lead = " ".join(filter(None, (lead, tables.verdict_of(comparison.groups, comparison.models), comparison.answer)))
    return render_page(title, lead, facts, _sections(comparison, seed), "vaegan compare")


def _sections(comparison: Comparison, seed: int) -> list[Section]:
    """Return pictures (of samples those of the default priors), the short table, and all else folded."""
    models, groups = comparison.models, comparison.groups
    pictured = {group.of: group for group in reversed(groups) if group.of in ("samples", "reconstructions")}
    details = [_details(comparison, group, seed, group in pictured.values()) for group in groups]
    summary = [tables.matrix_of(head_of(group), summary_rows(group), models) for group in summary_groups(groups)]
    if spread := list(tables.spread_matrices(groups, models)):
        details.append(Fold("Spread over seeds", [Note(_SPREAD), *spread]))
    return [
        *(Section(head_of(group), _pictures(comparison, group, seed)) for group in pictured.values()),
        Section("Summary", [*summary, Note(_INTERVALS)]),
        Section("Details", [*details, _runs(comparison)]),
    ]


def _pictures(comparison: Comparison, group: FigureGroup, seed: int) -> list[Block]:
    if group.of == "samples":
        return [_samples(comparison, group.prior, seed), *_missing(comparison, group)]
    return [_reconstructions(comparison, seed), *_missing(comparison, group), *_errors(comparison, seed)]


def _details(comparison: Comparison, group: FigureGroup, seed: int, is_pictured: bool) -> Fold:
    about = _ABOUT[group.of]
    if group.of == "samples" and not group.prior:
        about += f" Default priors, which fit the codes best: {tables.default_priors(comparison.models)}."
    blocks: list[Block] = [Note(about)]
    if not is_pictured:
        blocks += _pictures(comparison, group, seed) if group.of == "samples" else _missing(comparison, group)
    blocks.append(tables.matrix_of("", group.rows, comparison.models))
    return Fold(f"{head_of(group)}: all metrics ({len(group.rows)})", blocks)


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
    rows = {"original": comparison.runs[0][0].shown(comparison.runs[0][0].originals(images))}
    return _strips(comparison, rows, lambda run: _shown(comparison, reconstructions(run, images)).pictures[0], caption)


def _errors(comparison: Comparison, seed: int) -> list[Block]:
    """Return the mean errors of each model by pixel, in one scale, and the images that it reconstructs worst."""
    maps = {model.name: model.values["error_map"] for model in comparison.models if model.values}
    num, peak = comparison.models[0].runs[0].evaluation["data"]["num"], max(float(each.max()) for each in maps.values())
    scale = f"One scale for all: black is 0, white {peak:.3g}"
    about = f"Where the errors lie: MSE of each pixel over {num:,} held-out images (and all runs of a model). {scale}."
    blocks: list[Block] = [Note(about)]
    for name, each in maps.items():
        pixels = (each / (peak or 1.0) * 255).round().nan_to_num().numpy().astype(np.uint8)[None, :, :, None]
        caption = f"{name}: mean {float(each.mean()):.3g}, highest {float(each.max()):.3g}"
        blocks.append(picture(grid(pixels, scale=max(1, 200 // max(each.shape))), f"Errors of {name}", caption))
    rows, images = {}, comparison.data.test.some(num, seed)
    for model, runs in zip(comparison.models, comparison.runs, strict=True):
        if model.values:
            worst = model.values["mse"].argsort(descending=True, stable=True)[:NUM_WORST]
            view = _shown(comparison, reconstructions(runs[0], images.take(worst.numpy())))
            assert view.original_pictures is not None
            rows[model.name] = np.concatenate([view.original_pictures[0], view.pictures[0]])
    caption = f"The {min(num, NUM_WORST)} images of highest MSE of each model, above their reconstructions."
    return [*blocks, named_strips(rows, caption + _first_of_several(comparison), lines=2)]


def _samples(comparison: Comparison, prior: str, seed: int) -> Block:
    caption = f"{NUM_SAMPLES} samples of each model, drawn with the same seed."

    def make(run: OpenedRun) -> Bytes:
        if run.model().image_shape != comparison.data.image_shape:
            raise UserError("samples have the model's own size")
        images: Bytes = _shown(comparison, samples(run, NUM_SAMPLES, seed, prior or None)).pictures[0]
        return images

    return _strips(comparison, {}, make, caption, LINES)


def _shown(comparison: Comparison, view: View) -> View:
    """Return a view with the bands of the first run."""
    return replace(view, shown=replace(view.shown, bands=comparison.runs[0][0].shown.bands))


def _strips(
    comparison: Comparison, rows: dict[str, Bytes], make: Callable[[OpenedRun], Bytes], caption: str, lines: int = 1
) -> Block:
    """Return a row of images of each model that has the parts; of several runs the first that has them."""
    for model, runs in zip(comparison.models, comparison.runs, strict=True):
        for run in runs:
            with contextlib.suppress(UserError):  # a note says what is missing
                rows[model.name] = make(run)
                break
    return named_strips(rows, caption + _first_of_several(comparison), lines)


def _first_of_several(comparison: Comparison) -> str:
    several = any(len(model.runs) > 1 for model in comparison.models)
    return " Where a model has several runs, the first that has them is shown." if several else ""


def _runs(comparison: Comparison) -> Fold:
    rows = []
    for model, opened in zip(comparison.models, comparison.runs, strict=True):
        for measured, run in zip(model.runs, opened, strict=True):
            recipe, kind = run.config.recipe if run.config else "–", KINDS[run.model().kind].title
            images = run.model().info.get("images")
            seed = "–" if measured.seed is None else str(measured.seed)
            texts = (model.name, recipe, kind, seed, "–" if images is None else f"{images:,}")
            rows.append((run.name, "", [Cell(text) for text in texts]))
    head = ("run", "model", "recipe", "kind", "seed", "images seen")
    return Fold("Runs", [Note("Runs with equal settings but for the seed count as one model."), Matrix("", head, rows)])
