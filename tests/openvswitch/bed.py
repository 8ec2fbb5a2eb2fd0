"""The test bed: real Open vSwitch bridges as top-of-rack switches, network namespaces as servers.

Every switch is an Open vSwitch of its own in a namespace of its own, so port names repeat from switch to switch as on
real hardware. A server is a namespace with NICs `eth0`, `eth1`, … cabled (veth) to switch ports. Because the kernel
may lack bonding and 802.1Q, a server's bond (or trunk) is a small Open vSwitch inside the server, with a bond of its
NICs and a veth pair whose far end, `bond0`, has the address.

The bed knows nothing about how the switches get configured. Use it as an asynchronous context manager::

    async with Bed() as bed:
        leaf = await bed.add_switch("leaf-1")
        one = await bed.add_server("one", [(leaf, "swp1")])
        await one.use_single_nic("192.0.2.1/24")
        async with bed.probe([one]) as probe: ...

Needs root, iproute2, ethtool, ping and Open vSwitch; see `why_not()`. Only the bed's own namespaces, processes and
temporary directory are touched, and `stop()` removes them all.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from ironlane.lab.openvswitch import PROGRAMS, CommandFailed, OpenVSwitch, missing_programs, run

from .probe import Listener, Probe

BRIDGE = "br0"
"""The bridge of every switch of the bed."""

BondKind = Literal["lacp", "static"]


def why_not(*, namespaces: bool = True) -> str | None:
    """Why the bed cannot run here, in a sentence; None if it can. Without namespaces no root is needed."""
    needed = (*PROGRAMS, "ip", "ethtool", "ping", "sysctl") if namespaces else PROGRAMS
    missing = missing_programs(needed)
    if missing:
        packages = "openvswitch-switch iproute2 ethtool iputils-ping procps"
        return f"missing programs: {', '.join(missing)} (apt-get install {packages})"
    if namespaces and os.geteuid() != 0:
        return "network namespaces need root"
    return None


@dataclass
class Switch:
    """A top-of-rack switch. `address` is its OVSDB unix socket, `mac` the bridge's MAC address (its switch id)."""

    name: str
    namespace: str
    mac: str
    ovs: OpenVSwitch
    bridge: str = BRIDGE
    ports: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return str(self.ovs.socket)

    @property
    def datapath_id(self) -> str:
        """The OpenFlow datapath id, 16 hex digits."""
        return f"0000{self.mac.replace(':', '')}"

    async def vsctl(self, *argv: str) -> str:
        """`ovs-vsctl` on this switch: how an operator would change it by hand."""
        return await self.ovs.vsctl(*argv)

    async def set_port(self, port: str, *settings: str) -> None:
        """Set columns of one Port row by hand, such as `tag=100`."""
        await self.vsctl("set", "Port", port, *settings)


@dataclass
class Server:
    """A server: one namespace, one NIC per link, in the order of its links (`eth0` is the primary NIC)."""

    name: str
    namespace: str
    links: list[tuple[Switch, str]]
    macs: list[str]
    directory: Path
    _inside: OpenVSwitch | None = None

    @property
    def nics(self) -> list[str]:
        return [f"eth{index}" for index in range(len(self.links))]

    @property
    def pids(self) -> list[int]:
        return self._inside.pids if self._inside else []

    async def exec(self, *argv: str, check: bool = True) -> str:
        """Run a command inside the server."""
        return await run("ip", "netns", "exec", self.namespace, *argv, check=check)

    async def use_single_nic(self, address: str, nic: str = "eth0") -> None:
        """Give one NIC the address (`192.0.2.1/24`); an earlier bond or address goes away."""
        await self.no_network()
        await self.exec("ip", "address", "add", address, "dev", nic)

    async def use_trunk(self, address: str | None, tagged: Mapping[int, str], nic: str = "eth0") -> None:
        """Speak with tags on one NIC: `tagged` gives an address per VLAN (on `vlan<id>`), `address` is untagged."""
        await self.no_network()
        outlets = {"untagged": (0, address)} if address else {}
        outlets |= {f"vlan{vlan}": (vlan, given) for vlan, given in tagged.items()}
        await self._start_bridge(("add-port", BRIDGE, nic), outlets)

    async def use_bond(self, address: str, kind: BondKind = "lacp") -> None:
        """Bond all NICs and give the bond (`bond0`, with the primary NIC's MAC address) the address."""
        await self.no_network()
        settings = (
            ("lacp=active", "bond_mode=balance-tcp", "other_config:lacp-time=fast")
            if kind == "lacp"
            else ("lacp=off", "bond_mode=balance-slb", "other_config:all-members-active=true")
        )
        await self._start_bridge(("add-bond", BRIDGE, "bond", *self.nics, *settings), {"bond0": (0, address)})

    async def _start_bridge(self, uplink: Sequence[str], outlets: Mapping[str, tuple[int, str]]) -> None:
        """An Open vSwitch inside the server: NICs on one side, veth pairs (VLAN or 0, address) on the other."""
        inside = OpenVSwitch(self.directory / "inside", namespace=self.namespace)
        self._inside = inside
        await inside.start()
        bridge = ("add-br", BRIDGE, "--", "set", "Bridge", BRIDGE, "datapath_type=dummy", "fail_mode=secure")
        await inside.vsctl(*bridge, f"other-config:hwaddr={self.macs[0]}", "--", *uplink)
        for name, (vlan, address) in outlets.items():
            far = f"{name}-in"
            for argv in (
                ("ip", "link", "add", name, "address", self.macs[0], "type", "veth", "peer", "name", far),
                ("ethtool", "-K", name, "tx", "off"),
                ("ip", "link", "set", name, "up"),
                ("ip", "link", "set", far, "up"),
                ("ip", "address", "add", address, "dev", name),
            ):
                await self.exec(*argv)
            await inside.vsctl("add-port", BRIDGE, far, f"tag={vlan}")
        for nic in (word for word in uplink if word in self.nics):
            # A host ignores frames with its own source address. Without this, a broadcast that comes back by the
            # other link (two switches with a plain trunk between them) would teach the bridge a wrong place.
            number = await inside.vsctl("get", "Interface", nic, "ofport")
            await inside.add_flow(BRIDGE, f"priority=100,in_port={number},dl_src={self.macs[0]},actions=drop")
        await inside.add_flow(BRIDGE, "priority=0,actions=NORMAL")

    async def no_network(self) -> None:
        """Take down any bond, trunk and address; the NICs themselves stay up."""
        if self._inside:
            self._inside.stop()
            shutil.rmtree(self._inside.directory, ignore_errors=True)
            self._inside = None
            for line in (await self.exec("ip", "-o", "link", "show", "type", "veth")).splitlines():
                name = line.split(":")[1].split("@")[0].strip()
                if name.endswith("-in"):
                    await self.exec("ip", "link", "del", name)
        for nic in self.nics:
            await self.exec("ip", "address", "flush", "dev", nic)

    async def wait_for_lacp(self, *, timeout: float = 15.0) -> bool:
        """Whether the bond's LACP gets negotiated on all NICs in time."""
        if self._inside is None:
            return False
        until = asyncio.get_running_loop().time() + timeout
        while asyncio.get_running_loop().time() < until:
            shown = await self._inside.appctl("bond/show", "bond")
            if "lacp_status: negotiated" in shown and shown.count(": enabled") >= len(self.nics):
                return True
            await asyncio.sleep(0.1)
        return False

    async def cut(self, nic: str) -> None:
        """Pull the cable of one NIC (both ends lose their carrier)."""
        await self.exec("ip", "link", "set", nic, "down")

    async def mend(self, nic: str) -> None:
        """Put the cable back."""
        await self.exec("ip", "link", "set", nic, "up")

    async def ping(self, address: str, *, tries: int = 3, timeout: float = 0.4) -> bool:
        """Whether an address answers at least once; `timeout` in seconds per try."""
        target = str(ipaddress.ip_address(address.split("/", maxsplit=1)[0]))
        for _ in range(tries):
            out = await self.exec("ping", "-n", "-c", "1", "-W", f"{timeout}", target, check=False)
            if " 0% packet loss" in out:
                return True
        return False


class Bed:
    """Switches, servers and the cables between them; see the module's docstring."""

    def __init__(self) -> None:
        self.switches: dict[str, Switch] = {}
        self.servers: dict[str, Server] = {}
        self._tag = f"il{secrets.token_hex(3)}"
        self._directory: Path | None = None
        self._namespaces: list[str] = []

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def directory(self) -> Path:
        if self._directory is None:
            raise CommandFailed("the bed is not started")
        return self._directory

    async def start(self) -> None:
        """Make the bed's temporary directory."""
        # Short on purpose: unix socket paths are limited to 107 characters.
        self._directory = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="ironlane-bed-"))

    async def stop(self) -> None:
        """End all processes of the bed and remove its namespaces and directory."""
        for server in self.servers.values():
            with suppress(CommandFailed):
                await server.no_network()
        for switch in self.switches.values():
            switch.ovs.stop()
        for namespace in self._namespaces:
            await run("ip", "netns", "del", namespace, check=False)
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
        self.switches, self.servers, self._namespaces, self._directory = {}, {}, [], None

    async def add_switch(self, name: str) -> Switch:
        """A switch with the bridge `br0` and no ports yet."""
        mac = f"02:5c:00:00:00:{len(self.switches) + 1:02x}"
        namespace = await self._namespace(name)
        switch = Switch(name, namespace, mac, OpenVSwitch(self.directory / name, namespace=namespace))
        self.switches[name] = switch
        await switch.ovs.start()
        hwaddr, datapath = f"other-config:hwaddr={mac}", f"other-config:datapath-id={switch.datapath_id}"
        await switch.vsctl("add-br", BRIDGE, "--", "set", "Bridge", BRIDGE, "datapath_type=dummy", hwaddr, datapath)
        return switch

    async def link_switches(self, one: Switch, other: Switch, *, port: str | None = None) -> None:
        """A trunk for all VLANs between two switches, as an operator leaves it: on the port `uplink` (or `port`)."""
        name = port or "uplink"
        await run(
            *("ip", "link", "add", name, "netns", one.namespace),
            *("type", "veth", "peer", "name", name, "netns", other.namespace),
        )
        for switch in (one, other):
            await run("ip", "-n", switch.namespace, "link", "set", name, "up")
            await switch.vsctl("add-port", switch.bridge, name)

    async def add_server(self, name: str, links: Sequence[tuple[Switch, str]], *, settings: str = "") -> Server:
        """A server with one NIC per link (switch, port name).

        `settings` are Port columns that a new switch port starts with; by default it lets nothing through, so that
        nothing leaks before the port is configured.
        """
        namespace = await self._namespace(name)
        number = len(self.servers) + 1
        macs = [f"02:5e:00:00:{number:02x}:{index:02x}" for index in range(len(links))]
        server = Server(name, namespace, list(links), macs, self.directory / name)
        server.directory.mkdir()
        self.servers[name] = server
        for (switch, port), nic, mac in zip(links, server.nics, macs, strict=True):
            await self._cable(switch, port, server, nic, mac)
            initial = settings.split() or ["vlan_mode=trunk", "trunks=4095", "protected=true"]
            await switch.vsctl("add-port", switch.bridge, port, "--", "set", "Port", port, *initial)
            switch.ports.append(port)
        return server

    def probe(
        self,
        servers: Sequence[Server] | None = None,
        *,
        interval: float = 0.005,
        tags: Sequence[int | None] = (None,),
    ) -> Probe:
        """A prober on every NIC of the servers (default: all), every `interval` seconds; see `probe.Probe`.

        Each time, one frame is sent for each of `tags` (None: untagged).
        """
        chosen = list(self.servers.values()) if servers is None else list(servers)
        listeners = [
            Listener(server.name, server.namespace, nic, mac)
            for server in chosen
            for nic, mac in zip(server.nics, server.macs, strict=True)
        ]
        return Probe(listeners, interval=interval, tags=tags)

    async def _cable(self, switch: Switch, port: str, server: Server, nic: str, mac: str) -> None:
        await run(
            *("ip", "link", "add", port, "netns", switch.namespace, "address", switch.mac),
            *("type", "veth", "peer", "name", nic, "address", mac, "netns", server.namespace),
        )
        await run("ip", "-n", switch.namespace, "link", "set", port, "up")
        await server.exec("ip", "link", "set", nic, "up")
        # The userspace datapath forwards frames whose checksum the veth would have left to hardware.
        await server.exec("ethtool", "-K", nic, "tx", "off")

    async def _namespace(self, name: str) -> str:
        namespace = f"{self._tag}-{name}"
        await run("ip", "netns", "add", namespace)
        self._namespaces.append(namespace)
        await run("ip", "-n", namespace, "link", "set", "lo", "up")
        # Without IPv6 a namespace is silent until a test speaks.
        await run("ip", "netns", "exec", namespace, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
        return namespace
