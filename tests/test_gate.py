"""The authors' balance gate, case by case."""

from __future__ import annotations

import pytest
import torch

from vaegan.objectives.balance import BalanceGate

# With the authors' 0.68 and 0.35 Dis is too far ahead below 0.33, too far behind above 1.03.
CASES = [
    (0.68, 0.68, set()),
    (0.34, 1.02, set()),
    (0.32, 0.68, {"discriminator"}),
    (0.68, 0.32, {"discriminator"}),
    (0.10, 0.10, {"discriminator"}),
    (1.04, 0.68, {"decoder"}),
    (0.68, 1.04, {"decoder"}),
    (5.00, 5.00, {"decoder"}),
    (0.10, 5.00, set()),  # both would be skipped: both are made
    (5.00, 0.10, set()),
]


@pytest.mark.parametrize(("real", "fake", "skipped"), CASES)
@pytest.mark.parametrize("kinds", [("prior",), ("reconstruction",), ("reconstruction", "prior")])
def test_the_authors_table(real: float, fake: float, skipped: set[str], kinds: tuple[str, ...]) -> None:
    # Two kinds of fake count by their mean; what else the record holds does not matter.
    spread = {kind: torch.tensor(fake + shift) for kind, shift in zip(kinds, (0.05, -0.05), strict=False)}
    if len(kinds) == 1:
        spread = {kinds[0]: torch.tensor(fake)}
    losses = {
        "encoder": {"kl": torch.tensor(99.0), "total": torch.tensor(99.0)},
        "decoder": {"llike": torch.tensor(0.0), "total": torch.tensor(0.0)},
        "discriminator": {"real": torch.tensor(real), **spread, "total": torch.tensor(0.0)},
    }
    assert BalanceGate().skipped_parts(losses) == skipped


def test_equilibrium_and_margin_are_free() -> None:
    losses = {"discriminator": {"real": torch.tensor(1.0), "prior": torch.tensor(1.5), "total": torch.tensor(2.5)}}
    assert BalanceGate(1.2, 0.1).skipped_parts(losses) == set()
    assert BalanceGate(1.2, 0.25).skipped_parts(losses) == {"decoder"}
    assert BalanceGate(1.3, 0.25).skipped_parts(losses) == {"discriminator"}
    assert BalanceGate(1.25, 0.3).skipped_parts(losses) == set()
