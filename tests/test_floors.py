"""Imports run one way: each module imports only what stands above it in the table of CONTRIBUTING.md.

The order is that of reading: row by row, and within a row from left to right. Modules of one folder may import each
other, but not in a circle. The doors, ``vaegan`` itself and ``vaegan.__main__``, may import anything.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "vaegan"
DOORS = ("__init__", "__main__")


def read_order(table: str) -> list[str]:
    """Names of the first column, in the order of reading; folders without their slash."""
    rows = re.findall(r"^\| (`[^|]*`) \|", table, flags=re.MULTILINE)
    return [name.rstrip("/") for row in rows for name in re.findall(r"`([\w/]+)`", row)]


def section(title: str) -> str:
    """One section of CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


ORDER = read_order(section("Floors"))
FILES = sorted(PACKAGE.rglob("*.py"))


def imports_of(path: Path, source: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Line and name (below vaegan; empty for vaegan itself) of every import of ours, lazy and typing ones included."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    inside = parts[:-1]  # the folder that a single dot means
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for name in node.names:
                top, *rest = name.name.split(".")
                if top == "vaegan":
                    yield node.lineno, tuple(rest)
        elif isinstance(node, ast.ImportFrom):
            module = tuple((node.module or "").split(".")) if node.module else ()
            if node.level:
                base = inside[: len(inside) - (node.level - 1)] + module
            elif module[:1] == ("vaegan",):
                base = module[1:]
            else:
                continue
            for name in node.names:
                yield node.lineno, (*base, name.name)  # a module, or what is in one: `file_of` can tell


def floor_of(module: tuple[str, ...]) -> str:
    """Return the floor of a module: a row of its own in the table, such as `runs/locate`, or that of its folder."""
    own = "/".join(module[:2])
    return own if own in ORDER else module[0]


def mistakes_of(path: Path, source: str) -> list[str]:
    """What is wrong with a file's imports, one line each."""
    relative = path.relative_to(PACKAGE)
    own = floor_of(relative.with_suffix("").parts)
    if own in DOORS and len(relative.parts) == 1:
        return []
    found = []
    for line, module in imports_of(path, source):
        if not module:
            continue
        floor = floor_of(module)
        where = f"src/vaegan/{relative}:{line}"
        if floor not in ORDER:
            found.append(f"{where} imports {'.'.join(module)}, which is on no floor")
        elif floor != own and ORDER.index(floor) > ORDER.index(own):
            found.append(f"{where} imports {'.'.join(module)}, but {floor} stands below {own} in CONTRIBUTING.md")
    return found


def file_of(name: tuple[str, ...]) -> str:
    """Return the file that an imported name belongs to, such as `losses.py` of ``("losses", "wide")``."""
    for end in range(len(name), -1, -1):
        folder = PACKAGE.joinpath(*name[:end])
        for path in (folder.with_suffix(".py"), folder / "__init__.py"):
            if path.is_file():
                return path.relative_to(PACKAGE).as_posix()
    raise AssertionError(f"no file of {name}")


def circles(imports: Mapping[str, Iterable[str]]) -> list[set[str]]:
    """Return the strongly connected groups of more than one node, by the algorithm of Tarjan (1972)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    groups = []

    def visit(node: str) -> None:
        number[node] = lowest[node] = len(number)
        path.append(node)
        for other in imports[node]:
            if other not in number:
                visit(other)
            if other in path:
                lowest[node] = min(lowest[node], lowest[other])
        if lowest[node] == number[node]:
            start = path.index(node)
            if len(path) - start > 1:
                groups.append(set(path[start:]))
            del path[start:]

    for node in imports:
        if node not in number:
            visit(node)
    return groups


@pytest.mark.parametrize(
    ("imports", "expected"),
    [
        ({"a": "b", "b": "c", "c": ""}, []),
        ({"a": "bc", "b": "d", "c": "d", "d": ""}, []),
        ({"a": "b", "b": "a"}, [{"a", "b"}]),
        ({"a": "b", "b": "c", "c": "bd", "d": "e", "e": "fd", "f": "d"}, [{"d", "e", "f"}, {"b", "c"}]),
    ],
)
def test_circles_by_hand(imports: dict[str, str], expected: list[set[str]]) -> None:
    assert circles(imports) == expected


def test_no_circle_of_imports() -> None:
    imports = {
        path.relative_to(PACKAGE).as_posix(): {file_of(name) for _, name in imports_of(path, path.read_text("utf-8"))}
        for path in FILES
    }
    assert {"data/batches.py", "losses.py"} <= {file for files in imports.values() for file in files}
    assert circles(imports) == []


def test_names_of_files_and_classes_are_single() -> None:
    """A name leads to one place; only `Options` is a class of each command."""
    names = Counter(path.stem for path in FILES if path.stem not in DOORS)
    assert [name for name, num in names.items() if num > 1] == []
    trees = [ast.parse(path.read_text("utf-8")) for path in FILES]
    classes = Counter(node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    assert [name for name, num in classes.items() if num > 1] == ["Options"]


def test_the_table_is_read() -> None:
    assert ORDER[:4] == ["version", "errors", "files", "settings"]
    assert ORDER[-1] == "cli"
    assert len(set(ORDER)) == len(ORDER)


@pytest.mark.parametrize("name", sorted({floor_of(p.relative_to(PACKAGE).with_suffix("").parts) for p in FILES}))
def test_everything_is_on_a_floor(name: str) -> None:
    assert name in (*ORDER, *DOORS), f"put vaegan.{name} into a row of the table 'Floors' in CONTRIBUTING.md"


@pytest.mark.parametrize("name", ORDER)
def test_every_floor_is_there(name: str) -> None:
    assert (PACKAGE / name / "__init__.py").is_file() or (PACKAGE / f"{name}.py").is_file()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_look_up_the_table_only(path: Path) -> None:
    own = floor_of(path.relative_to(PACKAGE).with_suffix("").parts)
    if own not in (*ORDER, *DOORS):
        pytest.skip(f"{own} is on no floor, which is said elsewhere")
    assert mistakes_of(path, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "number"),
    [
        ("from ..losses import wide", 0),
        ("from .interface import leaf", 0),
        ("from . import interface", 0),
        ("from ..version import __version__", 0),
        ("import torch\nfrom os import path", 0),
        ("from ..training.loop import Trainer", 1),
        ("def f():\n    from ..cli import main", 1),
        ("if TYPE_CHECKING:\n    from ..latent import interpolate", 1),
        ("from vaegan.views.write import write_view", 1),
        ("from vaegan import cli", 1),
        ("import vaegan.cli.parse", 1),
        ("from .. import training, losses, views", 2),
        ("from ..nowhere import thing", 1),
        ("from vaegan import train", 1),
        ("from .. import __version__", 1),
    ],
)
def test_forbidden_imports_are_seen_wherever_they_stand(source: str, number: int) -> None:
    assert len(mistakes_of(PACKAGE / "objectives" / "made_up.py", source)) == number
