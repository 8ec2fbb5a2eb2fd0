"""The deploy ramdisk's agent: it looks its node up in the Baremetal API, serves its command API, and sends heartbeats.

Source: ironic-python-agent, `agent.py`, `ironic_api_client.py`, `api/app.py`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from ironlane.lab.agent_api import CommandApi
from ironlane.lab.agent_commands import AgentCommands, Disk
from ironlane.lab.certificate import self_signed
from ironlane.lab.firmware import Booted, Timings

__all__ = ["Agent", "AgentRecord", "Disk"]

API_VERSION = "1.68"
"""The first microversion in which a heartbeat carries `agent_verify_ca` (Ironic's REST API version history)."""

PORT = 9999
"""Where the agent says that it listens."""

_API_IN_SCRIPT = re.compile(rb"ipa-api-url=(\S+)")


@dataclass(slots=True)
class AgentRecord:
    """What one run of the agent did, for tests and the demo to look at."""

    node: str = ""
    heartbeats: int = 0
    """How many the API accepted."""
    unreachable: int = 0
    """Calls not made because the services did not answer on the wire."""
    refused: list[str] = field(default_factory=list)
    """Calls that the API did not accept, with its answer."""
    commands: AgentCommands | None = None
    """What the conductor ordered."""
    password: str = ""
    """The rescue user's, hashed, once the server is rescued."""

    @property
    def done(self) -> list[str]:
        """Names of the commands that were given, in order."""
        return [command.name for command in self.commands.given] if self.commands else []


class Agent:
    """One run of the agent, from the finished network boot until it is cancelled (the power goes off).

    Each call to the API is made only when the services' address answers ARP over the virtual wire right then: a
    server outside the provisioning network cannot report, though the HTTP itself runs beside the wire. The command API
    listens on loopback, and the rack's gateway leads there from the agent's address on the wire.
    `on_change` is called whenever the record or the disk changed, `power_off` when the agent shuts its server down,
    `ordered` with the name of each command that the agent takes. It ends by itself when the server is to be rescued.
    """

    def __init__(
        self,
        booted: Booted,
        *,
        addresses: Sequence[str],
        api_url: str,
        disk: Disk,
        http: aiohttp.ClientSession,
        timings: Timings,
        on_change: Callable[[], None],
        power_off: Callable[[], None],
        ordered: Callable[[str], None],
    ) -> None:
        named = _API_IN_SCRIPT.search(booted.content)
        self._url = (named[1].decode() if named else api_url).rstrip("/")
        self._booted = booted
        self._addresses = addresses
        self._http = http
        self._timings = timings
        self._on_change = on_change
        self._ordered = ordered
        self._token = ""
        self._wake = asyncio.Event()
        self._certificate = ""
        self._api: CommandApi | None = None
        self._rescued = asyncio.Event()
        commands = AgentCommands(disk, self._fetch, timings.work, self._finished, power_off, self._rescue)
        self._commands = commands
        self.record = AgentRecord(commands=commands)

    @property
    def port(self) -> int | None:
        """TCP port of the command API on this machine's loopback address, while it listens."""
        return self._api.port if self._api is not None else None

    async def run(self) -> None:
        """Look up, listen, and send heartbeats: at regular times, and when a command is over. For good, but for a
        rescue: then nobody shall be able to give it commands from its tenant's networks."""
        answer = await self._until_accepted("GET", "/v1/lookup", params={"addresses": ",".join(self._addresses)})
        self._token = answer.get("config", {}).get("agent_token") or ""
        self.record.node = answer["node"]["uuid"]
        tls, self._certificate = self_signed(self._booted.endpoint.addresses[0].ip)
        self._api = CommandApi(self._commands, self._token, self._ordered)
        async with self._api.listening(tls), asyncio.TaskGroup() as tasks:
            beating = tasks.create_task(self._beat())
            await self._rescued.wait()
            beating.cancel()

    async def _beat(self) -> None:
        while True:
            self._wake.clear()
            await self._heartbeat()
            try:
                async with asyncio.timeout(self._timings.heartbeat):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _finished(self) -> None:
        """A command is over: the conductor is to know at once."""
        self._wake.set()
        self._on_change()

    def _rescue(self, password: str) -> None:
        self.record.password = password
        self._rescued.set()
        self._finished()

    async def _heartbeat(self) -> None:
        body = {
            "callback_url": f"https://{self._booted.endpoint.addresses[0].ip}:{PORT}",
            "agent_version": "ironlane-lab",
            "agent_token": self._token,
            "agent_verify_ca": self._certificate,
        }
        await self._until_accepted("POST", f"/v1/heartbeat/{self.record.node}", json=body)
        self.record.heartbeats += 1
        self._on_change()

    async def _fetch(self, url: str) -> bytes:
        if not self._reaches():
            raise OSError("no route to host")
        async with self._http.get(url) as response:
            response.raise_for_status()
            return await response.read()

    def _reaches(self) -> bool:
        return self._booted.endpoint.resolve(self._booted.services) is not None

    async def _until_accepted(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """Repeat the call until the API says 2xx; answers the JSON object it sent, empty if none."""
        while True:
            if not self._reaches():
                self.record.unreachable += 1
            else:
                try:
                    return await self._call(method, path, **request)
                except (aiohttp.ClientError, TimeoutError) as error:
                    self.record.refused.append(f"{method} {path}: {error!r}")
            self._on_change()
            await asyncio.sleep(self._timings.retry)

    async def _call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        headers = {"X-OpenStack-Ironic-API-Version": API_VERSION}
        async with self._http.request(method, self._url + path, headers=headers, **request) as response:
            response.raise_for_status()
            answer = await response.json() if response.content_type == "application/json" else {}
            return answer if isinstance(answer, dict) else {}
