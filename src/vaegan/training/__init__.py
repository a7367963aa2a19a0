"""The loop, optimisers, checkpoints and the run folder."""

from __future__ import annotations

from ..runs.files import RunFolder
from .loop import LoopSettings, NotFiniteError, Record, Trainer
from .signals import Stopped
from .train import train

__all__ = ["LoopSettings", "NotFiniteError", "Record", "RunFolder", "Stopped", "Trainer", "train"]
