"""A prior for codes that are maps: are samples as good as reconstructions? On CIFAR-10 or drawn shapes.

    python studies/map_priors.py --data cifar10 --data-root data
    python studies/map_priors.py --images 20000 --flow-steps 500     # a short try on drawn faces

A VAE/GAN after recipe kl-f4, a quarter as wide, with codes of 4x8x8 is trained on images of 32 pixels, then priors are
fitted to its codes: a Gaussian, and the flow over maps. Printed, and written to OUT/map-priors.json: Fréchet distances
to held-out images of reconstructions and of each prior's samples, and their ratio to that of the reconstructions. Run
the same command to resume; the model that is already trained is used again.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import vaegan
from vaegan.evaluation.measure import evaluate
from vaegan.files import write_json
from vaegan.latent.fit_priors import fit_model_priors
from vaegan.runs.opened import OpenedRun

WIDTHS = (32, 64, 128)
PART = {"groups": 8, "blocks": 1, "attention": False}
SETTINGS = {
    "data.size": 32,
    "model.latent_dim": 4,
    "optim.lr": 5e-4,
    "train.batch_size": 32,
    **{f"model.encoder.{name}": value for name, value in {**PART, "channels": WIDTHS}.items()},
    **{f"model.decoder.{name}": value for name, value in {**PART, "channels": WIDTHS[::-1]}.items()},
}


def main() -> None:
    """Train, fit, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="shapes-faces", help="source of images (%(default)s)")
    parser.add_argument("--data-root", help="folder of the files of named data sets")
    parser.add_argument("--out", type=Path, default=Path("runs/map-priors"), help="run folder (%(default)s)")
    parser.add_argument("--images", type=int, default=500_000, help="training images (%(default)s)")
    parser.add_argument("--flow-steps", type=int, help="training steps of the flow (its default)")
    parser.add_argument("--num", type=int, default=10_000, help="samples and held-out images (%(default)s)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    own = {"train.images": options.images} | ({"data.root": options.data_root} if options.data_root else {})
    vaegan.train("kl-f4", data=options.data, out=options.out, **SETTINGS, **own)
    run = OpenedRun(options.out)
    model, data = run.model(), run.data()
    fit_model_priors(model, data.train, names=("gaussian", "flow"), seed=0, flow_steps=options.flow_steps)
    measured = evaluate(model, data, num=options.num, priors=("gaussian", "flow"))
    reference = measured["reconstructions"]["frechet_distance"]["value"]
    distances = {name: figures["frechet_distance"]["value"] for name, figures in measured["samples"].items()}
    result = {"reconstructions": reference, **distances}
    for name, distance in result.items():
        print(f"{name:16} Fréchet distance {distance:8.3f}, {distance / reference:.2f} times that of reconstructions")
    model.save(options.out / "with-flow")
    write_json(options.out / "map-priors.json", result)


if __name__ == "__main__":
    main()
