"""A study from end to end: train and measure, or read earlier results; judge by rules; write page and chart."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import vaegan
from vaegan.errors import UserError
from vaegan.files import write_text

from .charts import save_chart
from .lab import Lab
from .results import Results, Statement, read_results
from .runs import Runs
from .statistics import CHANCE, MAX_SEEDS


@dataclass(frozen=True)
class Study:
    """A question and how it is answered.

    Attributes:
        name: of its files.
        number: of the claim.
        title: the question, in a few words.
        claim: what is claimed.
        method: what is trained and measured, in Markdown; ``{name}`` stands for an entry of the results' ``about``.
        rule: how the verdict follows from the results.
        images: training images of each run.
        collect: trains and measures; fills the results.
        judge: results -> statements with verdicts.
        table: results -> Markdown.
        draw: results -> matplotlib figure.
        seeds: how many.
        source: of the images.
        samples: images to measure.
    """

    name: str
    number: int
    title: str
    claim: str
    method: str
    rule: str
    images: int
    collect: Callable[[Lab], None]
    judge: Callable[[Results], list[Statement]]
    table: Callable[[Results], str]
    draw: Callable[[Results], Any]
    seeds: int = 3
    source: str = "mnist"
    samples: int = 5000

    def page(self, results: Results, statements: Sequence[Statement]) -> str:
        """Return the page in Markdown."""
        about = results.about
        answers = [(str(s.answer), s) for s in statements]
        verdicts = "\n".join(f"* **{words[0].upper()}{words[1:]}**: {s.text} {s.evidence}" for words, s in answers)
        changed = "".join(f" --set {name} {value}" for name, value in about["set"].items())
        call, root = f"python studies/{self.name}.py", "" if "shapes" in about["source"] else " --data.root DIR"
        seeds = max((s.answer.seeds for s in statements if about["seeds"] < s.answer.seeds <= MAX_SEEDS), default=0)
        train, more = (f"{call}{root} --seeds {n} --images {about['images']}{changed}" for n in (about["seeds"], seeds))
        up_to = "up to " * (len({results.marks(variant)[-1] for variant in results.variants}) > 1)
        readable = {name: f"{value:,}" if isinstance(value, int) else value for name, value in about.items()}
        parts = [
            f"# {self.number}. {self.title}",
            f"**Claim.** {self.claim}",
            f"**Verdict: {', '.join(dict.fromkeys(s.answer.kind for s in statements))}.**",
            verdicts,
            *([_next(more, seeds, about)] if seeds else []),
            f"![{self.title}](../images/studies/{self.name}.png)",
            "## Results",
            self.table(results),
            "Means over seeds with 95% intervals (Student's t). Runs are compared seed by seed. "
            "Differences in verdicts are positive where they support the claim.",
            "## Method",
            self.method.format_map(readable),
            f"**Verdict rule.** {self.rule}",
            f"Data: {about['source']}; {about['seeds']} seeds, {up_to}{about['images']:,} training images per run, "
            f"{about['samples']:,} samples compared with {about['samples']:,} held-out images. The runs, including "
            f"those shared with other studies, trained for {about['seconds']:,} s on {about['machine']}, "
            f"{about['threads']} thread{'s' * (about['threads'] > 1)}, torch {about['torch']}. The script writes this "
            f"page and its chart from [{self.name}.json]({self.name}.json):",
            f"```\n{train}\n{call} --redraw\n```",
        ]
        return "\n\n".join(parts) + "\n"


def run_study(study: Study, words: Sequence[str] | None = None) -> int:
    """Run the command line of a study; return the exit code."""
    options = parse(study, words)
    saved = options.docs / "studies" / f"{study.name}.json"
    try:
        results = read_results(saved) if options.redraw else collect(study, options)
        statements = study.judge(results)
        write_text(saved.with_suffix(".md"), study.page(results, statements))
        save_chart(study.draw(results), options.docs / "images" / "studies" / f"{study.name}.png")
        results.save(saved)  # last, when all that page and chart need has been read
    except UserError as error:
        print(f"{study.name}: {error}", file=sys.stderr)
        return 2
    for statement in statements:
        print(f"{statement.answer}: {statement.text} {statement.evidence}")
    return 0


def collect(study: Study, options: argparse.Namespace) -> Results:
    """Train and measure; return the results and where they come from."""
    lab = Lab(options, Runs(options.work))
    study.collect(lab)
    about = lab.results.about
    about |= {"source": options.data or study.source, "seeds": options.seeds, "images": options.images}
    about |= {"samples": min((reference.num for reference in lab.references.values()), default=options.samples)}
    marks = sorted({row["images"] for row in lab.results.rows})
    about |= {"marks": ", ".join(f"{mark:,}" for mark in marks)}
    about |= {"set": dict(options.set), "seconds": round(lab.trained)}
    about |= {"threads": torch.get_num_threads(), "machine": f"{platform.machine()}, {os.cpu_count()} cores"}
    about |= {"torch": torch.__version__.split("+")[0], "vaegan": vaegan.__version__}
    return lab.results


def parse(study: Study, words: Sequence[str] | None) -> argparse.Namespace:
    """Read a study's command line."""
    parser = argparse.ArgumentParser(
        prog=f"studies/{study.name}.py", description=f"Study {study.number}: {study.title} {study.claim}"
    )
    add = parser.add_argument
    add("--data.root", dest="root", type=Path, metavar="DIR", help="folder of the data's official files")
    add("--data", metavar="SOURCE", help=f"another source than {study.source}, with labels")
    add("--seeds", type=int, default=study.seeds, metavar="N", help="number of seeds (%(default)s)")
    add("--images", type=int, default=study.images, metavar="N", help="training images of each run (%(default)s)")
    add("--samples", type=int, default=study.samples, metavar="N", help="images to measure (%(default)s)")
    add("--set", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="override a setting of all runs")
    add("--work", type=Path, default=Path("runs/studies"), metavar="DIR", help="folder of the runs (%(default)s)")
    add("--docs", type=Path, default=Path("docs"), metavar="DIR", help="folder of page and chart (%(default)s)")
    add("--redraw", action="store_true", help="draw page and chart again from the saved results, without training")
    options = parser.parse_args(words)
    options.set = dict(options.set)
    return options


def _next(command: str, seeds: int, about: Mapping[str, Any]) -> str:
    """Say how to get the seeds that the statements of a page need."""
    missing = seeds - about["seeds"]
    minutes = max(about["seconds"] / about["seeds"] * missing / 60, 1)
    return (
        f"To decide, `{command}` reuses the runs in `runs/studies` and trains the {missing} missing seeds (about "
        f"{minutes:.0f} minutes on the machine below). With as many seeds as a verdict names, the rule below decides "
        f"with a chance of {CHANCE:.0%} if the truth is what was seen, at the spread seen; a mean difference between "
        "variants is decided also if it is truly 0."
    )
