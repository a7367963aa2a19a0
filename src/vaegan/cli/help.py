"""The help of a command: what it does, then its options; all of them, or the essential ones."""

import inspect
import itertools
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from ..settings import Settings
from .options import Option

ESSENTIAL = (
    *("data.source", "data.root", "settings.data.source", "settings.data.root", "settings.data.size"),
    *("settings.data.channels", "settings.data.flip", "settings.data.limit", "settings.seed", "settings.device"),
    *("settings.model.kind", "settings.model.network", "settings.model.latent_dim", "settings.model.condition"),
    *("settings.loss.likelihood", "settings.loss.gamma", "settings.loss.kl_weight", "settings.loss.adversarial"),
    *("settings.optim.lr", "settings.train.epochs", "settings.train.images", "settings.train.batch_size"),
    "settings.train.snapshot_epochs",
)
"""Options of groups that the short help lists too."""
_WIDTH, _COLUMN = 110, 34
_NARROWEST = 40


def help_of(
    options: type[Settings], table: Sequence[Option], prog: str, values: Mapping[str, Any], *, whole: bool
) -> str:
    """Return the help of a command from its options and their values; ``whole`` with all options in full."""
    width = max(_NARROWEST, min(_WIDTH, shutil.get_terminal_size((_WIDTH, 24)).columns))
    listed = [option for option in table if whole or "." not in option.path or option.path in ESSENTIAL]
    listed.sort(key=lambda option: not option.arg.positional)
    places = [option for option in table if option.arg.positional]
    usage = [option.name if option.field.is_required() else f"[{option.name}]" for option in places]
    lines = [" ".join(["usage:", prog, *usage, "[OPTIONS]"]), ""]
    for paragraph in (inspect.getdoc(options) or "").split("\n\n"):
        lines += [*textwrap.wrap(" ".join(paragraph.split()), width), ""]
    for prefix, group in itertools.groupby(listed, _prefix):
        members = list(group)
        if prefix:
            lines += ["", *textwrap.wrap(f"{prefix}: {inspect.getdoc(members[0].group)}", width)]
        for option in members:
            lines += _lines(option, _default(option, values), width, whole=whole)
    if len(listed) < len(table):
        lines += ["", f"`{prog} --help-all` lists all {len(table)} options with their full descriptions."]
    return "\n".join(lines)


def _prefix(option: Option) -> str:
    """Return the prefix of its group, such as ``data.augment``."""
    return "" if option.arg.positional else option.name.removeprefix("--").rpartition(".")[0]


def _lines(option: Option, default: str, width: int, *, whole: bool) -> list[str]:
    """Return an option's name and metavar, with its description beside them, or below where there is little room."""
    column = _COLUMN if width > 2 * _COLUMN else 6
    call = f"  {option.name}" if option.arg.positional else f"  {option.alias or option.name} {option.metavar}".rstrip()
    lines = textwrap.wrap(
        f"{option.about if whole else option.summary} {default}".strip(), width - column, break_on_hyphens=False
    ) or [""]
    if len(call) >= column:
        return [call, *(" " * column + line for line in lines)]
    return [call.ljust(column) + lines[0], *(" " * column + line for line in lines[1:])]


def _default(option: Option, values: Mapping[str, Any]) -> str:
    """Return the default of an option in brackets; an empty string if there is none."""
    if option.arg.default:
        return f"(default: {option.arg.default})"
    first, *inside = option.path.split(".")
    default = values.get(first)
    for name in inside:
        default = getattr(default, name)
    if default is None or default is False or default == "":
        return ""
    text = " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
    return f"(default: {text or 'none'})"
