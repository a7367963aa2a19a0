r"""Self-attention over the pixels of a map, with one head, as a residual.

    y = x + W_o softmax(Q K^T / sqrt(C)) V,    Q, K, V = W_q h, W_k h, W_v h,    h = GroupNorm(x)

Each of the H W pixels looks at all others (Zhang et al., arXiv:1805.08318; in this form Ho et al., arXiv:2006.11239).
Its cost grows with the square of the number of pixels, so it belongs where maps are smallest.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

GROUP_NORM_EPS = 1e-6


class SelfAttention(nn.Module):
    """Self-attention: (B, C, H, W) -> (B, C, H, W).

    Args:
        channels: C.
        groups: of the norm.
    """

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=GROUP_NORM_EPS)
        self.query, self.key, self.value, self.out = (nn.Linear(channels, channels) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """Let the pixels of each image in ``x`` look at each other."""
        batch, channels, height, width = x.shape
        h = self.norm(x).flatten(2).transpose(1, 2).unsqueeze(1)  # (B, one head, H W, C)
        y: Tensor = self.out(F.scaled_dot_product_attention(self.query(h), self.key(h), self.value(h)))
        return x + y.squeeze(1).transpose(1, 2).reshape(batch, channels, height, width)
