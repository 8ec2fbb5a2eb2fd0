"""Request ids, the limit on bodies, the log line, and the last resort; with an application that misbehaves."""

from __future__ import annotations

import re
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from structlog.testing import capture_logs

from ironlane.api import http
from ironlane.store.database import REQUEST_ID
from tests.api.asgi import Client


def failure(status: int, code: str, message: str) -> Response:
    return JSONResponse({"code": code, "message": message}, status)


async def echo(request: Request) -> Response:
    return JSONResponse({"request_id": REQUEST_ID.get(), "size": len(await request.body())})


async def crash(_request: Request) -> Response:
    raise RuntimeError("the password is hunter2")


async def half(_request: Request) -> Response:
    async def chunks() -> Any:
        yield "first"
        raise RuntimeError("later")

    return StreamingResponse(chunks())


@pytest.fixture
def client() -> Client:
    routes = [Route("/echo", echo, methods=["GET", "POST"]), Route("/crash", crash), Route("/half", half)]
    app = Starlette(routes=[*routes, Route("/plain", lambda _: PlainTextResponse("x"))])
    http.install(app, failure, body_limit=1000)
    return Client(app)


async def test_each_request_has_an_id_of_its_own(client: Client) -> None:
    answers = [await client.get("/echo", headers={"X-Openstack-Request-Id": "req-theirs"}) for _ in range(2)]
    ids = [answer.headers["x-openstack-request-id"] for answer in answers]
    assert [answer.json()["request_id"] for answer in answers] == ids
    assert ids[0] != ids[1]
    assert all(re.fullmatch(r"req-[0-9a-f-]{36}", ident) for ident in ids)
    assert REQUEST_ID.get() == ""


@pytest.mark.parametrize("chunked", [False, True])
async def test_large_bodies_are_refused(client: Client, chunked: bool) -> None:
    fits = await client.request("POST", "/echo", body=b"x" * 1000, chunked=chunked)
    assert fits.json()["size"] == 1000
    over = await client.request("POST", "/echo", body=b"x" * 1001, chunked=chunked)
    assert (over.status, over.json()["code"]) == (413, "RequestTooLarge")
    assert "x-openstack-request-id" in over.headers
    flood = await client.request("POST", "/echo", body=b"x" * 1_000_000, chunked=chunked)
    assert flood.status == 413


async def test_the_log_line_has_no_secrets(client: Client) -> None:
    with capture_logs() as lines:
        await client.request("POST", "/echo?token=hunter2", body=b"hunter2", headers={"X-Auth-Token": "hunter2"})
    assert len(lines) == 1
    line = lines[0]
    assert "hunter2" not in str(line)
    assert (line["event"], line["method"], line["path"], line["status"]) == ("request", "POST", "/echo", 200)
    assert line["milliseconds"] >= 0


async def test_a_crash_tells_nothing(client: Client) -> None:
    with capture_logs() as lines:
        answer = await client.get("/crash")
    assert answer.status == 500
    assert b"hunter2" not in answer.body
    assert answer.headers["x-openstack-request-id"] in answer.json()["message"]
    assert [line["event"] for line in lines] == ["request failed", "request"]
    assert lines[0]["exc_info"]


async def test_a_crash_halfway_cuts_the_connection(client: Client) -> None:
    with capture_logs() as lines, pytest.raises(RuntimeError, match="later"):
        await client.get("/half")
    assert lines[-1]["status"] == 200


async def test_applications_below_paths_of_their_own() -> None:
    async def where(request: Request) -> Response:
        return PlainTextResponse(f"{request.url.path} {request.scope['root_path']}")

    below = Starlette(routes=[Route("/", where), Route("/v1/things", where)])
    other = Starlette(routes=[Route("/healthz", where)])
    client = Client(http.Mounts({"/below": below}, other))

    async def at(path: str) -> tuple[int, bytes]:
        answer = await client.request("GET", path)
        return answer.status, answer.body

    assert await at("/below/v1/things") == (200, b"/below/v1/things /below")
    assert await at("/below/") == await at("/below") == (200, b"/below/ /below")
    assert await at("/healthz") == (200, b"/healthz ")
    assert {(await at(path))[0] for path in ("/below/v1", "/belowv1/things", "/", "/v1/things")} == {404}
