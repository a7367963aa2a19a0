"""From a model's name on the command line to its folder: a run, its last or best model, a saved model, or a hub id."""

import contextlib
import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import UserError, one_of
from ..files import expanded, read_json, read_mapping
from ..sharing.hub import download_model
from .run_folder import BEST, DIFFUSERS_CLASS, DIFFUSERS_FILES, EVALUATION, MODEL, MODEL_CONFIG, OF_A_MODEL, SETTINGS

Which = Literal["last", "best"]
DEMO = "demo"
"""Name of the model that comes with the package, unless a run or model here has that name."""
PUBLISHED = "diffusers:"
"""Prefix of a folder or hub id in the layout of diffusers' `AutoencoderKL`."""
HUB_ID = r"\w[\w.-]*/\w[\w.-]*"


@dataclass(frozen=True)
class Place:
    """Where a model is: its folder (None where a run has saved none yet), and that of the settings it was trained with.

    ``which`` says whether it is the last or the best of a run.
    """

    model: Path | None
    run: Path | None
    which: Which = "last"

    def folder(self) -> Path:
        """Return the folder of the model; UserError if its run has saved none yet."""
        if self.model is None:
            raise UserError(f"run {self.run} has no saved model yet; train it further, to its next snapshot")
        return self.model

    def evaluation(self, digest: str) -> dict[str, Any] | None:
        """Return the metrics of exactly these weights and priors (see `Model.digest`); None if there are none.

        They are beside the model or, of a run's last model, in the run folder.
        """
        for folder in filter(None, (self.model, self.run if self.which == "last" else None)):
            try:
                evaluation = read_json(folder / EVALUATION)
                if evaluation["model"]["digest"] == digest:
                    return dict(evaluation)
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return None


def locate(path: str | Path, which: Which = "last", **hub: Any) -> Place:
    """Return where a model is; UserError if nothing is there, here or on the hub.

    ``path`` is a run folder, its ``model`` or ``best``, the folder of a saved model, `DEMO`, an id ``owner/name``
    (``hub``: see `sharing.hub`), or `PUBLISHED` and a folder or id.
    """
    one_of("which", which, get_args(Which))
    if (place := published(path)) is not None:
        return Place(_published(place, hub), None)
    folder = expanded(path)
    if which == "best" and _is_model(folder / BEST):
        return Place(folder / BEST, folder, "best")
    above = folder if which == "best" else folder.parent
    if which == "best" or (folder.name == BEST and not folder.exists() and (above / SETTINGS).is_file()):
        raise UserError(f"{above} has no best model; train it with --train.best-metric fd, or use its last model")
    run = folder if (folder / SETTINGS).is_file() else None
    if _is_model(folder):
        _refuse_published(folder, str(path))
        resolved = folder.resolve()
        if resolved.name in (MODEL, BEST) and (resolved.parent / SETTINGS).is_file():
            return Place(folder, resolved.parent, "best" if resolved.name == BEST else "last")
        return Place(folder, run)
    if _is_model(folder / MODEL):
        return Place(folder / MODEL, run)
    if run is not None:
        return Place(None, run)
    if str(path) == DEMO:
        packaged = Path(__file__).parents[1] / DEMO
        return Place(packaged, packaged)
    if folder.exists():
        inside = [str(path) for path in _models_in(folder)]
        why = f"no {MODEL_CONFIG} in it or in its {MODEL} folder"
        if inside:
            why = f"choose one of those in it, {', '.join(inside[:5])}{', ...' if len(inside) > 5 else ''}"
        raise UserError(f"{folder} is neither a run nor a saved model: {why}")
    hint = _near(folder)
    # 'runs/one' looks like a hub id too, but where the folder 'runs' or one much like it exists it is taken as a run.
    if re.fullmatch(HUB_ID, str(path)) and not folder.parent.is_dir() and not hint:
        return _downloaded(str(path), hub)
    raise UserError(
        f"no run or saved model at {folder}{hint}; check the path, or train one with `vaegan train --out {folder}`"
    )


def published(path: str | Path) -> str | None:
    """Return the folder or hub id behind `PUBLISHED`; None for any other path."""
    return str(path).removeprefix(PUBLISHED) if str(path).startswith(PUBLISHED) else None


def _published(name: str, hub: dict[str, Any]) -> Path:
    """Return the folder of a published autoencoder, which may be a pipeline's ``vae``; UserError if there is none."""
    top = expanded(name)
    if not top.is_dir() and not re.fullmatch(HUB_ID, name):
        raise UserError(f"no folder {top}; write {PUBLISHED}FOLDER, or {PUBLISHED}OWNER/NAME for a model on the hub")
    is_here, folders = top.is_dir(), list[Path]()
    for weights in DIFFUSERS_FILES:
        if not is_here:
            files = [prefix + file for prefix in ("", "vae/") for file in (MODEL_CONFIG, weights)]
            top = download_model(name, files, **hub)
        folders = [folder for folder in (top, top / "vae") if (folder / MODEL_CONFIG).is_file()]
        if found := next((folder for folder in folders if (folder / weights).is_file()), None):
            return found
    if not folders:
        raise UserError(f"{PUBLISHED}{name} has neither {MODEL_CONFIG} nor vae/{MODEL_CONFIG}; check the path or id")
    fix = "(a .bin file, a pickle, is never read; save it with safe_serialization=True)"
    raise UserError(f"{PUBLISHED}{name} has no {DIFFUSERS_FILES[0]} {fix}")


def _refuse_published(folder: Path, name: str) -> None:
    """Raise UserError if a folder is in diffusers' layout: commands would write ours beside it."""
    if DIFFUSERS_CLASS in read_mapping(folder / MODEL_CONFIG):
        raise UserError(f"{name} is a model in diffusers' layout; write it as {PUBLISHED}{name}")


def _near(folder: Path) -> str:
    """Return the hint at a run or model with a similar name: in the same folder, one named alike, or in runs/."""
    above = folder.parent
    alike = difflib.get_close_matches(above.name, [path.name for path in _folders_in(above.parent)], cutoff=0.7)
    places = [above / "runs", *(above.parent / name for name in reversed(alike)), above]
    by_name = {DEMO: Path(DEMO)} if folder.name == str(folder) else {}
    by_name |= {path.name: path for place in places for path in _models_in(place)}
    match = difflib.get_close_matches(folder.name, by_name, n=1)
    return f" (perhaps you meant '{by_name[match[0]]}')" if match else ""


def _models_in(folder: Path) -> list[Path]:
    """Return the runs and saved models in a folder."""
    marks = (MODEL_CONFIG, f"{MODEL}/{MODEL_CONFIG}", SETTINGS)
    return [path for path in _folders_in(folder) if any((path / mark).is_file() for mark in marks)]


def _folders_in(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):  # there is none, or it cannot be read
        return sorted(path for path in folder.iterdir() if path.is_dir())
    return []


def find_model(path: str | Path, which: Which = "last", **hub: Any) -> Path:
    """Return the folder of a model, or raise UserError; arguments as `locate`."""
    return locate(path, which, **hub).folder()


def run_name(path: str | Path) -> str:
    """Return a short name of a run or model: that of its folder, or of the run that a ``model`` folder is in."""
    if (name := published(path)) is not None:
        return Path(name).name
    folder = expanded(path)
    if not folder.exists():
        return str(path)
    folder = folder.resolve()
    return folder.parent.name if folder.name == MODEL else folder.name


def _downloaded(repo_id: str, hub: dict[str, Any]) -> Place:
    folder = download_model(repo_id, [prefix + name for prefix in ("", f"{MODEL}/") for name in OF_A_MODEL], **hub)
    _refuse_published(folder, repo_id)
    if not (_is_model(folder) or _is_model(folder / MODEL)):
        raise UserError(f"{repo_id} on the hub is not a model of vaegan (no {MODEL_CONFIG}); check the name")
    return locate(folder)


def _is_model(folder: Path) -> bool:
    return (folder / MODEL_CONFIG).is_file()
