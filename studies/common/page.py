"""A study's page in Markdown, and its tables: claim, verdict, picture, figures, how it was done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vaegan.files import write_text

from .results import Results, Statement

if TYPE_CHECKING:
    from .study import Study

Cell = object


def table(header: Sequence[str], rows: Sequence[Sequence[Cell]], *, numbers: bool = True) -> str:
    """Return a Markdown table; the first column is text, the others are numbers, or text as well."""
    ruler = ["---", *["---:" if numbers else "---"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in (header, ruler, *rows))


def table_of(
    results: Results,
    columns: Sequence[tuple[str, str]],
    *,
    first: str = "variant",
    variants: Sequence[str] | None = None,
    images: int | None = None,
) -> str:
    """Return a table with a row per variant: mean and interval of each figure over seeds.

    Args:
        results: to be told.
        columns: heading and figure.
        first: heading of the variants.
        variants: which; all if None.
        images: at which mark; the last if None.
    """
    rows = []
    for variant in variants or results.variants:
        cells = [results.mean(variant, figure, images) for _, figure in columns]
        rows.append([variant, *cells])
    return table([first, *[heading for heading, _ in columns]], rows)


def verdict_of(statements: Sequence[Statement]) -> str:
    """Return the words of all statements, each once, in order."""
    return ", ".join(dict.fromkeys(statement.word for statement in statements))


def write_page(study: Study, results: Results, statements: Sequence[Statement], path: Path) -> None:
    """Write the page.

    Raises:
        UserError: if it cannot be written.
    """
    about = results.about
    verdicts = "\n".join(f"* **{s.word.capitalize()}**: {s.text} {s.reason}" for s in statements)
    changed = "".join(f" --set {name} {value}" for name, value in about["set"].items())
    call = f"python studies/{study.name}.py"
    parts = [
        f"# {study.number}. {study.title}",
        f"**Claim.** {study.claim}",
        f"**Verdict: {verdict_of(statements)}.**",
        verdicts,
        f"![{study.title}](../images/studies/{study.name}.png)",
        "## Figures",
        study.table(results),
        "Means over seeds with 95% intervals (Student's t). Runs are compared seed by seed.",
        "## How",
        study.how.format_map(Shown(about)),
        f"**Rule of the verdict.** {study.rule}",
        f"Source {about['source']}, {about['seeds']} seeds, {about['images']:,} training images a run, "
        f"{about['samples']:,} samples against {about['samples']:,} held-out images. The runs, "
        f"those shared with other studies counted, trained for {about['seconds']:,} s on {about['machine']}, "
        f"{about['threads']} threads, torch {about['torch']}. The script writes this page, its "
        "tables and its verdict from "
        f"[{study.name}.json]({study.name}.json):",
        f"```\n{call} --data.root DIR --seeds {about['seeds']} --images {about['images']}"
        f"{changed}\n{call} --redraw\n```",
    ]
    write_text(path, "\n\n".join(parts) + "\n")


class Shown(dict[str, object]):
    """Values as a person reads them: numbers with commas."""

    def __init__(self, values: dict[str, object]) -> None:
        super().__init__({k: f"{v:,}" if isinstance(v, int) else v for k, v in values.items()})
