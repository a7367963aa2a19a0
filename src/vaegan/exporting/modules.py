"""The functions that are exported: each part between public ranges, in plain operations.

encoder        (x, c) -> mu, logvar; z of a plain autoencoder        x in [0, 1]
decoder        (z, c) -> x_tilde                                     x_tilde in [0, 1]
discriminator  (x, c) -> logit

What a network does only for the sake of training is left out of the graph: rewritten convolutions and reshapings with
gradients of their own are the plain layers they equal, a spectral norm is divided out of its weight once.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..models import Model
from ..networks.kernels.few_channels import NarrowConv2d, NarrowInputConv2d
from ..networks.kernels.layout import Flatten, Unflatten
from ..networks.kernels.strided import StridedConv2d, StridedConvTranspose2d
from ..networks.resample import NearestConv2d, UpConv2d

_PLAIN: dict[type[nn.Module], type[nn.Module]] = {
    NarrowConv2d: nn.Conv2d,
    NarrowInputConv2d: nn.Conv2d,
    StridedConv2d: nn.Conv2d,
    StridedConvTranspose2d: nn.ConvTranspose2d,
    Flatten: nn.Flatten,
    Unflatten: nn.Unflatten,
    UpConv2d: NearestConv2d,
}


@dataclass(frozen=True)
class Port:
    """One input or output of a part: a float32 tensor whose first dimension is the batch.

    Attributes:
        name: 'x', 'z', 'c', 'mu', 'logvar', 'x_tilde' or 'logit'.
        shape: without the batch.
        range: of the values, where they are bounded.
    """

    name: str
    shape: tuple[int, ...]
    range: tuple[float, float] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        bounds = {} if self.range is None else {"range": self.range}
        return {"name": self.name, "dtype": "float32", "shape": ["batch", *self.shape], **bounds}

    def example(self, num: int, generator: torch.Generator) -> Tensor:
        """Return a batch ``(num, *shape)``: uniform in the range, or normal."""
        draw = torch.randn if self.range is None else torch.rand
        values = draw((num, *self.shape), generator=generator)
        return values if self.range is None else values * (self.range[1] - self.range[0]) + self.range[0]


class PublicPart(nn.Module):
    """A part of a model as a function between public ranges, on the CPU, in evaluation mode, without gradients.

    Args:
        model: whose part it is; it stays as it is.
        name: 'encoder', 'decoder' or 'discriminator'.
    """

    def __init__(self, model: Model, name: str) -> None:
        super().__init__()
        self.network = plain(model.parts[name])
        self.name = name
        self.image_range = model.image_range
        image = Port("x", model.image_shape, (0.0, 1.0))
        self.inputs = [Port("z", (model.latent_dim,)) if name == "decoder" else image]
        if (conditioning := model.conditioning) is not None:
            self.inputs.append(Port("c", (len(conditioning.names),)))
        self.outputs = {
            "encoder": [
                Port(code, (model.latent_dim,)) for code in (["z"] if model.kind == "ae" else ["mu", "logvar"])
            ],
            "decoder": [Port("x_tilde", model.image_shape, (0.0, 1.0))],
            "discriminator": [Port("logit", ())],
        }[name]

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor | tuple[Tensor, ...]:
        """Return the part's outputs for images or, in a decoder, codes ``x``, and conditions ``c``."""
        given = () if c is None else (c,)
        if self.name == "decoder":
            made: Tensor = self.network(x, *given)
            return self.image_range.to_unit(made).clamp(0.0, 1.0)
        outputs: Tensor | tuple[Tensor, ...] = self.network(self.image_range.from_unit(x), *given)
        return outputs


def public_parts(model: Model) -> dict[str, PublicPart]:
    """Return all parts of a model by name."""
    return {name: PublicPart(model, name) for name in model.parts}


def from_model(model: Model, part: str, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return what a part's public function gives by the model's own methods."""
    x, c = inputs[0], inputs[1] if len(inputs) > 1 else None
    if part == "decoder":
        return (model.decode(x, condition=c),)
    if part == "discriminator":
        return (model.discriminate(x, condition=c),)
    return (model.encode(x, condition=c),) if model.kind == "ae" else model.posterior(x, condition=c)


def plain(network: nn.Module) -> nn.Module:
    """Return a copy that computes the same without gradients, by the plain layers that ours equal."""
    network = copy.deepcopy(network).cpu().eval().requires_grad_(False)
    for module in list(network.modules()):
        if parametrize.is_parametrized(module):
            _divide_out(module)
        module.__class__ = _PLAIN.get(type(module), type(module))
    for parameter in network.parameters():
        parameter.data = parameter.data.contiguous()
    return network


def _divide_out(module: nn.Module) -> None:
    """Put what parametrisations make of a module's weights in their place.

    `parametrize.remove_parametrizations` would take them from the class, which the original of the copy shares.
    """
    weights = {name: getattr(module, name).clone() for name in module._modules["parametrizations"]._modules}  # type: ignore[union-attr]
    del module.parametrizations
    module.__class__ = type(module).__bases__[0]
    for name, weight in weights.items():
        module.register_parameter(name, nn.Parameter(weight, requires_grad=False))
