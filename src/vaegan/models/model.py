"""A trained model: its parts composed, used in public ranges, saved.

The encoder gives q(z|x) = N(mu(x), diag exp(logvar(x))), the decoder x_tilde = Dec(z), the prior is N(0, I) or one
that was fitted to codes, and
the discriminator tells real from made. A model of any kind is one `Model` that holds the parts it has; what needs
a part that is missing says so.

In public an image is float in [0, 1]. Inside the networks the range is `Model.image_range`: (low, high) maps as
low + (high - low) x.

A code is a vector `(B, Z)` wherever it goes, also where the networks see a map: `Model.maps` shows it as one.

A conditional model is told what is known about each image, c: `Model.conditioning` makes it, and whatever computes
takes it as `condition`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..config import PARTS
from ..data.conditions import Conditioning
from ..data.images import ImageSet
from ..errors import UserError, nearest
from ..networks import IMAGE_RANGES, PARTS_OF_KIND, build_parts, code_shape
from ..priors import PRIORS, Normal, Prior, best_prior, load_priors, save_priors
from .batches import in_batches, normal
from .saved import CONFIG_NAME, damage_told, read_description, read_tensors, write_model

_KINDS = {
    "ae": "a plain autoencoder",
    "vae": "a VAE",
    "gan": "a GAN",
    "vae-dis-l": "a VAE with a discriminator's layer as metric",
    "vaegan": "a VAE/GAN",
}


class Model(nn.Module):
    """Encoder, decoder and discriminator, as far as the kind of model has them.

    The networks are any modules: encoder `(B, C, H, W) -> (mu, logvar)`, each `(B, Z)` (or `-> z` in a plain
    autoencoder), decoder `(B, Z) -> (B, C, H, W)`, discriminator `(B, C, H, W) -> (B,)` logits.

    All methods that compute run in evaluation mode without gradients, `batch_size` images at a time, and leave each
    module's mode as it was. They take tensors of any device and give tensors on the model's device.

    Args:
        encoder: network, or None.
        decoder: network, or None.
        discriminator: network, or None.
        kind: 'ae', 'vae', 'gan', 'vae-dis-l' or 'vaegan'.
        image_shape: (C, H, W).
        latent_dim: Z, dimensions of a code.
        code_shape: of a code that is a map, (C, h, w) with C h w = Z; (Z,) if None.
        image_range: values of black and white inside the networks.
        architecture: arguments of `networks.build_parts` the parts were made with; None for user-made networks.
        info: what else to remember (recipe, data, label names, seed, images seen ...), JSON-able. A conditional model's
            has `Conditioning.as_json()` under 'condition'; its networks take c `(B, A)` as second argument.
            'default_prior' names the prior to sample from if none is named.
        priors: fitted to the model's codes, by name.

    Raises:
        UserError: if the kind is unknown.
    """

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
        if kind not in _KINDS:
            raise UserError(f"unknown kind of model '{kind}'; there are {', '.join(_KINDS)}")
        self.encoder = encoder
        self.decoder = decoder
        self.discriminator = discriminator
        self.kind = kind
        self.image_shape = tuple(image_shape)
        self.latent_dim = latent_dim
        self.code_shape = (latent_dim,) if code_shape is None else tuple(code_shape)
        self.image_range = (float(image_range[0]), float(image_range[1]))
        self.architecture = None if architecture is None else dict(architecture)
        self.info: dict[str, Any] = dict(info or {})
        self.priors: dict[str, Prior] = dict(priors or {})

    @classmethod
    def from_architecture(cls, architecture: Mapping[str, Any], info: Mapping[str, Any] | None = None) -> Model:
        """Build the networks by `networks.build_parts(**architecture)`, with fresh weights of torch's generator."""
        parts: dict[str, Any] = dict(build_parts(**architecture))
        shape = code_shape(architecture)
        return cls(
            **parts,
            kind=architecture["kind"],
            image_shape=architecture["image_shape"],
            latent_dim=prod(shape),
            code_shape=shape,
            image_range=IMAGE_RANGES[architecture["output"]],
            architecture=architecture,
            info=info,
        )

    @classmethod
    def from_folder(
        cls,
        folder: str | Path,
        *,
        device: str | torch.device = "cpu",
        parts: Mapping[str, nn.Module] | None = None,
    ) -> Model:
        """Load a model from the folder that holds its `config.json`, in evaluation mode; arguments as `vaegan.load`.

        Raises:
            UserError: if it is damaged, written by a newer version, or does not fit the networks.
        """
        folder = Path(folder)
        config = read_description(folder)
        with damage_told(folder / CONFIG_NAME):
            if parts is not None:
                names = ("kind", "image_shape", "latent_dim", "image_range", "info")
                arguments: dict[str, Any] = {**parts, **{name: config[name] for name in names}}
                model = cls(**arguments, code_shape=config.get("code_shape"))
            elif config["architecture"] is None:
                raise UserError(
                    f"{folder} holds the weights of user-made networks; give them: load(path, parts={{...}})"
                )
            else:
                # Weights are drawn only to be overwritten: the caller's random state is no business of loading.
                with torch.random.fork_rng(devices=[]):
                    model = cls.from_architecture(config["architecture"], info=config["info"])
        model.load_state_dict(read_tensors(folder, model.state_dict()))
        model.priors = load_priors(folder, model.latent_dim)
        return model.to(device).eval()

    def with_parts(self, parts: Mapping[str, nn.Module]) -> Model:
        """Return the same model with other networks in the places that ``parts`` names, sharing the rest."""
        return Model(
            encoder=parts.get("encoder", self.encoder),
            decoder=parts.get("decoder", self.decoder),
            discriminator=parts.get("discriminator", self.discriminator),
            kind=self.kind,
            image_shape=self.image_shape,
            latent_dim=self.latent_dim,
            code_shape=self.code_shape,
            image_range=self.image_range,
            architecture=self.architecture,
            info=self.info,
            priors=self.priors,
        )

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The parts there are, by name."""
        return {name: part for name in PARTS if (part := getattr(self, name)) is not None}

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""
        return next((tensor.device for tensor in self.parameters()), torch.device("cpu"))

    @property
    def conditioning(self) -> Conditioning | None:
        """What makes the conditions, of labels, attributes or images; None if the model takes none."""
        plain = self.info.get("condition")
        return None if plain is None else Conditioning.from_json(plain)

    def condition_of(self, images: ImageSet, chosen: NDArray[np.int64] | slice = slice(None)) -> Tensor | None:
        """Return the condition `(B, A)` of images (those ``chosen``, or all); None if the model takes none.

        Raises:
            UserError: if their labels or attributes are not those the model was trained with.
        """
        conditioning = self.conditioning
        return None if conditioning is None else conditioning.of_images(images, chosen)

    def condition_in_turn(self, num: int) -> Tensor | None:
        """Return a condition `(num, A)` where none is asked for: labels or held-out attributes in turn, or None."""
        conditioning = self.conditioning
        return None if conditioning is None else conditioning.in_turn(num)

    @property
    def prior_names(self) -> list[str]:
        """The priors there are to sample from: N(0, I), 'normal', but of a plain autoencoder, and the fitted ones."""
        return list(dict.fromkeys([*([] if self.kind == "ae" else ["normal"]), *self.priors]))

    @property
    def default_prior(self) -> str:
        """The prior to sample from if none is named."""
        otherwise = best_prior(self.priors) if self.kind == "ae" else "normal"
        return str(self.info.get("default_prior", otherwise))

    def prior_of(self, name: str | None) -> Prior:
        """Return a prior by its name; `default_prior` if None.

        Raises:
            UserError: if the model has no prior, or none of this name.
        """
        if not self.prior_names:
            raise UserError(
                "this model is a plain autoencoder: nothing shaped its codes into a prior, so there is nothing to "
                "sample from; fit one with `vaegan priors`, or train a model of kind vae, gan or vaegan"
            )
        name = self.default_prior if name is None else name
        if name not in self.prior_names:
            hint = nearest(name, self.prior_names) or f"; there are {', '.join(self.prior_names)}"
            more = ", `vaegan priors` fits others" if name in PRIORS and self.encoder is not None else ""
            raise UserError(f"this model has no prior '{name}'{hint}{more}")
        return self.priors.get(name) or Normal(self.latent_dim)

    def to_network(self, x: Tensor) -> Tensor:
        """Map images from [0, 1] to the networks' range."""
        low, high = self.image_range
        return x * (high - low) + low

    def to_public(self, x: Tensor) -> Tensor:
        """Map images from the networks' range to [0, 1], and clamp."""
        low, high = self.image_range
        return ((x - low) / (high - low)).clamp(0.0, 1.0)

    def posterior(self, x: Tensor, *, condition: Tensor | None = None, batch_size: int = 256) -> tuple[Tensor, Tensor]:
        """Return mu and logvar of q(z|x), each `(B, Z)`, of images `(B, C, H, W)` in [0, 1].

        Raises:
            UserError: if there is no encoder, it gives no distribution, or images or condition do not fit.
        """
        mu, *rest = self._encode(x, condition, batch_size)
        if not rest:
            raise UserError(
                f"this model is {_KINDS[self.kind]}: its encoder gives a code, not a distribution; "
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
        """Return codes `(B, Z)` of images `(B, C, H, W)` in [0, 1].

        Args:
            x: images.
            sample: draw z from q(z|x) instead of taking its mean mu.
            seed: of the draw; taken from torch's global generator if None.
            condition: what is known about each image, `(B, A)`, for a conditional model alone.
            batch_size: images at a time.

        Raises:
            UserError: as `posterior`; a plain autoencoder can encode, but not draw.
        """
        if not sample:
            return self._encode(x, condition, batch_size)[0]
        mu, logvar = self.posterior(x, condition=condition, batch_size=batch_size)
        epsilon = normal(tuple(mu.shape), seed).to(mu)
        return mu + (0.5 * logvar).exp() * epsilon

    def decode(self, z: Tensor, *, condition: Tensor | None = None, batch_size: int = 256) -> Tensor:
        """Return images `(B, C, H, W)` in [0, 1] of codes `(B, Z)`, or of maps as `maps` gives them.

        Raises:
            UserError: if there is no decoder or codes or condition do not fit.
        """
        decoder = self._part("decoder", "decoding")
        if len(self.code_shape) > 1 and tuple(z.shape[1:]) == self.code_shape:
            z = z.flatten(1)
        if z.ndim != 2 or z.shape[1] != self.latent_dim or not z.is_floating_point():
            raise UserError(f"codes must be float (B, {self.latent_dim}), not {_described(z)}")
        inputs = (z, *self._given(condition, len(z)))
        return in_batches(self, lambda z, *c: (self.to_public(decoder(z, *c)),), inputs, batch_size)[0]

    def maps(self, z: Tensor) -> Tensor:
        """Return codes `(B, Z)` in the shape that the networks see, `(B, *code_shape)`: maps, where they are maps."""
        return z.reshape(-1, *self.code_shape)

    def reconstruct(self, x: Tensor, *, condition: Tensor | None = None, batch_size: int = 256) -> Tensor:
        """Return the decoded means of images `(B, C, H, W)` in [0, 1], in the same form."""
        self._part("decoder", "reconstructing")
        z = self.encode(x, condition=condition, batch_size=batch_size)
        return self.decode(z, condition=condition, batch_size=batch_size)

    def sample_codes(
        self, num: int, seed: int | None = 0, prior: str | None = None, labels: Tensor | None = None
    ) -> Tensor:
        """Draw codes `(num, Z)` from a prior, the same on every device.

        Args:
            num: how many.
            seed: of the draw; taken from torch's global generator if None.
            prior: one of `prior_names`; `default_prior` if None.
            labels: int `(num,)`, the label of each code, for a prior that was fitted with labels.

        Raises:
            UserError: if the model has no prior, or not this one, or it knows no such labels.
        """
        return self.prior_of(prior).sample(num, seed=seed, labels=labels).to(self.device)

    def sample(
        self,
        num: int,
        seed: int | None = 0,
        prior: str | None = None,
        labels: Tensor | None = None,
        *,
        condition: Tensor | None = None,
        batch_size: int = 256,
    ) -> Tensor:
        """Return new images `(num, C, H, W)` in [0, 1], decoded from a prior; arguments as `sample_codes`.

        Raises:
            UserError: as `sample_codes`, or if there is no decoder, or the condition `(num, A)` does not fit.
        """
        return self.decode(self.sample_codes(num, seed, prior, labels), condition=condition, batch_size=batch_size)

    def discriminate(self, x: Tensor, *, condition: Tensor | None = None, batch_size: int = 256) -> Tensor:
        """Return logits `(B,)`, positive for real, of images `(B, C, H, W)` in [0, 1].

        Raises:
            UserError: if there is no discriminator or images or condition do not fit.
        """
        discriminator = self._part("discriminator", "telling real from made")
        self._check_images(x)
        inputs = (x, *self._given(condition, len(x)))
        return in_batches(self, lambda x, *c: (discriminator(self.to_network(x), *c),), inputs, batch_size)[0]

    def save(self, folder: str | Path) -> None:
        """Write `model.safetensors`, `config.json` and the priors into a folder, each beside and then renamed.

        User-made networks are saved as well; `load` then asks for the networks to put the weights into.

        Raises:
            UserError: if the folder cannot be written.
        """
        folder = Path(folder)
        description = {
            "kind": self.kind,
            "image_shape": self.image_shape,
            "latent_dim": self.latent_dim,
            "code_shape": self.code_shape,
            "image_range": self.image_range,
            "architecture": self.architecture,
            "info": self.info,
        }
        save_priors(folder, self.priors)
        write_model(folder, self.state_dict(), description)

    def _part(self, name: str, purpose: str) -> nn.Module:
        part: nn.Module | None = getattr(self, name)
        if part is None:
            kinds = [kind for kind, parts in PARTS_OF_KIND.items() if name in parts]
            raise UserError(
                f"this model is {_KINDS[self.kind]} and has no {name}: {purpose} needs a model of kind "
                f"{', '.join(kinds[:-1])} or {kinds[-1]}"
            )
        return part

    def _check_images(self, x: Tensor) -> None:
        if x.ndim != 4 or tuple(x.shape[1:]) != self.image_shape or not x.is_floating_point():
            shape = ", ".join(map(str, self.image_shape))
            raise UserError(f"images must be float (B, {shape}) in [0, 1], not {_described(x)}")

    def _given(self, condition: Tensor | None, num: int) -> tuple[Tensor, ...]:
        """Return the networks' further inputs."""
        conditioning = self.conditioning
        if conditioning is None:
            if condition is not None:
                raise UserError("this model takes no condition; leave it out, or train one with --model.condition")
            return ()
        shape = (num, len(conditioning.names))
        if condition is None or tuple(condition.shape) != shape:
            told = "it has none" if condition is None else f"not {_described(condition)}"
            raise UserError(
                f"this model is told each image's {conditioning.kind}: it needs a condition {shape}, {told}; "
                "model.conditioning makes one"
            )
        return (condition,)

    def _encode(self, x: Tensor, condition: Tensor | None, batch_size: int) -> tuple[Tensor, ...]:
        encoder = self._part("encoder", "encoding")
        self._check_images(x)

        def codes(x: Tensor, *c: Tensor) -> tuple[Tensor, ...]:
            output = encoder(self.to_network(x), *c)
            return output if isinstance(output, tuple) else (output,)

        return in_batches(self, codes, (x, *self._given(condition, len(x))), batch_size)


def _described(x: Tensor) -> str:
    return f"{str(x.dtype).removeprefix('torch.')} {tuple(x.shape)}"
