"""A model's card: the README.md that the Hugging Face hub displays, with machine-readable metadata at the top.

Everything on it comes from the model and its run; what neither has is left out or called unknown.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..config import Config
from ..data.sources import is_path
from ..kinds import ended_in_pretraining, why_without_effect
from ..metrics.figures import GROUPS, Figure, info_of, plain, prior_in_words, shown_in
from ..pixels import channels_in_words
from ..runs.locate import HUB_ID, PUBLISHED
from ..settings import KINDS
from .public_facts import PublicFacts

UNKNOWN_LICENSE = "unknown"
_PAPERS = {"vae": "1312.6114", "gan": "1406.2661", "vae-dis-l": "1512.09300", "vaegan": "1512.09300"}
"""The paper of each kind of model that has one, by its number on arXiv."""
_ENTRIES = {
    "1312.6114": """@inproceedings{kingma2014auto,
  title     = {Auto-encoding variational {Bayes}},
  author    = {Kingma, Diederik P. and Welling, Max},
  booktitle = {International Conference on Learning Representations},
  year      = {2014},
  note      = {arXiv:1312.6114}
}""",
    "1406.2661": """@inproceedings{goodfellow2014generative,
  title     = {Generative adversarial nets},
  author    = {Goodfellow, Ian and others},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2014},
  note      = {arXiv:1406.2661}
}""",
    "1512.09300": r"""@inproceedings{larsen2016autoencoding,
  title     = {Autoencoding beyond pixels using a learned similarity metric},
  author    = {Larsen, Anders Boesen Lindbo and S{\o}nderby, S{\o}ren Kaae and Larochelle, Hugo and Winther, Ole},
  booktitle = {International Conference on Machine Learning},
  year      = {2016},
  note      = {arXiv:1512.09300}
}""",
}
"""Their entries in BibTeX."""


@dataclass(frozen=True)
class CardFacts:
    """The facts that a card is written from."""

    name: str  # id of the model on the hub, or of its folder
    license: str  # as the hub spells it, such as 'mit'
    kind: str  # of `settings.KINDS`
    image_shape: tuple[int, int, int]  # (C, H, W)
    latent_dim: int  # dimensions of a code
    parameters: Mapping[str, int]  # number of each part, by its name
    priors: tuple[str, ...]  # names of the priors
    default_prior: str | None  # their default; None if there is none
    condition: str | None  # 'labels' or 'attributes' of a conditional model, else None
    info: Mapping[str, Any]  # the model's own, see `Model.info`
    shared: PublicFacts = field(default_factory=PublicFacts)  # facts of its run
    pictures: tuple[tuple[str, str], ...] = ()  # files at the top, in order, each with a description
    curves: tuple[str, str] | None = None  # the file of losses, with a description
    vectors: tuple[str, ...] = ()  # names of its attribute vectors
    factor: int | None = None  # sides of images are multiples of it; None where codes are vectors

    @property
    def title(self) -> str:
        """The name without its owner."""
        return self.name.rpartition("/")[2]

    @property
    def phrase(self) -> str:
        """What it is, in a sentence; its pre-training if training ended there."""
        phrase = KINDS[self.kind].phrase
        return f"an autoencoder (the pre-training of {phrase})" if ended_in_pretraining(self.info) else phrase

    @property
    def pretraining(self) -> int:
        """Images of the pre-training as an autoencoder; -1 if there is none."""
        return int(self.info.get("pretrain_images") or -1)

    @property
    def data(self) -> str:
        """Name of the images it was trained on."""
        return str(self.info.get("data") or "unspecified images")

    @property
    def start(self) -> str | None:
        """The model that it was fine-tuned from, as its settings name it; None if there is none, or it is unknown."""
        return self.shared.config.init_from if self.shared.config else None

    @property
    def start_id(self) -> str | None:
        """The id of `start` on the hub; None if it is not there."""
        name = (self.start or "").removeprefix(PUBLISHED)
        return name if re.fullmatch(HUB_ID, name) else None

    @property
    def frozen(self) -> list[str]:
        """The parts that were not trained because others were named (`train.parts`)."""
        config = self.shared.config
        return [name for name in self.parameters if config is not None and config.is_frozen(name)]

    @property
    def trained(self) -> str:
        """How its weights came about, as Markdown."""
        return f"fine-tuned from {_escaped(self.start)}" if self.start else "trained"


def write_card(facts: CardFacts) -> str:
    """Return the card as Markdown under its YAML."""
    channels, height, width = facts.image_shape
    colour = channels_in_words(channels)
    phrase, paper = facts.phrase, _PAPERS.get(facts.kind)
    link = f" ([arXiv:{paper}](https://arxiv.org/abs/{paper}))" if paper else ""
    lead = (
        f"{phrase[0].upper()}{phrase[1:]}{link} for {colour} images of {height}x{width} pixels, {facts.trained} on "
        f"{_escaped(facts.data)} with [`vaegan`](https://github.com/vaegan/vaegan)."
    )
    if facts.start is not None and "encoder" in facts.frozen:
        lead += f" Its encoder is frozen: latents are those of {_escaped(facts.start)}."
    sections = {
        "Use": _use(facts),
        "Model": _table(_model_rows(facts)),
        "Data": _data(facts),
        "Training": _training(facts),
        "Metrics": _metrics(facts),
        "Limits": _limits(facts),
        "Licence": _license(facts),
    }
    if paper:
        sections["Citing"] = [f"The method is from arXiv:{paper}.\n\n```\n{_ENTRIES[paper]}\n```"]
    blocks = [f"---\n{_metadata(facts)}\n---", f"# {_escaped(facts.title)}", lead]
    blocks += [_picture(file, about) for file, about in facts.pictures]
    blocks += [f"## {head}\n\n" + "\n".join(lines) for head, lines in sections.items()]
    return "\n\n".join(blocks) + "\n"


def _metadata(facts: CardFacts) -> str:
    """Return what the hub reads by program, as YAML."""
    from huggingface_hub import EvalResult, ModelCardData

    source = facts.shared.config.data.source if facts.shared.config else ""
    tags = ["autoencoder"] * ("encoder" in facts.parameters) + ["vae"] * facts.kind.startswith("vae")
    tags += ["gan"] * facts.kind.endswith("gan")
    tags += [f"arxiv:{_PAPERS[facts.kind]}"] if facts.kind in _PAPERS else []
    values: dict[str, Any] = {
        "license": facts.license,
        "library_name": "vaegan",
        "tags": ["vaegan", *tags, "latent-space"],
    }
    if facts.default_prior is not None:
        values["pipeline_tag"] = "unconditional-image-generation"
    if facts.start_id is not None:
        values["base_model"] = facts.start_id
    if source.startswith("hf:"):
        values["datasets"] = [source.removeprefix("hf:").partition(":")[0]]
    data = (facts.shared.evaluation or {}).get("data", {})
    results = [
        EvalResult(
            "unconditional-image-generation", data["name"], data["name"], f"{group}/{name}", figure.value,
            dataset_split=data["split"], metric_name=f"{GROUPS[group]}: {info_of(name).title}",
        )
        for group, name, figure in _measured(facts)
    ]  # fmt: skip
    if results:
        values |= {"model_name": facts.title, "eval_results": results}
    return str(ModelCardData(**values).to_yaml()).strip()


def _measured(facts: CardFacts) -> Iterator[tuple[str, str, Figure]]:
    """Yield the evaluation's figures that a card shows: group, name, figure."""
    evaluation = facts.shared.evaluation
    if evaluation is None:
        return
    for group in ("samples", "reconstructions", "likelihood", "codes"):
        figures = evaluation["samples"].get(facts.default_prior, {}) if group == "samples" else evaluation[group]
        for name in shown_in("card", group):
            if name in figures and figures[name]["value"] is not None:
                yield group, name, Figure.from_json(figures[name])


def _metrics(facts: CardFacts) -> list[str]:
    evaluation = facts.shared.evaluation
    if evaluation is None:
        return ["None: the model had not been measured when this was written (`vaegan evaluate`)."]
    data, baseline, prior = evaluation["data"], evaluation["yardstick"], facts.default_prior
    samples = f"samples from the prior {prior_in_words(prior, evaluation)}, " if prior else ""
    lines = ["| of | metric | value | 95 % interval | real-data baseline | images |", "|---|---|---|---|---|---|"]
    for group, name, figure in _measured(facts):
        interval = f"{plain(figure.low)} to {plain(figure.high)}" if figure.low <= figure.high else "–"
        real = baseline.get(name, {}).get("value") if group in ("samples", "reconstructions") else None
        cells = [GROUPS[group], info_of(name).title, plain(figure.value), interval]
        lines += ["| " + " | ".join([*cells, "–" if real is None else plain(real), f"{figure.num:,}"]) + " |"]
    lines += [
        "",
        f"Measured on {data['num']:,} {'held-out' if data['split'] == 'test' else 'training'} images of "
        f"{data['name']}, {samples}seed {evaluation['seed']}, features of {evaluation['extractor']['name']}. "
        "Intervals are over images. The real-data baseline is training images measured in place of samples. Only "
        "metrics with the same features and number of images can be compared.",
    ]
    if sentence := evaluation.get("conclusion"):
        lines = [f"{_escaped(sentence)}.", "", *lines]
    return lines


def _picture(file: str, about: str) -> str:
    return f"![{about}]({file})\n\n*{about}*"


def _use(facts: CardFacts) -> list[str]:
    conditional = "condition=c, " if facts.condition else ""
    last = ", condition=c" if facts.condition else ""
    lines = ["```bash", "pip install vaegan", "```", "", "```python", "import vaegan", ""]
    lines += [f'model = vaegan.load("{facts.name}")']
    if facts.condition == "labels":
        lines += ["c = model.conditioning.of_labels([model.conditioning.names[0]] * 8)  # (8, A), a label for each"]
    elif facts.condition:
        lines += ["c = model.condition_in_turn(8)  # (8, A), attributes of held-out images"]
    if facts.default_prior is not None:
        lines += [f"x = model.sample(8, {conditional}seed=0)  # (8, C, H, W) in [0, 1]"]
    if "encoder" in facts.parameters:
        lines += [f"z = model.encode(x{last})  # (8, {facts.latent_dim}), of images (8, C, H, W) in [0, 1]"]
    if {"encoder", "decoder"} <= set(facts.parameters):
        lines += [f"x_tilde = model.decode(z{last})"]
        if facts.vectors:
            lines += ["", "from vaegan.latent.attribute_vectors import apply"]
            lines += ["from vaegan.report.vectors import load_vectors", ""]
            lines += [f'vectors = load_vectors("{facts.name}")']
            lines += [f"edited = model.decode(apply(z, vectors[{facts.vectors[0]!r}], 1.0){last})"]
    lines += ["```"]
    if facts.default_prior is not None:
        lines += ["", f"Or in a terminal: `vaegan sample {facts.name} --out samples.png`."]
    return lines


def _model_rows(facts: CardFacts) -> Iterator[tuple[str, str]]:
    yield "kind", facts.phrase
    yield "images", "x".join(map(str, facts.image_shape)) + " (channels, height, width), values in [0, 1]"
    yield "code", f"{facts.latent_dim} dimensions"
    for name, number in facts.parameters.items():
        yield f"parameters of the {name}", f"{number:,}"
    if facts.default_prior is not None:
        others = [name for name in facts.priors if name != facts.default_prior]
        yield "priors", ", ".join([f"{facts.default_prior} (default)", *others])
    if facts.vectors:
        yield "attribute vectors", ", ".join(map(_escaped, facts.vectors))
    if facts.condition:
        yield "conditional on", f"the {facts.condition} of each image"


def _data(facts: CardFacts) -> list[str]:
    data = facts.shared.data
    sizes = ""
    if {"train", "test"} <= set(data):
        sizes = f": {data['train']:,} images to train on, {data['test']:,} held out"
    lines = [f"{_escaped(facts.data)}{sizes}."]
    for head, key in (("Labels", "label_names"), ("Attributes", "attribute_names")):
        if names := facts.info.get(key):
            lines += ["", f"{head}: {', '.join(_escaped(str(name)) for name in names)}."]
    return lines


def _training(facts: CardFacts) -> list[str]:
    info, config = facts.info, facts.shared.config
    rows = [(name, str(info[name])) for name in ("recipe", "seed", "device") if info.get(name) is not None]
    if (images := info.get("images")) is not None:
        per_epoch = facts.shared.data.get("train")
        rows += [("images seen", f"{images:,}" + (f" ({images / per_epoch:.3g} epochs)" if per_epoch else ""))]
        if facts.pretraining > 0:
            end = "; training ended before it was over" if images < facts.pretraining else ""
            rows += [("pre-training", f"the first {facts.pretraining:,} images, as an autoencoder{end}")]
    if facts.start:
        rows += [("fine-tuned from", facts.start)]
    if facts.frozen:
        rows += [("trained", ", ".join(name for name in facts.parameters if name not in facts.frozen))]
        rows += [("frozen", ", ".join(facts.frozen))]
    if config is not None:
        rows += list(_setting_rows(config))
    lines = _table(rows) if rows else ["Unknown."]
    if config is not None:
        places = {
            "data": config.data.source if is_path(config.data.source) else None,
            "init-from": None if facts.start_id else facts.start,
            "loss.metric": config.loss.metric,
            "loss.perceptual-file": config.loss.perceptual_file,
        }
        where = ", ".join(f"{_escaped(str(place))} (`--{name}`)" for name, place in places.items() if place)
        add = f" The file has no paths; also name the places of {where}." if where else ""
        lines += ["", f"All settings are in `config.yaml`; `vaegan train --config config.yaml` trains it again.{add}"]
    return lines + (["", _picture(*facts.curves)] if facts.curves else [])


def _setting_rows(config: Config) -> Iterator[tuple[str, str]]:
    loss, optim, train = config.loss, config.optim, config.train

    def has_effect(name: str) -> bool:
        return why_without_effect(config, f"loss.{name}") is None

    yield "length", f"{train.images:,} images" if train.images else f"{train.epochs:g} epochs"
    yield "batch", f"{train.batch_size} images, {train.precision}"
    if has_effect("gamma"):
        yield "gamma", f"{loss.gamma:g}"
    if has_effect("kl_weight"):
        yield "KL weight", f"{loss.kl_weight:g}, {loss.kl_schedule}"
    if config.model.kind != "gan":
        at_encoder = f", weight at the encoder {loss.encoder_llike_weight:g}"
        yield "likelihood", loss.likelihood + at_encoder * has_effect("encoder_llike_weight")
    if has_effect("adversarial"):
        yield "adversarial form", loss.adversarial
    if loss.adversarial_start:
        yield "adversarial loss", f"from {loss.adversarial_start:.0%} of the run on; until then a VAE"
    if loss.discriminator_warmup:
        yield "discriminator alone", f"{loss.discriminator_warmup:.0%} of the run"
    yield "optimiser", f"{optim.name}, rate {optim.lr:g}, {optim.schedule}"


def _limits(facts: CardFacts) -> list[str]:
    _, height, width = facts.image_shape
    data, only = _escaped(facts.data), " only" if facts.shared.config else ""  # unknown of a copy outside its run
    if facts.start:
        lines = [f"- It was {facts.trained} on {data}, and inherits the gaps and biases of both."]
    else:
        theirs = "its reconstructions of other images resemble these, and it inherits their gaps and biases"
        lines = [f"- It was trained on {data}{only}: {theirs}."]
    if facts.factor is None:
        lines += [f"- It works at {height}x{width} pixels; other images are cropped and resized first."]
    elif "encoder" in facts.parameters:
        sizes = f"all images whose sides are multiples of {facts.factor}"
        lines += [f"- It was trained at {height}x{width} pixels, and takes {sizes}."]
    if "encoder" in facts.parameters:
        lines += ["- A reconstruction resembles its original but is no copy; its details are invented."]
    if facts.default_prior is not None:
        stored = " The prior `kde` holds codes of training images." if "kde" in facts.priors else ""
        lines += [
            "- Samples may come close to training images. The memorisation rate among the metrics, where it is "
            f"measured, and `vaegan nearest` show how close.{stored}"
        ]
    if facts.shared.evaluation is None:
        lines += ["- It has not been measured."]
    return lines


def _license(facts: CardFacts) -> list[str]:
    base = f" The licence of {_escaped(facts.start)}, from which it was fine-tuned, applies too." if facts.start else ""
    if facts.license == UNKNOWN_LICENSE:
        return [f"None has been chosen. Set one before you share the model (`license:` at the top of this file).{base}"]
    return [f"`{facts.license}`, of the model. The training images have their own terms.{base}"]


def _table(rows: Iterable[tuple[str, str]]) -> list[str]:
    return ["| | |", "|---|---|", *(f"| {_escaped(head)} | {_escaped(text)} |" for head, text in rows)]


def _escaped(text: str) -> str:
    """Return text that Markdown shows as it is, in one line of a table."""
    text = " ".join(text.split())
    return "".join(f"\\{letter}" if letter in "\\|`*_[]<>" else letter for letter in text)
