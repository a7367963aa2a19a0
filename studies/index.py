"""Write `docs/studies/README.md`: a row per study with its verdicts, from the saved results of each study.

python studies/index.py [--docs DIR]
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from common.results import read_results, table
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
    "latent_regularisers",
    "cluster_methods",
)
"""Studies in the order of their claims; run them in this order, as later ones reuse runs of earlier ones."""

INTRODUCTION = """# Studies

Claims about VAE/GANs and related models, taken from earlier systems and papers and tested here on small networks with
at least three seeds and 95 % intervals. Each verdict follows from the results by the rule on its page. It holds
only for these networks, data and training lengths.

* **No difference larger than X**: the 95 % interval, in parentheses, lies within -X..X. X is the smallest difference of
  practical size, which the page names. These were set after the first results: those in percent, those of studies 7 and
  8, and that of variation in study 9.
* **Needs about N seeds**: the interval does not decide. N follows from the spread over seeds; the page has the command.
* **Premise not met**: what the claim takes for granted does not hold, so it is neither confirmed nor refuted."""

HOW = """## Run them

Each study is a script that trains the missing runs, measures them, and writes its page, chart and results. Run the same
command to resume. Runs are stored in `runs/studies/` and shared between studies; remove the folder to start over.
`--help` lists the options; `--redraw` draws page and chart again without training."""


def studies() -> list[Study]:
    """Return all studies."""
    return [importlib.import_module(name).STUDY for name in NAMES]


def index(docs: Path) -> str:
    """Return the page; studies without results are listed as not run yet."""
    rows, seconds = [], 0
    for study in studies():
        path = docs / "studies" / f"{study.name}.json"
        if not path.is_file():
            rows.append([f"{study.number}. {study.title}", "not run yet", ""])
            continue
        results = read_results(path)
        seconds += results.about["seconds"]
        verdicts = "<br>".join(f"**{s.answer}**: {s.text}" for s in study.judge(results))
        picture = f'<img src="../images/studies/{study.name}.png" width="260" alt="{study.title}">'
        rows.append([f"{study.number}. [{study.title}]({study.name}.md)", verdicts, f"[{picture}]({study.name}.md)"])
    roots = {study.name: "" if "shapes" in study.source else " --data.root data/mnist" for study in studies()}
    calls = [f"python studies/{name}.py{root}" for name, root in roots.items()]
    block = "\n".join(["```", *calls, "python studies/index.py", "```"])
    took = (
        f"The runs above trained for {seconds / 60:.0f} minutes in total; shared runs are counted in each study."
        if seconds
        else ""
    )
    parts = [INTRODUCTION, table(["question", "verdicts", "chart"], rows, numbers=False), HOW, block, took]
    return "\n\n".join(part for part in parts if part) + "\n"


def main(words: Sequence[str] | None = None) -> int:
    """Write the page; return the exit code."""
    parser = argparse.ArgumentParser(prog="studies/index.py", description=__doc__)
    parser.add_argument(
        "--docs", type=Path, default=Path("docs"), metavar="DIR", help="folder of the pages (%(default)s)"
    )
    docs = parser.parse_args(words).docs
    try:
        write_text(docs / "studies" / "README.md", index(docs))
    except UserError as error:
        print(f"index: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
