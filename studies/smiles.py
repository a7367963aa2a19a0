"""Real faces at 64x64: a VAE and a VAE/GAN with the same encoder and decoder, and the attribute vector of smiles.

    python studies/smiles.py --data smiles.zip             # train the missing runs, measure, compare
    python studies/smiles.py --data smiles.zip --list      # print the commands and the expected minutes

The source is any folder or archive of grey images with two labels, one of them ATTRIBUTE. Both kinds use the recipe
photos-64. The VAE's pixels are Gaussian with the best-fitting variance (sigma-VAE, arXiv:2006.13202), so its likelihood
and KL need no weights. Samples are drawn from a mixture for each label. The script also adds the smile vector to
held-out faces, and a classifier trained separately counts how many flip. Page, JSON and tables are written beside the
runs. Run the same command to resume. Unknown options are passed to `vaegan train`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common import side_by_side

from vaegan.cli import main as vaegan
from vaegan.files import write_text

RECIPE = "photos-64"
ATTRIBUTE = "smiling"
SHARED = {
    "data.channels": "1", "data.flip": "True", "train.images": "200000", "train.snapshot-epochs": "2",
    "train.priors": "none", "train.best-metric": "none",
}  # fmt: skip
"""Changes to the recipe for both."""
KINDS: dict[str, side_by_side.Settings] = {"vae": side_by_side.SIGMA_VAE, "vaegan": {}}
"""Kind of model -> further changes to the recipe."""
STRENGTHS = (1.0, 1.5, 2.0)


def trainings(seeds: Sequence[int], out: Path, more: Sequence[str]) -> list[side_by_side.Training]:
    """Return the command of each training."""
    return side_by_side.trainings(
        RECIPE, KINDS, seeds, out, lambda kind, seed: {**SHARED, "model.kind": kind, **KINDS[kind]}, more
    )


def check(run: Path) -> int:
    """Run `vaegan attributes --check` on a run, unless its model was checked before."""
    made, weights = check_path(run), run / "model" / "model.safetensors"
    if made.is_file() and made.stat().st_mtime >= weights.stat().st_mtime:
        return 0
    strengths = [f"{strength:g}" for strength in (0.5, *STRENGTHS)]
    return vaegan(["attributes", str(run), "--attribute", ATTRIBUTE, "--check", "--check-images", "2000",
                   "--check-strength", *strengths, "--out", str(run.with_suffix(".png")), "--overwrite"])  # fmt: skip


def check_path(run: Path) -> Path:
    """Return the path of the result of a run's check."""
    return run.with_name(f"{run.name}-check.json")


def table(checks: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the flip rates at each strength as a Markdown table, a row for each run.

    Args:
        checks: run -> what `vaegan attributes --check` wrote.
    """
    heads = [f"flips at strength {strength:g}" for strength in STRENGTHS]
    lines = [
        f"| run | images | {' | '.join(heads)} | random direction at {STRENGTHS[-1]:g} |",
        "|---|---:|" + "---:|" * (len(STRENGTHS) + 1),
    ]
    for run, result in checks.items():
        effects = {effect["strength"]: effect for effect in result["effects"] if effect["attribute"] == ATTRIBUTE}
        cells = [_with_interval(effects[strength]["vector"]["flipped"]) for strength in STRENGTHS]
        cells.append(_with_interval(effects[STRENGTHS[-1]]["random"]["flipped"]))
        lines.append(f"| {run} | {result['num_images']:,} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _with_interval(figure: Mapping[str, float]) -> str:
    return f"{figure['value']:.2f} ({figure['low']:.2f}–{figure['high']:.2f})"


def main() -> int:
    """Train, measure, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder or archive of the faces")
    side_by_side.options(parser, Path("runs/smiles"), num=10_000)
    options, more = parser.parse_known_args()
    commands = trainings(options.seeds, options.out, ["--data", options.data, *more])
    last = side_by_side.comparison(KINDS, options.seeds, options.out, options.num)
    side_by_side.announce(commands, last)
    if options.list:
        return 0
    runs = [Path(words[-1]) for words, _ in commands]

    def measure(run: Path) -> int:
        return side_by_side.fitted(run, "mixture", "--by-label") or check(run)

    if code := side_by_side.carry_out(commands, measure) or vaegan(last):
        return code
    checks = {run.name: json.loads(check_path(run).read_text(encoding="utf-8")) for run in runs}
    write_text(options.out / "flips.md", table(checks))
    print(table(checks))
    return 0


if __name__ == "__main__":
    sys.exit(main())
