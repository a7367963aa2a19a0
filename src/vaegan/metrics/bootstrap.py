"""The uncertainty of a figure that comes from measuring a finite number of images.

The images are resampled with replacement, and the figure is computed for each resample; the interval holds the middle
95 % of these (percentile method, Efron 1979, "Bootstrap methods"). A mean over images needs only its values per image;
other figures are linearised by their influence function (see `distances.frechet_interval`). The reference is held
fixed: the interval is about the images measured, not about those they are compared with. Only reconstructions are drawn
together with their originals.
"""

import torch
from torch import Tensor

from ..errors import check_shapes
from ..progress import paced
from .figures import Figure

_AT_A_TIME = 2**21


def bootstrap_mean(values: Tensor, *, seed: int = 0, num_resamples: int = 1000, level: float = 0.95) -> Figure:
    """Return the mean of `values` `(N,)`, one per image, with the interval that holds a share ``level`` of draws."""
    values = values.detach().cpu().double()
    means = resampled_means(values, seed=seed, num_resamples=num_resamples)
    return Figure(float(values.mean()), *middle_share(means, level), len(values), seed)


def paired_ratio(a: Tensor, b: Tensor, *, seed: int = 0, num_resamples: int = 1000, level: float = 0.95) -> Figure:
    """Return mean(a) / mean(b) of values `(N,)` of the same images; each draw has the same images of both.

    What makes an image hard for both drops out, so the interval is far narrower than those of the two means.
    """
    check_shapes(a, b)
    a, b = a.detach().cpu().double(), b.detach().cpu().double()
    draws = [resampled_means(values, seed=seed, num_resamples=num_resamples) for values in (a, b)]  # the same images
    return Figure(float(a.mean() / b.mean()), *middle_share(draws[0] / draws[1], level), len(a), seed)


def middle_share(draws: Tensor, level: float) -> tuple[float, float]:
    """Return the bounds between which a share ``level`` of draws `(N,)` lies, with equally many on both sides."""
    low, high = draws.quantile(torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=draws.dtype)).tolist()
    return low, high


def resampled_means(values: Tensor, *, seed: int, num_resamples: int) -> Tensor:
    """Return the means `(num_resamples,)` of draws with replacement of `values` `(N,)`, each of N."""
    generator = torch.Generator().manual_seed(seed)
    num = len(values)
    step = max(1, _AT_A_TIME // num)
    sizes = [min(step, num_resamples - start) for start in range(0, num_resamples, step)]
    draws = (torch.randint(num, (size, num), generator=generator) for size in sizes)
    return torch.cat([values[rows].mean(1) for rows in paced(draws, len(sizes), "intervals")])
