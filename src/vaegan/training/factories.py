"""Settings become objects here, and nowhere else."""

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from .. import objectives
from ..config import Config
from ..data import ImageData, ImageSet
from ..data.augment import augmented_batch
from ..data.batches import Batches, StreamBatches
from ..data.conditions import Conditioning
from ..data.stream import StreamedData
from ..distributed import World
from ..errors import UserError
from ..metrics.extractors.features import open_layers
from ..metrics.extractors.lpips import LPIPS, SMALLEST
from ..models import Model, load
from ..objectives.balance import BalanceGate
from ..objectives.code_losses import features_at
from ..objectives.diff_augment import AdaptiveProbability, DiscriminatorAugment
from ..objectives.feature_discriminator import frozen
from ..objectives.interface import Autocast
from ..objectives.likelihoods import Layers
from ..schedules import Plateau
from ..settings import ADVERSARIAL_KINDS, AugmentSettings, LossSettings
from .device import autocast_for, memory_of
from .loop import LoopSettings, Phase, Trainer
from .optimisers import Averages, make_optimiser


def build_model(
    config: Config,
    image_shape: tuple[int, int, int],
    info: Mapping[str, Any] | None = None,
    metric_in: Path | None = None,
) -> Model:
    """Build the model with initial weights from the seed; torch's global generator is left unchanged.

    Under ``torch.device("meta")`` it has no weights, which takes neither time nor memory.
    ``info`` is what the saved model says of its training; a conditional model needs its conditions (see `Model`).
    The frozen metric of vae-dis-l is that of the model in ``metric_in``, by default of the run `loss.metric`.
    Raises UserError if the networks do not fit the images, or the run that `loss.metric` names does not fit,
    MemoryError if the weights alone are larger than the memory.
    """
    m = config.model
    info = dict(info or {})
    names = tuple(info["condition"]["names"]) if info and m.condition != "none" else ()
    architecture = m.model_dump(mode="json") | {"image_shape": image_shape, "condition_dim": len(names)}
    metric = None
    if m.kind == "vae-dis-l":
        assert config.loss.metric is not None, "settings without it are refused"
        with torch.device("cpu"):
            metric = load(metric_in or config.loss.metric)
        _check_metric(metric, config, image_shape, names)
        assert metric.architecture is not None
        architecture["discriminator"] = metric.architecture["discriminator"]
        if c := metric.conditioning:  # the frozen metric needs attributes scaled as in its own training
            info["condition"] = {**info["condition"], "offset": c.offset, "scale": c.scale, "mean": c.mean}
    with torch.device("meta"):  # takes no memory
        needed = sum(4 * weight.numel() for weight in Model.from_architecture(architecture).parameters())
    if needed > (memory_of(torch.device("cpu")) or math.inf):
        raise MemoryError(f"the networks need {needed / 1e9:.0f} GB")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = Model.from_architecture(architecture, info)
    if metric is not None and model.device.type != "meta":
        assert model.discriminator is not None
        assert metric.discriminator is not None
        model.discriminator.load_state_dict(metric.discriminator.state_dict())
    return model


def _check_metric(metric: Model, config: Config, image_shape: tuple[int, int, int], names: tuple[str, ...]) -> None:
    where = f"--loss.metric {config.loss.metric}"
    if metric.discriminator is None or metric.architecture is None:
        raise UserError(f"{where}: this run has no discriminator built by vaegan; name a run of a GAN or VAE/GAN")
    theirs = (metric.architecture["network"], metric.architecture["output"], tuple(metric.image_shape))
    ours = (config.model.network, config.model.output, tuple(image_shape))
    if theirs != ours:
        raise UserError(
            f"{where}: its network, output and image shape are {theirs}, those of this model {ours}; make them equal"
        )
    conditions = metric.conditioning.names if metric.conditioning else ()
    if conditions != names:
        raise UserError(
            f"{where}: it is conditioned on {', '.join(conditions) or 'nothing'}, this model on "
            f"{', '.join(names) or 'nothing'}; make --model.condition equal"
        )


def build_likelihood(loss: LossSettings, image_range: tuple[float, float]) -> objectives.Likelihood:
    """Build L_llike."""
    if loss.likelihood == "feature":
        return objectives.FeatureLikelihood()
    if loss.likelihood == "bernoulli":
        return objectives.BernoulliPixels()
    if loss.likelihood == "laplace":
        return objectives.LaplacePixels(image_range, loss.pixel_variance)
    return objectives.GaussianPixels(image_range, loss.pixel_variance, learned=loss.likelihood == "gaussian-learned")


def open_frozen(config: Config, data: ImageData, device: torch.device) -> dict[str, Layers]:
    """Open the networks of the losses in features, by the names of `build_objective`; train what is missing."""
    loss = config.loss
    wanted = {"perceptual": (loss.perceptual, loss.perceptual_file)}
    wanted |= {"alignment": (loss.alignment, None)} if loss.alignment_weight else {}
    shared = {"cache": config.data.cache, "device": device, "bands": config.bands}
    return {
        use: open_layers(name, data, weights=weights, **shared)
        for use, (name, weights) in wanted.items()
        if name != "none"
    }


def build_code_losses(
    config: Config, model: Model, likelihood: objectives.Likelihood, autocast: Autocast, alignment: Layers | None
) -> objectives.CodeLosses:
    """Build the losses of codes that are maps; UserError if the images do not fit."""
    loss, device, equivariance, aligned = config.loss, model.device, None, None
    if loss.equivariance_weight:
        if any(side % (model.factor or 1) for side in model.image_shape[1:]):
            raise UserError(
                f"--loss.equivariance-weight needs images whose sides are multiples of {model.factor}, not "
                f"{'x'.join(map(str, model.image_shape[1:]))}; set --data.size, or the weight to 0"
            )
        if loss.perceptual == LPIPS.name and min(model.image_shape[1:]) < 4 * SMALLEST:
            raise UserError(
                f"--loss.equivariance-weight scales images to a quarter, and LPIPS needs {SMALLEST} pixels a side; set "
                f"--data.size {4 * SMALLEST} or more, or another --loss.perceptual"
            )
        equivariance = objectives.Equivariance(loss.equivariance_weight, model.code_shape, likelihood, autocast)
    if alignment is not None:
        _, height, width = model.code_shape
        dim = features_at((height, width), alignment, torch.zeros(1, *model.image_shape, device=device)).shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            aligned = objectives.Alignment(loss.alignment_weight, model.code_shape, alignment, dim, model.image_range)
        aligned.to(device)
    return objectives.CodeLosses(equivariance, aligned)


def build_objective(
    config: Config,
    model: Model,
    autocast: Autocast,
    perceptual: Layers | None = None,
    augment: DiscriminatorAugment | None = None,
    *,
    alignment: Layers | None = None,
    kind: str | None = None,
    likelihood: objectives.Likelihood | None = None,
    code_losses: objectives.CodeLosses | None = None,
) -> objectives.Objective:
    """Build the objective of a kind, by default the model's, on the model's own parts.

    Without ``perceptual`` or ``alignment`` these losses are left out; without ``augment`` images are unchanged. Raises
    UserError if the discriminator has no layer named `loss.feature_layer`, or images do not fit a loss.
    """
    loss, device, kind = config.loss, model.device, kind or model.kind
    adversarial = objectives.AdversarialLoss(
        loss.adversarial, **loss.model_dump(include={field.name for field in fields(objectives.AdversarialLoss)})
    )
    parts = model.parts
    for name, part in parts.items():
        if config.is_frozen(name):  # in evaluation mode its batch norms and dropout change nothing either
            part.requires_grad_(False).eval()
    if kind == "gan":
        return objectives.GANObjective(
            parts["decoder"], parts["discriminator"], adversarial=adversarial, joint_batch=loss.joint_batch,
            augment=augment, autocast=autocast,
        )  # fmt: skip
    likelihood = likelihood or build_likelihood(loss, model.image_range)
    if perceptual is not None:
        likelihood = objectives.PerceptualLikelihood(likelihood, perceptual, loss.perceptual_weight, model.image_range)
    if isinstance(likelihood, torch.nn.Module):
        likelihood.to(device)
    code_losses = code_losses or build_code_losses(config, model, likelihood, autocast, alignment)
    weights = loss.model_dump(include={"feature_layer", "encoder_llike_weight", "gamma", "kl_weight", "free_bits"})
    shared: dict[str, Any] = {"likelihood": likelihood, "code_losses": code_losses, "autocast": autocast, **weights}
    if kind == "vaegan":
        return objectives.VAEGANObjective(
            *(parts[name] for name in ("encoder", "decoder", "discriminator")),
            adversarial=adversarial,
            fakes=loss.fakes,
            adversarial_weight=loss.adversarial_weight,
            joint_batch=loss.joint_batch,
            augment=augment,
            balance=loss.balance,
            balance_at=loss.balance_at,
            **shared,
        )
    metric = parts["discriminator"] if kind == "vae-dis-l" else None
    return objectives.AutoencoderObjective(parts["encoder"], parts["decoder"], metric=metric, **shared)


def build_pretraining(model: Model, autocast: Autocast) -> objectives.Objective:
    """Build the objective of pre-training: a per-pixel autoencoder of mean codes."""
    encoder, pixels = objectives.MeanCode(model.parts["encoder"]), objectives.GaussianPixels(model.image_range)
    return objectives.AutoencoderObjective(encoder, model.parts["decoder"], likelihood=pixels, autocast=autocast)


def build_phases(
    config: Config,
    model: Model,
    autocast: Autocast,
    augment: DiscriminatorAugment | None,
    objective: objectives.Objective,
    settings: LoopSettings,
) -> list[Phase]:
    """Build the phases before the run's ``objective``: pre-training, the VAE, the discriminator alone.

    Raises UserError if they leave no step for ``objective``.
    """
    loss, size, total = config.loss, settings.batch_size, settings.total_images
    end, phases = 0, list[Phase]()
    if config.train.pretrain_epochs:
        end = round(config.train.pretrain_epochs * settings.epoch_images)
        phases.append(Phase("ae", end, build_pretraining(model, autocast)))
    if loss.adversarial_start:
        assert isinstance(objective, objectives.VAEGANObjective), "other kinds are refused"
        end = max(end, size * max(1, round(loss.adversarial_start * total / size)))
        shared: dict[str, Any] = {"likelihood": objective.likelihood, "code_losses": objective.code_losses}
        vae = build_objective(config, model, autocast, kind="vae", **shared)
        phases.append(Phase("vae", end, vae))
    if loss.discriminator_warmup:
        end = size * (-(-end // size) + max(1, round(loss.discriminator_warmup * total / size)))
        pixels = objectives.GaussianPixels(model.image_range)  # no part that would descend it is trained
        still = [part for name, part in model.parts.items() if name != "discriminator"]
        with frozen(*still):
            alone = build_objective(config, model, autocast, augment=augment, likelihood=pixels)
        phases.append(Phase("discriminator", end, alone, still))
    if (loss.adversarial_start or loss.discriminator_warmup) and end >= total:
        shares = "--loss.adversarial-start or --loss.discriminator-warmup"
        what = f"the run has {total // size} steps, and none is left to train all networks together"
        raise UserError(f"{what}; train longer, or lower {shares}")
    return phases


def check(config: Config, model: Model, num_images: int, num_train: int | None = None) -> None:
    """Raise the UserErrors of training a model, but for those of networks that are trained for its losses first.

    All is built on a twin without memory: each objective adds a hook to its discriminator. ``num_images`` are those
    that a batch norm sees at once, ``num_train`` all that there are, if they are known.
    """
    assert model.architecture is not None
    with torch.device("meta"):
        twin = Model.from_architecture(model.architecture, model.info)
        objective = build_objective(config, twin, contextlib.nullcontext)
        if num_train is not None:
            build_phases(config, twin, contextlib.nullcontext, None, objective, loop_settings(config, twin, num_train))
    place = "process" if config.train.accumulate == 1 else "micro-batch"
    for name, part in twin.parts.items():
        trained = not config.is_frozen(name) and (config.model.kind != "vae-dis-l" or name != "discriminator")
        if num_images == 1 and trained and any(isinstance(m, _BatchNorm) for m in part.modules()):
            raise UserError(
                f"batch norm in the {name} needs at least 2 images in each {place}, not 1; raise --train.batch-size "
                f"or set --model.{name}.norm group"
            )


def build_optimisers(config: Config, objective: objectives.Objective) -> dict[str, torch.optim.Optimizer]:
    """Build one optimiser per trained part."""
    o, rates = config.optim, learning_rates(config)
    numbers = o.model_dump(include={"beta1", "beta2", "eps", "weight_decay"})
    return {
        name: make_optimiser(o.name, objectives.trainable(part), lr=rates.get(name, o.lr), **numbers)
        for name, part in objective.parts.items()
        if objectives.trainable(part)
    }


def learning_rates(config: Config) -> dict[str, float]:
    """Learning rate of each part."""
    o = config.optim
    rates = {"encoder": o.encoder_lr, "decoder": o.decoder_lr, "discriminator": o.discriminator_lr, "likelihood": None}
    return {name: rate or o.lr for name, rate in rates.items()}


def build_batches(
    config: Config, data: ImageData, conditioning: Conditioning | None, world: World, device: torch.device
) -> tuple[Callable[[int], Tensor], Callable[[int], Tensor] | None]:
    """Build what gives this process's batches, augmented as the settings say, and their conditions (b, A), if any.

    Both take the images seen.
    """
    how: dict[str, Any] = {"batch_size": config.train.batch_size, "seed": config.seed, "flip": config.data.flip}
    how |= {"rank": world.rank, "world_size": world.size}
    augment, is_dynamic = config.data.augment, config.data.binarize == "dynamic"
    conditions: Callable[[int], Tensor] | None = None
    batches: Batches | StreamBatches
    if isinstance(data, StreamedData):  # which has no conditions
        batches = StreamBatches(data.stream, **how)
    else:
        batches = Batches(data.grey if is_dynamic and data.grey else data.train, **how)
        if conditioning is not None:
            conditions = partial(_conditions_at, conditioning, data.train, batches)
    if is_dynamic or augment != AugmentSettings():
        return partial(augmented_batch, batches, augment, device, binarize=is_dynamic), conditions
    if batches.pixels.dtype == "float32":
        return lambda seen: batches.pixels.to_unit(batches.at(seen)), conditions
    return batches.at, conditions


def _conditions_at(conditioning: Conditioning, images: ImageSet, batches: Batches, images_seen: int) -> Tensor:
    """Return the conditions (b, A) of the images of this process's batch."""
    return conditioning.of_images(images, batches.indices(images_seen)[batches.share])


def build_trainer(
    config: Config,
    model: Model,
    data: ImageData,
    frozen: dict[str, Any],
    world: World,
    device: torch.device,
    averages: Averages | None = None,
) -> Trainer:
    """Build the trainer of a model's own parts; ``frozen`` are the networks of `open_frozen`.

    UserErrors as of `build_objective` and `build_phases`.
    """
    loss, o = config.loss, config.optim
    autocast = autocast_for(config.train.precision, device)
    augment = DiscriminatorAugment(loss.augment, model.image_range, model.device) if loss.augment else None
    adaptive = gate = plateau = None
    if augment and loss.augment_target is not None:
        adaptive = AdaptiveProbability(augment.p, loss.augment_target, loss.augment_images)
    if loss.gate and config.model.kind in ADVERSARIAL_KINDS:  # there are two networks to balance
        gate = BalanceGate(loss.gate_equilibrium, loss.gate_margin)
    if o.schedule == "plateau":
        plateau = Plateau(o.plateau_patience, o.plateau_factor, o.final_lr_factor)
    objective = build_objective(config, model, autocast, augment=augment, **frozen)
    settings = loop_settings(config, model, data.num_train)
    batches, conditions = build_batches(config, data, model.conditioning, world, device)
    return Trainer(
        objective,
        build_optimisers(config, objective),
        batches,
        settings,
        device=device,
        world=world,
        averages=averages,
        gate=gate,
        plateau=plateau,
        augment=augment,
        adaptive=adaptive,
        phases=build_phases(config, model, autocast, augment, objective, settings),
        autocast=autocast,
        conditions=conditions,
    )


def loop_settings(config: Config, model: Model, epoch_images: int) -> LoopSettings:
    """Collect the numbers of the loop; the length of the run is rounded up to whole batches."""
    o, size = config.optim, config.train.batch_size
    wanted = config.train.images or max(1, round(config.train.epochs * epoch_images))
    return LoopSettings(
        batch_size=size,
        total_images=-(-wanted // size) * size,
        epoch_images=epoch_images,
        latent_dim=model.latent_dim,
        image_range=model.image_range,
        pixels=model.pixels,
        seed=config.seed,
        lr=learning_rates(config),
        lr_schedule=o.schedule,
        accumulate=config.train.accumulate,
        **o.model_dump(include={"final_lr_factor", "warmup_images", "clip"}),
        **config.loss.model_dump(include={"kl_schedule", "kl_epochs", "r1_weight", "r1_every", "draws"}),
    )
