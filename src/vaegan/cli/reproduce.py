"""``vaegan reproduce``: the paper's experiments, from training runs to one page."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ..config import Config
from ..errors import UserError
from ..progress import duration
from ..reproducing.plan import DRAWN, Training, base_settings, num_images_of, plan
from ..settings import Count
from .console import show, show_table
from .options import Arg, CommandOptions

SEEDS, QUICK_SEEDS = 5, 1
QUICK_REGRESSOR_IMAGES = 20_000


class Options(CommandOptions):
    """Reproduce the experiments of arXiv:1512.09300 on CelebA, LFW or drawn faces; run the same command to resume.

    Trains VAE, GAN, VAE_Dis_l and VAE/GAN, unconditional and attribute-conditional, and writes one page and one JSON:
    samples, reconstructions, attribute vectors, samples by attributes, and Table 2, where a separately trained
    regressor predicts the attributes of images.

    `--list` prints the training runs and their expected time. `--data celeba` and `--data lfw` are the paper's data;
    any other source needs attributes. All training settings can be changed and apply to every model, except the kind of
    model and what it implies (condition, likelihood of the VAE, metric of VAE_Dis_l).
    """

    what: Annotated[Literal["paper"], Arg("paper", positional=True)] = "paper"
    """Which experiments to reproduce."""
    quick: bool = False
    """Small networks, a few drawn faces of 32x32 and one seed: takes minutes on two cores."""
    list: bool = False
    """Print the training runs with the expected time on two cores, and exit."""
    seeds: Annotated[Count | None, Arg(default=f"{SEEDS}, {QUICK_SEEDS} if quick")] = None
    """Seeds of the attribute-conditional models, from --seed on."""
    out: Annotated[Path | None, Arg("DIR", default="runs/paper, runs/paper-quick")] = None
    """Folder of all runs, metrics and the page."""
    overwrite: bool = False
    """Retrain models that already exist."""
    num: Annotated[int, Field(ge=2, le=10**6)] = 1_000
    """Maximum number of held-out attribute vectors."""
    samples: Count = 10
    """Samples for each attribute vector."""
    regressor_images: Annotated[Count | None, Arg(default="depends on the data")] = None
    """Images seen by the regressor in training."""
    batch_size: Count = 256
    """Images per forward pass in evaluation."""
    settings: Annotated[Config, Arg(inline=True)] = base_settings()

    @classmethod
    def defaults(cls, explicit: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings that suit the data, smaller ones if quick."""
        for name in ("model.kind", "model.condition", "loss.metric"):
            if f"settings.{name}" in explicit:
                raise UserError(f"--{name}: every kind of model is trained, with and without attributes; leave it out")
        is_quick = explicit.get("quick", False)
        config = base_settings(explicit.get("settings.data.source", DRAWN), is_quick=is_quick)
        return {"settings": config, "regressor_images": QUICK_REGRESSOR_IMAGES if is_quick else None}


def run(options: Options) -> None:
    """List the training runs, or train, measure and write the page."""
    seeds = options.seeds or (QUICK_SEEDS if options.quick else SEEDS)
    out = options.out or Path("runs") / ("paper-quick" if options.quick else "paper")
    if options.list:
        _list(plan(options.settings, seeds, out))
        return
    from ..pages.paper import write_paper
    from ..reproducing.experiment import reproduce
    from ..reproducing.results import MeasureOptions

    how = MeasureOptions(options.num, options.samples, options.regressor_images, options.batch_size)
    for results in reproduce(options.settings, out, num_seeds=seeds, options=how, overwrite=options.overwrite):
        write_paper(results, out)


def _list(trainings: list[Training]) -> None:
    """Print all training runs with their expected times."""
    from ..training.profiling import expected_seconds

    rows, total = [], 0.0
    seconds: dict[str, float] = {}
    for training in trainings:
        config, num = training.config, num_images_of(training.config)
        if training.kind not in seconds:  # conditional or not, and whatever the seed, a step does nearly the same work
            size, channels = config.data.height_width or (64, 64), config.data.channels or 3
            seconds[training.kind] = expected_seconds(config, (channels, *size), num)
        images = config.train.images or round(config.train.epochs * num)
        rows.append((training.name, training.title, f"{images:,}", duration(seconds[training.kind])))
        total += seconds[training.kind]
    show_table(("run", "model", "images seen", "on 2 cores"), rows)
    time = f"about {duration(total)} on two cores, plus a few minutes each for evaluation"
    show(f"{len(trainings)} training runs, {time}.")
