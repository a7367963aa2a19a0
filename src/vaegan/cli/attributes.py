"""``vaegan attributes``: vectors that add an attribute to an image; sheets, sweeps, and a check that they work."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..progress import log
from ..settings import Count, PositiveFloat
from .common import DataPictureOptions, chosen_images, open_run, output_of, write_and_say
from .console import show, show_table

if TYPE_CHECKING:
    from ..latent.attribute_check import Effect
    from ..latent.attribute_vectors import AttributeVectors
    from ..metrics.figures import Figure


class Options(DataPictureOptions):
    """Compute the vector of each attribute (or label) from the codes of training images, and add it to other images.

    The sheet has a row for each image: original, reconstruction, then the image with each attribute added; for a single
    attribute it sweeps over strengths. The vectors are saved with the model. `--check` trains a classifier on the
    images alone and reports how many held-out images flip, what else changes, and the effect of a random direction. An
    attribute of more than two values is split at its median: images above it have the attribute.
    """

    num: Count = 8
    """Images in the picture."""
    attribute: tuple[str, ...] = ()
    """Names, separated by commas; all attributes if not set, or all labels where there are no attributes."""
    strength: tuple[float, ...] = ()
    """How much to add; 1 is the mean difference between images with and without. Default: 1, or -2 to 2 for one
    attribute."""
    method: Literal["difference", "balanced", "linear"] = "difference"
    """Difference of mean codes; 'balanced' reweights images to equal other attributes; 'linear' fits all attributes
    jointly."""
    orthogonalise: bool = False
    """Keep only the component of each vector that is orthogonal to all others."""
    images: Count = 20_000
    """Maximum number of training images to compute the vectors from."""
    save: bool = True
    """Save the vectors with the model, if it is a local folder."""
    check: bool = False
    """Check each vector with a classifier; prints a table and writes a JSON file beside the picture."""
    check_images: Count = 256
    """Held-out images for the check."""
    check_strength: tuple[PositiveFloat, ...] = (0.5, 1.0, 1.5, 2.0)
    """Strengths of the check."""


def run(options: Options) -> None:
    """Compute the vectors; save, show and check them."""
    from ..files import check_free, write_json
    from ..models.serialization import file_digest
    from ..runs.locate import find_model
    from ..runs.run_folder import WEIGHTS
    from ..views.attribute_edits import attribute_edits, attribute_effects, attribute_names, vectors_of

    out, overwrite = output_of(options, "attributes.png")
    report = out.with_name(f"{out.stem}-check.json")
    if options.check:
        check_free(report, overwrite)
    folder = find_model(options.run)
    weights = file_digest(folder / WEIGHTS)  # before they are read: training may save others
    opened = open_run(options)
    train = opened.images("train", options.images, options.seed)
    names = attribute_names(train, options.attribute, opened.data().name)
    vectors = vectors_of(opened, train, names, options.method, orthogonalise=options.orthogonalise)
    wanted = vectors.only(options.attribute) if options.attribute else vectors
    if options.save:
        _save(options, folder, vectors, weights)
    view = attribute_edits(opened, chosen_images(options, opened, options.num), wanted, options.strength)
    write_and_say(view, out, overwrite, len(wanted.names), "attribute vectors")
    if not options.check:
        return
    log.info("training a classifier on %d images", len(train))
    held_out = opened.images("test", options.check_images, options.seed)
    effects, measured = attribute_effects(
        opened, vectors, wanted, train, held_out, strengths=options.check_strength, seed=options.seed
    )
    write_json(report, measured)
    _show_bases(measured["attributes"])
    _show_effects(effects)
    show(_summary(len(wanted.names), measured["work"]))
    log.info("check on %d held-out images: %s", len(held_out), report)


def _save(options: Options, folder: Path, vectors: "AttributeVectors", weights: str) -> None:
    from ..latent.attribute_vectors import save_vectors
    from ..runs.run_folder import CARD

    if not Path(options.run).is_dir():
        log.warning("%s is not a local folder: its vectors are not saved", options.run)
        return
    save_vectors(folder, vectors, weights)
    num = len(vectors.names)
    log.info("vectors of %d attribute%s saved into %s", num, "" if num == 1 else "s", folder)
    if (folder / CARD).is_file():
        log.warning(
            "%s still describes the model without these vectors; `vaegan push` writes a new card", folder / CARD
        )


def _show_bases(bases: dict[str, dict[str, Any]]) -> None:
    """Print each attribute's threshold, counts and classifier accuracy before any edit, a row each."""
    head = [
        "attribute", "threshold", "images without", "images with", "accuracy, originals", "accuracy, reconstructions",
        "share with it, reconstructions",
    ]  # fmt: skip
    rows = []
    for name, base in bases.items():
        without, with_ = base["training_images_without_and_with"]
        accuracies = (base["accuracy_on_originals"], base["accuracy_on_reconstructions"])
        cells = ["-" if value is None else f"{value:.3f}" for value in (*accuracies, base["share_in_reconstructions"])]
        rows.append([name, f"{base['threshold']:.4g}", str(without), str(with_), *cells])
    show_table(head, rows)
    show("")


def _show_effects(effects: "Sequence[Effect]") -> None:
    """Print what each vector does at each strength, a row each."""
    head = [
        "attribute", "strength", "flipped", "added", "removed", "others change", "most changed", "others flip",
        "flipped (random)", "others change (random)",
    ]  # fmt: skip
    rows = []
    for effect in effects:
        push, random = effect.vector, effect.random
        most = max(push.each_moved.items(), key=lambda item: item[1], default=None)
        rows.append([
            effect.attribute, f"{effect.strength:g}", _cell(push.flipped, whole=True), _cell(push.added),
            _cell(push.removed), _cell(push.others_moved, whole=True),
            "-" if most is None else f"{most[1]:.2f} {most[0]}", _cell(push.others_flipped), _cell(random.flipped),
            _cell(random.others_moved),
        ])  # fmt: skip
    show_table(head, rows)


def _cell(share: "Figure | None", *, whole: bool = False) -> str:
    if share is None:
        return "-"
    return f"{share.value:.2f}" + (f" ({share.low:.2f} to {share.high:.2f})" if whole else "")


def _summary(num: int, work: dict[str, list[str]]) -> str:
    """Say how many attributes meet what a vector should do."""
    by_share, by_image = work["by_share"], work["by_image"]
    which = f" ({', '.join(by_share)})" if by_share else ""
    return (
        f"{len(by_share)} of {num} attributes work{which}: at a strength of 1 to 2, at least 80 % of the images flip "
        "and the mean change in the shares of the other attributes is less than a third of that "
        f"({len(by_image)} if flips of other attributes are counted per image)"
    )
