"""Claim 4: does a KL weight of 1/B or sigmoid(epoch) make training easier, and must a ramp saturate?"""

from __future__ import annotations

import sys
from functools import partial

from common.bases import mlp
from common.charts import COLOURS, dots, logarithmic, new_chart, panel, show_strips
from common.lab import Lab
from common.measures import code_metrics, decode_normal, reconstruction_metrics, sample_metrics
from common.results import Results, Statement, table
from common.statistics import RELATIVE, Answer, all_of, any_of, exceeds
from common.study import Study, run_study

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
GAINS = {"feature_error": "the feature error of reconstructions", "frechet": "the Fréchet distance of samples"}


def collect(lab: Lab) -> None:
    """Train with each schedule; measure at the end."""
    measures = {"samples": sample_metrics, "reconstructions": reconstruction_metrics, "codes": code_metrics}
    context = mlp()
    size, latent = context.train.batch_size, context.model.latent_dim
    lab.results.about |= {"epochs": f"{lab.images / LIMIT:g}", "latent": latent, "batch": size}
    for name, (schedule, length) in SCHEDULES.items():
        config = mlp(
            {"data.limit": LIMIT, "loss.kl_weight": 1.0, "loss.kl_schedule": schedule, "loss.kl_epochs": length}
        )
        lab.measure(name, config, lab.marks(1), measures)
        lab.add_strip(name, config, partial(decode_normal, num=16))


def judge(results: Results) -> list[Statement]:
    """Compare each schedule with a constant 1, and exp with sigmoid."""
    easier = [_makes_easier(results, name) for name in ("1/B", "sigmoid")]
    worse, failed = {metric: results.gap("exp", "sigmoid", metric) for metric in GAINS}, results.diverged("exp")
    answer = all_of(*_higher(results, "exp", "sigmoid", "sigmoid"))
    if failed > results.diverged("sigmoid"):
        answer = Answer("confirmed")
    reason = (
        f"Compared with sigmoid, exp changes the feature error of reconstructions by {worse['feature_error']} and the "
        f"Fréchet distance of samples by {worse['frechet']}; active dimensions: {results.mean('exp', 'active')}, with "
        f"sigmoid {results.mean('sigmoid', 'active')}; {failed} runs diverged."
    )
    return [*easier, Statement("A ramp must saturate: exp is worse than sigmoid.", answer, reason)]


def _higher(results: Results, a: str, b: str, base: str) -> list[Answer]:
    """Return for each metric whether it is higher with ``a`` than with ``b``, by a share of its mean with ``base``."""
    return [
        exceeds(results.gap(a, b, metric), RELATIVE * results.mean(base, metric).mean, words)
        for metric, words in GAINS.items()
    ]


def _makes_easier(results: Results, name: str) -> Statement:
    gains = {metric: results.gap("1", name, metric) for metric in GAINS}
    answer = any_of(*_higher(results, "1", name, "1"))
    is_worse = any(harm.kind == "confirmed" for harm in _higher(results, name, "1", "1"))
    if is_worse or results.diverged(name) > results.diverged("1"):
        answer = Answer("refuted")
    reason = (
        f"Compared with a constant 1, it lowers the feature error of reconstructions by {gains['feature_error']} and "
        f"the Fréchet distance of samples by {gains['frechet']} (from {results.mean('1', 'frechet')}); "
        f"{results.diverged(name)} runs diverged, and {results.diverged('1')} with a constant 1."
    )
    return Statement(f"A KL weight of {name} makes training easier.", answer, reason)


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
    """The schedules, three metrics, a row of samples of each."""
    chart = new_chart(11, 7.4)
    upper, lower = chart.subfigures(2, 1, height_ratios=(1.25, 1))
    (curves, nats), (features, distance) = upper.subplots(2, 2)
    panel(curves, "KL weight over training", "share of the run")
    curves.set_yscale("log")
    epochs, batch, latent = float(results.about["epochs"]), results.about["batch"], results.about["latent"]
    shares = [step / 100 for step in range(101)]
    for place, (name, (schedule, length)) in enumerate(SCHEDULES.items()):
        weights = [kl_factor(schedule, KLContext(share * epochs, length, batch, latent)) for share in shares]
        curves.plot(shares, weights, color=COLOURS[place], label=name)
    curves.legend(fontsize=7, frameon=False, ncols=2)
    for axes, column, title in (
        (nats, "nats", "KL of the codes (nats per image)"),
        (features, "feature_error", "Reconstructions: feature error"),
        (distance, "frechet", "Samples: Fréchet distance"),
    ):
        dots(panel(axes, title), results, column)
        logarithmic(axes)
    show_strips(lower, {f"{name}: samples": images for name, images in results.strips.items()}, columns=2)
    return chart


STUDY = Study(
    name="kl_schedules",
    number=4,
    title="Which KL weight makes training easier?",
    claim="A KL weight of 1/B or sigmoid(epoch) makes training easier; a ramp must saturate, so exp fails.",
    method=f"""Fully connected VAE/GANs (recipe mnist-mlp, 512 wide, constant learning rate, no weight averaging, z of
{{latent}} dimensions) on {LIMIT:,} digits for {{epochs}} epochs, so that sigmoid(epoch) = 1 / (1 + e^(5 - epoch/3))
has time to rise. The KL weight is 1, 1/z, 1/B (B = {{batch}}), a linear ramp over 10 epochs, the sigmoid, a linear
ramp in the first half of every cycle of 5 epochs, or 0.01 e^(epoch/2) without bound. A dimension is active if the
variance of its mean code over images is above 0.01.""",
    rule=f"""The smallest difference that counts is {RELATIVE:.0%} of the mean with a constant 1 (exp: with sigmoid).
Lower: the interval of the difference is above 0, with a mean of at least that; not lower: all of it is below that; no
difference: the interval is within ± that. Easier: reconstructions have a lower feature error or samples a lower Fréchet
distance than with a constant 1, and neither is higher. Refuted: one of them is higher, neither is lower, or more runs
diverge than with a constant 1. exp: confirmed if both are higher than with sigmoid or more runs diverge, otherwise
refuted if one of them is not.""",
    images=120_000,
    collect=collect,
    judge=judge,
    table=table_of_schedules,
    draw=draw,
)

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
