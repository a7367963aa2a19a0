"""Attribute vectors: directions in the latent space that add an attribute to an image or remove it.

The vector of an attribute is the mean code of images with it minus the mean code of images without it (Larsen et al.,
arXiv:1512.09300, section 4.1), so strength 1 goes from the one group's mean to the other's, however many images either
has. Attributes that go together in the data (beard and male) go together in these vectors. Three remedies:

* 'balanced': both groups are weighted so that all other attributes have the same mean in both (`balancing_weights`).
* 'linear': least squares of the codes on all attributes at once, z = b_0 + sum_a y_a b_a; each b_a is the effect of
  its attribute while the others are held fixed.
* orthogonalise: each vector is reduced to its component orthogonal to all others.

Saved beside the weights of a model, ``attributes.safetensors`` holds ``vectors`` `(A, Z)`, ``thresholds`` `(A,)` and
``counts`` `(A, 2)`; ``attributes.json`` their names, the method, and the hash of the weights: vectors of other weights,
as after more training, are refused.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ..data.conditions import find_thresholds, has_attribute
from ..errors import UserError, offered
from ..files import read_json, to_json, write_together
from ..models.serialization import file_digest
from ..runs.locate import find_model
from ..runs.run_folder import VECTOR_TENSORS, VECTORS, WEIGHTS

VectorMethod = Literal["difference", "balanced", "linear"]


@dataclass(frozen=True)
class AttributeVectors:
    """Vectors of A attributes, by name: ``vectors["smiling"]``, ``"smiling" in vectors``, ``list(vectors)``."""

    names: tuple[str, ...]  # of the attributes
    vectors: Tensor  # float32 `(A, Z)`; strength 1 adds one of them
    thresholds: Tensor  # `(A,)`; an image whose value lies above has the attribute, one at or below has not
    counts: Tensor  # `(A, 2)`, images without and with it
    method: VectorMethod = "difference"  # how they were computed
    orthogonalised: bool = False  # whether each is orthogonal to all others, as they were before

    def __getitem__(self, name: str) -> Tensor:
        """Return the vector `(Z,)` of an attribute; UserError if there is none."""
        return self.vectors[self.index(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """Return the row of an attribute; UserError if there is none."""
        return find_attribute(self.names, name)

    def only(self, names: Sequence[str]) -> "AttributeVectors":
        """Return the vectors of these attributes, in this order."""
        rows = [self.index(name) for name in names]
        return replace(
            self,
            names=tuple(names),
            vectors=self.vectors[rows],
            thresholds=self.thresholds[rows],
            counts=self.counts[rows],
        )


def find_attribute(names: Sequence[str], name: str) -> int:
    """Return the index of ``name`` in ``names``; UserError if it is not there."""
    if name not in names:
        raise UserError(f"no attribute {name!r}{offered(name, names)}")
    return list(names).index(name)


def find_vectors(
    z: Tensor,
    attributes: Tensor,
    names: Sequence[str],
    *,
    method: VectorMethod = "difference",
    orthogonalise: bool = False,
) -> AttributeVectors:
    """Find the vector of each attribute.

    Args:
        z: codes `(N, Z)`.
        attributes: `(N, A)`, NaN where unknown. Those with more than two values are split at their median.
        names: A names.
        method: 'difference', 'balanced' or 'linear', see the module. 'linear' takes the values as they are, scales the
            vector to the difference of the groups' mean values, and uses only images without unknown attributes.
        orthogonalise: reduce each vector to its component orthogonal to all others.

    Raises:
        UserError: if an attribute is the same for all images, or its vector is a combination of the others.
    """
    if method not in _METHODS:
        raise UserError(f"unknown method {method!r} for attribute vectors; available: {', '.join(_METHODS)}")
    thresholds = find_thresholds(attributes)
    sides = has_attribute(attributes, thresholds)
    counts = torch.stack([(sides == 0).sum(0), (sides == 1).sum(0)], dim=1)
    for name, smaller in zip(names, counts.amin(1).tolist(), strict=True):
        if smaller == 0:
            raise UserError(f"attribute {name!r} is the same for all {len(z)} images; leave it out or use more images")
    vectors = _METHODS[method](z.double(), attributes.double(), sides, names)
    if orthogonalise:
        vectors = _orthogonalised(vectors, names)
    return AttributeVectors(tuple(names), vectors.float(), thresholds, counts, method, orthogonalise)


def save_vectors(folder: Path, vectors: AttributeVectors, weights: str | None = None) -> None:
    """Write vectors into the folder of a saved model; UserError if it cannot be written.

    ``weights`` is the `file_digest` of the weights that they were computed with; None: of those that are there now.
    """
    tensors = {name: getattr(vectors, name).cpu().contiguous() for name in ("vectors", "thresholds", "counts")}
    content = safetensors.torch.save(tensors)
    description = {
        "names": vectors.names,
        "how": vectors.method,
        "orthogonalised": vectors.orthogonalised,
        "sha256": hashlib.sha256(content).hexdigest(),
        "weights": file_digest(folder / WEIGHTS) if weights is None else weights,
    }
    write_together(folder, {VECTOR_TENSORS: content, VECTORS: to_json(description).encode()}, replaced=[VECTORS])


def load_vectors(folder: str | Path) -> AttributeVectors:
    """Read the vectors of a run, the folder of a saved model, or a model on the hub by its id.

    Raises UserError if there are none, they are damaged, or they belong to other weights.
    """
    folder = find_model(folder)
    try:
        description = read_json(folder / VECTORS)
        tensors = safetensors.torch.load_file(folder / VECTOR_TENSORS)
        weights, names = description["weights"], tuple(description["names"])
        digest = file_digest(folder / VECTOR_TENSORS)
        if description.get("sha256", digest) != digest or len(names) != len(tensors["vectors"]):
            raise ValueError("vectors of other names")
        if not all(tensors[name].isfinite().all() for name in ("vectors", "thresholds")):
            raise ValueError("not finite")
        vectors = AttributeVectors(
            names, **tensors, method=description["how"], orthogonalised=description["orthogonalised"]
        )
    except FileNotFoundError as error:
        raise UserError(f"{folder} has no attribute vectors; create them with `vaegan attributes`") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, safetensors.SafetensorError) as error:
        raise UserError(f"{folder / VECTORS} is damaged; create it again with `vaegan attributes`") from error
    if weights != file_digest(folder / WEIGHTS):
        raise UserError(f"the attribute vectors in {folder} belong to other weights; run `vaegan attributes` again")
    return vectors


def apply(z: Tensor, vector: Tensor, strength: float | Tensor) -> Tensor:
    """Return `z + strength * vector`.

    Args:
        z: codes `(B, Z)`.
        vector: `(Z,)`, or one for each code `(B, Z)`.
        strength: a number, or one for each code `(B,)`; 1 adds the full difference, negative values remove it.
    """
    strength = torch.as_tensor(strength, dtype=z.dtype, device=z.device)
    return z + strength[..., None] * vector.to(z)


def sweep(z: Tensor, vector: Tensor, strengths: Sequence[float]) -> Tensor:
    """Return codes `(S, B, Z)`: all of ``z`` `(B, Z)` at each of S strengths of ``vector`` `(Z,)`."""
    return torch.stack([apply(z, vector, strength) for strength in strengths])


def random_like(vector: Tensor, seed: int) -> Tensor:
    """Return vectors of the same lengths as `(..., Z)`, each in a random direction of its own, evenly over all."""
    direction = torch.randn(vector.shape, generator=torch.Generator().manual_seed(seed)).to(vector)
    return direction.mul(vector.norm(dim=-1, keepdim=True) / direction.norm(dim=-1, keepdim=True))


def _difference(z: Tensor, attributes: Tensor, sides: Tensor, names: Sequence[str]) -> Tensor:
    return torch.stack([z[side == 1].mean(0) - z[side == 0].mean(0) for side in sides.unbind(1)])


def _linear(z: Tensor, attributes: Tensor, sides: Tensor, names: Sequence[str]) -> Tensor:
    complete = ~attributes.isnan().any(1)
    if not complete.any():
        raise UserError("'linear' needs images without unknown attributes, and there are none; use another method")
    units = _difference(attributes.nan_to_num(), attributes, sides, names).diagonal()
    y, z = attributes[complete] / units, z[complete]
    for name, is_constant in zip(names, (y == y[0]).all(0).tolist(), strict=True):
        if is_constant:
            what = f"attribute {name!r} is the same for all {len(y)} images without unknown attributes"
            raise UserError(f"{what}, which 'linear' needs; leave it out or use another method")
    # The pseudo-inverse also takes attributes that depend on one another (one column per label): of all solutions
    # it gives the shortest. Both sides lose their means, as an intercept would be part of what is shortest.
    return torch.matmul(torch.linalg.pinv(y - y.mean(0)), z - z.mean(0))


def _balanced(z: Tensor, attributes: Tensor, sides: Tensor, names: Sequence[str]) -> Tensor:
    valid = ~attributes.isnan()
    mean = attributes.nanmean(0)
    deviation = torch.where(valid, attributes - mean, 0.0)
    scaled = deviation / (deviation.square().sum(0) / valid.sum(0)).sqrt()
    vectors = []
    for index, side in enumerate(sides.unbind(1)):
        others = torch.cat([scaled[:, :index], scaled[:, index + 1 :]], dim=1)
        groups = [(z[side == value], others[side == value]) for value in (0, 1)]
        target = torch.stack([group.mean(0) for _, group in groups]).mean(0)
        without, with_ = (balancing_weights(group - target) @ codes for codes, group in groups)
        vectors.append(with_ - without)
    return torch.stack(vectors)


def _orthogonalised(vectors: Tensor, names: Sequence[str]) -> Tensor:
    orthogonal = []
    for index, vector in enumerate(vectors):
        others = torch.cat([vectors[:index], vectors[index + 1 :]]).T
        rest = vector - others @ (torch.linalg.pinv(others) @ vector)
        if rest.norm() < 1e-3 * vector.norm():
            raise UserError(
                f"the vector of attribute {names[index]!r} is a linear combination of the others, as those of labels "
                "always are, so nothing of it would be left; do not orthogonalise"
            )
        orthogonal.append(rest)
    return torch.stack(orthogonal)


def balancing_weights(c: Tensor, ridge: float = 1e-3, num_steps: int = 50) -> Tensor:
    """Return the weights nearest to equal under which each column of `c` has mean 0: w_i ~ exp(lambda . c_i).

    Columns of `c` `(N, A)` have a size of about 1; the weights `(N,)` are positive and of sum 1.
    Nearest in entropy (Hainmueller 2012, "Entropy balancing for causal effects"). lambda minimises
    `log mean exp(lambda . c) + ridge/2 |lambda|^2`, which is convex, by Newton's method. The ridge keeps it finite
    where no weights exist (all values of a column on one side of 0): then the mean is as near to 0 as weights allow.
    """
    lam = c.new_zeros(c.shape[1])

    def value(lam: Tensor) -> Tensor:
        return (c @ lam).logsumexp(0) + 0.5 * ridge * lam.square().sum()

    for _ in range(num_steps):
        w = (c @ lam).softmax(0)
        mean = w @ c
        gradient = mean + ridge * lam
        if gradient.norm() < 1e-9:
            break
        hessian = (c * w[:, None]).T @ c - mean.outer(mean) + ridge * torch.ones_like(lam).diag()
        step = torch.linalg.solve(hessian, gradient)
        size = 1.0
        while value(lam - size * step) > value(lam) - 1e-4 * size * (gradient @ step) and size > 1e-6:
            size /= 2
        lam = lam - size * step
    return (c @ lam).softmax(0)


_METHODS = {"difference": _difference, "balanced": _balanced, "linear": _linear}
