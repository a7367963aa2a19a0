"""Distributions over codes to sample from, fitted where codes do not fill N(0, I); they know tensors, not models."""

from .fit import DEFAULT, PRIORS, best_by_label, best_prior, fit_priors
from .prior import Normal, Prior, Score
from .saved import load_priors, save_priors

__all__ = [
    "DEFAULT",
    "PRIORS",
    "Normal",
    "Prior",
    "Score",
    "best_by_label",
    "best_prior",
    "fit_priors",
    "load_priors",
    "save_priors",
]
