"""A flow from noise to codes along almost straight lines: rectified flow, also called flow matching.

With y_0 ~ N(0, I), y_1 a whitened code and y_t = (1 - t) y_0 + t y_1, a small network v(y_t, t) learns the mean of
y_1 - y_0. Its ordinary differential equation dy/dt = v(y, t) carries N(0, I) at t = 0 to the codes at t = 1.
(Liu et al., arXiv:2209.03003, eq. 1; Lipman et al., arXiv:2210.02747, eq. 14 and 23.) Solved backwards it gives
log p(y_1) = log N(y_0; 0, I) - integral of div v dt (Chen et al., arXiv:1806.07366, eq. 8).
"""

import copy
import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from ..progress import paced
from .gaussian import Gaussian
from .prior import FittedPrior, Progress, choose, log_normal, under

_HIDDEN, _FREQUENCIES = 256, 16
_STEPS, _BATCH, _LR, _EMA = 8000, 512, 2e-3, 0.999
_SOLVER_STEPS = 24
_EXACT_UP_TO = 32  # dimensions in which a divergence is computed, not estimated


class Velocity(nn.Module):
    """v(y, t | label): `(B, Z)`, `(B,)`, int `(B,)` -> `(B, Z)`; without labels, `num_labels` 0, all are 0."""

    def __init__(self, latent_dim: int, num_labels: int = 0, hidden: int = _HIDDEN) -> None:
        super().__init__()
        self.label = nn.Embedding(max(1, num_labels), hidden)
        self.first = nn.Linear(latent_dim + 2 * _FREQUENCIES, hidden)
        self.inner = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(3))
        self.last = nn.Linear(hidden, latent_dim)
        nn.init.zeros_(self.label.weight)
        nn.init.zeros_(self.last.weight)

    def forward(self, y: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        """Return the velocity."""
        angles = t[:, None] * torch.linspace(0.0, math.log(30.0), _FREQUENCIES).exp()
        h = self.first(torch.cat([y, angles.cos(), angles.sin()], 1)) + self.label(labels)
        for layer in self.inner:
            h = h + layer(nn.functional.silu(h))
        out: Tensor = self.last(nn.functional.silu(h))
        return out


class Flow(FittedPrior):
    """A rectified flow in whitened codes, conditional on the label where there are labels.

    The velocity v has weights averaged over training; ``shares`` of labels is `(num_labels,)`, one of 1 without labels.
    """

    name = "flow"
    num_scored: ClassVar[int] = 500

    def __init__(self, whitening: Gaussian, velocity: Velocity, shares: Tensor, num_labels: int = 0) -> None:
        self.whitening, self.velocity, self.shares, self.num_labels = whitening, velocity, shares, num_labels
        self.latent_dim = whitening.latent_dim

    @classmethod
    def fit(
        cls,
        codes: Tensor,
        held_out: Tensor,
        *,
        seed: int,
        on_progress: Progress,
        labels: Tensor | None = None,
        num_labels: int = 0,
        steps: int = _STEPS,
    ) -> Self:
        """Train the network; arguments as `FittedPrior.fit`, and int labels `(N,)`, how many there are, and steps."""
        whitening = Gaussian.fit(codes, held_out, seed=seed, on_progress=on_progress)
        y = whitening.whiten(codes.float())
        labels = torch.zeros(len(y), dtype=torch.long) if labels is None else labels.long()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            velocity = Velocity(codes.shape[1], num_labels)
        averaged = _train(velocity, y, labels, torch.Generator().manual_seed(seed), steps, on_progress)
        shares = labels.bincount(minlength=max(1, num_labels)) / len(labels)
        return cls(whitening, averaged, shares, num_labels)

    @property
    def components(self) -> str:
        """How large the network is."""
        return f"{sum(p.numel() for p in self.velocity.parameters()):,} weights"

    def _draw(self, num: int, generator: torch.Generator, labels: Tensor | None) -> Tensor:
        if labels is None:
            labels = choose(self.shares, num, generator)
        y = torch.randn((num, self.latent_dim), generator=generator)
        labels, step = labels.long(), 1 / _SOLVER_STEPS
        with torch.no_grad():
            for i in range(_SOLVER_STEPS):  # by Heun's method, of second order
                t = torch.full((num,), i / _SOLVER_STEPS)
                slope = self.velocity(y, t, labels)
                y = y + 0.5 * step * (slope + self.velocity(y + step * slope, t + step, labels))
        return self.whitening.unwhiten(y)

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log p(z), `(B,)`: exact up to the solver's steps in few dimensions, an estimate in many."""
        y = self.whitening.whiten(z.double()).float()
        of_labels = [
            self._log_prob(y, torch.full((len(y),), label)) + math.log(share)
            for label, share in enumerate(self.shares.tolist())
            if share > 0
        ]
        return torch.stack(of_labels).logsumexp(0) + self.whitening.log_det

    def _log_prob(self, y: Tensor, labels: Tensor) -> Tensor:
        """Solve backwards by the midpoint rule, summing the divergences at the middle of each step."""
        step, total = 1 / _SOLVER_STEPS, torch.zeros(len(y), dtype=torch.float64)
        generator = torch.Generator().manual_seed(0)
        for i in reversed(range(_SOLVER_STEPS)):
            end = torch.full((len(y),), (i + 1) * step)
            with torch.no_grad():
                middle = y - 0.5 * step * self.velocity(y, end, labels)
            slope, divergence = self._divergence(middle, end - 0.5 * step, labels, generator)
            y, total = y - step * slope, total + step * divergence.double()
        return log_normal(y.double()) - total

    def _divergence(self, y: Tensor, t: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return v and div v, exact or by Hutchinson's estimator with signs (Grathwohl et al., arXiv:1810.01367)."""
        y = y.detach().requires_grad_()
        slope, dim = self.velocity(y, t, labels), y.shape[1]
        exact = dim <= _EXACT_UP_TO
        probes = (
            torch.eye(dim)[:, None].expand(dim, *y.shape)
            if exact
            else torch.randint(2, (4, *y.shape), generator=generator).float() * 2 - 1
        )
        terms = [
            (torch.autograd.grad(slope, y, probe, retain_graph=True)[0] * probe).sum(1).detach() for probe in probes
        ]
        return slope.detach(), torch.stack(terms).sum(0) / (1 if exact else len(probes))

    def tensors(self) -> dict[str, Tensor]:
        """Return the whitening's tensors, the network's, and the labels' shares."""
        network = {f"velocity.{name}": tensor for name, tensor in self.velocity.state_dict().items()}
        return {**self.whitening.tensors(), **network, "shares": self.shares}

    @classmethod
    def restore(cls, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> Self:
        """Return the flow of these tensors."""
        num_labels = int(description["num_labels"])
        state = under("velocity.", tensors)
        with torch.device("meta"):  # takes no memory, whatever the description says
            velocity = Velocity(int(description["latent_dim"]), num_labels, len(state["first.bias"]))
        velocity.load_state_dict(state, assign=True)
        return cls(Gaussian.restore(tensors, description), velocity.eval(), tensors["shares"], num_labels)


def _train(
    velocity: Velocity, y: Tensor, labels: Tensor, generator: torch.Generator, steps: int, on_progress: Progress
) -> Velocity:
    """Descend the mean of |v(y_t, t) - (y_1 - y_0)|^2; return the network with averaged weights."""
    averaged = copy.deepcopy(velocity).eval().requires_grad_(False)
    optimiser = torch.optim.Adam(velocity.parameters(), lr=_LR)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    period, total = max(1, steps // 4), 0.0
    for step in paced(range(1, steps + 1), steps, "fitting a flow"):
        chosen = torch.randint(len(y), (_BATCH,), generator=generator)
        y_0, y_1 = torch.randn((_BATCH, y.shape[1]), generator=generator), y[chosen]
        t = torch.rand(_BATCH, generator=generator)
        y_t = torch.lerp(y_0, y_1, t[:, None])
        loss = (velocity(y_t, t, labels[chosen]) - (y_1 - y_0)).square().sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        falling.step()
        decay = min(_EMA, step / (step + 10))
        with torch.no_grad():
            for mean, now in zip(averaged.parameters(), velocity.parameters(), strict=True):
                mean.lerp_(now, 1 - decay)
        total += loss.item()
        if step % period == 0:
            on_progress(f"{step} steps of {steps}: mean squared error {total / period:.2f}")
            total = 0.0
    return averaged
