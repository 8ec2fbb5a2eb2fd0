"""A top-of-rack switch: an Open vSwitch of its own with one bridge, in a network namespace that all switches share.

Its ports are sockets, into which machines are plugged by `cable.Cable`, or veth pairs into other namespaces. What
Ironlane owns is left as it is made: isolated. Everything else is set by the lab, as an operator would.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from ironlane.lab.frames import Lldp
from ironlane.lab.machines.programs import run
from ironlane.lab.openvswitch import OpenVSwitch

BRIDGE = "br0"
_LLDP_INTERVAL = 2.0
_ISOLATED = ("vlan_mode=trunk", "trunks=4095", "protected=true")


class Switch:
    """`mac` is its chassis id in LLDP; `address` its OVSDB socket."""

    def __init__(self, name: str, directory: Path, namespace: str, mac: str) -> None:
        self.name = name
        self.mac = mac
        self.ports: list[str] = []
        self._directory = directory
        self._namespace = namespace
        self._ovs = OpenVSwitch(directory, namespace=namespace)
        self._speaker: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        return str(self._ovs.socket)

    async def start(self) -> None:
        await self._ovs.start()
        bridge = ("set", "Bridge", BRIDGE, "datapath_type=dummy", f"other-config:hwaddr={self.mac}")
        await self._ovs.vsctl("add-br", BRIDGE, "--", *bridge)
        self._speaker = asyncio.create_task(self._speak(), name=f"lldp-{self.name}")

    async def stop(self) -> None:
        if self._speaker is not None:
            self._speaker.cancel()
            await asyncio.gather(self._speaker, return_exceptions=True)
        await asyncio.to_thread(self._ovs.stop)

    async def add_machine_port(self, port: str) -> Path:
        """A port that a machine can be plugged into, isolated; its socket."""
        socket = self._directory / f"{port}.sock"
        interface = ("type=dummy", f"options:pstream=punix:{socket}")
        await self._ovs.vsctl(
            *("add-port", BRIDGE, port, "--", "set", "Port", port, *_ISOLATED),
            *("--", "set", "Interface", port, *interface),
        )
        self.ports.append(port)
        return socket

    async def add_device(self, device: str, vlan: int | None) -> None:
        """A network device of the switches' namespace as a port: access to a VLAN, or a trunk of all."""
        await run("ip", "-n", self._namespace, "link", "set", device, "up")
        mode = () if vlan is None else ("--", "set", "Port", device, "vlan_mode=access", f"tag={vlan}")
        await self._ovs.vsctl("add-port", BRIDGE, device, *mode)

    async def show(self, *question: str) -> str:
        """What `ovs-appctl` tells, such as `lacp/show`."""
        return await self._ovs.appctl(*question)

    async def _speak(self) -> None:
        """LLDP on the machines' ports, as lldpd on a switch: through the switch, but not forwarded by it.

        Open vSwitch's own has a chassis id for each port of this kind.
        """
        chassis = bytes.fromhex(self.mac.replace(":", ""))
        while True:
            for port in self.ports:
                frame = Lldp(chassis, port, self.name).frame(chassis)
                await run(
                    *("ovs-ofctl", "packet-out", f"unix:{self._directory / f'{BRIDGE}.mgmt'}"),
                    f"in_port=controller packet={frame.hex()} actions=output:{port}",
                )
            await asyncio.sleep(_LLDP_INTERVAL)
