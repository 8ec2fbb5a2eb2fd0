"""What one measurement is made of: how many switches and ports, how slow, and which server is cabled where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

PHYSICAL_NETWORK = "physnet1"
PROVISIONING_VLAN = 100
TENANT_VLANS = (1000, 1999)
IDLE_VLAN = 999
"""What `bench.scale` has its ports on while nobody is attached."""
PASSWORD = "bench-only"


@dataclass(frozen=True)
class Shape:
    """`kind`: "cli" (Arista EOS' command line) or "netconf" (OpenConfig). `ports` is per switch, `delay` in seconds per
    line or RPC."""

    kind: str
    switches: int
    ports: int
    delay: float = 0.0

    @property
    def servers(self) -> int:
        """Two NICs each, one on either switch of a pair; a single switch has servers with one NIC."""
        return self.ports if self.switches == 1 else self.ports * (self.switches // 2)

    @property
    def title(self) -> str:
        return f"{self.kind}, {self.switches} × {self.ports} ports, {self.delay * 1000:g} ms"


class Nic(NamedTuple):
    switch: int
    port: str


def switch_name(index: int) -> str:
    return f"leaf-{index + 1}"


def switch_mac(index: int) -> str:
    return f"02:be:00:00:{index >> 8:02x}:{index & 255:02x}"


def port_name(index: int) -> str:
    return f"Ethernet{index + 1}"


@dataclass(frozen=True)
class Server:
    """`nics`: the first one is what it boots from."""

    index: int
    nics: tuple[Nic, ...]

    @property
    def host(self) -> str:
        """Its `binding:host_id`, a node's UUID."""
        return f"00000000-0000-4000-8000-{self.index:012x}"

    def profile(self, nics: tuple[Nic, ...]) -> dict[str, Any]:
        """The `binding:profile` that Ironic writes for these NICs: several are a LACP bundle."""
        links = [
            {"switch_id": switch_mac(nic.switch), "port_id": nic.port, "switch_info": switch_name(nic.switch)}
            for nic in nics
        ]
        profile: dict[str, Any] = {"local_link_information": links, "physical_network": PHYSICAL_NETWORK}
        if len(nics) > 1:
            profile["local_group_information"] = {
                "id": f"00000000-0000-4000-8001-{self.index:012x}",
                "name": f"bond-{self.index}",
                "bond_mode": "802.3ad",
                "bond_properties": {"bond_xmit_hash_policy": "layer3+4"},
            }
        return profile


def servers(shape: Shape) -> Iterator[Server]:
    """All servers, spread so that any first few of them are on different switches."""
    pairs = max(1, shape.switches // 2)
    for index in range(shape.servers):
        port = port_name(index // pairs)
        first = 2 * (index % pairs)
        yield Server(index, tuple(Nic(s, port) for s in ((first,) if shape.switches == 1 else (first, first + 1))))
