"""The interface of objectives, and what they share: the noise of a step goes in, losses and gradients come out."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from .likelihoods import Likelihood

Autocast = Callable[[], AbstractContextManager[object]]
"""Makes the context that forward passes run in, such as one of mixed precision."""
Losses = dict[str, dict[str, Tensor]]
"""Part -> name -> scalar, nats per image; ``total`` is what the part descends."""
NUM_DRAWS = 12
"""Random numbers per image that `diff_augment` takes."""


@dataclass(frozen=True)
class Noise:
    """All randomness of one step on one process's share of the batch.

    Attributes:
        eps: N(0, I) for z = mu + exp(logvar / 2) * eps, (B, Z); of K > 1 draws of z (K, B, Z).
        z_p: codes from the prior N(0, I), (B, Z).
        uniform: U(0, 1) for the noise (0) and flips (1) of the targets of real, reconstruction and prior, (3, 2, B).
        seed: seed of whatever a network itself draws (dropout).
        augment: U(0, 1) for `diff_augment`, (NUM_DRAWS, B); None if there is none.
        transform: U(0, 1) for scale and angle of `code_losses.Equivariance`, the same for all images of all processes.
    """

    eps: Tensor
    z_p: Tensor
    uniform: Tensor
    seed: int
    augment: Tensor | None = None
    transform: tuple[float, float] = (0.5, 0.5)

    @staticmethod
    def draw(
        batch_size: int,
        latent_dim: int,
        *,
        seed: int,
        images: int,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | str = "cpu",
        draws: int = 1,
    ) -> "Noise":
        """Draw the noise of the step that starts after ``images`` images were seen.

        It is drawn for the whole batch and cut to the rank's share, so that an image's noise does not depend on
        the number of processes.

        Args:
            batch_size: images of the step over all processes, a multiple of ``world_size``.
            latent_dim: Z.
            seed: the run's seed.
            images: images seen before this step.
            rank: this process.
            world_size: number of processes.
            device: on which the tensors are drawn.
            draws: K, codes drawn for each image; the first are those of one draw.
        """
        state = np.random.SeedSequence((seed, images)).generate_state(2, np.uint64)
        generator = torch.Generator(device).manual_seed(int(state[0]) >> 1)
        codes = torch.randn(2, batch_size, latent_dim, generator=generator, device=device)
        uniform = torch.rand(3, 2, batch_size, generator=generator, device=device)
        augment = torch.rand(NUM_DRAWS, batch_size, generator=generator, device=device)
        eps = codes[0]
        if draws > 1:
            eps = torch.cat([codes[:1], torch.randn(draws - 1, *eps.shape, generator=generator, device=device)])
        share = slice(batch_size // world_size * rank, batch_size // world_size * (rank + 1))
        dropout_seed = int((state[1] >> np.uint64(1)) + np.uint64(rank)) % 2**62
        scale, angle = np.random.default_rng((seed, images, 5)).random(2).tolist()
        own = eps[..., share, :], codes[1, share], uniform[:, :, share], dropout_seed, augment[:, share]
        return Noise(*own, transform=(scale, angle))

    def cut(self, share: slice, index: int = 0) -> "Noise":
        """The noise of some images of the batch, its micro-batch ``index``; each of these has other dropout masks."""
        augment = None if self.augment is None else self.augment[:, share]
        seed, uniform = (self.seed + (index << 32)) % 2**62, self.uniform[:, :, share]
        eps, z_p = self.eps[..., share, :], self.z_p[share]
        return replace(self, eps=eps, z_p=z_p, uniform=uniform, seed=seed, augment=augment)


@dataclass
class StepResult:
    """Losses and gradients of one batch, all taken at the same parameters; no step has been made yet.

    Attributes:
        losses: part -> name -> scalar, nats per image.
        gradients: part -> one gradient per trainable parameter of that part, in the order of ``parameters()``; parts
            without any are left out, here and in ``losses``.
        routes: with ``record``, name -> scalar: the gradient norm of each loss on its own, at codes or images; mean
            logits and accuracies, whose names start with ``discriminator/``, and the weight ``decoder/balance``.
        real_sign: mean sign of Dis's logits of the real images, a scalar; None where no Dis is trained.
    """

    losses: Losses
    gradients: dict[str, list[Tensor]]
    routes: dict[str, Tensor] = field(default_factory=dict)
    real_sign: Tensor | None = None


class Objective(Protocol):
    """A batch -> losses and one gradient per part; what the training loop steps with."""

    parts: dict[str, nn.Module]
    """The parts by name; those without parameters that require a gradient are frozen."""

    def step(
        self, x: Tensor, noise: Noise, kl_factor: float = 1.0, *, c: Tensor | None = None, record: bool = False
    ) -> StepResult:
        """Losses and gradients of one batch ``x`` (B, C, H, W) in the network's range; steps no optimiser.

        ``c`` (B, A) are the conditions of conditional networks; None for others.
        """
        ...

    def evaluate(self, x: Tensor, noise: Noise, kl_factor: float = 1.0, *, c: Tensor | None = None) -> Losses:
        """The same losses on held-out images, without gradients; see `feature_discriminator.evaluation_mode`."""
        ...


def condition_args(c: Tensor | None) -> tuple[Tensor, ...]:
    """Further arguments of a network: the condition ``c`` (B, A), or nothing."""
    return () if c is None else (c,)


def trainable(module: nn.Module) -> list[nn.Parameter]:
    """Parameters of ``module`` that require a gradient, in the order of ``parameters()``."""
    return [p for p in module.parameters() if p.requires_grad]


def gradients_of(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    cotangents: Sequence[Tensor] | None = None,
    *,
    retain: bool = False,
) -> list[Tensor]:
    """`torch.autograd.grad`, with zeros for inputs that the outputs do not depend on; an empty list without inputs.

    Cotangents are rounded to the precision of their outputs.
    """
    if not inputs:
        return []
    if cotangents is not None:
        cotangents = [given.to(output.dtype) for given, output in zip(cotangents, outputs, strict=True)]
    return list(
        torch.autograd.grad(outputs, inputs, cotangents, retain_graph=retain, allow_unused=True, materialize_grads=True)
    )


def gradients_by_name(output: Tensor, inputs: Mapping[str, Sequence[Tensor]]) -> dict[str, list[Tensor]]:
    """`gradients_of` a scalar at inputs that have names."""
    of_all = iter(gradients_of([output], [each for some in inputs.values() for each in some]))
    return {name: [next(of_all) for _ in some] for name, some in inputs.items()}


def leaf(tensor: Tensor, is_needed: bool = True) -> Tensor:
    """Cut the graph: the same values as a new leaf that takes a gradient, if that is needed (and gradients are on)."""
    return tensor.detach().requires_grad_(is_needed and torch.is_grad_enabled())


def draws_random_numbers(module: nn.Module) -> bool:
    """Whether the module may draw random numbers: it has dropout, other layers that draw, or modules of others."""
    drawing = (nn.RReLU, nn.MultiheadAttention, nn.RNNBase, nn.FractionalMaxPool2d, nn.FractionalMaxPool3d)
    return any(
        type(m).__module__.partition(".")[0] not in ("torch", "vaegan")
        or isinstance(m, drawing)
        or (isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0)
        for m in module.modules()
    )


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Run a block with torch's global generator at ``seed``, and restore the generator afterwards."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


class ObjectiveOfParts:
    """What all objectives have: parts by name, the weights of each that are trained, and dropout masks.

    Beside ``networks``, a likelihood that has something to learn is a part, and so is the alignment of codes.
    """

    def __init__(
        self, networks: dict[str, nn.Module], likelihood: Likelihood | None = None, alignment: nn.Module | None = None
    ) -> None:
        self.parts = dict(networks)
        if isinstance(likelihood, nn.Module) and trainable(likelihood):
            self.parts["likelihood"] = likelihood
        if alignment is not None:
            self.parts["alignment"] = alignment
        self.weights = {name: trainable(part) for name, part in self.parts.items()}
        self._random = any(draws_random_numbers(part) for part in self.parts.values())

    def masks(self, noise: Noise, x: Tensor) -> AbstractContextManager[None]:
        """Make the context of a pass: the same masks in each of a step, as the same features are to be compared."""
        return seeded(noise.seed, x.device) if self._random else contextlib.nullcontext()
