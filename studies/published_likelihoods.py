"""Published negative log-likelihoods of binarised MNIST beside ours: VAE and IWAE, several seeds each.

    python studies/published_likelihoods.py --data.root data/mnist             # train and measure what is missing
    python studies/published_likelihoods.py --data.root data/mnist --list      # the commands and expected minutes

The rows are those of pythae's table of reproduced results that a VAE or an IWAE of fully connected networks covers, and
the dynamically binarised ones of the paper on IWAE (arXiv:1509.00519, Table 1, one stochastic layer). Networks, codes
and numbers of draws are those of the source. The images of the 10,000 test digits are drawn once, and measured by the
importance-weighted bound with as many draws as in the source. What differs:

* fixed binarisation is a draw of our own, not the files of Larochelle & Murray (2011), and has no validation set;
* batches of 100 instead of 20, fewer epochs (--epochs; 3,280 in the paper), a cosine to 1/10 of the learning rate; for
  the first row to 1/100 of twice the rate, and averaged weights.

Run the same command to resume. OUT/likelihoods.md and .json have the table. Unknown options are passed to `vaegan
train`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from common import side_by_side
from common.statistics import interval

from vaegan.files import read_json, write_json

RECIPE = "bce-mnist-vae"
SHARED: side_by_side.Settings = {
    "model.network": "mlp", "optim.schedule": "cosine", "optim.final-lr-factor": "0.1", "train.batch-size": "100",
    "train.snapshot-epochs": "20", "train.precision": "fp32", "train.best-metric": "none", "train.priors": "",
}  # fmt: skip
_ONE_LAYER = {"model.latent-dim": "40"} | {f"model.{part}.hidden": "400" for part in ("encoder", "decoder")}
_ONE_LAYER |= {"optim.lr": "0.002", "optim.final-lr-factor": "0.01", "optim.ema": "0.999"}
_TWO_LAYERS = {"model.latent-dim": "50", "optim.eps": "1e-4"}
_TWO_LAYERS |= {f"model.{part}.hidden": "200,200" for part in ("encoder", "decoder")}
_TWO_LAYERS |= {f"model.{part}.activation": "tanh" for part in ("encoder", "decoder")}
_IWAE = "arXiv:1509.00519"


class Variant(NamedTuple):
    """What is trained, and what was published of it."""

    settings: side_by_side.Settings  # changes to the recipe
    draws: int  # of the bound that is measured
    published: float  # nats per image
    source: str  # of that
    pythae: float | None = None  # what pythae reproduced


def _variant(networks: side_by_side.Settings, how: str, draws: int, *of: object) -> Variant:
    return Variant(networks | {"data.binarize": how, "loss.draws": str(draws)}, *of)  # type: ignore[arg-type]


VARIANTS: dict[str, Variant] = {
    "vae-fixed": _variant(_ONE_LAYER, "fixed", 1, 200, 89.9, "arXiv:1505.05770", 89.78),
    "iwae-fixed": _variant(_TWO_LAYERS, "fixed", 50, 5000, 87.10, f"{_IWAE}, appendix D", 86.82),
    "vae-dynamic": _variant(_TWO_LAYERS, "dynamic", 1, 5000, 86.76, f"{_IWAE}, Table 1"),
    "iwae-5-dynamic": _variant(_TWO_LAYERS, "dynamic", 5, 5000, 85.54, f"{_IWAE}, Table 1"),
    "iwae-50-dynamic": _variant(_TWO_LAYERS, "dynamic", 50, 5000, 84.78, f"{_IWAE}, Table 1"),
}


def trainings(
    variants: Sequence[str], seeds: Sequence[int], out: Path, epochs: float, more: Sequence[str]
) -> list[side_by_side.Training]:
    """Return the command of each training over so many epochs."""
    length = {"train.epochs": f"{epochs:g}"}
    return side_by_side.trainings(
        RECIPE, variants, seeds, out, lambda variant, seed: SHARED | VARIANTS[variant].settings | length, more
    )


def measured(num: int, draws: int | None) -> Callable[[Path], int]:
    """Return a function that measures a run on ``num`` images, unless it was, with ``draws`` or the source's."""

    def measure(run: Path) -> int:
        own = draws or VARIANTS[run.name.rpartition("-")[0]].draws
        return side_by_side.evaluated(num, own, "pixels", ["--published", "none"])(run)

    return measure


def results(variants: Sequence[str], seeds: Sequence[int], out: Path) -> dict[str, list[float]]:
    """Return the negative log-likelihood of each seed by variant, nats per image."""
    return {
        variant: [
            -read_json(out / f"{variant}-{seed}" / "evaluation.json")["likelihood"]["importance_bound"]["value"]
            for seed in seeds
        ]
        for variant in variants
    }


def table(nats: Mapping[str, Sequence[float]], draws: int | None = None) -> str:
    """Return ours, measured with ``draws`` or the source's, beside the published values as Markdown."""
    head = ("variant", "ours, mean ± 95 % over seeds", "seeds", "published", "difference", "pythae", "draws", "source")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name, values in nats.items():
        variant, ours = VARIANTS[name], interval(values)
        pythae = "–" if variant.pythae is None else f"{variant.pythae:.2f}"
        spread = f"{ours.mean:.2f} ± {ours.half:.2f}" if len(values) > 1 else f"{ours.mean:.2f} (one run)"
        cells = (name, spread, str(len(values)), f"{variant.published:.2f}", f"{ours.mean - variant.published:+.2f}")
        lines.append(f"| {' | '.join((*cells, pythae, f'{draws or variant.draws:,}', variant.source))} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Train, measure, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    side_by_side.options(parser, Path("runs/likelihoods"), num=10_000)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="rows; default: all")
    parser.add_argument("--epochs", type=float, default=200, help="of each run (%(default)s)")
    parser.add_argument("--draws", type=int, help="draws of the bound that is measured; default: as in the source")
    options, more = parser.parse_known_args()
    commands = trainings(options.variants, options.seeds, options.out, options.epochs, more)
    if options.list:
        side_by_side.announce(commands)
        return 0
    if code := side_by_side.carry_out(commands, measured(options.num, options.draws)):
        return code
    nats = results(options.variants, options.seeds, options.out)
    text = table(nats, options.draws)
    write_json(options.out / "likelihoods.json", nats)
    (options.out / "likelihoods.md").write_text(text, encoding="utf-8")
    print(text, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
