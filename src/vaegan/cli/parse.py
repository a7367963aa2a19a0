"""Command-line words to checked options, in one pass.

Each option's words become a value of its type in order, so that errors come in the order of the words and with the
names that the user wrote. Other values come from the command's defaults, which may depend on those set; then all
options are validated together, like settings from a file or from the library.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from ..errors import UserError, data_hint, nearest_option, printable
from ..settings import Settings
from ..settings_io import RENAMED, checked, put
from .console import show
from .help import help_of
from .options import CommandOptions, Option, options_of

HELP = ("-h", "--help", "--help-all")

_Options = TypeVar("_Options", bound=CommandOptions)
_RENAMED_OPTIONS = {"how": "method", "form": "format", "reach": "range", "around": "center", "shown": "show"}
_NAME = re.compile(r"--?[^\W\d]|--$")  # of an option; -1 is a number
_TRUTHS = ("true", "yes", "on", "false", "no", "off")


def parse(options: type[_Options], words: Sequence[str], prog: str) -> _Options:
    """Return the options that ``words`` set, or print the help and exit.

    Defaults that depend on the values set, such as the settings of the recipe, are asked for once all required
    positional options are there. Raises UserError for the first mistake, SystemExit with code 0 after the help.
    """
    table = list(options_of(options))
    explicit = _read(table, [word for word in words if word not in HELP])
    missing = [option for option in table if option.field.is_required() and option.path not in explicit]
    values = {name: field.default for name, field in options.model_fields.items() if not field.is_required()}
    if not missing:
        values |= options.defaults(explicit)
    if any(word in HELP for word in words):
        show(help_of(options, table, prog, values, whole="--help-all" in words))
        raise SystemExit(0)
    if missing:
        raise UserError(f"{missing[0].name} is missing; write {prog} {missing[0].name}, see --help")
    values = {name: value.model_dump() if isinstance(value, Settings) else value for name, value in values.items()}
    for path, value in explicit.items():
        put(values, path, value)
    parsed = checked(options, values)
    parsed._explicit = explicit
    return parsed


def _read(table: Sequence[Option], words: Sequence[str]) -> dict[str, Any]:
    """Return the values that words give, by the dotted name of their option."""
    named = [option for option in table if not option.arg.positional]
    by_name = {name: option for option in named for name in option.names}
    places = [option for option in table if option.arg.positional]
    explicit: dict[str, Any] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if _NAME.match(word):
            name, attached, value = word.partition("=")
            name = name.replace("_", "-")
            option = by_name.get(name) or _refuse(name, by_name)
            values = [value] if attached else _taken(option, rest)
            if option.takes_several:
                values = [part for word in values for part in word.split(",") if part]
        elif places:
            option = places[0] if places[0].takes_several else places.pop(0)
            values = [word]
        else:
            hint = data_hint(word) if "--data" in by_name else ""
            raise UserError(f"unexpected argument {printable(word)}; options start with --, see --help{hint}")
        adds_up = option.arg.repeated or (option.arg.positional and option.takes_several)
        before = explicit.get(option.path, ()) if adds_up else ()
        read = option.read(values)
        explicit[option.path] = (*before, *read) if adds_up else read
    return explicit


def _taken(option: Option, rest: list[str]) -> list[str]:
    """Take the words behind an option's name that are its value; UserError if there is none and it needs one."""
    if option.is_switch:
        return [rest.pop(0)] if rest and rest[0].lower() in _TRUTHS else ["true"]
    several = option.takes_several and not option.arg.repeated
    taken: list[str] = []
    while rest and not _NAME.match(rest[0]) and (several or not taken):
        taken.append(rest.pop(0))
    if not taken and not several:
        raise UserError(f"{option.name}: value missing; write {option.name} VALUE")
    return taken


def _refuse(name: str, names: Mapping[str, Option]) -> NoReturn:
    new = (RENAMED | _RENAMED_OPTIONS).get(name.removeprefix("--").replace("-", "_"), "").replace("_", "-")
    if f"--{new}" in names:
        raise UserError(f"{name} is now --{new}")
    raise UserError(f"unknown option {name}{nearest_option(name, names) or '; --help lists them'}")
