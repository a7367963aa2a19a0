"""Several models side by side: the same figures of each as rows, and which model is best in each.

A model is one run, or several that differ in their seed alone (see `seed_groups`). What is compared comes from
`evaluate`, with the same extractor, images, counts and seed for all.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from torch import Tensor

from ..metrics.figures import SHARE_OF, Better, Figure, Figures, finite_or_none, from_json, info_of
from ..version import __version__
from .measure import too_few
from .seed_groups import SeedFigure, Verdict, over_seeds, rank

FORMAT = 1


@dataclass(frozen=True)
class MeasuredRun:
    """One run of a model: what `evaluate` returned, the seed it was trained with, its costs, its default prior."""

    name: str
    seed: int | None
    evaluation: Mapping[str, Any]
    cost: Mapping[str, float | None]
    prior: str | None = None

    def figures(self, of: str, prior: str = "") -> Figures:
        """Return the figures of a group; samples without a prior are those of the default prior."""
        if of == "cost":
            return {name: Figure(math.nan if value is None else value) for name, value in self.cost.items()}
        group = self.evaluation["samples"].get(prior or self.prior, {}) if of == "samples" else self.evaluation[of]
        return from_json(group)


@dataclass(frozen=True)
class ComparedModel:
    """A model with its runs, one for each seed; its name heads a column."""

    name: str
    runs: Sequence[MeasuredRun]
    # of reconstructions, see `on_values` of `evaluate`; means over runs
    values: Mapping[str, Tensor] = field(default_factory=dict)
    is_published: bool = False


@dataclass(frozen=True)
class FigureRow:
    """One figure of all models: which way is better, the real-data baseline (NaN where it has none), the verdict."""

    name: str
    better: Better | None
    real: float
    models: Sequence[SeedFigure]
    verdict: Verdict


@dataclass(frozen=True)
class FigureGroup:
    """Figures of 'samples' (of a prior; '' for each model's default), of other things, or of the 'cost'."""

    of: str
    prior: str
    rows: Sequence[FigureRow]

    @property
    def name(self) -> str:
        """The name in JSON."""
        return f"{self.of} of {self.prior}" if self.prior else self.of


def compare(models: Sequence[ComparedModel]) -> list[FigureGroup]:
    """Return all figures of models, group by group: samples of the default priors first, if these differ."""
    runs = [run for model in models for run in model.runs]
    priors = list(dict.fromkeys(prior for run in runs for prior in run.evaluation["samples"]))
    priors.sort(key=lambda prior: prior != "normal")
    samples = [("samples", prior) for prior in (["", *priors] if len(priors) > 1 else priors)]
    others = [(of, "") for of in ("reconstructions", "likelihood", "codes", "cost")]
    groups = [_group(models, of, prior) for of, prior in samples + others]
    return [group for group in groups if group.rows]


def _group(models: Sequence[ComparedModel], of: str, prior: str) -> FigureGroup:
    real = models[0].runs[0].figures("yardstick")
    figures = [[run.figures(of, prior) for run in model.runs] for model in models]
    names = dict.fromkeys(name for runs in figures for run_figures in runs for name in run_figures)
    rows = [
        row_of(name, [[run_figures.get(name) for run_figures in runs] for runs in figures], real)
        for name in names
        if not name.startswith(SHARE_OF)
    ]
    if too_few(models[0].runs[0].evaluation["data"], "say which is best"):
        rows = [replace(row, verdict=Verdict()) if row.name.startswith("frechet") else row for row in rows]
    return FigureGroup(of, prior, rows)


def row_of(
    name: str, of_models: Sequence[Sequence[Figure | None]], real: Mapping[str, Figure], group: str = ""
) -> FigureRow:
    """Return one figure of all models; ``group`` is the registry's, where several groups have a figure of this name."""
    models = [over_seeds(of_runs) for of_runs in of_models]
    better = info_of(name, group).better
    value = real[name].value if name in real else math.nan
    return FigureRow(name, better, value, models, rank([figure.mean for figure in models], better, value))


def spreads(groups: Sequence[FigureGroup]) -> list[tuple[FigureGroup, list[FigureRow]]]:
    """Return for each group the standard deviations over seeds; lower means training depends less on the seed."""
    pairs = []
    for group in groups:
        rows = [_spread(row) for row in group.rows if row.better and group.of != "cost"]
        rows = [row for row in rows if any(not math.isnan(figure.mean.value) for figure in row.models)]
        if rows:
            pairs.append((group, rows))
    return pairs


def _spread(row: FigureRow) -> FigureRow:
    models = [SeedFigure(figure.spread, figure.values) for figure in row.models]
    return FigureRow(row.name, "low", math.nan, models, rank([figure.mean for figure in models], "low"))


def as_json(models: Sequence[ComparedModel], groups: Sequence[FigureGroup]) -> dict[str, Any]:
    """Return everything as JSON: what was measured, of each run, and over seeds with verdicts by model names."""
    first = models[0].runs[0].evaluation
    return {
        "format": FORMAT,
        "vaegan": __version__,
        **{name: first[name] for name in ("data", "extractor", "seed", "yardstick")},
        "models": [_model_json(model) for model in models],
        "figures": {group.name: _rows_json(group, [model.name for model in models]) for group in groups},
    }


def _model_json(model: ComparedModel) -> dict[str, Any]:
    first = model.runs[0].evaluation["model"]
    runs = [asdict(run) for run in model.runs]
    return {"name": model.name, "kind": first["kind"], "latent_dim": first["latent_dim"], "runs": runs}


def _rows_json(group: FigureGroup, names: Sequence[str]) -> dict[str, Any]:
    return {
        row.name: {
            "better": row.better,
            "real": finite_or_none(row.real),
            "models": {name: figure.as_json() for name, figure in zip(names, row.models, strict=True)},
            "best": None if row.verdict.best is None else names[row.verdict.best],
            "overlapping": [names[i] for i in row.verdict.overlapping],
        }
        for row in group.rows
    }
