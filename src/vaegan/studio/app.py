"""The application: what can be asked for, behind its guard; with the page for people or without."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

from fastapi import Body, FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response

from ..version import __version__
from .docs import docs_page
from .guard import COOKIE, Door, Guard
from .http_errors import problem, tell_problems
from .page_files import PAGE_FILES, TYPES
from .registry import Library
from .routes import about, codes, groups, images, samples, training

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def create_app(library: Library, door: Door | None = None, *, page: bool = True) -> FastAPI:
    """Return the application.

    Args:
        library: the models.
        door: what is asked of whoever asks; loopback without a token if None.
        page: whether there is the page for people, too.
    """
    app = FastAPI(title="vaegan", version=__version__, docs_url=None, redoc_url=None)
    app.state.library = library
    door = door or Door()
    tell_problems(app)
    for subject in (about, samples, images, codes, groups, training):
        app.include_router(subject.router)
    _add_docs(app)
    if page:
        _add_page(app, door)
    app.add_middleware(Guard, door=door)
    return app


def _add_docs(app: FastAPI) -> None:
    @app.get("/docs", include_in_schema=False)
    def docs() -> Response:
        return HTMLResponse(docs_page(app.openapi()), headers=_HEADERS)


def _add_page(app: FastAPI, door: Door) -> None:
    for path, file in PAGE_FILES.items():
        app.add_api_route(path, partial(_file, file), include_in_schema=False)

    @app.post("/api/token", include_in_schema=False)
    def token(request: Request, token: Annotated[str, Body(embed=True, max_length=1000)]) -> Response:
        """Give the page its cookie."""
        if not door.fits(token):
            return problem(401, "this is not the token that the server printed when it started")
        answer = JSONResponse({"ok": True})
        secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=secure)
        return answer


def _file(file: Path) -> Response:
    return FileResponse(file, media_type=TYPES[file.suffix], headers=_HEADERS)
