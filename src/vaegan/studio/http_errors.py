"""Errors of requests: a status and one line with the problem and how to fix it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ..errors import UserError


class Refused(UserError):  # noqa: N818, says what happens to the request
    """A request that is refused with a status of its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def error_response(status: int, message: str) -> JSONResponse:
    """Return the response to a refused request: ``{"error": one line}``."""
    headers = {"Retry-After": "1"} if status == 429 else None
    return JSONResponse({"error": " ".join(message.split())}, status, headers)


def add_error_handlers(app: FastAPI) -> None:
    """Answer all errors in the same form."""

    async def refused(_: Request, error: Exception) -> JSONResponse:
        # What a model lacks, such as an encoder, is an error of the request as well.
        return error_response(error.status if isinstance(error, Refused) else 400, str(error))

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return error_response(422, _first(error.errors()))

    async def http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        message = "not found; see /docs for all paths" if error.status_code == 404 else str(error.detail)
        return error_response(error.status_code, message)

    async def internal(_: Request, error: Exception) -> JSONResponse:
        return error_response(500, "internal error in vaegan; see the log of the server")

    app.add_exception_handler(UserError, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, internal)


def _first(errors: Sequence[Any]) -> str:
    """Return the first validation error in words."""
    error = errors[0]
    where = ".".join(str(part) for part in error["loc"] if part not in ("query", "path", "body"))
    return f"{where or 'the request'}: {error['msg'][:200]}"
