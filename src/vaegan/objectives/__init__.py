"""Objectives: a batch in, losses and one gradient per part out; each loss updates only the networks it should."""

from .adversarial import AdversarialLoss
from .autoencoder import AutoencoderObjective, MeanCode
from .gan import GANObjective
from .interface import Noise, Objective, StepResult, trainable
from .likelihoods import (
    BernoulliPixels,
    FeatureLikelihood,
    GaussianPixels,
    LaplacePixels,
    Likelihood,
    PerceptualLikelihood,
)
from .vaegan import VAEGANObjective

__all__ = [
    "AdversarialLoss",
    "AutoencoderObjective",
    "BernoulliPixels",
    "FeatureLikelihood",
    "GANObjective",
    "GaussianPixels",
    "LaplacePixels",
    "Likelihood",
    "MeanCode",
    "Noise",
    "Objective",
    "PerceptualLikelihood",
    "StepResult",
    "VAEGANObjective",
    "trainable",
]
