"""Recipes of the paper, arXiv:1512.09300, and of its authors' code (andersbll/autoencoding_beyond_pixels).

Networks of Table 1, minimax on both kinds of fakes with reals weighted r, the balance gate, RMSProp with an annealed
rate. Their code sums losses over the batch and gives Dec w L_llike - (1 - w) L_GAN: gamma = w / (1 - w), which is w to
the last digit that matters. It adds weight decay to these summed gradients: ours, of means, get 1/64 of it.
"""

from __future__ import annotations

from ..config import LossSettings, OptimSettings, TrainSettings
from .recipe import data_of, paper_mlp, recipe

BATCH_SIZE = 64


def _loss(gamma: float, real_weight: float) -> LossSettings:
    """Minimax on both kinds of fakes, reals weighted r and fakes 1 - r together, with the balance gate."""
    fake = (1 - real_weight) / 2
    return LossSettings(gamma=gamma, real_weight=real_weight, prior_weight=fake, reconstruction_weight=fake, gate=True)


def _optim() -> OptimSettings:
    """RMSProp with rate 3e-4 and decay 0.9, annealed, as the authors' code has it."""
    return OptimSettings(name="rmsprop", lr=3e-4, beta2=0.9, schedule="anneal")


ALL = (
    recipe(
        "larsen-mnist",
        "the authors' MNIST network with the paper's loss and optimiser",
        "28x28 grey digits",
        (1, 28, 28),
        "arXiv:1512.09300 and the authors' code: two layers of 1024, minimax, gate, RMSProp",
        (
            data_of("mnist"),
            paper_mlp(1024, 2, 128),
            _loss(gamma=1e-6, real_weight=0.5),
            _optim(),
            TrainSettings(epochs=40, batch_size=BATCH_SIZE),
        ),
        num_images=60_000,
    ),
)
"""Recipes of this origin."""
