"""Virtual BMCs and agents for many nodes, in the benchmark's own process, and the rows of the nodes."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import IPv4Address
from typing import Any

import aiohttp
from aiohttp import web

from ironlane.lab.bmc import RedfishBmcs
from ironlane.lab.certificate import self_signed
from ironlane.lab.ipmi import IpmiBmc
from ironlane.lab.machine import BootDevice, Power
from ironlane.store import baremetal_ports, nodes, ramdisks
from ironlane.store.database import Store, Tx

STEP = {"interface": "deploy", "step": "erase_devices", "priority": 10}
USER, PASSWORD = "admin", "password"


class Machine:
    """Has power, and nothing else."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked = 0
        """How often the BMC looked whether there is power."""
        self.boot_device: BootDevice = "disk"
        self.boot_persistent = True

    def set_boot_device(self, device: BootDevice, persistent: bool = False) -> None:
        self.boot_device, self.boot_persistent = device, persistent

    @property
    def power(self) -> Power:
        self.asked += 1
        return "on"

    async def power_on(self) -> None:
        """It is on."""

    async def power_off(self) -> None:
        raise AssertionError("nobody should want that")

    async def reset(self) -> None:
        raise AssertionError("nobody should want that")


@dataclass
class Fleet:
    """`listed` counts the lists of commands that were asked for, `accepted` and `refused` heartbeats."""

    machines: list[Machine]
    driver_info: list[dict[str, Any]]
    agent_url: str
    certificate: str
    tokens: dict[str, str] = field(default_factory=dict)
    """Node to agent token."""
    listed: int = 0
    accepted: int = 0
    refused: int = 0
    problem: str = ""
    """Why a heartbeat could not be sent."""

    async def heartbeats(self, url: str, interval: float) -> None:
        """Send them for good, evenly."""
        pause = interval / max(len(self.tokens), 1)
        connector = aiohttp.TCPConnector(force_close=True)  # agents are many, and each is a client of its own
        headers = {"X-OpenStack-Ironic-API-Version": "1.68"}
        async with aiohttp.ClientSession(connector=connector, headers=headers) as http, asyncio.TaskGroup() as sending:
            for node in itertools.cycle(self.tokens):
                sending.create_task(self._beat(http, url, node))
                await asyncio.sleep(pause)

    async def _beat(self, http: aiohttp.ClientSession, url: str, node: str) -> None:
        body = {
            "callback_url": self.agent_url,
            "agent_version": "bench",
            "agent_token": self.tokens[node],
            "agent_verify_ca": self.certificate,
        }
        try:
            async with http.post(f"{url}/baremetal/v1/heartbeat/{node}", json=body) as response:
                accepted = response.status == 202
        except aiohttp.ClientError as error:
            accepted, self.problem = False, repr(error)
        self.accepted += accepted
        self.refused += not accepted


@asynccontextmanager
async def fleet(driver: str, count: int) -> AsyncIterator[Fleet]:
    """BMCs of a kind for `count` servers, and one web server that stands for the agents of as many others."""
    async with AsyncExitStack() as stack:
        machines = [Machine(f"s{number}") for number in range(count)]
        driver_info = await _bmcs(stack, driver, machines)
        tls, certificate = self_signed(IPv4Address("127.0.0.1"))
        made = Fleet(machines, driver_info, "", certificate)

        async def commands(_request: web.Request) -> web.Response:
            made.listed += 1
            running = {"command_name": "execute_clean_step", "command_params": {"step": STEP}, "id": "1"}
            return web.json_response({"commands": [{**running, "command_status": "RUNNING"}]})

        app = web.Application()
        app.router.add_get("/v1/commands/", commands)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        made.agent_url = f"https://127.0.0.1:{runner.addresses[0][1]}"
        yield made


async def _bmcs(stack: AsyncExitStack, driver: str, machines: list[Machine]) -> list[dict[str, Any]]:
    if driver == "redfish":
        redfish = RedfishBmcs()
        await redfish.start()
        stack.push_async_callback(redfish.stop)
        for number, machine in enumerate(machines):
            redfish.add(machine.name, machine, f"{USER}{number}", PASSWORD)
        return [
            {
                "redfish_address": redfish.url,
                "redfish_system_id": f"/redfish/v1/Systems/s{number}",
                "redfish_username": f"{USER}{number}",
                "redfish_password": PASSWORD,
            }
            for number in range(len(machines))
        ]
    found = []
    for machine in machines:
        bmc = IpmiBmc(machine, USER, PASSWORD)
        await bmc.start()
        stack.push_async_callback(bmc.stop)
        found.append(
            {"ipmi_address": "127.0.0.1", "ipmi_port": bmc.port, "ipmi_username": USER, "ipmi_password": PASSWORD}
        )
    return found


async def furnish(store: Store, driver: str, made: Fleet, reporting: int) -> None:
    """Rows: a node that is active for each BMC, and `reporting` others that are being cleaned."""

    def work(tx: Tx) -> None:
        for number, info in enumerate(made.driver_info):
            state = {"provision_state": "active", "power_state": "power on", "driver_info": info}
            nodes.create(tx, {"name": f"server-{number}", "driver": driver, **state})
        for number in range(reporting):
            ident, token = str(uuid.uuid4()), secrets.token_urlsafe(32)
            made.tokens[ident] = token
            info = {
                "agent_url": made.agent_url,
                "agent_secret_token": token,
                "agent_verify_ca": made.certificate,
                "clean_steps": [STEP],
                "clean_step_index": 0,
                "agent_command": {"id": "1", "index": 0},
            }
            columns = {
                "driver_info": made.driver_info[0],
                "provision_state": "clean wait",
                "target_provision_state": "available",
                "provision_updated_at": tx.now,
                "step": "steps",
                "agent_token_hash": ramdisks.token_hash(token),
                "agent_seen_at": tx.now,
                "driver_internal_info": info,
                "due_at": tx.now + timedelta(seconds=number % 60),
            }
            nodes.create(tx, {"id": ident, "name": f"cleaning-{number}", "driver": driver, **columns})
            mac = f"52:54:00:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
            baremetal_ports.create(tx, {"node_id": ident, "address": mac})

    await store.write(work)
