"""What a page is made of: sections, and in them blocks, one macro of the template each.

Texts are plain; the template escapes them. Pictures are data URIs, see `vaegan.pages.render`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol


class Block(Protocol):
    """Anything with a macro of its own in `blocks.html.j2`."""

    kind: ClassVar[str]
    """Name of the macro."""


@dataclass(frozen=True)
class Note:
    """A line of text, such as what is missing and why."""

    kind: ClassVar[str] = "note"
    text: str


@dataclass(frozen=True)
class Facts:
    """Names with their values, in few words each."""

    kind: ClassVar[str] = "facts"
    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """Rows of cells under a head; of each row the first cell names it.

    Attributes:
        caption: what is seen, in what units.
        head: name of each column.
        rows: cells of each row.
        hints: a few words below each row's name, or none.
    """

    kind: ClassVar[str] = "table"
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    hints: Sequence[str] = ()


@dataclass(frozen=True)
class Cell:
    """A figure in a matrix.

    Attributes:
        text: the number.
        under: its interval, or nothing.
        is_best: whether it is marked.
    """

    text: str
    under: str = ""
    is_best: bool = False


@dataclass(frozen=True)
class Matrix:
    """Figures of several models under their names; in a narrow window a list of each figure's models.

    Attributes:
        caption: what is seen, in what units.
        head: name of each column.
        rows: name, a few words below it, and cells of each row.
    """

    kind: ClassVar[str] = "matrix"
    caption: str
    head: Sequence[str]
    rows: Sequence[tuple[str, str, Sequence[Cell]]]


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        uri: a data URI.
        size: width and height in pixels.
        alt: what a reader who does not see it should know.
        caption: what is seen.
    """

    kind: ClassVar[str] = "picture"
    uri: str
    size: tuple[int, int]
    alt: str
    caption: str


@dataclass(frozen=True)
class Strips:
    """Rows of equally many images with their names.

    Attributes:
        rows: name (may be empty), data URI, and what a reader who does not see it should know, of each row.
        size: width and height of a row in pixels.
        caption: what is seen.
        columns: a short name above each image of a row, or none.
    """

    kind: ClassVar[str] = "strips"
    rows: Sequence[tuple[str, str, str]]
    size: tuple[int, int]
    caption: str
    columns: Sequence[str] = ()


@dataclass(frozen=True)
class Fold:
    """Blocks that open when asked for."""

    kind: ClassVar[str] = "fold"
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Section:
    """A heading and what is below it.

    Attributes:
        title: the heading.
        blocks: what is shown.
        text: a sentence or two that say what is shown; empty for none.
        is_half: whether it may share a wide window's width with the next one.
    """

    title: str
    blocks: Sequence[Block]
    text: str = ""
    is_half: bool = False

    @property
    def anchor(self) -> str:
        """The heading as a word for links."""
        return re.sub(r"\W+", "-", self.title.lower()).strip("-")
