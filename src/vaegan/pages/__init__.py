"""A report: one self-contained HTML page out of sections, sections out of blocks.

Python decides what is said and where each point of a drawing lies; the template lays it out. The page asks for nothing
from outside, and its pictures are bounded in size, so it can be mailed and opens by a double click.
"""

from .content import Block, Cell, Facts, Fold, Matrix, Note, Picture, Section, Strips, Table
from .render import picture, render_page, strips
from .run_sections import (
    health_section,
    losses_section,
    scores_section,
    settings_section,
    snapshots_section,
    timing_section,
)

__all__ = [
    "Block",
    "Cell",
    "Facts",
    "Fold",
    "Matrix",
    "Note",
    "Picture",
    "Section",
    "Strips",
    "Table",
    "health_section",
    "losses_section",
    "picture",
    "render_page",
    "scores_section",
    "settings_section",
    "snapshots_section",
    "strips",
    "timing_section",
]
