"""What a study found, as plain numbers: rows of figures by variant, seed and images seen, kept as JSON.

A page is a function of this file alone, so it can be drawn again without training.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from vaegan.errors import UserError
from vaegan.files import write_json

from .statistics import Answer, Interval, interval, paired

FORMAT = 1
Word = Literal["confirmed", "refuted", "unclear"]
_WORDS: dict[Answer, Word] = {"yes": "confirmed", "no": "refuted", "unclear": "unclear"}


@dataclass(frozen=True)
class Statement:
    """A part of a claim, and what became of it.

    Attributes:
        text: the part, as a sentence that is true or not.
        word: the verdict.
        reason: the figures that decided.
    """

    text: str
    word: Word
    reason: str

    @classmethod
    def answered(cls, text: str, answer: Answer, reason: str) -> Statement:
        """Return the statement that ``answer`` is given to."""
        return cls(text, _WORDS[answer], reason)


@dataclass
class Results:
    """Figures of all runs of a study.

    Attributes:
        about: how they came about: settings, counts, versions.
        rows: ``{"variant", "seed", "images", "figures"}`` each; figures of a diverged run are empty.
        pictures: PNGs in base64 by name, small.
        extras: other plain values that the picture or the text needs.
    """

    about: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    pictures: dict[str, str] = field(default_factory=dict)
    extras: dict[str, Any] = field(default_factory=dict)

    def add(self, variant: str, seed: int, images: int, figures: Mapping[str, Any]) -> None:
        """Add the figures of one run at one moment: numbers, or lists of them."""
        plain = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in figures.items()
        }
        self.rows.append({"variant": variant, "seed": seed, "images": images, "figures": plain})

    @property
    def variants(self) -> list[str]:
        """Variants in the order they came."""
        return list(dict.fromkeys(row["variant"] for row in self.rows))

    def marks(self, variant: str) -> list[int]:
        """Images seen at which a variant was measured, rising."""
        return sorted({row["images"] for row in self.rows if row["variant"] == variant})

    def values(self, variant: str, figure: str, images: int | None = None) -> list[float]:
        """Return a figure of each seed, in the order of seeds, NaN where missing; of the last mark if none is given."""
        images = max(self.marks(variant)) if images is None else images
        return [
            math.nan if (value := row["figures"].get(figure)) is None else value for row in self._of(variant, images)
        ]

    def mean(self, variant: str, figure: str, images: int | None = None) -> Interval:
        """Return mean and interval of a figure over seeds."""
        return interval(self.values(variant, figure, images))

    def gap(self, a: str, b: str, figure: str, images: int | None = None) -> Interval:
        """Return by how much variant ``a`` is above ``b``, seed by seed."""
        return paired(self.values(a, figure, images), self.values(b, figure, images))

    def diverged(self, variant: str) -> int:
        """Return how many of a variant's runs left the finite numbers."""
        last = max(self.marks(variant))
        return sum(not row["figures"] for row in self._of(variant, last))

    def _of(self, variant: str, images: int) -> Iterator[dict[str, Any]]:
        rows = [row for row in self.rows if row["variant"] == variant and row["images"] == images]
        return iter(sorted(rows, key=lambda row: row["seed"]))

    def save(self, path: Path, study: Mapping[str, Any], statements: Sequence[Statement]) -> None:
        """Write all, with what the study is and its verdicts.

        Raises:
            UserError: if it cannot be written.
        """
        verdicts = [vars(statement) for statement in statements]
        write_json(path, {"format": FORMAT, **study, "statements": verdicts, **vars(self)})


def read_results(path: Path) -> Results:
    """Read what `Results.save` wrote.

    Raises:
        UserError: if there is no such file, or it is of another version.
    """
    values = read_page(path)
    return Results(values["about"], values["rows"], values["pictures"], values["extras"])


def read_page(path: Path) -> dict[str, Any]:
    """Read all that is in the file: title, claim, statements, figures.

    Raises:
        UserError: if there is no such file, or it is of another version.
    """
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no results of a study; run it without --redraw first") from error
    if values.get("format") != FORMAT:
        raise UserError(f"{path}: of another version of the studies; run the study again")
    return values
