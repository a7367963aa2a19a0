"""What is imported is declared in pyproject.toml: in the core, or in an extra where only a feature needs it."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "vaegan"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml", "pydantic_core": "pydantic",
                 "umap": "umap-learn"}  # fmt: skip
UNSEEN = {"datasets", "imagecodecs", "pillow-heif", "tifffile", "python-multipart", "ray", "tensorboard"}
"""Used without an import statement: by name, by FastAPI for uploads, by torch; around our code (ray)."""


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^\w.-]", requirement)[0].lower() for requirement in requirements}


CORE = names(PROJECT["dependencies"])
EXTRAS = {name: names(own) for name, own in PROJECT["optional-dependencies"].items() if name not in ("dev", "docs")}


def imports(path: Path, *, at_once: bool) -> Iterator[str]:
    """Distributions that a file imports, or those alone that it imports as soon as it is imported itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if at_once else ast.walk(tree):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            modules = [str(node.module)]
        for top in {module.split(".")[0] for module in modules} - set(sys.stdlib_module_names) - {"vaegan"}:
            yield DISTRIBUTIONS.get(top, top.replace("_", "-").lower())


FILES = sorted(PACKAGE.rglob("*.py"))


def test_every_import_is_declared():
    used = {name for path in FILES for name in imports(path, at_once=False)}
    assert used - CORE.union(*EXTRAS.values()) == set()


def test_extras_are_imported_where_they_are_needed_only():
    for path in FILES:
        allowed = CORE | (EXTRAS["studio"] if path.is_relative_to(PACKAGE / "studio") else set())
        assert set(imports(path, at_once=True)) - allowed == set(), path


def test_everything_declared_is_used():
    used = {name for path in FILES for name in imports(path, at_once=False)}
    declared = CORE.union(*(own for name, own in EXTRAS.items() if name != "browser"))
    assert declared - used == UNSEEN


def test_constraints_have_a_version_of_every_core_package():
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().split()}
    assert CORE - pinned == set()
