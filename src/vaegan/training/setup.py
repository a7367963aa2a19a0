"""From settings and data to what trains: settings without 'auto', the model, the trainer on its parts.

What is left to 'auto' is decided here once, by the first process for all, and is the same when the run goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ..config import Config
from ..data import ImageData, open_data
from ..data.conditions import conditioning_of
from ..distributed import World
from ..models import Model
from ..networks.sync_norm import synchronise_batch_norms
from ..objectives import Objective
from ..objectives.diff_augment import DiscriminatorAugment
from ..objectives.perceptual import Layers
from .device import autocast_for, choose_form, copies, describe_device, layout_of
from .factories import (
    build_adaptive,
    build_augment,
    build_batches,
    build_conditions,
    build_gate,
    build_model,
    build_objective,
    build_optimisers,
    build_plateau,
    build_pretraining,
    check_batch_norm,
    loop_settings,
    open_perceptual,
)
from .loop import Trainer
from .optimisers import Averages

RECORDS_PER_SNAPSHOT = 50


@dataclass(frozen=True)
class Assembled:
    """What trains.

    Attributes:
        config: settings, nothing left to 'auto' but the device.
        data: images to train on and held out.
        model: the model whose weights are trained.
        trainer: of its parts.
        shown: the model that is shown and saved: with averaged weights, if there are any, else ``model``.
    """

    config: Config
    data: ImageData
    model: Model
    trainer: Trainer
    shown: Model


def assemble(config: Config, before: Config | None, world: World, device: torch.device) -> Assembled:
    """Open the data and build what trains on it.

    Args:
        config: settings.
        before: settings of the run that goes on, if one does.
        world: the processes that train together.
        device: of this process.

    Raises:
        UserError: if settings or data do not do.
    """
    data = _open_data(config, world, device)
    return _Assembly(_resolved(config, before, data), data, world, device).assembled()


def _open_data(config: Config, world: World, device: torch.device) -> ImageData:
    """Open the data; the first process of each machine decodes it, the others then find it decoded."""
    decodes = world.local_rank == 0
    data = world.together(lambda: open_data(config.data) if decodes else None, device)
    return world.together(lambda: data or open_data(config.data), device)


def _resolved(config: Config, before: Config | None, images: ImageData) -> Config:
    """Settings with what this data and, if the run goes on, the run's first process made of 'auto'."""
    channels, height, width = images.image_shape
    data = config.data.model_copy(update={"size": height if height == width else None, "channels": channels})
    per_snapshot = config.train.snapshot_epochs * len(images.train)
    train = config.train.model_copy(
        update={"log_images": config.train.log_images or max(1, round(per_snapshot / RECORDS_PER_SNAPSHOT))}
    )
    if before is not None:
        form = {"precision": before.train.precision, "memory_format": before.train.memory_format}
        train = train.model_copy(update=form)
    return config.model_copy(update={"data": data, "train": train})


class _Assembly:
    """The steps of `assemble` once the data is open."""

    def __init__(self, config: Config, data: ImageData, world: World, device: torch.device) -> None:
        self.data, self.world, self.device = data, world, device
        self.share = config.train.batch_size // world.size
        info: dict[str, Any] = {
            "recipe": config.recipe,
            "data": data.name,
            "label_names": list(data.train.label_names),
            "attribute_names": list(data.train.attribute_names),
            "seed": config.seed,
            "device": describe_device(device),
        }
        if config.model.condition != "none":
            info["condition"] = conditioning_of(data, config.model.condition).as_json()
        self.model = world.together(lambda: build_model(config, data.image_shape, info), device)
        check_batch_norm(config, self.model, config.train.batch_size if config.train.sync_batchnorm else self.share)
        self.perceptual = self._open_perceptual(config)
        self.config = self._with_form(config)

    def _open_perceptual(self, config: Config) -> Layers | None:
        """What images are compared by besides; the first process of each machine trains it, if need be."""
        first = self.world.local_rank == 0
        layers = self.world.together(
            lambda: open_perceptual(config, self.data, self.device) if first else None, self.device
        )
        return self.world.together(lambda: layers or open_perceptual(config, self.data, self.device), self.device)

    def _with_form(self, config: Config) -> Config:
        """Settings with precision and memory format chosen; by the first process, for all."""
        chosen = None
        if self.world.is_first:
            form = choose_form(
                config.train.precision,
                config.train.memory_format,
                lambda *form: self._step_to_measure(config, *form),
                has_maps=config.model.network != "mlp",
            )
            chosen = " ".join(form).encode()
        told = self.world.share_bytes(chosen, self.device)
        assert told is not None
        precision, memory_format = told.decode().split()
        update = {"precision": precision, "memory_format": memory_format}
        return config.model_copy(update={"train": config.train.model_copy(update=update)})

    def _step_to_measure(self, config: Config, precision: str, memory_format: str) -> Callable[[], object]:
        """A training step on copies of the networks, on few images if many would take long."""
        model = self.model.with_parts(copies(self.model.parts))
        model.to(device=self.device, memory_format=layout_of(memory_format))  # type: ignore[call-overload]
        augment = build_augment(config, model)
        autocast = autocast_for(precision, self.device)
        objective = build_objective(config, model, autocast, self.perceptual, augment)
        trainer = self._trainer(config, model, objective, World(), augment, batch_size=min(self.share, 32))
        return lambda: trainer.step()

    def assembled(self) -> Assembled:
        """The trainer on the model's parts, and the model that is shown."""
        t = self.config.train
        self.model.to(device=self.device, memory_format=layout_of(t.memory_format))  # type: ignore[call-overload]
        self.model.train()
        if t.sync_batchnorm and self.world.size > 1:
            for part in self.model.parts.values():
                synchronise_batch_norms(part)
        self.world.share_first([p.detach() for p in self.model.parameters()])
        autocast = autocast_for(t.precision, self.device)
        augment = build_augment(self.config, self.model)
        objective = build_objective(self.config, self.model, autocast, self.perceptual, augment)
        averages = None
        averaged = {name: part for name, part in objective.parts.items() if name in ("encoder", "decoder")}
        shown = self.model
        if self.config.optim.ema:
            averages = Averages(averaged, self.config.optim.ema)
            shown = self.model.with_parts(averages.parts)
        if t.compile:
            for part in objective.parts.values():
                part.compile()
        trainer = self._trainer(self.config, self.model, objective, self.world, augment, averages=averages)
        return Assembled(self.config, self.data, self.model, trainer, shown)

    def _trainer(
        self,
        config: Config,
        model: Model,
        objective: Objective,
        world: World,
        augment: DiscriminatorAugment | None,
        *,
        averages: Averages | None = None,
        batch_size: int | None = None,
    ) -> Trainer:
        autocast = autocast_for(config.train.precision, self.device)
        pretraining = build_pretraining(config, model, autocast)
        if batch_size is not None:  # to be measured: a step of the model's own objective
            pretraining = None
            config = config.model_copy(update={"train": config.train.model_copy(update={"batch_size": batch_size})})
        return Trainer(
            objective,
            build_optimisers(config, objective),
            build_batches(config, self.data.train, world, self.device),
            loop_settings(config, model, len(self.data.train)),
            device=self.device,
            world=world,
            averages=averages,
            gate=build_gate(config),
            plateau=build_plateau(config),
            augment=augment,
            adaptive=build_adaptive(config, augment),
            pretraining=pretraining,
            autocast=autocast,
            conditions=build_conditions(config, model, self.data.train, world),
        )
