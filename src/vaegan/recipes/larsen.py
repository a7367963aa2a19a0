"""Recipes of the paper, arXiv:1512.09300, and of its authors' code (andersbll/autoencoding_beyond_pixels).

Networks of Table 1 (at 32x32 those of the code), minimax on both kinds of fakes with reals weighted by r, the balance
gate, RMSProp with an annealed rate, images shifted and recoloured a little. How their numbers become ours:

* Their losses are sums over batch and features, and Dec gets w L_llike - (1 - w) L_GAN, so gamma = w / (1 - w),
  which is w to all digits that matter.
* Dis weights reals by r and each of the two kinds of fakes by (1 - r) B / n_fake, with n_fake = 2 B, so by (1 - r) / 2.
  These weights do not affect Dec.
* Weight decay is 2e-5 on gradients that are sums over batches of 64; ours are means, so 2e-5 / 64.
* The rate falls from 0.02 / 64, the paper's 3e-4, to 1e-5 / 64, 1/2000 of it.
* Their length is a number of updates of 64 images, here in epochs so that `--train.epochs` changes it.
"""

from typing import Any

from ..settings import AugmentSettings, DataSettings, LossSettings, OptimSettings, TrainSettings
from .recipe import NUM_IMAGES, data_of, paper_conv, paper_mlp, recipe

BATCH_SIZE = 64
CODE = "and the authors' code: minimax, balance gate, RMSProp"
AUGMENT = AugmentSettings(shift=2.0, scale=0.01, rotation=0.01, gamma=0.05, contrast=0.05, hue=0.01)
NET_64 = paper_conv((64, 128, 256), 256, (256, 128, 32), (32, 128, 256, 256), (2048, 512))
NET_32 = paper_conv((64, 128, 256), 256, (192, 128, 32), (32, 128, 192, 256), (1024, 512))
LATER = "later versions of their code: --loss.gamma 1e-6 and another weight of reals"


def _augmented(source: str, **more: Any) -> DataSettings:
    """64x64 colour images, randomly shifted, recoloured and flipped."""
    return data_of(source, 64, 3, flip=True, augment=AUGMENT, **more)


def _loss(gamma: float, real_weight: float, kl_weight: float = 1.0) -> LossSettings:
    """Minimax on both kinds of fakes in one batch, reals weighted by r and fakes together by 1 - r, with the gate."""
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


# RMSProp with rate 3e-4 and decay 0.9, annealed, as in the authors' code.
OPTIM = OptimSettings(
    name="rmsprop", lr=3e-4, beta2=0.9, weight_decay=2e-5 / BATCH_SIZE, schedule="anneal", final_lr_factor=1e-5 / 0.02
)


def _train(updates: int, source: str, snapshot_epochs: float = 1.0) -> TrainSettings:
    """This many updates of 64 images, in epochs of the source's images."""
    epochs = round(updates * BATCH_SIZE / NUM_IMAGES[source], 2)
    return TrainSettings(epochs=epochs, batch_size=BATCH_SIZE, snapshot_epochs=snapshot_epochs)


ALL = (
    recipe(
        "larsen-celeba64",
        "the paper's VAE/GAN on faces",
        "CelebA, 64x64",
        f"arXiv:1512.09300, Table 1, {CODE}",
        (_augmented("celeba"), NET_64, _loss(gamma=1e-5, real_weight=0.66), OPTIM, _train(37_500, "celeba", 0.5)),
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
        f"arXiv:1512.09300, Table 1, {CODE}",
        (_augmented("lfw"), NET_64, _loss(gamma=1e-5, real_weight=0.66), OPTIM, _train(37_500, "lfw", 5.0)),
        notes=(
            "images of the official alignment; theirs are aligned by landmarks, which are not part of the data",
            "not conditioned on attributes, unlike the models of the paper's Table 2",
            f"{LATER} (0.33)",
        ),
    ),
    recipe(
        "larsen-stl64",
        "the authors' VAE/GAN on photographs",
        "STL-10, 64x64",
        f"network of arXiv:1512.09300, Table 1, {CODE}",
        (_augmented("stl10"), NET_64, _loss(gamma=1e-5, real_weight=0.66), OPTIM, _train(50_000, "stl10")),
        notes=("trained on all images that are not for testing, with and without labels",),
    ),
    recipe(
        "larsen-cifar32",
        "the authors' VAE/GAN on small photographs",
        "CIFAR-10, 32x32",
        f"arXiv:1512.09300 {CODE}",
        (
            data_of("cifar10", 32, 3),
            NET_32,
            _loss(gamma=5e-6, real_weight=0.66),
            OPTIM,
            _train(37_500, "cifar10", 2.0),
        ),
        notes=(
            "no augmentation: their code augments all data sets but this one",
            "later versions of their code: --loss.gamma 1e-5 --model.latent-dim 256, reals at 0.5, 50,000 updates",
        ),
    ),
    recipe(
        "larsen-mnist",
        "the authors' network, the paper's loss and optimiser",
        "MNIST",
        f"arXiv:1512.09300 {CODE}; two layers of 1024",
        (
            data_of("mnist"),
            paper_mlp(1024, 2, 128),
            _loss(gamma=30.0, real_weight=0.5, kl_weight=0.002),
            OPTIM,
            TrainSettings(epochs=40, batch_size=BATCH_SIZE),
        ),
        notes=(
            "the code has this network for an AE and a GAN; gamma and the KL weight are ours: L_llike in layer l is a "
            "nat or less per image, and with the weights for larger images the posterior collapses",
            "no batch norm after Dis's first layer, as in the convolutional networks",
        ),
    ),
)
