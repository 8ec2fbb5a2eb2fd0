"""Errors as the fabric API answers them: `{"error": {"code", "message", "field"}}`."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.types import Scope

from ironlane.api import http
from ironlane.api.errors import status_of
from ironlane.api.fabric.bodies import first_problem
from ironlane.api.identity.base import Authenticator
from ironlane.model.errors import IronlaneError, Rejected

PUBLIC = (("GET", "/"), ("GET", "/v1"))
"""What needs no credentials: the versions."""

BODY_LIMITS = {"/v1/takeover": 64 << 20}
"""Bytes of a body by path: a whole Neutron and Ironic at once, so that a dry run tells about all of it."""


class Fault(BaseModel):
    """`code` is what programs match on; `field` is the path of what was wrong in the request, if it was one part."""

    model_config = ConfigDict(extra="forbid")

    code: str
    message: str
    field: str | None


class Refusal(BaseModel):
    """Every answer with a status of 400 or more."""

    model_config = ConfigDict(extra="forbid")

    error: Fault


def install(app: FastAPI, identity: Authenticator | None, admit: Callable[[Scope], None]) -> None:
    """Have `app` answer all errors in one shape; `identity` finds out who makes requests, `admit` whether they may."""
    app.add_exception_handler(IronlaneError, _ironlane)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    http.install(app, _answer, body_limits=BODY_LIMITS, identity=identity, public=PUBLIC, admit=admit)


def _answer(status: int, code: str, message: str, field: str | None = None) -> JSONResponse:
    return JSONResponse({"error": {"code": code, "message": message, "field": field}}, status)


async def _ironlane(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, IronlaneError):
        raise error
    field = error.field if isinstance(error, Rejected) else None
    return _answer(status_of(error), error.code, error.message, field)


async def _validation(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    message, field = first_problem(list(error.errors()))
    return _answer(400, "Invalid", f"{field}: {message}" if field else message, field)


async def _http(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    code = {404: "NotFound", 405: "MethodNotAllowed"}.get(error.status_code, "Rejected")
    answer = _answer(error.status_code, code, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer
