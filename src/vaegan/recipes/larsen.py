"""Recipes of the paper, arXiv:1512.09300, and of its authors' code (andersbll/autoencoding_beyond_pixels).

Networks of Table 1 (at 32x32 those of the code), minimax on both kinds of fakes with reals weighted r, the balance
gate, RMSProp with an annealed rate, images moved and recoloured a little. How their numbers become ours:

* Their losses are sums over batch and features, and Dec gets w L_llike - (1 - w) L_GAN, so gamma = w / (1 - w): that is
  w, to more digits than were ever tuned.
* Reals count r in Dis and the two kinds of fakes (1 - r) B / n_fake each, with n_fake = 2 B, so (1 - r) / 2. Dec sees
  none of these weights.
* Weight decay is 2e-5 on gradients summed over batches of 64: 2e-5 / 64 on ours, which are means.
* The rate runs from 0.02 / 64, the paper's 3e-4, to 1e-5 / 64, 1/2000 of it.
* Lengths are updates of 64 images, given here as epochs so that `--train.epochs` changes them.
"""

from __future__ import annotations

from typing import Any

from ..config import AugmentSettings, DataSettings, LossSettings, OptimSettings, TrainSettings
from .recipe import data_of, paper_conv, paper_mlp, recipe

BATCH_SIZE = 64
CODE = "and the authors' code: minimax, balance gate, RMSProp"
AUGMENT = AugmentSettings(shift=2.0, scale=0.01, rotation=0.01, gamma=0.05, contrast=0.05, hue=0.01)
NET_64 = paper_conv((64, 128, 256), 256, (256, 128, 32), (32, 128, 256, 256), (2048, 512))
NET_32 = paper_conv((64, 128, 256), 256, (192, 128, 32), (32, 128, 192, 256), (1024, 512))
LATER = "later versions of their code: --loss.gamma 1e-6 and other weights of reals"


def _augmented(source: str, **more: Any) -> DataSettings:
    """64x64 colour images, each time moved, recoloured and perhaps mirrored."""
    return data_of(source, 64, 3, flip=True, augment=AUGMENT, **more)


def _loss(gamma: float, real_weight: float, kl_weight: float = 1.0) -> LossSettings:
    """Minimax on both kinds of fakes, reals weighted r and fakes 1 - r together, all one batch, with the gate."""
    fake = (1 - real_weight) / 2
    return LossSettings(
        gamma=gamma,
        kl_weight=kl_weight,
        real_weight=real_weight,
        prior_weight=fake,
        reconstruction_weight=fake,
        joint_batch=True,
        gate=True,
    )


def _optim() -> OptimSettings:
    """RMSProp with rate 3e-4 and decay 0.9, annealed, as the authors' code has it."""
    return OptimSettings(
        name="rmsprop",
        lr=3e-4,
        beta2=0.9,
        weight_decay=2e-5 / BATCH_SIZE,
        schedule="anneal",
        final_lr_factor=1e-5 / 0.02,
    )


def _train(updates: int, num_images: int, snapshot_epochs: float = 1.0) -> TrainSettings:
    """So many updates of 64 images, in epochs of so many images."""
    epochs = round(updates * BATCH_SIZE / num_images, 2)
    return TrainSettings(epochs=epochs, batch_size=BATCH_SIZE, snapshot_epochs=snapshot_epochs)


ALL = (
    recipe(
        "larsen-celeba64",
        "the paper's VAE/GAN on faces",
        "CelebA, 64x64",
        (3, 64, 64),
        f"arXiv:1512.09300, Table 1, {CODE}",
        (_augmented("celeba"), NET_64, _loss(gamma=1e-5, real_weight=0.66), _optim(), _train(37_500, 182_637, 0.5)),
        num_images=182_637,
        notes=(
            "the encoder's dense layer has the table's 2048 units; the code has 1024",
            f"{LATER} (0.5), 62,500 updates",
            "the attribute vectors of the paper: `vaegan attributes RUN`",
        ),
    ),
    recipe(
        "larsen-lfw64",
        "the paper's VAE/GAN on few faces",
        "LFW, 64x64",
        (3, 64, 64),
        f"arXiv:1512.09300, Table 1, {CODE}",
        (_augmented("lfw"), NET_64, _loss(gamma=1e-5, real_weight=0.66), _optim(), _train(37_500, 11_900, 5.0)),
        num_images=11_900,
        notes=(
            "pictures of the official alignment; theirs are aligned by landmarks, which do not come with the data",
            "not conditioned on attributes: the paper's Table 2 has models that are",
            f"{LATER} (0.33)",
        ),
    ),
    recipe(
        "larsen-stl64",
        "the authors' VAE/GAN on photographs",
        "STL-10, 64x64",
        (3, 64, 64),
        f"network of arXiv:1512.09300, Table 1, {CODE}",
        (_augmented("stl10"), NET_64, _loss(gamma=1e-5, real_weight=0.66), _optim(), _train(50_000, 105_000)),
        num_images=105_000,
        notes=("trained on all pictures that are not for testing, with and without label",),
    ),
    recipe(
        "larsen-cifar32",
        "the authors' VAE/GAN on small photographs",
        "CIFAR-10, 32x32",
        (3, 32, 32),
        f"arXiv:1512.09300 {CODE}",
        (
            data_of("cifar10", 32, 3),
            NET_32,
            _loss(gamma=5e-6, real_weight=0.66),
            _optim(),
            _train(37_500, 50_000, 2.0),
        ),
        num_images=50_000,
        notes=(
            "no augmentation: their code augments all data but these",
            "later versions of their code: --loss.gamma 1e-5 --model.latent-dim 256, reals at 0.5, 50,000 updates",
        ),
    ),
    recipe(
        "larsen-mnist",
        "the authors' MNIST network with the paper's loss and optimiser",
        "MNIST",
        (1, 28, 28),
        f"arXiv:1512.09300 {CODE}; two layers of 1024",
        (
            data_of("mnist"),
            paper_mlp(1024, 2, 128),
            _loss(gamma=30.0, real_weight=0.5, kl_weight=0.002),
            _optim(),
            TrainSettings(epochs=40, batch_size=BATCH_SIZE),
        ),
        num_images=60_000,
        notes=(
            "the code has this network for an AE and a GAN; gamma and the KL weight are ours: layer l has 1,024 "
            "numbers that differ by a nat or less in all, and with the larger images' weights no code survives the KL",
            "no batch norm behind Dis's first layer, as in the convolutional ones",
        ),
    ),
)
"""Recipes of this origin."""
