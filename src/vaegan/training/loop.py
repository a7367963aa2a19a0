"""The training loop: one forward pass, the gradients of all parts, then all steps; counted in images seen.

The loop is a generator that yields a `Record` after each step; logging, pictures and checkpoints live outside of it.
All its randomness comes from the seed and the images seen, so its state is weights, optimisers, averages and a few
numbers.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..distributed import World
from ..errors import UserError, one_of
from ..objectives import Noise, Objective, trainable
from ..objectives.balance import BalanceGate
from ..objectives.diff_augment import AdaptiveProbability, DiscriminatorAugment
from ..objectives.feature_discriminator import frozen, r1_gradients
from ..objectives.interface import Autocast, Losses, StepResult
from ..objectives.micro_batches import accumulated_step, micro_batches
from ..pixels import BYTES, ImageRange, PixelFormat
from ..schedules import KL_SCHEDULES, LR_SCHEDULES, Cadence, KLContext, Plateau, kl_factor, lr_factor
from .optimisers import Averages, assign_gradients, clip_gradients, laid_out


class NotFiniteError(ArithmeticError):
    """A loss or a gradient is not a finite number.

    Attributes:
        step: number of the step, from 1.
        part: name of the part.
        what: ``loss``, ``gradient`` or ``norm of the weights``.
    """

    def __init__(self, step: int, part: str, what: str) -> None:
        super().__init__(f"the {what} of the {part} is not finite at step {step}")
        self.step, self.part, self.what = step, part, what


@dataclass(frozen=True)
class Record:
    """The result of one step.

    Attributes:
        images: images seen, this step's included.
        steps: steps made, this one included.
        epoch: images seen over images of the training set.
        losses: part -> name -> scalar, nats per image, means over all processes.
        gradients: part -> norm of its gradient before clipping.
        routes: gradient norms of single losses and mean logits, where recorded.
        skipped: parts that the balance gate froze.
        applied: part -> the gradient that its optimiser got, a tensor per weight; empty unless requested.
    """

    images: int
    steps: int
    epoch: float
    losses: Losses
    gradients: dict[str, Tensor]
    routes: dict[str, Tensor]
    skipped: frozenset[str]
    applied: dict[str, list[Tensor]] = field(default_factory=dict)


@dataclass(frozen=True)
class Phase:
    """Steps at the start of a run, up to an end, with an objective of their own.

    Attributes:
        name: what is trained, a key of `settings.PHASES`.
        end: images seen when it is over.
        objective: on parts of the same names and weights as the run's.
        still: parts that are frozen in its steps.
    """

    name: str
    end: int
    objective: Objective
    still: Sequence[nn.Module] = ()


@dataclass(frozen=True)
class LoopSettings:
    """Numbers of the loop, named as in the settings.

    Attributes:
        batch_size: images per step over all processes.
        total_images: where the run ends.
        epoch_images: images of the training set.
        latent_dim: Z.
        image_range: values of black and white inside the networks.
        pixels: type and range of images that are integers.
        seed: of all randomness.
        lr: part -> learning rate that the schedule starts from; of a part not named, that of its optimiser.
        draws: codes drawn for each image.
        accumulate: micro-batches in which each process computes its share of a batch; see `micro_batches`.

    Raises:
        UserError: if a number is too small, a schedule is unknown, or there are more micro-batches than images.
    """

    batch_size: int
    total_images: int
    epoch_images: int
    latent_dim: int
    image_range: tuple[float, float] = (0.0, 1.0)
    pixels: PixelFormat = BYTES
    seed: int = 0
    lr: dict[str, float] = field(default_factory=dict)
    lr_schedule: str = "constant"
    final_lr_factor: float = 0.0
    warmup_images: int = 0
    kl_schedule: str = "constant"
    kl_epochs: float = 10.0
    clip: float | None = None
    r1_weight: float = 0.0
    r1_every: int = 16
    accumulate: int = 1
    draws: int = 1

    def __post_init__(self) -> None:
        one_of("lr_schedule", self.lr_schedule, LR_SCHEDULES)
        one_of("kl_schedule", self.kl_schedule, KL_SCHEDULES)
        for name in ("batch_size", "epoch_images", "latent_dim", "r1_every", "accumulate", "draws"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.kl_epochs <= 0:
            raise UserError(f"kl_epochs must be above 0, not {self.kl_epochs}")
        if self.accumulate > self.batch_size:
            raise UserError(f"a batch of {self.batch_size} images cannot be cut into {self.accumulate} micro-batches")


class Trainer:
    """Everything that changes in a training.

    Args:
        objective: a batch -> losses and gradients.
        optimisers: part -> optimiser of its trainable parameters.
        batches: images seen -> this process's batch, integers (B, H, W, C) or float (B, C, H, W) in [0, 1].
        settings: numbers.
        device: where the networks are.
        world: the processes that train together.
        averages: averaged weights to update, if any.
        gate: balance gate, if any.
        plateau: factors on the rates, if any; its owner updates it by held-out losses.
        augment: augmentation before the objective's discriminator, if any, for the R1 penalty.
        adaptive: adapts the probability of ``augment``, if any.
        phases: phases before ``objective`` is trained, in order.
        autocast: context of forward passes, for the R1 penalty.
        conditions: images seen -> conditions (b, A) of the images in this process's batch, for conditional networks.

    Raises:
        UserError: if a part that is trained has no optimiser.
    """

    def __init__(
        self,
        objective: Objective,
        optimisers: dict[str, torch.optim.Optimizer],
        batches: Callable[[int], Tensor],
        settings: LoopSettings,
        *,
        device: torch.device | str = "cpu",
        world: World | None = None,
        averages: Averages | None = None,
        gate: BalanceGate | None = None,
        plateau: Plateau | None = None,
        augment: DiscriminatorAugment | None = None,
        adaptive: AdaptiveProbability | None = None,
        phases: Sequence[Phase] = (),
        autocast: Autocast = contextlib.nullcontext,
        conditions: Callable[[int], Tensor] | None = None,
    ) -> None:
        self.weights = {name: trainable(part) for name, part in objective.parts.items()}
        if missing := [part for part, weights in self.weights.items() if weights and part not in optimisers]:
            raise UserError(f"no optimiser for the {' and the '.join(missing)}; give each part its own")
        self.objective, self.optimisers, self.batches, self.settings = objective, optimisers, batches, settings
        self.device, self.world = torch.device(device), world or World()
        self.averages, self.gate, self.plateau, self.autocast = averages, gate, plateau, autocast
        self.augment, self.adaptive = augment, adaptive
        self.phases, self.conditions = list(phases), conditions
        self._rates = {
            part: [settings.lr.get(part, group["lr"]) for group in optimiser.param_groups]
            for part, optimiser in optimisers.items()
        }
        self.images, self.steps, self.lr_scale = 0, 0, 1.0
        self._r1 = Cadence(settings.r1_every)
        # Reading the numbers of a step makes a GPU wait, so there those of several steps are read together.
        self._checks = Cadence(1 if self.device.type == "cpu" else 20)
        self._unchecked: list[tuple[int, str, str, Tensor]] = []

    def run(
        self,
        record_when: Callable[[int], bool] = lambda images: True,
        keep_when: Callable[[int], bool] = lambda images: False,
    ) -> Iterator[Record]:
        """Step until the run's end, yielding a record after each step.

        Args:
            record_when: whether to measure single routes in the step after which so many images are seen.
            keep_when: whether to hand out the gradients of that step.

        Raises:
            NotFiniteError: if a loss or gradient is not finite.
        """
        while self.images < self.settings.total_images:
            end = self.images + self.settings.batch_size
            yield self.step(record=record_when(end), keep=keep_when(end))
        self.check_finite()

    @property
    def current(self) -> Objective:
        """The objective of the next step."""
        phase = self.phase(self.images)
        return self.objective if phase is None else phase.objective

    def phase(self, images: int) -> Phase | None:
        """The phase of the step after this many images; None once ``objective`` is trained."""
        return next((phase for phase in self.phases if images < phase.end), None)

    def pretrains(self, images: int) -> bool:
        """Whether the step after this many images is one of pre-training."""
        return (phase := self.phase(images)) is not None and phase.name == "ae"

    def step(self, *, record: bool = False, keep: bool = False) -> Record:
        """One step of all parts; ``record`` measures each loss's gradient norm, ``keep`` returns the gradients.

        UserError if the batch is not one of `LoopSettings.batch_size` images over all processes.
        """
        s = self.settings
        x = self.network_range(self.batches(self.images))
        if len(x) * self.world.size != s.batch_size:
            own = s.batch_size // self.world.size
            raise UserError(
                f"the batch has {len(x)} images, not {own}: batch_size is {s.batch_size}; change one of them"
            )
        c = None if self.conditions is None else self.conditions(self.images).to(self.device, non_blocking=True)
        noise = Noise.draw(
            s.batch_size,
            s.latent_dim,
            seed=s.seed,
            images=self.images,
            rank=self.world.rank,
            world_size=self.world.size,
            device=self.device,
            draws=s.draws,
        )
        phase = self.phase(self.images)
        with frozen(*(phase.still if phase else ())):
            result = accumulated_step(self.current, s.accumulate, x, noise, self.kl_factor(), c, record=record)
        if s.r1_weight and "discriminator" in result.gradients and self._r1.due(self.steps):
            self._add_r1(result, x, c, noise)
        self._adapt(result, record=record)
        norms, gradients = {}, {}
        for part, of_part in result.gradients.items():
            of_part = laid_out(self.weights[part], of_part)
            # One flat all-reduce per part, its losses carried along.
            self.world.average_([*of_part, *result.losses.get(part, {}).values()])
            norms[part], gradients[part] = clip_gradients(of_part, s.clip)
            if part in result.losses:
                self._unchecked.append((self.steps + 1, part, "loss", result.losses[part]["total"]))
            self._unchecked.append((self.steps + 1, part, "gradient", norms[part]))
        if self._checks.due(self.steps + 1):
            self.check_finite()
        plays = "discriminator" in result.losses and phase is None
        skipped = self.gate.skipped_parts(result.losses) if self.gate and plays else set()
        self._step_optimisers({part: g for part, g in gradients.items() if part not in skipped})
        self.images += s.batch_size
        self.steps += 1
        if self.averages:
            self.averages.update(self.steps)
        epoch = self.images / s.epoch_images
        applied = gradients if keep else {}
        return Record(self.images, self.steps, epoch, result.losses, norms, result.routes, frozenset(skipped), applied)

    def network_range(self, batch: Tensor) -> Tensor:
        """Move integers (B, H, W, C) or float (B, C, H, W) in [0, 1] to the device, as float in the network's range."""
        x, image_range = batch.to(self.device, non_blocking=True), ImageRange(*self.settings.image_range)
        return image_range.from_unit(x) if x.is_floating_point() else image_range.from_bytes(x, self.settings.pixels)

    def kl_factor(self) -> float:
        """The factor of the KL schedule on its weight now."""
        s = self.settings
        context = KLContext(self.images / s.epoch_images, s.kl_epochs, s.batch_size, s.latent_dim)
        return kl_factor(s.kl_schedule, context)

    def check_finite(self) -> None:
        """Check losses and gradient norms since the last check; NotFiniteError names the first not finite."""
        if not self._unchecked:
            return
        finite = torch.isfinite(torch.stack([value.detach().float() for *_, value in self._unchecked])).tolist()
        checked, self._unchecked = self._unchecked, []
        for (step, part, what, _), good in zip(checked, finite, strict=True):
            if not good:
                raise NotFiniteError(step, part, what)

    def check_weights(self) -> None:
        """Check all weights: after a step that is far too long they diverge before any loss shows it."""
        for part, norm in self.weight_norms().items():
            if not norm.isfinite():
                raise NotFiniteError(self.steps, part, "norm of the weights")

    def weight_norms(self) -> dict[str, Tensor]:
        """Norm of all weights of each part that is trained."""
        return {
            part: torch.linalg.vector_norm(torch.stack(torch._foreach_norm([w.detach() for w in weights])))
            for part, weights in self.weights.items()
            if weights
        }

    def state(self) -> dict[str, Any]:
        """All that is needed to resume from here, as plain data and tensors on the CPU; a copy."""
        state = {
            "images": self.images,
            "steps": self.steps,
            "lr_scale": self.lr_scale,
            "seed": self.settings.seed,
            "parts": {name: part.state_dict() for name, part in self.objective.parts.items()},
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
            "averages": {} if not self.averages else {n: p.state_dict() for n, p in self.averages.parts.items()},
            "plateau": self.plateau.state() if self.plateau else {},
            "adaptive": self.adaptive.state() if self.adaptive else {},
        }
        return dict(_copied(state))

    def restore(self, state: dict[str, Any]) -> None:
        """Return to a `state`; ValueError, or another error of a wrong key, type or shape, if it does not fit."""
        self.images, self.steps, self.lr_scale = int(state["images"]), int(state["steps"]), float(state["lr_scale"])
        self._unchecked = []
        for name, part in self.objective.parts.items():
            part.load_state_dict(state["parts"][name])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(_copied(state["optimisers"][name]))  # it takes tensors over, not copies
            for weight, values in optimiser.state.items():
                if any(isinstance(v, Tensor) and v.dim() and v.shape != weight.shape for v in values.values()):
                    raise ValueError(f"the optimiser of the {name} has tensors of other shapes")
        if self.averages:
            for name, part in self.averages.parts.items():
                part.load_state_dict(state["averages"][name])
        if self.plateau:
            self.plateau.restore(state["plateau"])
        if self.adaptive and state.get("adaptive"):  # not in checkpoints of earlier versions
            self.adaptive.restore(state["adaptive"])

    def average_buffers(self) -> None:
        """Replace running statistics by their means over all processes."""
        averaged = self.averages.parts.values() if self.averages else ()
        for part in (*self.objective.parts.values(), *averaged):
            self.world.average_([b for b in part.buffers() if b.is_floating_point()])

    def _adapt(self, result: StepResult, *, record: bool) -> None:
        """Adapt the probability of augmentation to the signs of logits of real images, the same in all processes."""
        if self.adaptive is None or result.real_sign is None:
            return
        sign = result.real_sign.clone()
        self.world.average_([sign])
        self.adaptive.update(sign, self.settings.batch_size)
        if record:
            result.routes["discriminator/told"] = sign
            result.routes["discriminator/augmented"] = self.adaptive.p.float()

    def _add_r1(self, result: StepResult, x: Tensor, c: Tensor | None, noise: Noise) -> None:
        s = self.settings
        discriminator: nn.Module = self.objective.parts["discriminator"]
        for share, of_x, of_noise, of_c in micro_batches(s.accumulate, x, noise, c):
            if self.augment is not None and of_noise.augment is not None:
                of_x = self.augment(of_x, of_noise.augment)
            weight, seed = share * s.r1_weight * s.r1_every, of_noise.seed
            penalty, extra = r1_gradients(discriminator, of_x, weight, autocast=self.autocast, seed=seed, c=of_c)
            gradients = result.gradients["discriminator"]
            result.gradients["discriminator"] = [a + b for a, b in zip(gradients, extra, strict=True)]
            result.routes["discriminator/r1"] = share * penalty + result.routes.get("discriminator/r1", 0.0)

    def _step_optimisers(self, gradients: dict[str, list[Tensor]]) -> None:
        s = self.settings
        factor = self.lr_scale * lr_factor(
            s.lr_schedule, self.images, s.total_images, final=s.final_lr_factor, warmup=s.warmup_images
        )
        for part, of_part in gradients.items():
            optimiser = self.optimisers[part]
            own = factor * self.plateau.factor_of(part) if self.plateau else factor
            for group, rate in zip(optimiser.param_groups, self._rates[part], strict=True):
                group["lr"] = rate * own
            assign_gradients(self.weights[part], of_part)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)


def _copied(state: Any) -> Any:
    """Copy nested plain data and tensors; tensors come to the CPU."""
    if isinstance(state, Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {name: _copied(value) for name, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(_copied(value) for value in state)
    return state
