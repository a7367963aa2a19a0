"""Inference with encoder, decoder and discriminator: encode, decode, reconstruct, discriminate.

Outside the networks an image is float in [0, 1]; inside, the range is `InferenceModel.image_range`: (low, high) maps as
low + (high - low) x. A code is a vector `(B, Z)` outside, also where the networks have a map; `InferenceModel.maps`
reshapes it. Networks whose codes are maps take images of other sizes too (`InferenceModel.factor`), whose codes are
maps `(B, C, h, w)` outside as well. A conditional model takes the condition c `(B, A)` of each image;
`InferenceModel.conditioning` makes it.

Everything is computed in evaluation mode, without gradients, some images at a time.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..data.conditions import Conditioning
from ..data.dataset import ImageSet
from ..errors import UserError
from ..networks import PARTS_OF_KIND, map_factor
from ..networks.parts import evaluating
from ..pixels import ImageRange, PixelFormat, Shown
from ..priors.prior import Prior, seeded
from ..settings import KINDS, PARTS
from .tiles import Tiles, checked_tiles, decode_tiles, encode_tiles, is_in_tiles

_BEYOND = 0.01
"""How far numbers of images may lie outside of [0, 1], as after rounding or resizing."""


class InferenceModel(nn.Module):
    """The networks of a kind of model, and what they compute; arguments, attributes and errors as `Model`."""

    def __init__(
        self,
        *,
        encoder: nn.Module | None = None,
        decoder: nn.Module | None = None,
        discriminator: nn.Module | None = None,
        kind: str,
        image_shape: Sequence[int],
        latent_dim: int,
        code_shape: Sequence[int] | None = None,
        image_range: Sequence[float] = (-1.0, 1.0),
        architecture: Mapping[str, Any] | None = None,
        info: Mapping[str, Any] | None = None,
        priors: Mapping[str, Prior] | None = None,
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise UserError(f"unknown kind of model '{kind}'; available: {', '.join(KINDS)}")
        self.encoder = encoder
        self.decoder = decoder
        self.discriminator = discriminator
        self.kind = kind
        if len(image_shape) != 3:
            raise UserError(f"image_shape must be (channels, height, width), not {tuple(image_shape)}")
        channels, height, width = image_shape
        self.image_shape = (channels, height, width)
        self.latent_dim = latent_dim
        self.code_shape = (latent_dim,) if code_shape is None else tuple(code_shape)
        if prod(self.code_shape) != latent_dim:
            raise UserError(f"codes of {self.code_shape} have {prod(self.code_shape)} numbers, not {latent_dim}")
        self.image_range = ImageRange(*map(float, image_range))
        self.architecture = None if architecture is None else dict(architecture)
        self.info: dict[str, Any] = dict(info or {})
        self.pixels = PixelFormat(**self.info.get("pixels", {}))
        self.priors: dict[str, Prior] = dict(priors or {})
        self.folder: Path | None = None
        self.tiles: Tiles | None = None

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The networks that the model has, by name."""
        return {name: part for name in PARTS if (part := getattr(self, name)) is not None}

    @property
    def num_parameters(self) -> dict[str, int]:
        """How many parameters each network has, by its name."""
        return {name: sum(weight.numel() for weight in part.parameters()) for name, part in self.parts.items()}

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""
        return next((tensor.device for tensor in self.parameters()), torch.device("cpu"))

    @property
    def conditioning(self) -> Conditioning | None:
        """What makes the conditions, of labels, attributes or images; None if the model takes none."""
        plain = self.info.get("condition")
        return None if plain is None else Conditioning.from_json(plain)

    @property
    def shown(self) -> Shown:
        """How its images are shown."""
        return Shown(self.pixels, tuple(self.info.get("bands", ())))

    def condition_of(self, images: ImageSet, chosen: NDArray[np.int64] | slice = slice(None)) -> Tensor | None:
        """Return the condition `(B, A)` of images (those ``chosen``, or all); None for an unconditional model.

        Raises UserError if their labels or attributes are not those the model was trained with.
        """
        conditioning = self.conditioning
        return None if conditioning is None else conditioning.of_images(images, chosen)

    def condition_in_turn(self, num: int) -> Tensor | None:
        """Return a default condition `(num, A)`: all labels, or held-out attributes, in turn; None if it takes none."""
        conditioning = self.conditioning
        return None if conditioning is None else conditioning.in_turn(num)

    @property
    def factor(self) -> int | None:
        """Pixels for each step of a code map: images whose sides are multiples of it are taken; None if only its own.

        >>> model.factor is None  # its codes are vectors
        True
        """
        return map_factor(self.architecture)

    def code_shape_of(self, size: Sequence[int]) -> tuple[int, ...] | None:
        """Return the shape of the code of an image of (height, width); None if the model does not take this size."""
        if tuple(size) == self.image_shape[1:]:
            return self.code_shape
        if self.factor is None or any(side < 1 or side % self.factor for side in size):
            return None
        code = (self.code_shape[0], *(side // self.factor for side in size))
        return None if code == self.code_shape else code  # the decoder gives images of its own size for this one

    def check_size(self, size: Sequence[int]) -> None:
        """Raise UserError if the model does not take images of (height, width)."""
        if self.code_shape_of(size) is None:
            own, wrong = ("x".join(map(str, each)) for each in (self.image_shape[1:], size))
            more = (
                f", or sides that are multiples of {self.factor}" if self.factor else " only, as its codes are vectors"
            )
            raise UserError(f"images of {wrong} (height x width) do not fit this model: it takes {own}{more}")

    def tiled(self, tile: int, overlap: int | None = None) -> Self:
        """Return the same model, which encodes and decodes images larger than a tile tile by tile, see `models.tiles`.

        Args:
            tile: side in pixels, a multiple of `factor`.
            overlap: of neighbours, in pixels, a multiple of `factor`; a quarter of the tile if None.

        Raises:
            UserError: if codes are vectors, or the tiles do not fit the model.

        >>> model.tiled(64)
        Traceback (most recent call last):
        vaegan.errors.UserError: the codes of this model are vectors, and tiles need maps; leave out --tile
        """
        model = copy.copy(self)  # which shares the networks
        model.tiles = checked_tiles(self, tile, overlap)
        return model

    def to_network(self, x: Tensor) -> Tensor:
        """Map images from [0, 1] to the networks' range."""
        return self.image_range.from_unit(x)

    def to_public(self, x: Tensor) -> Tensor:
        """Map images from the networks' range to [0, 1], and clamp."""
        return self.image_range.to_unit(x).clamp(0.0, 1.0)

    def posterior(self, x: Tensor, *, condition: Tensor | None = None, batch_size: int = 256) -> tuple[Tensor, Tensor]:
        """Return mu and logvar of q(z|x), each `(B, Z)`, of images `(B, C, H, W)` in [0, 1].

        Raises:
            UserError: if there is no encoder, it gives no distribution, or images or condition do not fit.

        >>> mu, logvar = model.posterior(x)  # x (8, 1, 4, 4)
        >>> mu.shape, logvar.shape
        (torch.Size([8, 3]), torch.Size([8, 3]))
        """
        mu, *rest = self.encoder_outputs(x, condition=condition, batch_size=batch_size)
        if not rest:
            raise UserError(
                f"this model is {KINDS[self.kind].phrase}: its encoder gives a code, not a distribution; "
                "mu and logvar need a model of kind vae, vae-dis-l or vaegan"
            )
        return mu, rest[0]

    def encode(
        self,
        x: Tensor,
        sample: bool = False,
        seed: int | None = None,
        *,
        condition: Tensor | None = None,
        batch_size: int = 256,
    ) -> Tensor:
        """Return codes `(B, Z)` of images `(B, C, H, W)` in [0, 1]; of another size than the model's, `(B, C, h, w)`.

        Args:
            x: images; of any size that `code_shape_of` takes.
            sample: draw z from q(z|x) instead of taking its mean mu.
            seed: of the draw; taken from torch's global generator if None.
            condition: of each image, `(B, A)`, for a conditional model.
            batch_size: images at a time.

        Raises:
            UserError: as `posterior`; a plain autoencoder has no q(z|x) to draw from.

        >>> model.encode(x).shape  # means, of x (8, 1, 4, 4)
        torch.Size([8, 3])
        >>> z = model.encode(x, sample=True, seed=0)
        >>> torch.equal(z, model.encode(x, sample=True, seed=0))
        True
        """
        if not sample:
            return self.encoder_outputs(x, condition=condition, batch_size=batch_size)[0]
        mu, logvar = self.posterior(x, condition=condition, batch_size=batch_size)
        epsilon = normal(tuple(mu.shape), seed).to(mu)
        return mu + (0.5 * logvar).exp() * epsilon

    def decode(self, z: Tensor, *, condition: Tensor | None = None, batch_size: int = 256) -> Tensor:
        """Return images `(B, C, H, W)` in [0, 1] of codes `(B, Z)`, or of maps `(B, *code_shape)`.

        Where the model has a `factor`, maps `(B, C, h, w)` of any size give images of `factor` times their size.

        Raises:
            UserError: if there is no decoder or codes or condition do not fit.

        >>> x_tilde = model.decode(z)  # z (8, 3)
        >>> x_tilde.shape, bool((x_tilde >= 0).all() and (x_tilde <= 1).all())
        (torch.Size([8, 1, 4, 4]), True)
        """
        decoder = self._part("decoder", "decoding")
        _check_tensor("codes", z)
        if len(self.code_shape) > 1 and tuple(z.shape[1:]) == self.code_shape:
            z = z.flatten(1)
        is_map = self.factor is not None and z.ndim == 4 and z.shape[1] == self.code_shape[0] and z.numel()
        if not (is_map or (z.ndim == 2 and z.shape[1] == self.latent_dim)) or not z.is_floating_point():
            raise UserError(f"codes must be float (B, {self.latent_dim}), not {_described(z)}")
        inputs = (z, *self._condition_args(condition, len(z)))
        size = [side * (self.factor or 1) for side in z.shape[2:]] if is_map else self.image_shape[1:]
        if is_in_tiles(self, size):
            return torch.cat([rows for _, rows in decode_tiles(self, self.maps(z), batch_size)], 2)
        (x_tilde,) = self._in_batches(lambda z, *c: (self.to_public(decoder(z, *c)),), inputs, batch_size, prod(size))
        _check_made("decoder", x_tilde, (self.image_shape[0], *size))
        return x_tilde

    def logits(self, z: Tensor, *, condition: Tensor | None = None, batch_size: int = 256) -> Tensor:
        """Return what `decode` takes the sigmoid of, `(B, C, H, W)`, of codes `(B, Z)`; UserError if it takes none."""
        decoder: Any = self._part("decoder", "decoding")
        if not hasattr(decoder, "logits") or getattr(decoder, "output_name", "sigmoid") != "sigmoid":
            raise UserError("black and white images have a likelihood only under a decoder with --model.output sigmoid")
        inputs, pixels = (z, *self._condition_args(condition, len(z))), prod(self.image_shape[1:])
        return self._in_batches(lambda z, *c: (decoder.logits(z, *c),), inputs, batch_size, pixels)[0]

    def maps(self, z: Tensor) -> Tensor:
        """Return codes `(B, Z)` in the networks' own shape, `(B, *code_shape)`: as maps, if they are maps."""
        return z if z.ndim == 4 else z.reshape(-1, *self.code_shape)

    @property
    def scale_factor(self) -> float:
        """The factor that gives codes standard deviation 1 (see `latent.encoding`); UserError if not measured."""
        if "scale_factor" not in self.info and len(self.code_shape) != 3:
            raise UserError("only codes that are maps have a latent scale factor, and those of this model are vectors")
        if "scale_factor" not in self.info:
            raise UserError(
                "this model has no latent scale factor: it is measured at the end of training, where codes are maps; "
                "finish it, or set model.info['scale_factor'] by vaegan.latent.encoding.scale_factor"
            )
        return float(self.info["scale_factor"])

    @property
    def latent_scaling(self) -> tuple[Tensor, Tensor]:
        """Shift and factor of `latents`, factor * (z - shift), each `(C, 1, 1)` of maps: `scale_factor` and no shift.

        A published model may also have a shift, or a mean and a standard deviation of each channel.
        """
        mean = self.info.get("latents_mean") or [self.info.get("shift_factor") or 0.0]
        std = torch.tensor(self.info.get("latents_std") or [1.0])
        shape = (-1, *(1,) * (len(self.code_shape) - 1))
        return torch.tensor(mean).view(shape), (self.scale_factor / std).view(shape)

    def scaled(self, z: Tensor) -> Tensor:
        """Return codes in the shape and scale of `latents`."""
        shift, factor = (t.to(z.device) for t in self.latent_scaling)
        return factor * (self.maps(z) - shift)

    def latents(self, x: Tensor, sample: bool = False, seed: int | None = None, *, batch_size: int = 256) -> Tensor:
        """Return codes for a diffusion model, `(B, *code_shape)` by `latent_scaling`; arguments as `encode`.

        Raises:
            UserError: as `encode`, or if there is no scale factor.

        >>> model.info["scale_factor"] = 0.5
        >>> model.latents(x).shape  # (8, C, h, w) where codes are maps
        torch.Size([8, 3])
        """
        return self.scaled(self.encode(x, sample, seed, batch_size=batch_size))

    def decode_latents(self, latents: Tensor, *, batch_size: int = 256) -> Tensor:
        """Return images `(B, C, H, W)` in [0, 1] of a diffusion model's samples, in the shape and scale of `latents`.

        Raises:
            UserError: as `decode`, or if there is no scale factor.

        >>> model.info["scale_factor"] = 0.5
        >>> model.decode_latents(model.latents(x)).shape
        torch.Size([8, 1, 4, 4])
        """
        shift, factor = (t.to(latents) for t in self.latent_scaling)
        return self.decode(latents / factor + shift, batch_size=batch_size)

    def reconstruct(self, x: Tensor, *, condition: Tensor | None = None, batch_size: int = 256) -> Tensor:
        """Return reconstructions Dec(mu(x)), `(B, C, H, W)` in [0, 1], of images like them.

        Raises:
            UserError: if there is no encoder or decoder, or images or condition do not fit.

        >>> model.reconstruct(x).shape  # x (8, 1, 4, 4)
        torch.Size([8, 1, 4, 4])
        """
        self._part("decoder", "reconstructing")
        z = self.encode(x, condition=condition, batch_size=batch_size)
        return self.decode(z, condition=condition, batch_size=batch_size)

    def discriminate(self, x: Tensor, *, condition: Tensor | None = None, batch_size: int = 256) -> Tensor:
        """Return logits `(B,)`, positive for real, of images `(B, C, H, W)` in [0, 1].

        Raises:
            UserError: if there is no discriminator or images or condition do not fit.

        >>> model.discriminate(x).shape  # x (8, 1, 4, 4)
        torch.Size([8])
        """
        discriminator = self._part("discriminator", "discriminating")
        _check_tensor("images", x)
        self._check_images(x, self.image_shape)
        inputs = (x, *self._condition_args(condition, len(x)))
        return self._in_batches(
            lambda x, *c: (discriminator(self.to_network(x), *c),), inputs, batch_size, prod(x.shape[2:])
        )[0]

    def _part(self, name: str, purpose: str) -> nn.Module:
        part: nn.Module | None = getattr(self, name)
        if part is None:
            kinds = [kind for kind, parts in PARTS_OF_KIND.items() if name in parts]
            raise UserError(
                f"this model is {KINDS[self.kind].phrase} and has no {name}: {purpose} needs a model of kind "
                f"{', '.join(kinds[:-1])} or {kinds[-1]}"
            )
        return part

    def _check_images(self, x: Tensor, wanted: tuple[int, int, int]) -> None:
        if x.ndim != 4 or tuple(x.shape[1:]) != wanted or not x.is_floating_point():
            shape = ", ".join(map(str, self.image_shape))
            hint = "; divide bytes by 255" if x.dtype == torch.uint8 else ""
            raise UserError(f"images must be float (B, {shape}) in [0, 1], not {_described(x)}{hint}")
        if x.numel() and not x.is_meta:
            low, high = (float(value) for value in x.detach().aminmax())
            if not (low >= -_BEYOND and high <= 1.0 + _BEYOND):
                raise UserError(f"images must be in [0, 1], and these are from {low:.4g} to {high:.4g}; rescale them")

    def _condition_args(self, condition: Tensor | None, num: int) -> tuple[Tensor, ...]:
        """Return the networks' further arguments: the condition, or nothing."""
        conditioning = self.conditioning
        if conditioning is None:
            if condition is not None:
                raise UserError("this model is unconditional; leave the condition out, or train with --model.condition")
            return ()
        shape = (num, len(conditioning.names))
        if condition is not None:
            _check_tensor("a condition", condition)
        if condition is None or tuple(condition.shape) != shape:
            actual = "and has none" if condition is None else f"not {_described(condition)}"
            raise UserError(
                f"this model is conditional on {conditioning.kind}: it needs a condition {shape}, {actual}; "
                "model.conditioning makes one"
            )
        return (condition,)

    def encoder_outputs(
        self, x: Tensor, *, condition: Tensor | None = None, batch_size: int = 256
    ) -> tuple[Tensor, ...]:
        """Return mu and logvar as `posterior` does, but of a plain autoencoder the codes alone."""
        encoder = self._part("encoder", "encoding")
        _check_tensor("images", x)
        code = None
        if x.ndim == 4 and self.factor:
            self.check_size(x.shape[2:])
            code = self.code_shape_of(x.shape[2:])
        self._check_images(x, (self.image_shape[0], *x.shape[2:]) if code else self.image_shape)

        if is_in_tiles(self, x.shape[2:]):
            return encode_tiles(self, lambda rows, columns: x[:, :, rows, columns], x.shape[2:], batch_size)

        def codes(x: Tensor, *c: Tensor) -> tuple[Tensor, ...]:
            output = encoder(self.to_network(x), *c)
            return output if isinstance(output, tuple) else (output,)

        inputs = (x, *self._condition_args(condition, len(x)))
        outputs = self._in_batches(codes, inputs, batch_size, prod(x.shape[2:]))
        if code in (None, self.code_shape):
            for made in outputs:
                _check_made("encoder", made, (self.latent_dim,))
        return outputs if code in (None, self.code_shape) else tuple(each.reshape(-1, *code) for each in outputs)

    def _in_batches(
        self, function: Callable[..., tuple[Tensor, ...]], inputs: tuple[Tensor, ...], batch_size: int, pixels: int
    ) -> tuple[Tensor, ...]:
        """Return a function's outputs for all inputs, in evaluation mode and on the model's device.

        They are computed for at most ``batch_size`` rows at a time, fewer where images, of ``pixels`` each, are large.
        """
        if batch_size < 1:
            raise UserError(f"batch_size must be at least 1, not {batch_size}")
        size = rows_at_once(pixels, batch_size)
        like = next(self.parameters(), torch.empty(0))
        with evaluating(self), torch.inference_mode():
            batches = zip(*(torch.split(each, size) for each in inputs), strict=True)
            outputs = [function(*(each.to(like) for each in batch)) for batch in batches]
        # Joined outside of inference mode, the results are ordinary tensors that may enter later training.
        return tuple(torch.cat(chunks) for chunks in zip(*outputs, strict=True))


def _check_tensor(what: str, x: object) -> None:
    if not isinstance(x, Tensor):
        raise UserError(f"{what} must be a tensor, not {type(x).__name__}; torch.as_tensor makes one")


def _check_made(part: str, made: Tensor, shape: tuple[int, ...]) -> None:
    """Raise UserError if a custom network gives something else than the model says."""
    if tuple(made.shape[1:]) != shape:
        needed = f"this model needs (B, {', '.join(map(str, shape))}); correct the network, image_shape or latent_dim"
        raise UserError(f"the {part} gave {_described(made)}, and {needed}")


def _described(x: Tensor) -> str:
    return f"{str(x.dtype).removeprefix('torch.')} {tuple(x.shape)}"


MOST_PIXELS = 2**18
"""Pixels of the images in a batch: hidden layers hold hundreds of numbers for each."""


def rows_at_once(pixels: int, batch_size: int = 256) -> int:
    """Return how many images, of so many ``pixels`` each, pass through a network together."""
    return min(batch_size, max(1, MOST_PIXELS // pixels))


def at_once(size: Sequence[int], batch_size: int) -> int:
    """Return how many images of (height, width) to hold as floats: ``batch_size``, but one where they are large."""
    return 1 if prod(size) > MOST_PIXELS else batch_size


def normal(shape: tuple[int, ...], seed: int | None) -> Tensor:
    """Draw from N(0, 1) on the CPU, so that a seed means the same numbers on every device."""
    return torch.randn(shape, generator=seeded(seed))
