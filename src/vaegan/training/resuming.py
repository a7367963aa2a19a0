"""The rules of resuming: which settings, images and frozen weights a run may be resumed with."""

from pathlib import Path
from typing import Any

from ..config import Config
from ..data import SOURCES, ImageData
from ..data.sources import absolute
from ..errors import UserError, shown
from ..files import check_apart, is_leftover, read_mapping, short_hash, write_json
from ..kinds import why_without_effect
from ..models import load
from ..models.serialization import file_digest, tensors_digest
from ..pixels import BYTES, PixelFormat
from ..runs.initial import check_outside, is_same_start
from ..runs.run_folder import (
    DATA,
    LOCK,
    MODEL,
    MODEL_CONFIG,
    SETTINGS,
    RunFolder,
    clear_run,
    is_run,
    list_checkpoints,
    written_files,
)
from ..runs.trained_on import paths_of_run
from ..settings import PARTS
from ..settings_io import dump_yaml, setting_names, value_at

# Settings that may change when a run resumes: no step depends on them (but for how sums round, on threads).
MAY_CHANGE = {
    "device", "on_nan", "data.root", "data.workers", "data.cache", "data.max_unreadable", "data.store_size",
    "train.checkpoint_activations", "train.epochs",
    "train.images", "train.keep_checkpoints", "train.snapshot_epochs", "train.log_images", "train.tensorboard",
    "train.held_out_images", "train.best_metric", "train.best_images", "train.priors", "train.threads",
}  # fmt: skip
# Of these, what steps depend on where snapshots decide the learning rates.
OF_PLATEAUS = {"train.snapshot_epochs", "train.held_out_images"}
# Settings whose value in a run folder is what 'auto' or nothing was resolved to.
RESOLVED = {
    "train.precision", "train.memory_format", "train.log_images", "data.size", "data.channels", "loss.perceptual",
    "loss.alignment",
}  # fmt: skip


def open_run(out: Path, config: Config, *, overwrite: bool) -> tuple[RunFolder, Config | None]:
    """Return the folder of a run, and the settings of the run in it if that one is resumed; nothing is written yet.

    Raises UserError if the folder is not a run, or a run with other settings, or in or around the images.
    """
    run = RunFolder(out)
    if images := absolute(config.data).get(config.data.source):
        check_apart(out, images, around=True)
    if not out.exists() or (out.is_dir() and all(is_leftover(path) or path.name == LOCK for path in out.iterdir())):
        return run, None
    if not out.is_dir():
        raise UserError(f"--out {out} is a file; name a folder")
    if not run.config_path.is_file() or not is_run(out):
        raise UserError(f"--out {out} holds other files and is not a run; name a new folder")
    if overwrite:
        if config.loss.metric is not None:
            check_outside(out, "--loss.metric", config.loss.metric)
        written_files(run)  # or say what is in the way, before slow work is done
        return run, None
    before = run.config
    check_same(before, config, out)
    if (out / MODEL / MODEL_CONFIG).is_file() and not list_checkpoints(run.checkpoints):
        raise UserError(
            f"--out {out} has a trained model but no checkpoints to resume from; restore {run.checkpoints}, choose "
            "another --out, or start over with --overwrite"
        )
    return run, before


def check_same(before: Config, now: Config, out: Path) -> None:
    """Refuse to resume with settings that would change the run, naming the first that differs."""
    remedy = "keep the old value, choose another --out, or start over with --overwrite"
    if before.recipe != now.recipe:
        raise UserError(f"--out {out} is a run of recipe {before.recipe}, not {now.recipe}; {remedy}")
    old, new = before.model_dump(), now.model_dump()
    free = MAY_CHANGE - OF_PLATEAUS if before.optim.schedule == "plateau" else MAY_CHANGE
    for name in setting_names():
        a, b = value_at(old, name), value_at(new, name)
        if a == b or name in free:
            continue
        if name == "data.source" and not {a, b} & SOURCES.keys():
            continue  # a folder may be moved; `check_same_data` compares the images
        if name in ("loss.perceptual_file", "loss.metric") and None not in (a, b):
            continue  # likewise
        if name == "init_from" and is_same_start(a, b):
            continue
        if why_without_effect(before, name) and why_without_effect(now, name):
            continue  # earlier versions took it
        if not (name in RESOLVED and b in ("auto", None)):
            what = f"{name.replace('_', '-')} {_words(name, a)}, not {_words(name, b)}"
            raise UserError(f"--out {out} is a run with {what}; {remedy}")


def _words(name: str, value: Any) -> str:
    """Return a setting's value as it is given on the command line."""
    if isinstance(value, (tuple, list)):
        return " ".join(map(str, value))
    return {"data.range": "the whole range"}.get(name, "unset") if value is None else shown(str(value))


def check_same_data(run: RunFolder, config: Config, data: ImageData) -> None:
    """Refuse to resume with other images, conditions or weights; write down where and what they are now."""
    before, now = read_mapping(run.data_path), _described(config, data, run)
    for key, what in (
        ("fingerprint", f"images of {data.name}"),
        ("conditions", f"{config.model.condition} of {data.name}"),
        ("perceptual", f"weights in --loss.perceptual-file {config.loss.perceptual_file}"),
        ("metric", f"weights of the discriminator in --loss.metric {config.loss.metric}"),
    ):
        if before.get(key, now.get(key)) != now.get(key):
            raise UserError(
                f"the {what} differ from those that {run.path} was trained on; restore them, choose another --out or "
                f"start over with --overwrite (or remove {run.data_path} to resume with the new ones)"
            )
    if before != now:
        write_json(run.data_path, now)


def recorded_pixels(run: RunFolder) -> PixelFormat | None:
    """Return the format of the images that a run was trained on; None if it has no record of them."""
    record = read_mapping(run.data_path)
    return PixelFormat(**record.get("pixels", {})) if record else None


def place_of_metric(config: Config, resumed: RunFolder | None) -> Path | None:
    """Return where the frozen metric of vae-dis-l is: in the resumed run itself, if it has saved a model."""
    own = resumed.path / MODEL if resumed else None
    return own if own and (own / MODEL_CONFIG).is_file() else config.loss.metric


def _described(config: Config, data: ImageData, resumed: RunFolder | None = None) -> dict[str, Any]:
    """Return what data.json says; absolute paths of a run that is resumed hold wherever that is."""
    values: dict[str, Any] = {"name": data.name, "train": data.num_train, "test": len(data.test)}
    values["fingerprint"] = data.fingerprint
    if data.pixels != BYTES:
        values["pixels"] = data.pixels.as_json()
    if config.model.condition != "none":
        conditions, names = data.train.labels_as_attributes()
        values["conditions"] = short_hash(repr(names).encode() + conditions.tobytes())
    if config.loss.perceptual_file is not None:
        values["perceptual"] = _hash_of_weights(config.loss.perceptual_file)
    # Only the first process, which has the run on its disk, comes here.
    is_moved = resumed and resumed.config.loss.metric != config.loss.metric
    place = config.loss.metric if is_moved else place_of_metric(config, resumed)
    if config.model.kind == "vae-dis-l" and place is not None:
        weights = load(place).state_dict()
        values["metric"] = tensors_digest({name: weights[name] for name in weights if name.startswith(PARTS[2])})
    before = paths_of_run(resumed.path) if resumed else {}
    paths = {written: before.get(written, path) for written, path in absolute(config.data).items()}
    return values | ({"paths": paths} if paths else {})


def _hash_of_weights(place: Path) -> str:
    """Return a hash of a file of weights, or of those in a folder, by content alone."""
    files = [place] if place.is_file() else sorted(place.iterdir())
    weights = [path for path in files if path.suffix in (".pth", ".safetensors") or path == place]
    return short_hash(" ".join(map(file_digest, weights)))


def start_run(run: RunFolder, config: Config, data: ImageData) -> None:
    """Make the folder, clear what an earlier run left, write the settings and what the images are.

    Old settings and data stay until the new ones take their place: the folder is provably a run all the while.
    """
    described = _described(config, data)
    clear_run(run, spared=(SETTINGS, DATA))
    dump_yaml(config, run.config_path)
    write_json(run.data_path, described)
