"""Minibatch discrimination: let the discriminator see whether the images of a batch resemble each other.

Each image's features f are mapped to a matrix of rows M_b = (f T)_b; with its neighbours j in the batch,

    o_b(i) = sum_j exp(-|M_b(i) - M_b(j)|_1)

(Salimans et al., "Improved techniques for training GANs", arXiv:1606.03498, section 3.2). A generator that
always makes the same image has large o and is found out by it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MinibatchDiscrimination(nn.Module):
    """Append ``num_features`` measures of closeness to each image's features.

    Args:
        inputs: width of the features that come in.
        num_features: measures per image (rows b of the matrix).
        row_dim: length of a row of the matrix; 5 in the authors' code.
    """

    def __init__(self, inputs: int, num_features: int, row_dim: int = 5) -> None:
        super().__init__()
        self.num_features = num_features
        self.row_dim = row_dim
        self.linear = nn.Linear(inputs, num_features * row_dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``, ``(B, inputs)``, with its closeness to the batch: ``(B, inputs + num_features)``."""
        # The distances are small differences: in the weights' precision, also under autocast.
        rows = self.linear(x).to(self.linear.weight.dtype).unflatten(1, (self.num_features, self.row_dim))
        distances = (rows.unsqueeze(0) - rows.unsqueeze(1)).abs().sum(dim=3)
        return torch.cat([x, torch.exp(-distances).sum(dim=1).to(x.dtype)], dim=1)
