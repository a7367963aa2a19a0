"""1,000 drawn faces, with and without augmentation before the discriminator; several seeds, then `vaegan compare`.

    python studies/small_data.py             # train what is not trained yet, measure, compare
    python studies/small_data.py --list      # say what that would be, and how long it may take

Three ways, otherwise alike (the recipe small-32): the plain one, changes of all that the discriminator sees
(--loss.augment, arXiv:2006.10738), and the same as often as the discriminator needs (--loss.augment-target,
arXiv:2006.06676). All is measured on faces that were held out. Besides what `vaegan evaluate` measures, the script says
how far the discriminator has learned its training images by heart:

    r_v = (E[Dis(train)] - E[Dis(held out)]) / (E[Dis(train)] - E[Dis(samples)])

(arXiv:2006.06676, eq. 1): 0 where it judges training images and held-out ones alike, 1 where held-out images are as
fake to it as samples are. A script that was stopped goes on where it was. Page, JSON and a table for a README are
written beside the runs; words that the script does not know go to `vaegan train`, such as --data.size 64.
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
CHANGES = "colour,translation,cutout"
WAYS: dict[str, side_by_side.Settings] = {
    "plain": {},
    "augmented": {"loss.augment": CHANGES},
    "adaptive": {"loss.augment": CHANGES, "loss.augment-target": "0.6", "loss.augment-images": "20000"},
}
"""Way and what it changes in the recipe."""


def trainings(seeds: Sequence[int], out: Path, images: int, more: Sequence[str]) -> list[side_by_side.Training]:
    """Return the command of each training, of so many images."""
    length = {"train.images": str(images)}
    return side_by_side.trainings(RECIPE, WAYS, seeds, out, lambda way, seed: DATA | WAYS[way] | length, more)


def learned_by_heart(run: Path, num: int = 1000) -> dict[str, float]:
    """Return the discriminator's mean logits of training images, held-out ones and samples, and r_v of them."""
    import torch

    from vaegan import load
    from vaegan.data import open_data
    from vaegan.pixels import to_unit
    from vaegan.settings_io import load_yaml

    model = load(run)
    data = open_data(**load_yaml(run / "config.yaml").data.opening())
    seen = {"train": data.train.images[:num], "held_out": data.test.images[:num]}
    logits = {kind: float(model.discriminate(to_unit(torch.from_numpy(x.copy()))).mean()) for kind, x in seen.items()}
    logits["samples"] = float(model.discriminate(model.sample(num, seed=0)).mean())
    r_v = (logits["train"] - logits["held_out"]) / (logits["train"] - logits["samples"])
    return {**logits, "r_v": r_v}


def table(found: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Return means and standard deviations over seeds as Markdown, a row for each way."""
    names = ("train", "held_out", "samples", "r_v")
    lines = ["| way | seeds | logit, training | held out | samples | r_v |", "|---|---|---|---|---|---|"]
    for way, rows in found.items():
        cells = []
        for name in names:
            values = [row[name] for row in rows]
            spread = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
            cells.append(f"{mean(values):.2f}{spread}")
        lines.append(f"| {way} | {len(rows)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Train, measure, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    side_by_side.options(parser, Path("runs/small-data"), num=1000)
    parser.add_argument("--images", type=int, default=100_000, help="images that each training sees")
    options, more = parser.parse_known_args()
    commands = trainings(options.seeds, options.out, options.images, more)
    last = side_by_side.comparison(WAYS, options.seeds, options.out, options.num)
    side_by_side.announce(commands, last)
    if options.list:
        return 0
    if code := side_by_side.carry_out(commands):
        return code
    found = {
        way: [learned_by_heart(options.out / f"{way}-{seed}", options.num) for seed in options.seeds] for way in WAYS
    }
    write_json(options.out / "discriminators.json", found)
    (options.out / "discriminators.md").write_text(table(found), encoding="utf-8")
    print(table(found), flush=True)
    return vaegan(last)


if __name__ == "__main__":
    sys.exit(main())
