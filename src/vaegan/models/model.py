"""A trained model: its networks, priors to sample from, saving and sharing.

The encoder gives q(z|x) = N(mu(x), diag exp(logvar(x))), the decoder x_tilde = Dec(z), the discriminator a logit, and
the prior is N(0, I) or one fitted to codes. Models of all kinds are one class, `Model`, with the networks that the kind
has; a method that needs a missing one raises a `UserError`. What the networks compute is in `inference`. `load` reads a
saved model: from a run, a folder, or the Hugging Face hub.
"""

import tempfile
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError, nearest, one_of
from ..files import expanded
from ..networks import IMAGE_RANGES, build_parts, code_shape
from ..priors import PRIORS, Normal, Prior, best_prior, load_priors, save_priors
from ..priors.saved import tensors_of
from ..runs.locate import Which, find_model
from ..runs.run_folder import DIFFUSERS_FILES, MODEL, MODEL_CONFIG, SETTINGS
from ..settings import PARTS
from ..sharing.card import UNKNOWN_LICENSE
from ..sharing.hub import check_name, upload_folder
from .inference import InferenceModel
from .pretrained import REPLACED, write_pretrained
from .serialization import model_files, one_line_errors, read_description, read_tensors, tensors_digest


class Model(InferenceModel):
    """Encoder, decoder and discriminator, as far as the kind of model has them.

    The networks are any modules: encoder `(B, C, H, W) -> (mu, logvar)`, each `(B, Z)` (or `-> z` in a plain
    autoencoder), decoder `(B, Z) -> (B, C, H, W)`, discriminator `(B, C, H, W) -> (B,)` logits.

    All methods that compute run in evaluation mode without gradients, `batch_size` images at a time (fewer, where they
    are large), and restore each module's mode. They take tensors on any device and return them on the model's.

    In the examples `model` is the one of `from_architecture`, `x` eight images (8, 1, 4, 4) and `z` eight codes (8, 3).

    Args:
        encoder: network, or None.
        decoder: network, or None.
        discriminator: network, or None.
        kind: 'ae', 'vae', 'gan', 'vae-dis-l' or 'vaegan'.
        image_shape: (C, H, W).
        latent_dim: Z, dimensions of a code.
        code_shape: of a code that is a map, (C, h, w) with C h w = Z; (Z,) if None.
        image_range: values of black and white inside the networks.
        architecture: arguments of `networks.build_parts` that made the networks; None for custom ones.
        info: further facts to save (recipe, data, label names, seed, images seen ...), JSON-able. A conditional model's
            has `Conditioning.as_json()` under 'condition'; its networks take c `(B, A)` as second argument.
            'default_prior' names the prior to sample from if none is named, 'pixels' the type and range of its images'
            numbers (`PixelFormat.as_json()`; bytes without it), 'bands' the channels that pictures show.
        priors: fitted to the model's codes, by name.

    Attributes:
        pixels: type and range of the numbers that its images are stored as.
        folder: that it was loaded from, beside which `save_pretrained` reads its run; None for a new model.

    Raises:
        UserError: if the kind is unknown.
    """

    @classmethod
    def from_architecture(cls, architecture: Mapping[str, Any], info: Mapping[str, Any] | None = None) -> "Model":
        """Build the networks by `networks.build_parts(**architecture)`, with new weights from torch's generator.

        >>> network = {"hidden": [16], "norm": "none"}
        >>> model = Model.from_architecture({
        ...     "kind": "vaegan", "network": "mlp", "image_shape": [1, 4, 4], "latent_dim": 3, "output": "tanh",
        ...     "init": "paper", "encoder": network, "decoder": network, "discriminator": network,
        ... })
        >>> list(model.parts)
        ['encoder', 'decoder', 'discriminator']
        """
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
        cls, folder: str | Path, *, device: str | torch.device = "cpu", parts: Mapping[str, nn.Module] | None = None
    ) -> "Model":
        """Load a model from the folder of its `config.json`, in evaluation mode; arguments as `vaegan.load`.

        Raises UserError if it is damaged, written by a newer version, or does not fit the networks.
        """
        folder = expanded(folder)
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError, ImportError) as error:
            raise UserError(f"device {str(device)!r} is not available; try cpu") from error
        for name in parts or {}:
            one_of("part", name, PARTS)
        config = read_description(folder)
        with one_line_errors(folder / MODEL_CONFIG):
            if parts is not None:
                names = ("kind", "image_shape", "latent_dim", "image_range", "info")
                arguments: dict[str, Any] = {**parts, **{name: config[name] for name in names}}
                model = cls(**arguments, code_shape=config.get("code_shape"))
            elif config["architecture"] is None:
                raise UserError(
                    f"{folder} holds the weights of custom networks; pass the networks: load(path, parts={{...}})"
                )
            else:
                with torch.device("meta"):  # weights need neither be drawn nor have memory
                    model = cls.from_architecture(config["architecture"], info=config["info"])
                num_names = len(model.conditioning.names) if model.conditioning else 0
                if num_names != config["architecture"].get("condition_dim", 0):
                    raise ValueError(f"the condition has {num_names} names, the networks take another number")
        model.load_state_dict(read_tensors(folder, model.state_dict()), assign=parts is None)
        model.priors = load_priors(folder, model.latent_dim)
        model.folder = None if any((folder / name).is_file() for name in DIFFUSERS_FILES) else folder
        return model.to(device).eval()

    def with_parts(self, parts: Mapping[str, nn.Module]) -> "Model":
        """Return the same model with other networks in the places that ``parts`` names, sharing the rest.

        Raises UserError if a name is not that of a part.

        >>> list(model.with_parts({"decoder": torch.nn.Identity()}).parts)
        ['encoder', 'decoder', 'discriminator']
        """
        for name in parts:
            one_of("part", name, PARTS)
        networks: dict[str, Any] = {name: parts.get(name, getattr(self, name)) for name in PARTS}
        return Model(**networks, **self._description(), priors=self.priors)

    def _description(self) -> dict[str, Any]:
        """Return all arguments but networks and priors: what `config.json` says."""
        names = ("kind", "image_shape", "latent_dim", "code_shape", "image_range", "architecture", "info")
        return {name: getattr(self, name) for name in names}

    @property
    def prior_names(self) -> list[str]:
        """The priors to sample from: 'normal', N(0, I), if `has_normal_prior`; and the fitted ones."""
        return list(dict.fromkeys([*(["normal"] if self.has_normal_prior else []), *self.priors]))

    @property
    def has_normal_prior(self) -> bool:
        """Whether N(0, I) is a prior of its codes: not if plain, published, or fine-tuned from a published one."""
        return self.kind != "ae" and bool(self.info.get("normal_prior", True))

    @property
    def default_prior(self) -> str:
        """The prior to sample from if none is named."""
        default = self.info.get("default_prior")
        if default in self.prior_names:
            return str(default)
        return "normal" if self.has_normal_prior else best_prior(self.priors)

    def prior_of(self, name: str | None) -> Prior:
        """Return a prior by name, `default_prior` if None; UserError if the model does not have it."""
        if not self.prior_names:
            is_plain = self.kind == "ae"
            what = "a plain autoencoder" if is_plain else "a published autoencoder, or fine-tuned from one,"
            other = ", or train a model of kind vae, gan or vaegan" if is_plain else ""
            raise UserError(
                f"this model is {what} and has no prior to sample from; fit one with `vaegan priors`{other}"
            )
        name = self.default_prior if name is None else name
        if name not in self.prior_names:
            hint = nearest(name, self.prior_names) or f"; available: {', '.join(self.prior_names)}"
            more = "; `vaegan priors` fits others" if name in PRIORS and self.encoder is not None else ""
            raise UserError(f"this model has no prior '{name}'{hint}{more}")
        return self.priors.get(name) or Normal(self.latent_dim)

    def sample_codes(
        self,
        num: int,
        seed: int | None = 0,
        prior: str | None = None,
        labels: Tensor | Sequence[int] | None = None,
        *,
        condition: Tensor | None = None,
    ) -> Tensor:
        """Draw codes `(num, Z)` from a prior, the same on every device.

        Args:
            num: number of codes.
            seed: of the draw; taken from torch's global generator if None.
            prior: one of `prior_names`; `default_prior` if None.
            labels: int `(num,)`, the label of each code, for a prior that was fitted with labels; those of the
                condition if None.
            condition: that the codes will be decoded under, `(num, A)`.

        Raises:
            UserError: if the model has no prior, or not this one, or the prior has no such labels.

        >>> model.sample_codes(64, seed=0).shape
        torch.Size([64, 3])
        """
        chosen = self.prior_of(prior)
        labels = self.labels_for(chosen, condition) if labels is None else labels
        return chosen.sample(num, seed=seed, labels=labels).to(self.device)

    def labels_for(self, prior: Prior, condition: Tensor | None) -> Tensor | None:
        """Return the labels `(B,)` in a condition `(B, A)` if both prior and model go by label, else None."""
        if condition is None or not prior.num_labels or self.conditioning is None or self.conditioning.kind != "labels":
            return None
        return condition.argmax(1).cpu()

    def sample(
        self,
        num: int,
        seed: int | None = 0,
        prior: str | None = None,
        labels: Tensor | Sequence[int] | None = None,
        *,
        condition: Tensor | None = None,
        batch_size: int = 256,
    ) -> Tensor:
        """Return new images `(num, C, H, W)` in [0, 1], decoded from a prior; arguments as `sample_codes`.

        Raises:
            UserError: as `sample_codes`, or if there is no decoder, or the condition `(num, A)` does not fit.

        >>> x_p = model.sample(64, seed=0)  # decoded from N(0, I)
        >>> x_p.shape, bool((x_p >= 0).all() and (x_p <= 1).all())
        (torch.Size([64, 1, 4, 4]), True)
        """
        codes = self.sample_codes(num, seed, prior, labels, condition=condition)
        return self.decode(codes, condition=condition, batch_size=batch_size)

    def digest(self) -> str:
        """Return a hash of the weights and the fitted priors, which identifies the model of an evaluation."""
        of_priors = {f"priors/{name}": tensor for name, tensor in tensors_of(self.priors).items()}
        return tensors_digest({**self.state_dict(), **of_priors})

    def save(self, folder: str | Path) -> None:
        """Write `model.safetensors`, `config.json` and the priors into a folder, each beside and then renamed.

        Files of these names are replaced. The weights of custom networks are saved too; `load` then needs the networks
        in ``parts``.

        Raises:
            UserError: if the folder cannot be written, or is a run.

        >>> model.save("mine")
        >>> torch.equal(Model.from_folder("mine").sample(4, seed=0), model.sample(4, seed=0))
        True
        """
        folder = expanded(folder)
        if (folder / SETTINGS).is_file() and not (folder / MODEL_CONFIG).is_file():
            raise UserError(f"{folder} is a run; save into {folder / MODEL}, or choose a new folder")
        save_priors(folder, self.priors, model_files(self.state_dict(), self._description()))

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        device: str | torch.device = "cpu",
        parts: Mapping[str, nn.Module] | None = None,
        **hub: Any,
    ) -> "Model":
        """Load a model as `vaegan.load` does, by the conventions of huggingface_hub.

        Args:
            pretrained_model_name_or_path: a folder, or the id `owner/name` of a model on the hub.
            device: where to put it.
            parts: networks for the weights of custom ones.
            hub: `revision`, `token`, `cache_dir`, `force_download`, `local_files_only`; see `sharing.hub`.

        Raises:
            UserError: if it is not there and not on the hub, it is damaged, or does not fit.

        >>> model.save_pretrained("faces")
        >>> Model.from_pretrained("faces").sample(4, seed=0).shape  # or "owner/faces", from the hub
        torch.Size([4, 1, 4, 4])
        """
        return cls.from_folder(find_model(pretrained_model_name_or_path, **hub), device=device, parts=parts)

    def save_pretrained(
        self, save_directory: str | Path, *, repo_id: str | None = None, license: str = UNKNOWN_LICENSE
    ) -> None:
        """Write a folder to share: the model as `save` does, and a card, `README.md`, with pictures.

        For a model that was loaded from a run, its settings, `evaluation.json` and pictures are copied; its attribute
        vectors are copied in any case.

        Args:
            save_directory: the folder; files of these names in it are replaced, and those of a model that was shared
                there before removed.
            repo_id: the model's name on the card, its id on the hub; that of the folder if None.
            license: of the model, as the hub spells it, such as 'mit' or 'cc-by-4.0'.

        Raises:
            UserError: if the folder cannot be written, or is a run.

        >>> model.save_pretrained("faces", repo_id="me/faces", license="mit")
        >>> sorted(path.name for path in Path("faces").iterdir() if path.is_file())
        ['README.md', 'config.json', 'model.safetensors']
        """
        folder = expanded(save_directory)
        write_pretrained(self, folder, repo_id or folder.resolve().name, license)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        license: str = UNKNOWN_LICENSE,
        commit_message: str = "Push model with vaegan",
        **hub: Any,
    ) -> str:
        """Upload what `save_pretrained` writes to the Hugging Face hub, as one commit.

        Args:
            repo_id: id `owner/name` of the model; it is created if missing.
            license: of the model, as the hub spells it.
            commit_message: of the commit.
            hub: `private`, `token`, `branch`, `create_pr`; see `sharing.hub.upload_folder`.

        Returns:
            The address of the commit or the pull request.

        Raises:
            UserError: if the hub cannot be reached or refuses it.

        >>> model.push_to_hub("me/faces", license="mit")  # doctest: +SKIP
        'https://huggingface.co/me/faces/commit/...'
        """
        check_name(repo_id)
        with tempfile.TemporaryDirectory() as folder:
            write_pretrained(self, Path(folder), repo_id, license)
            return upload_folder(Path(folder), repo_id, replaced=REPLACED, message=commit_message, **hub)


def load(
    path: str | Path,
    *,
    device: str | torch.device = "cpu",
    parts: Mapping[str, nn.Module] | None = None,
    which: Which = "last",
) -> Model:
    """Load a model, in evaluation mode.

    Args:
        path: a run folder, a folder that `Model.save` wrote, the id `owner/name` of a model on the Hugging Face hub,
            ``diffusers:PLACE``, a folder or id in the layout of diffusers' `AutoencoderKL`, or ``demo``.
        device: where to put it.
        parts: networks by the names 'encoder', 'decoder', 'discriminator' to load the weights into, for custom ones.
        which: of a run's models, that of its last or of its best snapshot.

    Raises:
        UserError: if nothing is there, it is damaged, written by a newer version, or does not fit the networks.
    """
    return Model.from_folder(find_model(path, which), device=device, parts=parts)
