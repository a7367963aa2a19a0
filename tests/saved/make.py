"""Models of the version that runs this, with what they compute, for all later versions to load.

    python tests/saved/make.py NAME ...        # into tests/saved/NAME-VERSION; without names, all of `MODELS`

Each is the recipe `digits` made tiny, trained for an epoch of 400 images. A folder is never made anew: a model of a new
kind, or of a new format, is a new folder beside those of before.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

import vaegan
from vaegan.data import open_data
from vaegan.latent.fit_priors import fit_model_priors
from vaegan.pixels import to_unit

PLACE = Path(__file__).parent
PARTS = {
    "conv": {
        "latent_dim": 4,
        "encoder.channels": (4, 8),
        "encoder.hidden": (8,),
        "decoder.channels": (8, 4),
        "decoder.first_channels": 8,
        "discriminator.channels": (4, 8, 8),
        "discriminator.hidden": (8,),
    },
    "mlp": {
        "network": "mlp",
        "latent_dim": 3,
        "output": "sigmoid",
        "condition": "labels",
        "encoder.hidden": (12,),
        "decoder.hidden": (12,),
        "discriminator.hidden": (12,),
        "encoder.channels": (),
        "decoder.channels": (),
        "discriminator.channels": (),
        "discriminator.strides": None,
        "discriminator.spectral_norm": True,
    },
    "residual": {
        "network": "residual",
        "latent": "map",
        "latent_dim": 2,
        "output": "centred",
        "init": "torch",
        **{
            f"{part}.{name}": value
            for part in ("encoder", "decoder")
            for name, value in {"channels": (4, 4), "hidden": (), "groups": 2, "blocks": 1}.items()
        },
        "discriminator.channels": (4, 8),
        "discriminator.strides": None,
        "discriminator.hidden": (),
        "discriminator.norm": "group",
        "discriminator.groups": 2,
        "discriminator.patch": True,
    },
}
MODELS = {
    # name: settings of the model, priors, whether they know labels
    "conv": (PARTS["conv"], ["gaussian", "mixture", "kde"], False),
    "maps": (PARTS["residual"], ["gaussian"], False),
    "told-mlp": (PARTS["mlp"], ["mixture"], True),
}


def make(name: str) -> None:
    """Train one, save it with what it computes of eight held-out images and of eight codes."""
    settings, priors, by_label = MODELS[name]
    folder = PLACE / f"{name}-{vaegan.__version__}"
    if folder.exists():
        sys.exit(f"{folder} is there: what an earlier version wrote stays as it is")
    data = open_data("digits", limit=400)
    with tempfile.TemporaryDirectory() as run:
        vaegan.train(
            "digits",
            out=run,
            device="cpu",
            train={"epochs": 1, "snapshot_epochs": 1, "batch_size": 32, "priors": (), "best_metric": "none"}
            | {"tensorboard": False, "precision": "fp32", "memory_format": "contiguous"},
            model=settings,
            **{"data.limit": 400},
        )
        model = vaegan.load(run)
    images = data.train
    fit_model_priors(model, images, names=priors, by_label=by_label, seed=0)
    model.save(folder)
    chosen = np.arange(8)
    x, c = to_unit(torch.from_numpy(data.test.images[chosen])), model.condition_of(data.test, chosen)
    mu, logvar = model.posterior(x, condition=c)
    z = torch.randn(8, model.latent_dim, generator=torch.Generator().manual_seed(0))
    arrays = {
        "x": x,
        "mu": mu,
        "logvar": logvar,
        "z": z,
        "decoded": model.decode(z, condition=c),
        "logits": model.discriminate(x, condition=c),
        **({} if c is None else {"condition": c}),
        **{f"log_prob {prior}": model.prior_of(prior).log_prob(mu) for prior in model.prior_names},
    }
    np.savez_compressed(folder / "expected.npz", **{key: value.numpy() for key, value in arrays.items()})
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {size / 1000:.0f} kB, priors {', '.join(model.prior_names)}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for word in sys.argv[1:] or MODELS:
        make(word)
