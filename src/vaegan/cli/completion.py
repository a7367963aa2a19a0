"""``vaegan completion``: a script for shell completion of commands, options and their choices."""

import importlib
from collections.abc import Iterator
from typing import Annotated, Literal

from ..recipes import RECIPES
from .console import show
from .options import Arg, CommandOptions, Option, options_of

_BASH = """\
_vaegan() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" words=""
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="{commands}"
    else
        case "${{COMP_WORDS[1]}} ${{COMP_WORDS[COMP_CWORD - 1]}} $current" in
{cases}
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _vaegan vaegan
"""
_ZSH = "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n"


class Options(CommandOptions):
    """Print a script that completes commands, options and their choices when you press Tab.

    bash: add `source <(vaegan completion bash)` to ~/.bashrc; zsh: `source <(vaegan completion zsh)` to ~/.zshrc; fish:
    `vaegan completion fish > ~/.config/fish/completions/vaegan.fish`.
    """

    shell: Annotated[Literal["bash", "zsh", "fish"], Arg("bash|zsh|fish", positional=True)]
    """The shell."""


def run(options: Options) -> None:
    """Print the script."""
    scripts = {"bash": _bash, "zsh": lambda: _ZSH + _bash(), "fish": _fish}
    show(scripts[options.shell](), end="")


def _commands() -> Iterator[tuple[str, list[Option]]]:
    """Yield each command with its named options."""
    from . import COMMANDS

    for name in COMMANDS:
        command = importlib.import_module(f".{name}", __package__)
        yield name, [option for option in options_of(command.Options) if not option.arg.positional]


def _bash() -> str:
    cases, commands = [], []
    for name, options in _commands():
        commands.append(name)
        for option in options:
            if option.choices:
                cases.append((f'"{name} {option.name} "*', " ".join(map(str, option.choices))))
        names = [each for option in options for each in option.names]
        cases.append((f'"{name} "*" -"*', " ".join([*names, "--help", "--help-all"])))
    cases.append(('"train --"*', ""))  # the value of an option: -o default offers files
    cases.append(('"train "*', " ".join(RECIPES)))
    lines = "\n".join(f'            {pattern}) words="{words}" ;;' for pattern, words in cases)
    return _BASH.format(commands=" ".join(commands), cases=lines)


def _fish() -> str:
    from . import COMMANDS

    lines = []
    for name, options in _commands():
        lines.append(f"complete -c vaegan -n __fish_use_subcommand -a {name} -d {_quoted(COMMANDS[name])}")
        for option in options:
            choices = f" -xa {_quoted(' '.join(map(str, option.choices)))}" if option.choices else " -r"
            takes = "" if option.is_switch else choices
            called = " ".join(f"-l {each.removeprefix('--')}" for each in option.names)
            where = f"-n '__fish_seen_subcommand_from {name}'"
            lines.append(f"complete -c vaegan {where} {called}{takes} -d {_quoted(option.summary)}")
    lines.append(f"complete -c vaegan -n '__fish_seen_subcommand_from train' -a {_quoted(' '.join(RECIPES))}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Return a text as one word of fish."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
