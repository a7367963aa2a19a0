"""A model's card: the README.md that the Hugging Face hub shows, with what it reads by program at the top.

Everything on it comes from the model and its run; what is not known is left out or said to be unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..config import Config
from .figure_table import figure_lines, model_index
from .public_facts import PublicFacts

UNKNOWN_LICENSE = "unknown"
_CITATION = """```
@inproceedings{larsen2016autoencoding,
  title     = {Autoencoding beyond pixels using a learned similarity metric},
  author    = {Larsen, Anders Boesen Lindbo and S{\\o}nderby, S{\\o}ren Kaae and Larochelle, Hugo and Winther, Ole},
  booktitle = {International Conference on Machine Learning},
  year      = {2016},
  note      = {arXiv:1512.09300}
}
```"""


@dataclass(frozen=True)
class CardFacts:
    """What a card is written from.

    Attributes:
        name: id of the model on the hub, or of its folder.
        license: as the hub spells it, such as 'mit'.
        kind: in words, such as 'a VAE/GAN'.
        image_shape: (C, H, W).
        latent_dim: dimensions of a code.
        parameters: number of each part, by its name.
        priors: names of those to sample from.
        default_prior: the one taken if none is named; None if there is none.
        told: 'labels' or 'attributes' of a conditional model, else None.
        info: what the model remembers.
        shared: what is known beside.
        pictures: file and what it shows, in order, for the top.
        curves: of losses, likewise.
        vectors: names of the attribute vectors that come along.
    """

    name: str
    license: str
    kind: str
    image_shape: tuple[int, int, int]
    latent_dim: int
    parameters: Mapping[str, int]
    priors: tuple[str, ...]
    default_prior: str | None
    told: str | None
    info: Mapping[str, Any]
    shared: PublicFacts = field(default_factory=PublicFacts)
    pictures: tuple[tuple[str, str], ...] = ()
    curves: tuple[str, str] | None = None
    vectors: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The name without its owner."""
        return self.name.rpartition("/")[2]

    @property
    def data(self) -> str:
        """Name of the images it was trained on."""
        return str(self.info.get("data") or "images that are not known")


def write_card(facts: CardFacts) -> str:
    """Return the card as Markdown under its YAML."""
    sections = {
        "Use": _use(facts),
        "Model": _table(_model_rows(facts)),
        "Data": _data(facts),
        "Training": _training(facts),
        "Figures": figure_lines(facts.shared.evaluation, facts.default_prior),
        "Limits": _limits(facts),
        "Licence": _license(facts),
        "Citing": [f"The method is of arXiv:1512.09300.\n\n{_CITATION}"],
    }
    parts = [f"---\n{_metadata(facts)}\n---\n\n# {_plain(facts.title)}", "\n\n".join(_lead(facts))]
    parts += [f"## {head}\n\n" + "\n".join(lines) for head, lines in sections.items()]
    return "\n\n".join(parts) + "\n"


def _metadata(facts: CardFacts) -> str:
    from huggingface_hub import ModelCardData

    source = facts.shared.config.data.source if facts.shared.config else ""
    values: dict[str, Any] = {
        "license": facts.license,
        "library_name": "vaegan",
        "tags": ["vaegan", "autoencoder", "vae", "gan", "latent-space", "arxiv:1512.09300"],
    }
    if facts.default_prior is not None:
        values["pipeline_tag"] = "unconditional-image-generation"
    if source.startswith("hf:"):
        values["datasets"] = [source.removeprefix("hf:").partition(":")[0]]
    results = model_index(facts.shared.evaluation, facts.default_prior, facts.data)
    if results:
        values |= {"model_name": facts.title, "eval_results": results}
    return str(ModelCardData(**values).to_yaml()).strip()


def _lead(facts: CardFacts) -> Iterator[str]:
    channels, height, width = facts.image_shape
    colour = "grey" if channels == 1 else "colour"
    yield (
        f"{facts.kind[0].upper()}{facts.kind[1:]} ([arXiv:1512.09300](https://arxiv.org/abs/1512.09300)) for {colour} "
        f"images of {height}x{width} pixels, trained on {_plain(facts.data)} with `vaegan`."
    )
    for file, about in facts.pictures:
        yield _picture(file, about)


def _picture(file: str, about: str) -> str:
    return f"![{about}]({file})\n\n*{about}*"


def _use(facts: CardFacts) -> list[str]:
    made = "condition=c, " if facts.told else ""
    lines = ["```python", "import vaegan", "", f'model = vaegan.load("{facts.name}")']
    if facts.told == "labels":
        lines += ["c = model.conditioning.of_labels([model.conditioning.names[0]] * 8)  # (8, A), what is to be seen"]
    elif facts.told:
        lines += ["c = model.condition_in_turn(8)  # (8, A), attributes as held-out images have them"]
    if facts.default_prior is not None:
        lines += [f"x = model.sample(8, {made}seed=0)  # (8, C, H, W) in [0, 1]"]
    if "encoder" in facts.parameters:
        given = "x, condition=c" if facts.told else "x"
        lines += [f"z = model.encode({given})  # (8, {facts.latent_dim}), of images (8, C, H, W) in [0, 1]"]
        if "decoder" in facts.parameters:
            lines += [f"x_tilde = model.decode({given.replace('x', 'z', 1)})"]
            lines += _edit(facts, made)
    lines += ["```"]
    if facts.default_prior is not None:
        lines += ["", "or `vaegan sample " + facts.name + " --out samples.png` in a terminal."]
    return lines


def _edit(facts: CardFacts, made: str) -> list[str]:
    """Return how an attribute vector is used, if there are any."""
    if not facts.vectors:
        return []
    end = f", {made.rstrip(', ')}" if made else ""
    return [
        "",
        "from vaegan.latent.attribute_vectors import apply",
        "from vaegan.report.vectors import load_vectors",
        "",
        f'vectors = load_vectors("{facts.name}")',
        f"edited = model.decode(apply(z, vectors[{facts.vectors[0]!r}], 1.0){end})",
    ]


def _model_rows(facts: CardFacts) -> Iterator[tuple[str, str]]:
    yield "kind", facts.kind
    yield "images", "x".join(map(str, facts.image_shape)) + " (channels, height, width), values in [0, 1]"
    yield "code", f"{facts.latent_dim} dimensions"
    for name, number in facts.parameters.items():
        yield f"parameters of the {name}", f"{number:,}"
    if facts.default_prior is not None:
        others = [name for name in facts.priors if name != facts.default_prior]
        also = f"; also {', '.join(others)}" if others else ""
        yield "priors to sample from", f"{facts.default_prior}, unless another is named{also}"
    if facts.vectors:
        yield "attribute vectors", ", ".join(map(_plain, facts.vectors))
    if facts.told:
        yield "is told", f"the {facts.told} of each image"


def _data(facts: CardFacts) -> list[str]:
    data = facts.shared.data
    lines = [f"`{_plain(facts.data)}`"]
    if {"train", "test"} <= set(data):
        lines[0] += f": {data['train']:,} images to train on, {data['test']:,} held out"
    lines[0] += "."
    for word, known in (("Labels", "label_names"), ("Attributes", "attribute_names")):
        if names := facts.info.get(known):
            lines += ["", f"{word}: {', '.join(_plain(str(name)) for name in names)}."]
    return lines


def _training(facts: CardFacts) -> list[str]:
    info, config = facts.info, facts.shared.config
    known = {"recipe": "recipe", "images": "images seen", "seed": "seed", "device": "device"}
    rows = [
        (head, f"{info[name]:,}" if name == "images" else str(info[name]))
        for name, head in known.items()
        if info.get(name) is not None
    ]
    if config is not None:
        rows += list(_setting_rows(config))
    lines = _table(iter(rows)) if rows else ["Not known."]
    if config is not None:
        lines += ["", "All settings are in `config.yaml`; `vaegan train --config config.yaml` trains it again."]
    return lines + (["", _picture(*facts.curves)] if facts.curves else [])


def _setting_rows(config: Config) -> Iterator[tuple[str, str]]:
    loss, optim, train = config.loss, config.optim, config.train
    yield "length", f"{train.images:,} images" if train.images else f"{train.epochs:g} epochs"
    yield "batch", f"{train.batch_size} images, {train.precision}"
    yield "gamma", f"{loss.gamma:g}"
    yield "weight of KL", f"{loss.kl_weight:g}, {loss.kl_schedule}"
    yield "likelihood", f"{loss.likelihood}, weight at the encoder {loss.encoder_llike_weight:g}"
    if config.model.kind in ("vaegan", "gan"):
        yield "adversarial form", loss.adversarial
    yield "optimiser", f"{optim.name}, rate {optim.lr:g}, {optim.schedule}"


def _limits(facts: CardFacts) -> list[str]:
    _, height, width = facts.image_shape
    lines = [
        f"- It knows {_plain(facts.data)} and nothing else: what lies outside comes out as something like it. Whatever "
        "these images leave out or show one-sidedly, so does the model.",
        f"- It works at {height}x{width} pixels alone; other images are cut and scaled first.",
    ]
    if "encoder" in facts.parameters:
        lines += ["- A reconstruction resembles its original; it is no copy, and details of it are made up."]
    if facts.default_prior is not None:
        kept = " The prior `kde` holds codes of training images." if "kde" in facts.priors else ""
        lines += [
            "- New images may come close to training images; the figure of those nearer than held-out ones, where "
            f"there is one, and `vaegan nearest` tell how close.{kept}"
        ]
    if facts.shared.evaluation is None:
        lines += ["- It has not been measured."]
    return lines


def _license(facts: CardFacts) -> list[str]:
    if facts.license == UNKNOWN_LICENSE:
        return ["None has been chosen. Who shares a model sets one (`license:` at the top of this file)."]
    return [f"`{facts.license}`, of the model. The images it was trained on have terms of their own."]


def _table(rows: Iterator[tuple[str, str]]) -> list[str]:
    return ["| | |", "|---|---|", *(f"| {_plain(head)} | {_plain(text)} |" for head, text in rows)]


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is, in one line of a table."""
    text = " ".join(text.split())
    return "".join(f"\\{letter}" if letter in "\\|`*_[]<>" else letter for letter in text)
