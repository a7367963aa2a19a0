"""Labels as a measure: of clusters that were made without them, and of a model's samples.

Scores of clusters are functions of the table n_kc, the number of images of cluster k with label c; none depends on how
clusters and labels are numbered. Purity and matched accuracy are not in scikit-learn.

Do samples have the data's labels, equally often? A classifier predicts the label of each sample; the share p_c of
samples classified as label c is compared with the data's share q_c. The classifier makes the same mistakes here as on
real images: with predicted labels of held-out images in place of true ones they cancel.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor


def cluster_scores(clusters: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """Return how well clusters `(N,)` fit labels `(N,)`, of any names; 1 is best.

    Accuracy: the share of images that are right when clusters and labels are matched one to one in the best way (Kuhn
    1955, "The Hungarian method for the assignment problem"); images of unmatched clusters are wrong. NMI:
    I(K; C) / ((H(K) + H(C)) / 2) (Strehl and Ghosh 2002, with the arithmetic mean). ARI: the share of pairs treated
    alike by both, rescaled to 0 by chance (Hubert and Arabie 1985). Purity: the share of images whose label is the
    most frequent one of their cluster; more clusters help.
    """
    from scipy.optimize import linear_sum_assignment  # slow to import, as scikit-learn
    from sklearn import metrics

    k, c = np.asarray(clusters), np.asarray(labels)
    table = metrics.cluster.contingency_matrix(k, c)
    return {
        "accuracy": float(table[linear_sum_assignment(table, maximize=True)].sum() / table.sum()),
        "nmi": float(metrics.normalized_mutual_info_score(c, k)),
        "ari": float(metrics.adjusted_rand_score(c, k)),
        "purity": float(table.max(1).sum() / table.sum()),
    }


_MISSING = 0.1


@dataclass(frozen=True)
class LabelShares:
    """Labels of samples against those of the data; labels that the data does not have count in the divergence alone."""

    samples: Tensor  # p_c, `(C,)`, adding up to 1
    data: Tensor  # q_c, likewise
    rarest: float  # the smallest share of a label among samples
    rarest_label: int  # its number; the first, if several are as rare
    entropy: float  # -sum p_c log p_c in nats; log C if all are as frequent
    # sum p_c log(p_c / q_c) in nats, the divergence of the samples' labels from the data's: 0 if the shares are the
    # same; infinite if a sample has a label of which the data has none
    kl: float
    missing: tuple[int, ...]  # labels whose share is below a tenth of the data's


def compare_labels(probabilities: Tensor, data_labels: Tensor) -> LabelShares:
    """Compare the labels of samples, predicted as probabilities or logits `(N, C)`, with the data's, int `(M,)`."""
    num_labels = probabilities.shape[1]
    both = (probabilities.argmax(1), data_labels.to(probabilities.device))
    p, q = (torch.bincount(labels, minlength=num_labels).double() / len(labels) for labels in both)
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
