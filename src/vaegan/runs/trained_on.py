"""What images runs were trained on, according to their files, before any model is loaded."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..config import Config
from ..files import expanded, read_mapping
from ..settings import DataSettings
from ..settings_io import checked, load_yaml
from .locate import DEMO, Place, locate
from .run_folder import DATA, MODEL_CONFIG, SETTINGS

_WHERE = {"source", "root", "workers", "cache", "max_unreadable", "store_size"}  # where images are, not what


def data_of_run(path: str) -> DataSettings:
    """Return the data settings of a run, source '' for anything else; UserError if its config.yaml cannot be read."""
    place = _place(path)
    return _settings(place.run if place else None)


def data_of_model(path: str) -> DataSettings:
    """Return the data settings of a run or a shared model, source '' if unknown; one on the hub is downloaded.

    Raises UserError if there is none, or its config.yaml cannot be read.
    """
    return _settings(locate(path).run)


def _settings(run: Path | None) -> DataSettings:
    return DataSettings(source="") if run is None else own_data(load_yaml(run / SETTINGS), run)


def own_data(config: Config, run: Path) -> DataSettings:
    """Return `located` data settings of a run or shared model; source '' of the latter where its maker had a folder."""
    if (run / MODEL_CONFIG).is_file():
        from ..data.sources import absolute  # imports numpy, which help does without

        if config.data.source in absolute(config.data):
            return config.data.model_copy(update={"source": ""})
    return located(config.data, run)


def located(settings: DataSettings, run: Path) -> DataSettings:
    """Return the data settings of a run with the absolute paths that relative ones stood for where it was trained."""
    paths, written = paths_of_run(run), {name: str(getattr(settings, name)) for name in ("source", "root", "cache")}
    absolute = {name: paths[path] for name, path in written.items() if path in paths}
    return checked(DataSettings, settings.model_dump() | absolute)


def paths_of_run(run: Path) -> dict[str, str]:
    """Return the absolute paths of a run's data by what its settings call them, unless only the latter exist."""
    paths = read_mapping(run / DATA).get("paths")
    paths = {name: str(path) for name, path in paths.items()} if isinstance(paths, dict) else {}
    return {name: path for name, path in paths.items() if Path(path).exists() or not Path(name).exists()}


def shared_data(paths: Sequence[str]) -> tuple[DataSettings, str]:
    """Return the data settings that runs share, without a size if theirs differ; if they share none, source '' and why.

    Images of several sizes are the same if they come from the same place.
    """
    trained_on = [(path, _trained_on(path)) for path in paths]
    differ = len({facts["size"] for _, facts in trained_on if facts.get("size") is not None}) > 1
    for key in ("name", "opening", "source" if differ else "fingerprint"):
        values = [(path, facts[key], facts) for path, facts in trained_on if facts.get(key) is not None]
        for path, value, facts in values[1:]:
            first, expected, _ = values[0]
            if value != expected and key == "name":
                return DataSettings(source=""), f"{first} was trained on {expected}, {path} on {value}"
            if value != expected:
                name = facts["name"] or "one source"
                return DataSettings(source=""), f"{first} and {path} were trained on different images of {name}"
    settings = next((facts["settings"] for _, facts in trained_on if facts.get("settings")), None)
    if settings and differ:
        settings = settings.model_copy(update={"size": None})
    return (settings, "") if settings else (DataSettings(source=""), "none of these has a record of its training data")


def _trained_on(path: str) -> dict[str, Any]:
    """Return what the files of a run say about its data, without loading the model; nothing of one on the hub."""
    place = _place(path)
    if place is None:
        return {}
    settings = None if place.run is None else _settings(place.run)
    return {
        "settings": settings if settings and settings.source else None,
        "size": settings and settings.size,
        "source": settings and settings.source,
        "opening": settings and {name: v for name, v in settings.opening().items() if name not in {"size", *_WHERE}},
        "fingerprint": None if place.run is None else read_mapping(place.run / DATA).get("fingerprint"),
        "name": None if place.model is None else read_mapping(place.model / MODEL_CONFIG).get("info", {}).get("data"),
    }


def _place(path: str) -> Place | None:
    return locate(path) if path == DEMO or expanded(path).exists() else None
