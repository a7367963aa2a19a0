"""Differentiable augmentation of every image that the discriminator gets, against memorising few training images.

    Dis descends   L_GAN of Dis(T(x)), Dis(T(x_tilde)), Dis(T(x_p))        Dec's gradient goes back through T

If only real images were augmented, the decoder would learn to make augmented ones. With T in front of Dis in every
pass, fakes have to look real before T to look real after it (Zhao et al. 2020, "Differentiable augmentation",
arXiv:2006.10738, whose changes these are):

* colour: brightness moved by up to a quarter of the range, saturation times U(0, 2), contrast times U(0.5, 1.5);
* translation: by up to an eighth of each side, to whole pixels, with grey behind;
* cutout: a square of half the sides turned grey.

Image i of x, x_tilde and x_p gets the same T, so that layer l compares x and x_tilde alike. Each kind of change is made
with probability p: 1, or the adaptive one that keeps Dis from memorising the training images:

    r_t = E[sign(Dis(T(x)))]        of real training images: 0 at chance, 1 if Dis recognises each of them
    p <- p + n / N sign(r_t - target)

with n images since the last update and N images in which p may go from 0 to 1 (Karras et al. 2020, "Training GANs with
limited data", arXiv:2006.06676, section 3; their target is 0.6, N 500,000, with an update every four batches).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..losses import wide
from ..pixels import ImageRange
from .interface import NUM_DRAWS

CUTOUT = 0.5
SHIFT = 0.125


class DiscriminatorAugment:
    """Random changes of images before the discriminator: ``kinds`` of `AUGMENTATIONS`, in the order of that list.

    ``image_range`` is that inside the networks; ``p``, a scalar, is the probability of each kind of change.
    """

    def __init__(
        self, kinds: Sequence[str], image_range: tuple[float, float] = (0.0, 1.0), device: torch.device | str = "cpu"
    ) -> None:
        self.kinds = [kind for kind in AUGMENTATIONS if kind in kinds]
        self.image_range = ImageRange(*image_range)
        self.p = torch.ones((), device=device)

    def __call__(self, x: Tensor, draws: Tensor) -> Tensor:
        """Change images (B, C, H, W) in the network's range, which they may leave, by draws (NUM_DRAWS, B)."""
        grey, unit = sum(self.image_range) / 2.0, self.image_range.span / 2.0
        y = (wide(x) - grey) / unit  # the draws must not be rounded with x: x_tilde may come in fewer digits
        for kind in self.kinds:
            first = _FIRST_DRAW[kind]
            changed = AUGMENTATIONS[kind](y, draws[first + 1 : first + 4].to(y.dtype))
            y = torch.where(_per_image(draws[first] < self.p), changed, y)
        return y * unit + grey


def colour(x: Tensor, u: Tensor) -> Tensor:
    """Change brightness, saturation and contrast of images (B, C, H, W) in [-1, 1] by draws (3, B)."""
    x = x + (_per_image(u[0]) - 0.5)
    mean = x.mean(1, keepdim=True)
    x = mean + (x - mean) * (2.0 * _per_image(u[1]))
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * (_per_image(u[2]) + 0.5)


def translation(x: Tensor, u: Tensor) -> Tensor:
    """Move images (B, C, H, W) in [-1, 1] by whole pixels, by draws (3, B) of which two are used."""
    for dim, share in ((2, u[0]), (3, u[1])):
        size = x.shape[dim]
        most = int(SHIFT * size + 0.5)
        shift = _whole(share, 2 * most + 1) - most
        source = torch.arange(size, device=x.device)[None] - shift[:, None]  # (B, size)
        shape = (-1, 1, size, 1) if dim == 2 else (-1, 1, 1, size)
        taken = x.gather(dim, source.clamp(0, size - 1).view(shape).expand_as(x))
        x = taken * ((source >= 0) & (source < size)).view(shape)
    return x


def cutout(x: Tensor, u: Tensor) -> Tensor:
    """Turn a square of images (B, C, H, W) in [-1, 1] grey, by draws (3, B) of which two are used."""
    inside = []
    for dim, share in ((2, u[0]), (3, u[1])):
        size = x.shape[dim]
        length = int(CUTOUT * size + 0.5)
        start = _whole(share, size + 1 - length % 2) - length // 2  # the centre is anywhere in the image
        place = torch.arange(size, device=x.device)[None] - start[:, None]
        inside.append((place >= 0) & (place < length))
    square = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return x.masked_fill(square, 0.0)


AUGMENTATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "colour": colour,
    "translation": translation,
    "cutout": cutout,
}
_FIRST_DRAW = {kind: 4 * place for place, kind in enumerate(AUGMENTATIONS)}
assert 4 * len(AUGMENTATIONS) == NUM_DRAWS


def _whole(share: Tensor, num: int) -> Tensor:
    """Turn U(0, 1) into whole numbers 0 to ``num`` - 1, each as likely."""
    return (share.float() * num).long().clamp(max=num - 1)


def _per_image(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


STEPS_BETWEEN = 4
"""Steps from one update of p to the next."""


class AdaptiveProbability:
    """The probability of augmentation, adapted to how far the discriminator overfits.

    ``p`` is a scalar, changed in place, from 0 on; ``target`` is that of r_t, in (0, 1); ``num_images`` is N.
    """

    def __init__(self, p: Tensor, target: float, num_images: int) -> None:
        self.p, self.target, self.num_images = p.zero_(), target, num_images
        self._total, self._images, self._steps = torch.zeros_like(p), 0, 0

    def update(self, sign: Tensor, images: int) -> None:
        """Add a step's `mean_sign` of the real images, a scalar, and its number of images; move p every few steps."""
        self._total += sign.to(self._total)
        self._images += images
        self._steps += 1
        if self._steps == STEPS_BETWEEN:
            r_t = self._total / STEPS_BETWEEN
            self.p += self._images / self.num_images * torch.sign(r_t - self.target)
            self.p.clamp_(0.0, 1.0)
            self._total, self._images, self._steps = torch.zeros_like(self.p), 0, 0

    def state(self) -> dict[str, Any]:
        """Return the state as plain data, for a checkpoint."""
        return {"p": float(self.p), "total": float(self._total), "images": self._images, "steps": self._steps}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Set the state that `state` returned."""
        self.p.fill_(state["p"])
        self._total = torch.full_like(self.p, state["total"])
        self._images, self._steps = state["images"], state["steps"]


def mean_sign(logits: Tensor) -> Tensor:
    """Mean sign of logits (B,) or (B, P), a scalar: 1 where all are taken for real, -1 where none is."""
    return torch.sign(wide(logits.detach())).mean()
