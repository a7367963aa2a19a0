"""Paths between codes, decoded: rows between two, squares between four; and their smoothness."""

import torch
from torch import Tensor

from ..data.dataset import ImageSet
from ..errors import UserError
from ..latent.code_paths import PathMethod, interpolate, interpolate_square, smoothness
from ..runs.opened import OpenedRun
from .view import View


def num_ends(num: int, steps: int, *, is_square: bool = False) -> int:
    """Return the number of codes that these paths connect; in a square, `steps` paths share four."""
    return 4 * -(-num // steps) if is_square else 2 * num


def image_paths(
    run: OpenedRun, images: ImageSet, steps: int, method: PathMethod = "linear", *, is_square: bool = False
) -> View:
    """Return paths between the codes of images, see `_paths`."""
    z, c = run.encode(images)[0], run.model().condition_of(images)
    return _paths(run, z, c, steps, method, "codes of images", is_square=is_square)


def random_paths(run: OpenedRun, num: int, steps: int, method: PathMethod = "linear", seed: int = 0) -> View:
    """Return paths between ``num`` codes drawn from the prior, see `_paths`."""
    model = run.model()
    c = model.condition_in_turn(num)
    z = model.sample_codes(num, seed, condition=c)
    return _paths(run, z, c, steps, method, "codes drawn from the prior", is_square=False)


def _paths(
    run: OpenedRun,
    ends: Tensor,
    c: Tensor | None,
    steps: int,
    method: PathMethod,
    between: str,
    *,
    is_square: bool = False,
) -> View:
    """Return a path in each row, `(N, T, H, W, C)`: the first half of the ends is joined to the second.

    The ends are codes `(B, Z)`; their conditions ``c`` `(B, A)` are interpolated too, always linearly. With
    ``is_square`` each four codes span a square, whose rows are the paths. Raises UserError if there are too few for
    one path.
    """
    codes = _between(ends, steps, method, is_square)
    condition = None if c is None else _between(c, steps, "linear", is_square)
    images = run.decode(codes, condition)
    measured = smoothness(torch.from_numpy(images.swapaxes(0, 1).copy()))
    detour, largest = (float(values.mean()) for values in (measured.detour, measured.largest))
    caption = (
        f"Each row is a {method} path in {steps} steps between {between}. Its length in the images is "
        f"{detour:.2f} times the distance between both ends (a cross-fade has 1); the largest step is {largest:.2f} "
        "times the mean step (constant speed has 1)."
    )
    facts = (("detour", f"{detour:.2f}"), ("largest step", f"{largest:.2f} times the mean"))
    return View(images, shown=run.shown, codes=codes, plays_back=True, facts=facts, caption=caption)


def _between(ends: Tensor, steps: int, method: PathMethod, is_square: bool) -> Tensor:
    """Return `(N, T, Z)`: paths, or the rows of squares, square after square."""
    corners = 4 if is_square else 2
    num = len(ends) // corners
    if num == 0:
        raise UserError(f"a {'square' if is_square else 'path'} needs {corners} images, and there are {len(ends)}")
    if is_square:
        square = interpolate_square(ends[: 4 * num].reshape(4, num, -1), steps, method)
        return square.permute(2, 0, 1, 3).flatten(0, 1)
    return interpolate(ends[:num], ends[num : 2 * num], steps, method).transpose(0, 1)
