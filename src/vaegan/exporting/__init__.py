"""Export of a model to safetensors, ONNX, `torch.export` or diffusers, each file checked against the model."""

from .exporter import FORMATS, Check, export_model

__all__ = ["FORMATS", "Check", "export_model"]
