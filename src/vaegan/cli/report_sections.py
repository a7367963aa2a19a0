"""Sections of a report that need the model: a function each, and a line where something is missing.

A function that cannot show its section, because the model has no encoder or the data no labels, raises `UserError`
with the reason, and the page says it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import UserError
from .pictures import encode_to_codes, some_of
from .report_look import Look, check_encoder

if TYPE_CHECKING:
    from torch import Tensor

    from ..latent.attribute_vectors import AttributeVectors
    from ..pages import Block, Section

NUM_SAMPLES = 64
NUM_PAIRS = 32
NUM_PATHS, NUM_STEPS = 10, 10
NUM_DIMENSIONS, NUM_VALUES, REACH = 10, 7, 3.0
NUM_ATTRIBUTES, NUM_FACES, FEWEST = 12, 10, 5
NUM_MEMBERS = 12
MOST_LABELS = 20


def model_sections(look: Look) -> list[Section]:
    """Return all sections, in their order."""
    from ..pages import Note, Section

    sections = []
    for title, (function, text, is_half) in _SECTIONS.items():
        try:
            look.model  # noqa: B018, without a model nothing else needs to be said
            sections.append(Section(title, function(look), text, is_half))
        except UserError as error:
            sections.append(Section(title, [Note(_sentence(str(error)))], "", is_half))
    return sections


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _reconstructions(look: Look) -> list[Block]:
    import torch

    from ..pages import picture
    from ..pixels import to_unit
    from ..report.grid import pairs, to_uint8

    check_encoder(look.model)
    images = some_of(look.images, NUM_PAIRS, look.options.seed)
    x, c = to_unit(torch.from_numpy(images.images)), look.model.condition_of(images)
    x_tilde = look.model.reconstruct(x, condition=c, batch_size=look.options.batch_size)
    caption = f"{len(images)} {look.whose} images, each above its reconstruction (the decoded mean of its code)."
    sheet = pairs(images.images, to_uint8(x_tilde), columns=8)
    return [picture(sheet, f"Rows of {look.whose} images above rows of their reconstructions", caption)]


def _samples(look: Look) -> list[Block]:
    from ..pages import picture
    from ..report.grid import grid

    codes = look.model.sample_codes(NUM_SAMPLES, look.options.seed)
    images = look.decode(codes[None], look.model.condition_in_turn(NUM_SAMPLES))[0]
    caption = f"{NUM_SAMPLES} images decoded from random codes of the prior '{look.model.default_prior}'."
    if look.model.conditioning is not None:
        caption += f" Each is told {_TOLD[look.model.conditioning.kind]}, one after another."
    return [picture(grid(images), f"A grid of {NUM_SAMPLES} new images", caption)]


def _interpolation(look: Look) -> list[Block]:
    import torch

    from ..latent.paths import interpolate, smoothness
    from ..pages import strips

    ends, c, whose = _ends(look)
    num = len(ends) // 2
    if num == 0:
        raise UserError("A path needs two images, and there is but one.")
    told = None if c is None else interpolate(c[:num], c[num : 2 * num], NUM_STEPS).transpose(0, 1)
    images = look.decode(interpolate(ends[:num], ends[num : 2 * num], NUM_STEPS).transpose(0, 1), told)
    found = smoothness(torch.from_numpy(images.swapaxes(0, 1).copy()))
    detour, largest = (float(values.mean()) for values in (found.detour, found.largest))
    caption = (
        f"Each row is a straight path in {NUM_STEPS} steps from one code to another, of {whose}. The way through the "
        f"images is {detour:.2f} times the straight one between both ends (a cross-fade has 1); the largest step is "
        f"{largest:.2f} times the mean one (1 is constant speed)."
    )
    return [strips(images, caption, [f"Images along path {row + 1}" for row in range(num)])]


def _ends(look: Look) -> tuple[Tensor, Tensor | None, str]:
    """Return codes to go between, with their conditions: of images where there are some and an encoder, or the prior.

    A conditional model goes from condition to condition as well.
    """
    num = 2 * NUM_PATHS
    if look.model.encoder is None or (look.data is None and look.model.kind != "ae"):
        return look.model.sample_codes(num, look.options.seed), look.model.condition_in_turn(num), "the prior"
    return look.codes[0][:num], look.model.condition_of(look.images, slice(num)), f"{look.whose} images"


def _traversals(look: Look) -> list[Block]:
    import torch

    from ..latent.paths import order_by_kl, traverse
    from ..pages import Facts, strips

    x = torch.zeros(1, *look.model.image_shape)
    look.model.posterior(x, condition=look.model.condition_in_turn(1))  # says what is missing, if anything is
    mu, logvar = look.codes
    assert logvar is not None
    order, kl = order_by_kl(mu, logvar)
    order, values = order[:NUM_DIMENSIONS], torch.linspace(-REACH, REACH, NUM_VALUES)
    names = [f"z{d}, {nats:.2f} nats" for d, nats in zip(order.tolist(), kl.tolist(), strict=False)]
    caption = (
        f"Each row changes one dimension of the code of one {look.whose} image from −{REACH:g} to {REACH:g} (standard "
        f"deviations of the prior), the others stay. At its left: the dimension and its KL to the prior, the mean over "
        f"{len(mu):,} images."
    )
    facts = Facts(
        [("KL of all dimensions", f"{float(kl.sum()):.2f} nats"), ("dimensions above 0.01 nats", _share(kl > 0.01))]
    )
    images = look.decode(traverse(mu[0], order, values), look.model.condition_of(look.images, slice(1)))
    alts = [f"Images as dimension {d} grows" for d in order.tolist()]
    columns = [f"{value:+.3g}".replace("-", "−") if value else "0" for value in values.tolist()]
    return [facts, strips(images, caption, alts, names, columns)]


def _share(flags: Tensor) -> str:
    return f"{int(flags.sum())} of {len(flags)}"


def _attributes(look: Look) -> list[Block]:
    import numpy as np
    import torch

    from ..latent.attribute_vectors import apply
    from ..pages import strips

    check_encoder(look.model)
    z = look.codes[0][:NUM_FACES]
    vectors = _vectors(look)
    codes = torch.stack([z, z, *(apply(z, vector, 1.0) for vector in vectors.vectors)])
    images = look.decode(codes, look.model.condition_of(look.images, slice(len(z))))
    images = np.concatenate([look.images.images[None, : len(z)], images[1:]])
    names = ["original", "reconstruction", *(f"+ {name}" for name in vectors.names)]
    caption = (
        f"Columns are {look.whose} images. Below each original and its reconstruction, the vector of an attribute or "
        "label is added once to its code: the mean code of training images with it minus that of those without it."
    )
    return [strips(images, caption, [f"Row of images: {name}" for name in names], names)]


def _vectors(look: Look) -> AttributeVectors:
    """Find the vectors of up to `NUM_ATTRIBUTES` attributes (or labels) that enough images have and have not."""
    import torch

    from ..data.attribute_table import known_attributes
    from ..data.thresholds import find_thresholds, has_attribute
    from ..latent.attribute_vectors import find_vectors

    assert look.data is not None
    train = some_of(look.data.train, look.options.num, look.options.seed)
    values, known = known_attributes(train)
    if not known:
        raise UserError("The data has neither labels nor attributes.")
    table = torch.from_numpy(values)
    if train.attribute_names:
        table = table[:, : len(train.attribute_names)]
    elif len(known) == 2:
        table, known = table[:, 1:], known[1:]  # of two labels the second says everything
    sides = has_attribute(table, find_thresholds(table))
    enough = torch.minimum((sides == 0).sum(0), (sides == 1).sum(0)) >= FEWEST
    columns = enough.nonzero()[:NUM_ATTRIBUTES, 0].tolist()
    if not columns:
        raise UserError("No attribute or label parts the images: each is almost the same for all.")
    mu, _ = encode_to_codes(look.model, train, look.options.batch_size)
    return find_vectors(mu, table[:, columns], [known[column] for column in columns])


def _clusters(look: Look) -> list[Block]:
    from ..latent.kmeans import kmeans, pca_map
    from ..metrics.clustering import SCORES
    from ..pages import Facts, strips
    from ..report.gallery import cluster_names, gallery
    from ..report.scatter import Grouping, scatter_block

    check_encoder(look.model)
    mu, images = look.codes[0], look.images
    num_labels = len(images.label_names) if images.labels is not None else 0
    k = look.k or (num_labels if 2 <= num_labels <= MOST_LABELS else 10)
    clusters = kmeans(mu, k, seed=look.options.seed)
    shown = gallery(images.images, clusters, NUM_MEMBERS, blank=127)
    names = cluster_names(clusters, images.labels, images.label_names)
    blocks: list[Block] = []
    groupings = [Grouping("clusters", clusters.assignment.numpy(), [str(cluster) for cluster in range(k)])]
    caption = f"k-means with {k} clusters on the codes of {len(mu):,} {look.whose} images"
    if images.labels is not None:
        scores = [(name, score(clusters.assignment, images.labels)) for name, score in SCORES.items()]
        blocks.append(Facts([(_SCORE_NAMES[name], f"{value:.3f}") for name, value in scores]))
        caption += "; of each the number of images and its most frequent label"
        groupings.append(Grouping("labels", images.labels, images.label_names))
    about = f"{caption}. Shown are the images nearest to its centre, the nearest first."
    points = pca_map(mu)
    places = "The same codes on the plane of their two principal components; a dot for each image."
    alt = f"Map of {len(mu)} codes on the plane of their two principal components"
    alts = [f"Images of cluster {name}" for name in names]
    return [*blocks, strips(shown, about, alts, names), scatter_block(points.numpy(), groupings, places, alt)]


_SCORE_NAMES = {"accuracy": "matched accuracy", "nmi": "NMI", "ari": "ARI", "purity": "purity"}


_TOLD = {"labels": "a label", "attributes": "the attributes of a held-out image"}
_SECTIONS: dict[str, tuple[Callable[[Look], list[Block]], str, bool]] = {
    "Reconstructions": (_reconstructions, "", True),
    "Samples": (_samples, "", True),
    "Interpolation": (_interpolation, "", True),
    "Traversals": (_traversals, "What single dimensions of the code do, the most used first.", True),
    "Attributes": (_attributes, "Directions in the latent space that put something into an image.", False),
    "Clusters": (_clusters, "Groups that the codes form by themselves; labels had no part in making them.", False),
}
"""Title, function, opening words of each section, and whether it may share a row."""
