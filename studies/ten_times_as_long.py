"""Does a run ten times as long lose digits, or quality? Measures mnist-conv at each of its checkpoints.

    python studies/ten_times_as_long.py --data.root data/mnist             # train if needed, then measure
    python studies/ten_times_as_long.py --data.root data/mnist --list      # print the command of the training

At each checkpoint, a mixture of Gaussians is fitted to codes of training images, as at the end of any training.
60,000 samples from it and 10,000 reconstructions are compared with the test set, in features of the project's own
classifier. Fits and samples are repeated with several seeds, since a single fit may be lucky. Fréchet distances of
only 10,000 samples would differ by a tenth and more from draw to draw. Metrics are saved beside the run, together with
a table and a chart; run the same command to resume. Unknown options are passed to `vaegan train`.
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
from vaegan.evaluation.image_metrics import label_figures
from vaegan.evaluation.reference import (
    RealImages,
    decoded,
    distribution_figures,
    features_of,
    open_real_images,
    reconstructions_of,
)
from vaegan.files import write_json, write_text
from vaegan.latent.fit_priors import fit_model_priors
from vaegan.metrics.distances import frechet_interval
from vaegan.metrics.extractors.features import open_extractor
from vaegan.metrics.figures import as_json
from vaegan.models import Model
from vaegan.recipes import config_for
from vaegan.runs.run_folder import RunFolder, list_checkpoints
from vaegan.settings_io import load_yaml
from vaegan.training.checkpoints import read_checkpoint

RECIPE = "mnist-conv"
TIMES = 10
"""How many times as long as the recipe."""
PRIOR = "mixture"
RAREST = 0.07
"""Smallest acceptable share of a digit among samples; it is about 0.1 in the data."""
NEIGHBOURS = 10_000
"""Images at most for coverage, since the time of its neighbour search grows with the square."""
FiguresJson = dict[str, dict[str, Any]]
"""Figures by name, as JSON."""
TENTH = 1.1
"""A distance is within a tenth of its best value up to this many times the best."""


def training(out: Path, more: Sequence[str], every: float) -> list[str]:
    """Return the arguments of `vaegan` that train the run."""
    epochs = f"{TIMES * config_for(RECIPE).train.epochs:g}"
    return ["train", RECIPE, *more, "--train.epochs", epochs, "--train.snapshot-epochs", f"{every:g}",
            "--train.keep-checkpoints", "1000", "--out", str(out)]  # fmt: skip


def model_at(run: Path, checkpoint: Path) -> Model:
    """Return a run's model at a checkpoint, with averaged weights if the run has them."""
    model = load(run)
    state = read_checkpoint(checkpoint.read_bytes(), str(checkpoint))
    weights = state["parts"] | state["averages"]
    for name in ("encoder", "decoder", "discriminator"):
        getattr(model, name).load_state_dict(weights[name])
    return model


def sample_figures(model: Model, real: RealImages, seed: int) -> FiguresJson:
    """Return figures of samples; prior fit and samples both use ``seed``."""
    model.priors = {}  # fitted at the end of the run
    fit_model_priors(model, real.data.train, names=[PRIOR], seed=seed)
    codes = model.sample_codes(real.num_samples, seed, PRIOR)
    features = features_of(real.extractor, decoded(model, codes, real.batch_size))
    return figures_of(features, real) | as_json(label_figures(features, real))


def reconstruction_figures(model: Model, real: RealImages) -> FiguresJson:
    """Return figures of reconstructions of held-out images."""
    pairs = reconstructions_of(model, real.images, real.batch_size)
    features = features_of(real.extractor, (x_tilde for _, x_tilde in pairs))
    return figures_of(features, real, real.reference.features)


def figures_of(features: Tensor, real: RealImages, pairs: Tensor | None = None) -> FiguresJson:
    """Return figures of images from their features: Fréchet distance of all, the others of the first 10,000.

    Of reconstructions ``pairs`` are the features of their originals.
    """
    distance = frechet_interval(features, real.reference.moments, pairs=pairs, seed=real.seed)
    others = distribution_figures(features[:NEIGHBOURS], real.reference, seed=real.seed)
    return as_json(others | {"frechet_distance": distance})


def mean_of(fits: Sequence[FiguresJson]) -> FiguresJson:
    """Return the mean of each figure over fits, and of its bounds, which are intervals over images."""

    def mean(name: str, key: Literal["value", "low", "high"]) -> float | None:
        numbers = [number for fit in fits if (number := fit[name][key]) is not None]
        return statistics.fmean(numbers) if len(numbers) == len(fits) else None

    return {
        name: {**one, "value": mean(name, "value"), "low": mean(name, "low"), "high": mean(name, "high")}
        for name, one in fits[0].items()
    }


def measure_checkpoint(run: Path, checkpoint: Path, real: RealImages, seeds: Sequence[int]) -> dict[str, Any]:
    """Return all figures of one checkpoint, from files beside the run if it was measured before."""
    model = cache(lambda: model_at(run, checkpoint))
    prefix = folder_of(run) / f"{checkpoint.stem}-{real.num_samples}"

    def once(name: str, measure: Callable[[], FiguresJson]) -> FiguresJson:
        path = prefix.with_name(f"{prefix.name}-{name}.json")
        if not path.is_file():
            write_json(path, measure())
            print(f"measured: {path.name}", flush=True)
        figures: FiguresJson = json.loads(path.read_text(encoding="utf-8"))
        return figures

    fits = [once(f"samples-{seed}", lambda seed=seed: sample_figures(model(), real, seed)) for seed in seeds]
    reconstructions = once("reconstructions", lambda: reconstruction_figures(model(), real))
    samples, distances = mean_of(fits), [fit["frechet_distance"]["value"] for fit in fits]
    total = samples["frechet_distance"]["value"] + reconstructions["frechet_distance"]["value"]
    return {"images": int(checkpoint.stem), "samples": samples, "distances": distances,
            "reconstructions": reconstructions, "total": total}  # fmt: skip


def folder_of(run: Path) -> Path:
    """Return the folder of a run's results, beside the run."""
    return run.with_name(f"{run.name}-measured")


def measure_run(run: Path, num: int, fits: int) -> dict[str, Any]:
    """Return the figures of each checkpoint of a run, and of real images as a baseline."""
    config = load_yaml(run / "config.yaml")
    data = open_data(config.data)
    extractor = open_extractor(None, data, cache=config.data.cache)
    real = open_real_images(data, extractor, num=num, seed=0, cache=config.data.cache)
    checkpoints, seeds = list_checkpoints(RunFolder(run).checkpoints)[1:], range(config.seed, config.seed + fits)
    rows = [measure_checkpoint(run, checkpoint, real, seeds) for checkpoint in checkpoints]
    return {
        "seed": config.seed,
        "num": num,
        "fits": fits,
        "real_images": figures_of(real.baseline_features, real),
        "checkpoints": rows,
    }


def values(results: dict[str, Any], kind: str, name: str) -> list[float]:
    """Return a figure at each checkpoint."""
    return [row[kind][name]["value"] for row in results["checkpoints"]]


def rms(numbers: Sequence[float]) -> float:
    """Return the root mean square."""
    return math.sqrt(statistics.fmean(number**2 for number in numbers))


def verdict(results: dict[str, Any]) -> list[str]:
    """Return sentences on whether digits or quality are lost."""
    rarest = values(results, "samples", "rarest_share")
    least = min(rarest)
    lines = [
        f"The rarest digit's share is {least:.3f} or more at each of {len(rarest)} checkpoints: "
        f"{'no digit is lost' if least >= RAREST else f'below the limit of {RAREST}'}."
    ]
    distances = {kind: values(results, kind, "frechet_distance") for kind in ("samples", "reconstructions")}
    distances["the sum of both (the score of the best model)"] = [row["total"] for row in results["checkpoints"]]
    for kind, over_time in distances.items():
        best, last = min(over_time), over_time[-1]
        after = max(over_time[over_time.index(best) :])
        within = " and ".join(
            f"{when} {'within' if value <= TENTH * best else 'not within'} a tenth of the best"
            for when, value in (("the worst is", after), ("the end is", last))
        )
        rises = [now / before - 1 for now, before in zip(over_time, accumulate(over_time, min), strict=True)]
        images = results["checkpoints"][rises.index(max(rises))]["images"]
        lines.append(
            f"The Fréchet distance of {kind} is {best:.3f} at its best, {after:.3f} at its worst after that and "
            f"{last:.3f} at the end: {within}. The largest rise above the best so far is {max(rises):.1%}, after "
            f"{images:,} images."
        )
    spreads = [statistics.stdev(row["distances"]) for row in results["checkpoints"] if len(row["distances"]) > 1]
    if spreads:
        lines.append(
            f"Between fits of the prior, the samples' distance has a standard deviation of {rms(spreads):.3f}."
        )
    coverage = values(results, "samples", "coverage")
    lines.append(f"Coverage is {max(coverage):.3f} at its best and {coverage[-1]:.3f} at the end.")
    return lines


def table(results: dict[str, Any]) -> str:
    """Return a Markdown table: real images first, then a row for each checkpoint."""
    names = ("rarest share", "samples: Fréchet distance", "coverage", "reconstructions: Fréchet distance", "sum")
    lines = [f"| images seen | {' | '.join(names)} |", "|---:|" + "---:|" * len(names)]
    baseline = results["real_images"]
    real, coverage = with_interval(baseline["frechet_distance"]), with_interval(baseline["coverage"])
    lines.append(f"| real images | – | {real} | {coverage} | {real} | – |")
    for row in results["checkpoints"]:
        samples = [with_interval(row["samples"][name]) for name in ("rarest_share", "frechet_distance", "coverage")]
        reconstructions = with_interval(row["reconstructions"]["frechet_distance"])
        lines.append(f"| {row['images']:,} | {' | '.join([*samples, reconstructions])} | {row['total']:.3f} |")
    return "\n".join(lines) + "\n"


def with_interval(figure: dict[str, float]) -> str:
    """Return value and bounds as text."""
    return f"{figure['value']:.3f} ({figure['low']:.3f}–{figure['high']:.3f})"


def draw(results: dict[str, Any]) -> Any:
    """Return a chart of distances, and of each digit's share, over images seen."""
    chart = new_chart(9.5, 3.6)
    left, right = chart.subplots(1, 2)
    images = [row["images"] for row in results["checkpoints"]]
    panel(left, "Fréchet distance to held-out digits")
    for colour, kind in zip(COLOURS, ("samples", "reconstructions"), strict=False):
        left.plot(images, values(results, kind, "frechet_distance"), color=colour, marker="o", ms=3, label=kind)
    for row in results["checkpoints"]:
        fits = row["distances"]
        left.plot([row["images"]] * len(fits), fits, color=COLOURS[0], ls="", marker="_", alpha=0.5)
    left.axhline(results["real_images"]["frechet_distance"]["value"], color=COLOURS[5], ls="--", label="real images")
    left.set_ylim(bottom=0)
    panel(right, "share of each digit among samples")
    names = [name for name in results["checkpoints"][0]["samples"] if name.startswith("share of ")]
    for name in names:
        right.plot(images, values(results, "samples", name), lw=1, label=name.removeprefix("share of "))
    right.axhline(RAREST, color=COLOURS[5], ls="--", label=f"{RAREST}")
    right.set_ylim(bottom=0)
    for axes, columns, place in ((left, 1, "upper right"), (right, 6, "lower left")):
        images_axis(axes)
        axes.legend(fontsize=8, frameon=False, ncols=columns, loc=place)
    return chart


def main() -> int:
    """Train, measure, print the verdict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/ten-times-as-long"), help="run folder")
    parser.add_argument("--every", type=float, default=8, help="epochs between checkpoints")
    parser.add_argument("--num", type=int, default=60_000, help="samples and reconstructions to measure, at most")
    parser.add_argument("--fits", type=int, default=3, help="fits of the prior at each checkpoint")
    parser.add_argument("--list", action="store_true", help="print the command of the training")
    options, more = parser.parse_known_args()
    command = training(options.out, more, options.every)
    print(f"vaegan {shlex.join(command)}", flush=True)
    if options.list:
        return 0
    if code := vaegan(command):
        return code
    results = measure_run(options.out, options.num, options.fits)
    folder = folder_of(options.out)
    write_json(folder / "figures.json", results)
    write_text(folder / "table.md", table(results))
    save_chart(draw(results), folder / "figures.png")
    print("\n".join([table(results), *verdict(results)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
