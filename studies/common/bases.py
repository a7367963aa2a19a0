"""Base settings that studies vary: small networks after our recipes, trained without stabilisers.

The claims are about plain training, so what our recipes add for stability is left out: the learning rate is constant
and weights are not averaged. L_llike is a sum over the features of layer l: where convolutions have a half or a quarter
of the recipe's channels, its weights are raised, or KL would dominate and the posterior collapse. VAE and AE have
weights of 1. All runs use one number format, which would otherwise be chosen by timing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vaegan.config import Config
from vaegan.recipes import config_for
from vaegan.settings_io import with_settings

PLAIN: dict[str, Any] = {
    "optim.schedule": "constant",
    "optim.ema": 0.0,
    "train.precision": "bf16",
    "train.memory_format": "channels_last",
    "train.tensorboard": False,
    "train.snapshot_epochs": 1e6,  # at the end of each call only
    "train.held_out_images": 256,
    "train.log_images": 20_000,
    "train.keep_checkpoints": 1,
    "train.best_metric": "none",
    "train.priors": (),
}
SHARED_MARKS = (50_000, 100_000, 125_000, 150_000)
"""Images seen at which several studies measure the same convolutional runs."""
MLP_WIDTH = 512
MLP_GAMMA = 3.0
"""The recipe's weight of L_llike at the decoder."""
_MLP = {f"model.{part}.hidden": (MLP_WIDTH, MLP_WIDTH) for part in ("encoder", "decoder", "discriminator")}
_CONV = {
    "model.encoder.channels": (16, 32),
    "model.encoder.hidden": (128,),
    "model.decoder.first_channels": 32,
    "model.decoder.channels": (32, 16),
    "model.discriminator.channels": (16, 32),
    "model.discriminator.hidden": (128,),
    "model.latent_dim": 20,
    "loss.gamma": 0.2,
    "loss.encoder_llike_weight": 2.0,
    "loss.kl_weight": 0.2,
}
_FACES = {
    "model.encoder.channels": (16, 32, 64),
    "model.encoder.hidden": (256,),
    "model.decoder.first_channels": 64,
    "model.decoder.channels": (64, 32, 16),
    "model.discriminator.channels": (16, 32, 64),
    "model.discriminator.strides": None,
    "model.discriminator.hidden": (256,),
    "model.latent_dim": 64,
    "loss.gamma": 1.0,
    "loss.encoder_llike_weight": 20.0,
    "loss.kl_weight": 0.2,
}
_PIXELS = {
    "model.output": "sigmoid",
    "loss.likelihood": "bernoulli",
    "loss.gamma": 1.0,
    "loss.kl_weight": 1.0,
    "loss.encoder_llike_weight": 1.0,
}
_KINDS: dict[str, dict[str, Any]] = {
    "vaegan": {"model.kind": "vaegan"},
    "gan": {"model.kind": "gan"},
    "vae": {"model.kind": "vae", **_PIXELS},
    "ae": {"model.kind": "ae", **_PIXELS},
}


def mlp(changes: Mapping[str, Any] | None = None, kind: str = "vaegan") -> Config:
    """Recipe mnist-mlp, half as wide."""
    return _config("mnist-mlp", _MLP, kind, changes)


def conv(changes: Mapping[str, Any] | None = None, kind: str = "vaegan") -> Config:
    """Recipe mnist-conv, half as wide, with 20 dimensions of z and other loss weights."""
    return _config("mnist-conv", _CONV, kind, changes)


def faces(changes: Mapping[str, Any] | None = None, kind: str = "vaegan") -> Config:
    """Recipe conv-32, a quarter as wide, on synthetic faces; a VAE's pixels are Gaussian with variance 0.02."""
    pixels = {"loss.likelihood": "gaussian", "loss.pixel_variance": 0.02} if kind in ("vae", "ae") else {}
    data = {"data.source": "shapes-faces", "data.size": 32}
    return _config("conv-32", _FACES | data, kind, pixels | dict(changes or {}))


def _config(recipe: str, network: Mapping[str, Any], kind: str, changes: Mapping[str, Any] | None) -> Config:
    own = {**PLAIN, **network, **_KINDS[kind]}
    return with_settings(config_for(recipe), {**own, **(changes or {})})
