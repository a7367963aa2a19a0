"""The figures of `evaluation.json` as a card shows them: each with its interval and number of images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..metrics.titles import title_of

_SHOWN = {
    "samples": (
        "frechet_distance", "frechet_ratio", "precision", "recall", "coverage", "missing_labels", "rarest_share",
        "sharpness", "copies_nearer",
    ),
    "reconstructions": ("frechet_distance", "mse", "psnr", "ssim", "sharpness"),
    "likelihood": ("elbo", "importance_bound", "active_units"),
    "codes": ("linear_probe",),
}  # fmt: skip
_HEADS = {
    "samples": "new images",
    "reconstructions": "reconstructions",
    "likelihood": "held-out images under the model",
    "codes": "codes",
}


def figure_lines(evaluation: Mapping[str, Any] | None, prior: str | None) -> list[str]:
    """Return the figures as lines of Markdown.

    Args:
        evaluation: see `evaluation.measure`; None if the model has not been measured.
        prior: that new images come from.
    """
    if evaluation is None:
        return ["None: the model had not been measured when this was written (`vaegan evaluate`)."]
    data, yardstick = evaluation["data"], evaluation["yardstick"]
    lines = ["| of | figure | value | interval of 95 % | real images | images |", "|---|---|---|---|---|---|"]
    for group, name, found in _chosen(evaluation, prior):
        bounds = (found["low"], found["high"])
        interval = "–" if None in bounds else " to ".join(map(_number, bounds))
        real = yardstick.get(name, {}).get("value") if group in ("samples", "reconstructions") else None
        cells = [_HEADS[group], title_of(name), _number(found["value"]), interval]
        lines += ["| " + " | ".join([*cells, "–" if real is None else _number(real), f"{found['num']:,}"]) + " |"]
    lines += [
        "",
        f"Measured on {data['num']:,} {'held-out' if data['split'] == 'test' else 'training'} images, new images from "
        f"the prior {prior}, seed {evaluation['seed']}, features of {evaluation['extractor']['name']}. Intervals are "
        "over images. Real images are training images in place of the model's: nothing comes nearer. Only figures of "
        "the same features and numbers of images can be compared.",
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
            metric_name=f"{_HEADS[group]}: {title_of(name)}",
            metric_value=found["value"],
        )
        for group, name, found in _chosen(evaluation, prior)
    ]


def _chosen(evaluation: Mapping[str, Any], prior: str | None) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for group, names in _SHOWN.items():
        figures = evaluation["samples"].get(prior, {}) if group == "samples" else evaluation[group]
        for name in names:
            if name in figures and figures[name]["value"] is not None:
                yield group, name, figures[name]


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")
