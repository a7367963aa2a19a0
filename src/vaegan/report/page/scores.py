"""How good the snapshots were: scores over the run, and which one was best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..curves import collect_scores
from .blocks import Facts, Section
from .chart import draw_chart

TEXT = (
    "Fréchet distances of samples and of reconstructions to held-out images, of the same images and seeds at each "
    "snapshot; lower is better. The model with the lowest sum is kept as best/, beside the last one."
)


def scores_section(records: Sequence[Mapping[str, Any]]) -> Section | None:
    """Return a chart of the scores of snapshots and the best of them; None where there are none."""
    looks = [record for record in records if record.get("scores")]
    if not looks:
        return None
    best = min(looks, key=lambda record: record["scores"]["score"])
    facts = Facts([
        ("best", f"{best['scores']['score']:.4g}"),
        ("after", f"{best['images']:,} images"),
        ("last", f"{looks[-1]['scores']['score']:.4g}"),
    ])  # fmt: skip
    lines = [(name, colour, False, line) for colour, (name, line) in enumerate(collect_scores(records).items())]
    chart = draw_chart("score", "Fréchet distance, over images seen.", lines)
    return Section("Scores", [facts, *([chart] if chart else [])], TEXT)
