"""From settings and data to what trains: resolved settings, the model, the trainer of its parts.

'auto' is resolved here once, by the first process for all, and stays the same when the run resumes.
"""

import functools
import logging
import math
import os
from dataclasses import dataclass
from typing import Any

import torch

from ..config import Config
from ..data import ImageData, open_data
from ..data.conditions import conditioning_of, constant_attributes
from ..distributed import World, synchronise_batch_norms
from ..files import read_mapping
from ..metrics.extractors.features import default_extractor
from ..models import Model
from ..networks.recompute import recompute_activations
from ..pixels import BYTES, Shown
from ..runs.initial import start_from, take_over
from ..runs.run_folder import IMAGES, INITIAL, RunFolder
from ..runs.trained_on import located
from ..settings import PARTS
from . import factories
from .device import computes_bf16, layout_of, memory_of, number_format
from .loop import Trainer
from .optimisers import Averages
from .profiling import work_of_step
from .resuming import check_same_data, place_of_metric, recorded_pixels

log = logging.getLogger("vaegan")

RECORDS_PER_SNAPSHOT = 50


@dataclass(frozen=True)
class Setup:
    """What trains: settings (nothing left to 'auto' but the device), images, the model with its trainer.

    ``output_model`` is saved and drawn from: with averaged weights, if there are any, else ``model``.
    """

    config: Config
    data: ImageData
    model: Model
    trainer: Trainer
    output_model: Model


def set_up(
    config: Config, before: Config | None, world: World, device: torch.device, resumed: RunFolder | None = None
) -> Setup:
    """Open the data and build what trains; ``before`` are the settings of the run that is ``resumed``, if any."""
    smallest = config.train.batch_size // world.size // config.train.accumulate
    smallest *= world.size if config.train.sync_batchnorm else 1  # images that a batch norm sees at once
    if not resumed and (shape := config.data.image_shape) and config.model.condition == "none":
        with torch.device("meta"):  # before images are decoded
            twin = world.together(functools.partial(factories.build_model, config, shape))
            factories.check(config, twin, smallest)
    place = located(config.data, resumed.path) if resumed else config.data
    pixels = recorded_pixels(resumed) if resumed else None
    data = world.once_per_machine(lambda: open_data(place, pixels=pixels))
    data.check_held_out(place.source)
    Shown(data.pixels, config.bands).checked(data.image_shape[0])
    for line in () if resumed else data.summary():  # of a finished run it is not said
        log.info("%s", line)
    if resumed:
        world.first(lambda: check_same_data(resumed, config, data))
    config = _resolve_auto(config, before, data, world, device)
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    model = world.together(
        lambda: factories.build_model(
            config, data.image_shape, _describe(config, data, device), place_of_metric(config, resumed)
        )
    )
    if config.init_from is not None:
        # The first process decides, whatever is on the disks of the others.
        if resumed and world.from_first(lambda: any(resumed.checkpoints.glob(f"{IMAGES}.pt"))):
            take_over(model, world.from_first(lambda: read_mapping(resumed.path / INITIAL)))
        else:
            for line in world.together(lambda: list(start_from(model, config))):
                log.info("%s", line)
    factories.check(config, model, smallest, data.num_train)
    for part in model.parts.values() if config.train.checkpoint_activations else ():
        recompute_activations(part)
    frozen: dict[str, Any] = {}
    if config.loss.perceptual != "none" or config.loss.alignment_weight:
        frozen = world.once_per_machine(lambda: factories.open_frozen(config, data, device))
    world.first(lambda: _check_memory(config, model, world, device))

    t = config.train
    model.to(device=device, memory_format=layout_of(t.memory_format))  # type: ignore[call-overload]
    model.train()
    if t.sync_batchnorm and world.size > 1:
        for part in model.parts.values():
            synchronise_batch_norms(part)
    world.share_first([*model.parameters(), *model.buffers()])
    averages, output_model = None, model
    if config.optim.ema:
        averaged = {name: part for name, part in model.parts.items() if name != PARTS[2] and not config.is_frozen(name)}
        averages = Averages(averaged, config.optim.ema)
        output_model = model.with_parts(averages.parts)
    trainer = factories.build_trainer(config, model, data, frozen, world, device, averages)
    if t.compile:
        for part in trainer.objective.parts.values():
            part.compile()
            if logits := getattr(part, "logits", None):  # called by itself for a Bernoulli likelihood
                setattr(part, "logits", torch.compile(logits))  # noqa: B010, a method in mypy's eyes
    return Setup(config, data, model, trainer, output_model)


SMALL_BATCH = 2**17
"""Numbers of a process's images in a step up to which memory is not estimated, which takes about a second."""


def _check_memory(config: Config, model: Model, world: World, device: torch.device) -> None:
    """Warn if a step needs more memory than there is."""
    train = config.train.model_copy(update={"batch_size": config.train.batch_size // world.size})
    here = memory_of(device)
    if here is None or train.batch_size * math.prod(model.image_shape) <= SMALL_BATCH:
        return
    config = config.model_copy(update={"train": train})
    needed = work_of_step(config, model.image_shape, model.architecture).memory
    needed /= 2 if train.precision == "bf16" else 1  # activations take half the bytes, weights all of them
    if needed > here:
        log.warning(
            "a training step needs at least %.1f GiB, more than the %.1f GiB of this %s; try "
            "--train.checkpoint-activations, --train.accumulate or a smaller --train.batch-size",
            needed / 2**30, here / 2**30, "machine" if device.type == "cpu" else "GPU",
        )  # fmt: skip


def _resolve_auto(
    config: Config, before: Config | None, images: ImageData, world: World, device: torch.device
) -> Config:
    """Settings with what 'auto' means for these data, or meant when the run was started."""
    data = config.data.for_shape(images.image_shape)
    per_snapshot = config.train.snapshot_epochs * images.num_train
    of = (before or config).train
    chosen = world.from_first(lambda: number_format(of.precision, of.memory_format, config.model.network, device))
    own: dict[str, Any] = {
        "precision": chosen[0],
        "memory_format": chosen[1],
        "log_images": config.train.log_images or max(1, round(per_snapshot / RECORDS_PER_SNAPSHOT)),
    }
    if device.type == "cpu" and not config.train.threads:
        kept = before.train.threads if before and "OMP_NUM_THREADS" not in os.environ else None
        own["threads"] = kept or torch.get_num_threads()
    train = config.train.model_copy(update=own)
    if train.precision == "bf16" and not computes_bf16(device):
        log.warning("bf16 is only emulated here: steps are 10 to 100 times slower than with --train.precision fp32")
    used = ["perceptual", *(["alignment"] if config.loss.alignment_weight else [])]
    auto = {name: default_extractor(images) for name in used if getattr(config.loss, name) == "auto"}
    if before is not None:
        auto |= {name: kept for name in auto if (kept := getattr(before.loss, name)) != "auto"}
    loss = config.loss.model_copy(update=auto)
    return config.model_copy(update={"data": data, "train": train, "loss": loss})


def _describe(config: Config, data: ImageData, device: torch.device) -> dict[str, Any]:
    """What a saved model says of its training."""
    info: dict[str, Any] = {
        "recipe": config.recipe,
        "data": data.name,
        "label_names": list(data.train.label_names),
        "attribute_names": list(data.train.attribute_names),
        "seed": config.seed,
        "device": f"cuda, {torch.cuda.get_device_name(device)}" if device.type == "cuda" else device.type,
    }
    if data.pixels != BYTES or data.pixels.alpha:
        info["pixels"] = data.pixels.as_json()
    if config.bands:
        info["bands"] = list(config.bands)
    if config.train.pretrain_epochs:  # in whole batches
        size = config.train.batch_size
        info["pretrain_images"] = -(-round(config.train.pretrain_epochs * data.num_train) // size) * size
    if config.model.condition != "none":
        info["condition"] = conditioning_of(data, config.model.condition).as_json()
    if config.model.condition == "attributes" and (constant := constant_attributes(data.train)):
        log.warning(
            "attributes without a value, or the same for all training images, of which the model learns nothing: %s",
            ", ".join(constant),
        )
    return info
