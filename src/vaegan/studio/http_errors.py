"""What goes wrong with a request, as a status and one line: what, where, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ..errors import UserError


class Refused(UserError):  # noqa: N818, the word says what happens to the request
    """A request that is refused, with the status to refuse it by."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def problem(status: int, message: str) -> JSONResponse:
    """Return the answer for a request that is refused: ``{"error": one line}``."""
    headers = {"Retry-After": "1"} if status == 429 else None
    return JSONResponse({"error": " ".join(message.split())}, status, headers)


def tell_problems(app: FastAPI) -> None:
    """Answer every kind of mistake in the same form."""

    async def refused(_: Request, error: Exception) -> JSONResponse:
        # What a model refuses, such as a part that it does not have, is the request's mistake as well.
        return problem(error.status if isinstance(error, Refused) else 400, str(error))

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return problem(422, _first(error.errors()))

    async def http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        known = {404: "there is nothing of this name; /docs lists what there is"}
        return problem(error.status_code, known.get(error.status_code, str(error.detail)))

    async def ours(_: Request, error: Exception) -> JSONResponse:
        return problem(500, "this is a mistake in vaegan, not yours; the server's log tells more")

    app.add_exception_handler(UserError, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, ours)


def _first(errors: Sequence[Any]) -> str:
    """Return the first mistake of a request's values in words."""
    error = errors[0]
    where = ".".join(str(part) for part in error["loc"] if part not in ("query", "path", "body"))
    return f"{where or 'the request'}: {error['msg'][:200]}"
