"""DINOv2: features learned from photographs without labels; their distances agree with people better than Inception's.

A vision transformer (Oquab et al. 2023, arXiv:2304.07193): patches of 14 x 14 pixels and a class token go through
blocks x + g_1 Attention(Norm(x)), x + g_2 MLP(Norm(x)) with learned scales g; the class token at the end is the
feature. The agreement with people: Stein et al. 2023, arXiv:2306.04675. Depth and width
are read off the weights, in the layout of the authors' files or in that of the package transformers.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import UserError
from .learned import fingerprint_of, in_batches
from .weights import Published, checked_weights, read_weights

PUBLISHED = Published(
    "dinov2",
    "https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth",
    "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9",
)
_SIDE = 224
_HEAD_DIM = 64
_AT_A_TIME = 32
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's channels
_RENAMED = (
    (r"^dinov2\.", ""),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.", ""),
    (r"^encoder\.layer\.", "blocks."),
    (r"^layernorm\.", "norm."),
    (r"\.attention\.attention\.", ".attn."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.layer_scale(\d)\.lambda1$", r".ls\1.gamma"),
)


class DINOv2:
    """DINOv2 as a `features.FeatureExtractor`; weights and errors as in `weights.read_weights`."""

    name = "dinov2"

    def __init__(self, weights: Path | None, folder: Path, device: torch.device | str = "cpu") -> None:
        tensors = in_authors_layout(read_weights(PUBLISHED, weights, folder))
        needed = ("cls_token", "pos_embed", "patch_embed.proj.weight", "norm.weight", "blocks.0.mlp.fc1.weight")
        where = f"{weights or folder}: these are not weights of 'dinov2'"
        for key in needed:
            if key not in tensors:
                raise UserError(f"{where}: {key} is missing; fetch {PUBLISHED.url}")
        shapes = _shapes(tensors)
        checked_weights(PUBLISHED, tensors, shapes, weights or folder)
        for key in tensors.keys() - shapes.keys():  # such as register_tokens, without which the others mean nothing
            raise UserError(f"{where}: {key} is not a part of it; fetch {PUBLISHED.url}")
        self.fingerprint = fingerprint_of(tensors)
        self.dim = tensors["norm.weight"].numel()
        self._tensors = {name: tensor.float().to(device) for name, tensor in tensors.items()}
        self._depth = _depth(tensors)
        self._device = device

    @torch.inference_mode()
    def features(self, x: Tensor, *, batch_size: int = 256) -> Tensor:
        """Return features `(B, D)`, on the CPU, of images `(B, C, H, W)` in [0, 1], C 1 or 3."""
        return in_batches(self._network, x, min(batch_size, _AT_A_TIME), self._device)

    def layers(self, x: Tensor) -> list[Tensor]:
        """Return tokens behind each quarter of the blocks, `(B, D, T)` on the device, differentiable in the images."""
        wanted = {self._depth * quarter // 4 - 1 for quarter in range(1, 5)}
        return [h.transpose(1, 2) for number, h in enumerate(self._blocks(x)) if number in wanted]

    def _network(self, x: Tensor) -> Tensor:
        *_, h = self._blocks(x)
        return self._norm(h, "norm")[:, 0]

    def _blocks(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the tokens `(B, T, D)` behind each block."""
        t = self._tensors
        sized = F.interpolate(x, size=(_SIDE, _SIDE), mode="bicubic", align_corners=False, antialias=True)
        mean, std = (sized.new_tensor(values)[:, None, None] for values in (_MEAN, _STD))
        h = self._embedded((sized.expand(-1, 3, -1, -1) - mean) / std)
        for number in range(self._depth):
            name = f"blocks.{number}."
            h = h + t[name + "ls1.gamma"] * self._attention(self._norm(h, name + "norm1"), name + "attn.")
            y = F.gelu(self._linear(self._norm(h, name + "norm2"), name + "mlp.fc1"))
            h = h + t[name + "ls2.gamma"] * self._linear(y, name + "mlp.fc2")
            yield h

    def _embedded(self, x: Tensor) -> Tensor:
        """Return tokens `(B, 1 + patches, D)`: the class token and patches, each with its position embedding."""
        t = self._tensors
        kernel = t["patch_embed.proj.weight"]
        patches = F.conv2d(x, kernel, t["patch_embed.proj.bias"], stride=kernel.shape[-1])
        positions = t["pos_embed"][:, 1:]
        side = round(positions.shape[1] ** 0.5)
        positions = positions.transpose(1, 2).reshape(1, -1, side, side)
        if positions.shape[2:] != patches.shape[2:]:
            positions = F.interpolate(positions, size=patches.shape[2:], mode="bicubic", align_corners=False)
        first = (t["cls_token"] + t["pos_embed"][:, :1]).expand(len(x), -1, -1)
        return torch.cat([first, (patches + positions).flatten(2).transpose(1, 2)], 1)

    def _attention(self, x: Tensor, name: str) -> Tensor:
        qkv = self._linear(x, name + "qkv").reshape(*x.shape[:2], 3, -1, _HEAD_DIM).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
        return self._linear(y.transpose(1, 2).flatten(2), name + "proj")

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self._tensors[name + ".weight"], self._tensors[name + ".bias"])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, (self.dim,), self._tensors[name + ".weight"], self._tensors[name + ".bias"], 1e-6)


def _depth(tensors: dict[str, Tensor]) -> int:
    return 1 + max(int(block[1]) for name in tensors if (block := re.match(r"blocks\.(\d{1,4})\.", name)))


def _shapes(tensors: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor of the network that these are weights of."""
    dim, hidden = tensors["norm.weight"].numel(), len(tensors["blocks.0.mlp.fc1.weight"])
    places, kernel = tensors["pos_embed"].shape[1:2], tensors["patch_embed.proj.weight"].shape[2:]
    layers = {"patch_embed.proj": (dim, 3, *kernel), "norm": (dim,)}
    shapes: dict[str, tuple[int, ...]] = {"cls_token": (1, 1, dim), "pos_embed": (1, *places, dim)}
    for block in (f"blocks.{number}." for number in range(_depth(tensors))):
        layers |= {block + "norm1": (dim,), block + "norm2": (dim,)}
        layers |= {block + "attn.qkv": (3 * dim, dim), block + "attn.proj": (dim, dim)}
        layers |= {block + "mlp.fc1": (hidden, dim), block + "mlp.fc2": (dim, hidden)}
        shapes |= {block + "ls1.gamma": (dim,), block + "ls2.gamma": (dim,)}
    for name, shape in layers.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return shapes


def in_authors_layout(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights under the authors' names; those of transformers are renamed, query, key and value joined."""
    renamed = {}
    for name, tensor in tensors.items():
        for pattern, text in _RENAMED:
            name = re.sub(pattern, text, name)
        renamed[name] = tensor
    for name in [name for name in renamed if ".attn.query." in name]:
        qkv = [renamed.pop(name.replace(".query.", f".{word}.")) for word in ("query", "key", "value")]
        renamed[name.replace(".query.", ".qkv.")] = torch.cat(qkv)
    return {name: tensor for name, tensor in renamed.items() if name != "mask_token"}
