"""Train several variants with several seeds each, then run `vaegan compare`: shared by the scripts that do so.

The runs are OUT/VARIANT-SEED. Run the same command to resume.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from vaegan.cli import main as vaegan
from vaegan.cli import train
from vaegan.cli.parse import parse
from vaegan.recipes import RECIPES
from vaegan.runs.opened import OpenedRun
from vaegan.training.profiling import expected_seconds

Settings = dict[str, str]
"""What a run changes in its recipe: option name without leading dashes -> value."""
Training = tuple[list[str], float]
"""Arguments of `vaegan`, and the expected minutes on two cores."""
SIGMA_VAE: Settings = {
    "loss.likelihood": "gaussian-learned",
    "loss.pixel-variance": "0.01",
    "loss.perceptual": "none",
    "loss.kl-weight": "1",
}
"""Changes that make the VAE of a recipe one whose pixels are Gaussian with the best-fitting variance (sigma-VAE,
arXiv:2006.13202), so that its likelihood and KL need no weights.

The standard deviation starts at 0.1: its logarithm moves by at most the learning rate per step, so from 1 it would not
get near its optimum in a short training.
"""


def trainings(
    recipe: str,
    variants: Iterable[str],
    seeds: Sequence[int],
    out: Path,
    settings_of: Callable[[str, int], Settings],
    more: Sequence[str],
) -> list[Training]:
    """Return the trainings, all variants of a seed one after another.

    Args:
        recipe: shared by all.
        variants: their names.
        seeds: of each variant.
        out: folder of all runs.
        settings_of: variant, seed -> settings.
        more: arguments for all of them, after the variant's own.
    """
    commands = []
    for seed in seeds:
        for variant in variants:
            settings = settings_of(variant, seed) | {"seed": str(seed)}
            own = [word for name, value in settings.items() for word in (f"--{name}", value)]
            words = [recipe, *own, *more, "--out", str(out / f"{variant}-{seed}")]
            config = parse(train.Options, words, "vaegan train").settings
            channels, height, width = RECIPES[recipe].image_shape
            shape = (config.data.channels or channels, *(config.data.height_width or (height, width)))
            commands.append((["train", *words], expected_seconds(config, shape, RECIPES[recipe].num_images) / 60))
    return commands


def comparison(variants: Iterable[str], seeds: Sequence[int], out: Path, num: int) -> list[str]:
    """Return the command that compares all runs."""
    runs = [str(out / f"{variant}-{seed}") for variant in variants for seed in seeds]
    page = out / "comparison.html"
    return ["compare", *runs, "--num", str(num), "--out", str(page), "--overwrite",
            "--markdown", str(page.with_suffix(".md"))]  # fmt: skip


def announce(commands: Sequence[Training], last: Sequence[str] = (), measuring: float = 0.0) -> None:
    """Print all commands with the expected minutes.

    Args:
        commands: the trainings.
        last: the comparison, if there is one.
        measuring: minutes to measure each run.
    """
    for words, minutes in commands:
        print(f"{minutes:5.1f} min  vaegan {shlex.join(words)}")
    if last:
        print(f"           vaegan {shlex.join(last)}")
    purpose = f", with about {measuring:g} to measure each run" if measuring else " of training"
    minutes = sum(minutes for _, minutes in commands) + measuring * len(commands)
    print(f"{minutes:5.0f} min  in total on two cores{purpose}", flush=True)


def carry_out(commands: Iterable[Training], measure: Callable[[Path], int] = lambda run: 0) -> int:
    """Train one after another and measure each run; return the first exit code that is not 0."""
    for words, _ in commands:
        if code := vaegan(words) or measure(Path(words[-1])):
            return code
    return 0


def fitted(run: Path, prior: str, *how: str) -> int:
    """Fit a prior to a run's codes with further arguments of `vaegan priors`, unless the run has one of that name."""
    if prior in OpenedRun(run).model().priors:
        return 0
    return vaegan(["priors", str(run), "--priors", prior, *how])


def evaluated(
    num: int, draws: int | None = None, extractor: str | None = None, more: Sequence[str] = ()
) -> Callable[[Path], int]:
    """Return a function that runs `vaegan evaluate` on a run, unless these very weights were evaluated like this.

    Args:
        num: images, at most.
        draws: of the importance-weighted bound.
        extractor: whose features are compared; the default of `vaegan evaluate` if None.
        more: further arguments.
    """

    def measure(run: Path) -> int:
        found = OpenedRun(run).evaluation() if (run / "evaluation.json").exists() else None
        if (
            found
            and found["data"]["num"] == min(num, found["data"]["available"])
            and found["draws"] == draws
            and extractor in (None, found["extractor"]["name"])
        ):
            return 0
        own = [] if draws is None else ["--draws", str(draws)]
        own += [] if extractor is None else ["--extractor", extractor]
        return vaegan(["evaluate", str(run), "--num", str(num), *own, *more, "--overwrite"])

    return measure


def options(parser: argparse.ArgumentParser, out: Path, num: int) -> None:
    """Add the options that these scripts share."""
    parser.add_argument("--out", type=Path, default=out, help="folder of all runs (%(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--num", type=int, default=num, help="samples and images to measure (%(default)s)")
    parser.add_argument("--list", action="store_true", help="print the commands and the expected minutes")
