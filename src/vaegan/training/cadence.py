"""When something is due in a run: every so many images or steps, and at the end."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cadence:
    """Due in each step that reaches or passes a multiple of ``every``, and in the last step.

    The count alone decides, so a resumed run gets the same answers as one that was never interrupted.

    >>> cadence = Cadence(200, step=64, end=320)
    >>> [images for images in range(64, 321, 64) if cadence.due(images)]
    [256, 320]

    Attributes:
        every: the interval, at least 1.
        step: how much a step adds to the count.
        end: the count after the last step; None if there is no last step.
    """

    every: int
    step: int = 1
    end: int | None = None

    def due(self, count: int) -> bool:
        """Whether it is due in the step after which the count is ``count``."""
        return self.passes_multiple(count) or (self.end is not None and count >= self.end)

    def passes_multiple(self, count: int) -> bool:
        """Whether it is due there whatever the end is: a longer run gives the same answer."""
        return count // self.every != (count - self.step) // self.every
