"""A small classifier of labels and attributes, trained on real images, independent of the model it evaluates.

Four convolutions of stride 2 and two dense layers give one logit per output; the outputs of the second to last
layer are the features. For attributes, of which several may hold at once, the loss is the binary cross entropy, in
which the images with an attribute have the same total weight as those without (weights 1 / (2 p) and 1 / (2 (1 - p)) at
a share p), so that a rare attribute is not ignored.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path

import safetensors
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...data.dataset import ImageSet
from ...files import check_writable, write_bytes
from ...progress import Beat

log = logging.getLogger("vaegan")

NUM_FEATURES = 128
_WIDTHS = (32, 64, 128, 128)
_BATCH, _LR = 64, 2e-3


class Classifier(nn.Module):
    """Images of a shape (C, H, W) to logits of `num_outputs` classes or attributes."""

    def __init__(self, image_shape: tuple[int, int, int], num_outputs: int) -> None:
        super().__init__()
        channels, *size = image_shape
        layers: list[nn.Module] = []
        for width in _WIDTHS:
            layers += [nn.Conv2d(channels, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels, size = width, [-(-side // 2) for side in size]
        num_inputs = channels * size[0] * size[1]
        self.body = nn.Sequential(
            *layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(num_inputs, NUM_FEATURES), nn.ReLU()
        )
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(NUM_FEATURES, num_outputs))

    def features(self, x: Tensor) -> Tensor:
        """Return the features `(B, 128)`, not negative, of images `(B, C, H, W)` in [0, 1]."""
        features: Tensor = self.body(2 * x - 1)
        return features

    def layers(self, x: Tensor) -> list[Tensor]:
        """Return the maps `(B, C, h, w)` behind the non-linearity of each convolution."""
        maps, h = [], 2 * x - 1
        for layer in self.body:
            if isinstance(layer, nn.Flatten):
                break
            h = layer(h)
            if isinstance(layer, nn.ReLU):
                maps.append(h)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `(B, A)` of images `(B, C, H, W)` in [0, 1]."""
        logits: Tensor = self.head(self.features(x))
        return logits

    @torch.inference_mode()
    def predict(self, x: Tensor, batch_size: int = 256) -> Tensor:
        """Return probabilities `(B, A)` of attributes of images `(B, C, H, W)` in [0, 1], in evaluation mode."""
        self.eval()
        return torch.cat([self(chunk).sigmoid() for chunk in torch.split(x, batch_size)])


def train_classifier(images: ImageSet, targets: Tensor, *, seed: int = 0, num_images: int = 40_000) -> Classifier:
    """Train a classifier of attributes, on the CPU in about a minute; options as in `fit`.

    Targets are `(N, A)`: 1 with and 0 without the attribute, NaN where unknown.
    """
    weights = attribute_weights(targets)

    def loss(classifier: Classifier, chosen: Tensor) -> Tensor:
        return attribute_loss(classifier(images.unit(chosen.numpy())), targets[chosen], weights)

    _, height, width, channels = images.images.shape
    shape = (channels, height, width)
    return fit(loss, len(images), shape, targets.shape[1], seed=seed, num_images=num_images)


def fit(
    loss: Callable[[Classifier, Tensor], Tensor],
    num: int,
    image_shape: tuple[int, int, int],
    num_outputs: int,
    *,
    seed: int,
    num_images: int,
) -> Classifier:
    """Train a classifier by AdamW on ``num`` images until it has seen ``num_images``, over all passes.

    ``loss`` returns that of a batch from the classifier and the indices int64 `(B,)`. First weights, order and dropout
    come from the seed, not from torch's global generator. The learning rate rises over the first tenth and falls to 0
    along a cosine.
    """
    batch_size = min(_BATCH, num)
    num_steps = -(-num_images // batch_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        classifier = Classifier(image_shape, num_outputs).train()
        optimiser = torch.optim.AdamW(classifier.parameters(), weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _LR, num_steps, pct_start=0.1)
        order = torch.cat([torch.randperm(num) for _ in range(-(-num_steps * batch_size // num))])
        beat = Beat("training a classifier", num_steps * batch_size, "images")
        for step in range(num_steps):
            beat(step * batch_size)
            value = loss(classifier, order[step * batch_size : (step + 1) * batch_size])
            optimiser.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    return classifier.eval()


def saved_or_trained(
    path: Path, image_shape: tuple[int, int, int], num_outputs: int, train: Callable[[], Classifier], option: str = ""
) -> Classifier:
    """Return the classifier in a file; if it is missing or damaged, train it and save it there.

    Raises UserError, before it trains, if the file cannot be written; ``option`` sets another place.
    """
    if path.is_file():
        with torch.random.fork_rng(devices=[]):
            classifier = Classifier(image_shape, num_outputs)
        try:
            classifier.load_state_dict(safetensors.torch.load_file(path))
            return classifier
        except (OSError, RuntimeError, safetensors.SafetensorError) as error:
            log.warning("%s is damaged (%s); training it again", path, type(error).__name__)
    check_writable(path, option)
    start, classifier = time.perf_counter(), train()
    write_bytes(path, safetensors.torch.save({n: t.contiguous() for n, t in classifier.state_dict().items()}))
    log.info("trained in %.0f s, saved as %s", time.perf_counter() - start, path)
    return classifier


def attribute_weights(targets: Tensor) -> Tensor:
    """Return weights `(2, A)` of an image without and of one with each attribute, of targets `(N, A)`."""
    share = targets.nanmean(0).clamp(1e-3, 1 - 1e-3)
    return 0.5 / torch.stack([1 - share, share])


def attribute_loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return the mean weighted binary cross entropy without NaN targets, all `(B, A)`; weights `(2, A)`."""
    valid = ~targets.isnan()
    targets = targets.nan_to_num()
    weight = torch.where(targets > 0.5, weights[1], weights[0]) * valid
    total = F.binary_cross_entropy_with_logits(logits, targets, weight, reduction="sum")
    return total / valid.sum().clamp_min(1)


def balanced_accuracy(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Return the mean of sensitivity and specificity, `(A,)`: 0.5 by chance, 1 at best, NaN without one of the groups.

    Probabilities are `(N, A)`, and so are targets: 1 with, 0 without the attribute, NaN unknown.
    """
    predicted = probabilities > 0.5
    shares = [((predicted == side) & (targets == side)).sum(0) / (targets == side).sum(0) for side in (1, 0)]
    return torch.stack(shares).mean(0)
