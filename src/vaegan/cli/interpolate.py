"""``vaegan interpolate``: paths between images or codes, decoded."""

from typing import Literal

from ..progress import log
from ..settings import Count, Steps
from .common import DataPictureOptions, chosen_images, open_run, output_of, refuse_data, write_and_say


class Options(DataPictureOptions):
    """Interpolate between codes and decode the path: a row for each path, or an animation there and back.

    Prints how smooth the paths are in image space: the detour is the length of a path over the distance between its
    ends (1 for a cross-fade), the largest step is relative to the mean step (1 at constant speed).
    """

    num: Count = 8
    """Number of paths, a row each; with squares, as many as are needed for that many rows (--steps rows each)."""
    steps: Steps = 10
    """Images on each path (or each side of a square), both ends included."""
    method: Literal["linear", "spherical"] = "linear"
    """'linear' follows the straight line, 'spherical' rotates at constant angular speed and interpolates the norm
    linearly."""
    between: Literal["images", "codes", "four"] | None = None
    """Images of the data, random codes, or squares between four images; default: images, if there is an encoder."""


def run(options: Options) -> None:
    """Write the paths, say where they are and how smooth."""
    from ..views.paths import image_paths, num_ends, random_paths

    out, overwrite = output_of(options, "interpolate.png")
    opened, is_square = open_run(options), options.between == "four"
    num = num_ends(options.num, options.steps, is_square=is_square)
    if options.between == "codes" or (options.between is None and opened.model().encoder is None):
        refuse_data(options, "these paths are between random codes")
        view = random_paths(opened, num, options.steps, options.method, options.seed)
    else:
        images = chosen_images(options, opened, num)
        view = image_paths(opened, images, options.steps, options.method, is_square=is_square)
    write_and_say(view, out, overwrite, len(view.images), "paths")
    log.info("smoothness: %s", ", ".join(f"{name} {value}" for name, value in view.facts))
