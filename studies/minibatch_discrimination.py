"""Claim 2: do minibatch discrimination and smaller batches cure the loss of digits?"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from common.bases import mlp
from common.charts import dots, new_chart, panel, show_strips
from common.lab import Lab
from common.measures import decode_normal, sample_metrics
from common.results import Results, Statement, table_of
from common.statistics import exceeds, interval
from common.study import Study, run_study

LIMIT = 20_000
FEATURES = 16
LARGE, SMALL = 128, 32
CELLS = {f"{'with' if on else 'without'}, batch {size}": (on, size) for on in (False, True) for size in (LARGE, SMALL)}
RARE_BELOW = 0.07
MARGIN = 0.01


def collect(lab: Lab) -> None:
    """Train the four cells at the reconstruction weight of the claim."""
    for name, (on, size) in CELLS.items():
        changes = {"loss.gamma": 1e-8, "data.limit": LIMIT, "train.batch_size": size}
        config = mlp(changes | {"model.discriminator.minibatch_features": FEATURES if on else 0})
        lab.measure(name, config, lab.marks(1), {"samples": sample_metrics})
        lab.add_strip(name, config, decode_normal)


def effect(results: Results, better: Sequence[str], worse: Sequence[str], metric: str) -> list[float]:
    """Return the mean of a metric over two cells minus that over the other two, seed by seed."""
    up, down = ([results.values(name, metric) for name in names] for names in (better, worse))
    return [(a + b - c - d) / 2 for a, b, c, d in zip(*up, *down, strict=True)]


def judge(results: Results) -> list[Statement]:
    """Test for each remedy whether the rarest digit's share rises with it."""
    names = {cell: name for name, cell in CELLS.items()}
    plain = results.mean(names[False, LARGE], "rarest")
    remedies = {
        "Minibatch discrimination": (
            [names[True, s] for s in (LARGE, SMALL)],
            [names[False, s] for s in (LARGE, SMALL)],
        ),
        "A smaller batch": ([names[m, SMALL] for m in (False, True)], [names[m, LARGE] for m in (False, True)]),
    }
    statements = []
    for remedy, (better, worse) in remedies.items():
        gain = interval(effect(results, better, worse, "rarest"))
        covers = interval(effect(results, better, worse, "coverage"))
        answer = exceeds(gain, MARGIN, "the rarest digit's share")
        answer = answer.given(plain.mean < RARE_BELOW, "no digit is rare without it")
        reason = f"It changes the rarest digit's share by {gain} and coverage by {covers}; with neither remedy the "
        reason += f"share is {plain}."
        statements.append(Statement(f"{remedy} brings lost digits back.", answer, reason))
    return statements


def table(results: Results) -> str:
    """All four cells."""
    columns = [
        ("rarest digit's share", "rarest"),
        ("entropy of digits (nats)", "entropy"),
        ("recall", "recall"),
        ("coverage", "coverage"),
        ("Fréchet distance", "frechet"),
    ]
    return table_of(results, columns, first="minibatch discrimination")


def draw(results: Results) -> object:
    """Three metrics of the four cells, samples of each."""
    chart = new_chart(11, 6)
    upper, lower = chart.subfigures(2, 1, height_ratios=(1.2, 1))
    titles = {
        "rarest": "Rarest digit's share of samples",
        "coverage": "Coverage of held-out images",
        "frechet": "Fréchet distance of samples",
    }
    for axes, (column, title) in zip(upper.subplots(1, 3), titles.items(), strict=True):
        dots(panel(axes, title), results, column)
        axes.set_ylim(bottom=0)
    show_strips(lower, {f"{name}: samples": images for name, images in results.strips.items()}, columns=2)
    return chart


STUDY = Study(
    name="minibatch_discrimination",
    number=2,
    title="Do minibatch discrimination and smaller batches bring lost digits back?",
    claim="Minibatch discrimination and smaller batches cure the loss of digits.",
    method=f"""The fully connected VAE/GAN of study 1 with reconstruction weight 1e-8 on {LIMIT:,} digits, with and
without {FEATURES} features of minibatch discrimination (Salimans et al., arXiv:1606.03498), in batches of {LARGE} and
of {SMALL}. All see the same number of images, so the smaller batch takes four times as many steps.""",
    rule=f"""The effect of a remedy is the mean change of the rarest digit's share, averaged over both settings of the
other remedy, seed by seed. The premise is that a digit is rare with neither: a mean share below {RARE_BELOW}.
Confirmed: the interval of the effect is above 0, with a mean of at least {MARGIN}. No difference: it is within
±{MARGIN}. Refuted: all of it is below {MARGIN}.""",
    images=245_000,  # a mark of study 1
    collect=collect,
    judge=judge,
    table=table,
    draw=draw,
    seeds=10,
)

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
