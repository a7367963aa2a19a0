"""``vaegan export``: a model's parts as files for other programs."""

from pathlib import Path
from typing import Annotated, Literal

from ..progress import log
from .common import RunName, place_of
from .console import show_table
from .options import Arg, CommandOptions


class Options(CommandOptions):
    """Export a model for other programs: safetensors, ONNX and torch.export graphs, diffusers' layout.

    Encoder (images in [0, 1] to mu and logvar), decoder (codes to images in [0, 1]) and discriminator (images to the
    logit of "real") take batches of any size; those of a conditional model take the condition as a second input. Each
    file is read back and compared with the model on batches of 1 and 3, and the largest difference is printed; if any
    is above 1e-4, no file is written. export.json has names, shapes, ranges and conditions.
    """

    run: RunName
    out: Annotated[Path | None, Arg("FOLDER", default="RUN/export")] = None
    """Folder for the files; it appears when all of them are written and checked."""
    format: tuple[Literal["safetensors", "onnx", "torch", "diffusers"], ...] = ("safetensors", "onnx", "torch")
    """Formats to write: 'safetensors' (for vaegan.load, with the priors), 'onnx' (extra 'onnx'), 'torch' (.pt2 for
    torch.export.load), 'diffusers' (a folder for AutoencoderKL.from_pretrained; only residual models whose codes are
    maps; checked if diffusers is installed)."""
    latent_statistics: Annotated[Path | None, Arg("FOLDER")] = None
    """Folder that `encode --format safetensors` wrote with this model. The mean and standard deviation of each latent
    channel become part of the exported model (latents_mean, latents_std) in place of its scale factor."""
    overwrite: bool = False
    """Replace an earlier export at --out."""


def run(options: Options) -> None:
    """Load, export, print the comparisons."""
    from ..exporting import check_free_for_export, export_model
    from ..latent.latent_shards import statistics_of
    from ..models import load
    from ..runs.run_folder import EXPORT

    folder, overwrite = place_of(options, EXPORT)
    check_free_for_export(folder, overwrite)
    model = load(options.run)
    if options.latent_statistics is not None:
        model.info |= statistics_of(options.latent_statistics, model)
    earlier = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    checks = export_model(model, folder, options.format, overwrite=overwrite)
    rows = [
        (check.part, check.form, check.file, "not checked" if check.difference is None else f"{check.difference:.1e}")
        for check in checks
    ]
    show_table(("network", "format", "file", "largest difference"), rows)
    num = len({check.file for check in checks})
    if any(check.difference is None for check in checks):
        log.warning("diffusers is not installed, so its files are not checked: pip install 'vaegan[diffusers]'")
    if removed := [path.relative_to(folder).as_posix() for path in earlier if not path.exists()]:
        log.info("files of the earlier export are removed: %s", ", ".join(removed))
    log.info("%d file%s, checked against the model: %s", num, "" if num == 1 else "s", folder)
