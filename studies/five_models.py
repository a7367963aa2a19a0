"""AE, VAE, GAN, VAE_Dis_l and VAE/GAN side by side: the same networks on MNIST, several seeds, then `vaegan compare`.

    python studies/five_models.py --data.root data/mnist             # train what is not trained yet, then compare
    python studies/five_models.py --data.root data/mnist --list      # say what that would be, and how long it may take

All have the networks, optimiser, batches and epochs of the recipe mnist-conv. AE and VAE take pixels as Bernoulli, with
weight 1 for all terms, which needs a sigmoid at the decoder's end; VAE_Dis_l compares in layer l of the discriminator
that the GAN of the same seed ended with. Each run is evaluated when it is trained. A script that was stopped goes on
where it was. Page, JSON and a table for a README are written beside the runs.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from vaegan.cli import main as vaegan
from vaegan.recipes import RECIPES, config_for
from vaegan.training.expected import expected_seconds

RECIPE = "mnist-conv"
PIXELS = {
    "model.output": "sigmoid",
    "loss.likelihood": "bernoulli",
    "loss.gamma": "1",
    "loss.kl-weight": "1",
    "loss.encoder-llike-weight": "1",
}
MEASURING = 2
"""Minutes, about, for a run of 10,000 images of each kind and several priors."""
KINDS: dict[str, dict[str, str]] = {"ae": PIXELS, "vae": PIXELS, "gan": {}, "vae-dis-l": {}, "vaegan": {}}
"""Kind of model and what it changes in the recipe; the GAN comes before the model that builds on it."""


def settings_of(kind: str, seed: int, out: Path) -> dict[str, str]:
    """Return what the run of a kind and seed changes in the recipe."""
    metric = {"loss.metric": str(out / f"gan-{seed}")} if kind == "vae-dis-l" else {}
    return {"model.kind": kind, **KINDS[kind], **metric, "seed": str(seed)}


def trainings(seeds: Sequence[int], out: Path, more: Sequence[str]) -> list[tuple[list[str], float]]:
    """Return the command of each training, the word vaegan left out, and the minutes that two cores may need."""
    recipe = RECIPES[RECIPE]
    found = []
    for seed in seeds:
        for kind in KINDS:
            settings = settings_of(kind, seed, out)
            words = [word for name, value in settings.items() for word in (f"--{name}", value)]
            config = config_for(RECIPE, {name.replace("-", "_"): value for name, value in settings.items()})
            seconds = expected_seconds(config, recipe.image_shape, recipe.num_images)
            found.append((["train", RECIPE, *more, *words, "--out", str(out / f"{kind}-{seed}")], seconds / 60))
    return found


def comparison(seeds: Sequence[int], out: Path, num: int) -> list[str]:
    """Return the command that compares all runs."""
    runs = [str(out / f"{kind}-{seed}") for kind in KINDS for seed in seeds]
    page = out / "comparison.html"
    return ["compare", *runs, "--num", str(num), "--out", str(page), "--overwrite",
            "--markdown", str(page.with_suffix(".md"))]  # fmt: skip


def main() -> int:
    """Train, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data.root", dest="root", help="folder of MNIST's files")
    parser.add_argument("--out", type=Path, default=Path("runs/five"), help="folder of all runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--num", type=int, default=10_000, help="images of each kind that are measured")
    parser.add_argument("--list", action="store_true", help="print the commands and the minutes they may take")
    options, more = parser.parse_known_args()
    data = [*(["--data.root", options.root] if options.root else []), *more]
    commands = trainings(options.seeds, options.out, data)
    for words, minutes in commands:
        print(f"{minutes:5.1f} min  vaegan {shlex.join(words)}")
    last = comparison(options.seeds, options.out, options.num)
    print(f"           vaegan {shlex.join(last)}")
    minutes = sum(minutes for _, minutes in commands) + MEASURING * len(commands)
    print(f"{minutes:5.0f} min  in all on two cores, with about {MEASURING} to measure each run", flush=True)
    if options.list:
        return 0
    for words, _ in commands:
        run = Path(words[-1])
        code = vaegan(words)
        if not code and not (run / "evaluation.json").exists():
            code = vaegan(["evaluate", str(run), "--num", str(options.num)])
        if code:
            return code
    return vaegan(last)


if __name__ == "__main__":
    sys.exit(main())
