"""A part written to one file and run from it: a graph of `torch.export`, or of ONNX.

Both graphs come from the same tracing, in which the batch is the one size that is not fixed.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from ..errors import UserError
from .modules import PublicPart

Run = Callable[..., tuple[Tensor, ...]]
"""What a part computes, by what was read back from its file."""


class Form(NamedTuple):
    """A kind of file for one part."""

    ending: str
    write: Callable[[PublicPart, ExportedProgram, Path], None]
    read: Callable[[Path], Run]


def traced(part: PublicPart) -> ExportedProgram:
    """Return a part's graph for batches of any size.

    Raises:
        UserError: if the network, one of the user's own, cannot be traced.
    """
    generator = torch.Generator().manual_seed(0)
    examples = tuple(port.example(2, generator) for port in part.inputs)  # a batch of 1 would be taken as fixed
    batch = Dim("batch", min=1)
    try:
        with torch.no_grad(), _quiet():
            return torch.export.export(part, examples, dynamic_shapes=tuple({0: batch} for _ in examples))
    except Exception as error:  # the tracer lets exceptions of any kind through: each means the same
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"the {part.name} cannot be exported as a graph: {reason}; safetensors can be had") from error


def import_onnxruntime() -> Any:
    """Return ``onnxruntime``, with all that writing ONNX needs installed beside it.

    Raises:
        UserError: if it is not.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript
    except ImportError as error:
        raise UserError(
            f"ONNX needs {error.name or 'more'}: pip install 'vaegan[onnx]', or leave it out: --form safetensors,torch"
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
    """Leave out what the exporters say about their own inside."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


GRAPHS = {
    "onnx": Form(".onnx", _write_onnx, _read_onnx),
    "torch": Form(".pt2", _write_torch, _read_torch),
}
