"""Recipes of our own: networks in the paper's pattern, with losses and optimisers that are more stable on small data.

Observations on MNIST, with three epochs and one seed each, so only indications: with batch norm in the discriminator,
which then gets real and fake images in separate batches, the discriminator is too strong and the decoder stops
learning; without it they stay balanced. With gamma near 0.1 the gradients of L_llike and L_GAN at x_tilde are about
equal (see `routes` in metrics.jsonl). The KL weight decides how good reconstructions are: the Fréchet distance of
held-out reconstructions of mnist-conv (features of a digit classifier, 10,000 images, one seed; for as many training
images: 0.48) was 3.4 at KL weight 0.2 and gamma 0.1, 0.99 at 0.05 and 0.5, and 0.44 at 0.005 and 1. Codes of 100 nats
are far from N(0, I), so such a model is sampled from a prior fitted to them. On the 1,524 small digits the
discriminator is too strong towards the end (it recognises 98 % of the fakes, one seed), but not with R1 (weight 0.2,
every fourth step).
"""

from typing import Any

from ..settings import (
    DecoderSettings,
    DiscriminatorSettings,
    LossSettings,
    ModelSettings,
    OptimSettings,
    PartSettings,
    TrainSettings,
)
from .recipe import YOURS, Recipe, adam, data_of, paper_conv, paper_mlp, recipe


def _adam(ema: float, **more: Any) -> OptimSettings:
    """Adam with beta1 = 0.5, as is common in adversarial training (Radford et al., arXiv:1511.06434)."""
    return adam(5e-4, beta1=0.5, beta2=0.99, ema=ema, **more)


FALLING = _adam(ema=0.999, schedule="cosine", final_lr_factor=0.1)
"""The same, with a rate that falls to 1/10."""


def _loss(**more: Any) -> LossSettings:
    """Non-saturating loss with one-sided label smoothing, more stable than minimax on small data."""
    return LossSettings(adversarial="non-saturating", label_smoothing=0.1, **more)


def _with_discriminator(model: ModelSettings, **changes: Any) -> ModelSettings:
    values = model.discriminator.model_dump() | changes
    return model.model_copy(update={"discriminator": DiscriminatorSettings(**values)})


def _without_norm(model: ModelSettings) -> ModelSettings:
    """The same model with leaky ReLU and no norm in the discriminator, whose output then depends on one image alone."""
    return _with_discriminator(model, norm="none", activation="leaky")


def _halving_at_once(model: ModelSettings) -> ModelSettings:
    """The same model with a discriminator that has stride 2 from its first layer on, which saves most of its cost."""
    return _with_discriminator(model, strides=None)


def _few_images() -> Recipe:
    """For few images, where the number of steps matters: a narrow network, small batches, pre-training as autoencoder.

    On 442 synthetic faces, one seed: without pre-training, conv-32 generated no eyes after 420 steps of 64 images; with
    it, reconstructions were complete faces. Features of layer l are small in a discriminator that has seen few images,
    and so is L_llike: with gamma 1, a KL weight of 0.05 removed the faces again. So the KL weight is small, and the
    gradient norm of L_GAN is held at half that of the likelihood; gamma 5 without this left more noise. Images are
    grainy in the middle of the run and clear again as the rates fall; in the end the attribute vector of hats adds and
    removes them, that of smiles changes too few pixels to see.
    """
    model = paper_conv((32, 64, 128), 128, (96, 64, 32), (16, 64, 96), (256, 256), latent_dim=64)
    settings = (
        data_of(YOURS, 32),
        _halving_at_once(_without_norm(model)),
        _loss(gamma=1.0, kl_weight=0.002, balance=0.5),
        _adam(ema=0.995, schedule="cosine", final_lr_factor=0.1),
        TrainSettings(epochs=150, batch_size=32, pretrain_epochs=40, snapshot_epochs=15),
    )
    summary = "narrow, for a few hundred images, minutes on a laptop"
    origin = "ours: the paper's pattern, a third as wide"
    return recipe("small-32", summary, "few 32x32 images", origin, settings, num_images=500)


_PATCHES = DiscriminatorSettings(
    channels=(16, 32, 64), strides=(2, 2, 1), kernel=3, norm="group", norm_first_layer=False, activation="leaky",
    patch=True,
)  # fmt: skip
"""A small discriminator of patches."""


def _perceptual(**more: Any) -> LossSettings:
    """A Gaussian likelihood and a perceptual loss, and a discriminator that gets reconstructions alone."""
    return LossSettings(
        likelihood="gaussian", perceptual="auto", adversarial="hinge", fakes="reconstructions", real_weight=0.5,
        reconstruction_weight=0.5, **more,
    )  # fmt: skip


def _of_maps(size: int, channels: tuple[int, ...]) -> Recipe:
    """For photographs, from a few hundred on: codes that are maps, with the same few weights at each place.

    A dense layer between maps and code memorises a few hundred photographs, and others become grey blur. The
    likelihood is a Gaussian with about the variance that is left (sigma-VAE, Rybkin et al., arXiv:2006.13202), in which
    a KL weight of 1 balances itself; docs/results.md has what else was tried.
    """
    part: dict[str, Any] = {"blocks": 1, "groups": 8, "attention": False}
    model = ModelSettings(
        network="residual",
        latent="map",
        latent_dim=8,
        output="centred",
        init="torch",
        encoder=PartSettings(channels=channels, **part),
        decoder=DecoderSettings(channels=channels[::-1], **part),
        discriminator=_PATCHES,
    )
    loss = _perceptual(pixel_variance=0.003, balance=0.5)
    rates = adam(5e-4, beta1=0.5, beta2=0.9, schedule="cosine", final_lr_factor=0.1)
    train = TrainSettings(epochs=75, batch_size=32, snapshot_epochs=15)
    factor = 2 ** (len(channels) - 1)
    summary = f"codes are maps of 8x{size // factor}x{size // factor}; for few or many photographs"
    origin = "ours: narrow networks of kl-f4, likelihood of arXiv:2006.13202"
    return recipe(
        f"map-{size}", summary, f"{size}x{size} images", origin, (data_of(YOURS, size, 3), model, loss, rates, train),
        num_images=500,
    )  # fmt: skip


def _photographs(
    size: int,
    encoder: tuple[int, ...],
    decoder: tuple[int, ...],
    *,
    perceptual_weight: float,
    epochs: int,
    num_images: int,
) -> Recipe:
    """For thousands of photographs, from which it learns to sample: plain convolutions and small codes.

    A map of 8x4x4 is small enough for a prior to be fitted to, and with a KL weight of 10 it holds no more than the
    decoder needs. In the decoder, kernels of 4 leave none of the checkerboard artefacts of kernels of 3;
    docs/results.md has what else was tried.
    """
    model = ModelSettings(
        latent="map",
        latent_dim=8,
        encoder=PartSettings(channels=encoder, kernel=3),
        decoder=DecoderSettings(first_channels=128, channels=decoder, kernel=4, output_kernel=3),
        discriminator=_PATCHES,
    )
    loss = _perceptual(pixel_variance=0.01, perceptual_weight=perceptual_weight, balance=1.0, kl_weight=10.0)
    train = TrainSettings(epochs=epochs, batch_size=32)
    summary = "fast; codes are maps of 8x4x4; for many photographs"
    origin = "ours: the paper's pattern without dense layers, likelihood of arXiv:2006.13202"
    settings = (data_of(YOURS, size, 3), model, loss, FALLING, train)
    return recipe(f"photos-{size}", summary, f"many {size}x{size} images", origin, settings, num_images=num_images)


def _on_mnist(name: str, summary: str, origin: str, model: ModelSettings, loss: LossSettings, epochs: int) -> Recipe:
    """A recipe for MNIST."""
    settings = (data_of("mnist"), model, loss, FALLING, TrainSettings(epochs=epochs, batch_size=128))
    return recipe(name, summary, "28x28 grey digits", origin, settings)


def _on_yours(name: str, summary: str, origin: str, size: int, model: ModelSettings, epochs: int) -> Recipe:
    """A recipe for any colour images, cut and scaled to ``size``."""
    loss, train = _loss(gamma=0.1, kl_weight=0.2), TrainSettings(epochs=epochs)
    settings = (data_of(YOURS, size), _without_norm(model), loss, FALLING, train)
    return recipe(name, summary, f"{size}x{size} images", origin, settings)


ALL = (
    recipe(
        "digits",
        "small convolutional VAE/GAN, minutes on a laptop",
        "8x8 grey digits",
        "ours: the paper's pattern scaled down to 8x8",
        (
            data_of("digits"),
            paper_conv((32, 64), 64, (64, 32), (32, 64, 64), (128, 128), latent_dim=16),
            _loss(gamma=0.1, kl_weight=0.1),
            _adam(ema=0.995),
            TrainSettings(epochs=60, snapshot_epochs=5),
        ),
    ),
    _on_mnist(
        "mnist-mlp",
        "fully connected VAE/GAN, two layers of 1024 per network",
        "ours: the authors' MNIST network with ten dimensions of z and Adam",
        _without_norm(paper_mlp(1024, 2, 10)),
        _loss(gamma=3.0, kl_weight=0.7, encoder_llike_weight=2.0),
        epochs=12,
    ),
    _on_mnist(
        "mnist-conv",
        "convolutional VAE/GAN for small grey images",
        "ours: the paper's pattern scaled down to 28x28",
        _halving_at_once(_without_norm(paper_conv((32, 64), 64, (64, 32), (32, 64), (256, 256), latent_dim=32))),
        _loss(gamma=1.0, kl_weight=0.005),
        epochs=8,
    ),
    _few_images(),
    _of_maps(32, (16, 32, 64)),
    _of_maps(64, (16, 32, 64, 64)),
    _photographs(32, (32, 64, 128), (96, 64, 32), perceptual_weight=3.0, epochs=10, num_images=50_000),
    _photographs(64, (32, 64, 128, 128), (128, 96, 64, 32), perceptual_weight=8.0, epochs=17, num_images=12_000),
    _on_yours(
        "conv-32",
        "the authors' 32x32 network, for any folder of images",
        "network of the authors' code for CIFAR-10, no norm in Dis; loss and optimiser ours",
        32,
        paper_conv((64, 128, 256), 256, (192, 128, 32), (32, 128, 192, 256), (1024, 512)),
        epochs=50,
    ),
    _on_yours(
        "conv-64",
        "the paper's 64x64 network, for any folder of images",
        "network of arXiv:1512.09300, Table 1, no norm in Dis; loss and optimiser ours",
        64,
        paper_conv((64, 128, 256), 256, (256, 128, 32), (32, 128, 256, 256), (2048, 512)),
        epochs=20,
    ),
)
