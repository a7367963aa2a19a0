"""Several models side by side: the same figures of each as rows, with what may be said of who is best.

A model is one run, or several that differ in their seed alone (see `seeds`). What is compared comes out of `evaluate`,
made with the same extractor, images, counts and seed for all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..version import __version__
from .figures import Figure, Figures, figure
from .ranking import Better, Verdict, rank
from .seeds import Combined, combine

FORMAT = 1
BETTER: dict[str, Better] = {
    "frechet_distance": "low", "frechet_ratio": "low", "kernel_distance": "low", "precision": "high", "recall": "high",
    "density": "real", "coverage": "high", "missing_labels": "low", "rarest_share": "real", "label_divergence": "low",
    "sharpness": "real", "gradient": "real", "mse": "low", "psnr": "high", "ssim": "high", "feature_distance": "low",
    "elbo": "high", "importance_bound": "high", "bits_per_dimension": "low", "linear_probe": "high",
    "neighbour_probe": "high", "training_seconds": "low", "images_per_second": "high",
}  # fmt: skip
"""What is better of a figure: low, high, or near to that of real images; of others nothing is."""
_LEFT_OUT = "share of "


@dataclass(frozen=True)
class Member:
    """One run of a model.

    Attributes:
        name: of the run.
        seed: that it was trained with, if known.
        evaluation: what `evaluate` returned.
        cost: numbers by name, None where unknown.
        prior: that it draws from if none is named; None if it has none.
    """

    name: str
    seed: int | None
    evaluation: Mapping[str, Any]
    cost: Mapping[str, float | None]
    prior: str | None = None

    def figures(self, of: str, prior: str = "") -> Figures:
        """Return the figures of a thing; samples without a prior are those of its own."""
        if of == "samples":
            found: Figures = self.evaluation["samples"].get(prior or self.prior, {})
        else:
            found = self.evaluation[of]
        return found


@dataclass(frozen=True)
class Compared:
    """A model.

    Attributes:
        name: at the head of its column.
        members: its runs, one for each seed.
    """

    name: str
    members: Sequence[Member]


@dataclass(frozen=True)
class Row:
    """One figure of all models.

    Attributes:
        figure: its name.
        better: 'low', 'high', 'real' (near to real images), or None.
        real: of real images, None where that means nothing.
        models: of each model.
        verdict: who is best.
    """

    figure: str
    better: Better | None
    real: float | None
    models: Sequence[Combined]
    verdict: Verdict


@dataclass(frozen=True)
class Group:
    """Figures of one thing.

    Attributes:
        of: 'samples', 'reconstructions', 'likelihood', 'codes' or 'cost'.
        prior: that samples are of; empty for those of each model's own, and of other things.
        rows: its figures.
    """

    of: str
    prior: str
    rows: Sequence[Row]

    @property
    def name(self) -> str:
        """In a few words."""
        return f"{self.of} of {self.prior}" if self.prior else self.of


def compare(models: Sequence[Compared]) -> list[Group]:
    """Return all figures of models, group by group: samples of each one's own prior first, if that is not all."""
    members = [member for model in models for member in model.members]
    priors = list(dict.fromkeys(prior for member in members for prior in member.evaluation["samples"]))
    priors.sort(key=lambda prior: prior != "normal")
    samples = [("samples", prior) for prior in (["", *priors] if len(priors) > 1 else priors)]
    others = [(of, "") for of in ("reconstructions", "likelihood", "codes")]
    groups = [_group(models, of, prior) for of, prior in samples + others]
    names = dict.fromkeys(name for model in models for member in model.members for name in member.cost)
    costs = [[[_plain(member.cost.get(name)) for member in model.members] for model in models] for name in names]
    groups.append(Group("cost", "", [_row(name, of_models, {}) for name, of_models in zip(names, costs, strict=True)]))
    return [group for group in groups if group.rows]


def _group(models: Sequence[Compared], of: str, prior: str) -> Group:
    real: Figures = models[0].members[0].evaluation["yardstick"]
    found = [[member.figures(of, prior) for member in model.members] for model in models]
    names = dict.fromkeys(name for runs in found for figures in runs for name in figures)
    rows = [
        _row(name, [[figures.get(name) for figures in runs] for runs in found], real)
        for name in names
        if not name.startswith(_LEFT_OUT)
    ]
    return Group(of, prior, rows)


def _row(name: str, of_models: Sequence[Sequence[Figure | None]], real: Figures) -> Row:
    combined = [combine(of_runs) for of_runs in of_models]
    better = BETTER.get(name)
    value = real[name]["value"] if name in real else None
    return Row(name, better, value, combined, rank(combined, better, value))


def _plain(value: float | None) -> Figure | None:
    return None if value is None else figure(value, 1, 0)


def spreads(groups: Sequence[Group]) -> list[tuple[Group, list[Row]]]:
    """Return of each group the standard deviations over seeds of figures that have a better.

    Only models of several runs have one. Less is better: a model that ends more alike whatever the seed.
    """
    found = []
    for group in groups:
        rows = [_spread(row) for row in group.rows if row.better and group.of != "cost"]
        rows = [row for row in rows if any(one.value is not None for one in row.models)]
        if rows:
            found.append((group, rows))
    return found


def _spread(row: Row) -> Row:
    spread = [
        Combined(None, None, None, one.values)
        if one.spread is None
        else Combined(one.spread.value, one.spread.low, one.spread.high, one.values)
        for one in row.models
    ]
    return Row(row.figure, "low", None, spread, rank(spread, "low"))


def as_json(models: Sequence[Compared], groups: Sequence[Group]) -> dict[str, Any]:
    """Return everything as JSON: what was measured, of each run, and over seeds with verdicts by model names."""
    first = models[0].members[0].evaluation
    return {
        "format": FORMAT,
        "vaegan": __version__,
        **{name: first[name] for name in ("data", "extractor", "seed", "yardstick")},
        "models": [_model_json(model) for model in models],
        "figures": {group.name: dict(_rows_json(group, models)) for group in groups},
    }


def _model_json(model: Compared) -> dict[str, Any]:
    first = model.members[0].evaluation["model"]
    runs = [asdict(member) for member in model.members]
    return {"name": model.name, "kind": first["kind"], "latent_dim": first["latent_dim"], "runs": runs}


def _rows_json(group: Group, models: Sequence[Compared]) -> Iterator[tuple[str, dict[str, Any]]]:
    names = [model.name for model in models]
    for row in group.rows:
        yield (
            row.figure,
            {
                "better": row.better,
                "real": row.real,
                "models": {name: asdict(one) for name, one in zip(names, row.models, strict=True)},
                "best": None if row.verdict.best is None else names[row.verdict.best],
                "overlapping": [names[i] for i in row.verdict.overlapping],
            },
        )
