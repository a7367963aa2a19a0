"""A decoder fine-tuned on 1,000 drawn faces, from an autoencoder of other images; several seeds, then `vaegan compare`.

    python studies/fine_tune.py             # train the missing runs, check the encoders, compare
    python studies/fine_tune.py --list      # print the commands

The model to start from is a VAE whose codes are maps, with the networks of kl-f4 and few channels, trained on drawn
shapes. The recipe finetune-vae then trains its decoder on faces, with a new discriminator, and as a control without
one. Encoders must stay bit for bit what they were. All are compared on held-out faces, in features of a network that no
run was trained with. Run the same command to resume. Page, JSON and a Markdown table are written beside the runs.
Unknown options are passed to each fine-tuning.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from common import side_by_side

from vaegan.cli import main as vaegan

NARROW = {
    "model.encoder.channels": "16,32,64",
    "model.encoder.groups": "8",
    "model.decoder.channels": "64,32,16",
    "model.decoder.groups": "8",
}
BASE = NARROW | {
    "model.kind": "vae",
    "data": "shapes",
    "data.size": "32",
    "data.channels": "3",
    "data.limit": "4000",
    "optim.lr": "1e-3",
    "train.batch-size": "32",
    "seed": "0",
}
TUNED = {
    "data": "shapes-faces",
    "data.size": "32",
    "data.limit": "1000",
    "model.discriminator.channels": "32,64",
    "model.discriminator.strides": "2,2",
    "optim.lr": "1e-4",
    "optim.discriminator-lr": "2e-4",
    "train.batch-size": "16",
}
VARIANTS: dict[str, side_by_side.Settings] = {
    "tuned": {},
    "without-discriminator": {"model.kind": "vae", "train.parts": "decoder"},
}
"""Variant -> changes to the fine-tuning."""


def commands(options: argparse.Namespace, more: Sequence[str]) -> list[list[str]]:
    """Return the arguments of `vaegan` that train the model to start from, and then each fine-tuning."""
    base = options.out / "base"
    every = [_words("kl-f4", BASE | {"train.images": str(options.base_images), "out": str(base)}, [])]
    for seed in options.seeds:
        for variant, changes in VARIANTS.items():
            shared = TUNED | {"init-from": str(base), "train.images": str(options.images), "seed": str(seed)}
            settings = {name: value for name, value in (shared | changes).items() if not _has_no_effect(name, changes)}
            every.append(_words("finetune-vae", settings | {"out": str(options.out / f"{variant}-{seed}")}, more))
    return every


def _has_no_effect(name: str, changes: side_by_side.Settings) -> bool:
    """Whether a setting is of the discriminator in a training without one."""
    return changes.get("model.kind") == "vae" and "discriminator" in name


def _words(recipe: str, settings: side_by_side.Settings, more: Sequence[str]) -> list[str]:
    return ["train", recipe, *[word for name, value in settings.items() for word in (f"--{name}", value)], *more]


def changed_weights(base: Path, run: Path) -> list[str]:
    """Return the names of the encoder's weights in which a run differs from the model it started from."""
    from vaegan import load

    first, now = (load(path).parts["encoder"].state_dict() for path in (base, run))
    return [name for name, weight in first.items() if not weight.equal(now[name])]


def main() -> int:
    """Train, check, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    side_by_side.options(parser, Path("runs/fine-tune"), num=1000)
    parser.add_argument("--base-images", type=int, default=60_000, help="images seen by the model to start from")
    parser.add_argument("--images", type=int, default=20_000, help="images seen by each fine-tuning")
    options, more = parser.parse_known_args()
    trainings = commands(options, more)
    base, runs = options.out / "base", [Path(words[-1 - len(more)]) for words in trainings[1:]]
    page = options.out / "comparison.html"
    last = ["compare", str(base), *map(str, runs), "--data", TUNED["data"], "--num", str(options.num),
            "--out", str(page), "--overwrite", "--markdown", str(page.with_suffix(".md"))]  # fmt: skip
    if options.list:
        print("\n".join(f"vaegan {shlex.join(words)}" for words in [*trainings, last]))
        return 0
    for words in trainings:
        if code := vaegan(words):
            return code
    for run in runs:
        if changed := changed_weights(base, run):
            print(f"{run}: the encoder has changed: {', '.join(changed)}", file=sys.stderr)
            return 1
    print(f"encoders of {len(runs)} runs: bit for bit that of {base}", flush=True)
    return vaegan(last)


if __name__ == "__main__":
    sys.exit(main())
