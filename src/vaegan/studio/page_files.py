"""The files of the page, by the path that they are asked for at."""

from __future__ import annotations

from pathlib import Path

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_HTML = "studio.html"


def _page_files() -> dict[str, Path]:
    files = sorted((Path(__file__).parent / "page").iterdir())
    return {"/" if file.name == _HTML else f"/{file.name}": file for file in files if file.suffix in TYPES}


PAGE_FILES = _page_files()
