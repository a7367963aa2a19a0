"""Several ways to train, several seeds of each, then `vaegan compare`: what scripts of that kind share.

The runs are OUT/WAY-SEED. A script that was stopped goes on where it was, as `vaegan train` does.
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
from vaegan.training.profiling import expected_seconds

Settings = dict[str, str]
"""What a run changes in its recipe, as words of the command line: name without dashes before it -> value."""
Training = tuple[list[str], float]
"""Words of a command, ``vaegan`` left out, and the minutes that two cores may need."""


def trainings(
    recipe: str,
    ways: Iterable[str],
    seeds: Sequence[int],
    out: Path,
    settings_of: Callable[[str, int], Settings],
    more: Sequence[str],
) -> list[Training]:
    """Return the trainings, all ways of a seed one after another.

    Args:
        recipe: that all begin with.
        ways: their names.
        seeds: of each way.
        out: folder of all runs.
        settings_of: way, seed -> settings.
        more: words for all of them, which come after a way's own.
    """
    found = []
    for seed in seeds:
        for way in ways:
            settings = settings_of(way, seed) | {"seed": str(seed)}
            own = [word for name, value in settings.items() for word in (f"--{name}", value)]
            words = [recipe, *own, *more, "--out", str(out / f"{way}-{seed}")]
            config = parse(train.Options, words, "vaegan train", train.defaults).settings
            channels, height, width = RECIPES[recipe].image_shape
            shape = (config.data.channels or channels, config.data.size or height, config.data.size or width)
            found.append((["train", *words], expected_seconds(config, shape, RECIPES[recipe].num_images) / 60))
    return found


def comparison(ways: Iterable[str], seeds: Sequence[int], out: Path, num: int) -> list[str]:
    """Return the command that compares all runs."""
    runs = [str(out / f"{way}-{seed}") for way in ways for seed in seeds]
    page = out / "comparison.html"
    return ["compare", *runs, "--num", str(num), "--out", str(page), "--overwrite",
            "--markdown", str(page.with_suffix(".md"))]  # fmt: skip


def announce(commands: Sequence[Training], last: Sequence[str], measuring: float = 0.0) -> None:
    """Print all commands with the minutes they may take.

    Args:
        commands: the trainings.
        last: the comparison.
        measuring: minutes to measure each run.
    """
    for words, minutes in commands:
        print(f"{minutes:5.1f} min  vaegan {shlex.join(words)}")
    print(f"           vaegan {shlex.join(last)}")
    told = f", with about {measuring:g} to measure each run" if measuring else " to train"
    minutes = sum(minutes for _, minutes in commands) + measuring * len(commands)
    print(f"{minutes:5.0f} min  in all on two cores{told}", flush=True)


def carry_out(commands: Iterable[Training], measure: Callable[[Path], int] = lambda run: 0) -> int:
    """Train one after another, and measure each run when it is trained; return the first exit code that is not 0."""
    for words, _ in commands:
        if code := vaegan(words) or measure(Path(words[-1])):
            return code
    return 0


def evaluated(num: int) -> Callable[[Path], int]:
    """Return what measures a run as `vaegan evaluate` does, on so many images; once."""

    def measure(run: Path) -> int:
        return 0 if (run / "evaluation.json").exists() else vaegan(["evaluate", str(run), "--num", str(num)])

    return measure


def options(parser: argparse.ArgumentParser, out: Path, num: int) -> None:
    """Give a script the options that all of the kind have."""
    parser.add_argument("--out", type=Path, default=out, help="folder of all runs (%(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--num", type=int, default=num, help="images of each kind that are measured (%(default)s)")
    parser.add_argument("--list", action="store_true", help="print the commands and the minutes they may take")
