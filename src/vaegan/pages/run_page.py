"""The page of one run: settings, losses, snapshots, and what its model has learned."""

from __future__ import annotations

from collections.abc import Sequence

from ..config import KINDS
from ..runs.opened import OpenedRun, number_of_parameters
from ..runs.records import Record
from .content import Facts, Section
from .model_sections import Subject, model_sections
from .render import render_page
from .run_sections import (
    health_section,
    losses_section,
    scores_section,
    settings_section,
    shown,
    snapshots_section,
    timing_section,
)


def run_page(subject: Subject) -> tuple[str, list[Section]]:
    """Return a run's page as HTML, and its sections."""
    run, records = subject.run, subject.run.records()
    config = run.config
    sections = [
        *([settings_section(config)] if config else []),
        losses_section(records),
        *([scores] if (scores := scores_section(records)) else []),
        health_section(records),
        snapshots_section(run.place.run or run.path, records),
        *model_sections(subject),
        timing_section(records, config, run.model().info.get("device") if run.has_model else None),
    ]
    return render_page(run.name, _lead(run, records), _facts(run), sections), sections


def _lead(run: OpenedRun, records: Sequence[Record]) -> str:
    kind = KINDS[run.config.model.kind if run.config else run.model().kind].phrase
    words = kind[:1].upper() + kind[1:] + (f" on {shown(run.config.data.source)}" if run.config else "")
    if not records:
        return f"{words}."
    last = records[-1]
    return f"{words}: {last['images']:,} images seen in {last['epoch']:.4g} epochs."


def _facts(run: OpenedRun) -> Facts:
    pairs = []
    if run.config:
        pairs += [
            ("recipe", run.config.recipe), ("network", run.config.model.network), ("seed", str(run.config.seed))
        ]  # fmt: skip
    if run.has_model:
        model = run.model()
        channels, height, width = model.image_shape
        pairs += [
            ("images", f"{width} × {height}, {'grey' if channels == 1 else 'colour'}"),
            ("dimensions of z", str(model.latent_dim)),
            *((f"{name} parameters", f"{num:,}") for name, num in number_of_parameters(model).items()),
        ]
    return Facts(pairs)
