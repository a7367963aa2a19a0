"""Inception-v3, whose features the Fréchet distance was first made of, and published figures are of.

The network is that of Szegedy et al. 2016, "Rethinking the Inception architecture", as it was trained for TensorFlow in
December 2015 (2048 features of the last pooling; 1008 outputs, not used here). Weights come in the layout of the
package pytorch-fid, whose names are those of torchvision. Compared with the latter, the means of pooling leave
out what lies beyond the border, and the last block takes the maximum instead, as the network of 2015 did.

It is our own because of these differences from torchvision, which is then not needed, nor any unpickling.
"""

from collections import OrderedDict
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .learned import fingerprint_of, in_batches
from .weights import Published, checked_weights, read_weights

PUBLISHED = Published(
    "inception",
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
)
_SIDE = 299
_AT_A_TIME = 32
_LAST_OF_SIZE = ("Conv2d_2b_3x3", "Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e", "Mixed_7c")


_Size = tuple[int, int]
_Plan = tuple[int, _Size] | tuple[int, _Size, int]
Branch = list[dict[str, _Plan]]
"""Convolutions one after another, by name: channels that come out, kernel, stride. Two in a place are side by side."""


class _Conv(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(self, num_in: int, num_out: int, kernel: tuple[int, int], stride: int = 1, pad: bool = True) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2) if pad and stride == 1 else 0
        self.conv = nn.Conv2d(num_in, num_out, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(num_out, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class _Mixed(nn.Module):
    """Branches side by side, joined along the channels; a last one pools.

    It takes the 'mean' or 'max' of 3 x 3 at stride 1, or, with 'half', the maximum at stride 2, followed by a
    convolution of `pooled` channels if that is not 0.
    """

    def __init__(self, num_in: int, branches: list[Branch], pool: str, pooled: int = 0) -> None:
        super().__init__()
        for branch in branches:
            width = num_in
            for convs in branch:
                for name, plan in convs.items():
                    self.add_module(name, _Conv(width, *plan))
                width = plan[0]
        self._branches = branches
        self._pool = pool
        self.branch_pool = _Conv(num_in, pooled, (1, 1)) if pooled else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        outputs = []
        for branch in self._branches:
            y = x
            for convs in branch:
                y = torch.cat([self.get_submodule(name)(y) for name in convs], 1)
            outputs.append(y)
        if self._pool == "mean":
            pooled = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        else:
            pooled = F.max_pool2d(x, 3, 2) if self._pool == "half" else F.max_pool2d(x, 3, 1, 1)
        return torch.cat([*outputs, self.branch_pool(pooled)], 1)


def _row(name: str, *convs: _Plan) -> Branch:
    """Return a branch of convolutions called NAME_1, NAME_2 ...; NAME if there is but one."""
    several = len(convs) > 1
    return [{f"{name}_{i}" if several else name: conv} for i, conv in enumerate(convs, 1)]


_1, _3, _5, _1X7, _7X1 = (1, 1), (3, 3), (5, 5), (1, 7), (7, 1)


def _mixed_a(num_in: int, pooled: int) -> _Mixed:
    fives, threes = _row("branch5x5", (48, _1), (64, _5)), ((64, _1), (96, _3), (96, _3))
    return _Mixed(num_in, [_row("branch1x1", (64, _1)), fives, _row("branch3x3dbl", *threes)], "mean", pooled)


def _mixed_b(num_in: int) -> _Mixed:
    threes = ((64, _1), (96, _3), (96, _3, 2))
    return _Mixed(num_in, [_row("branch3x3", (384, _3, 2)), _row("branch3x3dbl", *threes)], "half")


def _mixed_c(num_in: int, width: int) -> _Mixed:
    once = _row("branch7x7", (width, _1), (width, _1X7), (192, _7X1))
    twice = [(width, _1), (width, _7X1), (width, _1X7), (width, _7X1), (192, _1X7)]
    return _Mixed(num_in, [_row("branch1x1", (192, _1)), once, _row("branch7x7dbl", *twice)], "mean", 192)


def _mixed_d(num_in: int) -> _Mixed:
    sevens = ((192, _1), (192, _1X7), (192, _7X1), (192, _3, 2))
    return _Mixed(num_in, [_row("branch3x3", (192, _1), (320, _3, 2)), _row("branch7x7x3", *sevens)], "half")


def _mixed_e(num_in: int, pool: str) -> _Mixed:
    once: Branch = [{"branch3x3_1": (384, _1)}, {"branch3x3_2a": (384, (1, 3)), "branch3x3_2b": (384, (3, 1))}]
    last: dict[str, _Plan] = {"branch3x3dbl_3a": (384, (1, 3)), "branch3x3dbl_3b": (384, (3, 1))}
    twice = [*_row("branch3x3dbl", (448, _1), (384, _3)), last]
    return _Mixed(num_in, [_row("branch1x1", (320, _1)), once, twice], pool, 192)


def inception_v3() -> nn.Sequential:
    """Return the layers from images `(B, 3, 299, 299)` in [-1, 1] to the last maps, whose means are the features."""
    return nn.Sequential(
        OrderedDict(
            Conv2d_1a_3x3=_Conv(3, 32, _3, 2),
            Conv2d_2a_3x3=_Conv(32, 32, _3, pad=False),
            Conv2d_2b_3x3=_Conv(32, 64, _3),
            pool_1=nn.MaxPool2d(3, 2),
            Conv2d_3b_1x1=_Conv(64, 80, _1),
            Conv2d_4a_3x3=_Conv(80, 192, _3, pad=False),
            pool_2=nn.MaxPool2d(3, 2),
            Mixed_5b=_mixed_a(192, 32),
            Mixed_5c=_mixed_a(256, 64),
            Mixed_5d=_mixed_a(288, 64),
            Mixed_6a=_mixed_b(288),
            Mixed_6b=_mixed_c(768, 128),
            Mixed_6c=_mixed_c(768, 160),
            Mixed_6d=_mixed_c(768, 160),
            Mixed_6e=_mixed_c(768, 192),
            Mixed_7a=_mixed_d(768),
            Mixed_7b=_mixed_e(1280, "mean"),
            Mixed_7c=_mixed_e(2048, "max"),
        )
    )


class Inception:
    """Inception-v3 as a `features.FeatureExtractor`; weights and errors as in `weights.read_weights`."""

    name = "inception"
    dim = 2048

    def __init__(self, weights: Path | None, folder: Path, device: torch.device | str = "cpu") -> None:
        tensors = read_weights(PUBLISHED, weights, folder)
        with torch.device("meta"):
            network = inception_v3()
        shapes = {key: tensor.shape for key, tensor in network.state_dict().items()}
        counters = {key: torch.zeros((), dtype=torch.long) for key in shapes if key.endswith("num_batches_tracked")}
        needed = {key: shapes[key] for key in shapes if key not in counters}
        loaded = checked_weights(PUBLISHED, tensors, needed, weights or folder)
        network.load_state_dict(loaded | counters, assign=True)
        self.fingerprint = fingerprint_of(loaded)
        self._network = network.to(device).eval().requires_grad_(False)
        self._device = device

    @torch.inference_mode()
    def features(self, x: Tensor, *, batch_size: int = 256) -> Tensor:
        """Return features `(B, 2048)`, on the CPU, of images `(B, C, H, W)` in [0, 1], C 1 or 3."""
        size = min(batch_size, _AT_A_TIME)
        return in_batches(lambda chunk: self._network(_sized(chunk)).mean((2, 3)), x, size, self._device)

    def layers(self, x: Tensor) -> list[Tensor]:
        """Return maps at each size, `(B, C, h, w)` on the device, differentiable in the images."""
        maps, h = [], _sized(x)
        for name, layer in self._network.named_children():
            h = layer(h)
            if name in _LAST_OF_SIZE:
                maps.append(h)
        return maps


def _sized(x: Tensor) -> Tensor:
    """Bring images `(B, C, H, W)` in [0, 1] to the network's size, colours and range."""
    sized = F.interpolate(x, size=(_SIDE, _SIDE), mode="bilinear", align_corners=False)
    return 2 * sized.expand(-1, 3, -1, -1) - 1
