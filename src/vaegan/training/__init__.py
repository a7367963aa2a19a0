"""The loop, optimisers, checkpoints and the run folder."""

from __future__ import annotations

from ..runs.run_folder import RunFolder
from .loop import LoopSettings, NotFiniteError, Record, Trainer
from .session import train
from .terminal import Stopped

__all__ = ["LoopSettings", "NotFiniteError", "Record", "RunFolder", "Stopped", "Trainer", "train"]
