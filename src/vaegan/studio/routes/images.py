"""An image goes in: uploaded, or one of the data; its code, reconstruction and error come out."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch
from fastapi import APIRouter, File, Form, Query, UploadFile
from fastapi import Path as InPath
from fastapi.responses import Response
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from ...data.dataset import ImageSet
from ...losses import kl_per_dimension
from ...pixels import to_unit
from ...report.grid import Bytes, to_uint8
from ..batched_inference import decode, encode
from ..code_sets import Split
from ..conditions import Told, condition_of
from ..http_errors import Refused
from ..registry import OfModel
from ..responses import Form as AnswerForm
from ..responses import answer, data_uri, rounded
from ..served_model import Opened
from ..uploads import read_upload

router = APIRouter(tags=["images"])
WHITE = 0.5  # error of a pixel that is drawn white

Upload = Annotated[UploadFile, File(description="PNG, JPEG, WebP or BMP of any size; it is cropped as the model needs")]
ToldText = Annotated[str, Form(max_length=10_000, description="of conditional models, JSON as in /decode")]


@router.post("/api/models/{model}/encode")
def encode_upload(opened: OfModel, file: Upload, told: ToldText = "{}") -> dict[str, Any]:
    """Return the code of an image: mu, and log variances unless the model is a plain autoencoder."""
    mu, *rest = encode(opened, _read(opened, file), _told(told))
    return {"code": rounded(mu[0]), "logvar": rounded(rest[0][0]) if rest else None}


@router.post("/api/models/{model}/reconstruct")
def reconstruct_upload(
    opened: OfModel, file: Upload, told: ToldText = "{}", form: Annotated[AnswerForm, Form()] = "json"
) -> Response:
    """Return an image as the model sees it, its code, its reconstruction and where the two differ."""
    x = _read(opened, file)
    return _reconstructed(opened, x, condition_of(opened.model(), _told(told), 1), form)


@router.get("/api/models/{model}/examples")
def examples(
    opened: OfModel,
    num: Annotated[int, Query(ge=1, le=64)] = 12,
    seed: Annotated[int, Query(ge=0, lt=2**31)] = 0,
    split: Split = "test",
) -> Response:
    """Return some images of the data, with their places in it."""
    images = opened.images(split)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(images))[:num])
    more = {"indices": chosen.tolist(), "labels": [label_of(images, int(i)) for i in chosen], "of": len(images)}
    return answer("json", np.array(images.images[chosen]), name="examples", **more)


@router.get("/api/models/{model}/examples/{index}")
def example(
    opened: OfModel, index: Annotated[int, InPath(ge=0)], split: Split = "test", form: AnswerForm = "json"
) -> Response:
    """Return the same of an image of the data as of an upload."""
    images = opened.images(split)
    if index >= len(images):
        raise Refused(404, f"there is no {split} image {index}; there are 0 to {len(images) - 1}")
    chosen = np.array([index])
    x = to_unit(torch.from_numpy(np.array(images.images[chosen])))
    if opened.model().encoder is None:
        return answer(form, x, name=f"{opened.name}-{split}-{index}", label=label_of(images, index))
    c = opened.model().condition_of(images, chosen)
    known = {"label": label_of(images, index), "index": index, "split": split, "told": _told_of(opened, images, index)}
    return _reconstructed(opened, x, c, form, **known)


def _told_of(opened: Opened, images: ImageSet, index: int) -> dict[str, Any] | None:
    """Return what a conditional model is told of an image of the data, in the words of a request."""
    conditioning = opened.model().conditioning
    if conditioning is None:
        return None
    if conditioning.kind == "labels":
        return {"label": label_of(images, index)}
    assert images.attributes is not None
    values = zip(images.attribute_names, images.attributes[index].tolist(), strict=True)
    return {"attributes": {name: value for name, value in values if name in conditioning.names and value == value}}


def label_of(images: ImageSet, index: int) -> str | None:
    """Return the name of an image's label; None where it is not known."""
    label = -1 if images.labels is None else int(images.labels[index])
    return images.label_names[label] if 0 <= label < len(images.label_names) else None


def error_map(x: Tensor, x_tilde: Tensor) -> Bytes:
    """Return uint8 `(H, W, 3)`: the mean absolute error of each pixel over channels, from black over red to white.

    The scale is the same for all images, so that maps can be compared: errors of 0.5 and more are white.
    """
    heat: NDArray[Any] = (x - x_tilde).abs().mean(0).numpy() / WHITE
    colours = np.stack([3 * heat, 3 * heat - 1, 3 * heat - 2])
    picture: Bytes = to_uint8(colours[None].clip(0, 1))[0]
    return picture


def _reconstructed(opened: Opened, x: Tensor, c: Tensor | None, form: AnswerForm, **more: Any) -> Response:
    mu, *rest = encode(opened, x, condition=c)
    x_tilde = decode(opened, mu, condition=c)
    errors = error_map(x[0], x_tilde[0])
    name = f"{opened.name}-reconstruction"
    if form == "json":
        more |= {
            "original": data_uri(to_uint8(x)[0]),
            "reconstruction": data_uri(to_uint8(x_tilde)[0]),
            "error_map": data_uri(errors),
            "code": rounded(mu[0]),
            "deviation": rounded((0.5 * rest[0][0]).exp()) if rest else None,
            "kl": float(kl_per_dimension(mu, rest[0]).sum()) if rest else None,
            "mean_absolute_error": float((x - x_tilde).abs().mean()),
            "mean_squared_error": float((x - x_tilde).square().mean()),
        }
        return answer("json", x_tilde, mu, name=name, **more)
    colours = [to_uint8(image.expand(1, 3, -1, -1))[0] for image in (x, x_tilde)]
    return answer(form, np.stack([*colours, errors]), mu.expand(3, -1), name=name, columns=3)


def _read(opened: Opened, file: UploadFile) -> Tensor:
    settings = opened.data_settings
    return read_upload(file.file.read(), opened.model().image_shape, settings.crop, settings.crop_size)


def _told(text: str) -> Told:
    try:
        return Told.model_validate_json(text)
    except ValidationError as error:
        raise Refused(422, f"told: {error.errors()[0]['msg']}") from error
