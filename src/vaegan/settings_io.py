"""Settings in and out: overrides by dotted name, YAML files, numbers of the environment, errors in one line.

A setting's name is its path in `Config`, such as ``loss.kl_weight``; hyphens count as underscores. Values go through
pydantic's normal (lax) mode: text such as ``1e-3``, which is no number in YAML, becomes one.
"""

import math
import os
import re
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from yaml.constructor import ConstructorError

from .config import Config
from .errors import UserError, nearest, nearest_option
from .files import read_bytes, write_text
from .kinds import refuse_without_effect, settings_that_follow

FORMAT = 1
"""Version of the settings file; a file of a newer one is refused."""
_MAX_SETTINGS = 2**18  # bytes
SHORT = {"data": "data.source"}
"""Short names of settings."""
RENAMED = {
    "data.max_bad": "data.max_unreadable",
    "train.keep": "train.keep_checkpoints",
    "train.select": "train.best_metric",
    "train.select_images": "train.best_images",
}
"""Earlier names of settings: files with them can be read; on the command line the error has the new name."""
_MUST = {
    "missing": "missing; give it a value",
    "extra_forbidden": "unknown; leave it out",
    "int_": "must be a whole number",
    "float_": "must be a number",
    "bool_": "must be True or False",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_": "must be text",
    "list_": "must be a list",
    "tuple_": "must be a list",
    "dict_": "must be an object",
    "model_": "must be an object",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "json_invalid": "must be JSON",
}
"""What a value must be, by the start of the name of pydantic's error."""

_Model = TypeVar("_Model", bound=BaseModel)
_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 60


def setting_names(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[str]:
    """Yield the dotted name of every setting, in order."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from setting_names(kind, f"{prefix}{name}.")
        else:
            yield prefix + name


def with_settings(config: Config, overrides: Mapping[str, Any], *, typed: bool = False) -> Config:
    """Return ``config`` with some settings changed, and what another kind or network then needs, checked as a whole.

    Overrides are values by dotted name (``"loss.gamma"``); ``"data"`` is short for ``"data.source"``. Raises UserError
    for a name that is no setting (with the nearest), a value that is not allowed, or of those that a user ``typed`` a
    setting that has no effect on the kind of model.
    """
    names = list(setting_names())
    named: dict[str, Any] = {}
    for dotted, value in overrides.items():
        name = str(dotted).replace("-", "_")
        name = SHORT.get(name, name)
        if name not in names:
            raise UserError(_unknown(str(dotted), names))
        named[name] = os.fspath(value) if isinstance(value, Path) else value
    values = config.model_dump()
    for name, value in {**settings_that_follow(config, named), **named}.items():
        put(values, name, value)
    changed = checked(Config, values)
    if typed:
        refuse_without_effect(changed, named)
    return changed


def checked(model: type[_Model], values: Mapping[str, Any]) -> _Model:
    """Return a pydantic model made of a nested mapping of its fields; UserError for the first that is not allowed."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UserError(explain(error, list(setting_names(model)))) from error


def explain(error: ValidationError, names: Sequence[str]) -> str:
    """Return one line that says which setting is wrong, its value, and what it must be."""
    first = error.errors()[0]
    if first["type"] == "value_error":  # of our own, a whole line
        return str(first["ctx"]["error"])
    name = ".".join(str(part) for part in first["loc"] if isinstance(part, str))
    if first["type"] == "invalid_key":
        return _unknown(str(first["input"]), names)
    if first["type"] in ("extra_forbidden", "model_type"):
        return _unknown(name, names)
    if first["type"] == "missing":
        return f"{name}: missing; give it a value"
    own = ".".join(part for part in name.split(".") if part.isidentifier())  # without pydantic's "constrained-int"
    return f"{own}: {reason(error)}"


def reason(error: ValidationError) -> str:
    """Return the first value that pydantic refuses, and what it must be, as one line."""
    first = error.errors()[0]
    value = first["input"]
    offered = re.findall(r"'(.*?)'", first["ctx"]["expected"]) if first["type"] == "literal_error" else []
    hint = nearest(value, offered) if isinstance(value, str) else ""
    return " ".join(f"{_repr.repr(value)} is not allowed: {must_be(first)}{hint}".split())


def must_be(error: Mapping[str, Any]) -> str:
    """Return what a value must be, from one of pydantic's errors."""
    words = next((words for start, words in _MUST.items() if error["type"].startswith(start)), None)
    return words.format(**error.get("ctx", {})) if words else error["msg"].replace("Input should be", "must be")


def number_in(environment: Mapping[str, str], name: str, default: int, least: int = 0, below: float = math.inf) -> int:
    """Return a variable's whole number; UserError if it is none, or not from ``least`` to under ``below``."""
    text = environment.get(name, str(default))
    if re.fullmatch(r"\d{1,9}", text) and least <= int(text) < below:
        return int(text)
    allowed = f"from {least}" + (f" to {below - 1}" if below < math.inf else "")
    raise UserError(f"environment variable {name} is {text!r}: set it to a whole number {allowed}, or unset it")


def put(values: dict[str, Any], name: str, value: Any) -> None:
    """Put a value where its dotted name says into nested values."""
    *groups, last = name.split(".")
    for group in groups:
        values = values[group]
    values[last] = value


def value_at(values: Mapping[str, Any], name: str) -> Any:
    """Return the value that stands where its dotted name says in nested values."""
    for key in name.split("."):
        values = values[key]
    return values


def _unknown(name: str, names: Sequence[str]) -> str:
    if name.replace("-", "_") in RENAMED:
        return f"{name} is now {RENAMED[name.replace('-', '_')]}"
    inside = [other for other in names if other.startswith(name.replace("-", "_") + ".")]
    if inside:
        return f"{name} is a group of settings; name one of them, such as {inside[0]}"
    hint = nearest_option(name, names) or "; `vaegan train --help` lists them"
    return f"unknown setting {_repr.repr(name)}{hint}"


def dump_yaml(config: Config, path: Path) -> None:
    """Write all settings to ``path`` atomically, with the format version; UserError if it cannot be written."""
    values = {"format": FORMAT, **config.model_dump(mode="json")}
    write_text(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def load_yaml(path: Path) -> Config:
    """Read settings from a file; those not in it keep their defaults.

    Raises UserError, which names the path, if the file is missing, not YAML, of a newer version, or has an unknown
    setting or a value that is not allowed.
    """
    values = _read_mapping(path)
    version = values.pop("format", FORMAT)
    if not isinstance(version, int) or version > FORMAT:
        raise UserError(
            f"{path}: written by a newer vaegan (format {version!r}, this one reads {FORMAT}); upgrade vaegan"
        )
    try:
        return checked(Config, _with_new_names(values))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def is_complete(path: Path) -> bool:
    """Whether a file has all groups of settings, as `dump_yaml` writes them; UserError if it cannot be read."""
    return _read_mapping(path).keys() >= {"format", "recipe", "seed", "data", "model", "loss", "optim", "train"}


def _with_new_names(values: dict[Any, Any]) -> dict[Any, Any]:
    """Return the settings of a file with those of `RENAMED` under their current names.

    Earlier versions also wrote a target of augmentations where there were none, which had no effect.
    """
    loss = values.get("loss")
    if isinstance(loss, dict) and not loss.get("augment"):
        values = {**values, "loss": {**loss, "augment_target": None}}
    for old, new in RENAMED.items():
        group, name = old.split(".")
        inside = values.get(group)
        if isinstance(inside, dict) and name in inside:
            renamed = {new.split(".")[1] if key == name else key: value for key, value in inside.items()}
            values = {**values, group: renamed}
    return values


class _Loader(yaml.SafeLoader):
    """YAML without keys given twice, of which the last would count, and without merge keys, which multiply.

    Ten lines of merge keys can stand for billions of entries.
    """

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        seen = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise ConstructorError(problem="merge keys are not supported", problem_mark=key.start_mark)
            if not isinstance(key, yaml.ScalarNode):
                continue  # which the loader refuses
            if key.value in seen:
                raise ConstructorError(problem=f"{key.value} is given twice", problem_mark=key.start_mark)
            seen.add(key.value)


def _read_mapping(path: Path) -> dict[Any, Any]:
    try:
        values = yaml.load(read_bytes(path, _MAX_SETTINGS).decode(), _Loader)
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte, a file that is no UTF-8
        reason = getattr(error, "strerror", None) or ("not a text file" if isinstance(error, UnicodeError) else error)
        raise UserError(f"cannot read settings {path}: {reason}; give a settings file or a run folder") from error
    except (yaml.YAMLError, RecursionError) as error:
        mark, why = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        where, why = (f", line {mark.line + 1}" if mark else ""), f" ({why})" if why else ""
        raise UserError(f"{path}{where}: not valid YAML{why}; correct the file or start from a recipe") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: no settings in it; write lines such as 'seed: 1', or start from a recipe")
    return values
