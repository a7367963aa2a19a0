"""The page of one run: what its model has learned, how the training went, and its settings.

Sections about the model show views as blocks, or a line that says what is missing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ..data.dataset import ImageSet
from ..errors import UserError
from ..latent.clustering import default_k, kmeans, pca_map
from ..metrics.figures import info_of
from ..pixels import BYTES, channels_in_words
from ..report.scatter import scatter_block
from ..runs.opened import OpenedRun
from ..runs.run_folder import Record
from ..settings import KINDS
from ..views.attribute_edits import attribute_edits, separating_attributes, vectors_of
from ..views.clusters import cluster_gallery, groupings, label_scores
from ..views.paths import image_paths, random_paths
from ..views.reconstructions import reconstructions
from ..views.samples import samples
from ..views.traversals import traversals
from ..views.view import View
from .content import Block, Facts, Note, Section, Strips
from .render import picture, render_page, strips
from .run_sections import (
    as_text,
    health_section,
    health_verdict,
    losses_section,
    scores_section,
    settings_section,
    snapshots_section,
    timing_section,
)


def run_page(subject: "Subject") -> tuple[str, list[Section]]:
    """Return a run's page as HTML, and its sections, also those that say what is missing."""
    run, records = subject.run, subject.run.records()
    config = run.config
    sections = [
        *model_sections(subject),
        health_section(records),
        losses_section(records),
        *([scores] if (scores := scores_section(records)) else []),
        snapshots_section(run.place.run or run.path, records),
        timing_section(records, config, run.model().info.get("device") if run.has_model else None),
    ]
    shown = [*_without_empty(sections), *([settings_section(config)] if config else [])]
    return render_page(run.name, _lead(run, records), _facts(run), shown), sections


def _without_empty(sections: Sequence[Section]) -> list[Section]:
    """Return the sections that show something, and one that says why the others do not."""
    titles: dict[str, list[str]] = {}
    for section in sections:
        titles.setdefault(section.missing, []).append(section.title)
    notes = [Note(f"{', '.join(of_reason)}: {reason}") for reason, of_reason in titles.items() if reason]
    return [section for section in sections if not section.missing] + ([Section("Not shown", notes)] if notes else [])


def _lead(run: OpenedRun, records: Sequence[Record]) -> str:
    kind = KINDS[run.config.model.kind if run.config else run.model().kind].phrase
    words = kind[:1].upper() + kind[1:] + (f" on {as_text(run.config.data.source)}" if run.config else "")
    if not records:
        return f"{words}."
    last = records[-1]
    epochs = f" in {last['epoch']:.4g} epoch{'s' if last['epoch'] != 1 else ''}" if "epoch" in last else ""
    return f"{words}: {last['images']:,} images seen{epochs}. {health_verdict(records)}".rstrip()


def _facts(run: OpenedRun) -> Facts:
    pairs = []
    if run.config:
        pairs += [
            ("recipe", run.config.recipe), ("network", run.config.model.network), ("seed", str(run.config.seed))
        ]  # fmt: skip
    if run.has_model:
        model = run.model()
        channels, height, width = model.image_shape
        pairs += [
            ("images", f"{height} × {width}, {channels_in_words(channels)}"),
            *([("pixel format", model.pixels.words)] if model.pixels != BYTES else []),
            ("dimensions of z", str(model.latent_dim)),
            *([("conditional on", model.conditioning.kind)] if model.conditioning else []),
            *((f"{name} parameters", f"{num:,}") for name, num in model.num_parameters.items()),
        ]
    return Facts(pairs)


NUM_SAMPLES = 64
NUM_PAIRS = 32
PER_ROW = 8
NUM_PATHS, NUM_STEPS = 10, 10
NUM_DIMENSIONS, NUM_VALUES, REACH = 10, 7, 3.0
NUM_ATTRIBUTES, NUM_FACES, FEWEST = 12, 10, 5
NUM_MEMBERS = 12


@dataclass(frozen=True)
class Subject:
    """The subject of the sections."""

    run: OpenedRun  # the run
    split: str  # 'test' or 'train', of the images on the page
    num: int  # images, at most, behind clusters, map, traversals and attribute vectors
    seed: int  # of every choice
    k: int | None  # clusters; None for as many as there are labels, else 10
    no_images: str = ""  # why there are no images; empty if there are

    @cached_property
    def images(self) -> ImageSet:
        """Some images of the split, to encode; UserError if there is no encoder or there are none."""
        self.run.check_encoder()
        if self.no_images:
            raise UserError(self.no_images)
        return self.run.images(self.split, self.num, self.seed)

    @property
    def whose(self) -> str:
        """The split as an adjective."""
        return "held-out" if self.split == "test" else "training"


def model_sections(subject: Subject) -> Iterator[Section]:
    """Yield all sections in order."""
    for title, (make, text, is_half) in _SECTIONS.items():
        try:
            if not subject.run.has_model:
                raise UserError("there is no model yet; training saves it with each snapshot")
            yield Section(title, make(subject), text, is_half)
        except UserError as error:
            yield Section(title, [Note(_sentence(str(error)))], "", is_half)


def strips_of(view: View, alts: Sequence[str]) -> Strips:
    """Return a view as a block, a strip for each row with its description."""
    return strips(view.pictures, view.caption, alts, view.rows, view.columns)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _reconstructions(subject: Subject) -> list[Block]:
    view = reconstructions(subject.run, subject.images.some(NUM_PAIRS, subject.seed))
    caption = view.caption.replace("images", f"{subject.whose} images", 1)
    alt = f"Rows of {subject.whose} images above rows of their reconstructions"
    return [picture(replace(view, per_row=PER_ROW).picture(), alt, caption)]


def _samples(subject: Subject) -> list[Block]:
    view = samples(subject.run, NUM_SAMPLES, subject.seed)
    return [picture(view.picture(), f"A grid of {NUM_SAMPLES} samples", view.caption)]


def _paths(subject: Subject) -> list[Block]:
    """Paths between images where there are some and an encoder, else between codes of the prior."""
    run = subject.run
    if run.model().encoder is None or (subject.no_images and run.model().kind != "ae"):
        view = random_paths(run, 2 * NUM_PATHS, NUM_STEPS, seed=subject.seed)
    else:
        view = image_paths(run, subject.images.some(2 * NUM_PATHS, subject.seed), NUM_STEPS)
    return [strips_of(view, [f"Images along path {row + 1}" for row in range(len(view.images))])]


def _traversals(subject: Subject) -> list[Block]:
    start = subject.images.some(1, subject.seed)
    view = traversals(subject.run, subject.images, NUM_DIMENSIONS, NUM_VALUES, REACH, start)
    alts = [f"Images as dimension {name.partition(',')[0][1:]} grows" for name in view.rows]
    return [Facts(view.facts), strips_of(view, alts)]


def _attributes(subject: Subject) -> list[Block]:
    images, train = subject.images, subject.run.images("train", subject.num, subject.seed)
    vectors = vectors_of(subject.run, train, separating_attributes(train, FEWEST, NUM_ATTRIBUTES))
    view = attribute_edits(subject.run, images.some(NUM_FACES, subject.seed), vectors, (1.0,)).transposed()
    caption = view.caption.replace("Each row", "Each column")
    return [strips_of(replace(view, caption=caption), [f"Row of images: {name}" for name in view.rows])]


def _clusters(subject: Subject) -> list[Block]:
    images = subject.images
    mu, _ = subject.run.encode(images)
    k = subject.k or default_k(images.label_names)
    clusters = kmeans(mu, k, seed=subject.seed)
    view = cluster_gallery(images, clusters, NUM_MEMBERS, blank=0.5, shown=subject.run.shown)
    scores = [(info_of(name).title, f"{value:.3f}") for name, value in label_scores(clusters, images).items()]
    caption = f"k-means with {k} clusters on the codes of {len(mu):,} {subject.whose} images. {view.caption}"
    points = pca_map(mu).numpy()
    by = groupings(images, clusters, [str(cluster) for cluster in range(k)])
    about = "The same codes projected to their two principal components, one dot per image."
    alt = f"Map of {len(mu)} codes on the plane of their two principal components"
    gallery = strips_of(replace(view, caption=caption), [f"Images of cluster {name}" for name in view.rows])
    return [*([Facts(scores)] if scores else []), gallery, scatter_block(points, by, about, alt)]


_SECTIONS: dict[str, tuple[Callable[[Subject], list[Block]], str, bool]] = {
    "Reconstructions": (_reconstructions, "", True),
    "Samples": (_samples, "", True),
    "Interpolation": (_paths, "", True),
    "Traversals": (_traversals, "The effect of single code dimensions, highest KL first.", True),
    "Attributes": (_attributes, "Directions in the latent space that add an attribute to an image.", False),
    "Clusters": (_clusters, "Clusters of the codes, computed without labels.", False),
}
"""Title; function; first words of the section; whether it may share a row with another."""
