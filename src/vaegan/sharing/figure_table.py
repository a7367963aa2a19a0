"""The figures of `evaluation.json` as a model card shows them: each with its interval and number of images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..metrics.figures import GROUPS, Figure, info_of, plain, shown_in


def figure_lines(evaluation: Mapping[str, Any] | None, prior: str | None) -> list[str]:
    """Return the figures as lines of Markdown.

    Args:
        evaluation: see `evaluation.measure`; None if the model has not been measured.
        prior: that samples come from.
    """
    if evaluation is None:
        return ["None: the model had not been measured when this was written (`vaegan evaluate`)."]
    data, baseline = evaluation["data"], evaluation["yardstick"]
    lines = ["| of | figure | value | interval of 95 % | real-data baseline | images |", "|---|---|---|---|---|---|"]
    for group, name, one in _chosen(evaluation, prior):
        interval = f"{plain(one.low)} to {plain(one.high)}" if one.low <= one.high else "–"
        real = baseline.get(name, {}).get("value") if group in ("samples", "reconstructions") else None
        cells = [GROUPS[group], info_of(name).title, plain(one.value), interval]
        lines += ["| " + " | ".join([*cells, "–" if real is None else plain(real), f"{one.num:,}"]) + " |"]
    lines += [
        "",
        f"Measured on {data['num']:,} {'held-out' if data['split'] == 'test' else 'training'} images, samples from the "
        f"prior {prior}, seed {evaluation['seed']}, features of {evaluation['extractor']['name']}. Intervals are over "
        "images. The real-data baseline is training images measured in place of samples. Only figures with the same "
        "features and number of images can be compared.",
    ]
    return lines


def model_index(evaluation: Mapping[str, Any] | None, prior: str | None, data: str) -> list[Any]:
    """Return the figures as the hub reads them by program (`huggingface_hub.EvalResult`); none if there are none."""
    if evaluation is None:
        return []
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type="unconditional-image-generation",
            dataset_type=data,
            dataset_name=data,
            dataset_split=evaluation["data"]["split"],
            metric_type=f"{group}/{name}",
            metric_name=f"{GROUPS[group]}: {info_of(name).title}",
            metric_value=one.value,
        )
        for group, name, one in _chosen(evaluation, prior)
    ]


def _chosen(evaluation: Mapping[str, Any], prior: str | None) -> Iterator[tuple[str, str, Figure]]:
    for group in ("samples", "reconstructions", "likelihood", "codes"):
        figures = evaluation["samples"].get(prior, {}) if group == "samples" else evaluation[group]
        for name in shown_in("card", group):
            if name in figures and figures[name]["value"] is not None:
                yield group, name, Figure.from_json(figures[name])
