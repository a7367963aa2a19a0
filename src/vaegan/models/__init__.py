"""Trained models: what they compute, and the folders they are saved in."""

from .model import Model, load
from .serialization import FORMAT

__all__ = ["FORMAT", "Model", "load"]
