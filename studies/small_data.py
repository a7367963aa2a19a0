"""1,000 drawn faces, with and without augmentation before the discriminator; several seeds, then `vaegan compare`.

    python studies/small_data.py             # train what is not trained yet, measure, compare
    python studies/small_data.py --list      # say what that would be, and how long it may take

Three ways, otherwise alike (the recipe conv-32): the plain one, changes of all that the discriminator sees
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
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev

from vaegan.cli import main as vaegan
from vaegan.cli import train
from vaegan.cli.parse import parse
from vaegan.files import write_json
from vaegan.recipes import RECIPES
from vaegan.training.expected import expected_seconds

RECIPE = "conv-32"
DATA = {"data": "shapes-faces", "data.limit": "1000", "train.select": "none"}
CHANGES = "colour,translation,cutout"
WAYS: dict[str, dict[str, str]] = {
    "plain": {},
    "augmented": {"loss.augment": CHANGES},
    "adaptive": {"loss.augment": CHANGES, "loss.augment-target": "0.6", "loss.augment-images": "20000"},
}
"""Way and what it changes in the recipe."""


def trainings(seeds: Sequence[int], out: Path, images: int, more: Sequence[str]) -> list[tuple[list[str], float]]:
    """Return the command of each training, the word vaegan left out, and the minutes that two cores may need."""
    recipe = RECIPES[RECIPE]
    found = []
    for seed in seeds:
        for way, own in WAYS.items():
            settings = {**DATA, **own, "train.images": str(images), "seed": str(seed)}
            words = [word for name, value in settings.items() for word in (f"--{name}", value)]
            words = [RECIPE, *words, *more, "--out", str(out / f"{way}-{seed}")]
            config = parse(train.Options, words, "vaegan train", train.defaults).settings
            shape = (3, config.data.size, config.data.size)
            found.append((["train", *words], expected_seconds(config, shape, recipe.num_images) / 60))
    return found


def comparison(seeds: Sequence[int], out: Path, num: int) -> list[str]:
    """Return the command that compares all runs."""
    runs = [str(out / f"{way}-{seed}") for way in WAYS for seed in seeds]
    page = out / "comparison.html"
    return ["compare", *runs, "--num", str(num), "--out", str(page), "--overwrite",
            "--markdown", str(page.with_suffix(".md"))]  # fmt: skip


def learned_by_heart(run: Path, num: int = 1000) -> dict[str, float]:
    """Return the discriminator's mean logits of training images, held-out ones and samples, and r_v of them."""
    import torch

    from vaegan import load
    from vaegan.data import open_data
    from vaegan.data.batches import to_unit
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
    parser.add_argument("--out", type=Path, default=Path("runs/small-data"), help="folder of all runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--images", type=int, default=100_000, help="images that each training sees")
    parser.add_argument("--num", type=int, default=1000, help="images of each kind that are measured")
    parser.add_argument("--list", action="store_true", help="print the commands and the minutes they may take")
    options, more = parser.parse_known_args()
    commands = trainings(options.seeds, options.out, options.images, more)
    for words, minutes in commands:
        print(f"{minutes:5.1f} min  vaegan {shlex.join(words)}")
    last = comparison(options.seeds, options.out, options.num)
    print(f"           vaegan {shlex.join(last)}")
    print(f"{sum(minutes for _, minutes in commands):5.0f} min  in all on two cores to train", flush=True)
    if options.list:
        return 0
    for words, _ in commands:
        if code := vaegan(words):
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
