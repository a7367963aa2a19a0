"""First weights of a network.

    paper   U(-a, a) with a = 1 / sqrt(3 fan_in), biases 0: what the authors of arXiv:1512.09300 used
    dcgan   N(0, 0.02), biases 0 (Radford et al., arXiv:1511.06434, section 4)
    torch   PyTorch's own

fan_in is the number of values that one weight column joins: input channels times the kernel's area, also in a
transposed convolution. Norms start as the identity (scale 1, shift 0) in each of them.
"""

from __future__ import annotations

from math import sqrt

from torch import nn

from .layers import check_name

INITS = ("paper", "dcgan", "torch")
DCGAN_STD = 0.02


def initialise(network: nn.Module, init: str) -> None:
    """Give all convolutions and dense layers of ``network`` new weights from torch's global generator.

    Apply it before spectral normalisation, which starts from the weights it finds.

    Args:
        network: changed in place.
        init: 'paper', 'dcgan' or 'torch' (which leaves PyTorch's weights as they are).
    """
    if check_name("init", init, INITS) == "torch":
        return
    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            if init == "paper":
                bound = 1 / sqrt(3 * fan_in(module))
                nn.init.uniform_(module.weight, -bound, bound)
            else:
                nn.init.normal_(module.weight, 0.0, DCGAN_STD)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def fan_in(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> int:
    """Return how many inputs a weight joins: features, or channels times kernel area."""
    if isinstance(layer, nn.Linear):
        return layer.in_features
    return layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1]
