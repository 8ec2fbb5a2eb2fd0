"""Errors as Neutron writes them: `{"NeutronError": {"type", "message", "detail"}}`, for every status there is.

`type` is the name that Neutron's clients match on; `message` names the field and says what to do. Of a 5xx the client
hears nothing of the inside: the log has it, under the request id in the answer's header.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from ironlane.api.errors import status_of
from ironlane.model.errors import IronlaneError

log = structlog.get_logger(__name__)

REVISION_MISMATCH = "RevisionNumberConstraintFailed"
"""The code of the Conflict that is a 412: `If-Match` named another revision."""

_STATUS = {REVISION_MISMATCH: 412}
_TYPES = {"Invalid": "InvalidInput", "Rejected": "BadRequest", "Forbidden": "PolicyNotAuthorized"}
_HTTP_TYPES = {400: "HTTPBadRequest", 404: "HTTPNotFound", 405: "HTTPMethodNotAllowed"}
_NO_RESOURCE = "The resource could not be found."


def failure(status: int, kind: str, message: str) -> JSONResponse:
    """An error answer."""
    return JSONResponse({"NeutronError": {"type": kind, "message": message, "detail": ""}}, status)


def install(app: FastAPI) -> None:
    """Have `app` answer all errors in Neutron's shape."""
    app.add_exception_handler(IronlaneError, _ironlane)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)


async def _ironlane(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, IronlaneError):
        raise error
    status = _STATUS.get(error.code, status_of(error))
    if status < 500:
        return failure(status, _TYPES.get(error.code, error.code), error.message)
    log.error("request not served", status=status, exc_info=error)
    if status == 503:
        answer = failure(status, "ServiceUnavailable", "The service cannot do this now; try again.")
        answer.headers["Retry-After"] = "1"
        return answer
    return failure(status, "InternalServerError", "The service failed; its log has the details.")


async def _validation(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    problems = error.errors()
    if any(tuple(p["loc"]) == ("path", "collection") for p in problems):
        return failure(404, _HTTP_TYPES[404], _NO_RESOURCE)
    return failure(400, "HTTPBadRequest", complaint(problems))


async def _http(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    kind = _HTTP_TYPES.get(error.status_code, f"HTTP{HTTPStatus(error.status_code).name.title().replace('_', '')}")
    messages = {404: _NO_RESOURCE, 405: "The method is not allowed for this resource."}
    answer = failure(error.status_code, kind, messages.get(error.status_code, str(error.detail)))
    answer.headers.update(error.headers or {})
    return answer


def complaint(problems: Sequence[Any]) -> str:
    """One message about all that is wrong with a request body; each part names its attribute as the client wrote it."""
    unknown = [_path(p["loc"]) for p in problems if p["type"] == "extra_forbidden"]
    missing = [_path(p["loc"]) for p in problems if p["type"] == "missing"]
    sentences = []
    if unknown:
        sentences.append(f"Unrecognized attribute(s) '{', '.join(unknown)}'")
    if missing:
        sentences.append(f"Failed to parse request. Required attribute '{', '.join(missing)}' not specified")
    for problem in problems:
        if problem["type"] in {"extra_forbidden", "missing"}:
            continue
        if problem["type"] == "json_invalid":
            reason = problem.get("ctx", {}).get("error", "")
            sentences.append(f"Request body is not valid JSON: {reason} at character {problem['loc'][-1]}")
        elif problem["type"] == "read_only":
            sentences.append(str(problem["msg"]))
        else:
            sentences.append(f"Invalid input for {_path(problem['loc'])}. Reason: {problem['msg']}")
    return "; ".join(sentences) + "."


def _path(loc: Sequence[str | int]) -> str:
    """`("body", "ports", 1, "name")` as `ports[1].name`; the wrapper of a single object is left out."""
    parts = list(loc[1:])
    if len(parts) > 1 and isinstance(parts[0], str) and isinstance(parts[1], str):
        parts = parts[1:]
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path or "body"
