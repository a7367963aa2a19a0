"""Training: the session, the loop, optimisers, checkpoints, snapshots, health checks."""

from ..errors import Stopped
from ..runs.run_folder import RunFolder
from .loop import LoopSettings, NotFiniteError, Record, Trainer
from .session import train

__all__ = ["LoopSettings", "NotFiniteError", "Record", "RunFolder", "Stopped", "Trainer", "train"]
