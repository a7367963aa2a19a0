"""Recipes after a report on AE, VAE, GAN and VAE/GAN (the README beside task3_2.md): a VAE and a VAE/GAN on CelebA.

Its L_l is the mean squared difference of the features of Dis's last convolution, 256 maps of 16x16: D = 65,536
numbers. Enc minimises L_l + 0.01 KL, so encoder_llike_weight = 2 / D. Dec minimises L_l - GAN, where GAN weights reals
by 1/2 and each kind of fake by 1/4: gamma = 2 / D and adversarial_weight = 1/4, because the weights of Dis's losses do
not affect our Dec.
"""

from ..settings import DecoderSettings, DiscriminatorSettings, LossSettings, ModelSettings, PartSettings, TrainSettings
from .recipe import adam, data_of, mean_feature_weight, recipe

ORIGIN = "a report on AE, VAE, GAN and VAE/GAN (task3_2.md) with TensorFlow code on GitHub"
NUM_FEATURES = 256 * 16 * 16

ENCODER = PartSettings(channels=(64, 128, 256), hidden=(512,), activation="leaky")
DECODER = DecoderSettings(first_channels=256, channels=(256, 128, 32), activation="leaky")
DISCRIMINATOR = DiscriminatorSettings(
    channels=(128, 256, 256), strides=(2, 2, 1), hidden=(256,), activation="leaky", norm_first_layer=False
)
OPTIM = adam(1e-4)

ALL = (
    recipe(
        "tang-vae64",
        "convolutional VAE with a Gaussian likelihood in pixels",
        "CelebA, 64x64",
        ORIGIN,
        (
            data_of("celeba", 64, 3),
            ModelSettings(kind="vae", latent_dim=32, output="sigmoid", init="torch", encoder=ENCODER, decoder=DECODER),
            LossSettings(likelihood="gaussian", pixel_variance=0.5),
            OPTIM,
            TrainSettings(epochs=20, batch_size=64),
        ),
        notes=(
            "the sum of squared errors and KL with weight 1: a Gaussian of variance 1/2 in pixels",
            "not in the source: epochs; its batches have 32 to 100 images",
        ),
    ),
    recipe(
        "tang-vaegan64",
        "convolutional VAE/GAN with half the weight on reals",
        "CelebA, 64x64",
        ORIGIN,
        (
            data_of("celeba", 64, 3),
            ModelSettings(
                latent_dim=512,
                output="sigmoid",
                init="torch",
                encoder=ENCODER,
                decoder=DECODER,
                discriminator=DISCRIMINATOR,
            ),
            LossSettings(
                gamma=mean_feature_weight(1.0, NUM_FEATURES),
                encoder_llike_weight=mean_feature_weight(1.0, NUM_FEATURES),
                kl_weight=0.01,
                adversarial_weight=0.25,
                adversarial="minimax",
                real_weight=0.5,
                reconstruction_weight=0.25,
                prior_weight=0.25,
            ),
            OPTIM,
            TrainSettings(epochs=20, batch_size=64),
        ),
        notes=(
            "mean squared difference of 65,536 features: weights 2 / 65,536 on our sums",
            "we take its KL as a sum over z; if the KL is too small, lower --loss.kl-weight",
            "not in the source: norms in Dis (here after all layers but the first), epochs; batches of 32 to 100",
            "fixed: tanh on mu, which bounds the codes; weights saved before training",
            "its attribute vectors: `vaegan attributes RUN`",
        ),
    ),
)
