"""Errors of requests: a status and one line with the problem and how to fix it."""

import errno
import json
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ..errors import UserError, is_out_of_memory, printable
from ..settings_io import must_be

SAFE_HEADERS = {"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin"}
"""Headers of every answer: no page of another site can read it, or have it run."""
OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


class JSON(JSONResponse):
    """JSON of any content: in ASCII, as names may hold what is not Unicode; null for NaN and infinity."""

    def render(self, content: Any) -> bytes:
        """Return the JSON."""
        try:
            return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
        except ValueError:
            return self.render(json.loads(json.dumps(content), parse_constant=lambda _: None))


class Refused(UserError):  # noqa: N818, says what happens to the request
    """A request that is refused with a status of its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def error_response(status: int, message: str) -> JSONResponse:
    """Return the response to a refused request: ``{"error": one line}``."""
    headers = SAFE_HEADERS | ({"Retry-After": "1"} if status in (429, 503) else {})
    return JSON({"error": printable(" ".join(message.split()))}, status, headers)


def add_error_handlers(app: FastAPI) -> None:
    """Answer all errors in the same form."""

    async def answer(_: Request, error: Exception) -> JSONResponse:
        if isinstance(error, UserError):  # what a model lacks, such as an encoder, is an error of the request as well
            return error_response(error.status if isinstance(error, Refused) else 400, str(error))
        if isinstance(error, RequestValidationError):
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"] if part not in ("query", "path", "body"))
            if first["type"] == "missing" and first["loc"] == ("body", "file"):
                return error_response(422, "send the image as a form field called file (curl -F file=@x.png)")
            return error_response(422, f"{where or 'the request'}: {must_be(first)}")
        if isinstance(error, HTTPException):
            message = "not found; see /docs for all paths" if error.status_code == 404 else str(error.detail)
            return error_response(error.status_code, message)
        if is_out_of_memory(error):
            return error_response(503, "not enough memory for this request; ask for less, or try again in a second")
        if isinstance(error, OSError) and error.errno in OUT_OF_DESCRIPTORS:
            return error_response(503, "the server has too many open files; try again in a second")
        raise error

    async def internal(_: Request, error: Exception) -> JSONResponse:
        return error_response(500, "internal error in vaegan; see the log of the server")

    for kind in (UserError, RequestValidationError, HTTPException, MemoryError, RuntimeError, OSError):
        app.add_exception_handler(kind, answer)
    app.add_exception_handler(Exception, internal)
