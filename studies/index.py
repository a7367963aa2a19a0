"""Write `docs/studies/README.md`: one line per claim with its verdict, out of the JSON of each study that was run.

python studies/index.py [--docs DIR]
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from common.page import table
from common.results import Statement, read_page
from common.study import Study

from vaegan.errors import UserError
from vaegan.files import write_text

NAMES = (
    "longer_training",
    "minibatch_discrimination",
    "norm_order",
    "kl_schedules",
    "latent_gaps",
    "kl_alone",
    "kmeans_digits",
    "attribute_vectors",
    "sharper_steadier",
)
"""Studies in the order of their claims, which is the order to run them in: later ones use runs of earlier ones."""

INTRODUCTION = """# Studies

Nine claims about VAE/GANs and their family, made by older systems in words, tested here in numbers: small networks, at
least three seeds, 95% intervals. A verdict follows from the figures by the rule that its page states; it is about these
networks and these data, for so long as they were trained. It may well contradict the claim."""

HOW = """## Run them

Each is a script that trains what is not trained yet, measures, and writes its page, picture and JSON; a script that was
stopped goes on where it was. Runs are kept in `runs/studies/` and shared between studies; remove the folder to train
anew. `--help` tells the options, `--redraw` draws a page again without training."""


def studies() -> list[Study]:
    """Return all studies."""
    return [importlib.import_module(name).STUDY for name in NAMES]


def index(docs: Path) -> str:
    """Return the page; studies that were not run yet are named as such."""
    rows, seconds = [], 0
    for study in studies():
        path = docs / "studies" / f"{study.name}.json"
        if not path.is_file():
            rows.append([f"{study.number}. {study.title}", "not run yet", ""])
            continue
        page = read_page(path)
        seconds += page["about"]["seconds"]
        verdicts = "; ".join(f"**{s.word}**: {s.text}" for s in (Statement(**values) for values in page["statements"]))
        picture = f'<img src="../images/studies/{study.name}.png" width="260" alt="{study.title}">'
        rows.append([f"{study.number}. [{study.title}]({study.name}.md)", verdicts, f"[{picture}]({study.name}.md)"])
    calls = [f"python studies/{name}.py --data.root data/mnist" for name in NAMES]
    calls = [call.removesuffix(" --data.root data/mnist") if "attribute" in call else call for call in calls]
    block = "\n".join(["```", *calls, "python studies/index.py", "```"])
    took = (
        f"The runs above trained for {seconds / 60:.0f} minutes in all, those that are shared counted in each study."
        if seconds
        else ""
    )
    parts = [INTRODUCTION, table(["question", "verdicts", ""], rows, numbers=False), HOW, block, took]
    return "\n\n".join(part for part in parts if part) + "\n"


def main(words: Sequence[str] | None = None) -> int:
    """Write the page; return the exit code."""
    parser = argparse.ArgumentParser(prog="studies/index.py", description=__doc__)
    parser.add_argument("--docs", type=Path, default=Path("docs"), metavar="DIR", help="where pages are (%(default)s)")
    docs = parser.parse_args(words).docs
    try:
        write_text(docs / "studies" / "README.md", index(docs))
    except UserError as error:
        print(f"index: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
