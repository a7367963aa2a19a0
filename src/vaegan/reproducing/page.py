"""One page, and Table 2 as Markdown: what the paper shows, of these data and models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..data.dataset import ImageSet, some_of
from ..evaluation.comparison import Row
from ..evaluation.figures import Figures
from ..evaluation.seeds import combine
from ..pages import Block, Cell, Facts, Fold, Matrix, Note, Section, Table, render_page, strips
from ..pages.comparison_tables import cell_of
from . import figures, pixels, similarity
from .figures import Named
from .found import Found
from .plan import TITLES, Training, seeds_of

NUM_SAMPLES, LINES = 20, 2
NUM_IMAGES = 10
NUM_FACES, NUM_ASKED = 4, 2
_MOST_COLUMNS = 6
VAEGAN = TITLES["vaegan"]
REAL, OTHERS = "real images", "other real images"
_HEADS = {
    "cosine": "cosine, best of {}",
    "centred_cosine": "centred cosine, best of {}",
    "mse": "squared error of an attribute, of the best cosine",
    "mean_cosine": "cosine, mean of {}",
    "mean_centred_cosine": "centred cosine, mean of {}",
    "mean_mse": "squared error of an attribute, mean of {}",
}


def page_of(found: Found, trainings: Sequence[Training]) -> str:
    """Return the page's HTML.

    Args:
        found: what is known so far.
        trainings: that made it.
    """
    data = found.data
    channels, height, width = data.image_shape
    seeds = seeds_of(trainings)
    facts = Facts(
        [
            ("data", data.name),
            ("training images", f"{len(data.train):,}"),
            ("size", f"{height}x{width}x{channels}"),
            ("attributes", f"{len(data.train.attribute_names)}"),
            ("vectors asked for", f"{found.num:,}"),
            ("seeds", str(len(seeds))),
        ]
    )
    lead = (
        "VAE, GAN, VAE_Dis_l and VAE/GAN with the same networks, optimiser and images, after sections 4.1 and 4.2 of "
        "Larsen et al., Autoencoding beyond pixels using a learned similarity metric, arXiv:1512.09300."
    )
    sections = [*_plain_sections(found), *_told_sections(found), _runs(trainings)]
    return render_page("The paper's experiments", lead, facts, sections, "vaegan reproduce")


def markdown_of(found: Found) -> str:
    """Return Table 2 in Markdown, below it what it is of; bold is nearest to real images beyond doubt."""
    head, rows = _table(found, similarity.MAIN)
    lines = [["model", *head], ["---", *["---:"] * len(head)]]
    for name, cells in rows:
        lines.append([name, *(_text(cell) for cell in cells)])
    table = "".join("| " + " | ".join(line) + " |\n" for line in lines)
    return f"{table}\n{_about_table(found)}\n"


def _text(cell: Cell) -> str:
    text = f"**{cell.text}**" if cell.is_best else cell.text
    return f"{text} ({cell.under})" if cell.under else text


def _plain_sections(found: Found) -> Iterator[Section]:
    models, seed = found.models("plain"), found.base.seed
    made = figures.samples(models, NUM_SAMPLES, seed)
    caption = f"{NUM_SAMPLES} samples of each model, of the same codes from N(0, I), seed {seed}."
    yield Section("Samples", [_strips(made, caption, LINES)], "Models that are told nothing (section 4.1).")
    images = some_of(found.images, NUM_IMAGES, seed)
    rows: Named = {"original": images.images, **figures.reconstructions(models, images)}
    caption = f"{len(images)} held-out images, and what each model with an encoder makes of them."
    yield Section("Reconstructions", [_strips(rows, caption), _pixel_table(found)])
    yield _vectors(found, images)


def _vectors(found: Found, images: ImageSet) -> Section:
    """Attribute vectors of the VAE/GAN, some at a time."""
    model, names = found.models("plain")[VAEGAN], figures.shown_attributes(found.data.train)
    title, faces = "Attribute vectors", some_of(images, NUM_FACES, found.base.seed)
    if not names:
        return Section(title, [Note("No attribute differs between images.")])
    vectors = figures.vectors_of(model, found.data.train, names, found.base.seed, found.measuring.batch_size)
    blocks: list[Block] = []
    for some in _chunks(names):
        made = figures.with_vectors(model, faces, vectors.only(some).vectors)
        alts = [
            f"Held-out image {i + 1}, its reconstruction, and this with: {', '.join(some)}" for i in range(len(made))
        ]
        columns = ["original", "reconstruction", *(f"+ {_words(name)}" for name in some)]
        blocks.append(strips(made, "", alts, columns=columns))
    text = (
        f"{VAEGAN} that is told nothing: to the code of a held-out image the mean code of training images with an "
        "attribute is added, less that of images without it (section 4.1)."
    )
    return Section(title, blocks, text)


def _told_sections(found: Found) -> Iterator[Section]:
    if not found.told:
        return
    models, seed = found.models("told"), found.base.seed
    images = some_of(found.images, NUM_IMAGES, seed + 1)
    rows: Named = {"asked for": images.images, **figures.asked_for(models, images, seed)}
    caption = (
        f"Above, held-out images whose {len(images.attribute_names)} attributes are asked for, not the images "
        "themselves; below, one image of each model, of the same codes from N(0, I)."
    )
    blocks: list[Block] = [_strips(rows, caption)]
    names = figures.shown_attributes(found.data.train)
    asked = some_of(images, NUM_ASKED, seed)
    for some in _chunks(names) if VAEGAN in models else ():
        made = figures.one_by_one(models[VAEGAN], asked, some, seed)
        sides = [f"{number + 1}, {side}" for number in range(len(asked)) for side in ("low", "high")]
        alts = [f"Image {side} in: {', '.join(some)}" for side in sides]
        blocks.append(strips(made, "", alts, sides, columns=[_words(name) for name in some]))
    if VAEGAN in models:
        blocks.append(Note(f"{VAEGAN} told one attribute low, then high, all else of two images as it is."))
    yield Section("Asked for by attributes", blocks, "Models that are told attributes (section 4.2), first seed.")
    yield _table_section(found)


def _table_section(found: Found) -> Section:
    blocks: list[Block] = [_matrix(found, similarity.MAIN)]
    others = [name for name in similarity.FIGURES if name not in similarity.MAIN]
    blocks.append(Fold("Means over all images of a vector", [_matrix(found, others)]))
    seen = [(name, "–" if r2 is None else f"{r2:.3f}") for name, r2 in found.explained.items()]
    caption = "R² on held-out images: 1 is exact, 0 no better than the mean."
    blocks.append(Fold("What the regressor sees", [Table(caption, ("attribute", "R²"), seen)]))
    return Section("Attribute similarity (Table 2)", blocks, _about_table(found))


def _about_table(found: Found) -> str:
    """Say what Table 2 is of."""
    runs = ", ".join(f"{TITLES[kind]} {len(runs)}" for kind, runs in found.told.items())
    num = found.measuring.num_samples
    return (
        f"{found.num:,} attribute vectors of held-out images of {found.data.name}, {num} images for each, codes from "
        "N(0, I); attributes read off by a regressor trained on real images alone. "
        f"Runs: {runs}. Intervals of 95 % are over seeds (Student's t) where there are several, else over vectors. "
        f"{REAL.capitalize()}: held-out images with their own attributes, where all error is the regressor's. "
        f"{OTHERS.capitalize()}: {num} drawn for each vector, whatever it says. "
        "Marked is what is nearest to real images beyond the intervals."
    )


def _matrix(found: Found, names: Sequence[str]) -> Matrix:
    head, rows = _table(found, names)
    return Matrix("", ["model", *head], [(name, "", cells) for name, cells in rows])


def _table(found: Found, names: Sequence[str]) -> tuple[list[str], list[tuple[str, list[Cell]]]]:
    """Return heads of columns, and each row's name and cells: real images above, as in the paper."""
    by_name = {row.figure: row for row in found.rows}
    chosen = [by_name[name] for name in names]
    rows = [(REAL, _of_real(found.real, names))]
    for index, kind in enumerate(found.told):
        rows.append((TITLES[kind], [_of_model(row, index) for row in chosen]))
    rows.append((OTHERS, _of_real(found.others, names)))
    return [_HEADS[name].format(found.measuring.num_samples) for name in names], rows


def _of_real(found: Figures, names: Sequence[str]) -> list[Cell]:
    return [cell_of(name, combine([found.get(name)]), False) for name in names]


def _of_model(row: Row, index: int) -> Cell:
    return cell_of(row.figure, row.models[index], row.verdict.best == index)


def _pixel_table(found: Found) -> Matrix:
    rows = [(REAL, "", _of_real(found.real_pixels, list(pixels.FIGURES)))]
    rows += [(TITLES[kind], "", _of_real(one, list(pixels.FIGURES))) for kind, one in found.pixels.items()]
    caption = (
        f"{found.num:,} held-out images and as many samples, one seed; intervals of 95 % over images. Sharpness is the "
        "variance of the Laplacian: blurred images have less than real ones, noisy ones more."
    )
    return Matrix(caption, ["model", *pixels.FIGURES.values()], rows)


def _strips(images: Named, caption: str, lines: int = 1) -> Block:
    alts = [f"Images of {name}" for name in images]
    return strips(np.stack(list(images.values())), caption, alts, list(images), lines=lines)


def _chunks(names: Sequence[str]) -> list[Sequence[str]]:
    """Return names in as few, evenly filled parts as fit the width of the page."""
    num = -(-len(names) // _MOST_COLUMNS)
    size = -(-len(names) // max(1, num))
    return [names[start : start + size] for start in range(0, len(names), size)]


def _words(name: str) -> str:
    return name.replace("_", " ").lower()


def _runs(trainings: Sequence[Training]) -> Section:
    rows = []
    for one in trainings:
        config = one.config
        length = f"{config.train.images:,} images" if config.train.images else f"{config.train.epochs:g} epochs"
        rows.append((one.name, TITLES[one.kind], "attributes" if one.is_told else "nothing", str(config.seed), length))
    head = ("run", "model", "told", "seed", "trained for")
    config = trainings[0].config
    text = (
        f"Recipe {config.recipe}, batches of {config.train.batch_size}. Each folder holds all settings in config.yaml."
    )
    return Section("Runs", [Table("", head, rows)], text)
