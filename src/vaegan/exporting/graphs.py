"""Encoder, decoder and discriminator as graphs in files that other programs run: `torch.export` and ONNX.

A graph computes between public ranges, in plain operations:

    encoder        (x, c) -> mu, logvar; z of a plain autoencoder        x in [0, 1]
    decoder        (z, c) -> x_tilde                                     x_tilde in [0, 1]
    discriminator  (x, c) -> logit

What a network has only for training is left out: convolutions and reshapings with gradients of their own become the
plain layers they equal, and a spectral norm is divided out of its weight. Both file formats come from the same tracing,
in which only the batch size is free.
"""

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn.utils import parametrize

from ..errors import UserError, first_line
from ..models import Model
from ..networks.kernels.few_channels import NarrowConv2d, NarrowInputConv2d
from ..networks.kernels.layout import Flatten, Unflatten
from ..networks.resample import NearestConv2d, UpConv2d

_PLAIN: dict[type[nn.Module], type[nn.Module]] = {
    NarrowConv2d: nn.Conv2d,
    NarrowInputConv2d: nn.Conv2d,
    Flatten: nn.Flatten,
    Unflatten: nn.Unflatten,
    UpConv2d: NearestConv2d,
}


@dataclass(frozen=True)
class Port:
    """One input or output of a part: a float32 tensor whose first dimension is the batch."""

    name: str  # 'x', 'z', 'c', 'mu', 'logvar', 'x_tilde' or 'logit'
    shape: tuple[int, ...]  # without the batch
    range: tuple[float, float] | None = None  # of the values, where they are bounded

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        bounds = {} if self.range is None else {"range": self.range}
        return {"name": self.name, "dtype": "float32", "shape": ["batch", *self.shape], **bounds}

    def example(self, num: int, generator: torch.Generator) -> Tensor:
        """Return a batch ``(num, *shape)``: uniform in the range, or normal."""
        shape = (num, *self.shape)
        if self.range is None:
            return torch.randn(shape, generator=generator)
        low, high = self.range
        return torch.rand(shape, generator=generator) * (high - low) + low


class PublicPart(nn.Module):
    """A copy of a model's part as a function between public ranges: on the CPU, in evaluation mode, no gradients."""

    def __init__(self, model: Model, name: str) -> None:
        super().__init__()
        self.network = plain(model.parts[name])
        self.name = name
        self.image_range = model.image_range
        image = Port("x", model.image_shape, (0.0, 1.0))
        self.inputs = [Port("z", (model.latent_dim,)) if name == "decoder" else image]
        if (conditioning := model.conditioning) is not None:
            self.inputs.append(Port("c", (len(conditioning.names),)))
        codes = ["z"] if model.kind == "ae" else ["mu", "logvar"]
        self.outputs = {
            "encoder": [Port(code, (model.latent_dim,)) for code in codes],
            "decoder": [Port("x_tilde", model.image_shape, (0.0, 1.0))],
            "discriminator": [Port("logit", ())],
        }[name]

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor | tuple[Tensor, ...]:
        """Return the part's outputs for images or, in a decoder, codes ``x``, and conditions ``c``."""
        conditions = () if c is None else (c,)
        if self.name == "decoder":
            made: Tensor = self.network(x, *conditions)
            return self.image_range.to_unit(made).clamp(0.0, 1.0)
        outputs: Tensor | tuple[Tensor, ...] = self.network(self.image_range.from_unit(x), *conditions)
        return outputs


def from_model(model: Model, part: str, x: Tensor, c: Tensor | None = None) -> tuple[Tensor, ...]:
    """Return the outputs of a part, for images or codes x and conditions c, by the model's own methods."""
    if part == "decoder":
        return (model.decode(x, condition=c),)
    if part == "discriminator":
        return (model.discriminate(x, condition=c),)
    return model.encoder_outputs(x, condition=c)


def plain(network: nn.Module) -> nn.Module:
    """Return a copy without gradients, in which our layers are replaced by the plain ones they equal."""
    network = copy.deepcopy(network).cpu().eval().requires_grad_(False)
    for module in list(network.modules()):
        if parametrize.is_parametrized(module):
            _divide_out(module)
        module.__class__ = _PLAIN.get(type(module), type(module))
    for parameter in network.parameters():
        parameter.data = parameter.data.contiguous()
    return network


def _divide_out(module: nn.Module) -> None:
    """Replace a module's parametrised weights by their values.

    `parametrize.remove_parametrizations` would change the class, which the copy shares with the original.
    """
    weights = {name: getattr(module, name).clone() for name in module._modules["parametrizations"]._modules}  # type: ignore[union-attr]
    del module.parametrizations
    module.__class__ = type(module).__bases__[0]
    for name, weight in weights.items():
        module.register_parameter(name, nn.Parameter(weight, requires_grad=False))


Run = Callable[..., tuple[Tensor, ...]]
"""The function of a part, run from its file."""


class GraphFormat(NamedTuple):
    """A file format of graphs: its ending, and how a graph is written and read back."""

    ending: str
    write: Callable[[PublicPart, ExportedProgram, Path], None]
    read: Callable[[Path], Run]


def traced(part: PublicPart) -> ExportedProgram:
    """Return a part's graph for batches of any size; UserError if it cannot be traced (a user's own network)."""
    generator = torch.Generator().manual_seed(0)
    examples = tuple(port.example(2, generator) for port in part.inputs)  # a batch of 1 would be taken as fixed
    batch = Dim("batch", min=1)
    try:
        with torch.no_grad(), _quiet():
            return torch.export.export(part, examples, dynamic_shapes=tuple({0: batch} for _ in examples))
    except Exception as error:  # the tracer lets exceptions of any kind through: each means the same
        reason = first_line(error)
        raise UserError(f"the {part.name} cannot be exported as a graph: {reason}; use safetensors alone") from error


def import_onnxruntime() -> Any:
    """Return ``onnxruntime``; UserError if it or a package for writing ONNX is missing."""
    try:
        import onnx
        import onnxruntime
        import onnxscript
    except ImportError as error:
        raise UserError(
            f"ONNX needs {error.name or 'more'}: pip install 'vaegan[onnx]', or --format safetensors,torch"
        ) from error
    assert onnx
    assert onnxscript
    return onnxruntime


def _write_onnx(part: PublicPart, program: ExportedProgram, path: Path) -> None:
    with _quiet():
        onnx = torch.onnx.export(
            program,
            input_names=[port.name for port in part.inputs],
            output_names=[port.name for port in part.outputs],
            dynamo=True,
            verbose=False,
        )
    assert onnx is not None
    for value in (*onnx.model.graph.inputs, *onnx.model.graph.outputs):  # the tracer's own name of the size is "s77"
        assert value.shape is not None
        value.shape[0] = "batch"
    onnx.save(path, external_data=False)


def _read_onnx(path: Path) -> Run:
    session = import_onnxruntime().InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_inputs()]

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        arrays = dict(zip(names, (each.numpy() for each in inputs), strict=True))
        return tuple(torch.from_numpy(array) for array in session.run(None, arrays))

    return run


def _write_torch(part: PublicPart, program: ExportedProgram, path: Path) -> None:
    buffer = io.BytesIO()  # written by ourselves: a full disk is then an OSError
    torch.export.save(program, buffer)
    path.write_bytes(buffer.getbuffer())


def _read_torch(path: Path) -> Run:
    module = torch.export.load(path).module()

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            outputs = module(*inputs)
        return outputs if isinstance(outputs, tuple) else (outputs,)

    return run


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporters' own warnings and log lines."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(action="ignore"):
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


GRAPHS = {
    "onnx": GraphFormat(".onnx", _write_onnx, _read_onnx),
    "torch": GraphFormat(".pt2", _write_torch, _read_torch),
}
