"""Objectives: a batch in, losses and one gradient per part out; each loss updates only the networks it should."""

from .adversarial import AdversarialLoss
from .autoencoder import AutoencoderObjective, MeanCode
from .code_losses import Alignment, CodeLosses, Equivariance
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
    "Alignment",
    "AutoencoderObjective",
    "BernoulliPixels",
    "CodeLosses",
    "Equivariance",
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
