"""What the README says is so: its commands parse, its code runs, its links lead somewhere, its tree is the tree."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest
import torch

import vaegan
from vaegan.cli import COMMANDS
from vaegan.cli.parse import parse
from vaegan.recipes import RECIPES, config_for
from vaegan.settings_io import dump_yaml, setting_names
from vaegan.training import RunFolder
from vaegan.training.factories import build_model

ROOT = Path(__file__).parents[1]
PROSE = ("README.md", "CONTRIBUTING.md")
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
LINES = [line for language, block in BLOCKS if language != "python" for line in block.splitlines()]
STARTS = {
    "the command": r"^vaegan (.+)$",
    "in several processes": r"^torchrun .*-m vaegan (.+)$",
}
CALLS = [found[1] for line in LINES for start in STARTS.values() if (found := re.match(start, line))]
PYTHON = [block for language, block in BLOCKS if language == "python"]


def tree() -> list[str]:
    """The paths that the README's tree names; folders end with a slash."""
    (block,) = (block for _, block in BLOCKS if "src/vaegan/\n" in block)
    folders: list[str] = []
    paths = []
    for line in block.splitlines():
        indent = len(line) - len(line.lstrip())
        if indent > 4:  # a phrase that goes on
            continue
        folders = folders[: indent // 2]
        for name in re.split(r"\s{2,}", line.strip())[0].split(", "):
            paths.append("".join(folders) + name)
        if paths[-1].endswith("/"):
            folders.append(paths[-1].removeprefix("".join(folders)))
    return paths


@pytest.mark.parametrize("call", CALLS)
def test_every_command_parses(call, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for run in re.findall(r"(\S+)/config\.yaml", call):
        dump_yaml(config_for("conv-64", {"data": "photos"}), Path(run) / "config.yaml")
    name, *words = shlex.split(call, comments=True)
    assert name in COMMANDS
    command = importlib.import_module(f"vaegan.cli.{name}")
    if "--help" in words:
        with pytest.raises(SystemExit, match=r"^0$"):
            parse(command.Options, words, name, getattr(command, "defaults", None))
        assert len(capsys.readouterr().out) > 1000
    else:
        parse(command.Options, words, name, getattr(command, "defaults", None))


def test_every_command_is_shown():
    assert {call.split()[0] for call in CALLS} == set(COMMANDS)


def test_options_named_in_sentences_are_there():
    options = {f"--{name.replace('_', '-')}" for name in setting_names()}
    for name in COMMANDS:
        command = importlib.import_module(f"vaegan.cli.{name}")
        options |= {f"--{field.replace('_', '-')}" for field in command.Options.model_fields}
    options |= {"--help", "--data", "--nproc-per-node"}
    named = set(re.findall(r"(?<![\w-])--[a-z][\w.-]*\w", TEXT))
    assert len(named) > 20
    assert named <= options


def test_every_group_of_settings_is_in_the_table():
    groups = {name.split(".")[0] for name in setting_names() if "." in name}
    assert {found[1] for line in TEXT.splitlines() if (found := re.match(r"\| `(\w+)\.\*` \|", line))} == groups


def test_python_runs(tmp_path, monkeypatch, capsys):
    """Each block as it stands; training itself gives an untrained model's folder, the rest is real."""

    def untrained(recipe: str, *, data: str) -> RunFolder:
        config = config_for(recipe, {"data.source": data})
        run = RunFolder(Path("runs") / recipe)
        build_model(config, RECIPES[recipe].image_shape).save(run.path / "model")
        return run

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(vaegan, "train", untrained)
    first, second = PYTHON
    names: dict[str, object] = {}
    exec(compile(first, "README.md", "exec"), names)
    x, z, x_tilde = (names[name] for name in ("x", "z", "x_tilde"))
    assert isinstance(x, torch.Tensor)
    assert isinstance(z, torch.Tensor)
    assert isinstance(x_tilde, torch.Tensor)
    assert x.shape == x_tilde.shape == (64, 1, 28, 28)
    assert z.shape[0] == 64
    assert vaegan.load("my-model").kind == "vaegan"
    torch.manual_seed(0)
    exec(compile(second, "README.md", "exec"), {})
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["500", "1000", "1500", "2000"]


@pytest.mark.parametrize("name", PROSE)
def test_links_lead_somewhere(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s]+)[^)]*\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    missing = [link for link in links if not link.startswith("http") and not (ROOT / link.split("#")[0]).exists()]
    assert missing == []


def test_the_tree_is_the_tree():
    named = tree()
    assert [path for path in named if not (ROOT / path).exists()] == []
    there = {
        f"src/vaegan/{path.name}{'/' if path.is_dir() else ''}"
        for path in (ROOT / "src/vaegan").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert there - set(named) == set(), "name it in the README's tree, with a phrase"


def test_files_named_in_contributing_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:\w+/)?\w+\.py)`", text))
    package = ROOT / "src/vaegan"
    missing = {path for path in named if not (ROOT / path).is_file() and not (package / path).is_file()}
    assert {path for path in missing if "NAME" not in path} == set()
    assert len(named) > 20


def test_make_has_the_targets_that_are_named():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = {found for name in PROSE for found in re.findall(r"\bmake ([a-z]+)", (ROOT / name).read_text("utf-8"))}
    assert {"train", "test"} <= named & set(targets)
