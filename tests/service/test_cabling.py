"""Two cables of a virtual rack are swapped: LLDP frames on its wires tell, at both ends, and nobody gets the other's
network. The service, the switches' NETCONF, the BMCs and the ramdisks are all real; only the rack is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from ironlane.cli.apply.outcome import Action
from ironlane.cli.apply.run import apply
from ironlane.cli.client import Client
from ironlane.cli.demo.phases import Phases
from ironlane.cli.demo.site_text import SECRETS, demo_racks, site_text
from ironlane.cli.virtual import boot_server, running_gateway, virtual_rack
from ironlane.lab.gateway import Gateway
from ironlane.lab.rack import RackDescription, VirtualRack
from ironlane.lab.server import Stage
from ironlane.service import Server
from ironlane.settings import Settings
from ironlane.site.check import read_site
from tests.service.bench import NODES, until
from tests.service.process import free_port

IDLE_VLAN = 999
ONE, TWO, THREE = "server-1-1", "server-1-2", "server-1-3"
ETH1 = {name: f"52:54:01:0{number}:00:01" for number, name in enumerate((ONE, TWO, THREE), 1)}


def swapped() -> RackDescription:
    """Three servers on a pair of switches; somebody has mixed up two cables of leaf-1b."""
    racks = demo_racks(1, 3)
    ports = {ONE: "Ethernet2", TWO: "Ethernet1"}
    servers = [
        replace(
            server,
            nics=tuple(
                replace(nic, port=ports.get(server.name, nic.port)) if nic.switch == "leaf-1b" else nic
                for nic in server.nics
            ),
        )
        for server in racks.servers
    ]
    return replace(racks, servers=tuple(servers))


def recorded(rack: VirtualRack) -> str:
    """The site file as the operator believes it to be. Idle ports have a link, so that every NIC hears its switch."""
    site = yaml.safe_load(site_text(rack))
    ports = {ONE: "Ethernet1", TWO: "Ethernet2"}
    for node in site["nodes"]:
        for nic in node["nics"]:
            if nic["switch"] == "leaf-1b" and node["name"] in ports:
                nic["port"] = ports[node["name"]]
    for switch in site["switches"]:
        switch["idle_vlan"] = IDLE_VLAN
    return yaml.safe_dump(site)


@dataclass
class Site:
    """The rack and a service for it, in this process."""

    rack: VirtualRack
    client: Client
    phases: Phases
    gateway: Gateway

    @classmethod
    @asynccontextmanager
    async def running(cls, folder: Path) -> AsyncIterator[Site]:
        async with running_gateway() as gateway, cls._running(folder, gateway) as site:
            yield site

    @classmethod
    @asynccontextmanager
    async def _running(cls, folder: Path, gateway: Gateway) -> AsyncIterator[Site]:
        description, port = swapped(), free_port()
        boot = boot_server(description).environment
        settings = Settings(
            port=port,
            database_url=f"sqlite:///{folder}/service.sqlite",
            hostname="c1",
            tftp_server=boot["IRONLANE_TFTP_SERVER"],
            boot_file=boot["IRONLANE_BOOT_FILE"],
            agent_proxy=gateway.url,
            cleaning_network="cleaning",
            inspection_network="provisioning",
        )
        server = Server(settings)
        serving = asyncio.create_task(server.run())
        try:
            url = await server.listening()
            async with virtual_rack(description, url, gateway) as rack, Client(url) as client:
                yield cls(rack, client, Phases(client, list(rack.servers), lambda _states: None), gateway)
        finally:
            server.stop()
            await serving

    async def enrol(self) -> None:
        site = read_site(recorded(self.rack))
        secrets = {"switches": "admin", "bmcs": "admin"}
        async for outcome in apply(self.client, site, secrets.__getitem__, dry_run=False, new_passwords=False):
            assert outcome.action is not Action.FAILED, outcome.lines()
        await until(self._converged, "the switches to converge")

    async def _converged(self) -> bool:
        return all(switch["converged"] for switch in (await self.client.get("/fabric/v1/switches"))["switches"])

    async def ask(self, node: str, target: str) -> None:
        await self.client.request("PUT", f"{NODES}/{node}/states/provision", {"target": target})

    async def until_state(self, node: str, state: str) -> dict[str, Any]:
        seen: dict[str, Any] = {}

        async def reached() -> bool:
            seen.update(await self.client.get(f"{NODES}/{node}"))
            return bool(seen["provision_state"] == state)

        try:
            await until(reached, f"{node} to be {state}")
        except AssertionError as late:
            raise AssertionError(f"{late}: {seen['provision_state']}, {seen['last_error']}") from None
        return seen

    async def cabling(self, address: str) -> dict[str, Any]:
        found = (await self.client.get("/fabric/v1/cabling"))["cabling"]
        return next(item for item in found if item["address"] == address)

    async def record(self, address: str, link: dict[str, str]) -> None:
        """Change where a NIC is on record, as an operator does: only while nothing depends on it."""
        nic = await self.cabling(address)
        change = [{"op": "add", "path": "/local_link_connection", "value": link}]
        await self.client.request("PATCH", f"/baremetal/v1/ports/{nic['port_uuid']}", change)

    async def audit(self) -> None:
        """Have the switches read, and wait for it."""
        await self.client.request("POST", "/fabric/v1/audit")

        async def read() -> bool:
            switches = (await self.client.get("/fabric/v1/switches"))["switches"]
            return not any(switch["audit_due"] for switch in switches)

        await until(read, "the switches to be read")


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    async with Site.running(tmp_path) as made:
        yield made


@pytest.mark.timeout(300)
async def test_swapped_cables_are_found_before_a_tenant_is_on_them(site: Site) -> None:
    await site.enrol()
    await site.record(ETH1[THREE], {})
    await site.phases.provision("manage", "manageable")
    network, _vlan = await site.phases.tenant_network("red", 1)
    for node in site.rack.servers:
        await site.phases.attach(node, network, "red")

    # The ramdisks hear the LLDP frames that the switches really send, and tell what is in the servers.
    await asyncio.gather(*(site.ask(node, "inspect") for node in site.rack.servers))
    for node in site.rack.servers:
        shown = await site.until_state(node, "manageable")
        assert shown["properties"]["cpus"] == 16
        assert shown["inspection_finished_at"] is not None
    inventory = await site.client.get(f"{NODES}/{ONE}/inventory")
    assert [interface["name"] for interface in inventory["inventory"]["interfaces"]] == ["eth0", "eth1"]
    filled = (await site.cabling(ETH1[THREE]))["recorded"]
    assert filled == {"switch": "leaf-1b", "switch_id": "02:5a:00:01:00:02", "port": "Ethernet3"}
    assert {address: (await site.cabling(address))["verdict"] for address in ETH1.values()} == {
        ETH1[ONE]: "contradicts",
        ETH1[TWO]: "contradicts",
        ETH1[THREE]: "agrees",
    }

    await site.phases.provision("provide", "available")
    await site.phases.choose_image(site.gateway.instance_info)
    await asyncio.gather(*(site.ask(node, "active") for node in site.rack.servers))
    failed = await site.until_state(ONE, "deploy failed")
    assert (
        f"({ETH1[ONE]}) of node {ONE} is recorded at switch leaf-1b (02:5a:00:01:00:02) port Ethernet1"
        in (failed["last_error"])
    )
    assert "it is cabled to switch leaf-1b (02:5a:00:01:00:02) port Ethernet2" in failed["last_error"]
    await site.until_state(TWO, "deploy failed")
    await site.until_state(THREE, "active")
    await site.rack.servers[THREE].until(lambda server: server.stage is Stage.OS, 30.0)

    # The record is put right. Nothing has to be inspected again: what was heard agrees with it now.
    for node in (ONE, TWO):
        await site.client.request("PUT", f"{NODES}/{node}/maintenance", {"reason": "cables"})
    await site.record(ETH1[ONE], {"switch_id": "02:5a:00:01:00:02", "port_id": "Ethernet2"})
    await site.record(ETH1[TWO], {"switch_id": "02:5a:00:01:00:02", "port_id": "Ethernet1"})
    for node in (ONE, TWO):
        await site.client.request("DELETE", f"{NODES}/{node}/maintenance")
        await site.ask(node, "active")
    for node in (ONE, TWO):
        await site.until_state(node, "active")
        await site.rack.servers[node].until(lambda server: server.stage is Stage.OS, 30.0)

    # The servers run, and speak LLDP themselves; the switches tell whom they hear, and all agree.
    async def all_shown() -> bool:
        await site.audit()
        found = (await site.client.get("/fabric/v1/cabling"))["cabling"]
        return all(item["shown"] and item["verdict"] == "agrees" for item in found)

    await until(all_shown, "both ends to agree on every cable")
    shown = (await site.cabling(ETH1[ONE]))["shown"][0]
    assert (shown["port"], shown["system_name"]) == (ETH1[ONE], ONE)
