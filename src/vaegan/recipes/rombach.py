"""Recipes of the autoencoders under latent diffusion (Rombach et al., arXiv:2112.10752, section 3.1 and appendix G).

Networks and losses of the authors' code (CompVis/latent-diffusion, configs/autoencoder), for a user's own images: f is
the factor by which a code's map is smaller than the image. How their numbers become ours:

* Their L_llike is a sum over the values of an image, of |x - x_tilde| in [-1, 1] plus the perceptual distance with
  weight 1: a Laplace with mean deviation 1/2 in [0, 1], variance 2 / 2^2, and --loss.perceptual-weight 1.
* The KL is a sum too, with weight 1e-6. Hinge losses of reals and fakes have weight 1/2 each in the discriminator.
* The adversarial gradient norm is half that of L_llike at the decoder's last layer (discriminator_weight 0.5).
* Their rate is 4.5e-6 times the batch size, 12 on one GPU; ours has 4 images and the same rate.

`finetune-vae` starts from such a model. What stabilityai writes of its own fine-tuning is on the card of
huggingface.co/stabilityai/sd-vae-ft-mse.
"""

from ..settings import DecoderSettings, DiscriminatorSettings, LossSettings, ModelSettings, PartSettings, TrainSettings
from .recipe import YOUR_MODEL, YOURS, Recipe, adam, data_of, recipe

NOTES = (
    "trains on images of 128 pixels; --data.size 64 to 256 works too, with a map in proportion",
    "the adversarial loss updates only the decoder, as in arXiv:1512.09300; theirs also updates the encoder",
    "instead of their perceptual network (LPIPS), one trained on your labels or on rotation prediction; theirs is "
    "--loss.perceptual lpips, for colour photographs",
    "the discriminator has group norm, theirs batch norm, and 3x3 kernels: patches of 47 pixels, theirs 70 of 256",
    "theirs starts the adversarial loss after 50,000 steps (--loss.adversarial-start); here only the balance limits it",
    "the latent scale factor, 1 / std of the codes, is saved with the model at the end; no prior is fitted, because a "
    "diffusion model takes that place: samples of this model alone are noise",
)


TUNING_NOTES = (
    "--init-from names the autoencoder, such as diffusers:stabilityai/sd-vae-ft-mse; its networks replace those here",
    "trains decoder and discriminator; the encoder is frozen, so latents, and what is trained on them, stay valid",
    "theirs, by the card of stabilityai's sd-vae-ft-ema: decoder only, averaged weights, losses of kl-f8, "
    "313,198 steps of 192 images; sd-vae-ft-mse another 280,000 steps with MSE + 0.1 LPIPS",
    "ours: batch size, rates, decay of the average, length; a new discriminator, as none is published, alone first",
    "for colour photographs add --loss.perceptual lpips; the default network is trained on your images first",
    "trains on images of 256 pixels; --data.size can be any multiple of the model's factor, 8 for most",
)


LOSS = LossSettings(
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


def _kl(factor: int, latent_dim: int, channels: tuple[int, ...]) -> Recipe:
    side = 128 // factor
    settings = (
        data_of(YOURS, 128, 3, flip=True),
        _model(latent_dim, channels),
        LOSS,
        adam(12 * 4.5e-6, beta1=0.5, beta2=0.9),
        TrainSettings(epochs=20, batch_size=4, held_out_images=64, best_metric="none", priors=()),
    )
    return recipe(
        f"kl-f{factor}",
        f"autoencoder for latent diffusion, codes of {latent_dim}x{side}x{side}",
        "128x128 images",
        "arXiv:2112.10752 and the authors' code: kl-f4 and kl-f8 for your own images",
        settings,
        notes=NOTES,
    )


def _finetune() -> Recipe:
    settings = (
        data_of(YOURS, 256, 3, flip=True),
        _model(4, (128, 256, 512, 512)),
        LOSS.model_copy(update={"discriminator_warmup": 0.1}),
        adam(1e-5, beta1=0.5, beta2=0.9, discriminator_lr=12 * 4.5e-6, ema=0.999),
        TrainSettings(
            epochs=5,
            batch_size=4,
            held_out_images=64,
            best_metric="none",
            priors=(),
            parts=("decoder", "discriminator"),
        ),
    )
    summary, origin = "published autoencoder, its decoder fine-tuned", "ours, with networks and losses of kl-f8"
    return recipe("finetune-vae", summary, "256x256 images", origin, settings, notes=TUNING_NOTES, init_from=YOUR_MODEL)


ALL = (_kl(4, 3, (128, 256, 512)), _kl(8, 4, (128, 256, 512, 512)), _finetune())
