"""The agent's command API over HTTPS, on a port of this machine's loopback address.

Source: ironic-python-agent, `api/app.py`.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from ironlane.lab.agent_commands import AgentCommands, CommandError


class CommandApi:
    """Serves `commands` to whoever has the token. `ordered` is called with the name of each command that was taken,
    before it is answered."""

    def __init__(self, commands: AgentCommands, token: str, ordered: Callable[[str], None]) -> None:
        self._commands = commands
        self._token = token
        self._ordered = ordered
        self.port: int | None = None
        """TCP port, while it listens."""

    @asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None) -> AsyncIterator[None]:
        app = web.Application()
        app.add_routes([web.get("/v1/commands/", self._list), web.post("/v1/commands/", self._run)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
            self.port = runner.addresses[0][1]
            yield
        finally:
            self.port = None
            self._commands.stop()
            await runner.cleanup()

    async def _list(self, request: web.Request) -> web.Response:
        if request.query.get("agent_token") != self._token:
            return _fault(401, "Token invalid.")
        return web.json_response({"commands": [command.body for command in self._commands.given]})

    async def _run(self, request: web.Request) -> web.Response:
        if request.query.get("agent_token") != self._token:
            return _fault(401, "Token invalid.")
        body = await request.json()
        if not isinstance(body.get("name"), str) or not isinstance(body.get("params"), dict):
            return _fault(400, "Missing or invalid name or params")
        try:
            command = await self._commands.execute(body["name"], body["params"])
        except CommandError as error:
            return web.json_response(error.body, status=error.code)
        self._ordered(command.name)
        if request.query.get("wait", "").lower() == "true":
            await command.over.wait()
        return web.json_response(command.body)


def _fault(status: int, text: str) -> web.Response:
    return web.json_response({"faultcode": "Client", "faultstring": text}, status=status)
