"""A site on the test bed, run by a real service: two leaves, four servers of two tenants, all asked for over HTTP.

`site()` gives a running one. On each network stands one witness for good, a namespace on a switch port that Ironlane
does not own: the conductor's hosts on the cleaning and on the provisioning network, and a virtual machine of each
tenant. A witness has the name of its network. All addresses are of one subnet as the servers see it, so that nothing
but the switches keeps anybody apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ironlane.cli.client import Client
from ironlane.service import Server as Service
from ironlane.settings import Settings

from .bed import Bed, Server, Switch

CLEANING, PROVISIONING = "cleaning", "provisioning"
PROVIDER_VLANS = {CLEANING: 10, PROVISIONING: 11}
TENANTS = ("red", "blue")
WITNESSES = {CLEANING: "leaf-1", PROVISIONING: "leaf-2", "red": "leaf-1", "blue": "leaf-2"}
"""Network to the switch on which its witness stands."""
WITNESS_PORTS = {CLEANING: "swp47", PROVISIONING: "swp47", "red": "swp48", "blue": "swp48"}
THIRD_OCTETS = {CLEANING: 10, PROVISIONING: 11, "red": 1, "blue": 2}

FABRIC, NETWORKING, BAREMETAL = "/fabric/v1", "/networking/v2.0", "/baremetal/v1"
PHYSICAL_NETWORK = "physnet1"
PAIR = "02:5c:00:00:00:ff"
"""The system id in whose name both leaves speak LACP."""
PATIENCE = 20.0
"""Seconds that one step of a server's life may take."""
WAITING = {CLEANING: "clean wait", PROVISIONING: "wait call-back"}
"""Network to the state in which a server is on it and its ramdisk runs."""


class Stuck(AssertionError):
    """Something did not come about in time."""


@dataclass
class Machine:
    """One server: the namespace on the bed, and what the APIs call it."""

    server: Server
    tenant: str
    uuid: str = ""
    vif: str = ""
    address: str = ""
    """Its tenant address (`10.0.1.5`), once a VIF is attached."""

    @property
    def name(self) -> str:
        return self.server.name

    async def reached(self, addresses: Mapping[str, str], expected: Collection[str]) -> set[str]:
        """Whose of the addresses (by name) answer to a ping. Those that are expected to are given the time for it."""
        names = [name for name in addresses if name != self.name]
        pings = (self.server.ping(addresses[name], tries=8 if name in expected else 1) for name in names)
        answers = await asyncio.gather(*pings)
        return {name for name, answered in zip(names, answers, strict=True) if answered}


@dataclass
class Site:
    """The bed with its witnesses, and a client of the service that runs it."""

    bed: Bed
    client: Client
    machines: dict[str, Machine] = field(default_factory=dict)
    networks: dict[str, str] = field(default_factory=dict)
    """Name to UUID."""
    vlans: dict[str, int] = field(default_factory=lambda: dict(PROVIDER_VLANS))

    @property
    def addresses(self) -> dict[str, str]:
        """Who answers where: the witnesses, and the servers that have a tenant address."""
        found = {name: f"10.0.{octet}.1" for name, octet in THIRD_OCTETS.items()}
        return found | {machine.name: machine.address for machine in self.machines.values() if machine.address}

    # --- what an administrator does once ---

    async def furnish(self) -> None:
        """Switches, provider networks, tenants' networks, witnesses, nodes."""
        ranges = {"tenant_vlans": [[100, 199]]}
        await self.client.request("PUT", f"{FABRIC}/physical-networks/{PHYSICAL_NETWORK}", ranges)
        for index, switch in enumerate(self.bed.switches.values()):
            await self._enrol_switch(index, switch)
        for name, vlan in PROVIDER_VLANS.items():
            segment = {
                "provider:network_type": "vlan",
                "provider:physical_network": PHYSICAL_NETWORK,
                "provider:segmentation_id": vlan,
            }
            await self._network(name, "", segment)
        for tenant in TENANTS:
            await self._network(tenant, tenant, {})
        for name, leaf in WITNESSES.items():
            await self._witness(name, self.bed.switches[leaf], WITNESS_PORTS[name])
        for machine in self.machines.values():
            await self._enrol_node(machine)

    async def _enrol_switch(self, index: int, switch: Switch) -> None:
        body = {
            "kind": "openvswitch",
            "address": switch.address,
            "mac": switch.mac,
            "datapath_id": switch.datapath_id,
            "physical_network": PHYSICAL_NETWORK,
            "options": {"bridge": switch.bridge, "mlag_system_id": PAIR, "mlag_member": index},
            "ports": sorted(switch.ports),
        }
        await self.client.request("PUT", f"{FABRIC}/switches/{switch.name}", body)

    async def _network(self, name: str, project: str, segment: Mapping[str, Any]) -> None:
        body = {"network": {"name": name, "project_id": project, **segment}}
        made = (await self.client.request("POST", f"{NETWORKING}/networks", body))["network"]
        self.networks[name], self.vlans[name] = made["id"], made["provider:segmentation_id"]
        octet = THIRD_OCTETS[name]
        subnet = {"network_id": made["id"], "project_id": project, "ip_version": 4, "cidr": f"10.0.{octet}.0/24"}
        await self.client.request("POST", f"{NETWORKING}/subnets", {"subnet": subnet})

    async def _witness(self, name: str, switch: Switch, port: str) -> None:
        access = f"vlan_mode=access tag={self.vlans[name]}"
        witness = await self.bed.add_server(name, [(switch, port)], settings=access)
        await witness.use_single_nic(f"{self.addresses[name]}/16")

    async def _enrol_node(self, machine: Machine) -> None:
        server = machine.server
        node = await self.client.request(
            "POST", f"{BAREMETAL}/nodes", {"name": machine.name, "driver": "fake-hardware"}
        )
        machine.uuid = node["uuid"]
        group = {
            "node_uuid": machine.uuid,
            "name": f"{machine.name}-bond0",
            "address": server.macs[0],
            "mode": "802.3ad",
            "properties": {"lacp_rate": "fast", "priority": 10},
        }
        group_uuid = (await self.client.request("POST", f"{BAREMETAL}/portgroups", group))["uuid"]
        for index, (switch, port) in enumerate(server.links):
            # Both ways to name a switch; and a second NIC that could boot, too, must stay out all the same.
            switch_id = switch.mac if index == 0 else switch.datapath_id
            nic = {
                "node_uuid": machine.uuid,
                "portgroup_uuid": group_uuid,
                "address": server.macs[index],
                "pxe_enabled": index == 0 or machine.tenant == "blue",
                "physical_network": PHYSICAL_NETWORK,
                "local_link_connection": {"switch_id": switch_id, "port_id": port, "switch_info": switch.name},
            }
            await self.client.request("POST", f"{BAREMETAL}/ports", nic)

    async def witness_ports(self) -> list[str]:
        """The settings of the witnesses' switch ports, which Ironlane does not own."""
        columns = ("vlan_mode", "tag", "trunks", "external_ids", "other_config")
        return [
            await self.bed.switches[leaf].vsctl("get", "Port", WITNESS_PORTS[name], *columns)
            for name, leaf in WITNESSES.items()
        ]

    # --- what a user asks for ---

    async def ask(self, machine: Machine, target: str) -> None:
        """`manage`, `provide`, `active` or `deleted`."""
        await self.client.request("PUT", f"{BAREMETAL}/nodes/{machine.uuid}/states/provision", {"target": target})

    async def attach(self, machine: Machine) -> None:
        """A port on its tenant's network, as the node's VIF."""
        body = {
            "network_id": self.networks[machine.tenant],
            "project_id": machine.tenant,
            "binding:vnic_type": "baremetal",
        }
        port = (await self.client.request("POST", f"{NETWORKING}/ports", {"port": body}))["port"]
        await self.client.request("POST", f"{BAREMETAL}/nodes/{machine.uuid}/vifs", {"id": port["id"]})
        machine.vif, machine.address = port["id"], port["fixed_ips"][0]["ip_address"]

    async def forget_vif(self, machine: Machine) -> None:
        """Delete the tenant port of a server that was deleted."""
        await self.delete_port(machine.vif)
        machine.vif = machine.address = ""

    async def until(self, machine: Machine, state: str, *, powered: bool = False) -> None:
        """Until the node is in a state and, if `powered`, was switched on in it."""
        node: dict[str, Any] = {}
        try:
            async with asyncio.timeout(PATIENCE):
                while node.get("provision_state") != state or (powered and node["power_state"] != "power on"):
                    if str(node.get("provision_state")).endswith("failed"):
                        break
                    await asyncio.sleep(0.05)
                    node = await self.client.get(f"{BAREMETAL}/nodes/{machine.uuid}")
                else:
                    return
        except TimeoutError:
            pass
        raise Stuck(f"{machine.name} is not {state}: {_told(node)}; switches: {await self._switches()}")

    async def _switches(self) -> list[tuple[str, str, str]]:
        found = (await self.client.get(f"{FABRIC}/switches"))["switches"]
        return [(switch["name"], switch["state"], switch["reason"]) for switch in found]

    # --- what a server does ---

    async def port(self, network: str, machine: Machine) -> dict[str, Any]:
        """The one port of a server on a network, as the Networking API shows it."""
        query = {"network_id": self.networks[network], "mac_address": machine.server.macs[0]}
        (port,) = (await self.client.get(f"{NETWORKING}/ports", query))["ports"]
        return dict(port)

    async def report(self, machine: Machine) -> None:
        """The ramdisk on a server looks itself up and says that it is done."""
        query = {"addresses": ",".join(machine.server.macs)}
        answer = await self.client.get(f"{BAREMETAL}/lookup", query)
        assert answer["node"]["uuid"] == machine.uuid
        body = {
            "callback_url": "http://127.0.0.1:9999",
            "agent_version": "test",
            "agent_token": answer["config"]["agent_token"],
        }
        for status in ("start", "end"):
            told = {**body, "agent_status": status}
            await self.client.request("POST", f"{BAREMETAL}/heartbeat/{machine.uuid}", told)

    # --- what a client does that drives the Networking API itself, as a real Ironic does ---

    async def new_port(self, network: str, machine: Machine) -> str:
        """An unbound port for the server's primary NIC; its UUID."""
        body = {
            "network_id": self.networks[network],
            "mac_address": machine.server.macs[0],
            "binding:vnic_type": "baremetal",
        }
        made = await self.client.request("POST", f"{NETWORKING}/ports", {"port": body})
        return str(made["port"]["id"])

    async def bind(self, port: str, machine: Machine, links: Sequence[tuple[Switch, str]]) -> None:
        """Bind a port to these links of the server; several are a LACP bundle. Waits for nothing."""
        profile: dict[str, Any] = {
            "local_link_information": [{"switch_id": switch.mac, "port_id": name} for switch, name in links]
        }
        if len(links) > 1:
            group = {"id": machine.uuid, "name": "bond0", "bond_mode": "802.3ad", "bond_properties": {}}
            profile["local_group_information"] = group
        body = {"binding:host_id": machine.uuid, "binding:profile": profile}
        await self.client.request("PUT", f"{NETWORKING}/ports/{port}", {"port": body})

    async def unbind(self, port: str) -> None:
        body = {"binding:host_id": "", "binding:profile": {}}
        await self.client.request("PUT", f"{NETWORKING}/ports/{port}", {"port": body})

    async def delete_port(self, port: str) -> None:
        await self.client.request("DELETE", f"{NETWORKING}/ports/{port}")

    async def until_active(self, port: str) -> None:
        """Until the port is ACTIVE, as clients wait for it."""
        found: dict[str, Any] = {}
        try:
            async with asyncio.timeout(PATIENCE):
                while found.get("status") != "ACTIVE":
                    await asyncio.sleep(0.05)
                    found = (await self.client.get(f"{NETWORKING}/ports/{port}"))["port"]
        except TimeoutError:
            raise Stuck(f"port {port} is {found.get('status')}; switches: {await self._switches()}") from None


def _told(node: Mapping[str, Any]) -> dict[str, Any]:
    return {key: node.get(key) for key in ("provision_state", "power_state", "last_error", "driver_internal_info")}


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    """A furnished site: nodes enrolled, every switch port that Ironlane owns as it makes it. `folder` is for its
    database."""
    settings = Settings(
        database_url=f"sqlite:///{folder / 'ironlane.sqlite'}", port=0, hostname="conductor-1", switch_timeout=10.0
    )
    async with Bed() as bed, _serving(settings) as url, Client(url) as client:
        leaves = [await bed.add_switch("leaf-1"), await bed.add_switch("leaf-2")]
        await bed.link_switches(*leaves)
        made = Site(bed, client)
        for index, tenant in enumerate((*TENANTS, *TENANTS)):
            # The tenants' primary NICs are on different leaves.
            first, second = leaves if tenant == "red" else reversed(leaves)
            port = f"swp{index + 1}"
            server = await bed.add_server(f"{tenant}-{1 + index // 2}", [(first, port), (second, port)])
            made.machines[server.name] = Machine(server, tenant)
        await made.furnish()
        yield made


@asynccontextmanager
async def _serving(settings: Settings) -> AsyncIterator[str]:
    """The service, running in this process; gives its URL."""
    service = Service(settings)
    running, listening = asyncio.create_task(service.run()), asyncio.create_task(service.listening())
    try:
        await asyncio.wait({running, listening}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if not listening.done():
            raise Stuck("the service does not listen")
        yield listening.result()
    finally:
        listening.cancel()
        service.stop()
        await running
