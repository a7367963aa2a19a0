"""The loop, optimisers, checkpoints and the run folder."""

from __future__ import annotations

from .loop import LoopSettings, NotFiniteError, Record, Trainer
from .run_folder import RunFolder
from .signals import Stopped
from .train import train

__all__ = ["LoopSettings", "NotFiniteError", "Record", "RunFolder", "Stopped", "Trainer", "train"]
