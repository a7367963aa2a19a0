"""Tables: drawn by rich on a terminal, aligned columns of text elsewhere, so that grep and cut can work on them."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under a head; columns whose cells are all numbers stand to the right.

    Args:
        head: name of each column.
        rows: cells, as many in each row as columns.
    """
    right = [all(row[i].replace(",", "").isdigit() for row in rows) for i in range(len(head))]
    if sys.stdout.isatty():
        _print_rich(head, rows, right)
        return
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ]
        print("  ".join(cells).rstrip())


def _print_rich(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for i, (name, to_right) in enumerate(zip(head, right, strict=True)):
        table.add_column(name, justify="right" if to_right else "left", style="cyan" if i == 0 else "")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
