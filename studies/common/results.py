"""Results of a study: metrics by variant, seed and images seen, with strips of example images.

They are two files, `NAME.json` and `NAME.png` (the strips, one below the other). Page and chart are functions of these
files alone, so both can be drawn again without training.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vaegan.errors import UserError
from vaegan.files import write_text, written_beside

from .statistics import Answer, Interval, interval, paired

FORMAT = 2
DIGITS = 8
"""Significant digits of every number."""


@dataclass(frozen=True)
class Statement:
    """One part of a claim with its verdict.

    Attributes:
        text: a sentence that is true or false.
        answer: whether the results confirm it.
        evidence: the numbers behind the answer.
    """

    text: str
    answer: Answer
    evidence: str


@dataclass
class Results:
    """Metrics of all runs of a study.

    Attributes:
        about: where they come from: settings, counts, versions.
        rows: ``{"variant", "seed", "images", "metrics"}`` each; the metrics of a diverged run are empty.
        strips: example images by title, uint8 `(H, W)` or `(H, W, 3)`, all of one shape.
        extras: other plain values that page or chart needs.
    """

    about: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    strips: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    extras: dict[str, Any] = field(default_factory=dict)
    _used: set[tuple[str, int, str]] = field(default_factory=set, init=False, repr=False)

    def add(self, variant: str, seed: int, images: int, metrics: Mapping[str, Any]) -> None:
        """Add the metrics of one run after ``images`` training images: numbers, or lists of them."""
        plain = {name: _rounded(value) if isinstance(value, float) else value for name, value in metrics.items()}
        self.rows.append({"variant": variant, "seed": seed, "images": images, "metrics": plain})

    @property
    def variants(self) -> list[str]:
        """Variants in the order they were added."""
        return list(dict.fromkeys(row["variant"] for row in self.rows))

    def marks(self, variant: str) -> list[int]:
        """Images seen at which a variant was measured, rising."""
        return sorted({row["images"] for row in self.rows if row["variant"] == variant})

    def values(self, variant: str, metric: str, images: int | None = None) -> list[float]:
        """Return a metric of each seed, in the order of seeds, at the last mark if no other is named.

        A run that diverged, and a value that is not finite, give NaN.

        Raises:
            UserError: if the metric was not saved.
        """
        images = max(self.marks(variant)) if images is None else images
        self._used.add((variant, images, metric))
        values = []
        for metrics in self._metrics(variant, images):
            if metrics and metric not in metrics:
                raise UserError(f"the results have no {metric!r} of {variant!r}; run the study again without --redraw")
            value = metrics.get(metric)
            values.append(math.nan if value is None else value)
        return values

    def mean(self, variant: str, metric: str, images: int | None = None) -> Interval:
        """Return mean and interval of a metric over seeds."""
        return interval(self.values(variant, metric, images))

    def gap(self, a: str, b: str, metric: str, images: int | None = None) -> Interval:
        """Return by how much variant ``a`` is above ``b``, seed by seed."""
        return paired(self.values(a, metric, images), self.values(b, metric, images))

    def diverged(self, variant: str) -> int:
        """Return how many of a variant's runs diverged."""
        return sum(not metrics for metrics in self._metrics(variant, max(self.marks(variant))))

    def _metrics(self, variant: str, images: int) -> Iterator[dict[str, Any]]:
        rows = [row for row in self.rows if row["variant"] == variant and row["images"] == images]
        return (row["metrics"] for row in sorted(rows, key=lambda row: row["seed"]))

    def save(self, path: Path) -> None:
        """Write what was read so far, which after page and chart are made is what they need, and no more.

        Args:
            path: of the JSON; the strips are written beside it as PNG.

        Raises:
            UserError: if it cannot be written.
        """
        rows = []
        for row in self.rows:
            key = row["variant"], row["images"]
            metrics = {name: value for name, value in row["metrics"].items() if (*key, name) in self._used}
            if metrics or not row["metrics"]:
                rows.append({**row, "metrics": metrics})
        values = {"about": self.about, "extras": self.extras, "rows": rows, "strips": list(self.strips)}
        write_text(path, _json_by_line({"format": FORMAT, **values}))
        if self.strips:
            from PIL import Image

            with written_beside(path.with_suffix(".png")) as beside:
                Image.fromarray(np.concatenate(np.stack(list(self.strips.values())))).save(beside, optimize=True)


def read_results(path: Path) -> Results:
    """Read what `Results.save` wrote.

    Raises:
        UserError: if a file is missing, or of another version.
    """
    from PIL import Image

    strips: list[np.ndarray[Any, Any]] = []
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if titles := values.get("strips", []):
            with Image.open(path.with_suffix(".png")) as image:
                strips = np.split(np.asarray(image), len(titles))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no results of a study; run it without --redraw first") from error
    if values.get("format") != FORMAT:
        raise UserError(f"{path}: written by another version of the studies; run the study again")
    return Results(values["about"], values["rows"], dict(zip(titles, strips, strict=True)), values["extras"])


def table(header: Sequence[str], rows: Sequence[Sequence[object]], *, numbers: bool = True) -> str:
    """Return a Markdown table; the first column is text, the others are numbers, or text as well."""
    ruler = ["---", *["---:" if numbers else "---"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in (header, ruler, *rows))


def table_of(
    results: Results, columns: Sequence[tuple[str, str]], *, first: str, variants: Sequence[str] | None = None
) -> str:
    """Return a table with a row per variant: mean and interval of each metric over seeds, at the last mark.

    Args:
        results: where the metrics are.
        columns: heading and metric.
        first: heading of the variants.
        variants: which; all if None.
    """
    rows = [
        [variant, *[results.mean(variant, metric) for _, metric in columns]] for variant in variants or results.variants
    ]
    return table([first, *[heading for heading, _ in columns]], rows)


def _rounded(value: float) -> float | None:
    """Return a number with the digits that are saved; None if it is not finite."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def _json_by_line(values: Mapping[str, Any]) -> str:
    """Return JSON with a line for each entry of each of the top values, so that a diff shows what changed."""

    def entry(value: Any) -> str:
        if isinstance(value, list) and value:
            return "[\n" + ",\n".join(f"  {json.dumps(item, ensure_ascii=False)}" for item in value) + "\n ]"
        if isinstance(value, dict) and value:
            lines = (f"  {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in value.items())
            return "{\n" + ",\n".join(lines) + "\n }"
        return json.dumps(value)

    return "{\n" + ",\n".join(f" {json.dumps(name)}: {entry(value)}" for name, value in values.items()) + "\n}\n"
