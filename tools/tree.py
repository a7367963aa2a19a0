"""The tree of this repository for CONTRIBUTING.md: a line for each folder.

    python tools/tree.py

writes it between the two markers in CONTRIBUTING.md. The line of a package is the first line of its docstring; the
folders that are not packages have theirs below. `tests/test_contributing.py` fails when the tree is out of date.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
START, END = "<!-- tree: written by tools/tree.py -->", "<!-- end of the tree -->"
OTHERS = {
    ".ci": "What continuous integration runs: the same as `make test`.",
    "benchmarks": "Scripts that measure speed and memory; `benchmarks/README.md` has the numbers.",
    "docs": "The manual; `docs/api` is the reference of the library.",
    "docs/studies": "Pages of the studies, with the results that they are drawn from.",
    "examples": "A VAE/GAN in one file, to read first.",
    "src/vaegan/demo": "The model `demo`, written by `studies/demo_model.py`, and some digits of MNIST.",
    "src/vaegan/studio/page": "The studio's page: HTML, CSS and one script for each subject.",
    "studies": "Scripts that train many models to check a claim, and write `docs/studies`.",
    "tests": "Tests, about one file for each module.",
    "tests/saved": "Models written by earlier versions; every later version must load them.",
    "tests/studio_page": "Tests of the studio's page in Chromium.",
    "tools": "Scripts for developers: this tree, screenshots, whole runs of the tests.",
}


def tree() -> str:
    """Return the table of all folders, in alphabetical order."""
    folders = dict(OTHERS)
    for path in (*(ROOT / "src").rglob("__init__.py"), *(ROOT / "studies").rglob("__init__.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        folders[path.parent.relative_to(ROOT).as_posix()] = docstring.split("\n")[0].replace("``", "`")
    rows = [f"| `{folder}/` | {folders[folder]} |" for folder in sorted(folders)]
    return "\n".join(["| folder | what |", "|---|---|", *rows])


def with_tree(text: str) -> str:
    """Return the text of CONTRIBUTING.md with the tree of today between its markers."""
    between = re.compile(f"{re.escape(START)}.*?{re.escape(END)}", re.DOTALL)
    return between.sub(lambda _: f"{START}\n\n{tree()}\n\n{END}", text)


if __name__ == "__main__":
    CONTRIBUTING.write_text(with_tree(CONTRIBUTING.read_text(encoding="utf-8")), encoding="utf-8")
