"""A small classifier of attributes, trained on images alone: an eye that knows nothing of the model it judges.

Four convolutions of stride 2 and two dense layers give one logit per attribute; several attributes may hold at once.
The loss is the binary cross entropy, where the images with and those without an attribute weigh the same together
(weights 1 / (2 p) and 1 / (2 (1 - p)) at a share p), so that a rare attribute is not simply denied.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_WIDTHS = (32, 64, 128, 128)


class Classifier(nn.Module):
    """Probabilities of attributes.

    Args:
        image_shape: (C, H, W).
        num_attributes: A.
    """

    def __init__(self, image_shape: tuple[int, int, int], num_attributes: int) -> None:
        super().__init__()
        channels, *size = image_shape
        layers: list[nn.Module] = []
        for width in _WIDTHS:
            layers += [nn.Conv2d(channels, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels, size = width, [-(-side // 2) for side in size]
        num_features = channels * size[0] * size[1]
        layers += [nn.Flatten(), nn.Dropout(0.3), nn.Linear(num_features, 128), nn.ReLU(), nn.Dropout(0.3)]
        self.layers = nn.Sequential(*layers, nn.Linear(128, num_attributes))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `(B, A)` of images `(B, C, H, W)` in [0, 1]."""
        logits: Tensor = self.layers(2 * x - 1)
        return logits

    @torch.inference_mode()
    def predict(self, x: Tensor, batch_size: int = 256) -> Tensor:
        """Return probabilities `(B, A)` of images `(B, C, H, W)` in [0, 1], in evaluation mode."""
        self.eval()
        return torch.cat([self(chunk).sigmoid() for chunk in torch.split(x, batch_size)])


def train_classifier(
    images: Tensor,
    targets: Tensor,
    *,
    seed: int = 0,
    num_images: int = 40_000,
    batch_size: int = 64,
    lr: float = 2e-3,
) -> Classifier:
    """Train a classifier, on the CPU in about a minute.

    Args:
        images: uint8 `(N, H, W, C)`.
        targets: `(N, A)`, 1 with and 0 without the attribute, NaN where unknown.
        seed: of first weights, order and dropout: the same seed gives the same classifier. Torch's global generator
            is left as it was.
        num_images: images seen, over all passes.
        batch_size: images of a step.
        lr: highest learning rate; it rises over the first tenth and falls to 0 along a cosine.
    """
    num, height, width, channels = images.shape
    batch_size = min(batch_size, num)
    num_steps = -(-num_images // batch_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        classifier = Classifier((channels, height, width), targets.shape[1]).train()
        optimiser = torch.optim.AdamW(classifier.parameters(), weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, num_steps, pct_start=0.1)
        weights = _weights(targets)
        order = torch.cat([torch.randperm(num) for _ in range(-(-num_steps * batch_size // num))])
        for step in range(num_steps):
            chosen = order[step * batch_size : (step + 1) * batch_size]
            x = images[chosen].permute(0, 3, 1, 2).float() / 255
            loss = _loss(classifier(x), targets[chosen], weights)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    return classifier.eval()


def balanced_accuracy(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Mean of the share of images with the attribute that are told so and of those without; 0.5 is guessing.

    Args:
        probabilities: `(N, A)`.
        targets: `(N, A)`, 1 with, 0 without, NaN unknown.

    Returns:
        `(A,)`; NaN where one of both groups is empty.
    """
    told = probabilities > 0.5
    return torch.stack(
        [((told == side) & (targets == side)).sum(0) / (targets == side).sum(0) for side in (1, 0)]
    ).mean(0)


def _weights(targets: Tensor) -> Tensor:
    """Return weights `(2, A)` of an image without and of one with each attribute."""
    share = targets.nanmean(0).clamp(1e-3, 1 - 1e-3)
    return 0.5 / torch.stack([1 - share, share])


def _loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    known = ~targets.isnan()
    targets = targets.nan_to_num()
    weight = torch.where(targets > 0.5, weights[1], weights[0]) * known
    total = F.binary_cross_entropy_with_logits(logits, targets, weight, reduction="sum")
    return total / known.sum().clamp_min(1)
