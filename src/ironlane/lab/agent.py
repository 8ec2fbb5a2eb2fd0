"""The deploy ramdisk's agent: it looks its node up in the Baremetal API, does the work and reports by heartbeats."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp

from ironlane.lab.firmware import Booted, Timings

API_VERSION = "1.72"
"""The first microversion in which a heartbeat carries `agent_status` (Ironic's REST API version history)."""

_API_IN_SCRIPT = re.compile(rb"ipa-api-url=(\S+)")
_WIPE_STATES = {"cleaning", "clean wait"}
_WRITE_STATES = {"deploying", "wait call-back"}


class Disk(Protocol):
    """What the agent wipes and writes."""

    disk_image: str | None


@dataclass(slots=True)
class AgentRecord:
    """What one run of the agent did, for tests and the demo to look at."""

    node: str = ""
    heartbeats: list[str] = field(default_factory=list)
    """`agent_status` of each heartbeat that the API accepted; empty text for idle ones."""
    unreachable: int = 0
    """Calls not made because the services did not answer on the wire."""
    refused: list[str] = field(default_factory=list)
    """Calls that the API did not accept, with its answer."""


class Agent:
    """One run of the agent, from the finished network boot until it is cancelled (the power goes off).

    Each call to the API is made only when the services' address answers ARP over the virtual wire right then: a
    server outside the provisioning network cannot report, though the HTTP itself runs beside the wire.
    `on_change` is called whenever the record or the disk changed.
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
    ) -> None:
        named = _API_IN_SCRIPT.search(booted.content)
        self._api = (named[1].decode() if named else api_url).rstrip("/")
        self._booted = booted
        self._addresses = addresses
        self._disk = disk
        self._http = http
        self._timings = timings
        self._on_change = on_change
        self._token = ""
        self.record = AgentRecord()

    async def run(self) -> None:
        """Look up, do the work, then idle for good."""
        answer = await self._until_accepted("GET", "/v1/lookup", params={"addresses": ",".join(self._addresses)})
        node = answer["node"]
        self._token = answer.get("config", {}).get("agent_token") or ""
        self.record.node = node["uuid"]
        await self._heartbeat("start")
        await asyncio.sleep(self._timings.work)
        self._work(node)
        await self._heartbeat("end")
        while True:
            await asyncio.sleep(self._timings.heartbeat)
            await self._heartbeat("")

    def _work(self, node: dict[str, Any]) -> None:
        state = node.get("provision_state")
        if state in _WIPE_STATES:
            self._disk.disk_image = None
        elif state in _WRITE_STATES:
            self._disk.disk_image = str((node.get("instance_info") or {}).get("image_source") or "image")

    async def _heartbeat(self, status: str) -> None:
        body = {
            "callback_url": "http://127.0.0.1:9999",
            "agent_version": "ironlane-lab",
            "agent_token": self._token,
            "agent_status_message": "",
        }
        if status:
            body["agent_status"] = status
        await self._until_accepted("POST", f"/v1/heartbeat/{self.record.node}", json=body)
        self.record.heartbeats.append(status)
        self._on_change()

    async def _until_accepted(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """Repeat the call until the API says 2xx; answers the JSON object it sent, empty if none."""
        while True:
            if self._booted.endpoint.resolve(self._booted.services) is None:
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
        async with self._http.request(method, self._api + path, headers=headers, **request) as response:
            response.raise_for_status()
            answer = await response.json() if response.content_type == "application/json" else {}
            return answer if isinstance(answer, dict) else {}
