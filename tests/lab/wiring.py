"""Small things to plug into virtual switches."""

from __future__ import annotations

from ironlane.lab.forwarding import LagMembership, PortForwarding
from ironlane.lab.frames import BROADCAST, Ethernet
from ironlane.lab.nic import Bond, Nic
from ironlane.lab.switch import VirtualSwitch, pair
from ironlane.lab.wire import Interface, connect

UPLINK = 2001


class Host:
    """A NIC that keeps every frame it gets."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.mac = bytes([0x02, 0, 0, 0, 0, number])
        self.got: list[bytes] = []
        self.interface = Interface(name, lambda _, frame: self.got.append(frame))

    def frame(self, payload: bytes, to: bytes = BROADCAST, vlan: int | None = None) -> bytes:
        return Ethernet(to, self.mac, 0x88B5, payload, vlan).pack()

    def send(self, payload: bytes, to: bytes = BROADCAST, vlan: int | None = None) -> None:
        self.interface.send(self.frame(payload, to, vlan))

    def count(self, payload: bytes) -> int:
        return sum(Ethernet.parse(frame).payload == payload for frame in self.got)


class BondedHost:
    """NICs driven by a bond, as an operating system has them."""

    def __init__(self, name: str, number: int, links: int = 2, mode: str = "802.3ad") -> None:
        self.name = name
        self.nics = [Nic(name, f"eth{i}", f"02:00:00:00:{number:02x}:{i:02x}") for i in range(links)]
        self.mode = mode
        self.got: list[bytes] = []
        self.failovers = 0
        self.bond: Bond | None = None

    def up(self) -> Bond:
        for nic in self.nics:
            nic.interface.up = True
        self.bond = Bond("bond0", self.nics, self.mode, self.got.append, self._failover)
        return self.bond

    def _failover(self) -> None:
        self.failovers += 1

    def send(self, payload: bytes, to: bytes = BROADCAST) -> None:
        assert self.bond is not None
        self.bond.send(Ethernet(to, self.bond.mac, 0x88B5, payload).pack())

    def count(self, payload: bytes) -> int:
        return sum(Ethernet.parse(frame).payload == payload for frame in self.got)


def access(vlan: int | None, lag: LagMembership | None = None) -> PortForwarding:
    return PortForwarding(enabled=True, pvid=vlan, lag=lag)


def fabric(racks: int, ports: int = 3) -> list[VirtualSwitch]:
    """MLAG pairs below one spine; answers the leaves, two a rack."""
    leaves: list[VirtualSwitch] = []
    uplinks: dict[str, LagMembership | None] = {}
    for rack in range(racks):
        lag = LagMembership(UPLINK + rack, lacp=False)
        both = [
            VirtualSwitch(
                f"leaf-{rack}{side}", f"02:aa:00:00:{rack:02x}:0{side}", [f"p{n}" for n in range(ports)], {"up": lag}
            )
            for side in (1, 2)
        ]
        pair(*both)
        leaves += both
        uplinks |= {leaf.name: lag for leaf in both}
    spine = VirtualSwitch("spine", "02:aa:00:00:ff:00", (), uplinks)
    for leaf in leaves:
        connect(leaf.interface("up"), spine.interface(leaf.name))
    return leaves
