"""Build the parts of a model from plain, JSON-able arguments; what a saved model keeps to be built again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

from ..errors import UserError
from .blocks import check_name
from .conv import ConvDecoder, ConvDiscriminator, ConvEncoder
from .initialise import initialise
from .mlp import MLPDecoder, MLPDiscriminator, MLPEncoder
from .trio import Decoder, Discriminator, Encoder, add_spectral_norm


class Family(NamedTuple):
    """Classes of one family of networks."""

    encoder: type[Encoder]
    decoder: type[Decoder]
    discriminator: type[Discriminator]


NETWORKS = {
    "mlp": Family(MLPEncoder, MLPDecoder, MLPDiscriminator),
    "conv": Family(ConvEncoder, ConvDecoder, ConvDiscriminator),
}
PARTS_OF_KIND = {
    "ae": ("encoder", "decoder"),
    "vae": ("encoder", "decoder"),
    "gan": ("decoder", "discriminator"),
    "vae-dis-l": ("encoder", "decoder", "discriminator"),
    "vaegan": ("encoder", "decoder", "discriminator"),
}
# Settings of a part that only convolutions have.
CONV_ONLY = ("channels", "strides", "kernel", "padding", "first_channels", "output_kernel", "output_stride")


def build_parts(
    *,
    kind: str,
    network: str,
    image_shape: tuple[int, int, int],
    latent_dim: int,
    output: str,
    init: str,
    encoder: Mapping[str, Any],
    decoder: Mapping[str, Any],
    discriminator: Mapping[str, Any],
    condition: str = "none",
    condition_dim: int = 0,
) -> dict[str, nn.Module]:
    """Return the parts that a model of ``kind`` has: encoder, decoder, discriminator, in this order.

    All weights come from torch's global generator: seed it before.

    Args:
        kind: 'ae', 'vae', 'gan', 'vae-dis-l' or 'vaegan'; the encoder of 'ae' gives plain codes.
        network: family of networks, 'mlp' or 'conv'.
        image_shape: ``(C, H, W)``.
        latent_dim: dimensions Z of the code.
        output: the decoder's last non-linearity, 'tanh', 'sigmoid' or 'linear'.
        init: first weights, 'paper', 'dcgan' or 'torch'.
        encoder: the encoder's other constructor arguments, like ``{"hidden": [1024, 1024]}``.
        decoder: the decoder's.
        discriminator: the discriminator's.
        condition: what c is made of, which every part takes besides: 'labels', 'attributes', or 'none'.
        condition_dim: dimensions A of c; 0 for none.

    Raises:
        UserError: if the settings do not fit each other or the image's size.
    """
    check_name("kind", kind, PARTS_OF_KIND)
    family = NETWORKS[check_name("network", network, NETWORKS)]
    if (condition == "none") != (condition_dim == 0):
        raise UserError(
            f"model.condition {condition} does not go with {condition_dim} dimensions; give condition_dim, the number "
            "of labels or attributes, and 0 for none"
        )
    image_shape = (image_shape[0], image_shape[1], image_shape[2])
    own: dict[str, dict[str, Any]] = {
        "encoder": {"latent_dim": latent_dim, "variational": kind != "ae", **encoder},
        "decoder": {"latent_dim": latent_dim, "output": output, **decoder},
        "discriminator": {**discriminator, "spectral_norm": False},
    }
    parts: dict[str, nn.Module] = {}
    for name in PARTS_OF_KIND[kind]:
        settings = _without_convolutions(name, own[name]) if network == "mlp" else own[name]
        if condition_dim:
            settings = {**settings, "condition_dim": condition_dim}
        try:
            parts[name] = getattr(family, name)(image_shape=image_shape, **settings)
        except UserError as error:
            raise UserError(f"model.{name}: {error}") from error
        initialise(parts[name], init)
    if "discriminator" in parts and discriminator.get("spectral_norm", False):
        add_spectral_norm(parts["discriminator"])
    return parts


def _without_convolutions(part: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return an MLP's settings, which has no use for channels and strides.

    Raises:
        UserError: if channels or strides are given.
    """
    for name in ("channels", "strides"):
        if settings.get(name):
            raise UserError(
                f"model.{part}.{name} is given, but the network is mlp, which has no convolutions; "
                f"set model.{part}.hidden instead, or model.network to conv"
            )
    return {name: value for name, value in settings.items() if name not in CONV_ONLY}
