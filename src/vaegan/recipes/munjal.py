"""Recipes after PrateekMunjal/VAE_GAN (TensorFlow 1, 2018): convolutional VAE/GANs on MNIST and CelebA.

L_l is the mean squared difference of the features of Dis's last convolution, flattened: D = 4 * 4 * 64 = 1,024 numbers
for MNIST, 8 * 8 * 512 = 32,768 for CelebA. Dec minimises gamma L_l and the non-saturating loss of both fakes, Enc w KL
and gamma_2 L_l: gamma and gamma_2 are 100 and 100 for MNIST, 30 and 10 for CelebA, times 2 / D on our sums. w is mostly
1/B; for 1/z and sigmoid(epoch) use `--loss.kl-schedule`.

Fixed: log(sigmoid) overflowed; held-out images were reconstructed with an encoder in training mode, from a sampled z;
the script for inference needed a setting that its configuration does not have.
"""

from ..settings import DecoderSettings, DiscriminatorSettings, LossSettings, ModelSettings, PartSettings, TrainSettings
from .recipe import adam, data_of, mean_feature_weight, recipe

ORIGIN = "PrateekMunjal/VAE_GAN on GitHub"
MNIST_FEATURES = 64 * 4 * 4
CELEBA_FEATURES = 512 * 8 * 8
ABOUT_KL = "other KL weights that it tried: --loss.kl-schedule inverse-latent (1/z) or sigmoid (of the epoch)"
PRETRAINING = "its pre-training as an autoencoder: --train.pretrain-epochs 5"


def _loss(decoder_weight: float, encoder_weight: float, num_features: int) -> LossSettings:
    return LossSettings(
        gamma=mean_feature_weight(decoder_weight, num_features),
        encoder_llike_weight=mean_feature_weight(encoder_weight, num_features),
        adversarial="non-saturating",
        feature_layer="flatten",
        kl_schedule="inverse-batch",
    )


MNIST = ModelSettings(
    latent_dim=32,
    output="sigmoid",
    init="torch",
    encoder=PartSettings(channels=(16, 32, 64), kernel=3, norm="none", activation="leaky"),
    decoder=DecoderSettings(
        first_channels=64, channels=(32, 16), kernel=3, output_kernel=3, output_stride=2, norm="none"
    ),
    discriminator=DiscriminatorSettings(channels=(16, 32, 64), kernel=3, norm="none", activation="leaky"),
)
CELEBA = ModelSettings(
    latent_dim=128,
    output="tanh",
    init="torch",
    encoder=PartSettings(channels=(64, 128, 256, 512), strides=(2, 2, 2, 1), order="activation-first"),
    decoder=DecoderSettings(first_channels=512, channels=(256, 128, 64), order="activation-first"),
    discriminator=DiscriminatorSettings(channels=(64, 128, 256, 512), strides=(2, 2, 2, 1), order="activation-first"),
)

ALL = (
    recipe(
        "munjal-mnist",
        "small convolutional VAE/GAN without norms, KL weight 1/B",
        "MNIST",
        ORIGIN,
        (
            data_of("mnist"),
            MNIST,
            _loss(100.0, 100.0, MNIST_FEATURES),
            adam(1e-3, beta1=0.5),
            TrainSettings(epochs=200, batch_size=256, snapshot_epochs=5),
        ),
        notes=(
            "the third convolution has a leaky ReLU here, as the first two have; theirs has a plain ReLU",
            ABOUT_KL,
            PRETRAINING,
        ),
    ),
    recipe(
        "munjal-celeba64",
        "convolutional VAE/GAN, batch norm after the activation",
        "CelebA, 64x64",
        ORIGIN,
        (
            data_of("celeba", 64, 3, crop_size=140),
            CELEBA,
            _loss(30.0, 10.0, CELEBA_FEATURES),
            adam(3e-4, discriminator_lr=1e-4, beta1=0.5),
            TrainSettings(epochs=100, batch_size=128),
        ),
        notes=(
            "trained on the splits for training and validation, 182,637 images; theirs on 162,770",
            "its authors report that batch norm works better after the activation; compare --model.*.order norm-first",
            ABOUT_KL,
            PRETRAINING,
        ),
    ),
)
