"""How often real images are told from fakes, against scikit-learn's area under the ROC curve."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from vaegan.objectives.adversarial import logit_routes, pairwise_accuracy


@pytest.mark.parametrize("decimals", [0, 6])  # with ties and without
def test_pairs_told_apart(decimals):
    rng = np.random.default_rng(0)
    real, fake = rng.normal(0.5, 1, 40).round(decimals), rng.normal(0, 2, 25).round(decimals)
    found = pairwise_accuracy(torch.from_numpy(real), torch.from_numpy(fake))
    truth = np.repeat([1, 0], [40, 25])
    assert float(found) == pytest.approx(roc_auc_score(truth, np.concatenate([real, fake])))


def test_figures_of_each_kind():
    logits = {
        "real": torch.tensor([1.0, 3.0], dtype=torch.bfloat16, requires_grad=True),
        "prior": torch.tensor([-1.0, 2.0], dtype=torch.bfloat16),
    }
    found = logit_routes(logits)
    assert {name: float(value) for name, value in found.items()} == {
        "discriminator/logit-real": 2.0,
        "discriminator/logit-prior": 0.5,
        "discriminator/accuracy-prior": 0.75,
    }
    assert not any(value.requires_grad for value in found.values())
