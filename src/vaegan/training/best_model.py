"""The best snapshot: every snapshot's model is scored on held-out images, and the best so far is saved.

The score is the Fréchet distance of samples plus that of reconstructions (of what the model can do), in features of
the default extractor of the data. It judges images, where sums of losses do not: those of VAE/GAN move with the
discriminator. Images, seeds and extractor are the same at each snapshot, so that scores of a run compare.

Codes of a VAE do not fill N(0, I), and a prior fitted to them makes up for it after training. So samples are decoded
from a mixture of Gaussians, quickly fitted to codes z ~ q(z|x) of training images; a GAN's come from N(0, I).
"""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data import ImageData
from ..data.dataset import some_rows
from ..evaluation.image_metrics import moments_of, quick_scores
from ..files import read_json
from ..latent.encoding import drawn_codes
from ..metrics.extractors.features import FeatureExtractor, open_extractor
from ..metrics.extractors.learned import Learned, num_images_for
from ..models import Model
from ..models.inference import rows_at_once
from ..priors.gaussian import Gaussian
from ..priors.mixture import BLOCK, Mixture, fit_components
from ..runs.run_folder import BEST, MODEL_CONFIG, RunFolder
from .setup import Setup

log = logging.getLogger("vaegan")

NUM_CODES = 10_000
NUM_GAUSSIANS = 100
_SEED = 0


class BestModel:
    """Scores models by held-out images and samples, ``num`` of each, and saves the best in a folder."""

    def __init__(self, folder: Path, data: ImageData, extractor: FeatureExtractor, num: int) -> None:
        self.folder, self.extractor, self.num = folder, extractor, num
        self.scored_on = {"images": num, "extractor": extractor.fingerprint}
        self.images, self.train = data.test.some(num, _SEED), data.train
        self.labels = None if self.images.labels is None else np.bincount(self.images.labels)
        self.reference = moments_of(self.images, extractor)
        self.to_encode = some_rows(len(self.train), NUM_CODES, _SEED)
        self.best = _best_in(folder, self.scored_on)

    def score(self, model: Model) -> dict[str, Any]:
        """Score a model, and save it if none was better; return what goes into a record.

        That is ``scores`` with 'frechet_samples', 'frechet_reconstructions' (of what the model can do) and their sum
        'score'; and ``labels``, if a classifier can predict them: name -> number of samples and of held-out images.
        """
        features: list[Tensor] = []
        scores = quick_scores(
            model,
            self.images,
            self.extractor,
            self.num,
            _SEED,
            reference=self.reference,
            codes=self._codes(model),
            condition=model.condition_of(self.images),
            on_samples=features.append,
        )
        score = sum(scores.values())
        if self.best is None or score < self.best:
            self.best = score
            copy = model.with_parts({})
            copy.info = model.info | {"score": score, "scores": scores, "scored_on": self.scored_on}
            copy.save(self.folder)
        record: dict[str, Any] = {"scores": scores | {"score": score}}
        if features and self.labels is not None and isinstance(self.extractor, Learned) and self.extractor.label_names:
            record["labels"] = self._count_labels(self.extractor, features[0], self.labels)
        return record

    def _codes(self, model: Model) -> Tensor | None:
        """Codes to decode samples from, (num, Z); None where the model has a true prior or nothing to sample with."""
        if model.encoder is None or model.kind == "ae" or len(self.to_encode) < 2:
            return None
        step = rows_at_once(math.prod(model.image_shape[1:]))
        codes = drawn_codes(model, self.train, self.to_encode, _SEED, step)
        return quick_mixture(torch.cat(list(codes))).sample(self.num, seed=_SEED)

    def _count_labels(self, extractor: Learned, features: Tensor, real: NDArray[np.int64]) -> dict[str, list[int]]:
        names = extractor.label_names
        made = torch.bincount(extractor.label_probabilities(features).argmax(1), minlength=len(names)).tolist()
        return {name: [made[k], int(real[k]) if k < len(real) else 0] for k, name in enumerate(names)}


def quick_mixture(codes: Tensor) -> Mixture:
    """Fit a mixture of few Gaussians to codes (N, Z) in few steps."""
    whitening = Gaussian.of(codes)
    num, block = max(1, min(NUM_GAUSSIANS, len(codes) // 50)), min(codes.shape[1], BLOCK)
    components = fit_components(whitening.whiten(codes), num, block=block, seed=_SEED, max_steps=20)
    return Mixture(whitening, components)


def open_best_model(folder: RunFolder, setup: Setup, device: torch.device) -> BestModel | None:
    """Open the best model of a run, if configured; with 'auto', if the run is long enough."""
    t, data = setup.config.train, setup.data
    if t.best_metric == "none":
        return None
    if t.best_metric == "auto" and not is_affordable(data, setup.trainer.settings.total_images):
        return None
    extractor = open_extractor(None, data, cache=setup.config.data.cache, device=device)
    return BestModel(folder.path / BEST, data, extractor, t.best_images)


def why_no_modes(setup: Setup, best: BestModel | None, record: Mapping[str, Any]) -> str:
    """Say why a snapshot's record has no check of the labels of samples; empty if it has, or there are no samples."""
    if setup.model.kind == "ae" or any(finding["check"] == "modes" for finding in record["health"]):
        return ""
    if setup.data.test.labels is None:
        return "the images have no labels"
    if best is None:
        short = "the run is too short to train a classifier first; " if setup.config.train.best_metric == "auto" else ""
        return f"{short}set --train.best-metric fd"
    return "too few samples" if "labels" in record else f"the extractor {best.extractor.name} does not predict labels"


def is_affordable(data: ImageData, total_images: int) -> bool:
    """Whether a run sees more images than the extractor is trained on, which happens once for these data.

    A step of a VAE/GAN costs several times one of that small network; so the first run becomes longer by a fraction,
    and later ones by the time that scoring takes.
    """
    return total_images >= num_images_for(len(data.train), data.image_shape)


def _best_in(folder: Path, scored_on: Mapping[str, Any]) -> float | None:
    """The score of the saved model; None if there is none, or it is of other images or features."""
    try:
        info = read_json(folder / MODEL_CONFIG)["info"]
        score = float(info["score"])
        return score if info.get("scored_on", scored_on) == scored_on else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
