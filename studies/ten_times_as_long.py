"""Does a run ten times as long lose digits, or quality? Looks at mnist-conv at each of its checkpoints.

    python studies/ten_times_as_long.py --data.root data/mnist             # train what is not trained yet, then look
    python studies/ten_times_as_long.py --data.root data/mnist --list      # say what that would be

At each checkpoint a mixture of Gaussians is fitted to codes of training images, as at the end of any training, and
60,000 samples of it and 10,000 reconstructions are held against the test set, in features of the project's own
classifier; fits and samples are made anew with several seeds, as one fit may be a lucky one. So many samples, because
Fréchet distances of 10,000 lie apart by a tenth and more from draw to draw. Figures are kept beside the run, so a
script that was stopped goes on where it was. JSON, a table and a picture are written there, too; words that the script
does not know go to `vaegan train`.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import statistics
import sys
from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

from common.charts import COLOURS, images_axis, new_chart, panel, save_chart
from torch import Tensor

from vaegan import load
from vaegan.cli import main as vaegan
from vaegan.data import open_data
from vaegan.evaluation.figures import Figures, figure
from vaegan.evaluation.image_metrics import label_figures
from vaegan.evaluation.reference import (
    Bench,
    distribution_figures,
    features_of,
    open_bench,
    reconstructions_of,
    samples_of,
)
from vaegan.files import write_json, write_text
from vaegan.latent.fit_priors import fit_model_priors
from vaegan.metrics.extractors.features import open_extractor
from vaegan.metrics.frechet import frechet_interval
from vaegan.models import Model
from vaegan.recipes import config_for
from vaegan.settings_io import load_yaml
from vaegan.training.checkpoints import list_checkpoints, read_checkpoint
from vaegan.training.run_folder import RunFolder

RECIPE = "mnist-conv"
TIMES = 10
"""How many times as long as the recipe."""
PRIOR = "mixture"
RAREST = 0.07
"""Share of samples that each digit should have at least, of 0.1 or so in the data."""
NEIGHBOURS = 10_000
"""Images at most whose neighbours are searched, for coverage: the time grows with the square."""
TENTH = 1.1
"""Times its best value that a distance may come to."""


def training(out: Path, more: Sequence[str], every: float) -> list[str]:
    """Return the command that trains, the word vaegan left out."""
    epochs = f"{TIMES * config_for(RECIPE).train.epochs:g}"
    return ["train", RECIPE, *more, "--train.epochs", epochs, "--train.snapshot-epochs", f"{every:g}",
            "--train.keep-checkpoints", "1000", "--out", str(out)]  # fmt: skip


def model_at(run: Path, checkpoint: Path) -> Model:
    """Return a run's model as a checkpoint has it, averages of weights where the run keeps these."""
    model = load(run)
    state = read_checkpoint(checkpoint.read_bytes(), str(checkpoint))
    weights = state["parts"] | state["averages"]
    for name in ("encoder", "decoder", "discriminator"):
        getattr(model, name).load_state_dict(weights[name])
    return model


def look_at_samples(model: Model, bench: Bench, seed: int) -> Figures:
    """Return figures of samples of a prior fitted to the model's codes, both with ``seed``."""
    model.priors = {}  # those that the run ended with
    fit_model_priors(model, bench.data.train, names=[PRIOR], seed=seed)
    made = features_of(bench.extractor, samples_of(model, bench.num_samples, seed, PRIOR, bench.batch_size))
    return figures_of(made, bench) | label_figures(made, bench)


def look_at_reconstructions(model: Model, bench: Bench) -> Figures:
    """Return figures of reconstructions of held-out images."""
    pairs = reconstructions_of(model, bench.images.images, bench.batch_size)
    again = features_of(bench.extractor, (x_tilde for _, x_tilde in pairs))
    return figures_of(again, bench)


def figures_of(features: Tensor, bench: Bench) -> Figures:
    """Return figures of images by their features: the Fréchet distance of all, the others of the first of them."""
    distance = frechet_interval(features, bench.reference.moments, seed=bench.seed)
    others = distribution_figures(features[:NEIGHBOURS], bench.reference, seed=bench.seed)
    return others | {"frechet_distance": figure(distance, len(features), bench.seed)}


def mean_of(fits: Sequence[Figures]) -> Figures:
    """Return the mean of each figure over fits, and of its bounds, which are intervals over images."""

    def mean(name: str, key: Literal["value", "low", "high"]) -> float | None:
        numbers = [fit[name][key] for fit in fits]
        there = [number for number in numbers if number is not None]
        return statistics.fmean(there) if len(there) == len(numbers) else None

    return {
        name: {**one, "value": mean(name, "value"), "low": mean(name, "low"), "high": mean(name, "high")}
        for name, one in fits[0].items()
    }


def look_at_moment(run: Path, checkpoint: Path, bench: Bench, seeds: Sequence[int]) -> dict[str, Any]:
    """Return all figures of one checkpoint, of files beside the run where these are kept from before."""
    model = cache(lambda: model_at(run, checkpoint))
    start = run.parent / f"{run.name}-looked" / f"{checkpoint.stem}-{bench.num_samples}"

    def kept(name: str, look: Callable[[], Figures]) -> Figures:
        path = start.with_name(f"{start.name}-{name}.json")
        if not path.is_file():
            write_json(path, look())
            print(f"looked: {path.name}", flush=True)
        found: Figures = json.loads(path.read_text(encoding="utf-8"))
        return found

    looks = [kept(f"samples-{seed}", lambda seed=seed: look_at_samples(model(), bench, seed)) for seed in seeds]
    again = kept("reconstructions", lambda: look_at_reconstructions(model(), bench))
    samples, distances = mean_of(looks), [look["frechet_distance"]["value"] for look in looks]
    both = samples["frechet_distance"]["value"] + again["frechet_distance"]["value"]
    return {"images": int(checkpoint.stem), "samples": samples, "distances": distances, "reconstructions": again,
            "both": both}  # fmt: skip


def look_at_all(run: Path, num: int, fits: int) -> dict[str, Any]:
    """Look at each checkpoint of a run; return all figures, and the real images' own."""
    config = load_yaml(run / "config.yaml")
    data = open_data(**config.data.opening())
    extractor = open_extractor(None, data, cache=config.data.cache)
    bench = open_bench(data, extractor, num=num, seed=0, cache=config.data.cache)
    checkpoints, seeds = list_checkpoints(RunFolder(run).checkpoints)[1:], range(config.seed, config.seed + fits)
    moments = [look_at_moment(run, checkpoint, bench, seeds) for checkpoint in checkpoints]
    return {
        "seed": config.seed,
        "num": num,
        "fits": fits,
        "yardstick": figures_of(bench.others_features, bench),
        "moments": moments,
    }


def values(found: dict[str, Any], kind: str, name: str) -> list[float]:
    """Return a figure at each moment."""
    return [row[kind][name]["value"] for row in found["moments"]]


def rms(numbers: Sequence[float]) -> float:
    """Root of the mean square."""
    return math.sqrt(statistics.fmean(number**2 for number in numbers))


def verdict(found: dict[str, Any]) -> list[str]:
    """Say in words whether digits or quality were lost."""
    rarest = values(found, "samples", "rarest_share")
    least = min(rarest)
    lines = [
        f"The rarest digit's share is {least:.3f} or more at each of {len(rarest)} moments: "
        f"{'no digit is lost' if least >= RAREST else f'less than the {RAREST} asked for'}."
    ]
    distances = {kind: values(found, kind, "frechet_distance") for kind in ("samples", "reconstructions")}
    distances["both added up (by this a run picks its best)"] = [row["both"] for row in found["moments"]]
    for kind, over_time in distances.items():
        best, last = min(over_time), over_time[-1]
        after = max(over_time[over_time.index(best) :])
        within = " and ".join(
            f"{when} {'within' if value <= TENTH * best else 'not within'} a tenth of the best"
            for when, value in (("the worst is", after), ("the end is", last))
        )
        rises = [now / before - 1 for now, before in zip(over_time, accumulate(over_time, min), strict=True)]
        images = found["moments"][rises.index(max(rises))]["images"]
        lines.append(
            f"The Fréchet distance of {kind} is {best:.3f} at its best, {after:.3f} at the worst moment after that and "
            f"{last:.3f} at the end: {within}. It lies {max(rises):.1%} above the best until then after {images:,} "
            "images, at no moment more."
        )
    spreads = [statistics.stdev(row["distances"]) for row in found["moments"] if len(row["distances"]) > 1]
    if spreads:
        lines.append(f"From fit to fit of the prior samples' distance has a standard deviation of {rms(spreads):.3f}.")
    coverage = values(found, "samples", "coverage")
    lines.append(f"Coverage is {max(coverage):.3f} at its best and {coverage[-1]:.3f} at the end.")
    return lines


def table(found: dict[str, Any]) -> str:
    """Return a row for each moment, as Markdown, with the real images' own figures above."""
    names = ("rarest share", "samples: Fréchet distance", "coverage", "reconstructions: Fréchet distance", "both")
    lines = [f"| images seen | {' | '.join(names)} |", "|---:|" + "---:|" * len(names)]
    yardstick = found["yardstick"]
    real, coverage = _told(yardstick["frechet_distance"]), _told(yardstick["coverage"])
    lines.append(f"| real images | – | {real} | {coverage} | {real} | – |")
    for row in found["moments"]:
        samples = [_told(row["samples"][name]) for name in ("rarest_share", "frechet_distance", "coverage")]
        again = _told(row["reconstructions"]["frechet_distance"])
        lines.append(f"| {row['images']:,} | {' | '.join([*samples, again])} | {row['both']:.3f} |")
    return "\n".join(lines) + "\n"


def _told(figure: dict[str, float]) -> str:
    return f"{figure['value']:.3f} ({figure['low']:.3f}–{figure['high']:.3f})"


def draw(found: dict[str, Any]) -> Any:
    """Return a figure: distances, and each label's share, over images seen."""
    figure = new_chart(9.5, 3.6)
    left, right = figure.subplots(1, 2)
    images = [row["images"] for row in found["moments"]]
    panel(left, "Fréchet distance to held-out digits")
    for colour, kind in zip(COLOURS, ("samples", "reconstructions"), strict=False):
        left.plot(images, values(found, kind, "frechet_distance"), color=colour, marker="o", ms=3, label=kind)
    for row in found["moments"]:
        fits = row["distances"]
        left.plot([row["images"]] * len(fits), fits, color=COLOURS[0], ls="", marker="_", alpha=0.5)
    left.axhline(found["yardstick"]["frechet_distance"]["value"], color=COLOURS[5], ls="--", label="real images")
    left.set_ylim(bottom=0)
    panel(right, "share of each digit among samples")
    names = [name for name in found["moments"][0]["samples"] if name.startswith("share of ")]
    for name in names:
        right.plot(images, values(found, "samples", name), lw=1, label=name.removeprefix("share of "))
    right.axhline(RAREST, color=COLOURS[5], ls="--", label=f"{RAREST}")
    right.set_ylim(bottom=0)
    for axes, columns, place in ((left, 1, "upper right"), (right, 6, "lower left")):
        images_axis(axes)
        axes.legend(fontsize=8, frameon=False, ncols=columns, loc=place)
    return figure


def main() -> int:
    """Train, look, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/ten-times-as-long"), help="run folder")
    parser.add_argument("--every", type=float, default=8, help="epochs from one checkpoint to the next")
    parser.add_argument("--num", type=int, default=60_000, help="images of each kind that are measured, if there are")
    parser.add_argument(
        "--fits", type=int, default=3, help="fits of the prior at each checkpoint, with samples of each"
    )
    parser.add_argument("--list", action="store_true", help="print the command of the training")
    options, more = parser.parse_known_args()
    words = training(options.out, more, options.every)
    print(f"vaegan {shlex.join(words)}", flush=True)
    if options.list:
        return 0
    if code := vaegan(words):
        return code
    found = look_at_all(options.out, options.num, options.fits)
    beside = options.out.parent / f"{options.out.name}-looked"
    write_json(beside / "figures.json", found)
    write_text(beside / "table.md", table(found))
    save_chart(draw(found), beside / "figures.png")
    print("\n".join([table(found), *verdict(found)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
