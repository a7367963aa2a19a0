"""The command line: ``vaegan COMMAND``, each command's options, and what it prints.

A command is one file of this folder and one entry in `COMMANDS`. The file has ``Options``, a class of settings whose
fields are the command's options and whose docstring is its help, with a method ``defaults`` where defaults depend on
the options that are set; and ``run(options)``. Torch is imported inside ``run``, so that help is instant.

Exit codes: 0 done, 2 the user's mistake (one line), 130 interrupted (one line), 1 our own mistake. ``studio`` and
``serve`` end with 0 at Ctrl-C, which is how servers are stopped.
"""

import importlib
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from ..errors import Stopped, UserError, is_out_of_memory
from ..errors import nearest as nearest_word  # 'nearest' becomes the command of that name, once imported
from ..files import OF_A_DISK, remedy_of
from ..progress import duration, log
from ..version import __version__
from . import console
from .console import show, show_table

COMMANDS = {
    "train": "train a model; run the same command to resume",
    "recipes": "list the recipes: named, complete settings",
    "data": "list the image sources",
    "sample": "samples from a prior",
    "priors": "fit priors to the codes",
    "reconstruct": "originals beside their reconstructions",
    "interpolate": "paths between images or codes",
    "traverse": "vary one dimension of the code at a time, the most used first",
    "nearest": "the training images nearest to samples",
    "encode": "write the codes of all images to a file or to shards",
    "attributes": "compute attribute vectors, apply them, check them",
    "cluster": "cluster the codes; galleries, a map, scores against labels",
    "evaluate": "metrics with confidence intervals, as a table and JSON",
    "compare": "several models on one page, and as JSON",
    "reproduce": "the paper's experiments, on one page",
    "report": "one run on one HTML page",
    "studio": "explore one or more models on a web page",
    "serve": "serve a model as a JSON API",
    "export": "model files for other programs: ONNX, torch.export, diffusers",
    "push": "upload a model to the Hugging Face hub, with a model card",
    "completion": "print a script that completes commands and options in your shell",
}
"""Every command with its one line; `vaegan COMMAND` is in the file of that name."""
_LONG = 10.0  # seconds; training says itself how long it took, servers run until they are stopped


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``vaegan`` with these words (``sys.argv`` if None) and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    who = f"vaegan {words[0]}" if words and words[0] in COMMANDS else "vaegan"
    if argv is None:
        console.ensure_utf8()
        console.prefix_warnings()
    console.prepare_streams()
    try:
        Path.cwd()
    except OSError as error:  # torch would fail with an error of its own
        console.complain(who, f"cannot access the current folder: {error.strerror}; change to another one")
        return 2
    code = _code_of(words, who)
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # discard what is left in the buffer, at exit
        if not isinstance(error, BrokenPipeError):
            console.complain(who, f"cannot write the output: {error.strerror}; redirect it elsewhere")
            return code or 2
    return code


def _code_of(words: list[str], who: str) -> int:
    """Run a command, print its error if it has one, and return the exit code."""
    begin = time.monotonic()
    try:
        console.set_up()
        _run(words, who)
        took = time.monotonic() - begin
        if took >= _LONG and words[0] not in ("train", "studio", "serve"):
            log.info("done in %s", duration(took))
    except UserError as error:
        console.complain(who, str(error))
        return 2
    except Stopped as stop:  # all is saved, and it has been said
        return stop.exit_code
    except KeyboardInterrupt:
        console.complain(who, "interrupted")
        return 130
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0
    except BrokenPipeError:  # the reader closed the pipe, as `head` does
        return 0
    except Exception as error:
        if is_out_of_memory(error):
            why = f" ({error})" if type(error) is MemoryError and str(error) else ""
            fix = "use smaller images, a smaller network or batch size, or a lower --num"
            console.complain(who, f"not enough memory{why}; {fix}")
            return 2
        if isinstance(error, OSError) and error.errno in OF_A_DISK:
            what, fix = f"cannot access {error.filename}", "choose another path"
            if not error.filename:
                what, fix = "cannot write the output", "redirect it elsewhere"
            console.complain(who, f"{what}: {error.strerror}; {remedy_of(error)}, or {fix}")
            return 2
        traceback.print_exc()
        console.complain(who, "this is a bug in vaegan; please report it with the lines above")
        return 1
    return 0


def _run(words: list[str], who: str) -> None:
    if not words or words[0] in ("-h", "--help", "help"):
        _print_help()
    elif words[0] in ("-V", "--version"):
        print(f"vaegan {__version__}")
    elif words[0] in COMMANDS:
        from .common import check_out
        from .parse import parse

        command = importlib.import_module(f".{words[0]}", __name__)
        options = parse(command.Options, words[1:], who)
        check_out(options)
        command.run(options)
    else:
        hint = nearest_word(words[0], COMMANDS) or "; `vaegan --help` lists them"
        raise UserError(f"unknown command {words[0]!r}{hint}")


def _print_help() -> None:
    show("usage: vaegan COMMAND [OPTIONS]\n")
    show("Train, explore and evaluate VAE/GANs and related models (arXiv:1512.09300).\n")
    show_table(("command", ""), list(COMMANDS.items()))
    show("\n`vaegan COMMAND --help` shows its options; `vaegan --version` prints the version.")
