"""What codes know of labels: how often a simple reader, given codes with labels, names the labels of held-out codes.

The linear probe is multinomial logistic regression: labels that it tells apart lie on different sides of planes. The
nearest neighbours ask for less: images with the same label need only be close together. Both return whether each
held-out image is right, `(M,)`, of which the mean is the accuracy. Chance is the share of the most frequent label.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .memorisation import find_nearest

_CHUNK = 2**14


def linear_probe(z: Tensor, labels: Tensor, z_test: Tensor, labels_test: Tensor, *, max_iter: int = 300) -> Tensor:
    """Fit logistic regression to codes, each dimension scaled to mean 0 and variance 1, and read held-out codes.

    It minimises the cross entropy summed over the N codes plus ||W||^2 / 2 (scikit-learn's C = 1) by L-BFGS, from
    zeros: there is one minimum and no chance in it.

    Args:
        z: codes `(N, Z)`.
        labels: of them, int `(N,)`, any numbers.
        z_test: held-out codes `(M, Z)`.
        labels_test: of them, int `(M,)`; a label that is not among ``labels`` cannot be read.
        max_iter: steps of L-BFGS at most.

    Returns:
        Whether each held-out code is read rightly, bool `(M,)`.
    """
    names, target = torch.unique(labels, return_inverse=True)
    z, z_test = z.double(), z_test.double()
    mean, spread = z.mean(0), z.std(0, correction=0)
    spread = torch.where(spread > 0, spread, 1)
    weight, bias = _fit((z - mean) / spread, target, len(names), max_iter)
    read: Tensor = names[((z_test - mean) / spread @ weight + bias).argmax(1)]
    return read == labels_test


def neighbour_probe(z: Tensor, labels: Tensor, z_test: Tensor, labels_test: Tensor, *, k: int = 5) -> Tensor:
    """Let the k nearest codes vote on the label of each held-out code; of equal votes the nearer neighbour's counts.

    Args:
        z: codes `(N, Z)`, compared as they are, so that dimensions that carry nothing weigh nothing.
        labels: of them, int `(N,)`.
        z_test: held-out codes `(M, Z)`.
        labels_test: of them, int `(M,)`.
        k: neighbours that vote.

    Returns:
        Whether each held-out code is named rightly, bool `(M,)`.
    """
    _, indices = find_nearest(z_test, torch.split(z, _CHUNK), k)
    neighbours = labels[indices]
    votes = (neighbours[:, :, None] == neighbours[:, None]).sum(2)
    return neighbours.gather(1, votes.argmax(1, keepdim=True))[:, 0] == labels_test


def _fit(x: Tensor, target: Tensor, num_labels: int, max_iter: int) -> tuple[Tensor, Tensor]:
    """Return weights `(Z, C)` and biases `(C,)` of the regularised regression, in units of nats per code."""
    weight = x.new_zeros(x.shape[1], num_labels, requires_grad=True)
    bias = x.new_zeros(num_labels, requires_grad=True)
    lbfgs = torch.optim.LBFGS(
        [weight, bias], max_iter=max_iter, tolerance_grad=1e-6, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        lbfgs.zero_grad()
        value = F.cross_entropy(x @ weight + bias, target) + weight.square().sum() / (2 * len(x))
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        lbfgs.step(loss)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()
