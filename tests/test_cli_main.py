from __future__ import annotations

import errno
import logging
import os
import shlex
import subprocess
import sys
import warnings

import pytest

from vaegan import __version__, cli
from vaegan.cli import COMMANDS, console, main
from vaegan.errors import UserError

FORBIDDEN = ("torch", "matplotlib", "sklearn", "PIL")


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EFBIG, "allow longer files (ulimit -f)"),
        *((number, "check the path and its permissions") for number in (errno.EROFS, errno.EACCES, errno.EISDIR)),
    ],
)
def test_a_disk_that_cannot_be_written_is_one_line_out_of_any_command(command, capsys, monkeypatch, number, remedy):
    def fail(options):
        raise OSError(number, os.strerror(number), "/disk/file")

    monkeypatch.setattr("vaegan.cli.recipes.run", fail)
    assert command("recipes") == 2
    told = f"vaegan recipes: cannot access /disk/file: {os.strerror(number)}; {remedy}, or choose another path\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "cannot write the output: No space left on device; free some space, or redirect it elsewhere",
        ),
        (
            ImportError("libtorch_cpu.so: failed to map segment from shared object"),
            "not enough memory; use smaller images, a smaller network or batch size, or a lower --num",
        ),
    ],
)
def test_what_the_machine_lacks_is_one_line(command, capsys, monkeypatch, error, told):
    def fail(options):
        raise error

    monkeypatch.setattr("vaegan.cli.recipes.run", fail)
    assert command("recipes") == 2
    assert capsys.readouterr().err == f"vaegan recipes: {told}\n"


@pytest.mark.parametrize("words", ["cluster none --overwrite", "priors none --overwrite", "push none a/b --overwrite"])
def test_no_command_writes_into_a_folder_of_others(command, capsys, tmp_path, words):
    names = ("clusters.json", "config.json", "gallery.png", "README.md")
    for name in names:
        (tmp_path / name).write_text("{}")
    assert command(*words.split(), "--out", tmp_path) == 2
    assert "contains other files (README.md); choose a new one" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir() if path.read_text() == "{}"} == set(names)


def test_help_lists_every_command_with_a_line(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for name, line in COMMANDS.items():
        assert any(row.startswith(name) and row.endswith(line) for row in out.splitlines())
    assert main([]) == 0
    assert capsys.readouterr().out == out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command(name, capsys):
    assert main([name, "--help"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.startswith(f"usage: vaegan {name} ")
    assert "\x1b" not in captured.out
    assert len(captured.out.splitlines()[2]) > 20


def test_help_comes_without_the_heavy_libraries():
    code = "import sys; from vaegan.cli import COMMANDS, main; codes = [main([c, '-h']) for c in COMMANDS]; " \
        f"print([name for name in {FORBIDDEN} if name in sys.modules], codes, file=sys.stderr)"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == f"[] {[0] * len(COMMANDS)}\n"


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"vaegan {__version__}\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["trian"], "vaegan: unknown command 'trian' (perhaps you meant 'train')"),
        (["xyz"], "vaegan: unknown command 'xyz'; `vaegan --help` lists them"),
        (["recipes", "x"], "vaegan recipes: unexpected argument x; options start with --, see --help"),
        (["data", "--num", "3"], "vaegan data: unknown option --num; --help lists them"),
    ],
)
def test_one_line_and_exit_code_2(words, line, capsys):
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == line + "\n"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("two\nlines"), 2, r"vaegan recipes: two\nlines"),
        (KeyboardInterrupt(), 130, "vaegan recipes: interrupted"),
        (UserError("surrogate \udc80"), 2, "vaegan recipes: surrogate \\udc80"),
        (MemoryError(), 2, "vaegan recipes: not enough memory; use smaller images, a smaller network or batch size"),
        (MemoryError("the networks need 9 GB"), 2, "vaegan recipes: not enough memory (the networks need 9 GB); use"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), 2, "vaegan recipes: not enough"),
        (RuntimeError("CUDA out of memory. Tried to"), 2, "vaegan recipes: not enough memory; use"),
        (RuntimeError("x"), 1, "vaegan recipes: this is a bug in vaegan"),
        (ZeroDivisionError("x"), 1, "vaegan recipes: this is a bug in vaegan"),
    ],
)
def test_whatever_happens_becomes_an_exit_code(error, code, line, monkeypatch, capsys):
    def fail(*_):
        raise error

    monkeypatch.setattr(cli, "_run", fail)
    assert main(["recipes"]) == code
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith(line)
    assert ("Traceback" in lines[0]) == (code == 1)
    assert code == 1 or len(lines) == 1


# A process that sends itself Ctrl-C at a moment: "import" of another module, in the command, or at the end.
INTERRUPTED = """
import atexit, os, signal, sys
def stop(*_): os.kill(os.getpid(), signal.SIGINT)
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == moment: stop()
moment, sys.argv[1:] = sys.argv[1], ["recipes"]
sys.meta_path.insert(0, Finder())
if moment == "end": atexit.register(stop)
if moment == "work":
    import vaegan.cli
    vaegan.cli._run = stop
from vaegan.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("moment", "code", "line"),
    [
        ("vaegan.cli", 130, "vaegan: interrupted\n"),
        ("vaegan.cli.console", 130, "vaegan: interrupted\n"),
        ("vaegan.cli.recipes", 130, "vaegan: interrupted\n"),
        ("work", 130, "vaegan recipes: interrupted\n"),
        ("end", 0, ""),
    ],
)
def test_ctrl_c_is_one_line_and_130_at_any_moment(moment, code, line):
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, moment], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, line)


def test_warnings_and_lines_of_others_have_our_prefix(monkeypatch, capfd):
    monkeypatch.setattr(warnings, "showwarning", None)
    monkeypatch.setattr(logging.lastResort, "formatter", None)
    console.prefix_warnings()
    console.set_up()
    warnings.warn("two\n  lines", UserWarning, stacklevel=1)
    logging.lastResort.handle(logging.makeLogRecord({"msg": "theirs", "levelno": logging.WARNING}))
    assert capfd.readouterr().err == "vaegan: two lines\nvaegan: theirs\n"


@pytest.mark.parametrize(
    ("command", "seconds", "said"),
    [("evaluate", 133.2, "done in 2 min 13 s\n"), ("encode", 9.9, ""), ("train", 133.2, ""), ("studio", 133.2, "")],
)
def test_a_long_command_says_how_long_it_took(command, seconds, said, monkeypatch, capsys):
    clock = iter((50.0, 50.0 + seconds))
    monkeypatch.setattr(cli.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(cli, "_run", lambda *_: None)
    assert main([command]) == 0
    assert capsys.readouterr().out == said


def test_only_the_first_process_prints(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["--help"]) == main(["train", "--help"]) == 0
    assert capsys.readouterr() == ("", "")
    assert main(["train", "nothing"]) == 2
    assert capsys.readouterr().err.startswith("vaegan train (process 1): unknown recipe 'nothing'")
    monkeypatch.delenv("WORLD_SIZE")  # a rank without a number of processes is one process
    assert main(["--help"]) == 0
    assert capsys.readouterr().out


def test_the_module_is_the_command_and_a_closed_pipe_is_no_trouble():
    command = f"{sys.executable} -m vaegan train --help | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "usage: vaegan train [RECIPE] [OPTIONS]\n"


def program(body):
    """Python that runs ``vaegan`` with a command that evaluates these expressions of ``words``."""
    return f"import os, sys; from vaegan import cli; cli._run = lambda words, who: [{body}]; sys.exit(cli.main())"


C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize(
    ("variables", "printed"),
    [
        ({"PYTHONIOENCODING": "ascii"}, b"-1 +- 2, Frechet, \\u9854"),
        ({"PYTHONIOENCODING": "latin-1"}, "-1 ± 2, Fréchet, \\u9854".encode("latin-1")),
        (C_LOCALE, b"-1 +- 2, Frechet, \\u9854"),
    ],
)
def test_letters_that_a_terminal_lacks_are_replaced_and_names_of_files_are_not(variables, printed, tmp_path):
    text = ascii("−1 ± 2, Fréchet, 顔")
    code = program(f"[print({text}, file=f) for f in (sys.stdout, sys.stderr)], open(words[0], 'w')")
    words = [sys.executable, "-c", code, f"{tmp_path}/顔"]
    done = subprocess.run(words, env=os.environ | variables, capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (printed + b"\n", printed + b"\n")
    assert [path.name for path in tmp_path.iterdir()] == ["顔"]


def test_a_current_folder_that_is_gone(monkeypatch, tmp_path, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main(["recipes"]) == 2
    assert "cannot access the current folder: No such file or directory; change to another" in capsys.readouterr().err


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", ">&-", "2>&-"])
def test_closed_streams_lead_nowhere(closed, tmp_path):
    code = program(
        "(f := open('out', 'w')), print('x'), sys.stderr.write('y'), os.system('echo z; echo z >&2'), sys.stdin.read(),"
        " sys.stdout.isatty(), f.write(f'{f.fileno() > 2}')"
    )
    words = ["bash", "-c", f'"$0" -c "$1" {closed}', sys.executable, code]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, cwd=tmp_path, check=False)
    assert (done.returncode, (tmp_path / "out").read_text()) == (0, "True")


@pytest.mark.parametrize("num", [1, 100_000])
def test_output_that_cannot_be_written_is_one_line(num):
    command = ["bash", "-c", '"$0" -c "$1" > /dev/full', sys.executable, program(f"print('x' * {num})")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("width", ["1", "20", "60", "10000", "9" * 5000, "garbage", "²", "-3", ""])
def test_any_width(width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", width)
    assert main(["train", "--help-all"]) == main(["--help"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 120


def test_a_narrow_table_breaks_words_and_cuts_none_off(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "9")
    console._show_rich(("recipe",), [("mnist-conv",)], (False,))
    assert "".join(capsys.readouterr().out.split()) == "recipemnist-conv"


def test_a_recipe_is_described_with_its_parameters(capsys):
    assert main(["recipes", "--about", "larsen-mnist"]) == 0
    # Two hidden layers of 1024 in each part, z of 128, by hand: weights, biases without a norm, two per norm.
    encoder = 784 * 1024 + 2 * 1024 + 1024 * 1024 + 2 * 1024 + 1024 * 256 + 256
    decoder = 128 * 1024 + 2 * 1024 + 1024 * 1024 + 2 * 1024 + 1024 * 784 + 784
    discriminator = 784 * 1024 + 1024 + 1024 * 1024 + 2 * 1024 + 1024 + 1
    assert f" {encoder + decoder + discriminator:,} parameters\n" in capsys.readouterr().out


@pytest.fixture(scope="module")
def completed(tmp_path_factory):
    """What bash completes words to, the last of them unfinished."""
    script = tmp_path_factory.mktemp("completion") / "vaegan.bash"
    done = subprocess.run([sys.executable, "-m", "vaegan", "completion", "bash"], capture_output=True, check=True)
    script.write_bytes(done.stdout)

    def complete(*words):
        lines = f"source {script}\nCOMP_WORDS=({shlex.join(words)})\nCOMP_CWORD={len(words) - 1}\n_vaegan\n"
        lines += "complete -p vaegan\nprintf '%s\\n' \"${COMPREPLY[@]}\""
        done = subprocess.run(["bash", "-c", lines], capture_output=True, text=True, check=True)
        first, *replies = done.stdout.splitlines()
        assert first.startswith("complete ")
        assert first.endswith("-F _vaegan vaegan")
        assert done.stderr == ""
        return [reply for reply in replies if reply]

    return complete


@pytest.mark.parametrize(
    ("words", "replies"),
    [
        ("tr", "train traverse"),
        ("train mnist-m", "mnist-mlp"),
        ("train digits --loss.gam", "--loss.gamma"),
        ("train --model.kind v", "vae vae-dis-l vaegan"),
        ("reconstruct runs/a --split ''", "all test train"),
        ("sample --pri", "--prior"),
        ("sample --loss.gam", ""),
        ("train --data ''", ""),
    ],
)
def test_bash_completes(words, replies, completed):
    assert completed("vaegan", *shlex.split(words)) == replies.split()


def test_every_option_is_in_every_script(capsys):
    from vaegan.cli import train
    from vaegan.cli.options import options_of

    names = [option.name for option in options_of(train.Options) if not option.arg.positional]
    for shell, spell in {"bash": " {} ", "zsh": " {} ", "fish": " -l {}"}.items():
        assert main(["completion", shell]) == 0
        script = capsys.readouterr().out.replace('"', " ")
        shown = [spell.format(name if shell != "fish" else name.removeprefix("--")) for name in names]
        assert [name for name in shown if name not in script] == []


def test_sources_are_listed(capsys):
    assert main(["data"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line]
    assert {"digits", "mnist", "PATH"} <= set(names)
