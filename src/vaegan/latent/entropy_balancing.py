"""Weights that balance groups: as near to equal as can be, under which given columns have the mean they should.

Of all weights that do it, the ones nearest to equal in entropy are w_i ~ exp(lambda . c_i) (Hainmueller 2012, "Entropy
balancing for causal effects"), so only lambda has to be found.
"""

from __future__ import annotations

import torch
from torch import Tensor


def balancing_weights(c: Tensor, ridge: float = 1e-3, num_steps: int = 50) -> Tensor:
    """Return the weights nearest to equal under which each column of `c` has mean 0: w_i ~ exp(lambda . c_i).

    lambda minimises `log mean exp(lambda . c) + ridge/2 |lambda|^2`, which is convex, by Newton's method. The ridge
    keeps it finite where no weights can do it (all values of a column on one side of 0): then the mean comes as near
    as weights go.

    Args:
        c: `(N, A)`, columns of size about 1.
        ridge: see above.
        num_steps: at most so many Newton steps.

    Returns:
        `(N,)`, positive, of sum 1.
    """
    lam = c.new_zeros(c.shape[1])

    def value(lam: Tensor) -> Tensor:
        return (c @ lam).logsumexp(0) + 0.5 * ridge * lam.square().sum()

    for _ in range(num_steps):
        w = (c @ lam).softmax(0)
        mean = w @ c
        gradient = mean + ridge * lam
        if gradient.norm() < 1e-9:
            break
        hessian = (c * w[:, None]).T @ c - mean.outer(mean) + ridge * torch.ones_like(lam).diag()
        step = torch.linalg.solve(hessian, gradient)
        size = 1.0
        while value(lam - size * step) > value(lam) - 1e-4 * size * (gradient @ step) and size > 1e-6:
            size /= 2
        lam = lam - size * step
    return (c @ lam).softmax(0)
