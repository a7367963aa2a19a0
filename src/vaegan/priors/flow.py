"""A flow from noise to codes along almost straight lines: rectified flow, also called flow matching.

With y_0 ~ N(0, I), y_1 a whitened code and y_t = (1 - t) y_0 + t y_1, a small network v(y_t, t) learns the mean of
y_1 - y_0. Its ordinary differential equation dy/dt = v(y, t) carries N(0, I) at t = 0 to the codes at t = 1.
(Liu et al., arXiv:2209.03003, eq. 1; Lipman et al., arXiv:2210.02747, eq. 14 and 23.) Solved backwards it gives
log p(y_1) = log N(y_0; 0, I) - integral of div v dt (Chen et al., arXiv:1806.07366, eq. 8).
"""

import copy
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from ..errors import UserError
from ..progress import paced
from .gaussian import Gaussian
from .prior import FittedPrior, Progress, choose, log_normal, under
from .velocity import MapVelocity, Velocity

log = logging.getLogger("vaegan")
_Velocity = Velocity | MapVelocity

_STEPS, _BATCH, _LR, _EMA = 8000, 512, 2e-3, 0.999
_MAP_STEPS, _MAP_BATCH, _MAP_LR = 5000, 4096, 1e-3  # the batch in places of all maps, at most 64 maps
_UNLABELLED = 0.1  # share of maps whose label is left out in training
_SOLVER_STEPS, _MAP_SOLVER_STEPS = 24, 12
_EXACT_UP_TO = 32  # dimensions in which a divergence is computed, not estimated
_CHECKED, _MEMORISED = 256, 1.1  # codes, and the ratio of errors, for whether a flow over maps memorises
_MOST_WHITENED, _MOST_AT_ONCE = 2**22, 2**16  # numbers of all maps together


class Flow(FittedPrior):
    """A rectified flow in whitened codes, conditional on the label where there are labels.

    The velocity v has weights averaged over training; ``shares`` of labels is `(num_labels,)`, one of 1 without labels.
    Of codes that are maps, the channels of each place are whitened, all places alike. A draw takes ``solver_steps``,
    each of two velocities; with ``guidance`` w these are v(y, t) + w (v(y, t | label) - v(y, t)).
    """

    name = "flow"
    num_scored: ClassVar[int] = 500

    def __init__(self, whitening: Gaussian, velocity: _Velocity, shares: Tensor, num_labels: int = 0) -> None:
        self.whitening, self.velocity, self.shares, self.num_labels = whitening, velocity, shares, num_labels
        self.code_shape = velocity.code_shape if isinstance(velocity, MapVelocity) else ()
        self.latent_dim = math.prod(self.code_shape) if self.code_shape else whitening.latent_dim
        self.solver_steps = _MAP_SOLVER_STEPS if self.code_shape else _SOLVER_STEPS

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
        steps: int | None = None,
        code_shape: Sequence[int] = (),
        device: str | torch.device = "cpu",
    ) -> Self:
        """Train the network; arguments as `FittedPrior.fit`, and int labels `(N,)`, how many there are, training steps.

        A flow over maps has a code_shape (C, h, w), and trains its network on the device.
        """
        labels = torch.zeros(len(codes), dtype=torch.long) if labels is None else labels.long()
        of_maps = len(code_shape) == 3  # custom networks may have others
        velocity: _Velocity
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            velocity = MapVelocity(code_shape, num_labels) if of_maps else Velocity(codes.shape[1], num_labels)
        some = codes[: max(2, _MOST_WHITENED // codes.shape[1])]
        whitening = Gaussian.of(some.reshape(len(some), code_shape[0], -1).mT.flatten(0, 1) if of_maps else codes)
        shares = labels.bincount(minlength=max(1, num_labels)) / len(labels)
        flow = cls(whitening, velocity, shares, num_labels)
        on_progress(f"{flow.components}, {len(codes):,} codes")
        y = flow._at_places(whitening.whiten, codes.float())
        flow._train(y, labels, seed, steps, device, on_progress)
        if of_maps and (unseen := flow._error(held_out)) > _MEMORISED * (seen := flow._error(codes)):
            what = f"the flow memorises codes: error {seen:.3f}, of held-out codes {unseen:.3f}"
            log.warning("%s; use more images, or fewer steps (--flow-steps)", what)
        return flow

    @torch.enable_grad()
    def _train(
        self, y: Tensor, labels: Tensor, seed: int, steps: int | None, device: str | torch.device, on_progress: Progress
    ) -> None:
        """Descend the mean of |v(y_t, t) - (y_1 - y_0)|^2; the weights are then the averaged ones."""
        generator, velocity = torch.Generator().manual_seed(seed), self.velocity
        most, batch, rate = _STEPS, _BATCH, _LR
        if isinstance(velocity, MapVelocity):
            most, batch, rate = _MAP_STEPS, max(8, min(64, _MAP_BATCH // velocity.places)), _MAP_LR
            velocity.to(device)
        steps = steps or most
        averaged = copy.deepcopy(velocity).eval().requires_grad_(False)
        optimiser = torch.optim.Adam(velocity.parameters(), lr=rate, fused=True)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        period, total = max(1, steps // 4), 0.0
        for step in paced(range(1, steps + 1), steps, "fitting a flow"):
            chosen = torch.randint(len(y), (batch,), generator=generator)
            y_0, y_1 = torch.randn((batch, y.shape[1]), generator=generator), y[chosen]
            t, c = torch.rand(batch, generator=generator), labels[chosen]
            if self.code_shape:
                c[torch.rand(batch, generator=generator) < _UNLABELLED] = self.num_labels
                y_0, y_1, t, c = (each.to(device) for each in (y_0, y_1, t, c))
            y_t = torch.lerp(y_0, y_1, t[:, None])
            loss = (velocity(y_t, t, c) - (y_1 - y_0)).square().sum(1).mean()
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
                on_progress(f"{step} steps of {steps}: mean squared error {total / period / y.shape[1]:.3f}")
                total = 0.0
        self.velocity = averaged.cpu()

    @torch.no_grad()
    def _error(self, codes: Tensor) -> float:
        """Return the mean squared error of v, at times and noise that are always the same."""
        y_1 = self._at_places(self.whitening.whiten, codes[:_CHECKED])
        y_0 = torch.randn(y_1.shape, generator=torch.Generator().manual_seed(0))
        t = (torch.arange(len(y_1)) + 0.5) / len(y_1)
        label = self.num_labels if self.code_shape else 0  # over maps that of no label
        v = self.velocity(torch.lerp(y_0, y_1, t[:, None]), t, torch.full((len(y_1),), label))
        return float((v - (y_1 - y_0)).square().mean())

    @property
    def components(self) -> str:
        """How large the network is, and the guidance if there is any."""
        size = f"{sum(p.numel() for p in self.velocity.parameters()):,} weights"
        return size if self.guidance == 1.0 else f"{size}, guidance {self.guidance:g}"

    def set_solver(self, steps: int | None = None, guidance: float | None = None) -> None:
        """Set the solver's steps, and classifier-free guidance (Ho and Salimans, arXiv:2207.12598), which is saved.

        Above 1, draws follow their labels more closely and differ less. UserError if training never left out labels,
        there is no step, or the guidance is not finite.
        """
        if guidance is not None and not self.code_shape:
            raise UserError("--guidance is for codes that are maps, and those of this flow are vectors; leave it out")
        if guidance is not None and not self.num_labels:
            raise UserError("--guidance needs a flow by label: vaegan priors RUN --priors flow --by-label")
        if steps is not None and steps < 1:
            raise UserError(f"a flow is solved in at least 1 step, not {steps}")
        if guidance is not None and not math.isfinite(guidance):
            raise UserError(f"guidance must be a finite number, not {guidance}")
        self.solver_steps = self.solver_steps if steps is None else steps
        self.guidance = self.guidance if guidance is None else guidance

    def _draw(self, num: int, generator: torch.Generator, labels: Tensor | None) -> Tensor:
        if labels is None:
            labels = choose(self.shares, num, generator)
        y, labels = torch.randn((num, self.latent_dim), generator=generator), labels.long()
        at_once = max(1, _MOST_AT_ONCE // self.latent_dim) if self.code_shape else max(1, num)
        parts = list(zip(torch.split(y, at_once), torch.split(labels, at_once), strict=True))
        y = torch.cat([self._solved(*part) for part in paced(parts, len(parts), "drawing codes")])
        return self._at_places(self.whitening.unwhiten, y)

    @torch.no_grad()
    def _solved(self, y: Tensor, labels: Tensor) -> Tensor:
        """Carry y from t = 0 to 1 by Heun's method, of second order."""
        step = 1 / self.solver_steps
        for i in range(self.solver_steps):
            t = torch.full((len(y),), i / self.solver_steps)
            slope = self._guided(y, t, labels)
            y = y + 0.5 * step * (slope + self._guided(y + step * slope, t + step, labels))
        return y

    def _guided(self, y: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        v: Tensor = self.velocity(y, t, labels)
        if self.guidance == 1.0:
            return v
        return torch.lerp(self.velocity(y, t, torch.full_like(labels, self.num_labels)), v, self.guidance)

    def _at_places(self, change: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
        """Return changed codes `(B, Z)`; of maps it changes the channels of each place."""
        if not self.code_shape:
            return change(z)
        channels = self.code_shape[0]
        return change(z.reshape(len(z), channels, self.latent_dim // channels).mT).mT.flatten(1)

    def is_sound(self) -> bool:
        """Return whether the velocity is finite: densities take long, of maps a minute."""
        return math.isfinite(self._error(torch.zeros(2, self.latent_dim)))

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log p(z), `(B,)`: exact up to the solver's steps in few dimensions, an estimate in many; no guidance.

        Over maps each takes a second or more.
        """
        y = self._at_places(self.whitening.whiten, z.double()).float()
        of_labels = [
            self._log_prob(y, torch.full((len(y),), label)) + math.log(share)
            for label, share in enumerate(self.shares.tolist())
            if share > 0
        ]
        log_det = self.whitening.log_det * (self.latent_dim // self.whitening.latent_dim)
        return torch.stack(of_labels).logsumexp(0) + log_det

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

    @torch.enable_grad()
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
        """Return the whitening's tensors, the network's, the labels' shares, and the guidance if there is any."""
        network = {f"velocity.{name}": tensor for name, tensor in self.velocity.state_dict().items()}
        guidance = {} if self.guidance == 1.0 else {"guidance": torch.tensor(self.guidance)}
        return {**self.whitening.tensors(), **network, "shares": self.shares, **guidance}

    def description(self) -> dict[str, Any]:
        """Return it with the shape of maps."""
        return {**super().description(), **({"code_shape": list(self.code_shape)} if self.code_shape else {})}

    @classmethod
    def restore(cls, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> Self:
        """Return the flow of these tensors; without a code_shape, as in older files, it is one over vectors."""
        num_labels, dim = int(description["num_labels"]), int(description["latent_dim"])
        state, shape = under("velocity.", tensors), description.get("code_shape")
        velocity: _Velocity
        with torch.device("meta"):  # takes no memory, whatever the description says
            if shape is None:
                velocity = Velocity(dim, num_labels, len(state["first.bias"]))
            else:
                velocity, dim = MapVelocity(shape, num_labels, len(state["input.bias"])), shape[0]
        velocity.load_state_dict(state, assign=True)
        velocity.eval().requires_grad_(False)  # as fitted: the last bits depend on it
        whitening = Gaussian.restore(tensors, {"latent_dim": dim})
        flow = cls(whitening, velocity, tensors["shares"], num_labels)
        if "guidance" in tensors:
            flow.set_solver(guidance=float(tensors["guidance"]))
        return flow
