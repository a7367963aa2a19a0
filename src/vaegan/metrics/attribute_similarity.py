"""Do images show the attributes they are conditioned on? As in the paper's Table 2 (arXiv:1512.09300).

For each target attribute vector y, K images are drawn (the paper: 10), and a separately trained regressor predicts the
attributes y' of each. Of the K images the paper takes the one whose cosine

    cos(y', y) = <y', y> / (||y'|| ||y||)

is highest. All attribute vectors have much in common, so that even an image that ignores y has a high cosine; the
centred one, of y' - c and y - c with c the mean attribute vector of the data, is near 0 then. The best of K also
rewards images that differ widely, hence the mean over the K beside it. Real images with their own attributes (K = 1)
show how much is the regressor's own error.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class AttributeSimilarity:
    """One number for each target attribute vector, `(N,)` each.

    Attributes:
        cosine: highest of the K images, as in Table 2.
        mean_cosine: mean over the K images.
        centred_cosine: highest of the K images, after the mean attribute vector is subtracted.
        mean_centred_cosine: mean over the K images of the same.
        mse: squared error, mean over attributes, of the image with the highest cosine; times A it is the sum.
        mean_mse: the same, mean over the K images.
    """

    cosine: Tensor
    mean_cosine: Tensor
    centred_cosine: Tensor
    mean_centred_cosine: Tensor
    mse: Tensor
    mean_mse: Tensor


def attribute_similarity(predicted: Tensor, target: Tensor, centre: Tensor) -> AttributeSimilarity:
    """Compare predicted attributes of images with target attributes.

    Args:
        predicted: y', of K images for each vector, `(N, K, A)`.
        target: y, `(N, A)`; NaN where unknown, which is ignored.
        centre: c, mean attribute vector of the data, `(A,)`.
    """
    predicted, target, centre = predicted.double(), target.double()[:, None], centre.double()
    is_known = ~target.isnan()
    cosine = _cosine(predicted, target, is_known)
    centred = _cosine(predicted - centre, target - centre, is_known)
    error = torch.where(is_known, predicted - target, 0).square().sum(2) / is_known.sum(2)
    best, of = cosine.max(1)
    return AttributeSimilarity(
        cosine=best,
        mean_cosine=cosine.mean(1),
        centred_cosine=centred.amax(1),
        mean_centred_cosine=centred.mean(1),
        mse=error.gather(1, of[:, None])[:, 0],
        mean_mse=error.mean(1),
    )


def _cosine(a: Tensor, b: Tensor, is_known: Tensor) -> Tensor:
    """Return cosines `(N, K)` over known attributes; 0 where a vector is 0."""
    return F.cosine_similarity(torch.where(is_known, a, 0), torch.where(is_known, b, 0), dim=2)
