"""Errors in the Baremetal API's shape.

`{"error_message": "<JSON text>"}`, the text being `{"faultcode": "Client"|"Server", "faultstring": …, "debuginfo":
null}`. The inner object is text, not an object, in all versions: python-ironicclient parses nothing else.
"""

from __future__ import annotations

import json

import structlog
from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from ironlane.api.baremetal.microversions import NotAcceptable, announce
from ironlane.api.errors import status_of
from ironlane.model.errors import IronlaneError

log = structlog.get_logger(__name__)

_REASONS = {
    404: "The resource could not be found.",
    405: "The method is not allowed for this resource.",
}


def failure(status: int, code: str, message: str) -> Response:
    """An error answer. `code` is the name that Ironic gives the error; it is told in a header of ours."""
    fault = {"faultcode": "Client" if status < 500 else "Server", "faultstring": message, "debuginfo": None}
    answer = JSONResponse({"error_message": json.dumps(fault)}, status)
    answer.headers["X-Ironlane-Error"] = code
    announce(answer.headers)
    return answer


def install(app: FastAPI) -> None:
    """Have `app` answer every exception in this shape."""
    app.add_exception_handler(IronlaneError, _answer_ours)
    app.add_exception_handler(HTTPException, _answer_http)


async def _answer_ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, IronlaneError)  # noqa: S101  # the handler is registered for nothing else
    status = 406 if isinstance(error, NotAcceptable) else status_of(error)
    if status >= 500:
        log.warning("request could not be served", path=request.url.path, error=error.message)
    return failure(status, error.code, error.message)


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # the handler is registered for nothing else
    message = _REASONS.get(error.status_code, str(error.detail))
    answer = failure(error.status_code, "HTTPException", message)
    if error.status_code == 405:
        answer.headers["Allow"] = ", ".join(sorted(_methods(request)))
    return answer


def _methods(request: Request) -> set[str]:
    """The methods that the path does have."""
    routes = [route for route in request.app.routes if isinstance(route, APIRoute)]
    return {
        method
        for route in routes
        if route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods or ()
    }
