"""Weights of published networks: a file of the user's, the cache, or a download to it. Nothing is unpickled."""

import http.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ...errors import UserError


@dataclass(frozen=True)
class Published:
    """Where an extractor's weights are published, and the SHA-256 of the file."""

    name: str
    url: str
    sha256: str

    @property
    def file(self) -> str:
        """The name of the file."""
        return self.url.rsplit("/", 1)[1]


def read_weights(published: Published, path: Path | None, folder: Path) -> dict[str, Tensor]:
    """Return published weights from the user's file or the cache, downloaded if missing.

    A ``path`` that is a folder takes the place of the cache's ``folder``. Raises UserError if the file is missing,
    cannot be downloaded, or holds no tensors.
    """
    if path is not None and path.is_dir():
        folder, path = path, None
    if path is not None and not path.is_file():
        raise UserError(f"no weights of '{published.name}' at {path}; check the path or fetch {published.url}")
    path = path or _downloaded(published, folder / published.file)
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        return {name: tensor for name, tensor in tensors.items() if isinstance(tensor, Tensor)}
    except Exception as error:  # torch.load lets those of zip and pickle through: any of them means the same
        raise UserError(f"{path} holds no weights ({type(error).__name__}); fetch {published.url} again") from error


def checked_weights(
    published: Published, tensors: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int]], place: Path
) -> dict[str, Tensor]:
    """Return the tensors that ``shapes`` names, as float32; UserError if one is missing, of another shape or damaged.

    ``place`` is the file or folder that they were read from.
    """
    for name, shape in shapes.items():
        if name not in tensors or tensors[name].shape != tuple(shape) or not tensors[name].isfinite().all():
            raise UserError(
                f"{place}: these are not weights of '{published.name}': {name} is missing, of another shape or not "
                f"finite; fetch {published.url}"
            )
    return {name: tensors[name].float() for name in shapes}


def _downloaded(published: Published, path: Path) -> Path:
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(published.url, str(path), published.sha256, progress=False)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise UserError(
            f"the weights of '{published.name}' are not at {path} and cannot be downloaded now; fetch "
            f"{published.url} and put it there, or name the file (--weights; in training --loss.perceptual-file)"
        ) from error
    return path
