"""The page of the paper's experiments, and Table 2 in Markdown, from the results of `vaegan.reproducing`."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..data.dataset import ImageSet
from ..files import write_json, write_text
from ..metrics.figures import Figures, info_of
from ..progress import log
from ..reproducing import paper_images
from ..reproducing.measurements import MAIN_SIMILARITIES, PIXEL_FIGURES, SIMILARITIES
from ..reproducing.paper_images import Named, plain_name
from ..reproducing.plan import TITLES, seeds_of
from ..reproducing.results import Results
from ..runs.opened import OpenedRun
from ..views.attribute_edits import attribute_edits, vectors_of
from ..views.reconstructions import reconstructions
from ..views.samples import samples
from .comparison_tables import cell_of, cell_text, cells_of, markdown_table
from .content import Block, Cell, Facts, Fold, Matrix, Note, Section, Strips, Table
from .render import named_strips, render_page, strips

NAME = "paper"
"""Of the page, the JSON and the table in Markdown."""
NUM_SAMPLES, LINES = 20, 2
NUM_IMAGES = 10
NUM_FACES, NUM_CONDITIONS = 4, 2
_MAX_COLUMNS = 6
_MAX_IMAGES = 20_000  # that attribute vectors are computed from
VAEGAN = TITLES["vaegan"]
REAL_IMAGES, OTHERS = "real images", "other real images"


def write_paper(results: Results, folder: Path) -> None:
    """Write page, JSON and Markdown of the results so far."""
    path = folder / f"{NAME}.html"
    write_text(path, paper_page(results))
    write_json(path.with_suffix(".json"), results.as_json())
    write_text(path.with_suffix(".md"), table2_markdown(results))
    log.info("written: %s, and .json and .md beside it", path)


def paper_page(results: Results) -> str:
    """Return the page's HTML."""
    data = results.data
    channels, height, width = data.image_shape
    facts = Facts([
        ("data", data.name),
        ("training images", f"{len(data.train):,}"),
        ("size", f"{height}x{width}x{channels}"),
        ("attributes", f"{len(data.train.attribute_names)}"),
        ("attribute vectors", f"{len(results.images):,}"),
        ("seeds", str(len(seeds_of(results.trainings)))),
    ])  # fmt: skip
    lead = (
        "VAE, GAN, VAE_Dis_l and VAE/GAN with the same networks, optimiser and images, after sections 4.1 and 4.2 of "
        "Larsen et al., Autoencoding beyond pixels using a learned similarity metric, arXiv:1512.09300."
    )
    sections = [*_unconditional_sections(results), *_conditional_sections(results), _runs(results)]
    return render_page("The paper's experiments", lead, facts, sections, "vaegan reproduce")


def table2_markdown(results: Results) -> str:
    """Return Table 2 in Markdown, a clear winner in bold; below it what was measured."""
    head, rows = _table2(results, MAIN_SIMILARITIES)
    lines = [[name, *(cell_text(cell, "**{}**") for cell in cells)] for name, cells in rows]
    return f"{markdown_table(['model', *head], lines, '---:')}\n{_about_table2(results)}\n"


def _unconditional_sections(results: Results) -> Iterator[Section]:
    runs, seed = results.opened(conditional=False), results.base.seed
    made = {name: samples(run, NUM_SAMPLES, seed, "normal").images[0] for name, run in runs.items()}
    caption = f"{NUM_SAMPLES} samples of each model, from the same codes of N(0, I), seed {seed}."
    yield Section("Samples", [_strips(results, made, caption, LINES)], "Unconditional models (section 4.1).")
    images = results.images.some(NUM_IMAGES, seed)
    able = {name: run for name, run in runs.items() if run.model().encoder is not None}
    rows: Named = {"original": images.images}
    rows |= {name: reconstructions(run, images).images[0] for name, run in able.items()}
    caption = f"{len(images)} held-out images, and their reconstructions by each model that has an encoder."
    yield Section("Reconstructions", [_strips(results, rows, caption), _pixel_table(results)])
    yield _attribute_vectors(results, runs[VAEGAN], images)


def _strips(results: Results, images: Named, caption: str, lines: int = 1) -> Strips:
    """Return a row of images for each name, as they are shown."""
    return named_strips({name: results.shown(each) for name, each in images.items()}, caption, lines)


def _attribute_vectors(results: Results, run: OpenedRun, images: ImageSet) -> Section:
    """Return the section of the VAE/GAN's attribute vectors, some at a time."""
    title, seed = "Attribute vectors", results.base.seed
    train = results.data.train.some(_MAX_IMAGES, seed)
    names = paper_images.attributes_to_show(train)
    faces = images.some(NUM_FACES, seed)
    if not names:
        return Section(title, [Note("No attribute differs between images.")])
    vectors = vectors_of(run, train, names)
    blocks: list[Block] = []
    for group in _chunks(names):
        rows = results.shown(attribute_edits(run, faces, vectors.only(group), (1.0,)).images)
        alts = [f"Held-out image {i + 1}, its reconstruction, and with: {', '.join(group)}" for i in range(len(rows))]
        columns = ["original", "recon\N{SOFT HYPHEN}struction", *(f"+ {plain_name(name)}" for name in group)]
        blocks.append(strips(rows, "", alts, columns=columns))
    text = (
        f"Unconditional {VAEGAN}: the mean code of training images with an attribute, minus the mean code of those "
        "without it, is added to the code of a held-out image (section 4.1)."
    )
    return Section(title, blocks, text)


def _conditional_sections(results: Results) -> Iterator[Section]:
    if not results.conditional:
        return
    models = {name: run.model() for name, run in results.opened(conditional=True).items()}
    seed = results.base.seed
    images = results.images.some(NUM_IMAGES, seed + 1)
    rows: Named = {"attributes of": images.images, **paper_images.conditional_samples(models, images, seed)}
    caption = (
        f"Top row: held-out images, whose {len(images.attribute_names)} attributes the models are conditioned on. "
        "Below: a sample of each model with these attributes, from the same codes of N(0, I)."
    )
    blocks: list[Block] = [_strips(results, rows, caption)]
    if VAEGAN in models:
        some_images = images.some(NUM_CONDITIONS, seed)
        sides = [f"{number + 1}, {side}" for number in range(len(some_images)) for side in ("low", "high")]
        train = results.data.train
        for group in _chunks(paper_images.attributes_to_show(train)):
            varied = results.shown(paper_images.single_attributes(models[VAEGAN], some_images, group, seed, train))
            alts = [f"Image {side} in: {', '.join(group)}" for side in sides]
            blocks.append(strips(varied, "", alts, sides, columns=[plain_name(name) for name in group]))
        blocks.append(Note(f"{VAEGAN} with one attribute low, then high; code and all other attributes stay the same."))
    yield Section("Samples by attributes", blocks, "Attribute-conditional models (section 4.2), first seed.")
    yield _table2_section(results)


def _table2_section(results: Results) -> Section:
    means = [name for name in SIMILARITIES if name not in MAIN_SIMILARITIES]
    scores = [(name, "–" if r2 is None else f"{r2:.3f}") for name, r2 in results.r_squared.items()]
    blocks: list[Block] = [
        _matrix(results, MAIN_SIMILARITIES),
        Fold("Means over all images of a vector", [_matrix(results, means)]),
        Fold(
            "Accuracy of the regressor",
            [Table("R² on held-out images: 1 is exact, 0 no better than the mean.", ("attribute", "R²"), scores)],
        ),
    ]
    return Section("Attribute similarity (Table 2)", blocks, _about_table2(results))


def _about_table2(results: Results) -> str:
    """Describe what Table 2 was measured on."""
    runs = ", ".join(f"{TITLES[kind]} {len(runs)}" for kind, runs in results.conditional.items())
    num = results.options.num_samples
    return (
        f"{len(results.images):,} attribute vectors of held-out images of {results.data.name}, {num} images for each, "
        "codes from N(0, I). A regressor trained on real images alone predicts the attributes of each image; the best "
        f"image is that of the highest cosine of {num}. Runs: {runs}. 95 % intervals are over seeds (Student's t) "
        f"where there are several, else over vectors. {REAL_IMAGES.capitalize()}: held-out images with their own "
        f"attributes, where all error is the regressor's. {OTHERS.capitalize()}: {num} drawn at random for each "
        "vector. Marked: clearly closest to real images."
    )


def _matrix(results: Results, names: Sequence[str]) -> Matrix:
    head, rows = _table2(results, names)
    return Matrix("", ["model", *head], [(name, "", cells) for name, cells in rows])


def _table2(results: Results, names: Sequence[str]) -> tuple[list[str], list[tuple[str, list[Cell]]]]:
    """Return heads of columns, and each row's name and cells: real images above, as in the paper."""
    by_name = {row.name: row for row in results.table2}
    chosen = [by_name[name] for name in names]
    rows = [(REAL_IMAGES, _real_cells(results.real, names))]
    for index, kind in enumerate(results.conditional):
        rows.append((TITLES[kind], [cells_of(row)[index] for row in chosen]))
    rows.append((OTHERS, _real_cells(results.others, names)))
    return [info_of(name, "attributes").title for name in names], rows


def _real_cells(figures: Figures, names: Sequence[str]) -> list[Cell]:
    return [cell_of(name, figures[name]) if name in figures else Cell("–") for name in names]


def _pixel_table(results: Results) -> Matrix:
    rows = [(REAL_IMAGES, "", _real_cells(results.real_pixels, PIXEL_FIGURES))]
    rows += [(TITLES[kind], "", _real_cells(figures, PIXEL_FIGURES)) for kind, figures in results.pixels.items()]
    caption = (
        f"{len(results.images):,} held-out images and as many samples, one seed; 95 % intervals over images. "
        "Sharpness is the variance of the Laplacian: lower than that of real images if blurred, higher if noisy."
    )
    return Matrix(caption, ["model", *(info_of(name).title for name in PIXEL_FIGURES)], rows)


def _chunks(names: Sequence[str]) -> list[Sequence[str]]:
    """Return names in as few, evenly filled parts as fit the width of the page."""
    num = -(-len(names) // _MAX_COLUMNS)
    size = -(-len(names) // max(1, num))
    return [names[start : start + size] for start in range(0, len(names), size)]


def _runs(results: Results) -> Section:
    rows = []
    for training in results.trainings:
        train = training.config.train
        epochs = "1 epoch" if train.epochs == 1 else f"{train.epochs:g} epochs"
        length = f"{train.images:,} images" if train.images else epochs
        rows.append((training.name, training.model, str(training.config.seed), length))
    config = results.base
    text = f"Recipe {config.recipe}, batch size {config.train.batch_size}. The config.yaml of a run has all settings."
    return Section("Runs", [Table("", ("run", "model", "seed", "trained for"), rows)], text)
