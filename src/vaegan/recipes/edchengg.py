"""Recipe after edchengg/VAE_GAN (PyTorch, 2018): a fully connected VAE/GAN on MNIST.

It compares images by the logit, a single number: D = 1. Dec minimises 25 times the mean squared difference minus the
sum of the cross entropies, so gamma = 2 * 25; Enc 5 times it, so encoder_llike_weight = 2 * 5, and the KL of a batch,
summed, over 784 B: kl_weight = 1/784.

Fixed:

* Gradients were not cleared between its three backward passes, so Dec's adversarial gradient was cancelled by its own
  negative from Dis's pass. Ours computes the gradient of each network separately.
* x and x_tilde had different dropout masks, so that even equal images had different logits. Ours draws one mask.
* The decoder's tanh gave values in (-1, 1) for images in [0, 1]. Ours scales images to the range of tanh.
* The last, shorter batch was divided by the size of a full one. Ours has no shorter batch.
* Whole modules were pickled. Ours saves safetensors and JSON.
* Once Dec's adversarial gradient is no longer cancelled, Dis is too strong within an epoch, the saturating loss has no
  gradient and Dec generates noise, in each of ten variants that we tried. Ours has the non-saturating loss, and R1
  (weight 5, every fourth step) limits Dis: digit-shaped blobs after two epochs, ones, zeros and nines after twelve. One
  number per image does not say which digit to generate: reconstructions look like samples.
"""

from ..settings import DecoderSettings, DiscriminatorSettings, LossSettings, ModelSettings, PartSettings, TrainSettings
from .recipe import adam, data_of, mean_feature_weight, recipe

MODEL = ModelSettings(
    network="mlp",
    latent_dim=20,
    output="tanh",
    init="torch",
    encoder=PartSettings(hidden=(1024, 1024, 1024), norm="none", activation="leaky", dropout=0.1),
    decoder=DecoderSettings(hidden=(1024, 1024, 1024), norm="none", activation="leaky", dropout=0.1),
    discriminator=DiscriminatorSettings(hidden=(1024, 512, 256), norm="none", activation="leaky", dropout=0.1),
)

ALL = (
    recipe(
        "edchengg-mnist",
        "fully connected VAE/GAN, images compared by Dis's logit",
        "MNIST",
        "edchengg/VAE_GAN on GitHub",
        (
            data_of("mnist"),
            MODEL,
            LossSettings(
                gamma=mean_feature_weight(25.0, 1),
                encoder_llike_weight=mean_feature_weight(5.0, 1),
                kl_weight=1 / 784,
                adversarial="non-saturating",
                feature_layer="logit",
                r1_weight=5.0,
                r1_every=4,
            ),
            adam(1e-4),
            TrainSettings(epochs=50, batch_size=128),
        ),
        notes=(
            "fixed: Dec's cancelled adversarial gradient; different dropout masks; range of images; last batch",
            "a single number is not enough to reconstruct an image: with correct gradients it draws ones, zeros and "
            "nines after twelve epochs, whatever the image; `vaegan train mnist-mlp` is a fully connected VAE/GAN that "
            "reconstructs",
            "dropout of hidden units only, not of inputs and codes",
            "in place of its linear-SVM probe of codes, `vaegan evaluate RUN` measures a linear probe",
        ),
    ),
)
