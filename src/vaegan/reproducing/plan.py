"""What is trained: each kind of model, unconditional and attribute-conditional, from one set of settings. No torch.

Unconditional models make the pictures of section 4.1, so one seed is enough; attribute-conditional ones make Table 2,
once for each seed. All have the networks, optimiser, batches and length of the settings they start from. What differs:

    VAE         L_llike of pixels as Gaussians of variance 1 where images are in [-1, 1], 1/4 where in [0, 1]
    GAN         no encoder
    VAE_Dis_l   L_llike in layer l of the discriminator that the GAN of the same seed ended with; gamma 1
    VAE/GAN     as the settings say; only it is balanced and pretrained as an autoencoder, if they say so
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..config import Config
from ..recipes import config_for
from ..settings import KINDS, AugmentSettings
from ..settings_io import with_settings

TITLES = {kind: KINDS[kind].title for kind in ("vae", "gan", "vae-dis-l", "vaegan")}
"""Kinds of models in the order they are trained in; the GAN comes before the model that builds on it."""
DRAWN = "shapes-faces"
_RECIPES = {"celeba": "larsen-celeba64", "lfw": "larsen-lfw64"}
_NUM_IMAGES = {"celeba": 182_637, "lfw": 11_900, "shapes": 20_000, DRAWN: 20_000}
_IMAGES_ELSEWHERE = 10_000  # assumed of an epoch
_EPOCHS_ELSEWHERE = 37_500 * 64 / _IMAGES_ELSEWHERE  # the authors' updates of 64 images
_ALIKE = {"on_nan": "rollback", "train.best_metric": "none", "train.priors": (), "train.tensorboard": False}
_AS_DRAWN = {"data.flip": False, **{f"data.augment.{name}": 0.0 for name in AugmentSettings.model_fields}}
"""Mirrored, turned or recoloured, a drawn face would no longer have its attributes."""
_HOLDING = {"loss.gamma": 1.0, "loss.kl_weight": 0.01, "loss.balance": 0.5, "train.pretrain_epochs": 4.0}
"""So short a training leaves layer l small and L_GAN large: at gamma 0.1 its gradient at the decoder was 20 times as
large, and images hardly followed the attributes (centred cosine 0.53 over five seeds; 0.82 with these)."""
_QUICK = {
    **_AS_DRAWN,
    "data.limit": 5_000,
    "model.latent_dim": 32,
    "model.encoder.channels": (24, 48, 96),
    "model.encoder.hidden": (128,),
    "model.decoder.first_channels": 96,
    "model.decoder.channels": (64, 48, 16),
    "model.discriminator.channels": (16, 48, 64, 96),
    "model.discriminator.hidden": (128,),
    **_HOLDING,
    "optim.ema": 0.99,  # an average over 100 steps of about 1,900
    "train.batch_size": 32,
    "train.epochs": 12.0,
    "train.snapshot_epochs": 4.0,
    "train.held_out_images": 256,
}


@dataclass(frozen=True)
class Training:
    """One training: the name of its folder, the kind of model, whether it is attribute-conditional, and settings."""

    name: str
    kind: str
    is_conditional: bool
    config: Config

    @property
    def model(self) -> str:
        """The model as text."""
        return TITLES[self.kind] + (", attribute-conditional" if self.is_conditional else "")

    @property
    def title(self) -> str:
        """Model and seed as text."""
        return f"{self.model}, seed {self.config.seed}"


def base_settings(source: str = DRAWN, *, is_quick: bool = False) -> Config:
    """Return the settings that all trainings start from.

    Quick ones have a small network at 32x32 and our losses, which need fewer steps; else they are the paper's, at
    64x64, for as many images as its authors' code, but fewer of drawn faces.
    """
    if is_quick:
        return config_for("conv-32", {**_ALIKE, **_QUICK, "data.source": source})
    config = config_for(_RECIPES.get(source, "larsen-celeba64"), {**_ALIKE, "data.source": source})
    if source == DRAWN:
        return with_settings(config, {**_AS_DRAWN, "train.epochs": 20.0, "train.snapshot_epochs": 5.0})
    if source in _RECIPES:
        return config
    return with_settings(config, {"train.epochs": _EPOCHS_ELSEWHERE, "train.snapshot_epochs": 10.0})


def plan(base: Config, num_seeds: int, out: Path) -> list[Training]:
    """Return all trainings in order: the unconditional models, then the attribute-conditional ones, seed by seed."""
    unconditional = [_training(base, kind, False, base.seed, out) for kind in TITLES]
    seeds = range(base.seed, base.seed + num_seeds)
    return unconditional + [_training(base, kind, True, seed, out) for seed in seeds for kind in TITLES]


def seeds_of(trainings: Sequence[Training]) -> list[int]:
    """Return the seeds of the attribute-conditional models."""
    return sorted({training.config.seed for training in trainings if training.is_conditional})


def _training(base: Config, kind: str, is_conditional: bool, seed: int, out: Path) -> Training:
    ending = f"{'-conditional' if is_conditional else ''}-{seed}"
    changes: dict[str, object] = {"model.kind": kind, "seed": seed}
    changes["model.condition"] = "attributes" if is_conditional else "none"
    if kind != "vaegan":
        changes |= {"loss.balance": None, "train.pretrain_epochs": 0.0}
    if kind == "vae":
        range_ = 2.0 if base.model.output in ("tanh", "centred") else 1.0
        changes |= {"loss.likelihood": "gaussian", "loss.pixel_variance": 1 / range_**2}
        changes |= {"loss.gamma": 1.0, "loss.kl_weight": 1.0, "loss.encoder_llike_weight": 1.0}
    elif kind == "vae-dis-l":
        changes |= {"loss.metric": out / f"gan{ending}", "loss.gamma": 1.0}
    return Training(kind + ending, kind, is_conditional, with_settings(base, changes))


def num_images_of(config: Config) -> int:
    """Return how many images an epoch has, before the data are opened; 10,000 if that is uncertain."""
    source, limit = config.data.source, config.data.limit
    num = _NUM_IMAGES.get(source, _IMAGES_ELSEWHERE)
    if limit is None:
        return num
    return limit if source.startswith("shapes") else min(limit, num)
