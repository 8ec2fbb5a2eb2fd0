"""Racks of servers that boot over the virtual wire, without Ironlane: forwarding is loaded by hand."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from ironlane.agent.client import Agent, AgentClient, CommandStatus
from ironlane.lab.certificate import self_signed
from ironlane.lab.dhcp import ExtraOption, PortLease
from ironlane.lab.forwarding import LagMembership, PortForwarding
from ironlane.lab.gateway import Gateway
from ironlane.lab.rack import NicDescription, RackDescription, VirtualRack, standard_racks
from ironlane.lab.server import Stage, Timings, VirtualServer
from ironlane.model.errors import Permanent, Temporary

from .wiring import access

PROVISION, TENANT = 100, 2000
SERVICES = IPv4Interface("10.100.0.2/16")
QUICK = Timings(dhcp_timeout=0.05, dhcp_tries=2, retry=0.02, heartbeat=0.02, work=0.01, os_dhcp_retry=0.05)
WITH_TFTP = (ExtraOption("67", "boot.bin"), ExtraOption("66", str(SERVICES.ip)))


class BaremetalApi:
    """Knows one node for each MAC address, and counts what the agents say."""

    def __init__(self, state: str = "wait call-back") -> None:
        self.state = state
        self.heartbeats: dict[str, list[dict[str, Any]]] = {}
        self.files: list[str] = []
        self.url = ""

    async def lookup(self, request: web.Request) -> web.Response:
        assert request.headers["X-OpenStack-Ironic-API-Version"] == "1.68"
        node = {
            "uuid": request.query["addresses"].partition(",")[0],
            "provision_state": self.state,
            "instance_info": {"image_source": "debian"},
        }
        return web.json_response({"node": node, "config": {"heartbeat_timeout": 300, "agent_token": "secret"}})

    async def heartbeat(self, request: web.Request) -> web.Response:
        body = await request.json()
        assert body["agent_token"] == "secret"
        self.heartbeats.setdefault(request.match_info["node"], []).append(body)
        return web.Response(status=202)

    async def file(self, request: web.Request) -> web.Response:
        self.files.append(request.path)
        return web.Response(body=b"#!ipxe\n")


@asynccontextmanager
async def baremetal_api(state: str = "wait call-back") -> AsyncIterator[BaremetalApi]:
    api = BaremetalApi(state)
    app = web.Application()
    app.add_routes(
        [
            web.get("/v1/lookup", api.lookup),
            web.post("/v1/heartbeat/{node}", api.heartbeat),
            web.get("/files/{name}", api.file),
        ]
    )
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield api
    finally:
        await runner.cleanup()


class Ports:
    """The network ports of a test, as a `FindPort`."""

    def __init__(self, *options: ExtraOption, known: bool = True) -> None:
        self.options = options or WITH_TFTP
        self.known = known

    async def __call__(self, mac: str, vlan: int) -> PortLease | None:
        octets = bytes.fromhex(mac.replace(":", ""))
        address = IPv4Interface(f"10.100.{octets[2]}.{octets[3] + 10}/16")
        return PortLease(address, None, self.options) if self.known and vlan == PROVISION else None


def one_rack(servers: int = 1, **changes: Any) -> RackDescription:
    description = standard_racks(1, servers, vlans={PROVISION: SERVICES})
    return replace(description, servers=tuple(replace(server, **changes) for server in description.servers))


def rack_of(
    description: RackDescription, api: BaremetalApi | None = None, ports: Ports | None = None, **more: Any
) -> VirtualRack:
    return VirtualRack(
        description,
        api_url=api.url if api else "",
        find_port=ports or Ports(),
        read_file={"boot.bin": b"x" * 1500, "undionly.kpxe": b"ipxe"}.get,
        timings=QUICK,
        **{"netconf": False, "redfish": False, **more},
    )


def load_all(rack: VirtualRack, forwarding: PortForwarding, switches: str = "ab") -> None:
    for name, switch in rack.switches.items():
        if name[-1] in switches:
            switch.load(dict.fromkeys(switch.ports, forwarding))


async def test_a_server_boots_from_the_network_and_reports() -> None:
    async with baremetal_api() as api, rack_of(one_rack(), api) as rack:
        server = rack.servers["server-1-1"]
        load_all(rack, access(PROVISION), "a")
        server.set_boot_device("pxe")
        assert (server.boot_device, server.boot_persistent) == ("pxe", False)
        await server.power_on()
        await server.until(lambda s: s.agent is not None and s.agent.heartbeats >= 4)
        assert server.agent is not None
        body = api.heartbeats[server.agent.node][0]
        assert body["callback_url"] == "https://10.100.1.11:9999"
        assert body["agent_verify_ca"].startswith("-----BEGIN CERTIFICATE-----")
        assert server.nics["eth0"].lldp is not None
        assert (server.nics["eth0"].lldp.system_name, server.nics["eth0"].lldp.port) == ("leaf-1a", "Ethernet1")
        assert (server.boot_device, server.boot_persistent) == ("disk", True)
        assert "eth0: booted boot.bin (1500 bytes)" in server.journal

        load_all(rack, access(TENANT), "a")
        before = server.agent.unreachable
        await server.until(lambda s: s.agent is not None and s.agent.unreachable >= before + 2)
        said = len(api.heartbeats[server.agent.node])
        await server.until(lambda s: s.agent is not None and s.agent.unreachable >= before + 5)
        assert len(api.heartbeats[server.agent.node]) == said
        await server.power_off()
        assert server.power == "off"
        assert not server.nics["eth0"].carrier


async def test_an_agent_takes_orders_through_the_gateway_while_it_is_on_the_wire() -> None:
    gateway = Gateway()
    await gateway.start()
    client = AgentClient(timeout=10, proxy=gateway.url)
    try:
        async with baremetal_api("clean wait") as api, rack_of(one_rack(disk_image="old"), api) as rack:
            gateway.find_agent = rack.agent_port
            server = rack.servers["server-1-1"]
            load_all(rack, access(PROVISION), "a")
            server.set_boot_device("pxe")
            await server.power_on()
            await server.until(lambda s: s.agent is not None and s.agent.heartbeats >= 1)
            body = api.heartbeats["52:54:01:01:00:00"][0]
            agent = Agent(body["callback_url"], "secret", body["agent_verify_ca"])
            await _wiped(client, agent, server)
            await _written(client, agent, server, gateway)
            with pytest.raises(Permanent, match="does not take our token"):
                await client.commands(replace(agent, token="guess"))
            with pytest.raises(Permanent, match="certificate that is not of the CA"):
                await client.commands(replace(agent, certificate=self_signed(IPv4Address("10.100.1.11"))[1]))
            load_all(rack, access(TENANT), "a")
            with pytest.raises(Temporary, match="cannot be talked to"):
                await client.commands(agent)
            load_all(rack, access(PROVISION), "a")
            assert len(await client.commands(agent)) == 5
            await client.run(agent, "standby.power_off", {})
            await server.until(lambda s: s.stage is Stage.OFF)
            with pytest.raises(Temporary):
                await client.commands(agent)
    finally:
        await client.close()
        await gateway.stop()


async def _wiped(client: AgentClient, agent: Agent, server: VirtualServer) -> None:
    listed = await client.run(agent, "clean.get_clean_steps", {"node": {}, "ports": []}, wait=True)
    steps = listed.result["clean_steps"]["GenericHardwareManager"]
    order = {"step": steps[0], "node": {}, "ports": [], "clean_version": listed.result["hardware_manager_version"]}
    assert server.agent is not None
    assert server.agent.commands is not None
    server.agent.commands.work = 1.0
    assert (await client.run(agent, "clean.execute_clean_step", order)).status is CommandStatus.RUNNING
    server.agent.commands.work = 0.0
    with pytest.raises(Temporary, match="busy"):
        await client.run(agent, "clean.execute_clean_step", order)
    await server.until(lambda s: s.disk_image is None)
    mismatch = await client.run(agent, "clean.execute_clean_step", {**order, "clean_version": {"x": "1"}}, wait=True)
    assert (mismatch.status, "versions used by ironic" in mismatch.error) == (CommandStatus.VERSION_MISMATCH, True)


async def _written(client: AgentClient, agent: Agent, server: VirtualServer, gateway: Gateway) -> None:
    info = gateway.instance_info
    image = {"id": "x", "urls": [info["image_source"]], "os_hash_algo": "sha256", "os_hash_value": "0" * 64}
    wrong = await client.run(agent, "standby.prepare_image", {"image_info": image}, wait=True)
    assert (wrong.status, "verification checksum" in wrong.error) == (CommandStatus.FAILED, True)
    assert server.disk_image is None
    image["os_hash_value"] = info["image_checksum"]
    right = await client.run(agent, "standby.prepare_image", {"image_info": image}, wait=True)
    assert right.status is CommandStatus.SUCCEEDED
    assert server.disk_image == info["image_source"]
    with pytest.raises(Permanent, match="404"):
        await client.run(agent, "poetry.recite", {})


async def test_an_empty_disk_halts() -> None:
    async with rack_of(one_rack()) as rack:
        server = rack.servers["server-1-1"]
        await server.power_on()
        await server.until(lambda s: s.stage is Stage.HALTED)


@pytest.mark.parametrize(
    ("ports", "vlan", "reason"),
    [
        (Ports(), TENANT, "eth0: no DHCP answer"),
        (Ports(known=False), PROVISION, "eth0: no DHCP answer"),
        (Ports(ExtraOption("66", "10.100.0.2")), PROVISION, "eth0: DHCP names no boot file"),
        (Ports(ExtraOption("67", "boot.bin")), PROVISION, "eth0: DHCP names no TFTP server for boot file boot.bin"),
        (
            Ports(ExtraOption("67", "none"), WITH_TFTP[1]),
            PROVISION,
            "eth0: TFTP server 10.100.0.2, file none: no such file",
        ),
        (
            Ports(WITH_TFTP[0], ExtraOption("150", "10.100.0.99")),
            PROVISION,
            "eth0: TFTP server 10.100.0.99 does not answer ARP",
        ),
        (Ports(), None, "eth0: no carrier"),
    ],
)
async def test_what_stops_a_network_boot(ports: Ports, vlan: int | None, reason: str) -> None:
    async with baremetal_api() as api, rack_of(one_rack(), api, ports) as rack:
        server = rack.servers["server-1-1"]
        load_all(rack, access(vlan) if vlan else PortForwarding(), "a")
        server.set_boot_device("pxe", persistent=True)
        await server.power_on()
        await server.until(lambda s: reason in s.journal)
        assert server.stage is Stage.FIRMWARE
        assert api.heartbeats == {}


async def test_a_dead_networking_api_is_recorded_and_asked_again() -> None:
    class Dead(Ports):
        async def __call__(self, mac: str, vlan: int) -> PortLease | None:
            raise aiohttp.ClientError(f"no answer about {mac} in {vlan}")

    async with rack_of(one_rack(), None, Dead()) as rack:
        server = rack.servers["server-1-1"]
        load_all(rack, access(PROVISION), "a")
        server.set_boot_device("pxe")
        await server.power_on()
        await server.until(lambda s: list(s.journal).count("eth0: no DHCP answer") == 2)
        failures = rack.services["services"].failures
        assert len(failures) >= 2
        assert "DHCP of 52:54:01:01:00:00 in VLAN 100" in failures[0]


async def test_a_boot_that_fails_goes_on_trying_other_nics() -> None:
    async with baremetal_api() as api, rack_of(one_rack(pxe_nics=("eth0", "eth1")), api) as rack:
        server = rack.servers["server-1-1"]
        server.set_boot_device("pxe")
        await server.power_on()
        load_all(rack, access(PROVISION), "b")
        await server.until(lambda s: s.stage is Stage.AGENT)
        assert "eth1: booted boot.bin (1500 bytes)" in server.journal


async def test_ipxe_asks_again_and_fetches_its_script_by_http() -> None:
    async with baremetal_api() as api:
        ports = Ports(
            ExtraOption("tag:!ipxe,67", "undionly.kpxe"),
            ExtraOption("tag:ipxe,67", f"{api.url}/files/boot.ipxe"),
            ExtraOption("255", str(SERVICES.ip)),
        )
        async with rack_of(one_rack(), api, ports) as rack:
            server = rack.servers["server-1-1"]
            load_all(rack, access(PROVISION), "a")
            server.set_boot_device("pxe")
            await server.power_on()
            await server.until(lambda s: s.stage is Stage.AGENT)
            assert api.files == ["/files/boot.ipxe"]


async def test_bonded_servers_on_the_tenant_network_reach_each_other_and_nobody_else() -> None:
    lag = {n: LagMembership(n, lacp=True) for n in (1, 2)}
    description = one_rack(3, disk_image="debian", dhcp=False)
    addressed = tuple(
        replace(server, addresses={"bond0": IPv4Interface(f"192.168.0.{n}/24")})
        for n, server in enumerate(description.servers, 1)
    )
    async with rack_of(replace(description, servers=addressed)) as rack:
        config = {
            "Ethernet1": access(TENANT, lag[1]),
            "Ethernet2": access(TENANT, lag[2]),
            "Ethernet3": access(PROVISION),
        }
        for switch in rack.switches.values():
            switch.load(config)
        one, two, _ = rack.servers.values()
        for server in rack.servers.values():
            await server.power_on()
            await server.until(lambda s: s.stage is Stage.OS)
        assert one.os is not None
        assert one.os.ping(IPv4Address("192.168.0.2"))
        assert not one.os.ping(IPv4Address("192.168.0.3"))
        reach = rack.reach()
        assert reach.endpoints == {
            "server-1-1": {"server-1-2"},
            "server-1-2": {"server-1-1"},
            "server-1-3": {"services.100"},
            "services.100": {"server-1-3"},
        }
        assert reach.duplicates == ()
        assert reach.nics["services.100"] == {"server-1-3/eth0", "server-1-3/eth1"}
        assert ("server-1-1", "server-1-2") in reach.pairs()
        one.nics["eth0"].interface.up = False
        assert one.os.ping(IPv4Address("192.168.0.2"))
        assert rack.reach().duplicates == ()
        await two.power_off()
        with pytest.raises(RuntimeError, match="runs no operating system"):
            two.send(b"")


async def test_an_operating_system_gets_its_address_by_dhcp() -> None:
    async with rack_of(one_rack(disk_image="debian", bond=None)) as rack:
        server = rack.servers["server-1-1"]
        load_all(rack, access(PROVISION), "a")
        await server.power_on()
        await server.until(lambda s: s.os is not None and bool(s.os.endpoints["eth0"].addresses))
        assert rack.services["services"].endpoint(PROVISION).ping(IPv4Address("10.100.1.11"))


async def test_sixteen_servers_boot_side_by_side() -> None:
    async with baremetal_api() as api:
        async with rack_of(standard_racks(2, 8, vlans={PROVISION: SERVICES}), api) as rack:
            load_all(rack, access(PROVISION), "a")
            began = time.monotonic()
            for server in rack.servers.values():
                server.set_boot_device("pxe")
                await server.power_on()
            for server in rack.servers.values():
                await server.until(lambda s: s.agent is not None and s.agent.heartbeats >= 1)
            took = time.monotonic() - began
        assert len(api.heartbeats) == 16
        print(f"16 servers from power-on to the agent's first heartbeat: {took:.2f} s")
        assert took < 10


async def test_control_planes_run_and_stop() -> None:
    async with rack_of(one_rack(disk_image="x"), netconf=True, redfish=True, ipmi=True) as rack:
        assert {server.port > 0 for server in rack.netconf.values()} == {True}
        assert rack.ipmi["server-1-1"].port > 0
        assert rack.redfish is not None
        login = {"Authorization": aiohttp.encode_basic_auth("admin", "admin")}
        action = f"{rack.redfish.url}/redfish/v1/Systems/server-1-1/Actions/ComputerSystem.Reset"
        async with (
            aiohttp.ClientSession(headers=login) as http,
            http.post(action, json={"ResetType": "On"}) as response,
        ):
            assert response.ok
        await rack.servers["server-1-1"].until(lambda s: s.stage is Stage.OS)


@pytest.mark.parametrize(
    ("nic", "message"),
    [
        (NicDescription("eth9", "52:54:01:01:00:00", "leaf-1a", "Ethernet2"), "more than one MAC address"),
        (NicDescription("eth9", "52:54:01:01:00:09", "leaf-1a", "Ethernet1"), "one cable at leaf-1a/Ethernet1"),
        (NicDescription("eth9", "52:54:01:01:00:09", "leaf-1a", "Ethernet9"), "ports that do not exist"),
    ],
)
def test_contradictory_descriptions_are_refused(nic: NicDescription, message: str) -> None:
    description = one_rack()
    server = description.servers[0]
    wrong = replace(description, servers=(replace(server, nics=(*server.nics, nic)),))
    with pytest.raises(ValueError, match=message):
        VirtualRack(wrong)
