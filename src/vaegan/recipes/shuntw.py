"""Recipes after Shuntw6096/VAE-GAN (TensorFlow 2, 2020): a convolutional VAE/GAN on MNIST and on 10,000 faces.

Dec minimises the non-saturating loss of both fakes and w times the likelihood of Dis's features, with w = 1e-8 as
published. That is a sum over the features of an image, so gamma = w: reconstruction has almost no influence on Dec,
which the original does not mention; raise `--loss.gamma` to change that. Enc minimises the KL of a batch, summed, over
B z, which is 1/z of our L_prior (schedule inverse-latent), and the likelihood of features with weight 1.

Fixed: its normalisation constants did not match the features. They have no gradient, so ours leaves them out.
"""

from ..settings import DecoderSettings, DiscriminatorSettings, LossSettings, ModelSettings, PartSettings, TrainSettings
from .recipe import YOURS, adam, data_of, recipe

ORIGIN = "Shuntw6096/VAE-GAN on GitHub"
LOSS = LossSettings(gamma=1e-8, kl_schedule="inverse-latent", adversarial="non-saturating")

MNIST = ModelSettings(
    latent_dim=64,
    output="sigmoid",
    init="torch",
    encoder=PartSettings(channels=(64, 128), kernel=4, padding="valid", hidden=(1024,), activation="leaky"),
    decoder=DecoderSettings(
        hidden=(1024,), first_channels=128, channels=(64,), kernel=4, padding="valid", output_kernel=4, output_stride=2
    ),
    discriminator=DiscriminatorSettings(
        channels=(64, 128), kernel=4, padding="valid", hidden=(1024,), activation="leaky"
    ),
)
FACES = ModelSettings(
    latent_dim=2048,
    output="tanh",
    init="torch",
    encoder=PartSettings(channels=(64, 128, 256), kernel=4, hidden=(1024,), activation="leaky"),
    decoder=DecoderSettings(
        hidden=(1024,), first_channels=256, channels=(128, 64), kernel=4, output_kernel=4, output_stride=2
    ),
    discriminator=DiscriminatorSettings(
        channels=(64, 128, 256), kernel=4, hidden=(1024,), activation="leaky", dropout=0.3, minibatch_features=16
    ),
)

ALL = (
    recipe(
        "shuntw-mnist",
        "convolutional VAE/GAN, tiny likelihood weight at Dec",
        "MNIST",
        ORIGIN,
        (data_of("mnist"), MNIST, LOSS, adam(5e-4, beta1=0.5), TrainSettings(epochs=100, batch_size=100)),
        notes=(
            "not in the source: optimiser, rate (here 5e-4 as for its faces), layer l (here the last convolution)",
            "convolutions without padding: 28, 13, 5 pixels on the way down, 6, 13, 28 on the way up",
            "its authors report that some digits become rare during training; compare with --loss.gamma 1",
        ),
    ),
    recipe(
        "shuntw-faces64",
        "the same with minibatch discrimination, noisy labels",
        "64x64 faces",
        ORIGIN,
        (
            data_of(YOURS, 64, 3, crop="none"),
            FACES,
            LOSS.model_copy(update={"label_smoothing": 0.1, "label_noise": 0.2, "label_flip": 0.05}),
            adam(5e-4, beta1=0.5, schedule="plateau", plateau_patience=6, plateau_factor=0.75, final_lr_factor=0.01),
            TrainSettings(epochs=100, batch_size=32),
        ),
        num_images=8_500,
        notes=(
            "its third schedule of rates: times 0.75 after 6 epochs without a lower held-out loss, from 5e-4 to 5e-6",
            "its other schedules: constant; times 0.85 after 10 epochs, to 1e-4 (--optim.plateau-factor and others)",
            "not in the source: widths for faces (here as for MNIST, one more layer), dropout, label noise, batch size",
            "its flipped labels for the generator are the non-saturating loss; 5 % of Dis's targets are flipped",
            "the 10k US Adult Faces are available from their authors on request; any folder of faces works",
        ),
    ),
)
