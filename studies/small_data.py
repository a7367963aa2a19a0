"""1,000 synthetic faces, with and without augmentation for the discriminator; several seeds, then `vaegan compare`.

    python studies/small_data.py             # train the missing runs, measure, compare
    python studies/small_data.py --list      # print the commands and the expected minutes

Three variants of the recipe small-32: plain, with augmentation of everything the discriminator sees (--loss.augment,
arXiv:2006.10738), and with augmentation as often as the discriminator needs it (--loss.augment-target,
arXiv:2006.06676). All are measured on held-out faces. Besides the metrics of `vaegan evaluate`, the script measures how
far the discriminator memorises its training images:

    r_v = (E[Dis(train)] - E[Dis(held out)]) / (E[Dis(train)] - E[Dis(samples)])

(arXiv:2006.06676, eq. 1): 0 if it judges training and held-out images alike, 1 if held-out images look as fake to it as
samples do. Run the same command to resume. Page, JSON and a Markdown table are written beside the runs. Unknown options
are passed to `vaegan train`, for example --data.size 64.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev

from common import side_by_side

from vaegan.cli import main as vaegan
from vaegan.files import write_json

RECIPE = "small-32"
DATA = {"data": "shapes-faces", "data.limit": "1000", "train.best_metric": "none", "train.pretrain-epochs": "20"}
AUGMENTATIONS = "colour,translation,cutout"
VARIANTS: dict[str, side_by_side.Settings] = {
    "plain": {},
    "augmented": {"loss.augment": AUGMENTATIONS},
    "adaptive": {"loss.augment": AUGMENTATIONS, "loss.augment-target": "0.6", "loss.augment-images": "20000"},
}
"""Variant -> changes to the recipe."""


def trainings(seeds: Sequence[int], out: Path, images: int, more: Sequence[str]) -> list[side_by_side.Training]:
    """Return the command of each training over ``images`` images."""
    length = {"train.images": str(images)}
    return side_by_side.trainings(
        RECIPE, VARIANTS, seeds, out, lambda variant, seed: DATA | VARIANTS[variant] | length, more
    )


def memorisation(run: Path, num: int = 1000) -> dict[str, float]:
    """Return the discriminator's mean logits of training images, held-out ones and samples, and r_v of them."""
    import torch

    from vaegan import load
    from vaegan.data import open_data
    from vaegan.pixels import to_unit
    from vaegan.settings_io import load_yaml

    model = load(run)
    data = open_data(load_yaml(run / "config.yaml").data)
    images = {"train": data.train.images[:num], "held_out": data.test.images[:num]}
    logits = {kind: float(model.discriminate(to_unit(torch.from_numpy(x.copy()))).mean()) for kind, x in images.items()}
    logits["samples"] = float(model.discriminate(model.sample(num, seed=0)).mean())
    r_v = (logits["train"] - logits["held_out"]) / (logits["train"] - logits["samples"])
    return {**logits, "r_v": r_v}


def table(measured: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Return means and standard deviations over seeds as Markdown, a row for each variant."""
    names = ("train", "held_out", "samples", "r_v")
    lines = ["| variant | seeds | logit, training | held out | samples | r_v |", "|---|---|---|---|---|---|"]
    for variant, rows in measured.items():
        cells = []
        for name in names:
            values = [row[name] for row in rows]
            spread = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
            cells.append(f"{mean(values):.2f}{spread}")
        lines.append(f"| {variant} | {len(rows)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Train, measure, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    side_by_side.options(parser, Path("runs/small-data"), num=1000)
    parser.add_argument("--images", type=int, default=100_000, help="training images of each run")
    options, more = parser.parse_known_args()
    commands = trainings(options.seeds, options.out, options.images, more)
    last = side_by_side.comparison(VARIANTS, options.seeds, options.out, options.num)
    side_by_side.announce(commands, last)
    if options.list:
        return 0
    if code := side_by_side.carry_out(commands):
        return code
    measured = {
        variant: [memorisation(options.out / f"{variant}-{seed}", options.num) for seed in options.seeds]
        for variant in VARIANTS
    }
    write_json(options.out / "discriminators.json", measured)
    (options.out / "discriminators.md").write_text(table(measured), encoding="utf-8")
    print(table(measured), flush=True)
    return vaegan(last)


if __name__ == "__main__":
    sys.exit(main())
