"""The IDX format of MNIST: two zero bytes, a type, the number of axes, each axis as big-endian int32, then the values.

Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits", section "File formats".
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError

_UINT8 = 0x08


def read_idx(path: Path, num_axes: int) -> NDArray[np.uint8]:
    """Read an IDX file of bytes, packed (.gz) or not.

    Args:
        path: of the file.
        num_axes: 3 for images ``(N, H, W)``, 1 for labels ``(N,)``.

    Raises:
        UserError: if the file cannot be read, is of another kind, or shorter or longer than it says.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read ({error}); copy or download it again") from error
    magic = bytes((0, 0, _UINT8, num_axes))
    header = 4 + 4 * num_axes
    if content[:4] != magic or len(content) < header:
        raise UserError(
            f"{path}: begins with 0x{content[:4].hex()}, not 0x{magic.hex()} as an IDX file of "
            f"{'images' if num_axes == 3 else 'labels'} does; download it again"
        )
    shape = struct.unpack(f">{num_axes}I", content[4:header])
    if len(content) - header != math.prod(shape):
        raise UserError(
            f"{path}: holds {len(content) - header} values where its header says {'x'.join(map(str, shape))}; "
            "download it again"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
