"""A report: one self-contained HTML page out of sections, sections out of blocks.

Python decides what is said and where each point of a drawing lies; the template lays it out. The page asks for nothing
from outside, and its pictures are bounded in size, so it can be mailed and opens by a double click.
"""

from .blocks import Block, Cell, Facts, Fold, Matrix, Note, Picture, Section, Strips, Table
from .embed import picture, strips
from .health import health_section
from .losses import losses_section
from .places import draw_places
from .render import render_page
from .scores import scores_section
from .settings import settings_section
from .snapshots import snapshots_section
from .timing import timing_section

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
    "draw_places",
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
