"""Which snapshot was the best: each one's model is scored on held-out images, and the best so far is kept.

The score is the Fréchet distance of samples plus that of reconstructions (of what the model can do), in features of
the default extractor of the data. It judges what a user will see, where sums of losses do not: those of VAE/GAN move
with the discriminator. Images, seeds and extractor are the same at each snapshot, so that scores of a run compare.

Codes of a VAE do not fill N(0, I), and a prior fitted to them makes up for it after training. So samples are decoded
from a mixture of Gaussians fitted in a moment to codes z ~ q(z|x) of training images; a GAN's come from N(0, I).
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config import Config
from ..data import ImageData
from ..data.conditions import Conditioning
from ..evaluation.quick import moments_of, quick_scores
from ..metrics.extractors.features import FeatureExtractor, open_extractor
from ..metrics.extractors.learned import Learned, num_images_for
from ..models import Model
from ..pixels import to_unit
from ..priors.gaussian import Gaussian
from ..priors.mixture import BLOCK, Mixture, fit_components
from ..runs.files import MODEL_CONFIG

log = logging.getLogger("vaegan")

NUM_CODES = 10_000
NUM_GAUSSIANS = 100
_SEED = 0


class Selection:
    """Scores models and keeps the best.

    Args:
        folder: where the best is kept.
        data: whose held-out images are the standard.
        extractor: of features.
        num: held-out images, and samples.
        conditioning: of a conditional model.
    """

    def __init__(
        self,
        folder: Path,
        data: ImageData,
        extractor: FeatureExtractor,
        num: int,
        conditioning: Conditioning | None = None,
    ) -> None:
        self.folder, self.extractor, self.num = folder, extractor, num
        held_out, encoded = data.test.some(num, _SEED), data.train.some(NUM_CODES, _SEED)
        self.images = np.array(held_out.images)
        self.labels = None if held_out.labels is None else np.bincount(held_out.labels)
        self.reference = moments_of(self.images, extractor)
        self.c = None if conditioning is None else conditioning.of_images(held_out)
        self.to_encode = torch.from_numpy(np.array(encoded.images))
        self.c_to_encode = None if conditioning is None else conditioning.of_images(encoded)
        self.best = _best_in(folder)

    def look(self, model: Model) -> dict[str, Any]:
        """Score a model, and keep it if none was better.

        Returns:
            For a record: ``scores`` with 'frechet_samples', 'frechet_reconstructions' (as far as the model has the
            parts) and their sum 'score'; ``labels``, where a classifier knows them: name -> how many samples and how
            many held-out images have it.
        """
        seen: list[Tensor] = []
        scores = quick_scores(
            model,
            self.images,
            self.extractor,
            self.num,
            _SEED,
            reference=self.reference,
            codes=self._codes(model),
            condition=self.c,
            on_samples=seen.append,
        )
        score = sum(scores.values())
        if self.best is None or score < self.best:
            self.best = score
            kept = model.with_parts({})
            kept.info = model.info | {"score": score, "scores": scores}
            kept.save(self.folder)
        found: dict[str, Any] = {"scores": scores | {"score": score}}
        if seen and self.labels is not None and isinstance(self.extractor, Learned) and self.extractor.label_names:
            found["labels"] = self._count_labels(self.extractor, seen[0], self.labels)
        return found

    def _codes(self, model: Model) -> Tensor | None:
        """Codes to decode samples from, (num, Z); None where the model has a true prior or nothing to sample with."""
        if model.encoder is None or model.kind == "ae" or len(self.to_encode) < 2:
            return None
        z = model.encode(to_unit(self.to_encode), sample=True, seed=_SEED, condition=self.c_to_encode)
        return quick_mixture(z.cpu()).sample(self.num, seed=_SEED)

    def _count_labels(self, extractor: Learned, features: Tensor, real: NDArray[np.int64]) -> dict[str, list[int]]:
        names = extractor.label_names
        made = torch.bincount(extractor.label_probabilities(features).argmax(1), minlength=len(names)).tolist()
        return {name: [made[k], int(real[k]) if k < len(real) else 0] for k, name in enumerate(names)}


def quick_mixture(codes: Tensor) -> Mixture:
    """Fit a mixture of few Gaussians to codes (N, Z) in few steps."""
    whitening = Gaussian.fit(codes, codes, seed=_SEED, on_progress=lambda words: None)
    num, block = max(1, min(NUM_GAUSSIANS, len(codes) // 50)), min(codes.shape[1], BLOCK)
    components = fit_components(whitening.whiten(codes), num, block=block, seed=_SEED, max_steps=20)
    return Mixture(whitening, components)


def open_selection(
    config: Config,
    folder: Path,
    data: ImageData,
    device: torch.device,
    total_images: int,
    conditioning: Conditioning | None = None,
) -> Selection | None:
    """Open the selection of a run, if it is wanted and pays.

    Args:
        config: the run's settings.
        folder: where the best model is kept.
        data: of the run.
        device: where features are computed.
        total_images: that the run will see.
        conditioning: of a conditional model.

    Raises:
        UserError: if the extractor cannot be kept in the cache.
    """
    if config.train.best_metric == "none" or (
        config.train.best_metric == "auto" and not is_affordable(data, total_images)
    ):
        return None
    extractor = open_extractor(None, data, cache=config.data.cache, device=device)
    return Selection(folder, data, extractor, config.train.best_images, conditioning)


def is_affordable(data: ImageData, total_images: int) -> bool:
    """Whether a run sees more images than the extractor is trained on, which happens once for these data.

    A step of a VAE/GAN costs several times one of that small network; so the first run becomes longer by a fraction,
    and later ones by what a look at a snapshot takes.
    """
    return total_images >= num_images_for(len(data.train), data.image_shape)


def _best_in(folder: Path) -> float | None:
    """The score of the model that is kept; None where there is none."""
    try:
        return float(json.loads((folder / MODEL_CONFIG).read_text(encoding="utf-8"))["info"]["score"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
