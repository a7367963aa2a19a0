"""The interface of priors over codes (fit, sample, log-density, save), and N(0, I), the prior of training."""

import abc
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from ..errors import UserError

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Score:
    """Mean log-likelihood of held-out codes."""

    mean: float  # nats per code
    half_width: float  # of the 95 % interval of the mean (normal approximation), nats per code
    num: int  # held-out codes

    @classmethod
    def of(cls, log_prob: Tensor) -> "Score":
        """Return the score of log-likelihoods `(B,)`; of less than two codes the interval is infinite."""
        num = len(log_prob)
        half = 1.96 * float(log_prob.double().std()) / num**0.5 if num > 1 else float("inf")
        return cls(float(log_prob.double().mean()), half, num)

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± {self.half_width:.2f}"


class Prior(abc.ABC):
    """A distribution p(z), or p(z|label), over codes `(Z,)`.

    Attributes:
        name: by which it is chosen.
        latent_dim: Z.
        num_labels: number of labels of p(z|label); 0 for an unconditional prior.
        code_shape: (C, h, w) of a prior of maps, which is not scored; empty if codes are vectors to it.
        guidance: of draws towards their labels, see `Flow.set_solver`; 1 is none.
        score: held-out log-likelihood, if it was fitted to vectors.
        seconds: duration of the fit, in the session that fitted it.
    """

    name: str
    latent_dim: int
    num_labels: int = 0
    code_shape: tuple[int, ...] = ()
    guidance: float = 1.0
    score: Score | None = None
    seconds: float | None = None

    def sample(self, num: int, *, seed: int | None, labels: Tensor | Sequence[int] | None = None) -> Tensor:
        """Draw codes, float32 `(num, Z)` on the CPU.

        Args:
            num: number of codes.
            seed: the same seed gives the same codes; taken from torch's global generator if None.
            labels: int `(num,)`, the label of each, also a list or an array; None for a draw over all labels.

        Raises:
            UserError: if this prior has no such labels, or ``num`` is negative.
        """
        if num < 0:
            raise UserError(f"the number of codes must be at least 0, not {num}")
        if labels is not None:
            labels = torch.as_tensor(labels).cpu()
            self._check_labels(num, labels)
        return self._draw(num, seeded(seed), labels)

    @abc.abstractmethod
    def _draw(self, num: int, generator: torch.Generator, labels: Tensor | None) -> Tensor:
        """Draw codes `(num, Z)`; labels are already checked."""

    @abc.abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """Return log p(z) in nats, float64 `(B,)`, of codes `(B, Z)`."""

    def set_solver(self, steps: int | None = None, guidance: float | None = None) -> None:
        """Set steps and guidance of a flow's draws; UserError, as this is no flow."""
        raise UserError(
            f"--steps and --guidance apply only to a flow, not to the prior '{self.name}'; use --prior flow"
        )

    def is_sound(self) -> bool:
        """Return whether draws have a finite density; errors if tensors do not fit."""
        return bool(self.log_prob(self.sample(2, seed=0)).isfinite().all())

    @property
    def components(self) -> str:
        """Its size as text, such as the number of components; empty if it has none."""
        return ""

    @abc.abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Return all fitted tensors, by name."""

    def description(self) -> dict[str, Any]:
        """Return what `restore` needs besides the tensors, JSON-able."""
        return {
            "kind": self.name,
            "latent_dim": self.latent_dim,
            "num_labels": self.num_labels,
            "score": None if self.score is None else asdict(self.score),
        }

    def _check_labels(self, num: int, labels: Tensor) -> None:
        if not self.num_labels:
            raise UserError(f"the prior '{self.name}' was fitted without labels; fit it again with labels")
        if labels.shape != (num,) or labels.is_floating_point():
            raise UserError(f"labels must be whole numbers ({num},), one for each code, not {tuple(labels.shape)}")
        if num and not 0 <= int(labels.min()) <= int(labels.max()) < self.num_labels:
            raise UserError(f"labels must lie in 0 to {self.num_labels - 1}")


class FittedPrior(Prior):
    """A prior fitted to codes without labels (see `ByLabel`), scored by at most ``num_scored`` held-out codes."""

    num_scored: ClassVar[int] = 10_000

    @classmethod
    @abc.abstractmethod
    def fit(cls, codes: Tensor, held_out: Tensor, *, seed: int, on_progress: Progress) -> Self:
        """Fit to codes.

        Args:
            codes: float `(N, Z)`, N at least 2.
            held_out: float `(M, Z)`, for choosing the size of the model.
            seed: of all random choices.
            on_progress: called with a short text at each stage.
        """

    @classmethod
    @abc.abstractmethod
    def restore(cls, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> Self:
        """Return the prior of these tensors and this description, without its score.

        Raises KeyError, ValueError or RuntimeError if they do not fit.
        """


class Normal(FittedPrior):
    """The prior of training: N(0, I) over Z = ``latent_dim`` dimensions; labels have no effect."""

    name = "normal"

    def __init__(self, latent_dim: int) -> None:
        self.latent_dim = latent_dim

    @classmethod
    def fit(cls, codes: Tensor, held_out: Tensor, *, seed: int, on_progress: Progress) -> Self:
        """Return N(0, I) of the codes' dimension."""
        return cls(codes.shape[1])

    def _draw(self, num: int, generator: torch.Generator, labels: Tensor | None) -> Tensor:
        return torch.randn((num, self.latent_dim), generator=generator)

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log N(z; 0, I), `(B,)`."""
        return log_normal(z.double())

    def _check_labels(self, num: int, labels: Tensor) -> None:
        """Accept any: p(z|label) = p(z)."""

    def tensors(self) -> dict[str, Tensor]:
        """Return nothing."""
        return {}

    @classmethod
    def restore(cls, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> Self:
        """Return N(0, I)."""
        return cls(int(description["latent_dim"]))


def choose(shares: Tensor, num: int, generator: torch.Generator) -> Tensor:
    """Draw int64 `(num,)`, indices into `(K,)`, each with probability proportional to its entry."""
    bounds = shares.double().cumsum(0)
    drawn = torch.rand(num, generator=generator, dtype=torch.float64) * bounds[-1]
    return torch.searchsorted(bounds, drawn, right=True).clamp(max=len(shares) - 1)


def seeded(seed: int | None) -> torch.Generator:
    """Return a generator on the CPU; its seed is taken from torch's global generator if None."""
    return torch.Generator().manual_seed(int(torch.randint(2**31, ()) if seed is None else seed))


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names start with a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def log_normal(y: Tensor) -> Tensor:
    """Return log N(y; 0, I), `(B,)`, of `(B, D)`."""
    return -0.5 * y.square().sum(1) - 0.5 * y.shape[1] * math.log(2 * math.pi)
