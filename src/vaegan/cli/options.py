"""Command-line options, read from a command's class of settings.

A field is an option by its name, type, default and docstring alone. `Arg` adds the rest:

    run: Annotated[str, Arg("RUN", positional=True)]
    out: Annotated[Path | None, Arg("FILE.html", default="RUN/report.html")] = None
    label: Annotated[tuple[str, ...], Arg(repeated=True)] = ()
    settings: Annotated[Config, Arg(inline=True)] = Config()
"""

import functools
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import ConfigDict, PrivateAttr, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from ..config import Config
from ..errors import UserError
from ..files import expanded
from ..settings import Settings
from ..settings_io import SHORT, reason

_ALIASES = {f"--{name}": f"--{short}" for short, name in SHORT.items()}
_HIDDEN = {(Config, "recipe")}
_METAVARS = {int: "INT", float: "FLOAT", str: "TEXT", Path: "PATH", bool: ""}


@dataclass(frozen=True)
class Arg:
    """What the field of an option does not say by itself."""

    metavar: str | None = None  # what its value is called in the help
    default: str | None = None  # what the help calls its default
    positional: bool = False  # whether it is positional, without a name
    repeated: bool = False  # whether repeated uses add up
    inline: bool = False  # whether the options of this group of settings have no prefix


class CommandOptions(Settings):
    """The options of a command."""

    _explicit: dict[str, Any] = PrivateAttr(default_factory=dict)  # the values that its words set, by dotted name

    @classmethod
    def defaults(cls, explicit: Mapping[str, Any]) -> dict[str, Any]:
        """Return defaults of fields that depend on the values set, by dotted name (``settings.loss.gamma``)."""
        return {}


@dataclass(frozen=True)
class Option:
    """One option."""

    path: str  # its dotted name in the class of options, such as ``settings.loss.gamma``
    name: str  # how it is called: ``--loss.gamma``, or the metavar of a positional one
    group: type[Settings]  # the class of settings that it stands in; its ``field`` declares it
    field: FieldInfo
    arg: Arg  # what the field does not say
    alias: str | None = None  # a shorter name

    @property
    def names(self) -> list[str]:
        """Its name, and the shorter one if it has one."""
        return [self.name, self.alias] if self.alias else [self.name]

    @functools.cached_property
    def types(self) -> tuple[Any, ...]:
        """Alternatives of its type, such as ``(int, NoneType)``."""
        return _alternatives(self.field.annotation)

    @property
    def is_optional(self) -> bool:
        """Whether it may have no value, for which the word 'none' stands."""
        return type(None) in self.types

    @property
    def is_switch(self) -> bool:
        """Whether its name alone means True."""
        return bool in self.types

    @property
    def takes_several(self) -> bool:
        """Whether it takes any number of values."""
        return any(get_origin(kind) is tuple for kind in self.types)

    @functools.cached_property
    def choices(self) -> tuple[Any, ...]:
        """The values it offers, if they are a list."""
        return tuple(choice for kind in self._elements if get_origin(kind) is Literal for choice in get_args(kind))

    @property
    def _elements(self) -> Iterator[Any]:
        """Types of a single value."""
        for kind in self.types:
            yield from _alternatives(get_args(kind)[0]) if get_origin(kind) is tuple else (kind,)

    @property
    def metavar(self) -> str:
        """What its value is called in the help."""
        if metavar := self.arg.metavar or self.field.title:
            return metavar
        if self.choices:
            return "{" + ",".join(map(str, self.choices)) + "}" + (" ..." if self.takes_several else "")
        names = dict.fromkeys(_METAVARS.get(kind, "") for kind in self._elements)
        name = "|".join(filter(None, names))
        return f"{name} {name} ..." if self.takes_several else name

    @property
    def about(self) -> str:
        """What is said of it, on one line."""
        return " ".join((self.field.description or "").split())

    @property
    def summary(self) -> str:
        """The first sentence of that."""
        return re.split(r"(?<=[.])\s", self.about)[0]

    def read(self, words: list[str]) -> Any:
        """Return the value that ``words`` are; UserError, in one line, if it takes no such value."""
        if [word.lower() for word in words] == ["none"] and "none" not in self.choices:
            if self.is_optional:
                return None
            words = [] if self.takes_several else words
        by_word = {str(choice): choice for choice in self.choices}
        values = [by_word.get(word, word) for word in words]
        try:
            read = self._adapter.validate_python(values if self.takes_several else values[0])
        except ValidationError as error:
            line = reason(error)
            raise UserError(
                f"{self.name}: {line}{', or none' if self.is_optional and not self.choices else ''}"
            ) from error
        is_own = "." not in self.path  # settings of a run keep their paths as they are written
        return expanded(read) if is_own and isinstance(read, Path) else read

    @functools.cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        kind: Any = Annotated[self.field.annotation, self.arg, *self.field.metadata]
        return TypeAdapter(kind, config=ConfigDict(allow_inf_nan=False))


def options_of(settings: type[Settings], path: str = "", prefix: str = "") -> Iterator[Option]:
    """Yield the options that a class of settings declares, its own first, then those of its groups."""
    groups = []
    for name, field in settings.model_fields.items():
        arg = next((mark for mark in field.metadata if isinstance(mark, Arg)), Arg())
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Settings):
            groups.append((kind, f"{path}{name}.", prefix if arg.inline else f"{prefix}{name}."))
        elif arg.positional:
            yield Option(path + name, arg.metavar or name.upper(), settings, field, arg)
        elif (settings, name) not in _HIDDEN:
            call = f"--{prefix}{name}".replace("_", "-")
            yield Option(path + name, call, settings, field, arg, _ALIASES.get(call))
    for group in groups:
        yield from options_of(*group)


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    """Return the types of a union, without what is annotated to them."""
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(kind for each in get_args(annotation) for kind in _alternatives(each))
    return (annotation,)
