"""A model's parts as files that others read: safetensors, ONNX, `torch.export`; each checked against the model."""

from .export import FORMS, Check, export_model

__all__ = ["FORMS", "Check", "export_model"]
