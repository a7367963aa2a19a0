"""What a training costs: its time and memory, estimated before it starts, the arithmetic of its steps and images.

    seconds = operations a + calls b + elements c + parameters d

The operations are those of matrix products and convolutions, which dominate in large networks. Small ones spend their
time on launching operators (calls), narrow convolutions and norms on writing their results (elements), wide dense
layers on their optimiser (parameters). All are counted on tensors without memory, in no time. The result is an
estimate: no machine has four such constants.
"""

import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch

from ..config import Config
from ..models import Model
from ..networks.parts import evaluating
from ..networks.recompute import recompute_activations
from ..objectives import Noise, trainable
from ..objectives.micro_batches import accumulated_step
from ..operations import OperationCounter, count_operations
from ..pages.run_sections import speeds, window_seconds
from ..settings import PARTS
from .factories import build_objective


class Work(NamedTuple):
    """What one training step does; or the seconds that a machine takes for one of each."""

    # two for each multiply-add of a product or convolution, forward and backward; penalties and the network of a
    # perceptual part left out
    operations: float
    calls: float  # operators that make a new tensor
    elements: float  # of the tensors they make
    parameters: float  # of all parts that are trained
    # bytes in float32 with Adam, at the step's peak; networks of losses and what libraries add are left out
    memory: float = 0.0


TWO_CORES = Work(operations=1 / 900e9, calls=45e-6, elements=0.4e-9, parameters=1.5e-9)
"""Two cores of a server with AVX-512 in bfloat16: fitted by hand to whole trainings of digits, mnist-mlp and mnist-conv
and to steps of conv-64. `benchmarks/recipes.py` measures all recipes against it."""


def work_of_step(config: Config, image_shape: tuple[int, ...], architecture: Mapping[str, Any] | None = None) -> Work:
    """Count what a training step does on images (C, H, W), on tensors without memory.

    The architecture is needed where the settings do not determine it: of 'vae-dis-l', whose discriminator is another
    run's, and of conditional models.
    """
    size = config.train.batch_size
    architecture = {**(architecture or config.model.model_dump(mode="json")), "image_shape": image_shape}
    condition_dim = architecture.get("condition_dim", 0)
    with torch.device("meta"):
        model = Model.from_architecture(architecture)
        x, codes = torch.zeros(size, *image_shape), torch.zeros(size, model.latent_dim)
        eps = codes.expand(config.loss.draws, *codes.shape) if config.loss.draws > 1 else codes
        noise = Noise(eps, codes, torch.zeros(3, 2, size), seed=0)
        for part in model.parts.values() if config.train.checkpoint_activations else ():
            recompute_activations(part)
        objective = build_objective(config, model.train(), contextlib.nullcontext)
        c = torch.zeros(size, condition_dim) if condition_dim else None
        with OperationCounter() as counter:
            accumulated_step(objective, config.train.accumulate, x, noise, 1.0, c, record=False)
    parameters = sum(weight.numel() for part in objective.parts.values() for weight in trainable(part))
    held = 4 * (sum(weight.numel() for weight in model.parameters()) + 2 * parameters)  # weights, averages of Adam
    return Work(counter.total, counter.num_calls, counter.num_elements, parameters, held + counter.most_bytes)


def expected_seconds(
    config: Config, image_shape: tuple[int, int, int], num_images: int, machine: Work = TWO_CORES
) -> float:
    """Estimate the duration of a training with this many images per epoch."""
    return seconds_of(work_of_step(config, image_shape), config, num_images, machine)


def seconds_of(work: Work, config: Config, num_images: int, machine: Work = TWO_CORES) -> float:
    """Estimate the same from the work of its steps."""
    images = config.train.images or config.train.epochs * num_images
    per_step = zip(work, machine, strict=True)
    return sum(count * seconds for count, seconds in per_step) * images / config.train.batch_size


def cost_of(
    model: Model,
    config: Config | None = None,
    records: Sequence[Mapping[str, Any]] = (),
    size: Sequence[int] | None = None,
) -> dict[str, float | None]:
    """Return the cost of a model, by the settings and records of its run; None where it lacks a part or a record.

    These are 'training_seconds', without snapshots; 'images_per_second', 'images_seen'; 'training_operations' per image
    (products and convolutions, two operations a multiply-add; see `operations`), 'reconstruction_operations' and
    'sample_operations' likewise, of images of ``size``, the model's own by default; and 'encoder_parameters' and so on.
    """
    line = speeds(records)
    seconds = None if line is None else float(window_seconds(line).sum())
    seen = None if line is None else float(line[0][-1])
    parameters = {name: float(num) for name, num in model.num_parameters.items()}
    encoding, decoding = _operations_of_parts(model, size or model.image_shape[1:])
    both = None if encoding is None or decoding is None else encoding + decoding
    training = None
    if config is not None and model.architecture is not None:
        training = work_of_step(config, model.image_shape, model.architecture).operations / config.train.batch_size
    return {
        "training_seconds": seconds,
        "images_per_second": seen / seconds if seen and seconds else None,
        "images_seen": seen,
        "training_operations": training,
        "reconstruction_operations": both,
        "sample_operations": decoding,
        **{f"{part}_parameters": parameters.get(part) for part in PARTS},
    }


def _operations_of_parts(model: Model, size: Sequence[int]) -> tuple[float | None, float | None]:
    """Return the operations of encoding and of decoding one image of (height, width).

    The parts are called by themselves: in the inference mode of `Model` dense layers are not dispatched as products.
    """
    x = torch.zeros(1, model.image_shape[0], *size, device=model.device)
    code = model.code_shape_of(size) or () if tuple(size) != model.image_shape[1:] else (model.latent_dim,)
    z = torch.zeros(1, *code, device=model.device)
    c = model.condition_in_turn(1)
    condition = () if c is None else (c.to(model.device),)
    with evaluating(model), torch.no_grad():
        encoding, decoding = (
            None if part is None else float(count_operations(partial(part, value, *condition)))
            for part, value in ((model.encoder, x), (model.decoder, z))
        )
    return encoding, decoding
