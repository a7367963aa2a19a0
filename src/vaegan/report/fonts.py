"""The font of the words in pictures: the one that comes with matplotlib, or an installed one where that lacks letters.

Pillow's own lacks most that is not ASCII; matplotlib's lacks Chinese, Japanese and Korean.
"""

import functools
from collections.abc import Iterable
from pathlib import Path

from ..progress import log


def font_for(texts: Iterable[str]) -> Path:
    """Return the file of a font with all letters of these texts; without one, DejaVu Sans, with a warning."""
    return _font_with(frozenset(c for text in texts for c in text if c.isprintable() and not c.isspace()))


@functools.cache
def _font_with(letters: frozenset[str]) -> Path:
    import matplotlib

    default = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    lacking = {c for c in letters if ord(c) not in _codes_of(default)}
    if not lacking:
        return default
    from matplotlib.font_manager import findSystemFonts  # the list that matplotlib keeps lacks what is new

    needed = {ord(c) for c in letters} | {ord("a")}  # fonts of emoji alone are pictures, which Pillow cannot scale
    for font in sorted(map(Path, findSystemFonts()), key=lambda path: ("Regular" not in path.name, path)):
        if "LastResort" not in font.name and needed <= _codes_of(font):  # that one has boxes for all letters
            return font
    some = "".join(sorted(lacking)[:10])
    log.warning(
        "no installed font has all of the letters %s: pictures show boxes; install one that does, such as a Noto font",
        some,
    )
    return default


def _codes_of(font: Path) -> frozenset[int]:
    """Return the characters that a font has; none if it cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(str(font)).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()
