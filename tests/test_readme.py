"""What README and docs name is there: commands, options, links, files. `test_docs.py` runs the commands."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest

from vaegan.cli import COMMANDS
from vaegan.cli.parse import parse
from vaegan.recipes import config_for
from vaegan.settings_io import dump_yaml, setting_names

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = (README, *sorted(DOCS.glob("*.md")))
HOME = "https://github.com/vaegan/vaegan/blob/main/"
RAW = "https://raw.githubusercontent.com/vaegan/vaegan/main/"
CALL = re.compile(r"^ *(?:vaegan|torchrun .*-m vaegan(?: --)?) (.+)$", re.MULTILINE)
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
CALLS = {
    call[1]
    for page in PAGES
    for _, language, code in BLOCK.findall(page.read_text(encoding="utf-8"))
    if language != "python"
    for call in CALL.finditer(code.replace("\\\n", " "))
}


def links(path: Path) -> list[str]:
    """Targets of the links and pictures of a page, without what stands behind a #."""
    text = path.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)\s]+)[^)]*\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    return [target.split("#")[0] for target in targets if not target.startswith("#")]


def test_the_readme_is_short():
    assert len(README.read_bytes()) <= 12_000


def test_links_of_the_readme_work_outside_the_repository():
    own = [link for link in links(README) if "vaegan/vaegan" in link]
    assert len(own) > 20
    assert [link for link in links(README) if not link.startswith("https://")] == []
    assert [link for link in own if not (ROOT / link.removeprefix(HOME).removeprefix(RAW)).is_file()] == []


@pytest.mark.parametrize("path", [ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))], ids=lambda path: path.stem)
def test_links_lead_somewhere(path):
    missing = [link for link in links(path) if not link.startswith("http") and not (path.parent / link).exists()]
    assert missing == []


def test_pages_are_in_the_menu_once():
    menu = re.findall(r'"([\w/-]+\.md)"', (ROOT / "zensical.toml").read_text(encoding="utf-8"))
    there = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    of_studies = {name for name in there if name.startswith("studies/")} - {"studies/README.md"}
    assert sorted(menu) == sorted(there - of_studies)


@pytest.mark.parametrize("call", sorted(CALLS))
def test_every_command_parses(call, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for of_start in ("_description_of", "_networks_of"):  # there is no such model
        monkeypatch.setattr(f"vaegan.runs.initial.{of_start}", lambda *_: {})
    for run in re.findall(r"(\S+)/config\.yaml", call):
        dump_yaml(config_for("conv-64", {"data": "photos"}), Path(run) / "config.yaml")
    name, *words = shlex.split(call, comments=True)
    assert name in COMMANDS
    command = importlib.import_module(f"vaegan.cli.{name}")
    if "--help-all" in words:
        with pytest.raises(SystemExit, match=r"^0$"):
            parse(command.Options, words, name)
        assert len(capsys.readouterr().out) > 1000
    else:
        parse(command.Options, words, name)


def test_every_command_is_shown_and_explained():
    assert {call.split()[0] for call in CALLS} == set(COMMANDS)
    table = (DOCS / "commands.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| \[`(\w+)`\]", table, re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_options_and_functions_named_in_sentences_are_there(path):
    options = {f"--{name.replace('_', '-')}" for name in setting_names()}
    for name in COMMANDS:
        command = importlib.import_module(f"vaegan.cli.{name}")
        options |= {f"--{field.replace('_', '-')}" for field in command.Options.model_fields}
    options |= {"--help", "--help-all", "--version", "--data"}
    prose = BLOCK.sub("", path.read_text(encoding="utf-8"))
    assert set(re.findall(r"(?<![\w-])--[a-z][\w.-]*\w", prose)) <= options
    for module, name in re.findall(r"`(losses|objectives)\.(?!png)(\w+)", prose):
        assert hasattr(importlib.import_module(f"vaegan.{module}"), name), f"{module}.{name}"


def test_every_group_of_settings_is_in_the_table():
    groups = {name.split(".")[0] for name in setting_names() if "." in name}
    table = (DOCS / "recipes.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)\.\*` \|", table, re.MULTILINE)) == groups


def test_make_has_the_targets_that_are_named():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = "".join(path.read_text(encoding="utf-8") for path in (*PAGES, ROOT / "CONTRIBUTING.md"))
    named = set(re.findall(r"\bmake (train|test|lint|types|format|docs|clean)\b", text))
    assert {"train", "test", "docs"} <= named <= targets


def test_modules_of_the_reference_are_there():
    for path in (DOCS / "api").glob("*.md"):
        for name in re.findall(r"^::: (\S+)$", path.read_text(encoding="utf-8"), re.MULTILINE):
            assert importlib.import_module(name).__doc__, name
