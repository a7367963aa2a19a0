"""``vaegan train``: from settings to a run folder, and on from where it stopped."""

from __future__ import annotations

import errno
from pathlib import Path

import torch

from ..config import Config
from ..distributed import joined
from ..errors import UserError
from ..runs.files import RunFolder
from .device import pick_device, tune_allocator
from .session import Session
from .signals import Stopped


def train(config: Config, out: Path, *, overwrite: bool = False) -> RunFolder:
    """Train, or go on where an earlier call stopped.

    Args:
        config: settings.
        out: run folder.
        overwrite: start anew where a run is there.

    Returns:
        The run folder.

    Raises:
        UserError: if settings, data or folder do not do, or the run diverged; one line with the remedy.
        Stopped: if Ctrl-C or SIGTERM asked for it; everything is saved, and the same call goes on.
    """
    device = pick_device(config.device)
    tune_allocator()
    try:
        with joined(device.type) as world:
            if device.type == "cuda":
                torch.cuda.set_device(device)
            stopped_by = Session(config, out, device, world, overwrite=overwrite).go()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            f"cannot write to {out}: {error.strerror}; free some space, the same command goes on"
        ) from error
    if stopped_by is not None:
        raise Stopped(stopped_by)
    return RunFolder(out)
