"""Recipes of the autoencoders under latent diffusion (Rombach et al., arXiv:2112.10752, section 3.1 and appendix G).

Networks and losses of the authors' code (CompVis/latent-diffusion, configs/autoencoder), for a user's own images: f is
the factor by which a code's map is smaller than the image. How their numbers become ours:

* Their L_llike is a sum over an image's numbers, |x - x_tilde| in [-1, 1] and the perceptual distance times its weight
  of 1 at each of them: a Laplace with mean deviation 1/2 in [0, 1], variance 2 / 2^2, and --loss.perceptual-weight 1.
* KL is a sum as well, with weight 1e-6. Hinge losses of reals and fakes count half each in the discriminator.
* The adversarial loss at the decoder is half as long as L_llike at its last layer (discriminator_weight 0.5).
* Their rate is 4.5e-6 times the batch, of 12 on one GPU; ours has 4 images and the same rate.
"""

from __future__ import annotations

from ..config import (
    DecoderSettings,
    DiscriminatorSettings,
    LossSettings,
    ModelSettings,
    OptimSettings,
    PartSettings,
    TrainSettings,
)
from .recipe import YOURS, Recipe, data_of, recipe

NOTES = (
    "sees images of 128 pixels; --data.size 64 to 256 works alike, with a map that grows along",
    "only the decoder descends the adversarial loss, as in arXiv:1512.09300; theirs moves the encoder, too",
    "their perceptual network (VGG) is replaced by one trained on your labels or on quarter turns; with weights at "
    "hand --loss.perceptual inception or dinov2 is nearer to theirs",
    "the discriminator has group norm, theirs batch norm, and 3x3 kernels: patches of 47 pixels, theirs are 70 of 256",
    "theirs waits 50,000 steps until the adversarial loss begins; here the balance alone keeps it in its place",
    "at the end the latent scale factor, 1 / std of the codes, is kept with the model; no prior is fitted: a diffusion "
    "model is to become one, so new images of this model alone are noise",
)


def _model(latent_dim: int, channels: tuple[int, ...]) -> ModelSettings:
    return ModelSettings(
        network="residual",
        latent="map",
        latent_dim=latent_dim,
        output="centred",
        init="torch",
        encoder=PartSettings(channels=channels),
        decoder=DecoderSettings(channels=channels[::-1]),
        discriminator=DiscriminatorSettings(
            channels=(64, 128, 256, 512), strides=(2, 2, 2, 1), kernel=3, norm="group", norm_first_layer=False,
            activation="leaky", patch=True,
        ),
    )  # fmt: skip


def _loss() -> LossSettings:
    return LossSettings(
        likelihood="laplace",
        pixel_variance=0.5,
        perceptual="auto",
        kl_weight=1e-6,
        adversarial="hinge",
        fakes="reconstructions",
        real_weight=0.5,
        reconstruction_weight=0.5,
        balance=0.5,
        balance_at="last-layer",
    )


def _kl(factor: int, latent_dim: int, channels: tuple[int, ...]) -> Recipe:
    side = 128 // factor
    settings = (
        data_of(YOURS, 128, 3, flip=True),
        _model(latent_dim, channels),
        _loss(),
        OptimSettings(name="adam", lr=12 * 4.5e-6, beta1=0.5, beta2=0.9),
        TrainSettings(epochs=20, batch_size=4, held_out_images=64, best_metric="none", priors=()),
    )
    return recipe(
        f"kl-f{factor}",
        f"autoencoder for latent diffusion, codes of {latent_dim}x{side}x{side}",
        "128x128 images",
        (3, 128, 128),
        "arXiv:2112.10752 and the authors' code: kl-f4 and kl-f8 for own images",
        settings,
        notes=NOTES,
    )


ALL = (_kl(4, 3, (128, 256, 512)), _kl(8, 4, (128, 256, 512, 512)))
"""Recipes of this origin."""
