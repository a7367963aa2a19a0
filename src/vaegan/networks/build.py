"""Build the networks of a model from plain, JSON-able arguments, which a saved model holds to be built again.

First weights:

    paper   U(-a, a) with a = 1 / sqrt(3 fan_in), biases 0: what the authors of arXiv:1512.09300 used
    dcgan   N(0, 0.02), biases 0 (Radford et al., arXiv:1511.06434, section 4)
    torch   PyTorch's own

fan_in is the number of inputs of a unit: input channels times the kernel's area, also in a transposed convolution.
Norms start as the identity (scale 1, shift 0) in each of them.
"""

from collections.abc import Mapping
from math import prod, sqrt
from typing import Any, NamedTuple

from torch import nn

from ..errors import UserError, one_of
from ..settings import unused_settings
from .conv import ConvDecoder, ConvDiscriminator, ConvEncoder
from .conv_shapes import layer_strides, map_sizes
from .mlp import MLPDecoder, MLPDiscriminator, MLPEncoder
from .parts import LATENTS, Decoder, Discriminator, Encoder, add_spectral_norm
from .residual import ResidualDecoder, ResidualEncoder


class Family(NamedTuple):
    """Classes of one family of networks."""

    encoder: type[Encoder]
    decoder: type[Decoder]
    discriminator: type[Discriminator]


NETWORKS = {
    "mlp": Family(MLPEncoder, MLPDecoder, MLPDiscriminator),
    "conv": Family(ConvEncoder, ConvDecoder, ConvDiscriminator),
    "residual": Family(ResidualEncoder, ResidualDecoder, ConvDiscriminator),
}
PARTS_OF_KIND = {
    "ae": ("encoder", "decoder"),
    "vae": ("encoder", "decoder"),
    "gan": ("decoder", "discriminator"),
    "vae-dis-l": ("encoder", "decoder", "discriminator"),
    "vaegan": ("encoder", "decoder", "discriminator"),
}
INITS = ("paper", "dcgan", "torch")
DCGAN_STD = 0.02
# Of the settings that a family does not use, those that are refused here, too.
_REMEDIES = {
    "channels": "which has no convolutions; set model.{part}.hidden instead, or model.network to conv",
    "strides": "whose strides are not chosen; leave it out, or set model.network to conv",
    "patch": "which has no convolutions; leave it out, or set model.network to conv",
}


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
    latent: str = "vector",
) -> dict[str, nn.Module]:
    """Return the parts that a model of ``kind`` has: encoder, decoder, discriminator, in this order.

    All weights come from torch's global generator: seed it before.

    Args:
        kind: 'ae', 'vae', 'gan', 'vae-dis-l' or 'vaegan'; the encoder of 'ae' gives plain codes.
        network: family of networks, 'mlp', 'conv' or 'residual'.
        image_shape: ``(C, H, W)``.
        latent_dim: dimensions Z of the code; of a map its channels.
        output: the decoder's last non-linearity, 'tanh', 'sigmoid', 'linear' or 'centred'.
        init: first weights, 'paper', 'dcgan' or 'torch'.
        encoder: the encoder's other constructor arguments, like ``{"hidden": [1024, 1024]}``.
        decoder: the decoder's.
        discriminator: the discriminator's.
        condition: what c, the second argument of every part, is made of: 'labels', 'attributes', or 'none'.
        condition_dim: dimensions A of c; 0 for none.
        latent: 'vector', or 'map' where the family has it: then Z is the product of `code_shape`.

    Raises:
        UserError: if the settings do not fit each other or the image's size.
    """
    one_of("kind", kind, PARTS_OF_KIND)
    family = NETWORKS[one_of("network", network, NETWORKS)]
    if (condition == "none") != (condition_dim == 0):
        raise UserError(
            f"model.condition {condition} cannot have {condition_dim} dimensions; set condition_dim to the number of "
            "labels or attributes, or to 0 for none"
        )
    image_shape = (image_shape[0], image_shape[1], image_shape[2])
    own_code: dict[str, Any] = {"latent_dim": latent_dim}
    if one_of("latent", latent, LATENTS) == "map":
        _check_map(kind, network, image_shape, encoder, decoder)
        own_code["latent"] = latent
    own: dict[str, dict[str, Any]] = {
        "encoder": {**own_code, "variational": kind != "ae", **encoder},
        "decoder": {**own_code, "output": output, **decoder},
        "discriminator": {**discriminator, "spectral_norm": False},
    }
    parts: dict[str, nn.Module] = {}
    for name in PARTS_OF_KIND[kind]:
        settings = _used(network, name, own[name])
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


def code_shape(architecture: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the shape of a code, (Z,) or of a map (C, h, w), of a model with these arguments of `build_parts`."""
    if architecture.get("latent", "vector") == "vector":
        return (architecture["latent_dim"],)
    height, width = architecture["image_shape"][1:]
    sizes = map_sizes((height, width), _strides(architecture["network"], architecture["decoder"]))
    return (architecture["latent_dim"], *sizes[-1])


def map_factor(architecture: Mapping[str, Any] | None) -> int | None:
    """Return the downsampling factor: pixels of the image for each place of a code map, along a side.

    Images whose sides are multiples of it are encoded whatever their size. None where codes are vectors, and of
    custom networks.
    """
    if architecture is None or architecture.get("latent", "vector") == "vector":
        return None
    return prod(_strides(architecture["network"], architecture["decoder"]))


def _strides(network: str, part: Mapping[str, Any]) -> tuple[int, ...]:
    """Return by which factors the maps of an encoder or decoder shrink, from the image on."""
    channels = part.get("channels", ())
    if network == "residual":
        return (2,) * (len(channels) - 1)
    return (part.get("output_stride", 1), *layer_strides(channels, part.get("strides"))[::-1])


def _check_map(
    kind: str,
    network: str,
    image_shape: tuple[int, int, int],
    encoder: Mapping[str, Any],
    decoder: Mapping[str, Any],
) -> None:
    """Check that the networks can have a map as code, and the same one, or raise UserError."""
    if network == "mlp":
        raise UserError(f"model.latent map needs convolutions: the codes of {network} are vectors")
    coded = {"encoder": encoder, "decoder": decoder} if "encoder" in PARTS_OF_KIND[kind] else {"decoder": decoder}
    factors = {name: prod(_strides(network, part)) for name, part in coded.items()}
    if len(set(factors.values())) > 1:
        what = "number of channels" if network == "residual" else "product of strides"
        raise UserError(
            f"model.encoder makes images {factors['encoder']} times as small, model.decoder makes maps "
            f"{factors['decoder']} times as large; give both the same {what}"
        )
    height, width = image_shape[1:]
    if network == "conv" and (height % factors["decoder"] or width % factors["decoder"]):
        raise UserError(
            f"images of {height}x{width} do not fit codes that are maps, whose sides are {factors['decoder']} times as "
            f"small; set data.size to multiples of {factors['decoder']}, or model.network to residual"
        )


def _used(network: str, part: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a part's class takes; UserError if a setting would have no effect."""
    unused = unused_settings(network, part)
    for name, remedy in _REMEDIES.items():
        if name in unused and settings.get(name):
            raise UserError(f"model.{part}.{name} is set, but the network is {network}, {remedy.format(part=part)}")
    return {name: value for name, value in settings.items() if name not in unused}


def initialise(network: nn.Module, init: str) -> None:
    """Give all convolutions and dense layers of ``network``, in place, new weights from torch's global generator.

    ``init`` is 'paper', 'dcgan' or 'torch' (which leaves PyTorch's weights as they are). Apply it before spectral
    normalisation, which starts from the current weights.
    """
    if one_of("init", init, INITS) == "torch":
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
    """Return the number of inputs of a unit: features, or channels times kernel area."""
    if isinstance(layer, nn.Linear):
        return layer.in_features
    return layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1]
