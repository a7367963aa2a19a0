"""Objectives: a batch in, losses and one gradient per part out, each loss by its own route."""

from __future__ import annotations

from .autoencoder import AutoencoderObjective, MeanCode
from .game import Game
from .gan import GANObjective
from .likelihoods import BernoulliPixels, FeatureLikelihood, GaussianPixels, LaplacePixels, Likelihood
from .perceptual import PerceptualLikelihood
from .step import Noise, Objective, StepResult, trainable
from .vaegan import VAEGANObjective

__all__ = [
    "AutoencoderObjective",
    "BernoulliPixels",
    "FeatureLikelihood",
    "GANObjective",
    "Game",
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
