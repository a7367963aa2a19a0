"""The authors' balance gate: the part that is too far ahead waits (their published code; not in the paper's text).

With m the margin around an equilibrium cross entropy e: skip Dis's step if its loss on reals or on fakes is below
e - m, skip Dec's if either is above e + m; if both would be skipped, make both. Enc always steps.
"""

from __future__ import annotations

from dataclasses import dataclass

from .step import Losses


@dataclass(frozen=True)
class BalanceGate:
    """Decides which parts step.

    Attributes:
        equilibrium: cross entropy in nats around which the two are balanced (log 2 is a coin toss).
        margin: distance from it at which the gate closes.
    """

    equilibrium: float = 0.68
    margin: float = 0.35

    def closed_to(self, losses: Losses) -> set[str]:
        """Return the parts that skip this step.

        Args:
            losses: of this step; Dis's ``real`` and its fakes' are looked at, the fakes' as their mean.
        """
        terms = {name: float(loss) for name, loss in losses["discriminator"].items() if name != "total"}
        fakes = [loss for name, loss in terms.items() if name != "real"]
        looked_at = (terms["real"], sum(fakes) / len(fakes))
        dis_ahead = min(looked_at) < self.equilibrium - self.margin
        dec_ahead = max(looked_at) > self.equilibrium + self.margin
        if dis_ahead == dec_ahead:
            return set()
        return {"discriminator"} if dis_ahead else {"decoder"}
