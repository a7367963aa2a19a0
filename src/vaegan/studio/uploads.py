"""An uploaded file -> an image as the model takes it, or an early refusal.

Size and format are read from the header, so that an image of 200 megapixels costs nothing; images are decoded one at a
time.
"""

import io
import threading
import warnings

import numpy as np
import torch
from fastapi import UploadFile
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ..data.image_file import FORMATS, Target, prepare
from ..errors import first_line
from ..files import MAX_PIXELS
from ..pixels import to_unit
from .http_errors import Refused
from .served_model import ModelVersion

_FORMATS = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
_decoding = threading.Lock()
warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # refused below by a bound of our own


def read_upload(file: UploadFile, version: ModelVersion) -> Tensor:
    """Return an uploaded PNG, JPEG, WebP or BMP as `(1, C, H, W)` in [0, 1], prepared like the model's images.

    Raises Refused: 415 if it is not such a file, 413 if it has too many pixels, 422 if it is damaged.
    """
    content, settings = file.file.read(), version.served.data_settings
    channels, height, width = version.model.image_shape
    with _decoding:
        try:
            image = Image.open(io.BytesIO(content), formats=FORMATS)
        except Image.DecompressionBombError as error:
            raise Refused(413, f"the image has too many pixels; at most {MAX_PIXELS:,} are read") from error
        except UnidentifiedImageError as error:
            raise Refused(415, f"cannot read this file as an image; send {_FORMATS}") from error
        except Exception as error:  # damaged headers raise all kinds of errors
            raise Refused(422, f"the image is damaged ({first_line(error)[:120]}); send it again or another") from error
        if image.width * image.height > MAX_PIXELS:
            size = f"{image.width:,} x {image.height:,}"
            raise Refused(413, f"the image has {size} pixels; at most {MAX_PIXELS:,} are read, make it smaller")
        try:
            pixels = prepare(image, Target(height, width, channels, settings.crop, settings.crop_size))
        except Exception as error:  # as do damaged pixels
            raise Refused(422, f"the image is damaged ({first_line(error)[:120]}); send it again or another") from error
    return to_unit(torch.from_numpy(np.array(pixels))[None])
