"""The application: the API behind its guard, with or without the web page."""

from functools import partial
from pathlib import Path
from typing import Annotated

from fastapi import Body, Depends, FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from ..errors import nearest
from ..version import __version__
from .docs import docs_page
from .guard import COOKIE, Access, Guard, address_of
from .http_errors import JSON, Refused, add_error_handlers, error_response
from .registry import Registry
from .routes import code_sets, decoding, model_list, reconstruction, run_progress, sampling

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache"}
_MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_PAGE = Path(__file__).parent / "page"


def create_app(registry: Registry, access: Access | None = None, *, page: bool = True) -> FastAPI:
    """Return the application; without ``access`` this machine alone may send requests. The page is for people."""
    app = FastAPI(title="vaegan", version=__version__, docs_url=None, redoc_url=None, default_response_class=JSON)
    app.state.registry = registry
    access = access or Access()
    add_error_handlers(app)
    for subject in (model_list, sampling, reconstruction, decoding, code_sets, run_progress):
        app.include_router(subject.router, dependencies=[Depends(_refuse_unknown)])
    _add_docs(app, page)
    without_token = _add_page(app, access) if page else ["/"]
    app.add_middleware(Guard, access=access, without_token=["/health", *without_token])
    return app


async def _refuse_unknown(request: Request) -> None:
    """Raise Refused with 422 if the address has a parameter that its path does not have."""
    described = request.app.openapi()["paths"][request.scope["route"].path_format][request.method.lower()]
    names = [parameter["name"] for parameter in described.get("parameters", ()) if parameter["in"] == "query"]
    for name in request.query_params:
        if name not in names:
            raise Refused(422, f"{name}: unknown{nearest(name, names) or '; leave it out'}")


def _add_docs(app: FastAPI, page: bool) -> None:
    @app.get("/docs", include_in_schema=False)
    def docs() -> Response:
        return HTMLResponse(docs_page(app.openapi()), headers=_HEADERS)

    @app.get("/health", tags=["server"])
    def health() -> dict[str, str]:
        """Say that the server answers; needs no token."""
        return {"status": "ok", "version": __version__}

    if not page:
        app.add_api_route("/", lambda: RedirectResponse("/docs"), include_in_schema=False)


def _add_page(app: FastAPI, access: Access) -> list[str]:
    """Add the files of the page and where it gets its cookie; return their paths, which need no token."""
    files = [file for file in sorted(_PAGE.iterdir()) if file.suffix in _MEDIA_TYPES]
    paths = {"/" if file.name == "studio.html" else f"/{file.name}": file for file in files}
    for path, file in paths.items():
        app.add_api_route(path, partial(_file, file), include_in_schema=False)

    @app.post("/api/token", include_in_schema=False)
    def token(request: Request, token: Annotated[str, Body(embed=True, max_length=1000)]) -> Response:
        if (refusal := access.refusal(token, address_of(request.scope))) is not None:
            return error_response(*refusal)
        response = JSON({"ok": True})
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=secure)
        return response

    return [*paths, "/api/token"]


def _file(file: Path) -> Response:
    return FileResponse(file, media_type=_MEDIA_TYPES[file.suffix], headers=_HEADERS)
