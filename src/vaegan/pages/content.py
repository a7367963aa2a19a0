"""The building blocks of a page: sections, and blocks in them, each with a macro in the template.

Texts are plain; the template escapes them. Pictures are data URIs, see `vaegan.pages.render`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol


class Block(Protocol):
    """Anything that has a macro in `blocks.html.j2`."""

    kind: ClassVar[str]
    """Name of the macro."""


@dataclass(frozen=True)
class Note:
    """A line of text, such as why something is missing."""

    kind: ClassVar[str] = "note"
    text: str


@dataclass(frozen=True)
class Facts:
    """Names and values, a few words each."""

    kind: ClassVar[str] = "facts"
    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """Rows of cells under a head; the first cell names its row, and a hint, if any, is written below the name."""

    kind: ClassVar[str] = "table"
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    hints: Sequence[str] = ()


@dataclass(frozen=True)
class Cell:
    """A figure in a matrix: the number, its interval (or nothing) below it, and whether it is marked as best."""

    text: str
    under: str = ""
    is_best: bool = False


@dataclass(frozen=True)
class Matrix:
    """Numbers of several models, a column each (in a narrow window a list); a row has a name, a note and cells."""

    kind: ClassVar[str] = "matrix"
    caption: str
    head: Sequence[str]
    rows: Sequence[tuple[str, str, Sequence[Cell]]]


@dataclass(frozen=True)
class Picture:
    """One picture: a data URI, its width and height in pixels, alternative text, a caption."""

    kind: ClassVar[str] = "picture"
    uri: str
    size: tuple[int, int]
    alt: str
    caption: str


@dataclass(frozen=True)
class Strips:
    """Rows of equally many images: of each its name (may be empty), data URI and description.

    The size is that of a row in pixels; columns are short names above the images of a row, or none.
    """

    kind: ClassVar[str] = "strips"
    rows: Sequence[tuple[str, str, str]]
    size: tuple[int, int]
    caption: str
    columns: Sequence[str] = ()


@dataclass(frozen=True)
class Fold:
    """Blocks that are folded until the reader opens them."""

    kind: ClassVar[str] = "fold"
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Section:
    """A heading, a short text, and blocks; half sections stand side by side in a wide window."""

    title: str
    blocks: Sequence[Block]
    text: str = ""
    is_half: bool = False

    @property
    def missing(self) -> str:
        """Why there is nothing to show; '' if there is."""
        notes = [block.text for block in self.blocks if isinstance(block, Note)]
        return " ".join(notes) if len(notes) == len(self.blocks) else ""

    @property
    def anchor(self) -> str:
        """The heading as an id for links."""
        return re.sub(r"\W+", "-", self.title.lower()).strip("-")
