"""Evaluations made before: taken again only where a new one could not come out otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data.dataset import ImageData
from ..metrics.extractors.features import FeatureExtractor
from ..models import Model
from ..runs.evaluation import read_evaluation
from ..runs.locate import locate
from .measure import FORMAT

NAME = "evaluation.json"


def kept_evaluation(
    run: Path,
    model: Model,
    data: ImageData,
    extractor: FeatureExtractor,
    *,
    num: int,
    seed: int,
    priors: Sequence[str],
) -> dict[str, Any] | None:
    """Return what `evaluation.json` of a run holds, or None if it is not what would be measured now.

    It must be of these held-out images, this extractor, number and seed, of the model as it is, and have all priors.

    Args:
        run: folder of the run or the model.
        model: of the run.
        data: real images.
        extractor: of features.
        num: images of each kind, at most.
        seed: of samples and choices.
        priors: names of those wanted; others are left away.
    """
    found = read_evaluation(locate(run), model.digest()) or {}
    try:
        fits = (
            found["format"] == FORMAT
            and found["data"]["fingerprint"] == data.fingerprint
            and found["data"]["split"] == "test"
            and found["data"]["num"] == min(num, len(data.test))
            and found["yardstick"]["frechet_distance"]["num"] == min(num, len(data.train))
            and found["extractor"]["fingerprint"] == extractor.fingerprint
            and found["seed"] == seed
            and all(found["samples"].get(prior) for prior in priors)
        )
    except (KeyError, TypeError, AttributeError):
        return None
    return found | {"samples": {prior: found["samples"][prior] for prior in priors}} if fits else None
