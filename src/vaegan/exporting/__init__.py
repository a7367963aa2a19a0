"""A model's parts as files that others read: safetensors, ONNX, `torch.export`, diffusers; checked against it."""

from .exporter import FORMS, Check, export_model

__all__ = ["FORMS", "Check", "export_model"]
