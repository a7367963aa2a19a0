"""An image, uploaded or of the data -> its code, reconstruction and error.

Size and format of an uploaded file are read from its header, so that an image of 200 megapixels costs nothing; images
are decoded one at a time.
"""

import io
import threading
import warnings
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import torch
from fastapi import APIRouter, File, Form, Query, UploadFile
from fastapi import Path as InPath
from fastapi.responses import Response
from PIL import Image, UnidentifiedImageError
from pydantic import ValidationError
from torch import Tensor

from ...data.dataset import ImageSet, some_rows
from ...data.image_file import Target, UnfitError, prepare
from ...data.image_types import TYPES, open_image
from ...errors import UserError, first_line
from ...files import MAX_PIXELS
from ...losses import kl_per_dimension
from ...pixels import BYTES, Numbers, to_uint8
from ...report.grid import Bytes
from ...views.view import View
from ..batched_inference import RequestedCondition, as_requested, condition_of, decode, encode
from ..http_errors import Refused
from ..registry import Version
from ..responses import Form as AnswerForm
from ..responses import data_uri, rounded, sequence, view_response
from ..served_model import ModelVersion, Split

router = APIRouter(tags=["images"])
WHITE = 0.5  # error of a pixel that is drawn white
_decoding = threading.Lock()
warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # refused below by a bound of our own

Upload = Annotated[UploadFile, File(description=f"{TYPES}, of any size; it is cropped and resized")]
ConditionText = Annotated[
    str, Form(alias="told", max_length=500_000, description="condition of conditional models, JSON as in /decode")
]


@router.post("/api/models/{model}/encode")
def encode_upload(version: Version, file: Upload, condition: ConditionText = "{}") -> dict[str, Any]:
    """Encode an image: mu, and log variances unless the model is a plain autoencoder."""
    x = _unit(version, read_upload(file, version))
    mu, *rest = encode(version, x, _condition(version, condition))
    return {"code": rounded(mu[0]), "logvar": rounded(rest[0][0]) if rest else None}


@router.post("/api/models/{model}/reconstruct")
def reconstruct_upload(
    version: Version,
    file: Upload,
    condition: ConditionText = "{}",
    form: Annotated[AnswerForm, Form()] = "json",
    shown: Annotated[bool, Form(description="whether the file is a picture from an answer of this server")] = False,
) -> Response:
    """Reconstruct an image: as the model takes it, its code, its reconstruction and the error of each pixel."""
    return _reconstructed(version, read_upload(file, version, shown=shown), _condition(version, condition), form)


@router.get("/api/models/{model}/examples")
def examples(
    version: Version,
    num: Annotated[int, Query(ge=1, le=64)] = 12,
    seed: Annotated[int, Query(ge=0, lt=2**31)] = 0,
    split: Split = "test",
) -> Response:
    """Return some images of the data with their indices."""
    images = version.images(split)
    chosen = some_rows(len(images), num, seed)
    more = {"indices": chosen.tolist(), "labels": [label_of(images, int(i)) for i in chosen], "of": len(images)}
    view = sequence(version.shown, version.run.originals(images.take(chosen)))
    return view_response("json", view, name="examples", **more)


@router.get("/api/models/{model}/examples/{index}")
def example(
    version: Version, index: Annotated[int, InPath(ge=0)], split: Split = "test", form: AnswerForm = "json"
) -> Response:
    """Reconstruct an image of the data, as /reconstruct does an upload."""
    images, model = version.images(split), version.model
    if index >= len(images):
        raise Refused(404, f"there is no {split} image {index}; valid numbers are 0 to {len(images) - 1}")
    chosen = np.array([index])
    original = version.run.originals(images.take(chosen))
    label = label_of(images, index)
    if model.encoder is None:
        view = sequence(version.shown, original)
        whole = data_uri(version.shown(original, alpha=True)[0])
        return view_response(form, view, name=f"{version.name}-{split}-{index}", label=label, original=whole)
    c = model.condition_of(images, chosen)
    told = as_requested(model, c)
    more = {"label": label, "index": index, "split": split, "told": told and told[0]}
    return _reconstructed(version, original, c, form, **more)


def label_of(images: ImageSet, index: int) -> str | None:
    """Return the name of an image's label; None if it has none."""
    label = -1 if images.labels is None else int(images.labels[index])
    return images.label_names[label] if 0 <= label < len(images.label_names) else None


def error_map(x: Tensor, x_tilde: Tensor) -> Bytes:
    """Return uint8 `(H, W, 3)`: each pixel's mean absolute error over channels, black over red to white (>= 0.5)."""
    heat = (x - x_tilde).abs().mean(0) / WHITE
    colours: Bytes = to_uint8(torch.stack([3 * heat, 3 * heat - 1, 3 * heat - 2])[None].clip(0, 1))[0]
    return colours


def _unit(version: ModelVersion, images: Numbers) -> Tensor:
    return version.model.pixels.to_unit(torch.from_numpy(images))


def _reconstructed(
    version: ModelVersion, original: Numbers, c: Tensor | None, form: AnswerForm, **more: Any
) -> Response:
    x, name = _unit(version, original), f"{version.name}-reconstruction"
    mu, *rest = encode(version, x, c)
    x_tilde = decode(version, mu, c)
    view = replace(sequence(version.shown, x_tilde, mu), originals=original[None])
    if form == "npz":
        return view_response(form, view, name=name)
    pictures = version.shown(original)[0], view.pictures[0, 0]
    errors = error_map(x[0], x_tilde[0])
    if form == "json":
        more |= {
            "original": data_uri(version.shown(original, alpha=True)[0]),  # which the page may send back
            "reconstruction": data_uri(pictures[1]),
            "error_map": data_uri(errors),
            "code": rounded(mu[0]),
            "deviation": rounded((0.5 * rest[0][0]).exp()) if rest else None,
            "kl": float(kl_per_dimension(mu, rest[0]).sum()) if rest else None,
            "mean_absolute_error": float((x - x_tilde).abs().mean()),
            "mean_squared_error": float((x - x_tilde).square().mean()),
        }
        return view_response("json", view, name=name, **more)
    colours = [np.broadcast_to(picture, errors.shape) for picture in pictures]
    columns = ("original", "reconstruction", f"absolute error (white = {WHITE})")
    sheet = View(np.stack([*colours, errors])[None], columns=columns, codes=mu.expand(1, 3, -1))
    return view_response(form, sheet, name=name)


def read_upload(file: UploadFile, version: ModelVersion, *, shown: bool = False) -> Numbers:
    """Return an uploaded file as numbers `(1, H, W, C)`, prepared like the model's images, or as one that is `shown`.

    The bytes of a picture that is ``shown`` stand for the whole range, and it has been cropped. Raises Refused: 415 if
    it is not such a file, 413 if it has too many pixels, 422 if it is damaged or does not fit.
    """
    content, settings = file.file.read(), version.run.data_settings
    channels, height, width = version.model.image_shape
    how = (settings.crop, settings.crop_size, version.model.pixels, settings.range)
    if shown:
        if not version.shows_all_channels:
            num = len(version.picture_channels)
            raise Refused(422, f"a picture shows only {num} of the {channels} channels of this model's images")
        how = (settings.crop, None, BYTES, None)
    with _decoding:
        try:
            image = open_image(io.BytesIO(content))
        except Image.DecompressionBombError as error:
            raise Refused(413, f"the image has too many pixels; at most {MAX_PIXELS:,} are read") from error
        except UnidentifiedImageError as error:
            raise Refused(415, f"cannot read this file as an image; send {TYPES}") from error
        except UserError as error:  # an extra is missing
            raise Refused(415, str(error)) from error
        except Exception as error:  # damaged headers raise all kinds of errors
            raise Refused(422, f"the image is damaged ({first_line(error)[:120]}); send it again or another") from error
        if image.width * image.height > MAX_PIXELS:
            size = f"{image.width:,} x {image.height:,}"
            raise Refused(413, f"the image has {size} pixels; at most {MAX_PIXELS:,} are read, make it smaller")
        try:
            numbers = prepare(image, Target(height, width, channels, *how))
        except UnfitError as error:
            raise Refused(422, f"the image does not fit this model: {error}") from error
        except Exception as error:  # as do damaged pixels
            raise Refused(422, f"the image is damaged ({first_line(error)[:120]}); send it again or another") from error
    if shown:
        return version.model.pixels.converted(numbers[None, ..., np.argsort(version.picture_channels)], BYTES)
    return np.array(numbers)[None]


def _condition(version: ModelVersion, text: str) -> Tensor | None:
    try:
        requested = RequestedCondition.model_validate_json(text)
    except ValidationError as error:
        raise Refused(422, f"told: {error.errors()[0]['msg']}") from error
    return condition_of(version.model, requested, 1)
