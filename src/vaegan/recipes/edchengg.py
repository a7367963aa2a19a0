"""Recipe after edchengg/VAE_GAN (PyTorch, 2018): a fully connected VAE/GAN on MNIST.

Its similarity is the logit, one number: D = 1. Dec descends 25 times its mean squared difference less the sum of the
cross entropies, so gamma = 2 * 25; Enc 5 times it, so encoder_llike_weight = 2 * 5, and KL / (B 784) of a batch's sum:
kl_weight = 1/784.

Mended:

* Gradients were not cleared between its three backward passes, so Dec's adversarial term met its own negative, left
  there by Dis's pass, and vanished. Ours takes each part's gradient by itself.
* x and x_tilde met the logit under different dropout masks, so that even equal images differed. Ours draws one mask.
* The decoder's tanh made values in (-1, 1) for images in [0, 1]. Ours brings images to tanh's range.
* The last, shorter batch was divided by the size of a whole one. Ours has no shorter batch.
* Whole modules were pickled. Ours saves safetensors and JSON.
* With Dec's adversarial term alive again, in its saturating form, Dis wins within an epoch, the term has no gradient
  left and Dec draws noise, in each of ten variants that were tried. Ours descends the non-saturating form, and R1
  (weight 5, every fourth step) keeps Dis from being sure: spots in the shape of digits after two epochs, ones, noughts
  and nines after twelve. One number per image cannot tell which digit to draw: reconstructions look like samples.
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
from .recipe import data_of, mean_feature_weight, recipe

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
        "fully connected VAE/GAN that compares images by Dis's logit",
        "MNIST",
        (1, 28, 28),
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
            OptimSettings(name="adam", lr=1e-4),
            TrainSettings(epochs=50, batch_size=128),
        ),
        num_images=60_000,
        notes=(
            "mended: Dec's adversarial gradient, which cancelled; unequal dropout masks; range of images; last batch",
            "one number tells too little to reconstruct an image by: with right gradients the pictures are still noise "
            "after two epochs; `vaegan train mnist-mlp` is a fully connected VAE/GAN that draws",
            "inputs and codes are not dropped out here, hidden units are",
            "its linear-SVM probe of codes: `vaegan encode RUN`, then any classifier",
        ),
    ),
)
"""Recipes of this origin."""
