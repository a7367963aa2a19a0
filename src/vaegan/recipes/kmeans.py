"""Recipes after a student project on GANs and VAEs for MNIST (README headed "GAN"): AE, VAE, GAN and DCGAN.

Its text names the methods, not the numbers: convolutions with ReLU, a decoder of transposed convolutions, an encoder
that outputs mu and sigma, binary cross entropy of pixels and KL with weight 1, Adam; k-means with ten clusters on the
codes of the autoencoder. Widths here are small, common ones; the two GANs follow the papers that they are named after.
"""

from typing import Literal

from ..settings import DecoderSettings, DiscriminatorSettings, LossSettings, ModelSettings, PartSettings, TrainSettings
from .recipe import adam, data_of, recipe

ORIGIN = "a student project on GAN and VAE for MNIST, on GitHub"
MNIST = ("MNIST", ORIGIN)
DATA = data_of("mnist")

ENCODER = PartSettings(channels=(32, 64), kernel=3, hidden=(128,), norm="none")
DECODER = DecoderSettings(
    hidden=(128,), first_channels=64, channels=(32,), kernel=3, output_kernel=3, output_stride=2, norm="none"
)
BERNOULLI = LossSettings(likelihood="bernoulli")
GAME = LossSettings(adversarial="non-saturating")
ADAM = adam(1e-3)
# Radford et al., arXiv:1511.06434, section 4: rate 2e-4, first decay 0.5, batches of 128.
DCGAN_ADAM = adam(2e-4, beta1=0.5)


def _coder(kind: Literal["ae", "vae"], latent_dim: int) -> ModelSettings:
    """An autoencoder or VAE of the same two networks."""
    return ModelSettings(
        kind=kind, latent_dim=latent_dim, output="sigmoid", init="torch", encoder=ENCODER, decoder=DECODER
    )


MLP_GAN = ModelSettings(
    kind="gan",
    network="mlp",
    latent_dim=100,
    output="tanh",
    init="torch",
    decoder=DecoderSettings(hidden=(256, 512, 1024), activation="leaky", norm_first_layer=False),
    discriminator=DiscriminatorSettings(hidden=(1024, 512, 256), activation="leaky", norm="none", dropout=0.3),
)
DCGAN = ModelSettings(
    kind="gan",
    latent_dim=100,
    output="tanh",
    init="dcgan",
    decoder=DecoderSettings(first_channels=128, channels=(64,), output_stride=2),
    discriminator=DiscriminatorSettings(channels=(64, 128), activation="leaky", norm_first_layer=False),
)

ALL = (
    recipe(
        "kmeans-mnist-ae",
        "convolutional autoencoder whose codes are clustered",
        *MNIST,
        (DATA, _coder("ae", 10), BERNOULLI, ADAM, TrainSettings(epochs=20, batch_size=128)),
        notes=(
            "then `vaegan cluster RUN --method kmeans`: ten clusters, a gallery of each, scores against the labels",
            "its galleries show two clusters of zeros; here the agreement of clusters and digits is measured",
            "not in the source: widths, z (here 10), rate",
        ),
    ),
    recipe(
        "bce-mnist-vae",
        "convolutional VAE, Bernoulli likelihood, KL weight 1",
        *MNIST,
        (DATA, _coder("vae", 20), BERNOULLI, ADAM, TrainSettings(epochs=20, batch_size=128)),
        notes=(
            "a true ELBO: cross entropy summed over pixels and KL over z",
            "not in the source: widths, z (here 20), rate",
        ),
    ),
    recipe(
        "mnist-gan",
        "fully connected GAN",
        *MNIST,
        (DATA, MLP_GAN, GAME, DCGAN_ADAM, TrainSettings(epochs=50, batch_size=128)),
        notes=(
            "only its name is in the source; here a narrowing Dis with dropout, and Dec its mirror image, with norms",
        ),
    ),
    recipe(
        "mnist-dcgan",
        "DCGAN, with the weights and optimiser of its paper",
        *MNIST,
        (DATA, DCGAN, GAME, DCGAN_ADAM, TrainSettings(epochs=20, batch_size=128)),
        notes=("arXiv:1511.06434 scaled down to 28x28: two upsampling layers instead of four",),
    ),
)
