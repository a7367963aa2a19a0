"""From sections to a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ... import __version__
from .blocks import Facts, Section

_FOLDER = Path(__file__).parent


def render_page(title: str, lead: str, facts: Facts, sections: Sequence[Section], kicker: str = "vaegan report") -> str:
    """Return HTML that needs nothing from outside.

    Args:
        title: of the page.
        lead: a sentence below the title.
        facts: the most important numbers.
        sections: in their order.
        kicker: what kind of page it is.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("page.html.j2")
    return page.render(title=title, lead=lead, facts=facts, sections=sections, kicker=kicker, version=__version__)
