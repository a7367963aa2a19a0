"""Words of the command line to checked options: tyro parses and explains, pydantic checks.

A command's options are one `Settings` class. tyro derives the options and the help from its types, ranges and
descriptions; it hands over values unchecked, so that a value out of range is refused in the same words on the
command line, in a file and in the library. What tyro itself refuses is flattened from its box to one line.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import tyro
from pydantic.fields import FieldInfo
from tyro.constructors import (
    ConstructorRegistry,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from ..config import Config, DataSettings, Settings
from ..errors import UserError, nearest
from ..settings_io import RENAMED, checked
from .log import is_first_process

Inline = tyro.conf.arg(name="")
"""Mark of a group whose options have no prefix."""

_Options = TypeVar("_Options", bound=Settings)
_HELP = ("-h", "--help")
_TRUTHS = {"true": "True", "yes": "True", "on": "True", "false": "False", "no": "False", "off": "False"}
_ALIASES: dict[tuple[type[Settings], str], str] = {(DataSettings, "source"): "--data"}
_HIDDEN = {(Config, "recipe")}


def parse(
    options: type[_Options],
    words: Sequence[str],
    prog: str,
    defaults: Callable[[_Options], _Options] | None = None,
) -> _Options:
    """Return the options that ``words`` give, or print the help and leave.

    Args:
        options: class of the command's options.
        words: what stands behind the command's name.
        prog: name of the command for its help.
        defaults: given the options on a first reading, returns those that stand for what is not given (the
            settings of the recipe that is named, for example).

    Raises:
        UserError: one line for the first mistake.
        SystemExit: with code 0, after the help.
    """
    words = _normalised(words, options)
    wants_help = any(word in _HELP for word in words)
    given = [word for word in words if word not in _HELP]
    default = None
    if defaults is not None and (given or not wants_help):
        try:
            default = defaults(_read(options, given, prog))
        except _RefusedError:
            if not wants_help:
                raise
    if wants_help:
        if is_first_process():
            _run_tyro(options, ["--help"], prog, default)
        raise SystemExit(0)
    read = _read(options, given, prog, default)
    return checked(options, read.model_dump(), spell=lambda name: _spelled(options, name))


class _RefusedError(UserError):
    """Words that tyro refuses."""


def _read(options: type[_Options], words: Sequence[str], prog: str, default: _Options | None = None) -> _Options:
    """Return the options as tyro reads them, not yet checked."""
    refusal = io.StringIO()
    try:
        # With standard output captured too, tyro sees no terminal: neither colours nor drawn boxes.
        with contextlib.redirect_stderr(refusal), contextlib.redirect_stdout(io.StringIO()):
            return _run_tyro(options, words, prog, default)
    except SystemExit as leaving:
        raise _RefusedError(_flattened(refusal.getvalue(), prog)) from leaving


def _run_tyro(options: type[_Options], words: Sequence[str], prog: str, default: _Options | None) -> _Options:
    return tyro.cli(
        options,
        prog=prog,
        args=words,
        default=tyro.MISSING_NONPROP if default is None else default,
        config=(tyro.conf.FlagConversionOff,),
        registry=_REGISTRY,
    )


def _settings_rule(info: StructTypeInfo) -> StructConstructorSpec | None:
    """Tell tyro to make `Settings` without checking them, and how their options are called."""
    kind = info.type
    if not (isinstance(kind, type) and issubclass(kind, Settings)):
        return None
    hints = get_type_hints(kind, include_extras=True)
    fields, hidden = [], {}
    for name, field in kind.model_fields.items():
        required = tyro.MISSING_NONPROP if field.is_required() else field.default
        default = getattr(info.default, name, required) if isinstance(info.default, kind) else required
        if (kind, name) in _HIDDEN:
            hidden[name] = default
            continue
        type_ = hints[name]
        if (kind, name) in _ALIASES:
            type_ = Annotated[type_, tyro.conf.arg(aliases=[_ALIASES[kind, name]])]
        fields.append(StructFieldSpec(name=name, type=type_, default=default, helptext=field.description))

    def unchecked(**values: Any) -> Settings:
        return kind.model_construct(**hidden, **values)

    unchecked.__doc__ = kind.__doc__
    return StructConstructorSpec(instantiate=unchecked, fields=tuple(fields))


_REGISTRY = ConstructorRegistry()
_REGISTRY.struct_rule(_settings_rule)


@dataclass(frozen=True)
class _Option:
    """One option: its dotted name in the options, how it is called, what it takes."""

    path: str
    call: str
    field: FieldInfo

    @property
    def kinds(self) -> tuple[Any, ...]:
        """The alternatives of its type."""
        return get_args(self.field.annotation) or (self.field.annotation,)

    @property
    def is_repeated(self) -> bool:
        """Whether its values add up when it is given several times."""
        return tyro.conf.UseAppendAction in self.field.metadata

    @property
    def takes_several(self) -> bool:
        """Whether it takes any number of values."""
        return any(get_origin(kind) is tuple for kind in (self.field.annotation, *self.kinds))


def _options_of(options: type[Settings], path: str = "", prefix: str = "") -> Iterator[_Option]:
    for name, field in options.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Settings):
            inline = Inline in field.metadata
            yield from _options_of(kind, f"{path}{name}.", prefix if inline else f"{prefix}{name}.")
        elif tyro.conf.Positional in field.metadata:
            yield _Option(path + name, name.upper(), field)
        elif (options, name) not in _HIDDEN:
            yield _Option(path + name, f"--{prefix}{name}".replace("_", "-"), field)
            if alias := _ALIASES.get((options, name)):
                yield _Option(path + name, alias, field)


def _spelled(options: type[Settings], path: str) -> str:
    """Return how the user calls the option with this dotted name."""
    return next((option.call for option in _options_of(options) if option.path == path), path)


def _normalised(words: Sequence[str], options: type[Settings]) -> list[str]:
    """Check the options' names, and bring their values to the forms that tyro knows."""
    known = {option.call: option for option in _options_of(options)}
    result: list[str] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if not re.match(r"--?[^\W\d]|--$", word) or word in _HELP:
            result.append(word)
            continue
        call, equals, value = word.partition("=")
        call = call.replace("_", "-")
        if call not in known:
            if new := RENAMED.get(call.removeprefix("--").replace("-", "_")):
                raise UserError(f"{call} is now --{new.replace('_', '-')}")
            calls = [other for other in known if other.startswith("--")]
            raise UserError(f"unknown option {call}{nearest(call, calls) or '; --help lists them'}")
        option = known[call]
        if equals:
            queue.insert(0, value)
        values = _values_of(option, queue, bool(equals))
        if option.is_repeated and values:
            result += [f"{call}={value}" for value in values]
            continue
        result += [call, *values] if not equals or len(values) != 1 else [f"{call}={values[0]}"]
    return result


def _values_of(option: _Option, queue: list[str], attached: bool) -> list[str]:
    """Take the first value of ``option`` from the queue: truth words, 'none' and commas in tyro's form."""
    if bool in option.kinds:
        if queue and (attached or queue[0].lower() in _TRUTHS):
            value = queue.pop(0)
            return [_TRUTHS.get(value.lower(), value)]
        return ["True"]
    if not queue or (queue[0].startswith("--") and not attached):
        return []
    value = queue.pop(0)
    if type(None) in option.kinds and value.lower() == "none":
        return ["None"]
    return [part for part in value.split(",") if part] if option.takes_several else [value]


_PLAIN = (
    (r"^Error parsing ", ""),
    (r"could not convert string to float: (.*)$", r"\1 is not allowed: must be a number"),
    (r"invalid literal for int\(\) with base 10: (.*)$", r"\1 is not allowed: must be a whole number"),
    (r"Could not find valid parse for arguments: \[(.*)\]$", r"\1 is not allowed: must be whole numbers"),
    (
        r"^invalid choice (.*) for argument '(.*)'\. Expected one of \((.*)\)\.$",
        r"\2: \1 is not allowed: must be one of \3",
    ),
    (r"no type matching (.*) could be instantiated from \[(.*?)\](\s|\.).*$", r"\2 is not allowed: must be \1"),
    (r"\{None\}\|\{\[INT .*\]\}$", "whole numbers or none"),
    (r"\{None\}\|INT$", "a whole number or none"),
    (r"\{None\}\|FLOAT$", "a number or none"),
    (r"^Missing value for argument '(.*)'\. Expected .*$", r"\1: value missing; write \1 VALUE"),
    (r"^Missing from (.*): (\w+) .*$", r"\2 is missing; write \1 \2, see --help"),
    (r"^Unrecognized options: (.*)$", r"too many words: \1; options start with --, see --help"),
)
"""Messages of tyro and Python, and what to say instead."""


def _flattened(box: str, prog: str) -> str:
    """Return the first paragraph below the title of a box that tyro prints, as one line."""
    rows = [row.strip() for row in box.splitlines()]
    rules = [i for i, row in enumerate(rows) if row and not row.strip("-")] + [len(rows)] * 2
    line = " ".join(" ".join(rows[rules[0] + 1 : rules[1]]).split())
    for pattern, plain in _PLAIN:
        line = re.sub(pattern, plain, line)
    return line or f"these words make no sense; `{prog} --help` lists the options"
