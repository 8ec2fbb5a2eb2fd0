"""The agent's client against answers of all kinds: what it makes of them, and that it never tells its token."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from ironlane.agent.client import Agent, AgentClient, CommandStatus
from ironlane.model.errors import IronlaneError, Permanent, Temporary
from tests.power.machines import assert_no_secret

TOKEN = "geheim+/token=="
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def answering(answer: Answer, **settings: Any) -> AsyncIterator[tuple[AgentClient, Agent]]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = AgentClient(**{"timeout": 5.0, **settings})
    try:
        yield client, Agent(f"http://127.0.0.1:{runner.addresses[0][1]}", TOKEN)
    finally:
        await client.close()
        await runner.cleanup()


async def test_an_order_is_sent_as_the_agent_wants_it() -> None:
    seen: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.method, request.path, dict(request.query), await request.json()))
        return web.json_response(
            {
                "id": "7",
                "command_name": "standby.sync",
                "command_params": {},
                "command_status": "FAILED",
                "command_error": {"type": "X", "code": 500, "message": "Bad disk", "details": f"it said {TOKEN}"},
                "command_result": None,
            }
        )

    async with answering(answer) as (client, agent):
        command = await client.run(agent, "standby.sync", {"a": 1}, wait=True)
    query = {"wait": "true", "agent_token": TOKEN}
    assert seen == [("POST", "/v1/commands/", query, {"name": "standby.sync", "params": {"a": 1}})]
    assert (command.name, command.status) == ("sync", CommandStatus.FAILED), "as it names those that do not fail"
    assert command.error == "Bad disk: it said ******"


@pytest.mark.parametrize(
    ("status", "body", "kind", "told"),
    [
        (401, {"faultstring": "Token invalid."}, Permanent, "does not take our token"),
        (404, {"message": "Not found", "details": "Extension x"}, Permanent, "404 (Not found: Extension x)"),
        (400, {"faultstring": "no name"}, Permanent, "400 (no name)"),
        (409, {"message": "Agent is busy", "details": "executing"}, Temporary, "Agent is busy: executing"),
        (500, {"faultstring": "agent is busy"}, Temporary, "500 (agent is busy)"),
        (503, "<html>", Temporary, "503"),
        (200, "<html>", Temporary, "200"),
        (200, ["x"], Temporary, "200"),
        (200, {"command_status": "EXPLODED"}, Permanent, "'EXPLODED', which is unknown"),
    ],
)
async def test_refusals(status: int, body: Any, kind: type[IronlaneError], told: str) -> None:
    async def answer(_request: web.Request) -> web.Response:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text)

    async with answering(answer) as (client, agent):
        with pytest.raises(kind) as caught:
            await client.run(agent, "standby.sync", {})
    assert told in caught.value.message
    assert_no_secret(caught.value, TOKEN)


async def test_an_agent_leads_the_conductor_nowhere_else() -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        raise web.HTTPTemporaryRedirect("/elsewhere")

    async with answering(answer) as (client, agent):
        with pytest.raises(Temporary, match="307"):
            await client.commands(agent)
    assert asked == ["/v1/commands/"]


async def test_what_never_ends_or_never_comes_is_given_up() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(200):
            await response.write(b"x" * 65536)
        return response

    async def never(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with answering(endless) as (client, agent):
        with pytest.raises(Temporary, match="more than 4194304 bytes"):
            await client.commands(agent)
    async with answering(never) as (client, agent):
        with pytest.raises(Temporary, match="cannot be talked to") as caught:
            await client.commands(agent)
    assert_no_secret(caught.value, TOKEN)


async def test_nobody_there_and_a_certificate_that_is_none() -> None:
    client = AgentClient(timeout=5.0)
    try:
        with pytest.raises(Temporary, match="cannot be talked to") as caught:
            await client.commands(Agent("http://127.0.0.1:1", TOKEN))
        assert_no_secret(caught.value, TOKEN)
        with pytest.raises(Permanent, match="CA certificate of the agent") as refused:
            await client.commands(Agent("https://127.0.0.1:1", TOKEN, "no certificate"))
        assert_no_secret(refused.value, TOKEN)
    finally:
        await client.close()
