"""Claim 4: does a KL weight of 1/B or sigmoid(epoch) ease training, and must a ramp saturate?"""

from __future__ import annotations

import sys
from functools import partial

from common.bases import mlp
from common.charts import COLOURS, dots, logarithmic, new_figure, panel, strips
from common.measures import decode_normal, of_codes, of_reconstructions, of_samples
from common.page import table
from common.results import Results, Statement
from common.statistics import Answer, exceeds
from common.study import Lab, Study, run_study

from vaegan.schedules import KLContext, kl_factor

LIMIT = 6_000
SCHEDULES = {
    "1": ("constant", 1.0),
    "1/z": ("inverse-latent", 1.0),
    "1/B": ("inverse-batch", 1.0),
    "linear": ("linear", 10.0),
    "sigmoid": ("sigmoid", 1.0),
    "cyclic": ("cyclic", 5.0),
    "exp": ("exponential", 2.0),
}
GAINS = ("feature_error", "frechet")


def collect(lab: Lab) -> None:
    """Train each schedule; the last mark counts."""
    measures = {"samples": of_samples, "reconstructions": of_reconstructions, "codes": of_codes}
    context = mlp()
    size, latent = context.train.batch_size, context.model.latent_dim
    epochs = lab.images / LIMIT
    lab.results.about |= {"epochs": f"{epochs:g}", "latent": latent, "batch": size}
    steps = [epochs * step / 100 for step in range(101)]
    for name, (schedule, length) in SCHEDULES.items():
        config = mlp(
            {"data.limit": LIMIT, "loss.kl_weight": 1.0, "loss.kl_schedule": schedule, "loss.kl_epochs": length}
        )
        lab.follow(name, config, lab.marks(1), measures)
        lab.results.extras[name] = [kl_factor(schedule, KLContext(at, length, size, latent)) for at in steps]
        lab.picture(name, config, partial(decode_normal, num=16))


def judge(results: Results) -> list[Statement]:
    """Compare each with the constant 1; exp with sigmoid."""
    eased = [_eases(results, name) for name in ("1/B", "sigmoid")]
    worse = {figure: results.gap("exp", "sigmoid", figure) for figure in GAINS}
    failed = results.diverged("exp")
    answers = {exceeds(gap) for gap in worse.values()}
    answer: Answer = "yes" if failed == len(results.values("exp", "frechet")) or answers == {"yes"} else "unclear"
    if not failed and answers == {"no"}:
        answer = "no"
    reason = (
        f"Against sigmoid, exp changes the reconstructions' feature error by {worse['feature_error']} and the "
        f" samples' Fréchet distance by {worse['frechet']}; active dimensions {results.mean('exp', 'active')} "
        f"against {results.mean('sigmoid', 'active')}; {failed} runs diverged."
    )
    return [*eased, Statement.answered("A ramp must saturate: exp does worse than sigmoid.", answer, reason)]


def _eases(results: Results, name: str) -> Statement:
    gains = {figure: results.gap("1", name, figure) for figure in GAINS}
    answers = [exceeds(gain) for gain in gains.values()]
    harms = [exceeds(results.gap(name, "1", figure)) for figure in GAINS]
    answer: Answer = "unclear"
    if "yes" in answers and "yes" not in harms:
        answer = "yes"
    elif "yes" in harms or answers == ["no", "no"]:
        answer = "no"
    reason = (
        f"Against the constant 1, it lowers the reconstructions' feature error by {gains['feature_error']} and the "
        f"samples' Fréchet distance by {gains['frechet']} (from {results.mean('1', 'frechet')}); diverged: "
        f"{results.diverged(name)} runs, and {results.diverged('1')} with 1."
    )
    return Statement.answered(f"A KL weight of {name} eases training.", answer, reason)


def table_of_schedules(results: Results) -> str:
    """All schedules."""
    columns = {
        "KL (nats per image)": "nats",
        "active dimensions": "active",
        "reconstructions: pixel MSE": "mse",
        "reconstructions: feature error": "feature_error",
        "samples: Fréchet distance": "frechet",
        "samples: coverage": "coverage",
    }
    rows = [
        [name, *[results.mean(name, column) for column in columns.values()], results.diverged(name)]
        for name in results.variants
    ]
    return table(["KL weight", *columns, "diverged runs"], rows)


def draw(results: Results) -> object:
    """The schedules, three figures, a row of samples of each."""
    figure = new_figure(11, 7.4)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.25, 1))
    (curves, nats), (features, distance) = upper.subplots(2, 2)
    panel(curves, "KL weight over training", "share of the run")
    curves.set_yscale("log")
    for place, name in enumerate(results.variants):
        values = results.extras[name]
        curves.plot([i / (len(values) - 1) for i in range(len(values))], values, color=COLOURS[place], label=name)
    curves.legend(fontsize=7, frameon=False, ncols=2)
    for axes, column, title in (
        (nats, "nats", "KL of the codes (nats per image)"),
        (features, "feature_error", "Reconstructions: feature error"),
        (distance, "frechet", "Samples: Fréchet distance"),
    ):
        dots(panel(axes, title), results, column, results.variants)
        logarithmic(axes)
    strips(lower, [(f"{name}: samples", picture) for name, picture in results.pictures.items()], columns=2)
    return figure


STUDY = Study(
    name="kl_schedules",
    number=4,
    title="Which weight of the KL term eases training?",
    claim="A KL weight of 1/B or sigmoid(epoch) eases training; the ramp must saturate, exp would not do.",
    how=f"""Fully connected VAE/GANs (recipe mnist-mlp, 512 wide, constant rate, no averaged weights, z of {{latent}})
on {LIMIT:,} digits for {{epochs}} passes, so that sigmoid(epoch) = 1 / (1 + e^(5 - epoch/3)) has time to rise. The
weight of KL is 1, 1/z, 1/B (B = {{batch}}), rises linearly over 10 epochs, as the sigmoid, linearly in each half of
cycles of 5 epochs, or as 0.01 e^(epoch/2) without bound. A dimension is active if its mean code varies (variance
above 0.01).""",
    rule="""Eases: the feature error of reconstructions or the Fréchet distance of samples is lower than with the
constant 1 (interval of the difference above 0) and neither is higher. Refuted: either is higher, or neither is lower.
exp: confirmed if both are higher than sigmoid's or all its runs diverge, refuted if neither is. Else unclear.""",
    images=120_000,
    collect=collect,
    judge=judge,
    table=table_of_schedules,
    draw=draw,
)

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
