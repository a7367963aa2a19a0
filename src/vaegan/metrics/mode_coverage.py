"""Do samples have the labels that the data has, and as often? A classifier predicts the label of each sample.

The share p_c of samples classified as label c is compared with the data's share q_c. The classifier makes the same
mistakes here as on real images: with predicted labels of held-out images in place of true ones they cancel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_MISSING = 0.1


@dataclass(frozen=True)
class LabelShares:
    """Labels of samples against those of the data; labels that the data does not have count in the divergence alone.

    Attributes:
        samples: p_c, `(C,)`, adding up to 1.
        data: q_c, likewise.
        rarest: the smallest share of a label among samples.
        rarest_label: its number; the first, if several are as rare.
        entropy: -sum p_c log p_c in nats; log C if all are as frequent.
        kl: sum p_c log(p_c / q_c) in nats, the divergence of the samples' labels from the data's: 0 if the shares are
            the same; infinite if a sample has a label of which the data has none.
        missing: labels whose share is below a tenth of the data's.
    """

    samples: Tensor
    data: Tensor
    rarest: float
    rarest_label: int
    entropy: float
    kl: float
    missing: tuple[int, ...]


def compare_labels(probabilities: Tensor, data_labels: Tensor) -> LabelShares:
    """Compare the predicted labels of samples with labels of the data.

    Args:
        probabilities: of the C labels (or their logits), `(N, C)`, as a classifier sees them in samples.
        data_labels: labels of images, int `(M,)`, each from 0 to C - 1.
    """
    num_labels = probabilities.shape[1]
    p, q = (_shares(labels, num_labels) for labels in (probabilities.argmax(1), data_labels.to(probabilities.device)))
    has = q > 0
    rarest, label = torch.where(has, p, torch.inf).min(0)
    return LabelShares(
        samples=p,
        data=q,
        rarest=float(rarest),
        rarest_label=int(label),
        entropy=float(-torch.xlogy(p, p).sum()),
        kl=float((torch.xlogy(p, p) - torch.xlogy(p, q)).sum()),
        missing=tuple(torch.nonzero(has & (p < _MISSING * q))[:, 0].tolist()),
    )


def _shares(labels: Tensor, num_labels: int) -> Tensor:
    return torch.bincount(labels, minlength=num_labels).double() / len(labels)
