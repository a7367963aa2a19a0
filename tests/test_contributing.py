"""CONTRIBUTING.md says what is there: its tree, and every file and function that it names."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from vaegan.latent.shard_files import INDEX_NAME, STATISTICS_NAME
from vaegan.runs.run_folder import EXPORTED, OF_A_MODEL, OF_A_RUN

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "vaegan"
OF_USERS = {*OF_A_RUN, *OF_A_MODEL, EXPORTED, INDEX_NAME, STATISTICS_NAME}  # files that a run makes, not ours


def text() -> str:
    return (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def words() -> set[str]:
    """Every word between backticks."""
    prose = re.sub(r"^```.*?^```", "", text(), flags=re.DOTALL | re.MULTILINE)
    return {word.rstrip(",;") for code in re.findall(r"`([^`]+)`", prose) for word in code.split()}


def looks_like_a_file(word: str) -> bool:
    return bool(re.fullmatch(r"[\w./-]+\.(py|md|json|jsonl|toml|txt|yaml|j2|js|html)|\.?[\w-]+(/[\w.-]+)*/", word))


def file_of(name: str) -> Path | None:
    """The file or folder that a name means: from the root, or from src/vaegan."""
    return next((path for folder in (ROOT, PACKAGE) if (path := folder / name).exists()), None)


def definitions(path: Path) -> set[str]:
    """Functions, classes, methods and constants of a module: `step`, `Trainer`, `Trainer.step`, `CHECKS`."""

    def inside(body: list[ast.stmt], prefix: str = "") -> set[str]:
        names: set[str] = set()
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                names.add(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                names |= inside(node.body, f"{node.name}.")
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            names |= {prefix + target.id for target in targets if isinstance(target, ast.Name)}
        return names

    return inside(ast.parse(path.read_text(encoding="utf-8")).body)


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tree", ROOT / "tools" / "tree.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tree_is_that_of_today(tool: ModuleType) -> None:
    assert tool.with_tree(text()) == text(), "run: python tools/tree.py"
    assert tool.START in text()


def test_every_folder_of_the_package_has_its_line(tool: ModuleType) -> None:
    shown = set(re.findall(r"^\| `([\w./-]+)/` \| \S.*\.", tool.tree(), re.MULTILINE))
    held = {path.parent.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*") if path.suffix in (".py", ".js")}
    assert held <= shown
    assert [folder for folder in shown if not (ROOT / folder).is_dir()] == []


def test_files_that_are_named_exist() -> None:
    named = {word.split(":")[0] for word in words()}
    files = {name for name in named if looks_like_a_file(name) and "NAME" not in name and not name.startswith(".venv")}
    assert {name for name in files - OF_USERS if file_of(name) is None} == set()
    assert len(files) > 100


def test_functions_that_are_named_beside_a_file_exist() -> None:
    named = [re.fullmatch(r"([\w/.]+\.py):([\w.]+)", word) for word in words()]
    places = {(place[1], place[2]) for place in named if place}
    missing = [(name, what) for name, what in places if what not in definitions(file_of(name) or PACKAGE / name)]
    assert missing == []
    assert len(places) > 40


def test_names_of_code_are_those_of_today() -> None:
    sources = [path for folder in ("src", "studies", "tests") for path in (ROOT / folder).rglob("*.py")]
    texts = [path.read_text(encoding="utf-8") for path in sources if path.name != Path(__file__).name]
    there = set().union(*(re.findall(r"\w+", source) for source in texts))
    codes = [word for word in words() if not looks_like_a_file(word)]
    named = {name for code in codes for name in re.findall(r"\b_?[a-z]+_[a-z_]+\b|\b_?[A-Z][A-Z_]{3,}\b", code)}
    assert named - there - {"ARGS"} == set()
    assert len(named) > 50
