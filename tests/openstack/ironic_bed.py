"""A lab rack, an Ironlane, and an Ironic that has it for its Neutron and the rack's first server for a node."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any, Self

import bcrypt
import openstack
import yaml
from openstack.connection import Connection

from ironlane.cli.client import Client, Refused, Unreachable
from ironlane.cli.demo.site_text import CLEANING_VLAN, PROVISIONING_VLAN, site_text
from ironlane.cli.virtual import BOOT_FILE, boot_server, environment, running_gateway, virtual_rack
from ironlane.lab.gateway import Gateway
from ironlane.lab.rack import NicDescription, RackDescription, VirtualRack
from tests.openstack import ironic
from tests.openstack.bed import AWAY, until
from tests.service.bench import BMC_PASSWORD, NETWORKING, SECRETS, description, enrol
from tests.service.history import History
from tests.service.process import free_port, serving

RESCUING_VLAN = 102
VLANS = {"cleaning": CLEANING_VLAN, "provisioning": PROVISIONING_VLAN, "rescuing": RESCUING_VLAN}
CREDENTIALS = ironic.Credentials("ironic", "ironic-7hw2kq9x")


class IronicBed:
    """`node` is the node's UUID, once it is enrolled; `url` is Ironlane's; `vlans` names VLANs."""

    def __init__(self, rack: VirtualRack, gateway: Gateway, ironlane: Client, url: str, folder: Path) -> None:
        self.rack = rack
        self.gateway = gateway
        self.ironlane = ironlane
        self.url = url
        self.folder = folder
        self.description = rack.description.servers[0]
        self.server = rack.servers[self.description.name]
        self.node = ""
        self.vlans: dict[int, str] = {vlan: name for name, vlan in VLANS.items()}
        self.history = History(rack, lambda vlan: self.vlans.get(vlan, f"VLAN {vlan}"))
        self.watch = rack.watch(VLANS.values(), lambda vlan: "tenant" if vlan not in VLANS.values() else None)
        self.ironic_url = ""
        self._ironic: Connection

    @classmethod
    @asynccontextmanager
    async def running(
        cls, made: Path, folder: Path, *, credentials: ironic.Credentials | None = None, manage_agent_boot: bool = True
    ) -> AsyncIterator[Self]:
        """`made` is Ironic's environment. With `credentials` Ironlane asks everybody for them."""
        port, other = free_port(), free_port()
        user = f"{credentials.username}:{credentials.password}@" if credentials else ""
        url = f"http://{user}127.0.0.1:{port}"
        async with AsyncExitStack() as stack:
            gateway = await stack.enter_async_context(running_gateway())
            rack = await stack.enter_async_context(
                virtual_rack(_description(), url, gateway, ironic=f"http://127.0.0.1:{other}")
            )
            client = await stack.enter_async_context(Client(url))
            bed = cls(rack, gateway, client, f"http://127.0.0.1:{port}", folder)
            await stack.enter_async_context(_ironlane(rack, gateway, folder, port, credentials))
            await until(bed._healthy, "Ironlane to start")
            await enrol(client, rack, _site_text(rack))
            bed.history.attach()
            site = ironic.Site(
                ironlane=bed.url,
                proxy=gateway.url,
                tftp=boot_server(rack.description).address,
                cleaning="cleaning",
                provisioning=await bed.network_id("provisioning"),
                rescuing="rescuing",
                manage_agent_boot=manage_agent_boot,
                credentials=credentials,
            )
            at = await stack.enter_async_context(ironic.running(made, folder, other, site))
            bed.ironic_url = at
            bed._ironic = stack.enter_context(_connected(at))
            await until(bed._has_drivers, "Ironic's conductor to start")
            yield bed

    async def ironic(self, method: str, /, *arguments: Any, **named: Any) -> Any:
        """A method of openstacksdk's `Connection.baremetal`, which is synchronous: it runs in a thread."""
        return await asyncio.to_thread(getattr(self._ironic.baremetal, method), *arguments, **named)

    async def enrol_node(self, **fields: Any) -> None:
        """The server, with both NICs in a portgroup that speaks LACP."""
        images = [self.folder / "images" / name for name in ("kernel", "ramdisk")]
        for image in images:
            image.write_text("not booted by a virtual server")
        kernel, ramdisk = (f"file://{image}" for image in images)
        info = {
            f"{use}_{what}": url
            for use in ("deploy", "rescue")
            for what, url in (("kernel", kernel), ("ramdisk", ramdisk))
        }
        node = await self.ironic(
            "create_node",
            name=self.description.name,
            network_interface="neutron",
            properties={"capabilities": "boot_mode:bios", "cpu_arch": "x86_64"},
            instance_info={**self.gateway.instance_info, "image_type": "whole-disk"},
            **{**fields, "driver_info": {**info, **fields.get("driver_info", {})}},
        )
        self.node = str(node.id)
        group = await self.ironic(
            "create_port_group",
            node_id=self.node,
            name="bond0",
            mode="802.3ad",
            address=self.description.nics[0].mac,
            properties={"miimon": 100, "lacp_rate": "fast"},
        )
        macs = {switch.name: switch.mac for switch in self.rack.description.switches}
        for nic in self.description.nics:
            link = {"switch_id": macs[nic.switch], "port_id": nic.port, "switch_info": nic.switch}
            await self.ironic(
                "create_port",
                node_id=self.node,
                address=nic.mac,
                port_group_id=group.id,
                is_pxe_enabled=nic.name == "eth0",
                physical_network="physnet1",
                local_link_connection=link,
            )

    async def enrol_smart_nic(self, **fields: Any) -> NicDescription:
        """The server, with one NIC that is a switch of its own."""
        nic = self.description.nics[0]
        node = await self.ironic("create_node", name="smart", network_interface="neutron", **fields)
        self.node = str(node.id)
        link = {"hostname": nic.switch, "port_id": nic.port}
        await self.ironic(
            "create_port",
            node_id=self.node,
            address=nic.mac,
            is_pxe_enabled=True,
            is_smartnic=True,
            physical_network="physnet1",
            local_link_connection=link,
        )
        return nic

    @property
    def redfish(self) -> dict[str, str]:
        """What Ironic has to know of the server's BMC."""
        assert self.rack.redfish is not None
        return {
            "redfish_address": self.rack.redfish.url,
            "redfish_username": self.description.bmc_username,
            "redfish_password": BMC_PASSWORD,
            "redfish_system_id": f"/redfish/v1/Systems/{self.description.name}",
            "redfish_verify_ca": "False",
        }

    async def go(
        self, target: str, state: str, waiting: Callable[[str], Awaitable[None]] | None = None, **arguments: Any
    ) -> None:
        """Until the node is in a state. `waiting` is called once, when Ironic first waits for the agent."""
        await self.ironic("set_node_provision_state", self.node, target, **arguments)

        async def reached() -> bool:
            nonlocal waiting
            node = await self.ironic("get_node", self.node)
            assert not node.provision_state.endswith(("failed", "error")), node.last_error
            if waiting is not None and node.provision_state in ("clean wait", "wait call-back", "rescue wait"):
                called, waiting = waiting, None
                await called(node.provision_state)
            return bool(node.provision_state == state)

        await until(reached, f"the node to be {state}")

    # --- what there is in Ironlane, and on the switches

    async def network(self, name: str) -> str:
        body = {"network": {"name": name, "project_id": "red"}}
        made = (await self.ironlane.request("POST", f"{NETWORKING}/networks", body))["network"]
        self.vlans[made["provider:segmentation_id"]] = name
        return str(made["id"])

    async def network_id(self, name: str) -> str:
        (found,) = (await self.ironlane.get(f"{NETWORKING}/networks", {"name": name}))["networks"]
        return str(found["id"])

    async def port(self, network: str, vnic_type: str = "baremetal") -> str:
        body = {"port": {"network_id": network, "project_id": "red", "binding:vnic_type": vnic_type}}
        return str((await self.ironlane.request("POST", f"{NETWORKING}/ports", body))["port"]["id"])

    async def shown(self, port: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.ironlane.get(f"{NETWORKING}/ports/{port}"))["port"]
        return found

    async def ports_of(self, network: str) -> list[dict[str, Any]]:
        query = {"network_id": await self.network_id(network)}
        found: list[dict[str, Any]] = (await self.ironlane.get(f"{NETWORKING}/ports", query))["ports"]
        return found

    def carried(self) -> list[str]:
        """What the switch ports carry where the server is cabled: see `History`."""
        last = {switch: snapshots[-1] for switch, snapshots in self.history.snapshots.items()}
        return [last[nic.switch][nic.port] for nic in self.description.nics]

    def sequences(self, since: dict[str, int]) -> list[list[str]]:
        """What each of them carried since then, one after the other."""
        return [self.history.sequence(nic.switch, nic.port, since) for nic in self.description.nics]

    async def boot_by_hand(self, state: str) -> None:
        """Where Ironic neither switches the power nor tells DHCP: what whoever does has to do."""
        network = {"clean wait": "cleaning", "wait call-back": "provisioning", "rescue wait": "rescuing"}[state]
        (port,) = await self.ports_of(network)
        options = {"67": BOOT_FILE, "150": boot_server(self.rack.description).address}
        body = {"extra_dhcp_opts": [{"opt_name": name, "opt_value": value} for name, value in options.items()]}
        await self.ironlane.request("PUT", f"{NETWORKING}/ports/{port['id']}", {"port": body})
        self.server.set_boot_device("pxe")
        await self.server.reset()

    async def _healthy(self) -> bool:
        with contextlib.suppress(Unreachable, Refused):
            return bool(await self.ironlane.get("/healthz"))
        return False

    async def _has_drivers(self) -> bool:
        """It listens a moment before it answers."""
        with contextlib.suppress(*AWAY):
            return bool(await asyncio.to_thread(lambda: list(self._ironic.baremetal.drivers())))
        return False


def _description() -> RackDescription:
    """The usual rack, with services on the rescuing network too."""
    racks = description()
    rescuing = {RESCUING_VLAN: IPv4Interface("10.102.0.1/24")}
    services = tuple(replace(host, vlans={**host.vlans, **rescuing}) for host in racks.services)
    return replace(racks, services=services)


def _site_text(rack: VirtualRack) -> str:
    """Switches and provider networks; the nodes are Ironic's."""
    site = yaml.safe_load(site_text(rack))
    del site["nodes"]
    subnet = {"cidr": "10.102.0.0/24", "gateway": "10.102.0.1", "pool": "10.102.0.10-10.102.0.250"}
    rescuing = {"name": "rescuing", "physical_network": "physnet1", "vlan": RESCUING_VLAN, "subnet": subnet}
    site["networks"].append(rescuing)
    return yaml.safe_dump(site)


@asynccontextmanager
async def _ironlane(
    rack: VirtualRack, gateway: Gateway, folder: Path, port: int, credentials: ironic.Credentials | None
) -> AsyncIterator[None]:
    env = SECRETS | environment(rack.description, gateway)
    if credentials is not None:
        file = folder / "htpasswd"
        password = bcrypt.hashpw(credentials.password.encode(), bcrypt.gensalt(4)).decode()
        file.write_text(f"{credentials.username}:{password}\n")
        env |= {"IRONLANE_AUTH_STRATEGY": "http_basic", "IRONLANE_HTPASSWD_FILE": str(file)}
    arguments = ("--port", str(port), "--database", f"sqlite:///{folder}/ironlane.sqlite", "--hostname", "one")
    async with serving(*arguments, env=env, log=folder / "ironlane.log"):
        yield


@contextlib.contextmanager
def _connected(url: str):  # type: ignore[no-untyped-def]
    connection = openstack.connect(
        auth_type="none", endpoint=url, baremetal_endpoint_override=url, load_yaml_config=False
    )
    try:
        yield connection
    finally:
        connection.close()
        connection.session.session.close()
