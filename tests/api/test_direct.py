"""`ironlane.api.direct`: what it serves directly is answered as FastAPI would answer it."""

from __future__ import annotations

from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, Header, Query
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ironlane.api.direct import DirectApi
from ironlane.model.errors import IronlaneError, NotFound
from tests.api.asgi import Client


class Thing(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=5)]
    sizes: list[int] = []


async def _color(x_color: Annotated[str, Header(max_length=5)] = "none") -> str:
    return x_color


async def _count(x_count: Annotated[int, Header()]) -> int:
    return x_count


async def _both(color: Annotated[str, Depends(_color)], count: Annotated[int, Depends(_count)]) -> str:
    return f"{count} {color}"


async def show(request: Request, ident: str) -> Response:
    return JSONResponse({"ident": ident, "path": request.url.path})


async def count(number: int) -> Response:
    return JSONResponse({"number": number})


async def change(ident: str, body: Thing, color: Annotated[str, Depends(_color)]) -> Response:
    return JSONResponse({"ident": ident, **body.model_dump(), "color": color}, 201)


async def nested(both: Annotated[str, Depends(_both)]) -> Response:
    return JSONResponse({"both": both})


async def special() -> Response:
    return JSONResponse({"special": True})


async def deep(kind: str, ident: str) -> Response:
    return JSONResponse({"kind": kind, "ident": ident})


async def absent() -> Response:
    raise NotFound("thing", "x")


ROUTES = (
    ("GET", "/things/special", special),
    ("GET", "/things/{ident}", show),
    ("PUT", "/things/{ident}", change),
    ("GET", "/numbers/{number}", count),
    ("GET", "/things/{ident}/nested", nested),
    ("GET", "/{kind}/{ident}/deep", deep),
    ("GET", "/absent", absent),
)


async def _failed(_request: Request, error: Exception) -> Response:
    if isinstance(error, RequestValidationError):
        problems = [{"type": p["type"], "loc": list(p["loc"]), "msg": p["msg"]} for p in error.errors()]
        return JSONResponse({"problems": problems}, 400)
    if isinstance(error, HTTPException):
        return JSONResponse({"detail": error.detail}, error.status_code)
    return JSONResponse({"error": str(error)}, 404)


def _made(app: FastAPI) -> Client:
    for kind in (RequestValidationError, HTTPException, IronlaneError):
        app.add_exception_handler(kind, _failed)
    for method, path, handler in ROUTES:
        app.add_api_route(path, handler, methods=[method], response_model=None)
    return Client(app, "/api")


REQUESTS = [
    ("GET", "/things/7", {}),
    ("GET", "/things/special", {}),
    ("GET", "/things/a%20b", {}),
    ("GET", "/things/", {}),
    ("GET", "/things", {}),
    ("GET", "/things/7/", {}),
    ("GET", "/things/7/deep", {}),
    ("GET", "/others/7/deep", {}),
    ("GET", "/nothing/7", {}),
    ("DELETE", "/things/7", {}),
    ("GET", "/numbers/12", {}),
    ("GET", "/numbers/twelve", {}),
    ("GET", "/absent", {}),
    ("GET", "/things/7/nested", {"headers": {"X-Count": "3", "X-Color": "red"}}),
    ("GET", "/things/7/nested", {"headers": {"X-Color": "red"}}),
    ("GET", "/things/7/nested", {"headers": {"X-Count": "three", "X-Color": "orange"}}),
    ("PUT", "/things/7", {"json_body": {"name": "a", "sizes": [1]}}),
    ("PUT", "/things/7", {"json_body": {"name": "a"}, "headers": {"Content-Type": "application/json; charset=utf-8"}}),
    ("PUT", "/things/7", {"json_body": {"name": "a"}, "headers": {"Content-Type": "Application/merge-patch+JSON"}}),
    ("PUT", "/things/7", {"json_body": {"name": "a"}, "headers": {"Content-Type": "text/plain"}}),
    ("PUT", "/things/7", {"json_body": {"name": "a"}, "headers": {"X-Color": "green!"}}),
    ("PUT", "/things/7", {"json_body": {"nick": "a", "sizes": [1, "x"]}}),
    ("PUT", "/things/7", {"json_body": ["name"]}),
    ("PUT", "/things/7", {"json_body": None, "body": b"null"}),
    ("PUT", "/things/7", {"body": b""}),
    ("PUT", "/things/7", {"body": b'{"name": '}),
    ("PUT", "/things/7", {"body": b'{"name": "\xff"}'}),
    ("PUT", "/things/7", {"body": b"[" * 100_000}),
]


@pytest.mark.parametrize(("method", "path", "more"), REQUESTS)
async def test_answers_as_fastapi(method: str, path: str, more: dict[str, object]) -> None:
    direct = await _made(DirectApi()).request(method, path, **more)  # type: ignore[arg-type]
    usual = await _made(FastAPI(redirect_slashes=False)).request(method, path, **more)  # type: ignore[arg-type]
    assert (direct.status, direct.body) == (usual.status, usual.body)


async def test_says_what_else_is_allowed() -> None:
    api = DirectApi()
    for method, path, handler in ROUTES:
        api.add_api_route(path, handler, methods=[method], response_model=None)
    heard: dict[str, str] = {}

    async def listen(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        heard.update(error.headers or {})
        return Response(status_code=error.status_code)

    api.add_exception_handler(HTTPException, listen)
    assert (await Client(api).request("DELETE", "/things/7")).status == 405
    assert heard == {"Allow": "GET, PUT"}


async def test_the_document_is_fastapis() -> None:
    answer = await _made(DirectApi()).request("GET", "/openapi.json")
    assert answer.status == 200
    assert "/things/{ident}" in answer.json()["paths"]


async def _plain(ident: str, limit: Annotated[int, Query()] = 1) -> Response:
    return Response(f"{ident} {limit}")


def _blocking(ident: str) -> Response:
    return Response(ident)


async def _two_bodies(first: Thing, second: Thing) -> Response:
    return Response(first.name + second.name)


@pytest.mark.parametrize("handler", [_plain, _blocking, _two_bodies])
def test_what_it_cannot_serve_is_refused_at_the_start(handler: object) -> None:
    api = DirectApi()
    api.add_api_route("/things/{ident}", handler, response_model=None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"cannot be taken|no coroutine function"):
        api.build_middleware_stack()


def test_a_path_with_a_pattern_is_refused_at_the_start() -> None:
    api = DirectApi()
    api.add_api_route("/files/{name:path}", show, response_model=None)
    with pytest.raises(TypeError, match="no step of a path"):
        api.build_middleware_stack()
