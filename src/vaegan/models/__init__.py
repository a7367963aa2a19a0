"""Trained models: what they compute, and the folders they are saved in."""

from .found import find_model
from .model import Model
from .serialization import CONFIG_NAME, FORMAT, WEIGHTS_NAME

__all__ = ["CONFIG_NAME", "FORMAT", "WEIGHTS_NAME", "Model", "find_model"]
